/*
 * The parts that kv_prove is made of. Reading and judging are pure; running is in sandbox.c and
 * spawn.c.
 */
#ifndef KV_PROVE_PARTS_H
#define KV_PROVE_PARTS_H

#include "prove/prove.h"

/* ---- what a process wrote (collect.c) ---- */

/* The beginning and the end of a stream; the middle of a long one is left out. */
struct kv_prove_text {
	struct kv_buf head, tail;
	uint64_t total;
};

#define KV_PROVE_HEAD_MAX ((size_t)64 << 10)  /* the provider is named at the start */
#define KV_PROVE_TAIL_MAX ((size_t)192 << 10) /* and the failure at the end */

void kv_prove_text_add(struct kv_prove_text *t, const void *bytes, size_t n);
/* NUL bytes become spaces; where the middle is missing a line of its own says so. */
char *kv_prove_text_get(struct kv_arena *a, const struct kv_prove_text *t);
void kv_prove_text_clear(struct kv_prove_text *t);

/* ---- what NIXL's own log says (log.c) ---- */

struct kv_prove_log {
	const char *provider;      /* "efa", "tcp", "sockets", ...; NULL where no line names it */
	const char *provider_line; /* the message that names it */
	const char *load_error;    /* why the loader refused the backend's plugin */
	const char *first_error;   /* the first message of severity E */
};

void kv_prove_log_read(struct kv_arena *a, const char *text, const char *backend,
		       struct kv_prove_log *ret);

/* ---- what the device counted (counters.c) ---- */

struct kv_prove_count {
	char *device, *counter;
	uint64_t value;
};

struct kv_prove_counts {
	KV_VEC(struct kv_prove_count) list;
};

/* tx_bytes and rx_bytes of port 1 of every device that the efa driver has; none is no failure. */
int kv_prove_counters_read(struct kv_arena *a, const char *sysfs, struct kv_prove_counts *ret,
			   struct kv_err *err);
/* Counters that are in both, in the order of before. */
void kv_prove_counters_delta(struct kv_arena *a, const struct kv_prove_counts *before,
			     const struct kv_prove_counts *after, struct kv_prove_result *ret);

/* ---- what the agents reported: kvpath.probe/1 (report.c) ---- */

struct kv_prove_report {
	bool loads, instantiates, registers, moves, intact, clean_end;
	uint64_t bytes, elapsed_us;
	const char *via, *cause, *agent, *call, *error; /* all but via NULL where intact */
};

/* The last line of text that is such an object. */
int kv_prove_report_parse(struct kv_arena *a, const char *text, struct kv_prove_report *ret,
			  struct kv_err *err);

/* ---- the verdict (judge.c) ---- */

/* Fills verdict, provider, error, bytes, intact, proven, not_proven; ret->counters is set already.
 */
void kv_prove_judge(struct kv_arena *a, const struct kv_prove_request *req,
		    const struct kv_prove_report *rep, const struct kv_prove_log *log,
		    struct kv_prove_result *ret);
/* The verdict where there is no report: nothing proven, unknown. */
void kv_prove_judge_untried(struct kv_arena *a, const char *why, struct kv_prove_result *ret);

/* ---- running (sandbox.c, spawn.c, environ.c) ---- */

char **kv_prove_environ(struct kv_arena *a, const struct kv_env *env);

struct kv_prove_run {
	const struct kv_prove_request *req;
	int exec_fd;           /* opened program, or -1 */
	const char *exec_path; /* guest path, where exec_fd is -1 */
	char *const *argv, *const *envp;
	unsigned deadline_s;
	int input; /* its standard input where above 2, else there is none; stays the caller's */
	/* Called again and again with what it has written so far; may be NULL. */
	void (*tick)(void *arg, const struct kv_prove_text *out);
	void *tick_arg;
};

struct kv_prove_ran {
	struct kv_prove_text out, log;
	int status; /* of wait(2) */
	bool timed_out;
};

/* Runs to the end or to the deadline; nothing of its process group is left. -errno where it never
 * started. */
int kv_prove_spawn(const struct kv_prove_run *run, struct kv_prove_ran *ret, struct kv_err *err);

/* agent.py, as text. */
extern const char kv_prove_agent_py[];

#endif
