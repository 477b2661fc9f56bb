/* Host lists; beside Slurm's own: tests/cli/sweep.bats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hostlist.h"

static const char *joined(struct kv_arena *a, const kv_strv *names)
{
	const char *text = "";

	for (size_t i = 0; i < names->n; i++)
		text = kv_strf(a, "%s%s%s", text, i ? " " : "", names->v[i]);
	return text;
}

static void lists(void **state)
{
	static const struct {
		const char *list, *names, *back; /* back: NULL where it is the list */
	} of[] = {
		{ "", "", NULL },
		{ "n0", "n0", NULL },
		{ "n[0-3]", "n0 n1 n2 n3", NULL },
		{ "n[0-1,3]", "n0 n1 n3", NULL },
		{ "n[08-10]", "n08 n09 n10", NULL },
		{ "n[8-10]", "n8 n9 n10", NULL },
		{ "n[9,010-011]", "n9 n010 n011", NULL },
		{ "a,b,c1", "a b c1", NULL },
		{ "r[1-2]n[01-02]", "r1n01 r1n02 r2n01 r2n02", "r1n[01-02],r2n[01-02]" },
		{ "n[2,1,0]", "n2 n1 n0", NULL },
		{ "n1 n2\nn3", "n1 n2 n3", "n[1-3]" },
		{ "10.0.0.[1-3]", "10.0.0.1 10.0.0.2 10.0.0.3", NULL },
		{ "a[1-2]-ib", "a1-ib a2-ib", "a1-ib,a2-ib" },
		{ "root@n1,root@n2", "root@n1 root@n2", "root@n[1-2]" },
		{ "n999999999999999999,n1", "n999999999999999999 n1", "n[999999999999999999,1]" },
		{ "n[998-1001]", "n998 n999 n1000 n1001", NULL },
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(of); i++) {
		kv_strv names = { 0 };

		assert_int_equal(kv_hostlist_expand(a, of[i].list, &names, NULL), 0);
		assert_string_equal(joined(a, &names), of[i].names);
		assert_string_equal(kv_hostlist_compress(a, &names),
				    of[i].back ? of[i].back : of[i].list);
	}
	kv_arena_free(a);
}

static void what_is_none(void **state)
{
	static const char *const bad[] = {
		"n[0-3",
		"n0-3]",
		"n[]",
		"n[a]",
		"n[3-1]",
		"n[1-]",
		"n[-1]",
		"n[1,,2]",
		"n[[1]]",
		"-oProxyCommand=x",
		"n;reboot",
		"n$(x)",
		"n/../x",
		"n[0-65535]",
		"n[0-999999999]",
		"[1-300][1-300]",
		"n[1-2000000000000000000000]",
		"\x1b[31m",
		"a[1][1][1][1][1][1]",
		"n[1-2-3]",
		"n[0x1]",
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(bad); i++) {
		struct kv_err err = { 0 };
		kv_strv names = { 0 };

		if (kv_hostlist_expand(a, bad[i], &names, &err) != -EINVAL || !*err.msg)
			fail_msg("taken: %s", bad[i]);
	}
	kv_arena_free(a);
}

/* Whatever names there are, the list has them in their order. */
static void made_up_lists(void **state)
{
	static const char *const prefixes[] = { "n", "n0", "gpu-", "r1n", "" };
	struct kv_arena *a = kv_arena_new();

	(void)state;
	srand(7);
	for (int t = 0; t < 3000; t++) {
		kv_strv names = { 0 }, back = { 0 };
		int n = 1 + rand() % 12, number = rand() % 120;

		for (int i = 0; i < n; i++) {
			number += rand() % 4 ? 1 : rand() % 20 - 9;
			kv_vec_push(a, &names,
				    kv_strf(a, "%s%0*d", prefixes[rand() % 8 ? 0 : rand() % 5],
					    rand() % 5 ? 1 : 3, number < 0 ? 0 : number));
		}
		assert_int_equal(
			kv_hostlist_expand(a, kv_hostlist_compress(a, &names), &back, NULL), 0);
		assert_string_equal(joined(a, &back), joined(a, &names));
	}
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(made_up_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
