/*
 * What the hits add up to: for each process its events, each with a count and two places. Bounded,
 * whatever a log holds: by processes, and by events of one pattern in each.
 */
#include <ctype.h>

#include "log/log.h"

#define PROCESSES 2048
#define SUBJECTS                                                                                   \
	24           /* events of one pattern in one process; what comes after counts for the last \
		      */
#define LOOKBACK 120 /* from a pattern to the start of its message */

/* Whether a line of this kind says anything of the path that a process takes. */
static bool is_evidence(enum kv_log_kind kind)
{
	return kind <= KV_LOG_NO_VRAM;
}

void kv_log_init(struct kv_log *l, struct kv_arena *a)
{
	*l = (struct kv_log){ .arena = a, .timeline.width = 60 };
}

/* ---- processes ---- */

/* A byte as it is kept: a NUL would end the text. */
static uint8_t kept(uint8_t c)
{
	return c ? c : ' ';
}

static bool same_text(const char *s, struct kv_span t)
{
	return strlen(s) == t.n && (!t.n || memcmp(s, t.p, t.n) == 0);
}

static struct kv_span label_of(const struct kv_log_head *head)
{
	return (struct kv_span){ (const uint8_t *)head->label, head->label_n };
}

static bool is_process(const struct kv_log_process *p, unsigned file, uint32_t id,
		       const struct kv_log_head *head)
{
	return p->file == file && p->id == id && p->by_tag == (head->pid != 0) &&
	       same_text(p->label, label_of(head)) && same_text(p->tag, head->tag);
}

/* As a string: without NUL bytes, which would end it, and never longer than max. */
static char *text_of(struct kv_arena *a, struct kv_span s, size_t max)
{
	char *text = kv_strndup(a, s.n ? (const char *)s.p : "", s.n < max ? s.n : max);

	for (size_t i = 0; i < s.n && i < max; i++)
		text[i] = (char)kept((uint8_t)text[i]);
	return text;
}

static struct kv_span at_most(struct kv_span s, size_t max)
{
	return (struct kv_span){ s.p, s.n < max ? s.n : max };
}

static struct kv_log_process *process_of(struct kv_log *l, unsigned file,
					 const struct kv_log_head *head, uint32_t writer)
{
	static const struct kv_log_head none = { .time = -1 };
	uint32_t id = head->pid ? head->pid : writer;
	struct kv_log_process *p;

	if (l->processes.n >= PROCESSES) {
		head = &none;
		id = 0;
	}
	if (l->latest < l->processes.n && is_process(&l->processes.v[l->latest], file, id, head))
		return &l->processes.v[l->latest];
	for (size_t i = 0; i < l->processes.n; i++)
		if (is_process(&l->processes.v[i], file, id, head)) {
			l->latest = i;
			return &l->processes.v[i];
		}
	l->latest = l->processes.n;
	p = kv_vec_add(l->arena, &l->processes);
	*p = (struct kv_log_process){
		.file = file,
		.id = id,
		.by_tag = head->pid != 0,
		.label = text_of(l->arena, label_of(head), sizeof(head->label)),
		.tag = text_of(l->arena, head->tag, KV_LOG_TEXT_MAX),
	};
	return p;
}

static void note_pid(struct kv_arena *a, struct kv_log_process *p, uint32_t pid)
{
	for (size_t i = 0; i < p->pids.n; i++)
		if (p->pids.v[i] == pid)
			return;
	if (p->pids.n < 64)
		kv_vec_push(a, &p->pids, pid);
}

static void note_rank(struct kv_arena *a, struct kv_log_process *p, struct kv_span rank)
{
	for (size_t i = 0; i < p->ranks.n; i++)
		if (same_text(p->ranks.v[i], rank))
			return;
	if (p->ranks.n < 64 && rank.n < 64)
		kv_vec_push(a, &p->ranks, text_of(a, rank, 64));
}

/* ---- events ---- */

/*
 * A name tells events apart by all of it, as the loader's reason does, a text up to its first
 * number: what follows differs.
 */
