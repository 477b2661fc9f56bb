/*
 * Which operations a transfer is made of, and over which rail each goes. Both sides compute it, of
 * the same numbers; nothing of it is sent.
 */
#ifndef KV_PROBE_BENCH_STRIPE_H
#define KV_PROBE_BENCH_STRIPE_H

#include "probe/bench/bench.h"

/* A block below it goes over one rail, whatever else is idle. */
#define STRIPE_MIN_PART (UINT64_C(64) << 10)

struct stripe {
	uint64_t chunk; /* bytes of an operation, but for a block's last */
	uint64_t parts; /* operations of a block */
	uint64_t ops;   /* of a transfer */
	unsigned rails;
};

/* One operation: where it starts on this side and on the other, from their buffers' beginnings. */
struct stripe_op {
	uint64_t here, there, len;
	unsigned rail;
};

struct stripe_cursor {
	const struct stripe *st;
	uint64_t slot_at, size, count, step;
	uint64_t block, peer, part, left; /* left: operations */
	unsigned rail;
};

/* max_msg: the longest message that the rails take. */
void stripe_make(const struct bench_test *t, unsigned rails, uint64_t max_msg, struct stripe *ret);
void stripe_start(const struct stripe *st, const struct bench_test *t, uint64_t slot,
		  struct stripe_cursor *ret);
/* The operation that the cursor stands at; left must not be 0. */
void stripe_get(const struct stripe_cursor *c, struct stripe_op *ret);
void stripe_next(struct stripe_cursor *c);

#endif
