/* What the files of the loader share. Not for other rooms. */
#ifndef KV_LOADER_INTERNAL_H
#define KV_LOADER_INTERNAL_H

#include "loader/loader.h"

struct kv_cache;  /* an ld.so.cache, see cache.h */
struct kv_ldconf; /* what ldconfig is told, see ldconf.c */

struct kv_loader {
	struct kv_root *root;
	struct kv_arena *arena;
	const char *cwd; /* where relative paths begin */
	uint16_t machine;
	bool is64, be;
	unsigned cpu_level; /* 1 to 4 */
	bool intel;
	struct kv_ldso *ldso;
	const struct kv_elf *libc; /* the last that was asked for its release, and that */
	unsigned libc_version;
	struct kv_cache *cache;
	bool cache_read;
	const char *cache_fault; /* why there is no cache */
	int cache_errno;
	const struct kv_ldconf *ldconf; /* NULL: not read yet */
	struct kv_map *by_inode;        /* "dev:ino" -> struct kv_elf */
	struct kv_map *by_path;         /* guest path -> struct known_file (loader.c) */
	struct kv_map *dirs;            /* directory as spelled -> struct kv_search_dir (dirs.c) */
	kv_strv hwcaps; /* subdirectories that are tried, best first; the last is "" */
};

/* The objects that a dlopen relocated, last first, where it looked for symbols, and what it left of
 * the static TLS block. */
struct kv_relocation {
	kv_objects list, fresh;
	struct kv_tls_room after;
};

struct kv_process {
	struct kv_loader *l;
	struct kv_arena *arena;
	kv_objects loaded;               /* the link map: glibc's _ns_loaded list */
	struct kv_object *main, *interp; /* interp: ld.so itself; NULL where there is none */
	/* Where a copy of ld.so is taken for it: dlopen() calls what only ld.so has set up. */
	const struct kv_object *second_rtld;
	const struct kv_search_list *library_path; /* LD_LIBRARY_PATH; NULL */
	KV_VEC(const char *)
	sought; /* every name that was searched for, also in vain or before a rewind */
	const struct kv_search_list *default_path;
	const char *const *assumed;
	const char *tunables;             /* GLIBC_TUNABLES; NULL */
	struct kv_map *by_name;           /* the object that a name led to last time */
	KV_VEC(struct kv_object *) named; /* log of names added to objects, for rewinding */
	int err;          /* errno of the last attempt at a file, as ld.so would have it in errno */
	bool tls_lost;    /* an object that was refused had got a number for its TLS */
	bool cache_asked; /* ld.so.cache is opened when it is first needed */
	bool starting;    /* ld.so is not yet done: it has no strerror() of libc's */
	unsigned stack_flags;         /* PF_X where the stack is executable */
	uint64_t tls_size, tls_align; /* the static TLS block (tls.c) */
	struct kv_tls_room tls, tls_at_start;
	KV_VEC(struct kv_relocation) relocations; /* since the start */
	size_t n_exact;    /* of them, those after which the room is known to the byte */
	bool tls_is_tight; /* once not all might have had room */
};

/* The release of glibc, 2.x; asked of every symbol. */
static inline unsigned kv_ldso_version(struct kv_loader *l)
{
	return (l->ldso ? l->ldso : kv_loader_ldso(l))->version;
}

/* ---- one file (verify.c) ---- */

/* What is said in more than one place. */
#define KV_TEXT_CUT          "the file is shorter than its program headers say: SIGBUS"
#define KV_TEXT_DYNAMIC_LOST "its dynamic section lies outside of its segments"

/* ld.so's words for an object of the other class. */
static inline const char *kv_wrong_class(const struct kv_loader *l)
{
	return l->is64 ? "wrong ELF class: ELFCLASS32" : "wrong ELF class: ELFCLASS64";
}

/* How an attempt on one file ended. */
enum kv_open {
	KV_OPEN_OK,
	KV_OPEN_SKIP,    /* errno tells: go on, or give up this list of directories */
	KV_OPEN_FATAL,   /* the whole load fails with why */
	KV_OPEN_ABORT,   /* touching it kills the process */
	KV_OPEN_UNKNOWN, /* kvpath cannot tell */
};

struct kv_opened {
	const char *path; /* as ld.so spells it */
	const struct kv_elf *elf;
	const char *why; /* text for the error or for `why`; NULL where OK */
	bool other_class;
};

/* open_verify(): the checks before the object is mapped. Errors bear the path. Leaves its errno in
 * p->err. */
