#include <dirent.h>
#include <ftw.h>
#include <sys/sysmacros.h>

#include "squash_fixture.h"

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

struct sqfix *sqfix_new(void)
{
	struct sqfix *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->a = kv_arena_new();
	strcpy(f->top, "/tmp/kvpath-squash-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	sqfix_dir(f, "");
	return f;
}

void sqfix_free(struct sqfix *f)
{
	nftw(f->top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	kv_arena_free(f->a);
	free(f);
}

const char *sqfix_path(struct sqfix *f, const char *name)
{
	return kv_strf(f->a, "%s/%s", f->top, name);
}

static const char *in_tree(struct sqfix *f, const char *rel)
{
	return kv_strf(f->a, "%s/tree/%s", f->top, rel);
}

void sqfix_dir(struct sqfix *f, const char *rel)
{
	assert_int_equal(mkdir(in_tree(f, rel), 0755), 0);
}

void sqfix_file(struct sqfix *f, const char *rel, size_t n, unsigned seed)
{
	uint32_t *noise = kv_alloc(f->a, n + 4);
	int fd = open(in_tree(f, rel), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	for (size_t i = 0; seed && i < n / 4 + 1; i++)
		noise[i] = seed = seed * 1664525 + 1013904223;
	assert_true(fd >= 0);
	assert_int_equal(kv_write_all(fd, noise, n), 0);
	close(fd);
}

void sqfix_link(struct sqfix *f, const char *rel, const char *text)
{
	assert_int_equal(symlink(text, in_tree(f, rel)), 0);
}

/* Small files that pack well: the others are noise, which lies in an image as it is. */
static void add_texts(struct sqfix *f)
{
	char text[30000];

	sqfix_dir(f, "texts");
	for (unsigned i = 0; i < 8; i++) {
		int fd = open(in_tree(f, kv_strf(f->a, "texts/%u", i)),
			      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

		for (size_t j = 0; j < sizeof(text); j++)
			text[j] = (char)('a' + (j * (i + 3) / 7) % 26);
		assert_true(fd >= 0);
		assert_int_equal(kv_write_all(fd, text, sizeof(text) - i), 0);
		close(fd);
	}
}

/* More names than one answer of the reader can carry, and names that look like something else. */
static void add_names(struct sqfix *f)
{
	static const char *const odd[] = { "odd/a b",          "odd/back\\slash", "odd/...",
					   "odd/.hidden",      "odd/-dash",       "odd/t\nwo",
					   "odd/\xc3\xa9\xff", "odd/\x01",        "odd/..a" };

	sqfix_dir(f, "many");
	for (unsigned i = 0; i < 1500; i++)
		sqfix_file(f, kv_strf(f->a, "many/%0*u", i % 7 ? 200 : 5, i), i % 3, i);
	sqfix_dir(f, "odd");
	for (size_t i = 0; i < KV_ARRAY_SIZE(odd); i++)
		sqfix_file(f, odd[i], 5, 3);
	sqfix_file(f, kv_strf(f->a, "odd/%0*u", 255, 7U), 1, 1);
}

static void add_kinds(struct sqfix *f)
{
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	char text[4096];

	assert_int_equal(mkfifo(in_tree(f, "fifo"), 0640), 0);
	if (geteuid() == 0) {
		assert_int_equal(mknod(in_tree(f, "null"), S_IFCHR | 0666, makedev(1, 3)), 0);
		assert_int_equal(mknod(in_tree(f, "disk"), S_IFBLK | 0660, makedev(7, 9)), 0);
		assert_int_equal(lchown(in_tree(f, "null"), 12345, 54321), 0);
	}
	sqfix_link(f, "link", "deep/er");
	sqfix_link(f, "absolute", "/deep/er/est/file");
	sqfix_link(f, "dangling", "/nowhere/at/all");
	sqfix_link(f, "loop", "loop");
	/* The longest that a file system takes. */
	memset(text, 'x', sizeof(text));
	text[4095] = '\0';
	sqfix_link(f, "long", text);
	assert_int_equal(link(in_tree(f, "block"), in_tree(f, "deep/hard")), 0);
	assert_int_equal(chmod(in_tree(f, "block"), 04751), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_tree(f, "block"), old, 0), 0);
}

void sqfix_everything(struct sqfix *f)
{
	int fd;

	sqfix_file(f, "empty", 0, 1);
	sqfix_file(f, "one", 1, 1);
	sqfix_file(f, "before", 131071, 2);
	sqfix_file(f, "block", 131072, 3);
	sqfix_file(f, "behind", 131073, 4);
	sqfix_file(f, "large", 1500000, 5);
	sqfix_file(f, "zeros", 700000, 0);
	sqfix_file(f, "hole", 200000, 6);
	fd = open(in_tree(f, "hole"), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "end", 3, 1000000), 3);
	close(fd);
	sqfix_dir(f, "deep");
	sqfix_dir(f, "deep/er");
	sqfix_dir(f, "deep/er/est");
	sqfix_dir(f, "deep/none");
	sqfix_file(f, "deep/er/est/file", 3000, 7);
	add_texts(f);
	add_names(f);
	add_kinds(f);
}

const char *sqfix_image(struct sqfix *f, const char *image, const char *options)
{
	const char *path = sqfix_path(f, image);
	const char *command = kv_strf(f->a, "mksquashfs %s/tree %s -no-progress %s >%s/log 2>&1",
				      f->top, path, options, f->top);

	unlink(path);
	assert_int_equal(system(command), 0);
	return path;
}

struct kv_span sqfix_bytes(struct sqfix *f, const char *image)
{
	int fd = open(sqfix_path(f, image), O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *p;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	p = kv_alloc_raw(f->a, (size_t)st.st_size);
	assert_int_equal(kv_read_all(fd, p, (size_t)st.st_size, 0, &n), 0);
	close(fd);
	return (struct kv_span){ p, n };
}

const char *sqfix_write(struct sqfix *f, const char *image, const void *bytes, size_t n)
{
	const char *path = sqfix_path(f, image);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(kv_write_all(fd, bytes, n), 0);
	close(fd);
	return path;
}

bool sqfix_can(struct sqfix *f, const char *compression)
{
	const char *command = kv_strf(f->a, "mksquashfs 2>&1 | grep -qw '^\t%s'", compression);

	return system(command) == 0;
}

static size_t look_at(struct kv_root *r, const char *path, int depth)
{
	static uint8_t buf[65536];
	struct kv_file *file;
	kv_dirents list = { 0 };
	struct kv_stat st;
	const char *text;
	size_t errors = 0, n;

	errors += kv_root_stat(r, path, KV_NOFOLLOW, &st) == -EIO;
	errors += kv_root_readlink(r, path, &text) == -EIO;
	if (kv_root_open_file(r, path, &file) == 0) {
		for (uint64_t at = 0; at < 300000; at += sizeof(buf))
			errors += kv_file_read(file, at, buf, sizeof(buf), &n) == -EIO;
		kv_file_close(file);
	}
	if (depth > 8 || kv_root_stat(r, path, KV_NOFOLLOW, &st) < 0 || !S_ISDIR(st.mode))
		return errors;
	errors += kv_root_list(r, path, &list) == -EIO;
	for (size_t i = 0; i < list.n && i < 100; i++)
		errors += look_at(r, kv_join(kv_root_arena(r), path, list.v[i].name), depth + 1);
	return errors;
}

size_t sqfix_look_around(struct kv_root *r)
{
	return look_at(r, "/", 0);
}

/* ---- comparing ---- */

static void same_stat(struct sqfix_pair *p, const char *path, struct kv_stat *ret)
{
	struct kv_stat have;

	if (kv_root_stat(p->dir, path, KV_NOFOLLOW, ret) < 0)
		fail_msg("%s: not in the directory", path);
	if (kv_root_stat(p->image, path, KV_NOFOLLOW, &have) < 0)
		fail_msg("%s: not in the image: %s", path, kv_root_fault(p->image));
	assert_int_equal(have.mode, ret->mode);
	assert_int_equal(have.uid, ret->uid);
	assert_int_equal(have.gid, ret->gid);
	assert_int_equal(have.mtime_s, ret->mtime_s);
	if (!S_ISDIR(ret->mode))
		assert_int_equal(have.size, ret->size);
}

/* All of it, and pieces at odd places, also across its end. */
static void same_bytes(struct sqfix_pair *p, const char *path, uint64_t size)
{
	struct kv_file *a, *b;
	uint8_t *x = malloc(size + 100), *y = malloc(size + 100);
	size_t nx, ny;

	assert_true(x && y);
	assert_int_equal(kv_root_open_file(p->dir, path, &a), 0);
	assert_int_equal(kv_root_open_file(p->image, path, &b), 0);
	assert_int_equal(kv_file_stat(b)->size, size);
	for (uint64_t at = 0, n = size + 100; at <= size + 1; at += size / 7 + 1, n = n / 2 + 1) {
		assert_int_equal(kv_file_read(a, at, x, n, &nx), 0);
		assert_int_equal(kv_file_read(b, at, y, n, &ny), 0);
		assert_int_equal(nx, ny);
		assert_memory_equal(x, y, nx);
	}
	kv_file_close(a);
	kv_file_close(b);
	free(x);
	free(y);
}

static void same_tree(struct sqfix_pair *p, const char *path);

static void same_list(struct sqfix_pair *p, const char *path)
{
	kv_dirents x = { 0 }, y = { 0 };

	assert_int_equal(kv_root_list(p->dir, path, &x), 0);
	assert_int_equal(kv_root_list(p->image, path, &y), 0);
	assert_int_equal(x.n, y.n);
	for (size_t i = 0; i < x.n; i++) {
		assert_string_equal(x.v[i].name, y.v[i].name);
		assert_int_equal(x.v[i].type, y.v[i].type);
		same_tree(p, kv_join(p->a, path, x.v[i].name));
	}
}

static void same_tree(struct sqfix_pair *p, const char *path)
{
	const char *x, *y;
	struct kv_stat st;

	same_stat(p, path, &st);
	if (S_ISDIR(st.mode)) {
		p->n_dirs++;
		same_list(p, path);
	} else if (S_ISREG(st.mode)) {
		p->n_files++;
		same_bytes(p, path, st.size);
	} else if (S_ISLNK(st.mode)) {
		p->n_links++;
		assert_int_equal(kv_root_readlink(p->dir, path, &x), 0);
		assert_int_equal(kv_root_readlink(p->image, path, &y), 0);
		assert_string_equal(x, y);
	} else {
		struct kv_file *f;

		p->n_others++;
		assert_int_equal(kv_root_open_file(p->image, path, &f), -EINVAL);
	}
}

void sqfix_same(struct sqfix_pair *p)
{
	same_tree(p, "/");
	assert_null(kv_root_fault(p->image));
}
