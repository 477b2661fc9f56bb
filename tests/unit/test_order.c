/* The order of findings and what is folded under what: nothing is ever lost, whatever was found. */
#include <setjmp.h>
#include <stdarg.h>

#include "rules/rules.h"

#include <cmocka.h>

static struct kv_findings make(struct kv_arena *a)
{
	return (struct kv_findings){ .arena = a };
}

static void add(struct kv_findings *f, const char *id, enum kv_severity severity)
{
	kv_vec_push(f->arena, &f->list,
		    ((struct kv_finding){ .id = id, .severity = severity, .detail = id }));
}

static const char *order_of(const struct kv_findings *f)
{
	const char *s = "";

	for (size_t i = 0; i < f->list.n; i++)
		s = kv_strf(f->arena, "%s%s%s%s%s", s, *s ? " " : "", f->list.v[i].id,
			    f->list.v[i].because ? "<" : "",
			    f->list.v[i].because ? f->list.v[i].because : "");
	return s;
}

static void test_causes_come_first(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_findings f = make(a);

	(void)state;
	add(&f, "KV201", KV_ERROR);
	add(&f, "KV308", KV_WARNING);
	add(&f, "KV501", KV_WARNING);
	add(&f, "KV101", KV_ERROR);
	add(&f, "KV101", KV_WARNING);
	kv_findings_sort(&f);
	assert_string_equal(order_of(&f), "KV101 KV101<KV101 KV308<KV101 KV201 KV501");
	kv_arena_free(a);
}

/* A warning is no cause of an error: the error is what keeps KV off the fabric. */
static void test_a_warning_explains_no_error(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_findings f = make(a);

	(void)state;
	add(&f, "KV101", KV_WARNING);
	add(&f, "KV114", KV_ERROR);
	kv_findings_sort(&f);
	assert_string_equal(order_of(&f), "KV114 KV101");
	kv_arena_free(a);
}

static bool has(const struct kv_findings *f, const char *detail)
{
	for (size_t i = 0; i < f->list.n; i++)
		if (f->list.v[i].detail == detail)
			return true;
	return false;
}

/* Of every id two, in every mixture of severities that a seed gives: a row of order.def that led in
 * a circle would lose some. */
static void test_nothing_is_lost(void **state)
{
	struct kv_arena *a = kv_arena_new();
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct kv_findings f = make(a);
		kv_strv details = { 0 };

		for (size_t i = 0; kv_rule_id(i); i++) {
			for (unsigned twice = 0; twice < 2; twice++) {
				char *detail = kv_strf(a, "%s %u", kv_rule_id(i), twice);

				seed = seed * 1664525 + 1013904223;
				if (round && seed >> 30 == 0)
					continue;
				kv_vec_push(a, &details, detail);
				kv_vec_push(a, &f.list,
					    ((struct kv_finding){
						    .id = kv_rule_id(i),
						    .severity = round ? (seed >> 16) % 3 : KV_ERROR,
						    .detail = detail }));
			}
		}
		kv_findings_sort(&f);
		assert_int_equal(f.list.n, details.n);
		for (size_t i = 0; i < details.n; i++)
			assert_true(has(&f, details.v[i]));
	}
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_causes_come_first),
		cmocka_unit_test(test_a_warning_explains_no_error),
		cmocka_unit_test(test_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
