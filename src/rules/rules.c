/* Runs the table, orders what it found, and draws the verdict. */
#include "rules/rules.h"

extern const struct kv_page {
	const char *id, *text;
} kv_pages[]; /* generated from pages/, ends with a NULL id */

const char *const kv_severity_name[_KV_SEVERITY_COUNT] = { "error", "warning", "info" };
const char *const kv_verdict_name[_KV_VERDICT_COUNT] = { "on-fabric", "ready", "off-fabric",
							 "unknown" };
const char *const kv_link_name[_KV_AT_COUNT] = { "NIXL", "Plugin", "libfabric", "Provider",
						 "Device" };

/* Where that may be which a rule did not see; SEEN: it rests on what it shows. */
enum { SEEN = 0, TARGET = 1, DEVICES = 2, PROCESS = 4 };

static const struct rule {
	const char *id, *title;
	enum kv_link link;
	kv_rule_fn *fn;
	unsigned rests;
} rules[] = {
#define KV_RULE(id, link, fn, rests, title)        { #id, title, KV_AT_##link, fn, rests },
#define KV_PROVED(id, link, title)                 { #id, title, KV_AT_##link, NULL, SEEN },
#define KV_LOGGED(id, link, weight, title, repair) { #id, title, KV_AT_##link, NULL, SEEN },
#include "rules/rules.def"
};

const char *kv_rule_id(size_t i)
{
	return i < KV_ARRAY_SIZE(rules) ? rules[i].id : NULL;
}

static const struct rule *rule_of(const char *id)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(rules); i++)
		if (kv_streq(rules[i].id, id))
			return &rules[i];
	return NULL;
}

enum kv_link kv_rule_link(const char *id)
{
	const struct rule *r = rule_of(id);

	return r ? r->link : _KV_AT_COUNT;
}

const char *kv_rule_title(const char *id)
{
	const struct rule *r = rule_of(id);

	return r ? r->title : NULL;
}

const char *kv_rule_page(const char *id)
{
	for (const struct kv_page *p = kv_pages; p->id; p++)
		if (kv_streq(p->id, id))
			return p->text;
	return NULL;
}

struct kv_finding *kv_find(struct kv_findings *out, enum kv_severity severity, const char *fmt, ...)
{
	struct kv_finding *fi = kv_vec_add(out->arena, &out->list);
	va_list ap;

	fi->id = out->id;
	fi->title = out->title;
	fi->severity = severity;
	va_start(ap, fmt);
	fi->detail = kv_vstrf(out->arena, fmt, ap);
	va_end(ap);
	fi->repair = "";
	return fi;
}

void kv_show(struct kv_findings *out, struct kv_finding *fi, const char *path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	kv_vec_push(out->arena, &fi->evidence,
		    ((struct kv_evidence){ path, kv_vstrf(out->arena, fmt, ap) }));
	va_end(ap);
}

void kv_mend(struct kv_findings *out, struct kv_finding *fi, bool automatic, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fi->repair = kv_vstrf(out->arena, fmt, ap);
	va_end(ap);
	fi->automatic = automatic;
}

/* Whether what the finding rests on may be where nobody could look. */
static bool rests_on_untold(const struct kv_facts *f, const struct kv_finding *fi)
{
	static const char *const devices[] = { "/sys/class", "/sys/bus", "/sys/module",
					       "/proc/driver", NULL };
	static const char *const process[] = { "/proc/self/status", "/proc/self/uid_map", NULL };
	unsigned rests = rule_of(fi->id)->rests;

	if (rests & TARGET && kv_root_denied(f->root)->n)
		return true;
	/* What of the host it can not tell, a rule may say itself. */
	if (!f->host || fi->cannot_tell)
		return false;
	return (rests & DEVICES && kv_host_is_untold(f->host, devices)) ||
	       (rests & PROCESS && kv_host_is_untold(f->host, process));
}

static void weaken(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < out->list.n; i++) {
		struct kv_finding *fi = &out->list.v[i];

		if (fi->severity != KV_ERROR || !rests_on_untold(f, fi))
			continue;
		fi->severity = KV_WARNING;
		fi->cannot_tell = true;
	}
}

static enum kv_verdict draw_verdict(const struct kv_findings *out)
{
	enum kv_verdict v = KV_READY;

	for (size_t i = 0; i < out->list.n; i++) {
		if (out->list.v[i].severity == KV_ERROR && !out->list.v[i].cannot_tell)
			return KV_OFF_FABRIC;
		if (out->list.v[i].cannot_tell)
			v = KV_VERDICT_UNKNOWN;
	}
	return v;
}

void kv_rules_run(const struct kv_facts *f, struct kv_findings *ret)
{
	*ret = (struct kv_findings){ .arena = f->arena };
	for (size_t i = 0; i < KV_ARRAY_SIZE(rules); i++) {
		if (!rules[i].fn)
			continue;
		ret->id = rules[i].id;
		ret->title = rules[i].title;
		rules[i].fn(f, ret);
	}
	weaken(f, ret);
	kv_findings_sort(ret);
	ret->verdict = draw_verdict(ret);
}
