/*
 * kvpath-probe: the small dynamic program that does, inside a target, what a serving process would
 * do.
 *
 * It links libc alone: a SONAME linked here would count as loaded and hide that a plugin misses it.
 * Whatever it needs is dlopen'ed, in a child process, so that a plugin that aborts or hangs ends
 * that child and not the report. The report is one JSON object on stdout; everything that the
 * opened libraries print, on stdout too, goes to stderr.
 */
#ifndef KV_PROBE_PROBE_H
#define KV_PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PROBE_EXIT_OK     0
#define PROBE_EXIT_FAILED 1
#define PROBE_EXIT_USAGE  2

#define PROBE_MAX_DESCS 16
#define PROBE_MAX_BYTES (UINT64_C(1) << 34)

/* What is asked for on the command line, and the seed that both agents share. */
struct probe_plan {
	const char *capi, *backend;
	bool vram, read;
	bool each; /* register every descriptor by itself, not the buffer as a whole */
	unsigned gpu, deadline_s;
	uint64_t bytes, seed;
	uint64_t end_ns; /* CLOCK_MONOTONIC when every wait is over */
};

enum probe_role { PROBE_TARGET, PROBE_INITIATOR, _PROBE_ROLES };

/* Why an agent failed; the caller's verdict hangs on it. */
enum probe_cause {
	PROBE_CAUSE_NONE,
	PROBE_CAUSE_NIXL,        /* NIXL, its plugin or the loader said no */
	PROBE_CAUSE_ENVIRONMENT, /* no GPU, no memory: nothing was learned about the backend */
	PROBE_CAUSE_CORRUPT,     /* bytes arrived changed, or where they do not belong */
	PROBE_CAUSE_DEADLINE,
	PROBE_CAUSE_CRASH,   /* killed by a signal, or exited inside a call */
	PROBE_CAUSE_LIBRARY, /* libfabric or libucp said no */
	PROBE_CAUSE_PEER,    /* only because the other agent ended */
	_PROBE_CAUSES,
};

/* Lives in memory shared with the parent, so that it tells how far a killed agent came. */
struct probe_report {
	bool loads, instantiates, registers, completed, notified, intact, done;
	bool peers; /* the failure is the other side's, as it told */
	bool hung;  /* it did not see the deadline itself: what it did then never returned */
	enum probe_cause cause;
	uint64_t elapsed_us;
	char doing[128]; /* the call in progress */
	char call[128];  /* the one that failed */
	char error[1024];
};

const char *probe_role_name(enum probe_role role);
const char *probe_cause_name(enum probe_cause cause);

/* Records the first failure of an agent; later ones are only its echo. Always returns -1. */
int probe_fail(struct probe_report *rep, enum probe_cause cause, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What the wait status adds to the report of one that did not say itself why it ended. */
void probe_blame(struct probe_report *rep, int status, bool killed, unsigned deadline_s);
/* Whether it has nothing of its own to say. */
bool probe_is_echo(const struct probe_report *rep);
/* Whose failure came first: not the one that only echoes the other's. rep holds both. */
enum probe_role probe_culprit(const struct probe_report *rep);
/*
 * strtoull(). Since 2.38 glibc's headers lead that name to a symbol that older ones lack, and the
 * probe runs in any container: this is the one that all have. It does not know "0b".
 */
unsigned long long probe_strtoull(const char *s, char **end, int base) __asm__("strtoull");
/* The value of an option; ends the process where it is none from min to max. */
uint64_t probe_number(const char *s, uint64_t min, uint64_t max, const char *option);

uint64_t probe_now_ns(void);
/* Milliseconds left for poll(2), at least 0, at most cap. */
int probe_left_ms(const struct probe_plan *plan, int cap);

/* One agent, from its first dlopen to its end; runs in its own process. */
void probe_agent_run(const struct probe_plan *plan, enum probe_role role, int link_fd,
		     struct probe_report *rep);

/* Waits for n children until end_ns (shortened by *settled), then kills them. st[i] is the wait
 * status. */
void probe_reap(const int *pids, int *st, size_t n, uint64_t end_ns, bool (*settled)(void *),
		void *arg, bool *ret_killed);

int probe_xfer(int argc, char **argv, FILE *out);
int probe_bench(int argc, char **argv, FILE *out);
int probe_resolve(int argc, char **argv, FILE *out);

/* s as a JSON string, or null. Bytes that are no UTF-8 appear as the code points of the same
 * number. */
void probe_json_str(FILE *out, const char *s);

#endif
