/* The parts of kvpath sweep. */
#ifndef KV_CMD_SWEEP_H
#define KV_CMD_SWEEP_H

#include "cmd/cmd.h"
#include "prove/sweep_run.h"

/* Where a worker finds its lead: "-" for its own standard input and output, ":PORT" on the host
 * that srun runs on, "HOST:PORT". Its name, where the lead knows it by another one. */
#define KV_SWEEP_JOIN "KVPATH_SWEEP"
#define KV_SWEEP_NODE "KVPATH_SWEEP_NODE"

/* For all of a sweep's pods to start. */
#define KV_SWEEP_POD_S 600

/* 0 where it is no place. */
uint16_t kv_sweep_port(const char *join);
const char *kv_sweep_own_name(struct kv_arena *a);

/* What pairs are measured with where nothing else was asked for. */
struct kv_sweep_test kv_sweep_test_of(const struct kv_opts *o);

/* As the worker that KV_SWEEP_JOIN asks for. */
int kv_sweep_worker_run(const struct kv_opts *o, const char *join);
/* As the lead, of the job's nodes or of hosts. *ret_saved: whether the state file has all of it. */
int kv_sweep_lead_run(struct kv_opts *o, struct kv_sweep *s, bool *ret_saved);
/* The Job for Kubernetes that does it there. */
int kv_sweep_k8s_run(struct kv_opts *o);

#endif
