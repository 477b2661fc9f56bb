/*
 * What a worker is, as a recipe names it: one file for each, which makes the command of it.
 */
#ifndef KV_LAUNCH_BACKEND_H
#define KV_LAUNCH_BACKEND_H

#include "launch/job.h"

/* A worker of a backend. */
struct kv_worker_spec {
	const char *backend;            /* "sglang" */
	const char *mode;               /* "prefill" */
	const char *model, *served;     /* NULL where the flags have them */
	const struct kv_yaml *flags[2]; /* of all workers, and of this mode, which win; NULL */
	const struct kv_yaml *at;       /* of the backend's name */
	const struct kv_yaml *settings; /* what the recipe says of the backend itself; NULL */
	const char *gpu_type;           /* NULL */
};

struct kv_backend {
	const char *name;     /* in recipes */
	const char *dialect;  /* of those alone that say how it is started; NULL: of all */
	const char *settings; /* keys that a recipe has for all its workers beside their flags */
	bool has_file;        /* what is said of a mode is a file of its own, and no flags */
	/* Fills command, ends of a role that has all else, once the job has all its workers. */
	int (*make)(struct kv_job *j, struct kv_role *role, struct kv_err *err);
};

extern const struct kv_backend kv_backend_sglang, kv_backend_vllm, kv_backend_trtllm,
	kv_backend_bench;
/* NULL for one that launch does not know. */
const struct kv_backend *kv_backend_find(const char *name);

void kv_job_worker(struct kv_job *j, const struct kv_worker_spec *w, struct kv_role *role);
/* What all these workers start. -ENOTSUP for a backend that launch does not know. */
int kv_job_workers(struct kv_job *j, struct kv_err *err);
/* The first of a map's keys; NULL where it is none, or there are none. */
const struct kv_yaml *kv_job_keys(const struct kv_yaml *map);
/* A flag's text; NULL where it has none. name: with dashes. */
const char *kv_job_flag(const struct kv_job *j, const struct kv_worker_spec *w, const char *name);
/* The same as a number of at least 1; `other` where it has none. */
int kv_job_flag_number(const struct kv_job *j, const struct kv_worker_spec *w, const char *name,
		       unsigned other, unsigned *ret, struct kv_err *err);
/* Names those of the flags `own` that the recipe has: launch sets them. */
void kv_job_flags_own(struct kv_job *j, const struct kv_worker_spec *w, const char *own);
/* Stand-ins of prefill and decode become the two sides of transfers. */
int kv_job_pair(struct kv_job *j, struct kv_err *err);

#endif
