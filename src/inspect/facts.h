/*
 * What was seen in a target: plain data that the rules read. Collected without executing or
 * changing anything there; the same root, mounts and environment give the same facts.
 */
#ifndef KV_INSPECT_FACTS_H
#define KV_INSPECT_FACTS_H

#include "inspect/host.h"
#include "loader/loader.h"
#include "repair/pydefault.h"

/* ---- what the walk over the tree found ---- */

struct kv_scan {
	kv_strv sites; /* site-packages and dist-packages directories, and links of these names */
	kv_strv packages;   /* directories that hold a NIXL package, whatever their names */
	kv_strv libnixls;   /* regular files libnixl.so */
	kv_strv libfabrics; /* regular files libfabric*.so* */
	kv_strv plugins;    /* regular files libplugin_*.so */
	size_t n_entries;
	const char *stopped;    /* NULL, or why the walk did not see everything */
	const char *stopped_at; /* the first directory that it did not enter, where it stopped */
	kv_strv unreadable;     /* directories that could not be opened */
};

/* ---- libfabric ---- */

enum kv_source { KV_SOURCE_TARGET, KV_SOURCE_MOUNT, KV_SOURCE_FABRIC, _KV_SOURCE_COUNT };
extern const char *const kv_source_name[_KV_SOURCE_COUNT];

/* What a target lacks for a source's libfabric. */
enum kv_lack {
	KV_LACK_MACHINE, /* it is of another architecture */
	KV_LACK_LIBC,    /* a newer glibc */
	KV_LACK_RDMA,    /* a newer libefa or libibverbs */
	KV_LACK_BELOW,   /* another library that it needs, or a newer one */
};

/* A library that a source's libfabric needs and the target lacks. */
struct kv_companion {
	const char *name; /* by which it is asked for */
	const char *path; /* on the host */
};

struct kv_fabric {
	const char *path; /* guest path; for KV_SOURCE_FABRIC the host's */
	enum kv_source source;
	const struct kv_elf *elf;
	const char *release; /* "1.17.0" from the library itself; NULL where it does not tell */
	const char *abi;     /* "FABRIC_1.6", the newest it defines */
	bool unread;         /* of a brief look: its texts were not read, what follows is empty */
	kv_strv providers;   /* built in, and DSOs that lie where it looks */
	const char *provdir; /* where it looks for provider DSOs; NULL */
	const char *conf;    /* the file of settings that it reads (since 2.0); NULL */
	struct kv_env settings; /* in that file, where a process has it mapped */
	bool efa_built_in, cuda, distro;
	bool plain_cuda; /* it opens the driver as libcuda.so (before 2.1.0) */
	kv_strv dsos;    /* KV_SOURCE_FABRIC: provider DSOs that came along (host paths) */
	KV_VEC(struct kv_companion) companions; /* KV_SOURCE_FABRIC: what it takes along */
	const char *driver;  /* by which a libibverbs that is taken along asks for EFA's; NULL */
	bool beyond;         /* of them some are the host system's, from outside the source */
	const char *blocked; /* KV_SOURCE_FABRIC: why this target cannot take it; NULL */
	enum kv_lack lack;   /* where it is blocked: what it lacks here */
};

typedef KV_VEC(struct kv_fabric) kv_fabrics;

/* ---- NIXL ---- */

/* Whether NIXL would look for a plugin by this file name. */
static inline bool kv_is_plugin(const char *name)
{
	return kv_starts(name, "libplugin_") && kv_ends(name, ".so");
}

struct kv_plugin {
	const char *name;    /* "LIBFABRIC" */
	const char *path;    /* resolved */
	const char *spelled; /* as NIXL opens it */
	const struct kv_elf *elf;
	struct kv_load load;
};

typedef KV_VEC(struct kv_plugin) kv_plugins;

