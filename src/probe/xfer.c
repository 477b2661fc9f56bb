/*
 * `kvpath-probe xfer`: two agents in two processes, forked before anything is opened. This process
 * opens nothing itself; it waits, kills what outlives the deadline, and prints what was proven.
 */
#include <errno.h>
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

#include "probe/probe.h"

#define ALARM_SLACK_S 5 /* an agent's own last resort, should this process be gone */

struct pair {
	struct probe_report *rep; /* one per role, shared with the children */
	int pid[_PROBE_ROLES], status[_PROBE_ROLES];
	bool killed;
};

static bool both_done(void *arg)
{
	const struct pair *p = arg;

	return p->rep[PROBE_TARGET].done && p->rep[PROBE_INITIATOR].done;
}

static void child_run(const struct probe_plan *plan, enum probe_role role, const int link[2],
		      pid_t parent, const sigset_t *mask, struct probe_report *rep)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(PROBE_EXIT_FAILED);
	sigprocmask(SIG_SETMASK, mask, NULL);
	alarm(plan->deadline_s + ALARM_SLACK_S);
	/* Libraries print on stdout too; that one is for the report alone. */
	dup2(STDERR_FILENO, STDOUT_FILENO);
	close(link[!role]);
	probe_agent_run(plan, role, link[role], rep);
	/* No exit handlers: those of half-torn-down plugins crash, and nothing is left to be done.
	 */
	_exit(PROBE_EXIT_OK);
}

static int pair_start(struct pair *p, const struct probe_plan *plan)
{
	pid_t self = getpid();
	sigset_t chld, old;
	int link[2];

	p->rep = mmap(NULL, _PROBE_ROLES * sizeof(*p->rep), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->rep == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) < 0) {
		fprintf(stderr, "kvpath-probe: mmap or socketpair: %s\n", strerror(errno));
		return -1;
	}
	/* Blocked, so that sigtimedwait(2) in probe_reap sees it. */
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	for (int role = 0; role < _PROBE_ROLES; role++) {
		p->pid[role] = fork();
		if (p->pid[role] == 0)
			child_run(plan, (enum probe_role)role, link, self, &old, &p->rep[role]);
		if (p->pid[role] < 0)
			probe_fail(&p->rep[role], PROBE_CAUSE_ENVIRONMENT, "fork: %s",
				   strerror(errno));
	}
	close(link[0]);
	close(link[1]);
	return 0;
}

static void put_bool(FILE *out, const char *key, bool value)
{
	fprintf(out, ",\"%s\":%s", key, value ? "true" : "false");
}

static void put_plan(FILE *out, const struct probe_plan *plan)
{
	fputs("{\"schema\":\"kvpath.probe/1\",\"via\":\"capi\",\"capi\":", out);
	probe_json_str(out, plan->capi);
	fputs(",\"backend\":", out);
	probe_json_str(out, plan->backend);
	fprintf(out,
		",\"mem\":\"%s\",\"op\":\"%s\",\"register\":\"%s\",\"bytes\":%llu,\"descs\":%llu,"
		"\"seed\":%llu",
		plan->vram ? "vram" : "dram", plan->read ? "read" : "write",
		plan->each ? "each" : "whole", (unsigned long long)plan->bytes,
		(unsigned long long)(plan->bytes < PROBE_MAX_DESCS ? plan->bytes : PROBE_MAX_DESCS),
		(unsigned long long)(plan->seed >> 11)); /* 53 bits survive every JSON reader */
}

