/* The HTML report: escaping, axes, labels; documents whose fields are not what they should be. */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/report.h"
#include "report/svg.h"
#include "report/units.h"

static void text_is_escaped(void **state)
{
	static const struct {
		const char *text, *html;
	} cases[] = {
		{ "a < b && c > \"d\" 'e'",
		  "a &lt; b &amp;&amp; c &gt; &quot;d&quot; &#39;e&#39;" },
		{ "\x1b[31m\x7f", "\\x1b[31m\\x7f" },
		{ "\xff\xe2\x80", "\\xff\\xe2\\x80" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa9",
		  "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa9" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac" },
		{ "", "" },
	};
	struct kv_arena *a = kv_arena_new();
	struct kv_html h = { .arena = a };

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++)
		assert_string_equal(kv_html_escape(a, cases[i].text), cases[i].html);
	kv_html(&h, "<a b=\"%s\">%d %u %zu %.2f %.*f 100%%</a>", "<&>", -1, 2U, (size_t)3, 1.005, 1,
		2.25);
	assert_string_equal(h.out.text, "<a b=\"&lt;&amp;&gt;\">-1 2 3 1.00 2.2 100%</a>");
	kv_buf_clear(&h.out);
	kv_arena_free(a);
}

static void numbers(void **state)
{
	struct kv_arena *a = kv_arena_new();

	(void)state;
	assert_string_equal(kv_bytes_text(a, 0), "0 B");
	assert_string_equal(kv_bytes_text(a, 999), "999 B");
	assert_string_equal(kv_bytes_text(a, 999.6), "1.00 kB");
	assert_string_equal(kv_bytes_text(a, 5652480000.), "5.65 GB");
	assert_string_equal(kv_bytes_text(a, 99.96e9), "100 GB");
	assert_string_equal(kv_time_text(a, .0282624), "28.3 ms");
	assert_string_equal(kv_time_text(a, 1.5e-6), "1.50 us");
	assert_string_equal(kv_time_text(a, 0), "0.00 ns");
	assert_string_equal(kv_size_text(a, 16384), "16 KiB");
	assert_string_equal(kv_size_text(a, 3 << 20), "3 MiB");
	assert_string_equal(kv_size_text(a, 1000), "1000 bytes");
	assert_string_equal(kv_count_text(a, 1234567), "1,234,567");
	assert_string_equal(kv_count_text(a, 123), "123");
	assert_string_equal(kv_tick_text(a, KV_UNIT_TIME, 1e-3), "1 ms");
	assert_string_equal(kv_tick_text(a, KV_UNIT_RATE, 20e9), "20 GB/s");
	assert_string_equal(kv_tick_text(a, KV_UNIT_SIZE, 4096), "4 KiB");
	kv_arena_free(a);
}

/* Whatever is drawn: the data is inside, ticks ascend and are inside, texts are apart. */
static void axes_fit(void **state)
{
	static const enum kv_unit units[] = { KV_UNIT_SIZE, KV_UNIT_TIME, KV_UNIT_RATE };

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		double lo = exp2(rand() % 60 - (i % 3 ? 30 : 0)) * (1 + rand() % 1000 / 1000.);
		double hi = lo * exp2(rand() % 40) * (rand() % 2 ? 1 : 1.001), last = -1e9;
		struct kv_axis x = { lo, hi, 66, 66 + 100 + rand() % 300, units[i % 3] };
		struct kv_ticks t;
		size_t named = 0;

		kv_axis_fit(&x, 58, &t);
		assert_true(x.lo <= lo * (1 + 1e-6) && x.hi >= hi * (1 - 1e-6) && x.hi > x.lo);
		assert_true(t.n >= 1 && t.n <= KV_TICKS);
		for (size_t k = 0; k < t.n; k++) {
			double at = kv_axis_pixel(&x, t.at[k]);

			assert_true(at > x.p0 - .01 && at < x.p1 + .01);
			if (k)
				assert_true(t.at[k] > t.at[k - 1]);
			if (!t.named[k])
				continue;
			assert_true(at - last > 57.9);
			last = at;
			named++;
		}
		assert_true(named >= 1);
	}
}

static void labels_keep_off_each_other(void **state)
{
	(void)state;
	srand(2);
	for (int i = 0; i < 5000; i++) {
		size_t n = (size_t)rand() % 9;
		double at[9], apart = 16;

		for (size_t k = 0; k < n; k++)
			at[k] = (k ? at[k - 1] : 0) + rand() % 40;
		kv_labels_spread(at, n, apart, 10, 10 + 16 * 7 + rand() % 100);
		for (size_t k = 1; k < n; k++)
			assert_true(at[k] - at[k - 1] > (n == 9 ? 13.9 : 15.999));
		if (n)
			assert_true(at[0] >= 9.999 && at[n - 1] <= 10 + 16 * 7 + 100);
	}
}

static void texts_fit(void **state)
{
	struct kv_arena *a = kv_arena_new();

	(void)state;
	assert_string_equal(kv_text_fit(a, "tcp", 12, 100), "tcp");
	assert_string_equal(kv_text_fit(a, "mmmmmmmmmm", 10, 42), "mmm\xe2\x80\xa6");
	/* Not in the midst of a character. */
	assert_string_equal(kv_text_fit(a, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 10, 22),
			    "\xe6\x97\xa5\xe2\x80\xa6");
	kv_arena_free(a);
}

