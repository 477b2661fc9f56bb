/* The merged view of layers: who wins, who is hidden, who shares content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "root/layers.h"

#include <cmocka.h>

static struct kv_arena *arena;
static struct kv_layers *view;
static uint64_t ordinal;

static int setup(void **state)
{
	(void)state;
	arena = kv_arena_new();
	view = kv_layers_new(arena);
	assert_non_null(view);
	kv_layers_begin(view);
	ordinal = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kv_layers_free(view);
	kv_arena_free(arena);
	return 0;
}

static int put(const char *path, uint32_t mode, const char *link, bool hard)
{
	const struct kv_tar_entry e = {
		.ordinal = ordinal,
		.path = path,
		.mode = mode,
		.link = link,
		.hard = hard,
		.size = ordinal + 1,
	};
	struct kv_err err;

	ordinal++;
	return kv_layers_put(view, &e, &err);
}

/* A file's size is its number among the entries, so that it can be told from others. */
static uint64_t file(const char *path)
{
	assert_int_equal(put(path, S_IFREG | 0644, NULL, false), 0);
	return ordinal;
}

static void dir(const char *path, uint32_t mode)
{
	assert_int_equal(put(path, S_IFDIR | mode, NULL, false), 0);
}

static void sym(const char *path, const char *text)
{
	assert_int_equal(put(path, S_IFLNK | 0777, text, false), 0);
}

static void hard(const char *path, const char *to)
{
	assert_int_equal(put(path, 0, to, true), 0);
}

static uint64_t size_of(const char *path)
{
	struct kv_stat st;

	return kv_layers_lstat(view, path, &st) < 0 ? 0 : st.size;
}

static uint64_t ino_of(const char *path)
{
	struct kv_stat st;

	assert_int_equal(kv_layers_lstat(view, path, &st), 0);
	return st.ino;
}

static bool exists(const char *path)
{
	struct kv_stat st;

	return kv_layers_lstat(view, path, &st) == 0;
}

static size_t count_in(const char *path)
{
	kv_dirents list = { 0 };

	assert_int_equal(kv_layers_list(view, path, arena, &list), 0);
	return list.n;
}

static void test_later_layer_wins(void **state)
{
	struct kv_stat st;
	uint64_t keep, new;

	(void)state;
	dir("d", 0755);
	file("d/a");
	keep = file("d/b");
	kv_layers_begin(view);
	dir("d", 0700);
	new = file("d/a");
	file("d/c");
	assert_int_equal(size_of("d/a"), new);
	assert_int_equal(size_of("d/b"), keep);
	assert_int_equal(count_in("d"), 3);
	assert_int_equal(kv_layers_lstat(view, "d", &st), 0);
	assert_int_equal(st.mode, S_IFDIR | 0700);
	assert_int_equal(kv_layers_lstat(view, "d/a/x", &st), -ENOTDIR);
	assert_int_equal(kv_layers_lstat(view, "none/x", &st), -ENOENT);
}

static void test_kinds_replace_each_other(void **state)
{
	(void)state;
	dir("d", 0755);
	file("d/under");
	file("f");
	sym("l", "d");
	kv_layers_begin(view);
	file("d");
	dir("f", 0755);
	file("f/in");
	/* By itself the layer does not know that l is a link below: a directory hides it. */
	file("l/in");
	assert_false(exists("d/under"));
	assert_true(exists("f/in"));
	assert_int_equal(count_in("l"), 1);
	kv_layers_begin(view);
	dir("d", 0755);
	assert_int_equal(count_in("d"), 0); /* what the file hid does not come back */
}

static void test_whiteout(void **state)
{
	(void)state;
	dir("d", 0755);
	file("d/a");
	dir("d/sub", 0755);
	file("d/sub/x");
	file("d/keep");
	kv_layers_begin(view);
	file("d/.wh.a");
	file("d/.wh.sub");
	file("d/.wh.none");
	file("d/.wh..wh.plnk");
	file("d/.wh.");
	assert_int_equal(count_in("d"), 1);
	assert_true(exists("d/keep"));
	assert_false(exists("d/sub/x"));
}

static void test_whiteout_spares_its_own_layer(void **state)
{
	uint64_t a, b;

	(void)state;
	file("a");
	file("b");
	dir("d", 0755);
	file("d/old");
	kv_layers_begin(view);
	file(".wh.a");
	a = file("a");
	b = file("b");
	file(".wh.b");
	dir("d", 0755);
	file("d/new");
	file(".wh.d"); /* behind its own layer's new directory: the old content goes */
	assert_int_equal(size_of("a"), a);
	assert_int_equal(size_of("b"), b);
	assert_true(exists("d/new"));
	assert_false(exists("d/old"));
}

