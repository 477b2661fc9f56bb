/*
 * Damaged and hostile squashfs images: names with '/', '..', duplicates, cycles, links that are too
 * long, tables that lie, every kind of cut, thousands of flipped bits. What is asked for is a clear
 * error, never a crash of the program, a hang, or an answer from outside of the image.
 */
#include <endian.h>

#include "root/squash_box.h"
#include "squash_fixture.h"

/* Sizes that hostile images ask for are refused, also under a sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static struct sqfix *fix;
static uint64_t seed = 7;

static uint32_t any(uint64_t below)
{
	seed = seed * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)((seed >> 33) % below);
}

/* ---- an image whose tables are not compressed, to be changed by hand ---- */

static struct kv_span plain;
static uint8_t *bad; /* a copy of it */

static void fresh(void)
{
	memcpy(bad, plain.p, plain.n);
}

static size_t find(const char *text)
{
	size_t at = kv_span_find(plain, 0, text, strlen(text));

	assert_true(at < plain.n);
	/* There is only one. */
	assert_true(kv_span_find(plain, at + 1, text, strlen(text)) == plain.n);
	return at;
}

/* Opening says so, or the first question that runs into it; and all later ones. */
static void is_refused(const void *bytes, size_t n, const char *says)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	struct kv_root *r = NULL;
	const char *text = err.msg;

	if (kv_root_open(a, sqfix_write(fix, "bad", bytes, n), &r, &err) == 0) {
		assert_true(sqfix_look_around(r) > 0);
		text = kv_root_fault(r);
		assert_non_null(text);
	}
	if (!strstr(text, says))
		fail_msg("\"%s\" does not say \"%s\"", text, says);
	assert_null(strchr(text, '\n'));
	kv_root_close(r);
	kv_arena_free(a);
}

static void put(size_t at, const char *bytes, size_t n)
{
	assert_true(at < plain.n && plain.n - at >= n);
	memcpy(bad + at, bytes, n);
}

static void refuse(size_t at, const char *bytes, size_t n, const char *says)
{
	fresh();
	put(at, bytes, n);
	is_refused(bad, plain.n, says);
}

static void test_names(void **state)
{
	size_t at = find("file-name-1");
	static const char *const names[] = {
		"../../../..", "/etc/passwd",  "file/name-1", "file-name-0",
		"file-name-2", "a\0le-name-1", "zile-name-1",
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
		refuse(at, names[i], 11, "a name that cannot be, or twice the same");
	/* "." and "..": the entry's size says how long the name is. The rest moves, which is
	 * damage in itself, but the name comes first. */
	fresh();
	put(at - 2, "\0\0.", 3);
	is_refused(bad, plain.n, "damaged squashfs image");
	fresh();
	put(at - 2, "\1\0..", 4);
	is_refused(bad, plain.n, "damaged squashfs image");
	/* Names that are longer than a name can be, to the byte. */
	refuse(at - 2, "\xff\0", 2, "make no sense");
	refuse(at - 2, "\xff\xff", 2, "make no sense");
}

/* An entry is 16 bits each of offset, difference of numbers, type, size, and then the name. */
static void test_entries(void **state)
{
	size_t dir = find("directory-1"), sub = find("below-dir-1"), file = find("file-name-1");

	(void)state;
	/* Below itself, and twice. */
	fresh();
	memcpy(bad + sub - 8, bad + dir - 8, 2);
	is_refused(bad, plain.n, "a directory lies in two places");
	/* The root below itself: its inode is the last one. */
	fresh();
	memcpy(bad + sub - 8, plain.p + 32, 2);
	is_refused(bad, plain.n, "a directory lies in two places");
	/* A file that is said to be a directory, and the other way round; kinds that are none. */
	refuse(file - 4, "\1\0", 2, "damaged squashfs image");
	refuse(dir - 4, "\2\0", 2, "is not what its directory says");
	refuse(file - 4, "\3\0", 2, "is not what its directory says");
	refuse(file - 4, "\0\0", 2, "make no sense");
	refuse(file - 4, "\10\0", 2, "make no sense");
	refuse(file - 4, "\xff\xff", 2, "make no sense");
	/* Inodes in the middle of others, and where there are none. */
	refuse(file - 8, "\xff\x1f", 2, "damaged squashfs image");
	refuse(file - 8, "\xff\xff", 2, "outside");
}

static void test_links(void **state)
{
	size_t at = find("text-of-a-link");

	(void)state;
	refuse(at - 4, "\0\0\0\0", 4, "a link");
	refuse(at - 4, "\0\x10\0\0", 4, "damaged squashfs image");
	refuse(at - 4, "\xff\xff\0\0", 4, "damaged squashfs image");
	refuse(at - 4, "\xff\xff\xff\xff", 4, "damaged squashfs image");
	refuse(at, "text\0of", 7, "a text that cannot be");
}

static void test_superblock(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t n;
		const char *says;
	} cases[] = {
		{ 12, "\0\0\0\0", 4, "superblock" }, /* block size */
		{ 12, "\1\0\2\0", 4, "superblock" },
		{ 12, "\0\0\0\x40", 4, "superblock" },
		{ 22, "\x0b\0", 2, "superblock" }, /* its logarithm */
		{ 20, "\x63\0", 2, "" },           /* compression */
		{ 20, "\0\0", 2, "" },
		{ 28, "\3\0", 2, "version other than 4.0" },
		{ 30, "\1\0", 2, "version other than 4.0" },
		{ 40, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "cut short" }, /* bytes used */
		{ 32, "\0\0\0\0\0\0\0\0", 8, "" },                          /* the root is a file */
		{ 32, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "" },
		{ 32, "\0\0\0\0\0\0\1\0", 8, "outside" },
		{ 48, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "" }, /* owners */
		{ 64, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "" }, /* inodes */
		{ 64, "\0\0\0\0\0\0\0\0", 8, "" },
		{ 72, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "" }, /* directories */
		{ 72, "\0\0\0\0\0\0\0\0", 8, "" },
		{ 26, "\0\0", 2, "" }, /* number of owners */
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++)
		refuse(cases[i].at, cases[i].bytes, cases[i].n, cases[i].says);
}

