/*
 * The chain NIXL, plugin, libfabric, provider, device: what is known of each link, and which one is
 * broken. A link is broken by an error that lies in it; it is sound only where something shows it.
 */
#include "base/provider.h"
#include "report/html_parts.h"
#include "rules/rules.h"

/* SOUND by evidence; OPEN: nothing is known; HELD: not reached, as a link before is broken. */
enum state { OPEN, SOUND, HELD, DOUBT, BROKEN };
static const struct {
	const char *class, *said, *mark;
} states[] = {
	[OPEN] = { "open", "not examined", "<circle class=\"ring\" cx=\"9\" cy=\"9\" r=\"6\"/>" },
	[SOUND] = { "sound", "", "<circle class=\"disc\" cx=\"9\" cy=\"9\" r=\"7\"/>" },
	[HELD] = { "held", "not reached", "<circle class=\"ring\" cx=\"9\" cy=\"9\" r=\"6\"/>" },
	[DOUBT] = { "doubt", "see warning", "<circle class=\"disc\" cx=\"9\" cy=\"9\" r=\"7\"/>" },
	[BROKEN] = { "broken", "broken here",
		     "<path class=\"cross\" d=\"M3 3l12 12M15 3l-12 12\"/>" },
};

struct chain {
	struct {
		enum state state;
		const char *value, *more, *ids;
	} link[_KV_AT_COUNT];
};

static void add_finding(struct kv_arena *a, struct chain *c, const char *id, const char *severity)
{
	bool error = kv_streq(severity, "error"), warning = kv_streq(severity, "warning");
	enum kv_link at = kv_rule_link(id);
	const char *ids;

	/* A newer kvpath may have found what this one does not know. */
	if ((!error && !warning) || at == _KV_AT_COUNT)
		return;
	ids = c->link[at].ids;
	if (c->link[at].state == BROKEN && !error)
		return;
	if (error && c->link[at].state != BROKEN)
		ids = NULL;
	c->link[at].state = error ? BROKEN : DOUBT;
	if (!ids || !strstr(ids, id))
		c->link[at].ids = ids ? kv_strf(a, "%s, %s", ids, id) : id;
}

static void add_findings(struct kv_arena *a, struct chain *c, const struct kv_doc *d)
{
	const json_t *f;
	size_t i;

	json_array_foreach(kv_json_list(d->root, "findings"), i, f)
	{
		if (json_is_string(f))
			add_finding(a, c, json_string_value(f), kv_doc_severity(d));
		else
			add_finding(a, c, kv_json_str(f, "id"), kv_json_str(f, "severity"));
	}
}

/* Behind the first broken link nothing was reached, unless something shows it. */
static void hold(struct chain *c)
{
	bool broken = false;

	for (size_t i = 0; i < _KV_AT_COUNT; i++) {
		if (broken && c->link[i].state == OPEN)
			c->link[i].state = HELD;
		broken |= c->link[i].state == BROKEN;
	}
}

static void set(struct chain *c, enum kv_link at, enum state state, const char *value,
		const char *more)
{
	c->link[at].state = state;
	c->link[at].value = value;
	c->link[at].more = more;
}

/* ---- a check ---- */

/* The one that a process imports, else the first. */
static const json_t *active_nixl(const json_t *root)
{
	const json_t *list = kv_json_list(root, "nixl"), *n;
	size_t i;

	json_array_foreach(list, i, n) if (json_is_true(json_object_get(n, "active"))) return n;
	return json_array_get(list, 0);
}

static void add_plugin(struct chain *c, const json_t *nixl, const char *wanted)
{
	const json_t *p;
	size_t i;

	set(c, KV_AT_PLUGIN, OPEN, wanted, "");
	json_array_foreach(kv_json_list(nixl, "plugins"), i, p)
	{
		const char *loads = kv_json_str(p, "loads");

		if (strcasecmp(kv_json_str(p, "name"), wanted) != 0)
			continue;
		if (kv_streq(loads, "yes"))
			set(c, KV_AT_PLUGIN, SOUND, wanted, "loads");
		else if (kv_streq(loads, "no") || kv_streq(loads, "abort"))
			set(c, KV_AT_PLUGIN, HELD, wanted, "does not load");
	}
}

