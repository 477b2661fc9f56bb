/*
 * The walk over a target that finds NIXL, its plugins and libfabric by what is on disk. Directories
 * that by their nature hold no shared objects (documentation, headers, byte code) are passed over
 * by name: a serving image has hundreds of thousands of such files.
 */
#include <dirent.h>

#include "inspect/facts.h"

#define MAX_ENTRIES 5000000
#define MAX_DEPTH   48

static const char *const never[] = {
	"__pycache__", "include",      "doc",     "docs", "man",      "locale",    "i18n",
	"zoneinfo",    "icons",        "fonts",   "info", "licenses", "terminfo",  "cmake",
	".git",        "node_modules", "headers", "perl", "perl5",    "pkgconfig",
};

struct walk {
	struct kv_root *root;
	struct kv_arena *arena;
	struct kv_scan *ret;
	bool live;
};

static bool is_pseudo(const struct walk *w, const char *dir)
{
	static const char *const pseudo[] = { "/proc", "/sys", "/dev" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(pseudo); i++)
		if (kv_streq(dir, pseudo[i]))
			return true;
	return w->live && kv_streq(dir, "/run");
}

static bool is_never(const char *name)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(never); i++)
		if (kv_streq(name, never[i]))
			return true;
	return false;
}

static void take_file(struct walk *w, const char *dir, const char *name)
{
	struct kv_scan *s = w->ret;
	kv_strv *list;

	if (name[0] != 'l' || name[1] != 'i' || name[2] != 'b')
		return;
	if (kv_streq(name, "libnixl.so"))
		list = &s->libnixls;
	else if (kv_starts(name, "libplugin_") && kv_ends(name, ".so"))
		list = &s->plugins;
	else if (kv_starts(name, "libfabric") && strstr(name, ".so"))
		list = &s->libfabrics;
	else
		return;
	kv_vec_push(w->arena, list, kv_join(w->arena, dir, name));
}

static void walk(struct walk *w, const char *dir, unsigned depth)
{
	kv_dirents list = { 0 };
	struct kv_dirent *d;
	int e = kv_root_list(w->root, dir, &list);

	if (e < 0) {
		kv_vec_push(w->arena, &w->ret->unreadable, kv_strdup(w->arena, dir));
		return;
	}
	w->ret->n_entries += list.n;
	if (w->ret->n_entries > MAX_ENTRIES || depth > MAX_DEPTH) {
		w->ret->stopped = depth > MAX_DEPTH ? "directories nested too deeply"
						    : "more files than kvpath walks through";
		return;
	}
	kv_vec_each (d, &list) {
		uint8_t type = d->type;
		const char *path;

		if (type == DT_REG) {
			take_file(w, dir, d->name);
			continue;
		}
		if (type != DT_DIR && type != DT_UNKNOWN)
			continue;
		path = kv_join(w->arena, dir, d->name);
		if (type == DT_UNKNOWN) {
			struct kv_stat st;

			if (kv_root_stat(w->root, path, KV_NOFOLLOW, &st) < 0)
				continue;
			if (S_ISREG(st.mode))
				take_file(w, dir, d->name);
			if (!S_ISDIR(st.mode))
				continue;
		}
		if (is_never(d->name) || is_pseudo(w, path))
			continue;
		if (kv_streq(d->name, "site-packages") || kv_streq(d->name, "dist-packages"))
			kv_vec_push(w->arena, &w->ret->sites, kv_strdup(w->arena, path));
		if (!w->live || kv_root_is_local(w->root, path))
			walk(w, path, depth + 1);
	}
}

void kv_scan(struct kv_root *r, struct kv_scan *ret)
{
	struct walk w = { r, kv_root_arena(r), ret, kv_root_is_live(r) };

	*ret = (struct kv_scan){ 0 };
	walk(&w, "/", 0);
}
