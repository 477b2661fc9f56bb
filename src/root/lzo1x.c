/*
 * LZO1X, from the description of its stream in Linux's Documentation/staging/lzo.rst (bitstream
 * version 0, which is what squashfs has). The bytes are hostile: every read of the input and every
 * byte of the output is checked first.
 *
 * A stream is a row of instructions. Each but a literal run copies a match from what was written
 * before, and then up to three literals; how many those were decides what a first byte below 16
 * means next.
 */
#include "root/lzo1x.h"

/* What the instruction before did: 0 to 3 trailing literals, or a literal run. */
#define AFTER_RUN 4

struct lzo {
	struct kv_span in;
	size_t at; /* in the input */
	uint8_t *out;
	size_t n, cap;
	unsigned state;
};

struct match {
	size_t length, distance;
};

static inline bool next(struct lzo *z, uint8_t *ret)
{
	if (!kv_span_u8(z->in, z->at, ret))
		return false;
	z->at++;
	return true;
}

/*
 * A length that does not fit its field: 255 for each zero byte, plus the byte that ends them. It is
 * cut off at what no output can hold.
 */
static bool long_length(struct lzo *z, size_t base, size_t *ret)
{
	uint8_t byte;

	for (*ret = base; next(z, &byte); *ret += *ret <= z->cap ? 255 : 0)
		if (byte) {
			*ret += byte;
			return true;
		}
	return false;
}

static inline int literals(struct lzo *z, size_t n)
{
	size_t left = z->in.n - z->at, room = z->cap - z->n;

	if (n > left)
		return -EBADMSG;
	if (n > room)
		return -ENOSPC;
	if (n)
		memcpy(z->out + z->n, z->in.p + z->at, n);
	z->at += n;
	z->n += n;
	return 0;
}

static inline int copy_match(struct lzo *z, struct match m)
{
	uint8_t *to = z->out + z->n;
	size_t room = z->cap - z->n;
	const uint8_t *from;

	if (m.distance > z->n)
		return -EBADMSG;
	if (m.length > room)
		return -ENOSPC;
	from = to - m.distance;
	z->n += m.length;
	/* A match may run into what it writes itself: that is how LZO repeats. */
	if (m.distance >= m.length)
		memcpy(to, from, m.length);
	else
		while (m.length--)
			*to++ = *from++;
	return 0;
}

/* The 16 bits behind a length: 14 of distance, 2 of trailing literals. */
static inline bool next_pair(struct lzo *z, size_t *ret_distance, unsigned *ret_state)
{
	uint16_t pair;

	if (!kv_span_u16(z->in, z->at, __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__, &pair))
		return false;
	z->at += 2;
	*ret_distance = pair >> 2;
	*ret_state = pair & 3;
	return true;
}

/* Instructions 16 to 63. ret->distance 0: the end marker. */
static inline bool far_match(struct lzo *z, uint8_t op, struct match *ret)
{
	bool farther = op < 32;
	uint8_t mask = farther ? 7 : 31;

	ret->length = op & mask;
	if (!ret->length && !long_length(z, mask, &ret->length))
		return false;
	ret->length += 2;
	if (!next_pair(z, &ret->distance, &z->state))
		return false;
	if (!farther)
		ret->distance += 1;
	else if (ret->distance || op & 8)
		ret->distance += 16384 + (op & 8 ? 16384 : 0);
	return true;
}

/* Instructions 64 to 255, and those below 16 that are no literal run. */
static inline bool near_match(struct lzo *z, uint8_t op, struct match *ret)
{
	uint8_t high;

	if (!next(z, &high))
		return false;
	if (op >= 64) {
		ret->length = op >= 128 ? 5 + (op >> 5 & 3) : 3 + (op >> 5 & 1);
		ret->distance = ((size_t)high << 3) + (op >> 2 & 7) + 1;
	} else {
		ret->length = z->state == AFTER_RUN ? 3 : 2;
		ret->distance =
			((size_t)high << 2) + (op >> 2) + (z->state == AFTER_RUN ? 2049 : 1);
	}
	z->state = op & 3;
	return true;
}

static int literal_run(struct lzo *z, uint8_t op)
{
	size_t n = op;

	if (!n && !long_length(z, 15, &n))
		return -EBADMSG;
	z->state = AFTER_RUN;
	return literals(z, n + 3);
}

/* The first byte may be a count of literals that no instruction precedes. */
static int first_literals(struct lzo *z)
{
	uint8_t op;
	size_t n;

	if (!kv_span_u8(z->in, 0, &op) || op <= 17)
		return 0;
	z->at = 1;
	n = op - 17U;
	z->state = n < 4 ? (unsigned)n : AFTER_RUN;
	return literals(z, n);
}

/* ---- most of a stream ---- */

/*
 * Where the buffers go on for this long, an instruction without a long length can be followed
 * without asking at each byte: it takes 3 bytes and up to 18 literals of the input, and writes up
 * to 33 bytes and 3 literals. What is copied too much, since copies are of 16 bytes, is written
 * again.
 */
#define IN_SLACK  24
#define OUT_SLACK 64