static void test_opaque(void **state)
{
	(void)state;
	dir("d", 0755);
	file("d/old");
	dir("d/sub", 0755);
	file("d/sub/old");
	kv_layers_begin(view);
	dir("d", 0755);
	file("d/before");
	dir("d/sub", 0755);
	file("d/.wh..wh..opq");
	file("d/after");
	file("d/sub/new");
	assert_false(exists("d/old"));
	assert_false(exists("d/sub/old"));
	assert_true(exists("d/before"));
	assert_true(exists("d/after"));
	assert_true(exists("d/sub/new"));
	kv_layers_begin(view);
	file(".wh..wh..opq");
	assert_int_equal(count_in(""), 0);
}

static void test_hard_links(void **state)
{
	struct kv_content *c;
	uint64_t first;

	(void)state;
	first = file("a");
	hard("b", "a");
	kv_layers_begin(view);
	hard("c", "b"); /* across layers */
	hard("self", "self");
	hard("lost", "none/x");
	hard("todir", "d");
	assert_int_equal(ino_of("a"), ino_of("b"));
	assert_int_equal(ino_of("a"), ino_of("c"));
	assert_int_equal(size_of("c"), first);
	/* Seen, and not readable. */
	assert_int_equal(kv_layers_content(view, "self", &c), 0);
	assert_true(c->broken);
	assert_int_equal(kv_layers_content(view, "lost", &c), 0);
	assert_true(c->broken);
	kv_layers_begin(view);
	file("a");
	file(".wh.b");
	assert_int_not_equal(ino_of("a"), ino_of("c"));
	assert_int_equal(size_of("c"), first);
	hard("c", "c"); /* to itself: stays */
	assert_true(exists("c"));
}

static void test_links_of_the_same_layer_are_followed(void **state)
{
	struct kv_stat st;

	(void)state;
	dir("usr", 0755);
	dir("usr/lib", 0755);
	sym("lib", "usr/lib");
	sym("abs", "/usr/../usr/lib");
	file("lib/x");
	file("abs/y");
	sym("up", "../../../..");
	file("up/z");
	assert_true(exists("usr/lib/x"));
	assert_true(exists("usr/lib/y"));
	assert_true(exists("z"));
	assert_int_equal(kv_layers_lstat(view, "lib", &st), 0);
	assert_true(S_ISLNK(st.mode));
	sym("loop", "loop");
	assert_int_equal(put("loop/x", S_IFREG, NULL, false), -ELOOP);
}

static void test_names_come_twice(void **state)
{
	uint64_t last;

	(void)state;
	file("a");
	last = file("a");
	assert_int_equal(size_of("a"), last);
	assert_int_equal(count_in(""), 1);
	sym("a", "b"); /* CVE-2021-41072: a link, then a directory of the same name */
	dir("a", 0755);
	file("a/x");
	assert_int_equal(count_in(""), 1);
	assert_true(exists("a/x"));
	assert_false(exists("b"));
}

static void test_many_and_deep(void **state)
{
	char path[4096] = "d";

	(void)state;
	for (int i = 0; i < 20000; i++)
		file(kv_strf(arena, "many/%d/f", i));
	for (int i = 0; i < 20000; i++)
		assert_true(exists(kv_strf(arena, "many/%d/f", i)));
	assert_int_equal(count_in("many"), 20000);
	kv_layers_begin(view);
	file(".wh.many");
	assert_int_equal(count_in(""), 0);
	/* Deeper than a path is long, by links. */
	for (int i = 0; i < 400; i++)
		strcat(path, "/d");
	dir(path, 0755);
	sym("s", path);
	assert_int_equal(put(kv_strf(arena, "s/%s", path), S_IFDIR, NULL, false), -ELOOP);
}

static void test_names_are_normalised(void **state)
{
	static const char *const bad[] = { "..", "../x", "a/../b", "/..", "a/.." };
	static const char *const good[][2] = {
		{ "./a//b/", "a/b" }, { "/etc/x", "etc/x" }, { ".", "" },      { "./", "" },
		{ "", "" },           { "a/./b", "a/b" },    { "...", "..." },
	};
	char out[KV_TAR_MAX_PATH + 1], longer[300];

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(bad); i++)
		assert_false(kv_tar_normal(bad[i], out));
	for (size_t i = 0; i < KV_ARRAY_SIZE(good); i++) {
		assert_true(kv_tar_normal(good[i][0], out));
		assert_string_equal(out, good[i][1]);
	}
	memset(longer, 'x', sizeof(longer));
	longer[255] = '\0';
	assert_true(kv_tar_normal(longer, out));
	longer[255] = 'x';
	longer[256] = '\0';
	assert_false(kv_tar_normal(longer, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_later_layer_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds_replace_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whiteout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whiteout_spares_its_own_layer, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_opaque, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hard_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_of_the_same_layer_are_followed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_names_come_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_and_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_are_normalised, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
