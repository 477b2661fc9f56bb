/*
 * Node by node: who reaches whom, at what rate. Rows and columns have the nodes' numbers, so that
 * no text has to be turned; their names stand beside the rows.
 */
#include "report/html_parts.h"
#include "report/svg.h"
#include "report/units.h"

/* Nodes that a drawing shows; of more, the ones with the slowest pairs. */
#define NODES  64
#define LEVELS 5
#define PAIRS  20

static const struct {
	double cell, least_cell, width, name, number, gap, head, font, text_cell;
} page = { 44, 12, 900, 180, 34, 8, 18, 11, 40 };

struct pair {
	size_t a, b;
	double rate;
	const char *verdict, *reason;
};

struct node {
	const char *name, *verdict, *reason;
	double worst; /* rate of its slowest pair; 0 where one failed */
	size_t shown; /* its place in the drawing, plus one */
};

struct sweep {
	struct kv_arena *arena;
	KV_VEC(struct node) nodes;
	KV_VEC(struct pair) pairs;
	struct kv_map *places;
	double best;
};

static size_t node_of(struct sweep *s, const char *name)
{
	void **slot = kv_map_slot(s->places, name);

	if (!*slot) {
		struct node *n = kv_vec_add(s->arena, &s->nodes);

		n->name = name;
		n->verdict = n->reason = "";
		n->worst = -1;
		*slot = (void *)(uintptr_t)s->nodes.n;
	}
	return (size_t)(uintptr_t)*slot - 1;
}

/* A node is its name, or an object that has it. */
static void add_node(struct sweep *s, const json_t *o)
{
	const char *name = json_is_string(o) ? json_string_value(o) : kv_json_str(o, "name");
	struct node *n;
	size_t i;

	if (!*name)
		return;
	i = node_of(s, name);
	n = &s->nodes.v[i];
	n->verdict = kv_json_str(o, "verdict");
	n->reason = kv_json_str(o, "reason");
}

/* Of blocks: how many of their pairs failed, and the slowest one. */
static const char *reason_of(struct kv_arena *a, const json_t *o)
{
	double worst = kv_json_num(o, "worst_bytes_per_s"), failed = kv_json_num(o, "failed");
	const char *why = kv_json_str(o, "reason");

	if (worst > 0)
		why = kv_strf(a, "the slowest %s/s", kv_bytes_text(a, worst));
	if (failed > 0)
		why = kv_strf(a, "%s%s%.0f failed", why, *why ? ", " : "", failed);
	return why;
}

static void add_pair(struct sweep *s, const json_t *o)
{
	const char *a = kv_json_str(o, "a"), *b = kv_json_str(o, "b");
	struct pair p = { .rate = kv_json_num(o, "bytes_per_s"),
			  .verdict = kv_json_str(o, "verdict"),
			  .reason = reason_of(s->arena, o) };
	bool bad = kv_streq(p.verdict, "off-fabric");

	if (!*a || !*b)
		return;
	p.a = node_of(s, a);
	p.b = node_of(s, b);
	for (int i = 0; i < 2; i++) {
		struct node *n = &s->nodes.v[i ? p.b : p.a];
		double rate = bad ? 0 : p.rate;

		n->worst = n->worst < 0 || rate < n->worst ? rate : n->worst;
	}
	s->best = p.rate > s->best ? p.rate : s->best;
	kv_vec_push(s->arena, &s->pairs, p);
}

static void read_sweep(struct kv_arena *a, const json_t *root, struct sweep *s)
{
	const json_t *o;
	size_t i;

	*s = (struct sweep){ .arena = a, .places = kv_map_new(a) };
	json_array_foreach(kv_json_list(root, "nodes"), i, o) add_node(s, o);
	json_array_foreach(kv_json_list(root, "pairs"), i, o) add_pair(s, o);
}

/* Which nodes are drawn: all, or those with the slowest pairs, in their order. */
static size_t choose(struct sweep *s)
{
	double limit = 0;
	size_t n = 0;
	bool all = s->nodes.n <= NODES;

	/* The lowest rate below which there are no more than fit: by halving. */
	for (double lo = 0, hi = s->best * 2, i = 0; !all && i < 60; i++) {
		size_t below = 0;

		limit = (lo + hi) / 2;
		for (size_t k = 0; k < s->nodes.n; k++)
			below += s->nodes.v[k].worst >= 0 && s->nodes.v[k].worst <= limit;
		*(below > NODES ? &hi : &lo) = limit;
	}
	for (size_t i = 0; i < s->nodes.n && n < NODES; i++)
		if (all || (s->nodes.v[i].worst >= 0 && s->nodes.v[i].worst <= limit))
			s->nodes.v[i].shown = ++n;
	return n;
}

