/* What the logs of a job showed: its processes, and when requests waited. */
#include "report/html_parts.h"
#include "report/units.h"

/* Intervals of the timeline that are shown: the last ones, as in the text. */
#define BINS 40

static void put_processes(struct kv_html *h, const json_t *list)
{
	const json_t *p;
	size_t i;

	kv_html_table(
		h, "Processes",
		(const char *const[]){ "Process", "Verdict", "Backend", "Provider", "Why", NULL });
	json_array_foreach(list, i, p)
	{
		if (i == KV_HTML_ROWS)
			break;
		kv_html(h, "<tr><th scope=\"row\"><code>%s</code></th><td>",
			kv_json_str(p, "name"));
		kv_html_verdict(h, kv_json_str(p, "verdict"));
		kv_html(h, "</td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
			kv_json_str(p, "backends"), kv_json_str(p, "provider"),
			kv_json_str(p, "reason"));
	}
	kv_html_table_end(h);
	kv_html_more(h, json_array_size(list), KV_HTML_ROWS);
}

static double most_of(const json_t *bins, const char *key)
{
	const json_t *b;
	double most = 0;
	size_t i;

	json_array_foreach(bins, i, b) most =
		kv_json_num(b, key) > most ? kv_json_num(b, key) : most;
	return most;
}

static void put_timeline(struct kv_html *h, const json_t *waiting)
{
	const json_t *bins = kv_json_list(waiting, "timeline"), *b;
	double most = most_of(bins, "transfer_req");
	size_t n = json_array_size(bins), i;

	if (!n)
		return;
	kv_html_table(h, "Requests whose KV cache was being waited for",
		      (const char *const[]){ "Time", "#Waiting", "#In flight", "#WaitingForInput",
					     "Waiting", NULL });
	json_array_foreach(bins, i, b)
	{
		double here = kv_json_num(b, "transfer_req");

		if (i + BINS < n)
			continue;
		kv_html(h,
			"<tr><th scope=\"row\">%s</th><td class=\"n\">%.0f</td><td "
			"class=\"n\">%.0f</td>"
			"<td class=\"n\">%.0f</td><td class=\"bar\"><svg aria-hidden=\"true\">"
			"<rect x=\"0\" y=\"2\" height=\"12\" width=\"%.1f%%\"/></svg></td></tr>\n",
			kv_json_str(b, "time"), here, kv_json_num(b, "inflight_req"),
			kv_json_num(b, "lines"), most > 0 ? 100 * here / most : 0);
	}
	kv_html_table_end(h);
}

static void put_transfers(struct kv_html *h, const json_t *t)
{
	if (!json_is_object(t))
		return;
	kv_html(h, "<p>vLLM's transfers: %.0f ended well, %.0f failed", kv_json_num(t, "ended"),
		kv_json_num(t, "failed"));
	if (json_is_number(json_object_get(t, "mean_ms")))
		kv_html(h, "; %.1f MiB in %.1f ms on average, in the slowest interval %.1f ms",
			kv_json_num(t, "mean_mib"), kv_json_num(t, "mean_ms"),
			kv_json_num(t, "slowest_interval_ms"));
	kv_html(h, ".</p>\n");
}

void kv_html_logs(struct kv_html *h, const struct kv_docs *docs)
{
	if (!kv_docs_count(docs, KV_DOC_LOG))
		return;
	kv_html_section(h, "Logs");
	kv_docs_each(d, docs, KV_DOC_LOG)
	{
		kv_html(h, "<h3><code>%s</code>: ", d->name);
		kv_html_verdict(h, kv_doc_verdict(d));
		kv_html(h, "</h3>\n");
		if (*kv_json_str(d->root, "setting"))
			kv_html(h, "<p>To tell more: %s</p>\n", kv_json_str(d->root, "setting"));
		put_processes(h, kv_json_list(d->root, "processes"));
		put_timeline(h, json_object_get(d->root, "waiting_for_input"));
		put_transfers(h, json_object_get(d->root, "transfers"));
	}
	kv_html_end(h);
}
