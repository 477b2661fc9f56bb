/*
 * Measurements: what was gained, as bars; time and rate by size, as curves; every run in a table.
 * Runs whose data did not arrive as sent are in the table only, and marked.
 */
#include "base/provider.h"
#include "prove/rates.h"
#include "report/html_parts.h"
#include "report/svg.h"
#include "report/units.h"

struct run {
	const char *engine, *provider, *op, *mem, *name;
	double count, size, iters, p50, p90, p99, max, rate; /* seconds, bytes a second */
	double link; /* bytes a second that this host's links can carry; 0: not known */
	bool intact, main, busy;
};
typedef KV_VEC(struct run) run_list;

static void add_run(struct kv_arena *a, const struct kv_docs *docs, const json_t *o, run_list *list)
{
	struct run r = {
		.engine = kv_json_str(o, "engine"),
		.provider = kv_json_str(o, "provider"),
		.op = kv_json_str(o, "op"),
		.mem = kv_json_str(o, "mem"),
		.count = kv_json_num(o, "count"),
		.size = kv_json_num(o, "size"),
		.iters = kv_json_num(o, "iters"),
		.p50 = kv_json_num(o, "p50_us") / 1e6,
		.p90 = kv_json_num(o, "p90_us") / 1e6,
		.p99 = kv_json_num(o, "p99_us") / 1e6,
		.max = kv_json_num(o, "max_us") / 1e6,
		.rate = kv_json_num(o, "bytes_per_s"),
		.link = kv_json_num(o, "link_bytes_per_s"),
		.intact = json_is_true(json_object_get(o, "intact")),
		.busy = kv_rate_busy(o),
	};
	const char *backend = strchr(r.engine, ':');

	if (!*r.engine)
		return;
	/* "ofi:tcp" names its provider already. */
	r.name = *r.provider && !kv_ends(r.engine, kv_strf(a, ":%s", r.provider)) &&
				 !kv_streq(r.engine, r.provider)
			 ? kv_strf(a, "%s %s", r.engine, r.provider)
			 : r.engine;
	if (kv_streq(kv_json_str(o, "progress"), "none"))
		r.name = kv_strf(a, "%s, no progress thread", r.name);
	r.main = (backend && strcasecmp(backend + 1, docs->backend) == 0) ||
		 kv_carrier_of(r.provider) == KV_CARRIER_EFA;
	kv_vec_push(a, list, r);
}

/* ---- bars: one shape, every way that moved it ---- */

static bool same_shape(const struct run *a, const struct run *b)
{
	return kv_streq(a->op, b->op) && kv_streq(a->mem, b->mem) && a->count == b->count &&
	       a->size == b->size;
}

static bool shown(const struct run *r)
{
	return r->intact && r->p50 > 0 && r->size > 0;
}

/* The runs of the shape that r has, the slowest first. */
static void runs_of(struct kv_arena *a, const run_list *all, const struct run *r, run_list *ret)
{
	for (size_t i = 0; i < all->n; i++) {
		size_t at = ret->n;

		if (!shown(&all->v[i]) || !same_shape(&all->v[i], r))
			continue;
		kv_vec_push(a, ret, all->v[i]);
		for (; at && ret->v[at - 1].p50 < ret->v[at].p50; at--) {
			struct run other = ret->v[at];

			ret->v[at] = ret->v[at - 1];
			ret->v[at - 1] = other;
		}
	}
}

static const char *shape_text(struct kv_arena *a, const struct run *r)
{
	return kv_strf(a, "%s of %s, %s, %s", kv_count_text(a, (uint64_t)r->count),
		       kv_size_text(a, (uint64_t)r->size), r->op, r->mem);
}

/* The shape of most bytes that was moved in more than one way. */
static const struct run *widest(struct kv_arena *a, const run_list *all)
{
	const struct run *best = NULL;

	for (size_t i = 0; i < all->n; i++) {
		const struct run *r = &all->v[i];
		run_list same = { 0 };

		if (!shown(r) || (best && r->count * r->size <= best->count * best->size))
			continue;
		runs_of(a, all, r, &same);
		best = same.n > 1 ? r : best;
	}
	return best;
}

static void put_bars(struct kv_html *h, const run_list *all)
{
	const struct run *shape = widest(h->arena, all);
	run_list same = { 0 };

	if (!shape)
		return;
	runs_of(h->arena, all, shape, &same);
	kv_html(h,
		"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Time of one "
		"transfer\">"
		"<table class=\"bars\">\n<caption>Time of one transfer: %s (median)</caption>\n"
		"<thead><tr><th scope=\"col\">Way</th><th scope=\"col\" class=\"n\">Time</th>"
		"<th scope=\"col\" class=\"n\">Rate</th><th scope=\"col\">Beside the slowest</th>"
		"<th scope=\"col\" class=\"n\">Faster</th></tr></thead>\n<tbody>\n",
		shape_text(h->arena, shape));
	for (size_t i = 0; i < same.n && i < KV_HTML_ROWS; i++) {
		const struct run *r = &same.v[i];

		kv_html(h,
			"<tr%s><th scope=\"row\">%s</th><td class=\"n\">%s</td><td "
			"class=\"n\">%s/s</td>"
			"<td class=\"bar\"><svg aria-hidden=\"true\"><rect x=\"0\" y=\"2\" "
			"height=\"14\" "
			"width=\"%.2f%%\"/></svg></td><td class=\"n\">%s</td></tr>\n",
			r->main ? " class=main" : "",
			r->busy ? kv_strf(h->arena, "%s (busy machine)", r->name) : r->name,
			kv_time_text(h->arena, r->p50), kv_bytes_text(h->arena, r->rate),
			100 * r->p50 / same.v[0].p50,
			i ? kv_strf(h->arena, "%.1f times", same.v[0].p50 / r->p50) : "");
	}
	kv_html_table_end(h);
}

