/*
 * Starts kvpath and reads what it prints. posix_spawn() copies no memory and runs no handler of
 * fork(), so that it is safe in a program with threads, and with memory that a device writes to.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/program.h"

#define MAX_OUTPUT ((size_t)64 << 20)

extern char **environ;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What the caller has open, masks or ignores is not the program's. */
static int spawn(char *const argv[], int out, int err, pid_t *ret)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawn_file_actions_init(&files);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&files);
		return -r;
	}
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	r = r ? r : posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	r = r ? r : posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
	r = r ? r : posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	r = r ? r : posix_spawn(ret, argv[0], &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* Adds what can be read now. 1 at the end, 0 for more to come, -errno. */
static int read_some(int fd, struct kv_output *o)
{
	char block[65536], *text;
	ssize_t n = read(fd, block, sizeof(block));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return 1;
	if ((size_t)n > MAX_OUTPUT - o->n)
		return -EMSGSIZE;
	text = realloc(o->text, o->n + (size_t)n + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text + o->n, block, (size_t)n);
	o->text = text;
	o->n += (size_t)n;
	o->text[o->n] = '\0';
	return 0;
}

static int read_both(const int fds[2], int64_t end, struct kv_run *run)
{
	struct pollfd p[2] = { { .fd = fds[0], .events = POLLIN },
			       { .fd = fds[1], .events = POLLIN } };
	struct kv_output *const to[2] = { &run->out, &run->err };

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		int64_t left = end - now_ms();
		int r;

		if (left <= 0)
			return -ETIMEDOUT;
		r = poll(p, 2, (int)(left < 1000 ? left : 1000));
		if (r < 0 && errno != EINTR)
			return -errno;
		for (size_t i = 0; r > 0 && i < 2; i++) {
			int got = p[i].revents ? read_some(p[i].fd, to[i]) : 0;

			if (got < 0)
				return got;
			if (got > 0)
				p[i].fd = -1;
		}
	}
	return 0;
}

static int reap(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	/* A caller that ignores SIGCHLD, or waits for any child, has taken it. */
	if (r != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void shut(int fds[2])
{
	for (size_t i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int kv_program_run(char *const argv[], unsigned deadline_s, struct kv_run *ret)
{
	int64_t end = now_ms() + (int64_t)deadline_s * 1000;
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, r;
	pid_t pid;

	*ret = (struct kv_run){ .status = -1 };
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
		r = -errno;
		shut(out);
		return r;
	}
	r = spawn(argv, out[1], err[1], &pid);
	close(out[1]);
	close(err[1]);
	if (r == 0) {
		r = read_both((const int[]){ out[0], err[0] }, end, ret);
		if (r < 0)
			kill(pid, SIGKILL);
		ret->status = reap(pid);
	}
	close(out[0]);
	close(err[0]);
	return r;
}
