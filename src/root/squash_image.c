/* Opening a squashfs image, and its inodes and tables. */
#include <sys/stat.h>

#include "root/squash_image.h"

int kv_sq_fail(struct kv_sq *s, const char *part, int error)
{
	static const struct {
		int error, code;
		const char *text;
	} table[] = {
		{ SQFS_ERROR_ALLOC, -ENOMEM, "asks for more memory than the reader may take" },
		{ SQFS_ERROR_IO, -EIO, "cannot be read" },
		{ SQFS_ERROR_COMPRESSOR, -EIO, "has a block that does not decompress" },
		{ SQFS_ERROR_OVERFLOW, -EIO, "has a size that cannot be" },
		{ SQFS_ERROR_OUT_OF_BOUNDS, -EIO, "points outside of the image or of its table" },
		{ SQFS_ERROR_UNSUPPORTED, -EIO, "has something that this version does not know" },
		{ SQFS_ERROR_CORRUPTED, -EIO, "has values that make no sense" },
	};
	static char text[200];
	size_t i = 0;

	while (i < KV_ARRAY_SIZE(table) - 1 && table[i].error != error)
		i++;
	snprintf(text, sizeof(text), "damaged squashfs image: its %s %s", part, table[i].text);
	s->why = text;
	return table[i].code;
}

/* ---- libsquashfs' file ---- */

static int file_read(sqfs_file_t *file, sqfs_u64 off, void *buf, size_t n)
{
	struct kv_sq *s = (struct kv_sq *)file;

	if (off > s->source.size || s->source.size - off < n)
		return SQFS_ERROR_OUT_OF_BOUNDS;
	return s->source.read(s->source.arg, off, buf, n) < 0 ? SQFS_ERROR_IO : 0;
}

static sqfs_u64 file_size(const sqfs_file_t *file)
{
	return ((const struct kv_sq *)file)->source.size;
}

static int file_write(sqfs_file_t *file, sqfs_u64 off, const void *buf, size_t n)
{
	(void)file, (void)off, (void)buf, (void)n;
	return SQFS_ERROR_IO;
}

static int file_truncate(sqfs_file_t *file, sqfs_u64 size)
{
	(void)file, (void)size;
	return SQFS_ERROR_IO;
}

static void file_destroy(sqfs_object_t *object)
{
	(void)object;
}

/* ---- inodes and tables ---- */

int kv_sq_inode_at(struct kv_sq *s, uint64_t ref, sqfs_inode_generic_t **ret)
{
	sqfs_inode_generic_t *inode;
	sqfs_meta_reader_t *reader;
	int e;

	for (unsigned i = 0; i < KV_SQ_INODES; i++)
		if (s->inodes[i].inode && s->inodes[i].ref == ref) {
			*ret = s->inodes[i].inode;
			return 0;
		}
	/* 32 bits of place: more would wrap where libsquashfs adds the table's start. */
	if (ref >> 48)
		return kv_sq_fail(s, "inode table", SQFS_ERROR_OUT_OF_BOUNDS);
	reader = kv_sq_reader(s, &s->inode_table, ref >> 16);
	e = reader ? sqfs_meta_reader_read_inode(reader, &s->super, ref >> 16, ref & 0xffff, &inode)
		   : SQFS_ERROR_ALLOC;
	if (e)
		return kv_sq_fail(s, "inode table", e);
	sqfs_free(s->inodes[s->next_inode].inode);
	s->inodes[s->next_inode].ref = ref;
	s->inodes[s->next_inode].inode = inode;
	s->next_inode = (s->next_inode + 1) % KV_SQ_INODES;
	*ret = inode;
	return 0;
}

sqfs_meta_reader_t *kv_sq_reader(struct kv_sq *s, struct kv_sq_meta *m, uint64_t place)
{
	sqfs_meta_reader_t **r =
		&m->readers[place * UINT64_C(0x9e3779b97f4a7c15) >> 59 & (KV_SQ_READERS - 1)];

	if (!*r)
		*r = sqfs_meta_reader_create(&s->file, s->cmp, m->start, m->end);
	return *r;
}

/* A table is a row of metadata blocks of 8 KiB; where each lies, a list says. */
int kv_sq_table_entry(struct kv_sq *s, struct kv_sq_table *t, uint32_t i, void *ret)
{
	uint32_t per_block = SQFS_META_BLOCK_SIZE / t->size, block = i / per_block;
	uint8_t place[8];
	int e;

	if (i >= t->count || t->list >= s->source.size)
		return SQFS_ERROR_OUT_OF_BOUNDS;
	if (!t->known || t->block != block) {
		t->known = false;
		e = file_read(&s->file, t->list + (uint64_t)block * 8, place, sizeof(place));
		if (e)
			return e;
		kv_span_u64((struct kv_span){ place, 8 }, 0, false, &t->at);
		t->block = block;
		t->known = true;
	}
	e = sqfs_meta_reader_seek(t->reader, t->at, i % per_block * t->size);
	return e ? e : sqfs_meta_reader_read(t->reader, ret, t->size);
}

