/*
 * The repair by environment alone: a private directory of links in front of LD_LIBRARY_PATH, an
 * import hook for python's default, and the knobs of the frameworks (facts of each in
 * rules/pages/KV201.md).
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "launch/launch.h"
#include "launch/render.h"
#include "repair/planner.h"

extern const char kv_launch_sitecustomize_py[];

#define VLLM_ARGUMENT                                                                              \
	"--kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\","       \
	"\"kv_connector_extra_config\":{\"backends\":[\"%s\"]}}'"

struct link {
	const char *name, *target;
};

typedef KV_VEC(struct link) links;

/* The facts as they would be with the links in dir and dir in front of LD_LIBRARY_PATH. */
static const struct kv_facts *facts_with(const struct kv_facts *f, const char *dir,
					 const links *list)
{
	const char *old = kv_env_get(f->env, "LD_LIBRARY_PATH");
	struct kv_facts with = *f;
	struct kv_env *env = kv_new(f->arena, struct kv_env);
	size_t depth = kv_root_depth(f->root);
	const struct kv_facts *after = NULL;
	struct kv_stat st;
	bool is_new = kv_root_stat(f->root, dir, KV_NOFOLLOW, &st) == -ENOENT;
	kv_strv names = { 0 };

	for (size_t i = 0; i < f->env->pairs.n; i++)
		kv_env_put(f->arena, env, f->env->pairs.v[i]);
	kv_env_put(f->arena, env,
		   kv_strf(f->arena, "LD_LIBRARY_PATH=%s%s%s", dir, old && *old ? ":" : "",
			   old ? old : ""));
	with.env = env;
	for (size_t i = 0; i < list->n; i++) {
		kv_root_lay_link(f->root, kv_join(f->arena, dir, list->v[i].name),
				 list->v[i].target);
		kv_vec_push(f->arena, &names, kv_strdup(f->arena, list->v[i].name));
	}
	if (is_new)
		after = kv_facts_go_on(f, env, dir, &names);
	after = after ? after : kv_facts_again(&with);
	kv_root_pop(f->root, depth);
	kv_loader_refresh(f->loader);
	return after;
}

static void add_link(const struct kv_facts *f, links *list, const char *name, const char *target)
{
	kv_vec_push(f->arena, list, ((struct link){ name, target }));
}

static void link_fabric(const struct kv_facts *f, const struct kv_fabric *fab, links *list)
{
	add_link(f, list, "libfabric.so.1", fab->path);
	for (size_t i = 0; i < fab->companions.n; i++)
		add_link(f, list, fab->companions.v[i].name, fab->companions.v[i].path);
	if (kv_fabric_efa_dso(fab))
		add_link(f, list, "libefa-fi.so", kv_fabric_efa_dso(fab));
}

static void link_cudart(const struct kv_facts *f, const struct kv_facts *now, links *list)
{
	for (size_t i = 0; i < now->nixls.n; i++) {
		const struct kv_nixl *n = &now->nixls.v[i];
		const char *real =
			n->active && kv_lacks_cudart(now, n) ? kv_cudart_path(now, n) : NULL;

		if (real) {
			add_link(f, list, "libcudart.so", real);
			return;
		}
	}
}

/*
 * The links of the first candidate with which every active NIXL loads and has efa, and CUDA where
 * the job registers GPU memory; else of the one that comes nearest. NULL where none helps.
 */
static const struct kv_facts *choose_candidate(const struct kv_facts *f, const char *dir,
					       links *ret)
{
	unsigned best = kv_reach(f);
	bool found = false;

	for (size_t i = 0; i < f->fabrics.n; i++) {
		const struct kv_facts *now;
		links list = { 0 };

		/* The host's own libraries are not where the job is. */
		if (f->fabrics.v[i].blocked || f->fabrics.v[i].beyond)
			continue;
		link_fabric(f, &f->fabrics.v[i], &list);
		now = facts_with(f, dir, &list);
		if (kv_reach(now) <= best)
			continue;
		*ret = list;
		found = true;
		best = kv_reach(now);
		if (best == KV_REACH_WHOLE)
			return now;
	}
	/* What the model says of one ends where it looks at the next. */
	return found ? facts_with(f, dir, ret) : NULL;
}

/*
 * The links that make every active NIXL load, and what is lacking then; false where none do. What
 * loads is never refused: it may be meant as it is.
 */
static bool choose_links(const struct kv_facts *f, const char *dir, links *ret,
			 const char **ret_lack)
{
	const struct kv_facts *now = kv_needs_other_fabric(f) ? choose_candidate(f, dir, ret) : f;

	now = now ? now : f;
	if (kv_obstacle(now))
		return false;
	/* The name libcudart.so is the next link, or none of ours to make. */
	*ret_lack = kv_reach(now) < KV_REACH_WHOLE ? kv_lack(now) : NULL;
	link_cudart(f, now, ret);
	return true;
}

