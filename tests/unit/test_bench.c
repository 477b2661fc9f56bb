/* What bench stands on: that no byte which is wrong, old or misplaced passes the check; and the
 * figures that are made of times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/base.h"
#include "probe/bench/bench.h"
#include "probe/bench/stripe.h"

/* Of worker.c, which is not here. */
void bench_doing(struct bench_side *s, const char *what)
{
	snprintf(s->rep->doing, sizeof(s->rep->doing), "%s", what);
}

int bench_fail(struct bench_side *s, enum probe_cause cause, const char *fmt, ...)
{
	va_list ap;

	s->rep->cause = cause;
	va_start(ap, fmt);
	vsnprintf(s->rep->error, sizeof(s->rep->error), fmt, ap);
	va_end(ap);
	return -1;
}

static struct probe_report reps[2];
static struct bench_side source, sink;

static void sides(const struct bench_test *t)
{
	memset(reps, 0, sizeof(reps));
	source = (struct bench_side){ .role = PROBE_INITIATOR, .rep = &reps[0], .test = t };
	source.spec.seed = 42;
	source.spec.buffer = t->count * t->size * t->slots;
	sink = source;
	sink.role = PROBE_TARGET;
	sink.rep = &reps[1];
	assert_int_equal(bench_mem_open(&source), 0);
	assert_int_equal(bench_mem_open(&sink), 0);
}

static void carry(const struct bench_test *t, uint64_t slots)
{
	for (uint64_t slot = 0; slot < slots; slot++)
		for (uint64_t k = 0; k < t->count; k++)
			memcpy(sink.host + bench_peer_block(t, slot, k),
			       source.host + bench_block(t, slot, k), t->size);
}

static void done(void)
{
	bench_mem_close(&source);
	bench_mem_close(&sink);
}

/* Every single byte, one bit of it. */
static void test_every_byte(void **state)
{
	const struct bench_test t = { .count = 5, .size = 37, .slots = 3 };
	const struct bench_batch b = { .test = 1, .batch = 7, .n = 3, .total = 3 };
	uint32_t *sums = NULL;

	(void)state;
	sides(&t);
	assert_int_equal(bench_mem_fill(&source, &b, &sums), 0);
	carry(&t, 3);
	assert_int_equal(bench_mem_check(&sink, &b, sums), 0);
	for (uint64_t i = 0; i < sink.spec.buffer; i++) {
		sink.host[i] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(bench_mem_check(&sink, &b, sums), -1);
		assert_int_equal(sink.rep->cause, PROBE_CAUSE_CORRUPT);
		sink.host[i] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(bench_mem_check(&sink, &b, sums), 0);
	free(sums);
	done();
}

/* What the last batch left, a block in another's place, a block that never came. */
static void test_old_and_misplaced(void **state)
{
	const struct bench_test t = { .count = 4, .size = 64, .slots = 2 };
	struct bench_batch b = { .batch = 1, .n = 2, .total = 2 };
	uint32_t *sums = NULL, *later = NULL;
	uint8_t block[64];

	(void)state;
	sides(&t);
	assert_int_equal(bench_mem_check(&sink, &b, (uint32_t[8]){ 0 }), -1);
	assert_int_equal(bench_mem_fill(&source, &b, &sums), 0);
	carry(&t, 2);
	assert_int_equal(bench_mem_check(&sink, &b, sums), 0);
	memcpy(block, sink.host, 64);
	memcpy(sink.host, sink.host + 64, 64);
	memcpy(sink.host + 64, block, 64);
	assert_int_equal(bench_mem_check(&sink, &b, sums), -1);
	carry(&t, 2);
	b.batch = 2;
	b.total = 4;
	assert_int_equal(bench_mem_fill(&source, &b, &later), 0);
	carry(&t, 1);
	/* The second transfer is still the one before: said by its number. */
	assert_int_equal(bench_mem_check(&sink, &b, later), -1);
	assert_non_null(strstr(sink.rep->error, "of transfer 3 "));
	assert_non_null(strstr(sink.rep->error, "from its byte 0 on"));
	free(sums);
	free(later);
	done();
}

/* Each block has one place of its own on the other side, and no neighbour stays one. */
static void test_peer_order(void **state)
{
	(void)state;
	for (uint64_t count = 1; count < 300; count++) {
		const struct bench_test t = { .count = count, .size = 8, .slots = 2 };
		bool *taken = calloc(2 * count, sizeof(*taken));

		assert_non_null(taken);
		for (uint64_t i = 0; i < 2 * count; i++) {
			uint64_t at = bench_peer_block(&t, i / count, i % count) / 8;

			assert_true(at / count == i / count);
			assert_false(taken[at]);
			taken[at] = true;
		}
		for (uint64_t k = 0; count > 2 && k + 1 < count; k++)
			assert_int_not_equal(bench_peer_block(&t, 0, k) + 8,
					     bench_peer_block(&t, 0, k + 1));
		free(taken);
	}
}

/* RFC 3720 B.4's examples, and the other implementation of this program. */
static void test_crc(void **state)
{
	uint8_t zeros[32] = { 0 }, ones[32], p[257];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(bench_crc32c(zeros, 32), 0x8a9136aa);
	assert_int_equal(bench_crc32c(ones, 32), 0x62a8ab43);
	for (size_t n = 0; n <= sizeof(p); n++) {
		uint32_t crc = bench_fill(1, 2, 3, 4, p, n);

		assert_int_equal(crc, kv_crc32c(0, p, n));
		assert_int_equal(bench_differs(1, 2, 3, 4, p, n), n);
	}
}

static void test_percentiles(void **state)
{
	uint64_t v[200];
	struct bench_stats st = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 200; i++)
		v[i] = 200 - i;
	bench_stats_make(v, 200, &st);
	assert_int_equal(st.min_ns, 1);
	assert_int_equal(st.p50_ns, 100);
	assert_int_equal(st.p90_ns, 180);
	assert_int_equal(st.p99_ns, 198);
	assert_int_equal(st.max_ns, 200);
	assert_int_equal(st.sum_ns, 20100);
	v[0] = 7;
	bench_stats_make(v, 1, &st);
	assert_int_equal(st.p50_ns, 7);
	assert_int_equal(st.p99_ns, 7);
}

