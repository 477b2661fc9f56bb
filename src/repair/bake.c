/* From a plan to edits of an image: see bake.h. */
#include "repair/bake.h"
#include "repair/gen.h"

#define MAX_JOURNAL ((size_t)64 << 20)
#define MAX_NUMBER  999999

/* ---- the view of an image ---- */

static int read_file(void *arg, uint64_t off, void *buf, size_t n, size_t *ret_n)
{
	return kv_file_read(arg, off, buf, n, ret_n);
}

static int snap_file(struct kv_root *r, const char *path, struct kv_snap *ret)
{
	_file_ struct kv_file *f = NULL;
	int e = kv_root_open_file(r, path, &f);

	return e < 0 ? e : kv_sha256_of(read_file, f, ret->sha256);
}

/* What is at path. The image knows no time of access: tools that unpack it set both alike. */
static int snap(struct kv_root *r, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	struct kv_snap s = { .type = KV_SNAP_OTHER };
	struct kv_stat st;
	int e = kv_root_stat(r, path, KV_NOFOLLOW, &st);

	if (e == -ENOENT) {
		*ret = (struct kv_snap){ .type = KV_SNAP_ABSENT };
		return 0;
	}
	if (e < 0)
		return kv_tree_err(err, e, "stat", path);
	s.mode = st.mode & 07777;
	s.uid = st.uid;
	s.gid = st.gid;
	s.times[0].tv_sec = s.times[1].tv_sec = (time_t)st.mtime_s;
	if (S_ISREG(st.mode)) {
		s.type = KV_SNAP_FILE;
		s.size = st.size;
		e = snap_file(r, path, &s);
	} else if (S_ISLNK(st.mode)) {
		s.type = KV_SNAP_SYMLINK;
		s.size = st.size;
		e = kv_root_readlink(r, path, &s.link);
	} else if (S_ISDIR(st.mode)) {
		s.type = KV_SNAP_DIR;
	}
	if (e < 0)
		return kv_tree_err(err, e, "read", path);
	*ret = s;
	return 0;
}

/* As kv_tree_dir() has it: every component is a directory, no link. */
static int view_dir(void *arg, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	struct kv_arena *a = kv_root_arena(arg);
	int e = kv_streq(path, "/") ? 0 : view_dir(arg, kv_dirname(a, path), ret, err);

	if (e == 0)
		e = snap(arg, path, ret, err);
	if (e == 0 && ret->type != KV_SNAP_DIR) {
		e = ret->type == KV_SNAP_ABSENT    ? -ENOENT
		    : ret->type == KV_SNAP_SYMLINK ? -ELOOP
						   : -ENOTDIR;
		kv_tree_err(err, e, "enter", path);
	}
	return e;
}

static int view_entry(void *arg, const char *path, struct kv_snap *ret, struct kv_err *err)
{
	struct kv_snap dir;
	int e = view_dir(arg, kv_dirname(kv_root_arena(arg), path), &dir, err);

	return e < 0 ? e : snap(arg, path, ret, err);
}

/* ---- the state that the image has already ---- */

struct state {
	struct kv_arena *a;
	struct kv_root *image;
	struct kv_state s;
	bool known;      /* it has a state file */
	unsigned number; /* of the new generation */
	kv_strv missing; /* directories of the state's path, outermost first */
	struct kv_snap above;
};

static int records(struct state *st, const char *path, json_t **ret, struct kv_err *err)
{
	struct kv_span text;
	uint64_t good;
	int e = kv_root_slurp(st->image, path, MAX_JOURNAL, &text);

	return e < 0 ? kv_tree_err(err, e, "read", path)
		     : kv_record_parse_all(text, path, ret, &good, err);
}

static bool has_record(const json_t *all, const char *kind)
{
	for (size_t i = 0; i < json_array_size(all); i++)
		if (kv_record_is(json_array_get(all, i), kind))
			return true;
	return false;
}

static int interrupted(struct kv_err *err)
{
	return kv_err(err, -EBUSY,
		      "the image was made in the middle of a repair: unpack it, and let `kvpath "
		      "undo` finish that");
}

/* The generations that are there: all must be whole. */
static int read_generations(struct state *st, struct kv_err *err)
{
	kv_dirents list = { 0 };
	int e = kv_root_list(st->image, KV_STATE_DIR, &list);

	if (e < 0)
		return kv_tree_err(err, e, "read", KV_STATE_DIR);
	for (size_t i = 0; i < list.n; i++) {
		const char *name = list.v[i].name;
		_json_ json_t *all = NULL;

		if (strlen(name) != 6 || strspn(name, "0123456789") != 6)
			continue;
		if (!st->known)
			return kv_err(err, -EBADMSG, "%s/state: missing or damaged", KV_STATE_DIR);
		st->number = (unsigned)strtoul(name, NULL, 10);
		e = records(st, kv_strf(st->a, "%s/%s/journal", KV_STATE_DIR, name), &all, err);
		if (e < 0)
			return e;
		if (!has_record(all, "commit"))
			return interrupted(err);
	}
	return 0;
}

static int read_state(struct state *st, struct kv_err *err)
{
	static const char path[] = KV_STATE_DIR "/state";
	_json_ json_t *all = NULL;
	int e;

	if (kv_root_is_file(st->image, path)) {
		e = records(st, path, &all, err);
		if (e < 0)
			return e;
		st->known = has_record(all, "state");
		if (has_record(all, "undo"))
			return interrupted(err);
	}
	return read_generations(st, err);
}

