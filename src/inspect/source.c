/*
 * Fabric sources: host directories that have a libfabric to borrow, and whether this target could
 * take it. Which of a library's needs the target meets is read from both sides' version tables.
 */
#include <dirent.h>

#include "inspect/internal.h"

#define MAX_SOURCE_DEPTH 8

struct walk {
	struct kv_facts *f;
	struct kv_root *root; /* of the source directory */
	const char *host;
	struct host_system {
		const char *path; /* on the host; NULL where the source has none */
		struct kv_root *root;
		struct kv_process *plain;
	} system;
	kv_strv libs;             /* every *.so* in it, paths in root */
	struct kv_map *parsed;    /* path -> struct kv_elf, each read once */
	struct kv_process *plain; /* a program of the target that links libc alone */
	struct kv_load start;     /* how it came up */
};

static void collect(struct walk *w, const char *dir, unsigned depth)
{
	kv_dirents list = { 0 };
	struct kv_dirent *d;

	if (depth > MAX_SOURCE_DEPTH || kv_root_list(w->root, dir, &list) < 0)
		return;
	kv_vec_each (d, &list) {
		const char *path = kv_join(w->f->arena, dir, d->name);

		if (d->type == DT_DIR)
			collect(w, path, depth + 1);
		else if (d->type != DT_LNK && strstr(d->name, ".so") &&
			 kv_root_is_file(w->root, path))
			kv_vec_push(w->f->arena, &w->libs, kv_strdup(w->f->arena, path));
	}
}

static struct kv_elf *elf_of(struct walk *w, const char *path)
{
	struct kv_elf **slot = (struct kv_elf **)kv_map_slot(w->parsed, path);

	if (!*slot && kv_elf_read(w->f->arena, w->root, path, slot) < 0)
		*slot = NULL;
	return *slot;
}

/* The library of that SONAME in the source, beside the candidate; NULL. */
static const struct kv_elf *companion(struct walk *w, const char *name, const char **ret_path)
{
	const char *so = strstr(name, ".so");
	size_t stem = so ? (size_t)(so - name) : strlen(name);

	for (size_t i = 0; i < w->libs.n; i++) {
		const char *base = kv_basename(w->libs.v[i]);
		struct kv_elf *e;

		/* A file bears its SONAME's stem, or the loader would not find it by that name
		 * either. */
		if (strncmp(base, name, stem) != 0 || !(e = elf_of(w, w->libs.v[i])))
			continue;
		if (e->soname ? kv_streq(e->soname, name) : kv_streq(base, name)) {
			*ret_path = w->libs.v[i];
			return e;
		}
	}
	return NULL;
}

static bool is_libc_part(const char *name)
{
	static const char *const parts[] = { "libc.so.6",
					     "libm.so.6",
					     "libdl.so.2",
					     "libpthread.so.0",
					     "librt.so.1",
					     "ld-linux-x86-64.so.2",
					     "ld-linux-aarch64.so.1" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(parts); i++)
		if (kv_streq(name, parts[i]))
			return true;
	return false;
}

/* The target's own provider of a SONAME, as a plain program there would find it. */
static const struct kv_elf *target_has(struct walk *w, const char *name)
{
	struct kv_process_opts opts = { .env = w->f->env };
	struct kv_mark mark;
	struct kv_load load;

	if (!w->plain)
		w->plain = kv_process_start(w->f->loader, &opts, &w->start);
	if (!w->start.object)
		return NULL;
	mark = kv_process_mark(w->plain);
	kv_process_dlopen(w->plain, name, NULL, 0, &load);
	kv_process_rewind(w->plain, mark);
	return load.object ? load.object->elf : NULL;
}

/* Every reason is told; a libc that is too old is what it lacks where that is one of them. */
static void block(struct kv_arena *a, struct kv_fabric *fab, enum kv_lack lack, const char *why)
{
	if (fab->blocked && strstr(fab->blocked, why))
		return;
	if (!fab->blocked || lack == KV_LACK_LIBC)
		fab->lack = lack;
	fab->blocked = fab->blocked ? kv_strf(a, "%s; %s", fab->blocked, why) : why;
}

