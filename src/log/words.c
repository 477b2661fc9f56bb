/*
 * The search for the words of the patterns: the only code that looks at every byte of a log. A byte
 * is looked up by its two nibbles, for each of the three places in a word; eight sets of words are
 * sought at once, a bit for each ("Teddy", as in Hyperscan and in Rust's aho-corasick). What passes
 * is compared. AVX2 and NEON take 32 and 16 places at a time, other machines one.
 */
#include <limits.h>

#include "log/log.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define SLOTS 64 /* of the table of words; a power of two, at least twice their number */

static const char *const words[] = {
#define KV_LOG_WORD(word) word,
#include "log/patterns.def"
};

_Static_assert(KV_ARRAY_SIZE(words) <= KV_LOG_WORDS && KV_LOG_WORDS * 2 <= SLOTS, "too many words");

/* For place k of a word: the sets that have a byte with this low, and with this high nibble. */
static struct {
	bool ready;
	uint8_t low[KV_LOG_WORD_LEN][16], high[KV_LOG_WORD_LEN][16];
	uint32_t slot_word[SLOTS];
	uint8_t slot_index[SLOTS];
} table;

bool kv_log_portable;

const char *kv_log_word(unsigned i)
{
	return i < KV_ARRAY_SIZE(words) ? words[i] : NULL;
}

static uint32_t word_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static unsigned slot_of(uint32_t word)
{
	return word * 0x9e3779b1u >> 26 & (SLOTS - 1);
}

/* How many different words would pass as one of set `bit`, if w were put into it. */
static unsigned passes(const uint8_t *w, uint8_t bit)
{
	unsigned n = 1;

	for (unsigned k = 0; k < KV_LOG_WORD_LEN; k++) {
		unsigned low = 0, high = 0;

		for (unsigned i = 0; i < 16; i++) {
			low += (table.low[k][i] & bit) || (w && i == (w[k] & 15));
			high += (table.high[k][i] & bit) || (w && i == w[k] >> 4);
		}
		n *= low * high;
	}
	return n;
}

/* Words of like nibbles share a set: then little else passes. */
static uint8_t choose_set(const uint8_t *w)
{
	unsigned best = UINT_MAX;
	uint8_t set = 1;

	for (unsigned i = 0; i < 8; i++) {
		uint8_t bit = (uint8_t)(1 << i);
		unsigned more = passes(w, bit) - passes(NULL, bit);

		if (more < best) {
			best = more;
			set = bit;
		}
	}
	return set;
}

static void prepare(void)
{
	for (unsigned i = 0; i < KV_ARRAY_SIZE(words); i++) {
		const uint8_t *w = (const uint8_t *)words[i];
		unsigned s = slot_of(word_at(w));
		uint8_t set = choose_set(w);

		for (unsigned k = 0; k < KV_LOG_WORD_LEN; k++) {
			table.low[k][w[k] & 15] |= set;
			table.high[k][w[k] >> 4] |= set;
		}
		while (table.slot_word[s])
			s = (s + 1) % SLOTS;
		table.slot_word[s] = word_at(w);
		table.slot_index[s] = (uint8_t)i;
	}
	table.ready = true;
}

static bool is_word(const uint8_t *p, unsigned *ret)
{
	uint32_t w = word_at(p);

	for (unsigned s = slot_of(w); table.slot_word[s]; s = (s + 1) % SLOTS)
		if (table.slot_word[s] == w) {
			*ret = table.slot_index[s];
			return true;
		}
	return false;
}

/* Sets that may have a word here. */
static uint8_t sets_at(const uint8_t *p)
{
	uint8_t sets = 0xff;

	for (unsigned k = 0; k < KV_LOG_WORD_LEN; k++)
		sets &= table.low[k][p[k] & 15] & table.high[k][p[k] >> 4];
	return sets;
}

/* Every one of these looks at places from `from` on while `end - place >= KV_LOG_WORD_LEN`. */
static size_t find_portable(const uint8_t *p, size_t from, size_t end, unsigned *ret)
{
	for (size_t i = from; end - i >= KV_LOG_WORD_LEN; i++)
		if (sets_at(p + i) && is_word(p + i, ret))
			return i;
	return end;
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i twice(const uint8_t *p)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)p));
}

struct lookup {
	__m256i low, high;
};

/*
 * The sets that the 32 bytes at p allow for one place of a word. The instruction looks up the low
 * four bits, and gives none where the highest one is set: no word has such a byte.
 */
AVX2 static inline __m256i allow(const uint8_t *p, struct lookup t)
{
	__m256i v = _mm256_loadu_si256((const void *)p);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));

	return _mm256_and_si256(_mm256_shuffle_epi8(t.low, v), _mm256_shuffle_epi8(t.high, high));
}

/* The sets that may have a word at each of the 32 places from p on. */
AVX2 static inline __m256i may_start(const uint8_t *p, const struct lookup t[KV_LOG_WORD_LEN])
{
	return _mm256_and_si256(_mm256_and_si256(allow(p, t[0]), allow(p + 1, t[1])),
				allow(p + 2, t[2]));
}

AVX2 static inline uint32_t places(__m256i sets)
{
	return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(sets, _mm256_setzero_si256()));
}

