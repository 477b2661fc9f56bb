/* A root that answers from notes, as another root answered when they were taken (notes.h). */
#ifndef KV_ROOT_REPLAY_H
#define KV_ROOT_REPLAY_H

#include "root/root.h"

struct kv_replay {
	struct kv_root *files; /* the recording; stays the caller's and is closed after */
	const char *below;     /* where in it the files' bytes are */
	const char *lines;     /* the notes */
	bool live;             /* it was the running system's own root */
	const char *format;    /* as kv_root_format() shall say: it can be read only */
};

/* -EPROTO where the notes make no sense; err names the line. */
int kv_replay_open(struct kv_arena *a, const struct kv_replay *from, struct kv_root **ret,
		   struct kv_err *err);

#endif
