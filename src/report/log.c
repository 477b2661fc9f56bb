/* What kvpath log says: the processes, their lines, WaitingForInput over time, findings, verdict.
 */
#include "report/log.h"
#include "report/parts.h"

#define EVENTS 24 /* lines shown of a process */
#define ROWS   24 /* rows of the timeline */
#define BAR    40
#define NAMES  16 /* of processes that are alike */

/* ---- text ---- */

static const char *one_line(struct kv_arena *a, const char *s, size_t max)
{
	const char *text = kv_printable(a, s);

	return strlen(text) <= max ? text : kv_strf(a, "%.*s...", (int)max, text);
}

/* What has a place of its own in the report, or says nothing of the path that was taken. */
static bool is_aside(const struct kv_log_event *e, const char *wanted)
{
	enum kv_log_kind kind = e->pattern->kind;

	return kind >= KV_LOG_WAITING || kind == KV_LOG_AGENT ||
	       (kind == KV_LOG_NOT_LOADED && !kv_log_is_plugin(e, wanted));
}

static void put_events(FILE *out, struct kv_arena *a, const struct kv_log_process *p,
		       const struct kv_log_event *proof, const char *wanted, struct kv_style st)
{
	size_t shown = 0, left = 0;

	for (size_t i = 0; i < p->events.n; i++) {
		const struct kv_log_event *e = &p->events.v[i];
		const char *mark = e == proof ? ">" : " ";
		const char *row;

		if (is_aside(e, wanted))
			continue;
		if (shown >= EVENTS && e != proof) {
			left++;
			continue;
		}
		shown++;
		row = kv_strf(a, "  %s %8llu %7s  %s\n", mark, (unsigned long long)e->first.line,
			      e->count > 1 ? kv_strf(a, "x%llu", (unsigned long long)e->count) : "",
			      one_line(a, e->text, 160));
		kv_put(out, st, e == proof ? KV_BOLD : KV_PLAIN, row);
	}
	if (left)
		fprintf(out, "             and %zu more (--json has them)\n", left);
}

static void put_facts(FILE *out, struct kv_arena *a, const struct kv_log_process *p,
		      const struct kv_log_path *path)
{
	fprintf(out, "    backend %s, provider %s%s%s%s%s\n",
		*path->backends ? kv_printable(a, path->backends) : "not named",
		path->provider ? path->provider : "not named", path->hmem ? ", FI_HMEM " : "",
		path->hmem ? path->hmem : "", path->version ? ", NIXL " : "",
		path->version ? kv_printable(a, path->version) : "");
	if (p->merged)
		fprintf(out,
			"    %zu processes write here and not every line says which: judged "
			"together\n",
			p->pids.n);
	if (p->ranks.n) {
		const char *ranks = "";

		for (size_t i = 0; i < p->ranks.n; i++)
			ranks = kv_strf(a, "%s%s%s", ranks, i ? ", " : "", p->ranks.v[i]);
		fprintf(out, "    ranks %s\n", kv_printable(a, ranks));
	}
}

static void put_process(FILE *out, const struct kv_log *l, const struct kv_log_process *p,
			const struct kv_log_path *path, const char *wanted, struct kv_style st)
{
	struct kv_arena *a = l->arena;
	const char *verdict = kv_verdict_name[path->verdict];

	kv_put(out, st, KV_BOLD, kv_printable(a, kv_log_process_name(l, p)));
	fputs(p->by_tag || *p->label || p->merged ? ": " : " (as one process): ", out);
	kv_put(out, st, kv_tone_of_verdict(verdict), verdict);
	fprintf(out, ", %s\n", kv_printable(a, path->reason));
	put_facts(out, a, p, path);
	put_events(out, a, p, path->proof, wanted, st);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && kv_streq(a, b));
}

static bool is_alike(const struct kv_log_path *a, const struct kv_log_path *b)
{
	return a->verdict == b->verdict && same_text(a->reason, b->reason) &&
	       same_text(a->backends, b->backends) && same_text(a->provider, b->provider) &&
	       same_text(a->hmem, b->hmem) && same_text(a->version, b->version);
}

/* Ranks mostly do the same: one of them is shown, the others are named. */
static void put_alike(FILE *out, const struct kv_log *l, const struct kv_log_report *r,
		      size_t first)
{
	size_t n = 0;

	for (size_t i = first + 1; i < l->processes.n; i++) {
		if (!r->paths[i].speaks || !is_alike(&r->paths[first], &r->paths[i]))
			continue;
		if (n++ < NAMES)
			fprintf(out, "%s%s", n > 1 ? ", " : "    the same: ",
				kv_printable(l->arena, kv_log_process_name(l, &l->processes.v[i])));
	}
	if (n > NAMES)
		fprintf(out, " and %zu more", n - NAMES);
	if (n)
		fputc('\n', out);
}