AVX2 static size_t find_avx2(const uint8_t *p, size_t from, size_t end, unsigned *ret)
{
	const struct lookup t[KV_LOG_WORD_LEN] = {
		{ twice(table.low[0]), twice(table.high[0]) },
		{ twice(table.low[1]), twice(table.high[1]) },
		{ twice(table.low[2]), twice(table.high[2]) },
	};
	size_t i = from;

	for (; end - i >= 64 + KV_LOG_WORD_LEN; i += 64) {
		__m256i a = may_start(p + i, t), b = may_start(p + i + 32, t);
		__m256i both = _mm256_or_si256(a, b);

		if (_mm256_testz_si256(both, both))
			continue;
		for (uint64_t may = places(a) | (uint64_t)places(b) << 32; may; may &= may - 1)
			if (is_word(p + i + (unsigned)__builtin_ctzll(may), ret))
				return i + (unsigned)__builtin_ctzll(may);
	}
	return find_portable(p, i, end, ret);
}

AVX2 static inline __m256i is_newline(const uint8_t *p)
{
	return _mm256_cmpeq_epi8(_mm256_loadu_si256((const void *)p), _mm256_set1_epi8('\n'));
}

/* A byte counts up to 255 newlines of its place: 63 rounds of four. */
AVX2 static uint64_t count_avx2(const uint8_t *p, size_t n, size_t *done)
{
	__m256i sums = _mm256_setzero_si256();
	uint64_t four[4];
	size_t i = 0;

	while (n - i >= 128) {
		__m256i counts = _mm256_setzero_si256();

		for (unsigned k = 0; k < 63 && n - i >= 128; k++, i += 128) {
			__m256i ab = _mm256_add_epi8(is_newline(p + i), is_newline(p + i + 32));
			__m256i cd =
				_mm256_add_epi8(is_newline(p + i + 64), is_newline(p + i + 96));

			counts = _mm256_sub_epi8(counts, _mm256_add_epi8(ab, cd));
		}
		sums = _mm256_add_epi64(sums, _mm256_sad_epu8(counts, _mm256_setzero_si256()));
	}
	for (; n - i >= 32; i += 32) {
		__m256i one = _mm256_sub_epi8(_mm256_setzero_si256(), is_newline(p + i));

		sums = _mm256_add_epi64(sums, _mm256_sad_epu8(one, _mm256_setzero_si256()));
	}
	_mm256_storeu_si256((void *)four, sums);
	*done = i;
	return four[0] + four[1] + four[2] + four[3];
}

static bool has_avx2(void)
{
	return !kv_log_portable && __builtin_cpu_supports("avx2");
}

#elif defined(__aarch64__)

static size_t find_neon(const uint8_t *p, size_t from, size_t end, unsigned *ret)
{
	const uint8x16_t nibble = vdupq_n_u8(15);
	size_t i = from;

	for (; end - i >= 16 + KV_LOG_WORD_LEN; i += 16) {
		uint8x16_t sets = vdupq_n_u8(0xff);

		for (unsigned k = 0; k < KV_LOG_WORD_LEN; k++) {
			uint8x16_t v = vld1q_u8(p + i + k);

			sets = vandq_u8(sets,
					vqtbl1q_u8(vld1q_u8(table.low[k]), vandq_u8(v, nibble)));
			sets = vandq_u8(sets,
					vqtbl1q_u8(vld1q_u8(table.high[k]), vshrq_n_u8(v, 4)));
		}
		if (!vmaxvq_u8(sets))
			continue;
		for (unsigned k = 0; k < 16; k++)
			if (is_word(p + i + k, ret))
				return i + k;
	}
	return find_portable(p, i, end, ret);
}

static uint64_t count_neon(const uint8_t *p, size_t n, size_t *done)
{
	uint64_t lines = 0;
	size_t i = 0;

	while (n - i >= 16) {
		uint8x16_t counts = vdupq_n_u8(0);

		for (unsigned k = 0; k < 255 && n - i >= 16; k++, i += 16)
			counts = vsubq_u8(counts, vceqq_u8(vld1q_u8(p + i), vdupq_n_u8('\n')));
		lines += vaddlvq_u8(counts);
	}
	*done = i;
	return lines;
}

#endif

size_t kv_log_word_find(struct kv_span text, size_t from, unsigned *ret_word)
{
	if (!table.ready)
		prepare();
	if (from > text.n || text.n - from < KV_LOG_WORD_LEN)
		return text.n;
#if defined(__x86_64__)
	if (has_avx2())
		return find_avx2(text.p, from, text.n, ret_word);
#elif defined(__aarch64__)
	if (!kv_log_portable)
		return find_neon(text.p, from, text.n, ret_word);
#endif
	return find_portable(text.p, from, text.n, ret_word);
}

uint64_t kv_log_count_lines(const uint8_t *p, size_t n)
{
	uint64_t lines = 0;
	size_t i = 0;

#if defined(__x86_64__)
	if (has_avx2())
		lines = count_avx2(p, n, &i);
#elif defined(__aarch64__)
	if (!kv_log_portable)
		lines = count_neon(p, n, &i);
#endif
	for (; i < n; i++)
		lines += p[i] == '\n';
	return lines;
}