static bool same_subject(const struct kv_log_event *e, struct kv_span s)
{
	bool name = !strstr(e->pattern->text, "%r") || e->pattern->kind == KV_LOG_NOT_LOADED;

	if (name)
		return same_text(e->subject, s);
	for (size_t i = 0; i < s.n; i++) {
		if (isdigit(s.p[i]) || i >= KV_LOG_TEXT_MAX)
			return true;
		if ((uint8_t)e->subject[i] != kept(s.p[i]))
			return false;
	}
	return e->subject[s.n] == '\0';
}

static struct kv_log_event *event_of(struct kv_log *l, struct kv_log_process *p,
				     const struct kv_log_hit *hit)
{
	struct kv_log_event *e, *last = NULL;
	struct kv_span file = at_most(hit->file, KV_LOG_TEXT_MAX);
	struct kv_span subject = at_most(hit->subject, KV_LOG_TEXT_MAX);
	unsigned n = 0;

	kv_vec_each (e, &p->events) {
		if (e->pattern != hit->pattern)
			continue;
		if (same_text(e->file, file) && same_subject(e, subject))
			return e;
		last = e;
		n++;
	}
	if (n >= SUBJECTS)
		return last;
	e = kv_vec_add(l->arena, &p->events);
	e->pattern = hit->pattern;
	e->file = text_of(l->arena, file, KV_LOG_TEXT_MAX);
	e->subject = text_of(l->arena, subject, KV_LOG_TEXT_MAX);
	return e;
}

/*
 * A pattern may start within a message, which starts behind "[2026-02-27 15:01:51 TP0] " or
 * "[connector.py:800] ".
 */
static struct kv_span whole_message(const struct kv_log_hit *hit)
{
	const uint8_t *p = hit->message.p;

	if (hit->pattern->emitter != KV_LOG_ANY)
		return hit->message;
	for (; p - hit->line.p >= 2 && hit->message.p - p < LOOKBACK; p--)
		if (p[-2] == ']' && p[-1] == ' ')
			return (struct kv_span){ p, hit->message.n + (size_t)(hit->message.p - p) };
	return hit->message;
}

static char *message_text(struct kv_arena *a, const struct kv_log_hit *hit)
{
	struct kv_span s = whole_message(hit);
	char *text;
	size_t n;

	/* libfabric's level is part of the pattern. */
	if (s.n > 7 && s.p[0] == '<')
		s = (struct kv_span){ s.p + 7, s.n - 7 };
	else if (s.n > 17 && memcmp(s.p, "\\u003c", 6) == 0)
		s = (struct kv_span){ s.p + 17, s.n - 17 };
	text = text_of(a, s, KV_LOG_TEXT_MAX);
	for (n = strlen(text); n && strchr("\r ", text[n - 1]); n--)
		text[n - 1] = '\0';
	return text;
}

void kv_log_store(struct kv_log *l, struct kv_log_place place, const struct kv_log_head *head,
		  const struct kv_log_hit *hit)
{
	struct kv_log_process *p;
	struct kv_log_event *e;

	if (hit->pattern->kind == KV_LOG_TRANSFERS) {
		l->files.v[place.file].has_transfers = true;
		kv_log_transfers_add(&l->transfers, place, hit);
		return;
	}
	p = process_of(l, place.file, head, hit->writer);
	e = event_of(l, p, hit);
	if (hit->is_pid)
		note_pid(l->arena, p, hit->writer);
	if (head->rank.n)
		note_rank(l->arena, p, head->rank);
	if (!e->count++) {
		e->first = place;
		e->text = message_text(l->arena, hit);
	}
	e->last = place;
	kv_log_timeline_add(&l->timeline, place.time, hit);
}

/* ---- after the last line ---- */

static bool is_before(const struct kv_log_place *a, const struct kv_log_place *b)
{
	return a->file != b->file ? a->file < b->file : a->line < b->line;
}

static bool same_event(const struct kv_log_event *a, const struct kv_log_event *b)
{
	return a->pattern == b->pattern && kv_streq(a->file, b->file) &&
	       kv_streq(a->subject, b->subject);
}

