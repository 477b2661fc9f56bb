/* Generations on the disk: see gen.h for their form. */
#include <sys/random.h>

#include "repair/gen.h"

#define NUMBER_DIGITS 6
#define MAX_NUMBER    999999
#define MAX_STEPS     100000
#define TAG_CHARS     16

static const char *const op_names[_KV_OP_COUNT] = {
	[KV_OP_MKDIR] = "mkdir",
	[KV_OP_FILE] = "file",
	[KV_OP_SYMLINK] = "symlink",
	[KV_OP_REMOVE] = "remove",
};

static const char *gen_path(struct kv_state *s, const struct kv_gen *g, const char *name)
{
	return kv_strf(s->a, "%s/%s%s%s", KV_STATE_DIR, g->name, *name ? "/" : "", name);
}

static int by_number(const void *x, const void *y)
{
	unsigned a = *(const unsigned *)x, b = *(const unsigned *)y;

	return (a > b) - (a < b);
}

int kv_gen_numbers_read(struct kv_arena *a, int state_dir, kv_gen_numbers *ret, struct kv_err *err)
{
	DIR *d = kv_tree_list(state_dir);
	kv_gen_numbers all = { 0 };
	struct dirent *e;

	if (!d)
		return kv_tree_err(err, -errno, "read", KV_STATE_DIR);
	while ((e = readdir(d)))
		if (strlen(e->d_name) == NUMBER_DIGITS &&
		    strspn(e->d_name, "0123456789") == NUMBER_DIGITS)
			kv_vec_push(a, &all, (unsigned)strtoul(e->d_name, NULL, 10));
	closedir(d);
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), by_number);
	*ret = all;
	return 0;
}

/* ---- building ---- */

struct kv_gen *kv_gen_new(struct kv_arena *a)
{
	struct kv_gen *g = kv_new(a, struct kv_gen);
	uint64_t random = 0;

	g->dir = g->file = -EBADF;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random)) {
		struct timespec t;

		/* It has to be unlike other names in a directory, not secret. */
		clock_gettime(CLOCK_REALTIME, &t);
		random = (uint64_t)t.tv_sec << 32 ^ (uint64_t)t.tv_nsec ^ (uint64_t)getpid() << 40;
	}
	g->tag = kv_strf(a, "%016llx", (unsigned long long)random);
	return g;
}

struct kv_step *kv_gen_add_step(struct kv_arena *a, struct kv_gen *g)
{
	size_t n = g->steps.n;
	struct kv_step *st = kv_vec_add(a, &g->steps);

	st->temp = kv_strf(a, ".kvpath-%s-%zu.new", g->tag, n);
	st->aside = kv_strf(a, ".kvpath-%s-%zu.old", g->tag, n);
	st->backup = kv_strf(a, "old.%zu", n);
	return st;
}

/* ---- reading ---- */

static bool parse_step(struct kv_arena *a, struct kv_gen *g, const json_t *o)
{
	const char *op = json_string_value(json_object_get(o, "op"));
	const char *path = kv_record_get_bytes(a, o, "path");
	struct kv_step step = { .kind = _KV_OP_COUNT };
	struct kv_step *st;

	for (unsigned i = 0; op && i < _KV_OP_COUNT; i++)
		if (kv_streq(op, op_names[i]))
			step.kind = (enum kv_op_kind)i;
	if (step.kind == _KV_OP_COUNT || !path || kv_tree_path_check(path, NULL) < 0 ||
	    g->steps.n >= MAX_STEPS || !kv_record_get_snap(a, o, "pre", &step.pre) ||
	    !kv_record_get_snap(a, o, "post", &step.post))
		return false;
	st = kv_gen_add_step(a, g);
	st->kind = step.kind;
	st->path = path;
	st->pre = step.pre;
	st->post = step.post;
	return true;
}

