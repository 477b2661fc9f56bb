/*
 * The walk over a target that finds NIXL, its plugins and libfabric by what is on disk. Directories
 * that by their nature hold no shared objects (documentation, headers, byte code) are passed over
 * by name: a serving image has hundreds of thousands of such files.
 */
#include <dirent.h>

#include "inspect/facts.h"

#define MAX_ENTRIES 5000000
#define MAX_DEPTH   256

/* Directory names that hold no shared objects, anywhere. */
static const char *const never[] = {
	"__pycache__", "include",   "doc",       "docs",         "man",     "locale",
	"i18n",        "zoneinfo",  "icons",     "fonts",        "info",    "licenses",
	"terminfo",    "cmake",     ".git",      "node_modules", "headers", "perl",
	"perl5",       "perl-base", "pkgconfig", "gconv",
};

/* Below a site directory also these: packages keep their test data there, by the thousand. */
static const char *const never_in_site[] = { "test", "tests", "testing" };

/* What Python's own library is made of, in lib/python3.*: what is installed lies beside it. */
static const char *const python_own[] = {
	"asyncio",  "collections", "concurrent", "ctypes",      "curses",  "dbm",
	"email",    "encodings",   "ensurepip",  "html",        "http",    "idlelib",
	"json",     "importlib",   "lib2to3",    "lib-dynload", "logging", "multiprocessing",
	"re",       "pydoc_data",  "sqlite3",    "test",        "tkinter", "tomllib",
	"unittest", "turtledemo",  "urllib",     "venv",        "wsgiref", "distutils",
	"xml",      "xmlrpc",
};

/* What the file system's standard reserves for other things (FHS 3.0). */
static const char *const reserved[] = {
	"/boot",
	"/dev",
	"/etc",
	"/lost+found",
	"/proc",
	"/sys",
	"/usr/share",
	"/usr/src",
	"/var/cache",
	"/var/log",
	"/var/lib/apt",
	"/var/lib/dpkg",
	"/var/lib/rpm",
	"/var/lib/docker",
	"/var/lib/containers",
	"/var/lib/containerd",
	"/var/lib/kubelet",
};

struct walk {
	struct kv_root *root;
	struct kv_arena *arena;
	struct kv_arena *scratch; /* lists and paths of the directories that are open */
	struct kv_scan *ret;
	bool live;
};

static bool is_one_of(const char *s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (kv_streq(s, list[i]))
			return true;
	return false;
}

static bool is_metadata(const char *name)
{
	return kv_ends(name, ".dist-info") || kv_ends(name, ".egg-info");
}

static bool is_passed_over(const struct walk *w, const char *path, const char *name, bool in_site,
			   bool in_library)
{
	return is_one_of(name, never, KV_ARRAY_SIZE(never)) || is_metadata(name) ||
	       (in_site && is_one_of(name, never_in_site, KV_ARRAY_SIZE(never_in_site))) ||
	       (in_library && is_one_of(name, python_own, KV_ARRAY_SIZE(python_own))) ||
	       is_one_of(path, reserved, KV_ARRAY_SIZE(reserved)) ||
	       (w->live && kv_streq(path, "/run"));
}

/* A directory from which python can import NIXL, whatever it is called: pip --target makes such. */
static void take_package(struct walk *w, const char *package)
{
	const char *dir = kv_dirname(w->scratch, package);

	if (kv_starts(kv_basename(package), "nixl") && !strchr(kv_basename(package), '.') &&
	    !kv_strv_has(&w->ret->packages, dir))
		kv_vec_push(w->arena, &w->ret->packages, kv_strdup(w->arena, dir));
}

static bool is_site(const char *name)
{
	return kv_streq(name, "site-packages") || kv_streq(name, "dist-packages");
}

static void take_file(struct walk *w, const char *path, const char *name)
{
	struct kv_scan *s = w->ret;
	kv_strv *list = NULL;

	if (kv_streq(name, "libnixl.so"))
		list = &s->libnixls;
	else if (kv_is_plugin(name))
		list = &s->plugins;
	else if (kv_starts(name, "libfabric") && strstr(name, ".so"))
		list = &s->libfabrics;
	if (list)
		kv_vec_push(w->arena, list, kv_strdup(w->arena, path));
	if (kv_starts(name, "_bindings."))
		take_package(w, kv_dirname(w->scratch, path));
}

static bool is_python_library(struct walk *w, const char *dir)
{
	const char *parent;

	if (!kv_starts(kv_basename(dir), "python3."))
		return false;
	parent = kv_basename(kv_dirname(w->scratch, dir));
	return kv_streq(parent, "lib") || kv_streq(parent, "lib64");
}

