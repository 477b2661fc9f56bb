/*
 * Edits of bytes. The diff is made of the edits themselves: the lines that they touch, as they were
 * and as they will be, with a few lines around them.
 */
#include "launch/edit.h"

#define CONTEXT 3

static int by_start(const void *a, const void *b)
{
	const struct kv_edit *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->text, y->text);
}

void kv_edits_settle(kv_edits *e)
{
	size_t n = 0;

	if (e->n)
		qsort(e->v, e->n, sizeof(*e->v), by_start);
	for (size_t i = 0; i < e->n; i++)
		if (!n || e->v[n - 1].end < e->v[i].start ||
		    (e->v[n - 1].end == e->v[i].start && e->v[n - 1].start < e->v[n - 1].end))
			e->v[n++] = e->v[i];
	e->n = n;
}

/* The bytes from..to as they will be, of edits first..last that lie in them. */
static void put_new(struct kv_buf *b, struct kv_span text, const struct kv_edit *v, size_t n,
		    size_t from, size_t to)
{
	for (size_t i = 0; i < n; i++) {
		kv_buf_add(b, text.p + from, v[i].start - from);
		kv_buf_str(b, v[i].text);
		from = v[i].end;
	}
	kv_buf_add(b, text.p + from, to - from);
}

struct kv_span kv_edits_apply(struct kv_arena *a, struct kv_span text, const kv_edits *e)
{
	_buf_ struct kv_buf b = { 0 };
	uint8_t *copy;

	put_new(&b, text, e->v, e->n, 0, text.n);
	copy = kv_alloc(a, b.n + 1);
	memcpy(copy, b.text ? b.text : "", b.n);
	return (struct kv_span){ copy, b.n };
}

/* ---- as a diff ---- */

struct lines {
	struct kv_span text;
	size_t at;       /* begin of a line */
	unsigned number; /* of that line, from 1 */
};

static size_t line_end(struct kv_span t, size_t at)
{
	const uint8_t *nl = at < t.n ? memchr(t.p + at, '\n', t.n - at) : NULL;

	return nl ? (size_t)(nl - t.p) + 1 : t.n;
}

static size_t line_begin(struct kv_span t, size_t at)
{
	while (at && t.p[at - 1] != '\n')
		at--;
	return at;
}

static void advance(struct lines *l, size_t to)
{
	while (l->at < to && line_end(l->text, l->at) <= to) {
		l->at = line_end(l->text, l->at);
		l->number++;
	}
}

/* The lines of a text, each with a sign in front; how many they are. */
static unsigned print_lines(struct kv_buf *out, char sign, struct kv_span t)
{
	unsigned n = 0;

	for (size_t at = 0; at < t.n; n++) {
		size_t end = line_end(t, at);

		kv_buf_add(out, &sign, 1);
		kv_buf_add(out, t.p + at, end - at);
		if (t.p[end - 1] != '\n')
			kv_buf_str(out, "\n\\ No newline at end of file\n");
		at = end;
	}
	return n;
}

struct diff {
	const char *path;
	bool begun; /* its head is printed */
	struct kv_span text;
	const kv_edits *edits;
	bool (*hides)(const void *ctx, struct kv_span line, unsigned number);
	const void *ctx;
	struct lines lines;
	long shift;    /* by how many lines the new text is ahead */
	size_t before; /* where context must not reach: the end of what was printed */
};

static bool hidden(const struct diff *d, struct kv_span t, unsigned number)
{
	for (size_t at = 0; at < t.n; number++) {
		size_t end = line_end(t, at);

		if (d->hides(d->ctx, (struct kv_span){ t.p + at, end - at }, number))
			return true;
		at = end;
	}
	return false;
}

static struct kv_span part(struct kv_span t, size_t from, size_t to)
{
	return (struct kv_span){ t.p + from, to - from };
}

/* Up to CONTEXT lines in front of `from`, none of them hidden. */
static size_t context_before(const struct diff *d, size_t from, unsigned *number)
{
	for (unsigned i = 0; i < CONTEXT && from > d->before; i++) {
		size_t begin = line_begin(d->text, from - 1);

		if (begin < d->before || hidden(d, part(d->text, begin, from), *number - 1))
			break;
		from = begin;
		--*number;
	}
	return from;
}

static size_t context_after(const struct diff *d, size_t to, unsigned number, size_t limit)
{
	for (unsigned i = 0; i < CONTEXT && to < limit; i++) {
		size_t end = line_end(d->text, to);

		if (end > limit || hidden(d, part(d->text, to, end), number + i))
			break;
		to = end;
	}
	return to;
}

static unsigned count(struct kv_span t)
{
	unsigned n = 0;

	for (size_t at = 0; at < t.n; n++)
		at = line_end(t, at);
	return n;
}

/* One hunk: the edits first..last touch the lines from..to. False where it can not be shown. */
static bool print_hunk(FILE *out, struct diff *d, size_t first, size_t last, size_t limit)
{
	const struct kv_edit *v = d->edits->v;
	size_t from = line_begin(d->text, v[first].start), to = v[last].end, head, tail;
	_buf_ struct kv_buf fresh = { 0 }, body = { 0 };
	unsigned number, old_n, new_n;
	struct kv_span now;
	bool shown;

	/* Whole lines, but for some that are put between two. */
	if (to > from ? d->text.p[to - 1] != '\n' : !kv_ends(v[last].text, "\n"))
		to = line_end(d->text, to);
	advance(&d->lines, from);
	number = d->lines.number;
	put_new(&fresh, d->text, v + first, last - first + 1, from, to);
	now = (struct kv_span){ (const uint8_t *)fresh.text, fresh.n };
	shown = !hidden(d, part(d->text, from, to), number) && !hidden(d, now, 0);
	if (shown) {
		unsigned begin = number;

		head = context_before(d, from, &begin);
		tail = context_after(d, to, number + count(part(d->text, from, to)), limit);
		old_n = new_n = print_lines(&body, ' ', part(d->text, head, from));
		old_n += print_lines(&body, '-', part(d->text, from, to));
		new_n += print_lines(&body, '+', now);
		number = print_lines(&body, ' ', part(d->text, to, tail));
		if (!d->begun)
			fprintf(out, "--- %s\n+++ %s\n", d->path, d->path);
		d->begun = true;
		fprintf(out, "@@ -%u,%u +%ld,%u @@\n%s", old_n + number ? begin : begin - 1,
			old_n + number, (long)begin + d->shift, new_n + number, body.text);
		d->before = tail;
		d->shift += (long)new_n - (long)old_n;
	} else {
		d->before = to;
	}
	return shown;
}

size_t kv_edits_diff(FILE *out, const char *path, struct kv_span text, const kv_edits *e,
		     bool (*hides)(const void *ctx, struct kv_span line, unsigned number),
		     const void *ctx)
{
	struct diff d = { .path = path,
			  .text = text,
			  .edits = e,
			  .hides = hides,
			  .ctx = ctx,
			  .lines = { text, 0, 1 } };
	size_t not_shown = 0;

	for (size_t i = 0, last; i < e->n; i = last + 1) {
		size_t limit = text.n;

		for (last = i; last + 1 < e->n; last++)
			if (line_end(text, e->v[last].end) <=
			    line_begin(text, e->v[last + 1].start))
				break;
		if (last + 1 < e->n)
			limit = line_begin(text, e->v[last + 1].start);
		not_shown += !print_hunk(out, &d, i, last, limit);
	}
	return not_shown;
}
