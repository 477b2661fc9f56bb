/* Reads kvpath.bench/1; every field is checked before it is believed. */
#include <math.h>

#include "prove/rates.h"

#define MAX_RESULT ((size_t)64 << 20)

bool kv_rate_busy(const json_t *run)
{
	return json_number_value(json_object_get(run, "cpu_wait_s")) * 20 >
	       json_number_value(json_object_get(run, "time_s"));
}

/* "nixl:UCX tcp write dram": what is not named is left out. */
static const char *name_of(struct kv_arena *a, const json_t *run)
{
	static const char *const keys[] = { "engine", "provider", "op", "mem" };
	const char *name = "";

	for (size_t i = 0; i < KV_ARRAY_SIZE(keys); i++) {
		const char *s = kv_json_str(run, keys[i]);

		/* "ofi:tcp" and "tcp" name their provider already. */
		if (*s && !(i == 1 && (kv_streq(name, s) || kv_ends(name, kv_strf(a, ":%s", s)))))
			name = kv_strf(a, "%s%s%s", name, *name ? " " : "", s);
	}
	return name;
}

static bool rate_of(struct kv_arena *a, const json_t *run, struct kv_rate *ret)
{
	const json_t *size = json_object_get(run, "size");
	double rate = json_number_value(json_object_get(run, "bytes_per_s"));

	if (!json_is_true(json_object_get(run, "intact")) || !json_is_integer(size) ||
	    json_integer_value(size) < 1 || !isfinite(rate) || rate <= 0)
		return false;
	*ret = (struct kv_rate){ name_of(a, run), (uint64_t)json_integer_value(size), rate,
				 kv_rate_busy(run) };
	return *ret->name != '\0';
}

/* How far a size is from the one that is looked for: their ratio, the larger above. */
static double distance(uint64_t size, uint64_t wanted)
{
	return size > wanted ? (double)size / (double)wanted : (double)wanted / (double)size;
}

/* Of each way, in the order of the runs: the nearest size, then the best where it is another. */
static void choose(struct kv_arena *a, const kv_rates *all, uint64_t size, kv_rates *ret)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct kv_rate *near = &all->v[i], *best = near;
		bool seen = false;

		for (size_t k = 0; k < all->n; k++) {
			const struct kv_rate *r = &all->v[k];

			if (!kv_streq(r->name, near->name))
				continue;
			seen |= k < i;
			best = r->bytes_per_s > best->bytes_per_s ? r : best;
			if (distance(r->size, size) < distance(near->size, size))
				near = r;
		}
		if (seen)
			continue;
		kv_vec_push(a, ret, *near);
		if (best->size != near->size)
			kv_vec_push(a, ret, *best);
	}
}

int kv_rates_read(struct kv_arena *a, const char *path, uint64_t size, kv_rates *ret,
		  struct kv_err *err)
{
	struct kv_span text;
	kv_rates all = { 0 };
	json_error_t why;
	const json_t *run;
	json_t *doc;
	size_t i;
	int r = kv_read_file(a, path, MAX_RESULT, &text, err);

	if (r < 0)
		return r;
	doc = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &why);
	if (!doc || !kv_streq(kv_json_str(doc, "schema"), "kvpath.bench/1")) {
		json_decref(doc);
		return kv_err(err, -EINVAL, "%s: no result of kvpath bench --json: %s", path,
			      doc ? "its schema is not kvpath.bench/1" : why.text);
	}
	json_array_foreach(json_object_get(doc, "runs"), i, run)
	{
		struct kv_rate rate;

		if (rate_of(a, run, &rate))
			kv_vec_push(a, &all, rate);
	}
	json_decref(doc);
	if (!all.n)
		return kv_err(err, -EINVAL, "%s: no run in it whose data arrived as sent", path);
	choose(a, &all, size, ret);
	return 0;
}
