/*
 * One candidate libfabric, laid over the root as the repair would leave it: the operations that put
 * it there, and the facts that the model then collects again.
 */
#include <fcntl.h>

#include "repair/trial.h"

/* Where the link for the plugin goes. */
enum place {
	BESIDE_NIXL, /* in libnixl's directory, the plugin's $ORIGIN/.. */
	OVER_SYSTEM, /* over the link that the loader finds today */
	_PLACE_COUNT,
};

/* ---- operations ---- */

/* path with the symlinks in its directory resolved, as far as that exists. */
static const char *settle(const struct kv_facts *f, const char *path)
{
	const char *dir = kv_dirname(f->arena, path), *real;

	if (kv_root_real(f->root, dir, 0, &real) < 0)
		real = kv_streq(dir, "/") ? dir : settle(f, dir);
	return kv_join(f->arena, real, kv_basename(path));
}

static bool is_planned(const kv_ops *ops, const char *path)
{
	for (size_t i = 0; i < ops->n; i++)
		if (kv_streq(ops->v[i].path, path))
			return true;
	return false;
}

void kv_trial_add(struct kv_trial *t, struct kv_op op)
{
	if (!is_planned(&t->ops, op.path))
		kv_vec_push(t->f->arena, &t->ops, op);
}

/* Directories down to dir that do not exist yet. */
static void add_dirs(struct kv_trial *t, const char *dir)
{
	if (kv_root_is_dir(t->f->root, dir) || is_planned(&t->ops, dir))
		return;
	add_dirs(t, kv_dirname(t->f->arena, dir));
	kv_trial_add(t, (struct kv_op){ .kind = KV_OP_MKDIR,
					.path = dir,
					.mode = 0755,
					.source_fd = -1,
					.why = "private directory for the borrowed libraries" });
}

/* "absent" where nothing is at path; NULL else. */
static const char *absence(const struct kv_facts *f, const char *path)
{
	struct kv_stat st;

	return kv_root_stat(f->root, path, KV_NOFOLLOW, &st) == -ENOENT ? "absent" : NULL;
}

static void add_link(struct kv_trial *t, const char *at, const char *text, const char *why)
{
	const char *path = settle(t->f, at), *old = NULL, *was;

	if (kv_root_readlink(t->f->root, path, &old) == 0 && kv_streq(old, text))
		return;
	was = old ? kv_strf(t->f->arena, "-> %s", old) : absence(t->f, path);
	add_dirs(t, kv_dirname(t->f->arena, path));
	kv_trial_add(t, (struct kv_op){ .kind = KV_OP_SYMLINK,
					.path = path,
					.link = text,
					.source_fd = -1,
					.was = was,
					.why = why });
}

/* Whether the target has these very bytes there; it may be an image, whose files have no fd. */
static bool same_content(const struct kv_facts *f, const char *guest, int fd)
{
	_file_ struct kv_file *have = NULL;
	static uint8_t a[65536], b[65536];
	size_t n, m;
	uint64_t at = 0;

	if (kv_root_open_file(f->root, guest, &have) < 0)
		return false;
	do {
		if (kv_file_read(have, at, a, sizeof(a), &n) < 0 ||
		    kv_read_all(fd, b, sizeof(b), at, &m) < 0 || n != m || memcmp(a, b, n) != 0)
			return false;
		at += n;
	} while (n);
	return true;
}

/* A copy of the host's file; nothing where the very bytes lie there already. */
static void add_copy(struct kv_trial *t, const char *host, const char *guest, const char *why)
{
	const char *path = settle(t->f, guest);
	int fd = open(host, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* the trial will not load and the candidate is passed over */
	if (same_content(t->f, path, fd)) {
		close(fd);
		return;
	}
	add_dirs(t, kv_dirname(t->f->arena, path));
	kv_trial_add(t, (struct kv_op){ .kind = KV_OP_FILE,
					.path = path,
					.mode = 0755,
					.source_fd = fd,
					.source = host,
					.was = absence(t->f, path),
					.why = why });
}

static void lay_ops(struct kv_root *root, const kv_ops *ops)
{
	for (size_t i = 0; i < ops->n; i++) {
		const struct kv_op *op = &ops->v[i];

		switch (op->kind) {
		case KV_OP_SYMLINK:
			kv_root_lay_link(root, op->path, op->link);
			break;
		case KV_OP_FILE:
			if (op->source_fd >= 0)
				kv_root_lay_file(root, op->source_fd, op->path);
			else
				kv_root_lay_bytes(root, op->path, op->content);
			break;
		case KV_OP_REMOVE:
			kv_root_lay_absence(root, op->path);
			break;
		case KV_OP_MKDIR: /* implied by what lies in it */
		case _KV_OP_COUNT:
			break;
		}
	}
}

const struct kv_facts *kv_facts_with(const struct kv_facts *f, const kv_ops *ops)
{
	size_t depth = kv_root_depth(f->root);
	const struct kv_facts *after;

	lay_ops(f->root, ops);
	after = kv_facts_again(f);
	kv_root_pop(f->root, depth);
	kv_loader_refresh(f->loader);
	return after;
}

const struct kv_nixl *kv_same_nixl(const struct kv_facts *f, const struct kv_nixl *n)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (kv_streq(f->nixls.v[i].path, n->path))
			return &f->nixls.v[i];
	return NULL;
}

