/*
 * ld.so.cache on files made here, with the answers that glibc's source gives. The real ldconfig and
 * ld.so of many releases are asked by tests/oracle/cache.py.
 */
#include "loader_fixture.h"

#define NAMED ((uint64_t)1 << 62)
#define X64   0x303

struct entry {
	const char *key, *value;
	uint32_t flags, osversion;
	uint64_t hwcap;
};

/* ---- a writer of caches ---- */

static void put(struct kv_buf *b, uint64_t v, size_t n)
{
	kv_buf_add(b, &v, n);
}

/* Rows, then strings: those count from `base` bytes before the first string. */
static void put_table(struct kv_buf *b, const struct entry *e, size_t n, bool is_new, size_t base)
{
	_buf_ struct kv_buf strings = { 0 };

	for (size_t i = 0; i < n; i++) {
		put(b, e[i].flags, 4);
		put(b, base + strings.n, 4);
		kv_buf_add(&strings, e[i].key, strlen(e[i].key) + 1);
		put(b, base + strings.n, 4);
		kv_buf_add(&strings, e[i].value, strlen(e[i].value) + 1);
		if (is_new) {
			put(b, e[i].osversion, 4);
			put(b, e[i].hwcap, 8);
		}
	}
	kv_buf_add(b, strings.text ? strings.text : "", strings.n);
}

/* The new format with the names of glibc-hwcaps, which have to be sorted. at: where it begins. */
static void put_new(struct kv_buf *b, const struct entry *e, size_t n, uint8_t order)
{
	static const char *const names[] = { "x86-64-v2", "x86-64-v3", "x86-64-v4" };
	size_t at = b->n, name[3], extension;
	uint32_t offset;

	kv_buf_str(b, "glibc-ld.so.cache1.1");
	put(b, n, 4);
	put(b, 0, 4);
	put(b, order, 4);
	for (int i = 0; i < 4; i++)
		put(b, 0, 4);
	put_table(b, e, n, /* is_new= */ true, 48 + 24 * n);
	for (size_t i = 0; i < 3; i++) {
		name[i] = b->n;
		kv_buf_add(b, names[i], strlen(names[i]) + 1);
	}
	put(b, 0, (size_t)(-(ssize_t)b->n & 3));
	extension = b->n;
	put(b, 0xeaa42174u, 4);
	put(b, 1, 4);
	put(b, 1, 4);
	put(b, 0, 4);
	put(b, extension + 24, 4);
	put(b, 12, 4);
	for (size_t i = 0; i < 3; i++)
		put(b, name[i], 4);
	offset = (uint32_t)extension;
	memcpy(b->text + at + 32, &offset, 4);
}

static void put_old(struct kv_buf *b, const struct entry *e, size_t n)
{
	kv_buf_add(b, "ld.so-1.7.0", 12);
	put(b, n, 4);
	put_table(b, e, n, /* is_new= */ false, 0);
}

/* What glibc 2.<release> finds in these bytes. */
static const char *found(const void *bytes, size_t n, unsigned release, const char *name)
{
	size_t depth = kv_root_depth(root);
	const char *path = "-";
	enum kv_open r;

	kv_root_lay_bytes(root, "/etc/ld.so.cache", (struct kv_span){ bytes, n });
	kv_loader_refresh(loader);
	kv_loader_ldso(loader);
	loader->ldso->version = release;
	r = kv_cache_find(loader, name, &path);
	kv_root_pop(root, depth);
	return r == KV_OPEN_ABORT ? "!" : r == KV_OPEN_UNKNOWN ? "?" : path;
}

static const struct entry plain[] = {
	{ "libz.so.10", "/z10", X64, 0, 0 },     { "libz.so.9", "/z9", X64, 0, 0 },
	{ "libb.so.1", "/b-arm", 0xa03, 0, 0 },  { "libb.so.1", "/b", X64, 0, 0 },
	{ "libb.so.1", "/b-second", X64, 0, 0 }, { "liba.so.1", "/a", X64, 0, 0 },
};

static void check_plain(const struct kv_buf *b, unsigned release)
{
	static const struct {
		const char *name, *path;
	} want[] = { { "libz.so.10", "/z10" }, { "libz.so.9", "/z9" },
		     { "libz.so.09", "/z9" },  { "libb.so.1", "/b" },
		     { "liba.so.1", "/a" },    { "liba.so", "-" },
		     { "libq.so.1", "-" },     { "", "-" } };

	for (size_t i = 0; i < KV_ARRAY_SIZE(want); i++)
		assert_string_equal(found(b->text, b->n, release, want[i].name), want[i].path);
}

