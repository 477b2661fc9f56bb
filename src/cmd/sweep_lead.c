/* kvpath sweep where it was called: whose nodes they are, how workers get there, the state file. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/hostlist.h"
#include "cmd/sweep.h"
#include "launch/sweep_k8s.h"
#include "launch/workers.h"

#define HOSTS_MAX            ((size_t)4 << 20)
#define START_S              120 /* for all nodes to come and be checked */
#define KV_SWEEP_TOKEN_LEAST 16

static int expand(const struct kv_opts *o, const char *what, const char *text, kv_strv *ret)
{
	struct kv_err err = { 0 };

	if (kv_hostlist_expand(o->arena, text, ret, &err) < 0)
		return kv_fail(KV_STATUS_USAGE, "sweep: %s: %s", what, err.msg);
	return KV_STATUS_OK;
}

/* Names, or a file of them with comments. */
static int read_hosts(const struct kv_opts *o, kv_strv *ret)
{
	struct kv_err err = { 0 };
	struct kv_span text;
	char *at;

	if (access(o->hosts, F_OK) < 0 && !strchr(o->hosts, '/'))
		return expand(o, "--hosts", o->hosts, ret);
	if (kv_read_file(o->arena, o->hosts, HOSTS_MAX, &text, &err) < 0)
		return kv_fail(KV_STATUS_USAGE, "sweep: --hosts %s", err.msg);
	at = kv_strndup(o->arena, (const char *)text.p, text.n);
	for (char *p = at; (p = strchr(p, '#'));)
		memset(p, ' ', strcspn(p, "\n"));
	return expand(o, o->hosts, at, ret);
}

/* Those of an indexed Job are named as the first of them, which this is. */
static int pods(const struct kv_opts *o, kv_strv *ret)
{
	const char *own = kv_sweep_own_name(o->arena);

	if (!kv_ends(own, "-0"))
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: --await: %s is no name of a Job's first pod", own);
	for (uint64_t i = 0; i < o->await; i++)
		kv_vec_push(o->arena, ret,
			    kv_strf(o->arena, "%.*s%llu", (int)strlen(own) - 1, own,
				    (unsigned long long)i));
	return KV_STATUS_OK;
}

static int find_nodes(const struct kv_opts *o, kv_strv *ret, const char **ret_launcher)
{
	const char *slurm = getenv("SLURM_JOB_NODELIST");
	int r;

	*ret_launcher = o->await ? "kubernetes" : o->hosts ? "ssh" : "slurm";
	if (o->await)
		r = pods(o, ret);
	else if (o->hosts)
		r = read_hosts(o, ret);
	else if (slurm)
		r = expand(o, "SLURM_JOB_NODELIST", slurm, ret);
	else
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: this is no job of Slurm (salloc -N 8 kvpath sweep): --hosts "
			       "names the nodes");
	if (r == KV_STATUS_OK && !ret->n)
		return kv_fail(KV_STATUS_USAGE, "sweep: --hosts %s: no host", o->hosts);
	if (r == KV_STATUS_OK && o->hosts && ret->n > KV_WORKERS_SSH)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: %zu hosts: %d at most by remote shells; Slurm brings "
			       "workers to more",
			       ret->n, KV_WORKERS_SSH);
	return r;
}

/* ---- the state file ---- */

static int state_new(const struct kv_opts *o, const struct kv_sweep *s, FILE **ret)
{
	int fd;

	if (!o->state)
		return KV_STATUS_OK;
	fd = open(o->state, O_WRONLY | O_CREAT | O_CLOEXEC | (o->force ? O_TRUNC : O_EXCL), 0666);
	if (fd < 0)
		return kv_fail(errno == EEXIST ? KV_STATUS_USAGE : KV_STATUS_UNKNOWN,
			       errno == EEXIST ? "sweep: --state %s: %s (--resume goes on with it, "
						 "--force replaces it)"
					       : "sweep: --state %s: %s",
			       o->state, strerror(errno));
	*ret = fdopen(fd, "w");
	kv_sweep_state_head(*ret, s);
	return KV_STATUS_OK;
}

/* What could not be written on the way is known to the stream, and not to fclose(). */
static bool close_state(FILE *f)
{
	bool whole = !ferror(f);

	return fclose(f) != EOF && whole;
}

/* To go on behind the last whole line. */
static int state_reopen(const char *path, FILE **ret)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t n = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	char c = 0;

	while (n > 0 && pread(fd, &c, 1, n - 1) == 1 && c != '\n')
		n--;
	if (n < 0 || ftruncate(fd, n) < 0 || lseek(fd, n, SEEK_SET) < 0) {
		kv_closep(&fd);
		return kv_fail(KV_STATUS_UNKNOWN, "sweep: --resume %s: %s", path, strerror(errno));
	}
	*ret = fdopen(fd, "a");
	return KV_STATUS_OK;
}

