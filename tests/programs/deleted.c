/* Executes PROGRAM after its last name is gone, with the streams that it was given.
 *
 * deleted PROGRAM [ARGS...]
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int file;

	if (argc < 2)
		errx(2, "deleted PROGRAM [ARGS...]");
	file = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (file < 0 || unlink(argv[1]))
		err(1, "%s", argv[1]);
	syscall(SYS_execveat, file, "", argv + 1, environ, AT_EMPTY_PATH);
	err(1, "execveat");
}
