/*
 * The resolver: walks guest paths component by component through the base and what is laid over it,
 * symlinks included, and remembers what every directory path came to.
 */
#include "root/tap.h"

#define MAX_LINKS 40 /* as the kernel's MAXSYMLINKS */
#define MAX_PATH  4096

/* What a directory path, as spelled, came to. */
struct known_dir {
	int error;
	const char *real;
	struct kv_stat st;
};

static int resolve_stat(struct kv_root *r, const char *path, bool follow, unsigned depth,
			const char **ret, struct kv_stat *st);

static struct known_dir *remember(struct kv_root *r, const char *path, int error, const char *real,
				  const struct kv_stat *st)
{
	struct known_dir *k = kv_new(r->arena, struct known_dir);

	*k = (struct known_dir){ error, real, *st };
	*kv_map_slot(r->dirs, path) = k;
	return k;
}

/* The entry itself, no link followed. A directory is one for whoever comes through it, too. */
static int stat_entry(struct kv_root *r, const char *real, struct kv_stat *st)
{
	const struct known_dir *k = kv_map_get(r->dirs, real);
	int e;

	if (k && k->error == 0 && k->st.ino && kv_streq(k->real, real)) {
		kv_tap_again(r, real);
		*st = k->st;
		return 0;
	}
	e = kv_overlay_lstat(r, real, st);
	if (e == 0 && S_ISDIR(st->mode))
		remember(r, real, 0, real, st);
	return e;
}

/* Root may search every directory; others need its permission even for "..". */
static int may_search(struct kv_root *r, const char *dir)
{
	const char *rel;
	const struct kv_overlay *o = kv_overlay_at(r, dir, &rel);
	int e;

	if (!r->unprivileged || !o->tree || !o->tree->ops->search)
		return 0;
	e = o->tree->ops->search(o->tree, rel);
	kv_tap_search(r, dir, e);
	return e;
}

/*
 * The entry `name` of the resolved directory dir, followed where it is a link. For "", "." and ".."
 * *st has nothing but the type, which is what a path that leads on needs.
 */
static int enter(struct kv_root *r, const char *dir, const char *name, unsigned depth,
		 const char **ret, struct kv_stat *st)
{
	const struct known_dir *k;
	const char *real, *text;
	int e;

	if (!*name || kv_streq(name, ".") || kv_streq(name, "..")) {
		*st = (struct kv_stat){ .mode = S_IFDIR };
		*ret = kv_streq(name, "..") ? kv_dirname(r->arena, dir) : dir;
		return may_search(r, dir);
	}
	real = kv_join(r->arena, dir, name);
	k = kv_map_get(r->dirs, real);
	/* Spelled otherwise, it was met before. What is no directory can be a file. */
	if (k && k->error != -ENOTDIR) {
		kv_tap_again(r, real);
		*ret = k->real;
		*st = k->st;
		return k->error;
	}
	e = kv_overlay_lstat(r, real, st);
	if (e < 0)
		return e;
	if (!S_ISLNK(st->mode)) {
		*ret = real;
		return 0;
	}
	if (depth >= MAX_LINKS)
		return -ELOOP;
	e = kv_overlay_readlink(r, real, &text);
	if (e < 0)
		return e;
	return resolve_stat(r, text[0] == '/' ? text : kv_join(r->arena, dir, text), true,
			    depth + 1, ret, st);
}

static int resolve_dir(struct kv_root *r, const char *path, unsigned depth, const char **ret)
{
	struct known_dir *k;
	struct kv_stat st = { 0 };
	const char *parent = NULL;
	size_t n = strlen(path);
	int e;

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n <= 1) {
		*ret = "/";
		return 0;
	}
	path = kv_strndup(r->arena, path, n);
	k = kv_map_get(r->dirs, path);
	if (k) {
		kv_tap_again(r, k->real ? k->real : path);
		*ret = k->real;
		return k->error;
	}
	e = resolve_dir(r, kv_dirname(r->arena, path), depth, &parent);
	if (e == 0)
		e = enter(r, parent, kv_basename(path), depth, ret, &st);
	else
		parent = NULL; /* it may say where it was refused */
	if (e == 0 && !S_ISDIR(st.mode))
		e = -ENOTDIR;
	/* What failed for the number of links followed so far may succeed from elsewhere. */
	if (e != -ELOOP) {
		k = remember(r, path, e, e == 0 ? *ret : NULL, &st);
		if (parent)
			*kv_map_slot(r->dirs, kv_join(r->arena, parent, kv_basename(path))) = k;
	}
	return e;
}

static int resolve_stat(struct kv_root *r, const char *path, bool follow, unsigned depth,
			const char **ret, struct kv_stat *st)
{
	const char *slash, *dir, *name;
	int e;

	if (path[0] != '/')
		return -EINVAL;
	if (strlen(path) >= MAX_PATH)
		return -ENAMETOOLONG;
	slash = strrchr(path, '/');
	name = slash + 1;
	if (!*name || kv_streq(name, ".") || kv_streq(name, "..")) {
		e = resolve_dir(r, path, depth, ret);
		return e < 0 ? e : stat_entry(r, *ret, st);
	}
	e = resolve_dir(r, kv_strndup(r->arena, path, (size_t)(slash - path)), depth, &dir);
	if (e < 0)
		return e;
	if (follow)
		return enter(r, dir, name, depth, ret, st);
	*ret = kv_join(r->arena, dir, name);
	return stat_entry(r, *ret, st);
}

int kv_root_resolve(struct kv_root *r, const char *path, unsigned flags, const char **ret,
		    struct kv_stat *st)
{
	return resolve_stat(r, path, !(flags & KV_NOFOLLOW), 0, ret, st);
}

int kv_root_resolve_dir(struct kv_root *r, const char *path, const char **ret)
{
	return resolve_dir(r, path, 0, ret);
}
