/* The target of a recording: what it was, how it was looked at, and a root that answers as it did
 * (docs/recording.md). */
#ifndef KV_INSPECT_RECORDING_H
#define KV_INSPECT_RECORDING_H

#include "inspect/facts.h"
#include "root/image.h"

#define KV_RECORDED_TARGET KV_RECORDING_TARGET
#define KV_RECORDED_SOURCE "kvpath-source" /* and its number */

struct kv_recording {
	struct kv_root *root; /* the target */
	const char *version;  /* of the kvpath that made it */
	const char *format;   /* of the image that it was; NULL */
	const char *backend;  /* the options that were in effect */
	bool live, image, vram;
	unsigned cpu_level;
	const char *cwd;     /* in which its image starts processes; NULL */
	const char *stopped; /* of the walk */
	const char *stopped_at;
	kv_source_dirs sources;
};

/* Whether the files are a recording that has a target. */
bool kv_recording_is(struct kv_root *files);
/* files stays the caller's, to be closed last. */
int kv_recording_open(struct kv_arena *a, struct kv_root *files, struct kv_recording *ret,
		      struct kv_err *err);

#endif
