/*
 * A wire that changes bits, for LD_PRELOAD: of every FLIP_EVERYth message of at least 64 bytes that
 * this process receives, one bit arrives changed. Each is a line in the file FLIP_LOG. What comes
 * by recv(2) and process_vm_readv(2), as libfabric and UCX receive, counts from 4096 bytes on, and
 * the bit is in its second half, where there is no header.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SMALLEST 64
#define LARGE    4096

static unsigned long every;
static unsigned long messages;
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

/* One bit of the n bytes from `from` on. */
static void flip(const struct iovec *v, size_t count, size_t from, size_t n)
{
	size_t at;

	seed = seed * 6364136223846793005UL + 1442695040888963407UL;
	at = from + (seed >> 20) % n;
	for (size_t i = 0; i < count; i++) {
		if (at < v[i].iov_len) {
			((unsigned char *)v[i].iov_base)[at] ^= (unsigned char)(1 << (seed >> 61));
			note();
			return;
		}
		at -= v[i].iov_len;
	}
}

static void large(const struct iovec *v, size_t count, ssize_t n)
{
	if (n >= LARGE && every && ++messages % every == 0)
		flip(v, count, (size_t)n / 2, (size_t)n / 2);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
	static ssize_t (*real)(int, void *, size_t, int);
	struct iovec v = { p, n };
	void *sym;
	ssize_t r;

	if (!real) {
		sym = dlsym(RTLD_NEXT, "recv");
		memcpy(&real, &sym, sizeof(sym));
	}
	r = real(fd, p, n, flags);
	if (!(flags & MSG_PEEK))
		large(&v, 1, r);
	return r;
}

/* As libfabric calls process_vm_readv(2). */
long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6], r;
	void *sym;
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (!real) {
		sym = dlsym(RTLD_NEXT, "syscall");
		memcpy(&real, &sym, sizeof(sym));
	}
	r = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (number == SYS_process_vm_readv)
		large((const struct iovec *)a[1], (size_t)a[2], r);
	return r;
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
	if (r >= SMALLEST && every && ++messages % every == 0)
		flip(m->msg_iov, m->msg_iovlen, 0, (size_t)r);
	return r;
}
