/*
 * Directories of a squashfs image. They are read here and not by libsquashfs: its reader takes
 * memory for each entry, and releases of it refuse names with a backslash, which systemd's units
 * have.
 */
#include <dirent.h>

#include "root/squash_image.h"

#define MAX_NAME 255

/* Puts the reader of lists at the beginning of the directory. */
static int begin_list(struct kv_sq *s, uint64_t ref)
{
	sqfs_inode_generic_t *inode;
	uint64_t block, left;
	size_t offset;
	int e = kv_sq_inode_at(s, ref, &inode);

	if (e < 0)
		return e;
	if (inode->base.type == SQFS_INODE_DIR) {
		left = inode->data.dir.size;
		block = inode->data.dir.start_block;
		offset = inode->data.dir.offset;
	} else if (inode->base.type == SQFS_INODE_EXT_DIR) {
		left = inode->data.dir_ext.size;
		block = inode->data.dir_ext.start_block;
		offset = inode->data.dir_ext.offset;
	} else {
		return -ENOTDIR;
	}
	memset(&s->list, 0, sizeof(s->list));
	s->list.ref = ref;
	/* The stored size counts three bytes that stand for "." and ".." (fs/squashfs/dir.c). */
	if (left <= 3)
		return 0;
	s->list.left = left - 3;
	s->list.reader = kv_sq_reader(s, &s->dir_table, block);
	e = s->list.reader
		    ? sqfs_meta_reader_seek(s->list.reader, s->dir_table.start + block, offset)
		    : SQFS_ERROR_ALLOC;
	return e ? kv_sq_fail(s, "directory table", e) : 0;
}

static int list_bytes(struct kv_sq *s, void *buf, size_t n)
{
	int e;

	if (s->list.left < n)
		return kv_sq_fail(s, "directory table", SQFS_ERROR_CORRUPTED);
	e = sqfs_meta_reader_read(s->list.reader, buf, n);
	if (e)
		return kv_sq_fail(s, "directory table", e);
	s->list.left -= n;
	s->list.done += n;
	return 0;
}

/* A header precedes at most 256 entries whose inodes lie in one block (fs/squashfs/dir.c). */
static int list_header(struct kv_sq *s)
{
	uint8_t raw[12];
	struct kv_span h = { raw, sizeof(raw) };
	uint32_t count;
	int e = list_bytes(s, raw, sizeof(raw));

	if (e < 0)
		return e;
	kv_span_u32(h, 0, false, &count);
	kv_span_u32(h, 4, false, &s->list.start_block);
	kv_span_u32(h, 8, false, &s->list.ino);
	if (count >= SQFS_MAX_DIR_ENT)
		return kv_sq_fail(s, "directory table", SQFS_ERROR_CORRUPTED);
	s->list.count = count + 1;
	return 0;
}

/* What the longest entry takes of the payload. */
#define ROOM (sizeof(struct kv_sq_entry) + MAX_NAME + 1)

/* Whether the walk that asks passes over directories of this name. */
static bool is_skipped(const struct kv_sq *s, const char *name)
{
	for (const char *p = s->ahead.skip; p && p < s->ahead.skip + s->ahead.skip_n;
	     p += strlen(p) + 1)
		if (kv_streq(p, name))
			return true;
	return false;
}

struct kv_sq_first *kv_sq_first_of(struct kv_sq *s, uint64_t block)
{
	return &s->firsts[block * UINT64_C(0x9e3779b97f4a7c15) >> 54 & (KV_SQ_FIRSTS - 1)];
}

/* An inode of that block begins here. */
static void note_inode(struct kv_sq *s, uint64_t block, uint32_t at)
{
	struct kv_sq_first *first = kv_sq_first_of(s, block);

	if (!first->known || first->block != block || at < first->at)
		*first = (struct kv_sq_first){ block, at, true };
}

static void let_wait(struct kv_sq *s, uint64_t ref, const char *name)
{
	if (s->ahead.n < KV_SQ_WAITING && !is_skipped(s, name))
		s->ahead.waiting[s->ahead.n++] = ref;
}

