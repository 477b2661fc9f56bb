/* What moves, as text and as a line of JSON. */
#include <time.h>

#include "report/parts.h"
#include "report/watch.h"

const char *kv_watch_plugin_name(struct kv_arena *a, const char *path)
{
	const char *name = kv_basename(path) + strlen("libplugin_");

	return kv_strndup(a, name, strcspn(name, "."));
}

/* ---- text ---- */

static const char *clock_of(struct kv_arena *a, int64_t wall_ms, bool whole)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[64];

	if (whole)
		gmtime_r(&t, &tm);
	else
		localtime_r(&t, &tm);
	strftime(text, sizeof(text), whole ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &tm);
	return whole ? kv_strf(a, "%s.%03dZ", text, (int)(wall_ms % 1000)) : kv_strdup(a, text);
}

static const char *plugins_of(struct kv_arena *a, const struct kv_watch_process *p)
{
	const char *text = "";

	for (size_t i = 0; i < p->plugins.n; i++)
		text = kv_strf(a, "%s%s%s", text, *text ? "," : "",
			       kv_watch_plugin_name(a, p->plugins.v[i]));
	return *text ? kv_printable(a, text) : "-";
}

static const char *rate_of(const struct kv_watch_delta *d, bool known, uint64_t bytes)
{
	return known ? kv_watch_rate(d->now->arena, bytes, d->seconds) : "?";
}

static void put_processes(FILE *out, const struct kv_watch_delta *d)
{
	struct kv_arena *a = d->now->arena;
	const struct kv_watch_process_delta *p;

	if (d->processes.n)
		fprintf(out, "\n%8s  %-15s %-18s %10s %10s %7s  %-8s %s\n", "PID", "PROCESS",
			"PLUGINS", "TCP OUT", "TCP IN", "SOCKETS", "EFA OPEN", "LIBFABRIC");
	kv_vec_each (p, &d->processes) {
		const struct kv_watch_process *q = p->process;

		fprintf(out, "%8d  %-15s %-18s %10s %10s %7zu  %-8s %s\n", (int)q->pid,
			kv_printable(a, q->comm), plugins_of(a, q), rate_of(d, p->known, p->sent),
			rate_of(d, p->known, p->received), p->sockets,
			q->fds_error ? "?" : kv_strf(a, "%zu", q->efa.n),
			q->maps_error     ? "?"
			: q->libfabrics.n ? kv_printable(a, q->libfabrics.v[0])
					  : "-");
	}
}

static const char *step_rate(const struct kv_watch_delta *d, const struct kv_watch_device_delta *v,
			     const char *name)
{
	const struct kv_watch_step *s;

	kv_vec_each (s, &v->steps)
		if (kv_streq(s->name, name))
			return rate_of(d, s->known, s->delta);
	return "-";
}

static const char *step_count(const struct kv_watch_delta *d, const struct kv_watch_device_delta *v,
			      const char *name)
{
	const struct kv_watch_step *s;

	kv_vec_each (s, &v->steps)
		if (kv_streq(s->name, name))
			return s->known ? kv_strf(d->now->arena, "%llu",
						  (unsigned long long)s->delta)
					: "?";
	return "-";
}

static void put_devices(FILE *out, const struct kv_watch_delta *d)
{
	const struct kv_watch_device_delta *v;

	if (d->devices.n)
		fprintf(out, "\n%-16s %-6s %10s %10s %10s %10s %7s %8s\n", "EFA DEVICE", "STATE",
			"TX", "RX", "RDMA WRITE", "RDMA READ", "DROPS", "RETRANS");
	kv_vec_each (v, &d->devices)
		fprintf(out, "%-16s %-6s %10s %10s %10s %10s %7s %8s\n",
			kv_printable(d->now->arena, v->name), kv_watch_state_name[v->state],
			step_rate(d, v, "tx_bytes"), step_rate(d, v, "rx_bytes"),
			step_rate(d, v, "rdma_write_bytes"), step_rate(d, v, "rdma_read_bytes"),
			step_count(d, v, "rx_drops"), step_count(d, v, "retrans_pkts"));
}

void kv_text_watch(FILE *out, const struct kv_watch_delta *d, const struct kv_watch_verdict *v,
		   bool quiet)
{
	struct kv_arena *a = d->now->arena;

	fprintf(out, "%s  %s\n", clock_of(a, d->now->wall_ms, false), v->line);
	if (quiet)
		return;
	for (size_t i = 0; i < v->cannot_tell.n; i++)
		fprintf(out, "  not told: %s\n", kv_printable(a, v->cannot_tell.v[i]));
	put_processes(out, d);
	put_devices(out, d);
}

