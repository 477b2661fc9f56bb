/* The repair where jobs start: by environment alone, or as text in a launcher's dialect. */
#ifndef KV_LAUNCH_LAUNCH_H
#define KV_LAUNCH_LAUNCH_H

#include "rules/rules.h"

/* The environment that makes a process use the backend: variables of NIXL and of every framework.
 */
struct kv_env_repair {
	struct kv_env set;  /* in order; LD_LIBRARY_PATH and PYTHONPATH with what was there before
			       behind */
	const char *dir;    /* private directory that was made; NULL where none was needed */
	const char *reason; /* why the environment can not repair this target; NULL where it can */
	const char *lack;   /* what keeps the job's memory off the fabric all the same; NULL */
};

/*
 * Makes the repair for the live system: a private directory of links (never a whole host directory)
 * and an import hook for NIXL's default, below base. Verified on the model. 0 or -errno.
 */
int kv_env_make(const struct kv_facts *f, const char *base, struct kv_env_repair *ret,
		struct kv_err *err);
/* The frameworks' knobs for a backend, put into ret. */
void kv_env_knobs(struct kv_arena *a, const char *backend, struct kv_env *ret);
/* Prints what a job would export. Writes no file: the library directory is the fabric's own.
 * Status. */
int kv_env_print(FILE *out, const struct kv_facts *f);
/* A directory for kv_env_make that belongs to this user alone, made where it is new. */
int kv_env_base(struct kv_arena *a, const char **ret, struct kv_err *err);

#endif