static inline void copy_16(uint8_t *to, const uint8_t *from)
{
	memcpy(to, from, 16);
}

/* Up to 15 bytes too many. */
static inline void copy_near(uint8_t *to, size_t distance, size_t n)
{
	const uint8_t *from = to - distance;

	if (distance >= 16) {
		copy_16(to, from);
		for (size_t i = 16; i < n; i += 16)
			copy_16(to + i, from + i);
	} else if (distance >= 8) {
		for (size_t i = 0; i < n; i += 8)
			memcpy(to + i, from + i, 8);
	} else {
		while (n--)
			*to++ = *from++;
	}
}

/*
 * What far_match() and near_match() say of an instruction from 16 on, as numbers, since which kind
 * comes next nothing can guess. Its distance is `base`, and of the 16 bits behind it those in
 * `mask`, times 8, shifted down. length 0: a long one.
 */
struct plain {
	uint16_t base, mask;
	uint8_t length, down, took;
};

#define FAR(op)    ((op) < 64)
#define FIELD(op)  ((op) < 32 ? (op) % 8 : (op) % 32)
#define BASE(op)   (!FAR(op) ? 1 + ((op) >> 2 & 7) : (op) < 32 ? 16384 * (1 + ((op) >> 3 & 1)) : 1)
#define MASK(op)   (FAR(op) ? 0xffff : 0xff)
#define LENGTH(op) ((uint8_t)(!FAR(op) ? ((op) >> 5) + 1 : FIELD(op) ? FIELD(op) + 2 : 0))
#define DOWN(op)   (FAR(op) ? 5 : 0)
#define TOOK(op)   (FAR(op) ? 3 : 2)
#define PLAIN(op)  BASE(op), MASK(op), LENGTH(op), DOWN(op), TOOK(op)
/* Each with the comma that follows it. */
#define PLAIN4(op)  { PLAIN(op) }, { PLAIN((op) + 1) }, { PLAIN((op) + 2) }, { PLAIN((op) + 3) },
#define PLAIN16(op) PLAIN4(op) PLAIN4((op) + 4) PLAIN4((op) + 8) PLAIN4((op) + 12)
#define PLAIN64(op) PLAIN16(op) PLAIN16((op) + 16) PLAIN16((op) + 32) PLAIN16((op) + 48)

static const struct plain plains[256] = { PLAIN64(0) PLAIN64(64) PLAIN64(128) PLAIN64(192) };

/* How many bytes of the input the match takes; 0 for one with a long length, and the end. */
static inline size_t plain_match(const struct lzo *z, const uint8_t *p, struct match *ret,
				 unsigned *ret_state)
{
	size_t op = p[0], pair = p[1] | (size_t)p[2] << 8;
	const struct plain *i = &plains[op];

	if (op < 16) {
		ret->length = z->state == AFTER_RUN ? 3 : 2;
		ret->distance =
			((size_t)p[1] << 2) + (op >> 2) + (z->state == AFTER_RUN ? 2049 : 1);
		*ret_state = op & 3;
		return 2;
	}
	ret->length = i->length;
	ret->distance = i->base + ((pair & i->mask) << 3 >> i->down);
	*ret_state = (i->down ? pair : op) & 3;
	return !i->length || ret->distance == 16384 ? 0 : i->took;
}

/* Follows instructions as long as each is a plain one inside of both buffers. */
static void follow(struct lzo *ret)
{
	struct lzo z = *ret;

	while (z.in.n - z.at >= IN_SLACK && z.cap - z.n >= OUT_SLACK) {
		const uint8_t *p = z.in.p + z.at;
		uint8_t *to = z.out + z.n;
		struct match m;
		unsigned state;
		size_t took;

		if (*p < 16 && z.state == 0) {
			if (!*p)
				break;
			copy_16(to, p + 1);
			memcpy(to + 16, p + 17, 2);
			z.at += *p + 4U;
			z.n += *p + 3U;
			z.state = AFTER_RUN;
			continue;
		}
		took = plain_match(&z, p, &m, &state);
		if (!took || m.distance > z.n)
			break;
		copy_near(to, m.distance, m.length);
		memcpy(to + m.length, p + took, 4);
		z.at += took + state;
		z.n += m.length + state;
		z.state = state;
	}
	*ret = z;
}

int kv_lzo1x_decode(struct kv_span in, uint8_t *out, size_t cap, size_t *ret_n)
{
	struct lzo z = { .in = in, .out = out, .cap = cap };
	int e = first_literals(&z);

	/* Ends: every turn consumes at least one byte of the input. */
	while (e == 0) {
		struct match m = { 0 };
		uint8_t op;

		follow(&z);
		if (!next(&z, &op))
			return -EBADMSG;
		if (op < 16 && z.state == 0) {
			e = literal_run(&z, op);
			continue;
		}
		if (!(op >= 16 && op < 64 ? far_match(&z, op, &m) : near_match(&z, op, &m)))
			return -EBADMSG;
		if (!m.distance) {
			if (z.at != in.n)
				return -EBADMSG;
			*ret_n = z.n;
			return 0;
		}
		e = copy_match(&z, m);
		if (e == 0)
			e = literals(&z, z.state);
	}
	return e;
}
