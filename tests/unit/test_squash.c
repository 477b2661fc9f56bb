/*
 * Squashfs images against the directories that they were made of: every path's stat, list, link and
 * bytes, in every compression that mksquashfs has, and with the options of those who make images
 * for enroot.
 */
#include <sys/wait.h>

#include "squash_fixture.h"

static struct sqfix *fix;

static void compare(const char *options)
{
	struct sqfix_pair p = { .a = kv_arena_new() };
	struct kv_err err = { 0 };
	const char *image = sqfix_image(fix, "image", options);

	print_message("    %s\n", options);
	assert_int_equal(kv_root_open(p.a, sqfix_path(fix, "tree"), &p.dir, &err), 0);
	if (kv_root_open(p.a, image, &p.image, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(kv_root_format(p.image), "squashfs");
	assert_int_equal(kv_root_fd(p.image), -1);
	assert_false(kv_root_is_live(p.image));
	sqfix_same(&p);
	assert_true(p.n_files > 1500 && p.n_dirs == 8 && p.n_links == 5 && p.n_others >= 1);
	kv_root_close(p.dir);
	kv_root_close(p.image);
	kv_arena_free(p.a);
}

static void test_compressions(void **state)
{
	static const char *const names[] = { "gzip", "lzo", "lz4", "xz", "zstd", "lzma" };
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++) {
		if (!sqfix_can(fix, names[i]))
			continue;
		n++;
		compare(kv_strf(fix->a, "-comp %s", names[i]));
	}
	assert_true(n >= 5);
}

static void test_options(void **state)
{
	/* enroot's default; two that clouds recommend; what else changes the layout. */
	static const char *const options[] = {
		"-comp lzo -noD",
		"-comp lzo -noI -noD -noF -noX -no-duplicates",
		"-noI -noD -noF -noX -no-duplicates",
		"-comp zstd -noI",
		"-no-fragments",
		"-always-use-fragments",
		"-no-exports",
		"-no-sparse",
		"-nopad",
		"-b 4096 -comp lzo",
		"-b 1M -comp xz -Xbcj x86",
		"-comp xz -Xdict-size 8192",
		"-comp lz4 -Xhc",
		"-comp gzip -Xwindow-size 8 -Xstrategy huffman_only",
		"-comp lzo -Xalgorithm lzo1x_1",
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(options); i++)
		compare(options[i]);
}

static void test_paths(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_stat st, hard;
	struct kv_err err = { 0 };
	struct kv_file *file;
	struct kv_root *r;
	kv_dirents list = { 0 };
	const char *real;

	(void)state;
	assert_int_equal(kv_root_open(a, sqfix_image(fix, "image", ""), &r, &err), 0);
	assert_int_equal(kv_root_stat(r, "/nothing", 0, &st), -ENOENT);
	assert_int_equal(kv_root_stat(r, "/one/below", 0, &st), -ENOTDIR);
	assert_int_equal(kv_root_stat(r, "/dangling", 0, &st), -ENOENT);
	assert_int_equal(kv_root_stat(r, "/loop", 0, &st), -ELOOP);
	assert_int_equal(kv_root_list(r, "/one", &list), -ENOTDIR);
	assert_int_equal(kv_root_open_file(r, "/deep", &file), -EISDIR);
	assert_int_equal(kv_root_readlink(r, "/one", &real), -EINVAL);
	/* Links resolve inside, and the root has no parent. */
	assert_int_equal(kv_root_real(r, "/link/est/../../../../absolute", 0, &real), 0);
	assert_string_equal(real, "/deep/er/est/file");
	/* Hard links are one file, and nothing else is. */
	assert_int_equal(kv_root_stat(r, "/block", 0, &st), 0);
	assert_int_equal(kv_root_stat(r, "/deep/hard", 0, &hard), 0);
	assert_true(st.ino == hard.ino && st.dev == hard.dev);
	assert_int_equal(kv_root_stat(r, "/behind", 0, &hard), 0);
	assert_true(st.ino != hard.ino);
	assert_null(kv_root_fault(r));
	kv_root_close(r);
	kv_arena_free(a);
}

/* Names are looked up, with and without the directory having been listed before, beside mounts. */
static void test_layers(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	kv_dirents list = { 0 };
	struct kv_span text;
	struct kv_root *r;

	(void)state;
	assert_int_equal(kv_root_open(a, sqfix_image(fix, "image", "-comp lzo -noD"), &r, &err), 0);
	assert_int_equal(kv_root_bind(r, sqfix_path(fix, "log"), "/deep/er/mounted", &err), 0);
	kv_root_lay_bytes(r, "/deep/none/new/file", (struct kv_span){ (const uint8_t *)"hi", 2 });
	assert_int_equal(kv_root_list(r, "/deep/er", &list), 0);
	assert_int_equal(list.n, 2);
	assert_int_equal(kv_root_slurp(r, "/deep/none/new/file", 10, &text), 0);
	assert_string_equal((const char *)text.p, "hi");
	assert_true(kv_root_is_file(r, "/link/mounted"));
	kv_root_lay_absence(r, "/one");
	assert_false(kv_root_is_file(r, "/one"));
	assert_true(kv_root_is_file(r, "/before"));
	kv_root_close(r);
	kv_arena_free(a);
}

/* What lies in the image as it is, is read from there; and can be gone meanwhile. */
static void test_plain(void **state)
{
	struct kv_arena *a = kv_arena_new();
	const char *image = sqfix_image(fix, "image", "-comp lzo -noD");
	struct kv_err err = { 0 };
	struct kv_file *plain, *other;
	struct kv_span bytes, map;
	struct kv_root *r;
	uint8_t byte;
	size_t n;

	(void)state;
	assert_int_equal(kv_root_open(a, image, &r, &err), 0);
	assert_int_equal(kv_root_open_file(r, "/large", &plain), 0);
	assert_int_equal(kv_file_fd(plain), -1);
	assert_int_equal(kv_root_slurp(r, "/large", 2000000, &bytes), 0);
	assert_int_equal(bytes.n, 1500000);
	assert_int_equal(kv_file_map(plain, 5000, 1495000, &map), 0);
	assert_memory_equal(map.p, bytes.p + 5000, 1495000);
	assert_int_equal(kv_file_map(plain, 5000, 1495001, &map), -ENODATA);
	/* Holes are not stored, and fragments are packed. */
	assert_int_equal(kv_root_open_file(r, "/hole", &other), 0);
	assert_int_equal(kv_file_map(other, 0, 1, &map), -ENODATA);
	assert_int_equal(kv_root_open_file(r, "/texts/5", &other), 0);
	assert_int_equal(kv_file_map(other, 0, 1, &map), -ENODATA);
	assert_null(kv_root_fault(r));
	assert_int_equal(truncate(image, 4096), 0);
	assert_int_equal(kv_file_read(plain, 1499999, &byte, 1, &n), -EIO);
	assert_non_null(kv_root_fault(r));
	kv_root_close(r);
	kv_arena_free(a);
}

/* The reader ends with its root, and the fd of the image does. */
static void test_ends(void **state)
{
	struct kv_arena *a = kv_arena_new();
	const char *image = sqfix_image(fix, "image", "");
	struct kv_err err = { 0 };
	struct kv_root *r;
	int before = dup(0), after;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(kv_root_open(a, image, &r, &err), 0);
		kv_root_close(r);
	}
	after = dup(0);
	close(before);
	close(after);
	assert_int_equal(after, before + 1);
	assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	kv_arena_free(a);
}

static int setup(void **state)
{
	(void)state;
	fix = sqfix_new();
	sqfix_everything(fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sqfix_free(fix);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compressions), cmocka_unit_test(test_options),
		cmocka_unit_test(test_paths),        cmocka_unit_test(test_layers),
		cmocka_unit_test(test_plain),        cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
