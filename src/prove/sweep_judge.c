/*
 * What a sweep's results mean. Rates are compared with the middle of their own round, so that what
 * slows a whole round down is nobody's fault, and a node is judged by the middle of its rates. Slow
 * is what stands out by both an amount that matters and a multiple of how far the others scatter
 * (their median absolute deviation); what was measured again has to be slow again.
 */
#include <math.h>

#include "base/provider.h"
#include "prove/sweep.h"

static const struct {
	uint32_t nodes, rates;   /* fewer tell nothing of a node */
	uint32_t pairs;          /* fewer tell nothing of a pair */
	uint32_t round;          /* fewer of a round: the middle of all is taken for its */
	float node_less, node_s; /* slower than the others by this share, and by so many sigmas */
	float pair_less, pair_s; /* the same of a pair, beside the slower one of its nodes */
	uint32_t again;          /* of a node's pairs, to confirm it */
	size_t sample;           /* pairs from which their scatter is taken */
} rule = { 5, 4, 10, 4, .25F, 6, .5F, 8, 3, (size_t)1 << 20 };

/* The standard deviation of a normal distribution for its median absolute deviation. */
#define SIGMA 1.4826F

/* The k-th smallest, by Hoare's selection: what then lies before it is not above it. */
static float nth(float *v, size_t n, size_t at)
{
	ptrdiff_t lo = 0, hi = (ptrdiff_t)n - 1, k = (ptrdiff_t)at;

	while (lo < hi) {
		float pivot = v[k];
		ptrdiff_t i = lo, j = hi;

		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (v[j] > pivot)
				j--;
			if (i <= j) {
				float t = v[i];

				v[i++] = v[j];
				v[j--] = t;
			}
		}
		lo = j < k ? i : lo;
		hi = k < i ? j : hi;
	}
	return v[at];
}

float kv_median(float *v, size_t n)
{
	float high, low;

	if (!n)
		return 0;
	high = nth(v, n, n / 2);
	if (n % 2)
		return high;
	low = v[0];
	for (size_t i = 1; i < n / 2; i++)
		low = fmaxf(low, v[i]);
	return low + (high - low) / 2;
}

/* Sigma of the values around m; overwrites them. */
static float scatter(float *v, size_t n, float m)
{
	for (size_t i = 0; i < n; i++)
		v[i] = fabsf(v[i] - m);
	return SIGMA * kv_median(v, n);
}

static float best(const struct kv_sweep_round *r, uint32_t slot)
{
	return r->again ? fmaxf(r->rate[slot], r->again[slot]) : r->rate[slot];
}

const char *kv_sweep_pair_verdict(const struct kv_sweep *s, const char *provider)
{
	if (!kv_streq(s->test.engine, "nixl:LIBFABRIC") && !kv_starts(s->test.engine, "ofi:"))
		return "unknown";
	switch (kv_carrier_of(provider)) {
	case KV_CARRIER_EFA:
		return "on-fabric";
	case KV_CARRIER_HOST:
		return "off-fabric";
	default:
		return "unknown";
	}
}

/* ---- counts, and the middle of each round ---- */

static size_t count_round(struct kv_sweep *s, uint32_t round, float *room)
{
	const struct kv_sweep_round *r = &s->rounds[round];
	bool off[KV_ARRAY_SIZE(s->providers)] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < KV_ARRAY_SIZE(off) && s->providers[i]; i++)
		off[i] = kv_streq(kv_sweep_pair_verdict(s, s->providers[i]), "off-fabric");
	for (uint32_t slot = 0; r->rate && slot < kv_sweep_slots(s->n); slot++) {
		struct kv_sweep_pair p = kv_sweep_pair_at(s->n, round, slot);
		struct kv_sweep_node *ends[] = { &s->nodes[p.a], &s->nodes[p.b] };
		float rate = r->rate[slot];

		if (rate > 0)
			room[n++] = rate;
		for (size_t i = 0; i < 2 && rate != 0; i++) {
			ends[i]->tried++;
			ends[i]->failed += rate < 0;
			ends[i]->off += rate > 0 && off[r->provider[slot]];
		}
		s->n_off += rate > 0 && off[r->provider[slot]];
	}
	s->middle[round] = kv_median(room, n);
	return n;
}