static bool same_test(struct kv_sweep_test a, struct kv_sweep_test b)
{
	return kv_streq(a.engine, b.engine) && kv_streq(a.shape, b.shape) && kv_streq(a.op, b.op) &&
	       kv_streq(a.mem, b.mem) && kv_streq(a.target, b.target);
}

/* The nodes at hand have to be some of those of the sweep that is resumed. */
static int resume(const struct kv_opts *o, struct kv_sweep *s, const kv_strv *names,
		  bool **ret_here, FILE **ret)
{
	struct kv_err err = { 0 };
	int r = kv_sweep_state_read(o->arena, o->resume, s, &err);

	if (r < 0)
		return kv_fail(KV_STATUS_USAGE, "sweep: --resume %s", err.msg);
	if (!same_test(s->test, kv_sweep_test_of(o)))
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: --resume %s: its pairs were measured in another way: %s %s "
			       "of %s %s, target %s",
			       o->resume, s->test.engine, s->test.op, s->test.shape, s->test.mem,
			       s->test.target);
	*ret_here = kv_alloc(o->arena, s->n + 1);
	for (size_t i = 0; i < names->n; i++) {
		uint32_t node = kv_sweep_node_of(s, names->v[i]);

		if (node >= s->n)
			return kv_fail(KV_STATUS_USAGE, "sweep: --resume %s: it knows no node %s",
				       o->resume, names->v[i]);
		(*ret_here)[node] = true;
	}
	return state_reopen(o->resume, ret);
}

/* ---- workers ---- */

/* This very command: KV_SWEEP_JOIN makes it a worker. */
static kv_strv own_command(const struct kv_opts *o)
{
	kv_strv argv = { 0 };

	kv_vec_push(o->arena, &argv,
		    kv_strdup(o->arena, o->program ? o->program : kv_self_path(o->arena)));
	kv_vec_push(o->arena, &argv, kv_strdup(o->arena, "sweep"));
	for (char *const *p = o->argv; *p; p++)
		kv_vec_push(o->arena, &argv, *p);
	return argv;
}

