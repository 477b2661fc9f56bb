/*
 * A journal of any bytes, in a target's state directory: reading it, and finishing or taking back
 * what it says. Lines get the checksum that they need, for no fuzzer finds one, unless they begin
 * with
 * '!'. A line "%" ends the state file; the journal of the plan follows. Nothing beside the target
 * may come into being or go.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "repair/journal.h"

static int top = -1, root = -1, outside = -1;

static void write_file(int dir, const char *name, const void *bytes, size_t n)
{
	_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);

	KV_PROMISE(fd >= 0 && kv_write_all(fd, bytes, n) == 0);
}

static void empty(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY));
	struct dirent *e;

	KV_PROMISE(d);
	while ((e = readdir(d))) {
		if (kv_streq(e->d_name, ".") || kv_streq(e->d_name, ".."))
			continue;
		if (unlinkat(dir, e->d_name, 0) < 0) {
			_close_ int fd =
				openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

			if (fd >= 0)
				empty(fd);
			KV_PROMISE(unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0);
		}
	}
	closedir(d);
}

/* In memory where there is such a place. */
static void make_top(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/kvpath-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	KV_PROMISE(mkdtemp(path));
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	KV_PROMISE(mkdirat(top, "root", 0755) == 0 && mkdirat(top, "outside", 0755) == 0);
	root = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	outside = openat(top, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	KV_PROMISE(root >= 0 && outside >= 0);
	write_file(outside, "file", "x", 1);
}

static void put_line(struct kv_buf *b, struct kv_span line)
{
	if (line.n && line.p[0] == '!')
		kv_buf_add(b, line.p + 1, line.n - 1);
	else {
		kv_buf_fmt(b, "%08x ", kv_crc32c(0, line.p, line.n));
		kv_buf_add(b, line.p, line.n);
	}
	kv_buf_str(b, "\n");
}

static struct kv_span put_lines(struct kv_buf *b, struct kv_span in)
{
	kv_buf_str(b, "");
	while (in.n) {
		size_t n = kv_span_find(in, 0, "\n", 1);
		struct kv_span line = { in.p, n };

		n = n < in.n ? n + 1 : n;
		in = (struct kv_span){ in.p + n, in.n - n };
		if (line.n == 1 && line.p[0] == '%')
			break;
		put_line(b, line);
	}
	return in;
}

static void make_tree(struct kv_span in)
{
	_buf_ struct kv_buf state = { 0 }, journal = { 0 };
	_close_ int dir = -EBADF;
	_close_ int gen = -EBADF;

	empty(root);
	KV_PROMISE(mkdirat(root, "d", 0755) == 0 && mkdirat(root, "var", 0755) == 0 &&
		   mkdirat(root, "var/lib", 0755) == 0 &&
		   mkdirat(root, "var/lib/kvpath", 0700) == 0 &&
		   mkdirat(root, "var/lib/kvpath/000001", 0700) == 0);
	KV_PROMISE(symlinkat("../outside", root, "l") == 0);
	dir = openat(root, "var/lib/kvpath", O_RDONLY | O_DIRECTORY);
	gen = openat(dir, "000001", O_RDONLY | O_DIRECTORY);
	write_file(root, "f", "old", 3);
	write_file(gen, "old.0", "old", 3);
	in = put_lines(&state, in);
	put_lines(&journal, in);
	write_file(dir, "state", state.text, state.n);
	write_file(gen, "journal", journal.text, journal.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_journal_view view;
	struct stat before, after, file;
	struct kv_err err = { 0 };
	size_t undone;
	int r;

	if (top < 0)
		make_top();
	make_tree((struct kv_span){ data, size });
	KV_PROMISE(fstat(outside, &before) == 0);
	r = kv_journal_look(root, &view, &err);
	KV_PROMISE(r == 0 || *err.msg);
	if (r == 0)
		kv_journal_look_close(&view);
	err = (struct kv_err){ 0 };
	r = kv_journal_undo(root, NULL, &undone, &err);
	KV_PROMISE(r == 0 || *err.msg);
	KV_PROMISE(fstat(outside, &after) == 0 && before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
		   before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
	KV_PROMISE(fstatat(outside, "file", &file, 0) == 0 && file.st_size == 1);
	return 0;
}

/* What is left at the end of a run. */
static void __attribute__((destructor)) remove_top(void)
{
	char path[4096], link[64];
	ssize_t n;

	if (top < 0)
		return;
	empty(top);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", top);
	n = readlink(link, path, sizeof(path) - 1);
	if (n > 0) {
		path[n] = '\0';
		rmdir(path);
	}
}
