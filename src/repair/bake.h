/*
 * A repair of an image: what kv_journal_apply() would leave in the tree that the image is unpacked
 * to, journal and backups included, so that `kvpath undo` works on what a baked image is unpacked
 * to. It is as if root had unpacked, repaired and packed it: everything can belong to anybody.
 */
#ifndef KV_REPAIR_BAKE_H
#define KV_REPAIR_BAKE_H

#include "repair/plan.h"
#include "root/root.h"
#include "root/squash_edit.h"

struct kv_gen;

struct kv_bake {
	kv_edits edits;
	struct kv_gen *gen;
};

/*
 * image: the image alone, without mounts. The contents in ops stay the planner's. -EBUSY where the
 * image holds a repair that was interrupted.
 */
int kv_bake_plan(struct kv_arena *a, struct kv_root *image, const kv_ops *ops, struct kv_bake *ret,
		 struct kv_err *err);
/* Whether the baked image has what the plan says. -ESTALE where a path differs, naming it. */
int kv_bake_verify(struct kv_root *baked, const struct kv_bake *b, struct kv_err *err);

#endif
