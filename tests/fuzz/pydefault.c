/*
 * An _api.py of any bytes: what is found lies in it, and what is written in its place is found
 * again, with the same bytes around it.
 */
#include "repair/pydefault.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_span source = { data, size }, text;
	struct kv_pydefault found, again;

	kv_pydefault_find(a, source, &found);
	if (found.kind == KV_PYDEFAULT_UNKNOWN) {
		KV_PROMISE(found.why && !strchr(found.why, '\n'));
	} else {
		KV_PROMISE(found.start < found.end && found.end <= size && found.line > 0);
		text = kv_pydefault_patch(a, source, &found, "LIBFABRIC");
		KV_PROMISE(text.n >= size - (found.end - found.start));
		KV_PROMISE(memcmp(text.p, data, found.start) == 0);
		KV_PROMISE(memcmp(text.p + text.n - (size - found.end), data + found.end,
				  size - found.end) == 0);
		kv_pydefault_find(a, text, &again);
		KV_PROMISE(again.kind == KV_PYDEFAULT_KVPATH && again.start == found.start);
		KV_PROMISE(again.backends.n == 1 && kv_streq(again.backends.v[0], "LIBFABRIC"));
	}
	kv_arena_free(a);
	return 0;
}