/* ---- opening ---- */

static int open_super(struct kv_sq *s)
{
	static char cut[200];
	int e = sqfs_super_read(&s->super, &s->file);

	switch (e) {
	case 0:
		break;
	case SFQS_ERROR_SUPER_MAGIC:
	case SQFS_ERROR_SUPER_BLOCK_SIZE:
		return kv_sq_fail(s, "superblock", SQFS_ERROR_CORRUPTED);
	case SFQS_ERROR_SUPER_VERSION:
		s->why = "a squashfs image of a version other than 4.0";
		return -ENOTSUP;
	default:
		return kv_sq_fail(s, "superblock", e);
	}
	if (s->super.bytes_used <= s->source.size)
		return 0;
	snprintf(cut, sizeof(cut),
		 "damaged squashfs image: cut short, %llu of its %llu bytes are there",
		 (unsigned long long)s->source.size, (unsigned long long)s->super.bytes_used);
	s->why = cut;
	return -EIO;
}

static int open_tables(struct kv_sq *s)
{
	const sqfs_super_t *super = &s->super;
	uint64_t end = super->id_table_start;

	/* The directory table ends where the next table that the image has begins. */
	if (super->fragment_table_start < end)
		end = super->fragment_table_start;
	if (super->export_table_start < end)
		end = super->export_table_start;
	s->inode_table.start = super->inode_table_start;
	s->inode_table.end = super->directory_table_start;
	s->dir_table.start = super->directory_table_start;
	s->dir_table.end = end;
	s->owners = (struct kv_sq_table){ .list = super->id_table_start,
					  .count = super->id_count,
					  .size = sizeof(uint32_t) };
	s->fragments = (struct kv_sq_table){ .list = super->fragment_table_start,
					     .count = super->fragment_entry_count,
					     .size = sizeof(sqfs_fragment_t) };
	s->owners.reader =
		sqfs_meta_reader_create(&s->file, s->cmp, sizeof(*super), super->bytes_used);
	s->fragments.reader =
		sqfs_meta_reader_create(&s->file, s->cmp, sizeof(*super), super->bytes_used);
	s->packed = malloc(super->block_size);
	if (!s->owners.reader || !s->fragments.reader || !s->packed)
		return kv_sq_fail(s, "superblock", SQFS_ERROR_ALLOC);
	return 0;
}

static int open_all(struct kv_sq *s)
{
	sqfs_inode_generic_t *root;
	int e = open_super(s);

	if (e < 0)
		return e;
	e = kv_sq_compressor(&s->super, &s->cmp);
	if (e) {
		s->why = "a squashfs image with a compression that kvpath does not know";
		return -ENOTSUP;
	}
	e = open_tables(s);
	if (e == 0)
		e = kv_sq_inode_at(s, s->super.root_inode_ref, &root);
	if (e == 0 && !S_ISDIR(root->base.mode))
		e = kv_sq_fail(s, "root", SQFS_ERROR_CORRUPTED);
	return e;
}

int kv_sq_open(const struct kv_sq_source *source, struct kv_sq **ret, uint64_t *ret_root,
	       const char **ret_why)
{
	struct kv_sq *s = calloc(1, sizeof(*s));
	int e;

	*ret_why = "there is no memory left";
	if (!s)
		return -ENOMEM;
	s->file = (sqfs_file_t){ .base.destroy = file_destroy,
				 .read_at = file_read,
				 .write_at = file_write,
				 .get_size = file_size,
				 .truncate = file_truncate };
	s->source = *source;
	e = open_all(s);
	if (e < 0) {
		*ret_why = s->why;
		kv_sq_close(s);
		return e;
	}
	*ret = s;
	*ret_root = s->super.root_inode_ref;
	return 0;
}

void kv_sq_close(struct kv_sq *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < KV_SQ_INODES; i++)
		sqfs_free(s->inodes[i].inode);
	for (unsigned i = 0; i < KV_SQ_BLOCKS; i++)
		free(s->blocks[i].bytes);
	for (unsigned i = 0; i < KV_SQ_READERS; i++) {
		sqfs_destroy(s->inode_table.readers[i]);
		sqfs_destroy(s->dir_table.readers[i]);
	}
	sqfs_destroy(s->owners.reader);
	sqfs_destroy(s->fragments.reader);
	sqfs_destroy(s->cmp);
	free(s->ahead.skip);
	free(s->packed);
	free(s);
}
