/*
 * The worker: does one thing at a time, in a child that is kvpath itself, so that whatever a plugin
 * does ends that child and not the sweep. It ends with its lead.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "prove/sweep_run.h"

#define DOC_MAX  ((size_t)64 << 20) /* of a child's document */
#define SAID_MAX ((size_t)64 << 10) /* of what else it says */
#define REASON   400

enum job_kind { JOB_NONE, JOB_CHECK, JOB_LISTEN, JOB_CONNECT };

struct job {
	enum job_kind kind;
	uint32_t batch;
	pid_t pid;
	int fd[2]; /* what it writes to stdout and stderr */
	struct kv_buf text[2];
	bool told; /* of a listener: its port */
};

struct work {
	const struct kv_sweep_worker *worker;
	struct kv_arena *arena;
	struct kv_line in, out;
	const char *token, *mine;
	bool welcome;
	struct job job;
};

/* ---- children ---- */

static void child(char *const *argv, const int out[2], const int err[2], pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(STDIN_FILENO);
	(void)open("/dev/null", O_RDONLY);
	dup2(out[1], STDOUT_FILENO);
	dup2(err[1], STDERR_FILENO);
	kv_close_from(STDERR_FILENO + 1);
	execv(argv[0], argv);
	fprintf(stderr, "kvpath: exec of %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int job_start(struct work *w, enum job_kind kind, uint32_t batch, char *const *argv)
{
	int out[2], err[2];
	pid_t self = getpid(), pid;

	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	if (pipe2(err, O_CLOEXEC | O_NONBLOCK) < 0) {
		close(out[0]);
		close(out[1]);
		return -EMFILE;
	}
	fcntl(out[1], F_SETFL, 0);
	fcntl(err[1], F_SETFL, 0);
	pid = fork();
	if (pid == 0)
		child(argv, out, err, self);
	close(out[1]);
	close(err[1]);
	w->job = (struct job){ .kind = kind, .batch = batch, .pid = pid, .fd = { out[0], err[0] } };
	return pid < 0 ? -EAGAIN : 0;
}

static void job_clear(struct job *j)
{
	for (size_t i = 0; i < 2 && j->kind; i++) {
		kv_closep(&j->fd[i]);
		kv_buf_clear(&j->text[i]);
	}
	*j = (struct job){ 0 };
}

static void job_kill(struct job *j)
{
	if (!j->kind)
		return;
	/* What it started goes with it: each asks the kernel for that. */
	kill(j->pid, SIGKILL);
	while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
		;
	job_clear(j);
}

/* The last line that it said, as one that can be sent. */
static const char *reason(struct kv_arena *a, const struct job *j, int status)
{
	char *text = kv_strdup(a, j->text[1].text ? j->text[1].text : ""), *line;
	size_t n = strlen(text);

	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (kv_starts(line, "kvpath: "))
		line += strlen("kvpath: ");
	if (WIFSIGNALED(status))
		line = kv_strf(a, "killed by signal %d%s%s", WTERMSIG(status), *line ? ": " : "",
			       line);
	else if (!*line)
		line = kv_strf(a, "ended with status %d", WEXITSTATUS(status));
	return kv_printable(a, kv_strndup(a, line, REASON));
}

/* ---- what they found ---- */

/* A word of a line. */
static const char *word_of(struct kv_arena *a, const char *s)
{
	char *w = kv_strdup(a, *s ? s : "-");

	for (char *p = w; *p; p++)
		if (*p <= ' ' || *p > '~')
			*p = '_';
	return w;
}

static int tell_check(struct work *w, int status)
{
	const struct job *j = &w->job;
	json_auto_t *doc = j->text[0].text ? json_loads(j->text[0].text, 0, NULL) : NULL;
	json_auto_t *brief = doc ? kv_sweep_brief(doc) : NULL;
	_free_ char *text = brief ? json_dumps(brief, JSON_COMPACT) : NULL;

	if (text)
		return kv_line_send(&w->out, "check %s\n", text);
	return kv_line_send(&w->out, "nocheck %s\n", reason(w->arena, j, status));
}

static int tell_fault(struct work *w, const char *cause, const char *why)
{
	return kv_line_send(&w->out, "done %u fail %s %s\n", w->job.batch, word_of(w->arena, cause),
			    kv_printable(w->arena, kv_strndup(w->arena, why, REASON)));
}

/* Of kvpath.bench/1 with one engine and one shape. */
static int tell_rate(struct work *w, int status)
{
	const struct job *j = &w->job;
	json_auto_t *doc = j->text[0].text ? json_loads(j->text[0].text, 0, NULL) : NULL;
	const json_t *engine = json_array_get(json_object_get(doc, "engines"), 0);
	const json_t *run = json_array_get(json_object_get(doc, "runs"), 0);
	double rate = json_number_value(json_object_get(run, "bytes_per_s"));
	const char *provider = kv_json_str(engine, "provider");

	if (!engine)
		return tell_fault(w, "bench", reason(w->arena, j, status));
	if (!json_is_true(json_object_get(engine, "good")) ||
	    !json_is_true(json_object_get(run, "intact")) || !(rate >= 1))
		return tell_fault(
			w, *kv_json_str(engine, "cause") ? kv_json_str(engine, "cause") : "bench",
			*kv_json_str(engine, "error") ? kv_json_str(engine, "error")
						      : "it measured nothing");
	return kv_line_send(&w->out, "done %u rate %.0f %s\n", j->batch, rate,
			    word_of(w->arena, *provider ? provider : kv_json_str(run, "provider")));
}

/* "kvpath: bench listens on [::]:40123 (...)": the port, once it is said. */
static int tell_port(struct work *w)
{
	static const char says[] = "bench listens on ";
	const char *at = w->job.text[1].text ? strstr(w->job.text[1].text, says) : NULL, *colon;
	size_t n = at ? strcspn(at + strlen(says), " \n") : 0;

	if (!at || !at[strlen(says) + n])
		return 0;
	at += strlen(says);
	colon = memrchr(at, ':', n);
	w->job.told = true;
	return colon ? kv_line_send(&w->out, "port %u %d\n", w->job.batch, atoi(colon + 1)) : 0;
}

static int job_end(struct work *w)
{
	struct kv_arena_mark mark = kv_arena_mark(w->arena);
	struct job *j = &w->job;
	int status = 0, r;

	while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (j->kind == JOB_CHECK)
		r = tell_check(w, status);
	else if (j->kind == JOB_CONNECT)
		r = tell_rate(w, status);
	else
		r = tell_fault(w, "listener", reason(w->arena, j, status));
	job_clear(j);
	kv_arena_rewind(w->arena, mark);
	return r;
}

/* ---- orders ---- */

static char *const *with_place(struct work *w, const char *address, const char *port)
{
	char *const *from = w->worker->connect;
	kv_strv argv = { 0 };
	bool v6 = strchr(address, ':') != NULL;

	for (; *from; from++)
		kv_vec_push(w->arena, &argv,
			    **from ? *from
				   : kv_strf(w->arena, "%s%s%s:%s", v6 ? "[" : "", address,
					     v6 ? "]" : "", port));
	kv_vec_push(w->arena, &argv, NULL);
	return argv.v;
}

static int on_first(struct work *w, char *line)
{
	static const char begin[] = "kvpath-sweep/1 ";
	char proof[KV_SHA256_HEX];
	const char *nonce = line + strlen(begin);

	/* A remote shell greets first. */
	if (!kv_starts(line, begin))
		return kv_starts(line, "kvpath-sweep/") ? -EPROTONOSUPPORT : 0;
	kv_sweep_proof(w->token ? w->token : "", "worker", nonce, w->mine, proof);
	w->welcome = true;
	w->mine = kv_strf(w->arena, "%s %s", w->mine, nonce);
	return kv_line_send(
		&w->out, "hello %s %s %.*s %s\n", *w->worker->name ? w->worker->name : "-",
		*w->worker->address ? w->worker->address : "-", KV_SWEEP_TOKEN_HEX, w->mine, proof);
}

/* The lead's proof, or over a remote shell the token; then the check begins. */
static int on_welcome(struct work *w, const char *said)
{
	if (w->token) {
		char proof[KV_SHA256_HEX];
		char mine[KV_SWEEP_TOKEN_HEX + 1];

		snprintf(mine, sizeof(mine), "%s", w->mine);
		kv_sweep_proof(w->token, "lead", mine, w->mine + KV_SWEEP_TOKEN_HEX + 1, proof);
		if (!kv_sweep_same(proof, said))
			return -EACCES;
	} else {
		w->token = kv_strdup(w->arena, said);
	}
	setenv(KV_SWEEP_TOKEN, w->token, 1);
	return job_start(w, JOB_CHECK, 0, w->worker->check);
}

static int on_order(struct work *w, char *line)
{
	struct kv_arena_mark mark = kv_arena_mark(w->arena);
	char address[64], port[8], said[KV_SHA256_HEX];
	unsigned batch;
	int r = 0;

	if (sscanf(line, "welcome %64[0-9a-f]", said) == 1)
		return on_welcome(w, said);
	if (kv_streq(line, "quit"))
		return -ECANCELED;
	if (sscanf(line, "stop %u", &batch) == 1 && w->job.kind && w->job.batch == batch) {
		r = tell_fault(w, "stopped", "by the lead");
		job_kill(&w->job);
	} else if (sscanf(line, "listen %u", &batch) == 1) {
		job_kill(&w->job);
		r = job_start(w, JOB_LISTEN, batch, w->worker->listen);
	} else if (sscanf(line, "connect %u %63s %7[0-9]", &batch, address, port) == 3) {
		job_kill(&w->job);
		r = job_start(w, JOB_CONNECT, batch, with_place(w, address, port));
	}
	kv_arena_rewind(w->arena, mark);
	return r;
}

static int read_orders(struct work *w)
{
	int r = kv_line_fill(&w->in);
	char *line;

	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	while ((line = kv_line_next(&w->in))) {
		r = w->welcome ? on_order(w, line) : on_first(w, line);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the loop ---- */

static void read_child(struct job *j, size_t i)
{
	char buf[65536];
	ssize_t n = read(j->fd[i], buf, sizeof(buf));
	size_t most = i ? SAID_MAX : DOC_MAX;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && j->text[i].n < most)
		kv_buf_add(&j->text[i], buf, (size_t)n);
	if (n > 0)
		return;
	close(j->fd[i]);
	j->fd[i] = -EBADF;
}

static int turn(struct work *w)
{
	struct job *j = &w->job;
	struct pollfd fds[3] = { { .fd = w->in.fd, .events = POLLIN },
				 { .fd = j->kind ? j->fd[0] : -1, .events = POLLIN },
				 { .fd = j->kind ? j->fd[1] : -1, .events = POLLIN } };
	int r = 0;

	if (poll(fds, 3, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < 2; i++)
		if (fds[i + 1].revents)
			read_child(j, i);
	if (j->kind == JOB_LISTEN && !j->told)
		r = tell_port(w);
	if (r == 0 && j->kind && j->fd[0] < 0 && j->fd[1] < 0)
		r = job_end(w);
	if (r == 0 && fds[0].revents)
		r = read_orders(w);
	return r;
}

int kv_sweep_work(const struct kv_sweep_worker *worker, int in, int out, struct kv_err *err)
{
	char nonce[KV_SWEEP_TOKEN_HEX + 1];
	struct work w = {
		.worker = worker,
		.arena = kv_arena_new(),
		.in = { .fd = in },
		.out = { .fd = out },
		.token = worker->token,
		.mine = nonce,
	};
	int r = kv_sweep_random(nonce);

	while (r == 0)
		r = turn(&w);
	job_kill(&w.job);
	kv_buf_clear(&w.in.in);
	kv_arena_free(w.arena);
	if (r == -ECANCELED)
		return 0;
	return kv_err(err, r,
		      r == -EPIPE    ? "the sweep's lead has ended"
		      : r == -EACCES ? "whoever leads the sweep does not know the token"
				     : "the connection to the sweep's lead: %s",
		      strerror(-r));
}

int kv_sweep_connect(const char *address, uint16_t port, unsigned seconds, int *ret_fd,
		     struct kv_err *err)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	bool is4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	int64_t end = kv_sweep_now() + seconds * 1000LL;
	int one = 1, e = EINVAL;

	if (!is4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
		return kv_err(err, -EINVAL, "%s is no address", address);
	while (kv_sweep_now() < end) {
		_close_ int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return kv_err(err, -errno, "socket: %s", strerror(errno));
		if (connect(fd, is4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
			    is4 ? sizeof(v4) : sizeof(v6)) == 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
			*ret_fd = kv_steal_fd(&fd);
			return 0;
		}
		e = errno;
		usleep(200000);
	}
	return kv_err(err, -e, "no connection to the sweep's lead at %s port %u: %s", address, port,
		      strerror(e));
}