static enum kv_score score_of(const struct kv_facts *before, const struct kv_facts *after)
{
	enum kv_score worst = KV_SCORE_WHOLE;

	for (size_t i = 0; i < before->nixls.n; i++) {
		const struct kv_nixl *n = &before->nixls.v[i], *m = kv_same_nixl(after, n);
		enum kv_score s;

		if (!kv_needs_fabric(before, n) || !n->active)
			continue;
		if (!m || !m->wanted || m->wanted->load.loads != KV_LOADS_YES)
			return KV_SCORE_NONE;
		s = kv_stack_is_whole(after, m) ? KV_SCORE_WHOLE
		    : m->stack.efa              ? KV_SCORE_EFA
						: KV_SCORE_LOADS;
		worst = s < worst ? s : worst;
	}
	return worst;
}

/* ---- the ways to lay a candidate ---- */

/* The name that an update of the library keeps (DIR/libfabric.so.1) where it leads to this file. */
static const char *stable_name(const struct kv_facts *f, const char *path)
{
	const char *name = kv_join(f->arena, kv_dirname(f->arena, path), "libfabric.so.1"), *real;

	return kv_root_real(f->root, name, 0, &real) == 0 && kv_streq(real, path) ? name : path;
}

/* The private directory: copies of a host's candidate, or links to one that the target has. */
static void fill_private(struct kv_trial *t)
{
	const struct kv_fabric *fab = t->fabric;
	struct kv_arena *a = t->f->arena;
	const char *base = kv_basename(fab->path);

	if (fab->source != KV_SOURCE_FABRIC) {
		add_link(t, KV_FABRIC_DIR "/libfabric.so.1", stable_name(t->f, fab->path),
			 "the target's own newer libfabric");
		return;
	}
	add_copy(t, fab->path, kv_strf(a, KV_FABRIC_DIR "/%s", base), "the borrowed libfabric");
	if (!kv_streq(base, "libfabric.so.1"))
		add_link(t, KV_FABRIC_DIR "/libfabric.so.1", base, "its name for the loader");
	for (size_t i = 0; i < fab->companions.n; i++)
		add_copy(t, fab->companions.v[i].path,
			 kv_strf(a, KV_FABRIC_DIR "/%s", fab->companions.v[i].name),
			 "what the borrowed libfabric needs and the target lacks");
	if (kv_fabric_efa_dso(fab))
		add_copy(t, kv_fabric_efa_dso(fab), KV_FABRIC_DIR "/libefa-fi.so",
			 "its efa provider");
}

/*
 * Where libfabric is to find its efa provider, from the directory of its link: as it lies in the
 * source where libfabric's own RUNPATH leads there, since a provider's $ORIGIN/.. is then that
 * directory; else beside it.
 */
static const char *provider_name(const struct kv_fabric *fab, struct kv_arena *a)
{
	const char *dso = kv_fabric_efa_dso(fab), *dir = kv_dirname(a, dso);
	const char *name = kv_strf(a, "%s/%s", kv_basename(dir), kv_basename(dso));

	return kv_streq(kv_dirname(a, dir), kv_dirname(a, fab->path)) && fab->elf->runpath &&
			       strstr(fab->elf->runpath, kv_strf(a, "$ORIGIN/%s", kv_basename(dir)))
		       ? name
		       : kv_basename(dso);
}

/* A link in dir for each library of the private directory: $ORIGIN is the directory of the link. */
static void link_private(struct kv_trial *t, const char *dir)
{
	const struct kv_fabric *fab = t->fabric;
	struct kv_arena *a = t->f->arena;

	add_link(t, kv_join(a, dir, "libfabric.so.1"), KV_FABRIC_DIR "/libfabric.so.1",
		 "the plugin looks here before the system's directories");
	for (size_t i = 0; i < fab->companions.n; i++) {
		const char *name = fab->companions.v[i].name;

		add_link(t, kv_join(a, dir, name), kv_strf(a, KV_FABRIC_DIR "/%s", name),
			 "a library opened through a link looks for its own beside the link");
	}
	for (size_t i = 0; fab->driver && i < fab->companions.n; i++)
		if (kv_starts(fab->companions.v[i].name, "libefa.so."))
			add_link(t, kv_join(a, dir, fab->driver),
				 kv_strf(a, KV_FABRIC_DIR "/%s", fab->companions.v[i].name),
				 "libibverbs opens EFA's driver by this name");
	if (kv_fabric_efa_dso(fab))
		add_link(t, kv_join(a, dir, provider_name(fab, a)), KV_FABRIC_DIR "/libefa-fi.so",
			 "the efa provider, where libfabric looks for it from its link");
}

