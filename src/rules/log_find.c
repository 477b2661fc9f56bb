/*
 * The findings that lines of a log are evidence of. Which line shows which finding is in the table
 * of patterns; here is what takes more than one line to say.
 */
#include "rules/log_view.h"

#define PLACES 6 /* shown of each finding */

enum weight { WARNS, DECIDES, INFORMS };

/*
 * What logs show: how weighty it is and the repair, by hand in any case. Of what rules find too,
 * the repair here is what can be said without the target.
 */
static const struct mend {
	const char *id;
	enum weight weight;
	const char *repair;
} mends[] = {
#define KV_RULE(id, link, fn, rests, title)
#define KV_PROVED(id, link, title)
#define KV_LOGGED(id, link, weight, title, repair) { #id, weight, repair },
#include "rules/rules.def"
	{ "KV101", DECIDES, "kvpath check and kvpath fix on the container that wrote this" },
	{ "KV103", DECIDES, "kvpath check and kvpath fix on the container that wrote this" },
	{ "KV104", DECIDES, "install libhwloc15 in the image" },
	{ "KV105", DECIDES, "install the NIXL wheel of the image's CUDA (nixl-cu12, nixl-cu13)" },
	{ "KV107", DECIDES, "start the container with the NVIDIA runtime" },
	{ "KV108", DECIDES, "leave the plugins in NIXL's own tree" },
	{ "KV109", DECIDES, "take the plugin and libnixl.so from one build of NIXL" },
	{ "KV114", DECIDES, "kvpath check on the container that wrote this" },
	{ "KV115", WARNS, "give the container the host's whole /sys" },
	{ "KV120", WARNS, "kvpath check on the container that wrote this" },
	{ "KV150", DECIDES, "kvpath why on the plugin, in the container that wrote this" },
	{ "KV201", DECIDES, "name LIBFABRIC where the framework chooses: kvpath explain KV201" },
	{ "KV203", DECIDES,
	  "NIXL_LOG_LEVEL=INFO shows the loader's reason; kvpath check finds it" },
	{ "KV205", DECIDES, "unset NIXL_PLUGIN_DIR, or let it name NIXL's plugins directory" },
	{ "KV213", WARNS, "name LIBFABRIC alone" },
	{ "KV219", DECIDES, "kvpath check on the container that wrote this" },
	{ "KV220", DECIDES, "unset the variable in the job: kvpath explain KV220" },
	{ "KV301", DECIDES, "kvpath check on the host and the container that wrote this" },
	{ "KV310", DECIDES, "install libibverbs, its providers and libefa of one rdma-core" },
	{ "KV312", DECIDES, "install libibverbs, its providers and libefa of one rdma-core" },
	{ "KV320", DECIDES, "unset the variable in the job: kvpath explain KV320" },
	{ "KV406", DECIDES, "unset FI_EFA_USE_DEVICE_RDMA in the job" },
	{ "KV606", WARNS, "NIXL 1.3.2, or 1.4.0 and newer" },
	{ "KV317", WARNS, "start the job with unlimited locked memory" },
};

static const struct mend *mend_of(const char *id)
{
	static const struct mend none = { "", WARNS, "" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(mends); i++)
		if (kv_streq(mends[i].id, id))
			return &mends[i];
	return &none;
}

/* One finding for each id, with the places of all processes. */
static struct kv_finding *finding_of(struct kv_findings *out, const char *id, const char *detail)
{
	struct kv_finding *fi;

	kv_vec_each (fi, &out->list)
		if (kv_streq(fi->id, id))
			return fi;
	out->id = id;
	out->title = kv_rule_title(id);
	fi = kv_find(out, mend_of(id)->weight == INFORMS ? KV_INFO : KV_WARNING, "%s", detail);
	if (*mend_of(id)->repair)
		kv_mend(out, fi, false, "%s", mend_of(id)->repair);
	return fi;
}

static void show(const struct kv_log *l, struct kv_findings *out, struct kv_finding *fi,
		 const struct kv_log_event *e)
{
	const char *path = l->files.v[e->first.file].path;
	const char *more = "";

	if (fi->evidence.n > PLACES)
		return;
	if (fi->evidence.n == PLACES) {
		kv_show(out, fi, path, "and more");
		return;
	}
	if (e->count > 1)
		more = kv_strf(l->arena, " (%llu times, the last at line %llu)",
			       (unsigned long long)e->count, (unsigned long long)e->last.line);
	kv_show(out, fi, kv_strf(l->arena, "%s:%llu", path, (unsigned long long)e->first.line),
		"%s%s", e->text, more);
}

