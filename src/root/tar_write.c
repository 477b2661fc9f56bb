/*
 * ustar, with GNU's members of type L and K before one whose name or link is longer than the 100
 * bytes of the header: links of /sys are. Every tar of the last thirty years reads both.
 */
#include "root/tar_write.h"

#define BLOCK 512

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100],
		magic[8], uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

static void add_header(struct kv_buf *tar, const char *name, char type, unsigned mode, size_t size,
		       const char *link)
{
	struct header h = { 0 };
	unsigned sum = 0;

	/* A name that does not fit stands in full in the member before. */
	memcpy(h.name, name, strnlen(name, sizeof(h.name)));
	memcpy(h.link, link, strnlen(link, sizeof(h.link)));
	snprintf(h.mode, sizeof(h.mode), "%07o", mode);
	snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	snprintf(h.size, sizeof(h.size), "%011zo", size);
	snprintf(h.mtime, sizeof(h.mtime), "%011o", 0);
	h.type = type;
	memcpy(h.magic, "ustar  ", sizeof(h.magic)); /* GNU's, as L and K are */
	memset(h.sum, ' ', sizeof(h.sum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const unsigned char *)&h)[i];
	snprintf(h.sum, sizeof(h.sum), "%06o", sum);
	kv_buf_add(tar, &h, sizeof(h));
}

static void add_bytes(struct kv_buf *tar, struct kv_span bytes)
{
	static const char zeros[BLOCK];
	size_t over = bytes.n % BLOCK;

	kv_buf_add(tar, bytes.p, bytes.n);
	if (over)
		kv_buf_add(tar, zeros, BLOCK - over);
}

static void add_long(struct kv_buf *tar, char type, const char *text)
{
	struct kv_span bytes = { (const uint8_t *)text, strlen(text) + 1 };

	if (strlen(text) <= sizeof(((struct header *)NULL)->name))
		return;
	add_header(tar, "././@LongLink", type, 0644, bytes.n, "");
	add_bytes(tar, bytes);
}

void kv_tar_add(struct kv_buf *tar, const char *name, mode_t type, struct kv_span bytes)
{
	const char *link = type == S_IFLNK ? (const char *)bytes.p : "";
	bool file = type == S_IFREG;

	add_long(tar, 'L', name);
	add_long(tar, 'K', link);
	add_header(tar, name,
		   file              ? '0'
		   : type == S_IFDIR ? '5'
				     : '2',
		   file ? 0644 : 0755, file ? bytes.n : 0, link);
	if (file)
		add_bytes(tar, bytes);
}

void kv_tar_end(struct kv_buf *tar)
{
	static const char zeros[2 * BLOCK];

	kv_buf_add(tar, zeros, sizeof(zeros));
}
