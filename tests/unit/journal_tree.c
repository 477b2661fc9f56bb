/* See journal_tree.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <limits.h>
#include <sys/xattr.h>

#include "journal_tree.h"

const char *jtree_host(const struct jtree *t, const char *path)
{
	static char host[PATH_MAX];

	snprintf(host, sizeof(host), "%s/root%s", t->path, path);
	return host;
}

void jtree_write(const struct jtree *t, const char *path, const char *text, uint32_t mode)
{
	int fd = open(jtree_host(t, path), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_dir(const struct jtree *t, const char *path, uint32_t mode)
{
	assert_int_equal(mkdir(jtree_host(t, path), 0700), 0);
	assert_int_equal(chmod(jtree_host(t, path), mode), 0);
}

/* Times of its own for each entry, odd nanoseconds included: an undo that forgets one shows. */
static void age(int dir, unsigned *n)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY));
	struct dirent *e;

	while ((e = readdir(d))) {
		struct timespec times[2] = {
			{ .tv_sec = 1000000000 + 2 * *n, .tv_nsec = 123456789 },
			{ .tv_sec = 1000000001 + 2 * *n, .tv_nsec = 987654321 }
		};
		int fd;

		if (kv_streq(e->d_name, ".."))
			continue;
		++*n;
		fd = kv_streq(e->d_name, ".")
			     ? -1
			     : openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
		if (fd >= 0) {
			age(fd, n);
			close(fd);
		}
		assert_int_equal(utimensat(dir, e->d_name, times, AT_SYMLINK_NOFOLLOW), 0);
	}
	closedir(d);
	/* readdir has moved this one's access time. */
	assert_int_equal(
		futimens(dir, (struct timespec[2]){ { .tv_sec = 999999999, .tv_nsec = 1 },
						    { .tv_sec = 999999998, .tv_nsec = *n } }),
		0);
}

