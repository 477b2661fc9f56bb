/* Collecting the facts of a target, in one pass from the walk's result. */
#include "inspect/internal.h"

#define MAX_TEXT ((size_t)1 << 20)

void kv_elf_versions_of(struct kv_arena *a, const struct kv_elf *e, const char *file, kv_strv *ret)
{
	bool is_same = false;

	for (size_t i = 0; i < e->verneeds.n; i++) {
		const struct kv_elf_version *v = &e->verneeds.v[i];

		/* The needs of one file stand together and share its name. */
		if (!i || v->file != v[-1].file)
			is_same = kv_streq(v->file, file);
		if (is_same)
			kv_vec_push(a, ret, kv_strdup(a, v->name));
	}
}

/* K=V lines; a value may stand in double quotes, as pam_env allows. */
static void add_lines(struct kv_arena *a, const char *text, struct kv_env *ret)
{
	while (*text) {
		size_t n = strcspn(text, "\n"), len = n;
		const char *eq = memchr(text, '=', n);

		if (len && text[len - 1] == '\r')
			len--;
		if (eq && text[0] != '#') {
			size_t v = (size_t)(eq + 1 - text);

			if (len - v >= 2 && text[v] == '"' && text[len - 1] == '"')
				kv_env_put(a, ret,
					   kv_strf(a, "%.*s%.*s", (int)v, text, (int)(len - v - 2),
						   text + v + 1));
			else
				kv_env_put(a, ret, kv_strndup(a, text, len));
		}
		text += n + (text[n] == '\n');
	}
}

void kv_target_env(struct kv_root *r, const struct kv_env *own, struct kv_env *ret)
{
	struct kv_arena *a = kv_root_arena(r);
	struct kv_span s;

	*ret = (struct kv_env){ 0 };
	if (!kv_root_is_live(r) && kv_root_slurp(r, "/etc/environment", MAX_TEXT, &s) == 0)
		add_lines(a, (const char *)s.p, ret);
	for (size_t i = 0; i < own->pairs.n; i++)
		kv_env_put(a, ret, own->pairs.v[i]);
}

static const char *os_release(struct kv_facts *f)
{
	struct kv_env os = { 0 };
	struct kv_span s;
	const char *id, *version;

	if (kv_root_slurp(f->root, "/etc/os-release", MAX_TEXT, &s) < 0 &&
	    kv_root_slurp(f->root, "/usr/lib/os-release", MAX_TEXT, &s) < 0)
		return "unknown";
	add_lines(f->arena, (const char *)s.p, &os);
	id = kv_env_get(&os, "ID");
	version = kv_env_get(&os, "VERSION_ID");
	return kv_strf(f->arena, "%s%s%s", id ? id : "unknown", version ? " " : "",
		       version ? version : "");
}

static const char *machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_X86_64:
		return "x86_64";
	case EM_AARCH64:
		return "aarch64";
	case EM_386:
		return "i386";
	case EM_RISCV:
		return "riscv64";
	case EM_PPC64:
		return "ppc64le";
	case EM_S390:
		return "s390x";
	default:
		return "unknown";
	}
}

void kv_root_identify(struct kv_root *r, struct kv_elf_id *ret)
{
	static const char *const programs[] = { "/bin/sh",
						"/usr/bin/env",
						"/bin/busybox",
						"/usr/bin/python3",
						"/lib64/ld-linux-x86-64.so.2",
						"/lib/ld-linux-aarch64.so.1" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(programs); i++)
		if (kv_elf_identify(r, programs[i], ret))
			return;
	*ret = (struct kv_elf_id){ .machine = EM_NONE, .is64 = true };
}

/* The machine that the target is for: that of a program that every system has, else of a libnixl.
 * Not the other way round: a NIXL for another machine may lie about. */
static struct kv_loader *make_loader(struct kv_root *r, const struct kv_scan *scan, unsigned cpu)
{
	struct kv_elf_id id, found;

	kv_root_identify(r, &id);
	for (size_t i = 0; i < scan->libnixls.n && id.machine == EM_NONE; i++)
		if (kv_elf_identify(r, scan->libnixls.v[i], &found))
			id = found;
	return kv_loader_new(r, id.machine, id.is64, id.be, cpu);
}

static void describe(struct kv_facts *f)
{
	const struct kv_ldso *so = kv_loader_ldso(f->loader);

	f->arch = machine_name(kv_loader_machine(f->loader));
	f->os = f->brief ? "" : os_release(f);
	if (so->version)
		f->libc = kv_strf(f->arena, "glibc 2.%u", so->version);
	else
		f->libc = so->is_glibc ? "glibc" : "unknown";
}

