/* Questions to this machine or to a recorded one. */
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "inspect/sysroot.h"

#define MAX_TEXT  ((size_t)1 << 20)
#define MAX_ERRNO 133 /* EHWPOISON, the last of Linux */

struct kv_sysroot {
	struct kv_arena *arena;
	struct kv_root *root;
	const char *path;     /* NULL for this machine */
	struct kv_map *index; /* "error PATH", "device PATH" -> the rest of the line */
	struct kv_env env;
	bool has_env, has_no_host;
	kv_askeds asked;
	kv_untolds untold;
};

/* ---- the index of a recorded tree ---- */

static int errno_of(const char *name)
{
	for (int e = 1; e <= MAX_ERRNO; e++)
		if (strerrorname_np(e) && kv_streq(strerrorname_np(e), name))
			return e;
	return EIO;
}

/* "device PATH ANSWER", "error PATH ERRNO", "env NAME=VALUE"; other words are for later versions.
 */
static void take_line(struct kv_sysroot *s, const char *line)
{
	size_t word = strcspn(line, " "), operand;

	if (strncmp(line, "env ", 4) == 0 && strchr(line + 4, '=')) {
		kv_env_put(s->arena, &s->env, kv_strdup(s->arena, line + 4));
		s->has_env = true;
		return;
	}
	if (kv_streq(line, KV_SYSROOT_NO_HOST))
		s->has_no_host = true;
	if (line[0] == '#' || !line[word])
		return;
	operand = strcspn(line + word + 1, " ");
	if (line[word + 1 + operand])
		*kv_map_slot(s->index, kv_strndup(s->arena, line, word + 1 + operand)) =
			kv_strdup(s->arena, line + word + 1 + operand + 1);
}

static int read_index(struct kv_sysroot *s, struct kv_err *err)
{
	struct kv_span text;
	const char *line;
	int e = kv_root_slurp(s->root, "/" KV_SYSROOT_INDEX, MAX_TEXT, &text);

	if (e == -ENOENT)
		return 0; /* files alone: a tree that somebody copied by hand */
	if (e < 0)
		return kv_err(err, e, "%s/" KV_SYSROOT_INDEX ": %s", s->path, strerror(-e));
	line = (const char *)text.p;
	if (!kv_starts(line, KV_SYSROOT_INDEX " 1\n"))
		return kv_err(err, -EPROTO,
			      "%s/" KV_SYSROOT_INDEX
			      ": no index of this version: the first line is not \"%s 1\"",
			      s->path, KV_SYSROOT_INDEX);
	while (*line) {
		size_t n = strcspn(line, "\n");

		take_line(s, kv_strndup(s->arena, line, n));
		line += n + (line[n] == '\n');
	}
	return 0;
}

static const char *recorded(const struct kv_sysroot *s, const char *word, const char *path)
{
	return s->index ? kv_map_get(s->index, kv_strf(s->arena, "%s %s", word, path)) : NULL;
}

static int recorded_error(const struct kv_sysroot *s, const char *path)
{
	const char *name = recorded(s, "error", path);

	return name ? -errno_of(name) : 0;
}

/* ---- opening ---- */

int kv_sysroot_open(struct kv_arena *a, const char *path, struct kv_sysroot **ret,
		    struct kv_err *err)
{
	struct kv_sysroot *s = kv_new(a, struct kv_sysroot);
	int e;

	s->arena = a;
	s->path = path;
	e = kv_root_open(a, path ? path : "/", &s->root, err);
	if (e < 0)
		return e;
	if (path) {
		s->index = kv_map_new(a);
		e = read_index(s, err);
	}
	if (e < 0) {
		kv_root_close(s->root);
		return e;
	}
	*ret = s;
	return 0;
}

void kv_sysroot_close(struct kv_sysroot *s)
{
	if (s)
		kv_root_close(s->root);
}

struct kv_arena *kv_sysroot_arena(const struct kv_sysroot *s)
{
	return s->arena;
}

const char *kv_sysroot_path(const struct kv_sysroot *s)
{
	return s->path;
}

struct kv_root *kv_sysroot_files(const struct kv_sysroot *s)
{
	return s->root;
}

const kv_askeds *kv_sysroot_asked(const struct kv_sysroot *s)
{
	return &s->asked;
}

bool kv_sysroot_has_host(const struct kv_sysroot *s)
{
	return !s->has_no_host;
}

const struct kv_env *kv_sysroot_env(const struct kv_sysroot *s)
{
	return s->has_env ? &s->env : NULL;
}

/* ---- files ---- */

const kv_untolds *kv_sysroot_untold(const struct kv_sysroot *s)
{
	return &s->untold;
}

static void add_untold(struct kv_sysroot *s, const char *path, const char *why)
{
	for (size_t i = 0; i < s->untold.n; i++)
		if (kv_streq(s->untold.v[i].path, path))
			return;
	kv_vec_push(s->arena, &s->untold, ((struct kv_untold){ kv_strdup(s->arena, path), why }));
}