static double cell_of(size_t n)
{
	double cell = (page.width - page.name) / (double)n;

	return cell > page.cell ? page.cell : cell < page.least_cell ? page.least_cell : cell;
}

static void put_cell(struct kv_html *h, const struct sweep *s, const struct pair *p, size_t row,
		     size_t column, double cell)
{
	double x = page.name + (double)column * cell, y = page.head + (double)row * cell;
	bool off = kv_streq(p->verdict, "off-fabric") || p->rate <= 0;
	int level = off ? 0 : (int)(p->rate / s->best * LEVELS * .9999);
	const char *rate =
		off ? "no rate" : kv_strf(h->arena, "%s/s", kv_bytes_text(h->arena, p->rate));

	kv_html(h,
		"<g><title>%s to %s: %s %s %s</title><rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" "
		"width=\"%.1f\" height=\"%.1f\"/>",
		s->nodes.v[p->a].name, s->nodes.v[p->b].name, rate, p->verdict, p->reason,
		off ? "off" : kv_strf(h->arena, "l%d", level), x, y, cell, cell);
	if (off)
		kv_html(h, "<path class=\"x\" d=\"M%.1f %.1fl%.1f %.1fm0 %.1fl%.1f %.1f\"/>",
			x + cell * .32, y + cell * .32, cell * .36, cell * .36, -cell * .36,
			-cell * .36, cell * .36);
	else if (cell >= page.text_cell)
		kv_html(h,
			"<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" "
			"text-anchor=\"middle\">%.*f</text>",
			level < 3 ? "low" : "high", x + cell / 2, y + cell / 2 + page.font / 3,
			p->rate >= 9.95e9 ? 0 : 1, p->rate / 1e9);
	kv_html(h, "</g>\n");
}

static void put_heads(struct kv_html *h, const struct sweep *s, double cell)
{
	size_t step = cell >= 18 ? 1 : 5;

	for (size_t i = 0; i < s->nodes.n; i++) {
		const struct node *n = &s->nodes.v[i];
		double at = n->shown ? (double)(n->shown - 1) * cell + cell / 2 : 0;

		if (!n->shown)
			continue;
		if (n->shown == 1 || n->shown % step == 0)
			kv_html(h, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%zu</text>",
				page.name + at, page.head - 5, n->shown);
		kv_html(h, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%zu</text>",
			page.name - page.gap, page.head + at + page.font / 3, n->shown);
		kv_html(h,
			"<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
			page.name - page.number, page.head + at + page.font / 3,
			kv_text_fit(h->arena, n->name, page.font, page.name - page.number));
	}
}

static void put_key(struct kv_html *h, const struct sweep *s)
{
	kv_html(h, "<ul class=\"key\">");
	for (int i = 0; i < LEVELS; i++)
		kv_html(h,
			"<li><svg class=\"heat\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><rect "
			"class=\"l%d\" "
			"width=\"16\" height=\"16\"/></svg>%s to %s/s</li>",
			i, kv_bytes_text(h->arena, s->best * i / LEVELS),
			kv_bytes_text(h->arena, s->best * (i + 1) / LEVELS));
	kv_html(h, "<li><svg class=\"heat\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><rect "
		   "class=\"off\" "
		   "x=\".5\" y=\".5\" width=\"15\" height=\"15\"/><path class=\"x\" "
		   "d=\"M5 5l6 6m0 -6l-6 6\"/></svg>off the fabric, or no rate</li></ul>\n");
}

