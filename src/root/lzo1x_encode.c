/*
 * An LZO1X encoder, for blocks that kv_lzo1x_decode(), liblzo2 and Linux can decode. It takes the
 * first match that a table of four-byte prefixes offers, as every fast one does: what it writes is
 * new metadata and a few files, so that simple is worth more than small.
 */
#include "root/lzo1x.h"

#define PREFIX    4
#define HASH_BITS 13

/* How far a match may reach back in each of its three forms, and how long its short form can be. */
#define NEAR_DISTANCE 0x800
#define NEAR_LENGTH   8
#define MID_DISTANCE  0x4000
#define MID_LENGTH    33
#define FAR_DISTANCE  0xbfff
#define FAR_LENGTH    9

struct encoder {
	struct kv_span in;
	uint8_t *out;
	size_t n, cap;
	bool full;
	uint32_t seen[1 << HASH_BITS]; /* prefix -> place + 1, 0 where it was not seen */
};

static void put(struct encoder *z, size_t byte)
{
	if (z->n == z->cap)
		z->full = true;
	else
		z->out[z->n++] = (uint8_t)byte;
}

static void put_bytes(struct encoder *z, const uint8_t *p, size_t n)
{
	if (n > z->cap - z->n) {
		z->full = true;
		return;
	}
	memcpy(z->out + z->n, p, n);
	z->n += n;
}

/* What of a length does not fit its field: 255 for each zero byte, plus the byte that ends them. */
static void put_rest(struct encoder *z, size_t rest)
{
	for (; rest > 255; rest -= 255)
		put(z, 0);
	put(z, rest);
}

static void put_literals(struct encoder *z, const uint8_t *p, size_t n)
{
	if (!n)
		return;
	if (!z->n && n <= 238)
		put(z, 17 + n);
	else if (z->n >= 2 && n <= 3)
		z->out[z->n - 2] |= (uint8_t)n; /* two bits of the match before */
	else if (n <= 18)
		put(z, n - 3);
	else {
		put(z, 0);
		put_rest(z, n - 18);
	}
	put_bytes(z, p, n);
}

/* An instruction whose length may go on behind it, and the 14 bits of distance. */
static void put_far(struct encoder *z, size_t op, size_t length, size_t longest, size_t distance)
{
	if (length <= longest) {
		put(z, op | (length - 2));
	} else {
		put(z, op);
		put_rest(z, length - longest);
	}
	put(z, distance << 2 & 0xff);
	put(z, distance >> 6 & 0xff);
}

static void put_match(struct encoder *z, size_t length, size_t distance)
{
	if (length <= NEAR_LENGTH && distance <= NEAR_DISTANCE) {
		put(z, (length - 1) << 5 | ((distance - 1) & 7) << 2);
		put(z, (distance - 1) >> 3);
	} else if (distance <= MID_DISTANCE) {
		put_far(z, 32, length, MID_LENGTH, distance - 1);
	} else {
		distance -= MID_DISTANCE;
		put_far(z, 16 | (distance >> 11 & 8), length, FAR_LENGTH, distance & 0x3fff);
	}
}

/* The length of the match for what stands at `at`, 0 where none is known. */
static size_t find_match(struct encoder *z, size_t at, size_t *ret_distance)
{
	const uint8_t *p = z->in.p;
	size_t left = z->in.n - at, n = 0, from;
	uint32_t prefix, *slot;

	memcpy(&prefix, p + at, PREFIX);
	slot = &z->seen[prefix * 2654435761U >> (32 - HASH_BITS)];
	from = *slot;
	*slot = (uint32_t)at + 1;
	if (!from || at - --from > FAR_DISTANCE)
		return 0;
	while (n < left && p[from + n] == p[at + n])
		n++;
	*ret_distance = at - from;
	return n < PREFIX ? 0 : n;
}

int kv_lzo1x_encode(struct kv_span in, uint8_t *out, size_t cap, size_t *ret_n)
{
	struct encoder z = { .in = in, .out = out, .cap = cap };
	size_t at = 0, literals = 0, distance;

	if (in.n > UINT32_MAX - 1)
		return -EINVAL;
	while (!z.full && in.n - at >= PREFIX) {
		size_t n = find_match(&z, at, &distance);

		if (!n) {
			at++;
			continue;
		}
		put_literals(&z, in.p + literals, at - literals);
		put_match(&z, n, distance);
		literals = at += n;
	}
	put_literals(&z, in.p + literals, in.n - literals);
	put_bytes(&z, (const uint8_t *)"\x11\0", 3);
	if (z.full)
		return -ENOSPC;
	*ret_n = z.n;
	return 0;
}
