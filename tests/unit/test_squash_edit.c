/*
 * Edited squashfs images against the real unsquashfs: what it unpacks must be the tree with the
 * edits carried out by hand, in every compression and layout; and damaged images, which must end in
 * an error or in an image, never in a crash.
 */
#include <sys/xattr.h>

#include "root/squash_edit.h"
#include "squash_fixture.h"

#define NOW 2000000000

static struct sqfix *fix, *little; /* little: just what the edits need to be there */

/* ---- edits ---- */

static kv_edits edits;

static struct kv_edit *edit(enum kv_edit_kind kind, const char *path)
{
	struct kv_edit *e = kv_vec_add(fix->a, &edits);

	*e = (struct kv_edit){
		.kind = kind,
		.path = path,
		.mode = 0755,
		.uid = geteuid(),
		.gid = getegid(),
		.source_fd = -1,
	};
	return e;
}

static void file_of(const char *path, size_t n, unsigned seed)
{
	uint32_t *noise = kv_alloc(fix->a, n + 4);

	/* Half of it compresses. */
	for (size_t i = 0; i < n / 8; i++)
		noise[i] = seed = seed * 1664525 + 1013904223;
	edit(KV_EDIT_FILE, path)->content = (struct kv_span){ (const uint8_t *)noise, n };
}

/* What a repair does, and the sizes around a block's. */
static void make_edits(void)
{
	char *name;

	edits.n = 0;
	edit(KV_EDIT_DIR, "/new");
	edit(KV_EDIT_DIR, "/new/below")->mode = 02700;
	file_of("/new/empty", 0, 1);
	file_of("/new/small", 100, 2);
	file_of("/new/block", 131072, 3);
	file_of("/new/behind", 131073, 4);
	file_of("/new/below/large", 1500000, 5);
	edit(KV_EDIT_LINK, "/new/link")->text = "../deep/er";
	edit(KV_EDIT_NAME, "/new/kept")->text = "/block";
	file_of("/block", 70000, 6);
	edits.v[edits.n - 1].mode = 04751;
	edits.v[edits.n - 1].keep_xattrs = true;
	if (geteuid() == 0) {
		edits.v[edits.n - 1].uid = 4242;
		edits.v[edits.n - 1].gid = 4243;
	}
	edit(KV_EDIT_NAME, "/new/was-a-link")->text = "/absolute";
	file_of("/absolute", 10, 7);
	edit(KV_EDIT_LINK, "/one")->text = "dangling";
	edit(KV_EDIT_REMOVE, "/deep/er/est/file");
	edit(KV_EDIT_DIR, "/deep/none/nothing");
	/* A list that is longer than many blocks, in which they come first, last and between. */
	for (unsigned i = 0; i < 40; i++) {
		name = kv_strf(fix->a, "/many/%0*u", 190, i * 50);
		edit(KV_EDIT_LINK, name)->text = "x";
	}
	edit(KV_EDIT_LINK, "/many/zzz")->text = "last";
	edit(KV_EDIT_LINK, "/many/!")->text = "first";
}

/* ---- the same by hand ---- */

static const char *at(const char *top, const char *path)
{
	return kv_strf(fix->a, "%s/%s%s", fix->top, top, path);
}

