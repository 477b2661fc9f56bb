/*
 * kvpath.sweep/1. Of few nodes it has every pair; of many, those that failed or are slow, and the
 * others taken together by blocks of nodes that follow each other.
 */
#include "base/hostlist.h"
#include "report/parts.h"
#include "report/sweep.h"

#define ALL_PAIRS 20000 /* documents with more have blocks */
#define BLOCKS    64
#define WORST     200

static json_t *text(const struct kv_sweep *s, const char *t)
{
	return kv_json_text(s->arena, t && *t ? t : NULL);
}

static json_t *list_of(const struct kv_sweep *s, const kv_strv *nodes)
{
	return json_string(kv_hostlist_compress(s->arena, nodes));
}

static json_t *nodes_json(const struct kv_sweep *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s->n; i++) {
		const struct kv_sweep_node *d = &s->nodes[i];
		const char *verdict = d->lost || !d->verdict ? "unknown" : d->verdict;
		json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:i, s:i, s:i}", "name", d->name,
				      "verdict", verdict, "findings", text(s, d->findings),
				      "reason", text(s, d->bad), "pairs", (int)d->tried, "failed",
				      (int)d->failed, "off_fabric", (int)d->off);

		if (d->median > 0)
			json_object_set_new(o, "median_bytes_per_s", json_real((double)d->median));
		if (d->slow)
			json_object_set_new(o, "slow",
					    json_pack("{s:f, s:b}", "usual_bytes_per_s",
						      (double)d->expected, "confirmed",
						      d->confirmed));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *groups_json(const struct kv_sweep *s)
{
	kv_sweep_groups groups = { 0 };
	json_t *list = json_array();

	kv_sweep_group(s, &groups);
	for (size_t i = 0; i < groups.n; i++) {
		const struct kv_sweep_group *g = &groups.v[i];
		bool lost = kv_streq(g->verdict, "lost");

		json_array_append_new(list, json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "verdict",
						      lost ? "unknown" : g->verdict, "count",
						      (int)g->nodes.n, "nodes",
						      list_of(s, &g->nodes), "findings",
						      lost ? json_null() : text(s, g->findings),
						      "detail", text(s, g->detail), "lost",
						      lost ? text(s, g->findings) : json_null()));
	}
	return list;
}

static json_t *differences_json(const struct kv_sweep *s)
{
	kv_sweep_differences list = { 0 };
	json_t *out = json_array();

	kv_sweep_differ(s, &list);
	for (size_t i = 0; i < list.n; i++) {
		json_t *values = json_array();

		for (size_t k = 0; k < list.v[i].values.n; k++) {
			const struct kv_sweep_value *v = &list.v[i].values.v[k];

			json_array_append_new(values,
					      json_pack("{s:o, s:i, s:o}", "value",
							text(s, v->value), "count", (int)v->nodes.n,
							"nodes", list_of(s, &v->nodes)));
		}
		json_array_append_new(out, json_pack("{s:s, s:o}", "what",
						     kv_sweep_fact_names[list.v[i].fact], "values",
						     values));
	}
	return out;
}

static json_t *rounds_json(const struct kv_sweep *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < kv_sweep_rounds(s->n); i++) {
		int measured = 0, failed = 0;

		for (uint32_t k = 0; s->rounds[i].rate && k < kv_sweep_slots(s->n); k++) {
			measured += s->rounds[i].rate[k] > 0;
			failed += s->rounds[i].rate[k] < 0;
		}
		if (measured || failed)
			json_array_append_new(
				list, json_pack("{s:i, s:i, s:i, s:f}", "round", (int)i + 1,
						"measured", measured, "failed", failed,
						"median_bytes_per_s", (double)s->middle[i]));
	}
	return list;
}

/* ---- pairs ---- */

static json_t *pair_json(const struct kv_sweep *s, struct kv_sweep_pair p, uint32_t round)
{
	return json_pack("{s:s, s:s, s:i}", "a", s->nodes[p.a].name, "b", s->nodes[p.b].name,
			 "round", (int)round + 1);
}

static json_t *measured_json(const struct kv_sweep *s, uint32_t round, uint32_t slot)
{
	const struct kv_sweep_round *r = &s->rounds[round];
	const char *provider = s->providers[r->provider[slot]];
	const char *verdict = kv_sweep_pair_verdict(s, provider);
	json_t *o = pair_json(s, kv_sweep_pair_at(s->n, round, slot), round);

	json_object_set_new(o, "bytes_per_s", json_real((double)r->rate[slot]));
	if (r->again && r->again[slot] > 0)
		json_object_set_new(o, "again_bytes_per_s", json_real((double)r->again[slot]));
	json_object_set_new(o, "provider", text(s, provider));
	json_object_set_new(o, "verdict", json_string(verdict));
	if (kv_streq(verdict, "off-fabric"))
		json_object_set_new(
			o, "reason",
			json_string(kv_strf(s->arena, "provider %s, not efa", provider)));
	return o;
}

