/*
 * killtest [--stride N] [--part I/N] KVPATH ROOT FABRIC: ends `kvpath fix` and `kvpath undo` of
 * ROOT at every system call from their first change on, and lets every call that changes files
 * fail; then the next kvpath must bring the tree to what it was before, or to what it is after, to
 * the byte. ROOT is as found in the end. Prints each kind with its number of points.
 */
#include "trace.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

struct known_hash {
	struct timespec ctime, mtime;
	off_t size;
	char sha256[KV_SHA256_HEX];
};

static struct {
	struct kv_arena *arena;
	char *kvpath, *root, *fabric;
	unsigned stride, part, parts;
	struct kv_map *hashes; /* inode -> struct known_hash */
	char *before, *after;
	unsigned points, failed;
} t;

/* ---- manifest ---- */

/* Read again only where the inode has changed since: ctime is nobody's to set. */
static const char *hash_of(int fd, const struct stat *st)
{
	char key[32];
	struct known_hash **slot, *k;

	snprintf(key, sizeof(key), "%llu", (unsigned long long)st->st_ino);
	slot = (struct known_hash **)kv_map_slot(t.hashes, key);
	if (!*slot)
		*slot = kv_new(t.arena, struct known_hash);
	k = *slot;
	if (*k->sha256 && memcmp(&k->ctime, &st->st_ctim, sizeof(k->ctime)) == 0 &&
	    memcmp(&k->mtime, &st->st_mtim, sizeof(k->mtime)) == 0 && k->size == st->st_size)
		return k->sha256;
	k->ctime = st->st_ctim;
	k->mtime = st->st_mtim;
	k->size = st->st_size;
	if (kv_sha256_fd(fd, k->sha256) < 0)
		*k->sha256 = '\0';
	return k->sha256;
}

static void put_xattrs(struct kv_buf *b, int fd)
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

/* whole: with what tells one tree from another with the same files, inodes and times. */
static void put_entry(struct kv_buf *b, int dir, const char *name, const char *path, bool whole)
{
	_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	char text[4096] = "";
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	kv_buf_fmt(b, "%s %o %u:%u", path, st.st_mode, st.st_uid, st.st_gid);
	if (whole)
		kv_buf_fmt(b, " %llu %lu %lld.%09ld", (unsigned long long)st.st_ino,
			   (unsigned long)st.st_nlink, (long long)st.st_mtim.tv_sec,
			   st.st_mtim.tv_nsec);
	if (S_ISLNK(st.st_mode) && readlinkat(dir, name, text, sizeof(text) - 1) > 0)
		kv_buf_fmt(b, " -> %s", text);
	if (S_ISREG(st.st_mode))
		kv_buf_fmt(b, " %lld %s", (long long)st.st_size, hash_of(fd, &st));
	if (whole && fd >= 0)
		put_xattrs(b, fd);
	kv_buf_str(b, "\n");
}

static int by_name(const struct dirent **x, const struct dirent **y)
{
	return strcmp((*x)->d_name, (*y)->d_name);
}