KV_PRINTF(1, 2) static void run(const char *fmt, ...)
{
	va_list ap;
	const char *command;

	va_start(ap, fmt);
	command = kv_vstrf(fix->a, fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static void put_file(const struct kv_edit *e, const char *path)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(kv_write_all(fd, e->content.p, e->content.n), 0);
	assert_int_equal(fchown(fd, e->uid, e->gid), 0);
	assert_int_equal(fchmod(fd, e->mode), 0);
	close(fd);
}

static void by_hand(const struct kv_edit *e, const char *path)
{
	struct timespec times[2] = { { .tv_sec = NOW }, { .tv_sec = NOW } };

	switch (e->kind) {
	case KV_EDIT_DIR:
		assert_int_equal(mkdir(path, 0755), 0);
		assert_int_equal(chmod(path, e->mode), 0);
		break;
	case KV_EDIT_FILE:
		put_file(e, path);
		break;
	case KV_EDIT_LINK:
		unlink(path);
		assert_int_equal(symlink(e->text, path), 0);
		break;
	case KV_EDIT_NAME:
		assert_int_equal(link(at("hand", e->text), path), 0);
		return;
	default:
		assert_int_equal(unlink(path), 0);
		return;
	}
	if (e->kind != KV_EDIT_DIR)
		assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* All directories that were touched get the time of the edits. */
static void edit_by_hand(void)
{
	struct timespec times[2] = { { .tv_sec = NOW }, { .tv_sec = NOW } };

	for (size_t i = 0; i < edits.n; i++)
		by_hand(&edits.v[i], at("hand", edits.v[i].path));
	for (size_t i = 0; i < edits.n; i++) {
		const char *path = at("hand", edits.v[i].path);

		assert_int_equal(utimensat(AT_FDCWD, kv_dirname(fix->a, path), times, 0), 0);
		if (edits.v[i].kind == KV_EDIT_DIR)
			assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
}

/* ---- both ---- */

static struct kv_squash_edit job(const char *image, const char *out)
{
	struct kv_squash_edit e = {
		.arena = kv_arena_new(),
		.image = open(image, O_RDONLY | O_CLOEXEC),
		.out = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
		.edits = &edits,
		.now = NOW,
	};

	assert_true(e.image >= 0 && e.out >= 0);
	return e;
}

static void done(struct kv_squash_edit *e)
{
	close(e->image);
	close(e->out);
	kv_arena_free(e->arena);
}

static void same(const char *hand, const char *other)
{
	struct sqfix_pair p = { .a = kv_arena_new() };
	struct kv_err err = { 0 };

	assert_int_equal(kv_root_open(p.a, sqfix_path(fix, hand), &p.dir, &err), 0);
	if (kv_root_open(p.a, sqfix_path(fix, other), &p.image, &err) < 0)
		fail_msg("%s", err.msg);
	sqfix_same(&p);
	assert_true(p.n_files > 1500 && p.n_dirs == 11 && p.n_links > 40);
	kv_root_close(p.dir);
	kv_root_close(p.image);
	kv_arena_free(p.a);
}

/* What the edits leave is the same for every image of the tree. */
static void compare(const char *options)
{
	const char *image = sqfix_image(fix, "image", options), *out = sqfix_path(fix, "out");
	struct kv_squash_edit e = job(image, out);
	struct kv_err err = { 0 };

	print_message("    %s\n", options);
	if (kv_squash_edit(&e, &err) < 0)
		fail_msg("%s", err.msg);
	done(&e);
	run("rm -rf %s/unpacked; unsquashfs -q -n -d %s/unpacked %s >%s/log 2>&1", fix->top,
	    fix->top, out, fix->top);
	same("hand", "unpacked");
}

static void test_compressions(void **state)
{
	static const char *const names[] = { "gzip", "lzo", "lz4", "xz", "zstd", "lzma" };

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
		if (sqfix_can(fix, names[i]))
			compare(kv_strf(fix->a, "-comp %s", names[i]));
}

static void test_options(void **state)
{
	/* enroot's default; what clouds recommend; what else changes the layout. */
	static const char *const options[] = {
		"-comp lzo -noD",
		"-noI -noD -noF -noX -no-duplicates",
		"-no-exports -no-xattrs -nopad",
		"-b 4096 -comp lzo -no-fragments",
		"-b 1M -comp xz -Xbcj x86",
		"-comp xz -Xdict-size 8192",
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(options); i++)
		compare(options[i]);
}

/* An edited image can be edited, and mksquashfs can append to it. */
static void test_again(void **state)
{
	kv_edits first = edits;
	struct kv_err err = { 0 };
	struct kv_squash_edit e;

	(void)state;
	e = job(sqfix_image(fix, "image", "-comp lzo"), sqfix_path(fix, "out"));
	assert_int_equal(kv_squash_edit(&e, &err), 0);
	done(&e);
	edits = (kv_edits){ 0 };
	for (unsigned i = 0; i < 3000; i++)
		file_of(kv_strf(fix->a, "/new/below/%u", i), i % 50, i);
	e = job(sqfix_path(fix, "out"), sqfix_path(fix, "second"));
	assert_int_equal(kv_squash_edit(&e, &err), 0);
	done(&e);
	run("rm -rf %s/unpacked; unsquashfs -q -n -d %s/unpacked %s/second >%s/log 2>&1", fix->top,
	    fix->top, fix->top, fix->top);
	run("test $(ls %s/unpacked/new/below | wc -l) = 3001", fix->top);
	run("cmp %s/unpacked/new/below/large %s/hand/new/below/large", fix->top, fix->top);
	run("mkdir %s/more && echo more >%s/more/more", fix->top, fix->top);
	run("mksquashfs %s/more %s/second -no-progress >%s/log 2>&1", fix->top, fix->top, fix->top);
	run("test \"$(unsquashfs -cat %s/second more)\" = more", fix->top);
	run("unsquashfs -cat %s/second new/below/large | cmp - %s/hand/new/below/large", fix->top,
	    fix->top);
	edits = first;
}

/* ---- what cannot be done ---- */

static void refuse(const char *image, const char *says)
{
	struct kv_squash_edit e = job(image, sqfix_path(fix, "out"));
	struct kv_err err = { 0 };

	assert_true(kv_squash_edit(&e, &err) < 0);
	if (!strstr(err.msg, says))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
	assert_null(strchr(err.msg, '\n'));
	done(&e);
}

static void test_refused(void **state)
{
	static const struct {
		enum kv_edit_kind kind;
		const char *path, *says;
	} cases[] = {
		{ KV_EDIT_DIR, "/deep", "exists already" },
		{ KV_EDIT_FILE, "/deep/er", "exists already" },
		{ KV_EDIT_REMOVE, "/deep/er", "exists already" },
		{ KV_EDIT_REMOVE, "/nothing", "is not there" },
		{ KV_EDIT_LINK, "/fifo", "exists already" },
		{ KV_EDIT_DIR, "/one/below", "is no directory" },
		{ KV_EDIT_DIR, "/link/below", "is no directory" },
		{ KV_EDIT_DIR, "/nothing/below", "is no directory" },
		{ KV_EDIT_DIR, "/", "not a path" },
		{ KV_EDIT_NAME, "/name", "is not there" },
	};
	kv_edits all = edits;
	const char *image = sqfix_image(fix, "image", "-comp gzip");

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		edits = (kv_edits){ 0 };
		edit(cases[i].kind, cases[i].path)->text = "/deep/missing";
		refuse(image, cases[i].says);
	}
	edits = (kv_edits){ 0 };
	edit(KV_EDIT_DIR, "/twice");
	edit(KV_EDIT_DIR, "/twice");
	refuse(image, "twice");
	edits = all;
	refuse("/dev/null", "not a squashfs image");
	refuse("/proc/self/exe", "not a squashfs image");
}

/* A signature of the old content. Not every file system takes one. */
static void test_signed(void **state)
{
	const char *block = kv_strf(little->a, "%s/tree/block", little->top);

	(void)state;
	if (setxattr(block, "security.ima", "x", 1, 0) < 0)
		skip();
	refuse(sqfix_image(little, "image", "-comp gzip"), "is signed");
	assert_int_equal(removexattr(block, "security.ima"), 0);
}

/* ---- damage ---- */

static uint64_t seed = 11;

static uint32_t any(uint64_t below)
{
	seed = seed * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)((seed >> 33) % below);
}

/* An error with a text, or an image that can be looked at. */
static bool survives(const uint8_t *bytes, size_t n)
{
	struct kv_squash_edit e =
		job(sqfix_write(little, "bad", bytes, n), sqfix_path(little, "out"));
	struct kv_err err = { 0 };
	struct kv_root *r;
	int code = kv_squash_edit(&e, &err);

	assert_true(code == 0 || (*err.msg && !strchr(err.msg, '\n')));
	if (code == 0 && kv_root_open(e.arena, sqfix_path(little, "out"), &r, &err) == 0) {
		sqfix_look_around(r);
		kv_root_close(r);
	}
	done(&e);
	return code == 0;
}

static void test_flips(void **state)
{
	static const char *const options[] = { "-noI -noD -noF -noX", "-comp gzip", "-comp lzo" };
	size_t refused = 0, written = 0;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(options); i++) {
		uint64_t tables = 0;
		struct kv_span s;
		uint8_t *copy;

		sqfix_image(little, "image", options[i]);
		s = sqfix_bytes(little, "image");
		kv_span_u64(s, 64, false, &tables);
		copy = kv_alloc_raw(little->a, s.n);
		for (int j = 0; j < 100; j++) {
			memcpy(copy, s.p, s.n);
			for (uint32_t k = any(3) + 1; k; k--)
				copy[any(3) ? tables + any(s.n - tables) : any(96)] ^=
					(uint8_t)(1 << any(8));
			memcpy(copy, "hsqs", 4);
			if (survives(copy, s.n))
				written++;
			else
				refused++;
		}
	}
	assert_true(refused > 100 && written > 20);
}

