/*
 * The rounds. With m odd and nodes 0 to m - 1 on a circle, round r pairs those whose numbers add up
 * to r modulo m: one node c, 2c = r, is left over, and the pairs are c + k and c - k. With an even
 * number of nodes the last one is no part of the circle and takes the one that is left over.
 */
#include "prove/sweep.h"

static uint32_t circle(uint32_t n)
{
	return n - !(n & 1);
}

uint32_t kv_sweep_rounds(uint32_t n)
{
	return n < 2 ? 0 : circle(n);
}

uint32_t kv_sweep_slots(uint32_t n)
{
	return n / 2;
}

/* The node that is left over: r / 2 modulo m. */
static uint32_t centre(uint32_t m, uint32_t round)
{
	return (uint32_t)((uint64_t)round * ((m + 1) / 2) % m);
}

struct kv_sweep_pair kv_sweep_pair_at(uint32_t n, uint32_t round, uint32_t slot)
{
	uint32_t m = circle(n), c = centre(m, round), k = slot + 1;

	if (k > (m - 1) / 2)
		return (struct kv_sweep_pair){ c, m };
	return (struct kv_sweep_pair){ (c + k) % m, (c + m - k) % m };
}

void kv_sweep_pair_find(uint32_t n, uint32_t a, uint32_t b, uint32_t *ret_round, uint32_t *ret_slot)
{
	uint32_t m = circle(n), k;

	if (a == m || b == m) {
		*ret_round = (uint32_t)(2 * (uint64_t)(a == m ? b : a) % m);
		*ret_slot = (m - 1) / 2;
		return;
	}
	*ret_round = (a + b) % m;
	k = (a + m - centre(m, *ret_round)) % m;
	*ret_slot = (k > (m - 1) / 2 ? m - k : k) - 1;
}

uint32_t kv_sweep_round_of(uint32_t n, uint32_t want, uint32_t i)
{
	return (uint32_t)((uint64_t)i * kv_sweep_rounds(n) / want);
}
