/*
 * Before anything is written: does every inode of the image parse, and does its data lie where the
 * copy keeps it, before the tables? Images of any known tool do, as data is written first; one that
 * does not would lose files silently.
 */
#include <sys/stat.h>

#include "root/squash_write.h"

static int scan_file(struct kv_sqw *w, const sqfs_inode_generic_t *inode)
{
	uint64_t start = 0, limit = w->s->super.inode_table_start;
	uint32_t fragment = KV_SQW_NONE, offset;

	sqfs_inode_get_file_block_start(inode, &start);
	for (size_t i = 0; i < sqfs_inode_get_file_block_count(inode); i++) {
		uint32_t n = SQFS_ON_DISK_BLOCK_SIZE(inode->extra[i]);

		if (!n)
			continue;
		if (start > limit || limit - start < n)
			return SQFS_ERROR_OUT_OF_BOUNDS;
		start += n;
	}
	sqfs_inode_get_frag_location(inode, &fragment, &offset);
	return fragment == KV_SQW_NONE || fragment < w->s->super.fragment_entry_count
		       ? 0
		       : SQFS_ERROR_OUT_OF_BOUNDS;
}

static int scan_inode(struct kv_sqw *w, const sqfs_inode_generic_t *inode)
{
	if (!inode->base.inode_number || inode->base.inode_number > w->s->super.inode_count)
		return SQFS_ERROR_CORRUPTED;
	return S_ISREG(inode->base.mode) ? scan_file(w, inode) : 0;
}

static int scan_inodes(struct kv_sqw *w, sqfs_meta_reader_t *reader)
{
	const struct kv_sqw_meta *m = &w->inodes;
	sqfs_u64 at = m->start;
	size_t offset = 0;

	/* Ends: every inode takes some bytes. */
	while (at < m->end && (at < m->start + m->last || offset < m->old_n)) {
		sqfs_inode_generic_t *inode;
		int e = sqfs_meta_reader_read_inode(reader, &w->s->super, at - m->start, offset,
						    &inode);

		if (e)
			return e;
		e = scan_inode(w, inode);
		sqfs_free(inode);
		if (e)
			return e;
		/* Behind the last byte of a block it says where the next one is. */
		sqfs_meta_reader_get_position(reader, &at, &offset);
	}
	return 0;
}

static int scan_fragments(struct kv_sqw *w)
{
	uint64_t start, limit = w->s->super.inode_table_start;
	uint8_t raw[16];
	uint32_t n;

	for (uint32_t i = 0; i < w->s->super.fragment_entry_count; i++) {
		int e = kv_sq_table_entry(w->s, &w->s->fragments, i, raw);

		if (e)
			return e;
		kv_span_u64((struct kv_span){ raw, 16 }, 0, false, &start);
		kv_span_u32((struct kv_span){ raw, 16 }, 8, false, &n);
		n = SQFS_ON_DISK_BLOCK_SIZE(n);
		if (start > limit || limit - start < n)
			return SQFS_ERROR_OUT_OF_BOUNDS;
	}
	return 0;
}

int kv_sqw_scan(struct kv_sqw *w)
{
	sqfs_meta_reader_t *reader =
		sqfs_meta_reader_create(&w->s->file, w->s->cmp, w->inodes.start, w->inodes.end);
	int e = !reader                           ? SQFS_ERROR_ALLOC
		: w->inodes.start < w->inodes.end ? scan_inodes(w, reader)
						  : 0;

	sqfs_destroy(reader);
	if (e)
		return kv_sq_fail(w->s, "inode table", e);
	e = scan_fragments(w);
	return e ? kv_sq_fail(w->s, "table of fragments", e) : 0;
}