/* ---- bars: of what the links can carry, each way's best ---- */

static bool has_link(const struct run *r)
{
	return shown(r) && r->rate > 0 && r->link > 0;
}

static bool same_way(const struct run *a, const struct run *b)
{
	return kv_streq(a->name, b->name) && kv_streq(a->op, b->op) && kv_streq(a->mem, b->mem);
}

static void best_of_link(struct kv_arena *a, const run_list *all, run_list *ret)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct run *r = &all->v[i];
		size_t k = 0;

		if (!has_link(r))
			continue;
		while (k < ret->n && !same_way(&ret->v[k], r))
			k++;
		if (k == ret->n)
			kv_vec_push(a, ret, *r);
		else if (r->rate / r->link > ret->v[k].rate / ret->v[k].link)
			ret->v[k] = *r;
	}
}

static void put_links(struct kv_html *h, const run_list *all)
{
	struct kv_arena *a = h->arena;
	run_list best = { 0 };

	best_of_link(a, all, &best);
	if (!best.n)
		return;
	kv_html(h,
		"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Rate beside the "
		"link\"><table class=\"bars\">\n<caption>Rate beside what this host's links can "
		"carry: each way's best shape</caption>\n"
		"<thead><tr><th scope=\"col\">Way</th><th scope=\"col\" class=\"n\">Shape</th>"
		"<th scope=\"col\" class=\"n\">Rate</th><th scope=\"col\" class=\"n\">Link</th>"
		"<th scope=\"col\">Of the link</th><th scope=\"col\" class=\"n\">Share</th></tr>"
		"</thead>\n<tbody>\n");
	for (size_t i = 0; i < best.n && i < KV_HTML_ROWS; i++) {
		const struct run *r = &best.v[i];
		double share = 100 * r->rate / r->link;

		kv_html(h,
			"<tr%s><th scope=\"row\">%s</th><td class=\"n\">%s</td><td "
			"class=\"n\">%s/s</td>"
			"<td class=\"n\">%s/s</td><td class=\"bar\"><svg aria-hidden=\"true\">"
			"<rect x=\"0\" y=\"2\" height=\"14\" width=\"%.2f%%\"/></svg></td>"
			"<td class=\"n\">%s</td></tr>\n",
			r->main ? " class=main" : "",
			r->busy ? kv_strf(a, "%s (busy machine)", r->name) : r->name,
			shape_text(a, r), kv_bytes_text(a, r->rate), kv_bytes_text(a, r->link),
			share < 100 ? share : 100,
			share < 10 ? kv_strf(a, "%.1f%%", share) : kv_strf(a, "%.0f%%", share));
	}
	kv_html_table_end(h);
}

/* ---- curves: one plot for each operation and memory ---- */

static struct kv_curve *curve_of(struct kv_arena *a, struct kv_plot *p, const char *name, bool main)
{
	struct kv_curve *c;

	for (size_t i = 0; i < p->curves.n; i++)
		if (kv_streq(p->curves.v[i].name, name))
			return &p->curves.v[i];
	c = kv_vec_add(a, &p->curves);
	c->name = name;
	c->main = main;
	return c;
}

/* By x; of two at one size the faster one stays. */
static void add_point(struct kv_arena *a, struct kv_curve *c, struct kv_point at,
		      bool less_is_better)
{
	size_t i = 0;

	while (i < c->points.n && c->points.v[i].x < at.x)
		i++;
	if (i < c->points.n && c->points.v[i].x == at.x) {
		if ((at.y < c->points.v[i].y) == less_is_better)
			c->points.v[i] = at;
		return;
	}
	kv_vec_push(a, &c->points, at);
	memmove(&c->points.v[i + 1], &c->points.v[i], (c->points.n - 1 - i) * sizeof(at));
	c->points.v[i] = at;
}

static const char *plot_text(struct kv_arena *a, const struct kv_plot *p)
{
	const char *text = kv_strf(a, "%s, by size, on log axes.", p->title);

	for (size_t i = 0; i < p->curves.n; i++) {
		const struct kv_curve *c = &p->curves.v[i];
		const struct kv_point *first = &c->points.v[0],
				      *last = &c->points.v[c->points.n - 1];

		text = kv_strf(a, "%s %s: %s at %s", text, c->name, kv_unit_text(a, p->y, first->y),
			       kv_unit_text(a, p->x, first->x));
		text = c->points.n > 1
			       ? kv_strf(a, "%s, %s at %s.", text, kv_unit_text(a, p->y, last->y),
					 kv_unit_text(a, p->x, last->x))
			       : kv_strf(a, "%s.", text);
	}
	return text;
}

