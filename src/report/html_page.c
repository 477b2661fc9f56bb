/* The page: its head, the verdict, the sections in the order in which they are asked for. */
#include "report/html_parts.h"

extern const char kv_html_css[];

#define FEW 4

void kv_html_section(struct kv_html *h, const char *title)
{
	h->ids++;
	kv_html(h, "<section aria-labelledby=\"s%u\">\n<h2 id=\"s%u\">%s</h2>\n", h->ids, h->ids,
		title);
}

void kv_html_end(struct kv_html *h)
{
	kv_html(h, "</section>\n");
}

void kv_html_more(struct kv_html *h, size_t n, size_t shown)
{
	if (n > shown)
		kv_html(h, "<p class=\"soft\">and %zu more</p>\n", n - shown);
}

void kv_html_verdict(struct kv_html *h, const char *verdict)
{
	static const char *const known[] = { "on-fabric", "ready", "off-fabric" };
	const char *class = "unknown";

	for (size_t i = 0; i < KV_ARRAY_SIZE(known); i++)
		if (kv_streq(known[i], verdict))
			class = known[i];
	kv_html(h, "<span class=\"state %s\">%s</span>", class, verdict);
}

void kv_html_table(struct kv_html *h, const char *caption, const char *const *heads)
{
	kv_html(h,
		"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table>\n"
		"<caption>%s</caption>\n<thead><tr>",
		caption, caption);
	for (; *heads; heads++)
		if (**heads == '#')
			kv_html(h, "<th scope=\"col\" class=\"n\">%s</th>", *heads + 1);
		else
			kv_html(h, "<th scope=\"col\">%s</th>", *heads);
	kv_html(h, "</tr></thead>\n<tbody>\n");
}

void kv_html_table_end(struct kv_html *h)
{
	kv_html(h, "</tbody></table></div>\n");
}

/* ---- the head ---- */

static const struct {
	const char *verdict, *title, *lead;
} words[] = {
	{ "off-fabric", "Off the fabric", "KV transfers do not take the fabric." },
	{ "unknown", "Cannot tell",
	  "What was examined does not tell which way KV transfers take." },
	{ "on-fabric", "On the fabric", "KV transfers take the fabric, as far as was examined." },
	{ "ready", "Ready",
	  "Nothing that was examined keeps KV transfers off the fabric. That bytes take it is not "
	  "proven by this." },
	{ NULL, "Measurements", "" },
};

static size_t words_of(const char *verdict)
{
	size_t i = 0;

	while (words[i].verdict && !(verdict && kv_streq(words[i].verdict, verdict)))
		i++;
	return i;
}

/* "check.json and log.json say so." */
static void put_who(struct kv_html *h, const struct kv_docs *docs, const char *verdict)
{
	size_t n = 0, shown = 0;

	for (size_t i = 0; i < docs->list.n; i++) {
		const char *v = kv_doc_verdict(&docs->list.v[i]);

		n += v && kv_streq(v, verdict);
	}
	for (size_t i = 0; i < docs->list.n && shown < FEW; i++) {
		const char *v = kv_doc_verdict(&docs->list.v[i]);

		if (!v || !kv_streq(v, verdict))
			continue;
		kv_html(h, "%s<code>%s</code>",
			!shown           ? " "
			: shown + 1 == n ? " and "
					 : ", ",
			docs->list.v[i].name);
		shown++;
	}
	if (n > shown)
		kv_html(h, " and %zu more", n - shown);
	kv_html(h, " %s so.", n == 1 ? "says" : "say");
}

static void put_header(struct kv_html *h, const struct kv_docs *docs)
{
	const char *verdict = kv_docs_verdict(docs);
	size_t w = words_of(verdict);

	kv_html(h,
		"<header>\n<p class=\"brand\"><b>kvpath</b> report</p>\n<h1 class=\"%s\">%s</h1>\n",
		verdict ? verdict : "none", words[w].title);
	if (verdict) {
		kv_html(h, "<p class=\"lead\">%s", words[w].lead);
		put_who(h, docs, verdict);
		kv_html(h, "</p>\n");
	}
	kv_html(h, "</header>\n");
}

/* What a document is about: a target's path, a file, nothing. */
static const char *subject_of(const struct kv_doc *d)
{
	const json_t *files = kv_json_list(d->root, "files");

	switch (d->kind) {
	case KV_DOC_CHECK:
		return kv_json_str(json_object_get(d->root, "target"), "path");
	case KV_DOC_WHY:
		return kv_json_str(d->root, "file");
	case KV_DOC_PROVE:
		return kv_json_str(d->root, "backend");
	case KV_DOC_LOG:
		return kv_json_str(json_array_get(files, 0), "path");
	case KV_DOC_SIZE:
		return kv_json_str(json_object_get(d->root, "model"), "name");
	default:
		return "";
	}
}

static void put_sources(struct kv_html *h, const struct kv_docs *docs)
{
	kv_html_section(h, "What this is made of");
	kv_html_table(h, "Results, as they were given",
		      (const char *const[]){ "File", "Result", "Of", "Verdict", NULL });
	for (size_t i = 0; i < docs->list.n; i++) {
		const struct kv_doc *d = &docs->list.v[i];
		const char *verdict = kv_doc_verdict(d);

		kv_html(h,
			"<tr><th "
			"scope=\"row\"><code>%s</code></th><td>%s</td><td><code>%s</code></td>"
			"<td>",
			d->path, kv_json_str(d->root, "schema"), subject_of(d));
		if (verdict)
			kv_html_verdict(h, verdict);
		kv_html(h, "</td></tr>\n");
	}
	kv_html_table_end(h);
	kv_html_end(h);
}

void kv_html_report(struct kv_html *h, const struct kv_docs *docs)
{
	const char *verdict = kv_docs_verdict(docs);

	kv_html(h,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"style-src 'unsafe-inline'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"generator\" content=\"kvpath %s\">\n<title>kvpath: "
		"%s</title>\n<style>\n",
		KVPATH_VERSION, words[words_of(verdict)].title);
	kv_html_raw(h, kv_html_css);
	kv_html(h, "</style>\n</head>\n<body>\n");
	put_header(h, docs);
	kv_html(h, "<main>\n");
	kv_html_chains(h, docs);
	kv_html_findings(h, docs);
	kv_html_proofs(h, docs);
	kv_html_bench(h, docs);
	kv_html_sizes(h, docs);
	kv_html_sweeps(h, docs);
	kv_html_logs(h, docs);
	kv_html_whys(h, docs);
	kv_html_facts(h, docs);
	put_sources(h, docs);
	kv_html(h,
		"</main>\n<footer>Made by kvpath %s from the results above. It holds no script and "
		"loads nothing.</footer>\n</body>\n</html>\n",
		KVPATH_VERSION);
}
