/*
 * A job as steps of Slurm: which nodes of the allocation, and the exact arguments of srun. What is
 * known only in the allocation (nodes' addresses, the directory of the logs) are variables.
 */
#ifndef KV_LAUNCH_PLAN_H
#define KV_LAUNCH_PLAN_H

#include "launch/job.h"

/* Where a task's files come from. */
enum kv_place {
	KV_PLACE_PYXIS, /* the recipe's image, by pyxis */
	KV_PLACE_ROOT,  /* a directory on the nodes, by kvpath run */
	KV_PLACE_HOST,  /* the nodes as they are */
};

struct kv_launch_how {
	enum kv_place place;
	const char *root;    /* of KV_PLACE_ROOT */
	const char *program; /* this kvpath, absolute; the nodes have it at the same place */
	kv_strv options;     /* kv_wanted_options() */
	bool repair;         /* workers get the environment of kvpath run */
	bool check;          /* every node before the start */
	bool one_node;       /* the allocation has no more: both sides of a pair are on it */
	kv_strv check_options, fabrics; /* the former, and check's own */
};

/* The secret of a job with pairs: exported by who starts the steps, never an argument. */
#define KV_LAUNCH_TOKEN "KVPATH_TOKEN"

/* In an argument: the directory of the logs. */
#define KV_LOGS_MARK "\x01"
/* The start of an argument that names nodes of the allocation: FIRST+COUNT follow. */
#define KV_NODES_MARK "--nodelist=\x02"

struct kv_step {
	const char *name; /* "prefill_0" */
	const struct kv_role *role;
	unsigned first, nodes; /* of the allocation */
	bool ends, is_check;
	kv_strv argv;      /* of srun, with KV_LOGS_MARK and KV_NODES_MARK */
	struct kv_env env; /* for srun, and by it for the tasks */
	kv_strv secrets;   /* names of variables that the recipe gives in clear: in env, never shown
			    */
	kv_strv logs;      /* of its tasks, below the directory of the logs */
	const char *peer;  /* the step that is the other side of its transfers; NULL */
	const char *document; /* what it prints, kvpath.bench, below the same directory; NULL */
};

struct kv_launch {
	const struct kv_job *job;
	struct kv_launch_how how;
	unsigned nodes;
	bool shared;                          /* all steps on the first one */
	KV_VEC(struct kv_step) checks, steps; /* steps: the client is the last one */
	const char *services;                 /* bash that waits for the services; NULL */
	const char *ready;                    /* the same for the frontend and all workers */
};

/* 0, or -EINVAL with err. The job's `left` may get more. */
int kv_launch_plan(struct kv_job *j, const struct kv_launch_how *how, struct kv_launch *ret,
		   struct kv_err *err);

/* The variables that every step gets: values for the addresses of the allocation's nodes. */
void kv_launch_env(const struct kv_launch *l, const kv_strv *addresses, const char *logs,
		   struct kv_env *ret);
/* The names of at most so many nodes from a first one on, as Slurm takes them. */
const char *kv_launch_names(struct kv_arena *a, const kv_strv *nodes, size_t first, size_t count);
/* Whether an argument names nodes of the allocation, and which. */
bool kv_launch_places(const char *arg, unsigned *ret_first, unsigned *ret_count);
/* An argument with the directory of the logs, and the names of nodes, in it. */
const char *kv_launch_arg(struct kv_arena *a, const char *arg, const char *logs,
			  const kv_strv *nodes);
/* salloc, with what the recipe says of the job, in front of `self` (kvpath launch ...). */
void kv_launch_salloc(const struct kv_launch *l, const kv_strv *self, kv_strv *ret);

/* The whole as a script for sbatch, or to be run in an allocation. */
void kv_launch_print(FILE *out, const struct kv_launch *l, const kv_strv *self);

#endif
