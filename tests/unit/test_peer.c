/* What crosses the wire before and between the frames of two kvpaths, and whose failure counts. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "prove/bench.h"
#include "prove/ranks.h"

static void hex(const uint8_t *p, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++)
		sprintf(ret + 2 * i, "%02x", p[i]);
}

/* RFC 4231: a short key, a key longer than a block, data longer than one. */
static void hmac_of_the_rfc(void **state)
{
	static const struct {
		size_t key_n;
		uint8_t key, data;
		const char *text;
		size_t n;
		const char *want;
	} cases[] = {
		{ 20, 0x0b, 0, "Hi There", 8,
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ 20, 0xaa, 0xdd, NULL, 50,
		  "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
		{ 131, 0xaa, 0, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	};
	uint8_t key[131], data[64], mac[KV_HMAC];
	char text[2 * KV_HMAC + 1];

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		memset(key, cases[i].key, sizeof(key));
		memset(data, cases[i].data, sizeof(data));
		kv_hmac_sha256(key, cases[i].key_n,
			       cases[i].text ? (const void *)cases[i].text : data, cases[i].n, mac);
		hex(mac, sizeof(mac), text);
		assert_string_equal(text, cases[i].want);
	}
}

/* Every side, kind, nonce and key has its own proof: none can be sent back, or used again. */
static void proofs_differ(void **state)
{
	struct kv_peer_key key, other;
	uint8_t a[KV_PEER_NONCE] = { 1 }, b[KV_PEER_NONCE] = { 2 }, mac[6][KV_HMAC];

	(void)state;
	kv_peer_key_make("0123456789abcdef", 16, &key);
	kv_peer_key_make("0123456789abcdeg", 16, &other);
	kv_peer_mac(&key, "initiator", KV_PEER_CONTROL, a, b, mac[0]);
	kv_peer_mac(&key, "target", KV_PEER_CONTROL, a, b, mac[1]);
	kv_peer_mac(&key, "session", KV_PEER_CONTROL, a, b, mac[2]);
	kv_peer_mac(&key, "initiator", KV_PEER_LINK, a, b, mac[3]);
	kv_peer_mac(&key, "initiator", KV_PEER_CONTROL, b, a, mac[4]);
	kv_peer_mac(&other, "initiator", KV_PEER_CONTROL, a, b, mac[5]);
	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < 6; k++)
			assert_int_equal(kv_peer_mac_same(mac[i], mac[k]), i == k);
}

static void hello_and_answer(void **state)
{
	struct kv_peer_hello h = { .version = KV_PEER_VERSION, .cred_n = 77, .nonce = { 5, 6 } }, g;
	struct kv_peer_answer w = { .version = KV_PEER_VERSION,
				    .kind = KV_PEER_LINK,
				    .nonce = { 7 },
				    .mac = { 8 } },
			      v;
	uint8_t hello[KV_PEER_HELLO_HEAD], answer[KV_PEER_ANSWER];

	(void)state;
	kv_peer_hello_write(&h, hello);
	kv_peer_answer_write(&w, answer);
	for (size_t n = 0; n < sizeof(hello); n++)
		assert_int_equal(kv_peer_hello_read((struct kv_span){ hello, n }, &g), -EAGAIN);
	for (size_t n = 0; n < sizeof(answer); n++)
		assert_int_equal(kv_peer_answer_read((struct kv_span){ answer, n }, &v), -EAGAIN);
	assert_int_equal(kv_peer_hello_read((struct kv_span){ hello, sizeof(hello) }, &g), 0);
	assert_int_equal(kv_peer_answer_read((struct kv_span){ answer, sizeof(answer) }, &v), 0);
	assert_int_equal(g.cred_n, h.cred_n);
	assert_memory_equal(g.nonce, h.nonce, sizeof(g.nonce));
	assert_int_equal(v.kind, w.kind);
	assert_memory_equal(v.nonce, w.nonce, sizeof(v.nonce));
	assert_memory_equal(v.mac, w.mac, sizeof(v.mac));
	/* The first byte that does not fit is enough. */
	for (size_t i = 0; i < 8; i++) {
		answer[i] ^= 1;
		assert_int_equal(kv_peer_answer_read((struct kv_span){ answer, i + 1 }, &v),
				 -EPROTO);
		answer[i] ^= 1;
	}
	/* A version that is not ours, and nothing behind it. */
	hello[8] = 9;
	assert_int_equal(kv_peer_hello_read((struct kv_span){ hello, 10 }, &g), 0);
	assert_int_equal(g.version, 9);
	hello[8] = KV_PEER_VERSION;
	hello[14] = 1;
	assert_int_equal(kv_peer_hello_read((struct kv_span){ hello, sizeof(hello) }, &g), -EPROTO);
}

