/*
 * The resolver: walks guest paths through the base tree and the layers on top, symlinks included,
 * and remembers what every directory path came to.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "root/image.h"

#define MAX_LINKS 40 /* as the kernel's MAXSYMLINKS */
#define MAX_PATH  4096

struct layer {
	const char *guest; /* resolved */
	struct kv_tree *tree;
	const char *link; /* a symlink's text, then tree is NULL */
	bool absent;      /* nothing lies here, then tree is NULL too */
	bool mount;
};

/* What a directory path, as spelled, came to. */
struct known_dir {
	int error;
	const char *real;
	struct kv_stat st;
};

struct known_dev {
	uint64_t dev;
	bool local;
};

struct kv_root {
	struct kv_arena *arena;
	int fd;            /* -1 for an image */
	bool unprivileged; /* this process is not root */
	bool live;
	const char *format;          /* of an image, else NULL */
	KV_VEC(struct layer) layers; /* [0] is the base */
	struct kv_map *dirs;         /* spelled path -> struct known_dir */
	struct kv_map *lists;        /* resolved path -> kv_dirents, sorted */
	KV_VEC(struct known_dev) devs;
	struct kv_file *files; /* opened and not closed yet */
};

static int resolve(struct kv_root *r, const char *path, bool follow, unsigned depth,
		   const char **ret);

/* An image as the base. The path is put in front of what its format says. */
static int open_image(struct kv_root *r, const char *host_path, int *fd, const struct stat *st,
		      struct kv_tree **ret, struct kv_err *err)
{
	const struct kv_image_format *format = kv_image_probe(*fd, st);
	struct kv_err why = { 0 };
	int e;

	if (!format)
		return kv_err(err, -ENOTSUP,
			      "%s: neither a directory nor an image that kvpath reads (%s)",
			      host_path, kv_image_names(r->arena));
	e = format->open(r->arena, *fd, host_path, ret, &why);
	if (e < 0)
		return kv_err(err, e, "%s: %s", host_path, why.msg);
	kv_steal_fd(fd);
	r->format = format->name;
	return 0;
}

static int open_base(struct kv_root *r, const char *host_path, struct kv_tree **ret,
		     struct kv_err *err)
{
	_close_ int fd = -EBADF;
	struct stat st, live;

	if (stat(host_path, &st) < 0)
		return kv_err(err, -errno, "%s: %s", host_path, strerror(errno));
	/* Nothing but these is opened: opening a device or a pipe can block or act. */
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return kv_err(err, -ENOTSUP, "%s: neither a directory nor a regular file",
			      host_path);
	fd = open(host_path, S_ISDIR(st.st_mode) ? O_PATH | O_DIRECTORY | O_CLOEXEC
						 : O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return kv_err(err, -errno, "%s: %s", host_path, strerror(errno));
	r->live = stat("/", &live) == 0 && st.st_dev == live.st_dev && st.st_ino == live.st_ino;
	if (!S_ISDIR(st.st_mode) || (!r->live && kv_image_probe(fd, &st)))
		return open_image(r, host_path, &fd, &st, ret, err);
	r->fd = fd;
	*ret = kv_tree_of_dir(r->arena, kv_steal_fd(&fd));
	return 0;
}

/* What was found before need not hold for other layers. */
static void forget(struct kv_root *r)
{
	r->dirs = kv_map_new(r->arena);
	r->lists = kv_map_new(r->arena);
}

int kv_root_open(struct kv_arena *a, const char *host_path, struct kv_root **ret,
		 struct kv_err *err)
{
	struct kv_root *r = kv_new(a, struct kv_root);
	struct kv_tree *base;
	int e;