/* of: "nodes", or "blocks" of nodes that follow each other, whose pairs have the mean rate. */
static void put_map(struct kv_html *h, struct sweep *s, const char *of)
{
	size_t n = choose(s);
	double cell = n ? cell_of(n) : 0, width = page.name + (double)n * cell + 1,
	       height = page.head + (double)n * cell + 1;
	bool drawn[NODES][NODES] = { 0 };

	if (!n || !s->pairs.n)
		return;
	kv_html(h,
		"<figure><figcaption>Rate from row to column%s<span>%zu of %zu %s, %zu pairs; "
		"best %s/s</span></figcaption>\n"
		"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Rate from node "
		"to node\">"
		"<svg class=\"heat\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
		"role=\"img\" "
		"aria-label=\"Rates between %zu %s; the slowest pairs are in the table "
		"below.\">\n",
		cell >= page.text_cell ? ", GB/s" : "", n, s->nodes.n, of, s->pairs.n,
		kv_bytes_text(h->arena, s->best), width, height, width, height, n, of);
	put_heads(h, s, cell);
	for (size_t i = 0; i < s->pairs.n; i++) {
		const struct pair *p = &s->pairs.v[i];
		size_t row = s->nodes.v[p->a].shown, column = s->nodes.v[p->b].shown;

		/* A document may have a pair twice. */
		if (!row || !column || drawn[row - 1][column - 1])
			continue;
		drawn[row - 1][column - 1] = true;
		put_cell(h, s, p, row - 1, column - 1, cell);
	}
	kv_html(h, "</svg></div>\n");
	put_key(h, s);
	kv_html(h, "</figure>\n");
}

static int slower(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	bool x_off = kv_streq(x->verdict, "off-fabric"), y_off = kv_streq(y->verdict, "off-fabric");

	if (x_off != y_off)
		return x_off ? -1 : 1;
	return x->rate < y->rate ? -1 : x->rate > y->rate;
}

static bool is_bad(const struct node *d)
{
	return kv_streq(d->verdict, "off-fabric") || *d->reason;
}

static void put_nodes(struct kv_html *h, const struct sweep *s)
{
	size_t n = 0, shown = 0;

	for (size_t i = 0; i < s->nodes.n; i++)
		n += is_bad(&s->nodes.v[i]);
	if (!n)
		return;
	kv_html_table(h, "Bad nodes", (const char *const[]){ "Node", "Verdict", "Why", NULL });
	for (size_t i = 0; i < s->nodes.n && shown < KV_HTML_ROWS; i++) {
		const struct node *d = &s->nodes.v[i];

		if (!is_bad(d))
			continue;
		kv_html(h, "<tr><th scope=\"row\">%s</th><td>", d->name);
		if (*d->verdict)
			kv_html_verdict(h, d->verdict);
		kv_html(h, "</td><td>%s</td></tr>\n", d->reason);
		shown++;
	}
	kv_html_table_end(h);
	kv_html_more(h, n, shown);
}

static void put_pairs(struct kv_html *h, struct sweep *s)
{
	if (!s->pairs.n)
		return;
	qsort(s->pairs.v, s->pairs.n, sizeof(*s->pairs.v), slower);
	kv_html_table(h, "The slowest pairs",
		      (const char *const[]){ "From", "To", "#Rate", "Verdict", "Why", NULL });
	for (size_t i = 0; i < s->pairs.n && i < PAIRS; i++) {
		const struct pair *p = &s->pairs.v[i];

		kv_html(h, "<tr><th scope=\"row\">%s</th><td>%s</td><td class=\"n\">%s/s</td><td>",
			s->nodes.v[p->a].name, s->nodes.v[p->b].name,
			kv_bytes_text(h->arena, p->rate));
		if (*p->verdict)
			kv_html_verdict(h, p->verdict);
		kv_html(h, "</td><td>%s</td></tr>\n", p->reason);
	}
	kv_html_table_end(h);
}

void kv_html_sweeps(struct kv_html *h, const struct kv_docs *docs)
{
	if (!kv_docs_count(docs, KV_DOC_SWEEP))
		return;
	kv_html_section(h, "Node to node");
	kv_docs_each(d, docs, KV_DOC_SWEEP)
	{
		const json_t *blocks = json_object_get(d->root, "blocks");
		struct sweep s, taken_together;

		read_sweep(h->arena, d->root, &s);
		read_sweep(h->arena, blocks, &taken_together);
		if (taken_together.pairs.n)
			put_map(h, &taken_together, "blocks");
		else
			put_map(h, &s, "nodes");
		put_nodes(h, &s);
		put_pairs(h, &s);
	}
	kv_html_end(h);
}
