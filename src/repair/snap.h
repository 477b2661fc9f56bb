/*
 * What is at a path: enough of it to tell whether it is still the same. Taken with the parent's fd,
 * without following the last component, and without moving a file's access time where that is
 * allowed.
 */
#ifndef KV_REPAIR_SNAP_H
#define KV_REPAIR_SNAP_H

#include "repair/tree_fd.h"

enum kv_snap_type {
	KV_SNAP_ABSENT,
	KV_SNAP_FILE,
	KV_SNAP_SYMLINK,
	KV_SNAP_DIR,
	KV_SNAP_OTHER, /* device, socket, pipe: never touched */
	_KV_SNAP_COUNT,
};

struct kv_snap {
	enum kv_snap_type type;
	uint32_t mode, uid, gid;
	uint64_t size;
	struct timespec times[2];   /* access, modification */
	char sha256[KV_SHA256_HEX]; /* FILE */
	const char *link;           /* SYMLINK */
};

/* path is for messages. Memory from a. */
int kv_snap_take(struct kv_arena *a, int dir, const char *name, const char *path,
		 struct kv_snap *ret, struct kv_err *err);
/* NULL where both are the same but for times, else what differs, in words. */
const char *kv_snap_diff(const struct kv_snap *x, const struct kv_snap *y);
/* What is there in a word: a file's SHA-256, "-> TEXT" of a symlink, "absent", "other". */
const char *kv_snap_word(struct kv_arena *a, const struct kv_snap *s);
/* Opens a regular file for reading without moving its access time where that is allowed. fd or
 * -errno. */
int kv_snap_open(int dir, const char *name);

#endif
