/*
 * The verdict that logs allow. off-fabric: a line shows it. on-fabric: LIBFABRIC was instantiated,
 * NIXL itself names efa as its provider for each instantiation, and nothing else contradicts.
 * Anything else is unknown, with what would have to be logged.
 */
#include "rules/log.h"
#include "base/provider.h"
#include "rules/log_view.h"

#define LOG_INFO                                                                                   \
	"NIXL_LOG_LEVEL=INFO in the job's environment (the default, WARN, names no provider), "    \
	"stdout and stderr both kept"

/* ---- what the events of a process come to ---- */

/* Backends that move bytes to storage, not to another node. */
static bool is_storage(const char *backend)
{
	static const char *const names[] = { "POSIX", "GDS", "GDS_MT",     "OBJ",     "HF3FS",
					     "GUSLI", "NOP", "AZURE_BLOB", "INFINIA", "BUFFER" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
		if (kv_streq(names[i], backend))
			return true;
	return false;
}

/* The file is "/x/plugins/libplugin_UCX.so". */
bool kv_log_is_plugin(const struct kv_log_event *e, const char *backend)
{
	const char *name = kv_basename(e->file);
	size_t n = strlen("libplugin_"), m = strlen(backend);

	return kv_starts(name, "libplugin_") && strncmp(name + n, backend, m) == 0 &&
	       kv_streq(name + n + m, ".so");
}

/* Which of two lines stands for a fact: the first. */
static void keep(const struct kv_log_event **to, const struct kv_log_event *e)
{
	*to = *to ? *to : e;
}

static void keep_last(const struct kv_log_event **to, const struct kv_log_event *e)
{
	if (!*to || (*to)->last.line < e->last.line)
		*to = e;
}

static void view_provider(struct kv_log_view *v, const struct kv_log_event *e)
{
	const char *name = kv_log_provider(e->subject);
	enum kv_carrier carrier;

	if (!name)
		return; /* torn, or not known: no proof of anything */
	carrier = kv_carrier_of(name);
	if (carrier != KV_CARRIER_EFA) {
		const struct kv_log_event **to =
			carrier == KV_CARRIER_OTHER ? &v->other_fabric : &v->other_provider;

		if (!*to || e->pattern->kind > (*to)->pattern->kind)
			*to = e;
		return;
	}
	if (!v->efa || e->pattern->kind > v->efa->pattern->kind)
		v->efa = e;
	/* The same plugin may say it in two ways. */
	if (e->pattern->kind != KV_LOG_RAIL && e->count > v->n_efa)
		v->n_efa = e->count;
}

static void view_backend(struct kv_log_view *v, const struct kv_log_event *e)
{
	bool wanted = kv_streq(e->subject, v->wanted);
	enum kv_log_kind kind = e->pattern->kind;

	if (is_storage(e->subject))
		return;
	if (kind == KV_LOG_MADE && wanted && e->count > v->n_made)
		v->n_made = e->count;
	if (wanted && kind != KV_LOG_ASKED)
		keep_last(&v->made, e);
	else if (wanted)
		keep(&v->asked, e);
	else
		keep(kind == KV_LOG_SELECTED ? &v->other_selected : &v->other_made, e);
}

/* The findings of a registration that failed. */
static bool is_registration(const char *id)
{
	return kv_streq(id, "KV319") || kv_streq(id, "KV407") || kv_streq(id, "KV413");
}

static void view_event(struct kv_log_view *v, const struct kv_log_event *e)
{
	switch (e->pattern->kind) {
	case KV_LOG_VERSION:
		keep(&v->version, e);
		break;
	case KV_LOG_ASKED:
	case KV_LOG_MADE:
	case KV_LOG_SELECTED:
		view_backend(v, e);
		break;
	case KV_LOG_REFUSED:
		if (kv_streq(e->subject, v->wanted))
			keep_last(&v->refused, e);
		break;
	case KV_LOG_NOT_LOADED:
		if (kv_log_is_plugin(e, v->wanted))
			keep_last(&v->not_loaded, e);
		break;
	case KV_LOG_NO_PLUGIN:
		keep_last(&v->no_plugin, e);
		break;
	case KV_LOG_UCX_TAKEN:
		keep(&v->ucx_taken, e);
		break;
	case KV_LOG_SIMPLIFIED:
	case KV_LOG_DISCOVERED:
	case KV_LOG_RAIL:
	case KV_LOG_RAILS:
		view_provider(v, e);
		break;
	case KV_LOG_HMEM:
		keep(&v->hmem, e);
		break;
	case KV_LOG_NO_HMEM:
		keep(&v->no_hmem, e);
		break;
	case KV_LOG_NO_VRAM:
		keep(&v->no_vram, e);
		break;
	case KV_LOG_MISMATCH:
		keep(&v->mismatch, e);
		break;
	case KV_LOG_ERROR:
		if (e->pattern->id && is_registration(e->pattern->id))
			keep(&v->no_register, e);
		break;
	default:
		break;
	}
}

void kv_log_view(const struct kv_log_process *p, const char *wanted, struct kv_log_view *ret)
{
	*ret = (struct kv_log_view){ .wanted = wanted };
	for (size_t i = 0; i < p->events.n; i++)
		view_event(ret, &p->events.v[i]);
}

/* ---- the verdict of a process ---- */

static bool draw(struct kv_log_path *path, enum kv_verdict verdict,
		 const struct kv_log_event *proof, const char *reason)
{
	path->verdict = verdict;
	path->proof = proof;
	path->reason = reason;
	return true;
}

/* What kept the plugin or the backend from being there: the last that was said. */
static const struct kv_log_event *failure(const struct kv_log_view *v)
{
	const struct kv_log_event *list[] = { v->not_loaded, v->refused, v->no_plugin }, *e = NULL;

	for (size_t i = 0; i < KV_ARRAY_SIZE(list); i++)
		if (list[i] && (!e || list[i]->last.line > e->last.line))
			e = list[i];
	/* The loader's reason says more than what follows from it; not one of before it was there.
	 */
	if (e && v->not_loaded && e == v->refused &&
	    !(v->made && v->made->last.line > v->not_loaded->last.line))
		return v->not_loaded;
	return e;
}

static bool draw_failed(struct kv_arena *a, const struct kv_log_view *v, struct kv_log_path *path)
{
	const struct kv_log_event *e = failure(v);

	if (!e)
		return false;
	if (v->made && v->made->last.line > e->last.line) {
		path->setting = "a log of its own for each process";
		return draw(path, KV_VERDICT_UNKNOWN, e,
			    kv_strf(a,
				    "%s was refused at line %llu and is there at line %llu: a new "
				    "start, or two processes",
				    v->wanted, (unsigned long long)e->last.line,
				    (unsigned long long)v->made->last.line));
	}
	if (e == v->not_loaded)
		return draw(path, KV_OFF_FABRIC, e,
			    kv_strf(a, "the %s plugin does not load", v->wanted));
	return draw(path, KV_OFF_FABRIC, e, kv_strf(a, "%s could not be instantiated", v->wanted));
}

static bool draw_off(struct kv_arena *a, const struct kv_log_view *v, struct kv_log_path *path)
{
	if (v->other_provider)
		return draw(path, KV_OFF_FABRIC, v->other_provider,
			    kv_strf(a, "the plugin runs over libfabric's %s provider, not efa",
				    kv_log_provider(v->other_provider->subject)));
	if (v->no_vram)
		return draw(path, KV_OFF_FABRIC, v->no_vram, "GPU memory could not be registered");
	if (v->mismatch)
		return draw(path, KV_OFF_FABRIC, v->mismatch,
			    "prefill and decode have no backend in common");
	if (v->ucx_taken)
		return draw(path, KV_OFF_FABRIC, v->ucx_taken, "UCX was configured, not LIBFABRIC");
	if (draw_failed(a, v, path))
		return true;
	if (v->other_selected)
		return draw(path, KV_OFF_FABRIC, v->other_selected,
			    kv_strf(a, "transfers take %s", v->other_selected->subject));
	if (v->other_made && !v->made && !v->asked)
		return draw(
			path, KV_OFF_FABRIC, v->other_made,
			kv_strf(a, "the backend is %s, not %s", v->other_made->subject, v->wanted));
	return false;
}

/* The backend is there, and nothing that was seen keeps it off the fabric. */
static void draw_made(struct kv_arena *a, const struct kv_log_view *v, struct kv_log_path *path)
{
	path->setting = LOG_INFO;
	if (v->other_fabric) {
		path->setting = NULL;
		draw(path, KV_VERDICT_UNKNOWN, v->other_fabric,
		     kv_strf(a,
			     "%s runs over libfabric's %s provider: RDMA of another fabric than "
			     "EFA, which kvpath does not judge",
			     v->wanted, kv_log_provider(v->other_fabric->subject)));
	} else if (v->other_made) {
		draw(path, KV_VERDICT_UNKNOWN, v->other_made,
		     kv_strf(a, "%s and %s are both there: a transfer takes either",
			     v->other_made->subject, v->wanted));
	} else if (!v->efa) {
		draw(path, KV_VERDICT_UNKNOWN, v->made ? v->made : v->asked,
		     kv_strf(a, "%s is there, but no line of NIXL names its provider", v->wanted));
	} else if (v->no_hmem) {
		path->setting = NULL;
		draw(path, KV_VERDICT_UNKNOWN, v->no_hmem,
		     "the provider is efa, but without FI_HMEM: GPU memory can not take it");
	} else if (v->no_register) {
		path->setting = NULL;
		draw(path, KV_VERDICT_UNKNOWN, v->no_register,
		     "the provider is efa, but memory could not be registered with it");
	} else if (v->n_made > v->n_efa) {
		draw(path, KV_VERDICT_UNKNOWN, v->efa,
		     kv_strf(a, "%s was instantiated %llu times, and efa is named %llu times",
			     v->wanted, (unsigned long long)v->n_made,
			     (unsigned long long)v->n_efa));
	} else {
		path->setting = NULL;
		draw(path, KV_ON_FABRIC, v->efa,
		     kv_strf(a, "%s runs over the %s provider", v->wanted,
			     kv_log_provider(v->efa->subject)));
	}
}

static void draw_verdict(struct kv_arena *a, const struct kv_log_view *v, struct kv_log_path *path)
{
	if (draw_off(a, v, path))
		return;
	if (v->made || (v->asked && v->efa)) {
		draw_made(a, v, path);
		return;
	}
	path->setting = LOG_INFO;
	draw(path, KV_VERDICT_UNKNOWN, v->efa,
	     v->efa ? kv_strf(a, "efa is named, but no line says that %s was instantiated",
			      v->wanted)
		    : "no line says which backend was instantiated");
}

static const char *backends_of(struct kv_arena *a, const struct kv_log_process *p)
{
	const char *s = "";
	kv_strv seen = { 0 };

	for (size_t i = 0; i < p->events.n; i++) {
		const struct kv_log_event *e = &p->events.v[i];

		if ((e->pattern->kind != KV_LOG_MADE && e->pattern->kind != KV_LOG_SELECTED) ||
		    kv_strv_has(&seen, e->subject))
			continue;
		kv_vec_push(a, &seen, kv_strdup(a, e->subject));
		s = kv_strf(a, "%s%s%s", s, *s ? ", " : "", e->subject);
	}
	return s;
}

static void judge_process(struct kv_arena *a, const struct kv_log_process *p, const char *wanted,
			  struct kv_log_path *path)
{
	const struct kv_log_event *provider;
	struct kv_log_view v;

	*path = (struct kv_log_path){ 0 };
	for (size_t i = 0; i < p->events.n; i++) {
		enum kv_log_kind kind = p->events.v[i].pattern->kind;

		/*
		 * A frontend that imports NIXL prints its version; where an agent is made, more
		 * is printed at that level.
		 */
		path->speaks |=
			kind != KV_LOG_FABRIC && kind != KV_LOG_WARNING && kind != KV_LOG_VERSION;
	}
	kv_log_view(p, wanted, &v);
	draw_verdict(a, &v, path);
	provider = v.other_provider ? v.other_provider : v.other_fabric ? v.other_fabric : v.efa;
	path->provider = provider ? kv_log_provider(provider->subject) : NULL;
	path->version = v.version ? v.version->subject : NULL;
	path->hmem = v.no_hmem ? "no" : v.hmem ? "yes" : NULL;
	path->backends = backends_of(a, p);
}

/* ---- all of them ---- */

const char *kv_log_process_name(const struct kv_log *l, const struct kv_log_process *p)
{
	const char *s = l->files.v[p->file].path;

	if (kv_streq(s, "-"))
		s = "(stdin)";
	if (*p->label)
		s = kv_strf(l->arena, "%s [%s]", s, p->label);
	if (*p->tag && p->by_tag)
		s = kv_strf(l->arena, "%s %s", s, p->tag);
	if (p->by_tag)
		s = kv_strf(l->arena, "%s pid %u", s, p->id);
	return s;
}

static enum kv_verdict verdict_of(const struct kv_log *l, const struct kv_log_path *paths)
{
	bool unknown = false, on = false;

	for (size_t i = 0; i < l->processes.n; i++) {
		if (!paths[i].speaks)
			continue;
		if (paths[i].verdict == KV_OFF_FABRIC)
			return KV_OFF_FABRIC;
		unknown |= paths[i].verdict == KV_VERDICT_UNKNOWN;
		on |= paths[i].verdict == KV_ON_FABRIC;
	}
	/* Of a file that was not read to its end nothing good can be said. */
	for (size_t i = 0; i < l->files.n; i++)
		unknown |= l->files.v[i].error != NULL;
	return on && !unknown ? KV_ON_FABRIC : KV_VERDICT_UNKNOWN;
}

/* Of the first process that is unknown. */
static const char *setting_of(const struct kv_log *l, const struct kv_log_path *paths)
{
	for (size_t i = 0; i < l->processes.n; i++)
		if (paths[i].speaks && paths[i].verdict == KV_VERDICT_UNKNOWN)
			return paths[i].setting;
	for (size_t i = 0; i < l->files.n; i++)
		if (l->files.v[i].error)
			return NULL;
	return LOG_INFO;
}

void kv_log_judge(const struct kv_log *l, const char *backend, struct kv_log_report *ret)
{
	*ret = (struct kv_log_report){ .findings.arena = l->arena, .wanted = backend };
	ret->paths = kv_alloc_n(l->arena, l->processes.n + 1, sizeof(*ret->paths));
	for (size_t i = 0; i < l->processes.n; i++) {
		judge_process(l->arena, &l->processes.v[i], backend, &ret->paths[i]);
		kv_log_find(l, &l->processes.v[i], backend, &ret->paths[i], &ret->findings);
	}
	kv_findings_sort(&ret->findings);
	ret->findings.verdict = verdict_of(l, ret->paths);
	if (ret->findings.verdict == KV_VERDICT_UNKNOWN)
		ret->setting = setting_of(l, ret->paths);
}
