/*
 * /etc/ld.so.cache (glibc sysdeps/generic/dl-cache.h, elf/dl-cache.c): the new format, alone or
 * behind an old one, with the glibc-hwcaps extension. Looked up as ld.so does, by binary search
 * with _dl_cache_libcmp.
 */
#include "loader/internal.h"

#define MAX_CACHE   ((size_t)64 << 20)
#define MAGIC_OLD   "ld.so-1.7.0"
#define MAGIC_NEW   "glibc-ld.so.cache1.1"
#define HEADER_SIZE 48
#define ENTRY_SIZE  24
#define EXT_MAGIC   0xeaa42174u
#define HWCAP_EXT   ((uint64_t)1 << 62)

uint32_t kv_cache_flags(const struct kv_loader *l);

struct kv_cache {
	struct kv_span s; /* from the new header on: its offsets count from there */
	uint32_t n;
	bool be;
	struct kv_span hwcaps; /* tag 1 of the extension: string offsets */
};

static bool u32(const struct kv_cache *c, uint64_t off, uint32_t *ret)
{
	return kv_span_u32(c->s, off, c->be, ret);
}

static void read_extension(struct kv_cache *c)
{
	uint32_t off, magic, count, tag, at, size;

	if (!u32(c, 32, &off) || !off || !u32(c, off, &magic) || magic != EXT_MAGIC ||
	    !u32(c, (uint64_t)off + 4, &count))
		return;
	for (uint64_t i = 0, p = (uint64_t)off + 8; i < count && i < 64; i++, p += 16)
		if (u32(c, p, &tag) && u32(c, p + 8, &at) && u32(c, p + 12, &size) && tag == 1)
			kv_span_sub(c->s, at, size, &c->hwcaps);
}

static struct kv_cache *parse(struct kv_loader *l, struct kv_span s)
{
	struct kv_cache *c = kv_new(l->arena, struct kv_cache);
	uint32_t n_old;
	uint8_t flags;

	c->be = l->be;
	if (s.n >= strlen(MAGIC_OLD) && memcmp(s.p, MAGIC_OLD, strlen(MAGIC_OLD)) == 0) {
		uint64_t skip;

		if (!kv_span_u32(s, 12, l->be, &n_old))
			return NULL;
		skip = (16 + (uint64_t)n_old * 12 + 7) & ~(uint64_t)7;
		if (skip > s.n || !kv_span_sub(s, skip, s.n - skip, &s))
			return NULL;
	}
	if (s.n < HEADER_SIZE || memcmp(s.p, MAGIC_NEW, strlen(MAGIC_NEW)) != 0)
		return NULL;
	/* 2: little, 3: big endian, 0: not stated. A cache of the other order is ignored. */
	if (kv_span_u8(s, 28, &flags) && (flags & 3) && (flags & 3) != (l->be ? 3 : 2))
		return NULL;
	c->s = s;
	if (!u32(c, 20, &c->n) || c->n > (s.n - HEADER_SIZE) / ENTRY_SIZE)
		return NULL;
	read_extension(c);
	return c;
}

static const struct kv_cache *get_cache(struct kv_loader *l)
{
	struct kv_span s;

	if (!l->cache_read) {
		l->cache_read = true;
		l->cache = NULL;
		if (kv_root_slurp(l->root, "/etc/ld.so.cache", MAX_CACHE, &s) == 0)
			l->cache = parse(l, s);
	}
	return l->cache;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* _dl_cache_libcmp: runs of digits compare as numbers. */
static int libcmp(const char *a, const char *b)
{
	while (*a) {
		if (is_digit(*a)) {
			if (!is_digit(*b))
				return 1;
			unsigned long x = strtoul(a, NULL, 10), y = strtoul(b, NULL, 10);

			if (x != y)
				return x < y ? -1 : 1;
			for (; is_digit(*a); a++)
				;
			for (; is_digit(*b); b++)
				;
		} else if (is_digit(*b)) {
			return -1;
		} else if (*a != *b) {
			return (unsigned char)*a - (unsigned char)*b;
		} else {
			a++;
			b++;
		}
	}
	return (unsigned char)*a - (unsigned char)*b;
}

static const char *entry_key(const struct kv_cache *c, uint32_t i)
{
	uint32_t key;

	return u32(c, HEADER_SIZE + (uint64_t)i * ENTRY_SIZE + 4, &key) ? kv_span_str(c->s, key)
									: NULL;
}

/*
 * Rank of an entry: lower is better, 0 the best glibc-hwcaps directory, UINT32_MAX - 1 a plain
 * entry, UINT32_MAX one that this machine does not take.
 */
static uint32_t rank(struct kv_loader *l, const struct kv_cache *c, uint64_t hwcap)
{
	uint32_t name_off;
	const char *name;

	if (!hwcap)
		return UINT32_MAX - 1;
	if (!(hwcap & HWCAP_EXT)) /* legacy bits: platforms and tls, which this machine may lack */
		return UINT32_MAX;
	if ((hwcap >> 32 & 0x3ff) > l->cpu_level)
		return UINT32_MAX;
	if (!kv_span_u32(c->hwcaps, (hwcap & 0xffffffff) * 4, c->be, &name_off) ||
	    !(name = kv_span_str(c->s, name_off)))
		return UINT32_MAX;
	for (uint32_t i = 0; kv_cpu_hwcaps(l, i); i++)
		if (kv_streq(kv_cpu_hwcaps(l, i), name))
			return i;
	return UINT32_MAX;
}

const char *kv_cache_lookup(struct kv_loader *l, const char *name)
{
	const struct kv_cache *c = get_cache(l);
	uint32_t lo = 0, hi, want, best_rank = UINT32_MAX;
	const char *best = NULL;

	if (!c)
		return NULL;
	/* The table is sorted descending. Find the first entry of the name. */
	want = kv_cache_flags(l);
	for (hi = c->n; lo < hi;) {
		uint32_t mid = lo + (hi - lo) / 2;
		const char *key = entry_key(c, mid);

		if (!key)
			return NULL;
		if (libcmp(name, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < c->n; lo++) {
		uint64_t at = HEADER_SIZE + (uint64_t)lo * ENTRY_SIZE, hwcap = 0;
		const char *key = entry_key(c, lo), *path;
		uint32_t flags, value, r;

		if (!key || libcmp(name, key) != 0)
			break;
		if (!u32(c, at, &flags) || flags != want || !u32(c, at + 8, &value) ||
		    !kv_span_u64(c->s, at + 16, c->be, &hwcap) ||
		    !(path = kv_span_str(c->s, value)))
			continue;
		r = rank(l, c, hwcap);
		if (r < best_rank) {
			best_rank = r;
			best = path;
		}
	}
	return best;
}
