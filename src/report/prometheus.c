/*
 * Prometheus' text format, version 0.0.4: all samples of a metric together behind its HELP and
 * TYPE, names of counters end in _total, a backslash, a quote and a newline of a label's value are
 * escaped.
 */
#include "report/watch.h"

static const struct {
	const char *name, *help;
} helps[] = {
#define KV_WATCH_COUNTER(name, shown, help) { #name, help },
#include "watch/counters.def"
#undef KV_WATCH_COUNTER
};

static void put_label(FILE *out, struct kv_arena *a, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (const char *p = kv_printable(a, value); *p; p++) {
		if (*p == '\\' || *p == '"')
			fputc('\\', out);
		fputc(*p, out);
	}
	fputc('"', out);
}

static void put_head(FILE *out, const char *metric, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", metric, help, metric, type);
}

static const char *help_of(const char *counter)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(helps); i++)
		if (kv_streq(helps[i].name, counter))
			return helps[i].help;
	return "A counter of the EFA driver";
}

static const struct kv_watch_step *step_of(const struct kv_watch_device_delta *d, const char *name)
{
	const struct kv_watch_step *s;

	kv_vec_each (s, &d->steps)
		if (kv_streq(s->name, name))
			return s;
	return NULL;
}

static void put_counter(FILE *out, const struct kv_watch_delta *d, const char *name)
{
	struct kv_arena *a = d->now->arena;
	const char *metric = kv_strf(a, "kvpath_efa_%s_total", name);
	const struct kv_watch_device_delta *v;

	put_head(out, metric, "counter", help_of(name));
	kv_vec_each (v, &d->devices) {
		const struct kv_watch_step *s = step_of(v, name);

		if (!s)
			continue;
		fprintf(out, "%s{", metric);
		put_label(out, a, "device", v->name);
		fprintf(out, ",port=\"1\"} %llu\n", (unsigned long long)s->value);
	}
}

static void put_devices(FILE *out, const struct kv_watch_delta *d)
{
	const struct kv_watch_device_delta *v;
	kv_strv names = { 0 };

	kv_vec_each (v, &d->devices) {
		const struct kv_watch_step *s;

		kv_vec_each (s, &v->steps)
			if (!kv_strv_has(&names, s->name))
				kv_vec_push(d->now->arena, &names,
					    kv_strdup(d->now->arena, s->name));
	}
	for (size_t i = 0; i < names.n; i++)
		put_counter(out, d, names.v[i]);
}

static void put_process(FILE *out, struct kv_arena *a, const char *metric,
			const struct kv_watch_process *p)
{
	fprintf(out, "%s{pid=\"%d\",", metric, (int)p->pid);
	put_label(out, a, "comm", p->comm);
}

static void put_bytes(FILE *out, const struct kv_watch_delta *d, bool sent)
{
	const char *metric = sent ? "kvpath_process_tcp_sent_bytes_total"
				  : "kvpath_process_tcp_received_bytes_total";
	const struct kv_watch_process_delta *p;

	put_head(out, metric, "counter",
		 sent ? "Bytes that a serving process sent by TCP since kvpath watch began"
		      : "Bytes that a serving process received by TCP since kvpath watch began");
	kv_vec_each (p, &d->processes) {
		if (!p->known)
			continue;
		put_process(out, d->now->arena, metric, p->process);
		fprintf(out, "} %llu\n",
			(unsigned long long)(sent ? p->process->sent_total
						  : p->process->received_total));
	}
}

static void put_mapped(FILE *out, const struct kv_watch_delta *d, bool plugins)
{
	const char *metric =
		plugins ? "kvpath_process_plugin_info" : "kvpath_process_libfabric_info";
	const struct kv_watch_process_delta *p;
	struct kv_arena *a = d->now->arena;

	put_head(out, metric, "gauge",
		 plugins ? "A plugin of NIXL that a process has mapped"
			 : "A libfabric that a process has mapped");
	kv_vec_each (p, &d->processes) {
		const kv_strv *list = plugins ? &p->process->plugins : &p->process->libfabrics;

		for (size_t i = 0; i < list->n; i++) {
			put_process(out, a, metric, p->process);
			fputc(',', out);
			if (plugins) {
				put_label(out, a, "plugin", kv_watch_plugin_name(a, list->v[i]));
				fputc(',', out);
			}
			put_label(out, a, "path", list->v[i]);
			fputs("} 1\n", out);
		}
	}
}

void kv_prometheus_watch(FILE *out, const struct kv_watch_delta *d,
			 const struct kv_watch_verdict *v)
{
	put_devices(out, d);
	put_bytes(out, d, true);
	put_bytes(out, d, false);
	put_mapped(out, d, true);
	put_mapped(out, d, false);
	put_head(out, "kvpath_path", "gauge",
		 "Which way the bytes of the serving processes went in the last interval");
	for (int i = 0; i < _KV_WATCH_PATH_COUNT; i++)
		fprintf(out, "kvpath_path{path=\"%s\"} %d\n", kv_watch_path_name[i],
			v->path == (enum kv_watch_path)i);
	put_head(out, "kvpath_interval_seconds", "gauge", "Length of the last interval");
	fprintf(out, "kvpath_interval_seconds %.6f\n", d->seconds);
	put_head(out, "kvpath_sample_timestamp_seconds", "gauge", "Time of the last sample");
	fprintf(out, "kvpath_sample_timestamp_seconds %lld.%03d\n",
		(long long)(d->now->wall_ms / 1000), (int)(d->now->wall_ms % 1000));
}