static struct kv_facts *collect(struct kv_facts *f, const kv_source_dirs *sources, bool again)
{
	describe(f);
	kv_find_sources(f, sources);
	/* Of a brief look the layers only add links to what is known. */
	if (!f->brief || !again)
		kv_find_fabrics(f);
	kv_find_config(f);
	kv_find_nixls(f);
	if (!f->brief)
		kv_find_frameworks(f);
	kv_find_imported(f);
	if (f->brief)
		return f;
	kv_find_needs(f);
	kv_find_orphans(f);
	/* Both MLNX_OFED and DOCA's packages put it there, and nothing else does. */
	if (kv_root_is_file(f->root, "/usr/bin/ofed_info"))
		f->mofed = "/usr/bin/ofed_info";
	return f;
}

struct kv_facts *kv_facts_collect(const struct kv_inspect *in, const struct kv_scan *scan)
{
	struct kv_facts *f = kv_new(kv_root_arena(in->root), struct kv_facts);

	f->arena = kv_root_arena(in->root);
	f->root = in->root;
	f->scan = scan;
	f->env = in->env;
	f->path = in->path;
	f->cwd = in->cwd;
	f->backend = in->backend;
	f->vram = in->vram;
	f->live = kv_root_is_live(in->root) && !in->image;
	f->brief = in->brief;
	f->sysroot = in->sysroot;
	if (in->sysroot && !in->brief)
		f->host = kv_host_collect(in->sysroot);
	f->loader = make_loader(in->root, scan, in->cpu_level);
	if (f->cwd)
		kv_loader_start_in(f->loader, f->cwd);
	if (in->argv)
		kv_read_command(f, in->argv);
	else if (!in->brief) /* python -m would import from there; a script of its own would not */
		f->python.first = f->cwd;
	if (!f->python.path)
		kv_read_path(f);
	return collect(f, in->sources, /* again= */ false);
}

/* What stays as it was when the target is looked at again. */
static struct kv_facts *begin_again(const struct kv_facts *old)
{
	struct kv_facts *f = kv_new(old->arena, struct kv_facts);

	*f = (struct kv_facts){
		.arena = old->arena,
		.root = old->root,
		.loader = old->loader,
		.scan = old->scan,
		.env = old->env,
		.path = old->path,
		.cwd = old->cwd,
		.python = old->python,
		.backend = old->backend,
		.vram = old->vram,
		.live = old->live,
		.brief = old->brief,
		.sysroot = old->sysroot,
		.host = old->host,
	};
	for (size_t i = 0; i < old->fabrics.n; i++)
		if (old->brief || old->fabrics.v[i].source == KV_SOURCE_FABRIC)
			kv_vec_push(f->arena, &f->fabrics, old->fabrics.v[i]);
	return f;
}

struct kv_facts *kv_facts_again(const struct kv_facts *old)
{
	struct kv_facts *f = begin_again(old);

	kv_loader_refresh(f->loader);
	return collect(f, NULL, /* again= */ true);
}

const struct kv_facts *kv_facts_whole(const struct kv_facts *f)
{
	struct kv_facts whole = *f;

	if (!f->brief)
		return f;
	whole.brief = false;
	whole.host = f->sysroot ? kv_host_collect(f->sysroot) : NULL;
	return kv_facts_again(&whole);
}

static bool go_on(struct kv_facts *f, const struct kv_nixl *old, const char *path,
		  const kv_strv *names)
{
	struct kv_nixl *n;
	struct kv_plugin *p;

	if (old->start.loads != KV_LOADS_YES ||
	    !kv_process_library_path(old->proc, &old->imported, path, names))
		return false;
	n = kv_vec_add(f->arena, &f->nixls);
	*n = *old;
	n->plugins = (kv_plugins){ 0 };
	kv_vec_each (p, &old->plugins) {
		kv_vec_push(f->arena, &n->plugins, *p);
		n->plugins.v[n->plugins.n - 1].load = (struct kv_load){ 0 };
	}
	n->stack = (struct kv_stack){ 0 };
	n->active = true;
	kv_load_plugins(f, n);
	n->imported = old->imported;
	kv_process_rewind(n->proc, n->imported);
	return true;
}

const struct kv_facts *kv_facts_go_on(const struct kv_facts *old, const struct kv_env *env,
				      const char *dir, const kv_strv *names)
{
	const char *path = kv_env_get(env, "LD_LIBRARY_PATH");
	struct kv_facts *f;

	if (!old->brief || kv_loader_has_searched(old->loader, dir))
		return NULL;
	f = begin_again(old);
	describe(f);
	f->env = env;
	f->config = old->config;
	for (size_t i = 0; i < old->nixls.n; i++)
		if (!go_on(f, &old->nixls.v[i], path, names))
			return NULL;
	kv_choose_active(f);
	kv_find_imported(f);
	return f;
}
