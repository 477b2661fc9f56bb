/*
 * Crash tests of the journal: the process ends in place of its k-th change of the target, for every
 * k; the recovery ends in place of its first, second, ... change likewise; what it leaves in the
 * end is the tree as it was, to the inode. The same with errors in place of ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/wait.h>

#include "journal_tree.h"

#define MAX_POINTS 1000

/* Every how many changes the process ends: KVPATH_CRASH_STRIDE, where each takes too long. */
static unsigned stride = 1;

enum call { APPLY, APPLY2, UNDO, RECOVER };

/* How the file system or the kernel differs. */
static const struct variant {
	const char *name;
	enum jtree_shape shape;
	bool again; /* crashes of the recovery as well: slow, so elsewhere at some points only */
	struct kv_tree_test test;
} variants[] = {
	{ "usual", JTREE_USUAL, true, { 0 } },
	{ "no /var", JTREE_NO_VAR, false, { 0 } },
	{ "state directory exists", JTREE_HAS_STATE, false, { 0 } },
	{ "no openat2", JTREE_USUAL, false, { .no_openat2 = true } },
	{ "no hard links", JTREE_USUAL, false, { .no_link = true } },
	{ "state on another device", JTREE_NO_VAR, false, { .link_exdev = true } },
	{ "no O_TMPFILE", JTREE_USUAL, false, { .no_tmpfile = true, .no_rename_flags = true } },
	{ "nothing",
	  JTREE_USUAL,
	  false,
	  { .no_openat2 = true,
	    .no_link = true,
	    .link_exdev = true,
	    .no_tmpfile = true,
	    .no_rename_flags = true } },
};

static int do_call(enum call call, const struct jtree *t, struct kv_err *err)
{
	struct kv_arena *a = kv_arena_new();
	kv_ops ops = { 0 };
	size_t undone;
	bool did;
	int r;

	switch (call) {
	case APPLY:
		jtree_ops(a, t, &ops);
		r = kv_journal_apply(t->root, &ops, NULL, err);
		break;
	case APPLY2:
		jtree_ops2(a, &ops);
		r = kv_journal_apply(t->root, &ops, NULL, err);
		break;
	case UNDO:
		r = kv_journal_undo(t->root, NULL, &undone, err);
		break;
	default:
		r = kv_journal_recover(t->root, &did, err);
	}
	kv_arena_free(a);
	return r;
}

static void must(enum call call, const struct jtree *t, const char *where)
{
	struct kv_err err = { 0 };

	if (do_call(call, t, &err) < 0)
		fail_msg("%s: %s", where, err.msg);
}

/* Runs call, ending in place of its k-th change. True where it came through. */
static bool crash(enum call call, const struct jtree *t, unsigned k, const char *where)
{
	struct kv_err err = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		kv_tree_test.steps = 0;
		kv_tree_test.stop_at = k;
		_exit(do_call(call, t, &err) < 0 ? (fprintf(stderr, "%s: %s\n", where, err.msg), 1)
						 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KV_TREE_STOPPED);
	return WEXITSTATUS(status) == 0;
}

/* Recovery that ends early again and again, each time a change later. */
static void recover_with_crashes(const struct jtree *t, const char *where)
{
	for (unsigned k = 1; !crash(RECOVER, t, k, where); k++)
		assert_true(k < MAX_POINTS);
	must(RECOVER, t, where);
}

static void same(const struct jtree *t, const char *want, bool skip_state, const char *where)
{
	char *have = jtree_manifest(t, skip_state);

	jtree_same(want, have, where);
	free(have);
}

/* With hard links at hand, whoever looks while a file is replaced sees the old one or the new one.
 */
