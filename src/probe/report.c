/* The report's names, the first-failure rule, time, and the end of children. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "probe/probe.h"

#define SETTLED_NS UINT64_C(5000000000) /* for the clean-up, once all results are in */
#define SLICE_NS   50000000L

const char *probe_role_name(enum probe_role role)
{
	return role == PROBE_TARGET ? "target" : "initiator";
}

const char *probe_cause_name(enum probe_cause cause)
{
	static const char *const names[_PROBE_CAUSES] = {
		[PROBE_CAUSE_NONE] = "unknown",
		[PROBE_CAUSE_NIXL] = "nixl",
		[PROBE_CAUSE_ENVIRONMENT] = "environment",
		[PROBE_CAUSE_CORRUPT] = "corrupt",
		[PROBE_CAUSE_DEADLINE] = "deadline",
		[PROBE_CAUSE_CRASH] = "crash",
		[PROBE_CAUSE_LIBRARY] = "library",
		[PROBE_CAUSE_PEER] = "peer",
	};

	return cause < _PROBE_CAUSES ? names[cause] : "unknown";
}

int probe_fail(struct probe_report *rep, enum probe_cause cause, const char *fmt, ...)
{
	va_list ap;

	if (rep->cause)
		return -1;
	rep->cause = cause;
	memcpy(rep->call, rep->doing, sizeof(rep->call));
	va_start(ap, fmt);
	vsnprintf(rep->error, sizeof(rep->error), fmt, ap);
	va_end(ap);
	return -1;
}

void probe_blame(struct probe_report *rep, int status, bool killed, unsigned deadline_s)
{
	rep->call[sizeof(rep->call) - 1] = rep->error[sizeof(rep->error) - 1] = '\0';
	rep->doing[sizeof(rep->doing) - 1] = '\0';
	if (rep->done || rep->cause)
		return;
	rep->hung = WIFSIGNALED(status) && killed && WTERMSIG(status) == SIGKILL;
	if (rep->hung)
		probe_fail(rep, PROBE_CAUSE_DEADLINE, "deadline of %u s passed in %s", deadline_s,
			   rep->doing);
	else if (WIFSIGNALED(status))
		probe_fail(rep, PROBE_CAUSE_CRASH, "killed by signal %d (%s) in %s",
			   WTERMSIG(status), strsignal(WTERMSIG(status)), rep->doing);
	else
		probe_fail(rep, PROBE_CAUSE_CRASH, "exited with status %d in %s",
			   WEXITSTATUS(status), rep->doing);
}

bool probe_is_echo(const struct probe_report *rep)
{
	return rep->cause == PROBE_CAUSE_NONE || rep->cause == PROBE_CAUSE_PEER || rep->peers;
}

enum probe_role probe_culprit(const struct probe_report *rep)
{
	if (probe_is_echo(&rep[PROBE_TARGET]))
		return PROBE_INITIATOR;
	if (probe_is_echo(&rep[PROBE_INITIATOR]))
		return PROBE_TARGET;
	/* One that hangs is the cause, one that waited for it until the deadline is not. */
	if (rep[PROBE_TARGET].hung != rep[PROBE_INITIATOR].hung)
		return rep[PROBE_TARGET].hung ? PROBE_TARGET : PROBE_INITIATOR;
	/* One that is gone is the cause; what the other's library makes of that is not. */
	for (int role = 0; role < _PROBE_ROLES; role++)
		if (rep[role].cause == PROBE_CAUSE_CRASH && rep[!role].cause == PROBE_CAUSE_LIBRARY)
			return (enum probe_role)role;
	/* A target that waits in vain for what the initiator could not send is the symptom. */
	return rep[PROBE_TARGET].cause == PROBE_CAUSE_DEADLINE ? PROBE_INITIATOR : PROBE_TARGET;
}

uint64_t probe_number(const char *s, uint64_t min, uint64_t max, const char *option)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = probe_strtoull(s, &end, 10);
	if (s[0] >= '0' && s[0] <= '9' && !*end && !errno && v >= min && v <= max)
		return v;
	fprintf(stderr, "kvpath-probe: %s %s: must be a number from %llu to %llu\n", option, s,
		(unsigned long long)min, (unsigned long long)max);
	exit(PROBE_EXIT_USAGE);
}

uint64_t probe_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

int probe_left_ms(const struct probe_plan *plan, int cap)
{
	uint64_t now = probe_now_ns(), ms;

	if (now >= plan->end_ns)
		return 0;
	ms = (plan->end_ns - now + 999999) / 1000000;
	return ms < (uint64_t)cap ? (int)ms : cap;
}

static size_t reap_some(const int *pids, int *st, bool *gone, size_t n, int flags)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		pid_t r;

		if (gone[i] || pids[i] <= 0)
			continue;
		do
			r = waitpid(pids[i], &st[i], flags);
		while (r < 0 && errno == EINTR);
		gone[i] = r != 0;
		left += !gone[i];
	}
	return left;
}

void probe_reap(const int *pids, int *st, size_t n, uint64_t end_ns, bool (*settled)(void *),
		void *arg, bool *ret_killed)
{
	bool gone[_PROBE_ROLES] = { false }, shortened = false;
	const struct timespec slice = { .tv_nsec = SLICE_NS };
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	/* An agent sees the deadline itself and says more than its death would: a moment of grace.
	 */
	end_ns += UINT64_C(300000000);
	*ret_killed = false;
	while (reap_some(pids, st, gone, n, WNOHANG)) {
		if (!shortened && settled && settled(arg)) {
			shortened = true;
			if (end_ns > probe_now_ns() + SETTLED_NS)
				end_ns = probe_now_ns() + SETTLED_NS;
		}
		if (probe_now_ns() >= end_ns) {
			*ret_killed = true;
			for (size_t i = 0; i < n; i++)
				if (!gone[i] && pids[i] > 0)
					kill(pids[i], SIGKILL);
			reap_some(pids, st, gone, n, 0);
			return;
		}
		sigtimedwait(&chld, NULL, &slice);
	}
}