static void merge_event(struct kv_arena *a, struct kv_log_process *to, const struct kv_log_event *e)
{
	struct kv_log_event *o;

	kv_vec_each (o, &to->events) {
		if (!same_event(o, e))
			continue;
		if (is_before(&e->first, &o->first)) {
			o->first = e->first;
			o->text = e->text;
		}
		if (is_before(&o->last, &e->last))
			o->last = e->last;
		o->count += e->count;
		return;
	}
	kv_vec_push(a, &to->events, *e);
}

static void merge(struct kv_arena *a, struct kv_log_process *to, struct kv_log_process *from)
{
	for (size_t i = 0; i < from->events.n; i++)
		merge_event(a, to, &from->events.v[i]);
	for (size_t i = 0; i < from->pids.n; i++)
		note_pid(a, to, from->pids.v[i]);
	for (size_t i = 0; i < from->ranks.n; i++)
		note_rank(
			a, to,
			(struct kv_span){ (uint8_t *)from->ranks.v[i], strlen(from->ranks.v[i]) });
	from->events.n = 0;
}

static bool has_evidence(const struct kv_log_process *p)
{
	for (size_t i = 0; i < p->events.n; i++)
		if (is_evidence(p->events.v[i].pattern->kind))
			return true;
	return false;
}

static bool same_source(const struct kv_log_process *a, const struct kv_log_process *b)
{
	return a->file == b->file && kv_streq(a->label, b->label);
}

/*
 * Lines of a tagged process carry its pid; raw lines of libraries carry the pid or the thread, and
 * the main thread's number is the pid. What is left over belongs to one of the processes of the
 * file, and no line says to which: if it is evidence, they are judged together.
 */
static void join_source(struct kv_log *l, size_t at)
{
	struct kv_log_process *first = &l->processes.v[at], *p, *tagged = NULL;
	struct kv_log_process *end = l->processes.v + l->processes.n;
	bool rest = false;
	unsigned tags = 0;

	for (p = first; p < end; p++)
		if (p->by_tag && same_source(first, p)) {
			tagged = tagged ? tagged : p;
			tags++;
			for (struct kv_log_process *o = first; o < end; o++)
				if (!o->by_tag && o->id == p->id && same_source(first, o))
					merge(l->arena, p, o);
		}
	for (p = first; p < end; p++)
		rest |= !p->by_tag && same_source(first, p) && has_evidence(p);
	if (tags && !rest)
		return;
	for (p = first; p < end; p++)
		if (p != first && same_source(first, p)) {
			if (p->by_tag)
				note_pid(l->arena, first, p->id);
			merge(l->arena, first, p);
		}
	if (first->by_tag)
		note_pid(l->arena, first, first->id);
	first->by_tag = false;
	first->merged = first->pids.n > 1;
}

static int by_place(const void *x, const void *y)
{
	const struct kv_log_event *a = x, *b = y;

	if (a->first.line != b->first.line)
		return a->first.line < b->first.line ? -1 : 1;
	return a->pattern < b->pattern ? -1 : a->pattern > b->pattern;
}

static int by_file(const void *x, const void *y)
{
	const struct kv_log_process *a = x, *b = y;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	/* Rank 10 comes after rank 9. */
	return strverscmp(a->label, b->label) ? strverscmp(a->label, b->label)
					      : (a->id > b->id) - (a->id < b->id);
}

void kv_log_finish(struct kv_log *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->processes.n; i++) {
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = same_source(&l->processes.v[i], &l->processes.v[j]);
		if (!seen)
			join_source(l, i);
	}
	for (size_t i = 0; i < l->processes.n; i++)
		if (l->processes.v[i].events.n)
			l->processes.v[kept++] = l->processes.v[i];
	l->processes.n = kept;
	if (kept > 1)
		qsort(l->processes.v, kept, sizeof(*l->processes.v), by_file);
	for (size_t i = 0; i < kept; i++)
		qsort(l->processes.v[i].events.v, l->processes.v[i].events.n,
		      sizeof(*l->processes.v[i].events.v), by_place);
}
