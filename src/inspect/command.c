/*
 * What the job's command tells of its imports: which python it starts, and the directory that this
 * one puts before all others on its path. Of a script that is the script's own, of -m, -c and a
 * program on standard input the one in which the job starts (CPython: Modules/main.c
 * pymain_run_python(), Python/pathconfig.c _PyPathConfig_ComputeSysPath0(), options by
 * Python/getopt.c). A command that is no python, or a wrapper that is not followed here, tells
 * nothing.
 */
#include "inspect/internal.h"

enum {
	MAX_NESTED = 6,  /* the kernel follows five interpreters */
	MAX_LINE = 256,  /* and reads so much of a first line (BINPRM_BUF_SIZE) */
	MAX_HEAD = 1024, /* pip's own form of it goes on in the second */
	MAX_ZIP_END = 22 + 65535,
};

struct command {
	struct kv_facts *f;
	kv_strv words;
	const char *program; /* of the first word: its file */
	char head[MAX_HEAD];
};

/* ---- programs ---- */

static const char *at(const struct kv_facts *f, const char *path)
{
	if (path[0] == '/')
		return path;
	return f->cwd && *path ? kv_join(f->arena, f->cwd, path) : NULL;
}

static bool is_program(struct kv_facts *f, const char *path)
{
	struct kv_stat st;

	return path && kv_root_stat(f->root, path, 0, &st) == 0 && S_ISREG(st.mode) &&
	       (st.mode & 0111);
}

/* As execvp() finds it; NULL. */
static const char *find_program(struct kv_facts *f, const char *name)
{
	const char *list = kv_env_get(f->env, "PATH"), *path = at(f, name);

	if (strchr(name, '/'))
		return is_program(f, path) ? path : NULL;
	list = list ? list : "/bin:/usr/bin";
	for (bool more = *name; more; list++) {
		size_t n = strcspn(list, ":");

		path = at(f, n ? kv_join(f->arena, kv_strndup(f->arena, list, n), name) : name);
		if (is_program(f, path))
			return path;
		list += n;
		more = *list;
	}
	return NULL;
}

static void read_head(struct command *c)
{
	struct kv_file *file;
	size_t n = 0;

	c->head[0] = '\0';
	if (kv_root_open_file(c->f->root, c->program, &file) < 0)
		return;
	if (kv_file_read(file, 0, c->head, sizeof(c->head) - 1, &n) < 0)
		n = 0;
	c->head[n] = '\0';
	kv_file_close(file);
}

/* "python3.11", and "3.11" of it ("" where it has none); NULL for another program's name. */
static const char *python_version(struct kv_facts *f, const char *name)
{
	const char *v = kv_starts(name, "python") ? name + strlen("python") : "x";
	size_t n = strspn(v, "0123456789.");

	/* Builds for debugging, without the lock, and those up to 3.7. */
	if (v[n + strspn(v + n, "dtm")])
		return NULL;
	return strchr(v, '.') ? kv_strndup(f->arena, v, n) : "";
}

/* ---- what stands between the command and its python ---- */

static void put_before(struct command *c, const char *const *before, size_t n, size_t drop)
{
	kv_strv words = { 0 };

	for (size_t i = 0; i < n; i++)
		if (before[i])
			kv_vec_push(c->f->arena, &words, kv_strdup(c->f->arena, before[i]));
	for (size_t i = drop; i < c->words.n; i++)
		kv_vec_push(c->f->arena, &words, c->words.v[i]);
	c->words = words;
}

/* The kernel starts the interpreter with one argument at most, and the file (fs/binfmt_script.c).
 */
static bool through_first_line(struct command *c)
{
	struct kv_arena *a = c->f->arena;
	const char *line = c->head + 2 + strspn(c->head + 2, " \t"), *arg;
	size_t n = strcspn(line, "\n"), word = strcspn(line, " \t\n");

	if (line[0] != '/' || !line[n] || (size_t)(line + n - c->head) >= MAX_LINE)
		return false;
	while (line[n - 1] == ' ' || line[n - 1] == '\t')
		n--;
	arg = line + word + (word < n ? strspn(line + word, " \t") : 0);
	put_before(c,
		   (const char *[]){ kv_strndup(a, line, word),
				     word < n ? kv_strndup(a, arg, (size_t)(line + n - arg)) : NULL,
				     c->program },
		   3, 1);
	return true;
}

