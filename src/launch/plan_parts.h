/* Parts of a plan: what plan.c puts together. */
#ifndef KV_LAUNCH_PLAN_PARTS_H
#define KV_LAUNCH_PLAN_PARTS_H

#include "launch/plan.h"

#define KV_CONTAINER_LOGS "/logs"

/* Of "HOST:GUEST". */
const char *kv_plan_guest(const char *mount);

/* ---- plan_task.c ---- */

void kv_plan_put(const struct kv_launch *l, struct kv_step *s, const char *arg);
/* The recipe's variables; those whose values are secret apart. One that the environment of launch
 * has already is that one's. */
void kv_plan_env(const struct kv_launch *l, const struct kv_role *r, struct kv_step *s);
/* The options of srun; output: of the tasks, below the directory of the logs. */
void kv_plan_srun(const struct kv_launch *l, struct kv_step *s, const char *output);
/* The role's preamble and then the command. behind: what the preamble's end leads to, and where its
 * output goes. */
const char *kv_plan_bash(const struct kv_launch *l, const struct kv_role *r, const char *command,
			 const char *behind);
/* What srun starts: the bash, where the plan has it. */
void kv_plan_command(const struct kv_launch *l, struct kv_step *s, const char *bash);

/* ---- plan_wait.c ---- */

/* Waits until the frontend lists the model and every worker; the answers are Dynamo's. */
const char *kv_plan_ready(const struct kv_job *j, unsigned workers);
/* Waits for etcd and nats; NULL where the plan starts neither. */
const char *kv_plan_services(const struct kv_launch *l);

#endif
