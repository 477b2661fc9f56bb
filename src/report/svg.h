/* Drawing with numbers: log axes, their ticks, and labels that keep off each other. */
#ifndef KV_REPORT_SVG_H
#define KV_REPORT_SVG_H

#include "report/html.h"

enum kv_unit { KV_UNIT_SIZE, KV_UNIT_TIME, KV_UNIT_RATE };

/* A log axis from the pixel p0 (at lo) to p1 (at hi). */
struct kv_axis {
	double lo, hi, p0, p1;
	enum kv_unit unit;
};

#define KV_TICKS 32
struct kv_ticks {
	double at[KV_TICKS];
	bool named[KV_TICKS]; /* has a text; the others are lines alone */
	size_t n;
};

double kv_axis_pixel(const struct kv_axis *x, double value);
/* Widens lo and hi to where ticks are, and gives the ticks: at least `apart` pixels between texts.
 */
void kv_axis_fit(struct kv_axis *x, double apart, struct kv_ticks *ret);
const char *kv_unit_text(struct kv_arena *a, enum kv_unit unit, double value);
/* The same for a tick, whose value is round: "10 ms". */
const char *kv_tick_text(struct kv_arena *a, enum kv_unit unit, double value);

/* Not narrower than the text will be in any of the fonts that the page asks for. */
double kv_text_width(const char *s, double font_px);
/* s, or its beginning with an ellipsis, so that it fits. */
const char *kv_text_fit(struct kv_arena *a, const char *s, double font_px, double width);

/* Moves n centres, given in ascending order, until they are `apart` and between lo and hi, each as
 * little as needs be. Where that many do not fit, they are spread evenly. */
void kv_labels_spread(double *at, size_t n, double apart, double lo, double hi);

struct kv_point {
	double x, y, high; /* high: where the spread ends; 0 for none */
};
struct kv_curve {
	const char *name;
	bool main;                      /* drawn in the accent colour */
	KV_VEC(struct kv_point) points; /* by x */
};
struct kv_plot {
	const char *title, *subtitle, *text; /* text: for who can't see the curves */
	enum kv_unit x, y;
	KV_VEC(struct kv_curve) curves;
};
/* A figure; all values are above 0. */
void kv_svg_plot(struct kv_html *h, const struct kv_plot *p);

#endif
