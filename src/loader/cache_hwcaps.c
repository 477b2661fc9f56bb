/*
 * Which entries of an ld.so.cache the machine takes: glibc-hwcaps subdirectories by their priority,
 * x86's ISA levels, and the capabilities that ldconfig took from directory names until 2.36.
 */
#include <sys/utsname.h>

#include "loader/cache.h"

#define EXT_MAGIC  0xeaa42174u /* cache_extension_magic */
#define EXT_HWCAPS 1           /* cache_extension_tag_glibc_hwcaps */
#define HWCAP_TLS  ((uint64_t)1 << 63)

/* ---- glibc-hwcaps ---- */

/* cache_extension_load(): the section of names. False where anything of the extension is wrong. */
static bool load_extension(struct kv_cache *c, uint32_t *ret_at, uint32_t *ret_size)
{
	uint32_t at = kv_cache_word(c, c->header + 32), count;
	struct kv_span s;

	*ret_at = *ret_size = 0;
	if (!at)
		return true;
	if (at % 4 || !kv_span_sub(c->file, at, 8, &s) || kv_cache_word(c, at) != EXT_MAGIC)
		return false;
	count = kv_cache_word(c, at + 4);
	if ((c->file.n - at - 8) / 16 < count)
		return false;
	for (uint64_t i = 0, p = (uint64_t)at + 8; i < count; i++, p += 16) {
		uint32_t tag = kv_cache_word(c, p), offset = kv_cache_word(c, p + 8),
			 size = kv_cache_word(c, p + 12);

		if (!kv_span_sub(c->file, offset, size, &s))
			return false;
		if (tag == EXT_HWCAPS) {
			*ret_at = offset;
			*ret_size = size;
		}
	}
	if (!*ret_size || *ret_at % 4 || *ret_size % 4) /* cache_extension_verify() */
		*ret_size = 0;
	return true;
}

/* The machine's subdirectories as glibc's _dl_hwcaps_priorities: by name, each with its place. */
struct priority {
	const char *name;
	uint32_t place; /* 1 is the best */
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct priority *)a)->name, ((const struct priority *)b)->name);
}

/* glibc_hwcaps_priorities_init(): both lists are taken for sorted and are merged. */
static void merge_priorities(struct kv_loader *l, struct kv_cache *c, uint32_t at)
{
	struct priority mine[16];
	uint32_t n = 0, left = 0, right = 0;

	for (const char *name; n < KV_ARRAY_SIZE(mine) && (name = kv_cpu_hwcaps(l, n)); n++)
		mine[n] = (struct priority){ name, n + 1 };
	qsort(mine, n, sizeof(mine[0]), by_name);
	while (left < c->n_priorities && right < n && !c->lost) {
		uint32_t name = kv_cache_word(c, (uint64_t)at + 4 * (uint64_t)left);
		int cmp;

		/* glibc then writes zeros without ever taking the next name. */
		if (name >= c->file.n) {
			c->lost = c->dies = true;
			return;
		}
		/* The name counts from the file's start, also behind an old table. */
		cmp = strcmp(kv_cache_text(c, name), mine[right].name);
		if (cmp == 0)
			c->priorities[left] = mine[right].place;
		left += cmp <= 0;
		right += cmp >= 0;
	}
}

uint32_t kv_cache_priority(struct kv_loader *l, struct kv_cache *c, uint32_t index)
{
	uint32_t at, size;

	if (!c->n_priorities && load_extension(c, &at, &size)) {
		c->n_priorities = size / 4;
		c->priorities = kv_alloc_n(c->arena, c->n_priorities, sizeof(*c->priorities));
		merge_priorities(l, c, at);
		c->priorities_lost = c->lost;
		c->priorities_die = c->dies;
	}
	/* A process of its own each time, which comes to the same place. */
	c->lost |= c->priorities_lost;
	c->dies |= c->priorities_die;
	return index < c->n_priorities ? c->priorities[index] : 0;
}

bool kv_cache_level_fits(const struct kv_loader *l, uint32_t upper)
{
	/* The level is a bit's number in cpu_features->isa_1: 0 baseline, 3 x86-64-v4. */
	return (l->machine != EM_X86_64 && l->machine != EM_386) ||
	       (upper & KV_CACHE_LEVEL & 31) < l->cpu_level;
}

/* ---- legacy hwcaps ---- */

/*
 * Bits that ldconfig took from the directory's name (sysdeps .../dl-procinfo.h and dl-hwcap.h):
 * capabilities that count (HWCAP_IMPORTANT) and that the machine has, and its platform, of which
 * an entry may name one. On x86-64 only Intel's CPUs have any beyond x86_64 (update_active() in
 * sysdeps/x86/cpu-features.c).
 */
bool kv_cache_legacy_fits(const struct kv_loader *l, uint64_t hwcap)
{
	uint64_t caps = HWCAP_TLS, platforms = 0, platform = 0;

	switch (l->machine) {
	case EM_X86_64:
		platforms = (uint64_t)0xf << 48; /* i586, i686, haswell, xeon_phi */
		platform = (uint64_t)(l->intel && l->cpu_level >= 3) << 50; /* haswell */
		caps |= 2 | (uint64_t)(l->intel && l->cpu_level >= 4) << 2; /* x86_64, avx512_1 */
		break;
	case EM_386:
		platforms = (uint64_t)0xf << 48;
		platform = (uint64_t)1 << 49; /* i686 */
		caps |= 1;                    /* sse2 */
		break;
	case EM_AARCH64:
		caps |= 1 << 8; /* atomics, which every server CPU since ARMv8.1 has */
		break;
	}
	return !(hwcap & ~(caps | platforms)) &&
	       (!(hwcap & platforms) || (hwcap & platforms) == platform);
}

uint32_t kv_cache_kernel(void)
{
	struct utsname u;
	unsigned v[3] = { 0 };

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u.%u", &v[0], &v[1], &v[2]) < 1)
		return UINT32_MAX;
	return v[0] << 16 | (v[1] & 0xff) << 8 | (v[2] < 255 ? v[2] : 255);
}
