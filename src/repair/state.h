/*
 * The state directory of a target (KV_STATE_DIR): the lock, making the directory and removing it
 * again without a trace. In it:
 * - lock: locked while a kvpath works on the target; says which one.
 * - state: records. {"rec":"state"}: how many directories on the way kvpath made, and the times of
 *   the one above. {"rec":"undo","force":[..]}: from then on everything is taken back, whatever
 *   happens in between.
 * - 000001: one directory per applied plan, see gen.h.
 *
 * Making the directory changes its parent's times before there is a file to record them in, and
 * removing it does so after there is none. In between, the record is kept in an extended attribute
 * ("the guard") of that parent. Where the file system has no such attributes, a crash in just that
 * instant leaves an empty KV_STATE_DIR or the parent's new times behind.
 */
#ifndef KV_REPAIR_STATE_H
#define KV_REPAIR_STATE_H

#include "repair/journal.h"
#include "repair/record.h"

struct kv_state {
	struct kv_arena *a;
	int root; /* our own opening of the root; carries a flock */
	int dir;  /* KV_STATE_DIR; negative where nothing was ever applied */
	int lock, file;
	uint64_t file_size;       /* good bytes of file */
	unsigned made;            /* so many last components of KV_STATE_DIR are kvpath's */
	struct timespec times[2]; /* of the directory above those */
	bool undo;                /* taking back has begun */
	kv_strv forced;           /* paths that it takes back whatever is there now */
	bool unfinished;          /* kv_state_peek found an interrupted making or removal */
	bool finished;            /* opening it finished an interrupted making or removal */
	bool flocked;
	uint64_t deadline_ms, last_ms; /* for locks: of one other's work, of all others' */
};

/* None of it open. */
#define KV_STATE_CLOSED                                                                            \
	((struct kv_state){ .root = -EBADF, .dir = -EBADF, .lock = -EBADF, .file = -EBADF })

/* Locks the target and reads its state; finishes an interrupted making or removal first. */
int kv_state_open(struct kv_state *s, struct kv_arena *a, int root_fd, struct kv_err *err);
/* Opens the root alone, with the lock that keeps others from changing the target but not from
 * looking at it; where the file system has none, without. */
int kv_state_share(struct kv_state *s, struct kv_arena *a, int root_fd, struct kv_err *err);
/* Without lock, changing nothing; for reports. */
int kv_state_peek(struct kv_state *s, struct kv_arena *a, int root_fd, struct kv_err *err);
void kv_state_close(struct kv_state *s);

/* Makes the state directory unless it is there. */
int kv_state_make(struct kv_state *s, struct kv_err *err);
/* From then on everything is taken back, what is at the paths `forced` whatever it is. */
int kv_state_begin_undo(struct kv_state *s, const kv_strv *forced, struct kv_err *err);
/* Removes it when the last generation is gone. */
int kv_state_remove(struct kv_state *s, struct kv_err *err);

/* The state file's first record, from `made` and `times`. */
int kv_state_text(const struct kv_state *s, struct kv_buf *ret);

/* lock.c: waits for the target's locks. */
int kv_state_lock_root(struct kv_state *s, bool shared, struct kv_err *err);
int kv_state_lock_file(struct kv_state *s, struct kv_err *err);

#define _state_ __attribute__((cleanup(kv_state_close)))

#endif
