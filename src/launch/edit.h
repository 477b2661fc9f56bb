/* Changes of a text that leave all other bytes of it as they are, and how they look as a diff. */
#ifndef KV_LAUNCH_EDIT_H
#define KV_LAUNCH_EDIT_H

#include "base/base.h"

/* The bytes from start to end become text. */
struct kv_edit {
	size_t start, end;
	const char *text; /* NULL: no edit */
};

typedef KV_VEC(struct kv_edit) kv_edits;

/* By place; of those that overlap the first alone stays, of equal ones one. */
void kv_edits_settle(kv_edits *e);
struct kv_span kv_edits_apply(struct kv_arena *a, struct kv_span text, const kv_edits *e);

/*
 * A unified diff of what the edits do. No line of it is one that `hides` names; returns how many
 * places could not be shown for that.
 */
size_t kv_edits_diff(FILE *out, const char *path, struct kv_span text, const kv_edits *e,
		     bool (*hides)(const void *ctx, struct kv_span line, unsigned number),
		     const void *ctx);

#endif
