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

static const char *label(struct kv_arena *a, const char *value)
{
	const char *text = kv_printable(a, value);
	char *escaped, *at;

	if (!strpbrk(text, "\\\""))
		return text;
	escaped = at = kv_alloc(a, 2 * strlen(text) + 1);
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			*at++ = '\\';
		*at++ = *text;
	}
	return escaped;
}

static void put_label(FILE *out, struct kv_arena *a, const char *name, const char *value)
{
	fprintf(out, "%s=\"%s\"", name, label(a, value));
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

/* Devices of one driver have the same counters in the same order: at is where the one before had
 * it. */
static const struct kv_watch_step *step_of(const struct kv_watch_device_delta *d, const char *name,
					   size_t *at)
{
	for (size_t i = 0; i < d->steps.n; i++) {
		size_t j = (*at + i) % d->steps.n;

		if (kv_streq(d->steps.v[j].name, name)) {
			*at = j;
			return &d->steps.v[j];
		}
	}
	return NULL;
}

/* What one device has and the one before had too is at the same place: names stay few. */
static bool is_new(const kv_strv *names, const char *name, size_t at)
{
	return !(at < names->n && kv_streq(names->v[at], name)) && !kv_strv_has(names, name);
}

/* labels: one of each device. at: where the counter is looked for first. */
static void put_counter(FILE *out, const struct kv_watch_delta *d, const kv_strv *labels,
			const char *name, size_t at)
{
	const char *metric = kv_strf(d->now->arena, "kvpath_efa_%s_total", name);
	_buf_ struct kv_buf lines = { 0 };

	put_head(out, metric, "counter", help_of(name));
	for (size_t i = 0; i < d->devices.n; i++) {
		const struct kv_watch_step *s = step_of(&d->devices.v[i], name, &at);

		if (!s)
			continue;
		kv_buf_str(&lines, metric);
		kv_buf_str(&lines, labels->v[i]);
		kv_buf_u64(&lines, s->value);
		kv_buf_add(&lines, "\n", 1);
	}
	fwrite(lines.text, 1, lines.n, out);
}

static void put_devices(FILE *out, const struct kv_watch_delta *d)
{
	struct kv_arena *a = d->now->arena;
	const struct kv_watch_device_delta *v;
	kv_strv names = { 0 }, labels = { 0 };

	kv_vec_each (v, &d->devices) {
		const struct kv_watch_step *s;

		kv_vec_push(a, &labels,
			    kv_strf(a, "{device=\"%s\",port=\"1\"} ", label(a, v->name)));
		kv_vec_each (s, &v->steps)
			if (is_new(&names, s->name, (size_t)(s - v->steps.v)))
				kv_vec_push(a, &names, kv_strdup(a, s->name));
	}
	for (size_t i = 0; i < names.n; i++)
		put_counter(out, d, &labels, names.v[i], i);
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