enum kv_open kv_open_verify(struct kv_process *p, const char *path, struct kv_opened *ret);

/* What is being opened, for the checks of mapping. */
enum kv_mapping {
	KV_MAP_LIBRARY, /* at start-up: needed or preloaded */
	KV_MAP_DLOPEN,  /* by dlopen, or needed by what that opened */
};

/* glibc.rtld.execstack: whether objects get an executable stack. */
enum kv_stack_mode { KV_STACK_REFUSED, KV_STACK_AT_START, KV_STACK_FORCED };
enum kv_stack_mode kv_stack_mode(const struct kv_process *p);

/* The part of _dl_map_object_from_fd() that can fail. Errors bear the name that was asked for. */
enum kv_open kv_check_mapping(struct kv_process *p, const struct kv_elf *e, enum kv_mapping kind,
			      const char **ret_why);

/* ---- directories (dirs.c) ---- */

enum kv_dir_state { KV_DIR_UNKNOWN, KV_DIR_THERE, KV_DIR_MISSING };

/* A directory of a search path, and those below it that are tried before it: glibc's
 * r_search_path_elem. */
struct kv_search_dir {
	const char *spelled; /* with its trailing '/' */
	KV_VEC(struct {
		const char *prefix; /* spelled, with the subdirectory */
		enum kv_dir_state state;
	})
	subs;
};

struct kv_search_list {
	KV_VEC(struct kv_search_dir *) dirs;
};

/* A list as in DT_RPATH or LD_LIBRARY_PATH, tokens replaced (fillin_rpath()). */
const struct kv_search_list *kv_search_list(struct kv_process *p, const char *text,
					    const char *separators, const char *origin);
/* DT_RPATH, or DT_RUNPATH, of an object; NULL where it has none (cache_rpath()). */
const struct kv_search_list *kv_object_rpath(struct kv_process *p, struct kv_object *o);
const struct kv_search_list *kv_object_runpath(struct kv_process *p, struct kv_object *o);
const struct kv_search_list *kv_default_path(struct kv_process *p);
/* $ORIGIN, $LIB, $PLATFORM in one element; NULL where a token has no value (the element is
 * dropped). */
const char *kv_expand(struct kv_process *p, const char *text, const char *origin);
/* The path in the root that a process there means: the working directory of a foreign process is
 * taken to be "/". */
const char *kv_guest(struct kv_loader *l, const char *path);

/* A number of GLIBC_TUNABLES, within its bounds; what it is by default (tunables.c). */
uint64_t kv_tunable(const struct kv_process *p, const char *name, uint64_t least, uint64_t most,
		    uint64_t standard);

/* ---- the search (search.c) ---- */

/* Result of a search for a name. */
struct kv_found {
	struct kv_opened opened;
	enum kv_rule rule;
	kv_trieds tried;
	bool other_class; /* some candidate had the wrong ELF class */
};

/* _dl_map_object's search for a name without '/'. SKIP: found nowhere. */
enum kv_open kv_search(struct kv_process *p, const char *name, struct kv_object *loader,
		       struct kv_found *ret);

/*
 * _dl_load_cache_lookup(): what ld.so.cache says of a name. OK: *ret_path is the path, which need
 * not exist. SKIP: not listed, or no cache. ABORT, UNKNOWN: the cache is damaged so that ld.so dies
 * over it, or reads what happens to lie behind it in memory.
 */
enum kv_open kv_cache_find(struct kv_loader *l, const char *name, const char **ret_path);
/* The errno that ld.so was left with when it opened the cache; 0 where that went well. */
int kv_cache_errno(struct kv_loader *l);
/* Why ld.so has no cache ("there is no such file", "written for the other byte order"); NULL where
 * it has one. */
const char *kv_cache_fault(struct kv_loader *l);
/*
 * What is to be said of a name that the cache did not help with: path is what kv_cache_find gave
 * (NULL where it gave none) and could not be used. Tells a stale cache: the file is gone, or a
 * directory of /etc/ld.so.conf holds it and ldconfig has not run since. Never NULL.
 */
const char *kv_cache_note(struct kv_loader *l, const char *name, const char *path);

/* A directory that ldconfig looks through. */
struct kv_ldconf_dir {
	const char *path; /* guest path as it stands in the cache, no '/' at its end */
	const char *file; /* which file names it */
	unsigned line;
};

struct kv_ldconf {
	KV_VEC(struct kv_ldconf_dir) dirs; /* those that exist, each inode once, in order */
	const char *limit;                 /* which limit cut the list; NULL where none did */
};