/* A user's own directory: made by us, nobody else's, no link. */
static int own_dir(const char *path, struct kv_err *err)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return kv_err(err, -errno, "%s: %s", path, strerror(errno));
	if (lstat(path, &st) < 0)
		return kv_err(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		return kv_err(err, -EPERM, "%s: is not a directory of this user's alone; remove it",
			      path);
	return 0;
}

int kv_env_base(struct kv_arena *a, const char **ret, struct kv_err *err)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	const char *path = run && run[0] == '/' && access(run, W_OK) == 0
				   ? kv_strf(a, "%s/kvpath", run)
				   : kv_strf(a, "/tmp/kvpath-%u", (unsigned)geteuid());
	int r = own_dir(path, err);

	if (r < 0)
		return kv_err(err, r, "%s (for links; XDG_RUNTIME_DIR names another place)",
			      kv_strdup(a, err->msg));
	*ret = path;
	return 0;
}

static bool has_text(const char *path, const char *text)
{
	_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char have[4096];
	size_t n;

	return fd >= 0 && kv_read_all(fd, have, sizeof(have), 0, &n) == 0 && n == strlen(text) &&
	       memcmp(have, text, n) == 0;
}

static int write_file(const char *path, const char *text, struct kv_err *err)
{
	_free_ char *temp = NULL;
	_close_ int fd = -EBADF;
	int r;

	if (has_text(path, text))
		return 0;
	/* Written aside and renamed: many tasks of a job start at once. */
	if (asprintf(&temp, "%s.%d", path, (int)getpid()) < 0)
		return -ENOMEM;
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : kv_write_all(fd, text, strlen(text));
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	return r < 0 ? kv_err(err, r, "%s: %s", path, strerror(-r)) : 0;
}

static int make_dir(const struct kv_facts *f, const char *dir, const links *list,
		    struct kv_err *err)
{
	const char *python = kv_join(f->arena, dir, "python");
	int r = own_dir(dir, err);

	if (r == 0)
		r = own_dir(python, err);
	for (size_t i = 0; r == 0 && i < list->n; i++) {
		const char *at = kv_join(f->arena, dir, list->v[i].name);

		if (symlink(list->v[i].target, at) < 0 && errno != EEXIST)
			r = kv_err(err, -errno, "%s: %s", at, strerror(errno));
	}
	return r < 0 ? r
		     : write_file(kv_join(f->arena, python, "sitecustomize.py"),
				  kv_launch_sitecustomize_py, err);
}

/* The directory's name tells its content: a second run finds it, another content gets another. */
static const char *name_dir(const struct kv_facts *f, const char *base, const links *list)
{
	const char *text = KVPATH_VERSION;
	char hex[KV_SHA256_HEX];

	for (size_t i = 0; i < list->n; i++)
		text = kv_strf(f->arena, "%s\n%s\n%s", text, list->v[i].name, list->v[i].target);
	kv_sha256_mem(text, strlen(text), hex);
	return kv_strf(f->arena, "%s/%.16s", base, hex);
}

static void put_before(const struct kv_facts *f, struct kv_env *env, const char *name,
		       const char *dir)
{
	const char *old = kv_env_get(f->env, name);

	kv_env_put(
		f->arena, env,
		kv_strf(f->arena, "%s=%s%s%s", name, dir, old && *old ? ":" : "", old ? old : ""));
}

void kv_env_knobs(struct kv_arena *a, const char *backend, struct kv_env *env)
{
	const char *const knobs[] = { "NIXL_BACKEND", "SGLANG_DISAGGREGATION_NIXL_BACKEND",
				      "TRTLLM_NIXL_KVCACHE_BACKEND", "LMCACHE_NIXL_BACKENDS",
				      "MX_NIXL_BACKEND" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(knobs); i++)
		kv_env_put(a, env, kv_strf(a, "%s=%s", knobs[i], backend));
	kv_env_put(a, env, kv_strf(a, "DYN_KVBM_NIXL_BACKEND_%s=true", backend));
}

/* Why: a question to all rules, which want all facts. What is wrong with the machine is none, nor
 * is the default (KV201), which the import hook mends. */
static const char *reason(const struct kv_facts *f)
{
	const struct kv_facts *whole = kv_facts_whole(f);
	struct kv_findings fi;
	const struct kv_finding *d;
	const char *obstacle;

	kv_rules_run(whole, &fi);
	kv_vec_each (d, &fi.list)
		if (d->severity == KV_ERROR && !d->of_host && !kv_streq(d->id, "KV201"))
			return d->detail;
	obstacle = kv_obstacle(whole);
	return obstacle ? obstacle : "the plugin does not load";
}