static void test_three_formats(void **state)
{
	static const unsigned releases[] = { 27, 28, 31, 32, 33, 36, 37, 41, 43, 0 };
	_buf_ struct kv_buf new = { 0 }, old = { 0 }, both = { 0 };

	(void)state;
	put_new(&new, plain, KV_ARRAY_SIZE(plain), 2);
	put_old(&old, plain, KV_ARRAY_SIZE(plain));
	/* The old table of the two says otherwise, and is not looked at. */
	kv_buf_add(&both, "ld.so-1.7.0", 12);
	put(&both, 1, 4);
	put(&both, X64, 4);
	put(&both, 0, 8);
	put(&both, 0, 4); /* up to a multiple of 8 */
	put_new(&both, plain, KV_ARRAY_SIZE(plain), 2);
	for (size_t i = 0; i < KV_ARRAY_SIZE(releases); i++) {
		check_plain(&new, releases[i]);
		check_plain(&old, releases[i]);
		check_plain(&both, releases[i]);
	}
}

static void test_byte_order(void **state)
{
	_buf_ struct kv_buf b = { 0 };

	(void)state;
	put_new(&b, plain, KV_ARRAY_SIZE(plain), 0);
	assert_string_equal(found(b.text, b.n, 36, "liba.so.1"), "/a");
	for (char order = 1; order <= 4; order++) {
		b.text[28] = order;
		assert_string_equal(found(b.text, b.n, 36, "liba.so.1"), order == 2 ? "/a" : "-");
		assert_string_equal(found(b.text, b.n, 28, "liba.so.1"), "/a");
	}
	assert_string_equal(kv_cache_fault(loader) ? "fault" : "none", "none");
	found(b.text, b.n, 36, "liba.so.1");
	assert_string_equal(kv_cache_fault(loader), "written for the other byte order");
}

/* The best of those that the CPU has, whatever their order; only then a plain one. */
static void test_named_hwcaps(void **state)
{
	const struct entry e[] = {
		{ "libh.so", "/other-arch", 0xa03, 0, NAMED | 1 },
		{ "libh.so", "/v2", X64, 0, NAMED | 0 },
		{ "libh.so", "/v4", X64, 0, NAMED | 2 },
		{ "libh.so", "/v3-needs-v4", X64, 0, NAMED | (uint64_t)3 << 32 | 1 },
		{ "libh.so", "/v3-needs-v3", X64, 0, NAMED | (uint64_t)2 << 32 | 1 },
		{ "libh.so", "/v3-second", X64, 0, NAMED | 1 },
		{ "libh.so", "/no-such-name", X64, 0, NAMED | 3 },
		{ "libh.so", "/plain", X64, 0, 0 },
	};
	_buf_ struct kv_buf b = { 0 }, both = { 0 };

	(void)state;
	put_new(&b, e, KV_ARRAY_SIZE(e), 2);
	put_old(&both, NULL, 0);
	put_new(&both, e, KV_ARRAY_SIZE(e), 2);
	assert_string_equal(found(b.text, b.n, 36, "libh.so"), "/v3-needs-v3");
	/* The extension counts from the file's start behind an old table as well. */
	assert_string_equal(found(both.text, both.n, 36, "libh.so"), "/v3-needs-v3");
	loader->cpu_level = 4;
	assert_string_equal(found(b.text, b.n, 41, "libh.so"), "/v4");
	loader->cpu_level = 2;
	assert_string_equal(found(b.text, b.n, 41, "libh.so"), "/v2");
	loader->cpu_level = 1;
	assert_string_equal(found(b.text, b.n, 41, "libh.so"), "/plain");
	/* Before 2.33 that bit is a capability that nothing has. */
	loader->cpu_level = 3;
	assert_string_equal(found(b.text, b.n, 32, "libh.so"), "/plain");
}

static void test_legacy_hwcaps(void **state)
{
	const uint64_t tls = (uint64_t)1 << 63;
	const struct entry e[] = {
		{ "liba.so", "/tls", X64, 0, tls },
		{ "liba.so", "/plain", X64, 0, 0 },
		{ "libb.so", "/i686", X64, 0, (uint64_t)1 << 49 },
		{ "libb.so", "/x86_64", X64, 0, 2 },
		{ "libc.so", "/unknown", X64, 0, 1 << 20 },
		{ "libc.so", "/new-kernel", X64, 0x630000, 0 },
		{ "libc.so", "/plain", X64, 0x30200, 0 },
	};
	struct entry sorted[KV_ARRAY_SIZE(e)];
	_buf_ struct kv_buf b = { 0 };

	(void)state;
	memcpy(sorted, e + 4, 3 * sizeof(e[0]));
	memcpy(sorted + 3, e + 2, 2 * sizeof(e[0]));
	memcpy(sorted + 5, e, 2 * sizeof(e[0]));
	put_new(&b, sorted, KV_ARRAY_SIZE(e), 2);
	for (unsigned release = 28; release < 44; release++) {
		bool legacy = release < 40;

		assert_string_equal(found(b.text, b.n, release, "liba.so"),
				    legacy ? "/tls" : "/plain");
		assert_string_equal(found(b.text, b.n, release, "libb.so"),
				    legacy ? "/x86_64" : "-");
		assert_string_equal(found(b.text, b.n, release, "libc.so"),
				    release < 36 ? "/plain" : "/new-kernel");
	}
}

