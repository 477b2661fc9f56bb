/*
 * Carries out one step of a generation: the new entry is made under a hidden name in the directory
 * where it belongs, the old one is kept as the inode it is, then the name changes hands in one
 * rename. An old file is never written to, so its other hard links (uv's cache) do not notice.
 */
#include <sys/xattr.h>

#include "repair/gen.h"

#define XATTR_NAMES_MAX 65536
#define XATTR_VALUE_MAX 65536
#define COPY_CHUNK      65536
#define SOURCE_CHANGED  (-ECANCELED) /* no file system says so; a server does say ESTALE */

/* ---- the new entry ---- */

static int fill(int fd, const struct kv_op *op)
{
	char chunk[COPY_CHUNK];
	uint64_t done = 0;
	size_t n;

	if (op->source_fd < 0)
		return kv_tree_write(fd, op->content.p, op->content.n);
	do {
		int r = kv_read_all(op->source_fd, chunk, sizeof(chunk), done, &n);

		if (r == 0)
			r = kv_tree_write(fd, chunk, n);
		if (r < 0)
			return r;
		done += n;
	} while (n == sizeof(chunk));
	return 0;
}

/* These tell of the very content, or need a privilege that writing the file does not. */
static int xattr_outcome(const char *name, int r)
{
	bool optional = kv_starts(name, "security.") || kv_starts(name, "trusted.");

	return optional && (r == -EPERM || r == -EACCES || r == -ENOTSUP || r == -EINVAL) ? 0 : r;
}

static int copy_xattr(int from, int to, const char *name)
{
	_free_ char *value = malloc(XATTR_VALUE_MAX);
	ssize_t n;

	if (!value)
		return -ENOMEM;
	if (kv_streq(name, "security.ima") || kv_streq(name, "security.evm"))
		return 0;
	n = fgetxattr(from, name, value, XATTR_VALUE_MAX);
	if (n < 0)
		return xattr_outcome(name, -errno);
	return xattr_outcome(name, kv_tree_setxattr(to, name, value, (size_t)n));
}

static int copy_xattrs(int dir, const char *name, int to)
{
	_close_ int from = kv_snap_open(dir, name);
	_free_ char *names = malloc(XATTR_NAMES_MAX);
	ssize_t n;

	if (from < 0 || !names)
		return from < 0 ? from : -ENOMEM;
	n = flistxattr(from, names, XATTR_NAMES_MAX);
	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *p = names; p < names + n; p += strlen(p) + 1) {
		int r = copy_xattr(from, to, p);

		if (r < 0)
			return r;
	}
	return 0;
}

static int make_content(const struct kv_step *st, const struct kv_op *op, int dir, const char *name,
			int fd)
{
	char sha256[KV_SHA256_HEX];
	int r = fill(fd, op);

	if (r == 0)
		r = kv_tree_own_fd(fd, st->post.uid, st->post.gid, st->post.mode);
	/* After the owner: file capabilities do not survive a chown. */
	if (r == 0 && st->pre.type == KV_SNAP_FILE)
		r = copy_xattrs(dir, name, fd);
	if (r == 0)
		r = kv_sha256_fd(fd, sha256);
	/* The source has changed since the plan was made, or the disk lies. */
	if (r == 0 && !kv_streq(sha256, st->post.sha256))
		r = SOURCE_CHANGED;
	return r < 0 ? r : kv_tree_sync(fd);
}

static int stage_file(const struct kv_step *st, const struct kv_op *op, int dir, const char *name)
{
	_close_ int unnamed = kv_tree_tmpfile(dir);
	_close_ int fd = -EBADF;
	int r;

	if (unnamed >= 0) {
		r = make_content(st, op, dir, name, unnamed);
		if (r == 0)
			r = kv_tree_link_fd(unnamed, dir, st->temp);
		/* Without /proc the file cannot be given a name: make one that has it. */
		if (r != -ENOENT && r != -EXDEV && r != -ENOTSUP)
			return r;
	} else if (unnamed != -EOPNOTSUPP) {
		return unnamed;
	}
	fd = kv_tree_create(dir, st->temp);
	return fd < 0 ? fd : make_content(st, op, dir, name, fd);
}