/*
 * What pip and uv write where the python's path is long or has blanks: a file that sh and python
 * both take, whose second line is '''exec' PYTHON "$0" "$@".
 */
static bool through_second_line(struct command *c)
{
	static const char start[] = "\n'''exec' ", end[] = " \"$0\" \"$@\"\n";
	const char *p = strchr(c->head, '\n');
	char quote;
	size_t n;

	if (!kv_starts(c->head, "#!/bin/sh\n") || !kv_starts(p, start))
		return false;
	p += strlen(start);
	quote = *p == '"' || *p == '\'' ? *p++ : ' ';
	n = strcspn(p, (const char[]){ quote, '\n', '\0' });
	if (!p[n] || p[n] == '\n' || memchr(p, '$', n) || memchr(p, '\\', n) ||
	    !kv_starts(p + n + (quote != ' '), end))
		return false;
	put_before(c, (const char *[]){ kv_strndup(c->f->arena, p, n), c->program }, 2, 1);
	return true;
}

/* env PROGRAM and env -S "PROGRAM ARG ..."; one that sets variables is not followed. */
static bool through_env(struct command *c)
{
	const char *text = c->words.n > 1 ? c->words.v[1] : "-";
	kv_strv split = { 0 };
	size_t drop = 2;

	if (kv_starts(text, "-S")) {
		text += 2;
		if (!*text && c->words.n > 2)
			text = c->words.v[drop++];
		while (*(text += strspn(text, " \t"))) {
			size_t n = strcspn(text, " \t");

			kv_vec_push(c->f->arena, &split, kv_strndup(c->f->arena, text, n));
			text += n;
		}
		for (size_t i = 0; i < split.n; i++)
			if (strpbrk(split.v[i], "\\'\"$#"))
				return false;
		put_before(c, (const char *const *)split.v, split.n, drop);
	} else {
		put_before(c, NULL, 0, 1);
	}
	return c->words.n && c->words.v[0][0] != '-' && !strchr(c->words.v[0], '=');
}

/* Follows the command to a python; its version, NULL where there is none. */
static const char *find_python(struct command *c)
{
	for (unsigned i = 0; i < MAX_NESTED; i++) {
		const char *real, *version;

		c->program = find_program(c->f, c->words.v[0]);
		if (!c->program || kv_root_real(c->f->root, c->program, 0, &real) < 0)
			return NULL;
		read_head(c);
		if (kv_starts(c->head, "#!")) {
			if (!through_second_line(c) && !through_first_line(c))
				return NULL;
			continue;
		}
		version = python_version(c->f, kv_basename(real));
		if (!kv_starts(c->head, "\177ELF"))
			return NULL;
		if (version)
			return version;
		if (!kv_streq(kv_basename(c->program), "env") || !through_env(c))
			return NULL;
	}
	return NULL;
}

/* ---- python's own arguments ---- */

struct options {
	bool safe, no_environ, no_user_site;
	const char *out;    /* that keeps the environment or what python runs at start out; NULL */
	char what;          /* 'c', 'm'; '-' for standard input, 's' for a script */
	const char *script; /* its path; "-" */
};

/* The letters of one word. *i: the word behind it. */
static void read_letters(const kv_strv *words, const char *word, size_t *i, struct options *ret)
{
	for (const char *o = word + 1; *o; o++) {
		if (strchr("SIE", *o))
			ret->out = word;
		ret->safe |= *o == 'I' || *o == 'P';
		ret->no_environ |= *o == 'I' || *o == 'E';
		ret->no_user_site |= *o == 'I' || *o == 's';
		if (!strchr("cmWX", *o))
			continue;
		if (!o[1] && *i < words->n)
			++*i;
		if (*o == 'c' || *o == 'm')
			ret->what = *o;
		return;
	}
}

static void read_options(const kv_strv *words, struct options *ret)
{
	size_t i = 1;

	*ret = (struct options){ 0 };
	while (!ret->what && i < words->n && words->v[i][0] == '-' && words->v[i][1]) {
		const char *word = words->v[i++];

		if (kv_streq(word, "--"))
			break;
		if (word[1] != '-')
			read_letters(words, word, &i, ret);
		else if (kv_streq(word, "--check-hash-based-pycs"))
			i++;
	}
	if (ret->what)
		return;
	ret->script = i < words->n ? words->v[i] : "-";
	ret->what = kv_streq(ret->script, "-") ? '-' : 's';
}