/* Bytes count as moved where both sides say so: completion, notification, and the check. */
static bool pair_print(const struct pair *p, const struct probe_plan *plan, FILE *out)
{
	const struct probe_report *t = &p->rep[PROBE_TARGET], *i = &p->rep[PROBE_INITIATOR];
	bool intact = t->intact && i->intact && t->notified && i->completed;
	const struct probe_report *bad = intact ? NULL : &p->rep[probe_culprit(p->rep)];

	put_plan(out, plan);
	put_bool(out, "loads", t->loads && i->loads);
	put_bool(out, "instantiates", t->instantiates && i->instantiates);
	put_bool(out, "registers", t->registers && i->registers);
	put_bool(out, "moves", t->notified && i->completed);
	put_bool(out, "intact", intact);
	fprintf(out, ",\"elapsed_us\":%llu", (unsigned long long)i->elapsed_us);
	fputs(",\"cause\":", out);
	probe_json_str(out, bad ? probe_cause_name(bad->cause) : NULL);
	fputs(",\"agent\":", out);
	probe_json_str(out, bad ? probe_role_name((enum probe_role)(bad == i)) : NULL);
	fputs(",\"call\":", out);
	probe_json_str(out, bad ? bad->call : NULL);
	fputs(",\"error\":", out);
	probe_json_str(out, bad ? bad->error : NULL);
	/* Worth knowing even then: a serving process would die or hang at its end. */
	put_bool(out, "clean_end", !p->killed && p->status[0] == 0 && p->status[1] == 0);
	fputs("}\n", out);
	return intact;
}

static bool choice(const char *s, const char *no, const char *yes, const char *name)
{
	if (!strcmp(s, no))
		return false;
	if (!strcmp(s, yes))
		return true;
	fprintf(stderr, "kvpath-probe: %s %s: must be %s or %s\n", name, s, no, yes);
	exit(PROBE_EXIT_USAGE);
}

static int parse(int argc, char **argv, struct probe_plan *plan)
{
	static const struct option options[] = {
		{ "capi", required_argument, NULL, 'c' },
		{ "backend", required_argument, NULL, 'b' },
		{ "mem", required_argument, NULL, 'm' },
		{ "bytes", required_argument, NULL, 'n' },
		{ "deadline", required_argument, NULL, 'd' },
		{ "op", required_argument, NULL, 'o' },
		{ "gpu", required_argument, NULL, 'g' },
		{ "register", required_argument, NULL, 'r' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			plan->capi = optarg;
		else if (c == 'b')
			plan->backend = optarg;
		else if (c == 'm')
			plan->vram = choice(optarg, "dram", "vram", "--mem");
		else if (c == 'n')
			plan->bytes = probe_number(optarg, 1, PROBE_MAX_BYTES, "--bytes");
		else if (c == 'd')
			plan->deadline_s = (unsigned)probe_number(optarg, 1, 3600, "--deadline");
		else if (c == 'o')
			plan->read = choice(optarg, "write", "read", "--op");
		else if (c == 'g')
			plan->gpu = (unsigned)probe_number(optarg, 0, 255, "--gpu");
		else if (c == 'r')
			plan->each = choice(optarg, "whole", "each", "--register");
		else
			return -1;
	}
	return optind == argc && plan->capi && plan->backend ? 0 : -1;
}

int probe_xfer(int argc, char **argv, FILE *out)
{
	struct probe_plan plan = { .bytes = 1 << 20, .deadline_s = 30 };
	struct pair p = { 0 };

	if (parse(argc, argv, &plan) < 0) {
		fputs("usage: kvpath-probe xfer --capi PATH --backend NAME [--mem dram|vram] "
		      "[--bytes N]\n"
		      "                         [--deadline SECONDS] [--op write|read] [--gpu N]\n"
		      "                         [--register whole|each]\n",
		      stderr);
		return PROBE_EXIT_USAGE;
	}
	plan.end_ns = probe_now_ns() + plan.deadline_s * UINT64_C(1000000000);
	if (getrandom(&plan.seed, sizeof(plan.seed), GRND_NONBLOCK) != sizeof(plan.seed))
		plan.seed = probe_now_ns() << 11; /* any seed will do, this one is not yet random */
	plan.seed &= ~UINT64_C(0x7ff);
	if (pair_start(&p, &plan) < 0)
		return PROBE_EXIT_FAILED;
	probe_reap(p.pid, p.status, _PROBE_ROLES, plan.end_ns, both_done, &p, &p.killed);
	for (int role = 0; role < _PROBE_ROLES; role++)
		probe_blame(&p.rep[role], p.status[role], p.killed, plan.deadline_s);
	return pair_print(&p, &plan, out) ? PROBE_EXIT_OK : PROBE_EXIT_FAILED;
}
