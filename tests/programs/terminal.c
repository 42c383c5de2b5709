/* Gives a network peer a shell on a terminal of its own, and carries what is typed and shown.
 *
 * keep  ADDRESS PORT PROGRAM [ARGS...]     the connection stays where it is
 * dup   ADDRESS PORT PROGRAM [ARGS...]     the connection becomes this program's own streams first
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int carry(int from, int to)
{
	char buffer[4096];
	ssize_t length = read(from, buffer, sizeof(buffer));

	return length > 0 && write(to, buffer, length) == length;
}

int main(int argc, char **argv)
{
	struct sockaddr_in peer = { .sin_family = AF_INET };
	int input, output, terminal;
	pid_t shell;

	if (argc < 5)
		errx(2, "keep|dup ADDRESS PORT PROGRAM [ARGS...]");
	peer.sin_port = htons(strtoul(argv[3], NULL, 10));
	if (inet_pton(AF_INET, argv[2], &peer.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", argv[2]);
	input = output = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (input < 0 || connect(input, (void *)&peer, sizeof(peer)))
		err(1, "connect");
	if (strcmp(argv[1], "dup") == 0) {
		for (int stream = 0; stream < 3; stream++)
			dup2(input, stream);
		close(input);
		input = STDIN_FILENO;
		output = STDOUT_FILENO;
	}
	shell = forkpty(&terminal, NULL, NULL, NULL);
	if (shell < 0)
		err(1, "forkpty");
	if (shell == 0) {
		execv(argv[4], argv + 4);
		_exit(127);
	}
	for (;;) {
		struct pollfd ends[] = { { .fd = input, .events = POLLIN }, { .fd = terminal, .events = POLLIN } };

		if (poll(ends, 2, -1) < 0)
			err(1, "poll");
		if (ends[0].revents && !carry(input, terminal))
			return 0;
		if (ends[1].revents && !carry(terminal, output))
			return 0;
	}
}
