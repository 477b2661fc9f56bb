/*
 * `kvpath-probe bench`: one engine, the tests asked for, two workers forked before anything is
 * opened; or one of the two, with a connection to the other one's host as its standard input. This
 * process opens nothing itself: it waits, kills what outlives the deadline, and ends the output
 * with a line that says how it went.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/bench/bench.h"

#define ALARM_SLACK_S 5 /* a worker's own last resort, should this process be gone */

struct job {
	struct bench_spec spec;
	struct bench_libs libs;
	struct bench_order order;
	unsigned gpu[_PROBE_ROLES];
	bool write, read;
	bool remote;
	enum probe_role role; /* of the only worker, where the other one is remote */
	struct {
		uint64_t count, size;
	} shape[BENCH_MAX_TESTS];
	size_t n_shapes;

	struct bench_shared *shared;
	int pid[_PROBE_ROLES], status[_PROBE_ROLES];
	bool killed;
	uint64_t end_ns;
};

static bool both_done(void *arg)
{
	const struct job *j = arg;

	if (j->remote)
		return j->shared->rep[j->role].done;
	return j->shared->rep[PROBE_TARGET].done && j->shared->rep[PROBE_INITIATOR].done;
}

static void child_run(struct job *j, enum probe_role role, const int link[2], pid_t parent,
		      const sigset_t *mask)
{
	struct bench_side s = {
		.spec = j->spec,
		.libs = j->libs,
		.role = role,
		.rep = &j->shared->rep[role],
		.shared = j->shared,
		.remote = j->remote,
		.link = link[role],
		.plan = { .vram = j->spec.vram,
			  .gpu = j->gpu[role],
			  .deadline_s = (unsigned)j->spec.deadline_s,
			  .end_ns = j->end_ns },
	};
	int out;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(PROBE_EXIT_FAILED);
	sigprocmask(SIG_SETMASK, mask, NULL);
	alarm((unsigned)j->spec.deadline_s + ALARM_SLACK_S);
	/* Libraries print on stdout too; that one is for results alone. */
	out = dup(STDOUT_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	if (!j->remote)
		close(link[!role]);
	j->order.out = out < 0 ? NULL : fdopen(out, "w");
	if (!j->order.out)
		_exit(PROBE_EXIT_FAILED);
	bench_worker(&s, &j->order);
	/* No exit handlers: those of half-torn-down plugins crash. */
	_exit(PROBE_EXIT_OK);
}

/* Both ends of a pair, or the connection that is the standard input. */
static int link_open(const struct job *j, int ret[2])
{
	int null;

	ret[0] = ret[1] = -1;
	if (!j->remote)
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret);
	ret[j->role] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return ret[j->role] < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ? -1 : 0;
}

static void link_close(const int link[2])
{
	for (int role = 0; role < _PROBE_ROLES; role++)
		if (link[role] >= 0)
			close(link[role]);
}

