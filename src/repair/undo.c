/*
 * Takes a generation back. What to do is decided by what is found, never by what should have
 * happened: a step may be done, half done, not begun, or taken back already by an undo that was
 * interrupted.
 */
#include "repair/gen.h"

struct place {
	int dir;
	const char *name;
	struct stat st;
};

static int look(int dir, const char *name, struct place *ret)
{
	ret->dir = dir;
	ret->name = name;
	if (dir < 0)
		return 0;
	if (fstatat(dir, name, &ret->st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

/* Where the old entry is kept: 1, 0 where it is not, or -errno. */
static int find_backup(const struct kv_gen *g, const struct kv_step *st, int dir, struct place *ret)
{
	int r = look(g->dir, st->backup, ret);

	return r ? r : look(dir, st->aside, ret);
}

static int put_back(const struct kv_state *s, const struct kv_step *st, int dir, const char *name,
		    const struct place *old, const struct kv_snap *now, struct kv_err *err)
{
	struct place here;
	const char *diff;
	int r = look(dir, name, &here);

	if (r < 0)
		return kv_tree_err(err, r, "stat", st->path);
	/* Two names of one inode: it was kept, but not replaced yet. rename would do nothing. */
	if (r && here.st.st_dev == old->st.st_dev && here.st.st_ino == old->st.st_ino) {
		r = kv_tree_unlink(old->dir, old->name);
	} else if (!r) {
		r = kv_tree_rename_new(old->dir, old->name, dir, name);
	} else {
		diff = kv_snap_diff(&st->post, now);
		if (diff && !kv_strv_has(&s->forced, st->path))
			return kv_err(err, -ESTALE,
				      "%s: no longer what kvpath left there: %s; move it away and "
				      "try again",
				      st->path, diff);
		r = kv_tree_rename(old->dir, old->name, dir, name);
	}
	return r < 0 ? kv_tree_err(err, r, "restore", st->path) : 0;
}

static int remove_new(const struct kv_step *st, int dir, const char *name, struct kv_err *err)
{
	int r = st->post.type == KV_SNAP_DIR ? kv_tree_rmdir(dir, name) : kv_tree_unlink(dir, name);

	if (r == -ENOTEMPTY || r == -EEXIST)
		return kv_err(err, -ENOTEMPTY,
			      "%s: holds files that are not kvpath's; move them away and try again",
			      st->path);
	return r < 0 ? kv_tree_err(err, r, "remove", st->path) : 0;
}

static int remove_temp(const struct kv_step *st, int dir, struct kv_err *err)
{
	int r = st->post.type == KV_SNAP_DIR ? kv_tree_rmdir(dir, st->temp)
					     : kv_tree_unlink(dir, st->temp);

	return r < 0 && r != -ENOENT ? kv_tree_err(err, r, "remove a part of", st->path) : 0;
}

static int revert_step(struct kv_state *s, const struct kv_gen *g, const struct kv_step *st,
		       struct kv_err *err)
{
	_close_ int dir = -EBADF;
	struct kv_snap now = { .type = KV_SNAP_ABSENT };
	struct place old;
	const char *name = NULL;
	int r = kv_tree_parent(s->root, st->path, &dir, &name, err), kept;

	if (r < 0 && r != -ENOENT)
		return r;
	kept = find_backup(g, st, dir, &old);
	if (kept < 0)
		return kv_tree_err(err, kept, "find the backup of", st->path);
	if (dir < 0)
		/* One of our own directories, not made yet or removed again, has no backups. */
		return kept ? kv_err(err, -ESTALE,
				     "%s: its directory is gone; make it and try again", st->path)
			    : 0;
	r = remove_temp(st, dir, err);
	if (r == 0)
		r = kv_snap_take(s->a, dir, name, st->path, &now, err);
	if (r < 0)
		return r;
	if (kept)
		return put_back(s, st, dir, name, &old, &now, err);
	/* What is there and not ours has come while nothing of ours was at the path. */
	if (st->pre.type != KV_SNAP_ABSENT || now.type == KV_SNAP_ABSENT ||
	    (kv_snap_diff(&st->post, &now) && !kv_strv_has(&s->forced, st->path)))
		return 0;
	return remove_new(st, dir, name, err);
}

/* Deepest first is not needed: setting the times of a directory touches no other. */
static int revert_times(struct kv_state *s, const struct kv_gen *g, struct kv_err *err)
{
	const struct kv_touched *t;

	kv_vec_each (t, &g->dirs) {
		_close_ int dir = -EBADF;
		int r = kv_tree_dir(s->root, t->path, &dir, err);

		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		r = kv_tree_times(dir, t->times);
		if (r == 0)
			r = kv_tree_sync(dir);
		if (r < 0)
			return kv_tree_err(err, r, "set the times of", t->path);
	}
	return 0;
}

int kv_gen_revert(struct kv_state *s, struct kv_gen *g, struct kv_err *err)
{
	int r = 0;

	if (g->ready) {
		for (size_t i = g->steps.n; r == 0 && i-- > 0;)
			r = revert_step(s, g, &g->steps.v[i], err);
		if (r == 0)
			r = revert_times(s, g, err);
		/* The backups' directory entries have moved: see that onto the disk as well. */
		if (r == 0 && (r = kv_tree_sync(g->dir)) < 0)
			r = kv_tree_err(err, r, "sync", KV_STATE_DIR);
	}
	return r < 0 ? r : kv_gen_delete(s, g, err);
}