/* Appends the next entry to the payload, which has room for it. */
static int put_entry(struct kv_sq *s, uint8_t *payload, uint32_t *n)
{
	static const uint8_t types[] = {
		[SQFS_INODE_DIR] = DT_DIR,     [SQFS_INODE_FILE] = DT_REG,
		[SQFS_INODE_SLINK] = DT_LNK,   [SQFS_INODE_BDEV] = DT_BLK,
		[SQFS_INODE_CDEV] = DT_CHR,    [SQFS_INODE_FIFO] = DT_FIFO,
		[SQFS_INODE_SOCKET] = DT_SOCK,
	};
	struct kv_sq_entry out;
	uint16_t offset, ino, type, size;
	uint8_t raw[8], *name;
	struct kv_span d = { raw, sizeof(raw) };
	int e = list_bytes(s, raw, sizeof(raw));

	if (e < 0)
		return e;
	kv_span_u16(d, 0, false, &offset);
	kv_span_u16(d, 2, false, &ino);
	kv_span_u16(d, 4, false, &type);
	kv_span_u16(d, 6, false, &size);
	if (size >= MAX_NAME || type >= KV_ARRAY_SIZE(types) || !types[type])
		return kv_sq_fail(s, "directory table", SQFS_ERROR_CORRUPTED);
	out.ref = (uint64_t)s->list.start_block << 16 | offset;
	out.ino = s->list.ino + (uint32_t)(int16_t)ino;
	out.type = types[type];
	out.n = (uint8_t)(size + 1);
	memcpy(payload + *n, &out, sizeof(out));
	name = payload + *n + sizeof(out);
	*n += (uint32_t)sizeof(out) + out.n + 1;
	e = list_bytes(s, name, out.n);
	name[out.n] = '\0';
	if (e == 0 && out.type == DT_DIR)
		let_wait(s, out.ref, (const char *)name);
	note_inode(s, s->list.start_block, offset);
	s->list.count--;
	return e;
}

/* The last ones from `from` on, in the other order: the first that a walk comes to is taken first.
 */
static void turn_round(struct kv_sq *s, size_t from)
{
	for (size_t to = s->ahead.n; from + 1 < to; from++) {
		uint64_t ref = s->ahead.waiting[from];

		s->ahead.waiting[from] = s->ahead.waiting[--to];
		s->ahead.waiting[to] = ref;
	}
}

/* Appends the list of the directory, as far as it fits; ret_more as in a reply. */
static int put_list(struct kv_sq *s, uint64_t ref, uint64_t off, uint8_t *payload, uint32_t *n,
		    uint64_t *ret_more)
{
	struct kv_sq_list head = { .ref = ref };
	uint32_t start = *n;
	size_t waiting = s->ahead.n;
	int e = 0;

	if (!off)
		e = begin_list(s, ref);
	else if (ref != s->list.ref || off != s->list.done)
		e = -EINVAL;
	*n += (uint32_t)sizeof(head);
	while (e == 0 && s->list.left && KV_SQ_PAYLOAD - *n >= ROOM) {
		if (!s->list.count)
			e = list_header(s);
		if (e == 0)
			e = put_entry(s, payload, n);
	}
	turn_round(s, waiting);
	head.n = *n - start - (uint32_t)sizeof(head);
	memcpy(payload + start, &head, sizeof(head));
	*ret_more = s->list.left ? s->list.done : 0;
	return e;
}

/* What fails is left to the one that will ask for it. */
static void read_ahead(struct kv_sq *s, uint8_t *payload, uint32_t *n)
{
	while (s->ahead.n && KV_SQ_PAYLOAD - *n >= sizeof(struct kv_sq_list) + ROOM) {
		size_t left = --s->ahead.n;
		uint64_t ref = s->ahead.waiting[left], more;
		uint32_t before = *n;
		int e = put_list(s, ref, 0, payload, n, &more);

		if (e == 0 && !more)
			continue;
		*n = before;
		s->ahead.n = left;
		if (e == 0) {
			/* It begins the next answer. */
			s->ahead.waiting[s->ahead.n++] = ref;
			return;
		}
	}
}

/* A walk that has come to ref has passed over those before it; or it is another walk. */
static void come_to(struct kv_sq *s, uint64_t ref)
{
	size_t i = s->ahead.n;

	while (i && s->ahead.waiting[i - 1] != ref)
		i--;
	s->ahead.n = i ? i - 1 : 0;
}

int kv_sq_list(struct kv_sq *s, const struct kv_sq_request *rq, uint8_t *payload,
	       struct kv_sq_reply *rp)
{
	size_t waiting = s->ahead.n;
	uint32_t n = 0;
	int e;

	if (rq->n && !rq->off)
		come_to(s, rq->ref);
	e = put_list(s, rq->ref, rq->off, payload, &n, &rp->more);
	if (e < 0)
		return e;
	if (!rq->n)
		s->ahead.n = waiting;
	else if (!rp->more)
		read_ahead(s, payload, &n);
	rp->n = n;
	return 0;
}
