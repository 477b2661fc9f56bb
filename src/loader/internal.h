/* What the files of the loader share. Not for other rooms. */
#ifndef KV_LOADER_INTERNAL_H
#define KV_LOADER_INTERNAL_H

#include "loader/loader.h"

struct kv_cache; /* an ld.so.cache, see cache.c */

struct kv_loader {
	struct kv_root *root;
	struct kv_arena *arena;
	uint16_t machine;
	bool is64, be;
	unsigned cpu_level;
	struct kv_ldso *ldso;
	struct kv_cache *cache;
	bool cache_read;
	struct kv_scratch scratch[3]; /* tables of symbols, one object at a time */
	struct kv_map *by_inode;      /* "dev:ino" -> struct kv_elf */
	struct kv_map *by_path;       /* guest path -> struct known_file (loader.c) */
};

struct kv_process {
	struct kv_loader *l;
	struct kv_arena *arena;
	kv_objects loaded; /* in order of loading: glibc's _ns_loaded list */
	struct kv_object *main;
	kv_strv library_path; /* LD_LIBRARY_PATH, split, still with its tokens */
	const char *const *assumed;
	struct kv_map *by_name;     /* the object that a name led to last time */
	struct kv_known_sym *known; /* symbols that the present load's scope defines (symbols.c) */
	unsigned loads;             /* number of loads so far */
	KV_VEC(struct kv_object *) named; /* log of names added to objects, for rewinding */
};

/* How an attempt on one file ended (open_verify and the part of _dl_map_object_from_fd that can
 * fail). */
enum kv_open {
	KV_OPEN_OK,
	KV_OPEN_SKIP,      /* go on with the next directory */
	KV_OPEN_STOP_LIST, /* give up this list of directories */
	KV_OPEN_FATAL,     /* the whole load fails with why */
	KV_OPEN_ABORT,     /* touching it kills the process */
};

struct kv_opened {
	const char *path;
	const struct kv_elf *elf;
	const char *why; /* text for the error or for `why`; NULL where OK */
	bool other_class;
	int error; /* -errno of opening the file, 0 */
};

enum kv_open kv_open_verify(struct kv_loader *l, const char *path, struct kv_opened *ret);

/* Result of a search for a name. */
struct kv_found {
	struct kv_opened opened;
	enum kv_rule rule;
	kv_trieds tried;
	bool other_class; /* some candidate had the wrong ELF class */
};

/* _dl_map_object's search for a name without '/'. SKIP: found nowhere. */
enum kv_open kv_search(struct kv_process *p, const char *name, const struct kv_object *loader,
		       struct kv_found *ret);
/* $ORIGIN, $LIB, $PLATFORM in one element; NULL where a token has no value (the element is
 * dropped). */
const char *kv_expand(struct kv_process *p, const char *text, const char *origin);

/* Path of the best cache entry for the name, NULL where there is none (cache.c,
 * _dl_load_cache_lookup). */
const char *kv_cache_lookup(struct kv_loader *l, const char *name);

/* _dl_check_map_versions over the fresh objects of a load. False with ret filled where it fails. */
bool kv_check_versions(struct kv_process *p, const kv_objects *list, bool at_startup,
		       struct kv_load *ret);
/*
 * Whether every symbol that relocating the fresh objects needs is there. False with ret filled
 * where not. by_hash: see KV_DLOPEN_BY_HASH.
 */
bool kv_check_symbols(struct kv_process *p, bool by_hash, struct kv_load *ret);
/* The loaded object with that name among its names (not by SONAME): _dl_name_match_p over the list.
 */
const struct kv_object *kv_process_named(struct kv_process *p, const char *name);
/* _dl_name_match_p. */
bool kv_object_has_name(const struct kv_object *o, const char *name);

/* glibc-hwcaps subdirectory number i for this machine, best first; NULL past the last. */
const char *kv_cpu_hwcaps(struct kv_loader *l, size_t i);

#endif
