/*
 * Starting, watching and ending srun. Each is a process group of its own, so that a terminal's
 * signals come to launch alone, and ends with launch, however that ends.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "launch/steps.h"

#define MAX_ANSWER ((size_t)16 << 20)

const char *const kv_step_state_name[_KV_STEP_STATE_COUNT] = { "waiting", "running", "done",
							       "failed",  "stopped", "lost" };

uint64_t kv_steps_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* In the child. out: descriptor for what the program prints; -1: none. */
static _Noreturn void become(char **argv, const struct kv_env *const env[2], int out, int err)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)setpgid(0, 0);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(out >= 0 ? out : null, STDOUT_FILENO);
	(void)dup2(err >= 0 ? err : null, STDERR_FILENO);
	for (size_t e = 0; e < 2; e++)
		for (size_t i = 0; env[e] && i < env[e]->pairs.n; i++)
			(void)putenv(env[e]->pairs.v[i]);
	(void)kv_cloexec_from(STDERR_FILENO + 1);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "kvpath: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int start(struct kv_arena *a, const char *name, const kv_strv *argv,
		 const struct kv_env *const env[2], const char *logs, struct kv_running *ret,
		 struct kv_err *err)
{
	const char *path = kv_strf(a, "%s/%s.srun", logs, name);
	kv_strv words = { 0 };
	_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	pid_t pid;

	if (fd < 0)
		return kv_err(err, -errno, "%s: %s", path, strerror(errno));
	for (size_t i = 0; i < argv->n; i++)
		kv_vec_push(a, &words, argv->v[i]);
	kv_vec_push(a, &words, NULL);
	pid = fork();
	if (pid == 0)
		become(words.v, env, fd, fd);
	if (pid < 0)
		return kv_err(err, -errno, "fork: %s", strerror(errno));
	ret->name = name;
	ret->pid = pid;
	ret->state = KV_STEP_RUNNING;
	ret->began_ns = kv_steps_now();
	return 0;
}

int kv_step_start(const struct kv_launch *l, const struct kv_step *s, const struct kv_env *env,
		  const char *logs, const kv_strv *nodes, struct kv_running *ret,
		  struct kv_err *err)
{
	const struct kv_env *const envs[2] = { env, &s->env };
	struct kv_arena *a = l->job->arena;
	kv_strv argv = { 0 };

	for (size_t i = 0; i < s->argv.n; i++)
		kv_vec_push(a, &argv, kv_strdup(a, kv_launch_arg(a, s->argv.v[i], logs, nodes)));
	ret->step = s;
	return start(a, s->name, &argv, envs, logs, ret, err);
}

int kv_bash_start(const struct kv_launch *l, const char *name, const char *text,
		  const struct kv_env *env, const char *logs, struct kv_running *ret,
		  struct kv_err *err)
{
	const struct kv_env *const envs[2] = { env, NULL };
	struct kv_arena *a = l->job->arena;
	kv_strv argv = { 0 };

	kv_vec_push(a, &argv, kv_strdup(a, "bash"));
	kv_vec_push(a, &argv, kv_strdup(a, "-c"));
	kv_vec_push(a, &argv, kv_strdup(a, text));
	return start(a, name, &argv, envs, logs, ret, err);
}

bool kv_steps_reap(struct kv_running *v, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		struct kv_running *r = &v[i];
		int status;

		if (r->state != KV_STEP_RUNNING || waitpid(r->pid, &status, WNOHANG) != r->pid)
			continue;
		any = true;
		r->ended_ns = kv_steps_now();
		r->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		r->state = r->told ? KV_STEP_STOPPED : r->status ? KV_STEP_FAILED : KV_STEP_DONE;
	}
	return any;
}

size_t kv_steps_alive(const struct kv_running *v, size_t n)
{
	size_t alive = 0;

	for (size_t i = 0; i < n; i++)
		alive += v[i].state == KV_STEP_RUNNING;
	return alive;
}

