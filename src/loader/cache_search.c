/*
 * The search in the table of an ld.so.cache: search_cache() of glibc's elf/dl-cache.c (before 2.33
 * the macro SEARCH_CACHE), step by step, so that it comes to the same entry in a table that is
 * damaged or not sorted, too.
 */
#include "loader/cache.h"

#define MAX_EQUAL   1024                /* entries of one name */
#define HWCAP_NAMED ((uint32_t)1 << 30) /* DL_CACHE_HWCAP_EXTENSION, of the upper half */
#define ELF_LIBC6   3                   /* FLAG_ELF_LIBC6, the generic _DL_CACHE_DEFAULT_ID */

struct lookup {
	struct kv_loader *l;
	struct kv_cache *c;
	const char *name;
	const char *best;
	uint32_t best_priority;
};

/* ---- the search ---- */

/* _dl_cache_libcmp: runs of digits compare as numbers, in an int that wraps; other bytes as char,
 * which has a sign on x86 alone. */
static int libcmp(const struct kv_loader *l, const char *a, const char *b)
{
	bool is_signed = l->machine == EM_X86_64 || l->machine == EM_386;

	for (;;) {
		bool x_digit = *a >= '0' && *a <= '9', y_digit = *b >= '0' && *b <= '9';

		if (*a && x_digit && y_digit) {
			uint32_t x = 0, y = 0;

			for (; *a >= '0' && *a <= '9'; a++)
				x = x * 10 + (uint32_t)(*a - '0');
			for (; *b >= '0' && *b <= '9'; b++)
				y = y * 10 + (uint32_t)(*b - '0');
			if (x != y)
				return (int32_t)(x - y);
		} else if (*a && x_digit != y_digit) {
			return x_digit ? 1 : -1;
		} else if (*a != *b || !*a) {
			return is_signed ? (signed char)*a - (signed char)*b
					 : (unsigned char)*a - (unsigned char)*b;
		} else {
			a++;
			b++;
		}
	}
}

/* Field of entry i: 0 flags, 1 key, 2 value, 3 osversion, 4 and 5 hwcap. */
static uint32_t field(struct kv_cache *c, int64_t i, unsigned number)
{
	uint64_t size = c->is_new ? KV_CACHE_NEW_ENTRY : KV_CACHE_OLD_ENTRY;

	return kv_cache_word(c, c->entries + (uint64_t)i * size + 4 * (uint64_t)number);
}

/* Compares the name with entry i's key. False where the key is out of bounds. */
static bool compare(struct lookup *k, int64_t i, int *ret)
{
	uint32_t key = field(k->c, i, 1);

	if (key >= k->c->strings || k->c->lost)
		return false;
	*ret = libcmp(k->l, k->name, kv_cache_text(k->c, k->c->base + key));
	return !k->c->lost;
}

static bool is_name(struct lookup *k, int64_t i)
{
	int cmp;

	return compare(k, i, &cmp) && cmp == 0;
}

/* The flags that end the search: _DL_CACHE_DEFAULT_ID. ARM defines only the check. */
static bool is_exact(const struct kv_loader *l, uint32_t flags)
{
	return flags == (l->machine == EM_ARM ? ELF_LIBC6 : kv_cache_flags(l));
}

/* _dl_cache_check_flags() of the machine. */
static bool has_flags(const struct kv_loader *l, uint32_t flags)
{
	return flags == kv_cache_flags(l) || (l->machine == EM_386 && flags == 1) ||
	       (l->machine == EM_ARM && flags == ELF_LIBC6);
}

enum judged { NEXT, TAKE, STOP };

/* The part of search_cache() for entries that have hwcaps. */
static enum judged judge_new(struct lookup *k, int64_t i, bool *ret_named)
{
	uint32_t low = field(k->c, i, 4 + k->c->be), upper = field(k->c, i, 5 - k->c->be), priority,
		 osversion;
	uint64_t hwcap = (uint64_t)upper << 32 | low;
	bool named = k->c->release >= SINCE_NAMED && (upper & ~KV_CACHE_LEVEL) == HWCAP_NAMED;

	*ret_named = named;
	if (named && !kv_cache_level_fits(k->l, upper))
		return NEXT;
	/* Named ones come first; the best of them is taken. */
	if (k->c->release >= SINCE_NAMED && !named && k->best)
		return STOP;
	if (!named && hwcap &&
	    (k->c->release >= SINCE_NO_LEGACY || !kv_cache_legacy_fits(k->l, hwcap)))
		return NEXT;
	osversion = k->c->release < SINCE_NO_OSVERSION ? field(k->c, i, 3) : 0;
	if (osversion && osversion > kv_cache_kernel())
		return NEXT;
	if (!named)
		return TAKE;
	priority = kv_cache_priority(k->l, k->c, low);
	if (!priority || (k->best && priority >= k->best_priority))
		return NEXT;
	k->best_priority = priority;
	return TAKE;
}

static enum judged judge(struct lookup *k, int64_t i)
{
	uint32_t flags = field(k->c, i, 0), value = field(k->c, i, 2);
	enum judged r = TAKE;
	bool named = false;

	if (!has_flags(k->l, flags) || value >= k->c->strings)
		return NEXT;
	/* SEARCH_CACHE, the macro before search_cache(). */
	if (k->c->release < SINCE_NAMED && k->best && !is_exact(k->l, flags))
		return NEXT;
	if (k->c->is_new)
		r = judge_new(k, i, &named);
	if (r != TAKE || k->c->lost)
		return r;
	k->best = kv_cache_text(k->c, k->c->base + value);
	return !named && is_exact(k->l, flags) ? STOP : NEXT;
}

/* From the entry that the binary search hit: back to the name's first, then forward. */
static void judge_equals(struct lookup *k, int64_t hit, int64_t right)
{
	int64_t i = hit;

	while (i > 0 && hit - i < MAX_EQUAL && is_name(k, i - 1))
		i--;
	for (; i <= right && i - hit < MAX_EQUAL && !k->c->lost; i++) {
		if (i > hit && !is_name(k, i))
			return;
		if (judge(k, i) == STOP)
			return;
	}
}

const char *kv_cache_search(struct kv_loader *l, struct kv_cache *c, const char *name)
{
	struct lookup k = { .l = l, .c = c, .name = name };
	int64_t left = 0, right = (int64_t)(int32_t)(c->n - 1);
	int cmp;

	while (left <= right) {
		int64_t middle = (left + right) / 2;

		if (!compare(&k, middle, &cmp))
			return NULL;
		if (cmp == 0) {
			judge_equals(&k, middle, right);
			return k.best;
		}
		if (cmp < 0) /* the table descends */
			left = middle + 1;
		else
			right = middle - 1;
	}
	return NULL;
}
