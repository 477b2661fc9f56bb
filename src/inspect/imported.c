/*
 * Which of a target's NIXLs the job imports. A python takes the first package of a name along its
 * path: what its command puts there, PYTHONPATH, the user's own directory, its prefix, what .pth
 * files add (site.py). Which python it is tells the command, or else PATH, where the job's
 * environment has one. A copy on no python's path (a cache of pip or uv, a backup) and a bare tree
 * beside a package are not imported; findings about them are warnings. Where it can not be told
 * which of several is taken, and some of them work and some do not, those that do not are in doubt.
 */
#include "inspect/internal.h"

#define MAX_CFG ((size_t)64 << 10)

enum rank { ON_PYTHONPATH, OF_USER, LOCAL, OWN, BY_PTH, PORTION, NOWHERE };

/* How a NIXL's directory comes on a python's path. */
struct way {
	enum rank rank;
	unsigned place;  /* among those of one rank */
	const char *bin; /* directory of that python; NULL for any */
	bool sure;       /* false for a user's directory, where it is not known who runs the job */
};

bool kv_same_dir(struct kv_facts *f, const char *a, const char *b)
{
	const char *x, *y;

	return kv_root_real(f->root, a, 0, &x) == 0 && kv_root_real(f->root, b, 0, &y) == 0 &&
	       kv_streq(x, y);
}

static bool has_python(struct kv_facts *f, const char *bin)
{
	return kv_root_is_file(f->root, kv_join(f->arena, bin, "python3")) ||
	       kv_root_is_file(f->root, kv_join(f->arena, bin, "python"));
}

/* The next directory of a list like PATH; NULL at its end. Relative ones depend on where a process
 * is. */
static const char *next_dir(struct kv_facts *f, const char **list)
{
	while (*list && **list) {
		size_t n = strcspn(*list, ":");
		const char *dir = kv_strndup(f->arena, *list, n);

		*list += n + ((*list)[n] == ':');
		if (dir[0] == '/')
			return dir;
	}
	return NULL;
}

/* The python that a job starts by its name; NULL where PATH is not known or has none. */
static const char *python_of_path(struct kv_facts *f)
{
	const char *list = kv_env_get(f->env, "PATH"), *dir;

	while ((dir = next_dir(f, &list)))
		if (has_python(f, dir))
			return dir;
	return NULL;
}

/* One that may be meant by a relative part is not sure. */
static bool on_pythonpath(struct kv_facts *f, const char *site, struct way *ret)
{
	struct kv_pythonpath p = kv_import_path(f);

	while (kv_pythonpath_next(f, &p)) {
		if (p.dir ? !kv_same_dir(f, p.dir, site) : !kv_pythonpath_may_be(&p, site))
			continue;
		*ret = (struct way){ ON_PYTHONPATH, p.place, NULL, p.sure };
		return true;
	}
	return false;
}

/* "python3.11", of a site directory of that one; NULL where its path does not tell. */
static const char *python_of_site(struct kv_facts *f, const char *site)
{
	const char *version = kv_package_python_of_site(f, site);

	return version ? kv_strf(f->arena, "python%s", version) : NULL;
}

/* Whether the python of this directory, which its real name tells, has another version than the
 * site directory is for. */
static bool is_other_version(struct kv_facts *f, const char *bin, const char *site)
{
	const char *want = python_of_site(f, site), *real;

	if (want && f->python.version && kv_same_dir(f, bin, f->python.bin))
		return !kv_streq(want + strlen("python"), f->python.version);
	return want && kv_root_real(f->root, kv_join(f->arena, bin, "python3"), 0, &real) == 0 &&
	       kv_starts(kv_basename(real), "python3.") && !kv_streq(kv_basename(real), want);
}

/* The system's python serves /usr/local too, unless that has one of its own; Debian's
 * dist-packages are the system's in any case. */
static const char *system_bin(struct kv_facts *f, const char *prefix, const char *site)
{
	if (kv_streq(prefix, "/usr/local") && kv_streq(kv_basename(site), "site-packages") &&
	    has_python(f, "/usr/local/bin"))
		return "/usr/local/bin";
	if (has_python(f, "/usr/bin"))
		return "/usr/bin";
	return has_python(f, "/usr/local/bin") ? "/usr/local/bin" : NULL;
}

/* By the place alone: PREFIX/lib/python3.11/site-packages. */
static struct way way_of_place(struct kv_facts *f, const char *site)
{
	const char *lib = strstr(site, "/lib/python"), *lib64 = strstr(site, "/lib64/python"),
		   *home;
	struct way w = { NOWHERE, 0, NULL, true };
	const char *prefix;