	r->arena = a;
	r->unprivileged = geteuid() != 0;
	r->fd = -1;
	e = open_base(r, host_path, &base, err);
	if (e < 0)
		return e;
	forget(r);
	kv_vec_push(a, &r->layers, ((struct layer){ .guest = "/", .tree = base }));
	*ret = r;
	return 0;
}

void kv_root_close(struct kv_root *r)
{
	if (!r)
		return;
	/* Objects keep the files that they were read from (kv_elf_parse). */
	while (r->files)
		kv_file_close(r->files);
	kv_root_pop(r, 0);
}

struct kv_arena *kv_root_arena(struct kv_root *r)
{
	return r->arena;
}

int kv_root_fd(const struct kv_root *r)
{
	return r->fd;
}

bool kv_root_is_live(const struct kv_root *r)
{
	return r->live;
}

const char *kv_root_format(const struct kv_root *r)
{
	return r->format;
}

const char *kv_root_fault(const struct kv_root *r)
{
	struct kv_tree *base = r->layers.n ? r->layers.v[0].tree : NULL;

	return base && base->ops->fault ? base->ops->fault(base) : NULL;
}

const struct kv_env *kv_root_env(const struct kv_root *r)
{
	struct kv_tree *base = r->layers.n ? r->layers.v[0].tree : NULL;

	return base && base->ops->env ? base->ops->env(base) : NULL;
}

/* ---- layers ---- */

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
static void lay(struct kv_root *r, const char *guest, struct layer layer)
{
	layer.guest = kv_strdup(r->arena, guest);
	kv_vec_push(r->arena, &r->layers, layer);
	forget(r);
}

/* A path that does not exist yet, with the symlinks in its existing part resolved. */
static const char *future_path(struct kv_root *r, const char *guest)
{
	const char *slash = strrchr(guest, '/'), *real;

	if (resolve(r, guest, true, 0, &real) == 0)
		return real;
	if (!slash || slash == guest)
		return guest;
	return kv_join(r->arena,
		       future_path(r, kv_strndup(r->arena, guest, (size_t)(slash - guest))),
		       slash + 1);
}

int kv_root_bind(struct kv_root *r, const char *host, const char *guest, struct kv_err *err)
{
	int fd = open(host, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return kv_err(err, -errno, "%s: %s", host, strerror(errno));
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
		close(fd);
		return kv_err(err, -EINVAL, "%s: neither a directory nor a regular file", host);
	}
	if (guest[0] != '/') {
		close(fd);
		return kv_err(err, -EINVAL, "%s: a mount's place in the target must be absolute",
			      guest);
	}
	lay(r, future_path(r, guest),
	    (struct layer){ .tree = kv_tree_of_dir(r->arena, fd), .mount = true });
	return 0;
}

void kv_root_lay_link(struct kv_root *r, const char *guest, const char *text)
{
	lay(r, guest, (struct layer){ .link = kv_strdup(r->arena, text) });
}

int kv_root_lay_file(struct kv_root *r, const char *host, const char *guest)
{
	int fd = open(host, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	lay(r, guest, (struct layer){ .tree = kv_tree_of_dir(r->arena, fd) });
	return 0;
}

void kv_root_lay_absence(struct kv_root *r, const char *guest)
{
	lay(r, guest, (struct layer){ .absent = true });
}

void kv_root_lay_bytes(struct kv_root *r, const char *guest, struct kv_span bytes)
{
	lay(r, guest, (struct layer){ .tree = kv_tree_of_bytes(r->arena, bytes) });
}

size_t kv_root_depth(const struct kv_root *r)
{
	return r->layers.n;
}

void kv_root_pop(struct kv_root *r, size_t depth)
{
	while (r->layers.n > depth) {
		struct layer *l = &r->layers.v[--r->layers.n];

		if (l->tree)
			l->tree->ops->close(l->tree);
	}
	forget(r);
}

/* The topmost layer that real lies in, and its path there. */
static const struct layer *layer_of(const struct kv_root *r, const char *real, const char **ret_rel)
{
	for (size_t i = r->layers.n; i-- > 0;) {
		const char *rel = below(real, r->layers.v[i].guest);

		if (rel) {
			*ret_rel = rel;
			return &r->layers.v[i];
		}
	}
	*ret_rel = real + 1;
	return &r->layers.v[0];
}

bool kv_root_is_mounted(const struct kv_root *r, const char *guest)
{
	const char *rel;

	return layer_of(r, guest, &rel)->mount;
}

/* Whether some layer lies below real, which therefore is a directory in any case. */
static bool is_implied_dir(const struct kv_root *r, const char *real)
{
	for (size_t i = 1; i < r->layers.n; i++) {
		const char *rel = below(r->layers.v[i].guest, real);

		if (rel && *rel)
			return true;
	}
	return false;
}

static int lstat_real(struct kv_root *r, const char *real, struct kv_stat *ret)
{
	const char *rel;
	const struct layer *l = layer_of(r, real, &rel);
	int e;

	if (l->absent)
		return -ENOENT;
	if (l->link) {
		*ret = (struct kv_stat){ .dev = UINT64_MAX,
					 .ino = (uintptr_t)l->link,
					 .mode = S_IFLNK | 0777 };
		return *rel ? -ENOTDIR : 0;
	}
	e = l->tree->ops->lstat(l->tree, rel, ret);
	if ((e == -ENOENT || e == -ENOTDIR) && r->layers.n > 1 && is_implied_dir(r, real)) {
		*ret = (struct kv_stat){ .dev = UINT64_MAX, .mode = S_IFDIR | 0755 };
		return 0;
	}
	return e;
}

static int readlink_real(struct kv_root *r, const char *real, const char **ret)
{
	const char *rel;
	const struct layer *l = layer_of(r, real, &rel);

	if (l->link) {
		*ret = l->link;
		return 0;
	}
	return l->tree->ops->readlink(l->tree, rel, r->arena, ret);
}

/* ---- resolving ---- */

static int resolve_dir(struct kv_root *r, const char *path, unsigned depth, const char **ret);
static int resolve_stat(struct kv_root *r, const char *path, bool follow, unsigned depth,
			const char **ret, struct kv_stat *st);

/* Root may search every directory; others need its permission even for "..". */
static int may_search(struct kv_root *r, const char *dir)
{
	const char *rel;
	const struct layer *l = layer_of(r, dir, &rel);

	if (!r->unprivileged || !l->tree || !l->tree->ops->search)
		return 0;
	return l->tree->ops->search(l->tree, rel);
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
		*ret = k->real;
		*st = k->st;
		return k->error;
	}
	e = lstat_real(r, real, st);
	if (e < 0)
		return e;
	if (!S_ISLNK(st->mode)) {
		*ret = real;
		return 0;
	}
	if (depth >= MAX_LINKS)
		return -ELOOP;
	e = readlink_real(r, real, &text);
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
		*ret = k->real;
		return k->error;
	}
	e = resolve_dir(r, kv_dirname(r->arena, path), depth, &parent);
	if (e == 0)
		e = enter(r, parent, kv_basename(path), depth, ret, &st);
	if (e == 0 && !S_ISDIR(st.mode))
		e = -ENOTDIR;
	/* What failed for the number of links followed so far may succeed from elsewhere. */
	if (e != -ELOOP) {
		k = kv_new(r->arena, struct known_dir);
		*k = (struct known_dir){ e, e == 0 ? *ret : NULL, st };
		*kv_map_slot(r->dirs, path) = k;
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
		return e < 0 ? e : lstat_real(r, *ret, st);
	}
	e = resolve_dir(r, kv_strndup(r->arena, path, (size_t)(slash - path)), depth, &dir);
	if (e < 0)
		return e;
	if (follow)
		return enter(r, dir, name, depth, ret, st);
	*ret = kv_join(r->arena, dir, name);
	return lstat_real(r, *ret, st);
}

