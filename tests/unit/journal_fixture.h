/* What the journal's tests share: a tree, what it looked like, and calls that must succeed or must
 * not. */
#ifndef KV_TEST_JOURNAL_FIXTURE_H
#define KV_TEST_JOURNAL_FIXTURE_H

#include "journal_tree.h"

struct fixture {
	struct jtree t;
	struct kv_arena *a;
	struct kv_err err;
	char *before;
};

int jfix_setup(void **state);
int jfix_teardown(void **state);
/* Fails the test with f->err where r is an error. */
void jfix_must(struct fixture *f, int r);
/* The plan of jtree_ops. */
void jfix_apply(struct fixture *f);
/* The tree, KV_STATE_DIR included, still looks like want. */
void jfix_unchanged(struct fixture *f, const char *want, const char *where);
/* Takes back `want` operations, and all is as before. */
void jfix_undo(struct fixture *f, size_t want);
void jfix_text_is(struct fixture *f, const char *path, const char *want);
/* A plan of one operation; text: content or link. */
int jfix_apply_one(struct fixture *f, enum kv_op_kind kind, const char *path, const char *text);
/* r is this error, and the message names the path. */
void jfix_refused(struct fixture *f, int r, int code, const char *named);
/* undo is refused like that, and changes nothing. */
void jfix_stops_at(struct fixture *f, int code, const char *named);

#define JFIX(f) cmocka_unit_test_setup_teardown(f, jfix_setup, jfix_teardown)

#endif
