/*
 * A source of any bytes, as an _api.py and as vLLM's connector: what is found lies in it, and what
 * is written in its place is found again, with the same bytes around it. And as a framework's that
 * imports NIXL: the names are names.
 */
#include "fuzz.h"
#include "inspect/internal.h"

typedef void finder(struct kv_arena *a, struct kv_span source, struct kv_pydefault *ret);

static void find_call(struct kv_arena *a, struct kv_span source, struct kv_pydefault *ret)
{
	kv_pydefault_find_call(a, source, "get_from_extra_config", "backends", ret);
}

static void find_setting(struct kv_arena *a, struct kv_span source, struct kv_pydefault *ret)
{
	kv_pydefault_find_setting(a, source, "SGLANG_DISAGGREGATION_NIXL_BACKEND", ret);
	KV_PROMISE(ret->kind == KV_PYDEFAULT_UNKNOWN || ret->backends.n == 1);
}

static void try(finder *find, struct kv_span source)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_pydefault found, again;
	struct kv_span text;

	find(a, source, &found);
	if (found.kind == KV_PYDEFAULT_UNKNOWN) {
		KV_PROMISE(found.why && !strchr(found.why, '\n'));
	} else {
		KV_PROMISE(found.start < found.end && found.end <= source.n && found.line > 0);
		text = kv_pydefault_patch(a, source, &found, "LIBFABRIC");
		KV_PROMISE(text.n >= source.n - (found.end - found.start));
		KV_PROMISE(memcmp(text.p, source.p, found.start) == 0);
		KV_PROMISE(memcmp(text.p + text.n - (source.n - found.end), source.p + found.end,
				  source.n - found.end) == 0);
		find(a, text, &again);
		KV_PROMISE(again.kind == (found.kind == KV_PYDEFAULT_ENV ? KV_PYDEFAULT_ENV
									 : KV_PYDEFAULT_KVPATH));
		KV_PROMISE(again.start == found.start);
		KV_PROMISE(again.backends.n == 1 && kv_streq(again.backends.v[0], "LIBFABRIC"));
	}
	kv_arena_free(a);
}

static void read_needs(struct kv_span source)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_needs needs = { 0 };

	kv_needs_read(a, source, &needs);
	for (size_t i = 0; i < needs.names.n; i++)
		KV_PROMISE(*needs.names.v[i] && !strpbrk(needs.names.v[i], " \t\r\n,.()"));
	KV_PROMISE(needs.names.n <= 16 * 64);
	KV_PROMISE(!needs.least || strspn(needs.least, "0123456789.") == strlen(needs.least));
	kv_arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try(kv_pydefault_find, (struct kv_span){ data, size });
	try(find_call, (struct kv_span){ data, size });
	try(find_setting, (struct kv_span){ data, size });
	read_needs((struct kv_span){ data, size });
	return 0;
}