/* ---- documents ---- */

static json_t *any_value(void)
{
	switch (rand() % 9) {
	case 0:
		return json_null();
	case 1:
		return json_integer(-1);
	case 2:
		return json_integer(INT64_MAX);
	case 3:
		return json_real(1e308);
	case 4:
		return json_string("<b>");
	case 5:
		return json_array();
	case 6:
		return json_object();
	case 7:
		return json_pack("[n, s, {s:i}, [i]]", "x", "y", 1, 2);
	default:
		return json_true();
	}
}

/* Changes about one value in `of`, anywhere in v. */
static void damage(json_t *v, int of)
{
	const char *key;
	json_t *e;
	void *next;
	size_t i;

	if (json_is_array(v)) {
		for (i = 0; i < json_array_size(v); i++) {
			e = json_array_get(v, i);
			if (rand() % of == 0)
				json_array_set_new(v, i, any_value());
			else
				damage(e, of);
		}
		return;
	}
	json_object_foreach_safe(v, next, key, e)
	{
		if (kv_streq(key, "schema"))
			continue;
		if (rand() % of == 0)
			json_object_set_new(v, key, any_value());
		else
			damage(e, of);
	}
}

static json_t *made_up(size_t i)
{
	return i == 0 ? json_pack("{s:s, s:[{s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:f,s:f,s:f,s:b},"
				  "{s:s,s:s,s:s,s:i,s:i,s:f,s:f,s:b}]}",
				  "schema", "kvpath.bench/1", "runs", "engine", "nixl:LIBFABRIC",
				  "provider", "efa", "op", "write", "mem", "dram", "count", 1,
				  "size", 4096, "iters", 9, "p50_us", 1., "p99_us", 2.,
				  "bytes_per_s", 1e9, "intact", 1, "engine", "tcp", "op", "write",
				  "mem", "dram", "count", 1, "size", 4096, "p50_us", 3.,
				  "bytes_per_s", 2e9, "intact", 1)
		      : json_pack("{s:s, s:[s,s,{s:s}], s:[{s:s,s:s,s:f,s:s},{s:s,s:s,s:f,s:s}]}",
				  "schema", "kvpath.sweep/1", "nodes", "a", "b", "name", "c",
				  "pairs", "a", "a", "b", "b", "bytes_per_s", 1e9, "verdict",
				  "on-fabric", "a", "b", "b", "c", "bytes_per_s", 2e9, "verdict",
				  "off-fabric");
}

static size_t render(struct kv_arena *a, json_t *const *roots, size_t n)
{
	struct kv_docs docs = { .arena = a, .backend = "LIBFABRIC" };
	struct kv_html h = { .arena = a };
	char path[] = "/tmp/kvpath-report.XXXXXX";
	struct kv_err err = { 0 };
	int fd = mkstemp(path);
	size_t size;

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		char *text = json_dumps(roots[i], 0);

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(kv_write_all(fd, text, strlen(text)), 0);
		free(text);
		assert_int_equal(kv_docs_add(&docs, path, &err), 0);
	}
	close(fd);
	unlink(path);
	kv_html_report(&h, &docs);
	assert_non_null(strstr(h.out.text, "</html>"));
	assert_null(strstr(h.out.text, "<b><b>"));
	assert_null(strstr(h.out.text, "nan"));
	assert_null(strstr(h.out.text, "inf\""));
	size = h.out.n;
	kv_buf_clear(&h.out);
	kv_docs_free(&docs);
	return size;
}

/* Nothing in a document is of the type that it should be of: no crash, and a whole page. */
static void damaged_documents(void **state)
{
	json_t *roots[16];
	struct dirent *e;
	size_t n = 0;
	DIR *d = opendir(KVPATH_RESULTS);

	(void)state;
	assert_non_null(d);
	while ((e = readdir(d))) {
		struct kv_arena *a = kv_arena_new();

		if (kv_ends(e->d_name, ".json") && n < 12)
			roots[n++] = json_load_file(kv_join(a, KVPATH_RESULTS, e->d_name), 0, NULL);
		kv_arena_free(a);
	}
	closedir(d);
	assert_true(n >= 6);
	roots[n++] = made_up(0);
	roots[n++] = made_up(1);
	srand(3);
	for (int i = 0; i < 200; i++) {
		struct kv_arena *a = kv_arena_new();
		json_t *copies[16];

		for (size_t k = 0; k < n; k++) {
			copies[k] = json_deep_copy(roots[k]);
			damage(copies[k], i ? 2 + i % 40 : 1 << 30);
		}
		assert_true(render(a, copies, n) > 10000);
		for (size_t k = 0; k < n; k++)
			json_decref(copies[k]);
		kv_arena_free(a);
	}
	for (size_t k = 0; k < n; k++)
		json_decref(roots[k]);
}

/* Nor is anything left behind by it, as the run with a sanitizer sees. */
static void no_host_is_null(void **state)
{
	struct kv_arena *a = kv_arena_new();
	json_t *host = kv_json_host(a, NULL);

	(void)state;
	assert_true(json_is_null(host));
	json_decref(host);
	kv_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_escaped), cmocka_unit_test(numbers),
		cmocka_unit_test(axes_fit),        cmocka_unit_test(labels_keep_off_each_other),
		cmocka_unit_test(texts_fit),       cmocka_unit_test(damaged_documents),
		cmocka_unit_test(no_host_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
