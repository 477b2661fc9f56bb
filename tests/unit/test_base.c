/* Errors, arena, spans, versions, printable text, hashes. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/base.h"
#include "base/provider.h"

#include <cmocka.h>

static void test_version_cmp(void **state)
{
	(void)state;
	assert_true(kv_version_cmp("1.10", "1.9") > 0);
	assert_true(kv_version_cmp("1.7", "1.10") < 0);
	assert_int_equal(kv_version_cmp("2.3.0", "2.3.0"), 0);
	assert_true(kv_version_cmp("2.7.0amzn2.0", "2.6.0amzn1.0") > 0);
	assert_true(kv_version_cmp("2.38", "2.4") > 0);
	assert_true(kv_version_cmp("1", "1.0") < 0);
}

static void test_spans_do_not_wrap(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct kv_span s = { bytes, sizeof(bytes) }, sub;
	uint32_t v = 0;
	uint64_t w = 0;

	(void)state;
	assert_true(kv_span_u32(s, 4, false, &v));
	assert_int_equal(v, 0x08070605);
	assert_true(kv_span_u32(s, 4, true, &v));
	assert_int_equal(v, 0x05060708);
	assert_false(kv_span_u32(s, 5, false, &v));
	assert_false(kv_span_u32(s, UINT64_MAX, false, &v));
	assert_false(kv_span_u32(s, UINT64_MAX - 3, false, &v));
	assert_true(kv_span_u64(s, 0, false, &w));
	assert_false(kv_span_u64(s, 1, false, &w));
	assert_true(kv_span_sub(s, 8, 0, &sub));
	assert_false(kv_span_sub(s, 9, 0, &sub));
	assert_false(kv_span_sub(s, 1, UINT64_MAX, &sub));
	assert_null(kv_span_str(s, 0)); /* no NUL inside */
	assert_int_equal(kv_span_find(s, 0, "\x03\x04", 2), 2);
	assert_int_equal(kv_span_find(s, 3, "\x03\x04", 2), 8);
}