/* The type of an entry; the file system is asked where the directory does not tell. */
static uint8_t type_of(struct walk *w, const char *path, const struct kv_dirent *d)
{
	struct kv_stat st;

	if (d->type != DT_UNKNOWN)
		return d->type;
	if (kv_root_stat(w->root, path, KV_NOFOLLOW, &st) < 0)
		return DT_UNKNOWN;
	return S_ISREG(st.mode) ? DT_REG : S_ISDIR(st.mode) ? DT_DIR : DT_UNKNOWN;
}

static bool is_sought(const char *name)
{
	return kv_starts(name, "lib") || kv_starts(name, "_bindings.");
}

static void walk(struct walk *w, const char *dir, unsigned depth, bool in_site);

static void walk_entries(struct walk *w, const char *dir, const kv_dirents *list, unsigned depth,
			 bool in_site)
{
	bool in_library = is_python_library(w, dir);
	const struct kv_dirent *d;

	kv_vec_each (d, list) {
		const char *path;
		uint8_t type = d->type;

		if (type == DT_REG && !is_sought(d->name))
			continue;
		if (type == DT_LNK ? !is_site(d->name)
				   : type != DT_REG && type != DT_DIR && type != DT_UNKNOWN)
			continue;
		path = kv_join(w->scratch, dir, d->name);
		if (type == DT_LNK && kv_root_is_dir(w->root, path))
			kv_vec_push(w->arena, &w->ret->sites, kv_strdup(w->arena, path));
		type = type_of(w, path, d);
		if (type == DT_REG)
			take_file(w, path, d->name);
		if (type != DT_DIR || is_passed_over(w, path, d->name, in_site, in_library))
			continue;
		if (is_site(d->name))
			kv_vec_push(w->arena, &w->ret->sites, kv_strdup(w->arena, path));
		if (!w->live || kv_root_is_local(w->root, path))
			walk(w, path, depth + 1, in_site || is_site(d->name));
	}
}

/* The first place is told: what lies behind it may be many. */
static void stop(struct walk *w, const char *dir, const char *why)
{
	if (w->ret->stopped)
		return;
	w->ret->stopped = why;
	w->ret->stopped_at = kv_strdup(w->arena, dir);
}

static void walk(struct walk *w, const char *dir, unsigned depth, bool in_site)
{
	struct kv_arena_mark mark = kv_arena_mark(w->scratch);
	kv_dirents list = { 0 };

	if (kv_root_list_real(w->root, dir, w->scratch, &list) < 0)
		kv_vec_push(w->arena, &w->ret->unreadable, kv_strdup(w->arena, dir));
	w->ret->n_entries += list.n;
	if (w->ret->n_entries > MAX_ENTRIES || depth > MAX_DEPTH)
		stop(w, dir,
		     depth > MAX_DEPTH ? "directories nested too deeply"
				       : "more files than kvpath walks through");
	else if (!depth || !kv_root_is_other(&list))
		walk_entries(w, dir, &list, depth, in_site);
	kv_arena_rewind(w->scratch, mark);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort(kv_strv *list)
{
	if (list->n > 1)
		qsort(list->v, list->n, sizeof(*list->v), by_text);
}

/* The names that are passed over; of reserved paths, their last one. */
static void announce(struct kv_root *r)
{
	const char *names[KV_ARRAY_SIZE(never) + KV_ARRAY_SIZE(reserved)];
	size_t n = 0;

	for (size_t i = 0; i < KV_ARRAY_SIZE(never); i++)
		names[n++] = never[i];
	for (size_t i = 0; i < KV_ARRAY_SIZE(reserved); i++)
		names[n++] = kv_basename(reserved[i]);
	kv_root_will_skip(r, names, n);
}

void kv_scan(struct kv_root *r, struct kv_scan *ret)
{
	struct walk w = { r, kv_root_arena(r), kv_arena_new_small(), ret, kv_root_is_live(r) };

	*ret = (struct kv_scan){ 0 };
	announce(r);
	walk(&w, "/", 0, false);
	/* dh-virtualenv used to put whole environments there. */
	if (kv_root_is_dir(r, "/usr/share/python"))
		walk(&w, "/usr/share/python", 3, false);
	kv_arena_free(w.scratch);
	sort(&ret->sites);
	sort(&ret->packages);
	sort(&ret->libnixls);
	sort(&ret->libfabrics);
	sort(&ret->plugins);
}