/* What the wanted backend's plugin stands on, once it loads. */
struct kv_stack {
	bool known;               /* the plugin loads, the rest is filled */
	const char *fabric_path;  /* libfabric as mapped */
	struct kv_fabric *fabric; /* its facts; NULL where it is no libfabric of a known shape */
	bool efa;                 /* an efa provider is built in or its DSO loads */
	const char *efa_from;     /* "built in", or the DSO's path */
	const char *efa_error;    /* why not */
	struct kv_load cudart;    /* dlopen("libcudart.so") from libfabric */
	struct kv_load driver;    /* dlopen("libcuda.so"), where it has plain_cuda */
	const char *verbs_path;   /* libibverbs as mapped; NULL where none is */
	const char *verbs_driver; /* path at which it looks for the efa driver */
	bool verbs_driver_found;
	bool efa_registers_itself; /* libefa is mapped and linked to this very libibverbs */
};

struct kv_nixl {
	const char *dist;       /* "nixl-cu13"; "" for a bare tree */
	const char *version;    /* "1.5.0"; "" where nothing tells */
	const char *path;       /* package directory, or that of libnixl.so */
	const char *site;       /* site-packages directory; NULL for a bare tree */
	const char *module;     /* "nixl_cu13"; NULL for a bare tree */
	const char *meta;       /* version of the metapackage nixl beside it; NULL */
	bool asked_by_torch;    /* the metapackage takes it, as torch is for its CUDA */
	const char *python;     /* "3.11"; NULL */
	const char *python_exe; /* guest path, NULL where none was found */
	const char *bindings;
	bool of_other_python;      /* they are not for the python that has this site directory */
	const char *libnixl;       /* resolved path; NULL where the binding does not lead to one */
	const char *lib_dir;       /* directory of libnixl.so, resolved */
	const char *other_libnixl; /* the wheel's own, where that is of another release; NULL */
	const char *plugin_dir;    /* as NIXL spells it */
	bool plugin_dir_from_env;
	bool plugin_dir_untold;         /* a relative path, and the job's directory is not known; or
					   code names it */
	const char *plugin_dir_code;    /* the python source that names it; NULL */
	const char *plugin_dir_file;    /* the configuration file that names it; NULL */
	bool reads_config;              /* this libnixl reads such a file (since 1.1.0) */
	const char *capi;               /* libnixl_capi.so; NULL */
	struct kv_process *proc;        /* after its imports, before any plugin */
	struct kv_mark imported;        /* it as such */
	const struct kv_object *caller; /* libnixl in it, which opens the plugins */
	const struct kv_object *fabric_before; /* libfabric.so.1 in it; NULL */
	struct kv_load start;                  /* process up to and including libnixl */
	kv_plugins plugins;
	const struct kv_plugin
		*wanted;   /* the plugin of the backend asked for; NULL where the file is missing */
	const char *torch; /* directory that has the torch imported before it; NULL */
	bool imports_torch;   /* NIXL itself does (before 1.4.0), in every process */
	kv_strv lent;         /* of torch's libraries those that the wanted plugin takes */
	struct kv_load alone; /* without torch, where there are such */
	/* NCCL's plugin for the network, or NCCL, that brings a libfabric or a libibverbs before
	 * NIXL's plugin comes (nccl.c), and how that loads then; NULL where none does. */
	const char *nccl_by, *nccl_brings;
	struct kv_load after_nccl;
	struct kv_stack stack;
	const char *api_py; /* NULL where there is none */
	struct kv_span api_source;
	struct kv_pydefault def;
	kv_strv default_backends;  /* in effect, with the environment applied */
	bool active;               /* a copy that the job may import (imported.c) */
	bool in_doubt;             /* one of several, which differ in whether they work */
	const char *off_path;      /* why no python that is seen imports it; NULL */
	bool may_be_named;         /* off_path, and nothing is known of the job's PYTHONPATH */
	const char *unchecked_pyc; /* a compiled file that python would run without looking at the
				      source */
	bool other_pyc;            /* it was not made of the source that is there */
	bool pyc_names_backend;    /* the wanted one, somewhere in it */
};

