/* What the files of inspect share. Not for other rooms. */
#ifndef KV_INSPECT_INTERNAL_H
#define KV_INSPECT_INTERNAL_H

#include "inspect/facts.h"
#include "repair/pytoken.h"

void kv_find_nixls(struct kv_facts *f);
void kv_find_fabrics(struct kv_facts *f);
/* Where a libibverbs looks for EFA's driver: the pattern DIR/lib%s-rdmavNN.so of its read-only
 * data, with efa put in; NULL. */
const char *kv_verbs_driver(struct kv_arena *a, struct kv_root *r, const char *verbs);
void kv_find_sources(struct kv_facts *f, const kv_source_dirs *dirs);
void kv_find_orphans(struct kv_facts *f);
void kv_find_frameworks(struct kv_facts *f);
/* What a python source of a framework says of it, added to ret. */
void kv_needs_read(struct kv_arena *a, struct kv_span source, struct kv_needs *ret);
/* Whether the frameworks get what they need; after kv_find_imported(). */
void kv_find_needs(struct kv_facts *f);
void kv_find_config(struct kv_facts *f);
/* Of several NIXLs, which ones the job may import; needs the frameworks. */
void kv_find_imported(struct kv_facts *f);

/* Facts of the libfabric at path of root r; false where the file is none. */
bool kv_fabric_read(struct kv_arena *a, struct kv_root *r, const char *path, const struct kv_elf *e,
		    struct kv_fabric *ret);
/* What its file of settings says. */
void kv_fabric_settings(struct kv_facts *f, struct kv_fabric *fab);
/* Fills n->stack from the process in which the plugin is loaded. */
void kv_stack_read(struct kv_facts *f, struct kv_process *p, const struct kv_load *plugin,
		   struct kv_stack *ret);

/* Whether both paths lead to one place. */
bool kv_same_dir(struct kv_facts *f, const char *a, const char *b);

/* In the order of a python's path. */
enum kv_rank { KV_ON_PYTHONPATH, KV_OF_USER, KV_LOCAL, KV_OWN, KV_PORTION, KV_NOWHERE };

/* How a directory of packages comes on a python's path. */
struct kv_way {
	enum kv_rank rank;
	unsigned place;  /* among those of one rank: the directory itself, then what its .pth add */
	const char *bin; /* directory of that python; NULL for any */
	bool sure;       /* false for a user's directory, where it is not known who runs the job */
	const char *why; /* KV_NOWHERE: what keeps it off, where it looks like one; NULL */
};

/* PREFIX of PREFIX/lib/python3.11/site-packages; NULL where it is no such place. */
const char *kv_prefix_of_site(struct kv_facts *f, const char *site);
struct kv_way kv_way_to(struct kv_facts *f, const char *site);
/* Whether there is a python in this directory, and whether, as far as its real name tells, it has
 * another version than the site directory is for. */
bool kv_has_python(struct kv_facts *f, const char *bin);
bool kv_is_other_version(struct kv_facts *f, const char *bin, const char *site);
/* The python below a virtual environment that takes its packages too; NULL. */
const char *kv_python_below(struct kv_facts *f, const char *bin);

/* What the job's command tells, into f->python. */
void kv_read_command(struct kv_facts *f, const kv_strv *argv);
/* The python that a job starts by its name, where no command tells. Parts of PATH that are relative
 * depend on where it is, and are passed over. */
void kv_read_path(struct kv_facts *f);

/* What comes first on python's path, in order. */
struct kv_pythonpath {
	const char *text; /* as written */
	const char *dir;  /* NULL where it depends on the job's directory, which is not known */
	bool sure;
	unsigned place; /* from 1; 0 for what the command puts before PYTHONPATH */
	const char *first, *rest;
};

/* The parts of PYTHONPATH. */
struct kv_pythonpath kv_pythonpath(const struct kv_facts *f);
/* The same behind what the job's command puts before them, once python has started. */
struct kv_pythonpath kv_import_path(const struct kv_facts *f);
bool kv_pythonpath_next(struct kv_facts *f, struct kv_pythonpath *p);
/* Whether a relative part may mean dir: that a job starts in a directory of packages is not
 * assumed. */
bool kv_pythonpath_may_be(const struct kv_pythonpath *p, const char *dir);

/* "Key: value" of a METADATA file; NULL. */
const char *kv_package_metadata(struct kv_facts *f, const char *file, const char *key);
/* The dist-info directory of a module among the entries of its site directory; NULL. */
const char *kv_package_info(struct kv_facts *f, const char *site, const kv_dirents *list,
			    const char *module);
/* Notes the dist-info directory of an editable install, whose package is not in the site. */
void kv_package_editable(struct kv_facts *f, const char *site, const char *info);
/* "3.11" from a binding's file name; NULL where it has no such tag. */
const char *kv_package_python(struct kv_facts *f, const char *bindings);
/* "3.11" of a site directory of that one; NULL where its path does not tell. */
const char *kv_package_python_of_site(struct kv_facts *f, const char *site);
/* Whether a site directory is one of some python's own; others are the job's python's. */
bool kv_is_pythons(const char *site);
/* Whether dir has a module that hides those of its name further on; a directory without an __init__
 * does not. */
bool kv_package_is_regular(struct kv_facts *f, const char *dir, const char *module);
/* The binding in dir that the python of this site directory takes; NULL where there is none. */
const char *kv_package_bindings(struct kv_facts *f, const char *site, const char *dir,
				bool *ret_other);

