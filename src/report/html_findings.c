/* Every finding once, errors first, with what shows it and its repair. */
#include "report/html_parts.h"
#include "rules/rules.h"

#define EVIDENCE 12

struct shown {
	const json_t *finding;
	const char *id, *severity, *title, *detail, *docs;
};
typedef KV_VEC(struct shown) shown_list;

static int rank(const char *severity)
{
	return kv_streq(severity, "error") ? 0 : kv_streq(severity, "warning") ? 1 : 2;
}

static int by_rank(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;
	int r = rank(x->severity) - rank(y->severity);

	return r ? r : strcmp(x->id, y->id) ? strcmp(x->id, y->id) : strcmp(x->detail, y->detail);
}

static void add(struct kv_arena *a, shown_list *list, const struct kv_doc *d, const json_t *f)
{
	/* kvpath prove names the ids alone. */
	const char *id = json_is_string(f) ? json_string_value(f) : kv_json_str(f, "id");
	const char *title = *kv_json_str(f, "title") ? kv_json_str(f, "title") : kv_rule_title(id);
	const char *severity = json_is_string(f) ? kv_doc_severity(d) : kv_json_str(f, "severity");

	if (!*id)
		return;
	for (size_t i = 0; i < list->n; i++) {
		struct shown *s = &list->v[i];

		if (kv_streq(s->id, id) && kv_streq(s->detail, kv_json_str(f, "detail"))) {
			s->docs = kv_strf(a, "%s, %s", s->docs, d->name);
			return;
		}
	}
	kv_vec_push(a, list,
		    ((struct shown){ f, id, *severity ? severity : "info", title ? title : "",
				     kv_json_str(f, "detail"), d->name }));
}

static void put_evidence(struct kv_html *h, const json_t *list)
{
	const json_t *e;
	size_t i;

	if (!json_array_size(list))
		return;
	kv_html(h, "<dl>\n");
	json_array_foreach(list, i, e)
	{
		if (i == EVIDENCE)
			break;
		kv_html(h, "<dt><code>%s</code></dt><dd>%s</dd>\n", kv_json_str(e, "path"),
			kv_json_str(e, "text"));
	}
	kv_html(h, "</dl>\n");
	kv_html_more(h, json_array_size(list), EVIDENCE);
}

static void put_finding(struct kv_html *h, const struct shown *s)
{
	const json_t *repair = json_object_get(s->finding, "repair");

	kv_html(h,
		"<article class=\"finding\">\n<p class=\"id\"><code>%s</code> "
		"<span class=\"state %s\">%s</span> <span class=\"soft\">in %s</span></p>\n"
		"<h3>%s</h3>\n",
		s->id, s->severity, s->severity, s->docs, s->title);
	if (*s->detail || json_is_string(s->finding))
		kv_html(h, "<p>%s</p>\n", *s->detail ? s->detail : "The proof below shows it.");
	put_evidence(h, kv_json_list(s->finding, "evidence"));
	if (*kv_json_str(repair, "text"))
		kv_html(h, "<p class=\"repair\"><b>%s</b> %s</p>\n",
			json_is_true(json_object_get(repair, "automatic")) ? "Repair:" : "By hand:",
			kv_json_str(repair, "text"));
	kv_html(h, "</article>\n");
}

void kv_html_findings(struct kv_html *h, const struct kv_docs *docs)
{
	shown_list list = { 0 };
	bool any = false;

	for (size_t i = 0; i < docs->list.n; i++) {
		const json_t *f, *all = kv_json_list(docs->list.v[i].root, "findings");
		size_t k;

		any |= all != NULL;
		json_array_foreach(all, k, f) add(h->arena, &list, &docs->list.v[i], f);
	}
	if (!any)
		return;
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), by_rank);
	kv_html_section(h, "Findings");
	if (!list.n)
		kv_html(h, "<p>None.</p>\n");
	for (size_t i = 0; i < list.n && i < KV_HTML_ROWS; i++)
		put_finding(h, &list.v[i]);
	kv_html_more(h, list.n, KV_HTML_ROWS);
	kv_html_end(h);
}
