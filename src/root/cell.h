/*
 * A child process that parses hostile bytes and can do nothing else: it has the descriptors that it
 * is given, no way to open another, no new privileges, and limits on memory, processor time and on
 * what it writes. It is forked, not executed: nothing of the host has to be found for it. What it
 * sends is checked by whoever receives it, as if the hostile bytes had sent it.
 */
#ifndef KV_ROOT_CELL_H
#define KV_ROOT_CELL_H

#include <sys/types.h>

#include "base/base.h"

/* The descriptors as the child sees them. Under a sanitizer it keeps stderr too. */
enum { KV_CELL_IN = 3, KV_CELL_SOCK, KV_CELL_SPOOL, _KV_CELL_END };

struct kv_cell_job {
	int in, spool; /* stay the caller's; spool may be -1 */
	/* What the child does, until it returns. It calls kv_cell_confine before it looks at the
	 * first byte. */
	void (*run)(void *ctx);
	void *ctx;
	unsigned deadline_s; /* seconds of silence after which it counts as stuck */
};

struct kv_cell {
	pid_t pid; /* -1 once it has ended */
	int sock;  /* SOCK_SEQPACKET; -1 once the child is not listened to any more */
};

int kv_cell_start(const struct kv_cell_job *job, struct kv_cell *ret, struct kv_err *err);
/*
 * The child's next message, of at most n bytes: how many they are, 0 where it has closed its end,
 * -EAGAIN where it has been silent for too long, -EMSGSIZE where it says more, or another -errno.
 */
ssize_t kv_cell_receive(struct kv_cell *c, void *buf, size_t n);
/*
 * Ends the child. Unless it is killed at once it has a second to end by itself, since how it died
 * is worth telling; one that only closed its end would be waited for forever. How it ended by
 * itself, as of waitpid(2); else 0.
 */
int kv_cell_end(struct kv_cell *c, bool kill_it);

/* ---- in the child ---- */

struct kv_cell_limits {
	uint64_t memory;  /* bytes */
	uint64_t spool;   /* where in the spool it can not write any more; 0: to no file at all */
	unsigned cpu_s;   /* seconds of processor time */
	bool is_tolerant; /* a call that is forbidden fails, and does not end the child */
};

/* Takes away from the calling process whatever reading and writing what is open does not need, for
 * good. */
void kv_cell_confine(const struct kv_cell_limits *l);
/* The limit of memory alone, for tests that parse in their own process. */
void kv_cell_limit_memory(uint64_t most);

#endif