static bool parse_dir(struct kv_arena *a, struct kv_gen *g, const json_t *o)
{
	struct kv_touched t = { .path = kv_record_get_bytes(a, o, "path") };

	if (!t.path || kv_tree_path_check(t.path, NULL) < 0 || g->dirs.n >= MAX_STEPS ||
	    !kv_record_get_time(o, "atime", &t.times[0]) ||
	    !kv_record_get_time(o, "mtime", &t.times[1]))
		return false;
	kv_vec_push(a, &g->dirs, t);
	return true;
}

static bool parse_record(struct kv_arena *a, struct kv_gen *g, const json_t *o, bool first)
{
	const char *tag = json_string_value(json_object_get(o, "tag"));
	uint64_t version;

	if (first) {
		/* The tag becomes part of file names. */
		if (!kv_record_is(o, "plan") || !kv_record_get_uint(o, "version", 1, &version) ||
		    !tag || strlen(tag) != TAG_CHARS ||
		    strspn(tag, "0123456789abcdef") != TAG_CHARS)
			return false;
		g->tag = kv_strdup(a, tag);
		return true;
	}
	if (kv_record_is(o, "step"))
		return parse_step(a, g, o);
	if (kv_record_is(o, "dir"))
		return parse_dir(a, g, o);
	g->ready = g->ready || kv_record_is(o, "ready");
	g->committed = g->committed || kv_record_is(o, "commit");
	return true;
}

