/* The walk over a target: which directories it enters, which it passes over by their name. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>

#include "inspect/facts.h"

#include <cmocka.h>

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* Makes the directories of a path, and an empty file at its end. */
static void put(struct kv_arena *a, const char *top, const char *path)
{
	char *full = kv_strf(a, "%s%s", top, path);
	FILE *f;

	for (char *slash = full + strlen(top) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(full, 0755);
		*slash = '/';
	}
	f = fopen(full, "we");
	assert_non_null(f);
	fclose(f);
}

#define PYTHON "/usr/lib/python3.11"

static void test_only_what_holds_no_libraries_is_passed_over(void **state)
{
	static const char *const found[] = {
		"/opt/python3.11/json/libnixl.so",
		PYTHON "/dist-packages/json/libnixl.so",
		PYTHON "/dist-packages/nixl.libs/libnixl.so",
		PYTHON "/mine/libnixl.so",
	};
	static const char *const passed[] = {
		PYTHON "/json/libnixl.so",
		PYTHON "/lib-dynload/libnixl.so",
		PYTHON "/dist-packages/nixl-1.0.dist-info/libnixl.so",
		PYTHON "/dist-packages/nixl.egg-info/libnixl.so",
		PYTHON "/mine/__pycache__/libnixl.so",
	};
	char top[] = "/tmp/kvpath-scan-XXXXXX";
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	struct kv_root *root;
	struct kv_scan scan;

	(void)state;
	assert_non_null(mkdtemp(top));
	for (size_t i = 0; i < KV_ARRAY_SIZE(found); i++)
		put(a, top, found[i]);
	for (size_t i = 0; i < KV_ARRAY_SIZE(passed); i++)
		put(a, top, passed[i]);
	assert_int_equal(kv_root_open(a, top, &root, &err), 0);
	kv_scan(root, &scan);
	assert_int_equal(scan.libnixls.n, KV_ARRAY_SIZE(found));
	for (size_t i = 0; i < KV_ARRAY_SIZE(found); i++)
		assert_string_equal(scan.libnixls.v[i], found[i]);
	assert_int_equal(scan.sites.n, 1);
	kv_root_close(root);
	nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_what_holds_no_libraries_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