/* A shape is not comparable with another one: where a size was moved in several counts, the count
 * is part of the name. */
static bool has_counts(const run_list *all, const struct run *of)
{
	for (size_t i = 0; i < all->n; i++)
		if (shown(&all->v[i]) && kv_streq(all->v[i].op, of->op) &&
		    kv_streq(all->v[i].mem, of->mem) && all->v[i].count != of->count)
			return true;
	return false;
}

static void put_plot(struct kv_html *h, const run_list *all, const struct run *of, bool rate)
{
	struct kv_plot p = { .title = rate ? "Rate" : "Time of one transfer",
			     .x = KV_UNIT_SIZE,
			     .y = rate ? KV_UNIT_RATE : KV_UNIT_TIME };
	bool counts = has_counts(all, of);
	struct kv_arena *a = h->arena;

	p.subtitle = kv_strf(a, "%s, %s, by the size of a block%s", of->op, of->mem,
			     rate ? "" : "; median, and up to p99");
	for (size_t i = 0; i < all->n; i++) {
		const struct run *r = &all->v[i];
		const char *name =
			counts ? kv_strf(a, "%s \xc3\x97%.0f", r->name, r->count) : r->name;

		if (!shown(r) || (rate && r->rate <= 0) || !kv_streq(r->op, of->op) ||
		    !kv_streq(r->mem, of->mem))
			continue;
		add_point(a, curve_of(a, &p, name, r->main),
			  (struct kv_point){ r->size, rate ? r->rate : r->p50, rate ? 0 : r->p99 },
			  !rate);
	}
	p.text = plot_text(a, &p);
	kv_svg_plot(h, &p);
}

static void put_plots(struct kv_html *h, const run_list *all)
{
	kv_html(h, "<div class=\"figures\">\n");
	for (size_t i = 0; i < all->n; i++) {
		const struct run *r = &all->v[i];
		bool seen = !shown(r);

		for (size_t k = 0; k < i && !seen; k++)
			seen = shown(&all->v[k]) && kv_streq(all->v[k].op, r->op) &&
			       kv_streq(all->v[k].mem, r->mem);
		if (seen)
			continue;
		put_plot(h, all, r, false);
		put_plot(h, all, r, true);
	}
	kv_html(h, "</div>\n");
}

/* What the reader must know of the figures before. */
static void put_busy(struct kv_html *h, const run_list *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++)
		n += all->v[i].busy;
	if (n)
		kv_html(h,
			"<p>%s of %s runs were measured on a busy machine: their two sides waited "
			"for a processor for more than a twentieth of the time. Those figures are "
			"the load's too, and none to rely on.</p>\n",
			kv_count_text(h->arena, n), kv_count_text(h->arena, all->n));
}

/* ---- the table ---- */

static void put_runs(struct kv_html *h, const run_list *all)
{
	struct kv_arena *a = h->arena;

	kv_html_table(h, "Every run",
		      (const char *const[]){ "Way", "Operation", "#Blocks", "#Size", "#Runs",
					     "#p50", "#p90", "#p99", "#Max", "#Rate", "Data",
					     NULL });
	for (size_t i = 0; i < all->n && i < KV_HTML_ROWS; i++) {
		const struct run *r = &all->v[i];

		kv_html(h,
			"<tr><th scope=\"row\">%s</th><td>%s, %s</td><td class=\"n\">%s</td>"
			"<td class=\"n\">%s</td><td class=\"n\">%s</td>",
			r->name, r->op, r->mem, kv_count_text(a, (uint64_t)r->count),
			kv_size_text(a, (uint64_t)r->size), kv_count_text(a, (uint64_t)r->iters));
		kv_html(h,
			"<td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td>"
			"<td class=\"n\">%s</td><td class=\"n\">%s/s</td>"
			"<td class=\"%s\">%s</td></tr>\n",
			kv_time_text(a, r->p50), kv_time_text(a, r->p90), kv_time_text(a, r->p99),
			kv_time_text(a, r->max), kv_bytes_text(a, r->rate),
			r->intact ? "sent" : "broken",
			r->intact ? r->busy ? "as sent; busy machine" : "as sent" : "NOT as sent");
	}
	kv_html_table_end(h);
	kv_html_more(h, all->n, KV_HTML_ROWS);
}

void kv_html_bench(struct kv_html *h, const struct kv_docs *docs)
{
	run_list all = { 0 };

	kv_docs_each(d, docs, KV_DOC_BENCH)
	{
		const json_t *o;
		size_t i;

		json_array_foreach(kv_json_list(d->root, "runs"), i, o)
			add_run(h->arena, docs, o, &all);
	}
	if (!all.n)
		return;
	kv_html_section(h, "Measured");
	put_busy(h, &all);
	put_bars(h, &all);
	put_links(h, &all);
	put_plots(h, &all);
	put_runs(h, &all);
	kv_html_end(h);
}
