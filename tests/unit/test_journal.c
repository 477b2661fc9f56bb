/*
 * The journal: what apply leaves, what undo brings back, what stops them. Crashes are in
 * test_journal_crash.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "journal_fixture.h"

static void applies_and_undoes(void **state)
{
	struct fixture *f = *state;
	struct stat st, other;
	char value[8], text[64];

	jfix_apply(f);
	jfix_text_is(f, "/usr/lib/_api.py", "default = [\"LIBFABRIC\"]\n");
	jfix_text_is(f, "/cache/obj", "default = [\"UCX\"]\n");
	jfix_text_is(f, "/usr/lib/dangling", "now a file");
	jfix_text_is(f, "/opt/twice", "twice");
	assert_int_equal(lstat(jtree_host(&f->t, "/cache/obj"), &other), 0);
	assert_int_equal(lstat(jtree_host(&f->t, "/usr/lib/_api.py"), &st), 0);
	assert_int_not_equal(st.st_ino, other.st_ino);
	assert_int_equal(st.st_mode, other.st_mode);
	assert_int_equal(st.st_uid, other.st_uid);
	assert_int_equal(st.st_gid, other.st_gid);
	assert_int_equal(getxattr(jtree_host(&f->t, "/usr/lib/_api.py"), "user.kvtest", value, 8),
			 3);
	assert_int_equal(lstat(jtree_host(&f->t, "/usr/lib/new"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	/* New entries belong to the directory's owner. */
	assert_int_equal(st.st_uid, geteuid() == 0 ? 1234 : geteuid());
	assert_int_equal(readlink(jtree_host(&f->t, "/usr/lib/tool"), text, sizeof(text)), 8);
	assert_int_equal(lstat(jtree_host(&f->t, "/opt/kvpath"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(lstat(jtree_host(&f->t, "/opt/kvpath/fabric/libfabric.so.1.29"), &st), 0);
	assert_int_equal(st.st_size, 68000);
	assert_int_equal(lstat(jtree_host(&f->t, "/usr/lib/other"), &st), -1);
	assert_int_equal(lstat(jtree_host(&f->t, KV_STATE_DIR), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	jfix_undo(f, 12);
	jfix_undo(f, 0);
}

static void two_generations(void **state)
{
	struct fixture *f = *state;
	kv_ops ops = { 0 };

	jfix_apply(f);
	jtree_ops2(f->a, &ops);
	jfix_must(f, kv_journal_apply(f->t.root, &ops, NULL, &f->err));
	jfix_text_is(f, "/usr/lib/_api.py", "third\n");
	jfix_undo(f, 17);
}

static void foreign_change_stops_undo(void **state)
{
	struct fixture *f = *state;

	jfix_apply(f);
	jtree_write(&f->t, "/usr/lib/_api.py", "mine now", 0640);
	jfix_stops_at(f, -ESTALE, "/usr/lib/_api.py");
	jtree_write(&f->t, "/usr/lib/_api.py", "default = [\"LIBFABRIC\"]\n", 0600);
	jfix_stops_at(f, -ESTALE, "/usr/lib/_api.py");
	jtree_write(&f->t, "/usr/lib/_api.py", "default = [\"LIBFABRIC\"]\n", 0640);
	assert_int_equal(renameat(f->t.root, "usr/lib/new", f->t.root, "away"), 0);
	assert_int_equal(symlinkat("elsewhere", f->t.root, "usr/lib/new"), 0);
	jfix_stops_at(f, -ESTALE, "/usr/lib/new");
	assert_int_equal(renameat(f->t.root, "away", f->t.root, "usr/lib/new"), 0);
	jtree_write(&f->t, "/usr/lib/other", "removed by us, made by another", 0600);
	jfix_stops_at(f, -ESTALE, "/usr/lib/other");
	assert_int_equal(unlinkat(f->t.root, "usr/lib/other", 0), 0);
	jtree_write(&f->t, "/opt/kvpath/fabric/foreign", "x", 0600);
	jfix_stops_at(f, -ENOTEMPTY, "/opt/kvpath/fabric/foreign");
	assert_int_equal(unlinkat(f->t.root, "opt/kvpath/fabric/foreign", 0), 0);
	assert_int_equal(renameat(f->t.root, "var/lib/kvpath/000001/old.3", f->t.root, "away"), 0);
	jfix_stops_at(f, -ESTALE, "/usr/lib/_api.py");
	assert_int_equal(renameat(f->t.root, "away", f->t.root, "var/lib/kvpath/000001/old.3"), 0);
	/* "away" has moved the root's times. */
	assert_int_equal(utimensat(f->t.root, ".",
				   (struct timespec[2]){ { .tv_sec = 1 }, { .tv_sec = 2 } }, 0),
			 0);
	free(f->before);
	f->before = strdup("");
	jfix_must(f, kv_journal_undo(f->t.root, NULL, &(size_t){ 0 }, &f->err));
	assert_int_equal(faccessat(f->t.root, "var/lib/kvpath", F_OK, 0), -1);
	jfix_text_is(f, "/usr/lib/_api.py", "default = [\"UCX\"]\n");
}

static void refuses(void **state)
{
	struct fixture *f = *state;
	const char *const paths[] = {
		"/usr/../x", "/usr/./x", "//usr/x", "/usr//x", "/usr/x/",
		"usr/x",     "",         "/",       "/..",     "/usr/lib/link/../../x"
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(paths); i++)
		jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, paths[i], "x"), -EINVAL, paths[i]);
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, KV_STATE_DIR "/state", "x"), -EINVAL,
		     KV_STATE_DIR);
	jfix_refused(f, jfix_apply_one(f, KV_OP_MKDIR, "/usr", NULL), -EEXIST, "/usr");
	jfix_refused(f, jfix_apply_one(f, KV_OP_REMOVE, "/usr/none", NULL), -ENOENT, "/usr/none");
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/none/x", "x"), -ENOENT, "/none");
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/usr/lib", "x"), -EISDIR, "/usr/lib");
	jfix_refused(f, jfix_apply_one(f, KV_OP_REMOVE, "/usr/lib", NULL), -EISDIR, "/usr/lib");
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/usr/lib/tool/x", "x"), -ENOTDIR,
		     "/usr/lib/tool");
	jfix_unchanged(f, f->before, "refused operations");
	assert_int_equal(mkfifoat(f->t.root, "usr/fifo", 0600), 0);
	jfix_refused(f, jfix_apply_one(f, KV_OP_REMOVE, "/usr/fifo", NULL), -EEXIST, "/usr/fifo");
	kv_tree_test.fail_at = kv_tree_test.steps + 1;
	kv_tree_test.fail_errno = EROFS;
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/opt/x", "x"), -EROFS,
		     "ENROOT_ROOTFS_WRITABLE");
}

