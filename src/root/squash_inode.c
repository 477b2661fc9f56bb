/*
 * Inodes and directories as bytes (squashfs_fs.h; mksquashfs' create_inode() and write_dir()). An
 * inode has a short form, and a long one for what the short one has no room for.
 */
#include "root/squash_write.h"

#define GROUP_ENTRIES 256 /* of one directory header */
#define DOTS          3   /* what "." and ".." count in the size of a list */

enum { DIR_INODE = 1, FILE_INODE = 2, LINK_INODE = 3, LONG_DIR_INODE = 8, LONG_FILE_INODE = 9 };

static void add_head(struct kv_buf *b, unsigned type, const struct kv_sqw_inode *i)
{
	kv_sqw_add(b, type, 2);
	kv_sqw_add(b, i->mode & 07777, 2);
	kv_sqw_add(b, i->uid, 2);
	kv_sqw_add(b, i->gid, 2);
	kv_sqw_add(b, i->mtime, 4);
	kv_sqw_add(b, i->number, 4);
}

static int put_inode(struct kv_sqw *w, const struct kv_buf *b, uint32_t number, uint64_t *ret)
{
	struct kv_sqw_place at = kv_sqw_meta_end(&w->inodes);
	struct kv_sqw_patch ref = { number - 1, at.block << 16 | at.offset };
	size_t i = w->refs.n;

	if (!number || number > w->n_inodes || at.block > UINT32_MAX)
		return kv_sq_fail(w->s, "inode table", SQFS_ERROR_CORRUPTED);
	/* In order; there are few. */
	kv_vec_push(w->arena, &w->refs, ref);
	for (; i && w->refs.v[i - 1].index > ref.index; i--)
		w->refs.v[i] = w->refs.v[i - 1];
	w->refs.v[i] = ref;
	*ret = ref.value;
	kv_sqw_meta_add(w, &w->inodes, b->text, b->n);
	return 0;
}

/* ---- files and links ---- */

int kv_sqw_file_inode(struct kv_sqw *w, const struct kv_sqw_inode *i,
		      const struct kv_sqw_data *data, uint64_t *ret)
{
	_buf_ struct kv_buf b = { 0 };

	if (i->xattr == KV_SQW_NONE && data->start <= UINT32_MAX && data->size <= UINT32_MAX) {
		add_head(&b, FILE_INODE, i);
		kv_sqw_add(&b, data->start, 4);
		kv_sqw_add(&b, KV_SQW_NONE, 4); /* no fragment */
		kv_sqw_add(&b, 0, 4);
		kv_sqw_add(&b, data->size, 4);
	} else {
		add_head(&b, LONG_FILE_INODE, i);
		kv_sqw_add(&b, data->start, 8);
		kv_sqw_add(&b, data->size, 8);
		kv_sqw_add(&b, 0, 8); /* nothing sparse */
		kv_sqw_add(&b, 1, 4); /* names */
		kv_sqw_add(&b, KV_SQW_NONE, 4);
		kv_sqw_add(&b, 0, 4);
		kv_sqw_add(&b, i->xattr, 4);
	}
	for (size_t n = 0; n < data->blocks.n; n++)
		kv_sqw_add(&b, data->blocks.v[n], 4);
	return put_inode(w, &b, i->number, ret);
}

int kv_sqw_link_inode(struct kv_sqw *w, const struct kv_sqw_inode *i, const char *text,
		      uint64_t *ret)
{
	_buf_ struct kv_buf b = { 0 };

	add_head(&b, LINK_INODE, i);
	kv_sqw_add(&b, 1, 4);
	kv_sqw_add(&b, strlen(text), 4);
	kv_buf_str(&b, text);
	return put_inode(w, &b, i->number, ret);
}

/* ---- directories ---- */

/* A list that is being written, and its index: where to begin to look for a name. */
struct list {
	struct kv_sqw_place start;
	uint64_t size;
	uint64_t indexed; /* the block that the index knows last */
	uint32_t n_index;
	struct kv_buf index;
};

/* Entries of one header: their inodes are in one block, their numbers close, their bytes in one
 * block too, so that the index can lead there. */
