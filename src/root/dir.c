/*
 * Trees that are host directories or files.
 *
 * Directories are reached by O_PATH fds that are opened one component at a time with O_NOFOLLOW, so
 * that a path can never leave the tree, whatever another process does to it meanwhile. The fds are
 * kept: a loader's search asks the same directories again and again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "root/tree.h"

#define MAX_KEPT_FDS 256
#define LIST_AFTER   100 /* questions */
#define ENTRIES      ((size_t)32 << 10)

/* A directory that was met. */
struct dir {
	int fd; /* -1 where it is closed at present */
	unsigned asked;
	bool listed;
	struct kv_map *names; /* once it was asked often: what is in it */
};

struct dir_tree {
	struct kv_tree tree;
	struct kv_arena *arena;
	int root_fd;
	struct kv_map *dirs; /* rel -> struct dir */
	KV_VEC(struct dir *) open;
	char *entries; /* room for what the kernel tells of a directory */
};

static void stat_from(const struct stat *st, struct kv_stat *ret)
{
	*ret = (struct kv_stat){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_s = st->st_mtim.tv_sec,
	};
}

static struct dir *dir_of(struct dir_tree *t, const char *rel)
{
	struct dir **slot = (struct dir **)kv_map_slot(t->dirs, rel);

	if (!*slot) {
		*slot = kv_new(t->arena, struct dir);
		(*slot)->fd = -1;
	}
	return *slot;
}

static void keep_open(struct dir_tree *t, struct dir *d, int fd)
{
	d->fd = fd;
	kv_vec_push(t->arena, &t->open, d);
}

static char *parent_of(struct dir_tree *t, const char *rel)
{
	const char *slash = strrchr(rel, '/');

	return kv_strndup(t->arena, rel, slash ? (size_t)(slash - rel) : 0);
}

/* fd of the directory rel, kept by the tree; or -errno. */
static int dir_fd(struct dir_tree *t, const char *rel)
{
	struct dir *d;
	int fd, parent;

	if (!*rel)
		return t->root_fd;
	d = dir_of(t, rel);
	if (d->fd >= 0)
		return d->fd;
	parent = dir_fd(t, parent_of(t, rel));
	if (parent < 0)
		return parent;
	fd = openat(parent, kv_basename(rel), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	keep_open(t, d, fd);
	return fd;
}

/* Splits rel into its directory's fd and its last name. The fd is valid until the next call. */
static int locate(struct dir_tree *t, const char *rel, int *ret_fd, const char **ret_name)
{
	int fd;

	if (t->open.n > MAX_KEPT_FDS) {
		for (size_t i = 0; i < t->open.n; i++) {
			close(t->open.v[i]->fd);
			t->open.v[i]->fd = -1;
		}
		t->open.n = 0;
	}
	fd = strchr(rel, '/') ? dir_fd(t, parent_of(t, rel)) : t->root_fd;
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	*ret_name = kv_basename(rel);
	return 0;
}

static int dir_list(struct kv_tree *tree, const char *rel, struct kv_arena *a, kv_dirents *ret);

/*
 * A loader's search asks the same few directories for names that are not there, hundreds of times.
 * To list a directory costs as much as some hundred questions: one that was asked so often answers
 * from its list.
 */
static bool surely_lacks(struct dir_tree *t, const char *rel)
{
	struct dir *d = dir_of(t, parent_of(t, rel));
	kv_dirents list = { 0 };
	struct kv_dirent *e;

	/* A name that is too long has an error of its own. */
	if (++d->asked < LIST_AFTER || strlen(kv_basename(rel)) > NAME_MAX)
		return false;
	if (!d->listed) {
		d->listed = true;
		if (dir_list(&t->tree, parent_of(t, rel), t->arena, &list) < 0)
			return false;
		d->names = kv_map_new(t->arena);
		kv_vec_each (e, &list)
			*kv_map_slot(d->names, e->name) = e;
	}
	return d->names && !kv_map_get(d->names, kv_basename(rel));
}

static int dir_lstat(struct kv_tree *tree, const char *rel, struct kv_stat *ret)
{
	struct dir_tree *t = (struct dir_tree *)tree;
	const char *name;
	struct stat st;
	int fd, r;

	if (strchr(rel, '/') && surely_lacks(t, rel))
		return -ENOENT;
	r = locate(t, rel, &fd, &name);
	if (r < 0)
		return r;
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -errno;
	stat_from(&st, ret);
	return 0;
}

static int dir_readlink(struct kv_tree *tree, const char *rel, struct kv_arena *a, const char **ret)
{
	struct dir_tree *t = (struct dir_tree *)tree;
	char buf[4097];
	const char *name;
	ssize_t n;
	int fd, r = locate(t, rel, &fd, &name);

	if (r < 0)
		return r;
	n = readlinkat(fd, name, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	if (n == 0 || (size_t)n == sizeof(buf))
		return -ENAMETOOLONG;
	*ret = kv_strndup(a, buf, (size_t)n);
	return 0;
}

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	uint16_t d_reclen;
	uint8_t d_type;
	char d_name[];
};

static int read_entries(int fd, char buf[ENTRIES], struct kv_arena *a, kv_dirents *ret)
{
	long n;

	while ((n = syscall(SYS_getdents64, fd, buf, ENTRIES)) > 0) {
		char *at = memcpy(kv_alloc_raw(a, (size_t)n), buf, (size_t)n), *end = at + n;
		struct linux_dirent64 *d;

		for (; at < end; at += d->d_reclen) {
			d = (struct linux_dirent64 *)(void *)at;
			if (!kv_streq(d->d_name, ".") && !kv_streq(d->d_name, ".."))
				kv_vec_push(a, ret, ((struct kv_dirent){ d->d_name, d->d_type }));
		}
	}
	return n < 0 ? -errno : 0;
}

static int dir_list(struct kv_tree *tree, const char *rel, struct kv_arena *a, kv_dirents *ret)
{
	struct dir_tree *t = (struct dir_tree *)tree;
	const char *name;
	_close_ int fd = -EBADF;
	int at, r = locate(t, rel, &at, &name);
	struct dir *d = dir_of(t, rel);

	if (r < 0)
		return r;
	fd = openat(at, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!t->entries)
		t->entries = kv_alloc_raw(t->arena, ENTRIES);
	r = read_entries(fd, t->entries, a, ret);
	/* What is below it is reached through the same fd. */
	if (r == 0 && *rel && d->fd < 0)
		keep_open(t, d, kv_steal_fd(&fd));
	return r;
}

/* ---- files ---- */

static int host_read(struct kv_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	return kv_read_all(f->fd, buf, n, off, ret_n);
}

static void host_close(struct kv_file *f)
{
	kv_closep(&f->fd);
	free(f);
}

static const struct kv_file_ops host_file_ops = { host_read, host_close };

static int new_file(int *fd, const struct kv_stat *st, struct kv_file **ret)
{
	struct kv_file *f = malloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	*f = (struct kv_file){ .ops = &host_file_ops, .st = *st, .fd = kv_steal_fd(fd) };
	*ret = f;
	return 0;
}

/* O_NONBLOCK: a FIFO that took the file's place since it was looked at must not hang us. */
#define OPEN_FILE (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static int dir_open_known(struct kv_tree *tree, const char *rel, const struct kv_stat *st,
			  struct kv_file **ret)
{
	_close_ int fd = -EBADF;
	const char *name;
	int at, r = locate((struct dir_tree *)tree, rel, &at, &name);
	char self[32];

