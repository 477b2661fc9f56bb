/*
 * Cuts a stream into lines, but only where a word of a pattern was found: all other lines are
 * counted and nothing else. A line that is longer than the buffer is searched in pieces that
 * overlap by more than any pattern spans.
 */
#include "log/log.h"

#define BUFFER  ((size_t)320 << 10) /* stays in the processor's cache between the passes over it */
#define OVERLAP ((size_t)8 << 10)

/* The line that was found last. */
struct here {
	size_t start, end; /* in the buffer; start is 0 of a long line that goes on */
	uint64_t number;
	bool has_head;
	struct kv_log_head head;
};

void kv_log_stream_open(struct kv_log *l, const char *path, struct kv_log_date date,
			struct kv_log_stream *ret)
{
	*ret = (struct kv_log_stream){
		.log = l, .file = (unsigned)l->files.n, .date = date, .line = 1
	};
	kv_vec_push(l->arena, &l->files, ((struct kv_log_file){ .path = path, .format = "plain" }));
	ret->buf = malloc(BUFFER);
	if (!ret->buf)
		abort();
}

uint8_t *kv_log_stream_room(struct kv_log_stream *s, size_t *ret_room)
{
	*ret_room = BUFFER - s->n;
	return s->buf + s->n;
}

/* Makes `here` the line that has byte `at`. */
static void go_to(const struct kv_log_stream *s, size_t at, size_t end, struct here *h)
{
	const uint8_t *newline = memrchr(s->buf + h->start, '\n', at - h->start);
	size_t start = newline ? (size_t)(newline - s->buf) + 1 : h->start;

	h->number += kv_log_count_lines(s->buf + h->start, start - h->start);
	h->start = start;
	newline = memchr(s->buf + at, '\n', end - at);
	h->end = newline ? (size_t)(newline - s->buf) : end;
	h->has_head = false;
}

static void read_head(const struct kv_log_stream *s, struct here *h)
{
	struct kv_span start = { s->buf + h->start, h->end - h->start };

	if (h->start == 0 && s->start_n)
		start = (struct kv_span){ s->start, s->start_n };
	if (start.n > sizeof(s->start))
		start.n = sizeof(s->start);
	kv_log_head_parse(start, s->date, &h->head);
	h->has_head = true;
}

/* Empty queues are most of what SGLang prints, and say nothing. */
static bool is_idle(const struct kv_log_hit *hit)
{
	enum kv_log_kind kind = hit->pattern->kind;

	return (kind == KV_LOG_TRANSFER_REQ || kind == KV_LOG_INFLIGHT_REQ) && !hit->number;
}

/* Reports what starts in [s->done, limit); what belongs to it may go on to end. */
static uint64_t search(struct kv_log_stream *s, size_t limit, size_t end)
{
	struct kv_span text = { s->buf, end };
	struct here h = { .number = s->line };
	struct kv_log_hit hit;
	unsigned word = 0;

	for (size_t at = s->done; (at = kv_log_word_find(text, at, &word)) < limit; at++) {
		if (at >= h.end)
			go_to(s, at, end, &h);
		if (!kv_log_match((struct kv_span){ s->buf + h.start, h.end - h.start },
				  at - h.start, word, &hit) ||
		    is_idle(&hit))
			continue;
		/* Of a long line that goes on, the start is not here. */
		if ((h.start || !s->start_n) &&
		    kv_log_is_quoted((struct kv_span){ s->buf + h.start, h.end - h.start }, &hit))
			continue;
		if (!h.has_head)
			read_head(s, &h);
		kv_log_store(s->log, (struct kv_log_place){ s->file, h.number, h.head.time },
			     &h.head, &hit);
	}
	return h.number + kv_log_count_lines(s->buf + h.start, limit - h.start);
}

static void drop(struct kv_log_stream *s, size_t n)
{
	memmove(s->buf, s->buf + n, s->n - n);
	s->n -= n;
}

/* The buffer is full and has no end of a line. */
static void search_long(struct kv_log_stream *s)
{
	size_t limit = s->n - OVERLAP;

	if (!s->start_n) {
		memcpy(s->start, s->buf, sizeof(s->start));
		s->start_n = sizeof(s->start);
	}
	(void)search(s, limit, s->n);
	drop(s, limit - OVERLAP);
	s->done = OVERLAP;
}

void kv_log_stream_took(struct kv_log_stream *s, size_t n)
{
	const uint8_t *newline = memrchr(s->buf + s->n, '\n', n);
	size_t end = newline ? (size_t)(newline - s->buf) + 1 : 0;

	s->log->files.v[s->file].bytes += n;
	s->n += n;
	if (!end) {
		if (s->n == BUFFER)
			search_long(s);
		return;
	}
	s->line = search(s, end, end);
	s->start_n = s->done = 0;
	drop(s, end);
}

void kv_log_stream_close(struct kv_log_stream *s)
{
	(void)search(s, s->n, s->n);
	s->log->files.v[s->file].lines = s->line - 1 + (s->n > 0);
	free(s->buf);
	s->buf = NULL;
}
