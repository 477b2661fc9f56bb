/* Resolving inside a root: links, escapes, layers, mounts. */
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "root/internal.h"

#include <cmocka.h>

static struct kv_arena *arena;
static char top[64];
static struct kv_root *root;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static const char *at(const char *path)
{
	return kv_strf(arena, "%s%s", top, path);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(at(path), "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	struct kv_err err;

	(void)state;
	arena = kv_arena_new();
	strcpy(top, "/tmp/kvpath-root-XXXXXX");
	assert_non_null(mkdtemp(top));
	mkdir(at("/r"), 0755);
	mkdir(at("/r/etc"), 0755);
	mkdir(at("/r/usr"), 0755);
	mkdir(at("/r/usr/lib"), 0755);
	put("/secret", "outside");
	put("/r/etc/f", "inside");
	put("/r/usr/lib/a.so", "A");
	assert_int_equal(symlink("usr/lib", at("/r/lib")), 0);
	assert_int_equal(symlink("/etc/f", at("/r/abs")), 0);
	assert_int_equal(symlink("../../../../secret", at("/r/etc/up")), 0);
	assert_int_equal(symlink("loop2", at("/r/loop1")), 0);
	assert_int_equal(symlink("loop1", at("/r/loop2")), 0);
	assert_int_equal(mkfifo(at("/r/fifo"), 0600), 0);
	assert_int_equal(kv_root_open(arena, at("/r"), &root, &err), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kv_root_close(root);
	nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	kv_arena_free(arena);
	return 0;
}

static const char *slurp(const char *path)
{
	struct kv_span s;

	return kv_root_slurp(root, path, 4096, &s) < 0 ? NULL : (const char *)s.p;
}

static void test_links_stay_inside(void **state)
{
	const char *real;

	(void)state;
	assert_string_equal(slurp("/abs"), "inside");
	assert_string_equal(slurp("/lib/a.so"), "A");
	assert_null(slurp("/etc/up")); /* /secret of the root, which has none */
	assert_string_equal(slurp("/../../etc/f"), "inside");
	assert_int_equal(kv_root_real(root, "/lib/../lib/a.so", 0, &real), 0);
	assert_string_equal(real, "/usr/lib/a.so");
	/* ".." is physical: behind a link it leaves the link's target. */
	assert_int_equal(kv_root_real(root, "/lib/..", 0, &real), 0);
	assert_string_equal(real, "/usr");
}

static void test_errors_are_those_of_a_process(void **state)
{
	struct kv_file *f;
	struct kv_stat st;

	(void)state;
	assert_int_equal(kv_root_stat(root, "/loop1", 0, &st), -ELOOP);
	assert_int_equal(kv_root_stat(root, "/loop1", KV_NOFOLLOW, &st), 0);
	assert_int_equal(kv_root_stat(root, "/etc/f/x", 0, &st), -ENOTDIR);
	assert_int_equal(kv_root_stat(root, "/none/x", 0, &st), -ENOENT);
	assert_int_equal(kv_root_open_file(root, "/etc", &f), -EISDIR);
	errno = EACCES;
	assert_int_equal(kv_root_open_file(root, "/", &f), -EISDIR);
	errno = 0;
	assert_int_equal(kv_root_open_file(root, "/", &f), -EISDIR);
	assert_int_equal(kv_root_open_file(root, "/fifo", &f), -EINVAL); /* and does not hang */
	assert_int_equal(kv_root_stat(root, "relative", 0, &st), -EINVAL);
}

/* What a name is does not hang on what was asked before. */
static void test_stat_is_whole_after_a_search(void **state)
{
	static const char *const same[] = { "/usr/lib", "/lib", "/lib/.", "/usr/../lib", "//lib/" };
	struct stat host;
	struct kv_stat st;

	(void)state;
	assert_int_equal(stat(at("/r/usr/lib"), &host), 0);
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < KV_ARRAY_SIZE(same); i++) {
			assert_int_equal(kv_root_stat(root, same[i], 0, &st), 0);
			assert_int_equal(st.dev, host.st_dev);
			assert_int_equal(st.ino, host.st_ino);
			assert_int_equal(st.mode, host.st_mode);
			assert_int_equal(st.mtime_s, host.st_mtim.tv_sec);
		}
		assert_non_null(slurp("/lib/a.so")); /* both are directories met before, now */
	}
}

static void test_file_stays_one_after_a_search(void **state)
{
	(void)state;
	assert_null(slurp("/etc/f/x"));
	assert_true(kv_root_is_file(root, "/etc/f"));
	assert_null(slurp("/abs/x"));
	assert_string_equal(slurp("/abs"), "inside");
}