typedef KV_VEC(struct kv_nixl) kv_nixls;

/* NIXL's configuration file: the first of three places that has one. */
struct kv_config {
	const char *path;       /* NULL where there is none */
	const char *from;       /* "NIXL_CONFIG_FILE", "HOME", "" */
	const char *error;      /* for which NIXL makes no agent; NULL */
	const char *plugin_dir; /* its NIXL_PLUGIN_DIR; NULL */
	bool unfollowed;        /* it has TOML that is not followed here: nothing is known */
	bool untold;            /* a relative path, and the job's directory is not known */
	unsigned line;          /* of that, or of the error; 0 */
};

/* A plugin file outside every NIXL's plugin directory, and how it loads where no libnixl is. */
struct kv_orphan {
	const char *name, *path;
	struct kv_load load;
	const struct kv_nixl *home; /* the NIXL whose tree has what it misses; NULL */
};

/* An editable install: code, not the site directory, leads python to its modules (PEP 660). */
struct kv_editable {
	const char *dist, *info; /* "nixl_cu13", its dist-info directory */
};

/* ---- frameworks that choose the backend themselves ---- */

/* A place in a framework's code that names what is taken unasked. */
struct kv_named_default {
	const char *path; /* resolved; NULL where it is not to be rewritten: in a mount, say */
	struct kv_span source;
	struct kv_pydefault def;
	kv_strv taken; /* what it comes to under the environment */
};

/* What a framework wants of the module nixl before it makes an agent (needs.c). */
struct kv_needs {
	const char *site;  /* the directory of packages that leads to the framework */
	const char *file;  /* of the framework, that imports nixl; NULL where none does */
	kv_strv names;     /* that it takes from nixl._api with nixl_agent, all or nothing */
	const char *least; /* version of the package nixl below which it ends; NULL */
	const char *fault; /* why it gets no agent, where the NIXL itself may be in order; NULL */
	bool sure;         /* of that */
	bool lacks_module; /* the fault is that there is no nixl at all */
	const char *extension;      /* a module of the framework that is linked to libnixl; NULL */
	bool was_built_for_another; /* the fault is that it does not load beside this NIXL */
};

struct kv_framework {
	const char *name;  /* "SGLang" */
	const char *path;  /* package directory */
	const char *knob;  /* environment variable; NULL where only an argument counts */
	const char *value; /* as set; NULL */
	const char *set;   /* what to set, for people; NULL: it takes UCX alone */
	bool may_idle;     /* often there without sending anything by NIXL */
	bool chooses;      /* it names a backend; else NIXL's default counts */
	const char *other; /* the file of another agent of its own, which takes UCX alone; NULL */
	/* Of vLLM, whose knob is NULL; of SGLang what its knob is where it is unset. */
	KV_VEC(struct kv_named_default) defaults;
	struct kv_needs needs;
};

/* The python that the job starts: its command tells, or else PATH (command.c). */
struct kv_python {
	const char *path;    /* the program; NULL where it is none, or can not be told */
	const char *version; /* "3.11"; NULL */
	const char *bin;     /* the directory that tells which packages are its own */
	const char *first;   /* what comes before all others on its path; NULL */
	bool first_is_sure;  /* else it may, and need not */
	bool no_user_site;
	const char *out; /* its option that keeps an import hook out; NULL */
};

struct kv_facts {
	struct kv_arena *arena;
	struct kv_root *root;
	struct kv_loader *loader;
	const struct kv_scan *scan;
	const struct kv_env *env;
	const char *backend; /* asked for: "LIBFABRIC" */
	bool vram;           /* the job registers GPU memory */
	bool brief;          /* see kv_inspect */
	bool live;
	const char *path; /* of the target, as given */
	const char *cwd;  /* in which the job starts; NULL where that is not known */
	struct kv_python python;
	const char *arch, *libc, *os;
	kv_nixls nixls;
	kv_fabrics fabrics; /* of the target and of the sources offered */
	KV_VEC(struct kv_editable) editables;
	KV_VEC(struct kv_orphan) orphans;
	const char *start_sets; /* code that python runs at its start and that sets
				   NIXL_PLUGIN_DIR, once it was looked for; NULL */
	bool start_was_read;
	KV_VEC(struct kv_framework) frameworks;
	struct kv_config config;
	const char *mofed; /* a file of NVIDIA's own RDMA packages, which have no libefa; NULL */
	struct kv_sysroot *sysroot; /* the host to examine; NULL for none */
	const struct kv_host *host; /* that the job runs on; NULL where none is examined */
	const char *assumed; /* driver libraries that are assumed; NULL where none had to be */
};