static void test_cuts(void **state)
{
	uint64_t tables = 0, used = 0;
	struct kv_span s;

	(void)state;
	sqfix_image(little, "image", "-comp lzo");
	s = sqfix_bytes(little, "image");
	kv_span_u64(s, 64, false, &tables);
	kv_span_u64(s, 40, false, &used);
	for (uint64_t n = 0; n < used; n += n < 100 ? 7 : n < tables ? tables / 3 : 61)
		assert_false(survives(s.p, n));
	assert_true(survives(s.p, used));
}

static void make_little(void)
{
	little = sqfix_new();
	sqfix_file(little, "block", 200000, 1);
	sqfix_file(little, "one", 1, 1);
	sqfix_link(little, "absolute", "/one");
	sqfix_dir(little, "deep");
	sqfix_dir(little, "deep/er");
	sqfix_dir(little, "deep/er/est");
	sqfix_file(little, "deep/er/est/file", 100, 2);
	sqfix_dir(little, "deep/none");
	sqfix_dir(little, "many");
}

static int setup(void **state)
{
	(void)state;
	make_little();
	fix = sqfix_new();
	sqfix_everything(fix);
	make_edits();
	run("mksquashfs %s/tree %s/image -no-progress >%s/log 2>&1", fix->top, fix->top, fix->top);
	run("unsquashfs -q -n -d %s/hand %s/image >%s/log 2>&1", fix->top, fix->top, fix->top);
	edit_by_hand();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sqfix_free(fix);
	sqfix_free(little);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compressions), cmocka_unit_test(test_options),
		cmocka_unit_test(test_again),        cmocka_unit_test(test_refused),
		cmocka_unit_test(test_signed),       cmocka_unit_test(test_flips),
		cmocka_unit_test(test_cuts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