void kv_sysroot_odd(struct kv_sysroot *s, const char *path)
{
	add_untold(s, path, "what it holds is not of its kind");
}

static int answer(struct kv_sysroot *s, enum kv_question question, const char *path, int error,
		  const char *text)
{
	/* EINVAL is what is said of no link, and of an attribute that has no value now. */
	if (error < 0 && error != -ENOENT && error != -ENOTDIR && error != -EINVAL &&
	    question != KV_ASKED_NODE)
		add_untold(s, path, strerror(-error));
	kv_vec_push(s->arena, &s->asked,
		    ((struct kv_asked){ question, kv_strdup(s->arena, path), error, text, { 0 } }));
	return error;
}

static int read_text(struct kv_sysroot *s, const char *path, const char **ret)
{
	struct kv_span text;
	int e = recorded_error(s, path);

	if (e == 0)
		e = kv_root_slurp(s->root, path, MAX_TEXT, &text);
	/* No attribute of sysfs is less than a newline: a copy that got nothing of it. */
	if (e == 0 && !text.n && s->path && kv_starts(path, "/sys/"))
		e = -ENODATA;
	if (e < 0)
		return answer(s, KV_ASKED_TEXT, path, e, NULL);
	if (text.n && text.p[text.n - 1] == '\n')
		text.n--;
	*ret = kv_strndup(s->arena, (const char *)text.p, text.n);
	return answer(s, KV_ASKED_TEXT, path, 0, *ret);
}

const char *kv_sysroot_value(struct kv_sysroot *s, const char *dir, const char *name)
{
	const char *text = NULL;

	return read_text(s, kv_join(s->arena, dir, name), &text) < 0 ? NULL : text;
}

int kv_sysroot_list(struct kv_sysroot *s, const char *path, kv_dirents *ret)
{
	int e = recorded_error(s, path);

	if (e == 0)
		e = kv_root_list(s->root, path, ret);
	return answer(s, KV_ASKED_LIST, path, e, NULL);
}

int kv_sysroot_real(struct kv_sysroot *s, const char *path, const char **ret)
{
	int e = recorded_error(s, path);

	if (e == 0)
		e = kv_root_real(s->root, path, 0, ret);
	return answer(s, KV_ASKED_REAL, path, e, NULL);
}

const char *kv_sysroot_target(struct kv_sysroot *s, const char *path)
{
	const char *text;
	int e = recorded_error(s, path);

	if (e == 0)
		e = kv_root_readlink(s->root, path, &text);
	return answer(s, KV_ASKED_LINK, path, e, NULL) < 0 ? NULL : kv_basename(text);
}

/* ---- device nodes ---- */

/*
 * Only a device of the number that sysfs gives is opened: opening it has no effect, and is what
 * tells of the device cgroup and of a card that does not answer.
 */
static void probe_node(const char *path, const char *number, struct kv_node *ret)
{
	struct stat st;
	char have[32];
	int fd;

	*ret = (struct kv_node){ 0 };
	if (stat(path, &st) < 0) {
		ret->error = errno;
		ret->there = errno != ENOENT && errno != ENOTDIR;
		return;
	}
	ret->there = true;
	snprintf(have, sizeof(have), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	ret->right = S_ISCHR(st.st_mode) && (!number || kv_streq(have, number));
	if (!ret->right) {
		ret->error = ENXIO;
	} else if (!number) {
		ret->error = access(path, R_OK | W_OK) < 0 ? errno : 0;
	} else {
		fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		ret->error = fd < 0 ? errno : 0;
		kv_closep(&fd);
	}
}

/* "ok", "absent", "wrong" for a node of another number, or the errno of open(2). */
static void replay_node(struct kv_sysroot *s, const char *path, struct kv_node *ret)
{
	const char *answer = recorded(s, "device", path);
	struct kv_stat st;

	/* A tree without an answer: that something stands there is all that it says. */
	if (!answer)
		answer = kv_root_stat(s->root, path, 0, &st) == 0 ? "ok" : "absent";
	*ret = (struct kv_node){ .there = !kv_streq(answer, "absent"),
				 .right = !kv_streq(answer, "absent") &&
					  !kv_streq(answer, "wrong") };
	if (kv_streq(answer, "absent"))
		ret->error = ENOENT;
	else if (kv_streq(answer, "wrong"))
		ret->error = ENXIO;
	else if (!kv_streq(answer, "ok"))
		ret->error = errno_of(answer);
}

void kv_sysroot_node(struct kv_sysroot *s, const char *path, const char *number,
		     struct kv_node *ret)
{
	if (s->path)
		replay_node(s, path, ret);
	else
		probe_node(path, number, ret);
	answer(s, KV_ASKED_NODE, path, -ret->error, NULL);
	s->asked.v[s->asked.n - 1].node = *ret;
}
