/* Blocks in turn over the rails; big ones in parts where there are fewer blocks than would fill
 * them evenly. No division for an operation: there may be millions in a second. */
#include "probe/bench/stripe.h"

#define PAGE       4096
#define EVEN_TURNS 4 /* from so many blocks a rail on, one block more or less is no matter */

static uint64_t up(uint64_t n, uint64_t by)
{
	return n / by + (n % by != 0);
}

void stripe_make(const struct bench_test *t, unsigned rails, uint64_t max_msg, struct stripe *ret)
{
	uint64_t parts = up(t->size, max_msg), chunk, even;

	if (t->count < (uint64_t)rails * EVEN_TURNS && t->size >= 2 * STRIPE_MIN_PART) {
		uint64_t most = t->size / STRIPE_MIN_PART;

		if (most > rails)
			most = rails;
		if (parts < most)
			parts = most;
	}
	/* Parts of one length, or the rail that the last ones fall to would have little to do. */
	chunk = up(t->size, parts);
	even = up(chunk, PAGE) * PAGE;
	if (parts > 1 && even <= max_msg && even <= chunk + chunk / 8)
		chunk = even;
	*ret = (struct stripe){ .chunk = chunk, .parts = up(t->size, chunk), .rails = rails };
	ret->ops = ret->parts * t->count;
}

void stripe_start(const struct stripe *st, const struct bench_test *t, uint64_t slot,
		  struct stripe_cursor *ret)
{
	*ret = (struct stripe_cursor){
		.st = st,
		.slot_at = bench_block(t, slot, 0),
		.size = t->size,
		.count = t->count,
		.step = bench_peer_step(t) % t->count,
		.peer = slot % t->count,
		.left = st->ops,
	};
}

void stripe_get(const struct stripe_cursor *c, struct stripe_op *ret)
{
	uint64_t off = c->part * c->st->chunk, len = c->size - off;

	ret->here = c->slot_at + c->block * c->size + off;
	ret->there = c->slot_at + c->peer * c->size + off;
	ret->len = len < c->st->chunk ? len : c->st->chunk;
	ret->rail = c->rail;
}

void stripe_next(struct stripe_cursor *c)
{
	c->left--;
	if (++c->rail == c->st->rails)
		c->rail = 0;
	if (++c->part < c->st->parts)
		return;
	c->part = 0;
	c->block++;
	c->peer += c->step;
	if (c->peer >= c->count)
		c->peer -= c->count;
}
