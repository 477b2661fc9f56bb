/* The state directory's coming and going: see state.h for what is in it and what guards it. */
#include <sys/xattr.h>

#include "repair/gen.h"

#define DEPTH     3 /* components of KV_STATE_DIR */
#define MAKING_US 50000

static const char state_path[] = KV_STATE_DIR "/state";

/* The directories from the root to the state directory; the first `depth` components. */
static const char *const prefixes[DEPTH + 1] = { "/", "/var", "/var/lib", KV_STATE_DIR };

/* user.* where the file system has it; tmpfs before Linux 6.6 has trusted.* only, which root may
 * set. */
static const char *const guards[] = { "user.kvpath.guard", "trusted.kvpath.guard" };

/* ---- the guard ---- */

static json_t *state_record(const struct kv_state *s)
{
	return json_pack("{s:s,s:i,s:I,s:o,s:o}", "rec", "state", "version", 1, "made",
			 (json_int_t)s->made, "atime", kv_record_time(s->times[0]), "mtime",
			 kv_record_time(s->times[1]));
}

int kv_state_text(const struct kv_state *s, struct kv_buf *ret)
{
	return kv_record_add(ret, state_record(s));
}

static bool state_record_get(const json_t *o, struct kv_state *s)
{
	uint64_t made, version;

	if (!kv_record_is(o, "state") || !kv_record_get_uint(o, "version", 1, &version) ||
	    !kv_record_get_uint(o, "made", DEPTH, &made) ||
	    !kv_record_get_time(o, "atime", &s->times[0]) ||
	    !kv_record_get_time(o, "mtime", &s->times[1]))
		return false;
	s->made = (unsigned)made;
	return true;
}

/* Best effort: without one, see state.h. */
static int guard_set(const struct kv_state *s, int base)
{
	_buf_ struct kv_buf line = { 0 };
	int r = kv_record_add(&line, state_record(s));

	for (size_t i = 0; r == 0 && i < KV_ARRAY_SIZE(guards) && !kv_tree_test.no_xattr; i++) {
		r = kv_tree_setxattr(base, guards[i], line.text, line.n);
		if (r == 0)
			return kv_tree_sync(base);
		r = r == -ENOTSUP || r == -EPERM || r == -EACCES || r == -ENOSPC ? 0 : r;
	}
	return r;
}

