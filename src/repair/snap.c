/* Snapshots of single entries: see snap.h. */
#include <limits.h>

#include "repair/snap.h"

int kv_snap_open(int dir, const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(dir, name, flags | O_NOATIME);

	/* O_NOATIME is for the owner alone. */
	if (fd < 0 && errno == EPERM)
		fd = openat(dir, name, flags);
	return fd < 0 ? -errno : fd;
}

static int snap_file(int dir, const char *name, const char *path, const struct stat *st,
		     struct kv_snap *ret, struct kv_err *err)
{
	_close_ int fd = kv_snap_open(dir, name);
	struct stat now;
	int r;

	if (fd < 0)
		return kv_tree_err(err, fd, "read", path);
	if (fstat(fd, &now) < 0)
		return kv_tree_err(err, -errno, "stat", path);
	if (now.st_dev != st->st_dev || now.st_ino != st->st_ino)
		return kv_err(err, -ESTALE, "%s: replaced while it was read", path);
	r = kv_sha256_fd(fd, ret->sha256);
	return r < 0 ? kv_tree_err(err, r, "read", path) : 0;
}

int kv_snap_take(struct kv_arena *a, int dir, const char *name, const char *path,
		 struct kv_snap *ret, struct kv_err *err)
{
	struct kv_snap s = { .type = KV_SNAP_OTHER };
	char text[PATH_MAX];
	struct stat st;
	ssize_t n;
	int r = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return kv_tree_err(err, -errno, "stat", path);
		*ret = (struct kv_snap){ .type = KV_SNAP_ABSENT };
		return 0;
	}
	s.mode = st.st_mode & 07777;
	s.uid = st.st_uid;
	s.gid = st.st_gid;
	s.times[0] = st.st_atim;
	s.times[1] = st.st_mtim;
	if (S_ISREG(st.st_mode)) {
		s.type = KV_SNAP_FILE;
		s.size = (uint64_t)st.st_size;
		r = snap_file(dir, name, path, &st, &s, err);
	} else if (S_ISLNK(st.st_mode)) {
		s.type = KV_SNAP_SYMLINK;
		n = readlinkat(dir, name, text, sizeof(text));
		if (n < 0 || (size_t)n >= sizeof(text))
			return kv_tree_err(err, n < 0 ? -errno : -ENAMETOOLONG, "read", path);
		s.size = (uint64_t)n;
		s.link = kv_strndup(a, text, (size_t)n);
	} else if (S_ISDIR(st.st_mode)) {
		s.type = KV_SNAP_DIR;
	}
	if (r == 0)
		*ret = s;
	return r;
}

const char *kv_snap_diff(const struct kv_snap *x, const struct kv_snap *y)
{
	if (x->type != y->type)
		return y->type == KV_SNAP_ABSENT   ? "it is gone"
		       : x->type == KV_SNAP_ABSENT ? "it exists"
						   : "its type differs";
	if (x->type == KV_SNAP_ABSENT)
		return NULL;
	if (x->type == KV_SNAP_FILE && (x->size != y->size || !kv_streq(x->sha256, y->sha256)))
		return "its content differs";
	if (x->type == KV_SNAP_SYMLINK && !kv_streq(x->link, y->link))
		return "it points elsewhere";
	if (x->uid != y->uid || x->gid != y->gid)
		return "its owner differs";
	if (x->type != KV_SNAP_SYMLINK && x->mode != y->mode)
		return "its mode differs";
	return NULL;
}

const char *kv_snap_word(struct kv_arena *a, const struct kv_snap *s)
{
	switch (s->type) {
	case KV_SNAP_ABSENT:
		return "absent";
	case KV_SNAP_FILE:
		return s->sha256;
	case KV_SNAP_SYMLINK:
		return kv_strf(a, "-> %s", s->link);
	default:
		return "other";
	}
}
