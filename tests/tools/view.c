/*
 * view TARGET [FILE...]: what kvpath sees of a target, one line for each path, to be compared with
 * what the real tools show. The content of the FILEs is hashed, with "ALL" that of every file.
 * The fields are separated by tabs: path, mode, uid, gid, mtime, size, and the hash or link text;
 * bytes outside of printable ASCII are shown as \xNN.
 */
#include <dirent.h>

#include "root/root.h"

static struct kv_root *root;
static char **wanted;

static void put_text(const char *s)
{
	for (; *s; s++)
		if (*s > ' ' && *s < 127 && *s != '\\')
			putchar(*s);
		else
			printf("\\x%02x", (unsigned)(uint8_t)*s);
}

static bool is_wanted(const char *path)
{
	for (char **w = wanted; *w; w++)
		if (kv_streq(*w, "ALL") || kv_streq(*w, path))
			return true;
	return false;
}

static void put_hash(struct kv_arena *a, const char *path, const struct kv_stat *st)
{
	_file_ struct kv_file *f = NULL;
	char hash[KV_SHA256_HEX];
	uint8_t *p = kv_alloc_raw(a, (size_t)st->size + 1);
	size_t got = 0;
	int e = kv_root_open_file(root, path, &f);

	if (e == 0)
		e = kv_file_read(f, 0, p, (size_t)st->size + 1, &got);
	if (e < 0) {
		printf("error %d", -e);
		return;
	}
	kv_sha256_mem(p, got, hash);
	fputs(hash, stdout);
}

static void put_entry(const char *path, const struct kv_stat *st)
{
	struct kv_arena *a = kv_arena_new();
	const char *link;

	put_text(path);
	printf("\t%o\t%u\t%u\t%lld\t%llu\t", st->mode, st->uid, st->gid, (long long)st->mtime_s,
	       S_ISREG(st->mode) ? (unsigned long long)st->size : 0ULL);
	if (S_ISLNK(st->mode) && kv_root_readlink(root, path, &link) == 0)
		put_text(link);
	else if (S_ISREG(st->mode) && is_wanted(path))
		put_hash(a, path, st);
	putchar('\n');
	kv_arena_free(a);
}

static void walk(const char *dir, unsigned depth)
{
	kv_dirents list = { 0 };

	if (depth > 600 || kv_root_list(root, dir, &list) < 0) {
		printf("%s: unreadable\n", dir);
		return;
	}
	for (size_t i = 0; i < list.n; i++) {
		const char *path = kv_join(kv_root_arena(root), dir, list.v[i].name);
		struct kv_stat st;

		if (kv_root_stat(root, path, KV_NOFOLLOW, &st) < 0) {
			printf("%s: listed, but not there\n", path);
			continue;
		}
		put_entry(path, &st);
		if (S_ISDIR(st.mode))
			walk(path, depth + 1);
	}
}

int main(int argc, char **argv)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	const char *fault;
	int status = 0;

	if (argc < 2)
		return 2;
	wanted = argv + 2;
	if (kv_root_open(a, argv[1], &root, &err) < 0) {
		fprintf(stderr, "view: %s\n", err.msg);
		return 3;
	}
	walk("/", 0);
	fault = kv_root_fault(root);
	if (fault) {
		fprintf(stderr, "view: %s: %s\n", argv[1], fault);
		status = 3;
	}
	kv_root_close(root);
	kv_arena_free(a);
	return status;
}
