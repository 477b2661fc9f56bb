/*
 * A tree of layers that lie in tar archives: an image. Reads each layer once, from the lowest on,
 * and answers from the merged tree then; bytes of files come from the archives or the spool.
 */
#ifndef KV_ROOT_STACK_H
#define KV_ROOT_STACK_H

#include "root/layers.h"

struct kv_stack_layer {
	struct kv_blob blob;
	const char *name; /* for messages */
};

typedef KV_VEC(struct kv_stack_layer) kv_stack_layers;

/* The blobs' fds stay the caller's, who closes them after the stack. */
struct kv_stack;

int kv_stack_open(struct kv_arena *a, const kv_stack_layers *layers, struct kv_stack **ret,
		  struct kv_err *err);
void kv_stack_close(struct kv_stack *s);
struct kv_layers *kv_stack_tree(struct kv_stack *s);
int kv_stack_open_file(struct kv_stack *s, const char *rel, struct kv_file **ret);
/* What went wrong when bytes were read; NULL. */
const char *kv_stack_fault(const struct kv_stack *s);

#endif