static int guard_clear(int base)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(guards); i++) {
		if (fgetxattr(base, guards[i], NULL, 0) >= 0) {
			int r = kv_tree_removexattr(base, guards[i]);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static bool guard_get(int base, struct kv_state *ret)
{
	char text[512];

	for (size_t i = 0; i < KV_ARRAY_SIZE(guards); i++) {
		ssize_t n = fgetxattr(base, guards[i], text, sizeof(text));
		_json_ json_t *o = n > 0 ? kv_record_parse(text, (size_t)n) : NULL;

		if (state_record_get(o, ret))
			return true;
	}
	return false;
}

/* ---- removal ---- */

static int unlink_if_there(int dir, const char *name)
{
	int r = kv_tree_unlink(dir, name);

	return r == -ENOENT ? 0 : r;
}

/*
 * Removes what making has made, and puts the times of the directory above back. What someone else
 * has put into one of our directories meanwhile stays, and with it the directory.
 */
static int clean(struct kv_state *s, int base, struct kv_err *err)
{
	_close_ int dir = -EBADF;
	int r = kv_tree_dir(s->root, KV_STATE_DIR, &dir, err);

	if (r < 0 && r != -ENOENT)
		return r;
	/* Without a lock they may be another's. */
	if (dir >= 0 && (s->flocked || s->lock >= 0)) {
		if ((r = unlink_if_there(dir, "lock")) < 0)
			return kv_tree_err(err, r, "remove", KV_STATE_DIR "/lock");
		if ((r = unlink_if_there(dir, "state")) < 0)
			return kv_tree_err(err, r, "remove", state_path);
	}
	for (unsigned depth = DEPTH; depth > DEPTH - s->made; depth--) {
		_close_ int parent = -EBADF;
		const char *name;

		r = kv_tree_parent(s->root, prefixes[depth], &parent, &name, err);
		if (r == 0)
			r = kv_tree_rmdir(parent, name);
		if (r == -ENOTEMPTY || r == -EEXIST)
			return guard_clear(base);
		if (r < 0 && r != -ENOENT)
			return kv_tree_err(err, r, "remove", prefixes[depth]);
	}
	r = kv_tree_times(base, s->times);
	if (r == 0)
		r = kv_tree_sync(base);
	if (r == 0)
		r = guard_clear(base);
	return r < 0 ? kv_tree_err(err, r, "set the times of", prefixes[DEPTH - s->made]) : 0;
}

static void close_state(struct kv_state *s)
{
	kv_closep(&s->file);
	kv_closep(&s->lock);
	kv_closep(&s->dir);
	s->file = s->lock = s->dir = -EBADF;
	s->made = 0;
	s->undo = false;
}

int kv_state_remove(struct kv_state *s, struct kv_err *err)
{
	const char *path = prefixes[DEPTH - s->made];
	_close_ int base = -EBADF;
	int r = kv_tree_dir(s->root, path, &base, err);

	if (r < 0)
		return r;
	r = guard_set(s, base);
	if (r < 0)
		return kv_tree_err(err, r, "set an attribute of", path);
	r = clean(s, base, err);
	if (r == 0)
		close_state(s);
	return r;
}

/* ---- opening ---- */

static void read_forced(struct kv_state *s, const json_t *undo)
{
	const json_t *list = json_object_get(undo, "force");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *path = kv_record_text(s->a, json_string_value(json_array_get(list, i)));

		if (path)
			kv_vec_push(s->a, &s->forced, kv_strdup(s->a, path));
	}
}

/* Opens and reads the state file; s->file stays closed where there is no good one. */
static int read_state(struct kv_state *s, int flags, struct kv_err *err)
{
	_close_ int fd = openat(s->dir, "state", flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_json_ json_t *records = NULL;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : kv_tree_err(err, -errno, "open", state_path);
	r = kv_record_read(fd, state_path, &records, &s->file_size, err);
	if (r < 0 || !state_record_get(json_array_get(records, 0), s))
		return r;
	for (size_t i = 1; i < json_array_size(records); i++)
		if (kv_record_is(json_array_get(records, i), "undo")) {
			s->undo = true;
			read_forced(s, json_array_get(records, i));
		}
	s->file = kv_steal_fd(&fd);
	return 0;
}

/*
 * A guard without a good state file is what a crash has left of making or removing the directory.
 * peek: only say so, in s->unfinished.
 */
static int finish_guarded(struct kv_state *s, bool peek, struct kv_err *err)
{
	for (unsigned depth = 0; depth <= DEPTH; depth++) {
		_close_ int base = -EBADF;
		struct kv_state old = *s;
		int r = kv_tree_dir(s->root, prefixes[depth], &base, err);

		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return r;
		if (!guard_get(base, &old) || old.made != DEPTH - depth)
			continue;
		r = kv_tree_dir(s->root, KV_STATE_DIR, &old.dir, err);
		/* With that lock alone, its holder may be at it. */
		if (r == 0 && !peek && !s->flocked)
			r = kv_state_lock_file(&old, err);
		if (r == 0)
			r = read_state(&old, O_RDONLY, err);
		if (r == -ENOENT)
			r = 0;
		if (r == 0 && old.file < 0) {
			s->unfinished = peek;
			s->finished = !peek;
			r = peek ? 0 : clean(&old, base, err);
		}
		close_state(&old);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load(struct kv_state *s, bool peek, struct kv_err *err)
{
	int r = kv_tree_dir(s->root, KV_STATE_DIR, &s->dir, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* Taking the lock writes, so see first that there is something to lock. */
	r = read_state(s, peek ? O_RDONLY : O_RDWR, err);
	if (r < 0 || s->file < 0 || peek)
		return r;
	r = kv_state_lock_file(s, err);
	if (r < 0)
		return r;
	kv_closep(&s->file);
	s->file = -EBADF;
	return read_state(s, O_RDWR, err);
}

static int open_root(struct kv_state *s, struct kv_arena *a, int root_fd, struct kv_err *err)
{
	*s = (struct kv_state){ .a = a, .dir = -EBADF, .lock = -EBADF, .file = -EBADF };
	s->root = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->root < 0 ? kv_tree_err(err, -errno, "open", "/") : 0;
}

static int load_checked(struct kv_state *s, bool peek, struct kv_err *err)
{
	kv_gen_numbers numbers = { 0 };
	int r = load(s, peek, err);

	if (r < 0 || s->file >= 0 || s->dir < 0)
		return r;
	/* Not a directory that kvpath has begun to use, or one whose main file was lost. */
	r = kv_gen_numbers_read(s->a, s->dir, &numbers, err);
	if (r == 0 && numbers.n)
		r = kv_err(err, -EBADMSG, "%s: missing or damaged; nothing was changed",
			   state_path);
	close_state(s);
	return r;
}

int kv_state_open(struct kv_state *s, struct kv_arena *a, int root_fd, struct kv_err *err)
{
	int r = open_root(s, a, root_fd, err);

	if (r == 0)
		r = kv_state_lock_root(s, /* shared= */ false, err);
	if (r == 0)
		r = finish_guarded(s, /* peek= */ false, err);
	return r == 0 ? load_checked(s, /* peek= */ false, err) : r;
}

int kv_state_share(struct kv_state *s, struct kv_arena *a, int root_fd, struct kv_err *err)
{
	int r = open_root(s, a, root_fd, err);

	return r == 0 ? kv_state_lock_root(s, /* shared= */ true, err) : r;
}

int kv_state_peek(struct kv_state *s, struct kv_arena *a, int root_fd, struct kv_err *err)
{
	int r = open_root(s, a, root_fd, err);

	if (r == 0)
		r = finish_guarded(s, /* peek= */ true, err);
	return r == 0 ? load_checked(s, /* peek= */ true, err) : r;
}

void kv_state_close(struct kv_state *s)
{
	close_state(s);
	kv_closep(&s->root);
	s->root = -EBADF;
}

/* ---- making ---- */

/* The components of KV_STATE_DIR that are missing, with the owner of the directory above them. */
static int make_dirs(struct kv_state *s, const struct stat *above, struct kv_err *err)
{
	for (unsigned depth = DEPTH - s->made + 1; depth <= DEPTH; depth++) {
		/* Backups may be set-id programs: nobody else may reach them. */
		uint32_t mode = depth == DEPTH ? 0700 : 0755;
		_close_ int parent = -EBADF;
		_close_ int fd = -EBADF;
		const char *name;
		int r = kv_tree_parent(s->root, prefixes[depth], &parent, &name, err);

		if (r < 0)
			return r;
		r = kv_tree_mkdir(parent, name, mode);
		if (r < 0 && r != -EEXIST)
			return kv_tree_err(err, r, "make", prefixes[depth]);
		r = kv_tree_dir(s->root, prefixes[depth], &fd, err);
		if (r < 0)
			return r;
		r = kv_tree_own_fd(fd, above->st_uid, above->st_gid, mode);
		/* Only root can give them away. */
		if (r < 0 && r != -EPERM)
			return kv_tree_err(err, r, "set the owner of", prefixes[depth]);
		r = kv_tree_sync(parent);
		if (r < 0)
			return kv_tree_err(err, r, "sync", prefixes[depth - 1]);
	}
	return kv_tree_dir(s->root, KV_STATE_DIR, &s->dir, err);
}

static int write_state(struct kv_state *s, struct kv_err *err)
{
	int r = unlink_if_there(s->dir, "state");

	if (r == 0)
		s->file = r = kv_tree_create(s->dir, "state");
	if (r < 0)
		return kv_tree_err(err, r, "make", state_path);
	s->file_size = 0;
	r = kv_record_append(s->file, &s->file_size, state_record(s), state_path, err);
	if (r < 0)
		return r;
	r = kv_tree_sync(s->dir);
	return r < 0 ? kv_tree_err(err, r, "sync", KV_STATE_DIR) : 0;
}

static int make_guarded(struct kv_state *s, int base, const struct stat *above, struct kv_err *err)
{
	int r = guard_set(s, base);

	if (r < 0)
		return kv_tree_err(err, r, "set an attribute of", prefixes[DEPTH - s->made]);
	r = make_dirs(s, above, err);
	if (r == 0)
		r = kv_state_lock_file(s, err);
	/* Where only that lock works, another kvpath may have made the directory meanwhile, and
	 * used it. */
	if (r == 0)
		r = read_state(s, O_RDWR, err);
	if (r == 0 && s->file >= 0) {
		guard_clear(base);
		return kv_err(err, -EAGAIN,
			      KV_STATE_DIR ": another kvpath has just ended its work; try "
					   "again");
	}
	if (r == 0)
		r = write_state(s, err);
	if (r == 0 && (r = guard_clear(base)) < 0)
		r = kv_tree_err(err, r, "remove an attribute of", prefixes[DEPTH - s->made]);
	return r;
}

/*
 * Whether another kvpath is making the directory, whose next component was missing below `depth`:
 * the times of the one above, if it was changed since, are none to put back. Only without flock.
 */
static bool is_being_made(const struct kv_state *s, unsigned depth)
{
	_close_ int next = -EBADF;

	if (depth < DEPTH && kv_tree_dir(s->root, prefixes[depth + 1], &next, NULL) != -ENOENT)
		return true;
	for (unsigned i = 0; i <= depth; i++) {
		_close_ int base = -EBADF;
		struct kv_state other;

		if (kv_tree_dir(s->root, prefixes[i], &base, NULL) == 0 &&
		    guard_get(base, &other) && other.made == DEPTH - i)
			return true;
	}
	return false;
}

int kv_state_make(struct kv_state *s, struct kv_err *err)
{
	_close_ int base = -EBADF;
	unsigned depth = DEPTH;
	struct stat st;
	int r;

	if (s->file >= 0)
		return 0;
	while ((r = kv_tree_dir(s->root, prefixes[depth], &base, err)) == -ENOENT && depth > 0)
		depth--;
	if (r < 0)
		return r;
	if (fstat(base, &st) < 0)
		return kv_tree_err(err, -errno, "stat", prefixes[depth]);
	if (!s->flocked && is_being_made(s, depth)) {
		usleep(MAKING_US); /* until it has the lock file */
		return kv_err(err, -EAGAIN,
			      KV_STATE_DIR ": another kvpath has just begun its work; try again");
	}
	s->made = DEPTH - depth;
	s->times[0] = st.st_atim;
	s->times[1] = st.st_mtim;
	r = make_guarded(s, base, &st, err);
	if (r < 0) {
		/* The error that counts is the first. */
		if (s->file < 0 || r != -EAGAIN)
			clean(s, base, NULL);
		close_state(s);
	}
	return r;
}

int kv_state_begin_undo(struct kv_state *s, const kv_strv *forced, struct kv_err *err)
{
	json_t *list = json_array();
	int r;

	for (size_t i = 0; i < forced->n; i++)
		json_array_append_new(list, kv_record_bytes(forced->v[i]));
	r = kv_record_append(s->file, &s->file_size,
			     json_pack("{s:s,s:o}", "rec", "undo", "force", list), state_path, err);
	s->undo = r == 0;
	s->forced = *forced;
	return r;
}
