/* Moving over the start of a line: what head.c, the layers, and stamp.c, the times in them, share.
 */
#ifndef KV_LOG_SCAN_H
#define KV_LOG_SCAN_H

#include <ctype.h>

#include "log/log.h"

struct scan {
	struct kv_span s;
	size_t at;
	struct kv_log_date date;
	struct kv_log_head *ret;
	bool innermost; /* what follows is the message */
};

/* Length of s at `at` where it has this shape: 9 a digit, X one of "T ", the rest itself; else 0.
 */
static inline size_t like(const struct scan *sc, size_t at, const char *shape)
{
	size_t n = 0;

	for (; shape[n]; n++) {
		uint8_t c;

		if (!kv_span_u8(sc->s, at + n, &c))
			return 0;
		if (shape[n] == '9'   ? !isdigit(c)
		    : shape[n] == 'X' ? c != 'T' && c != ' '
				      : c != (uint8_t)shape[n])
			return 0;
	}
	return n;
}

static inline int digits(const struct scan *sc, size_t at, size_t n)
{
	int v = 0;

	while (n--)
		v = v * 10 + (sc->s.p[at++] - '0');
	return v;
}

/* Whether byte `at` is one of the set; false past the end. */
static inline bool is_one(const struct scan *sc, size_t at, const char *set)
{
	uint8_t c;

	if (!kv_span_u8(sc->s, at, &c))
		return false;
	while (*set && (uint8_t)*set != c)
		set++;
	return *set;
}

/* The first of the set's bytes at or after `at`; SIZE_MAX. */
static inline size_t find(const struct scan *sc, size_t at, const char *set)
{
	for (size_t i = at; i < sc->s.n; i++)
		if (is_one(sc, i, set))
			return i;
	return SIZE_MAX;
}

static inline size_t skip_digits(const struct scan *sc, size_t at)
{
	while (at < sc->s.n && isdigit(sc->s.p[at]))
		at++;
	return at;
}

/* Seconds since 1970 of a date and of "18:40:10" at `clock`, or -1; year -1: the file's. */
int64_t kv_log_civil(int year, int month, int day, const struct scan *sc, size_t clock);
/* Takes the time at `at`, with its zone. */
bool kv_log_take_stamp(struct scan *sc, size_t at);
/* Seconds since 1970, as UCX and libfabric print. */
bool kv_log_take_epoch(struct scan *sc, size_t at, size_t end);

#endif