static void waits_for_the_lock(void **state)
{
	struct fixture *f = *state;
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int root = openat(f->t.root, ".", O_RDONLY | O_DIRECTORY), fd;

	kv_tree_test.lock_wait_ms = 120;
	assert_int_equal(flock(root, LOCK_EX), 0);
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/opt/x", "x"), -EBUSY, "another kvpath");
	jfix_unchanged(f, f->before, "locked");
	close(root);
	jfix_apply(f);
	fd = open(jtree_host(&f->t, KV_STATE_DIR "/lock"), O_RDWR);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), 0);
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/opt/x", "x"), -EBUSY, "pid");
	close(fd);
	jfix_undo(f, 12);
}

/* Writes to the lock file as others do that take the lock, one every 40 ms, n in all. */
static pid_t take_turns(struct fixture *f, unsigned n)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int fd = open(jtree_host(&f->t, KV_STATE_DIR "/lock"), O_RDWR);

		if (fcntl(fd, F_OFD_SETLK, &l) < 0)
			_exit(1);
		for (unsigned i = 0; i < n; i++) {
			char who[32];
			int len = snprintf(who, sizeof(who), "kvpath (pid %u on host)\n", i);

			if (pwrite(fd, who, (size_t)len, 0) != len)
				_exit(1);
			if (i == 0 && write(ready[1], "", 1) != 1)
				_exit(1);
			usleep(40000);
		}
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/* Whoever waits among many waits for each of them; but not for ever. */
static void waits_for_turns(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	jfix_apply(f);
	pid = take_turns(f, 60);
	kv_tree_test.lock_wait_ms = 2000; /* less than all turns take together */
	jfix_must(f, jfix_apply_one(f, KV_OP_FILE, "/opt/x", "x"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);

	pid = take_turns(f, 100000);
	kv_tree_test.lock_wait_ms = 120;
	jfix_refused(f, jfix_apply_one(f, KV_OP_FILE, "/opt/y", "y"), -EBUSY, "pid");
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	jfix_undo(f, 13);
}

/* As when every task of a job repairs the container that they share. */
static void many_at_once(void **state)
{
	struct fixture *f = *state;
	pid_t pids[8];

	for (unsigned i = 0; i < KV_ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			int r = jfix_apply_one(f, KV_OP_FILE, kv_strf(f->a, "/opt/x%u", i), "x");

			_exit(r < 0);
		}
	}
	for (unsigned i = 0; i < KV_ARRAY_SIZE(pids); i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	jfix_undo(f, 8);
}

/* Someone else has begun to use a directory that was made for the state: it stays, with theirs. */
static void state_parent_in_use(void **state)
{
	struct fixture *f = *state;
	struct jtree t;
	kv_ops ops = { 0 };
	size_t undone;

	jtree_make(&t, JTREE_NO_VAR);
	jtree_ops(f->a, &t, &ops);
	jfix_must(f, kv_journal_apply(t.root, &ops, NULL, &f->err));
	assert_int_equal(mkdirat(t.root, "var/lib/dpkg", 0755), 0);
	jfix_must(f, kv_journal_undo(t.root, NULL, &undone, &f->err));
	assert_int_equal(faccessat(t.root, "var/lib/dpkg", F_OK, 0), 0);
	assert_int_equal(faccessat(t.root, "var/lib/kvpath", F_OK, 0), -1);
	assert_int_equal(fgetxattr(t.root, "user.kvpath.guard", NULL, 0), -1);
	jtree_drop(&t);
}

/* Without attributes to guard the state directory everything works but for a crash in one instant.
 */
static void no_xattrs(void **state)
{
	struct fixture *f = *state;

	kv_tree_test.no_xattr = true;
	jfix_apply(f);
	jfix_undo(f, 12);
}

/* What was changed since is lost where its name was given, and only there. */
static void forced(void **state)
{
	struct fixture *f = *state;
	char *paths[] = { "/usr/lib/_api.py", "/usr/lib/new", "/usr/lib/other" };
	kv_strv list = { .v = paths, .n = 1 };
	size_t undone;

	jfix_apply(f);
	jtree_write(&f->t, "/usr/lib/_api.py", "mine now", 0640);
	assert_int_equal(unlinkat(f->t.root, "usr/lib/new", 0), 0);
	jtree_write(&f->t, "/usr/lib/new", "a file in the link's place", 0640);
	jtree_write(&f->t, "/usr/lib/other", "removed by us, made by another", 0600);
	jfix_refused(f, kv_journal_undo(f->t.root, &list, &undone, &f->err), -ESTALE,
		     "--force-file");
	list.n = 3;
	/* Killed in the middle, the recovery knows the names. */
	if (fork() == 0) {
		kv_tree_test.stop_at = kv_tree_test.steps + 12;
		kv_journal_undo(f->t.root, &list, &undone, &f->err);
		_exit(0);
	}
	assert_true(wait(NULL) > 0);
	jfix_undo(f, 12);

	jfix_apply(f);
	list.v[0] = "/usr/lib/tool2";
	jfix_refused(f, kv_journal_undo(f->t.root, &list, &undone, &f->err), -EINVAL,
		     "/usr/lib/tool2");
	/* A directory in a file's place is not kvpath's to remove. */
	assert_int_equal(renameat(f->t.root, "usr/lib/new", f->t.root, "usr/lib/away"), 0);
	assert_int_equal(mkdirat(f->t.root, "usr/lib/new", 0700), 0);
	list.v[0] = "/usr/lib/new";
	list.n = 1;
	jfix_refused(f, kv_journal_undo(f->t.root, &list, &undone, &f->err), -ESTALE,
		     "/usr/lib/new");
}

/* What was planned for one state of things is not done to another. */
static void planned_state(void **state)
{
	struct fixture *f = *state;
	struct kv_op op = { .kind = KV_OP_FILE, .path = "/usr/lib/_api.py", .source_fd = -1 };
	kv_ops ops = { .v = &op, .n = 1, .cap = 1 };
	struct kv_journal_view view;
	char sha256[KV_SHA256_HEX];
	size_t undone;

	op.was = "0000";
	jfix_refused(f, kv_journal_apply(f->t.root, &ops, NULL, &f->err), -ESTALE,
		     "/usr/lib/_api.py");
	op.was = "absent";
	jfix_refused(f, kv_journal_apply(f->t.root, &ops, NULL, &f->err), -ESTALE,
		     "/usr/lib/_api.py");
	jfix_unchanged(f, f->before, "planned for another state");
	kv_sha256_mem("default = [\"UCX\"]\n", 18, sha256);
	op.was = sha256;
	jfix_must(f, kv_journal_look(f->t.root, &view, &f->err));
	assert_false(view.pending);
	/* Others may look, but not work. */
	kv_tree_test.lock_wait_ms = 60;
	jfix_refused(f, kv_journal_apply(f->t.root, &ops, NULL, &f->err), -EBUSY, "another kvpath");
	kv_journal_look_close(&view);
	op.was = "absent";
	jfix_refused(f, kv_journal_apply(f->t.root, &ops, view.stamp, &f->err), -EAGAIN,
		     "/usr/lib/_api.py");
	jfix_unchanged(f, f->before, "seen otherwise");
	op.was = sha256;
	jfix_must(f, kv_journal_apply(f->t.root, &ops, view.stamp, &f->err));
	op.was = NULL;
	jfix_refused(f, kv_journal_apply(f->t.root, &ops, view.stamp, &f->err), -EAGAIN,
		     "another kvpath");
	jfix_must(f, kv_journal_look(f->t.root, &view, &f->err));
	kv_journal_look_close(&view);
	jfix_must(f, kv_journal_apply(f->t.root, &ops, view.stamp, &f->err));
	jfix_must(f, kv_journal_undo(f->t.root, NULL, &undone, &f->err));
	assert_int_equal(undone, 2);
	jfix_unchanged(f, f->before, "undone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JFIX(applies_and_undoes),
		JFIX(two_generations),
		JFIX(foreign_change_stops_undo),
		JFIX(refuses),

		JFIX(waits_for_the_lock),
		JFIX(waits_for_turns),
		JFIX(many_at_once),
		JFIX(state_parent_in_use),
		JFIX(no_xattrs),
		JFIX(forced),
		JFIX(planned_state),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
