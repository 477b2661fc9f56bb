/*
 * cache_lookup WHAT ROOT NAME...: the model's side of cache.py. WHAT is
 *   find   what ROOT's ld.so.cache says of each name: path, "-" not listed, "!" ld.so dies of it,
 *          "?" it reads what lies behind the file
 *   holds  the file that ldconfig would enter for each name, "-" where there is none
 *   dirs   the directories of ld.so.conf (no names)
 */
#include "loader/internal.h"

static const char *find(struct kv_loader *l, const char *name)
{
	const char *path = "-";

	switch (kv_cache_find(l, name, &path)) {
	case KV_OPEN_ABORT:
		return "!";
	case KV_OPEN_UNKNOWN:
		return "?";
	default:
		return path;
	}
}

static const char *holds(struct kv_loader *l, const char *name)
{
	const char *path = kv_ldconf_holds(l, name);

	return path ? path : "-";
}

int main(int argc, char **argv)
{
	struct kv_arena *a = kv_arena_new();
	const struct kv_ldconf_dir *dir;
	struct kv_root *r;
	struct kv_loader *l;
	struct kv_err err;

	if (argc < 3 || kv_root_open(a, argv[2], &r, &err) < 0)
		return 2;
	l = kv_loader_new(r, EM_X86_64, /* is64= */ true, /* be= */ false, kv_cpu_level());
	if (kv_streq(argv[1], "dirs"))
		kv_vec_each (dir, &kv_ldconf(l)->dirs)
			puts(dir->path);
	for (int i = 3; i < argc; i++)
		puts((kv_streq(argv[1], "find") ? find : holds)(l, argv[i]));
	kv_root_close(r);
	kv_arena_free(a);
	return 0;
}
