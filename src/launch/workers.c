/* Programs that bring others to their nodes. They end with this process, and it with none of them:
 * what they write tells how they end. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "launch/render.h"
#include "launch/workers.h"

static void child(char *const *argv, const kv_strv *env, int in, int out, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	for (size_t i = 0; i < env->n; i++)
		putenv(env->v[i]);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	kv_close_from(STDERR_FILENO + 1);
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void add(struct kv_arena *a, kv_strv *list, const char *word)
{
	kv_vec_push(a, list, kv_strdup(a, word));
}

int kv_workers_srun(struct kv_arena *a, const char *nodes, size_t n, const kv_strv *argv,
		    const kv_strv *env, pid_t *ret_pid, int *ret_fd, struct kv_err *err)
{
	/* A node that is lost, or a task that ends badly, ends none of the others. */
	static const char *const flags[] = { "srun",        "--ntasks-per-node=1",
					     "--no-kill",   "--kill-on-bad-exit=0",
					     "--wait=0",    "--overlap",
					     "--mpi=none",  "--input=none",
					     "--export=ALL" };
	_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	kv_strv words = { 0 };
	pid_t self = getpid();
	int out[2];

	for (size_t i = 0; i < KV_ARRAY_SIZE(flags); i++)
		add(a, &words, flags[i]);
	add(a, &words, kv_strf(a, "--nodes=%zu", n));
	add(a, &words, kv_strf(a, "--ntasks=%zu", n));
	add(a, &words, kv_strf(a, "--nodelist=%s", nodes));
	for (size_t i = 0; i < argv->n; i++)
		add(a, &words, argv->v[i]);
	kv_vec_push(a, &words, NULL);
	if (pipe2(out, O_CLOEXEC) < 0)
		return kv_err(err, -errno, "pipe: %s", strerror(errno));
	*ret_pid = fork();
	if (*ret_pid == 0)
		child(words.v, env, null, out[1], self);
	close(out[1]);
	*ret_fd = out[0];
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	if (*ret_pid > 0)
		return 0;
	close(out[0]);
	return kv_err(err, -EAGAIN, "fork: %s", strerror(errno));
}

/* What the other host's shell is to run. */
static const char *command_of(struct kv_arena *a, const kv_strv *argv, const kv_strv *env)
{
	const char *text = "exec env";

	for (size_t i = 0; i < env->n; i++)
		text = kv_strf(a, "%s %s", text, kv_shell_word(a, env->v[i]));
	for (size_t i = 0; i < argv->n; i++)
		text = kv_strf(a, "%s %s", text, kv_shell_word(a, argv->v[i]));
	return text;
}

int kv_workers_ssh(struct kv_arena *a, const char *shell, const char *host, const kv_strv *argv,
		   const kv_strv *env, pid_t *ret_pid, int *ret_fd, struct kv_err *err)
{
	static const kv_strv none = { 0 };
	char *copy = kv_strdup(a, shell), *save = NULL;
	kv_strv words = { 0 };
	pid_t self = getpid();
	int ends[2];

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		kv_vec_push(a, &words, w);
	add(a, &words, host);
	add(a, &words, command_of(a, argv, env));
	kv_vec_push(a, &words, NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return kv_err(err, -errno, "socketpair: %s", strerror(errno));
	*ret_pid = fork();
	if (*ret_pid == 0)
		child(words.v, &none, ends[1], ends[1], self);
	close(ends[1]);
	*ret_fd = ends[0];
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	if (*ret_pid > 0)
		return 0;
	close(ends[0]);
	return kv_err(err, -EAGAIN, "fork: %s", strerror(errno));
}
