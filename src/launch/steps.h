/* Steps of Slurm while they run: one srun each, as a child. */
#ifndef KV_LAUNCH_STEPS_H
#define KV_LAUNCH_STEPS_H

#include "launch/plan.h"

enum kv_step_state {
	KV_STEP_WAITING,
	KV_STEP_RUNNING,
	KV_STEP_DONE,    /* ended by itself, with status 0 */
	KV_STEP_FAILED,  /* ended by itself with another one */
	KV_STEP_STOPPED, /* told to end */
	KV_STEP_LOST,    /* with its node; srun calls that status 0 */
	_KV_STEP_STATE_COUNT
};
extern const char *const kv_step_state_name[_KV_STEP_STATE_COUNT];

struct kv_running {
	const char *name;
	const struct kv_step *step; /* NULL: a command of bash on this machine */
	enum kv_step_state state;
	pid_t pid;
	int status; /* as a shell says it */
	uint64_t began_ns, ended_ns;
	bool told;               /* to end */
	bool said;               /* that it has ended */
	const char *text, *what; /* of a command of bash */
};

uint64_t kv_steps_now(void);
/* Starts srun with the variables `env` and the step's own, on its nodes of the allocation's
 * `nodes`. What srun itself says goes to LOGS/NAME.srun. 0 or -errno with err. */
int kv_step_start(const struct kv_launch *l, const struct kv_step *s, const struct kv_env *env,
		  const char *logs, const kv_strv *nodes, struct kv_running *ret,
		  struct kv_err *err);
int kv_bash_start(const struct kv_launch *l, const char *name, const char *text,
		  const struct kv_env *env, const char *logs, struct kv_running *ret,
		  struct kv_err *err);
/* Takes note of those that have ended. True where there was one. */
bool kv_steps_reap(struct kv_running *v, size_t n);
/* Whether what srun said, in LOGS/NAME.srun, is that a node of the step failed. */
bool kv_step_lost_node(struct kv_arena *a, const struct kv_running *r, const char *logs);
/* The first of these nodes that Slurm calls down; NULL. */
const char *kv_down_node(struct kv_arena *a, const kv_strv *nodes);
/*
 * What scontrol's line says of a node's address; else its name. A bare IPv6 address would need
 * brackets before a port and none elsewhere: the name stands in both places.
 */
const char *kv_node_address(struct kv_arena *a, const char *line, const char *name);
/* Tells those that run to end: SIGTERM by scancel; `hard`: SIGKILL, srun too. */
void kv_steps_tell(struct kv_arena *a, struct kv_running *v, size_t n, bool hard);
size_t kv_steps_alive(const struct kv_running *v, size_t n);

/* What a program prints, at most 16 MiB. Its status, or -errno. */
int kv_ask(struct kv_arena *a, const kv_strv *argv, const char **ret);

#endif