/*
 * A part of rdma-core, or what that needs, of the system that the source belongs to: EFA's
 * installer puts libfabric into /opt/amazon/efa and these among the system's own libraries. Nothing
 * else of a host goes into a container unasked. Found as a plain program of that system finds it.
 */
static const struct kv_elf *system_has(struct walk *w, const char *name, const char **ret_path)
{
	static const char *const parts[] = { "libefa.so.", "libibverbs.so.", "librdmacm.so.",
					     "libnl-3.so.", "libnl-route-3.so." };
	struct kv_process_opts opts = { 0 };
	struct host_system *s = &w->system;
	struct kv_load load;
	size_t i = 0;

	while (i < KV_ARRAY_SIZE(parts) && !kv_starts(name, parts[i]))
		i++;
	if (i == KV_ARRAY_SIZE(parts) || !s->root)
		return NULL;
	if (!s->plain) {
		s->plain = kv_process_start(kv_loader_like(w->f->loader, s->root), &opts, &load);
		if (load.loads != KV_LOADS_YES)
			s->root = NULL;
	}
	if (!s->root)
		return NULL;
	kv_process_dlopen(s->plain, name, NULL, 0, &load);
	if (!load.object || !load.object->elf ||
	    kv_root_real(s->root, load.object->name, 0, ret_path) < 0)
		return NULL;
	return load.object->elf;
}

/* path: in the source, or in its system. */
static void add_companion(struct walk *w, struct kv_fabric *fab, const char *name, const char *path,
			  bool of_system)
{
	const char *top = of_system ? w->system.path : w->host;

	fab->beyond |= of_system;
	if (kv_starts(name, "libibverbs.so.")) {
		const char *driver =
			kv_verbs_driver(w->f->arena, of_system ? w->system.root : w->root, path);

		fab->driver = driver ? kv_basename(driver) : NULL;
	}
	for (size_t i = 0; i < fab->companions.n; i++)
		if (kv_streq(fab->companions.v[i].name, name))
			return;
	kv_vec_push(w->f->arena, &fab->companions,
		    ((struct kv_companion){
			    kv_strdup(w->f->arena, name),
			    kv_strf(w->f->arena, "%s%s", kv_streq(top, "/") ? "" : top, path) }));
}

static const char *version_digits(const char *version)
{
	const char *bar = strrchr(version, '_');

	return bar ? bar + 1 : version;
}

/* The newest version that e needs of `name` and that `have` does not define; NULL where it has all.
 */
static const char *newest_lacking(struct kv_facts *f, const struct kv_elf *e, const char *name,
				  const struct kv_elf *have)
{
	const char *newest = NULL;
	kv_strv versions = { 0 };

	kv_elf_versions_of(f->arena, e, name, &versions);
	for (size_t i = 0; have->has_verdef && i < versions.n; i++)
		if (!kv_elf_defines_version(have, versions.v[i]) &&
		    (!newest ||
		     kv_version_cmp(version_digits(newest), version_digits(versions.v[i])) < 0))
			newest = versions.v[i];
	return newest;
}

/* The library of that name that e can be taken along with: from beside it, or else its system's.
 * NULL where neither has one that is new enough. */
static const struct kv_elf *find_companion(struct walk *w, const struct kv_elf *e, const char *name,
					   const char **ret_path, bool *ret_of_system)
{
	const struct kv_elf *own = companion(w, name, ret_path);

	*ret_of_system = !own || newest_lacking(w->f, e, name, own);
	if (!*ret_of_system)
		return own;
	own = system_has(w, name, ret_path);
	return own && !newest_lacking(w->f, e, name, own) ? own : NULL;
}

/*
 * What e, a library of the source, needs and the target lacks: taken along from beside it where
 * that is no part of libc, else the candidate is blocked.
 */
