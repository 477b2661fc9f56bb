/*
 * kvpath as a plugin of Slurm: srun --kvpath=check says which path a task's KV caches would take,
 * --kvpath=fix gives the task the environment that `kvpath run` gives its command. It runs kvpath
 * in a process of its own, where the task will run and as its user, right before the task starts (a
 * plugin that enters a container has to stand before this one), and links nothing of it.
 *
 * Whatever goes wrong here is a line for the user and never a failed job or a drained node, unless
 * the site asks for it with `strict`: then a task that is off the fabric does not start.
 *
 * plugstack.conf: optional kvpath_spank.so [default=check|fix|off] [kvpath=PATH] [deadline=SECONDS]
 * [strict]
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <slurm/spank.h>

/* What Slurm looks for by name; the rest is static. */
#pragma GCC visibility push(default)
SPANK_PLUGIN(kvpath, 1)

#define MAX_OUTPUT ((size_t)1 << 20)
#define SECOND_MS  1000

enum mode { MODE_OFF, MODE_CHECK, MODE_FIX, _MODE_COUNT };
static const char *const mode_names[_MODE_COUNT] = { "off", "check", "fix" };

static struct {
	enum mode mode;
	const char *kvpath;
	int fd; /* of the program: a container that is entered does not have it */
	int deadline_s;
	bool strict;
} site = { MODE_OFF, "/usr/bin/kvpath", -1, 20, false };

/* What a process of kvpath said. */
struct answer {
	int status; /* -1: it did not end well */
	char *out;
	size_t n;
};

static bool take_mode(const char *text)
{
	for (int i = 0; text && i < _MODE_COUNT; i++)
		if (strcmp(text, mode_names[i]) == 0) {
			site.mode = (enum mode)i;
			return true;
		}
	return false;
}

static int on_option(int val, const char *arg, int remote)
{
	(void)val;
	if (take_mode(arg))
		return ESPANK_SUCCESS;
	if (!remote)
		slurm_spank_log("kvpath: --kvpath=%s: check, fix or off is expected",
				arg ? arg : "");
	return ESPANK_BAD_ARG;
}

static struct spank_option option = {
	.name = "kvpath",
	.arginfo = "check|fix|off",
	.usage = "check which path the tasks' KV caches take, or repair it by environment",
	.has_arg = 1,
	.cb = on_option,
};

/* A wrong word of the site's is said in slurmd's log, and goes no further: no node is drained. */
static void take_argument(const char *arg)
{
	if (strncmp(arg, "default=", 8) == 0 && take_mode(arg + 8))
		return;
	if (strncmp(arg, "kvpath=", 7) == 0)
		site.kvpath = arg + 7;
	else if (strncmp(arg, "deadline=", 9) == 0 && atoi(arg + 9) > 0)
		site.deadline_s = atoi(arg + 9);
	else if (strcmp(arg, "strict") == 0)
		site.strict = true;
	else
		slurm_error("kvpath: plugstack.conf: unknown argument %s", arg);
}

int slurm_spank_init(spank_t sp, int ac, char **av)
{
	for (int i = 0; i < ac; i++)
		take_argument(av[i]);
	if (spank_context() == S_CTX_LOCAL || spank_context() == S_CTX_REMOTE ||
	    spank_context() == S_CTX_ALLOCATOR)
		(void)spank_option_register(sp, &option);
	return ESPANK_SUCCESS;
}

/* Before any other plugin can have entered a container. */
int slurm_spank_init_post_opt(spank_t sp, int ac, char **av)
{
	(void)sp;
	(void)ac;
	(void)av;
	if (spank_context() == S_CTX_REMOTE && site.mode != MODE_OFF)
		site.fd = open(site.kvpath, O_RDONLY | O_CLOEXEC);
	return ESPANK_SUCCESS;
}

/* ---- kvpath in a process of its own ---- */

static _Noreturn void become_kvpath(const char *const *args, char **env, int out)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDERR_FILENO);
	(void)dup2(out, STDOUT_FILENO);
	/* The program is static: nothing else of the host is needed. */
	(void)fexecve(site.fd, (char *const *)(uintptr_t)args, env);
	_exit(127);
}

static int left_ms(const struct timespec *end)
{
	struct timespec now;
	long left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = (long)(end->tv_sec - now.tv_sec) * SECOND_MS +
	       (end->tv_nsec - now.tv_nsec) / 1000000;
	return left > 0 ? (int)left : 0;
}

