/* The text and the document of a launch. */
#include "report/launch.h"
#include "launch/follow.h"
#include "report/parts.h"

#define TAIL        12 /* lines of a log that are shown */
#define CLIENT_TAIL 40
#define SECOND      1000000000ULL
#define MAX_NAMES   16

static const char *const end_name[_KV_LAUNCH_END_COUNT] = { "done", "refused", "died", "stopped" };

const char *kv_unsecret(const struct kv_launch_result *r, const char *line)
{
	for (size_t i = 0; i < r->masked.n; i++) {
		const char *secret = r->masked.v[i], *at;

		while ((at = strstr(line, secret)))
			line = kv_strf(r->arena, "%.*s***%s", (int)(at - line), line,
				       at + strlen(secret));
	}
	return line;
}

const char *kv_masked(const struct kv_launch_result *r, const char *line)
{
	return kv_printable(r->arena, kv_unsecret(r, line));
}

const char *kv_checked_verdict(const struct kv_checked *c)
{
	const char *verdict = json_string_value(json_object_get(c->doc, "verdict"));

	return verdict ? verdict : "unknown";
}

/* ---- nodes ---- */

static bool is_error(const json_t *finding)
{
	return kv_streq(kv_json_str(finding, "severity"), "error");
}

/* What makes two nodes alike. */
static const char *print_of(struct kv_arena *a, const struct kv_checked *c)
{
	const char *print =
		kv_strf(a, "%s\n%s\n%s", c->role, kv_checked_verdict(c), c->error ? c->error : "");
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(c->doc, "findings"), i, f) if (is_error(f)) print =
		kv_strf(a, "%s\n%s %s", print, kv_json_str(f, "id"), kv_json_str(f, "detail"));
	return print;
}

static void put_findings(FILE *out, const struct kv_launch_result *r, const struct kv_checked *c,
			 struct kv_style st)
{
	const json_t *f;
	size_t i;

	if (c->error)
		fprintf(out, "  %s\n", kv_masked(r, c->error));
	json_array_foreach(json_object_get(c->doc, "findings"), i, f)
	{
		const char *repair = kv_json_str(json_object_get(f, "repair"), "text");

		if (!is_error(f))
			continue;
		kv_put(out, st, KV_RED, kv_strf(r->arena, "  %s error", kv_json_str(f, "id")));
		fprintf(out, ": %s\n    %s\n", kv_masked(r, kv_json_str(f, "title")),
			kv_masked(r, kv_json_str(f, "detail")));
		if (*repair)
			fprintf(out, "    repair: %s\n", kv_masked(r, repair));
	}
}

/* Nodes with what was found on them; those that are alike together. all: healthy ones too. */
static void put_checked(FILE *out, const struct kv_launch_result *r, bool all, struct kv_style st)
{
	struct kv_arena *a = r->arena;

	for (size_t i = 0; i < r->checked.n; i++) {
		const struct kv_checked *c = &r->checked.v[i];
		const char *print = print_of(a, c), *names = "", *verdict = kv_checked_verdict(c);
		size_t n = 0;
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = kv_streq(print_of(a, &r->checked.v[k]), print);
		/* What the image lacks, a preamble or the repair may bring: the nodes tell. */
		if (seen || kv_streq(c->role, "image") ||
		    (!all && !kv_streq(verdict, "off-fabric") && !c->error))
			continue;
		for (size_t k = i; k < r->checked.n; k++)
			if (kv_streq(print_of(a, &r->checked.v[k]), print) && n++ < MAX_NAMES)
				names = kv_strf(a, "%s%s%s", names, n > 1 ? ", " : "",
						r->checked.v[k].name);
		kv_put(out, st, KV_BOLD, kv_printable(a, names));
		if (n > MAX_NAMES)
			fprintf(out, " and %zu more", n - MAX_NAMES);
		fprintf(out, " (%s): ", kv_printable(a, c->role));
		kv_put(out, st, kv_tone_of_verdict(verdict), verdict);
		fputs("\n", out);
		put_findings(out, r, c, st);
	}
}

/* ---- steps ---- */

const char *kv_launch_nodes(const struct kv_launch_result *r, const struct kv_step *s)
{
	const char *first = s && s->first < r->nodes.n ? r->nodes.v[s->first] : "";

	return s && s->nodes > 1 && s->first + s->nodes <= r->nodes.n
		       ? kv_strf(r->arena, "%s..%s", first, r->nodes.v[s->first + s->nodes - 1])
		       : first;
}

/* The processes of a step's logs, one behind the other. *at: where to go on. */
static const struct kv_log_path *next_path(const struct kv_launch_result *r,
					   const struct kv_step *s, size_t *at)
{
	for (; s && r->report.paths && *at < r->log.processes.n; ++*at) {
		const char *path = r->log.files.v[r->log.processes.v[*at].file].path;

		for (size_t i = 0; i < s->logs.n; i++)
			if (r->report.paths[*at].speaks &&
			    kv_streq(kv_basename(path), s->logs.v[i]))
				return &r->report.paths[(*at)++];
	}
	return NULL;
}

