/* Thousands of nodes in a few lines: who is the same, in what the others differ, and the pairs of
 * neighbours taken together. */
#include <math.h>

#include "prove/sweep.h"

/* Strings are interned, so that what is the same has the same address. */
static bool in_group(const struct kv_sweep_group *g, const char *verdict, const char *findings)
{
	return g->verdict == verdict && g->findings == findings;
}

static int larger_group(const void *a, const void *b)
{
	const struct kv_sweep_group *x = a, *y = b;

	return x->nodes.n != y->nodes.n ? (x->nodes.n < y->nodes.n ? 1 : -1)
					: strcmp(x->nodes.v[0], y->nodes.v[0]);
}

void kv_sweep_group(const struct kv_sweep *s, kv_sweep_groups *ret)
{
	static const char lost[] = "lost", none[] = "";

	for (uint32_t i = 0; i < s->n; i++) {
		const struct kv_sweep_node *d = &s->nodes[i];
		bool is_lost = d->lost || !d->verdict;
		const char *verdict = is_lost ? lost : d->verdict;
		const char *findings = is_lost ? (d->lost ? d->lost : none) : d->findings;
		struct kv_sweep_group *g = ret->v;

		while (ret->n && g < ret->v + ret->n && !in_group(g, verdict, findings))
			g++;
		if (!ret->n || g == ret->v + ret->n) {
			g = kv_vec_add(s->arena, ret);
			g->verdict = verdict;
			g->findings = findings;
			g->detail = is_lost ? none : d->detail;
		}
		kv_vec_push(s->arena, &g->nodes, kv_strdup(s->arena, d->name));
	}
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), larger_group);
}

static int larger_value(const void *a, const void *b)
{
	const struct kv_sweep_value *x = a, *y = b;

	return x->nodes.n != y->nodes.n ? (x->nodes.n < y->nodes.n ? 1 : -1)
					: strcmp(x->nodes.v[0], y->nodes.v[0]);
}

static void values_of(const struct kv_sweep *s, enum kv_sweep_fact fact,
		      struct kv_sweep_difference *ret)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const char *value = s->nodes[i].facts[fact];
		struct kv_sweep_value *v = ret->values.v;

		if (!s->nodes[i].verdict)
			continue;
		while (ret->values.n && v < ret->values.v + ret->values.n && v->value != value)
			v++;
		if (!ret->values.n || v == ret->values.v + ret->values.n) {
			v = kv_vec_add(s->arena, &ret->values);
			v->value = value;
		}
		kv_vec_push(s->arena, &v->nodes, kv_strdup(s->arena, s->nodes[i].name));
	}
	if (ret->values.n)
		qsort(ret->values.v, ret->values.n, sizeof(*ret->values.v), larger_value);
}

void kv_sweep_differ(const struct kv_sweep *s, kv_sweep_differences *ret)
{
	for (int i = 0; i < _KV_SWEEP_FACT_COUNT; i++) {
		struct kv_sweep_difference d = { .fact = (enum kv_sweep_fact)i };

		values_of(s, d.fact, &d);
		if (d.values.n > 1)
			kv_vec_push(s->arena, ret, d);
	}
}

void kv_sweep_exclude(const struct kv_sweep *s, kv_strv *ret)
{
	uint32_t bad = 0;

	for (uint32_t i = 0; i < s->n; i++)
		bad += s->nodes[i].bad != NULL;
	for (uint32_t i = 0; i < s->n && 2 * bad <= s->n; i++)
		if (s->nodes[i].bad)
			kv_vec_push(s->arena, ret, kv_strdup(s->arena, s->nodes[i].name));
}

/* ---- blocks ---- */

/* Of the upper triangle, row by row. */
static struct kv_sweep_cell *cell_of(const struct kv_sweep_blocks *b, uint32_t i, uint32_t j)
{
	uint32_t low = i < j ? i : j, high = i < j ? j : i;

	return &b->cells[(size_t)low * b->n - (size_t)low * (low + 1) / 2 + high];
}

static void add(struct kv_sweep_cell *c, float rate)
{
	if (rate < 0)
		c->failed++;
	if (rate <= 0)
		return;
	c->worst = c->measured ? fminf(c->worst, rate) : rate;
	c->sum += (double)rate;
	c->measured++;
}

void kv_sweep_block(const struct kv_sweep *s, uint32_t most, struct kv_sweep_blocks *ret)
{
	uint32_t n = s->n ? s->n : 1;

	ret->size = (n + most - 1) / most;
	ret->n = (n + ret->size - 1) / ret->size;
	ret->n_cells = (size_t)ret->n * (ret->n + 1) / 2;
	ret->cells = kv_alloc_n(s->arena, ret->n_cells, sizeof(*ret->cells));
	for (uint32_t i = 0; i < ret->n; i++)
		for (uint32_t j = i; j < ret->n; j++)
			*cell_of(ret, i, j) = (struct kv_sweep_cell){ .a = i, .b = j };
	for (uint32_t i = 0; i < kv_sweep_rounds(s->n); i++)
		for (uint32_t k = 0; s->rounds[i].rate && k < kv_sweep_slots(s->n); k++) {
			struct kv_sweep_pair p = kv_sweep_pair_at(s->n, i, k);

			add(cell_of(ret, p.a / ret->size, p.b / ret->size), s->rounds[i].rate[k]);
		}
}

void kv_sweep_block_names(const struct kv_sweep *s, const struct kv_sweep_blocks *b, uint32_t block,
			  kv_strv *ret)
{
	for (uint32_t i = block * b->size; i < s->n && i < (block + 1) * b->size; i++)
		kv_vec_push(s->arena, ret, kv_strdup(s->arena, s->nodes[i].name));
}
