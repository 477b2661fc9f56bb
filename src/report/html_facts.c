/* What was found where: NIXL, libfabric, devices; how the loader decided; proofs; sizes. */
#include "report/html_parts.h"
#include "report/svg.h"
#include "report/units.h"

/* "a, b, c" of an array of strings. */
static const char *joined(struct kv_arena *a, const json_t *list)
{
	const char *all = "";
	const json_t *s;
	size_t i;

	json_array_foreach(list, i, s) if (json_is_string(s)) all =
		kv_strf(a, "%s%s%s", all, *all ? ", " : "", json_string_value(s));
	return all;
}

static void put_loads(struct kv_html *h, const char *loads)
{
	kv_html(h, "<span class=\"state %s\">%s</span>",
		kv_streq(loads, "yes")                              ? "ok"
		: kv_streq(loads, "no") || kv_streq(loads, "abort") ? "broken"
								    : "unknown",
		loads);
}

/* ---- check ---- */

static void put_nixls(struct kv_html *h, const json_t *root)
{
	const json_t *nixl, *p;
	size_t i, k;

	kv_html_table(
		h, "NIXL and its plugins",
		(const char *const[]){ "NIXL", "Plugin", "Loads", "What the loader says", NULL });
	json_array_foreach(kv_json_list(root, "nixl"), i, nixl)
		json_array_foreach(kv_json_list(nixl, "plugins"), k, p)
	{
		if (k == KV_HTML_ROWS)
			break;
		kv_html(h, "<tr><td>%s %s</td><th scope=\"row\">%s</th><td>",
			kv_json_str(nixl, "dist"), kv_json_str(nixl, "version"),
			kv_json_str(p, "name"));
		put_loads(h, kv_json_str(p, "loads"));
		kv_html(h, "</td><td class=\"soft\"><code>%s</code></td></tr>\n",
			kv_json_str(p, "error"));
	}
	kv_html_table_end(h);
}

static void put_fabrics(struct kv_html *h, const json_t *root)
{
	const json_t *f;
	size_t i;

	if (!json_array_size(kv_json_list(root, "libfabric")))
		return;
	kv_html_table(
		h, "Copies of libfabric",
		(const char *const[]){ "Copy", "Release", "ABI", "Providers", "Source", NULL });
	json_array_foreach(kv_json_list(root, "libfabric"), i, f)
	{
		if (i == KV_HTML_ROWS)
			break;
		kv_html(h,
			"<tr><th scope=\"row\"><code>%s</code></th><td>%s</td><td>%s</td>"
			"<td>%s</td><td>%s</td></tr>\n",
			kv_json_str(f, "path"), kv_json_str(f, "release"), kv_json_str(f, "abi"),
			joined(h->arena, kv_json_list(f, "providers")), kv_json_str(f, "source"));
	}
	kv_html_table_end(h);
}

static void put_devices(struct kv_html *h, const json_t *root)
{
	const json_t *d;
	size_t i;

	if (!json_array_size(kv_json_list(root, "devices")))
		return;
	kv_html_table(h, "Verbs devices of the host",
		      (const char *const[]){ "Device", "Driver", "Node", "Usable", NULL });
	json_array_foreach(kv_json_list(root, "devices"), i, d)
	{
		bool usable = json_is_true(json_object_get(d, "usable"));

		if (i == KV_HTML_ROWS)
			break;
		kv_html(h,
			"<tr><th scope=\"row\">%s</th><td>%s</td><td><code>%s</code></td>"
			"<td><span class=\"state %s\">%s</span> %s</td></tr>\n",
			kv_json_str(d, "name"), kv_json_str(d, "kind"), kv_json_str(d, "node"),
			usable ? "ok" : "broken", usable ? "yes" : "no", kv_json_str(d, "problem"));
	}
	kv_html_table_end(h);
}

void kv_html_facts(struct kv_html *h, const struct kv_docs *docs)
{
	if (!kv_docs_count(docs, KV_DOC_CHECK))
		return;
	kv_html_section(h, "What was examined");
	kv_docs_each(d, docs, KV_DOC_CHECK)
	{
		const json_t *target = json_object_get(d->root, "target");

		kv_html(h,
			"<h3><code>%s</code></h3>\n<p class=\"soft\">%s <code>%s</code>: %s, %s, "
			"%s</p>\n",
			d->name, kv_json_str(target, "kind"), kv_json_str(target, "path"),
			kv_json_str(target, "arch"), kv_json_str(target, "os"),
			kv_json_str(target, "libc"));
		if (json_array_size(kv_json_list(d->root, "nixl")))
			put_nixls(h, d->root);
		put_fabrics(h, d->root);
		put_devices(h, d->root);
	}
	kv_html_end(h);
}

/* ---- why ---- */

static void put_tried(struct kv_html *h, const json_t *tried)
{
	const json_t *t;
	size_t i;

	json_array_foreach(tried, i, t)
	{
		if (i == KV_HTML_ROWS)
			break;
		kv_html(h, "<br><span class=\"soft\">not <code>%s</code> (%s)</span>",
			kv_json_str(t, "path"), kv_json_str(t, "why"));
	}
}

