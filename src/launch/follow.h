/*
 * The workers' logs while they grow. A log is judged as kvpath log does it, anew whenever it has
 * lines of another kind than before; each finding is told once for each log.
 */
#ifndef KV_LAUNCH_FOLLOW_H
#define KV_LAUNCH_FOLLOW_H

#include "rules/log.h"

struct kv_followed {
	const char *name, *path; /* of the step; of its log */
	int fd;
	struct kv_log_stream stream;
	size_t kinds;       /* of lines that it had when it was judged */
	uint64_t judged_ns; /* when that was */
	kv_strv told;       /* ids of the findings that were told */
};

struct kv_follow {
	struct kv_arena *arena;
	const char *backend; /* the one that is wanted */
	struct kv_log log;
	KV_VEC(struct kv_followed) files;
};

typedef void kv_follow_tell(void *arg, const char *name, const struct kv_finding *finding);

void kv_follow_init(struct kv_follow *f, struct kv_arena *a, const char *backend);
void kv_follow_add(struct kv_follow *f, const char *name, const char *path);
/* Reads what is new. A log is judged every two seconds at most; last: in any case. */
void kv_follow_read(struct kv_follow *f, bool last, kv_follow_tell *tell, void *arg);
void kv_follow_close(struct kv_follow *f);

/* The last lines of a file, at most n of them. */
void kv_tail(struct kv_arena *a, const char *path, size_t n, kv_strv *ret);

#endif