/* "LIBFABRIC, efa: on-fabric" of each kind of process that the step has. */
static const char *paths_of(const struct kv_launch_result *r, const struct kv_step *s)
{
	const char *text = "";
	const struct kv_log_path *p;
	size_t at = 0;

	while ((p = next_path(r, s, &at))) {
		const char *one = kv_strf(r->arena, "%s, %s: %s",
					  *p->backends ? p->backends : "no backend named",
					  p->provider ? p->provider : "no provider named",
					  kv_verdict_name[p->verdict]);

		if (!strstr(text, one))
			text = kv_strf(r->arena, "%s%s%s", text, *text ? "; " : "", one);
	}
	return text;
}

static unsigned seconds_of(const struct kv_running *s)
{
	uint64_t end = s->ended_ns ? s->ended_ns : kv_steps_now();

	return s->began_ns ? (unsigned)((end - s->began_ns) / SECOND) : 0;
}

static void put_steps(FILE *out, const struct kv_launch_result *r)
{
	fprintf(out, "%-16s %-16s %-8s %6s %8s  %s\n", "step", "nodes", "state", "status", "time",
		"path, as its log tells it");
	for (size_t i = 0; i < r->steps.n; i++) {
		const struct kv_running *s = &r->steps.v[i];
		bool ended = s->state == KV_STEP_DONE || s->state == KV_STEP_FAILED;
		unsigned t = seconds_of(s);

		fprintf(out, "%-16s %-16s %-8s %6s %02u:%02u:%02u  %s\n",
			kv_printable(r->arena, s->name),
			kv_printable(r->arena, kv_launch_nodes(r, s->step)),
			kv_step_state_name[s->state],
			ended ? kv_strf(r->arena, "%d", s->status) : "-", t / 3600, t / 60 % 60,
			t % 60, kv_printable(r->arena, paths_of(r, s->step)));
	}
}

void kv_text_launch_now(FILE *out, const struct kv_launch_result *r)
{
	fprintf(out, "%s: job %s, %zu nodes, logs in %s\n",
		kv_printable(r->arena, r->launch->job->name), r->job_id, r->nodes.n,
		kv_printable(r->arena, r->logs));
	put_steps(out, r);
}

static const char *log_of(const struct kv_launch_result *r, const struct kv_running *s)
{
	return s->step && s->step->logs.n ? kv_strf(r->arena, "%s/%s", r->logs, s->step->logs.v[0])
					  : kv_strf(r->arena, "%s/%s.srun", r->logs, s->name);
}

static void put_tail(FILE *out, const struct kv_launch_result *r, const char *path, size_t n)
{
	kv_strv lines = { 0 };

	kv_tail(r->arena, path, n, &lines);
	for (size_t i = 0; i < lines.n; i++)
		fprintf(out, "    %s\n", kv_masked(r, lines.v[i]));
}

static void put_culprit(FILE *out, const struct kv_launch_result *r, struct kv_style st)
{
	const struct kv_running *s = r->culprit;
	const char *path = s ? log_of(r, s) : "";

	if (!s)
		return;
	kv_put(out, st, KV_RED,
	       r->dead_node ? kv_strf(r->arena, "node %s failed, and %s was on it", r->dead_node,
				      s->name)
			    : kv_strf(r->arena, "%s on %s ended with status %d", s->name,
				      kv_launch_nodes(r, s->step), s->status));
	fprintf(out, "; the last lines of %s:\n", kv_printable(r->arena, path));
	put_tail(out, r, path, TAIL);
	if (s->step) {
		fputs("  srun says:\n", out);
		put_tail(out, r, kv_strf(r->arena, "%s/%s.srun", r->logs, s->name), TAIL);
	}
}

static void put_client(FILE *out, const struct kv_launch_result *r, struct kv_style st)
{
	for (size_t i = 0; i < r->steps.n; i++) {
		const struct kv_running *s = &r->steps.v[i];

		if (!s->step || s->step->role->kind != KV_ROLE_CLIENT || s == r->culprit ||
		    s->state == KV_STEP_WAITING)
			continue;
		kv_put(out, st, KV_BOLD, "client");
		fprintf(out, ": the last lines of %s\n", kv_printable(r->arena, log_of(r, s)));
		put_tail(out, r, log_of(r, s), CLIENT_TAIL);
	}
}

