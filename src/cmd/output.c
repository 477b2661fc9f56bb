/* How a command says that it failed, prints its document, and tells what it leaves. */
#include "cmd/cmd.h"

int kv_fail(enum kv_status status, const char *fmt, ...)
{
	struct kv_arena *a = kv_arena_new();
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "kvpath: %s\n", kv_printable(a, kv_vstrf(a, fmt, ap)));
	va_end(ap);
	kv_arena_free(a);
	return status;
}

int kv_print_json(json_t *doc)
{
	if (kv_json_print(stdout, doc) == 0)
		return KV_STATUS_OK;
	/* main() tells of what could not be written. */
	return ferror(stdout) ? KV_STATUS_UNKNOWN
			      : kv_fail(KV_STATUS_UNKNOWN, "the report could not be made");
}

void kv_tell_variables(const struct kv_facts *f)
{
	kv_strv errors = kv_environ_errors(f->arena, f);

	for (size_t i = 0; i < errors.n; i++)
		fprintf(stderr, "kvpath: %s\n", kv_printable(f->arena, errors.v[i]));
}
