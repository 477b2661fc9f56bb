/*
 * The journal's calls: lock, finish what a crash has interrupted, do the work. See journal.h for
 * the promises, state.h and gen.h for the files that keep them.
 */
#include "repair/gen.h"

static void free_arenap(struct kv_arena **a)
{
	kv_arena_free(*a);
}

#define _arena_ __attribute__((cleanup(free_arenap)))
#define _gens_  __attribute__((cleanup(kv_gen_close_all)))

/* The message is that of the first error; on success there is none. */
static int finish(int r, struct kv_err *err)
{
	if (r == 0 && err)
		*err = (struct kv_err){ 0 };
	return r;
}

/* Newest first, then the state directory. Adds the steps taken back to *undone. */
static int revert_all(struct kv_state *s, const kv_gens *gens, size_t *undone, struct kv_err *err)
{
	for (size_t n = gens->n; n-- > 0;) {
		int r = kv_gen_revert(s, gens->v[n], err);

		if (r < 0)
			return r;
		*undone += gens->v[n]->steps.n;
	}
	return kv_state_remove(s, err);
}

/* The state directory goes with the last generation. */
static int remove_unused(struct kv_state *s, struct kv_err *err)
{
	kv_gen_numbers left = { 0 };
	int r = kv_gen_numbers_read(s->a, s->dir, &left, err);

	return r < 0 || left.n ? r : kv_state_remove(s, err);
}

static int recover(struct kv_state *s, bool *ret_did, size_t *undone, struct kv_err *err)
{
	_gens_ kv_gens gens = { 0 };
	size_t committed = 0;
	int r = kv_gen_load_all(s, &gens, err);

	*ret_did = s->finished;
	if (r < 0 || s->dir < 0)
		return r;
	if (s->undo) {
		*ret_did = true;
		return revert_all(s, &gens, undone, err);
	}
	for (size_t n = gens.n; r == 0 && n-- > 0;) {
		if (gens.v[n]->committed) {
			committed++;
			continue;
		}
		*ret_did = true;
		r = kv_gen_revert(s, gens.v[n], err);
	}
	if (r < 0 || committed)
		return r;
	*ret_did = true;
	return remove_unused(s, err);
}

/* Undoing needs the right to set these times, and a file system that can be written to: know it
 * now. */
static int preflight(struct kv_state *s, const struct kv_gen *g, struct kv_err *err)
{
	const struct kv_touched *t;

	kv_vec_each (t, &g->dirs) {
		_close_ int dir = -EBADF;
		int r = kv_tree_dir(s->root, t->path, &dir, err);

		if (r < 0)
			return r;
		r = kv_tree_times(dir, t->times);
		if (r < 0)
			return kv_tree_err(err, r, "set the times of", t->path);
	}
	return 0;
}

static int take_back(struct kv_state *s, struct kv_gen *g, int code, struct kv_err *err)
{
	struct kv_err why = { 0 };
	int r = kv_gen_revert(s, g, &why);
	char first[1024];

	if (r == 0)
		r = remove_unused(s, &why);
	if (r < 0 && err) {
		snprintf(first, sizeof(first), "%.1000s", err->msg);
		kv_err(err, code,
		       "%s; and taking back what was done failed: %.900s; `kvpath undo` finishes "
		       "it",
		       first, why.msg);
	}
	return code;
}

/* A text that differs whenever something was applied or taken back. */
static void stamp(const kv_gens *gens, char ret[KV_SHA256_HEX])
{
	_buf_ struct kv_buf b = { 0 };
	struct kv_gen **g;

	kv_buf_str(&b, "");
	kv_vec_each (g, gens)
		kv_buf_fmt(&b, "%s %s %d\n", (*g)->name, (*g)->tag, (*g)->committed);
	kv_sha256_mem(b.text, b.n, ret);
}

static int check_stamp(struct kv_state *s, const char *seen, struct kv_err *err)
{
	_gens_ kv_gens gens = { 0 };
	char now[KV_SHA256_HEX];
	int r = seen ? kv_gen_load_all(s, &gens, err) : 0;

	if (r < 0 || !seen)
		return r;
	stamp(&gens, now);
	return kv_streq(now, seen) ? 0
				   : kv_err(err, -EAGAIN,
					    "another kvpath has changed this target meanwhile; try "
					    "again");
}