static void put_processes(FILE *out, const struct kv_log *l, const struct kv_log_report *r,
			  struct kv_style st)
{
	for (size_t i = 0; i < l->processes.n; i++) {
		bool shown = !r->paths[i].speaks;

		for (size_t j = 0; j < i && !shown; j++)
			shown = r->paths[j].speaks && is_alike(&r->paths[j], &r->paths[i]);
		if (shown)
			continue;
		put_process(out, l, &l->processes.v[i], &r->paths[i], r->wanted, st);
		put_alike(out, l, r, i);
	}
}

static void put_timeline(FILE *out, struct kv_arena *a, const struct kv_log_timeline *t,
			 struct kv_style st)
{
	uint64_t most = 1;
	size_t from = t->n > ROWS ? t->n - ROWS : 0;

	if (!t->waiting)
		return;
	kv_put(out, st, KV_BOLD, "WaitingForInput");
	fprintf(out, ": %llu lines", (unsigned long long)t->waiting);
	if (t->untimed)
		fprintf(out, ", %llu of them without a time", (unsigned long long)t->untimed);
	fprintf(out, "\n");
	for (size_t i = from; i < t->n; i++)
		most = t->bins[i].waiting > most ? t->bins[i].waiting : most;
	if (t->n)
		fprintf(out, "    %-19s %8s %8s %8s   per %lld s%s\n", "time", "lines", "transfer",
			"inflight", (long long)t->width, from ? ", the last of them" : "");
	for (size_t i = from; i < t->n; i++) {
		const struct kv_log_bin *b = &t->bins[i];
		int bar = (int)(b->waiting * BAR / most);

		fprintf(out, "    %s %8llu %8llu %8llu   %.*s\n", kv_log_time_text(a, b->time),
			(unsigned long long)b->waiting, (unsigned long long)b->transfer_req,
			(unsigned long long)b->inflight_req, bar ? bar : b->waiting != 0,
			"########################################");
	}
}

static void put_transfers(FILE *out, const struct kv_log *l, struct kv_style st)
{
	const struct kv_log_transfers *t = &l->transfers;

	if (!t->lines)
		return;
	kv_put(out, st, KV_BOLD, "vLLM's transfers");
	fprintf(out, ": %llu ended well", (unsigned long long)t->n);
	if (t->failed)
		fprintf(out, ", %llu failed", (unsigned long long)t->failed);
	if (t->n && t->ms > 0)
		fprintf(out,
			"; %.1f MiB in %.1f ms on average (%.2f GB/s each, others beside it); "
			"slowest "
			"interval: %.1f ms, line %llu of %s",
			t->mib / (double)t->n, t->ms / (double)t->n, t->mib * 1.048576 / t->ms,
			t->slowest_ms, (unsigned long long)t->slowest.line,
			kv_printable(l->arena, l->files.v[t->slowest.file].path));
	fputc('\n', out);
}

static void put_files(FILE *out, const struct kv_log *l, struct kv_style st)
{
	for (size_t i = 0; i < l->files.n; i++) {
		const struct kv_log_file *f = &l->files.v[i];
		bool has = f->has_transfers;

		for (size_t p = 0; p < l->processes.n; p++)
			has |= l->processes.v[p].file == i;
		if (f->error)
			kv_put(out, st, KV_YELLOW,
			       kv_strf(l->arena, "%s: read in part: %s\n",
				       kv_printable(l->arena, f->path), f->error));
		else if (!has)
			fprintf(out, "%s: %llu lines, none of them of NIXL or its transfers\n",
				kv_printable(l->arena, f->path), (unsigned long long)f->lines);
	}
}

void kv_text_log(FILE *out, const struct kv_log *l, const struct kv_log_report *r,
		 struct kv_style st)
{
	if (st.quiet) {
		kv_put_verdict(out, l->arena, &r->findings, st);
		return;
	}
	put_files(out, l, st);
	put_processes(out, l, r, st);
	put_timeline(out, l->arena, &l->timeline, st);
	put_transfers(out, l, st);
	fputc('\n', out);
	for (size_t i = 0; i < r->findings.list.n; i++)
		kv_text_finding(out, l->arena, &r->findings.list.v[i], st);
	if (r->setting)
		fprintf(out, "to tell more: %s\n", r->setting);
	kv_put_verdict(out, l->arena, &r->findings, st);
}

/* ---- JSON ---- */

static json_t *time_json(struct kv_arena *a, int64_t time)
{
	return time < 0 ? json_null() : kv_json_text(a, kv_log_time_text(a, time));
}

static json_t *place_json(const struct kv_log *l, const struct kv_log_place *p)
{
	return json_pack("{s:o, s:I, s:o}", "file",
			 kv_json_text(l->arena, l->files.v[p->file].path), "line",
			 (json_int_t)p->line, "time", time_json(l->arena, p->time));
}

