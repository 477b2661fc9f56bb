/*
 * A wire that changes bits, for LD_PRELOAD: of every FLIP_EVERYth message of at least 64 bytes that
 * this process receives, one bit arrives changed. Each is a line in the file FLIP_LOG.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALLEST 64

static unsigned long every;
static unsigned long count;
static unsigned long seed;

static __attribute__((constructor)) void start(void)
{
	const char *s = getenv("FLIP_EVERY");

	every = s ? strtoul(s, NULL, 10) : 0;
	seed = (unsigned long)getpid() * 2654435761UL;
}

static void note(void)
{
	const char *path = getenv("FLIP_LOG");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;

	if (fd >= 0 && write(fd, "flip\n", 5) == 5)
		close(fd);
}

static void flip(const struct msghdr *m, size_t n)
{
	size_t at;

	seed = seed * 6364136223846793005UL + 1442695040888963407UL;
	at = (seed >> 20) % n;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (at < m->msg_iov[i].iov_len) {
			((unsigned char *)m->msg_iov[i].iov_base)[at] ^=
				(unsigned char)(1 << (seed >> 61));
			note();
			return;
		}
		at -= m->msg_iov[i].iov_len;
	}
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	static ssize_t (*real)(int, struct msghdr *, int);
	void *sym;
	ssize_t r;

	if (!real) {
		sym = dlsym(RTLD_NEXT, "recvmsg");
		memcpy(&real, &sym, sizeof(sym));
	}
	r = real(fd, m, flags);
	if (r >= SMALLEST && every && ++count % every == 0)
		flip(m, (size_t)r);
	return r;
}
