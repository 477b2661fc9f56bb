/* The rounds of a sweep, its state files, and what is called slow. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "prove/sweep.h"

static uint64_t seed = 1;

/* splitmix64 */
static uint64_t dice(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static double uniform(void)
{
	return (double)(dice() >> 11) * 0x1p-53;
}

static double normal(void)
{
	return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

/* ---- the rounds ---- */

static void plan_is_valid(uint32_t n)
{
	_free_ uint32_t *last = calloc(n, sizeof(*last));
	_free_ uint8_t *met = calloc((size_t)n * n, 1);

	for (uint32_t r = 0; r < kv_sweep_rounds(n); r++)
		for (uint32_t k = 0; k < kv_sweep_slots(n); k++) {
			struct kv_sweep_pair p = kv_sweep_pair_at(n, r, k);
			uint32_t round, slot;

			assert_true(p.a < n && p.b < n && p.a != p.b);
			/* Once in a round, each pair once. */
			assert_true(last[p.a] <= r && last[p.b] <= r);
			last[p.a] = last[p.b] = r + 1;
			assert_int_equal(met[(size_t)p.a * n + p.b], 0);
			met[(size_t)p.a * n + p.b] = met[(size_t)p.b * n + p.a] = 1;
			kv_sweep_pair_find(n, p.a, p.b, &round, &slot);
			assert_true(round == r && slot == k);
			kv_sweep_pair_find(n, p.b, p.a, &round, &slot);
			assert_true(round == r && slot == k);
		}
	for (size_t i = 0; i < (size_t)n * n; i++)
		assert_int_equal(met[i], i / n != i % n);
}

static void every_pair_once(void **state)
{
	(void)state;
	for (uint32_t n = 2; n < 70; n++) {
		plan_is_valid(n);
		assert_int_equal(kv_sweep_rounds(n), n % 2 ? n : n - 1);
	}
	plan_is_valid(1000);
	plan_is_valid(1001);
	assert_int_equal(kv_sweep_rounds(1), 0);
	assert_int_equal(kv_sweep_rounds(0), 0);
}

static void sampled_rounds_differ(void **state)
{
	(void)state;
	for (uint32_t n = 2; n < 100; n++)
		for (uint32_t want = 1; want <= kv_sweep_rounds(n); want++)
			for (uint32_t i = 0; i < want; i++) {
				uint32_t r = kv_sweep_round_of(n, want, i);

				assert_true(r < kv_sweep_rounds(n));
				assert_true(i == 0 || r > kv_sweep_round_of(n, want, i - 1));
			}
}

/* ---- the middle ---- */

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static void median_is_that_of_the_sorted(void **state)
{
	(void)state;
	assert_true(kv_median(NULL, 0) == 0);
	for (int t = 0; t < 20000; t++) {
		float v[40], sorted[40];
		size_t n = 1 + dice() % 40, few = 1 + dice() % 50;

		for (size_t i = 0; i < n; i++)
			sorted[i] = v[i] = (float)(dice() % few);
		qsort(sorted, n, sizeof(*sorted), by_value);
		assert_true(kv_median(v, n) == (sorted[(n - 1) / 2] + sorted[n / 2]) / 2);
	}
}

/* ---- what is slow ---- */

static void sweep_of(struct kv_sweep *s, struct kv_arena *a, uint32_t n)
{
	kv_strv names = { 0 };

	for (uint32_t i = 0; i < n; i++)
		kv_vec_push(a, &names, kv_strf(a, "n%u", i));
	assert_int_equal(kv_sweep_init(s, a, &names, NULL), 0);
	s->test.engine = "nixl:LIBFABRIC";
	for (uint32_t i = 0; i < n; i++) {
		json_auto_t *doc = json_pack("{s:s}", "verdict", "ready");

		assert_int_equal(kv_sweep_add_node(s, i, doc, NULL), 0);
	}
}

/* How a made-up fabric does. */
struct fabric {
	double sigma;            /* of the logarithm of each rate */
	double hiccups;          /* share of pairs that take 2 to 20 times as long */
	double rounds;           /* sigma of what a whole round is slowed down by */
	uint32_t slow;           /* a node with `factor` of the rate; UINT32_MAX for none */
	uint32_t link_a, link_b; /* the same of a pair */
	double factor;
};

static const struct fabric calm = { 0, 0, 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, 1 };

static double rate_of(const struct fabric *f, struct kv_sweep_pair p, double round)
{
	double rate = 40e9 * exp(f->sigma * normal()) * round;
	bool node = p.a == f->slow || p.b == f->slow;
	bool link =
		(p.a == f->link_a && p.b == f->link_b) || (p.b == f->link_a && p.a == f->link_b);

	if (uniform() < f->hiccups)
		rate /= 2 + 18 * uniform();
	return node || link ? rate * f->factor : rate;
}

static void measure(struct kv_sweep *s, const struct fabric *f)
{
	for (uint32_t r = 0; r < kv_sweep_rounds(s->n); r++) {
		double round = exp(-fabs(f->rounds * normal()));

		for (uint32_t k = 0; k < kv_sweep_slots(s->n); k++) {
			struct kv_sweep_pair p = kv_sweep_pair_at(s->n, r, k);

			kv_sweep_add_rate(s, p, rate_of(f, p, round), "efa");
		}
	}
	kv_sweep_judge(s);
}

/* What a sweep does then: everything that looks slow once more. */
static void measure_again(struct kv_sweep *s, const struct fabric *f)
{
	for (size_t i = 0; i < s->slow.n; i++)
		kv_sweep_add_rate(s, s->slow.v[i].pair, rate_of(f, s->slow.v[i].pair, 1), "efa");
	for (uint32_t i = 0; i < s->n; i++)
		for (uint32_t k = 1; s->nodes[i].slow && k <= 3; k++) {
			struct kv_sweep_pair p = { i, (i + k) % s->n };

			kv_sweep_add_rate(s, p, rate_of(f, p, 1), "efa");
		}
	kv_sweep_judge(s);
}

static size_t slow_nodes(const struct kv_sweep *s)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += s->nodes[i].slow;
	return n;
}

static void noise_is_no_fault(void **state)
{
	static const double sigmas[] = { 0, .02, .1, .3, .6 };
	size_t suspected = 0, nodes = 0, confirmed = 0;

	(void)state;
	for (size_t t = 0; t < 400; t++) {
		struct kv_arena *a = kv_arena_new();
		struct fabric f = calm;
		struct kv_sweep s;

		f.sigma = sigmas[t % KV_ARRAY_SIZE(sigmas)];
		f.hiccups = t % 3 ? .01 : 0;
		f.rounds = t % 2 ? .5 : 0;
		sweep_of(&s, a, (uint32_t)(2 + dice() % 60));
		measure(&s, &f);
		suspected += s.n_slow;
		nodes += slow_nodes(&s);
		for (size_t k = 0; k < 3; k++)
			measure_again(&s, &f);
		assert_int_equal(slow_nodes(&s), 0);
		confirmed += s.n_slow;
		assert_string_equal(s.verdict, "on-fabric");
		kv_arena_free(a);
	}
	/* It is put to the test at all; and nodes are not even suspected but rarely. */
	assert_true(suspected > 0);
	assert_true(nodes <= 4);
	/* The same hiccup four times over. */
	assert_true(confirmed <= 1);
}

static void a_slow_node_is_found(void **state)
{
	(void)state;
	for (uint32_t n = 6; n < 70; n++) {
		struct kv_arena *a = kv_arena_new();
		struct fabric f = calm;
		struct kv_sweep s;

		f.sigma = .02;
		f.slow = (uint32_t)(dice() % n);
		f.factor = .5;
		sweep_of(&s, a, n);
		measure(&s, &f);
		assert_int_equal(slow_nodes(&s), 1);
		assert_true(s.nodes[f.slow].slow && !s.nodes[f.slow].confirmed);
		/* Not to be left out before it was measured again, and its pairs are not slow for
		 * it. */
		assert_null(s.nodes[f.slow].bad);
		assert_int_equal(s.n_slow, 0);
		measure_again(&s, &f);
		assert_true(s.nodes[f.slow].confirmed && s.nodes[f.slow].bad);
		assert_true(fabsf(s.nodes[f.slow].median / 20e9F - 1) < .2F);
		assert_true(fabsf(s.nodes[f.slow].expected / 40e9F - 1) < .2F);
		for (uint32_t i = 0; i < n; i++)
			assert_true(i == f.slow || !s.nodes[i].bad);
		kv_arena_free(a);
	}
}

static void what_is_fast_again_was_noise(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct fabric f = calm;
	struct kv_sweep s;

	(void)state;
	f.sigma = .02;
	f.slow = 3;
	f.factor = .4;
	sweep_of(&s, a, 16);
	measure(&s, &f);
	assert_int_equal(slow_nodes(&s), 1);
	f.factor = 1;
	measure_again(&s, &f);
	assert_int_equal(slow_nodes(&s), 0);
	assert_int_equal(s.n_slow, 0);
	kv_arena_free(a);
}

static void a_slow_pair_is_found(void **state)
{
	(void)state;
	for (uint32_t n = 8; n < 40; n++) {
		struct kv_arena *a = kv_arena_new();
		struct fabric f = calm;
		struct kv_sweep s;

		f.sigma = .02;
		f.link_a = (uint32_t)(dice() % n);
		f.link_b = (f.link_a + 1 + (uint32_t)(dice() % (n - 1))) % n;
		f.factor = .2;
		sweep_of(&s, a, n);
		measure(&s, &f);
		assert_int_equal(slow_nodes(&s), 0);
		assert_int_equal(s.n_slow, 1);
		measure_again(&s, &f);
		assert_int_equal(s.n_slow, 1);
		assert_true(s.slow.v[0].confirmed);
		assert_true(s.slow.v[0].pair.a == f.link_a || s.slow.v[0].pair.b == f.link_a);
		assert_true(s.slow.v[0].pair.a == f.link_b || s.slow.v[0].pair.b == f.link_b);
		kv_arena_free(a);
	}
}

/* ---- whose fault it is ---- */

static void a_node_whose_transfers_fail(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_sweep s;

	(void)state;
	sweep_of(&s, a, 8);
	for (uint32_t r = 0; r < 7; r++)
		for (uint32_t k = 0; k < 4; k++) {
			struct kv_sweep_pair p = kv_sweep_pair_at(8, r, k);

			if (p.a == 5 || p.b == 5)
				kv_sweep_add_fault(&s, p, "nixl", "NIXL_ERR_BACKEND");
			else
				kv_sweep_add_rate(&s, p, 1e9, "efa");
		}
	kv_sweep_judge(&s);
	assert_string_equal(s.verdict, "off-fabric");
	assert_string_equal(s.nodes[5].bad, "7 of its 7 transfers failed");
	for (uint32_t i = 0; i < 8; i++)
		assert_true(i == 5 || !s.nodes[i].bad);
	/* Repaired, and measured again: the failures are forgotten. */
	for (uint32_t r = 0; r < 7; r++)
		for (uint32_t k = 0; k < 4; k++)
			if (!kv_sweep_has(&s, kv_sweep_pair_at(8, r, k)))
				kv_sweep_add_rate(&s, kv_sweep_pair_at(8, r, k), 1e9, "efa");
	kv_sweep_judge(&s);
	assert_string_equal(s.verdict, "on-fabric");
	assert_int_equal(s.n_faults, 0);
	assert_int_equal(s.faults.n, 0);
	assert_int_equal(s.measured, 28);
	assert_null(s.nodes[5].bad);
	kv_arena_free(a);
}

static void all_over_tcp_is_no_single_node_s(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_sweep s;

	(void)state;
	sweep_of(&s, a, 8);
	for (uint32_t r = 0; r < 7; r++)
		for (uint32_t k = 0; k < 4; k++)
			kv_sweep_add_rate(&s, kv_sweep_pair_at(8, r, k), 1e9, "tcp");
	kv_sweep_judge(&s);
	assert_string_equal(s.verdict, "off-fabric");
	assert_int_equal(s.n_off, 28);
	for (uint32_t i = 0; i < 8; i++)
		assert_null(s.nodes[i].bad);
	kv_arena_free(a);
}

static void verdicts(void **state)
{
	static const struct {
		const char *engine, *provider, *verdict;
	} of[] = {
		{ "nixl:LIBFABRIC", "efa", "on-fabric" },
		{ "nixl:LIBFABRIC", "tcp", "off-fabric" },
		{ "nixl:LIBFABRIC", "", "unknown" },
		{ "nixl:UCX", "efa", "unknown" },
		{ "tcp", "", "unknown" },
		{ NULL, NULL, "ready" },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(of); i++) {
		struct kv_arena *a = kv_arena_new();
		struct kv_sweep s;

		sweep_of(&s, a, 2);
		if (of[i].engine) {
			s.test.engine = of[i].engine;
			kv_sweep_add_rate(&s, (struct kv_sweep_pair){ 0, 1 }, 1e9, of[i].provider);
		}
		kv_sweep_judge(&s);
		assert_string_equal(s.verdict, of[i].verdict);
		kv_sweep_add_lost(&s, 1, "gone");
		kv_sweep_judge(&s);
		assert_string_equal(s.verdict, i == 1 ? "off-fabric" : "unknown");
		assert_string_equal(s.nodes[1].bad, "lost: gone");
		kv_arena_free(a);
	}
}

/* ---- state files ---- */

static void write_state(FILE *f, struct kv_sweep *s)
{
	json_auto_t *doc =
		json_pack("{s:s, s:[s], s:s, s:{s:s}}", "verdict", "off-fabric", "findings",
			  "KV101", "detail", "a \"detail\"", "facts", "kernel", "6.1");

	kv_sweep_state_head(f, s);
	assert_int_equal(kv_sweep_add_node(s, 2, doc, NULL), 0);
	kv_sweep_state_node(f, s, 2, doc);
	kv_sweep_add_lost(s, 3, "the connection\nended");
	kv_sweep_state_lost(f, s, 3);
	kv_sweep_state_rate(f, (struct kv_sweep_pair){ 0, 1 }, 1.5e9, "efa");
	kv_sweep_state_rate(f, (struct kv_sweep_pair){ 1, 2 }, 2e9, "");
	kv_sweep_state_fault(f, (struct kv_sweep_pair){ 0, 2 }, "nixl", "line\none");
}

static void state_is_read_back(void **state)
{
	char path[] = "/tmp/kvpath-sweep.XXXXXX";
	struct kv_arena *a = kv_arena_new();
	struct kv_sweep s, back = { 0 };
	struct kv_err err = { 0 };
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	(void)state;
	sweep_of(&s, a, 5);
	write_state(f, &s);
	/* What a sweep that was killed leaves. */
	fputs("pair 3 4 10000", f);
	fclose(f);
	assert_int_equal(kv_sweep_state_read(a, path, &back, &err), 0);
	assert_int_equal(back.n, 5);
	assert_string_equal(back.test.engine, "nixl:LIBFABRIC");
	assert_string_equal(back.nodes[2].verdict, "off-fabric");
	assert_string_equal(back.nodes[2].findings, "KV101");
	assert_string_equal(back.nodes[2].detail, "a \"detail\"");
	assert_string_equal(back.nodes[2].facts[KV_FACT_KERNEL], "6.1");
	assert_null(back.nodes[0].verdict);
	assert_string_equal(back.nodes[3].lost, "the connection\\x0aended");
	assert_int_equal(back.measured, 2);
	assert_int_equal(back.n_faults, 1);
	assert_string_equal(back.faults.v[0].text, "line\\x0aone");
	assert_true(kv_sweep_has(&back, (struct kv_sweep_pair){ 1, 0 }));
	assert_false(kv_sweep_has(&back, (struct kv_sweep_pair){ 0, 2 }));
	/* The same once more: repetitions. */
	assert_int_equal(kv_sweep_state_read(a, path, &back, &err), 0);
	assert_int_equal(back.measured, 2);
	unlink(path);
	kv_arena_free(a);
}

static int read_text(struct kv_arena *a, const char *text, size_t n, struct kv_err *err)
{
	char path[] = "/tmp/kvpath-sweep.XXXXXX";
	struct kv_sweep s = { 0 };
	int fd = mkstemp(path), r;

	assert_int_equal(kv_write_all(fd, text, n), 0);
	close(fd);
	r = kv_sweep_state_read(a, path, &s, err);
	unlink(path);
	if (r == 0)
		kv_sweep_judge(&s);
	return r;
}

static void odd_states_are_refused(void **state)
{
	static const char head[] = "kvpath.sweep-state/1 {\"nodes\":\"n[0-2]\"}\n";
	static const char *const bad[] = {
		"pair 0 0 1 -\n", "pair 0 3 1 -\n",  "pair 0 1\n",
		"pair 0 1 x -\n", "pair -1 0 1 -\n", "pair 0 1 1e9\n",
		"node n9 {}\n",   "node n0 {}\n",    "node n0 [\n",
		"lost n0\n",      "fail 0 1 \n",     "\n",
		"PAIR 0 1 1 -\n", "lost n9 gone\n",  "pair 99999999999999999999 1 1 -\n",
	};
	static const char *const no_head[] = {
		"",
		"\n",
		"{}\n",
		"kvpath.sweep-state/2 {}\n",
		"kvpath.sweep-state/1 {}\n",
		"kvpath.sweep-state/1 {\"nodes\":\"n[0-\"}\n",
		"kvpath.sweep-state/1 {\"nodes\":\"n0,n0\"}\n",
		"kvpath.sweep-state/1 {\"nodes\":\"-oProxyCommand=x\"}\n",
		"kvpath.sweep-state/1 {\"nodes\":\"n[0-99999999]\"}\n",
	};
	struct kv_arena *a = kv_arena_new();
	struct kv_err err;
	const char *text;

	(void)state;
	assert_int_equal(read_text(a, head, strlen(head), &err), 0);
	for (size_t i = 0; i < KV_ARRAY_SIZE(bad); i++) {
		text = kv_cat(a, head, bad[i]);
		if (read_text(a, text, strlen(text), &err) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(err.msg, "line 2: "));
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(no_head); i++)
		if (read_text(a, no_head[i], strlen(no_head[i]), &err) >= 0)
			fail_msg("taken: %s", no_head[i]);
	/* Numbers that are none are no rates; unknown kinds are a newer kvpath's. */
	text = kv_cat(a, head, "pair 0 1 nan -\npair 0 1 inf -\npair 0 1 -5 -\nwhatever 1\n");
	assert_int_equal(read_text(a, text, strlen(text), &err), 0);
	kv_arena_free(a);
}

static void damaged_states_do_no_harm(void **state)
{
	char path[] = "/tmp/kvpath-sweep.XXXXXX", text[4096];
	struct kv_arena *a = kv_arena_new();
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w+");
	struct kv_sweep s;
	size_t n;

	(void)state;
	sweep_of(&s, a, 5);
	write_state(f, &s);
	rewind(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	unlink(path);
	for (int t = 0; t < 3000; t++) {
		struct kv_arena *b = kv_arena_new();
		struct kv_err err;
		char copy[sizeof(text)];

		memcpy(copy, text, n);
		for (size_t k = 0; k < 1 + dice() % 4; k++)
			copy[dice() % n] = (char)dice();
		(void)read_text(b, copy, t % 3 ? n : dice() % n, &err);
		kv_arena_free(b);
	}
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_once),
		cmocka_unit_test(sampled_rounds_differ),
		cmocka_unit_test(median_is_that_of_the_sorted),
		cmocka_unit_test(noise_is_no_fault),
		cmocka_unit_test(a_slow_node_is_found),
		cmocka_unit_test(what_is_fast_again_was_noise),
		cmocka_unit_test(a_slow_pair_is_found),
		cmocka_unit_test(a_node_whose_transfers_fail),
		cmocka_unit_test(all_over_tcp_is_no_single_node_s),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(state_is_read_back),
		cmocka_unit_test(odd_states_are_refused),
		cmocka_unit_test(damaged_states_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