/* The directory of the libfabric that is taken today, or where the loader looks at last. */
static const char *system_link_dir(const struct kv_facts *f, const struct kv_nixl *n)
{
	const struct kv_object *p = n->wanted->load.provider;
	const char *used = n->stack.known                                     ? n->stack.fabric_path
			   : p && p->elf && kv_elf_max_def(p->elf, "FABRIC_") ? p->name
									      : NULL;

	if (used)
		return used[0] == '/' ? kv_dirname(f->arena, used) : NULL;
	return kv_loader_ldso(f->loader)->dirs.n ? kv_loader_ldso(f->loader)->dirs.v[0] : NULL;
}

/* The target's own rdma-core serves others as well: it is not laid over. */
static bool has_companion(const struct kv_trial *t, const char *dir)
{
	struct kv_stat st;

	for (size_t i = 0; i < t->fabric->companions.n; i++)
		if (kv_root_stat(t->f->root,
				 kv_join(t->f->arena, dir, t->fabric->companions.v[i].name),
				 KV_NOFOLLOW, &st) == 0)
			return true;
	return false;
}

static void place_links(struct kv_trial *t, enum place place)
{
	for (size_t i = 0; i < t->f->nixls.n; i++) {
		const struct kv_nixl *n = &t->f->nixls.v[i];
		const char *dir;

		if (!kv_needs_fabric(t->f, n))
			continue;
		dir = place == BESIDE_NIXL ? n->lib_dir : system_link_dir(t->f, n);
		if (dir && (place == BESIDE_NIXL || !has_companion(t, dir)))
			link_private(t, dir);
	}
}

/*
 * libfabric opens CUDA as libcudart.so. The name goes beside the link to libfabric, where its
 * RUNPATH $ORIGIN or the plugin's RPATH leads, or else into a default directory.
 */
static void add_cudart(struct kv_trial *t, bool in_default_dir)
{
	const struct kv_facts *now = t->after;

	for (size_t i = 0; i < now->nixls.n; i++) {
		const struct kv_nixl *n = &now->nixls.v[i];
		const char *real = kv_lacks_cudart(now, n) ? kv_cudart_path(now, n) : NULL, *dir;

		if (!real)
			continue;
		dir = in_default_dir ? kv_loader_ldso(t->f->loader)->dirs.v[0] : n->lib_dir;
		add_link(t, KV_FABRIC_DIR "/libcudart.so", real,
			 "the CUDA runtime that the plugin uses");
		add_link(t, kv_join(t->f->arena, dir, "libcudart.so"),
			 KV_FABRIC_DIR "/libcudart.so", "libfabric opens CUDA by this name");
	}
}

static void run_trial(struct kv_trial *t)
{
	t->after = kv_facts_with(t->f, &t->ops);
	t->score = score_of(t->f, t->after);
	for (unsigned in_default = 0; in_default < 2 && t->score == KV_SCORE_EFA; in_default++) {
		size_t n = t->ops.n;

		add_cudart(t, in_default);
		if (t->ops.n == n)
			return;
		t->after = kv_facts_with(t->f, &t->ops);
		t->score = score_of(t->f, t->after);
		if (t->score != KV_SCORE_WHOLE)
			t->ops.n = n;
	}
}

void kv_trial_cudart(struct kv_trial *t)
{
	for (unsigned in_default = 0; in_default < 2; in_default++) {
		size_t n = t->ops.n;

		add_cudart(t, in_default);
		if (t->ops.n == n)
			return;
		t->after = kv_facts_with(t->f, &t->ops);
		for (size_t i = 0; i < t->after->nixls.n; i++)
			if (t->after->nixls.v[i].active &&
			    kv_stack_is_whole(t->after, &t->after->nixls.v[i]))
				return;
		t->ops.n = n;
	}
	t->after = t->f;
}

struct kv_trial kv_trial_candidate(const struct kv_facts *f, const struct kv_fabric *fab)
{
	struct kv_trial best = { .f = f };

	for (enum place place = 0; place < _PLACE_COUNT && best.score != KV_SCORE_WHOLE; place++) {
		struct kv_trial t = { .f = f, .fabric = fab };

		fill_private(&t);
		place_links(&t, place);
		run_trial(&t);
		if (!best.after || t.score > best.score)
			best = t;
	}
	return best;
}
