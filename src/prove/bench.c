/* One engine of bench: counters, the probe, counters again. Its lines were written inside the
 * target, so every field that is passed on is checked. */
#include <fcntl.h>
#include <math.h>
#include <sys/wait.h>
#include <time.h>

#include "prove/bench.h"
#include "prove/links.h"
#include "prove/parts.h"

#define SYSFS       "/sys"
#define SCHEMA      "kvpath.probe-bench/1"
#define MOVED_LEAST 65536 /* bytes: less are messages beside the data */

static bool is_number(const json_t *o, const char *key, double min)
{
	const json_t *v = json_object_get(o, key);
	double n = json_number_value(v);

	return json_is_number(v) && isfinite(n) && n >= min;
}

/* A run counts only where it is whole and says that its data arrived as sent. */
static bool run_ok(const json_t *o, const char *engine)
{
	static const char *const numbers[] = { "count",  "size",   "iters",  "p50_us",
					       "p90_us", "p99_us", "max_us", "bytes_per_s" };
	const char *op = kv_json_str(o, "op"), *mem = kv_json_str(o, "mem");

	for (size_t i = 0; i < KV_ARRAY_SIZE(numbers); i++)
		if (!is_number(o, numbers[i], i < 3 ? 1 : 0))
			return false;
	return kv_streq(kv_json_str(o, "engine"), engine) &&
	       (kv_streq(op, "read") || kv_streq(op, "write")) &&
	       (kv_streq(mem, "dram") || kv_streq(mem, "vram")) &&
	       json_is_true(json_object_get(o, "intact"));
}

static const char *keep(struct kv_arena *a, const char *s)
{
	return *s ? kv_strdup(a, s) : NULL;
}

static void end_read(struct kv_arena *a, const json_t *o, struct kv_bench_engine *ret)
{
	ret->good = json_is_true(json_object_get(o, "good"));
	ret->clean_end = json_is_true(json_object_get(o, "clean_end"));
	ret->cause = keep(a, kv_json_str(o, "cause"));
	ret->echo = json_is_true(json_object_get(o, "echo"));
	ret->hung = json_is_true(json_object_get(o, "hung"));
	ret->side = keep(a, kv_json_str(o, "side"));
	ret->error = keep(a, kv_json_str(o, "error"));
	if (!ret->good && !ret->error)
		ret->error = "failed without a reason";
}

