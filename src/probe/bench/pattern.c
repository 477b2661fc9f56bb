/*
 * What blocks are filled with, and their CRC32C. Each word depends on the test, the batch, the
 * block's number and its place, at one multiplication: fast enough to fill and check every byte of
 * every transfer.
 */
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "probe/bench/bench.h"

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t block_key(uint64_t seed, uint64_t test, uint64_t batch, uint64_t index)
{
	return mix(mix(mix(seed + test * GOLDEN) + batch * GOLDEN) + index * GOLDEN);
}

static inline uint64_t word(uint64_t key, uint64_t i)
{
	uint64_t w = (key + i) * GOLDEN;

	return w ^ w >> 32;
}

/* The reflected polynomial of RFC 3720, a byte at a time, for processors without it. */
static uint32_t crc_table(const uint8_t *p, size_t n)
{
	static uint32_t table[256];
	uint32_t crc = 0xffffffff;

	/* No threads here; table[255] is the last to be made. */
	for (uint32_t v = 0; !table[255] && v < 256; v++) {
		uint32_t e = v;

		for (int k = 0; k < 8; k++)
			e = e >> 1 ^ (e & 1 ? UINT32_C(0x82f63b78) : 0);
		table[v] = e;
	}
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(const uint8_t *p, size_t n)
{
	uint64_t crc = 0xffffffff, w;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		crc = __builtin_ia32_crc32di(crc, w);
	}
	for (; n; p++, n--)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
	return ~(uint32_t)crc;
}

static bool has_hardware(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#define HARDWARE "SSE4.2"
#elif defined(__aarch64__)
#define HWCAP_CRC32_BIT (1 << 7)

static uint32_t crc_hardware(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffff;
	uint64_t w;

	/* As text: the compiler's intrinsics differ in what they want to be enabled by. */
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		__asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(w));
	}
	for (; n; p++, n--)
		__asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1"
			: "+r"(crc)
			: "r"((uint32_t)*p));
	return ~crc;
}

static bool has_hardware(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32_BIT;
}
#define HARDWARE        "ARMv8"
#else
static uint32_t crc_hardware(const uint8_t *p, size_t n)
{
	return crc_table(p, n);
}

static bool has_hardware(void)
{
	return false;
}
#define HARDWARE "table"
#endif

const char *bench_crc_name(void)
{
	return has_hardware() ? HARDWARE : "table";
}

uint32_t bench_crc32c(const void *p, size_t n)
{
	return has_hardware() ? crc_hardware(p, n) : crc_table(p, n);
}

uint32_t bench_fill(uint64_t seed, uint64_t test, uint64_t batch, uint64_t index, void *to,
		    size_t n)
{
	uint64_t key = block_key(seed, test, batch, index), w;
	uint8_t *p = to;
	size_t i;

	for (i = 0; i < n / 8; i++) {
		w = word(key, i);
		memcpy(p + i * 8, &w, 8);
	}
	w = word(key, i);
	memcpy(p + i * 8, &w, n % 8);
	return bench_crc32c(to, n);
}

size_t bench_differs(uint64_t seed, uint64_t test, uint64_t batch, uint64_t index, const void *p,
		     size_t n)
{
	uint64_t key = block_key(seed, test, batch, index);
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		if (b[i] != (uint8_t)(word(key, i / 8) >> 8 * (i % 8)))
			return i;
	return n;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

/* An order that has no neighbours left of it, so that no library can merge blocks into one. */
uint64_t bench_peer_step(const struct bench_test *t)
{
	uint64_t step = t->count * 5 / 8 | 1;

	while (step > 1 && gcd(step, t->count) != 1)
		step -= 2;
	/* 1 would be no other order; the reverse one is always there. */
	if (step == 1 && t->count > 2)
		step = t->count - 1;
	return step;
}

uint64_t bench_peer_block(const struct bench_test *t, uint64_t slot, uint64_t block)
{
	return bench_block(t, slot, (block * bench_peer_step(t) + slot) % t->count);
}