/* A host directory to borrow a libfabric from; or, behind one of these, the system that it belongs
 * to: EFA's installer has libefa and libibverbs there. */
struct kv_source_dir {
	const char *host;
	bool is_system;
	struct kv_root *root;   /* stays the caller's; NULL where it can not be opened */
	struct kv_notes *notes; /* what was asked of it, for a recording; NULL */
};

typedef KV_VEC(struct kv_source_dir) kv_source_dirs;

struct kv_inspect {
	struct kv_root *root;
	const char *path;
	const struct kv_env *env;
	const char *cwd; /* in which the job starts, of the root; NULL where that is not known */
	const kv_strv *argv; /* the job's command; NULL */
	const char *backend;
	bool vram;
	bool image; /* look at a live root as at an image: the driver's libraries assumed */
	bool brief; /* only whether the wanted plugin loads: no other plugin, nothing around NIXL */
	struct kv_sysroot *sysroot; /* the host to examine; NULL for none */
	const kv_source_dirs *sources;
	unsigned cpu_level; /* of the machine that runs it, as of kv_cpu_level() */
};

/* Libraries that the host injects when a container starts; NULL-terminated. */
extern const char *const kv_assumed_libs[];

/* The provider DSO that has to come along for efa; NULL where efa is built in, or nothing brings
 * it. */
const char *kv_fabric_efa_dso(const struct kv_fabric *fab);

/* The machine that a root's programs are for; EM_NONE where it has none. */
void kv_root_identify(struct kv_root *r, struct kv_elf_id *ret);

/* Walks the tree. The only expensive step. */
void kv_scan(struct kv_root *r, struct kv_scan *ret);

/* The facts of a target. A loader is made for its architecture. Memory from the root's arena. */
struct kv_facts *kv_facts_collect(const struct kv_inspect *in, const struct kv_scan *scan);
/* The same after layers were laid on the root (or taken off): what was parsed is used again. */
struct kv_facts *kv_facts_again(const struct kv_facts *old);
/* All facts of a target of which there are brief ones. */
const struct kv_facts *kv_facts_whole(const struct kv_facts *f);
/*
 * The brief facts with dir in front of LD_LIBRARY_PATH, a directory that was not there and in which
 * links are laid by these names: the processes go on where they were about to open their plugins,
 * as far as they would have come there the same way. NULL where that is not sure.
 */
const struct kv_facts *kv_facts_go_on(const struct kv_facts *old, const struct kv_env *env,
				      const char *dir, const kv_strv *names);

/* The environment that a container of this root starts with (/etc/environment), `own` laid over it.
 */
void kv_target_env(struct kv_root *r, const struct kv_env *own, struct kv_env *ret);

/* Whether two libnixl.so, by their guest paths or NULL, are of one release (release.c). */
enum kv_release {
	KV_RELEASE_UNTOLD, /* one of them can not be read, or is for another machine */
	KV_RELEASE_SAME,
	KV_RELEASE_OTHER,
};
enum kv_release kv_compare_releases(const struct kv_facts *f, const char *libnixl,
				    const char *other);
/* Path of p's needs, for messages: "libfabric.so.1" -> versions. Versions of file, in order of the
 * need. */
void kv_elf_versions_of(struct kv_arena *a, const struct kv_elf *e, const char *file, kv_strv *ret);

#endif
