/* The table of bench, in the columns of fabtests with percentiles beside them; and its document. */
#include <sched.h>
#include <sys/utsname.h>

#include "prove/rates.h"
#include "report/bench.h"
#include "report/units.h"

static void put_run(FILE *out, struct kv_arena *a, const json_t *r)
{
	double bytes = kv_json_num(r, "count") * kv_json_num(r, "size");

	fprintf(out, "  %-5s %7.0f x %-9s %7.0f %9s %9.3f %10.1f %9.1f %9.1f %9.1f %9.1f %9.1f\n",
		kv_json_str(r, "op"), kv_json_num(r, "count"),
		kv_size_text(a, (uint64_t)kv_json_num(r, "size")), kv_json_num(r, "iters"),
		kv_bytes_text(a, bytes * kv_json_num(r, "iters")), kv_json_num(r, "time_s"),
		kv_json_num(r, "bytes_per_s") / 1e6, kv_json_num(r, "mean_us"),
		kv_json_num(r, "p50_us"), kv_json_num(r, "p90_us"), kv_json_num(r, "p99_us"),
		kv_json_num(r, "max_us"));
}

static void put_notes(FILE *out, struct kv_arena *a, const json_t *run)
{
	if (kv_json_num(run, "local_p50_us") > 0)
		fprintf(out, "  sender  complete for the sender, before the target knew: p50 %s\n",
			kv_time_text(a, kv_json_num(run, "local_p50_us") / 1e6));
	if (kv_json_num(run, "of_link") > 0)
		fprintf(out, "  link    %.2f of this host's, %s/s\n", kv_json_num(run, "of_link"),
			kv_bytes_text(a, kv_json_num(run, "link_bytes_per_s")));
	if (kv_rate_busy(run))
		fprintf(out,
			"  note    this machine is busy: of that time, the two sides waited %s "
			"for a processor\n",
			kv_time_text(a, kv_json_num(run, "cpu_wait_s")));
}

static void put_counter(FILE *out, struct kv_arena *a, const char *what,
			const struct kv_prove_counter *c)
{
	fprintf(out, "  %s %s %s %+lld\n", what, kv_printable(a, c->device),
		kv_printable(a, c->counter), (long long)c->delta);
}

static void put_engine(FILE *out, struct kv_arena *a, const struct kv_bench_engine *e)
{
	const json_t *run;
	size_t i;

	fprintf(out, "%s", kv_printable(a, e->name));
	if (json_array_size(e->runs)) {
		const json_t *first = json_array_get(e->runs, 0);

		fprintf(out, "  %s, provider %s%s%s", kv_json_str(first, "mem"),
			e->provider ? kv_printable(a, e->provider) : "not named",
			*kv_json_str(first, "detail") ? ": " : "",
			kv_printable(a, kv_json_str(first, "detail")));
		fputs("\n  op      count x size       iters     total    time s       MB/s   "
		      "us/xfer"
		      "       p50       p90       p99       max\n",
		      out);
	} else {
		fputc('\n', out);
	}
	json_array_foreach(e->runs, i, run)
	{
		put_run(out, a, run);
		put_notes(out, a, run);
	}
	for (i = 0; i < e->counters.n; i++)
		put_counter(out, a, "counter", &e->counters.v[i]);
	for (i = 0; i < e->peer_counters.n; i++)
		put_counter(out, a, "target ", &e->peer_counters.v[i]);
	if (e->provider && e->peer_provider && !kv_streq(e->provider, e->peer_provider))
		fprintf(out, "  note    the target's side names the provider %s\n",
			kv_printable(a, e->peer_provider));
	if (!e->good)
		fprintf(out, "  failed  %s\n", kv_printable(a, e->error));
	else if (!e->clean_end)
		fputs("  note    every byte as sent, but its clean-up crashed or hung\n", out);
}

static const struct kv_bench_engine *named(const struct kv_bench_report *r, const char *name)
{
	for (size_t i = 0; name && i < r->engines.n; i++)
		if (kv_streq(r->engines.v[i].name, name))
			return &r->engines.v[i];
	return NULL;
}

static const json_t *same_run(const struct kv_bench_engine *e, const json_t *of)
{
	const json_t *run;
	size_t i;

	json_array_foreach(e->runs, i,
			   run) if (kv_streq(kv_json_str(run, "op"), kv_json_str(of, "op")) &&
				    kv_json_num(run, "count") == kv_json_num(of, "count") &&
				    kv_json_num(run, "size") == kv_json_num(of, "size")) return run;
	return NULL;
}