int kv_ask(struct kv_arena *a, const kv_strv *argv, const char **ret)
{
	const struct kv_env *const none[2] = { NULL, NULL };
	_buf_ struct kv_buf out = { 0 };
	kv_strv words = { 0 };
	int fds[2], status = 0;
	char buf[65536];
	ssize_t n;
	pid_t pid;

	for (size_t i = 0; i < argv->n; i++)
		kv_vec_push(a, &words, argv->v[i]);
	kv_vec_push(a, &words, NULL);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become(words.v, none, fds[1], -1);
	close(fds[1]);
	while (pid > 0 && ((n = read(fds[0], buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0 && out.n < MAX_ANSWER)
			kv_buf_add(&out, buf, (size_t)n);
	close(fds[0]);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret = kv_strdup(a, out.text ? out.text : "");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool kv_step_lost_node(struct kv_arena *a, const struct kv_running *r, const char *logs)
{
	struct kv_span text;

	return r->step &&
	       kv_read_file(a, kv_strf(a, "%s/%s.srun", logs, r->name), MAX_ANSWER, &text, NULL) ==
		       0 &&
	       kv_span_find(text, 0, "Node failure on", strlen("Node failure on")) < text.n;
}

static void push(struct kv_arena *a, kv_strv *v, const char *s)
{
	kv_vec_push(a, v, kv_strdup(a, s));
}

/* Adds the ids of the steps that are ours and run: their names are those of sruns that live. */
static void find_ids(struct kv_arena *a, const struct kv_running *v, size_t n, kv_strv *ret)
{
	const char *job = getenv("SLURM_JOB_ID"), *text = "";
	kv_strv argv = { 0 };

	push(a, &argv, "squeue");
	push(a, &argv, "--steps");
	push(a, &argv, "--noheader");
	push(a, &argv, kv_strf(a, "--jobs=%s", job ? job : "0"));
	push(a, &argv, "--format=%i %j");
	if (kv_ask(a, &argv, &text) != 0)
		return;
	while (*text) {
		size_t len = strcspn(text, "\n"), id = strcspn(text, " ");
		const char *name = id < len ? kv_strndup(a, text + id + 1, len - id - 1) : "";

		for (size_t i = 0; i < n; i++)
			if (v[i].state == KV_STEP_RUNNING &&
			    kv_streq(name, kv_strf(a, "kvpath.%s", v[i].name)))
				kv_vec_push(a, ret, kv_strndup(a, text, id));
		text += len + (text[len] == '\n');
	}
}

void kv_steps_tell(struct kv_arena *a, struct kv_running *v, size_t n, bool hard)
{
	kv_strv argv = { 0 };
	const char *out;
	size_t words;

	if (!kv_steps_alive(v, n))
		return;
	push(a, &argv, "scancel");
	push(a, &argv, hard ? "--signal=KILL" : "--signal=TERM");
	words = argv.n;
	find_ids(a, v, n, &argv);
	for (size_t i = 0; i < n; i++) {
		v[i].told |= v[i].state == KV_STEP_RUNNING;
		/* On this machine alone; or srun, where asking nicely did not help. */
		if (v[i].state == KV_STEP_RUNNING && (hard || !v[i].step))
			(void)kill(-v[i].pid, SIGTERM);
	}
	if (argv.n > words)
		(void)kv_ask(a, &argv, &out);
}

const char *kv_down_node(struct kv_arena *a, const kv_strv *nodes)
{
	const char *text = "";
	kv_strv argv = { 0 };

	push(a, &argv, "sinfo");
	push(a, &argv, "--noheader");
	push(a, &argv, "--Node");
	push(a, &argv, "--states=down");
	push(a, &argv, "--format=%N");
	push(a, &argv, kv_cat(a, "--nodes=", kv_launch_names(a, nodes, 0, nodes->n)));
	if (!nodes->n || kv_ask(a, &argv, &text) != 0 || !*text)
		return NULL;
	return kv_strndup(a, text, strcspn(text, "\n "));
}

const char *kv_node_address(struct kv_arena *a, const char *line, const char *name)
{
	const char *at = strstr(line, " NodeAddr=");
	size_t n;

	at = at ? at + strlen(" NodeAddr=") : "";
	n = strcspn(at, " ");
	return n && !memchr(at, ':', n) ? kv_strndup(a, at, n) : name;
}