static void add_fabric(struct kv_arena *a, struct chain *c, const json_t *root)
{
	const char *releases = "", *abi = "";
	const json_t *f;
	bool efa = false;
	size_t i, n = 0;

	json_array_foreach(kv_json_list(root, "libfabric"), i, f)
	{
		const json_t *p;
		size_t k;

		/* What lies on a host to be borrowed is not in the way. */
		if (kv_streq(kv_json_str(f, "source"), "fabric"))
			continue;
		releases =
			kv_strf(a, "%s%s%s", releases, n++ ? ", " : "", kv_json_str(f, "release"));
		abi = kv_json_str(f, "abi");
		json_array_foreach(kv_json_list(f, "providers"), k, p) efa |=
			json_is_string(p) && kv_streq(json_string_value(p), "efa");
	}
	if (!n)
		return;
	set(c, KV_AT_FABRIC, c->link[KV_AT_PLUGIN].state == SOUND ? SOUND : OPEN, releases,
	    n > 1 ? kv_strf(a, "%zu copies", n) : abi);
	set(c, KV_AT_PROVIDER, OPEN, efa ? "efa" : "no efa", efa ? "in this libfabric" : "");
}

static void add_devices(struct kv_arena *a, struct chain *c, const json_t *root)
{
	size_t i, n = 0, usable = 0;
	const json_t *d;

	json_array_foreach(kv_json_list(root, "devices"), i, d)
	{
		if (!kv_streq(kv_json_str(d, "kind"), "efa"))
			continue;
		n++;
		usable += json_is_true(json_object_get(d, "usable"));
	}
	if (n)
		set(c, KV_AT_DEVICE, usable ? SOUND : OPEN, kv_strf(a, "%zu EFA", n),
		    kv_strf(a, "%zu usable", usable));
	else
		set(c, KV_AT_DEVICE, OPEN, "none",
		    json_is_object(json_object_get(root, "host")) ? "seen on this host"
								  : "no host was examined");
}

static void chain_of_check(struct kv_arena *a, struct chain *c, const struct kv_doc *d,
			   const char *wanted)
{
	const json_t *nixl = active_nixl(d->root);

	if (nixl)
		set(c, KV_AT_NIXL, SOUND, kv_json_str(nixl, "version"), kv_json_str(nixl, "dist"));
	add_plugin(c, nixl, wanted);
	add_fabric(a, c, d->root);
	add_devices(a, c, d->root);
	add_findings(a, c, d);
	/* It does not load, and no finding says where that comes from. */
	if (c->link[KV_AT_PLUGIN].state == HELD && c->link[KV_AT_NIXL].state != BROKEN &&
	    c->link[KV_AT_FABRIC].state != BROKEN)
		c->link[KV_AT_PLUGIN].state = BROKEN;
}

/* ---- a proof, a log ---- */

static bool proves(const json_t *root, const char *step)
{
	const json_t *s;
	size_t i;

	json_array_foreach(kv_json_list(root, "proven"), i,
			   s) if (json_is_string(s) &&
				  kv_streq(json_string_value(s), step)) return true;
	return false;
}

static void add_provider(struct chain *c, const char *provider, const char *more)
{
	enum kv_carrier carrier = kv_carrier_of(provider);

	if (!*provider)
		return;
	set(c, KV_AT_PROVIDER,
	    carrier == KV_CARRIER_EFA    ? SOUND
	    : carrier == KV_CARRIER_HOST ? BROKEN
					 : OPEN,
	    provider, more);
}

static void chain_of_prove(struct kv_arena *a, struct chain *c, const struct kv_doc *d)
{
	bool loads = proves(d->root, "loads"), runs = proves(d->root, "instantiates");
	const char *backend = kv_json_str(d->root, "backend"), *moved = NULL;
	const json_t *dev;
	size_t i;

	set(c, KV_AT_NIXL, loads ? SOUND : OPEN, loads ? "ran" : "", "");
	set(c, KV_AT_PLUGIN,
	    runs    ? SOUND
	    : loads ? DOUBT
		    : OPEN,
	    backend,
	    runs    ? "instantiated"
	    : loads ? "loads"
		    : "");
	if (runs && kv_streq(backend, "LIBFABRIC"))
		set(c, KV_AT_FABRIC, SOUND, "loaded", "");
	add_findings(a, c, d);
	add_provider(c, kv_json_str(d->root, "provider"), "carried the bytes");
	json_array_foreach(kv_json_list(d->root, "devices"), i,
			   dev) if (kv_json_num(dev, "delta") > 0 && !moved) moved =
		kv_json_str(dev, "name");
	if (moved)
		set(c, KV_AT_DEVICE, SOUND, moved, "its counter rose");
}