/* Reads to the end, or to the deadline. False where that came first. */
static bool read_answer(int fd, const struct timespec *end, struct answer *ret)
{
	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t n;

		if (ret->n >= MAX_OUTPUT || poll(&p, 1, left_ms(end)) == 0)
			return false;
		n = read(fd, ret->out + ret->n, MAX_OUTPUT - ret->n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		ret->n += (size_t)n;
	}
}

static void ask(const char *const *args, char **env, struct answer *ret)
{
	struct timespec end;
	int pipe_fds[2], status = 0;
	bool whole;
	pid_t pid;

	*ret = (struct answer){ .status = -1, .out = calloc(1, MAX_OUTPUT + 1) };
	if (!ret->out || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += site.deadline_s;
	pid = fork();
	if (pid == 0)
		become_kvpath(args, env, pipe_fds[1]);
	close(pipe_fds[1]);
	whole = pid > 0 && read_answer(pipe_fds[0], &end, ret);
	close(pipe_fds[0]);
	if (pid < 0)
		return;
	/* With whatever it has started: the group is its own. */
	if (!whole && kill(-pid, SIGKILL) < 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (whole && WIFEXITED(status))
		ret->status = WEXITSTATUS(status);
}

/* ---- what is done for a task ---- */

/* The last line: what kvpath check --quiet leaves. */
static const char *line_of(struct answer *a)
{
	char *end;

	while (a->n && (a->out[a->n - 1] == '\n' || a->out[a->n - 1] == ' '))
		a->out[--a->n] = '\0';
	end = strrchr(a->out, '\n');
	return end ? end + 1 : a->out;
}

static void say(spank_t sp, const char *text)
{
	char node[256] = "";
	int local = 0;

	/* One line for a node, not for each of its tasks. */
	if (spank_get_item(sp, S_TASK_ID, &local) != ESPANK_SUCCESS || local != 0)
		return;
	if (spank_getenv(sp, "SLURMD_NODENAME", node, sizeof(node)) != ESPANK_SUCCESS)
		(void)gethostname(node, sizeof(node) - 1);
	slurm_spank_log("kvpath: %s: %s", node, text);
}

static bool check(spank_t sp, char **env)
{
	static const char *const args[] = { "kvpath", "check", "--quiet", NULL };
	struct answer a;
	bool off;

	ask(args, env, &a);
	/* A program that says nothing was no check, whatever it ended with. */
	off = a.status == 1 && a.n;
	say(sp, a.status < 0 || !a.n ? "kvpath check did not end: the task starts unchecked"
				     : line_of(&a));
	free(a.out);
	return !off;
}

static bool fix(spank_t sp, char **env)
{
	static const char *const args[] = { "kvpath", "run", "--print", NULL };
	unsigned n = 0;
	struct answer a;
	char text[128];

	ask(args, env, &a);
	/* Pairs that each end with a NUL; one that was cut short is none. */
	for (size_t at = 0; a.status == 0 && at < a.n;) {
		size_t len = strnlen(a.out + at, a.n - at);
		char *pair = a.out + at, *value = memchr(pair, '=', len);

		at += len + 1;
		if (!value || value == pair || at > a.n)
			continue;
		*value++ = '\0';
		n += spank_setenv(sp, pair, value, /* overwrite= */ 1) == ESPANK_SUCCESS;
	}
	snprintf(text, sizeof(text), "repaired by environment, %u variables", n);
	say(sp, a.status == 0   ? n ? text : "nothing to repair"
		: a.status == 1 ? "the environment alone does not repair this: see kvpath check"
				: "kvpath run did not end well: the task starts as it is");
	free(a.out);
	return a.status != 1;
}

int slurm_spank_task_init(spank_t sp, int ac, char **av)
{
	char **env = NULL;
	bool good;

	(void)ac;
	(void)av;
	if (site.mode == MODE_OFF)
		return ESPANK_SUCCESS;
	if (site.fd < 0) {
		say(sp, "kvpath is not on this node: the task starts unchecked");
		return ESPANK_SUCCESS;
	}
	if (spank_get_item(sp, S_JOB_ENV, &env) != ESPANK_SUCCESS || !env) {
		say(sp, "the task's environment is not known: the task starts unchecked");
		return ESPANK_SUCCESS;
	}
	good = site.mode == MODE_FIX ? fix(sp, env) : check(sp, env);
	/* Slurm starts a task whatever this returns, unless it is negative. */
	return good || !site.strict ? ESPANK_SUCCESS : -1;
}
#pragma GCC visibility pop