static void count(struct kv_sweep *s, float *room)
{
	uint32_t rounds = kv_sweep_rounds(s->n);
	size_t n = 0, *of = kv_alloc_n(s->arena, rounds + 1, sizeof(*of));

	for (uint32_t i = 0; i < s->n; i++) {
		struct kv_sweep_node *d = &s->nodes[i];

		d->bad = NULL;
		d->tried = d->failed = d->off = 0;
		d->median = d->expected = 0;
		d->slow = d->confirmed = false;
	}
	s->n_off = s->n_slow = 0;
	s->slow.n = 0;
	for (uint32_t i = 0; i < rounds; i++)
		of[i] = count_round(s, i, room);
	for (uint32_t i = 0; i < rounds; i++)
		if (s->middle[i] > 0)
			room[n++] = s->middle[i];
	s->median = kv_median(room, n);
	for (uint32_t i = 0; i < rounds; i++)
		if (of[i] && of[i] < rule.round)
			s->middle[i] = s->median;
}

/* ---- nodes ---- */

/* A node's rates, each beside the middle of its round. again: those of repeated pairs only. */
static size_t rates_of(const struct kv_sweep *s, uint32_t node, bool again, float *ret)
{
	uint32_t m = kv_sweep_rounds(s->n), round, slot;
	size_t n = 0;

	for (uint32_t i = 0; i < m; i++) {
		const struct kv_sweep_round *r = &s->rounds[i];
		uint32_t other = (i + m - node % m) % m;

		if (!r->rate || (s->n % 2 && other == node))
			continue;
		/* The last of an even number takes the one that would meet itself. */
		other = node == m ? (uint32_t)((uint64_t)i * ((m + 1) / 2) % m)
				  : (other == node ? m : other);
		kv_sweep_pair_find(s->n, node, other, &round, &slot);
		if (r->rate[slot] <= 0)
			continue;
		if (!again)
			ret[n++] = r->rate[slot] / s->middle[i];
		else if (r->again && r->again[slot] > 0)
			ret[n++] = best(r, slot) / s->middle[i];
	}
	return n;
}

/* Sigma of single rates beside the middle of their round. */
static float scatter_of_rates(const struct kv_sweep *s)
{
	uint64_t step = s->measured / rule.sample + 1, seen = 0;
	float *values = kv_alloc_n(s->arena, (size_t)(s->measured / step) + 2, sizeof(*values));
	size_t n = 0;

	for (uint32_t i = 0; i < kv_sweep_rounds(s->n); i++)
		for (uint32_t k = 0; s->rounds[i].rate && k < kv_sweep_slots(s->n); k++)
			if (s->rounds[i].rate[k] > 0 && seen++ % step == 0)
				values[n++] = s->rounds[i].rate[k] / s->middle[i];
	return scatter(values, n, 1);
}

/* Below which the middle of n rates is slow where m is usual. By chance it is off by what single
 * rates scatter, the less the more there are: 1.25 sigmas over the root of n. */
static float node_limit(float m, float nodes, float rates, size_t n)
{
	float chance = 1.2533F * rates / sqrtf((float)n);

	return m - fmaxf(rule.node_less * m, rule.node_s * fmaxf(nodes, chance));
}