static void meet_needs(struct walk *w, struct kv_fabric *fab, const struct kv_elf *e,
		       unsigned depth)
{
	struct kv_facts *f = w->f;

	for (size_t i = 0; i < e->needed.n && depth < 8; i++) {
		const char *name = e->needed.v[i], *path = NULL, *lacking = NULL;
		const struct kv_elf *have = kv_starts(name, "libfabric.so.") && e != fab->elf
						    ? fab->elf
						    : target_has(w, name);
		const struct kv_elf *own;
		bool of_system;

		lacking = have ? newest_lacking(f, e, name, have) : NULL;
		if (have && !lacking)
			continue;
		if (is_libc_part(name)) {
			block(f->arena, fab, KV_LACK_LIBC,
			      kv_strf(f->arena, "%s needs %s of %s; this target has %s",
				      kv_basename(fab->path), lacking ? lacking : "a libc", name,
				      f->libc));
			continue;
		}
		own = find_companion(w, e, name, &path, &of_system);
		if (own) {
			add_companion(w, fab, name, path, of_system);
			meet_needs(w, fab, own, depth + 1);
		} else if (lacking) {
			block(f->arena, fab,
			      kv_starts(lacking, "EFA_") || kv_starts(lacking, "IBVERBS_")
				      ? KV_LACK_RDMA
				      : KV_LACK_BELOW,
			      kv_strf(f->arena,
				      "%s needs %s of %s, which this target's copy does not define",
				      kv_basename(fab->path), lacking, name));
		} else {
			block(f->arena, fab, KV_LACK_BELOW,
			      kv_strf(f->arena, "%s needs %s, which neither this target nor %s has",
				      kv_basename(fab->path), name, w->host));
		}
	}
}

static void take(struct walk *w, const char *path)
{
	struct kv_facts *f = w->f;
	struct kv_fabric fab;
	struct kv_elf *e = elf_of(w, path);

	if (!e || !kv_fabric_read(f->arena, w->root, path, e, &fab))
		return;
	fab.path = kv_strf(f->arena, "%s%s", w->host, path);
	fab.source = KV_SOURCE_FABRIC;
	fab.distro = false;
	for (size_t i = 0; i < f->fabrics.n; i++)
		if (f->fabrics.v[i].elf->st.dev == e->st.dev &&
		    f->fabrics.v[i].elf->st.ino == e->st.ino &&
		    f->fabrics.v[i].source == KV_SOURCE_FABRIC)
			return;
	if (e->machine != kv_loader_machine(f->loader)) {
		block(f->arena, &fab, KV_LACK_MACHINE,
		      kv_strf(f->arena, "%s is built for another machine than this target",
			      kv_basename(fab.path)));
		kv_vec_push(f->arena, &f->fabrics, fab);
		return;
	}
	for (size_t i = 0; i < w->libs.n; i++) {
		const char *base = kv_basename(w->libs.v[i]);
		struct kv_elf *dso;

		if (!kv_starts(base, "lib") || !kv_ends(base, "-fi.so") ||
		    !(dso = elf_of(w, w->libs.v[i])))
			continue;
		kv_vec_push(f->arena, &fab.dsos, kv_strf(f->arena, "%s%s", w->host, w->libs.v[i]));
		if (kv_streq(base, "libefa-fi.so")) {
			kv_vec_push(f->arena, &fab.providers, kv_strdup(f->arena, "efa"));
			meet_needs(w, &fab, dso, 0);
		}
	}
	meet_needs(w, &fab, e, 0);
	kv_vec_push(f->arena, &f->fabrics, fab);
}

void kv_find_sources(struct kv_facts *f, const kv_source_dirs *dirs)
{
	for (size_t i = 0; dirs && i < dirs->n; i++) {
		struct walk w = { .f = f, .host = dirs->v[i].host, .root = dirs->v[i].root };

		if (!w.root || dirs->v[i].is_system)
			continue;
		if (i + 1 < dirs->n && dirs->v[i + 1].is_system) {
			w.system.path = dirs->v[i + 1].host;
			w.system.root = dirs->v[i + 1].root;
		}
		w.parsed = kv_map_new(f->arena);
		collect(&w, "/", 0);
		for (size_t j = 0; j < w.libs.n; j++)
			if (kv_starts(kv_basename(w.libs.v[j]), "libfabric"))
				take(&w, w.libs.v[j]);
		for (size_t j = 0; j < w.libs.n; j++)
			if (kv_map_get(w.parsed, w.libs.v[j]))
				kv_elf_release(kv_map_get(w.parsed, w.libs.v[j]));
	}
}