static void frames(void **state)
{
	static const char *const none[] = {
		"", "{", "[]", "7", "{}", "{\"kind\":1}", "{\"kind\":\"a\",\"kind\":\"b\"}"
	};
	uint8_t head[4] = { 2 };
	uint32_t n = 0;
	json_t *o;

	(void)state;
	assert_int_equal(kv_peer_frame_read((struct kv_span){ head, 3 }, &n), -EAGAIN);
	assert_int_equal(kv_peer_frame_read((struct kv_span){ head, 4 }, &n), 0);
	assert_int_equal(n, 2);
	head[0] = 0;
	assert_int_equal(kv_peer_frame_read((struct kv_span){ head, 4 }, &n), -EMSGSIZE);
	head[0] = 1;
	head[2] = 4;
	assert_int_equal(kv_peer_frame_read((struct kv_span){ head, 4 }, &n), -EMSGSIZE);
	for (size_t i = 0; i < KV_ARRAY_SIZE(none); i++)
		assert_null(kv_peer_json_read(
			(struct kv_span){ (const uint8_t *)none[i], strlen(none[i]) }));
	o = kv_peer_json_read((struct kv_span){ (const uint8_t *)"{\"kind\":\"end\"}", 14 });
	assert_non_null(o);
	json_decref(o);
}

static void places(void **state)
{
	static const struct {
		const char *addr, *text;
	} good[] = { { "10.0.0.1", "10.0.0.1:7000" },
		     { "fd77::1", "[fd77::1]:7000" },
		     { "::ffff:10.0.0.1", "10.0.0.1:7000" },
		     { "fe80::1%1", "[fe80::1%1]:7000" } };
	static const char *const bad[] = {
		"", "host", "10.0.0", "10.0.0.1%lo", "fe80::1%", "fe80::1%nonesuch", "1:2"
	};
	struct kv_peer_place p;
	char text[64];

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(good); i++) {
		assert_true(kv_peer_place_parse(good[i].addr, 7000, &p));
		kv_peer_place_text(&p, text, sizeof(text));
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(bad); i++)
		assert_false(kv_peer_place_parse(bad[i], 7000, &p));
}

/* A connection that ends, or stays silent, in the middle of a frame. */
static void cut_frames(void **state)
{
	static const uint8_t whole[] = "\x0e\0\0\0{\"kind\":\"end\"}";
	struct kv_err err = { 0 };
	json_t *doc = NULL;

	(void)state;
	for (size_t n = 0; n <= 18; n++) {
		struct kv_peer_conn c = { .address = "there" };
		int fd[2], r;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		c.fd = fd[0];
		assert_int_equal(send(fd[1], whole, n, 0), (ssize_t)n);
		r = kv_peer_recv(&c, kv_peer_now() + 10, &doc, &err);
		assert_int_equal(r, n == 18 ? 0 : -ETIMEDOUT);
		if (r == 0)
			json_decref(doc);
		shutdown(fd[1], SHUT_WR);
		if (n < 18)
			assert_int_equal(kv_peer_recv(&c, kv_peer_now() + 10000, &doc, &err),
					 -EPIPE);
		kv_peer_close(&c);
		close(fd[1]);
	}
}

struct caller {
	struct kv_peer_place to;
	struct kv_peer_auth auth;
	struct kv_peer_conn conn;
	struct kv_err err;
	int r;
};

static void *call(void *arg)
{
	struct caller *c = arg;

	c->r = kv_peer_connect(&c->to, &c->auth, KV_PEER_CONTROL, kv_peer_now() + 20000, &c->conn,
			       &c->err);
	return NULL;
}