	if (r < 0)
		return r;
	if (*name) {
		fd = openat(at, name, OPEN_FILE | O_NOFOLLOW);
	} else {
		/* What the tree itself is: a directory, or a single file that was mounted. */
		snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
		fd = open(self, OPEN_FILE);
		/* No /proc here. What is there to be read was opened for that; a path fd is none.
		 */
		if (fd < 0 && errno == ENOENT && !(fcntl(at, F_GETFL) & O_PATH))
			fd = fcntl(at, F_DUPFD_CLOEXEC, 0);
	}
	return fd < 0 ? -errno : new_file(&fd, st, ret);
}

static int dir_open(struct kv_tree *tree, const char *rel, struct kv_file **ret)
{
	struct kv_file *f = NULL;
	struct stat st;
	int r = dir_open_known(tree, rel, &(struct kv_stat){ 0 }, &f);

	if (r < 0)
		return r;
	r = fstat(f->fd, &st) < 0 ? -errno
	    : S_ISREG(st.st_mode) ? 0
	    : S_ISDIR(st.st_mode) ? -EISDIR
				  : -EINVAL;
	if (r < 0) {
		kv_file_close(f);
		return r;
	}
	stat_from(&st, &f->st);
	*ret = f;
	return 0;
}

static void dir_close(struct kv_tree *tree)
{
	struct dir_tree *t = (struct dir_tree *)tree;

	for (size_t i = 0; i < t->open.n; i++)
		close(t->open.v[i]->fd);
	close(t->root_fd);
}

static bool dir_is_regular(struct kv_tree *tree, const char *rel)
{
	struct dir_tree *t = (struct dir_tree *)tree;
	const struct dir *d = strchr(rel, '/') ? dir_of(t, parent_of(t, rel)) : NULL;
	const struct kv_dirent *e = d && d->names ? kv_map_get(d->names, kv_basename(rel)) : NULL;

	return e && e->type == DT_REG;
}

static int dir_search(struct kv_tree *tree, const char *rel)
{
	struct stat st;
	int fd = dir_fd((struct dir_tree *)tree, rel);

	if (fd < 0)
		return fd;
	return fstatat(fd, ".", &st, 0) < 0 ? -errno : 0;
}

static const struct kv_tree_ops dir_ops = {
	.lstat = dir_lstat,
	.readlink = dir_readlink,
	.list = dir_list,
	.open = dir_open,
	.open_known = dir_open_known,
	.close = dir_close,
	.is_regular = dir_is_regular,
	.search = dir_search,
};

struct kv_tree *kv_tree_of_dir(struct kv_arena *a, int path_fd)
{
	struct dir_tree *t = kv_new(a, struct dir_tree);

	t->tree.ops = &dir_ops;
	t->arena = a;
	t->root_fd = path_fd;
	t->dirs = kv_map_new(a);
	return &t->tree;
}