static int find_state(struct state *st, struct kv_err *err)
{
	const char *path = KV_STATE_DIR;
	int e;

	/* The directories that are missing, and the one that they will be in. */
	while ((e = view_dir(st->image, path, &st->above, NULL)) == -ENOENT) {
		kv_vec_push(st->a, &st->missing, kv_strdup(st->a, path));
		path = kv_dirname(st->a, path);
	}
	if (e < 0)
		return view_dir(st->image, path, &st->above, err);
	st->s.made = (unsigned)st->missing.n;
	memcpy(st->s.times, st->above.times, sizeof(st->s.times));
	return st->missing.n ? 0 : read_state(st, err);
}

/* ---- edits ---- */

static struct kv_edit *add(struct state *st, struct kv_bake *b, enum kv_edit_kind kind,
			   const char *path, uint32_t mode)
{
	struct kv_edit *e = kv_vec_add(st->a, &b->edits);

	*e = (struct kv_edit){ .kind = kind, .path = path, .mode = mode, .source_fd = -1 };
	return e;
}

static void add_text(struct state *st, struct kv_bake *b, const char *path,
		     const struct kv_buf *text)
{
	const char *copy = kv_strndup(st->a, text->n ? text->text : "", text->n);

	add(st, b, KV_EDIT_FILE, path, 0600)->content =
		(struct kv_span){ (const uint8_t *)copy, text->n };
}

static int add_state(struct state *st, struct kv_bake *b)
{
	_buf_ struct kv_buf text = { 0 };
	int e;

	for (size_t i = st->missing.n; i-- > 0;) {
		struct kv_edit *dir =
			add(st, b, KV_EDIT_DIR, st->missing.v[i], i == 0 ? 0700 : 0755);

		dir->uid = st->above.uid;
		dir->gid = st->above.gid;
	}
	if (st->known)
		return 0;
	e = kv_state_text(&st->s, &text);
	if (e < 0)
		return e;
	add_text(st, b, KV_STATE_DIR "/state", &text);
	kv_buf_clear(&text);
	add_text(st, b, KV_STATE_DIR "/lock", &text);
	return 0;
}

/* The same plan for the same image has the same tag. */
static int set_tag(struct kv_arena *a, struct kv_gen *g)
{
	_buf_ struct kv_buf text = { 0 };
	char hash[KV_SHA256_HEX];
	int e;

	g->tag = "0000000000000000";
	e = kv_gen_text(g, &text);
	if (e < 0)
		return e;
	kv_sha256_mem(text.text, text.n, hash);
	g->tag = kv_strndup(a, hash, strlen(g->tag));
	return 0;
}

static int add_journal(struct state *st, struct kv_bake *b)
{
	const char *dir = kv_strf(st->a, "%s/%06u", KV_STATE_DIR, st->number);
	_buf_ struct kv_buf text = { 0 };
	int e = set_tag(st->a, b->gen);

	if (e == 0)
		e = kv_gen_text(b->gen, &text);
	if (e == 0)
		e = kv_gen_commit_text(&text);
	if (e < 0)
		return e;
	add(st, b, KV_EDIT_DIR, dir, 0700);
	add_text(st, b, kv_join(st->a, dir, "journal"), &text);
	for (size_t i = 0; i < b->gen->steps.n; i++) {
		const struct kv_step *step = &b->gen->steps.v[i];

		if (step->pre.type != KV_SNAP_ABSENT)
			add(st, b, KV_EDIT_NAME, kv_join(st->a, dir, step->backup), 0)->text =
				step->path;
	}
	return 0;
}

static void add_step(struct state *st, struct kv_bake *b, const struct kv_step *step,
		     const struct kv_op *op)
{
	static const enum kv_edit_kind kinds[_KV_OP_COUNT] = {
		[KV_OP_MKDIR] = KV_EDIT_DIR,
		[KV_OP_FILE] = KV_EDIT_FILE,
		[KV_OP_SYMLINK] = KV_EDIT_LINK,
		[KV_OP_REMOVE] = KV_EDIT_REMOVE,
	};
	struct kv_edit *e = add(st, b, kinds[op->kind], step->path, step->post.mode);

	e->uid = step->post.uid;
	e->gid = step->post.gid;
	e->text = step->post.link;
	if (op->kind == KV_OP_FILE) {
		e->content = op->content;
		e->source_fd = op->source_fd;
		e->keep_xattrs = step->pre.type == KV_SNAP_FILE;
	}
}

int kv_bake_plan(struct kv_arena *a, struct kv_root *image, const kv_ops *ops, struct kv_bake *ret,
		 struct kv_err *err)
{
	const struct kv_gen_view view = { image, view_entry, view_dir, /* all_owners= */ true };
	struct state st = { .a = a, .image = image };
	int e;

	*ret = (struct kv_bake){ .gen = kv_gen_new(a) };
	e = find_state(&st, err);
	if (e == 0)
		e = kv_gen_plan(a, &view, ops, ret->gen, err);
	if (e < 0)
		return e;
	if (++st.number > MAX_NUMBER)
		return kv_err(err, -EOVERFLOW, "%s: too many generations", KV_STATE_DIR);
	e = add_state(&st, ret);
	if (e == 0)
		e = add_journal(&st, ret);
	for (size_t i = 0; e == 0 && i < ops->n; i++)
		add_step(&st, ret, &ret->gen->steps.v[i], &ops->v[i]);
	return e < 0 ? kv_err(err, e, "the journal: %s", strerror(-e)) : 0;
}

int kv_bake_verify(struct kv_root *baked, const struct kv_bake *b, struct kv_err *err)
{
	const struct kv_step *step;

	kv_vec_each (step, &b->gen->steps) {
		struct kv_snap now;
		const char *diff;
		int e = snap(baked, step->path, &now, err);

		if (e < 0)
			return e;
		diff = kv_snap_diff(&step->post, &now);
		if (diff)
			return kv_err(err, -ESTALE, "%s: not as it was to be: %s", step->path,
				      diff);
	}
	return 0;
}
