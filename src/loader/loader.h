/*
 * The model of glibc's dynamic loader over a root that need not be this machine's: what a process
 * there maps, from where, and with which error it fails. Follows glibc's elf/ directory function by
 * function (named in the comments), not ldd. Pure: the same root, environment and CPU level give
 * the same answer.
 */
#ifndef KV_LOADER_LOADER_H
#define KV_LOADER_LOADER_H

#include "elf/elf.h"

enum kv_loads {
	KV_LOADS_YES,
	KV_LOADS_NO,      /* fails with an error */
	KV_LOADS_ABORT,   /* the process would die */
	KV_LOADS_UNKNOWN, /* the model cannot tell; the error says why */
	_KV_LOADS_COUNT,
};

extern const char *const kv_loads_name[_KV_LOADS_COUNT]; /* as in the JSON: "yes", "no", ... */

/* By which rule the loader came to a path; for `why`. */
enum kv_rule {
	KV_RULE_MAIN, /* the executable, its interpreter or a path given to dlopen */
	KV_RULE_PRELOAD,
	KV_RULE_RPATH,
	KV_RULE_LD_LIBRARY_PATH,
	KV_RULE_RUNPATH,
	KV_RULE_CACHE,
	KV_RULE_DEFAULT,
	KV_RULE_LOADED,  /* an object with that name or SONAME was loaded already */
	KV_RULE_ASSUMED, /* brought by the host when the container starts */
	_KV_RULE_COUNT,
};

extern const char *const kv_rule_name[_KV_RULE_COUNT];

/* One place where the loader looked, and why it was not taken. */
struct kv_tried {
	const char *path;
	enum kv_rule rule;
	const char *why;
};

typedef KV_VEC(struct kv_tried) kv_trieds;

struct kv_object;
struct kv_search_list;
typedef KV_VEC(struct kv_object *) kv_objects;

/* A loaded object: glibc's struct link_map. */
struct kv_object {
	const char *name;   /* l_name: the path as it was opened */
	const char *origin; /* $ORIGIN: directory of the path as it was opened */
	kv_strv names;      /* l_libname: names by which it was asked for */
	bool soname_added;
	const struct kv_elf *elf;       /* NULL: assumed, or the bare program */
	const struct kv_object *loader; /* l_loader: whose RPATH its needs inherit */
	const struct kv_object *requested_by;
	const char *request; /* the name in the first request */
	enum kv_rule rule;
	kv_trieds tried; /* candidates that lost, in order */
	bool is_main, global, assumed, relocated;
	bool has_no_id;   /* the executable and ld.so itself: l_file_id is not set, so that the same
			     file under another name is mapped again */
	kv_objects needs; /* direct dependencies: glibc's l_initfini without itself */
	bool needs_mapped;
	size_t index; /* in the link map */
	/* Search paths, split and expanded when first used; see dirs.c. */
	const struct kv_search_list *rpath_list, *runpath_list;
	bool in_list, visited; /* marks of the load at work */
	bool again;            /* moved by it, so that its needs are gone through once more */
	bool refers_to_tls;    /* to thread-local data of others, for all that is known */
	uint64_t tls_offset;   /* in the static TLS block; 0: not there */
};

/* What an object may open later, and what would become of it. */
struct kv_optional {
	const struct kv_object *object;
	struct kv_elf_dlopen note;
	enum kv_loads loads;
	const char *path, *error; /* of the name that loads; else of the first */
};

struct kv_load {
	enum kv_loads loads;
	const char *error; /* what dlerror() or ld.so would print; NULL where loads is YES */
	struct kv_object *object;
	kv_objects list;  /* searchlist: the object and its dependencies, breadth first */
	kv_objects fresh; /* what this load mapped, in the order of the link map */
	/* Where it failed. */
	const char *missing;         /* name that was not found */
	const char *missing_version; /* version that was not found, in `provider` */
	const char *missing_symbol;
	const struct kv_object *provider, *requirer;
	bool is_unready; /* requirer's constructor calls provider before that one's has run */
	kv_trieds tried; /* places looked at for `missing` */
	KV_VEC(struct kv_optional) optionals; /* empty unless they were asked for */
};

/* What the loader is on the target: dynamic linker, its directories, its age. */
struct kv_ldso {
	const char *path; /* "/lib64/ld-linux-x86-64.so.2" */
	unsigned version; /* minor of glibc 2.x; 0 where it could not be read */
	kv_strv dirs;     /* default directories, each with its trailing '/' */
	const char *lib;  /* $LIB */
	/* Whether GLIBC_TUNABLES says how much of the static TLS block is left to dlopen:
	 * since 2.32, and in older ones that took it over. */
	bool has_tls_tunables;
	bool is_debian; /* Debian's own, or a derivative's, with directories by multiarch triplet */
	/* Whether the root's loader was read and is glibc's. Where it is not, unknown_why says what
	 * it is instead. */
	bool is_glibc;
	const char *unknown_why;
};