void kv_html_whys(struct kv_html *h, const struct kv_docs *docs)
{
	if (!kv_docs_count(docs, KV_DOC_WHY))
		return;
	kv_html_section(h, "How the loader decides");
	kv_docs_each(d, docs, KV_DOC_WHY)
	{
		const json_t *loaded = kv_json_list(d->root, "loaded"), *o;
		size_t i;

		kv_html(h, "<h3><code>%s</code> in a %s process: ", kv_json_str(d->root, "file"),
			kv_json_str(d->root, "process"));
		put_loads(h, kv_json_str(d->root, "loads"));
		kv_html(h, "</h3>\n");
		if (*kv_json_str(d->root, "error"))
			kv_html(h, "<p><code>%s</code></p>\n", kv_json_str(d->root, "error"));
		kv_html_table(h, "Objects, in the order in which they are loaded",
			      (const char *const[]){ "Object", "By", "Asked for by", NULL });
		json_array_foreach(loaded, i, o)
		{
			if (i == KV_HTML_ROWS)
				break;
			kv_html(h, "<tr><th scope=\"row\"><code>%s</code>", kv_json_str(o, "path"));
			put_tried(h, kv_json_list(o, "tried"));
			kv_html(h, "</th><td>%s</td><td class=\"soft\"><code>%s</code></td></tr>\n",
				kv_json_str(o, "rule"),
				kv_basename(kv_json_str(o, "requested_by")));
		}
		kv_html_table_end(h);
		kv_html_more(h, json_array_size(loaded), KV_HTML_ROWS);
	}
	kv_html_end(h);
}

/* ---- prove ---- */

static void put_counters(struct kv_html *h, const json_t *root)
{
	const json_t *c;
	size_t i;

	if (!json_array_size(kv_json_list(root, "devices")))
		return;
	kv_html_table(h, "Device counters",
		      (const char *const[]){ "Device", "Counter", "#Rise", NULL });
	json_array_foreach(kv_json_list(root, "devices"), i, c)
	{
		if (i == KV_HTML_ROWS)
			break;
		kv_html(h,
			"<tr><th scope=\"row\">%s</th><td>%s</td><td class=\"n\">%.0f</td></tr>\n",
			kv_json_str(c, "name"), kv_json_str(c, "counter"), kv_json_num(c, "delta"));
	}
	kv_html_table_end(h);
}

static void put_proof(struct kv_html *h, const struct kv_doc *d)
{
	double bytes = kv_json_num(d->root, "bytes"), us = kv_json_num(d->root, "elapsed_us");
	const char *provider = kv_json_str(d->root, "provider");
	const char *not_proven = joined(h->arena, kv_json_list(d->root, "not_proven"));

	kv_html(h, "<h3><code>%s</code>: ", d->name);
	kv_html_verdict(h, kv_doc_verdict(d));
	kv_html(h, "</h3>\n");
	if (bytes > 0)
		kv_html(h, "<p>%s of %s moved through %s in %s; %s.</p>\n",
			kv_bytes_text(h->arena, bytes), kv_json_str(d->root, "mem"),
			kv_json_str(d->root, "backend"), kv_time_text(h->arena, us / 1e6),
			json_is_true(json_object_get(d->root, "intact")) ? "every byte as sent"
									 : "NOT as sent");
	if (*provider)
		kv_html(h, "<p>The provider is <b>%s</b> <span class=\"soft\">(%s)</span>.</p>\n",
			provider, kv_json_str(d->root, "provider_source"));
	kv_html(h, "<p>Proven: %s. Not proven: %s.</p>\n",
		joined(h->arena, kv_json_list(d->root, "proven")),
		*not_proven ? not_proven : "nothing");
	if (*kv_json_str(d->root, "error"))
		kv_html(h, "<p class=\"error\">%s</p>\n", kv_json_str(d->root, "error"));
	put_counters(h, d->root);
}

void kv_html_proofs(struct kv_html *h, const struct kv_docs *docs)
{
	if (!kv_docs_count(docs, KV_DOC_PROVE))
		return;
	kv_html_section(h, "Proof");
	kv_docs_each(d, docs, KV_DOC_PROVE) put_proof(h, d);
	kv_html_end(h);
}

/* ---- size ---- */

static void put_size(struct kv_html *h, const struct kv_doc *d)
{
	const json_t *l;
	size_t i;

	kv_html(h, "<h3>%s, %s, %.0f tokens: %s</h3>\n",
		kv_json_str(json_object_get(d->root, "model"), "name"),
		kv_json_str(d->root, "dtype"), kv_json_num(d->root, "tokens"),
		kv_bytes_text(h->arena, kv_json_num(d->root, "bytes_moved")));
	kv_html_table(
		h, "Payload over rate: no transfer is faster",
		(const char *const[]){ "Link", "#Measured at", "#Rate", "#Least time", NULL });
	json_array_foreach(kv_json_list(d->root, "links"), i, l)
	{
		double size = kv_json_num(l, "size");

		if (i == KV_HTML_ROWS)
			break;
		kv_html(h,
			"<tr><th scope=\"row\">%s</th><td class=\"n\">%s</td>"
			"<td class=\"n\">%s/s</td><td class=\"n\">%s</td></tr>\n",
			kv_json_str(l, "name"),
			size > 0 ? kv_unit_text(h->arena, KV_UNIT_SIZE, size) : "",
			kv_bytes_text(h->arena, kv_json_num(l, "bytes_per_s")),
			kv_time_text(h->arena, kv_json_num(l, "seconds")));
	}
	kv_html_table_end(h);
}

void kv_html_sizes(struct kv_html *h, const struct kv_docs *docs)
{
	if (!kv_docs_count(docs, KV_DOC_SIZE))
		return;
	kv_html_section(h, "What a request needs");
	kv_docs_each(d, docs, KV_DOC_SIZE) put_size(h, d);
	kv_html_end(h);
}
