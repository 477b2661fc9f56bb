/* Starting, asking and ending the process that reads an image. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "root/squash_box.h"

/* Where the child finds what it may use. */
enum { IMAGE_FD = 3, SOCK_FD = 4, END_FD };

/* ---- the child ---- */

static int pread_source(void *arg, uint64_t off, void *buf, size_t n)
{
	size_t got;
	int e = kv_read_all(*(const int *)arg, buf, n, off, &got);

	return e < 0 ? e : got == n ? 0 : -EIO;
}

static bool say(int sock, const struct kv_sq_reply *rp)
{
	return write(sock, rp, sizeof(*rp)) == (ssize_t)sizeof(*rp);
}

void kv_box_serve_squash(int image, int sock, uint8_t *window)
{
	struct kv_sq_source source = { .read = pread_source, .arg = &image };
	struct kv_sq_request rq;
	struct kv_sq_reply rp = { 0 };
	struct kv_sq *s = NULL;
	const char *why;
	struct stat st;

	if (fstat(image, &st) < 0)
		return;
	source.size = (uint64_t)st.st_size;
	kv_box_confine();
	rp.error = kv_sq_open(&source, &s, &rp.more, &why);
	if (rp.error) {
		rp.n = (uint32_t)strlen(why);
		memcpy(window, why, rp.n);
	}
	while (say(sock, &rp) && s && read(sock, &rq, sizeof(rq)) == (ssize_t)sizeof(rq))
		kv_sq_answer(s, &rq, window, &rp);
}

/* Leaves IMAGE_FD and SOCK_FD open, and under a sanitizer the stderr that it reports to. */
static bool keep_fds(int image, int sock)
{
	image = fcntl(image, F_DUPFD, END_FD);
	sock = fcntl(sock, F_DUPFD, END_FD);
	if (image < 0 || sock < 0 || dup2(image, IMAGE_FD) < 0 || dup2(sock, SOCK_FD) < 0)
		return false;
	kv_close_from(END_FD);
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

static _Noreturn void child(int image, int sock, uint8_t *window, kv_box_serve *serve, pid_t parent)
{
	default_signals();
	/* It does not outlive us, whatever becomes of us: getppid() closes the race. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && keep_fds(image, sock))
		serve(IMAGE_FD, SOCK_FD, window);
	_exit(0);
}

/* ---- the parent ---- */

static int start(int image, kv_box_serve *serve, int socks[2], struct kv_box *b)
{
	pid_t parent = getpid();

	b->window = mmap(NULL, KV_SQ_PAYLOAD, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	if (b->window == MAP_FAILED)
		return -errno;
	/* What stdio holds back must not be written twice. */
	fflush(NULL);
	b->pid = fork();
	if (b->pid == 0)
		child(image, socks[1], b->window, serve, parent);
	if (b->pid > 0)
		return 0;
	munmap(b->window, KV_SQ_PAYLOAD);
	return -errno;
}

int kv_box_start(int image, kv_box_serve *serve, unsigned deadline_s, struct kv_box *ret,
		 struct kv_err *err)
{
	struct timeval silence = { .tv_sec = deadline_s };
	struct kv_box b = { .pid = -1 };
	int socks[2], e;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		return kv_err(err, -errno, "a socket: %s", strerror(errno));
	setsockopt(socks[0], SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(socks[0], SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	e = start(image, serve, socks, &b);
	close(socks[1]);
	if (e < 0) {
		close(socks[0]);
		return kv_err(err, e, "a process to read the image: %s", strerror(-e));
	}
	b.sock = socks[0];
	*ret = b;
	return 0;
}

static void end(struct kv_box *b)
{
	kv_closep(&b->sock);
	b->sock = -1;
	if (b->pid <= 0)
		return;
	kill(b->pid, SIGKILL);
	while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		;
	b->pid = -1;
}

int kv_box_cut(struct kv_box *b, const char *fmt, ...)
{
	va_list ap;

	if (!*b->fault) {
		va_start(ap, fmt);
		vsnprintf(b->fault, sizeof(b->fault), fmt, ap);
		va_end(ap);
	}
	end(b);
	return -EIO;
}

/*
 * The other end says nothing any more. A child that is dying is waited for, since how it died is
 * worth telling; one that only closed the line or sent an empty message would be waited for
 * forever.
 */
static int lost(struct kv_box *b)
{
	int status = 0;

	for (int i = 0; b->pid > 0 && i < 400; i++) {
		pid_t done = waitpid(b->pid, &status, WNOHANG);

		/* Where SIGCHLD is ignored nothing is left to wait for, nor to kill. */
		if (done == b->pid || (done < 0 && errno == ECHILD))
			b->pid = -1;
		else
			usleep(2500);
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return kv_box_cut(b, "reading the image took more processor time than it may");
	if (WIFSIGNALED(status))
		return kv_box_cut(b, "damaged squashfs image: its reader died of it (signal %d)",
				  WTERMSIG(status));
	return kv_box_cut(b, "damaged squashfs image: its reader gave up");
}

static int receive(struct kv_box *b, struct kv_sq_reply *ret)
{
	ssize_t n;

	while ((n = recv(b->sock, ret, sizeof(*ret), MSG_TRUNC)) < 0 && errno == EINTR)
		;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return kv_box_cut(b, "the reader of the image has been silent for too long");
	if (n <= 0)
		return lost(b);
	if (n != (ssize_t)sizeof(*ret) || ret->n > KV_SQ_PAYLOAD || ret->error > 0 ||
	    ret->error < -4095)
		return kv_box_cut(b, "damaged squashfs image: its reader answers nonsense");
	return 0;
}

int kv_box_hello(struct kv_box *b, struct kv_sq_reply *ret)
{
	return receive(b, ret);
}

int kv_box_ask(struct kv_box *b, const struct kv_sq_request *rq, struct kv_sq_reply *ret)
{
	ssize_t n;

	if (b->sock < 0)
		return -EIO;
	while ((n = send(b->sock, rq, sizeof(*rq), MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof(*rq) ? receive(b, ret) : lost(b);
}

void kv_box_stop(struct kv_box *b)
{
	end(b);
	if (b->window)
		munmap(b->window, KV_SQ_PAYLOAD);
	b->window = NULL;
}