static void add_faults(const struct kv_sweep *s, json_t *list)
{
	for (size_t i = 0; i < s->faults.n; i++) {
		const struct kv_sweep_fault *f = &s->faults.v[i];
		json_t *o = pair_json(s, f->pair, f->round);

		json_object_set_new(o, "bytes_per_s", json_real(0));
		json_object_set_new(o, "verdict", json_string("unknown"));
		json_object_set_new(o, "cause", text(s, f->cause));
		json_object_set_new(o, "reason",
				    json_string(kv_strf(s->arena, "%s: %s", f->cause, f->text)));
		json_array_append_new(list, o);
	}
}

static json_t *pairs_json(const struct kv_sweep *s, bool all)
{
	json_t *list = json_array();

	add_faults(s, list);
	for (size_t i = 0; !all && i < s->slow.n && i < WORST; i++) {
		uint32_t round, slot;

		kv_sweep_pair_find(s->n, s->slow.v[i].pair.a, s->slow.v[i].pair.b, &round, &slot);
		json_array_append_new(list, measured_json(s, round, slot));
	}
	for (uint32_t i = 0; all && i < kv_sweep_rounds(s->n); i++)
		for (uint32_t k = 0; s->rounds[i].rate && k < kv_sweep_slots(s->n); k++)
			if (s->rounds[i].rate[k] > 0)
				json_array_append_new(list, measured_json(s, i, k));
	return list;
}

static json_t *slow_json(const struct kv_sweep *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->slow.n; i++) {
		const struct kv_sweep_slow *p = &s->slow.v[i];
		json_t *o = pair_json(s, p->pair, p->round);

		json_object_set_new(o, "bytes_per_s", json_real((double)p->rate));
		json_object_set_new(o, "usual_bytes_per_s", json_real((double)p->expected));
		json_object_set_new(o, "confirmed", json_boolean(p->confirmed));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *blocks_json(const struct kv_sweep *s)
{
	json_t *nodes = json_array(), *pairs = json_array();
	struct kv_sweep_blocks b;
	const char **names;

	kv_sweep_block(s, BLOCKS, &b);
	names = kv_alloc_n(s->arena, b.n, sizeof(*names));
	for (uint32_t i = 0; i < b.n; i++) {
		kv_strv list = { 0 };

		kv_sweep_block_names(s, &b, i, &list);
		names[i] = kv_hostlist_compress(s->arena, &list);
		json_array_append_new(nodes, json_string(names[i]));
	}
	for (size_t i = 0; i < b.n_cells; i++) {
		const struct kv_sweep_cell *c = &b.cells[i];
		double mean = c->measured ? c->sum / (double)c->measured : 0;

		if (c->measured || c->failed)
			json_array_append_new(
				pairs,
				json_pack("{s:s, s:s, s:f, s:f, s:I, s:I}", "a", names[c->a], "b",
					  names[c->b], "bytes_per_s", mean, "worst_bytes_per_s",
					  (double)c->worst, "measured", (json_int_t)c->measured,
					  "failed", (json_int_t)c->failed));
	}
	return json_pack("{s:i, s:o, s:o}", "size", (int)b.size, "nodes", nodes, "pairs", pairs);
}

json_t *kv_json_sweep(const struct kv_sweep *s)
{
	uint64_t all = (uint64_t)kv_sweep_rounds(s->n) * kv_sweep_slots(s->n);
	bool few = s->tried <= ALL_PAIRS;
	kv_strv exclude = { 0 };
	json_t *doc;

	kv_sweep_exclude(s, &exclude);
	doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
			"kvpath.sweep/1", "version", KVPATH_VERSION, "verdict", s->verdict,
			"launcher", s->launcher, "target", s->test.target, "exclude",
			exclude.n ? list_of(s, &exclude) : json_null(), "nodes", nodes_json(s),
			"groups", groups_json(s), "differences", differences_json(s), "rounds",
			rounds_json(s), "slow_pairs", slow_json(s));
	json_object_set_new(doc, "test",
			    json_pack("{s:s, s:s, s:s, s:s, s:I}", "engine", s->test.engine,
				      "shape", s->test.shape, "op", s->test.op, "mem", s->test.mem,
				      "iters", (json_int_t)s->test.iters));
	json_object_set_new(doc, "totals",
			    json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "nodes",
				      (int)s->n, "pairs", (json_int_t)all, "tried",
				      (json_int_t)s->tried, "measured", (json_int_t)s->measured,
				      "failed", (json_int_t)s->n_faults, "off_fabric",
				      (json_int_t)s->n_off, "slow", (json_int_t)s->n_slow,
				      "median_bytes_per_s", (double)s->median));
	json_object_set_new(doc, "pairs", pairs_json(s, few));
	json_object_set_new(doc, "all_pairs", json_boolean(few));
	if (!few)
		json_object_set_new(doc, "blocks", blocks_json(s));
	return doc;
}