static void chain_of_log(struct kv_arena *a, struct chain *c, const struct kv_doc *d)
{
	const char *verdict = kv_doc_verdict(d);
	const json_t *p, *shown = NULL;
	size_t i;

	/* The process that the verdict is of. */
	json_array_foreach(kv_json_list(d->root, "processes"), i,
			   p) if (!shown && kv_streq(kv_json_str(p, "verdict"), verdict)) shown = p;
	set(c, KV_AT_NIXL, shown ? SOUND : OPEN,
	    *kv_json_str(shown, "nixl") || !shown ? kv_json_str(shown, "nixl") : "in the log", "");
	if (*kv_json_str(shown, "backends"))
		set(c, KV_AT_PLUGIN, SOUND, kv_json_str(shown, "backends"), "named by the log");
	add_findings(a, c, d);
	if (c->link[KV_AT_PROVIDER].state != BROKEN || *kv_json_str(shown, "provider"))
		add_provider(c, kv_json_str(shown, "provider"), "named by the log");
}

/* ---- the list ---- */

static void put_link(struct kv_html *h, const struct chain *c, size_t i)
{
	enum state s = c->link[i].state;

	kv_html(h,
		"<li class=\"%s\"><span class=\"mark\"><svg viewBox=\"0 0 18 18\" "
		"aria-hidden=\"true\">",
		states[s].class);
	kv_html_raw(h, states[s].mark);
	kv_html(h, "</svg></span><span class=\"what\">%s</span><span class=\"value\">%s</span>",
		kv_link_name[i],
		c->link[i].value && *c->link[i].value ? c->link[i].value : "\xe2\x80\x93");
	if (c->link[i].more && *c->link[i].more)
		kv_html(h, "<span class=\"more\">%s</span>", c->link[i].more);
	/* A plugin that does not load waits for what it needs; that is said already. */
	if (*states[s].said && !(i == KV_AT_PLUGIN && s == HELD))
		kv_html(h, "<span class=\"said %s\">%s%s%s</span>",
			s == BROKEN  ? "broken"
			: s == DOUBT ? "warning"
				     : "info",
			states[s].said, c->link[i].ids ? ": " : "",
			c->link[i].ids ? c->link[i].ids : "");
	kv_html(h, "</li>\n");
}

static void put_chain(struct kv_html *h, const struct kv_docs *docs, const struct kv_doc *d)
{
	struct chain c = { 0 };

	if (d->kind == KV_DOC_CHECK)
		chain_of_check(h->arena, &c, d, docs->backend);
	else if (d->kind == KV_DOC_PROVE)
		chain_of_prove(h->arena, &c, d);
	else
		chain_of_log(h->arena, &c, d);
	hold(&c);
	kv_html(h, "<h3><code>%s</code>: ", d->name);
	kv_html_verdict(h, kv_doc_verdict(d));
	kv_html(h, "</h3>\n<ol class=\"chain\">\n");
	for (size_t i = 0; i < _KV_AT_COUNT; i++)
		put_link(h, &c, i);
	kv_html(h, "</ol>\n");
}

void kv_html_chains(struct kv_html *h, const struct kv_docs *docs)
{
	static const enum kv_doc_kind kinds[] = { KV_DOC_CHECK, KV_DOC_PROVE, KV_DOC_LOG };
	size_t n = 0;

	for (size_t k = 0; k < KV_ARRAY_SIZE(kinds); k++)
		n += kv_docs_count(docs, kinds[k]);
	if (!n)
		return;
	kv_html_section(h, "The path");
	for (size_t i = 0; i < docs->list.n; i++)
		for (size_t k = 0; k < KV_ARRAY_SIZE(kinds); k++)
			if (docs->list.v[i].kind == kinds[k])
				put_chain(h, docs, &docs->list.v[i]);
	kv_html_end(h);
}
