/* Opening a target: what it is, its mounts, its environment, the places to borrow from. */
#include <limits.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "root/notes.h"

static void note_answers(const struct kv_opts *o, struct kv_root *r, struct kv_notes **ret)
{
	if (!o->record || !r)
		return;
	*ret = kv_new(o->arena, struct kv_notes);
	kv_root_note(r, *ret);
}

/* The recorded target takes the place of the recording. */
static int open_recording(const struct kv_opts *o, struct kv_target *ret)
{
	struct kv_recording *r = kv_new(o->arena, struct kv_recording);
	struct kv_err err = { 0 };

	if (o->command != &kv_cmd_check && o->command != &kv_cmd_why)
		return kv_fail(KV_STATUS_USAGE,
			       "%s: a recording, which only check and why can look at", ret->path);
	if (kv_recording_open(o->arena, ret->root, r, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s: %s", ret->path, err.msg);
	if (!kv_streq(r->version, KVPATH_VERSION))
		fprintf(stderr,
			"kvpath: %s was recorded by kvpath %s; what %s would ask besides counts as "
			"absent, or is \"cannot tell\"\n",
			ret->path, kv_printable(o->arena, r->version), KVPATH_VERSION);
	ret->recording = r;
	ret->files = ret->root;
	ret->root = r->root;
	ret->cpu_level = r->cpu_level;
	ret->image |= r->image;
	ret->backend = o->backend_given ? o->backend : r->backend;
	ret->vram = o->mem_given ? o->vram : r->vram;
	return KV_STATUS_OK;
}

static int open_root(const struct kv_opts *o, const char *path, struct kv_target *ret)
{
	struct kv_err err = { 0 };
	struct stat st;
	kv_dirents list = { 0 };
	int e;

	if (stat(path, &st) < 0)
		return kv_fail(errno == EACCES ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s: %s",
			       path, strerror(errno));
	if (kv_root_open(o->arena, path, &ret->root, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	if (!kv_root_is_live(ret->root) && kv_recording_is(ret->root)) {
		e = open_recording(o, ret);
		if (e != KV_STATUS_OK)
			return e;
	} else if (kv_root_format(ret->root) &&
		   kv_streq(kv_root_format(ret->root), "recorded host")) {
		return kv_fail(KV_STATUS_USAGE,
			       "%s: a recorded host is no target: check --sysroot %s", path, path);
	}
	note_answers(o, ret->root, &ret->notes);
	e = kv_root_list(ret->root, "/", &list);
	if (e < 0 && kv_target_intact(ret) != KV_STATUS_OK)
		return KV_STATUS_UNKNOWN;
	if (e < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s: %s", path, strerror(-e));
	for (size_t i = 0; i < o->mounts.n; i++)
		if (kv_root_bind(ret->root, o->mounts.v[i].host, o->mounts.v[i].guest, &err) < 0)
			return kv_fail(KV_STATUS_USAGE, "--mount: %s", err.msg);
	return KV_STATUS_OK;
}

static void add_dir(const struct kv_opts *o, const char *dir, bool is_system, struct kv_target *ret)
{
	struct kv_source_dir *s = kv_vec_add(o->arena, &ret->sources);

	s->host = dir;
	s->is_system = is_system;
	if (kv_root_open(o->arena, dir, &s->root, NULL) < 0)
		s->root = NULL;
	note_answers(o, s->root, &s->notes);
}

/* The system whose /opt/amazon/efa the path lies in, this one or one mounted elsewhere; NULL. */
static const char *system_of(struct kv_arena *a, const char *path)
{
	const char *at = strstr(path, KV_HOST_EFA);
	const char *rest = at ? at + strlen(KV_HOST_EFA) : "-";

	if (*rest && *rest != '/')
		return NULL;
	return at == path ? "/" : kv_strndup(a, path, (size_t)(at - path));
}

static void add_source(const struct kv_opts *o, const char *dir, struct kv_target *ret)
{
	const char *system = system_of(o->arena, dir);
	char real[PATH_MAX];

	add_dir(o, dir, false, ret);
	/* As it is spelled, for /opt/amazon may be a link to a shared place. */
	if (!system && realpath(dir, real))
		system = system_of(o->arena, real);
	if (system)
		add_dir(o, system, true, ret);
}

static int find_sources(const struct kv_opts *o, struct kv_target *ret)
{
	struct stat st;

	if (ret->recording && !o->fabrics.n) {
		ret->sources = ret->recording->sources;
		for (size_t i = 0; i < ret->sources.n; i++)
			note_answers(o, ret->sources.v[i].root, &ret->sources.v[i].notes);
		return KV_STATUS_OK;
	}

	for (size_t i = 0; i < o->fabrics.n; i++) {
		if (stat(o->fabrics.v[i], &st) < 0)
			return kv_fail(KV_STATUS_USAGE, "--fabric %s: %s", o->fabrics.v[i],
				       strerror(errno));
		if (!S_ISDIR(st.st_mode))
			return kv_fail(KV_STATUS_USAGE, "--fabric %s: not a directory",
				       o->fabrics.v[i]);
		add_source(o, o->fabrics.v[i], ret);
	}
	/* A live root's own copy is found by the walk. */
	if (!o->fabrics.n && !kv_root_is_live(ret->root) && stat(KV_HOST_EFA, &st) == 0 &&
	    S_ISDIR(st.st_mode))
		add_source(o, KV_HOST_EFA, ret);
	return KV_STATUS_OK;
}

static int open_sysroot(const struct kv_opts *o, const char *path, struct kv_sysroot **ret)
{
	struct kv_err err = { 0 };
	int e = kv_sysroot_open(o->arena, path, ret, &err);

	if (e < 0)
		return kv_fail(e == -ENOENT || e == -ENOTSUP || e == -EPROTO ? KV_STATUS_USAGE
									     : KV_STATUS_UNKNOWN,
			       "--sysroot %s", err.msg);
	return KV_STATUS_OK;
}

static void add_env(const struct kv_opts *o, const struct kv_env *from, struct kv_env *ret)
{
	for (size_t i = 0; from && i < from->pairs.n; i++)
		kv_env_put(o->arena, ret, from->pairs.v[i]);
}

/* The host that a recorded target was on, and the environment of its job. */
static int open_recorded_host(const struct kv_opts *o, struct kv_target *ret)
{
	struct kv_sysroot *s;
	int r = open_sysroot(o, ret->path, &s);

	if (r != KV_STATUS_OK)
		return r;
	add_env(o, kv_sysroot_env(s), &ret->env);
	if (!o->sysroot && kv_sysroot_has_host(s))
		ret->sysroot = s;
	else
		kv_sysroot_close(s);
	return KV_STATUS_OK;
}

/* A live target's host is this machine, unless the caller or --sysroot says otherwise. */
static int open_host(const struct kv_opts *o, struct kv_target *ret)
{
	int r = ret->recording ? open_recorded_host(o, ret) : KV_STATUS_OK;

	if (r != KV_STATUS_OK)
		return r;
	if (!o->sysroot && (ret->recording || !kv_root_is_live(ret->root) || o->image))
		return KV_STATUS_OK;
	r = open_sysroot(o, o->sysroot, &ret->sysroot);
	if (r == KV_STATUS_OK && !kv_sysroot_has_host(ret->sysroot))
		return kv_fail(KV_STATUS_USAGE,
			       "--sysroot %s: a recording of a target that was on no host",
			       o->sysroot);
	return r;
}

/*
 * What is in the job's environment beside the target's own: the image's configuration, that of the
 * recording or of this process where the target is live, and --env.
 */
static void gather_env(const struct kv_opts *o, struct kv_target *ret)
{
	const struct kv_env *recorded = ret->sysroot ? kv_sysroot_env(ret->sysroot) : NULL;
	struct kv_env own = { 0 };

	if (ret->recording) {
		/* All of it is recorded as it was in effect. */
		if (o->sysroot)
			add_env(o, recorded, &ret->env);
		add_env(o, &o->env, &ret->env);
		return;
	}
	add_env(o, kv_root_env(ret->root), &own);
	add_env(o, recorded, &own);
	for (char **e = environ; !recorded && kv_root_is_live(ret->root) && *e; e++)
		kv_env_put(o->arena, &own, *e);
	add_env(o, &o->env, &own);
	kv_target_env(ret->root, &own, &ret->env);
}

int kv_target_open(const struct kv_opts *o, const char *path, struct kv_target *ret)
{
	int r;

	*ret = (struct kv_target){ .path = path ? path : "/",
				   .backend = o->backend,
				   .vram = o->vram,
				   .image = o->image,
				   .cpu_level = kv_cpu_level() };
	r = open_root(o, ret->path, ret);
	if (r == KV_STATUS_OK)
		r = find_sources(o, ret);
	if (r == KV_STATUS_OK)
		r = open_host(o, ret);
	if (r != KV_STATUS_OK)
		return r;
	gather_env(o, ret);
	ret->cwd = ret->recording ? ret->recording->cwd : kv_root_cwd(ret->root);
	return KV_STATUS_OK;
}

int kv_target_open_arg(const struct kv_opts *o, struct kv_target *ret)
{
	if (o->args.n > 1)
		return kv_fail(KV_STATUS_USAGE, "%s: one target at a time, not also %s",
			       o->command->name, o->args.v[1]);
	return kv_target_open(o, o->args.n ? o->args.v[0] : NULL, ret);
}

int kv_target_needs_dir(const struct kv_target *t, const char *command)
{
	const char *format = kv_root_format(t->root);

	if (!format)
		return KV_STATUS_OK;
	return kv_fail(
		KV_STATUS_UNKNOWN,
		"%s: %s images are only read: %s needs a directory (unpack it; fix --dry-run "
		"shows what a repair would do, bake writes a repaired .sqsh)",
		t->path, format, command);
}

int kv_target_intact(const struct kv_target *t)
{
	const char *fault = kv_root_fault(t->root);

	if (fault)
		return kv_fail(KV_STATUS_UNKNOWN, "%s: %s", t->path, fault);
	fault = t->sysroot ? kv_root_fault(kv_sysroot_files(t->sysroot)) : NULL;
	return fault ? kv_fail(KV_STATUS_UNKNOWN, "--sysroot %s: %s", kv_sysroot_path(t->sysroot),
			       fault)
		     : KV_STATUS_OK;
}

void kv_target_leave(struct kv_target *t)
{
	struct kv_root *host = t->sysroot ? kv_sysroot_files(t->sysroot) : NULL;

	if (KV_SANITIZED || t->files || (t->root && kv_root_format(t->root)) ||
	    (host && kv_root_format(host)))
		kv_target_close(t);
}

void kv_target_close(struct kv_target *t)
{
	kv_root_close(t->root);
	for (size_t i = 0; i < t->sources.n; i++)
		kv_root_close(t->sources.v[i].root);
	kv_root_close(t->files);
	kv_sysroot_close(t->sysroot);
}

static struct kv_facts *collect(struct kv_target *t, bool brief)
{
	char cwd[PATH_MAX];
	struct kv_inspect in = {
		.root = t->root,
		.path = t->path,
		.env = &t->env,
		.cwd = t->cwd,
		.argv = t->argv,
		.backend = t->backend,
		.vram = t->vram,
		.image = t->image,
		.brief = brief,
		.cpu_level = t->cpu_level,
		.sources = &t->sources,
		.sysroot = t->sysroot,
	};

	/* `run` starts its command where it is. */
	if (brief && kv_root_is_live(t->root) && getcwd(cwd, sizeof(cwd)) && cwd[0] == '/')
		in.cwd = kv_strdup(kv_root_arena(t->root), cwd);
	kv_scan(t->root, &t->scan);
	/* Of a recorded walk only what it led to is there. */
	if (t->recording) {
		t->scan.stopped = t->recording->stopped;
		t->scan.stopped_at = t->recording->stopped_at;
	}
	return kv_facts_collect(&in, &t->scan);
}

struct kv_facts *kv_target_facts(struct kv_target *t)
{
	return collect(t, /* brief= */ false);
}

struct kv_facts *kv_target_brief(struct kv_target *t)
{
	return collect(t, /* brief= */ true);
}

void kv_target_lend(const struct kv_opts *o, struct kv_target *t, const struct kv_nixl *n)
{
	const char *before = kv_env_get(&t->env, "LD_PRELOAD"), *list = "";

	if (!n || n->alone.loads == KV_LOADS_YES)
		return;
	for (size_t i = 0; i < n->lent.n; i++) {
		/* ld.so takes both for the end of a name. */
		if (strpbrk(n->lent.v[i], ": "))
			continue;
		list = kv_strf(o->arena, "%s%s%s", list, *list ? ":" : "", n->lent.v[i]);
		if (!o->quiet && !o->json)
			fprintf(stderr, "kvpath: %s is mapped first, as importing torch does\n",
				kv_printable(o->arena, n->lent.v[i]));
	}
	if (*list)
		kv_env_put(o->arena, &t->env,
			   kv_strf(o->arena, "LD_PRELOAD=%s%s%s", list, before ? ":" : "",
				   before ? before : ""));
}

const char *kv_self_path(struct kv_arena *a)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));

	return n > 0 && (size_t)n < sizeof(self) ? kv_strndup(a, self, (size_t)n) : "kvpath";
}

const char *kv_probe_path(struct kv_arena *a)
{
	const char *env = getenv("KVPATH_PROBE"), *self = kv_self_path(a);

	if (env && *env)
		return env;
	return self[0] == '/' ? kv_strf(a, "%s/../libexec/kvpath/kvpath-probe", kv_dirname(a, self))
			      : "kvpath-probe";
}
