/*
 * A worker log of any bytes. The first byte says in what pieces it comes: what is found must not
 * depend on them, and no byte of it may reach the report as it is.
 */
#include "report/log.h"
#include "fuzz.h"

static void feed(struct kv_log *l, struct kv_span in, size_t piece)
{
	struct kv_log_stream s;

	kv_log_stream_open(l, "a.log", (struct kv_log_date){ 2026, 11 }, &s);
	for (size_t at = 0, room; at < in.n;) {
		uint8_t *to = kv_log_stream_room(&s, &room);
		size_t n = in.n - at < room ? in.n - at : room;

		n = n < piece ? n : piece;
		memcpy(to, in.p + at, n);
		kv_log_stream_took(&s, n);
		at += n;
	}
	kv_log_stream_close(&s);
	kv_log_finish(l);
}

/* Everything that is reported, as JSON; the text too, for its escapes. */
static char *report(struct kv_arena *a, struct kv_span in, size_t piece)
{
	struct kv_log_report r;
	char *json = NULL, *text = NULL;
	size_t n = 0, m = 0;
	struct kv_log l;
	FILE *out;

	kv_log_init(&l, a);
	feed(&l, in, piece);
	kv_log_judge(&l, "LIBFABRIC", &r);
	for (size_t i = 0; i < r.findings.list.n; i++)
		KV_PROMISE(r.findings.list.v[i].title);
	out = open_memstream(&json, &n);
	KV_PROMISE(out && kv_json_print(out, kv_json_log(&l, &r)) == 0);
	fclose(out);
	out = open_memstream(&text, &m);
	KV_PROMISE(out);
	kv_text_log(out, &l, &r, (struct kv_style){ 0 });
	fclose(out);
	for (size_t i = 0; i < m; i++)
		KV_PROMISE(text[i] == '\n' || (uint8_t)text[i] >= 0x20);
	free(text);
	return json;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_arena *a = kv_arena_new();
	_free_ char *whole = NULL, *pieces = NULL;

	if (size) {
		struct kv_span in = { data + 1, size - 1 };

		whole = report(a, in, SIZE_MAX);
		pieces = report(a, in, (size_t)data[0] * data[0] + 1);
		KV_PROMISE(kv_streq(whole, pieces));
	}
	kv_arena_free(a);
	return 0;
}