static struct kv_finding *report(const struct kv_log *l, const struct kv_log_path *path,
				 struct kv_findings *out, const char *id,
				 const struct kv_log_event *e, const char *detail)
{
	struct kv_finding *fi = finding_of(out, id, detail);

	if (path->verdict == KV_OFF_FABRIC && mend_of(id)->weight == DECIDES)
		fi->severity = KV_ERROR;
	show(l, out, fi, e);
	return fi;
}

static void report_other(const struct kv_log *l, const struct kv_log_view *v,
			 const struct kv_log_path *path, struct kv_findings *out)
{
	const struct kv_log_event *e = v->other_made ? v->other_made : v->other_selected;

	(void)report(l, path, out, "KV201", e,
		     kv_strf(l->arena, "the backend is %s, not %s", e->subject, v->wanted));
}

/* Two backends, of which transfers may take either; it is a fault where one is seen to take the
 * other. */
static void report_both(const struct kv_log *l, const struct kv_log_view *v,
			const struct kv_log_path *path, struct kv_findings *out)
{
	const struct kv_log_event *e = v->other_selected ? v->other_selected : v->other_made;
	struct kv_finding *fi =
		report(l, path, out, "KV213", e,
		       kv_strf(l->arena, "%s and %s are both there", e->subject, v->wanted));

	if (v->other_selected)
		fi->severity = KV_ERROR;
}

/* For all that is known. */
static bool is_efa(const struct kv_log_view *v)
{
	return !v->other_provider && !v->other_fabric;
}

/* A line of the table that is a finding by itself, unless another one says more of the same. */
static bool stands_alone(const struct kv_log_view *v, const struct kv_log_event *e)
{
	switch (e->pattern->kind) {
	case KV_LOG_REFUSED:
		return kv_streq(e->subject, v->wanted) && !v->not_loaded;
	case KV_LOG_NO_HMEM:
		return is_efa(v); /* only efa has it */
	case KV_LOG_NO_VRAM:
		return v->made || !v->other_made; /* else it was that one which refused */
	case KV_LOG_ERROR:
		/* The numbers and the limits are efa's; only the handshake is the plugin's own. */
		return is_efa(v) || kv_streq(e->pattern->id, "KV604");
	case KV_LOG_VERSION:
	case KV_LOG_NOT_LOADED:
		return false;
	default:
		return true;
	}
}

static const char *why_not_loaded(const struct kv_log_event *e)
{
	const char *id = kv_log_load_cause(e->subject);

	return id ? id : "KV150";
}

/* FI_MORE batching stops after 16 descriptors. */
static bool hangs(const struct kv_log_view *v)
{
	return v->version && v->made && kv_release_has("KV606", v->version->subject);
}

void kv_log_find(const struct kv_log *l, const struct kv_log_process *p, const char *wanted,
		 const struct kv_log_path *path, struct kv_findings *out)
{
	struct kv_log_view v;

	kv_log_view(p, wanted, &v);
	for (size_t i = 0; i < p->events.n; i++) {
		const struct kv_log_event *e = &p->events.v[i];

		if (e->pattern->id && stands_alone(&v, e))
			report(l, path, out, e->pattern->id, e, e->text);
	}
	if (v.not_loaded)
		report(l, path, out, why_not_loaded(v.not_loaded), v.not_loaded,
		       v.not_loaded->subject);
	if (v.other_provider)
		report(l, path, out, "KV301", v.other_provider, path->reason);
	if ((v.other_made || v.other_selected) && (v.made || v.asked))
		report_both(l, &v, path, out);
	else if (v.other_made || v.other_selected)
		report_other(l, &v, path, out);
	/* Without a backend named, memory counts as registered where any of them takes it. */
	if (v.no_register && v.other_made && v.made)
		report(l, path, out, "KV215", v.no_register,
		       kv_strf(l->arena, "%s refused a registration that %s may have taken",
			       v.wanted, v.other_made->subject));
	if (hangs(&v))
		report(l, path, out, "KV606", v.version,
		       kv_strf(l->arena, "NIXL %s stops after 16 descriptors of a transfer",
			       v.version->subject));
}