static int resolve(struct kv_root *r, const char *path, bool follow, unsigned depth,
		   const char **ret)
{
	struct kv_stat st;

	return resolve_stat(r, path, follow, depth, ret, &st);
}

/* ---- the public questions ---- */

bool kv_root_is_local(struct kv_root *r, const char *guest)
{
	/* Magic numbers of statfs(2): NFS, SMB, CIFS, FUSE, Lustre, Ceph, 9p, BeeGFS, GPFS, AFS,
	 * autofs. */
	static const uint32_t remote[] = { 0x6969,     0x517b,     0xff534d42, 0x65735546,
					   0x0bd00bd0, 0x00c36400, 0x01021997, 0x19830326,
					   0x47504653, 0x5346414f, 0x0187 };
	struct kv_stat st, top;
	struct statfs fs;
	bool local = true;

	if (kv_root_stat(r, guest, KV_NOFOLLOW, &st) < 0 || kv_root_stat(r, "/", 0, &top) < 0)
		return false;
	if (st.dev == top.dev)
		return true;
	for (size_t i = 0; i < r->devs.n; i++)
		if (r->devs.v[i].dev == st.dev)
			return r->devs.v[i].local;
	if (statfs(guest, &fs) == 0)
		for (size_t i = 0; i < KV_ARRAY_SIZE(remote); i++)
			if ((uint32_t)fs.f_type == remote[i])
				local = false;
	kv_vec_push(r->arena, &r->devs, ((struct known_dev){ st.dev, local }));
	return local;
}