static void test_mount_covers_and_implies_parents(void **state)
{
	struct kv_err err;
	kv_dirents list = { 0 };
	size_t depth = kv_root_depth(root);

	(void)state;
	mkdir(at("/m"), 0755);
	put("/m/lib.so", "mounted");
	assert_int_equal(kv_root_bind(root, at("/m"), "/opt/amazon/efa", &err), 0);
	assert_string_equal(slurp("/opt/amazon/efa/lib.so"), "mounted");
	assert_true(kv_root_is_dir(root, "/opt/amazon"));
	assert_true(kv_root_is_mounted(root, "/opt/amazon/efa/lib.so"));
	assert_int_equal(kv_root_list(root, "/opt", &list), 0);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.v[0].name, "amazon");
	kv_root_pop(root, depth);
	assert_false(kv_root_is_dir(root, "/opt"));
	assert_int_not_equal(kv_root_bind(root, at("/none"), "/x", &err), 0);
	assert_non_null(strstr(err.msg, "/none"));
}

static void test_layers_of_a_plan(void **state)
{
	size_t depth = kv_root_depth(root);
	struct kv_span bytes = { (const uint8_t *)"new", 3 };
	struct kv_stat st;

	(void)state;
	kv_root_lay_bytes(root, "/opt/private/lib.so.1", bytes);
	kv_root_lay_link(root, "/usr/lib/b.so", "/opt/private/lib.so.1");
	kv_root_lay_link(root, "/usr/lib/a.so", "b.so");
	kv_root_lay_absence(root, "/etc/f");
	assert_string_equal(slurp("/lib/b.so"), "new");
	assert_string_equal(slurp("/lib/a.so"), "new");
	assert_int_equal(kv_root_stat(root, "/etc/f", 0, &st), -ENOENT);
	assert_false(kv_root_is_mounted(root, "/opt/private/lib.so.1"));
	kv_root_pop(root, depth);
	assert_string_equal(slurp("/lib/a.so"), "A");
	assert_string_equal(slurp("/etc/f"), "inside");
}

/* A root is a snapshot, and its layers are seen all the same. */
static void test_list_is_remembered(void **state)
{
	size_t depth = kv_root_depth(root);
	kv_dirents list = { 0 };

	(void)state;
	assert_int_equal(kv_root_list(root, "/lib", &list), 0);
	assert_int_equal(list.n, 1);
	put("/r/usr/lib/b.so", "B");
	assert_int_equal(kv_root_list(root, "/usr/lib", &list), 0);
	assert_int_equal(list.n, 1);
	kv_root_lay_link(root, "/usr/lib/c.so", "a.so");
	assert_int_equal(kv_root_list(root, "/lib", &list), 0);
	assert_int_equal(list.n, 3);
	kv_root_pop(root, depth);
	assert_int_equal(kv_root_list(root, "/lib", &list), 0);
	assert_int_equal(list.n, 2);
}

static void test_many_directories(void **state)
{
	/* More than the tree keeps open at a time. */
	(void)state;
	for (int i = 0; i < 700; i++) {
		mkdir(at(kv_strf(arena, "/r/d%d", i)), 0755);
		put(kv_strf(arena, "/r/d%d/f", i), "x");
	}
	for (int i = 0; i < 700; i++)
		assert_string_equal(slurp(kv_strf(arena, "/d%d/f", i)), "x");
	assert_string_equal(slurp("/d0/f"), "x");
}

/* Whether the kernel says so; false where it is older than the question (Linux 5.8). */
static bool is_mount(const char *dir)
{
	struct statx st;

	return statx(AT_FDCWD, dir, AT_SYMLINK_NOFOLLOW, 0, &st) == 0 &&
	       (st.stx_attributes & st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
}

/* Every mount is known as one, also one whose name has what a line of mountinfo can not. */
static void test_mounts_of_a_live_root(void **state)
{
	static const char *const below[] = { "a b", "back\\slash", "new\nline", "plain" };
	struct kv_root *live;
	kv_dirents list = { 0 };
	struct kv_dirent *d;
	bool own =
		unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	char path[4096];

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(below); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, below[i]);
		assert_int_equal(mkdir(path, 0755), 0);
		own = own && mount("kvpath-test", path, "tmpfs", 0, NULL) == 0;
	}
	assert_int_equal(kv_root_open(arena, "/", &live, NULL), 0);
	assert_int_equal(kv_root_list(live, "/", &list), 0);
	kv_vec_each (d, &list) {
		snprintf(path, sizeof(path), "/%s", d->name);
		assert_true(!is_mount(path) || kv_root_may_be_mount(live, path));
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(below); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, below[i]);
		assert_true(!own || kv_root_may_be_mount(live, path));
		if (own)
			umount(path);
	}
	assert_true(!live->mounts || !kv_root_may_be_mount(live, top));
	kv_root_close(live);
	/* Of any other root nothing is known. */
	assert_true(kv_root_may_be_mount(root, "/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_links_stay_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors_are_those_of_a_process, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_stat_is_whole_after_a_search, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_stays_one_after_a_search, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_mount_covers_and_implies_parents, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_layers_of_a_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_is_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_directories, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mounts_of_a_live_root, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
