/*
 * A repair as data: an ordered list of operations on a target's files. Made by plan.c, verified on
 * the loader's model, then carried out and taken back by journal.c. Nothing else writes into a
 * target.
 */
#ifndef KV_REPAIR_PLAN_H
#define KV_REPAIR_PLAN_H

#include "base/base.h"

enum kv_op_kind {
	KV_OP_MKDIR,   /* path must not exist */
	KV_OP_FILE,    /* creates path, or replaces the regular file or symlink that is there */
	KV_OP_SYMLINK, /* likewise */
	KV_OP_REMOVE,  /* a regular file or symlink; it must exist */
	_KV_OP_COUNT,
};

struct kv_op {
	enum kv_op_kind kind;
	/* Absolute path in the target; its parents are real directories, never symlinks. */
	const char *path;
	/* MKDIR and new FILE: permission bits. A FILE that replaces a regular file keeps that
	 * file's mode, owner and extended attributes. New entries belong to the owner of the
	 * directory they are in. */
	uint32_t mode;
	/* SYMLINK: the link's text. */
	const char *link;
	/* FILE: the bytes, or, where source_fd >= 0, a copy of what that (regular, readable) fd
	 * holds; the fd stays the planner's. */
	struct kv_span content;
	int source_fd;
	const char *source; /* the host's path of what source_fd holds; NULL */
	/* What was seen at path when this was planned, in kv_snap_word()'s words; NULL where that
	 * does not matter. Anything else there stops the plan. */
	const char *was;
	/* One line for a person: what this step is for. */
	const char *why;
};

typedef KV_VEC(struct kv_op) kv_ops;

#endif