/* Both sides have the same session key after it, and a stranger's key opens nothing. */
static void meeting(void **state)
{
	struct kv_peer_auth auth = { .keyed = true };
	struct kv_peer_conn conn = { .fd = -EBADF };
	struct kv_err err = { 0 };
	struct kv_peer_gate gate;
	struct caller c;
	pthread_t thread;

	(void)state;
	kv_peer_key_make("0123456789abcdef", 16, &auth.key);
	assert_int_equal(kv_peer_listen("127.0.0.1", 0, &gate, &err), 0);
	for (int right = 0; right < 2; right++) {
		c = (struct caller){ .to = gate.at, .auth = auth, .conn.fd = -EBADF };
		c.auth.key.bytes[0] ^= !right;
		assert_int_equal(pthread_create(&thread, NULL, call, &c), 0);
		assert_int_equal(kv_peer_accept(&gate, &auth, KV_PEER_CONTROL,
						kv_peer_now() + (right ? 20000 : 500), &conn, &err),
				 right ? 0 : -ETIMEDOUT);
		pthread_join(thread, NULL);
		assert_int_equal(c.r, right ? 0 : -EACCES);
	}
	assert_memory_equal(&conn.session.key, &c.conn.session.key, sizeof(conn.session.key));
	assert_memory_not_equal(&conn.session.key, &auth.key, sizeof(auth.key));
	kv_peer_close(&conn);
	kv_peer_close(&c.conn);
	kv_peer_gate_close(&gate);
}

/* Whose failure is told, of what the two sides say. */
static void whose_failure(void **state)
{
	static const struct {
		bool good, echo, hung;
		const char *theirs, *side, *error, *cause;
	} cases[] = {
		{ true, false, false, "{\"good\":true,\"clean_end\":true}", NULL, NULL, NULL },
		{ true, false, false, "{\"good\":false,\"cause\":\"corrupt\",\"error\":\"c\"}",
		  "target", "target, on there: c", NULL },
		{ false, true, false, "{\"good\":false,\"cause\":\"nixl\",\"error\":\"n\"}",
		  "target", "target, on there: n", NULL },
		{ false, false, false, "{\"good\":false,\"echo\":true,\"error\":\"e\"}",
		  "initiator", "initiator: mine", NULL },
		{ false, false, false, "{\"good\":false,\"hung\":true,\"error\":\"h\"}", "target",
		  "target, on there: h", NULL },
		{ false, false, true, "{\"good\":false,\"error\":\"d\"}", "initiator",
		  "initiator: mine", NULL },
		{ false, false, false, "{\"good\":false,\"cause\":\"crash\",\"error\":\"k\"}",
		  "target", "target, on there: k", "library" },
		{ false, false, false, "{\"good\":false,\"cause\":\"crash\",\"error\":\"k\"}",
		  "initiator", "initiator: mine", "corrupt" },
		{ false, false, false, "{\"good\":false,\"cause\":\"library\",\"error\":\"l\"}",
		  "initiator", "initiator: mine", "library" },
		{ false, true, false, NULL, "target",
		  "initiator: mine; and the target, on there, says nothing more (gone)", NULL },
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		struct kv_bench_engine e = { .name = "tcp",
					     .good = cases[i].good,
					     .echo = cases[i].echo,
					     .hung = cases[i].hung,
					     .clean_end = true,
					     .cause = cases[i].cause,
					     .side = cases[i].good ? NULL : "initiator",
					     .error = cases[i].good ? NULL : "mine" };
		json_t *theirs = cases[i].theirs ? json_loads(cases[i].theirs, 0, NULL) : NULL;

		kv_bench_merge(a, &e, theirs, "there", "gone");
		assert_true(e.good == !cases[i].error);
		if (cases[i].error)
			assert_string_equal(e.error, cases[i].error);
		if (cases[i].side)
			assert_string_equal(e.side, cases[i].side);
		json_decref(theirs);
	}
	kv_arena_free(a);
}