	lib = lib ? lib : lib64;
	if (!lib || (!kv_streq(kv_basename(site), "site-packages") &&
		     !kv_streq(kv_basename(site), "dist-packages")))
		return w;
	prefix = kv_strndup(f->arena, site, (size_t)(lib - site));
	if (kv_streq(kv_basename(prefix), ".local")) {
		const char *off = kv_env_get(f->env, "PYTHONNOUSERSITE");

		if ((off && *off) || f->python.no_user_site)
			return w;
		home = kv_env_get(f->env, "HOME");
		w.rank = OF_USER;
		w.sure = home && kv_same_dir(f, kv_dirname(f->arena, prefix), home);
		w.bin = system_bin(f, "/usr", site);
		if (w.bin && python_of_site(f, site) &&
		    !kv_root_is_file(f->root, kv_join(f->arena, w.bin, python_of_site(f, site))))
			w.rank = NOWHERE;
	} else if (kv_streq(prefix, "/usr") || kv_streq(prefix, "/usr/local")) {
		w.bin = system_bin(f, prefix, site);
		w.rank = !w.bin ? NOWHERE : kv_streq(prefix, "/usr") ? OWN : LOCAL;
	} else if (has_python(f, kv_join(f->arena, prefix, "bin"))) {
		w.bin = kv_join(f->arena, prefix, "bin");
		w.rank = OWN;
	}
	return w;
}

static struct way way_to(struct kv_facts *f, const char *site)
{
	struct way w = way_of_place(f, site);

	if (on_pythonpath(f, site, &w))
		return w;
	for (size_t i = 0; w.rank == NOWHERE && i < f->scan->sites.n; i++) {
		struct way of = way_of_place(f, f->scan->sites.v[i]);

		if (of.rank == NOWHERE || !kv_site_adds(f, f->scan->sites.v[i], site))
			continue;
		w = of;
		w.rank = BY_PTH;
	}
	if (w.rank == NOWHERE && kv_site_code_names(f, site))
		return (struct way){ ON_PYTHONPATH, 0, NULL, false };
	return w;
}

/* ---- the choice ---- */

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

static struct way way_of(struct kv_facts *f, const struct kv_nixl *n)
{
	struct way w = { NOWHERE, 0, NULL, true };

	if (is_bare(n))
		return w;
	w = way_to(f, n->site);
	/* Without an __init__ it is imported where the whole path has no package of its name. */
	if (w.rank < PORTION && !kv_package_is_regular(f, n->site, n->module))
		w.rank = PORTION;
	return w;
}

/* The python whose path all packages are on; NULL where there are several. */
static const char *only_python(struct kv_facts *f, const struct way *ways)
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

static bool is_before(const struct way *a, const struct way *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

/* The first on the path of the python in bin (NULL: of none); NULL where it has none, or where one
 * that is not sure comes before. */
static const struct kv_nixl *first_of(struct kv_facts *f, const struct way *ways, const char *bin)
{
	const struct way none = { NOWHERE, 0, NULL, true }, *best = &none, *unsure = &none;

	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (is_bare(n) || !n->active ||
		    (ways[i].bin && (!bin || !kv_same_dir(f, ways[i].bin, bin) ||
				     is_other_version(f, bin, n->site))))
			continue;
		if (!ways[i].sure)
			unsure = is_before(&ways[i], unsure) ? &ways[i] : unsure;
		else if (is_before(&ways[i], best))
			best = &ways[i];
	}
	return best == &none || is_before(unsure, best) ? NULL : &f->nixls.v[best - ways];
}

/* The python below a virtual environment that takes its packages too; NULL. */
static const char *python_below(struct kv_facts *f, const char *bin)
{
	const char *cfg = kv_join(f->arena, kv_dirname(f->arena, bin), "pyvenv.cfg"), *home;
	struct kv_span s;

	if (kv_root_slurp(f->root, cfg, MAX_CFG, &s) < 0 ||
	    !strstr((const char *)s.p, "include-system-site-packages = true"))
		return NULL;
	home = kv_starts((const char *)s.p, "home = ") ? (const char *)s.p
						       : strstr((const char *)s.p, "\nhome = ");
	home = home ? strchr(home, '/') : NULL;
	return home ? kv_strndup(f->arena, home, strcspn(home, "\r\n")) : NULL;
}

/* What the python that the job runs imports; NULL where that is not known. */
static const struct kv_nixl *first_on_path(struct kv_facts *f, const struct way *ways)
{
	const char *named = f->python.path ? f->python.bin : python_of_path(f),
		   *bin = named ? named : only_python(f, ways);
	const struct kv_nixl *first = first_of(f, ways, bin);

	if (!first && named && python_below(f, named))
		first = first_of(f, ways, python_below(f, named));
	return first;
}

/* Copies that no process of this target imports while there is one that some do. */
static void leave_out_strays(struct kv_facts *f, const struct way *ways)
{
	bool any_package = false, any = false, native = has_native_user(f);

	for (size_t i = 0; i < f->nixls.n; i++) {
		any_package |= !is_bare(&f->nixls.v[i]) && ways[i].rank != NOWHERE;
		any |= is_bare(&f->nixls.v[i]) ? f->nixls.v[i].plugins.n > 0
					       : ways[i].rank != NOWHERE;
	}
	for (size_t i = 0; i < f->nixls.n; i++) {
		struct kv_nixl *n = &f->nixls.v[i];

		if (is_bare(n) ? (any_package && !native) || (any && !n->plugins.n)
			       : any && ways[i].rank == NOWHERE)
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

void kv_find_imported(struct kv_facts *f)
{
	const struct kv_nixl *first;
	struct way *ways;

	if (f->nixls.n < 2)
		return;
	ways = kv_alloc(f->arena, f->nixls.n * sizeof(*ways));
	for (size_t i = 0; i < f->nixls.n; i++)
		ways[i] = way_of(f, &f->nixls.v[i]);
	leave_out_strays(f, ways);
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