/* Of each shape that both measured. */
static json_t *comparison(const struct kv_bench_report *r)
{
	const struct kv_bench_engine *b = named(r, r->before), *f = named(r, r->after);
	json_t *rows = json_array();
	const json_t *run;
	size_t i;

	if (!b || !f)
		return rows;
	json_array_foreach(b->runs, i, run)
	{
		const json_t *then = same_run(f, run);

		if (then && kv_json_num(then, "p50_us") > 0)
			json_array_append_new(
				rows,
				json_pack("{s:s,s:O,s:O,s:O,s:O,s:f,s:b}", "op",
					  kv_json_str(run, "op"), "count",
					  json_object_get(run, "count"), "size",
					  json_object_get(run, "size"), "before_p50_us",
					  json_object_get(run, "p50_us"), "after_p50_us",
					  json_object_get(then, "p50_us"), "times_faster",
					  kv_json_num(run, "p50_us") / kv_json_num(then, "p50_us"),
					  "busy", kv_rate_busy(run) || kv_rate_busy(then)));
	}
	return rows;
}

/* The engine that moves the same way without NIXL: its library, called directly; NULL. */
static const struct kv_bench_engine *raw_of(const struct kv_bench_report *r,
					    const struct kv_bench_engine *e)
{
	if (kv_streq(e->name, "nixl:UCX"))
		return named(r, "ucx");
	for (size_t i = 0; kv_streq(e->name, "nixl:LIBFABRIC") && i < r->engines.n; i++)
		if (kv_starts(r->engines.v[i].name, "ofi:") && r->engines.v[i].provider &&
		    e->provider && kv_streq(r->engines.v[i].provider, e->provider))
			return &r->engines.v[i];
	return NULL;
}

static json_t *raw_row(const struct kv_bench_engine *e, const struct kv_bench_engine *raw,
		       const json_t *run)
{
	const json_t *of = same_run(raw, run);

	if (!of || !(kv_json_num(of, "bytes_per_s") > 0))
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:O,s:O,s:f,s:b}", "engine", e->name, "raw", raw->name, "op",
			 kv_json_str(run, "op"), "count", json_object_get(run, "count"), "size",
			 json_object_get(run, "size"), "of_raw",
			 kv_json_num(run, "bytes_per_s") / kv_json_num(of, "bytes_per_s"), "busy",
			 kv_rate_busy(run) || kv_rate_busy(of));
}

/* What NIXL gives of what its library gives, for each shape that both measured. */
static json_t *raw_ratios(const struct kv_bench_report *r)
{
	json_t *rows = json_array(), *run, *row;
	size_t k;

	for (size_t i = 0; i < r->engines.n; i++) {
		const struct kv_bench_engine *e = &r->engines.v[i], *raw = raw_of(r, e);

		if (!raw)
			continue;
		json_array_foreach(e->runs, k, run)
		{
			row = raw_row(e, raw, run);
			if (row)
				json_array_append_new(rows, row);
		}
	}
	return rows;
}

static void put_raw(FILE *out, struct kv_arena *a, const struct kv_bench_report *r)
{
	json_t *rows = raw_ratios(r), *row;
	size_t i;

	if (json_array_size(rows))
		fputs("of what the library itself gives (bytes a second)\n", out);
	json_array_foreach(rows, i, row) fprintf(
		out, "  %-14s %-5s %7.0f x %-9s %6.2f of %s%s\n", kv_json_str(row, "engine"),
		kv_json_str(row, "op"), kv_json_num(row, "count"),
		kv_size_text(a, (uint64_t)kv_json_num(row, "size")), kv_json_num(row, "of_raw"),
		kv_printable(a, kv_json_str(row, "raw")),
		json_is_true(json_object_get(row, "busy"))
			? " (on a busy machine: no figure to rely on)"
			: "");
	json_decref(rows);
}

static void put_comparison(FILE *out, struct kv_arena *a, const struct kv_bench_report *r)
{
	json_t *rows = comparison(r), *row;
	size_t i;

	if (json_array_size(rows))
		fprintf(out, "before %s, after %s (medians)\n", r->before, r->after);
	json_array_foreach(rows, i, row)
		fprintf(out, "  %-5s %7.0f x %-9s %10s -> %-10s %6.2f times as fast%s\n",
			kv_json_str(row, "op"), kv_json_num(row, "count"),
			kv_size_text(a, (uint64_t)kv_json_num(row, "size")),
			kv_time_text(a, kv_json_num(row, "before_p50_us") / 1e6),
			kv_time_text(a, kv_json_num(row, "after_p50_us") / 1e6),
			kv_json_num(row, "times_faster"),
			json_is_true(json_object_get(row, "busy"))
				? " (on a busy machine: no figure to rely on)"
				: "");
	json_decref(rows);
}

