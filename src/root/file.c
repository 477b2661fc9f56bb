/* The files of a root that are open: opening, reading, mapping, closing. */
#include <sys/mman.h>

#include "root/tap.h"

/*
 * Images are looked into once, and mostly from a disk: up to here a piece is read as a whole and at
 * once. A fault would read what lies around it, which belongs to others.
 */
#define READ_WHOLE ((size_t)1 << 20)

/* A file that its directory's list knows to be one is opened without being looked at first. */
static bool open_listed(struct kv_root *r, const char *guest, struct kv_file **ret)
{
	const char *slash = strrchr(guest, '/'), *dir, *real, *rel;
	const struct kv_overlay *o;

	if (!slash || slash == guest || !slash[1] ||
	    kv_root_resolve_dir(r, kv_strndup(r->arena, guest, (size_t)(slash - guest)), &dir) < 0)
		return false;
	real = kv_join(r->arena, dir, slash + 1);
	o = kv_overlay_at(r, real, &rel);
	return o->tree && o->tree->ops->is_regular && o->tree->ops->is_regular(o->tree, rel) &&
	       o->tree->ops->open(o->tree, rel, ret) == 0;
}

static int open_file(struct kv_root *r, const char *guest, struct kv_file **ret)
{
	struct kv_stat st;
	const char *real, *rel;
	const struct kv_overlay *o;
	int e;

	if (!r->notes && open_listed(r, guest, ret))
		return 0;
	e = kv_root_resolve(r, guest, 0, &real, &st);
	if (e < 0)
		return e;
	if (!S_ISREG(st.mode) && !S_ISDIR(st.mode))
		return -EINVAL;
	o = kv_overlay_at(r, real, &rel);
	if (S_ISDIR(st.mode)) {
		/* A directory that may not be read is that before it is a directory. */
		e = o->tree ? o->tree->ops->open(o->tree, rel, ret) : -EISDIR;
		if (e == 0)
			kv_file_close(*ret);
		return kv_tap_open(r, real, e == -EACCES ? e : -EISDIR, ret);
	}
	e = o->tree->ops->open_known ? o->tree->ops->open_known(o->tree, rel, &st, ret)
				     : o->tree->ops->open(o->tree, rel, ret);
	return kv_tap_open(r, real, e, ret);
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
	size_t before = (size_t)((f->at + off) % 4096);
	uint8_t *p;

	if (f->fd < 0 || off > f->st.size || f->st.size - off < n)
		return -ENODATA;
	p = mmap(NULL, n + before, PROT_READ, MAP_PRIVATE, f->fd, (off_t)(f->at + off - before));
	if (p == MAP_FAILED)
		return -errno;
	if (f->at && n <= READ_WHOLE) {
		(void)madvise(p, n + before, MADV_RANDOM);
		(void)madvise(p, n + before, MADV_WILLNEED);
	}
	*ret = (struct kv_span){ p + before, n };
	return 0;
}

const struct kv_stat *kv_file_stat(const struct kv_file *f)
{
	return &f->st;
}

int kv_file_fd(const struct kv_file *f)
{
	return f->at ? -1 : f->fd;
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