/* True where the last line, which says how it went, is there. */
static bool lines_read(struct kv_arena *a, const char *text, struct kv_bench_engine *ret)
{
	char *copy = kv_strdup(a, text), *save = NULL;
	bool ended = false;

	for (char *s = strtok_r(copy, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		json_t *o = *s == '{' ? json_loads(s, JSON_REJECT_DUPLICATES, NULL) : NULL;

		if (kv_streq(kv_json_str(o, "schema"), SCHEMA) &&
		    kv_streq(kv_json_str(o, "kind"), "end")) {
			end_read(a, o, ret);
			ended = true;
		} else if (kv_streq(kv_json_str(o, "schema"), SCHEMA) && run_ok(o, ret->name)) {
			json_object_del(o, "schema");
			json_object_del(o, "kind");
			json_array_append(ret->runs, o);
		}
		json_decref(o);
	}
	return ended;
}

static const char *silence(struct kv_arena *a, const struct kv_prove_ran *ran, unsigned deadline_s)
{
	if (ran->timed_out)
		return kv_strf(a, "the deadline of %u s passed", deadline_s);
	if (WIFSIGNALED(ran->status))
		return kv_strf(a, "kvpath-probe was killed by signal %d before it could report",
			       WTERMSIG(ran->status));
	return kv_strf(a, "kvpath-probe ended with status %d and without a report",
		       WEXITSTATUS(ran->status));
}

static void add(struct kv_arena *a, kv_strv *argv, const char *option, const char *value)
{
	if (!value)
		return;
	kv_vec_push(a, argv, kv_strdup(a, option));
	kv_vec_push(a, argv, kv_strdup(a, value));
}

static char **arguments(struct kv_arena *a, const struct kv_bench_request *req, const char *engine)
{
	kv_strv argv = { 0 };

	kv_vec_push(a, &argv, kv_strdup(a, "kvpath-probe"));
	kv_vec_push(a, &argv, kv_strdup(a, "bench"));
	add(a, &argv, "--remote", req->remote);
	add(a, &argv, "--engine", engine);
	for (size_t i = 0; i < req->shapes.n; i++)
		add(a, &argv, "--shape", req->shapes.v[i]);
	add(a, &argv, "--op", req->op);
	add(a, &argv, "--mem", req->where.mem);
	add(a, &argv, "--gpu", kv_strf(a, "%u", req->gpu));
	add(a, &argv, "--peer-gpu", kv_strf(a, "%u", req->peer_gpu));
	add(a, &argv, "--iters",
	    req->iters ? kv_strf(a, "%llu", (unsigned long long)req->iters) : NULL);
	add(a, &argv, "--deadline", kv_strf(a, "%u", req->where.deadline_s));
	add(a, &argv, "--capi", req->where.capi);
	add(a, &argv, "--fabric", req->fabric);
	add(a, &argv, "--ucp", req->ucp);
	add(a, &argv, "--progress", req->nixl_progress);
	kv_vec_push(a, &argv, NULL);
	return argv.v;
}

/* What NIXL's C API does not tell: the provider of its LIBFABRIC, and why it refused something. */
static void read_nixl_log(struct kv_arena *a, struct kv_bench_engine *e, const char *backend)
{
	struct kv_prove_log log;

	kv_prove_log_read(a, e->log, backend, &log);
	e->provider = log.provider;
	e->provider_source = log.provider_line;
	if (!e->good && log.load_error)
		e->error = kv_strf(a, "the %s plugin does not load: %s", backend, log.load_error);
	else if (!e->good && log.first_error)
		e->error = kv_strf(a, "%s; NIXL: %s", e->error, log.first_error);
}

/* A name that all runs agree on, from the engine itself; for NIXL's LIBFABRIC, from its log. */
static void name_provider(struct kv_arena *a, struct kv_bench_engine *e)
{
	static const char nixl[] = "nixl:";
	json_t *run;
	size_t i;

	if (kv_starts(e->name, nixl))
		read_nixl_log(a, e, e->name + strlen(nixl));
	json_array_foreach(e->runs, i, run)
	{
		if (e->provider)
			json_object_set_new(run, "provider", json_string(e->provider));
		else
			e->provider = keep(a, kv_json_str(run, "provider"));
	}
}

/* NIXL names no rails; that its bytes took a device, the device's counters say. */
static json_t *rails_of(const struct kv_bench_engine *e, const json_t *run)
{
	json_t *named = json_object_get(run, "rail_names"), *moved;

	if (json_array_size(named))
		return json_incref(named);
	moved = json_array();
	for (size_t i = 0; i < e->counters.n; i++) {
		const struct kv_prove_counter *c = &e->counters.v[i];
		const char *moves =
			kv_streq(kv_json_str(run, "op"), "read") ? "rx_bytes" : "tx_bytes";

		if (c->delta > MOVED_LEAST && kv_streq(c->counter, moves))
			json_array_append_new(moved, json_string(c->device));
	}
	return moved;
}

/* What a run gives of what this host's links can carry. */
static void hold_to_links(struct kv_arena *a, struct kv_bench_engine *e)
{
	json_t *run;
	size_t i;

	json_array_foreach(e->runs, i, run)
	{
		json_t *rails = rails_of(e, run);
		double rate = kv_links_rate(a, SYSFS, rails);

		json_decref(rails);
		if (!(rate > 0))
			continue;
		json_object_set_new(run, "link_bytes_per_s", json_real(rate));
		json_object_set_new(
			run, "of_link",
			json_real(json_number_value(json_object_get(run, "bytes_per_s")) / rate));
	}
}

/* A line of the probe is a run. */
static void count_lines(void *arg, const struct kv_prove_text *out)
{
	const struct kv_bench_request *req = arg;
	size_t n = 0;

	for (size_t i = 0; i < out->head.n; i++)
		n += out->head.text[i] == '\n';
	req->progress(req->progress_arg, n);
}

int kv_bench(struct kv_arena *a, const struct kv_bench_request *req, const char *engine,
	     struct kv_bench_engine *ret, struct kv_err *err)
{
	struct kv_bench_request copy = *req;
	struct kv_prove_run run = { .req = &req->where,
				    .deadline_s = req->where.deadline_s,
				    .input = req->remote ? req->link : 0,
				    .tick = req->progress ? count_lines : NULL,
				    .tick_arg = &copy };
	struct kv_prove_counts before = { 0 }, after = { 0 };
	struct kv_bench_engine out = { .name = engine };
	struct kv_prove_result counted = { 0 };
	struct kv_prove_ran ran;
	_close_ int fd = open(req->where.probe, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return kv_err(err, -errno, "open %s: %s", req->where.probe, strerror(errno));
	r = kv_prove_counters_read(a, SYSFS, &before, err);
	if (r < 0)
		return r;
	run.exec_fd = fd;
	run.argv = arguments(a, req, engine);
	run.envp = kv_prove_environ(a, req->where.env);
	r = kv_prove_spawn(&run, &ran, err);
	if (r < 0)
		return r;
	/* The kernel caches hardware counters for 10 ms unless told otherwise. */
	if (before.list.n)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	out.runs = json_array();
	out.log = kv_prove_text_get(a, &ran.log);
	if (!lines_read(a, kv_prove_text_get(a, &ran.out), &out)) {
		out.cause = ran.timed_out ? "deadline" : "crash";
		out.error = silence(a, &ran, req->where.deadline_s);
	}
	kv_prove_text_clear(&ran.out);
	kv_prove_text_clear(&ran.log);
	r = kv_prove_counters_read(a, SYSFS, &after, err);
	if (r < 0) {
		json_decref(out.runs);
		return r;
	}
	kv_prove_counters_delta(a, &before, &after, &counted);
	for (size_t i = 0; i < counted.counters.n; i++)
		kv_vec_push(a, &out.counters, counted.counters.v[i]);
	name_provider(a, &out);
	hold_to_links(a, &out);
	if (out.error && out.side && !req->remote)
		out.error = kv_strf(a, "%s: %s", out.side, out.error);
	*ret = out;
	return 0;
}
