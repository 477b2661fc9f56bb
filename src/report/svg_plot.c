/* Curves on two log axes, each named at its end. */
#include <math.h>

#include "report/svg.h"

/* All lengths are in pixels of the drawing. */
static const struct {
	double width, height, left, names, top, bottom, font, line, tick, gap;
} page = { 540, 330, 66, 150, 10, 40, 12, 16, 6, 22 };

/* Curves beyond these would not be told apart; they are in the table. */
#define CURVES 8

static const char *const dashes[] = { "",    "6 4",  "2 3",         "10 4 2 4",
				      "1 4", "12 5", "8 3 2 3 2 3", "4 6" };

struct drawing {
	struct kv_html *h;
	const struct kv_plot *plot;
	struct kv_axis x, y;
	struct kv_ticks x_ticks, y_ticks;
	size_t n; /* curves that are drawn */
};

static void widen(struct kv_axis *x, double value)
{
	x->lo = !x->lo || value < x->lo ? value : x->lo;
	x->hi = value > x->hi ? value : x->hi;
}

static void fit(struct drawing *d)
{
	const struct kv_plot *p = d->plot;
	double names = 0;

	d->n = p->curves.n < CURVES ? p->curves.n : CURVES;
	for (size_t i = 0; i < d->n; i++) {
		double w = kv_text_width(kv_printable_text(d->h->arena, p->curves.v[i].name),
					 page.font);

		names = w > names ? w : names;
	}
	names = names < page.names ? names : page.names;
	d->x = (struct kv_axis){ 0, 0, page.left, page.width - page.gap - names, p->x };
	d->y = (struct kv_axis){ 0, 0, page.height - page.bottom, page.top, p->y };
	for (size_t i = 0; i < d->n; i++)
		for (size_t k = 0; k < p->curves.v[i].points.n; k++) {
			const struct kv_point *at = &p->curves.v[i].points.v[k];

			widen(&d->x, at->x);
			widen(&d->y, at->y);
			if (at->high > at->y)
				widen(&d->y, at->high);
		}
	kv_axis_fit(&d->x, 58, &d->x_ticks);
	kv_axis_fit(&d->y, 24, &d->y_ticks);
}

static void put_axes(const struct drawing *d)
{
	struct kv_html *h = d->h;

	for (size_t i = 0; i < d->y_ticks.n; i++) {
		double y = kv_axis_pixel(&d->y, d->y_ticks.at[i]);

		kv_html(h, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", d->x.p0, y, d->x.p1);
		if (d->y_ticks.named[i])
			kv_html(h, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
				d->x.p0 - page.tick, y + page.font / 3,
				kv_tick_text(h->arena, d->plot->y, d->y_ticks.at[i]));
	}
	for (size_t i = 0; i < d->x_ticks.n; i++) {
		double x = kv_axis_pixel(&d->x, d->x_ticks.at[i]);

		kv_html(h,
			"<path class=\"axis\" d=\"M%.1f %.1fv%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>",
			x, d->y.p0, page.tick, x, d->y.p0 + page.tick + page.line,
			kv_tick_text(h->arena, d->plot->x, d->x_ticks.at[i]));
	}
	kv_html(h, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", d->x.p0, d->y.p0, d->x.p1);
}

static void put_curve(const struct drawing *d, size_t i)
{
	const struct kv_curve *c = &d->plot->curves.v[i];
	const char *class = c->main ? " main" : "";
	struct kv_html *h = d->h;

	kv_html(h, "<g><title>%s</title>", c->name);
	for (size_t k = 0; k < c->points.n; k++)
		if (c->points.v[k].high > c->points.v[k].y)
			kv_html(h, "<path class=\"spread%s\" d=\"M%.1f %.1fV%.1f\"/>", class,
				kv_axis_pixel(&d->x, c->points.v[k].x),
				kv_axis_pixel(&d->y, c->points.v[k].y),
				kv_axis_pixel(&d->y, c->points.v[k].high));
	kv_html(h, "<path class=\"curve%s\" stroke-dasharray=\"%s\" d=\"", class,
		c->main ? "" : dashes[i % KV_ARRAY_SIZE(dashes)]);
	for (size_t k = 0; k < c->points.n; k++)
		kv_html(h, "%s%.1f %.1f", k ? "L" : "M", kv_axis_pixel(&d->x, c->points.v[k].x),
			kv_axis_pixel(&d->y, c->points.v[k].y));
	kv_html(h, "\"/>");
	for (size_t k = 0; k < c->points.n; k++)
		kv_html(h, "<circle class=\"dot%s\" r=\"3\" cx=\"%.1f\" cy=\"%.1f\"/>", class,
			kv_axis_pixel(&d->x, c->points.v[k].x),
			kv_axis_pixel(&d->y, c->points.v[k].y));
	kv_html(h, "</g>\n");
}

struct end {
	size_t curve;
	double y;
};

static int by_y(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	return x->y < y->y ? -1 : x->y > y->y ? 1 : (x->curve > y->curve) - (x->curve < y->curve);
}

static void put_names(const struct drawing *d)
{
	struct end ends[CURVES];
	double at[CURVES];

	for (size_t i = 0; i < d->n; i++) {
		const struct kv_curve *c = &d->plot->curves.v[i];

		ends[i] = (struct end){ i, kv_axis_pixel(&d->y, c->points.v[c->points.n - 1].y) };
	}
	if (d->n)
		qsort(ends, d->n, sizeof(*ends), by_y);
	for (size_t i = 0; i < d->n; i++)
		at[i] = ends[i].y;
	kv_labels_spread(at, d->n, page.line, page.top + page.font / 2, d->y.p0 - page.font / 2);
	for (size_t i = 0; i < d->n; i++) {
		const struct kv_curve *c = &d->plot->curves.v[ends[i].curve];
		double x = d->x.p1 + page.gap,
		       from = kv_axis_pixel(&d->x, c->points.v[c->points.n - 1].x);

		kv_html(d->h,
			"<path class=\"leader\" d=\"M%.1f %.1fL%.1f %.1fH%.1f\"/>"
			"<text class=\"name%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
			from + 5, ends[i].y, d->x.p1 + 10, at[i], x - 4, c->main ? " main" : "", x,
			at[i] + page.font / 3,
			kv_text_fit(d->h->arena, c->name, page.font, page.width - x));
	}
}

void kv_svg_plot(struct kv_html *h, const struct kv_plot *p)
{
	struct drawing d = { .h = h, .plot = p };

	if (!p->curves.n)
		return;
	fit(&d);
	kv_html(h,
		"<figure><figcaption>%s<span>%s</span></figcaption>\n"
		"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">"
		"<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n",
		p->title, p->subtitle, p->title, page.width, page.height, p->text);
	put_axes(&d);
	/* The main curves on top of the others. */
	for (int main = 0; main < 2; main++)
		for (size_t i = 0; i < d.n; i++)
			if (p->curves.v[i].main == (main == 1))
				put_curve(&d, i);
	put_names(&d);
	kv_html(h, "</svg></div>");
	if (p->curves.n > d.n)
		kv_html(h, "<p class=\"soft\">%zu more are in the table.</p>", p->curves.n - d.n);
	kv_html(h, "</figure>\n");
}