int kv_journal_apply(int root_fd, const kv_ops *ops, const char *seen, struct kv_err *err)
{
	_arena_ struct kv_arena *a = kv_arena_new();
	_state_ struct kv_state s = KV_STATE_CLOSED;
	struct kv_gen *g = kv_gen_new(a);
	struct kv_gen_view view = kv_gen_view(&s);
	size_t undone = 0;
	bool did;
	int r = kv_state_open(&s, a, root_fd, err);

	if (r == 0)
		r = recover(&s, &did, &undone, err);
	if (r == 0)
		r = check_stamp(&s, seen, err);
	if (r < 0 || ops->n == 0)
		return finish(r, err);
	r = kv_gen_plan(a, &view, ops, g, err);
	/* Without flock nothing keeps two apart that find no state directory: the other one is at
	 * work. */
	if (r == -ESTALE && seen) {
		r = -EAGAIN;
		if (err)
			err->code = r;
	}
	if (r == 0)
		r = preflight(&s, g, err);
	if (r == 0)
		r = kv_state_make(&s, err);
	if (r < 0)
		return r;
	r = kv_gen_create(&s, g, err);
	for (size_t i = 0; r == 0 && i < ops->n; i++)
		r = kv_gen_do(&s, g, i, &ops->v[i], err);
	if (r == 0)
		r = kv_gen_commit(g, err);
	if (r < 0)
		r = take_back(&s, g, r, err);
	kv_gen_close(g);
	return finish(r, err);
}

int kv_journal_undo(int root_fd, const kv_strv *forced, size_t *ret_undone, struct kv_err *err)
{
	static const kv_strv none;
	_arena_ struct kv_arena *a = kv_arena_new();
	_state_ struct kv_state s = KV_STATE_CLOSED;
	_gens_ kv_gens gens = { 0 };
	size_t undone = 0;
	bool did;
	int r = kv_state_open(&s, a, root_fd, err);

	forced = forced ? forced : &none;
	if (r == 0)
		r = recover(&s, &did, &undone, err);
	if (r == 0 && s.dir >= 0) {
		r = kv_gen_load_all(&s, &gens, err);
		if (r == 0)
			r = kv_gens_verify(&s, &gens, forced, err);
		if (r == 0)
			r = kv_state_begin_undo(&s, forced, err);
		if (r == 0)
			r = revert_all(&s, &gens, &undone, err);
	} else if (r == 0 && forced->n && !undone) {
		r = kv_gens_verify(&s, &gens, forced, err);
	}
	if (r == 0)
		*ret_undone = undone;
	return finish(r, err);
}

int kv_journal_recover(int root_fd, bool *ret_recovered, struct kv_err *err)
{
	_arena_ struct kv_arena *a = kv_arena_new();
	_state_ struct kv_state s = KV_STATE_CLOSED;
	size_t undone = 0;
	bool did = false;
	int r = kv_state_open(&s, a, root_fd, err);

	if (r == 0)
		r = recover(&s, &did, &undone, err);
	if (r == 0)
		*ret_recovered = did;
	return finish(r, err);
}

static int look(int root_fd, struct kv_journal_view *v, struct kv_err *err)
{
	_arena_ struct kv_arena *a = kv_arena_new();
	_state_ struct kv_state s = KV_STATE_CLOSED;
	_gens_ kv_gens gens = { 0 };
	int r = kv_state_peek(&s, a, root_fd, err);

	if (r == 0)
		r = kv_gen_load_all(&s, &gens, err);
	if (r < 0)
		return r;
	v->pending = s.unfinished || s.undo || (s.dir >= 0 && gens.n == 0);
	for (size_t n = 0; n < gens.n; n++)
		v->pending |= !gens.v[n]->committed;
	stamp(&gens, v->stamp);
	return finish(0, err);
}

int kv_journal_look(int root_fd, struct kv_journal_view *ret, struct kv_err *err)
{
	_arena_ struct kv_arena *a = kv_arena_new();
	_state_ struct kv_state s = KV_STATE_CLOSED;
	struct kv_journal_view v = { .fd = -EBADF };
	int r = kv_state_share(&s, a, root_fd, err);

	if (r == 0)
		r = look(root_fd, &v, err);
	if (r < 0)
		return r;
	/* The lock stays with the descriptor. */
	v.fd = kv_steal_fd(&s.root);
	*ret = v;
	return 0;
}

void kv_journal_look_close(struct kv_journal_view *view)
{
	kv_closep(&view->fd);
	view->fd = -EBADF;
}