static int start_srun(const struct kv_opts *o, const kv_strv *names, struct kv_sweep_lead *l)
{
	struct kv_sweep_start start = { .node = UINT32_MAX };
	struct kv_err err = { 0 };
	kv_strv argv = own_command(o), env = { 0 };
	uint16_t port;

	if (kv_sweep_gate(0, &l->gate, &port, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "sweep: %s", err.msg);
	kv_vec_push(o->arena, &env, kv_strf(o->arena, KV_SWEEP_JOIN "=:%u", port));
	kv_vec_push(o->arena, &env, kv_strf(o->arena, KV_SWEEP_TOKEN "=%s", l->token));
	if (kv_workers_srun(o->arena, kv_hostlist_compress(o->arena, names), names->n, &argv, &env,
			    &start.pid, &start.fd, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "sweep: %s", err.msg);
	kv_vec_push(o->arena, &l->starts, start);
	return KV_STATUS_OK;
}

static int start_ssh(const struct kv_opts *o, const kv_strv *names, struct kv_sweep_lead *l)
{
	kv_strv argv = own_command(o);

	for (size_t i = 0; i < names->n; i++) {
		struct kv_sweep_start start = { .worker = true };
		struct kv_err err = { 0 };
		kv_strv env = { 0 };

		start.node = kv_sweep_node_of(l->sweep, names->v[i]);
		kv_vec_push(o->arena, &env, kv_strdup(o->arena, KV_SWEEP_JOIN "=-"));
		kv_vec_push(o->arena, &env, kv_strf(o->arena, KV_SWEEP_NODE "=%s", names->v[i]));
		if (kv_workers_ssh(o->arena, o->ssh ? o->ssh : KV_SSH, names->v[i], &argv, &env,
				   &start.pid, &start.fd, &err) < 0)
			return kv_fail(KV_STATUS_UNKNOWN, "sweep: %s: %s", names->v[i], err.msg);
		kv_vec_push(o->arena, &l->starts, start);
	}
	return KV_STATUS_OK;
}

/* Others started the workers, but this pod's own. */
static int start_await(const struct kv_opts *o, struct kv_sweep_lead *l)
{
	const char *join = getenv(KV_SWEEP_JOIN), *token = getenv(KV_SWEEP_TOKEN);
	pid_t self = getpid(), pid;
	struct kv_err err = { 0 };
	uint16_t port;

	if (!token || strlen(token) < KV_SWEEP_TOKEN_LEAST)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: --await: " KV_SWEEP_TOKEN " is not set, or is short");
	l->token = token;
	if (kv_sweep_gate(kv_sweep_port(join), &l->gate, &port, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "sweep: %s", err.msg);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(l->gate);
		_exit(getppid() == self ? kv_sweep_worker_run(o, join) : KV_STATUS_UNKNOWN);
	}
	return pid > 0 ? KV_STATUS_OK
		       : kv_fail(KV_STATUS_UNKNOWN, "sweep: fork: %s", strerror(errno));
}

int kv_sweep_lead_run(struct kv_opts *o, struct kv_sweep *s, bool *ret_saved)
{
	char token[KV_SWEEP_TOKEN_HEX + 1];
	bool *here = NULL;
	struct kv_sweep_lead l = {
		.sweep = s,
		.token = token,
		.progress = isatty(STDERR_FILENO) && !o->quiet,
		.verbose = o->verbose,
		.deadline_s = o->deadline_s,
		.start_s = o->await ? KV_SWEEP_POD_S : START_S,
		.rounds = o->no_pairs ? 0
			  : o->rounds ? (uint32_t)o->rounds
				      : UINT32_MAX,
		.pairs = o->pairs ? o->pairs : UINT64_MAX,
		.gate = -1,
	};
	const char *launcher = NULL;
	struct kv_err err = { 0 };
	kv_strv names = { 0 };
	int r = find_nodes(o, &names, &launcher);

	if (r != KV_STATUS_OK)
		return r;
	if (o->resume) {
		r = resume(o, s, &names, &here, &l.state);
	} else {
		if (kv_sweep_init(s, o->arena, &names, &err) < 0)
			return kv_fail(KV_STATUS_USAGE, "sweep: %s", err.msg);
		s->launcher = launcher;
		s->test = kv_sweep_test_of(o);
		r = state_new(o, s, &l.state);
	}
	l.here = here;
	if (r == KV_STATUS_OK && kv_sweep_random(token) < 0)
		r = kv_fail(KV_STATUS_UNKNOWN, "sweep: no random numbers");
	if (r == KV_STATUS_OK)
		r = o->await   ? start_await(o, &l)
		    : o->hosts ? start_ssh(o, &names, &l)
			       : start_srun(o, &names, &l);
	if (r == KV_STATUS_OK && kv_sweep_lead(&l, &err) < 0)
		r = kv_fail(KV_STATUS_UNKNOWN, "sweep: %s", err.msg);
	/* What was measured is told all the same. */
	*ret_saved = !l.state || close_state(l.state);
	if (!*ret_saved)
		fprintf(stderr,
			"kvpath: sweep: %s could not be written whole: nothing can go on from it\n",
			kv_printable(o->arena, o->resume ? o->resume : o->state));
	return r;
}

int kv_sweep_k8s_run(struct kv_opts *o)
{
	char token[KV_SWEEP_TOKEN_HEX + 1];
	kv_strv args = { 0 };
	struct kv_sweep_k8s k = {
		.arena = o->arena,
		.nodes = (uint32_t)o->nodes,
		.container = o->container,
		.program = o->program ? o->program : kv_self_path(o->arena),
		.probe = kv_probe_path(o->arena),
		.token = token,
		.args = &args,
		.efa = (size_t)o->efa,
	};
	static const char *const own[] = { "--for", "--nodes", "--container", "--program",
					   "--efa" };

	if (!kv_streq(o->render_for, "k8s"))
		return kv_fail(KV_STATUS_USAGE, "sweep: --for %s: k8s is expected", o->render_for);
	if (!o->nodes || !o->container)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: --for k8s: --nodes N and --container IMAGE are expected");
	/* What is for the pods: all but what is for the Job. */
	for (char *const *p = o->argv; *p; p++) {
		bool skip = false;

		for (size_t i = 0; i < KV_ARRAY_SIZE(own); i++) {
			size_t n = strlen(own[i]);

			if (strncmp(*p, own[i], n) == 0 && (!(*p)[n] || (*p)[n] == '=')) {
				p += !(*p)[n];
				skip = true;
				break;
			}
		}
		if (!skip)
			kv_vec_push(o->arena, &args, *p);
	}
	if (kv_sweep_random(token) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "sweep: no random numbers");
	kv_sweep_k8s_print(stdout, &k);
	return KV_STATUS_OK;
}