static int stage_dir(const struct kv_step *st, int dir)
{
	_close_ int fd = -EBADF;
	int r = kv_tree_mkdir(dir, st->temp, 0700);

	if (r < 0)
		return r;
	fd = openat(dir, st->temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : kv_tree_own_fd(fd, st->post.uid, st->post.gid, st->post.mode);
}

static int stage_symlink(const struct kv_step *st, int dir)
{
	struct stat now;
	int r = kv_tree_symlink(st->post.link, dir, st->temp);

	if (r < 0)
		return r;
	if (fstatat(dir, st->temp, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (now.st_uid == st->post.uid && now.st_gid == st->post.gid)
		return 0;
	return kv_tree_chown(dir, st->temp, st->post.uid, st->post.gid);
}

static int stage(const struct kv_step *st, const struct kv_op *op, int dir, const char *name)
{
	switch (st->kind) {
	case KV_OP_FILE:
		return stage_file(st, op, dir, name);
	case KV_OP_MKDIR:
		return stage_dir(st, dir);
	case KV_OP_SYMLINK:
		return stage_symlink(st, dir);
	default:
		return 0;
	}
}

/* ---- the old entry ---- */

static int move_away(const struct kv_gen *g, const struct kv_step *st, int dir, const char *name)
{
	int r = kv_tree_rename_new(dir, name, g->dir, st->backup);

	return r == -EXDEV ? kv_tree_rename_new(dir, name, dir, st->aside) : r;
}

/*
 * Keeps the old inode under a second name. Not every file system or user may make hard links
 * (EPERM: protected_hardlinks); then the name is moved, and for an instant there is nothing at the
 * path.
 */
static int keep_old(const struct kv_gen *g, const struct kv_step *st, int dir, const char *name,
		    bool *ret_moved)
{
	int r;

	*ret_moved = st->kind == KV_OP_REMOVE;
	if (*ret_moved)
		return move_away(g, st, dir, name);
	r = kv_tree_link(dir, name, g->dir, st->backup);
	if (r == -EXDEV)
		r = kv_tree_link(dir, name, dir, st->aside);
	if (r == -EPERM || r == -EMLINK || r == -ENOTSUP || r == -ENOSYS) {
		*ret_moved = true;
		r = move_away(g, st, dir, name);
	}
	return r;
}

static int put(const struct kv_gen *g, const struct kv_step *st, int dir, const char *name)
{
	bool moved = true;
	int r = 0;

	if (st->pre.type != KV_SNAP_ABSENT) {
		r = keep_old(g, st, dir, name, &moved);
		/* The backup has to be on the disk before the old name goes. */
		if (r == 0)
			r = kv_tree_sync(g->dir);
		if (r == 0)
			r = kv_tree_sync(dir);
	}
	if (r < 0 || st->kind == KV_OP_REMOVE)
		return r;
	return moved ? kv_tree_rename_new(dir, st->temp, dir, name)
		     : kv_tree_rename(dir, st->temp, dir, name);
}

int kv_gen_do(struct kv_state *s, struct kv_gen *g, size_t i, const struct kv_op *op,
	      struct kv_err *err)
{
	static const char *const verbs[_KV_OP_COUNT] = { "make directory", "write", "link",
							 "remove" };
	const struct kv_step *st = &g->steps.v[i];
	_close_ int dir = -EBADF;
	struct kv_snap now;
	const char *name, *diff;
	int r = kv_tree_parent(s->root, st->path, &dir, &name, err);

	if (r == 0)
		r = kv_snap_take(s->a, dir, name, st->path, &now, err);
	if (r < 0)
		return r;
	diff = kv_snap_diff(&st->pre, &now);
	if (diff)
		return kv_err(err, -ESTALE, "%s: changed while it was repaired: %s", st->path,
			      diff);
	r = stage(st, op, dir, name);
	if (r == SOURCE_CHANGED)
		return kv_err(err, -ESTALE, "%s: its source changed while it was copied", st->path);
	if (r == 0)
		r = put(g, st, dir, name);
	if (r == 0)
		r = kv_tree_sync(dir);
	return r < 0 ? kv_tree_err(err, r, verbs[st->kind], st->path) : 0;
}
