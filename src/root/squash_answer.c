/* Answering what is asked about a squashfs image, and a little of what will be asked next. */
#include <sys/stat.h>

#include "root/squash_image.h"

/* ---- inodes ---- */

static int owner(struct kv_sq *s, uint16_t i, uint32_t *ret)
{
	uint8_t id[4];
	int e = kv_sq_table_entry(s, &s->owners, i, id);

	if (e)
		return kv_sq_fail(s, "table of owners", e);
	kv_span_u32((struct kv_span){ id, 4 }, 0, false, ret);
	return 0;
}

static bool is_link(const sqfs_inode_generic_t *inode)
{
	return inode->base.type == SQFS_INODE_SLINK || inode->base.type == SQFS_INODE_EXT_SLINK;
}

/* The fragment that has all of a regular file, if one answer can carry it. */
static void find_fragment(struct kv_sq *s, const sqfs_inode_generic_t *inode,
			  struct kv_sq_inode *ret)
{
	uint32_t number, at;

	if (ret->at || !ret->size || ret->size > s->super.block_size ||
	    s->super.block_size > KV_SQ_PAYLOAD || sqfs_inode_get_file_block_count(inode) ||
	    sqfs_inode_get_frag_location(inode, &number, &at) || at > s->super.block_size)
		return;
	ret->fragment = number;
	ret->fragment_at = at;
}

/* Appends what the inode says, for which the payload has room. */
static int describe(struct kv_sq *s, uint64_t ref, const sqfs_inode_generic_t *inode,
		    uint8_t *payload, uint32_t *n)
{
	struct kv_sq_inode out = { .ref = ref, .fragment = KV_SQ_NONE };
	uint64_t size = 0;
	uint32_t uid = 0, gid = 0;
	int e = owner(s, inode->base.uid_idx, &uid);

	if (e == 0)
		e = owner(s, inode->base.gid_idx, &gid);
	if (e < 0)
		return e;
	if (is_link(inode)) {
		/* The two kinds of link inode begin alike. */
		size = out.link_n = inode->data.slink.target_size;
		if (!size || size > KV_SQ_LINK)
			return kv_sq_fail(s, "inode of a link", SQFS_ERROR_CORRUPTED);
		memcpy(payload + *n + sizeof(out), inode->extra, size);
	} else if (S_ISREG(inode->base.mode)) {
		sqfs_inode_get_file_size(inode, &size);
		out.size = size;
		out.at = kv_sq_plain_at(s, inode);
		find_fragment(s, inode, &out);
	}
	out.size = size;
	out.ino = inode->base.inode_number;
	out.mode = inode->base.mode;
	out.mtime_s = inode->base.mod_time;
	out.uid = uid;
	out.gid = gid;
	memcpy(payload + *n, &out, sizeof(out));
	*n += (uint32_t)sizeof(out) + out.link_n;
	return 0;
}

/* ---- questions ---- */

/*
 * Those of a directory's files lie side by side, and who asks for one will ask for others. An inode
 * that does not parse ends it: whoever asks for that one will be told.
 */
static void inodes_ahead(struct kv_sq *s, const struct kv_sq_request *rq, uint8_t *payload,
			 uint32_t *n)
{
	uint64_t block = rq->ref >> 16, start = s->inode_table.start;
	sqfs_meta_reader_t *reader = kv_sq_reader(s, &s->inode_table, block);
	const struct kv_sq_first *first = kv_sq_first_of(s, block);
	sqfs_u64 place = start + block;
	size_t at = rq->ref & 0xffff;
	int e = 0;

	if (first->known && first->block == block && first->at < at)
		at = first->at;

	/* Ends: every inode takes some bytes of the block. */
	while (reader && e == 0 && place == start + block &&
	       KV_SQ_PAYLOAD - *n >= sizeof(struct kv_sq_inode) + KV_SQ_LINK) {
		uint64_t ref = block << 16 | at;
		sqfs_inode_generic_t *inode;

		if (sqfs_meta_reader_read_inode(reader, &s->super, block, at, &inode))
			return;
		sqfs_meta_reader_get_position(reader, &place, &at);
		if (ref != rq->ref)
			e = describe(s, ref, inode, payload, n);
		sqfs_free(inode);
	}
}

static int show_inodes(struct kv_sq *s, const struct kv_sq_request *rq, uint8_t *payload,
		       struct kv_sq_reply *rp)
{
	sqfs_inode_generic_t *inode;
	uint32_t n = 0;
	int e = kv_sq_inode_at(s, rq->ref, &inode);

	if (e == 0)
		e = describe(s, rq->ref, inode, payload, &n);
	if (e < 0)
		return e;
	inodes_ahead(s, rq, payload, &n);
	rp->n = n;
	return 0;
}

/* Names that are lost without memory cost time only. */
static int keep_skip(struct kv_sq *s, const struct kv_sq_request *rq, const uint8_t *payload)
{
	uint32_t n = rq->n;

	if (!n || n > KV_SQ_PAYLOAD || payload[n - 1])
		return -EINVAL;
	free(s->ahead.skip);
	s->ahead.skip = malloc(n);
	s->ahead.skip_n = s->ahead.skip ? n : 0;
	if (s->ahead.skip)
		memcpy(s->ahead.skip, payload, n);
	return 0;
}

static int read_file(struct kv_sq *s, const struct kv_sq_request *rq, uint8_t *payload,
		     struct kv_sq_reply *rp)
{
	sqfs_inode_generic_t *inode;
	uint64_t size;
	uint32_t n = rq->n < KV_SQ_PAYLOAD ? rq->n : KV_SQ_PAYLOAD;
	int e = kv_sq_inode_at(s, rq->ref, &inode);

	if (e < 0)
		return e;
	if (sqfs_inode_get_file_size(inode, &size))
		return -EINVAL;
	if (rq->off >= size)
		return 0;
	if (size - rq->off < n)
		n = (uint32_t)(size - rq->off);
	e = kv_sq_read(s, inode, rq->off, payload, n);
	if (e == 0)
		rp->n = n;
	return e;
}

void kv_sq_answer(struct kv_sq *s, const struct kv_sq_request *rq, uint8_t *payload,
		  struct kv_sq_reply *ret)
{
	int e = -EINVAL;

	*ret = (struct kv_sq_reply){ 0 };
	s->why = "the reader of the image was asked nonsense";
	if (rq->op == KV_SQ_LIST)
		e = kv_sq_list(s, rq, payload, ret);
	else if (rq->op == KV_SQ_INODE)
		e = show_inodes(s, rq, payload, ret);
	else if (rq->op == KV_SQ_FRAGMENT)
		e = kv_sq_fragment(s, rq->ref, payload, ret);
	else if (rq->op == KV_SQ_SKIP)
		e = keep_skip(s, rq, payload);
	else if (rq->op == KV_SQ_READ)
		e = read_file(s, rq, payload, ret);
	if (e == 0)
		return;
	*ret = (struct kv_sq_reply){ .error = e, .n = (uint32_t)strlen(s->why) };
	memcpy(payload, s->why, ret->n);
}
