/*
 * From operations to a generation: what is there now, what will be there, and whether the one can
 * become the other. Later operations see what earlier ones will have made. Nothing is changed here.
 */
#include <grp.h>

#include "repair/gen.h"

struct planner {
	struct kv_arena *a;
	const struct kv_gen_view *view;
	struct kv_gen *g;
	struct kv_map *now;     /* path -> struct kv_snap: as the steps so far leave it */
	struct kv_map *parents; /* path -> struct kv_snap: directories that exist already */
};

/* ---- the view of a directory ---- */

static int live_dir(void *arg, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	struct kv_state *s = arg;
	_close_ int fd = -EBADF;
	struct stat st;
	int r = kv_tree_dir(s->root, path, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return kv_tree_err(err, -errno, "stat", path);
	*ret = (struct kv_snap){ .type = KV_SNAP_DIR,
				 .mode = st.st_mode & 07777,
				 .uid = st.st_uid,
				 .gid = st.st_gid,
				 .times = { st.st_atim, st.st_mtim } };
	return 0;
}

static int live_entry(void *arg, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	struct kv_state *s = arg;
	_close_ int dir = -EBADF;
	const char *name;
	int r = kv_tree_parent(s->root, path, &dir, &name, err);

	return r < 0 ? r : kv_snap_take(s->a, dir, name, path, ret, err);
}

struct kv_gen_view kv_gen_view(struct kv_state *s)
{
	return (struct kv_gen_view){ s, live_entry, live_dir, geteuid() == 0 };
}

/* ---- planning ---- */

static int in_state_dir(const char *path, struct kv_err *err)
{
	size_t n = strlen(KV_STATE_DIR);

	if (strncmp(path, KV_STATE_DIR, n) == 0 && (path[n] == '/' || path[n] == '\0'))
		return kv_err(err, -EINVAL, "%s: belongs to the journal", path);
	return 0;
}

/* The directory that path is in; its times are noted the first time. */
static int plan_parent(struct planner *p, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	char *dir = kv_dirname(p->a, path);
	const struct kv_snap *made = kv_map_get(p->now, dir);
	void **slot = kv_map_slot(p->parents, dir);
	struct kv_snap *found = *slot;
	struct kv_touched *t;
	int r;

	if (made && made->type != KV_SNAP_DIR)
		return kv_tree_err(err, made->type == KV_SNAP_SYMLINK ? -ELOOP : -ENOTDIR, "enter",
				   dir);
	if (made || found) {
		*ret = made ? *made : *found;
		return 0;
	}
	found = kv_new(p->a, struct kv_snap);
	r = p->view->dir(p->view->arg, dir, found, err);
	if (r < 0)
		return r;
	*slot = found;
	t = kv_vec_add(p->a, &p->g->dirs);
	t->path = dir;
	memcpy(t->times, found->times, sizeof(t->times));
	*ret = *found;
	return 0;
}

static int plan_pre(struct planner *p, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	const struct kv_snap *now = kv_map_get(p->now, path);
	const struct kv_snap *made = kv_map_get(p->now, kv_dirname(p->a, path));

	if (now || made) {
		*ret = now ? *now : (struct kv_snap){ .type = KV_SNAP_ABSENT };
		return 0;
	}
	return p->view->entry(p->view->arg, path, ret, err);
}

static int check_pre(const struct planner *p, const struct kv_op *op, const struct kv_snap *pre,
		     struct kv_err *err)
{
	bool plain = pre->type == KV_SNAP_FILE || pre->type == KV_SNAP_SYMLINK;

	if (op->was && !kv_streq(op->was, kv_snap_word(p->a, pre)))
		return kv_err(err, -ESTALE,
			      "%s: changed since the repair was planned; nothing was changed, try "
			      "again",
			      op->path);
	/* Taking that back twice could not tell the old file from an equal new one. */
	if (pre->type == KV_SNAP_ABSENT && kv_map_get(p->now, op->path))
		return kv_err(err, -EINVAL, "%s: removed and used again in one plan", op->path);

	if (op->kind == KV_OP_MKDIR && pre->type != KV_SNAP_ABSENT)
		return kv_err(err, -EEXIST, "%s: exists already", op->path);
	if (op->kind == KV_OP_REMOVE && pre->type == KV_SNAP_ABSENT)
		return kv_err(err, -ENOENT, "%s: is not there", op->path);
	if (pre->type == KV_SNAP_DIR)
		return kv_err(err, -EISDIR, "%s: is a directory", op->path);
	if (pre->type != KV_SNAP_ABSENT && !plain)
		return kv_err(err, -EEXIST, "%s: neither a regular file nor a symlink", op->path);
	return 0;
}

/* Whether we may give files to this owner. */
static bool ownable(const struct planner *p, uint32_t uid, uint32_t gid)
{
	gid_t groups[1024];
	int n;

	if (p->view->all_owners)
		return true;
	if (uid != geteuid() || gid == getegid())
		return uid == geteuid();
	n = getgroups(KV_ARRAY_SIZE(groups), groups);
	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static int plan_owner(const struct planner *p, const struct kv_snap *pre,
		      const struct kv_snap *parent, const char *path, struct kv_snap *post,
		      struct kv_err *err)
{
	bool replaces = pre->type != KV_SNAP_ABSENT;

	post->uid = replaces ? pre->uid : parent->uid;
	post->gid = replaces ? pre->gid : parent->gid;
	if (ownable(p, post->uid, post->gid))
		return 0;
	if (replaces)
		return kv_err(
			err, -EPERM,
			"%s: belongs to user %u, group %u; run kvpath as root or as that user",
			path, post->uid, post->gid);
	post->uid = geteuid();
	post->gid = parent->mode & S_ISGID ? parent->gid : getegid();
	return 0;
}

static int plan_content(const struct kv_op *op, struct kv_snap *post, struct kv_err *err)
{
	struct stat st;
	int r;

	if (op->source_fd < 0) {
		post->size = op->content.n;
		kv_sha256_mem(op->content.p, op->content.n, post->sha256);
		return 0;
	}
	if (fstat(op->source_fd, &st) < 0)
		return kv_err(err, -errno, "cannot stat the source of %s: %s", op->path,
			      strerror(errno));
	if (!S_ISREG(st.st_mode))
		return kv_err(err, -EINVAL, "the source of %s is not a regular file", op->path);
	post->size = (uint64_t)st.st_size;
	r = kv_sha256_fd(op->source_fd, post->sha256);
	if (r < 0)
		return kv_err(err, r, "cannot read the source of %s: %s", op->path, strerror(-r));
	return 0;
}

static int plan_post(const struct planner *p, const struct kv_op *op, const struct kv_snap *pre,
		     const struct kv_snap *parent, struct kv_snap *post, struct kv_err *err)
{
	int r;

	*post = (struct kv_snap){ .type = KV_SNAP_ABSENT };
	if (op->kind == KV_OP_REMOVE)
		return 0;
	r = plan_owner(p, pre, parent, op->path, post, err);
	if (r < 0)
		return r;
	post->mode = op->mode & 07777;
	switch (op->kind) {
	case KV_OP_MKDIR:
		post->type = KV_SNAP_DIR;
		return 0;
	case KV_OP_SYMLINK:
		if (!op->link || !*op->link)
			return kv_err(err, -EINVAL, "%s: a symlink to nothing", op->path);
		post->type = KV_SNAP_SYMLINK;
		post->mode = 0777;
		post->link = kv_strdup(p->a, op->link);
		post->size = strlen(op->link);
		return 0;
	case KV_OP_FILE:
		post->type = KV_SNAP_FILE;
		if (pre->type == KV_SNAP_FILE)
			post->mode = pre->mode;
		return plan_content(op, post, err);
	default:
		return kv_err(err, -EINVAL, "%s: unknown operation", op->path);
	}
}

int kv_gen_plan(struct kv_arena *a, const struct kv_gen_view *view, const kv_ops *ops,
		struct kv_gen *g, struct kv_err *err)
{
	struct planner p = {
		.a = a, .view = view, .g = g, .now = kv_map_new(a), .parents = kv_map_new(a)
	};
	const struct kv_op *op;

	kv_vec_each (op, ops) {
		struct kv_snap parent = { 0 }, pre = { 0 }, post = { 0 }, *now;
		struct kv_step *st;
		int r = kv_tree_path_check(op->path, err);

		if (r == 0)
			r = in_state_dir(op->path, err);
		if (r == 0)
			r = plan_parent(&p, op->path, &parent, err);
		if (r == 0)
			r = plan_pre(&p, op->path, &pre, err);
		if (r == 0)
			r = check_pre(&p, op, &pre, err);
		if (r == 0)
			r = plan_post(&p, op, &pre, &parent, &post, err);
		if (r < 0)
			return r;
		st = kv_gen_add_step(a, g);
		st->kind = op->kind;
		st->path = kv_strdup(a, op->path);
		st->pre = pre;
		st->post = post;
		now = kv_new(a, struct kv_snap);
		*now = post;
		*kv_map_slot(p.now, op->path) = now;
	}
	return 0;
}