/* The size of a file is patched: its inode is found by the size, which no other file has. */
static void test_sizes(void **state)
{
	uint32_t size = htole32(333333);
	char text[5] = { 0 };
	size_t at;

	(void)state;
	memcpy(text, &size, 4);
	at = find(text);
	refuse(at, "\xff\xff\xff\xff", 4, "damaged squashfs image");
	refuse(at, "\0\0\0\x7f", 4, "damaged squashfs image");
	refuse(at, "\x16\x15\5\0", 4, "file data");
	/* Its blocks: behind the end, larger than a block, compressed where nothing is. */
	refuse(at - 12, "\xff\xff\xff\xff", 4, "outside");
	refuse(at + 4, "\xff\xff\xff\x01", 4, "file data");
	refuse(at + 4, "\1\0\0\1", 4, "file data");
	refuse(at + 4, "\0\0\1\0", 4, "does not decompress");
}

/* ---- in this process, as the reader's process does it: thousands of times ---- */

static int read_bytes(void *arg, uint64_t off, void *buf, size_t n)
{
	const struct kv_span *s = arg;

	assert_true(off <= s->n && s->n - off >= n);
	memcpy(buf, s->p + off, n);
	return 0;
}

struct tour {
	struct kv_sq *s;
	uint8_t *payload;
	unsigned left; /* questions */
};

static bool ask(struct tour *t, enum kv_sq_op op, uint64_t ref, uint64_t off,
		struct kv_sq_reply *ret)
{
	struct kv_sq_request rq = { .op = op, .ref = ref, .off = off, .n = 200000 };

	if (!t->left)
		return false;
	t->left--;
	kv_sq_answer(t->s, &rq, t->payload, ret);
	assert_true(ret->n <= KV_SQ_PAYLOAD && ret->error <= 0);
	assert_true(!ret->error || ret->n > 0);
	return !ret->error;
}

static void tour_dir(struct tour *t, uint64_t ref, int depth)
{
	struct kv_sq_reply rp, other;
	struct kv_sq_entry entry;
	struct kv_sq_list head;
	uint8_t *copy;

	if (depth > 5 || !ask(t, KV_SQ_LIST, ref, 0, &rp))
		return;
	copy = malloc(rp.n + 1);
	assert_non_null(copy);
	memcpy(copy, t->payload, rp.n);
	memcpy(&head, copy, sizeof(head));
	for (uint32_t at = sizeof(head); at < sizeof(head) + head.n;
	     at += (uint32_t)sizeof(entry) + entry.n + 1) {
		memcpy(&entry, copy + at, sizeof(entry));
		ask(t, KV_SQ_INODE, entry.ref, 0, &other);
		ask(t, KV_SQ_FRAGMENT, any(3), 0, &other);
		ask(t, KV_SQ_READ, entry.ref, any(400000), &other);
		tour_dir(t, entry.ref, depth + 1);
	}
	free(copy);
}