static void put_dir(struct kv_buf *b, int dir, const char *path, bool whole)
{
	struct dirent **list;
	int n = scandirat(dir, ".", &list, NULL, by_name);

	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		char sub[4096];

		snprintf(sub, sizeof(sub), "%s/%s", path, name);
		if (kv_streq(name, "..") || (!whole && kv_streq(sub, "/var/lib/kvpath"))) {
			free(list[i]);
			continue;
		}
		put_entry(b, dir, name, sub, whole);
		if (list[i]->d_type == DT_DIR && !kv_streq(name, ".")) {
			_close_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

			put_dir(b, fd, sub, whole);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

static char *manifest(bool whole)
{
	_close_ int fd = open(t.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kv_buf b = { 0 };

	put_dir(&b, fd, "", whole);
	return b.text;
}

static bool same(bool whole, const char *where)
{
	const char *want = whole ? t.before : t.after;
	_free_ char *text = manifest(whole);
	const char *have = text;

	if (kv_streq(want, have))
		return true;
	while (*want && *want == *have)
		want++, have++;
	while (want > (whole ? t.before : t.after) && want[-1] != '\n')
		want--, have--;
	fprintf(stderr, "%s: not as %s:\nwant %.*s\nhave %.*s\n", where, whole ? "before" : "after",
		(int)strcspn(want, "\n"), want, (int)strcspn(have, "\n"), have);
	t.failed++;
	return false;
}

/* ---- commands ---- */

static void call(bool fix, const struct fault *f, struct traced *ret)
{
	char *const fixes[] = { t.kvpath, "fix", "--quiet", "--fabric", t.fabric, t.root, NULL };
	char *const undoes[] = { t.kvpath, "undo", t.root, NULL };

	trace_run(fix ? fixes : undoes, f, ret);
}

/* Nothing interferes: it must succeed. */
static void clean(bool fix, const char *where)
{
	static const struct fault none;
	struct traced r;

	call(fix, &none, &r);
	if (r.status == 0)
		return;
	fprintf(stderr, "%s: then %s ended with %#x: %s\n", where, fix ? "fix" : "undo", r.status,
		r.err);
	t.failed++;
}

/* To the state in which a point's command is to be started: repaired for undo. */
static void prepare(bool fix)
{
	if (!fix)
		clean(true, "preparing");
}

/* Whatever there is becomes what it was; by way of a repair where `by_fix` says so. */
static void recover(bool by_fix, const char *where)
{
	if (by_fix) {
		clean(true, where);
		same(/* whole= */ false, where);
	}
	clean(false, where);
	if (same(/* whole= */ true, where))
		return;
	fprintf(stderr, "killtest: the tree can not be used any more\n");
	exit(1);
}

static unsigned kill_points(bool fix)
{
	unsigned n = 0;
	bool through = false;

	for (unsigned k = 1 + t.part * t.stride; !through; k += t.stride * t.parts) {
		struct fault f = { .kill_at = k };
		struct traced r;
		char where[64];

		snprintf(where, sizeof(where), "%s killed at call %u", fix ? "fix" : "undo", k);
		for (unsigned by_fix = 0; by_fix < 2; by_fix++) {
			if (t.stride > 1 && by_fix != (k / t.stride) % 2)
				continue;
			prepare(fix);
			call(fix, &f, &r);
			through = r.status == 0;
			if (!through && !(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL))
				fprintf(stderr, "%s: ended with %#x: %s\n", where, r.status, r.err),
					t.failed++;
			recover(by_fix, where);
		}
		n += !through;
	}
	return n;
}

static unsigned count_changes(bool fix)
{
	static const struct fault none;
	struct traced r;

	prepare(fix);
	call(fix, &none, &r);
	recover(false, "counting");
	return r.writes;
}

/* An error must leave all as before or as after, as the exit status says; unless errors go on, then
 * the next command must. */
static unsigned error_points(bool fix, int code, bool on)
{
	unsigned n = 0, last = count_changes(fix);

	for (unsigned k = 1 + t.part * t.stride; k <= last; k += t.stride * t.parts) {
		struct fault f = { .fail_at = k, .fail_errno = code, .fail_on = on };
		struct traced r;
		char where[96];

		snprintf(where, sizeof(where), "%s with %s at change %u%s", fix ? "fix" : "undo",
			 strerrorname_np(code), k, on ? " and all after it" : "");
		prepare(fix);
		call(fix, &f, &r);
		if (!WIFEXITED(r.status) || (r.status && !*r.err)) {
			fprintf(stderr, "%s: ended with %#x: %s\n", where, r.status, r.err);
			t.failed++;
		}
		if (fix && !on)
			same(/* whole= */ r.status != 0, where);
		if (!fix && r.status == 0)
			same(/* whole= */ true, where);
		recover(k % 2, where);
		n++;
	}
	return n;
}

static void report(const char *what, unsigned n)
{
	t.points += n;
	printf("%6u points: %s\n", n, what);
	fflush(stdout);
}

static void run_all(void)
{
	static const int codes[] = { EIO, ENOSPC, EROFS };

	for (unsigned fix = 2; fix-- > 0;) {
		const char *name = fix ? "fix" : "undo";

		report(kv_strf(t.arena, "%s killed at a system call", name), kill_points(fix));
		for (size_t i = 0; i < KV_ARRAY_SIZE(codes); i++) {
			const char *code = strerrorname_np(codes[i]);

			report(kv_strf(t.arena, "%s with %s at a change", name, code),
			       error_points(fix, codes[i], false));
			report(kv_strf(t.arena, "%s with %s from a change on", name, code),
			       error_points(fix, codes[i], true));
		}
	}
}

int main(int argc, char **argv)
{
	t.stride = t.parts = 1;
	for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2) {
		if (kv_streq(argv[1], "--stride"))
			t.stride = (unsigned)atoi(argv[2]);
		else if (sscanf(argv[2], "%u/%u", &t.part, &t.parts) != 2)
			return 2;
	}
	if (argc != 4 || !t.stride || !t.parts || t.part >= t.parts) {
		fprintf(stderr, "usage: killtest [--stride N] [--part I/N] KVPATH ROOT FABRIC\n");
		return 2;
	}
	t.arena = kv_arena_new();
	t.hashes = kv_map_new(t.arena);
	t.kvpath = argv[1];
	t.root = argv[2];
	t.fabric = argv[3];
	t.before = manifest(/* whole= */ true);
	clean(true, "once");
	t.after = manifest(/* whole= */ false);
	recover(false, "once");
	if (!t.failed)
		run_all();
	printf("%u points, %u failed\n", t.points, t.failed);
	return t.failed != 0;
}