static json_t *event_json(const struct kv_log *l, const struct kv_log_event *e)
{
	const char *subject = *e->subject ? e->subject : NULL;

	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "pattern",
			 e->pattern->name, "kind", kv_log_kind_name[e->pattern->kind], "finding",
			 kv_json_text(l->arena, e->pattern->id), "subject",
			 kv_json_text(l->arena, subject), "path",
			 kv_json_text(l->arena, *e->file ? e->file : NULL), "count",
			 (json_int_t)e->count, "first", place_json(l, &e->first), "last",
			 place_json(l, &e->last), "text", kv_json_text(l->arena, e->text));
}

static json_t *process_json(const struct kv_log *l, const struct kv_log_process *p,
			    const struct kv_log_path *path)
{
	json_t *events = json_array(), *pids = json_array();
	struct kv_arena *a = l->arena;
	json_t *doc;

	for (size_t i = 0; i < p->events.n; i++)
		json_array_append_new(events, event_json(l, &p->events.v[i]));
	for (size_t i = 0; i < p->pids.n; i++)
		json_array_append_new(pids, json_integer(p->pids.v[i]));
	if (p->by_tag)
		json_array_append_new(pids, json_integer(p->id));
	doc = json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:o}", "name",
			kv_json_text(a, kv_log_process_name(l, p)), "file",
			kv_json_text(a, l->files.v[p->file].path), "label",
			kv_json_text(a, *p->label ? p->label : NULL), "pids", pids, "whole_file",
			!p->by_tag && !*p->label, "several", p->merged, "ranks",
			kv_json_texts(a, &p->ranks));
	(void)json_object_update_new(
		doc,
		json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "verdict",
			  path->speaks ? kv_verdict_name[path->verdict] : "unknown", "reason",
			  kv_json_text(a, path->reason), "setting", kv_json_text(a, path->setting),
			  "backends", kv_json_text(a, *path->backends ? path->backends : NULL),
			  "provider", kv_json_text(a, path->provider), "fi_hmem",
			  kv_json_text(a, path->hmem), "nixl", kv_json_text(a, path->version),
			  "events", events));
	return doc;
}

static json_t *timeline_json(struct kv_arena *a, const struct kv_log_timeline *t)
{
	json_t *bins = json_array();

	for (size_t i = 0; i < t->n; i++)
		json_array_append_new(bins,
				      json_pack("{s:o, s:I, s:I, s:I}", "time",
						time_json(a, t->bins[i].time), "lines",
						(json_int_t)t->bins[i].waiting, "transfer_req",
						(json_int_t)t->bins[i].transfer_req, "inflight_req",
						(json_int_t)t->bins[i].inflight_req));
	return json_pack("{s:I, s:I, s:I, s:o}", "lines", (json_int_t)t->waiting, "untimed",
			 (json_int_t)t->untimed, "interval_s", (json_int_t)t->width, "timeline",
			 bins);
}

static json_t *transfers_json(const struct kv_log *l)
{
	const struct kv_log_transfers *t = &l->transfers;
	bool any = t->n && t->ms > 0;

	if (!t->lines)
		return json_null();
	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "ended", (json_int_t)t->n, "failed",
			 (json_int_t)t->failed, "mean_ms",
			 any ? json_real(t->ms / (double)t->n) : json_null(), "mean_mib",
			 any ? json_real(t->mib / (double)t->n) : json_null(),
			 "slowest_interval_ms", any ? json_real(t->slowest_ms) : json_null(),
			 "slowest_interval", any ? place_json(l, &t->slowest) : json_null());
}

json_t *kv_json_log(const struct kv_log *l, const struct kv_log_report *r)
{
	json_t *files = json_array(), *processes = json_array(), *findings = json_array();
	struct kv_arena *a = l->arena;

	for (size_t i = 0; i < l->files.n; i++) {
		const struct kv_log_file *f = &l->files.v[i];

		json_array_append_new(files, json_pack("{s:o, s:s, s:I, s:I, s:o}", "path",
						       kv_json_text(a, f->path), "format",
						       f->format, "bytes", (json_int_t)f->bytes,
						       "lines", (json_int_t)f->lines, "error",
						       kv_json_text(a, f->error)));
	}
	for (size_t i = 0; i < l->processes.n; i++)
		json_array_append_new(processes, process_json(l, &l->processes.v[i], &r->paths[i]));
	for (size_t i = 0; i < r->findings.list.n; i++)
		json_array_append_new(findings, kv_json_finding(a, &r->findings.list.v[i]));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", "kvpath.log/1",
			 "version", KVPATH_VERSION, "verdict", kv_verdict_name[r->findings.verdict],
			 "setting", kv_json_text(a, r->setting), "files", files, "processes",
			 processes, "waiting_for_input", timeline_json(a, &l->timeline),
			 "transfers", transfers_json(l), "findings", findings);
}