static void judge_nodes(struct kv_sweep *s, float *room, float *of)
{
	float *values = kv_alloc_n(s->arena, s->n + 1, sizeof(*values)), m, nodes, rates;
	uint32_t able = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		size_t n = rates_of(s, i, false, room);

		of[i] = kv_median(room, n);
		s->nodes[i].median = of[i] * s->median;
		if (n >= rule.rates)
			values[able++] = of[i];
		else
			of[i] = 0;
	}
	m = kv_median(values, able);
	nodes = scatter(values, able, m);
	rates = scatter_of_rates(s);
	for (uint32_t i = 0; i < s->n && able >= rule.nodes; i++) {
		const struct kv_sweep_node *d = &s->nodes[i];
		float limit = node_limit(m, nodes, rates, (size_t)d->tried - d->failed + !d->tried);
		size_t n;

		if (of[i] <= 0 || of[i] >= limit)
			continue;
		n = rates_of(s, i, true, room);
		if (n >= rule.again && kv_median(room, n) >= limit)
			continue;
		s->nodes[i].slow = true;
		s->nodes[i].confirmed = n >= rule.again;
		s->nodes[i].expected = m * s->median;
	}
	/* What is not known of a node is taken to be as the others. */
	for (uint32_t i = 0; i < s->n; i++)
		of[i] = of[i] > 0 ? of[i] : m > 0 ? m : 1;
}

/* ---- pairs ---- */

static float beside(const struct kv_sweep *s, const float *of, uint32_t round, uint32_t slot)
{
	struct kv_sweep_pair p = kv_sweep_pair_at(s->n, round, slot);

	return best(&s->rounds[round], slot) / s->middle[round] / fminf(of[p.a], of[p.b]);
}

static void add_slow(struct kv_sweep *s, struct kv_sweep_slow slow)
{
	size_t at = s->slow.n;

	s->n_slow++;
	while (at &&
	       s->slow.v[at - 1].rate / s->slow.v[at - 1].expected > slow.rate / slow.expected)
		at--;
	if (at >= KV_SWEEP_SLOW)
		return;
	if (s->slow.n < KV_SWEEP_SLOW)
		(void)kv_vec_add(s->arena, &s->slow);
	memmove(&s->slow.v[at + 1], &s->slow.v[at], (s->slow.n - 1 - at) * sizeof(slow));
	s->slow.v[at] = slow;
}

static float pair_limit(const struct kv_sweep *s, const float *of)
{
	uint64_t step = s->measured / rule.sample + 1, seen = 0;
	float *values = kv_alloc_n(s->arena, (size_t)(s->measured / step) + 2, sizeof(*values)), m;
	size_t n = 0;

	for (uint32_t i = 0; i < kv_sweep_rounds(s->n); i++)
		for (uint32_t k = 0; s->rounds[i].rate && k < kv_sweep_slots(s->n); k++)
			if (s->rounds[i].rate[k] > 0 && seen++ % step == 0)
				values[n++] = beside(s, of, i, k);
	m = kv_median(values, n);
	return m - fmaxf(rule.pair_less * m, rule.pair_s * scatter(values, n, m));
}

static void judge_pairs(struct kv_sweep *s, const float *of)
{
	float limit = pair_limit(s, of);

	for (uint32_t i = 0; i < kv_sweep_rounds(s->n); i++) {
		const struct kv_sweep_round *r = &s->rounds[i];

		for (uint32_t k = 0; r->rate && k < kv_sweep_slots(s->n); k++) {
			struct kv_sweep_pair p = kv_sweep_pair_at(s->n, i, k);
			float b;

			if (r->rate[k] <= 0)
				continue;
			b = beside(s, of, i, k);
			if (b < limit)
				add_slow(s, (struct kv_sweep_slow){ p, i, best(r, k),
								    s->middle[i] *
									    fminf(of[p.a], of[p.b]),
								    r->again && r->again[k] > 0 });
		}
	}
}

/* ---- which nodes are bad, and the whole ---- */

/* True of more nodes than not, it is none of theirs. */
static bool of_most(const struct kv_sweep *s, bool (*is)(const struct kv_sweep_node *))
{
	uint32_t n = 0, all = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		n += is(&s->nodes[i]);
		all += s->nodes[i].tried > 0;
	}
	return 2 * n > all;
}

