/*
 * Before an undo: is everything as kvpath left it? Newest first, each step is compared with what is
 * there, or, where a newer step has changed the same path, with what taking that one back will
 * leave there.
 */
#include "repair/gen.h"

static struct kv_snap *dup_snap(struct kv_arena *a, const struct kv_snap *snap)
{
	struct kv_snap *ret = kv_new(a, struct kv_snap);

	*ret = *snap;
	return ret;
}

static int take_live(struct kv_state *s, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	_close_ int dir = -EBADF;
	const char *name;
	int r = kv_tree_parent(s->root, path, &dir, &name, err);

	if (r == -ENOENT) {
		*ret = (struct kv_snap){ .type = KV_SNAP_ABSENT };
		return 0;
	}
	return r < 0 ? r : kv_snap_take(s->a, dir, name, path, ret, err);
}

static int check_backup(struct kv_state *s, const struct kv_gen *g, const struct kv_step *st,
			struct kv_map *later, struct kv_err *err)
{
	char *aside = kv_join(s->a, kv_dirname(s->a, st->path), st->aside);
	static const struct kv_snap gone = { .type = KV_SNAP_ABSENT };
	struct kv_snap kept = { .type = KV_SNAP_ABSENT };
	int r = 0;

	if (st->pre.type == KV_SNAP_ABSENT)
		return 0;
	*kv_map_slot(later, aside) = dup_snap(s->a, &gone);
	r = kv_snap_take(s->a, g->dir, st->backup, st->backup, &kept, err);
	if (r == 0 && kept.type == KV_SNAP_ABSENT)
		r = take_live(s, aside, &kept, err);
	if (r == 0 && kept.type != st->pre.type)
		r = kv_err(err, -ESTALE, "%s: its backup in %s/%s is gone", st->path, KV_STATE_DIR,
			   g->name);
	return r;
}

/* Only a single name is ever put in the place of another. */
static bool can_force(const struct kv_step *st, const struct kv_snap *now)
{
	bool one_name = now->type == KV_SNAP_FILE || now->type == KV_SNAP_SYMLINK;

	return now->type == KV_SNAP_ABSENT ||
	       (st->post.type == KV_SNAP_DIR ? now->type == KV_SNAP_DIR : one_name);
}

/* What kvpath made and somebody removed is as the undo leaves it. */
static const char *differs(const struct kv_step *st, const struct kv_snap *now)
{
	bool undone = st->pre.type == KV_SNAP_ABSENT && now->type == KV_SNAP_ABSENT;

	return undone ? NULL : kv_snap_diff(&st->post, now);
}

static int check_step(struct kv_state *s, const struct kv_gen *g, const struct kv_step *st,
		      struct kv_map *later, struct kv_err *err)
{
	void **slot = kv_map_slot(later, st->path);
	struct kv_snap live;
	const struct kv_snap *now = *slot;
	const char *diff;

	if (!now) {
		int r = take_live(s, st->path, &live, err);

		if (r < 0)
			return r;
		now = &live;
	}
	diff = differs(st, now);
	if (diff && (!kv_strv_has(&s->forced, st->path) || !can_force(st, now)))
		return kv_err(err, -ESTALE,
			      "%s: no longer what kvpath left there: %s; nothing was changed (%s)",
			      st->path, diff,
			      can_force(st, now)
				      ? "undo --force-file PATH takes it back all the same; "
					"what is there now is lost then"
				      : "move it away and try again");
	*slot = dup_snap(s->a, &st->pre);
	return check_backup(s, g, st, later, err);
}

/* A directory of ours may hold only what the undo removes. */
static int check_dir(struct kv_state *s, const char *path, struct kv_map *later, struct kv_err *err)
{
	_close_ int dir = -EBADF;
	struct dirent *e;
	DIR *d;
	int r = kv_tree_dir(s->root, path, &dir, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	d = kv_tree_list(dir);
	if (!d)
		return kv_tree_err(err, -errno, "read", path);
	while (r == 0 && (e = readdir(d))) {
		const char *child = kv_join(s->a, path, e->d_name);
		const struct kv_snap *end = kv_map_get(later, child);

		if (kv_streq(e->d_name, ".") || kv_streq(e->d_name, ".."))
			continue;
		if (!end || end->type != KV_SNAP_ABSENT)
			r = kv_err(err, -ENOTEMPTY,
				   "%s: is not kvpath's, but in a directory that kvpath made; "
				   "nothing was changed",
				   child);
	}
	closedir(d);
	return r;
}

static int check_forced(const kv_gens *gens, const kv_strv *forced, struct kv_err *err)
{
	for (size_t i = 0; i < forced->n; i++) {
		bool known = false;

		for (size_t n = 0; n < gens->n; n++)
			for (size_t k = 0; k < gens->v[n]->steps.n; k++)
				known |= kv_streq(gens->v[n]->steps.v[k].path, forced->v[i]);
		if (!known)
			return kv_err(err, -EINVAL,
				      "--force-file %s: kvpath has changed no such "
				      "file in this target",
				      forced->v[i]);
	}
	return 0;
}

int kv_gens_verify(struct kv_state *s, const kv_gens *gens, const kv_strv *forced,
		   struct kv_err *err)
{
	struct kv_map *later = kv_map_new(s->a);
	struct kv_gen **g;
	int r = check_forced(gens, forced, err);

	s->forced = *forced;
	for (size_t n = gens->n; n-- > 0;)
		for (size_t i = gens->v[n]->steps.n; r == 0 && i-- > 0;)
			r = check_step(s, gens->v[n], &gens->v[n]->steps.v[i], later, err);
	kv_vec_each (g, gens) {
		for (size_t i = 0; r == 0 && i < (*g)->steps.n; i++)
			if ((*g)->steps.v[i].kind == KV_OP_MKDIR)
				r = check_dir(s, (*g)->steps.v[i].path, later, err);
	}
	return r;
}
