/*
 * The tables behind the directories: of fragments, of inodes by their numbers (for NFS), of owners,
 * of extended attributes. Each is a row of metadata blocks, and a list of their places in the
 * image; Linux wants them one right behind the other, in this order. Blocks in which nothing
 * changes are copied as they are.
 */
#include "root/squash_write.h"

#define NO_TABLE        UINT64_MAX
#define FLAG_PLAIN_META 0x0001
#define FLAG_PLAIN_IDS  0x0800
#define MAX_IDS         UINT16_MAX

struct table {
	const char *name;
	uint64_t list; /* where the old table's list is */
	uint32_t old_n, n, size;
	const kv_sqw_patches *patches; /* ascending; at old_n and above all are there */
	bool plain;
};

/* ---- where the tables are ---- */

static int place_of(struct kv_sqw *w, uint64_t list, uint32_t i, uint64_t *ret)
{
	uint8_t raw[8];
	int e = w->s->file.read_at(&w->s->file, list + (uint64_t)i * 8, raw, sizeof(raw));

	if (!e)
		kv_span_u64((struct kv_span){ raw, 8 }, 0, false, ret);
	return e;
}

int kv_sqw_tables_start(struct kv_sqw *w, uint64_t *ret)
{
	const sqfs_super_t *super = &w->s->super;
	const struct {
		uint64_t list;
		uint32_t n;
	} tables[] = {
		{ super->fragment_table_start, super->fragment_entry_count },
		{ super->flags & SQFS_FLAG_EXPORTABLE ? super->export_table_start : NO_TABLE,
		  super->inode_count },
		{ super->id_table_start, super->id_count },
	};

	*ret = NO_TABLE;
	for (size_t i = 0; i < KV_ARRAY_SIZE(tables); i++) {
		uint64_t at = tables[i].list;
		int e = 0;

		if (at == NO_TABLE)
			continue;
		if (at >= w->s->source.size)
			e = SQFS_ERROR_OUT_OF_BOUNDS;
		else if (tables[i].n)
			e = place_of(w, at, 0, &at);
		if (e)
			return kv_sq_fail(w->s, "superblock", e);
		*ret = at < *ret ? at : *ret;
	}
	return 0;
}

/* ---- owners ---- */

int kv_sqw_ids_open(struct kv_sqw *w)
{
	uint8_t raw[4];
	uint32_t id;

	for (uint32_t i = 0; i < w->s->super.id_count; i++) {
		int e = kv_sq_table_entry(w->s, &w->s->owners, i, raw);

		if (e)
			return kv_sq_fail(w->s, "table of owners", e);
		kv_span_u32((struct kv_span){ raw, 4 }, 0, false, &id);
		kv_vec_push(w->arena, &w->ids, id);
	}
	return 0;
}

int kv_sqw_id(struct kv_sqw *w, uint32_t id, uint32_t *ret)
{
	for (size_t i = 0; i < w->ids.n; i++)
		if (w->ids.v[i] == id) {
			*ret = (uint32_t)i;
			return 0;
		}
	if (w->ids.n == MAX_IDS) {
		w->s->why = "the image has as many owners as a squashfs image can have";
		return -EOVERFLOW;
	}
	*ret = (uint32_t)w->ids.n;
	kv_vec_push(w->arena, &w->ids, id);
	return 0;
}

/* ---- writing ---- */

/* The old block that begins with entry `first`, with what changes in it. */
static int changed_block(struct kv_sqw *w, const struct table *t, uint32_t first, size_t *patch)
{
	uint32_t per_block = SQFS_META_BLOCK_SIZE / t->size, n = 0, stored;
	uint32_t n_old = first < t->old_n ? t->old_n - first : 0;
	uint32_t n_new = t->n - first < per_block ? t->n - first : per_block;
	uint8_t block[SQFS_META_BLOCK_SIZE] = { 0 };
	_buf_ struct kv_buf packed = { 0 };
	uint64_t at;
	int e = 0;

	n_old = n_old < per_block ? n_old : per_block;
	if (n_old) {
		e = place_of(w, t->list, first / per_block, &at);
		if (e)
			return kv_sq_fail(w->s, t->name, e);
		e = kv_sqw_block(w, at, block, &n, &stored);
		if (e < 0)
			return e;
		if (n != n_old * t->size)
			return kv_sq_fail(w->s, t->name, SQFS_ERROR_CORRUPTED);
	}
	for (; *patch < t->patches->n && t->patches->v[*patch].index - first < per_block; ++*patch)
		kv_sqw_set(block + (t->patches->v[*patch].index - first) * t->size,
			   t->patches->v[*patch].value, t->size);
	kv_sqw_block_add(w, &packed, block, n_new * t->size, t->plain);
	return kv_sqw_put(w, packed.text, packed.n);
}

