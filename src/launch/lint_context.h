/* Where the commands of a text for bash stand: for lint_fate.c. */
#ifndef KV_LAUNCH_LINT_CONTEXT_H
#define KV_LAUNCH_LINT_CONTEXT_H

#include "launch/lint.h"

#define KV_MOST_FUNCTIONS 64

/* What is in effect of set -e and set -o pipefail. */
struct kv_modes {
	bool errexit, pipefail;
};

struct kv_context {
	const struct kv_shell *s;
	const char *text;
	struct kv_modes *modes; /* at each command, but for what a function does */
	bool *jumps;            /* each for: break or continue is in it */
	size_t limit;           /* from this command on nothing is certain */
	struct {
		size_t body, call; /* call: SIZE_MAX where it is not the only one */
	} functions[KV_MOST_FUNCTIONS];
	size_t n_functions;
};

/* What a command is in, and what lies between. */
struct kv_around {
	const struct kv_shell_cmd *c; /* or the call of the function; NULL: it is not in any */
	bool is_apart;                /* what is inside is a shell of its own */
	bool is_call;
};

void kv_context_read(struct kv_arena *a, const struct kv_job_shell *s, struct kv_context *ret);
struct kv_around kv_context_around(const struct kv_context *x, const struct kv_shell_cmd *c);
/* The next command of its list; NULL. What defines a function does nothing. */
const struct kv_shell_cmd *kv_context_behind(const struct kv_context *x,
					     const struct kv_shell_cmd *c);
/* The body of the function that it calls; else the command itself. */
const struct kv_shell_cmd *kv_context_body(const struct kv_context *x,
					   const struct kv_shell_cmd *c);
/* What is in effect where the command runs. */
struct kv_modes kv_context_modes(const struct kv_context *x, const struct kv_shell_cmd *c);
/* Whether nothing that the command is in leaves doubt about when it runs. */
bool kv_context_is_clear(const struct kv_context *x, const struct kv_shell_cmd *c);
/* Whether it is what an if looks at. */
bool kv_context_in_condition(const struct kv_context *x, const struct kv_shell_cmd *c);
/* Whether what the command is in takes set -e its effect. */
bool kv_context_is_suspended(const struct kv_context *x, const struct kv_shell_cmd *c);

/* Why the text goes on although command i failed; NULL where it does not, or that is not certain
 * (lint_fate.c). */
const char *kv_fate_passed_over(const struct kv_context *x, size_t i);

#endif