/* /etc/ld.so.conf with all that it includes, as ldconfig's parse_conf() reads it. Never NULL; an
 * empty list where there is no such file. Read once, until kv_loader_refresh(). */
const struct kv_ldconf *kv_ldconf(struct kv_loader *l);
/*
 * Path of the file that ldconfig would enter for this name, were it run now: in a directory of
 * ld.so.conf that is no default directory of ld.so, an object of the loader's machine and class
 * with this SONAME, or without one and with this file name. NULL where there is none.
 */
const char *kv_ldconf_holds(struct kv_loader *l, const char *name);

/* glibc-hwcaps subdirectory number i for this machine, best first; NULL past the last. */
const char *kv_cpu_hwcaps(struct kv_loader *l, size_t i);

/* ---- mapping (map.c, link_map.c) ---- */

/* _dl_map_object(): NULL with ret filled where it fails. by_dlopen: the name was given to dlopen by
 * requester. */
struct kv_object *kv_map_object(struct kv_process *p, const char *name, struct kv_object *requester,
				enum kv_mapping kind, bool by_dlopen, struct kv_load *ret);
/* _dl_map_object_deps(): maps what the listed objects need, breadth first, into the list. */
bool kv_map_deps(struct kv_process *p, enum kv_mapping kind, struct kv_load *ret);
/* Another name by which the object is found (add_name_to_object()). */
void kv_object_add_name(struct kv_process *p, struct kv_object *o, const char *name);
/* An object at the end of the link map. */
struct kv_object *kv_new_object(struct kv_process *p, const char *path, const char *name,
				const struct kv_elf *elf);
/* Moves an object of the link map to this place. */
void kv_process_move(struct kv_process *p, struct kv_object *o, size_t to);
/* Fails the load: `obj: text`, as dlerror() gives it. NULL. */
struct kv_object *kv_load_fail(struct kv_process *p, struct kv_load *ret, enum kv_loads loads,
			       const char *obj, const char *text);
/* What ld.so appends to an error for p->err: ": " and strerror(), "" for 0. */
const char *kv_errno_text(const struct kv_process *p);
/* The loaded object with that name among its names (not by SONAME): _dl_name_match_p over the list.
 */
const struct kv_object *kv_process_named(struct kv_process *p, const char *name);
/* _dl_name_match_p. */
bool kv_object_has_name(const struct kv_object *o, const char *name);
/* The list in the order in which its objects are relocated, last first (sort.c). first: of the
 * list, the object whose load it is. */
void kv_sort(struct kv_process *p, const kv_objects *list, struct kv_object *first,
	     kv_objects *ret);

/* ---- checks ---- */

/* _dl_check_map_versions over the objects of a load. False with ret filled where it fails; at
 * start-up with every version that is missing. */
bool kv_check_versions(struct kv_process *p, const kv_objects *list, bool at_startup,
		       struct kv_load *ret);
/* _dl_open_check(): x86 ISA levels. order: as of kv_sort. */
bool kv_check_isa(struct kv_process *p, const kv_objects *order, struct kv_load *ret);
/*
 * Whether relocating the fresh objects succeeds: symbols, static TLS, bytes that the file lacks.
 * lazy: functions that are called through the PLT need not be there yet. False with ret filled
 * where not. order: as of kv_sort.
 */
bool kv_check_relocation(struct kv_process *p, const kv_objects *order, bool lazy,
			 struct kv_load *ret);
/* Whether they survive their constructors (constructors.c). fresh: of kv_sort's order, those that
 * the load relocates. */
bool kv_check_constructors(struct kv_process *p, const kv_objects *fresh, struct kv_load *ret);
/* Minor of a libc.so.6's release, by its banner; 0 where it has none (ldso.c). */
unsigned kv_libc_version(struct kv_loader *l, const struct kv_elf *e);
/* Whether libc comes up in the process that has just been relocated (rtld.c). */
bool kv_check_rtld(struct kv_process *p, struct kv_load *ret);
/* Takes the process back to n relocations; tls is what was known of the room then. */
void kv_forget_relocations(struct kv_process *p, size_t n, struct kv_tls_room tls);
/* Lays out the static TLS block of the start-up's objects (tls.c). */
void kv_tls_start(struct kv_process *p);
/* Whether the static TLS block has room for the thread-local data of all that is mapped. */
bool kv_tls_fits(const struct kv_process *p);
/* _dl_try_allocate_static_tls(): false where the block has no room left. optional: the object can
 * do without. */
bool kv_tls_make_static(struct kv_process *p, struct kv_object *o, bool optional);

#endif
