/* Starting a program on many nodes: by one srun, or by a remote shell for each. */
#ifndef KV_LAUNCH_WORKERS_H
#define KV_LAUNCH_WORKERS_H

#include <sys/types.h>

#include "base/base.h"

/* Remote shells that one host can be asked to keep. */
#define KV_WORKERS_SSH 1024

#define KV_SSH "ssh -o BatchMode=yes -o ConnectTimeout=10"

/*
 * argv as one task on each of the job's nodes, with the variables of env. fd then gives what srun
 * and they write.
 */
int kv_workers_srun(struct kv_arena *a, const char *nodes, size_t n, const kv_strv *argv,
		    const kv_strv *env, pid_t *ret_pid, int *ret_fd, struct kv_err *err);
/* argv on host by the remote shell `shell`, words separated by spaces. fd is both its ends. */
int kv_workers_ssh(struct kv_arena *a, const char *shell, const char *host, const kv_strv *argv,
		   const kv_strv *env, pid_t *ret_pid, int *ret_fd, struct kv_err *err);

#endif