int kv_env_make(const struct kv_facts *f, const char *base, struct kv_env_repair *ret,
		struct kv_err *err)
{
	links list = { 0 };
	const char *dir;
	int r;

	*ret = (struct kv_env_repair){ 0 };
	/* Where there is no NIXL there is nothing to repair; the knobs do no harm. */
	if (f->nixls.n && !choose_links(f, kv_join(f->arena, base, "trial"), &list, &ret->lack)) {
		ret->reason = reason(f);
		return 0;
	}
	dir = name_dir(f, base, &list);
	r = make_dir(f, dir, &list, err);
	if (r < 0)
		return r;
	ret->dir = dir;
	if (list.n)
		put_before(f, &ret->set, "LD_LIBRARY_PATH", dir);
	put_before(f, &ret->set, "PYTHONPATH", kv_join(f->arena, dir, "python"));
	kv_env_put(f->arena, &ret->set, kv_strf(f->arena, "KVPATH_BACKEND=%s", f->backend));
	kv_env_knobs(f->arena, f->backend, &ret->set);
	return 0;
}

static void put_export(FILE *out, struct kv_arena *a, const char *pair)
{
	fprintf(out, "export %s=%s\n", kv_pair_name(a, pair),
		kv_shell_word(a, kv_pair_value(pair)));
}

/* The facts with the directory of a candidate in front; NULL where it can not be. */
static const struct kv_facts *facts_with_fabric(const struct kv_facts *f,
						const struct kv_fabric *fab, const char *dir)
{
	const struct kv_facts *ret;
	size_t depth = kv_root_depth(f->root);
	links none = { 0 };

	if (fab->blocked)
		return NULL;
	/* A host's directory must be mounted at its own place for the job. */
	if (fab->source == KV_SOURCE_FABRIC && kv_root_bind(f->root, dir, dir, NULL) < 0)
		return NULL;
	ret = facts_with(f, dir, &none);
	kv_root_pop(f->root, depth);
	return ret;
}

/*
 * The directory of the libfabric that brings the plugin farthest when it comes first, NULL where
 * none is needed; and what is lacking then. False where none helps.
 */
static bool choose_dir(const struct kv_facts *f, const char **ret, const char **ret_lack)
{
	unsigned best = kv_reach(f);

	*ret = NULL;
	*ret_lack = kv_lack(f);
	if (best == KV_REACH_WHOLE)
		return true;
	for (size_t i = 0; best < KV_REACH_WHOLE && i < f->fabrics.n; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];
		const char *dir = kv_dirname(f->arena, fab->path);
		const struct kv_facts *now = facts_with_fabric(f, fab, dir);

		if (!now || kv_reach(now) <= best)
			continue;
		best = kv_reach(now);
		*ret = dir;
		*ret_lack = kv_lack(now);
	}
	return *ret != NULL;
}

/* Why no directory was found. */
static void tell_no_dir(const struct kv_facts *f)
{
	if (kv_obstacle(f))
		fprintf(stderr, "kvpath: no environment makes %s load here: see kvpath check\n",
			f->backend);
	else
		fprintf(stderr, "kvpath: no environment brings %s on the fabric here: %s\n",
			f->backend, kv_printable(f->arena, kv_lack(f)));
}

int kv_env_print(FILE *out, const struct kv_facts *f)
{
	struct kv_env env = { 0 };
	const char *dir, *lack;

	if (!choose_dir(f, &dir, &lack)) {
		tell_no_dir(f);
		return 1;
	}
	if (dir) {
		if (!kv_root_is_dir(f->root, dir))
			fprintf(out, "# mount %s at the same place in the job\n",
				kv_printable(f->arena, dir));
		put_before(f, &env, "LD_LIBRARY_PATH", dir);
	}
	kv_env_knobs(f->arena, f->backend, &env);
	for (size_t i = 0; i < env.pairs.n; i++)
		put_export(out, f->arena, env.pairs.v[i]);
	fprintf(out, "# vLLM takes an argument instead: " VLLM_ARGUMENT "\n", f->backend);
	fputs("# python's default is not the environment's to set: start the job with kvpath run "
	      "-- CMD, or kvpath fix\n",
	      out);
	/* Who evaluates the text sees no comment in it. */
	if (lack)
		fprintf(stderr, "kvpath: with these variables, %s\n", kv_printable(f->arena, lack));
	return 0;
}

static int print(FILE *out, const struct kv_render *r)
{
	return kv_env_print(out, r->facts);
}

const struct kv_writer kv_writer_env = {
	.name = "env",
	.summary = "the variables that a job exports",
	.needs = KV_NEEDS_FACTS,
	.print = print,
};
