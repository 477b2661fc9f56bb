/* See journal_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal_fixture.h"

int jfix_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	kv_tree_test = (struct kv_tree_test){ 0 };
	f->a = kv_arena_new();
	jtree_make(&f->t, JTREE_USUAL);
	f->before = jtree_manifest(&f->t, false);
	*state = f;
	return 0;
}

int jfix_teardown(void **state)
{
	struct fixture *f = *state;

	jtree_drop(&f->t);
	kv_arena_free(f->a);
	free(f->before);
	free(f);
	return 0;
}

void jfix_must(struct fixture *f, int r)
{
	if (r < 0)
		fail_msg("%s", f->err.msg);
}

void jfix_apply(struct fixture *f)
{
	kv_ops ops = { 0 };

	jtree_ops(f->a, &f->t, &ops);
	jfix_must(f, kv_journal_apply(f->t.root, &ops, NULL, &f->err));
}

void jfix_unchanged(struct fixture *f, const char *want, const char *where)
{
	char *have = jtree_manifest(&f->t, false);

	jtree_same(want, have, where);
	free(have);
}

void jfix_undo(struct fixture *f, size_t want)
{
	size_t undone = 99;

	jfix_must(f, kv_journal_undo(f->t.root, NULL, &undone, &f->err));
	assert_int_equal(undone, want);
	jfix_unchanged(f, f->before, "undo");
}

void jfix_text_is(struct fixture *f, const char *path, const char *want)
{
	char text[256];
	int fd = open(jtree_host(&f->t, path), O_RDONLY | O_NOATIME);
	ssize_t n = read(fd, text, sizeof(text));

	close(fd);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(text, want, n);
}

int jfix_apply_one(struct fixture *f, enum kv_op_kind kind, const char *path, const char *text)
{
	struct kv_op op = {
		.kind = kind, .path = path, .mode = 0755, .link = text, .source_fd = -1
	};
	kv_ops ops = { .v = &op, .n = 1, .cap = 1 };

	op.content = (struct kv_span){ (const uint8_t *)text, text ? strlen(text) : 0 };
	return kv_journal_apply(f->t.root, &ops, NULL, &f->err);
}

void jfix_refused(struct fixture *f, int r, int code, const char *named)
{
	assert_int_equal(r, code);
	assert_int_equal(f->err.code, code);
	if (!strstr(f->err.msg, named))
		fail_msg("'%s' does not name %s", f->err.msg, named);
}

void jfix_stops_at(struct fixture *f, int code, const char *named)
{
	size_t undone;
	char *changed = jtree_manifest(&f->t, true), *have;

	jfix_refused(f, kv_journal_undo(f->t.root, NULL, &undone, &f->err), code, named);
	have = jtree_manifest(&f->t, true);
	jtree_same(changed, have, "refused undo");
	free(changed);
	free(have);
}