static int load(struct kv_state *s, unsigned number, struct kv_gen *g, struct kv_err *err)
{
	_json_ json_t *records = NULL;
	const char *path;
	int r;

	g->number = number;
	snprintf(g->name, sizeof(g->name), "%0*u", NUMBER_DIGITS, number);
	path = gen_path(s, g, "journal");
	g->dir = openat(s->dir, g->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (g->dir < 0)
		return kv_tree_err(err, -errno, "open", gen_path(s, g, ""));
	g->file = openat(g->dir, "journal", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	/* For reports, the target may be read-only. */
	if (g->file < 0 && (errno == EROFS || errno == EACCES))
		g->file = openat(g->dir, "journal", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (g->file < 0)
		return errno == ENOENT ? 0 : kv_tree_err(err, -errno, "open", path);
	r = kv_record_read(g->file, path, &records, &g->file_size, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(records); i++)
		if (!parse_record(s->a, g, json_array_get(records, i), i == 0))
			return kv_err(
				err, -EBADMSG,
				"%s: record %zu is not one of this kvpath; nothing was changed",
				path, i + 1);
	return 0;
}

int kv_gen_load_all(struct kv_state *s, kv_gens *ret, struct kv_err *err)
{
	kv_gen_numbers numbers = { 0 };
	unsigned *n;
	int r;

	if (s->dir < 0)
		return 0;
	r = kv_gen_numbers_read(s->a, s->dir, &numbers, err);
	kv_vec_each (n, &numbers) {
		struct kv_gen *g = kv_gen_new(s->a);

		if (r < 0)
			break;
		kv_vec_push(s->a, ret, g);
		r = load(s, *n, g, err);
	}
	return r;
}

void kv_gen_close(struct kv_gen *g)
{
	if (!g)
		return;
	kv_closep(&g->file);
	kv_closep(&g->dir);
	g->file = g->dir = -EBADF;
}

void kv_gen_close_all(kv_gens *gens)
{
	struct kv_gen **g;

	kv_vec_each (g, gens)
		kv_gen_close(*g);
}

/* ---- writing ---- */

int kv_gen_text(const struct kv_gen *g, struct kv_buf *b)
{
	const struct kv_touched *t;
	const struct kv_step *st;
	int r = kv_record_add(
		b, json_pack("{s:s,s:i,s:s}", "rec", "plan", "version", 1, "tag", g->tag));

	kv_vec_each (st, &g->steps)
		if (r == 0)
			r = kv_record_add(b, json_pack("{s:s,s:s,s:o,s:o,s:o}", "rec", "step", "op",
						       op_names[st->kind], "path",
						       kv_record_bytes(st->path), "pre",
						       kv_record_snap(&st->pre), "post",
						       kv_record_snap(&st->post)));
	kv_vec_each (t, &g->dirs)
		if (r == 0)
			r = kv_record_add(b, json_pack("{s:s,s:o,s:o,s:o}", "rec", "dir", "path",
						       kv_record_bytes(t->path), "atime",
						       kv_record_time(t->times[0]), "mtime",
						       kv_record_time(t->times[1])));
	return r < 0 ? r : kv_record_add(b, json_pack("{s:s}", "rec", "ready"));
}

int kv_gen_commit_text(struct kv_buf *b)
{
	return kv_record_add(b, json_pack("{s:s}", "rec", "commit"));
}

static int write_plan(struct kv_state *s, struct kv_gen *g)
{
	_buf_ struct kv_buf text = { 0 };
	int r = kv_gen_text(g, &text);

	if (r == 0)
		g->file = r = kv_tree_create(g->dir, "journal");
	if (r >= 0)
		r = kv_tree_write(g->file, text.text, text.n);
	if (r == 0)
		r = kv_tree_sync(g->file);
	if (r == 0)
		r = kv_tree_sync(g->dir);
	if (r == 0)
		r = kv_tree_sync(s->dir);
	g->file_size = text.n;
	return r;
}

int kv_gen_create(struct kv_state *s, struct kv_gen *g, struct kv_err *err)
{
	kv_gen_numbers numbers = { 0 };
	int r = kv_gen_numbers_read(s->a, s->dir, &numbers, err);

	if (r < 0)
		return r;
	g->number = numbers.n ? numbers.v[numbers.n - 1] + 1 : 1;
	if (g->number > MAX_NUMBER)
		return kv_err(err, -EOVERFLOW, "%s: too many generations", KV_STATE_DIR);
	snprintf(g->name, sizeof(g->name), "%0*u", NUMBER_DIGITS, g->number);
	r = kv_tree_mkdir(s->dir, g->name, 0700);
	if (r < 0)
		return kv_tree_err(err, r, "make", gen_path(s, g, ""));
	g->dir = openat(s->dir, g->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = g->dir < 0 ? -errno : write_plan(s, g);
	if (r < 0)
		return kv_tree_err(err, r, "write", gen_path(s, g, "journal"));
	g->ready = true;
	return 0;
}

int kv_gen_commit(struct kv_gen *g, struct kv_err *err)
{
	int r = kv_record_append(g->file, &g->file_size, json_pack("{s:s}", "rec", "commit"),
				 KV_STATE_DIR "'s journal", err);

	g->committed = r == 0;
	return r;
}

/* Anything but the journal is a backup that the journal, as it could be read, does not account for.
 */
static int only_journal(struct kv_state *s, const struct kv_gen *g, struct kv_err *err)
{
	DIR *d = kv_tree_list(g->dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return kv_tree_err(err, -errno, "read", gen_path(s, g, ""));
	while (r == 0 && (e = readdir(d)))
		if (!kv_streq(e->d_name, ".") && !kv_streq(e->d_name, "..") &&
		    !kv_streq(e->d_name, "journal"))
			r = kv_err(err, -EBADMSG,
				   "%s: its journal does not account for this file; it is kept",
				   gen_path(s, g, e->d_name));
	closedir(d);
	return r;
}

int kv_gen_delete(struct kv_state *s, struct kv_gen *g, struct kv_err *err)
{
	int r = g->dir < 0 ? 0 : only_journal(s, g, err);

	if (r < 0 || g->dir < 0)
		return r;
	r = kv_tree_unlink(g->dir, "journal");
	if (r == 0 || r == -ENOENT)
		r = kv_tree_rmdir(s->dir, g->name);
	if (r == 0)
		r = kv_tree_sync(s->dir);
	kv_gen_close(g);
	return r < 0 ? kv_tree_err(err, r, "remove", gen_path(s, g, "")) : 0;
}