/* ---- what comes first on the path ---- */

/* An archive that python runs is on the path itself; its end tells it (zipimport). */
static bool is_zip(struct kv_facts *f, const char *path)
{
	struct kv_file *file;
	uint64_t size, from;
	bool is = false;
	uint8_t *end;
	size_t n;

	if (kv_root_open_file(f->root, path, &file) < 0)
		return false;
	size = kv_file_stat(file)->size;
	from = size > MAX_ZIP_END ? size - MAX_ZIP_END : 0;
	end = kv_alloc(f->arena, MAX_ZIP_END);
	if (kv_file_read(file, from, end, MAX_ZIP_END, &n) == 0)
		is = kv_span_find((struct kv_span){ end, n }, 0, "PK\5\6", 4) < n;
	kv_file_close(file);
	return is;
}

static const char *first_of(struct kv_facts *f, const struct options *o, bool safe)
{
	const char *path = o->script ? at(f, o->script) : NULL, *real = NULL;

	if (path && kv_root_real(f->root, path, 0, &real) < 0)
		real = NULL;
	if (o->what == 's' && real && (kv_root_is_dir(f->root, real) || is_zip(f, real)))
		return path;
	if (safe || (o->what == 's' && !real))
		return NULL;
	/* A file called "-" where the job starts is taken for the script here, and is not run. */
	return real ? kv_dirname(f->arena, real) : f->cwd;
}

/* The directory that tells python which packages are its own: of a virtual environment's python
 * that of the link, else that of what it leads to (getpath.py). */
static const char *bin_of(struct kv_facts *f, const char *python)
{
	const char *bin = kv_dirname(f->arena, python), *real;

	if (kv_root_is_file(f->root, kv_join(f->arena, bin, "pyvenv.cfg")) ||
	    kv_root_is_file(f->root, kv_join(f->arena, kv_dirname(f->arena, bin), "pyvenv.cfg")) ||
	    kv_root_real(f->root, python, 0, &real) < 0)
		return bin;
	return kv_dirname(f->arena, real);
}

void kv_read_command(struct kv_facts *f, const kv_strv *argv)
{
	struct command c = { .f = f, .words = *argv };
	const char *safe = kv_env_get(f->env, "PYTHONSAFEPATH");
	struct kv_python *py = &f->python;
	struct options o;

	*py = (struct kv_python){ 0 };
	if (!argv->n)
		return;
	py->version = find_python(&c);
	/* What a wrapper of that name does with them is not known, but likely the same. */
	if (!py->version && !kv_starts(kv_basename(argv->v[0]), "python"))
		return;
	read_options(py->version ? &c.words : argv, &o);
	py->out = o.out;
	if (!py->version)
		return;
	py->path = c.program;
	py->bin = bin_of(f, c.program);
	py->no_user_site = o.no_user_site;
	py->first = first_of(f, &o, o.safe);
	py->first_is_sure = true;
	if (!*py->version)
		py->version = NULL;
	/* Since 3.11. */
	if (!safe || !*safe || o.no_environ || o.safe ||
	    (py->version && kv_version_cmp(py->version, "3.11") < 0))
		return;
	if (py->version)
		py->first = first_of(f, &o, true);
	else
		py->first_is_sure = false;
}

void kv_read_path(struct kv_facts *f)
{
	static const char *const names[] = { "python3", "python" };
	const char *list = kv_env_get(f->env, "PATH");
	struct kv_elf_id id;

	while (list && *list) {
		size_t n = strcspn(list, ":");
		const char *dir = kv_strndup(f->arena, list, n);

		list += n + (list[n] == ':');
		for (size_t i = 0; *dir == '/' && i < KV_ARRAY_SIZE(names); i++) {
			const char *python = kv_join(f->arena, dir, names[i]);

			if (!kv_root_is_file(f->root, python))
				continue;
			/* Which one a script of that name starts is not known. */
			f->python.path = kv_elf_identify(f->root, python, &id) ? python : NULL;
			f->python.bin = bin_of(f, python);
			return;
		}
	}
}
