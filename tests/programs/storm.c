/* Executes PROGRAM COUNT times, one after another, with the streams that it was given.
 *
 * storm COUNT PROGRAM [ARGS...]
 */
#define _GNU_SOURCE
#include <err.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "storm COUNT PROGRAM [ARGS...]");
	for (long left = strtol(argv[1], NULL, 10); left > 0; left--) {
		pid_t child;
		int status;
		if (posix_spawn(&child, argv[2], NULL, NULL, argv + 2, environ))
			errx(1, "%s", argv[2]);
		if (waitpid(child, &status, 0) != child || status != 0)
			errx(1, "%s failed", argv[2]);
	}
	return 0;
}