int kv_root_stat(struct kv_root *r, const char *guest, unsigned flags, struct kv_stat *ret)
{
	const char *real;

	return resolve_stat(r, guest, !(flags & KV_NOFOLLOW), 0, &real, ret);
}

bool kv_root_is_dir(struct kv_root *r, const char *guest)
{
	struct kv_stat st;

	return kv_root_stat(r, guest, 0, &st) == 0 && S_ISDIR(st.mode);
}

bool kv_root_is_file(struct kv_root *r, const char *guest)
{
	struct kv_stat st;

	return kv_root_stat(r, guest, 0, &st) == 0 && S_ISREG(st.mode);
}

int kv_root_real(struct kv_root *r, const char *guest, unsigned flags, const char **ret)
{
	return resolve(r, guest, !(flags & KV_NOFOLLOW), 0, ret);
}

int kv_root_readlink(struct kv_root *r, const char *guest, const char **ret)
{
	struct kv_stat st;
	const char *real;
	int e = resolve_stat(r, guest, false, 0, &real, &st);

	if (e < 0)
		return e;
	return S_ISLNK(st.mode) ? readlink_real(r, real, ret) : -EINVAL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kv_dirent *)a)->name, ((const struct kv_dirent *)b)->name);
}

static bool has_name(const kv_dirents *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (kv_streq(list->v[i].name, name))
			return true;
	return false;
}

/* Adds the names by which layers show in the resolved directory real. */
static void add_layer_names(struct kv_root *r, const char *real, struct kv_arena *a,
			    kv_dirents *list)
{
	for (size_t i = 1; i < r->layers.n; i++) {
		const char *rel = below(r->layers.v[i].guest, real);
		const char *slash = rel ? strchr(rel, '/') : NULL;
		char *name;

		if (!rel || !*rel)
			continue;
		name = kv_strndup(a, rel, slash ? (size_t)(slash - rel) : strlen(rel));
		if (!has_name(list, name))
			kv_vec_push(a, list, ((struct kv_dirent){ name, DT_UNKNOWN }));
	}
}

int kv_root_list_real(struct kv_root *r, const char *real, struct kv_arena *a, kv_dirents *ret)
{
	const char *rel;
	const struct layer *l = layer_of(r, real, &rel);
	int e = l->tree->ops->list(l->tree, rel, a, ret);

	if (r->layers.n > 1) {
		if (is_implied_dir(r, real))
			e = e == -ENOENT || e == -ENOTDIR ? 0 : e;
		add_layer_names(r, real, a, ret);
	}
	return e;
}

int kv_root_list(struct kv_root *r, const char *guest, kv_dirents *ret)
{
	kv_dirents *list;
	struct kv_stat st;
	const char *real;
	int e = resolve_stat(r, guest, true, 0, &real, &st);

	if (e < 0)
		return e;
	list = kv_map_get(r->lists, real);
	if (!list) {
		list = kv_new(r->arena, kv_dirents);
		e = S_ISDIR(st.mode) ? kv_root_list_real(r, real, r->arena, list) : -ENOTDIR;
		if (e < 0)
			return e;
		if (list->n > 1)
			qsort(list->v, list->n, sizeof(*list->v), by_name);
		*kv_map_slot(r->lists, real) = list;
	}
	*ret = *list;
	return 0;
}

