/*
 * How a directory of packages comes on a python's path, as site.py makes it: PYTHONPATH, the user's
 * own directory, its prefix, each followed by what its .pth files add. What no python that is seen
 * has on its path may still be imported: a job can name it.
 */
#include "inspect/internal.h"

#define MAX_CFG     ((size_t)64 << 10)
#define MAX_SITE_PY ((size_t)1 << 20)
#define SECOND      (1u << 30)

bool kv_same_dir(struct kv_facts *f, const char *a, const char *b)
{
	const char *x, *y;

	return kv_root_real(f->root, a, 0, &x) == 0 && kv_root_real(f->root, b, 0, &y) == 0 &&
	       kv_streq(x, y);
}

bool kv_has_python(struct kv_facts *f, const char *bin)
{
	return kv_root_is_file(f->root, kv_join(f->arena, bin, "python3")) ||
	       kv_root_is_file(f->root, kv_join(f->arena, bin, "python"));
}

/* One that may be meant by a relative part is not sure. */
static bool on_pythonpath(struct kv_facts *f, const char *site, struct kv_way *ret)
{
	struct kv_pythonpath p = kv_import_path(f);

	while (kv_pythonpath_next(f, &p)) {
		if (p.dir ? !kv_same_dir(f, p.dir, site) : !kv_pythonpath_may_be(&p, site))
			continue;
		*ret = (struct kv_way){ KV_ON_PYTHONPATH, p.place, NULL, p.sure, NULL };
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
bool kv_is_other_version(struct kv_facts *f, const char *bin, const char *site)
{
	const char *want = python_of_site(f, site), *real;

	if (want && f->python.version && kv_same_dir(f, bin, f->python.bin))
		return !kv_streq(want + strlen("python"), f->python.version);
	return want && !kv_root_is_file(f->root, kv_join(f->arena, bin, want)) &&
	       kv_root_real(f->root, kv_join(f->arena, bin, "python3"), 0, &real) == 0 &&
	       kv_starts(kv_basename(real), "python3.") && !kv_streq(kv_basename(real), want);
}

const char *kv_prefix_of_site(struct kv_facts *f, const char *site)
{
	const char *lib = strstr(site, "/lib/python");

	lib = lib ? lib : strstr(site, "/lib64/python");
	if (!lib || (!kv_streq(kv_basename(site), "site-packages") &&
		     !kv_streq(kv_basename(site), "dist-packages")))
		return NULL;
	return kv_strndup(f->arena, site, (size_t)(lib - site));
}

/* Debian's python looks in dist-packages, and in nothing else of /usr and /usr/local. */
static bool is_debians(struct kv_facts *f, const char *site)
{
	const char *python = python_of_site(f, site);
	struct kv_span s;

	return python &&
	       kv_root_slurp(f->root, kv_strf(f->arena, "/usr/lib/%s/site.py", python), MAX_SITE_PY,
			     &s) == 0 &&
	       kv_span_find(s, 0, "dist-packages", 13) < s.n;
}

/* The system's python serves /usr/local too, unless that has one of its own; Debian's
 * dist-packages are the system's in any case. */
static const char *system_bin(struct kv_facts *f, const char *prefix, const char *site)
{
	if (kv_streq(prefix, "/usr/local") && kv_streq(kv_basename(site), "site-packages") &&
	    kv_has_python(f, "/usr/local/bin"))
		return "/usr/local/bin";
	if (kv_has_python(f, "/usr/bin"))
		return "/usr/bin";
	return kv_has_python(f, "/usr/local/bin") ? "/usr/local/bin" : NULL;
}

/* Of two directories of one prefix: lib64 comes first where python's library lies there, and
 * Debian's for all versions before that for one. */
static bool is_second(struct kv_facts *f, const char *prefix, const char *site)
{
	const char *python = python_of_site(f, site);

	if (kv_streq(kv_basename(site), "dist-packages"))
		return kv_streq(prefix, "/usr") && python;
	return python && strstr(site, "/lib/python") &&
	       kv_root_is_file(f->root, kv_strf(f->arena, "/usr/lib64/%s/os.py", python));
}

static struct kv_way way_of_system(struct kv_facts *f, const char *prefix, const char *site)
{
	bool is_usr = kv_streq(prefix, "/usr");
	struct kv_way w = { is_usr ? KV_OWN : KV_LOCAL, 0, system_bin(f, prefix, site), true,
			    NULL };

	if (!w.bin)
		return (struct kv_way){ KV_NOWHERE, 0, NULL, true, "no python is in /usr/bin" };
	if (kv_streq(w.bin, "/usr/bin") && kv_streq(kv_basename(site), "site-packages") &&
	    is_debians(f, site))
		return (struct kv_way){ KV_NOWHERE, 0, NULL, true,
					"Debian's python looks in dist-packages there" };
	if (is_second(f, prefix, site))
		w.place = SECOND;
	return w;
}

/* Whether some python of this version is there. */
static bool is_version_there(struct kv_facts *f, const char *python)
{
	if (kv_root_is_file(f->root, kv_join(f->arena, "/usr/bin", python)) ||
	    kv_root_is_file(f->root, kv_join(f->arena, "/usr/local/bin", python)))
		return true;
	for (size_t i = 0; i < f->scan->sites.n; i++) {
		const char *prefix = kv_prefix_of_site(f, f->scan->sites.v[i]);

		if (prefix &&
		    kv_root_is_file(f->root, kv_strf(f->arena, "%s/bin/%s", prefix, python)))
			return true;
	}
	return false;
}

/* Set to nothing it is as unset. */
static const char *user_base(struct kv_facts *f)
{
	const char *base = kv_env_get(f->env, "PYTHONUSERBASE");

	return base && *base ? base : NULL;
}

/* Below a home directory, or where PYTHONUSERBASE says; any python of the version takes it. */
static struct kv_way way_of_user(struct kv_facts *f, const char *prefix, const char *site)
{
	const char *home = kv_env_get(f->env, "HOME"),
		   *off = kv_env_get(f->env, "PYTHONNOUSERSITE"), *base = user_base(f),
		   *python = python_of_site(f, site);
	struct kv_way w = { KV_OF_USER, 0, NULL, true, NULL };

	if (f->python.no_user_site)
		w = (struct kv_way){ KV_NOWHERE, 0, NULL, true,
				     "an option of python turns it off" };
	else if (off && *off)
		w = (struct kv_way){ KV_NOWHERE, 0, NULL, true, "PYTHONNOUSERSITE is set" };
	else if (base && !kv_same_dir(f, base, prefix))
		w = (struct kv_way){ KV_NOWHERE, 0, NULL, true,
				     "PYTHONUSERBASE names another directory" };
	else if (python && !is_version_there(f, python))
		w = (struct kv_way){ KV_NOWHERE, 0, NULL, true,
				     kv_strf(f->arena, "there is no %s", python) };
	else if (!base && !(home && *home == '/'))
		w.sure = false;
	else if (!base && !kv_same_dir(f, kv_dirname(f->arena, prefix), home))
		w = (struct kv_way){ KV_NOWHERE, 0, NULL, true,
				     kv_strf(f->arena, "HOME is %s", home) };
	if (w.rank == KV_OF_USER && python &&
	    kv_root_is_file(f->root, kv_join(f->arena, "/usr/bin", python)))
		w.bin = system_bin(f, "/usr", site);
	return w;
}

/* By the place alone: PREFIX/lib/python3.11/site-packages. */
static struct kv_way way_of_place(struct kv_facts *f, const char *site)
{
	const char *prefix = kv_prefix_of_site(f, site), *base = user_base(f), *bin;

	if (!prefix)
		return (struct kv_way){ KV_NOWHERE, 0, NULL, true, NULL };
	if (kv_streq(kv_basename(prefix), ".local") || (base && kv_same_dir(f, base, prefix)))
		return way_of_user(f, prefix, site);
	if (kv_streq(prefix, "/usr") || kv_streq(prefix, "/usr/local"))
		return way_of_system(f, prefix, site);
	bin = kv_join(f->arena, prefix, "bin");
	if (!kv_has_python(f, bin))
		return (struct kv_way){ KV_NOWHERE, 0, NULL, true,
					kv_strf(f->arena, "%s has no python", bin) };
	if (kv_is_other_version(f, bin, site))
		return (struct kv_way){ KV_NOWHERE, 0, NULL, true,
					kv_strf(f->arena, "the python in %s is of another version",
						bin) };
	return (struct kv_way){ KV_OWN, 0, bin, true, NULL };
}

struct kv_way kv_way_to(struct kv_facts *f, const char *site)
{
	struct kv_way w = way_of_place(f, site);

	if (on_pythonpath(f, site, &w))
		return w;
	for (size_t i = 0; w.rank == KV_NOWHERE && i < f->scan->sites.n; i++) {
		struct kv_way of = way_of_place(f, f->scan->sites.v[i]);
		unsigned place = of.rank == KV_NOWHERE
					 ? 0
					 : kv_site_adds(f, f->scan->sites.v[i], site, &of.sure);

		of.place += place;
		w = place ? of : w;
	}
	if (w.rank == KV_NOWHERE && kv_site_code_names(f, site))
		return (struct kv_way){ KV_ON_PYTHONPATH, 0, NULL, false, NULL };
	return w;
}

/* The python below a virtual environment that takes its packages too; NULL. */
const char *kv_python_below(struct kv_facts *f, const char *bin)
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
