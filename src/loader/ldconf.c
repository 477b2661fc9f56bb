/*
 * What ldconfig is told: /etc/ld.so.conf with its includes, as parse_conf(), parse_conf_include()
 * and add_dir_1() of glibc's elf/ldconfig.c read it. ld.so itself never does: a directory that is
 * named here but not in ld.so.cache is not searched, which is what kv_cache_note() tells.
 */
#include <ctype.h>

#include "loader/internal.h"

#define CONF_PATH    "/etc/ld.so.conf"
#define MAX_FILE     ((size_t)1 << 20)
#define MAX_FILES    1024 /* read, includes of includes counted */
#define MAX_DEPTH    32   /* of includes; ldconfig itself stops when it has no descriptors left */
#define MAX_DIRS     1024
#define MAX_LISTINGS 256 /* directories that patterns make it list */
#define MAX_PATTERN  4096

#define SINCE_NO_TYPES 37 /* "=libc6" is a part of the name since libc4 and libc5 are gone */

struct reader {
	struct kv_loader *l;
	struct kv_ldconf *conf;
	struct kv_map *seen; /* files that were read: a second time they would add nothing */
	unsigned files, listings;
};

static void read_conf(struct reader *r, const char *path, unsigned depth);

static void limit(struct reader *r, const char *which)
{
	if (!r->conf->limit)
		r->conf->limit = which;
}

/* ---- glob(3) with no flags ---- */

static char *child(struct kv_arena *a, const char *dir, const char *name)
{
	return kv_join(a, *dir ? dir : "/", name);
}

/* One step of a pattern: the paths that match its first components become those that match one
 * more. */