/* ---- JSON ---- */

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *maybe(bool known, uint64_t n)
{
	return known ? number(n) : json_null();
}

/*
 * The counters of 32 devices are a thousand objects a second: they are written as text, and not
 * made and freed as values first. Their names are of letters, digits and underscores.
 */
static void put_counters(struct kv_buf *out, const struct kv_watch_device_delta *v)
{
	const struct kv_watch_step *s;

	kv_vec_each (s, &v->steps) {
		kv_buf_str(out, s == v->steps.v ? "\"" : ",\"");
		kv_buf_str(out, s->name);
		kv_buf_str(out, "\":{\"value\":");
		kv_buf_u64(out, s->value);
		kv_buf_str(out, ",\"delta\":");
		if (s->known)
			kv_buf_u64(out, s->delta);
		else
			kv_buf_str(out, "null");
		kv_buf_str(out, "}");
	}
}

/* Takes o, an object of at least one member, and leaves its end open for more. */
static void put_open(struct kv_buf *out, json_t *o)
{
	_free_ char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	if (text)
		kv_buf_add(out, text, strlen(text) - 1);
}

static void put_device_list(struct kv_buf *out, struct kv_arena *a, const struct kv_watch_delta *d)
{
	const struct kv_watch_device_delta *v;

	kv_vec_each (v, &d->devices) {
		kv_buf_str(out, v == d->devices.v ? "" : ",");
		put_open(out, json_pack("{s:o, s:s}", "name", kv_json_text(a, v->name), "state",
					kv_watch_state_name[v->state]));
		kv_buf_str(out, ",\"counters\":{");
		put_counters(out, v);
		kv_buf_str(out, "}}");
	}
}

static json_t *plugins_json(struct kv_arena *a, const struct kv_watch_process *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->plugins.n; i++)
		json_array_append_new(
			list, json_pack("{s:o, s:o}", "name",
					kv_json_text(a, kv_watch_plugin_name(a, p->plugins.v[i])),
					"path", kv_json_text(a, p->plugins.v[i])));
	return list;
}

static json_t *process_json(struct kv_arena *a, const struct kv_watch_process_delta *d)
{
	const struct kv_watch_process *p = d->process;

	return json_pack("{s:i, s:o, s:b, s:o, s:o, s:b, s:o, s:{s:i, s:o, s:o, s:o, s:o}}", "pid",
			 (int)p->pid, "comm", kv_json_text(a, p->comm), "nixl", p->nixl, "plugins",
			 plugins_json(a, p), "libfabric", kv_json_texts(a, &p->libfabrics),
			 "nccl_net", p->nccl_net, "efa_open",
			 p->fds_error ? json_null() : kv_json_texts(a, &p->efa), "tcp", "sockets",
			 (int)d->sockets, "tx_bytes", maybe(d->known, d->sent), "rx_bytes",
			 maybe(d->known, d->received), "loopback_bytes", maybe(d->known, d->local),
			 "unknown", kv_json_text(a, d->unknown));
}

static json_t *head_json(const struct kv_watch_delta *d, const struct kv_watch_verdict *v)
{
	struct kv_arena *a = d->now->arena;

	return json_pack("{s:s, s:s, s:o, s:f, s:s, s:o, s:o}", "schema", "kvpath.watch/1",
			 "version", KVPATH_VERSION, "time",
			 kv_json_text(a, clock_of(a, d->now->wall_ms, true)), "seconds", d->seconds,
			 "path", kv_watch_path_name[v->path], "line", kv_json_text(a, v->line),
			 "cannot_tell", kv_json_texts(a, &v->cannot_tell));
}

void kv_json_watch(struct kv_buf *out, const struct kv_watch_delta *d,
		   const struct kv_watch_verdict *v)
{
	struct kv_arena *a = d->now->arena;
	json_t *processes = json_array();
	const struct kv_watch_process_delta *p;

	put_open(out, head_json(d, v));
	kv_buf_str(out, ",\"efa\":");
	put_open(out, json_pack("{s:o, s:o, s:b}", "tx_bytes", maybe(!d->now->efa_error, d->tx),
				"rx_bytes", maybe(!d->now->efa_error, d->rx), "complete",
				!d->now->efa_error && d->n_known == d->devices.n));
	kv_buf_str(out, ",\"devices\":[");
	put_device_list(out, a, d);
	kv_buf_str(out, "]},\"tcp\":");
	kv_vec_each (p, &d->processes)
		json_array_append_new(processes, process_json(a, p));
	put_open(out, json_pack("{s:o, s:o, s:b, s:o}", "tx_bytes", number(d->sent), "rx_bytes",
				number(d->received), "complete", d->n_tcp_known == d->processes.n,
				"processes", processes));
	kv_buf_str(out, "}}");
}
