/* One run of the agents: fork, sandbox, exec, collect, and at the deadline the end of the whole
 * group. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "prove/parts.h"

#define GRACE_MS                                                                                   \
	2000 /* the agents have the same deadline and say more when they end by themselves */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int child_prepare(const struct kv_prove_run *run, const int out[2], const int log[2],
			 struct kv_err *err)
{
	const struct kv_prove_request *req = run->req;
	sigset_t none;
	int in, r;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setpgid(0, 0);
	in = run->input > STDERR_FILENO ? run->input : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in < 0 || dup2(in, 0) < 0 || dup2(out[1], 1) < 0 || dup2(log[1], 2) < 0)
		return kv_err(err, -errno, "dup2 of the pipes: %s", strerror(errno));
	/* Nothing that this process has open reaches the target's code. */
	r = kv_cloexec_from(STDERR_FILENO + 1);
	if (r < 0)
		return kv_err(err, r, "fcntl F_SETFD: %s", strerror(-r));
	if (req->n_mounts || !kv_streq(req->target, "/"))
		return kv_prove_enter(req, err);
	return 0;
}

static void child_run(const struct kv_prove_run *run, const int out[2], const int log[2], int start,
		      pid_t parent)
{
	struct kv_err err = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (child_prepare(run, out, log, &err) == 0) {
		if (run->exec_fd >= 0)
			execveat(run->exec_fd, "", run->argv, run->envp, AT_EMPTY_PATH);
		else
			execve(run->exec_path, run->argv, run->envp);
		/* For an existing program ENOENT speaks of its loader. */
		kv_err(&err, -errno, "exec of %s in %s: %s%s", run->argv[0], run->req->target,
		       strerror(errno),
		       errno == ENOENT && run->exec_fd >= 0
			       ? ": the target has no glibc loader for it"
			       : "");
	}
	kv_write_all(start, &err, sizeof(err));
	_exit(127);
}

static int drain(int fd, struct kv_prove_text *text)
{
	char buf[65536];
	ssize_t n;

	do
		n = read(fd, buf, sizeof(buf));
	while (n < 0 && errno == EINTR);
	if (n > 0)
		kv_prove_text_add(text, buf, (size_t)n);
	return n < 0 && errno == EAGAIN ? 1 : n > 0;
}

/* What is still in the pipes when the process has ended; others may hold them open for ever. */
static void drain_rest(int fd, struct kv_prove_text *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (int i = 0; i < 1024 && fd >= 0 && poll(&p, 1, 0) > 0; i++)
		if (drain(fd, text) <= 0)
			return;
}

static void collect(const struct kv_prove_run *run, pid_t pid, int out, int log,
		    struct kv_prove_ran *ret)
{
	struct pollfd fds[2] = { { .fd = out, .events = POLLIN }, { .fd = log, .events = POLLIN } };
	struct kv_prove_text *texts[2] = { &ret->out, &ret->log };
	int64_t end = now_ms() + (int64_t)run->deadline_s * 1000 + GRACE_MS;
	pid_t r = 0;

	while (r == 0) {
		if (now_ms() >= end) {
			ret->timed_out = true;
			break;
		}
		/* In slices, since the process may end while a stray child keeps the pipes open. */
		if (poll(fds, 2, 50) > 0)
			for (size_t i = 0; i < 2; i++)
				if (fds[i].revents && drain(fds[i].fd, texts[i]) <= 0)
					fds[i].fd = -1;
		if (run->tick)
			run->tick(run->tick_arg, &ret->out);
		r = waitpid(pid, &ret->status, WNOHANG);
	}
	/* All of it: agents that outlive their parent too. */
	kill(-pid, SIGKILL);
	while (r == 0 && waitpid(pid, &ret->status, 0) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < 2; i++)
		drain_rest(fds[i].fd, texts[i]);
}

/* 0 where the exec went through: the pipe closed with it. */
static int started(pid_t pid, int start, struct kv_err *err)
{
	struct kv_err said;
	size_t got = 0;
	ssize_t n;

	do {
		n = read(start, (char *)&said + got, sizeof(said) - got);
		if (n > 0)
			got += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (got == 0)
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != sizeof(said) || said.code >= 0)
		return kv_err(err, -EIO, "the child that runs the agents said %zu bytes", got);
	said.msg[sizeof(said.msg) - 1] = '\0';
	return kv_err(err, said.code, "%s", said.msg);
}

static void pipe_close(int p[2])
{
	kv_closep(&p[0]);
	kv_closep(&p[1]);
}

int kv_prove_spawn(const struct kv_prove_run *run, struct kv_prove_ran *ret, struct kv_err *err)
{
	int out[2] = { -EBADF, -EBADF }, log[2] = { -EBADF, -EBADF }, start[2] = { -EBADF, -EBADF };
	pid_t self = getpid(), pid = -1;
	int r = 0;

	*ret = (struct kv_prove_ran){ 0 };
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(log, O_CLOEXEC) < 0 || pipe2(start, O_CLOEXEC) < 0)
		r = kv_err(err, -errno, "pipe: %s", strerror(errno));
	if (r == 0) {
		pid = fork();
		if (pid == 0)
			child_run(run, out, log, start[1], self);
		if (pid < 0)
			r = kv_err(err, -errno, "fork: %s", strerror(errno));
	}
	for (size_t i = 0; i < 3; i++) {
		int *p = i == 0 ? out : i == 1 ? log : start;

		kv_closep(&p[1]);
		p[1] = -EBADF;
	}
	if (r == 0)
		r = started(pid, start[0], err);
	if (r == 0)
		collect(run, pid, out[0], log[0], ret);
	pipe_close(out);
	pipe_close(log);
	pipe_close(start);
	return r;
}