static int same_block(struct kv_sqw *w, const struct table *t, uint32_t i)
{
	uint8_t block[SQFS_META_BLOCK_SIZE];
	uint32_t n, stored;
	uint64_t at;
	int e = place_of(w, t->list, i, &at);

	if (e)
		return kv_sq_fail(w->s, t->name, e);
	e = kv_sqw_block(w, at, block, &n, &stored);
	return e < 0 ? e : kv_sqw_copy(w, at, stored);
}

/* Writes the table, and its list behind the bytes of head; *ret is where those are. */
static int write_table(struct kv_sqw *w, const struct table *t, struct kv_buf *head, uint64_t *ret)
{
	uint32_t per_block = SQFS_META_BLOCK_SIZE / t->size;
	size_t patch = 0;
	int e = 0;

	if (t->old_n && t->list >= w->s->source.size)
		return kv_sq_fail(w->s, t->name, SQFS_ERROR_OUT_OF_BOUNDS);
	for (uint32_t first = 0; e == 0 && first < t->n; first += per_block) {
		bool changes = t->patches && patch < t->patches->n &&
			       t->patches->v[patch].index - first < per_block;

		kv_sqw_add(head, w->at, 8);
		e = changes ? changed_block(w, t, first, &patch)
			    : same_block(w, t, first / per_block);
	}
	*ret = w->at;
	return e < 0 ? e : kv_sqw_put(w, head->text, head->n);
}

/* Keys and values, which are copied, and the table of who has which; numbers of bytes within the
 * former stay what they are. */
static int write_xattrs(struct kv_sqw *w, uint64_t *ret)
{
	uint64_t head = w->s->super.xattr_id_table_start, start = 0, end = head;
	uint8_t raw[16];
	struct kv_span s = { raw, sizeof(raw) };
	struct table t = { .name = "table of extended attributes", .size = 16 };
	_buf_ struct kv_buf new_head = { 0 };
	int e = w->s->file.read_at(&w->s->file, head, raw, sizeof(raw));

	kv_span_u64(s, 0, false, &start);
	kv_span_u32(s, 8, false, &t.n);
	t.old_n = t.n;
	t.list = head + sizeof(raw);
	if (!e && t.n)
		e = place_of(w, t.list, 0, &end);
	if (!e && (start > end || end > head))
		e = SQFS_ERROR_OUT_OF_BOUNDS;
	if (e)
		return kv_sq_fail(w->s, t.name, e);
	kv_sqw_add(&new_head, w->at, 8);
	kv_sqw_add(&new_head, t.n, 8);
	e = kv_sqw_copy(w, start, end - start);
	return e < 0 ? e : write_table(w, &t, &new_head, ret);
}

/* One table, where the image has it; its place goes into the superblock. */
static int put_table(struct kv_sqw *w, const struct table *t, uint8_t *super, unsigned field)
{
	_buf_ struct kv_buf list = { 0 };
	uint64_t at = 0;
	int e;

	if (t->list == NO_TABLE)
		return 0;
	e = write_table(w, t, &list, &at);
	kv_sqw_set(super + field, at, 8);
	return e;
}

int kv_sqw_tables_write(struct kv_sqw *w, uint8_t *super)
{
	const sqfs_super_t *old = &w->s->super;
	kv_sqw_patches ids = { 0 };
	bool plain = old->flags & FLAG_PLAIN_META;
	struct table fragments = { "table of fragments",
				   old->fragment_table_start,
				   old->fragment_entry_count,
				   old->fragment_entry_count,
				   16,
				   NULL,
				   plain };
	struct table export = { "table of inodes",
				old->export_table_start,
				old->inode_count,
				w->n_inodes,
				8,
				&w->refs,
				plain };
	struct table owners = { "table of owners",
				old->id_table_start,
				old->id_count,
				(uint32_t)w->ids.n,
				4,
				&ids,
				plain || old->flags & FLAG_PLAIN_IDS };
	uint64_t xattrs = NO_TABLE;
	int e;

	if (!(old->flags & SQFS_FLAG_EXPORTABLE))
		export.list = NO_TABLE;
	for (size_t i = old->id_count; i < w->ids.n; i++)
		kv_vec_push(w->arena, &ids, ((struct kv_sqw_patch){ (uint32_t)i, w->ids.v[i] }));
	e = put_table(w, &fragments, super, KV_SQW_FRAGMENTS);
	if (e == 0)
		e = put_table(w, &export, super, KV_SQW_EXPORT);
	if (e == 0)
		e = put_table(w, &owners, super, KV_SQW_IDS);
	if (e == 0 && old->xattr_id_table_start != NO_TABLE)
		e = write_xattrs(w, &xattrs);
	kv_sqw_set(super + KV_SQW_XATTRS, xattrs, 8);
	kv_sqw_set(super + KV_SQW_ID_COUNT, w->ids.n, 2);
	return e;
}