struct kv_loader;

/*
 * A model over root for objects of this machine and class. cpu_level: x86-64 ISA level 1-4 of the
 * machine that will run it (ignored elsewhere), as of kv_cpu_level(). Everything read is kept: one
 * loader serves many processes.
 */
struct kv_loader *kv_loader_new(struct kv_root *r, uint16_t machine, bool is64, bool be,
				unsigned cpu_level);
/* Another one over r, for the same machine. */
struct kv_loader *kv_loader_like(const struct kv_loader *l, struct kv_root *r);
/* The directory in which its processes start, an absolute path; "/" unless it was told. */
void kv_loader_start_in(struct kv_loader *l, const char *cwd);
const struct kv_ldso *kv_loader_ldso(struct kv_loader *l);
uint16_t kv_loader_machine(const struct kv_loader *l);
/* The parsed object at guest, each inode read once; NULL with *ret_error set where it cannot be
 * opened. */
const struct kv_elf *kv_loader_elf(struct kv_loader *l, const char *guest, int *ret_error);
/* Drops what depends on the root's layers (paths, cache); parsed inodes stay. To be called after
 * laying. */
void kv_loader_refresh(struct kv_loader *l);
/* The CPU that kvpath runs on: x86-64 ISA level 1 to 4, with KV_CPU_INTEL where Intel made it (up
 * to 2.36 glibc looked for other subdirectories there). 1 where that means nothing. */
enum { KV_CPU_LEVEL = 7, KV_CPU_INTEL = 8 };
unsigned kv_cpu_level(void);

/* ---- a process ---- */

struct kv_process;

struct kv_process_opts {
	const char *exe;          /* guest path; NULL: a program that links libc alone */
	const struct kv_env *env; /* LD_LIBRARY_PATH and LD_PRELOAD are read, at start only */
	/* Libraries that the host injects: a need for one that is not found is met by an assumed
	 * object. NULL-terminated; NULL for a live target. */
	const char *const *assumed;
};

/*
 * The process after its start-up: executable, LD_PRELOAD, their dependencies. ret->loads tells
 * whether it came up; a process that did not can not be asked further. Never NULL.
 */
struct kv_process *kv_process_start(struct kv_loader *l, const struct kv_process_opts *opts,
				    struct kv_load *ret);

enum { KV_DLOPEN_GLOBAL = 1 };

/*
 * dlopen(name, RTLD_NOW | RTLD_LOCAL) (or RTLD_GLOBAL) called from caller (NULL: the executable).
 * What it maps stays mapped where it loads; a failed load leaves the process as it was.
 */
void kv_process_dlopen(struct kv_process *p, const char *name, const struct kv_object *caller,
		       unsigned flags, struct kv_load *ret);

/* Of the static TLS block: what is in use, and what of the rest those may take who can do without.
 */
struct kv_tls_room {
	uint64_t used, optional;
};

/* Fills load->optionals from the notes of its objects. */
void kv_load_read_optionals(struct kv_loader *l, struct kv_load *load);
/* Tries them, in the process as it is after the load, which stays as it is. */
void kv_process_try_optionals(struct kv_process *p, struct kv_load *load);

/* Takes the process back to a point: what was mapped since is unmapped. */
struct kv_mark {
	struct kv_object **order; /* the link map: a filtee may be moved in it */
	size_t loaded, named, relocations, sought;
	const struct kv_search_list *library_path;
	struct kv_tls_room tls;
	unsigned stack_flags;
};
struct kv_mark kv_process_mark(const struct kv_process *p);
void kv_process_rewind(struct kv_process *p, struct kv_mark mark);
/*
 * Gives the process another LD_LIBRARY_PATH, as if it had started with it: the one that it has, and
 * in front of it a directory that has nothing but names, was not there before and was not searched.
 * False, with nothing changed, where the process up to the mark could have been another with it.
 * kv_process_rewind() takes it back.
 */
bool kv_process_library_path(struct kv_process *p, const struct kv_mark *mark, const char *text,
			     const kv_strv *names);
/* Whether dir, by this name, was a place to search for any process since the last refresh. */
bool kv_loader_has_searched(const struct kv_loader *l, const char *dir);

/* Loaded object number i, in order of loading; NULL past the last. */
struct kv_object *kv_process_object(const struct kv_process *p, size_t i);
/* The loaded object that this name finds, as a further request for it would; NULL where none does.
 */
struct kv_object *kv_process_find(struct kv_process *p, const char *name);

#endif