static void tour(const uint8_t *bytes, size_t n)
{
	static uint8_t payload[KV_SQ_PAYLOAD];
	struct kv_span span = { bytes, n };
	struct kv_sq_source source = { read_bytes, &span, n };
	struct tour t = { .payload = payload, .left = 400 };
	const char *why = NULL;
	uint64_t root;

	if (kv_sq_open(&source, &t.s, &root, &why) < 0) {
		assert_true(why && *why && strlen(why) < 200);
		return;
	}
	tour_dir(&t, root, 0);
	kv_sq_close(t.s);
}

/* Mostly in the superblock and in the tables, which lie at the end. */
static void flip(uint8_t *bytes, const struct kv_span *s)
{
	uint64_t tables = 0;

	kv_span_u64(*s, 64, false, &tables);
	for (uint32_t i = any(4) + 1; i; i--) {
		uint32_t where = any(8);
		uint64_t at = where == 0   ? any(96)
			      : where == 7 ? any(s->n)
					   : tables + any(s->n - tables);

		bytes[at] ^= (uint8_t)(1 << any(8));
	}
}

static void test_flips(void **state)
{
	static const char *const options[] = { "-noI -noD -noF -noX", "-comp gzip", "-comp lzo",
					       "-comp zstd",          "-comp xz",   "-comp lz4" };

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(options); i++) {
		struct kv_span s;
		uint8_t *copy;

		sqfix_image(fix, "image", options[i]);
		s = sqfix_bytes(fix, "image");
		copy = kv_alloc_raw(fix->a, s.n);
		for (int j = 0; j < 1500; j++) {
			memcpy(copy, s.p, s.n);
			flip(copy, &s);
			tour(copy, s.n);
		}
	}
}

static void test_cuts(void **state)
{
	uint64_t used = 0, tables = 0;

	(void)state;
	assert_true(kv_span_u64(plain, 40, false, &used));
	assert_true(kv_span_u64(plain, 64, false, &tables));
	for (uint64_t n = 0; n < used; n += n < 120 || n > tables ? 1 : 997) {
		/* Of its own size, so that a sanitizer sees what is read behind it. */
		uint8_t *cut = malloc(n + !n);

		assert_non_null(cut);
		memcpy(cut, plain.p, n);
		tour(cut, n);
		if (n >= 48) { /* also where the superblock hides that it is cut */
			memcpy(cut + 40, &(uint64_t){ htole64(n) }, 8);
			tour(cut, n);
		}
		free(cut);
	}
}

/* ---- the whole way ---- */

static void test_whole_way(void **state)
{
	size_t refused = 0;

	(void)state;
	for (size_t n = 4; n < plain.n; n += n < 100 ? 23 : plain.n / 40)
		if (plain.n - n > 4096) /* more than its padding */
			is_refused(plain.p, n, "damaged squashfs image");
	for (int i = 0; i < 250; i++) {
		struct kv_arena *a = kv_arena_new();
		struct kv_err err = { 0 };
		struct kv_root *r;
		int e;

		fresh();
		flip(bad, &plain);
		memcpy(bad, "hsqs", 4);
		e = kv_root_open(a, sqfix_write(fix, "bad", bad, plain.n), &r, &err);
		if (e == 0) {
			size_t errors = sqfix_look_around(r);

			assert_int_equal(errors > 0, kv_root_fault(r) != NULL);
			refused += errors > 0;
			kv_root_close(r);
		} else {
			assert_true(*err.msg);
			refused++;
		}
		kv_arena_free(a);
	}
	assert_true(refused > 50);
}

static int setup(void **state)
{
	(void)state;
	/* The reader's own limit, which some damage runs into. */
	kv_box_limit_memory();
	fix = sqfix_new();
	sqfix_file(fix, "file-name-0", 10, 1);
	sqfix_file(fix, "file-name-1", 333333, 2);
	sqfix_file(fix, "file-name-2", 150000, 3);
	sqfix_dir(fix, "directory-1");
	sqfix_dir(fix, "directory-1/below-dir-1");
	sqfix_file(fix, "directory-1/below-dir-1/file", 200, 4);
	sqfix_link(fix, "zink", "text-of-a-link");
	sqfix_image(fix, "image", "-noI -noD -noF -noX -all-root");
	plain = sqfix_bytes(fix, "image");
	bad = kv_alloc_raw(fix->a, plain.n);
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
		cmocka_unit_test(test_names), cmocka_unit_test(test_entries),
		cmocka_unit_test(test_links), cmocka_unit_test(test_superblock),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_flips),
		cmocka_unit_test(test_cuts),  cmocka_unit_test(test_whole_way),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
