/* Starting, hearing and ending the child. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "root/cell.h"

/* ---- the child ---- */

/* The descriptors to their places, all others closed. */
static bool place_fds(const struct kv_cell_job *job, int sock)
{
	const int from[] = { job->in, sock, job->spool };
	int high[KV_ARRAY_SIZE(from)];

	for (int i = 0; i < (int)KV_ARRAY_SIZE(from); i++) {
		high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD, _KV_CELL_END);
		if (from[i] >= 0 && high[i] < 0)
			return false;
	}
	for (int i = 0; i < (int)KV_ARRAY_SIZE(from); i++)
		if (high[i] < 0)
			close(KV_CELL_IN + i);
		else if (dup2(high[i], KV_CELL_IN + i) < 0)
			return false;
	kv_close_from(_KV_CELL_END);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	if (!KV_SANITIZED)
		close(STDERR_FILENO);
	return true;
}

/* A handler of the program's must not outlive the fork: it would hide what the child dies of. */
static void default_signals(void)
{
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
}

static _Noreturn void child(const struct kv_cell_job *job, int sock, pid_t parent)
{
	default_signals();
	/* It does not outlive us, whatever becomes of us: getppid() closes the race. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && place_fds(job, sock))
		job->run(job->ctx);
	_exit(0);
}

/* ---- the parent ---- */

int kv_cell_start(const struct kv_cell_job *job, struct kv_cell *ret, struct kv_err *err)
{
	struct timeval silence = { .tv_sec = job->deadline_s };
	pid_t parent = getpid(), pid;
	int socks[2], e;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		return kv_err(err, -errno, "a socket: %s", strerror(errno));
	setsockopt(socks[0], SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(socks[0], SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	/* What stdio holds back must not be written twice. */
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(job, socks[1], parent);
	e = -errno;
	close(socks[1]);
	if (pid < 0) {
		close(socks[0]);
		return kv_err(err, e, "a process to read the image: %s", strerror(-e));
	}
	*ret = (struct kv_cell){ .pid = pid, .sock = socks[0] };
	return 0;
}

ssize_t kv_cell_receive(struct kv_cell *c, void *buf, size_t n)
{
	ssize_t got;

	while ((got = recv(c->sock, buf, n, MSG_TRUNC)) < 0 && errno == EINTR)
		;
	if (got < 0)
		return -errno;
	return (size_t)got > n ? -EMSGSIZE : got;
}

/* Waits for about a second. */
static int own_end(struct kv_cell *c)
{
	int status = 0;

	for (useconds_t us = 50; c->pid > 0 && us < 500000; us *= 2) {
		pid_t done = waitpid(c->pid, &status, WNOHANG);

		/* Where SIGCHLD is ignored nothing is left to wait for, nor to kill. */
		if (done == c->pid || (done < 0 && errno == ECHILD))
			c->pid = -1;
		else
			usleep(us);
	}
	return status;
}

int kv_cell_end(struct kv_cell *c, bool kill_it)
{
	int status = kill_it ? 0 : own_end(c);

	kv_closep(&c->sock);
	c->sock = -1;
	if (c->pid <= 0)
		return status;
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = -1;
	return 0;
}
