/*
 * The lookup in an ld.so.cache of any bytes. The first byte chooses machine and release, the others
 * are the file; asked for are names that the corpus has, and one taken out of the file.
 */
#include "fuzz.h"
#include "loader/internal.h"

static const struct {
	uint16_t machine;
	bool is64, be;
} machines[] = { { EM_X86_64, true, false },
		 { EM_X86_64, true, false },
		 { EM_AARCH64, true, false },
		 { EM_386, false, false },
		 { EM_S390, true, true } };
static const char *const names[] = { "libc.so.6", "libx.so.1", "liby.so.10" };
static const unsigned releases[] = { 27, 31, 36, 39, 43 };

static void ask(struct kv_loader *l, const char *name)
{
	const char *path = NULL, *same = NULL;
	enum kv_open r = kv_cache_find(l, name, &path);

	KV_PROMISE((r == KV_OPEN_OK) == (path != NULL));
	KV_PROMISE(!path || strlen(path) < 1 << 20);
	/* The same file gives the same answer. */
	KV_PROMISE(kv_cache_find(l, name, &same) == r && !same == !path);
	KV_PROMISE(!path || kv_streq(same, path));
	/* It looks the path up in the root, which takes most of the time. */
	if (kv_streq(name, names[0]))
		KV_PROMISE(kv_cache_note(l, name, path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_arena *a;
	struct kv_root *root;
	struct kv_loader *l;
	struct kv_span file;
	unsigned m, v;

	if (!size)
		return 0;
	a = kv_arena_new();
	root = kv_fuzz_root(a);
	m = data[0] % KV_ARRAY_SIZE(machines);
	v = data[0] / KV_ARRAY_SIZE(machines) % KV_ARRAY_SIZE(releases);
	file = (struct kv_span){ data + 1, size - 1 };
	kv_root_lay_bytes(root, "/etc/ld.so.cache", file);
	l = kv_loader_new(root, machines[m].machine, machines[m].is64, machines[m].be,
			  1 + data[0] / 64);
	/* Not looked for: there is none. */
	l->ldso = kv_new(a, struct kv_ldso);
	l->ldso->version = releases[v];
	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
		ask(l, names[i]);
	/* The last string but two lies where a real cache has its last key or value. */
	for (size_t at = file.n, seen = 0; at > 0 && seen < 4; at--) {
		if (file.p[at - 1])
			continue;
		seen++;
		if (kv_span_str(file, at))
			ask(l, kv_strdup(a, kv_span_str(file, at)));
	}
	kv_root_close(root);
	kv_arena_free(a);
	return 0;
}