static bool fails(const struct kv_sweep_node *d)
{
	return d->failed >= 2 && 2 * d->failed > d->tried;
}

static bool goes_off(const struct kv_sweep_node *d)
{
	return d->off >= 2 && 2 * d->off > d->tried;
}

static void judge_bad(struct kv_sweep *s)
{
	bool all_fail = of_most(s, fails), all_off = of_most(s, goes_off);

	for (uint32_t i = 0; i < s->n; i++) {
		struct kv_sweep_node *d = &s->nodes[i];

		if (d->lost)
			d->bad = kv_sweep_intern(s, kv_strf(s->arena, "lost: %s", d->lost));
		else if (d->verdict && kv_streq(d->verdict, "off-fabric"))
			d->bad = *d->findings ? d->findings : "off-fabric";
		else if (!all_fail && fails(d))
			d->bad = kv_strf(s->arena, "%u of its %u transfers failed", d->failed,
					 d->tried);
		else if (!all_off && goes_off(d))
			d->bad = kv_strf(s->arena, "%u of its %u transfers were not by efa", d->off,
					 d->tried);
		else if (d->slow && d->confirmed)
			d->bad =
				kv_strf(s->arena,
					"slow: %.3g GB/s where %.3g GB/s are usual, measured twice",
					(double)d->median / 1e9, (double)d->expected / 1e9);
	}
}

static bool own_fault(const struct kv_sweep_fault *f)
{
	static const char *const faults[] = { "nixl", "corrupt", "crash" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(faults); i++)
		if (kv_streq(f->cause, faults[i]))
			return true;
	return false;
}

static bool all_by_efa(const struct kv_sweep *s)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(s->providers) && s->providers[i]; i++) {
		bool used = i > 0;

		for (uint32_t r = 0; i == 0 && r < kv_sweep_rounds(s->n); r++)
			for (uint32_t k = 0; s->rounds[r].rate && k < kv_sweep_slots(s->n); k++)
				used |= s->rounds[r].rate[k] > 0 && !s->rounds[r].provider[k];
		if (used && !kv_streq(kv_sweep_pair_verdict(s, s->providers[i]), "on-fabric"))
			return false;
	}
	return true;
}

static const char *verdict_of(const struct kv_sweep *s)
{
	bool unknown = !s->n || s->n_faults;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct kv_sweep_node *d = &s->nodes[i];

		if (d->verdict && kv_streq(d->verdict, "off-fabric"))
			return "off-fabric";
		unknown |= d->lost || !d->verdict || kv_streq(d->verdict, "unknown");
	}
	for (size_t i = 0; i < s->faults.n; i++)
		if (own_fault(&s->faults.v[i]))
			return "off-fabric";
	if (s->n_off)
		return "off-fabric";
	if (unknown)
		return "unknown";
	if (!s->tried)
		return "ready";
	return all_by_efa(s) ? "on-fabric" : "unknown";
}

void kv_sweep_judge(struct kv_sweep *s)
{
	struct kv_arena_mark mark;
	float *room, *of;

	if (!s->middle)
		s->middle = kv_alloc_n(s->arena, s->n + 1, sizeof(*s->middle));
	kv_vec_push(s->arena, &s->slow, (struct kv_sweep_slow){ 0 });
	while (s->slow.cap < KV_SWEEP_SLOW)
		(void)kv_vec_add(s->arena, &s->slow);
	mark = kv_arena_mark(s->arena);
	room = kv_alloc_n(s->arena, s->n + 1, sizeof(*room));
	of = kv_alloc_n(s->arena, s->n + 1, sizeof(*of));
	count(s, room);
	judge_nodes(s, room, of);
	if (s->measured >= rule.pairs)
		judge_pairs(s, of);
	/* Nothing that is kept was taken since. */
	kv_arena_rewind(s->arena, mark);
	judge_bad(s);
	s->verdict = verdict_of(s);
}
