/*
 * A generation: one plan as it stands in the journal, with what was there before and what is there
 * after each step. Directory KV_STATE_DIR/NNNNNN, file `journal` in it:
 *   {"rec":"plan","version":1,"tag":T}   T: hex, part of the temporary names
 *   {"rec":"step","op":..,"path":..,"pre":SNAP,"post":SNAP}   in order
 *   {"rec":"dir","path":..,"atime":..,"mtime":..}   each directory that existed before and is
 * touched
 *   {"rec":"ready"}    nothing was touched before this was on disk
 *   {"rec":"commit"}   everything is in place
 * The old entry of step N is kept as `old.N` beside the journal; where that is another file system,
 * under a hidden name in its own directory. New entries are made under a hidden name as well.
 */
#ifndef KV_REPAIR_GEN_H
#define KV_REPAIR_GEN_H

#include "repair/state.h"

struct kv_step {
	enum kv_op_kind kind;
	const char *path;
	struct kv_snap pre, post;
	const char *temp;   /* beside path: the new entry while it is made */
	const char *aside;  /* beside path: the old entry, where backup cannot hold it */
	const char *backup; /* in the generation's directory: the old entry */
};

struct kv_touched {
	const char *path;
	struct timespec times[2];
};

struct kv_gen {
	unsigned number;
	char name[16];
	int dir, file;
	uint64_t file_size; /* good bytes of file */
	const char *tag;
	KV_VEC(struct kv_step) steps;
	KV_VEC(struct kv_touched) dirs;
	bool ready, committed;
};

typedef KV_VEC(unsigned) kv_gen_numbers;
typedef KV_VEC(struct kv_gen *) kv_gens;

/* Numbers of the generations in the state directory, ascending. */
int kv_gen_numbers_read(struct kv_arena *a, int state_dir, kv_gen_numbers *ret, struct kv_err *err);
/* All generations, oldest first. */
int kv_gen_load_all(struct kv_state *s, kv_gens *ret, struct kv_err *err);
void kv_gen_close_all(kv_gens *gens);

/* An empty one with a fresh tag. */
struct kv_gen *kv_gen_new(struct kv_arena *a);
struct kv_step *kv_gen_add_step(struct kv_arena *a, struct kv_gen *g);
/* Writes the generation and sees it onto the disk, READY included. */
int kv_gen_create(struct kv_state *s, struct kv_gen *g, struct kv_err *err);
int kv_gen_commit(struct kv_gen *g, struct kv_err *err);
/* Removes its directory, which must hold the journal alone. */
int kv_gen_delete(struct kv_state *s, struct kv_gen *g, struct kv_err *err);
void kv_gen_close(struct kv_gen *g);

/* What is in the tree that a plan is for, be it a directory's or an image's. */
struct kv_gen_view {
	void *arg;
	/* What is at path, whose parents are real directories; and such a directory itself. */
	int (*entry)(void *arg, const char *path, struct kv_snap *ret, struct kv_err *err);
	int (*dir)(void *arg, const char *path, struct kv_snap *ret, struct kv_err *err);
	bool all_owners; /* whether what is made can belong to anybody */
};

/* The view of a state's directory. */
struct kv_gen_view kv_gen_view(struct kv_state *s);
/* The generation that carries out ops, from what is there now; nothing is changed. */
int kv_gen_plan(struct kv_arena *a, const struct kv_gen_view *view, const kv_ops *ops,
		struct kv_gen *g, struct kv_err *err);
/* The journal's text up to READY; and the last record. */
int kv_gen_text(const struct kv_gen *g, struct kv_buf *ret);
int kv_gen_commit_text(struct kv_buf *ret);
/* Carries out step i, which op describes. */
int kv_gen_do(struct kv_state *s, struct kv_gen *g, size_t i, const struct kv_op *op,
	      struct kv_err *err);
/* Takes back whatever of the generation is in place, and removes it. Can be repeated. */
int kv_gen_revert(struct kv_state *s, struct kv_gen *g, struct kv_err *err);
/* 0 where everything is as the generations left it, but for what is at the paths in `forced`. */
int kv_gens_verify(struct kv_state *s, const kv_gens *gens, const kv_strv *forced,
		   struct kv_err *err);

#endif