/* By the processor's counter, where there is one, a wait is as long as by the clock. */
static void test_ticks(void **state)
{
	const struct timespec nap = { .tv_nsec = 20000000 };

	(void)state;
	for (int counted = 0; counted < 2; counted++) {
		uint64_t ns, most, tick;
		struct bench_ticks t;
		double took;

		bench_ticks_start(&t);
		t.counted = t.counted && counted;
		if (!t.counted)
			t.tick = bench_tick(&t);
		most = probe_now_ns();
		tick = bench_tick(&t);
		ns = probe_now_ns();
		nanosleep(&nap, NULL);
		ns = probe_now_ns() - ns;
		tick = bench_tick(&t) - tick;
		most = probe_now_ns() - most;
		took = (double)tick * bench_ns_per_tick(&t);
		assert_true(took >= (double)ns * 0.999 && took <= (double)most * 1.001);
	}
}

/* Nobody naps in a short wait, and where nobody takes the core, not in a longer one either. */
static void test_crowd(void **state)
{
	struct bench_crowd quiet = { .looked_ns = 1000000000 }, full = { .until_ns = 1000500000 };
	struct bench_crowd taken = { .preempted = -1 };
	uint64_t now = 1000000000;

	(void)state;
	assert_false(bench_crowded(&full, now, now));
	assert_false(bench_crowded(&full, now, now - 100000));
	assert_true(bench_crowded(&full, now, now - 1000000));
	assert_false(bench_crowded(&quiet, now, now - 1000000));
	/* No count is -1: the core was taken since. */
	assert_true(bench_crowded(&taken, now, now - 1000000));
	assert_true(taken.until_ns > now && taken.preempted >= 0);
	/* Whoever waits for long naps. */
	assert_true(bench_crowded(&quiet, now, now - 1000000000));
}

static void stripe_once(const struct bench_test *t, unsigned rails, uint64_t max_msg)
{
	uint64_t n = t->count * t->size, used[8] = { 0 }, most = 0, least = UINT64_MAX, wrong = 0;
	uint8_t *seen = calloc(1, (size_t)(n * t->slots));
	struct stripe_cursor c;
	struct stripe_op op;
	struct stripe st;

	stripe_make(t, rails, max_msg, &st);
	for (uint64_t slot = 0; slot < t->slots; slot++) {
		uint64_t ops = 0;

		for (stripe_start(&st, t, slot, &c); c.left; stripe_next(&c), ops++) {
			uint64_t block, off;

			stripe_get(&c, &op);
			block = (op.here - slot * n) / t->size;
			off = (op.here - slot * n) % t->size;
			assert_true(op.len > 0 && op.len <= max_msg && op.len <= t->size - off);
			assert_true(op.rail < rails);
			assert_int_equal(op.there, bench_peer_block(t, slot, block) + off);
			used[op.rail] += op.len;
			wrong += memchr(seen + op.there, 1, op.len) != NULL;
			memset(seen + op.there, 1, op.len);
		}
		assert_int_equal(ops, st.ops);
	}
	assert_int_equal(wrong, 0);
	assert_null(memchr(seen, 0, (size_t)(n * t->slots)));
	for (unsigned i = 0; i < rails; i++) {
		most = used[i] > most ? used[i] : most;
		least = used[i] < least ? used[i] : least;
	}
	/* Big transfers use every rail, none much more than another. */
	if (t->size >= rails * STRIPE_MIN_PART || t->count >= rails * 4)
		assert_true(least > 0 && most <= 2 * least);
	free(seen);
}

/* Every byte of every block goes once, to the place that the check looks at, in no operation longer
 * than it may be. */
static void test_stripes(void **state)
{
	static const uint64_t sizes[] = { 1, 37, 4096, 65536, 131072, 131073, 600001 };
	static const uint64_t counts[] = { 1, 2, 5, 33 };
	static const uint64_t longest[] = { 1000, 5000, 65536, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(sizes); i++)
		for (size_t k = 0; k < KV_ARRAY_SIZE(counts); k++)
			for (unsigned rails = 1; rails <= 8; rails += rails == 1 ? 1 : 3)
				for (size_t m = 0; m < KV_ARRAY_SIZE(longest); m++)
					stripe_once(&(struct bench_test){ .count = counts[k],
									  .size = sizes[i],
									  .slots = 2 },
						    rails, longest[m]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte), cmocka_unit_test(test_old_and_misplaced),
		cmocka_unit_test(test_peer_order), cmocka_unit_test(test_stripes),
		cmocka_unit_test(test_crc),        cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_crowd),      cmocka_unit_test(test_ticks),
	};

	return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