void jtree_make(struct jtree *t, enum jtree_shape shape)
{
	const char *tmp = getenv("KV_TEST_DIR");
	unsigned n = 0, numbers[17000];

	/* Where there is memory for it, thousands of fsyncs cost nothing. */
	if (!tmp)
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(t->path, sizeof(t->path), "%s/kvjournal.XXXXXX", tmp);
	assert_non_null(mkdtemp(t->path));
	make_dir(t, "", 0755);
	make_dir(t, "/usr", 0755);
	make_dir(t, "/usr/lib", 02755);
	make_dir(t, "/opt", 0755);
	make_dir(t, "/cache", 0700);
	if (shape != JTREE_NO_VAR) {
		make_dir(t, "/var", 0755);
		make_dir(t, "/var/lib", 0755);
	}
	if (shape == JTREE_HAS_STATE)
		make_dir(t, "/var/lib/kvpath", 0755);
	jtree_write(t, "/cache/obj", "default = [\"UCX\"]\n", 0640);
	assert_int_equal(setxattr(jtree_host(t, "/cache/obj"), "user.kvtest", "x\0y", 3, 0), 0);
	t->root = open(jtree_host(t, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t->root >= 0);
	assert_int_equal(linkat(t->root, "cache/obj", t->root, "usr/lib/_api.py", 0), 0);
	jtree_write(t, "/usr/lib/libfabric.so.1.17", "old fabric", 0755);
	jtree_write(t, "/usr/lib/tool", "set-id tool", 04755);
	jtree_write(t, "/usr/lib/bytes\xff%name", "odd name", 0600);
	assert_int_equal(symlink("libfabric.so.1.17", jtree_host(t, "/usr/lib/libfabric.so.1")), 0);
	assert_int_equal(symlink("nowhere", jtree_host(t, "/usr/lib/dangling")), 0);
	assert_int_equal(symlink("a", jtree_host(t, "/usr/lib/other")), 0);
	if (geteuid() == 0) {
		assert_int_equal(fchownat(t->root, "usr/lib", 1234, 2345, 0), 0);
		assert_int_equal(fchownat(t->root, "usr/lib/_api.py", 1111, 2222, 0), 0);
		assert_int_equal(fchmodat(t->root, "usr/lib", 02755, 0), 0);
	}
	age(t->root, &n);
	t->source = open(jtree_host(t, "/../source"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (unsigned i = 0; i < KV_ARRAY_SIZE(numbers); i++)
		numbers[i] = i;
	assert_int_equal(write(t->source, numbers, sizeof(numbers)), sizeof(numbers));
}

static void drop(int dir)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;

	while ((e = readdir(d))) {
		if (kv_streq(e->d_name, ".") || kv_streq(e->d_name, ".."))
			continue;
		if (unlinkat(dir, e->d_name, 0) == 0)
			continue;
		drop(openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
		unlinkat(dir, e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

void jtree_drop(struct jtree *t)
{
	close(t->root);
	close(t->source);
	drop(open(t->path, O_RDONLY | O_DIRECTORY));
	assert_int_equal(rmdir(t->path), 0);
}

/* ---- manifest ---- */

static void add_xattrs(struct kv_buf *b, int fd)
{
	char names[1024], value[1024];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		char hash[KV_SHA256_HEX];
		ssize_t size = fgetxattr(fd, p, value, sizeof(value));

		kv_sha256_mem(value, size > 0 ? (size_t)size : 0, hash);
		kv_buf_fmt(b, " %s=%.8s", p, hash);
	}
}

static char *describe(int dir, const char *name, const char *path)
{
	struct kv_buf b = { 0 };
	char text[PATH_MAX] = "", hash[KV_SHA256_HEX] = "";
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	kv_buf_fmt(&b, "%s %o %u:%u ino %llu links %lu", path, st.st_mode, st.st_uid, st.st_gid,
		   (unsigned long long)st.st_ino, (unsigned long)st.st_nlink);
	kv_buf_fmt(&b, " mtime %lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (S_ISLNK(st.st_mode)) {
		assert_true(readlinkat(dir, name, text, sizeof(text) - 1) > 0);
		kv_buf_fmt(&b, " -> %s", text);
	} else {
		kv_buf_fmt(&b, " atime %lld.%09ld", (long long)st.st_atim.tv_sec,
			   st.st_atim.tv_nsec);
		assert_true(fd >= 0);
		add_xattrs(&b, fd);
	}
	if (S_ISREG(st.st_mode)) {
		assert_int_equal(kv_sha256_fd(fd, hash), 0);
		kv_buf_fmt(&b, " size %lld %s", (long long)st.st_size, hash);
	}
	kv_closep(&fd);
	return b.text;
}

static void collect(struct kv_arena *a, int dir, const char *path, bool skip_state, kv_strv *lines)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *e;

	while ((e = readdir(d))) {
		char *sub = kv_join(a, path, e->d_name), *line;

		if (kv_streq(e->d_name, ".."))
			continue;
		if (skip_state && kv_streq(sub, KV_STATE_DIR))
			continue;
		line = describe(dir, e->d_name, sub);
		kv_vec_push(a, lines, kv_strdup(a, line));
		free(line);
		fd = kv_streq(e->d_name, ".")
			     ? -1
			     : openat(dir, e->d_name,
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME);
		if (fd >= 0) {
			collect(a, fd, sub, skip_state, lines);
			close(fd);
		}
	}
	closedir(d);
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

char *jtree_manifest(const struct jtree *t, bool skip_state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_buf out = { 0 };
	kv_strv lines = { 0 };

	collect(a, t->root, "/", skip_state, &lines);
	qsort(lines.v, lines.n, sizeof(*lines.v), by_text);
	for (size_t i = 0; i < lines.n; i++)
		kv_buf_fmt(&out, "%s\n", lines.v[i]);
	kv_arena_free(a);
	return out.text;
}

void jtree_same(const char *want, const char *have, const char *where)
{
	while (*want || *have) {
		int n = (int)strcspn(want, "\n"), m = (int)strcspn(have, "\n");

		if (n != m || strncmp(want, have, (size_t)n) != 0)
			fail_msg("%s:\nwant %.*s\nhave %.*s", where, n, want, m, have);
		want += n + (want[n] == '\n');
		have += m + (have[m] == '\n');
	}
}

/* ---- plans ---- */

static struct kv_op *add(struct kv_arena *a, kv_ops *ops, enum kv_op_kind kind, const char *path)
{
	struct kv_op *op = kv_vec_add(a, ops);

	op->kind = kind;
	op->path = path;
	op->mode = 0755;
	op->source_fd = -1;
	op->why = "test";
	return op;
}

static void add_file(struct kv_arena *a, kv_ops *ops, const char *path, const char *text)
{
	struct kv_op *op = add(a, ops, KV_OP_FILE, path);

	op->content = (struct kv_span){ (const uint8_t *)text, strlen(text) };
}

void jtree_ops(struct kv_arena *a, const struct jtree *t, kv_ops *ops)
{
	add(a, ops, KV_OP_MKDIR, "/opt/kvpath")->mode = 0711;
	add(a, ops, KV_OP_MKDIR, "/opt/kvpath/fabric");
	add(a, ops, KV_OP_FILE, "/opt/kvpath/fabric/libfabric.so.1.29")->source_fd = t->source;
	add_file(a, ops, "/usr/lib/_api.py", "default = [\"LIBFABRIC\"]\n");
	add(a, ops, KV_OP_SYMLINK, "/usr/lib/libfabric.so.1")->link =
		"/opt/kvpath/fabric/libfabric.so.1.29";
	add(a, ops, KV_OP_SYMLINK, "/usr/lib/new")->link = "../x\xfe";
	add(a, ops, KV_OP_SYMLINK, "/usr/lib/tool")->link = "tool.new";
	add_file(a, ops, "/usr/lib/dangling", "now a file");
	add(a, ops, KV_OP_REMOVE, "/usr/lib/bytes\xff%name");
	add(a, ops, KV_OP_REMOVE, "/usr/lib/other");
	add_file(a, ops, "/opt/twice", "once");
	add_file(a, ops, "/opt/twice", "twice");
}

void jtree_ops2(struct kv_arena *a, kv_ops *ops)
{
	add_file(a, ops, "/usr/lib/_api.py", "third\n");
	add_file(a, ops, "/opt/kvpath/extra", "in a directory of the first plan");
	add_file(a, ops, "/cache/second", "a new place");
	add(a, ops, KV_OP_REMOVE, "/usr/lib/new");
	add_file(a, ops, "/usr/lib/other", "back as a file");
}
