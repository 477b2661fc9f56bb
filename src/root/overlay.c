/*
 * What is laid over the base: mounts, and the changes of a plan. All of it together is one tree of
 * resolved paths, which the resolver walks.
 */
#include <dirent.h>
#include <fcntl.h>

#include "root/tap.h"

/* path below dir, without the slash between them; NULL where it does not lie there. */
static const char *below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (kv_streq(dir, "/"))
		return path + 1;
	if (strncmp(path, dir, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path[n] ? path + n + 1 : path + n;
}

/* guest: resolved as far as it exists; a mount covers what its place resolves to, all else the
 * place. */
static void lay(struct kv_root *r, const char *guest, struct kv_overlay o)
{
	o.guest = kv_strdup(r->arena, guest);
	kv_vec_push(r->arena, &r->overlays, o);
	kv_root_forget(r);
}

/* A path that does not exist yet, with the symlinks in its existing part resolved. */
static const char *future_path(struct kv_root *r, const char *guest)
{
	const char *slash = strrchr(guest, '/'), *real;

	if (kv_root_real(r, guest, 0, &real) == 0)
		return real;
	if (!slash || slash == guest)
		return guest;
	return kv_join(r->arena,
		       future_path(r, kv_strndup(r->arena, guest, (size_t)(slash - guest))),
		       slash + 1);
}

/* The same file, opened to be read, in the place of *fd. */
static void read_instead(int *fd, const char *host, const struct stat *st)
{
	_close_ int other = open(host, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat now;

	if (other < 0 || fstat(other, &now) < 0 || now.st_dev != st->st_dev ||
	    now.st_ino != st->st_ino)
		return;
	close(*fd);
	*fd = kv_steal_fd(&other);
}

int kv_root_bind(struct kv_root *r, const char *host, const char *guest, struct kv_err *err)
{
	_close_ int fd = open(host, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return kv_err(err, -errno, "%s: %s", host, strerror(errno));
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return kv_err(err, -EINVAL, "%s: neither a directory nor a regular file", host);
	if (guest[0] != '/')
		return kv_err(err, -EINVAL, "%s: a mount's place in the target must be absolute",
			      guest);
	/* Without /proc this one alone can be read. Who may not read it learns that later. */
	if (S_ISREG(st.st_mode))
		read_instead(&fd, host, &st);
	lay(r, future_path(r, guest),
	    (struct kv_overlay){ .tree = kv_tree_of_dir(r->arena, kv_steal_fd(&fd)),
				 .mount = true });
	return 0;
}

void kv_root_lay_link(struct kv_root *r, const char *guest, const char *text)
{
	lay(r, guest, (struct kv_overlay){ .link = kv_strdup(r->arena, text) });
}

int kv_root_lay_file(struct kv_root *r, int host_fd, const char *guest)
{
	int fd = fcntl(host_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	lay(r, guest, (struct kv_overlay){ .tree = kv_tree_of_dir(r->arena, fd) });
	return 0;
}

void kv_root_lay_absence(struct kv_root *r, const char *guest)
{
	lay(r, guest, (struct kv_overlay){ .absent = true });
}

void kv_root_lay_bytes(struct kv_root *r, const char *guest, struct kv_span bytes)
{
	lay(r, guest, (struct kv_overlay){ .tree = kv_tree_of_bytes(r->arena, bytes) });
}

size_t kv_root_depth(const struct kv_root *r)
{
	return r->overlays.n;
}

void kv_root_pop(struct kv_root *r, size_t depth)
{
	while (r->overlays.n > depth) {
		struct kv_overlay *o = &r->overlays.v[--r->overlays.n];

		if (o->tree)
			o->tree->ops->close(o->tree);
	}
	kv_root_forget(r);
}

const struct kv_overlay *kv_overlay_at(const struct kv_root *r, const char *real,
				       const char **ret_rel)
{
	for (size_t i = r->overlays.n; i-- > 0;) {
		const char *rel = below(real, r->overlays.v[i].guest);

		if (rel) {
			*ret_rel = rel;
			return &r->overlays.v[i];
		}
	}
	*ret_rel = real + 1;
	return &r->overlays.v[0];
}

bool kv_root_is_mounted(const struct kv_root *r, const char *guest)
{
	const char *rel;
	const struct kv_overlay *o = kv_overlay_at(r, guest, &rel);
	bool is = o->mount ||
		  (o->tree && o->tree->ops->was_mount && o->tree->ops->was_mount(o->tree, rel));

	if (is && r->notes)
		kv_notes_of(r->notes, guest)->is_mount = true;
	return is;
}

/* Whether something is laid below real, which therefore is a directory in any case. */
static bool is_implied_dir(const struct kv_root *r, const char *real)
{
	for (size_t i = 1; i < r->overlays.n; i++) {
		const char *rel = below(r->overlays.v[i].guest, real);

		if (rel && *rel)
			return true;
	}
	return false;
}

static int overlay_lstat(struct kv_root *r, const char *real, struct kv_stat *ret)
{
	const char *rel;
	const struct kv_overlay *o = kv_overlay_at(r, real, &rel);
	int e;

	if (o->absent)
		return -ENOENT;
	if (o->link) {
		*ret = (struct kv_stat){ .dev = UINT64_MAX,
					 .ino = (uintptr_t)o->link,
					 .mode = S_IFLNK | 0777 };
		return *rel ? -ENOTDIR : 0;
	}
	e = o->tree->ops->lstat(o->tree, rel, ret);
	if ((e == -ENOENT || e == -ENOTDIR) && r->overlays.n > 1 && is_implied_dir(r, real)) {
		*ret = (struct kv_stat){ .dev = UINT64_MAX, .mode = S_IFDIR | 0755 };
		return 0;
	}
	return e;
}

int kv_overlay_lstat(struct kv_root *r, const char *real, struct kv_stat *ret)
{
	int e = overlay_lstat(r, real, ret);

	kv_tap_stat(r, real, e, ret);
	return e;
}

int kv_overlay_readlink(struct kv_root *r, const char *real, const char **ret)
{
	const char *rel;
	const struct kv_overlay *o = kv_overlay_at(r, real, &rel);
	int e = 0;

	if (o->link)
		*ret = o->link;
	else
		e = o->tree->ops->readlink(o->tree, rel, r->arena, ret);
	kv_tap_link(r, real, e, e == 0 ? *ret : NULL);
	return e;
}

static bool has_name(const kv_dirents *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (kv_streq(list->v[i].name, name))
			return true;
	return false;
}

/* Adds the names by which what is laid shows in the resolved directory real. */
static void add_overlay_names(struct kv_root *r, const char *real, struct kv_arena *a,
			      kv_dirents *list)
{
	for (size_t i = 1; i < r->overlays.n; i++) {
		const char *rel = below(r->overlays.v[i].guest, real);
		const char *slash = rel ? strchr(rel, '/') : NULL;
		char *name;

		if (!rel || !*rel)
			continue;
		name = kv_strndup(a, rel, slash ? (size_t)(slash - rel) : strlen(rel));
		if (!has_name(list, name))
			kv_vec_push(a, list, ((struct kv_dirent){ name, DT_UNKNOWN }));
	}
}

int kv_overlay_list(struct kv_root *r, const char *real, bool walk, struct kv_arena *a,
		    kv_dirents *ret)
{
	const char *rel;
	const struct kv_overlay *o = kv_overlay_at(r, real, &rel);
	int e = walk && o->tree->ops->walk ? o->tree->ops->walk(o->tree, rel, a, ret)
					   : o->tree->ops->list(o->tree, rel, a, ret);

	if (r->overlays.n > 1) {
		if (is_implied_dir(r, real))
			e = e == -ENOENT || e == -ENOTDIR ? 0 : e;
		add_overlay_names(r, real, a, ret);
	}
	kv_tap_list(r, real, walk, e, ret);
	return e;
}

int kv_root_list_real(struct kv_root *r, const char *real, struct kv_arena *a, kv_dirents *ret)
{
	return kv_overlay_list(r, real, /* walk= */ true, a, ret);
}