static void hosts_of_a_list(void **state)
{
	static const struct {
		const char *list;
		size_t i;
		const char *want;
	} cases[] = {
		{ "n0", 0, "n0" },
		{ "n0", 1, NULL },
		{ "n[0-3,07],gpu-1", 0, "n0" },
		{ "n[0-3,07],gpu-1", 3, "n3" },
		{ "n[0-3,07],gpu-1", 4, "n07" },
		{ "n[0-3,07],gpu-1", 5, "gpu-1" },
		{ "n[0-3,07],gpu-1", 6, NULL },
		{ "a[008-011]-ib,b", 2, "a010-ib" },
		{ "a[008-011]-ib,b", 4, "b" },
		{ "a[1-2]x[1-2]", 2, "a2x1" },
		{ "a[1-", 0, NULL },
		{ "a[x]", 0, NULL },
		{ "a[3-1]", 0, NULL },
		{ "", 0, NULL },
		{ ",", 0, NULL },
	};
	struct kv_arena *a = kv_arena_new();

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		const char *got = kv_ranks_host(a, cases[i].list, cases[i].i);

		if (cases[i].want)
			assert_string_equal(got, cases[i].want);
		else
			assert_null(got);
	}
	kv_arena_free(a);
}

/* tasks, nodes, rank: 1 with the target's node, 0, or -EINVAL. */
static int read_ranks(struct kv_arena *a, const char *tasks, const char *nodes, const char *rank,
		      struct kv_ranks *ret)
{
	struct kv_env env = { 0 };
	struct kv_err err;

	kv_env_put(a, &env, "SLURM_JOB_ID=12");
	kv_env_put(a, &env, "SLURM_STEP_ID=3");
	kv_env_put(a, &env, "SLURM_STEP_NODELIST=n[0-3]");
	kv_env_put(a, &env, kv_strf(a, "SLURM_STEP_NUM_TASKS=%s", tasks));
	kv_env_put(a, &env, kv_strf(a, "SLURM_STEP_NUM_NODES=%s", nodes));
	kv_env_put(a, &env, kv_strf(a, "SLURM_PROCID=%s", rank));
	return kv_ranks_read(a, &env, ret, &err);
}

static void ranks(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_env none = { 0 };
	struct kv_peer_key key;
	struct kv_ranks r, s;
	struct kv_err err;

	(void)state;
	assert_int_equal(kv_ranks_read(a, &none, &r, &err), 0);
	assert_int_equal(read_ranks(a, "1", "1", "0", &r), 0);
	assert_int_equal(read_ranks(a, "4", "4", "3", &r), 1);
	assert_false(r.target);
	assert_string_equal(r.node, "n2");
	assert_int_equal(read_ranks(a, "4", "4", "2", &s), 1);
	assert_true(s.target);
	/* Both of a pair come to the same ports, which are no other pair's. */
	assert_memory_equal(r.ports, s.ports, sizeof(r.ports));
	assert_string_equal(r.step, s.step);
	assert_int_equal(read_ranks(a, "4", "4", "0", &s), 1);
	assert_int_not_equal(r.ports[0], s.ports[0]);
	assert_int_equal(read_ranks(a, "2", "1", "1", &r), 1);
	assert_string_equal(r.node, "n0");
	assert_int_equal(read_ranks(a, "3", "3", "1", &r), -EINVAL);
	assert_int_equal(read_ranks(a, "4", "2", "1", &r), -EINVAL);
	assert_int_equal(read_ranks(a, "2", "2", "x", &r), 0);
	/* So do two that share a token. */
	kv_peer_key_make("0123456789abcdef", 16, &key);
	kv_ranks_ports_of_key(&key, r.ports);
	kv_ranks_ports_of_key(&key, s.ports);
	assert_memory_equal(r.ports, s.ports, sizeof(r.ports));
	kv_peer_key_make("0123456789abcdeg", 16, &key);
	kv_ranks_ports_of_key(&key, s.ports);
	assert_memory_not_equal(r.ports, s.ports, sizeof(r.ports));
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_of_the_rfc),  cmocka_unit_test(proofs_differ),
		cmocka_unit_test(hello_and_answer), cmocka_unit_test(frames),
		cmocka_unit_test(places),           cmocka_unit_test(cut_frames),
		cmocka_unit_test(meeting),          cmocka_unit_test(whose_failure),
		cmocka_unit_test(hosts_of_a_list),  cmocka_unit_test(ranks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
