/*
 * An ld.so.cache that was read: what cache.c (the file's format), cache_search.c (the search in its
 * table) and cache_hwcaps.c (which entries the machine takes) share.
 *
 * glibc's files: sysdeps/generic/dl-cache.h, elf/dl-cache.c of 2.27 to 2.43.
 */
#ifndef KV_LOADER_CACHE_H
#define KV_LOADER_CACHE_H

#include "loader/internal.h"

/* Releases that changed what a lookup answers. */
enum {
	SINCE_OLD_CHECKED = 28, /* an old table's count is checked against the file's size */
	/* A stated byte order must be the machine's (84ba719b26 of 2.33, in Debian's 2.31, too; one
	 * that truly is the other finds nothing before it either). */
	SINCE_ORDER = 31,
	SINCE_NEW_CHECKED = 32,  /* so is a new one's (e221c512c7) */
	SINCE_NAMED = 33,        /* glibc-hwcaps (600d9e0c87), search_cache() */
	SINCE_NO_OSVERSION = 36, /* entries for a newer kernel are taken, too (b46d250656) */
	SINCE_NO_LEGACY = 40,    /* entries with legacy hwcaps are skipped (c5aa5fd40a) */
};

#define KV_CACHE_NEW_ENTRY 24 /* struct file_entry_new: flags, key, value, osversion, hwcap */
#define KV_CACHE_OLD_ENTRY 12 /* struct file_entry: flags, key, value */

struct kv_cache {
	struct kv_span file;
	struct kv_arena *arena;
	unsigned release; /* minor of the glibc that reads it */
	bool is_new, be;
	uint64_t header;  /* position of the new header */
	uint64_t entries; /* position of the first entry */
	uint32_t n;
	uint64_t base;    /* position from which strings count */
	uint32_t strings; /* offsets from here on are bogus: string_table_size */
	/*
	 * The last lookup read behind the pages that ld.so maps, where other memory lies or none:
	 * what comes of it depends on the kernel. dies: it writes until it meets such a page.
	 */
	bool lost, dies;
	bool priorities_lost, priorities_die; /* the same, of what is read once */
	const char *tail;     /* what follows the file's last NUL, once it was asked for */
	uint32_t *priorities; /* glibc_hwcaps_priorities: per name of the extension, 0 unusable */
	uint32_t n_priorities;
};

/* The 32 bits at a position of the file, zero behind its end, as ld.so's mapping shows it. */
uint32_t kv_cache_word(struct kv_cache *c, uint64_t pos);
/* The string there. One without an end in 64 KiB is taken for empty: it can be no file's name. */
const char *kv_cache_text(struct kv_cache *c, uint64_t pos);

/* search_cache(): the value of the entry that ld.so takes, NULL where it takes none. */
const char *kv_cache_search(struct kv_loader *l, struct kv_cache *c, const char *name);

/* _DL_CACHE_DEFAULT_ID of the loader's machine (ldso.c). */
uint32_t kv_cache_flags(const struct kv_loader *l);

/* glibc_hwcaps_priority(): of a name of the extension by its index; 0 unusable, 1 the best. */
uint32_t kv_cache_priority(struct kv_loader *l, struct kv_cache *c, uint32_t index);
/* dl_cache_hwcap_isa_level_compatible(), of the upper half of a named entry's hwcap. */
bool kv_cache_level_fits(const struct kv_loader *l, uint32_t upper);
/* Whether the machine has the capabilities that a legacy entry asks for. */
bool kv_cache_legacy_fits(const struct kv_loader *l, uint64_t hwcap);
/* The running kernel as _dl_discover_osversion() puts it. */
uint32_t kv_cache_kernel(void);

#define KV_CACHE_LEVEL ((uint32_t)0x3ff) /* DL_CACHE_HWCAP_ISA_LEVEL_MASK, of the upper half */

#endif