static void never_missing(const struct jtree *t, const char *where)
{
	static const char *const replaced[] = { "usr/lib/_api.py", "usr/lib/libfabric.so.1",
						"usr/lib/tool", "usr/lib/dangling" };
	struct stat st;

	for (size_t i = 0; i < KV_ARRAY_SIZE(replaced); i++)
		if (fstatat(t->root, replaced[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			fail_msg("%s: no %s", where, replaced[i]);
}

static bool one_apply(const struct variant *v, unsigned k, bool again)
{
	struct jtree t;
	char where[128], *before;
	bool done;

	snprintf(where, sizeof(where), "%s: apply ended at %u", v->name, k);
	jtree_make(&t, v->shape);
	before = jtree_manifest(&t, false);
	done = crash(APPLY, &t, k, where);
	if (!v->test.no_link)
		never_missing(&t, where);
	if (!done) {
		if (again)
			recover_with_crashes(&t, where);
		else
			must(RECOVER, &t, where);
		same(&t, before, false, where);
		must(APPLY, &t, where);
	}
	must(UNDO, &t, where);
	same(&t, before, false, where);
	free(before);
	jtree_drop(&t);
	return done;
}

/* Ends at every k of every variant, until one is beyond the last change. */
static void end_everywhere(const char *what, bool (*end_at)(const struct variant *v, unsigned k),
			   unsigned at_least)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(variants); i++) {
		unsigned k = 1;

		kv_tree_test = variants[i].test;
		while (!end_at(&variants[i], k)) {
			k += stride;
			assert_true(k < MAX_POINTS);
		}
		print_message("%s, %s: %u crash points\n", what, variants[i].name,
			      (k - 1) / stride);
		assert_true(k + stride > at_least);
	}
	kv_tree_test = (struct kv_tree_test){ 0 };
}

/* Whether the plan was through before its k-th change. */
static bool apply_at(const struct variant *v, unsigned k)
{
	bool done = one_apply(v, k, /* again= */ false);

	if (!done && (v->again || k % 8 == (size_t)(v - variants)))
		one_apply(v, k, /* again= */ true);
	return done;
}

static void apply_ended(void **state)
{
	(void)state;
	end_everywhere("apply", apply_at, 30);
}

static bool undo_at(const struct variant *v, unsigned k)
{
	struct jtree t;
	char where[128], *before, *after, *have;
	bool done;

	snprintf(where, sizeof(where), "%s: undo ended at %u", v->name, k);
	jtree_make(&t, v->shape);
	before = jtree_manifest(&t, false);
	must(APPLY, &t, where);
	must(APPLY2, &t, where);
	after = jtree_manifest(&t, true);
	done = crash(UNDO, &t, k, where);
	if (!done) {
		if (v->again || k % 4 == 0)
			recover_with_crashes(&t, where);
		else
			must(RECOVER, &t, where);
		have = jtree_manifest(&t, true);
		/* Before the UNDO record is on the disk, nothing has happened. */
		if (strcmp(have, after) == 0)
			must(UNDO, &t, where);
		free(have);
	}
	same(&t, before, false, where);
	free(before);
	free(after);
	jtree_drop(&t);
	return done;
}

static void undo_ended(void **state)
{
	(void)state;
	end_everywhere("undo of two plans", undo_at, 20);
}

/* The second plan goes, the first stays. */
static void second_apply_ended(void **state)
{
	bool done = false;
	unsigned k;

	(void)state;
	for (k = 1; !done; k += stride) {
		char where[64], *before, *between;
		struct jtree t;

		snprintf(where, sizeof(where), "second apply ended at %u", k);
		jtree_make(&t, JTREE_USUAL);
		before = jtree_manifest(&t, false);
		must(APPLY, &t, where);
		between = jtree_manifest(&t, true);
		done = crash(APPLY2, &t, k, where);
		if (!done) {
			recover_with_crashes(&t, where);
			same(&t, between, true, where);
		}
		must(UNDO, &t, where);
		same(&t, before, false, where);
		free(before);
		free(between);
		jtree_drop(&t);
	}
	print_message("second apply: %u crash points\n", (k - 2) / stride);
	assert_true(k > 20);
}

/* Someone changes a file between the crash and the recovery: theirs is not overwritten. */
static void foreign_after_crash(void **state)
{
	unsigned stopped = 0;

	(void)state;
	for (unsigned k = 30; k < 70; k++) {
		struct kv_err err = { 0 };
		char where[64];
		struct jtree t;
		struct stat st;

		snprintf(where, sizeof(where), "foreign change after %u", k);
		jtree_make(&t, JTREE_USUAL);
		assert_false(crash(APPLY, &t, k, where));
		assert_int_equal(renameat(t.root, "usr/lib/_api.py", t.root, "ours"), 0);
		jtree_write(&t, "/usr/lib/_api.py", "foreign", 0640);
		if (do_call(RECOVER, &t, &err) < 0) {
			assert_int_equal(err.code, -ESTALE);
			assert_non_null(strstr(err.msg, "/usr/lib/_api.py"));
			assert_int_equal(renameat(t.root, "ours", t.root, "usr/lib/_api.py"), 0);
			must(RECOVER, &t, where);
			stopped++;
		}
		/* The old file, or the foreign one where ours was not begun or is none of its
		 * business. */
		assert_int_equal(fstatat(t.root, "usr/lib/_api.py", &st, 0), 0);
		assert_true(st.st_size == 7 || st.st_size == 18);
		jtree_drop(&t);
	}
	assert_true(stopped > 5);
}

static void one_error(unsigned k, int code, bool on, bool *ret_done)
{
	struct kv_err err = { 0 };
	char where[64], *before;
	struct jtree t;
	int r;

	snprintf(where, sizeof(where), "error %d at %u", code, k);
	jtree_make(&t, JTREE_NO_VAR);
	before = jtree_manifest(&t, false);
	kv_tree_test = (struct kv_tree_test){ .fail_at = k, .fail_errno = code, .fail_on = on };
	r = do_call(APPLY, &t, &err);
	*ret_done = kv_tree_test.steps < k;
	kv_tree_test = (struct kv_tree_test){ 0 };
	if (r < 0) {
		assert_true(err.msg[0] && err.code == r);
		if (on)
			must(RECOVER, &t, where);
		/* Rolled back at once, unless that failed as well. */
		same(&t, before, false, where);
	} else {
		/* An error with a way around it: still whole, and still to be undone. */
		must(UNDO, &t, where);
		same(&t, before, false, where);
	}
	free(before);
	jtree_drop(&t);
}

static void apply_fails(void **state)
{
	static const int codes[] = { ENOSPC, EIO, EPERM, EROFS };

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(codes); i++) {
		bool done = false;

		for (unsigned k = 1; !done; k += stride) {
			assert_true(k < MAX_POINTS);
			one_error(k, codes[i], /* on= */ false, &done);
			one_error(k, codes[i], /* on= */ true, &done);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apply_ended),        cmocka_unit_test(undo_ended),
		cmocka_unit_test(second_apply_ended), cmocka_unit_test(foreign_after_crash),
		cmocka_unit_test(apply_fails),
	};
	const char *every = getenv("KVPATH_CRASH_STRIDE");

	if (every && atoi(every) > 0)
		stride = (unsigned)atoi(every);
	return cmocka_run_group_tests_name("journal crash", tests, NULL, NULL);
}
