/* A sweep as text: groups of nodes, not nodes; the pairs that went wrong, not all. */
#include "report/sweep.h"
#include "base/hostlist.h"
#include "report/parts.h"
#include "report/units.h"

#define ROWS   20  /* of any list */
#define DETAIL 160 /* of what a finding says; the whole is in the document */

static const char *list_of(const struct kv_sweep *s, const kv_strv *nodes)
{
	return kv_hostlist_compress(s->arena, nodes);
}

static const char *rate_text(const struct kv_sweep *s, double rate)
{
	return kv_strf(s->arena, "%s/s", kv_bytes_text(s->arena, rate));
}

static void more(FILE *out, uint64_t n, size_t shown)
{
	if (n > shown)
		fprintf(out, "    and %llu more\n", (unsigned long long)(n - shown));
}

static void put_groups(FILE *out, const struct kv_sweep *s, struct kv_style st)
{
	kv_sweep_groups groups = { 0 };

	kv_sweep_group(s, &groups);
	fprintf(out, "%u nodes\n", s->n);
	for (size_t i = 0; i < groups.n && i < ROWS; i++) {
		const struct kv_sweep_group *g = &groups.v[i];
		bool lost = kv_streq(g->verdict, "lost");

		fprintf(out, "  %5zu ", g->nodes.n);
		kv_put(out, st, lost ? KV_RED : kv_tone_of_verdict(g->verdict), g->verdict);
		fprintf(out, "%s%s: %s\n", *g->findings ? " " : "", g->findings,
			list_of(s, &g->nodes));
		if (*g->detail && kv_streq(g->verdict, "off-fabric"))
			fprintf(out, "        %.*s%s\n", DETAIL, g->detail,
				strlen(g->detail) > DETAIL ? "..." : "");
	}
	more(out, groups.n, ROWS);
}

static void put_differences(FILE *out, const struct kv_sweep *s)
{
	kv_sweep_differences list = { 0 };

	kv_sweep_differ(s, &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct kv_sweep_difference *d = &list.v[i];

		fprintf(out, "%s%-12s %zu values\n", i ? "             " : "differ in    ",
			kv_sweep_fact_names[d->fact], d->values.n);
		for (size_t k = 0; k < d->values.n && k < ROWS; k++) {
			const struct kv_sweep_value *v = &d->values.v[k];

			fprintf(out, "  %5zu %s%s%s\n", v->nodes.n,
				v->value ? v->value : "not told", k ? ": " : "",
				k ? list_of(s, &v->nodes) : "");
		}
		more(out, d->values.n, ROWS);
	}
}

static uint32_t rounds_of(const struct kv_sweep *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < kv_sweep_rounds(s->n); i++)
		n += s->rounds[i].rate != NULL;
	return n;
}

static const char *providers_of(const struct kv_sweep *s)
{
	const char *text = "";

	for (size_t i = 1; i < KV_ARRAY_SIZE(s->providers) && s->providers[i] && i < ROWS; i++)
		text = kv_strf(s->arena, "%s%s%s", text, *text ? ", " : "", s->providers[i]);
	return *text ? text : "not named";
}

static void put_pairs(FILE *out, const struct kv_sweep *s)
{
	uint64_t all = (uint64_t)kv_sweep_rounds(s->n) * kv_sweep_slots(s->n);

	if (!s->tried) {
		fputs("no pairs were measured\n", out);
		return;
	}
	fprintf(out, "%llu of %llu pairs measured, in %u of %u rounds\n",
		(unsigned long long)s->measured, (unsigned long long)all, rounds_of(s),
		kv_sweep_rounds(s->n));
	fprintf(out, "  engine    %s, %s, %s of %s; provider %s\n", s->test.engine, s->test.op,
		s->test.shape, s->test.mem, providers_of(s));
	if (s->measured)
		fprintf(out, "  median    %s\n", rate_text(s, (double)s->median));
	if (s->n_off)
		fprintf(out, "  not by efa  %llu pairs\n", (unsigned long long)s->n_off);
}

static void put_faults(FILE *out, const struct kv_sweep *s)
{
	if (s->n_faults)
		fprintf(out, "failed  %llu pairs\n", (unsigned long long)s->n_faults);
	for (size_t i = 0; i < s->faults.n && i < ROWS; i++) {
		const struct kv_sweep_fault *f = &s->faults.v[i];

		fprintf(out, "    %s %s  %s: %s\n", s->nodes[f->pair.a].name,
			s->nodes[f->pair.b].name, f->cause, f->text);
	}
	more(out, s->n_faults, s->faults.n < ROWS ? s->faults.n : ROWS);
}

static const char *said_twice(bool confirmed)
{
	return confirmed ? "and again when measured again" : "not measured again: may be noise";
}

static void put_slow(FILE *out, const struct kv_sweep *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->nodes[i].slow)
			fprintf(out, "slow node   %s  %s, usual %s (%s)\n", s->nodes[i].name,
				rate_text(s, (double)s->nodes[i].median),
				rate_text(s, (double)s->nodes[i].expected),
				said_twice(s->nodes[i].confirmed));
	for (size_t i = 0; i < s->slow.n && i < ROWS; i++) {
		const struct kv_sweep_slow *p = &s->slow.v[i];

		fprintf(out, "slow pair   %s %s  %s, usual %s (%s)\n", s->nodes[p->pair.a].name,
			s->nodes[p->pair.b].name, rate_text(s, (double)p->rate),
			rate_text(s, (double)p->expected), said_twice(p->confirmed));
	}
	more(out, s->n_slow, s->slow.n < ROWS ? s->slow.n : ROWS);
}

static void put_bad(FILE *out, const struct kv_sweep *s, struct kv_style st)
{
	kv_strv exclude = { 0 };
	size_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->nodes[i].bad || n++ >= ROWS)
			continue;
		fputs("bad node    ", out);
		kv_put(out, st, KV_RED, s->nodes[i].name);
		fprintf(out, "  %s\n", s->nodes[i].bad);
	}
	more(out, n, ROWS);
	kv_sweep_exclude(s, &exclude);
	if (exclude.n)
		fprintf(out, "--exclude=%s\n", list_of(s, &exclude));
}

void kv_text_sweep(FILE *out, const struct kv_sweep *s, struct kv_style st)
{
	if (!st.quiet) {
		put_groups(out, s, st);
		put_differences(out, s);
		put_pairs(out, s);
		put_faults(out, s);
		put_slow(out, s);
		put_bad(out, s, st);
	}
	kv_put(out, st, kv_tone_of_verdict(s->verdict), s->verdict);
	fputc('\n', out);
}
