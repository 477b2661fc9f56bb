/*
 * Which of a target's NIXLs the job imports. A python takes the first package of a name along its
 * path: what its command puts there, PYTHONPATH, the user's own directory, its prefix, what .pth
 * files add (site.py). Which python it is tells the command, or else PATH, where the job's
 * environment has one. A copy on no python's path (a cache of pip or uv, a backup) and a bare tree
 * beside a package are not imported; findings about them are warnings. Where it can not be told
 * which of several is taken, and some of them work and some do not, those that do not are in doubt.
 */
#include "inspect/internal.h"

static bool is_bare(const struct kv_nixl *n)
{
	return !n->site;
}

/* TensorRT-LLM's own library is linked to a NIXL that is no python package. */
static bool has_native_user(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->frameworks.n; i++)
		if (kv_streq(f->frameworks.v[i].name, "TensorRT-LLM"))
			return true;
	return false;
}

static struct kv_way way_of(struct kv_facts *f, const struct kv_nixl *n)
{
	struct kv_way w = { .rank = KV_NOWHERE, .sure = true };

	if (is_bare(n))
		return w;
	w = kv_way_to(f, n->site);
	/* Without an __init__ it is imported where the whole path has no package of its name. */
	if (w.rank < KV_PORTION && !kv_package_is_regular(f, n->site, n->module))
		w.rank = KV_PORTION;
	return w;
}

/* The python whose path all packages are on; NULL where there are several. */
static const char *only_python(struct kv_facts *f, const struct kv_way *ways)
{
	const char *bin = NULL;

	for (size_t i = 0; i < f->nixls.n; i++) {
		if (!ways[i].bin)
			continue;
		if (!ways[i].sure || (bin && !kv_same_dir(f, bin, ways[i].bin)))
			return NULL;
		bin = ways[i].bin;
	}
	return bin;
}

static bool is_before(const struct kv_way *a, const struct kv_way *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

bool kv_comes_before(struct kv_facts *f, const char *site, const char *other)
{
	struct kv_way w = kv_way_to(f, site), o = kv_way_to(f, other);

	if (w.rank == KV_NOWHERE || o.rank == KV_NOWHERE)
		return w.rank != KV_NOWHERE;
	return (w.bin && o.bin && !kv_same_dir(f, w.bin, o.bin)) || is_before(&w, &o);
}

/* The first on the path of the python in bin (NULL: of none); NULL where it has none, or where one
 * that is not sure comes before. */
static const struct kv_nixl *first_of(struct kv_facts *f, const struct kv_way *ways,
				      const char *bin)
{
	const struct kv_way none = { .rank = KV_NOWHERE, .sure = true }, *best = &none,
			    *unsure = &none;

	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (is_bare(n) || !n->active ||
		    (ways[i].bin && (!bin || !kv_same_dir(f, ways[i].bin, bin) ||
				     kv_is_other_version(f, bin, n->site))))
			continue;
		if (!ways[i].sure)
			unsure = is_before(&ways[i], unsure) ? &ways[i] : unsure;
		else if (is_before(&ways[i], best))
			best = &ways[i];
	}
	return best == &none || is_before(unsure, best) ? NULL : &f->nixls.v[best - ways];
}

/* What the python that the job runs imports; NULL where that is not known. */
static const struct kv_nixl *first_on_path(struct kv_facts *f, const struct kv_way *ways)
{
	const char *named = f->python.bin, *bin = named ? named : only_python(f, ways);
	const struct kv_nixl *first = first_of(f, ways, bin);

	if (!first && named && kv_python_below(f, named))
		first = first_of(f, ways, kv_python_below(f, named));
	return first;
}

/* Copies that no process of this target imports while there is one that some do. */
static void leave_out_strays(struct kv_facts *f, const struct kv_way *ways)
{
	bool any_package = false, any = false, native = has_native_user(f);

	for (size_t i = 0; i < f->nixls.n; i++) {
		any_package |= !is_bare(&f->nixls.v[i]) && ways[i].rank != KV_NOWHERE;
		any |= is_bare(&f->nixls.v[i]) ? f->nixls.v[i].plugins.n > 0
					       : ways[i].rank != KV_NOWHERE;
	}
	for (size_t i = 0; i < f->nixls.n; i++) {
		struct kv_nixl *n = &f->nixls.v[i];

		if (is_bare(n) ? (any_package && !native) || (any && !n->plugins.n)
			       : any && ways[i].rank == KV_NOWHERE)
			n->active = false;
	}
}

static bool works(const struct kv_facts *f, const struct kv_nixl *n)
{
	return n->wanted && n->wanted->load.loads == KV_LOADS_YES &&
	       (!n->api_py || kv_strv_has(&n->default_backends, f->backend));
}

static void doubt(struct kv_facts *f)
{
	size_t good = 0, bad = 0;

	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active)
			*(works(f, &f->nixls.v[i]) ? &good : &bad) += 1;
	for (size_t i = 0; good && bad && i < f->nixls.n; i++)
		f->nixls.v[i].in_doubt = f->nixls.v[i].active && !works(f, &f->nixls.v[i]);
}

/* A job can name any directory to python; of an environment that is known it can be said that it
 * does not. */
static void note_off_path(struct kv_facts *f, const struct kv_way *ways)
{
	bool known = f->live || kv_env_get(f->env, "PATH") || kv_env_get(f->env, "PYTHONPATH");

	for (size_t i = 0; i < f->nixls.n; i++) {
		struct kv_nixl *n = &f->nixls.v[i];

		if (is_bare(n) || !n->active || ways[i].rank != KV_NOWHERE)
			continue;
		n->off_path =
			ways[i].why ? ways[i].why : "no python that is seen has it on its path";
		n->may_be_named = !ways[i].why && !known;
	}
}

void kv_find_imported(struct kv_facts *f)
{
	const struct kv_nixl *first;
	struct kv_way *ways;

	if (f->brief && f->nixls.n < 2)
		return;
	ways = kv_alloc(f->arena, f->nixls.n * sizeof(*ways));
	for (size_t i = 0; i < f->nixls.n; i++)
		ways[i] = way_of(f, &f->nixls.v[i]);
	leave_out_strays(f, ways);
	note_off_path(f, ways);
	first = first_on_path(f, ways);
	for (size_t i = 0; first && i < f->nixls.n; i++) {
		struct kv_nixl *n = &f->nixls.v[i];

		/* On the same path another name stays importable. */
		if (n != first && !is_bare(n) &&
		    (kv_streq(n->module, first->module) ||
		     (ways[i].bin && ways[first - f->nixls.v].bin &&
		      !kv_same_dir(f, ways[i].bin, ways[first - f->nixls.v].bin))))
			n->active = false;
	}
	doubt(f);
}