static void test_i386_takes_two_flags(void **state)
{
	const struct entry e[] = {
		{ "liba.so", "/any-1", 1, 0, 0 },
		{ "liba.so", "/any-2", 1, 0, 0 },
		{ "liba.so", "/libc6", 3, 0, 0 },
		{ "liba.so", "/x86-64", X64, 0, 0 },
	};
	_buf_ struct kv_buf new = { 0 }, old = { 0 };

	(void)state;
	loader = kv_loader_new(root, EM_386, /* is64= */ false, /* be= */ false, 3);
	put_new(&new, e, KV_ARRAY_SIZE(e), 2);
	put_old(&old, e, KV_ARRAY_SIZE(e));
	/* SEARCH_CACHE goes on for the exact one; search_cache() stops in the new format alone. */
	assert_string_equal(found(new.text, new.n, 31, "liba.so"), "/libc6");
	assert_string_equal(found(old.text, old.n, 31, "liba.so"), "/libc6");
	assert_string_equal(found(new.text, new.n, 36, "liba.so"), "/any-1");
	assert_string_equal(found(old.text, old.n, 36, "liba.so"), "/libc6");
}

static void test_damaged(void **state)
{
	_buf_ struct kv_buf b = { 0 };
	uint32_t v;

	(void)state;
	put_new(&b, plain, KV_ARRAY_SIZE(plain), 2);
	/* More entries than there is room for. */
	v = 0x10000;
	memcpy(b.text + 20, &v, 4);
	assert_string_equal(found(b.text, b.n, 36, "liba.so.1"), "-");
	assert_string_equal(found(b.text, b.n, 31, "liba.so.1"), "?");
	v = KV_ARRAY_SIZE(plain);
	memcpy(b.text + 20, &v, 4);
	/* A key out of bounds ends the search, a value so is passed over. */
	v = (uint32_t)b.n;
	memcpy(b.text + 48 + 24 * 3 + 8, &v, 4);
	assert_string_equal(found(b.text, b.n, 36, "libb.so.1"), "/b-second");
	memcpy(b.text + 48 + 4, &v, 4);
	assert_string_equal(found(b.text, b.n, 36, "libz.so.10"), "-");
	assert_string_equal(found(b.text, b.n, 36, "liba.so.1"), "/a");
	assert_string_equal(found("", 0, 36, "liba.so.1"), "-");
	assert_non_null(kv_cache_fault(loader));
}

/* The last string may lack its NUL: the page behind the file is zeros. */
static void test_string_without_end(void **state)
{
	const struct entry e[] = { { "liba.so", "/a", X64, 0, 0 } };
	_buf_ struct kv_buf b = { 0 };

	(void)state;
	kv_buf_add(&b, "ld.so-1.7.0", 12);
	put(&b, 1, 4);
	put_table(&b, e, 1, /* is_new= */ false, 0);
	assert_string_equal(found(b.text, b.n - 1, 36, "liba.so"), "/a");
	assert_string_equal(found(b.text, b.n - 2, 36, "liba.so"), "/");
	assert_string_equal(found(b.text, b.n - 3, 36, "liba.so"), "-");
}

/* Any bytes are looked up to an end, inside their bounds (the sanitizers watch). */
static void test_any_bytes(void **state)
{
	static const unsigned releases[] = { 27, 31, 36, 43 };
	_buf_ struct kv_buf b = { 0 };
	uint32_t seed = 20260822;

	(void)state;
	put_old(&b, plain, KV_ARRAY_SIZE(plain));
	put(&b, 0, (size_t)(-(ssize_t)b.n & 7));
	put_new(&b, plain, KV_ARRAY_SIZE(plain), 2);
	for (size_t n = 0; n <= b.n; n++)
		for (size_t i = 0; i < KV_ARRAY_SIZE(releases); i++)
			assert_non_null(found(b.text, n, releases[i], "libb.so.1"));
	for (int round = 0; round < 3000; round++) {
		struct kv_arena_mark mark = kv_arena_mark(arena);
		_free_ char *copy = malloc(b.n);

		memcpy(copy, b.text, b.n);
		for (int k = 0; k < 4; k++) {
			seed = seed * 1664525 + 1013904223;
			copy[(seed >> 8) % b.n] = (char)(seed >> 24);
		}
		assert_non_null(found(copy, b.n, releases[round % 4], "libz.so.9"));
		kv_arena_rewind(arena, mark);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_three_formats),        T(test_byte_order),
		T(test_named_hwcaps),         T(test_legacy_hwcaps),
		T(test_i386_takes_two_flags), T(test_damaged),
		T(test_string_without_end),   T(test_any_bytes),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