void kv_text_launch(FILE *out, const struct kv_launch_result *r, struct kv_style st)
{
	if (r->end == KV_LAUNCH_REFUSED) {
		put_checked(out, r, /* all= */ false, st);
		fputs("refused: nothing was started\n", out);
		return;
	}
	if (!st.quiet) {
		kv_text_launch_now(out, r);
		fputs("\n", out);
		put_client(out, r, st);
		kv_text_measured(out, r, st);
	}
	put_culprit(out, r, st);
	for (size_t i = 0; i < r->report.findings.list.n && !st.quiet; i++)
		kv_text_finding(out, r->arena, &r->report.findings.list.v[i], st);
	fprintf(out, "%s; by the logs: ", end_name[r->end]);
	kv_put_verdict(out, r->arena, &r->report.findings, st);
}

/* ---- JSON ---- */

static json_t *checks_json(const struct kv_launch_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->checked.n; i++) {
		const struct kv_checked *c = &r->checked.v[i];
		json_t *findings = json_object_get(c->doc, "findings");

		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:s, s:o, s:O}", "name",
				  kv_json_text(r->arena, c->name), "role",
				  kv_json_text(r->arena, c->role), "verdict", kv_checked_verdict(c),
				  "error",
				  kv_json_text(r->arena, c->error ? kv_masked(r, c->error) : NULL),
				  "findings", findings ? findings : json_array()));
	}
	return list;
}

static json_t *tail_json(const struct kv_launch_result *r, const char *path, size_t n)
{
	kv_strv lines = { 0 };
	json_t *list = json_array();

	kv_tail(r->arena, path, n, &lines);
	for (size_t i = 0; i < lines.n; i++)
		json_array_append_new(list, kv_json_text(r->arena, kv_masked(r, lines.v[i])));
	return list;
}

static json_t *step_json(const struct kv_launch_result *r, const struct kv_running *s)
{
	bool ended = s->state == KV_STEP_DONE || s->state == KV_STEP_FAILED;
	json_t *nodes = json_array(), *logs = json_array(), *paths = json_array();
	struct kv_arena *a = r->arena;
	const struct kv_log_path *p;
	size_t at = 0;

	for (unsigned i = 0; s->step && i < s->step->nodes; i++)
		if (s->step->first + i < r->nodes.n)
			json_array_append_new(nodes,
					      kv_json_text(a, r->nodes.v[s->step->first + i]));
	for (size_t i = 0; s->step && i < s->step->logs.n; i++)
		json_array_append_new(logs, kv_json_text(a, s->step->logs.v[i]));
	while ((p = next_path(r, s->step, &at)))
		json_array_append_new(paths,
				      json_pack("{s:o, s:o, s:s}", "backends",
						kv_json_text(a, *p->backends ? p->backends : NULL),
						"provider", kv_json_text(a, p->provider), "verdict",
						kv_verdict_name[p->verdict]));
	return json_pack(
		"{s:o, s:s, s:s, s:o, s:o, s:I, s:o, s:o, s:o}", "name", kv_json_text(a, s->name),
		"role", s->step ? s->step->role->name : "wait", "state",
		kv_step_state_name[s->state], "status",
		ended ? json_integer(s->status) : json_null(), "nodes", nodes, "seconds",
		(json_int_t)seconds_of(s), "logs", logs, "paths", paths, "tail",
		tail_json(r, log_of(r, s),
			  s->step && s->step->role->kind == KV_ROLE_CLIENT ? CLIENT_TAIL : TAIL));
}

json_t *kv_json_launch(const struct kv_launch_result *r)
{
	json_t *steps = json_array(), *findings = json_array();
	const struct kv_job *j = r->launch->job;
	struct kv_arena *a = r->arena;

	for (size_t i = 0; i < r->steps.n; i++)
		json_array_append_new(steps, step_json(r, &r->steps.v[i]));
	for (size_t i = 0; i < r->report.findings.list.n; i++)
		json_array_append_new(findings, kv_json_finding(a, &r->report.findings.list.v[i]));
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:s, s:o, s:o, "
			 "s:o, s:o, s:o}",
			 "schema", "kvpath.launch/1", "version", KVPATH_VERSION, "recipe",
			 kv_json_text(a, j->path), "dialect", j->dialect, "name",
			 kv_json_text(a, j->name), "job", kv_json_text(a, r->job_id), "logs",
			 kv_json_text(a, r->logs), "nodes", kv_json_texts(a, &r->nodes), "end",
			 end_name[r->end], "died",
			 kv_json_text(a, r->culprit ? r->culprit->name : NULL), "dead_node",
			 kv_json_text(a, r->dead_node), "verdict",
			 r->end == KV_LAUNCH_REFUSED ? "off-fabric"
						     : kv_verdict_name[r->report.findings.verdict],
			 "left_out", kv_json_texts(a, &j->left), "checks", checks_json(r), "steps",
			 steps, "findings", findings, "measured", kv_json_measured(r));
}