static void glob_step(struct reader *r, const char *component, bool last, kv_strv *paths)
{
	struct kv_arena *a = r->l->arena;
	kv_strv next = { 0 };
	kv_dirents entries;

	for (size_t i = 0; i < paths->n; i++) {
		entries = (kv_dirents){ 0 };
		if (r->listings++ >= MAX_LISTINGS) {
			limit(r, "too many directories for its patterns");
			break;
		}
		kv_root_list(r->l->root, *paths->v[i] ? paths->v[i] : "/", &entries);
		for (size_t j = 0; j < entries.n; j++) {
			char *path;

			if (!kv_pattern_match(component, entries.v[j].name))
				continue;
			path = child(a, paths->v[i], entries.v[j].name);
			if (last || kv_root_is_dir(r->l->root, path))
				kv_vec_push(a, &next, path);
		}
	}
	*paths = next;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void glob_paths(struct reader *r, const char *pattern, kv_strv *paths)
{
	struct kv_arena *a = r->l->arena;

	*paths = (kv_strv){ 0 };
	kv_vec_push(a, paths, kv_strdup(a, ""));
	while (*pattern && paths->n) {
		size_t n = strcspn(pattern, "/");
		const char *component = kv_strndup(a, pattern, n);
		bool last = !pattern[n];

		pattern += last ? n : n + 1;
		if (!n)
			continue;
		if (strpbrk(component, "*?["))
			glob_step(r, component, last, paths);
		else
			for (size_t i = 0; i < paths->n; i++)
				paths->v[i] = child(a, paths->v[i], kv_pattern_text(a, component));
	}
	if (paths->n > 1)
		qsort(paths->v, paths->n, sizeof(paths->v[0]), by_text);
}

/* ---- the file ---- */

static void include(struct reader *r, const char *from, const char *pattern, unsigned depth)
{
	struct kv_arena *a = r->l->arena;
	kv_strv paths;

	if (strlen(pattern) > MAX_PATTERN) {
		limit(r, "a pattern is too long");
		return;
	}
	if (*pattern != '/')
		pattern = kv_join(a, kv_dirname(a, from), pattern);
	glob_paths(r, pattern, &paths);
	for (size_t i = 0; i < paths.n; i++)
		read_conf(r, paths.v[i], depth + 1);
}

/* add_dir_1(): the directory counts if it is there, once. Until 2.36 a type could follow it. */
static void add_dir(struct reader *r, const char *text, const char *file, unsigned line)
{
	struct kv_arena *a = r->l->arena;
	unsigned release = kv_loader_ldso(r->l)->version;
	size_t n = strcspn(text, release && release < SINCE_NO_TYPES ? "=" : "");
	struct kv_ldconf_dir dir = { .file = file, .line = line };
	const struct kv_ldconf_dir *known;
	struct kv_stat st, other;

	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	while (n && text[n - 1] == '/')
		n--;
	if (!n)
		return;
	/* A relative one is left to the directory where ldconfig runs; with -r that is the root. */
	dir.path = *text == '/' ? kv_strndup(a, text, n) : child(a, "/", kv_strndup(a, text, n));
	if (kv_root_stat(r->l->root, dir.path, 0, &st) < 0 || !S_ISDIR(st.mode))
		return;
	kv_vec_each (known, &r->conf->dirs)
		if (kv_root_stat(r->l->root, known->path, 0, &other) == 0 && other.dev == st.dev &&
		    other.ino == st.ino)
			return;
	if (r->conf->dirs.n >= MAX_DIRS)
		limit(r, "too many directories");
	else
		kv_vec_push(a, &r->conf->dirs, dir);
}

/* A line without its end, its comment and the blanks before it. */
static void read_line(struct reader *r, char *line, const char *file, unsigned number,
		      unsigned depth)
{
	if (strncmp(line, "include", 7) == 0 && isblank((unsigned char)line[7])) {
		char *rest = line + 8, *word;

		while ((word = strsep(&rest, " \t")))
			if (*word)
				include(r, file, word, depth);
		return;
	}
	if (strncasecmp(line, "hwcap", 5) == 0 && isblank((unsigned char)line[5]))
		return;
	add_dir(r, line, file, number);
}

/* The same for every spelling of a file's directory, which "../" could make ever longer. */
static const char *key_of(struct reader *r, const char *path)
{
	struct kv_arena *a = r->l->arena;
	const char *dir;

	if (kv_root_real(r->l->root, kv_dirname(a, path), 0, &dir) < 0)
		return path;
	return kv_join(a, dir, kv_basename(path));
}

static void read_conf(struct reader *r, const char *path, unsigned depth)
{
	struct kv_arena *a = r->l->arena;
	void **seen = kv_map_slot(r->seen, key_of(r, path));
	struct kv_span s;
	unsigned number = 0;
	int e;

	if (*seen)
		return;
	*seen = r;
	if (depth > MAX_DEPTH || r->files++ >= MAX_FILES) {
		limit(r, "too many includes");
		return;
	}
	e = kv_root_slurp(r->l->root, path, MAX_FILE, &s);
	if (e == -EFBIG)
		limit(r, "a file is too large");
	if (e < 0)
		return;
	for (size_t at = 0, n; at < s.n; at += n + 1) {
		size_t end = kv_span_find(s, at, "\n", 1), skip = 0;
		char *line;

		n = end - at;
		line = kv_strndup(a, (const char *)s.p + at, n); /* a NUL ends it, too */
		line[strcspn(line, "#")] = '\0';
		while (isspace((unsigned char)line[skip]))
			skip++;
		number++;
		if (line[skip])
			read_line(r, line + skip, path, number, depth);
	}
}

const struct kv_ldconf *kv_ldconf(struct kv_loader *l)
{
	struct reader r = { .l = l };

	if (l->ldconf)
		return l->ldconf;
	r.conf = kv_new(l->arena, struct kv_ldconf);
	r.seen = kv_map_new(l->arena);
	l->ldconf = r.conf;
	read_conf(&r, CONF_PATH, 0);
	return l->ldconf;
}

/* ---- what it would enter in the cache ---- */

/* _dl_is_dso() */
static bool is_dso(const char *name)
{
	return (kv_starts(name, "lib") || kv_starts(name, "ld-") || kv_starts(name, "ld.so.") ||
		kv_starts(name, "ld64.so.")) &&
	       strstr(name, ".so");
}

/* search_dir(), of one file: whether the cache would have an entry of that name for it. */
static bool enters(struct kv_loader *l, const char *path, const char *name)
{
	const char *file = kv_basename(path), *soname;
	const struct kv_elf *e = is_dso(file) ? kv_loader_elf(l, path, NULL) : NULL;
	struct kv_stat st;

	if (!e || e->read_error || e->too_short || e->type != ET_DYN || e->machine != l->machine ||
	    e->is64 != l->is64 || e->be != l->be)
		return false;
	soname = e->soname ? e->soname : file;
	if (kv_streq(soname, name))
		return true;
	/* The link that ld(1) follows, libx.so, is entered under its own name. */
	return kv_streq(file, name) && kv_ends(name, ".so") && kv_starts(soname, name) &&
	       kv_root_stat(l->root, path, KV_NOFOLLOW, &st) == 0 && S_ISLNK(st.mode);
}

static const char *dir_holds(struct kv_loader *l, const char *dir, const char *name)
{
	const char *path = kv_join(l->arena, dir, name);
	kv_dirents entries = { 0 };
	size_t n = strlen(name);

	if (enters(l, path, name))
		return path;
	/* Without the link by the SONAME, which ldconfig makes: libx.so.1.2.3 for libx.so.1. */
	kv_root_list(l->root, dir, &entries);
	for (size_t i = 0; i < entries.n; i++) {
		if (!kv_starts(entries.v[i].name, name) || entries.v[i].name[n] != '.')
			continue;
		path = kv_join(l->arena, dir, entries.v[i].name);
		if (enters(l, path, name))
			return path;
	}
	return NULL;
}

static bool is_default(struct kv_loader *l, const char *dir)
{
	const kv_strv *dirs = &kv_loader_ldso(l)->dirs;
	size_t n = strlen(dir);

	for (size_t i = 0; i < dirs->n; i++)
		if (strncmp(dirs->v[i], dir, n) == 0 && kv_streq(dirs->v[i] + n, "/"))
			return true;
	return false;
}

const char *kv_ldconf_holds(struct kv_loader *l, const char *name)
{
	const struct kv_ldconf *conf = kv_ldconf(l);
	const struct kv_ldconf_dir *dir;
	const char *path;

	if (strchr(name, '/'))
		return NULL;
	kv_vec_each (dir, &conf->dirs) {
		path = is_default(l, dir->path) ? NULL : dir_holds(l, dir->path, name);
		if (path)
			return path;
	}
	return NULL;
}

const char *kv_cache_note(struct kv_loader *l, const char *name, const char *path)
{
	const char *fault = kv_cache_fault(l), *held;
	struct kv_stat st;

	if (path && kv_root_stat(l->root, path, 0, &st) < 0)
		return kv_strf(l->arena, "stale: it names %s, which is not there", path);
	if (path)
		return "listed";
	held = kv_ldconf_holds(l, name);
	if (!held)
		return fault ? fault : "not listed";
	return kv_strf(l->arena,
		       "%s, though %s lies in a directory of " CONF_PATH
		       ": ldconfig has not run since",
		       fault ? fault : "not listed", held);
}