static void put_hosts(FILE *out, struct kv_arena *a, const struct kv_bench_report *r)
{
	struct utsname u;

	if (uname(&u) < 0)
		memset(&u, 0, sizeof(u));
	fprintf(out, "hosts     %s, NIXL %s -> %s at %s, NIXL %s\n", kv_printable(a, u.nodename),
		r->nixl ? kv_printable(a, r->nixl) : "none",
		kv_printable(a, kv_json_str(r->peer, "name")),
		kv_printable(a, kv_json_str(r->peer, "address")),
		*kv_json_str(r->peer, "nixl") ? kv_printable(a, kv_json_str(r->peer, "nixl"))
					      : "none");
}

void kv_text_bench(FILE *out, struct kv_arena *a, const struct kv_bench_report *r,
		   struct kv_style st)
{
	if (r->shape_source && !st.quiet)
		fprintf(out, "shape     %s\n", kv_printable(a, r->shape_source));
	if (r->peer && !st.quiet)
		put_hosts(out, a, r);
	for (size_t i = 0; i < r->engines.n; i++)
		put_engine(out, a, &r->engines.v[i]);
	put_raw(out, a, r);
	put_comparison(out, a, r);
}

/* ---- the document ---- */

static const char *first_line(struct kv_arena *a, const char *path, const char *key)
{
	struct kv_span text = { 0 };
	const char *at, *from;

	if (kv_read_file(a, path, 1 << 20, &text, NULL) < 0)
		return NULL;
	from = kv_strndup(a, (const char *)text.p, text.n);
	at = key ? strstr(from, key) : from;
	if (!at)
		return NULL;
	at += key ? strlen(key) : 0;
	at += strspn(at, " \t:");
	return kv_strndup(a, at, strcspn(at, "\n"));
}

json_t *kv_json_bench_host(struct kv_arena *a)
{
	const char *cpu = first_line(a, "/proc/cpuinfo", "model name");
	const char *load = first_line(a, "/proc/loadavg", NULL);
	const char *driver = first_line(a, "/proc/driver/nvidia/version", NULL);
	struct utsname u;
	cpu_set_t set;

	if (uname(&u) < 0)
		memset(&u, 0, sizeof(u));
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		CPU_ZERO(&set);
	return json_pack("{s:s,s:s,s:s,s:i,s:i,s:s?,s:s?,s:s?}", "name", u.nodename, "kernel",
			 u.release, "machine", u.machine, "cores",
			 (int)sysconf(_SC_NPROCESSORS_ONLN), "cores_allowed", CPU_COUNT(&set),
			 "cpu", cpu, "load", load, "nvidia_driver", driver);
}

static json_t *devices_json(const struct kv_prove_counter *c, size_t n)
{
	json_t *devices = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(devices,
				      json_pack("{s:s,s:s,s:I}", "name", c[i].device, "counter",
						c[i].counter, "delta", (json_int_t)c[i].delta));
	return devices;
}

static json_t *engine_json(const struct kv_bench_engine *e)
{
	return json_pack("{s:s,s:b,s:b,s:s?,s:s?,s:s?,s:s?,s:s?,s:s?,s:o,s:o}", "engine", e->name,
			 "good", e->good, "clean_end", e->clean_end, "provider", e->provider,
			 "provider_source", e->provider_source, "peer_provider", e->peer_provider,
			 "cause", e->cause, "side", e->good ? NULL : e->side, "error", e->error,
			 "devices", devices_json(e->counters.v, e->counters.n), "peer_devices",
			 devices_json(e->peer_counters.v, e->peer_counters.n));
}

json_t *kv_json_bench(struct kv_arena *a, const struct kv_bench_report *r)
{
	json_t *runs = json_array(), *engines = json_array();

	for (size_t i = 0; i < r->engines.n; i++) {
		json_array_extend(runs, r->engines.v[i].runs);
		json_array_append_new(engines, engine_json(&r->engines.v[i]));
	}
	return json_pack("{s:s,s:s,s:o,s:O?,s:s?,s:s?,s:s?,s:o,s:o,s:o,s:o}", "schema",
			 "kvpath.bench/1", "version", KVPATH_VERSION, "host", kv_json_bench_host(a),
			 "peer", r->peer, "target", r->target, "nixl", r->nixl, "shape_source",
			 r->shape_source, "engines", engines, "runs", runs, "comparison",
			 comparison(r), "raw", raw_ratios(r));
}