/* A file that its directory's list knows to be one is opened without being looked at first. */
static bool open_known(struct kv_root *r, const char *guest, struct kv_file **ret)
{
	const char *slash = strrchr(guest, '/'), *dir, *real, *rel;
	const struct layer *l;

	if (!slash || slash == guest || !slash[1] ||
	    resolve_dir(r, kv_strndup(r->arena, guest, (size_t)(slash - guest)), 0, &dir) < 0)
		return false;
	real = kv_join(r->arena, dir, slash + 1);
	l = layer_of(r, real, &rel);
	return l->tree && l->tree->ops->is_regular && l->tree->ops->is_regular(l->tree, rel) &&
	       l->tree->ops->open(l->tree, rel, ret) == 0;
}

static int open_file(struct kv_root *r, const char *guest, struct kv_file **ret)
{
	struct kv_stat st;
	const char *real, *rel;
	const struct layer *l;
	int e;

	if (open_known(r, guest, ret))
		return 0;
	e = resolve_stat(r, guest, true, 0, &real, &st);
	if (e < 0)
		return e;
	if (!S_ISREG(st.mode) && !S_ISDIR(st.mode))
		return -EINVAL;
	l = layer_of(r, real, &rel);
	if (S_ISDIR(st.mode)) {
		/* A directory that may not be read is that before it is a directory. */
		e = l->tree ? l->tree->ops->open(l->tree, rel, ret) : -EISDIR;
		if (e == 0)
			kv_file_close(*ret);
		return e == -EACCES ? e : -EISDIR;
	}
	return l->tree->ops->open(l->tree, rel, ret);
}

int kv_root_open_file(struct kv_root *r, const char *guest, struct kv_file **ret)
{
	struct kv_file *f;
	int e = open_file(r, guest, &f);

	if (e < 0)
		return e;
	f->next = r->files;
	f->link = &r->files;
	if (f->next)
		f->next->link = &f->next;
	r->files = f;
	*ret = f;
	return 0;
}

int kv_root_slurp(struct kv_root *r, const char *guest, size_t max, struct kv_span *ret)
{
	_file_ struct kv_file *f = NULL;
	size_t n, got;
	uint8_t *p;
	int e = kv_root_open_file(r, guest, &f);

	if (e < 0)
		return e;
	/* Files of /proc and /sys have size 0 and content all the same. */
	n = f->st.size ? f->st.size : 65536;
	if (n > max)
		return -EFBIG;
	p = kv_alloc_raw(r->arena, n + 1);
	e = kv_file_read(f, 0, p, n, &got);
	if (e < 0)
		return e;
	p[got] = '\0';
	*ret = (struct kv_span){ p, got };
	return 0;
}

int kv_file_read(struct kv_file *f, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	return f->ops->read(f, off, buf, n, ret_n);
}

int kv_file_map(struct kv_file *f, uint64_t off, size_t n, struct kv_span *ret)
{
	size_t before = (size_t)(off % 4096);
	uint8_t *p;

	if (f->fd < 0 || off > f->st.size || f->st.size - off < n)
		return -ENODATA;
	p = mmap(NULL, n + before, PROT_READ, MAP_PRIVATE, f->fd, (off_t)(off - before));
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct kv_span){ p + before, n };
	return 0;
}

const struct kv_stat *kv_file_stat(const struct kv_file *f)
{
	return &f->st;
}

int kv_file_fd(const struct kv_file *f)
{
	return f->fd;
}

void kv_file_close(struct kv_file *f)
{
	if (!f)
		return;
	if (f->link) {
		*f->link = f->next;
		if (f->next)
			f->next->link = f->link;
	}
	f->ops->close(f);
}
