/*
 * A child process that parses hostile bytes and can do nothing else: it has three descriptors, no
 * way to open another, no new privileges, and limits on memory, processor time and on what it
 * writes. It is forked, not executed: nothing of the host has to be found for it.
 */
#ifndef KV_ROOT_CELL_H
#define KV_ROOT_CELL_H

#include <sys/types.h>

#include "base/base.h"

/* The descriptors as the child sees them. */
#define KV_CELL_IN    3
#define KV_CELL_OUT   4 /* a pipe to the parent */
#define KV_CELL_SPOOL 5

#define KV_CELL_CPU_S  900
#define KV_CELL_MEMORY ((uint64_t)1 << 30)

struct kv_cell {
	int in, spool;      /* stay the caller's; spool may be -1 */
	uint64_t spool_max; /* the child can not write beyond */
	void (*run)(void *ctx);
	void *ctx;
	/* filled by start */
	int out; /* the pipe's end to read from */
	pid_t pid;
};

int kv_cell_start(struct kv_cell *b, struct kv_err *err);
/* Waits for the child, which is killed first if asked for; its status as of waitpid(2). */
int kv_cell_end(struct kv_cell *b, bool kill_it);

#endif
