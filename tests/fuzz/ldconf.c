/*
 * ld.so.conf of any bytes. A line "%" ends a file: the first is ld.so.conf, the others lie in
 * ld.so.conf.d. Some directories and a library are there to be found.
 */
#include "fuzz.h"
#include "loader/internal.h"

#define MAX_FILES 6

static void lay_text(struct kv_root *root, const char *guest, const char *text)
{
	kv_root_lay_bytes(root, guest, (struct kv_span){ (const uint8_t *)text, strlen(text) });
}

static void lay_files(struct kv_arena *a, struct kv_root *root, struct kv_span s)
{
	size_t at = 0;

	for (int i = 0; i < MAX_FILES && at <= s.n; i++) {
		size_t end = kv_span_find(s, at, "\n%\n", 3);
		const char *guest = i ? kv_strf(a, "/etc/ld.so.conf.d/%c%d.conf", 'f' - i, i)
				      : "/etc/ld.so.conf";

		kv_root_lay_bytes(root, guest, (struct kv_span){ s.p + at, end - at });
		at = end + 3;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_root *root = kv_fuzz_root(a);
	struct kv_span s = { data, size };
	const struct kv_ldconf_dir *d;
	struct kv_loader *l;
	size_t slash = kv_span_find(s, 0, "/", 1);

	lay_text(root, "/opt/a/libx.so.1", "no object");
	lay_text(root, "/opt/b/lib/liby.so.1", "nor this");
	lay_text(root, "/usr/lib/libz.so.1", "nor this");
	lay_files(a, root, s);
	l = kv_loader_new(root, EM_X86_64, /* is64= */ true, /* be= */ false, 3);
	/* Not looked for: there is none. */
	l->ldso = kv_new(a, struct kv_ldso);
	l->ldso->version = size & 1 ? 36 : 41;
	kv_vec_each (d, &kv_ldconf(l)->dirs) {
		KV_PROMISE(kv_root_is_dir(root, d->path));
		KV_PROMISE(d->line > 0 && kv_starts(d->file, "/"));
	}
	KV_PROMISE(!kv_ldconf_holds(l, "libx.so.1"));
	KV_PROMISE(kv_cache_note(l, "liby.so.1", NULL));
	if (slash < size) {
		const char *pattern = kv_strndup(a, (const char *)data, slash);
		const char *name = kv_strndup(a, (const char *)data + slash + 1, size - slash - 1);

		(void)kv_pattern_match(pattern, name);
	}
	kv_root_close(root);
	kv_arena_free(a);
	return 0;
}
