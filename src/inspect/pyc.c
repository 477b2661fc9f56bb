/*
 * Compiled python of the unchecked kind (PEP 552): python runs it whatever its source says. Its
 * header has a hash of the source that it was made of, so that it can be told whether that is the
 * source that lies there. CPython Python/pyhash.c, _Py_KeyedHash(): SipHash-2-4 up to 3.10,
 * SipHash-1-3 since, keyed by the magic number.
 */
#include "inspect/internal.h"

#define HEADER 16 /* magic, flags, hash */

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void rounds(struct sip *s, unsigned n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotl(s->v1, 13) ^ s->v0;
		s->v3 = rotl(s->v3, 16) ^ s->v2;
		s->v0 = rotl(s->v0, 32) + s->v3;
		s->v2 += s->v1;
		s->v3 = rotl(s->v3, 21) ^ s->v0;
		s->v1 = rotl(s->v1, 17) ^ s->v2;
		s->v2 = rotl(s->v2, 32);
	}
}

static void absorb(struct sip *s, uint64_t word, unsigned each)
{
	s->v3 ^= word;
	rounds(s, each);
	s->v0 ^= word;
}

static uint64_t siphash(uint64_t key, struct kv_span text, unsigned each, unsigned last)
{
	struct sip s = { key ^ 0x736f6d6570736575, 0x646f72616e646f6d, key ^ 0x6c7967656e657261,
			 0x7465646279746573 };
	uint64_t word = 0, tail = (uint64_t)text.n << 56;
	size_t at = 0;

	for (; kv_span_u64(text, at, false, &word); at += 8)
		absorb(&s, word, each);
	for (unsigned i = 0; at + i < text.n; i++)
		tail |= (uint64_t)text.p[at + i] << 8 * i;
	absorb(&s, tail, each);
	s.v2 ^= 0xff;
	rounds(&s, last);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

bool kv_pyc_is_unchecked(struct kv_span pyc)
{
	uint32_t flags;

	return pyc.n > HEADER && kv_span_u32(pyc, 4, false, &flags) && (flags & 3) == 1;
}

bool kv_pyc_is_of(struct kv_span pyc, struct kv_span source)
{
	uint32_t magic;
	uint64_t hash;

	return kv_span_u32(pyc, 0, false, &magic) && kv_span_u64(pyc, 8, false, &hash) &&
	       (hash == siphash(magic, source, 1, 3) || hash == siphash(magic, source, 2, 4));
}
