/* Scales, widths of text, places of labels. */
#include <math.h>

#include "report/svg.h"
#include "report/units.h"

double kv_axis_pixel(const struct kv_axis *x, double value)
{
	return x->p0 + (x->p1 - x->p0) * log(value / x->lo) / log(x->hi / x->lo);
}

const char *kv_unit_text(struct kv_arena *a, enum kv_unit unit, double value)
{
	if (unit == KV_UNIT_SIZE)
		return value < 1024 ? kv_strf(a, "%.0f B", value)
				    : kv_size_text(a, (uint64_t)(value + .5));
	if (unit == KV_UNIT_RATE)
		return kv_strf(a, "%s/s", kv_bytes_text(a, value));
	return kv_time_text(a, value);
}

/* "1.00 ms" without the zeros behind the point. */
const char *kv_tick_text(struct kv_arena *a, enum kv_unit unit, double value)
{
	const char *text = kv_unit_text(a, unit, value), *point = strchr(text, '.');
	size_t n = point ? strspn(point + 1, "0123456789") : 0, keep = n;

	while (keep && point[keep] == '0')
		keep--;
	return point ? kv_strf(a, "%.*s%s", (int)(point - text + (keep ? (int)keep + 1 : 0)), text,
			       point + 1 + n)
		     : text;
}

/* Sizes go by powers of two: every k-th of them is named. */
static void fit_powers_of_two(struct kv_axis *x, double apart, struct kv_ticks *ret)
{
	int lo = (int)floor(log2(x->lo)), hi = (int)ceil(log2(x->hi)), step = 1;
	double length = fabs(x->p1 - x->p0);

	hi += hi == lo;
	while (length * step / (hi - lo) < apart || (hi - lo) / step + 1 > KV_TICKS)
		step++;
	x->lo = exp2(lo);
	x->hi = exp2(hi);
	for (int e = lo; e <= hi; e += step) {
		ret->at[ret->n] = exp2(e);
		ret->named[ret->n++] = true;
	}
}

/* The tick of number i: 1, 2, 5, 10, 20, ... */
static double round_value(int i)
{
	static const double steps[] = { 1, 2, 5 };
	int decade = i >= 0 ? i / 3 : -((2 - i) / 3);

	return steps[i - 3 * decade] * pow(10, decade);
}

/* Lines at 1, 2 and 5 of each decade while there is room, else at decades; texts where they fit. */
static void fit_decades(struct kv_axis *x, double apart, struct kv_ticks *ret)
{
	int lo = 3 * (int)floor(log10(x->lo)), hi, step = 1;
	double length = fabs(x->p1 - x->p0), decade;

	while (round_value(lo + 1) <= x->lo * (1 + 1e-9))
		lo++;
	for (hi = lo + 1; round_value(hi) < x->hi * (1 - 1e-9);)
		hi++;
	x->lo = round_value(lo);
	x->hi = round_value(hi);
	decade = length / log10(x->hi / x->lo);
	while (decade * step < apart || 3 * step * KV_TICKS < hi - lo)
		step++;
	for (int i = lo; i <= hi && ret->n < KV_TICKS; i++) {
		bool whole = i % (3 * step) == 0;

		if (!whole && (step > 1 || decade < 30))
			continue;
		ret->at[ret->n] = round_value(i);
		ret->named[ret->n++] = whole || decade * log10(2) >= apart;
	}
}

void kv_axis_fit(struct kv_axis *x, double apart, struct kv_ticks *ret)
{
	*ret = (struct kv_ticks){ 0 };
	if (x->unit == KV_UNIT_SIZE)
		fit_powers_of_two(x, apart, ret);
	else
		fit_decades(x, apart, ret);
}

/* DejaVu Sans is the widest of the fonts; in thousandths of its size. */
static double width_of(unsigned char c)
{
	if (c >= 0x80)
		return (c & 0xc0) == 0x80 ? 0 : 1.05; /* a whole character, of any script */
	if (strchr("ijlI.,:;'|! ", c))
		return .40;
	if (strchr("mwMW@%", c))
		return 1.02;
	if (strchr("<>=+~^#&", c))
		return .85;
	if (strchr("frt()[]/-\"", c))
		return .50;
	return c >= 'A' && c <= 'Z' ? .79 : .65;
}

double kv_text_width(const char *s, double font_px)
{
	double w = 0;

	for (; *s; s++)
		w += width_of((unsigned char)*s) * font_px;
	return w;
}

const char *kv_text_fit(struct kv_arena *a, const char *s, double font_px, double width)
{
	double w = 1.05 * font_px;
	size_t n = 0;

	s = kv_printable_text(a, s);
	if (kv_text_width(s, font_px) <= width)
		return s;
	while (s[n] && w + width_of((unsigned char)s[n]) * font_px <= width)
		w += width_of((unsigned char)s[n++]) * font_px;
	while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return kv_strf(a, "%.*s\xe2\x80\xa6", (int)n, s);
}

void kv_labels_spread(double *at, size_t n, double apart, double lo, double hi)
{
	if (n > 1 && apart * (double)(n - 1) > hi - lo)
		apart = (hi - lo) / (double)(n - 1);
	for (size_t i = 0; i < n; i++) {
		double least = i ? at[i - 1] + apart : lo;

		at[i] = at[i] < least ? least : at[i];
	}
	for (size_t i = n; i-- > 0;) {
		double most = i + 1 < n ? at[i + 1] - apart : hi;

		at[i] = at[i] > most ? most : at[i];
	}
}