/*
 * Why python does not import the package, by what is missing in it or beside it, once its binding
 * was tried; NULL. *ret_sure: nothing unseen can bring it.
 */
const char *kv_package_fault(struct kv_facts *f, const struct kv_nixl *n, bool *ret_sure);

/* Whether NIXL's own module imports it at its top, unguarded: numpy, and torch before 1.4. */
bool kv_package_imports(const struct kv_nixl *n, const char *module);

/* The directory from which the python that has this directory of packages on its path takes a
 * module that is not python's own; NULL where none is seen. */
const char *kv_package_place(struct kv_facts *f, const char *site, const char *module);
/* Whether the module can not be there unseen: .pth files, archives and what depends on the job's
 * directory bring what is not looked for. */
bool kv_path_is_plain(struct kv_facts *f, const char *module);
/* A package, or a module in one file; python's own library is not looked at. */
bool kv_package_has_module(struct kv_facts *f, const char *dir, const char *module);

/* What a metapackage takes. */
enum kv_meta {
	KV_META_UNTOLD,  /* it is not there, or depends on what is not seen */
	KV_META_HIGHEST, /* the package of the highest CUDA */
	KV_META_CUDA,    /* that of one CUDA */
};

/* Of the metapackage beside n, and the CUDA's major. */
enum kv_meta kv_meta_asks(struct kv_facts *f, const struct kv_nixl *n, unsigned *ret_cuda);
/* Why the metapackage beside n can not be imported: the package that it asks for is not there. As
 * of kv_package_fault(). */
const char *kv_meta_fault(struct kv_facts *f, const struct kv_nixl *n, bool *ret_sure);

/* Opens each plugin in a process as it is right after the agent was made. */
void kv_load_plugins(struct kv_facts *f, struct kv_nixl *n);
/* Which of the copies in each site directory a process imports. */
void kv_choose_active(struct kv_facts *f);
/* Fills n->def and what belongs to it. */
void kv_read_default(struct kv_facts *f, struct kv_nixl *n);
/* What a default comes to under the environment. hooked: python's import hook, if any, replaces it.
 */
kv_strv kv_taken_backends(struct kv_facts *f, const struct kv_pydefault *def, bool hooked);

/* Whether some python comes to a directory of packages before the other one, or to it alone. */
bool kv_comes_before(struct kv_facts *f, const char *site, const char *other);

/* The backend that a plugin's file, libplugin_NAME.so, is for. */
const char *kv_plugin_backend(struct kv_facts *f, const char *file);

/* Whether the environment has the import hook of kvpath run in front. */
bool kv_has_hook(struct kv_facts *f);
/* Compiled python that is run whatever its source says, and whether it was made of this source. */
bool kv_pyc_is_unchecked(struct kv_span pyc);
bool kv_pyc_is_of(struct kv_span pyc, struct kv_span source);

/* Where among all that the .pth files of the site directory `of` add dir comes, from 1; 0 where
 * they do not add it. *sure becomes false where only some releases of python read that file. */
unsigned kv_site_adds(struct kv_facts *f, const char *of, const char *dir, bool *sure);
/* Where an install in a site directory may lead to packages that lie elsewhere. */
struct kv_led {
	kv_strv dirs;    /* added by .pth files */
	kv_strv finders; /* texts of setuptools' finders of editable installs */
};

void kv_site_leads(struct kv_facts *f, const char *site, struct kv_led *ret);
/* The directory of a package that it leads to; NULL. */
const char *kv_led_to(struct kv_facts *f, const struct kv_led *led, const char *package);

/* Whether the source sets the variable, or does with it what is not a look at it. */
bool kv_python_sets(struct kv_span source, const char *variable);

/* What is asked of code, whose text a NUL follows. */
typedef bool kv_code_test(struct kv_span code, const char *what);

/* The file with code that python runs at its start and that passes the test: of the directories of
 * its path sitecustomize, usercustomize and the .pth files' lines; NULL. */
const char *kv_site_code(struct kv_facts *f, kv_code_test *test, const char *what);

/* What code makes of NIXL_PLUGIN_DIR up to the import of n. */
struct kv_code_dir {
	const char *file; /* whose code it is; NULL where none does */
	bool untold;      /* to what, only the code knows */
	const char *dir;  /* else: to this where the environment has none; NULL: to nothing */
};

void kv_code_plugin_dir(struct kv_facts *f, const struct kv_nixl *n, struct kv_code_dir *ret);

/* Whether code that python runs at its start names dir: it may put it anywhere on the path, and
 * need not. */
bool kv_site_code_names(struct kv_facts *f, const char *dir);
/* Whether the module may come from what .pth files of the site directory add. */
bool kv_site_may_bring(struct kv_facts *f, const char *of, const char *module);

/* What `import torch` maps in the process of n, where python finds torch. */
void kv_import_torch(struct kv_facts *f, struct kv_nixl *n);
/* How the wanted plugin loads in a process that does not import torch, where it takes some of its
 * libraries: n->lent, n->alone. */
void kv_load_without_torch(struct kv_facts *f, struct kv_nixl *n,
			   const struct kv_process_opts *opts);

/* How the wanted plugin loads in a process whose NCCL has opened its own: n->after_nccl. */
void kv_load_after_nccl(struct kv_facts *f, struct kv_nixl *n);

#endif
