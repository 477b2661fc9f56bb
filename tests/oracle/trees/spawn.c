/*
 * Starts programs for the oracle: a Python process that forks costs more than all else together.
 * Reads requests from stdin: u32 length, then NUL-terminated strings: root to chroot to ("" for
 * none), directory in it to start in, uid, seconds, number of arguments, the arguments, the
 * environment. Answers on stdout: i32 status as wait() gives it, u32 bytes of stdout and of stderr,
 * then these.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_STRINGS 512

struct request {
	const char *root, *cwd;
	unsigned uid, seconds;
	char *argv[MAX_STRINGS];
	char *env[MAX_STRINGS];
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void read_all(void *to, size_t n)
{
	for (ssize_t got; n; n -= (size_t)got, to = (char *)to + got) {
		got = read(0, to, n);
		if (got == 0)
			exit(0);
		if (got < 0)
			die("spawn: read");
	}
}

static void write_all(const void *from, size_t n)
{
	for (ssize_t put; n; n -= (size_t)put, from = (const char *)from + put) {
		put = write(1, from, n);
		if (put < 0)
			die("spawn: write");
	}
}

static char *next(char **at, const char *end)
{
	char *s = *at;

	if (s >= end)
		exit(2);
	*at += strlen(s) + 1;
	return s;
}

static void parse(char *text, size_t n, struct request *ret)
{
	char *at = text, *end = text + n;
	size_t i, argc;

	ret->root = next(&at, end);
	ret->cwd = next(&at, end);
	ret->uid = (unsigned)strtoul(next(&at, end), NULL, 10);
	ret->seconds = (unsigned)strtoul(next(&at, end), NULL, 10);
	argc = strtoul(next(&at, end), NULL, 10);
	if (argc >= MAX_STRINGS)
		exit(2);
	for (i = 0; i < argc; i++)
		ret->argv[i] = next(&at, end);
	ret->argv[i] = NULL;
	for (i = 0; at < end && i + 1 < MAX_STRINGS; i++)
		ret->env[i] = next(&at, end);
	ret->env[i] = NULL;
}

/* In the child, which shares the parent's memory: system calls only, those of setuid bare. */
static void start(const struct request *q, int out, int err)
{
	int fd;

	dup2(open("/dev/null", O_RDONLY), 0);
	if (*q->root && (chroot(q->root) < 0 || chdir(q->cwd) < 0))
		_exit(121);
	dup2(out, 1);
	dup2(err, 2);
	/* The other uid need not reach the program's directory. */
	fd = open(q->argv[0], O_PATH | O_CLOEXEC);
	if (fd < 0)
		_exit(122);
	if (q->uid && (syscall(SYS_setgroups, 0, NULL) < 0 ||
		       syscall(SYS_setresgid, q->uid, q->uid, q->uid) < 0 ||
		       syscall(SYS_setresuid, q->uid, q->uid, q->uid) < 0))
		_exit(123);
	alarm(q->seconds);
	if (*q->root)
		execve(q->argv[0], q->argv, q->env);
	else
		syscall(SYS_execveat, fd, "", q->argv, q->env, AT_EMPTY_PATH);
	_exit(124);
}

static void answer(const struct request *q, int out, int err)
{
	static char buffer[1 << 20];
	int fds[] = { out, err };
	uint32_t sizes[2];
	int32_t status = 0;
	pid_t child;

	for (int i = 0; i < 2; i++)
		if (ftruncate(fds[i], 0) < 0 || lseek(fds[i], 0, SEEK_SET) < 0)
			die("spawn: memfd");
	child = vfork();
	if (child == 0)
		start(q, out, err);
	if (child < 0 || waitpid(child, &status, 0) != child)
		die("spawn: fork");
	write_all(&status, sizeof(status));
	for (int i = 0; i < 2; i++)
		sizes[i] = (uint32_t)lseek(fds[i], 0, SEEK_END);
	write_all(sizes, sizeof(sizes));
	for (int i = 0; i < 2; i++)
		for (uint32_t at = 0; at < sizes[i];) {
			ssize_t got = pread(fds[i], buffer, sizeof(buffer), at);

			if (got <= 0)
				die("spawn: memfd");
			write_all(buffer, (size_t)got);
			at += (uint32_t)got;
		}
}

int main(void)
{
	static const struct rlimit no_core = { 0, 0 }, files = { 16 << 20, 16 << 20 };
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	static struct request q;
	static char text[1 << 20];

	if (out < 0 || err < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0 ||
	    setrlimit(RLIMIT_FSIZE, &files) < 0)
		die("spawn");
	for (;;) {
		uint32_t n;

		read_all(&n, sizeof(n));
		if (n >= sizeof(text))
			return 2;
		read_all(text, n);
		text[n] = '\0';
		parse(text, n, &q);
		answer(&q, out, err);
	}
}