static size_t group_size(const struct kv_sqw_entry *e, size_t n, size_t room)
{
	size_t i = 0, bytes = 12;

	for (; i < n && i < GROUP_ENTRIES; i++) {
		int64_t delta = (int64_t)e[i].number - e[0].number;

		if (e[i].ref >> 16 != e[0].ref >> 16 || delta < INT16_MIN || delta > INT16_MAX ||
		    (i && bytes >= room))
			break;
		bytes += 8 + strlen(e[i].name);
	}
	return i;
}

static void add_index(struct list *l, struct kv_sqw_place at, const char *name)
{
	if (at.block == l->indexed || l->n_index == UINT16_MAX)
		return;
	l->indexed = at.block;
	l->n_index++;
	kv_sqw_add(&l->index, l->size, 4);
	kv_sqw_add(&l->index, at.block, 4);
	kv_sqw_add(&l->index, strlen(name) - 1, 4);
	kv_buf_str(&l->index, name);
}

static void put_list(struct kv_sqw *w, const kv_sqw_entries *entries, struct list *l)
{
	l->start = kv_sqw_meta_end(&w->dirs);
	l->indexed = l->start.block;
	for (size_t i = 0, n; i < entries->n; i += n) {
		const struct kv_sqw_entry *e = &entries->v[i];
		struct kv_sqw_place at = kv_sqw_meta_end(&w->dirs);
		_buf_ struct kv_buf b = { 0 };

		n = group_size(e, entries->n - i, SQFS_META_BLOCK_SIZE - at.offset);
		add_index(l, at, e->name);
		kv_sqw_add(&b, n - 1, 4);
		kv_sqw_add(&b, e->ref >> 16, 4);
		kv_sqw_add(&b, e->number, 4);
		for (size_t j = 0; j < n; j++) {
			kv_sqw_add(&b, e[j].ref & 0xffff, 2);
			kv_sqw_add(&b, e[j].number - e->number, 2);
			kv_sqw_add(&b, e[j].type, 2);
			kv_sqw_add(&b, strlen(e[j].name) - 1, 2);
			kv_buf_str(&b, e[j].name);
		}
		kv_sqw_meta_add(w, &w->dirs, b.text, b.n);
		l->size += b.n;
	}
}

static int put_dir(struct kv_sqw *w, const struct kv_sqw_inode *i, uint32_t parent,
		   const kv_sqw_entries *entries, const struct list *l, uint64_t *ret)
{
	_buf_ struct kv_buf b = { 0 };
	uint32_t links = 2;

	for (size_t n = 0; n < entries->n; n++)
		links += entries->v[n].type == SQFS_INODE_DIR;
	if (i->xattr == KV_SQW_NONE && !l->n_index && l->size + DOTS <= UINT16_MAX) {
		add_head(&b, DIR_INODE, i);
		kv_sqw_add(&b, l->start.block, 4);
		kv_sqw_add(&b, links, 4);
		kv_sqw_add(&b, l->size + DOTS, 2);
		kv_sqw_add(&b, l->start.offset, 2);
		kv_sqw_add(&b, parent, 4);
	} else {
		add_head(&b, LONG_DIR_INODE, i);
		kv_sqw_add(&b, links, 4);
		kv_sqw_add(&b, l->size + DOTS, 4);
		kv_sqw_add(&b, l->start.block, 4);
		kv_sqw_add(&b, parent, 4);
		kv_sqw_add(&b, l->n_index, 2);
		kv_sqw_add(&b, l->start.offset, 2);
		kv_sqw_add(&b, i->xattr, 4);
		kv_buf_add(&b, l->index.text, l->index.n);
	}
	return put_inode(w, &b, i->number, ret);
}

int kv_sqw_dir_inode(struct kv_sqw *w, const struct kv_sqw_inode *i, uint32_t parent,
		     const kv_sqw_entries *entries, uint64_t *ret)
{
	struct list l = { 0 };
	int e = 0;

	put_list(w, entries, &l);
	if (l.size > UINT32_MAX - DOTS || l.start.block > UINT32_MAX)
		e = kv_sq_fail(w->s, "directory table", SQFS_ERROR_OVERFLOW);
	if (e == 0)
		e = put_dir(w, i, parent, entries, &l, ret);
	kv_buf_clear(&l.index);
	return e;
}
