/* What a stranger, or the other host of a bench, sends: the handshake, and frames of JSON. */
#include "fuzz.h"
#include "prove/bench.h"

/* A stream of frames, as kv_peer_recv takes it apart; what is in them, as bench merges it. */
static void frames(struct kv_arena *a, struct kv_span s)
{
	uint64_t at = 0;

	for (int i = 0; i < 64; i++) {
		struct kv_bench_engine e = { .name = "tcp", .error = "mine" };
		struct kv_span head, body;
		uint32_t n = 0;
		json_t *doc;

		if (!kv_span_sub(s, at, 4, &head) || kv_peer_frame_read(head, &n) < 0)
			return;
		KV_PROMISE(n >= 2 && n <= KV_PEER_FRAME_MAX);
		if (!kv_span_sub(s, at + 4, n, &body))
			return;
		doc = kv_peer_json_read(body);
		if (doc) {
			KV_PROMISE(json_is_string(json_object_get(doc, "kind")));
			kv_bench_merge(a, &e, doc, "there", "gone");
			KV_PROMISE(e.good || e.error);
		}
		json_decref(doc);
		at += 4 + n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kv_span s = { data, size };
	struct kv_arena *a = kv_arena_new_small();
	struct kv_peer_answer answer;
	struct kv_peer_hello hello;
	int last = -EAGAIN;

	/* As more comes: what was refused, or was whole, stays so. */
	for (size_t n = 0; n <= size && n <= KV_PEER_ANSWER; n++) {
		int r = kv_peer_answer_read((struct kv_span){ data, n }, &answer);

		KV_PROMISE(r == 0 || r == -EAGAIN || r == -EPROTO);
		KV_PROMISE(last == -EAGAIN || r == last);
		last = r;
	}
	if (kv_peer_hello_read(s, &hello) == 0)
		KV_PROMISE(hello.cred_n <= KV_PEER_CRED_MAX);
	frames(a, s);
	kv_arena_free(a);
	return 0;
}