static void test_printable(void **state)
{
	struct kv_arena *a = kv_arena_new();

	(void)state;
	assert_string_equal(kv_printable(a, "a\033[31mb"), "a\\x1b[31mb");
	assert_string_equal(kv_printable(a, "caf\xc3\xa9"), "caf\xc3\xa9");
	assert_string_equal(kv_printable(a, "\xff\xc0\x80"), "\\xff\\xc0\\x80");
	assert_string_equal(kv_printable(a, "\xc2\x9b"), "\\xc2\\x9b"); /* CSI as one C1 byte */
	/* Overrides of direction, a line separator, a surrogate, an overlong slash, U+110000. */
	assert_string_equal(kv_printable(a, "a\xe2\x80\xaetxt"), "a\\xe2\\x80\\xaetxt");
	assert_string_equal(kv_printable(a, "\xe2\x81\xa6\xd8\x9c"), "\\xe2\\x81\\xa6\\xd8\\x9c");
	assert_string_equal(kv_printable(a, "\xe2\x80\xa8"), "\\xe2\\x80\\xa8");
	assert_string_equal(kv_printable(a, "\xed\xa0\x80"), "\\xed\\xa0\\x80");
	assert_string_equal(kv_printable(a, "\xf0\x80\x80\xaf"), "\\xf0\\x80\\x80\\xaf");
	assert_string_equal(kv_printable(a, "\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
	assert_string_equal(kv_printable(a, "\xe2\x9c\x93 \xf0\x9f\x9a\x80"),
			    "\xe2\x9c\x93 \xf0\x9f\x9a\x80");
	assert_string_equal(kv_printable(a, "tab\tline\n"), "tab\\x09line\\x0a");
	assert_string_equal(kv_printable_text(a, "tab\tline\n\033"), "tab\tline\n\\x1b");
	kv_arena_free(a);
}

static int flags_of(int fd)
{
	return fcntl(fd, F_GETFD);
}

/* An emulator, which has no such filters, stays as it is. */
static void lose_close_range(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { KV_ARRAY_SIZE(code), code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static bool ranges_are_right(void)
{
	if (dup2(0, 100) != 100 || dup2(0, 101) != 101 || dup2(0, 900) != 900)
		return false;
	if (kv_cloexec_from(101) != 0 || flags_of(100) != 0 || flags_of(101) != FD_CLOEXEC ||
	    flags_of(900) != FD_CLOEXEC)
		return false;
	kv_close_from(101);
	return flags_of(100) == 0 && flags_of(101) < 0 && flags_of(900) < 0;
}

static void test_ranges_of_fds(void **state)
{
	(void)state;
	for (int old_kernel = 0; old_kernel < 2; old_kernel++) {
		int status = 0;
		pid_t child = fork(); /* the test's own fds go with them */

		if (child == 0) {
			if (old_kernel)
				lose_close_range();
			_exit(!ranges_are_right());
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

static void test_map_grows(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_map *m = kv_map_new(a);

	(void)state;
	for (uintptr_t i = 1; i <= 5000; i++)
		*kv_map_slot(m, kv_strf(a, "key%zu", (size_t)i)) = (void *)i;
	for (uintptr_t i = 1; i <= 5000; i++)
		assert_ptr_equal(kv_map_get(m, kv_strf(a, "key%zu", (size_t)i)), (void *)i);
	assert_null(kv_map_get(m, "key0"));
	kv_arena_free(a);
}

/* A full one has no room behind its last element, however many were taken from its front. */
static void test_vec_drop(void **state)
{
	struct kv_arena *a = kv_arena_new();
	KV_VEC(size_t) v = { 0 };
	size_t *next, n = 0;

	(void)state;
	do
		kv_vec_push(a, &v, n++);
	while (v.n < v.cap);
	next = kv_alloc(a, 2 * sizeof(*next));
	kv_vec_drop(&v, 3);
	for (size_t i = 0; i < 2 * n; i++)
		kv_vec_push(a, &v, n + i);
	assert_int_equal(v.n, 3 * n - 3);
	for (size_t i = 0; i < v.n; i++)
		assert_int_equal(v.v[i], i + 3);
	assert_int_equal(next[0] + next[1], 0);
	kv_arena_free(a);
}

static void test_paths(void **state)
{
	struct kv_arena *a = kv_arena_new();

	(void)state;
	assert_string_equal(kv_dirname(a, "/a/b"), "/a");
	assert_string_equal(kv_dirname(a, "/a"), "/");
	assert_string_equal(kv_dirname(a, "a"), ".");
	assert_string_equal(kv_basename("/a/b"), "b");
	assert_string_equal(kv_join(a, "/", "x"), "/x");
	assert_string_equal(kv_join(a, "/a", "x"), "/a/x");
	kv_arena_free(a);
}

static void test_env_later_wins(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_env env = { 0 };

	(void)state;
	kv_env_put(a, &env, "A=1");
	kv_env_put(a, &env, "AB=2");
	kv_env_put(a, &env, "A=3");
	assert_string_equal(kv_env_get(&env, "A"), "3");
	assert_string_equal(kv_env_get(&env, "AB"), "2");
	assert_null(kv_env_get(&env, "B"));
	kv_arena_free(a);
}

/* FIPS 180-4's own examples; the check value of CRC-32C (RFC 3720 B.4 lists more). */
static void test_hashes(void **state)
{
	char hex[KV_SHA256_HEX];

	(void)state;
	kv_sha256_mem("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	kv_sha256_mem("", 0, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	kv_sha256_mem("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
	assert_string_equal(hex,
			    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_int_equal(kv_crc32c(0, "123456789", 9), 0xe3069283);
}

static void test_carriers(void **state)
{
	(void)state;
	assert_int_equal(kv_carrier_of("efa"), KV_CARRIER_EFA);
	assert_int_equal(kv_carrier_of("EFA-direct"), KV_CARRIER_EFA);
	assert_int_equal(kv_carrier_of("verbs;ofi_rxm"), KV_CARRIER_OTHER);
	assert_int_equal(kv_carrier_of("tcp;ofi_rxm"), KV_CARRIER_HOST);
	assert_int_equal(kv_carrier_of("efa2"), KV_CARRIER_UNKNOWN);
	assert_int_equal(kv_carrier_of(""), KV_CARRIER_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_cmp), cmocka_unit_test(test_spans_do_not_wrap),
		cmocka_unit_test(test_printable),   cmocka_unit_test(test_map_grows),
		cmocka_unit_test(test_paths),       cmocka_unit_test(test_env_later_wins),
		cmocka_unit_test(test_hashes),      cmocka_unit_test(test_ranges_of_fds),
		cmocka_unit_test(test_vec_drop),    cmocka_unit_test(test_carriers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
