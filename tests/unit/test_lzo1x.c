/*
 * The LZO1X decoder against liblzo2: the same blocks, and the same blocks damaged. And the encoder,
 * whose blocks both decoders must turn back.
 */
#include <lzo/lzo1x.h>
#include <setjmp.h>
#include <stdarg.h>

#include "root/lzo1x.h"

#include <cmocka.h>

#define MAX_BLOCK  131072
#define MAX_PACKED (MAX_BLOCK + MAX_BLOCK / 16 + 67) /* liblzo2's worst case */
#define N_BLOCKS   100000

struct memory {
	uint8_t plain[MAX_BLOCK], packed[MAX_PACKED], bad[MAX_PACKED], out[MAX_BLOCK],
		ref[MAX_BLOCK];
	uint8_t elf[1 << 20];
	size_t elf_n;
	_Alignas(16) uint8_t work[LZO1X_999_MEM_COMPRESS];
};

static struct memory *m;

static const char often[] = "etaoin shrdlu";

static uint64_t seed = 1;

static uint32_t any(uint32_t below)
{
	seed = seed * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)(seed >> 33) % below;
}

/* Noise, text of few letters, runs, or a piece of a real program. */
static void fill(size_t n)
{
	uint32_t kind = any(4), from;

	if (kind == 3 && n < m->elf_n) {
		from = any((uint32_t)(m->elf_n - n));
		memcpy(m->plain, m->elf + from, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		m->plain[i] = (uint8_t)(kind == 0       ? any(256)
					: kind == 1     ? (uint32_t)often[any(13)]
					: i && any(200) ? m->plain[i - 1]
							: any(256));
}

static size_t pack(size_t n, bool best)
{
	lzo_uint packed;
	int e;

	if (best)
		e = lzo1x_999_compress(m->plain, n, m->packed, &packed, m->work);
	else
		e = lzo1x_1_compress(m->plain, n, m->packed, &packed, m->work);
	assert_int_equal(e, LZO_E_OK);
	return packed;
}

/* In memory of its own size, so that a sanitizer sees the first byte that is too far. */
static int decode(const uint8_t *in, size_t n, size_t cap, size_t *ret_n)
{
	uint8_t *exact = malloc(n + !n), *room = malloc(cap + !cap);
	int e;

	assert_true(exact && room);
	memcpy(exact, in, n);
	e = kv_lzo1x_decode((struct kv_span){ exact, n }, room, cap, ret_n);
	if (e == 0)
		memcpy(m->out, room, *ret_n);
	free(exact);
	free(room);
	return e;
}

/* Both decoders take it, to the same bytes, or both refuse it. */
static bool agree(const uint8_t *in, size_t n, size_t cap)
{
	lzo_uint ref_n = cap;
	size_t got = 0;
	bool ok = lzo1x_decompress_safe(in, n, m->ref, &ref_n, NULL) == LZO_E_OK;

	assert_int_equal(decode(in, n, cap, &got) == 0, ok);
	if (!ok)
		return false;
	assert_int_equal(got, ref_n);
	assert_memory_equal(m->out, m->ref, got);
	return true;
}

static void damage(size_t packed, size_t *ret_n)
{
	*ret_n = packed;
	memcpy(m->bad, m->packed, packed);
	if (any(3) == 0)
		*ret_n = any((uint32_t)packed + 1);
	for (uint32_t flips = any(3) + (*ret_n == packed); flips; flips--)
		m->bad[any((uint32_t)packed)] ^= (uint8_t)(1 << any(8));
}

static void test_blocks(void **state)
{
	size_t refused = 0, taken = 0;

	(void)state;
	for (size_t i = 0; i < N_BLOCKS; i++) {
		/* Mostly small: that is where the odd instructions are. */
		size_t n = i % 500 == 0 ? any(MAX_BLOCK) : any(any(8) ? 200 : 3000), bad;
		size_t packed;

		fill(n);
		packed = pack(n, i % 8 == 0);
		assert_true(agree(m->packed, packed, n));
		assert_memory_equal(m->out, m->plain, n);
		damage(packed, &bad);
		if (agree(m->bad, bad, any(2) ? n : MAX_BLOCK))
			taken++;
		else
			refused++;
	}
	/* Both kinds of damage were there. */
	assert_true(refused > 1000 && taken > 1000);
}

static void test_every_cut(void **state)
{
	size_t packed;

	(void)state;
	for (int i = 0; i < 20; i++) {
		fill(600);
		packed = pack(600, i & 1);
		for (size_t n = 0; n < packed; n++)
			assert_false(agree(m->packed, n, MAX_BLOCK));
		/* One byte less of room, and one byte too many behind it. */
		assert_false(agree(m->packed, packed, 599));
		m->packed[packed] = 0;
		assert_false(agree(m->packed, packed + 1, MAX_BLOCK));
	}
}

/* Streams that no compressor writes: instructions at random, lengths that never end. */
static void test_adversarial(void **state)
{
	size_t taken = 0, got;

	(void)state;
	for (size_t i = 0; i < 300000; i++) {
		size_t n = any(24);

		for (size_t j = 0; j < n; j++)
			m->bad[j] = (uint8_t)any(any(2) ? 34 : 256);
		if (n >= 3 && any(2))
			memcpy(m->bad + n - 3, "\x11\0", 3);
		taken += agree(m->bad, n, any(2) ? 16 : 4096);
	}
	assert_true(taken > 1000);
	memset(m->bad, 0, MAX_PACKED);
	assert_int_equal(decode(m->bad, MAX_PACKED, MAX_BLOCK, &got), -EBADMSG);
	m->bad[0] = 17 + 4;
	m->bad[5] = 0x20;
	assert_int_equal(decode(m->bad, MAX_PACKED, MAX_BLOCK, &got), -EBADMSG);
	assert_int_equal(decode(m->bad, 0, 0, &got), -EBADMSG);
	assert_int_equal(decode((const uint8_t *)"\x11\0\0", 3, 0, &got), 0);
	assert_int_equal(got, 0);
}

/* Blocks of our encoder, for both decoders, in exactly the room that they need. */
static size_t encode(size_t n)
{
	size_t packed, less;
	uint8_t *exact = malloc(n + !n);

	assert_non_null(exact);
	memcpy(exact, m->plain, n);
	assert_int_equal(
		kv_lzo1x_encode((struct kv_span){ exact, n }, m->packed, MAX_PACKED, &packed), 0);
	for (size_t room = packed < 20 ? 0 : packed - 20; room < packed; room++)
		assert_int_equal(kv_lzo1x_encode((struct kv_span){ exact, n }, m->bad, room, &less),
				 -ENOSPC);
	free(exact);
	assert_true(agree(m->packed, packed, n));
	assert_memory_equal(m->out, m->plain, n);
	/* Linux takes a first byte of 17 for the mark of another version of the stream. */
	assert_true(!n || m->packed[0] != 17);
	return packed;
}

static void test_encoder(void **state)
{
	static const uint32_t gaps[] = { 0,     1,     2,     3,     4,     5,     18,
					 19,    238,   239,   240,   273,   274,   528,
					 2047,  2048,  2049,  16383, 16384, 16385, 32767,
					 32768, 32769, 49150, 49151, 49152, 65535 };
	size_t ours = 0, theirs = 0;

	(void)state;
	for (size_t i = 0; i < 30000; i++) {
		size_t n = i % 100 == 0 ? any(MAX_BLOCK) : any(any(8) ? 200 : 3000);

		fill(n);
		ours += encode(n);
		theirs += pack(n, false);
	}
	/* It is no worse than the fast one of liblzo2 by much. */
	assert_true(ours < theirs + theirs / 8);
	/* Every form of a match, at the edges of its distances and lengths. */
	for (size_t i = 0; i < KV_ARRAY_SIZE(gaps); i++) {
		for (size_t n = 4; n < 600; n += n < 40 ? 1 : 61) {
			for (size_t j = 0; j < 2 * n + gaps[i]; j++)
				m->plain[j] = (uint8_t)any(256);
			memcpy(m->plain + n + gaps[i], m->plain, n);
			encode(2 * n + gaps[i]);
		}
	}
	memset(m->plain, 0, MAX_BLOCK);
	assert_true(encode(MAX_BLOCK) < 600);
}

static int setup(void **state)
{
	FILE *f = fopen("/proc/self/exe", "re");

	(void)state;
	m = calloc(1, sizeof(*m));
	if (!m || !f || lzo_init() != LZO_E_OK)
		return -1;
	m->elf_n = fread(m->elf, 1, sizeof(m->elf), f);
	fclose(f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(m);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_adversarial),
		cmocka_unit_test(test_encoder),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
