/*
 * A squashfs image that differs from another one in a few paths. What did not change is copied as
 * it is, data and tables; what did is appended, as mksquashfs does when it appends to an image:
 *
 *   superblock | data of the old image | data of new files | inodes | directories | other tables
 *
 * The tables are rows of blocks of 8 KiB, each compressed on its own. Those that are full keep
 * their place and bytes; the last one is opened, and behind what it has come the inodes and lists
 * of what is new, and of each directory on the way down to it, whose list names another inode now.
 * A directory keeps its number, as those below it name it. (Linux, Documentation/filesystems/
 * squashfs.rst; squashfs_fs.h.)
 */
#ifndef KV_ROOT_SQUASH_EDIT_H
#define KV_ROOT_SQUASH_EDIT_H

#include "base/base.h"

enum kv_edit_kind {
	KV_EDIT_DIR,    /* a new directory */
	KV_EDIT_FILE,   /* a regular file, new or in the place of a file or link */
	KV_EDIT_LINK,   /* a symlink, likewise */
	KV_EDIT_NAME,   /* a new name of what the old image has at `text` */
	KV_EDIT_REMOVE, /* the name goes */
	_KV_EDIT_COUNT,
};

struct kv_edit {
	enum kv_edit_kind kind;
	const char *path; /* absolute; its parents are directories, of the image or made before */
	uint32_t mode, uid, gid;
	const char *text; /* LINK, NAME */
	/* FILE: the bytes, or where source_fd >= 0 what that fd holds. */
	struct kv_span content;
	int source_fd;
	bool keep_xattrs; /* FILE: those of the file that it replaces */
};

typedef KV_VEC(struct kv_edit) kv_edits;

struct kv_squash_edit {
	struct kv_arena *arena;
	int image, out; /* readable; empty and writable */
	const kv_edits *edits;
	uint32_t now; /* the time of what is new */
	/* Called now and then while the old image is copied; may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

/*
 * Writes the new image. 0, or -errno and one line of what is wrong, without the image's path;
 * out's content is undefined then.
 */
int kv_squash_edit(const struct kv_squash_edit *e, struct kv_err *err);

/* Copies n bytes of one file to the same place in another, sharing them where both file systems
 * can. */
int kv_squash_copy(const struct kv_squash_edit *e, uint64_t n, struct kv_err *err);

#endif