static int job_start(struct job *j)
{
	pid_t self = getpid();
	sigset_t chld, old;
	int link[2];

	j->shared = mmap(NULL, sizeof(*j->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (j->shared == MAP_FAILED || link_open(j, link) < 0) {
		fprintf(stderr, "kvpath-probe: mmap or the link: %s\n", strerror(errno));
		return -1;
	}
	/* Blocked, so that sigtimedwait(2) in probe_reap sees it. */
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	for (int role = 0; role < _PROBE_ROLES; role++) {
		if (j->remote && role != (int)j->role)
			continue;
		j->pid[role] = fork();
		if (j->pid[role] == 0)
			child_run(j, (enum probe_role)role, link, self, &old);
		if (j->pid[role] < 0)
			probe_fail(&j->shared->rep[role], PROBE_CAUSE_ENVIRONMENT, "fork: %s",
				   strerror(errno));
	}
	link_close(link);
	return 0;
}

static bool job_print(const struct job *j, FILE *out)
{
	const struct probe_report *rep = j->shared->rep;
	enum probe_role side = j->remote ? j->role : probe_culprit(rep);
	bool good = j->remote ? rep[side].intact
			      : rep[PROBE_TARGET].intact && rep[PROBE_INITIATOR].intact;
	const struct probe_report *bad = good ? NULL : &rep[side];
	const struct probe_report *other = &rep[j->remote ? side : !side];

	fputs("{\"schema\":\"kvpath.probe-bench/1\",\"kind\":\"end\",\"engine\":", out);
	probe_json_str(out, j->spec.engine);
	fprintf(out, ",\"good\":%s,\"tests\":%llu,\"finished\":%llu", good ? "true" : "false",
		(unsigned long long)j->spec.n_tests,
		(unsigned long long)atomic_load(&j->shared->finished));
	fprintf(out, ",\"loads\":%s,\"instantiates\":%s,\"registers\":%s",
		other->loads && rep[side].loads ? "true" : "false",
		other->instantiates && rep[side].instantiates ? "true" : "false",
		other->registers && rep[side].registers ? "true" : "false");
	fputs(",\"cause\":", out);
	probe_json_str(out, bad ? probe_cause_name(bad->cause) : NULL);
	fputs(",\"side\":", out);
	probe_json_str(out, bad ? probe_role_name(side) : NULL);
	fputs(",\"call\":", out);
	probe_json_str(out, bad ? bad->call : NULL);
	fputs(",\"error\":", out);
	probe_json_str(out, bad ? bad->error : NULL);
	/* For who has the other side's line beside this one. */
	fprintf(out, ",\"echo\":%s,\"hung\":%s", bad && probe_is_echo(bad) ? "true" : "false",
		bad && bad->hung ? "true" : "false");
	fprintf(out, ",\"clean_end\":%s}\n",
		!j->killed && j->status[0] == 0 && j->status[1] == 0 ? "true" : "false");
	return good;
}

static void add_shape(struct job *j, const char *s)
{
	char *x = NULL, *end = NULL;
	unsigned long long count = probe_strtoull(s, &x, 10),
			   size = *x == 'x' ? probe_strtoull(x + 1, &end, 10) : 0;

	if (j->n_shapes == BENCH_MAX_TESTS / 2 || strspn(s, "0123456789x") != strlen(s) || !end ||
	    *end || !count || !size || count > BENCH_MAX_COUNT || size > BENCH_MAX_BUFFER / count) {
		fprintf(stderr, "kvpath-probe: --shape %s: COUNTxBYTES is expected, at most %d\n",
			s, BENCH_MAX_TESTS / 2);
		exit(PROBE_EXIT_USAGE);
	}
	j->shape[j->n_shapes].count = count;
	j->shape[j->n_shapes++].size = size;
}

static void add_ops(struct job *j, const char *s)
{
	j->write = strcmp(s, "read") != 0;
	j->read = strcmp(s, "write") != 0;
	if (!j->write && !j->read)
		probe_number(s, 1, 0, "--op");
}

static void take_progress(struct job *j, const char *s)
{
	j->spec.no_thread = strcmp(s, "none") == 0;
	if (!j->spec.no_thread && strcmp(s, "thread") != 0)
		probe_number(s, 1, 0, "--progress");
}

static void take_remote(struct job *j, const char *s)
{
	j->remote = true;
	j->role = strcmp(s, "target") == 0 ? PROBE_TARGET : PROBE_INITIATOR;
	if (strcmp(s, probe_role_name(j->role)) != 0)
		probe_number(s, 1, 0, "--remote");
}

static void take(struct job *j, int c, const char *v)
{
	if (c == 'e')
		snprintf(j->spec.engine, sizeof(j->spec.engine), "%s", v);
	else if (c == 's')
		add_shape(j, v);
	else if (c == 'o')
		add_ops(j, v);
	else if (c == 'm')
		j->spec.vram = strcmp(v, "vram") == 0;
	else if (c == 'g')
		j->gpu[PROBE_INITIATOR] = (unsigned)probe_number(v, 0, 255, "--gpu");
	else if (c == 'G')
		j->gpu[PROBE_TARGET] = (unsigned)probe_number(v, 0, 255, "--peer-gpu");
	else if (c == 'i')
		j->order.iters = probe_number(v, 1, BENCH_MAX_ITERS, "--iters");
	else if (c == 'a')
		j->order.again = probe_number(v, 1, BENCH_MAX_ITERS, "--again");
	else if (c == 'O')
		j->order.overhead = probe_number(v, 1, 100000, "--overhead");
	else if (c == 'w')
		j->order.warmup = probe_number(v, 0, BENCH_MAX_ITERS, "--warmup");
	else if (c == 'S')
		j->order.seconds = (double)probe_number(v, 1, 86400000, "--ms") / 1000.0;
	else if (c == 'b')
		j->spec.buffer = probe_number(v, 1, BENCH_MAX_BUFFER, "--buffer");
	else if (c == 'd')
		j->spec.deadline_s = probe_number(v, 1, 86400, "--deadline");
	else if (c == 'c')
		j->libs.capi = v;
	else if (c == 'f')
		j->libs.fabric = v;
	else if (c == 'u')
		j->libs.ucp = v;
	else if (c == 'p')
		take_progress(j, v);
	else if (c == 'F')
		j->spec.fresh = 1;
	else if (c == 'N')
		j->spec.no_notify = 1;
	else if (c == 'r')
		take_remote(j, v);
}

/* Each shape in each direction, with as many slots as the buffer has room for. */
static void make_tests(struct job *j)
{
	uint64_t need = 0;

	for (size_t i = 0; i < j->n_shapes; i++)
		if (need < j->shape[i].count * j->shape[i].size)
			need = j->shape[i].count * j->shape[i].size;
	if (j->spec.buffer < need)
		j->spec.buffer = need;
	for (size_t i = 0; i < 2 * j->n_shapes; i++) {
		uint64_t count = j->shape[i / 2].count, size = j->shape[i / 2].size;
		uint64_t slots = j->spec.buffer / (count * size);

		if (!(i % 2 ? j->read : j->write))
			continue;
		if (slots > BENCH_MAX_SLOTS)
			slots = BENCH_MAX_SLOTS;
		j->spec.test[j->spec.n_tests++] = (struct bench_test){ count, size, slots, i % 2 };
	}
}

static int parse(int argc, char **argv, struct job *j)
{
	static const struct option options[] = {
		{ "engine", required_argument, NULL, 'e' },
		{ "shape", required_argument, NULL, 's' },
		{ "op", required_argument, NULL, 'o' },
		{ "mem", required_argument, NULL, 'm' },
		{ "gpu", required_argument, NULL, 'g' },
		{ "peer-gpu", required_argument, NULL, 'G' },
		{ "iters", required_argument, NULL, 'i' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "again", required_argument, NULL, 'a' },
		{ "overhead", required_argument, NULL, 'O' },
		{ "ms", required_argument, NULL, 'S' },
		{ "buffer", required_argument, NULL, 'b' },
		{ "deadline", required_argument, NULL, 'd' },
		{ "capi", required_argument, NULL, 'c' },
		{ "fabric", required_argument, NULL, 'f' },
		{ "ucp", required_argument, NULL, 'u' },
		{ "progress", required_argument, NULL, 'p' },
		{ "fresh", no_argument, NULL, 'F' },
		{ "no-notify", no_argument, NULL, 'N' },
		{ "remote", required_argument, NULL, 'r' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return -1;
		take(j, c, optarg);
	}
	make_tests(j);
	/* A target is told over the link. */
	if (j->remote && j->role == PROBE_TARGET)
		return optind == argc ? 0 : -1;
	return optind == argc && j->spec.engine[0] && j->spec.n_tests ? 0 : -1;
}

int probe_bench(int argc, char **argv, FILE *out)
{
	static struct job j = { .spec = { .buffer = UINT64_C(64) << 20, .deadline_s = 60 },
				.order = { .iters = 1000, .warmup = 10, .again = 1, .seconds = 2 },
				.write = true };

	if (parse(argc, argv, &j) < 0) {
		fputs("usage: kvpath-probe bench --engine E --shape COUNTxBYTES... [--op "
		      "write|read|"
		      "both] [--mem dram|vram]\n"
		      "                          [--gpu N] [--peer-gpu N] [--iters N] [--warmup N] "
		      "[--again N] [--overhead ROUNDS] "
		      "[--ms N] [--buffer BYTES]\n"
		      "                          [--deadline SECONDS] [--capi PATH] [--fabric "
		      "PATH] "
		      "[--ucp PATH] [--progress thread|none] [--fresh] [--no-notify] [--remote "
		      "target|initiator <SOCKET]\n",
		      stderr);
		return PROBE_EXIT_USAGE;
	}
	j.end_ns = probe_now_ns() + j.spec.deadline_s * UINT64_C(1000000000);
	if (getrandom(&j.spec.seed, sizeof(j.spec.seed), GRND_NONBLOCK) != sizeof(j.spec.seed))
		j.spec.seed = probe_now_ns();
	if (job_start(&j) < 0)
		return PROBE_EXIT_FAILED;
	probe_reap(j.pid, j.status, _PROBE_ROLES, j.end_ns, both_done, &j, &j.killed);
	for (int role = 0; role < _PROBE_ROLES; role++)
		if (!j.remote || role == (int)j.role)
			probe_blame(&j.shared->rep[role], j.status[role], j.killed,
				    (unsigned)j.spec.deadline_s);
	return job_print(&j, out) ? PROBE_EXIT_OK : PROBE_EXIT_FAILED;
}
