/* Opening a root, what it is as such, and the questions about a path. */
#include <fcntl.h>
#include <sys/vfs.h>

#include "root/image.h"
#include "root/tap.h"

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
	e = format->open(r->arena, *fd, ret, &why);
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

void kv_root_forget(struct kv_root *r)
{
	r->dirs = kv_map_new(r->arena);
	r->lists = kv_map_new(r->arena);
}

void kv_root_begin(struct kv_root *r, struct kv_tree *base)
{
	kv_root_forget(r);
	kv_vec_push(r->arena, &r->overlays, ((struct kv_overlay){ .guest = "/", .tree = base }));
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
	kv_root_begin(r, base);
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
	struct kv_tree *base = r->overlays.n ? r->overlays.v[0].tree : NULL;

	return base && base->ops->fault ? base->ops->fault(base) : NULL;
}

const struct kv_env *kv_root_env(const struct kv_root *r)
{
	struct kv_tree *base = r->overlays.n ? r->overlays.v[0].tree : NULL;

	return base && base->ops->env ? base->ops->env(base) : NULL;
}

const char *kv_root_cwd(const struct kv_root *r)
{
	struct kv_tree *base = r->overlays.n ? r->overlays.v[0].tree : NULL;

	return base && base->ops->cwd ? base->ops->cwd(base) : NULL;
}

void kv_root_will_skip(struct kv_root *r, const char *const *names, size_t n)
{
	struct kv_tree *base = r->overlays.v[0].tree;

	if (base->ops->will_skip)
		base->ops->will_skip(base, names, n);
}

bool kv_root_is_other(const kv_dirents *list)
{
	static const char *const names[] = { "usr", "etc", "bin", KV_RECORDING_INDEX,
					     KV_RECORDING_TARGET };
	bool has[KV_ARRAY_SIZE(names)] = { false };
	const struct kv_dirent *d;

	kv_vec_each (d, list)
		for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
			has[i] |= kv_streq(d->name, names[i]);
	return (has[0] && has[1] && has[2]) || (has[3] && has[4]);
}

/* ---- questions ---- */

static bool ask_local(struct kv_root *r, const char *guest)
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
	kv_vec_push(r->arena, &r->devs, ((struct kv_known_dev){ st.dev, local }));
	return local;
}

bool kv_root_is_local(struct kv_root *r, const char *guest)
{
	struct kv_tree *base = r->overlays.v[0].tree;
	bool local;

	if (base->ops->was_remote)
		return !base->ops->was_remote(base, guest + 1);
	/* It lies where its parent does, which a walk has come through. Noted is what is asked. */
	if (!r->notes && !kv_root_may_be_mount(r, guest))
		return true;
	r->is_aside = true;
	local = ask_local(r, guest);
	r->is_aside = false;
	if (r->notes && !local)
		kv_notes_of(r->notes, guest)->remote = true;
	return local;
}

const kv_strv *kv_root_denied(const struct kv_root *r)
{
	return &r->denied;
}

int kv_root_stat(struct kv_root *r, const char *guest, unsigned flags, struct kv_stat *ret)
{
	const char *real;

	return kv_root_resolve(r, guest, flags, &real, ret);
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
	struct kv_stat st;

	return kv_root_resolve(r, guest, flags, ret, &st);
}

int kv_root_readlink(struct kv_root *r, const char *guest, const char **ret)
{
	struct kv_stat st;
	const char *real;
	int e = kv_root_resolve(r, guest, KV_NOFOLLOW, &real, &st);

	if (e < 0)
		return e;
	return S_ISLNK(st.mode) ? kv_overlay_readlink(r, real, ret) : -EINVAL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kv_dirent *)a)->name, ((const struct kv_dirent *)b)->name);
}

int kv_root_list(struct kv_root *r, const char *guest, kv_dirents *ret)
{
	kv_dirents *list;
	struct kv_stat st;
	const char *real;
	int e = kv_root_resolve(r, guest, 0, &real, &st);

	if (e < 0)
		return e;
	list = kv_map_get(r->lists, real);
	if (!list) {
		list = kv_new(r->arena, kv_dirents);
		e = S_ISDIR(st.mode) ? kv_overlay_list(r, real, /* walk= */ false, r->arena, list)
				     : -ENOTDIR;
		if (e < 0)
			return e;
		if (list->n > 1)
			qsort(list->v, list->n, sizeof(*list->v), by_name);
		*kv_map_slot(r->lists, real) = list;
	}
	*ret = *list;
	return 0;
}
