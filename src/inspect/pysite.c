/*
 * What python's site.py adds to its path: the directories that .pth files of a site directory name,
 * and what code does that runs at the start: their lines of code, sitecustomize, usercustomize.
 */
#include "inspect/internal.h"

#include <ctype.h>

#define MAX_TEXT ((size_t)64 << 10)

struct pth_lines {
	const char *of;
	kv_dirents files;
	size_t next;      /* of the files */
	const char *name; /* of the last one */
	const char *text; /* what is left of it */
	unsigned n;       /* lines taken */
};

static struct pth_lines pth_lines(struct kv_facts *f, const char *of)
{
	struct pth_lines l = { .of = of, .text = "" };

	(void)kv_root_list(f->root, of, &l.files);
	return l;
}

/* The next line of any of them, as site.py takes it: without the space at its end; NULL. */
static const char *next_pth_line(struct kv_facts *f, struct pth_lines *l)
{
	struct kv_span s;
	size_t n, end;
	char *line;

	while (!*l->text) {
		if (l->next == l->files.n)
			return NULL;
		l->name = l->files.v[l->next++].name;
		if (kv_ends(l->name, ".pth") &&
		    kv_root_slurp(f->root, kv_join(f->arena, l->of, l->name), MAX_TEXT, &s) == 0)
			l->text = (const char *)s.p;
	}
	n = end = strcspn(l->text, "\r\n");
	while (end && isspace((unsigned char)l->text[end - 1]))
		end--;
	line = kv_strndup(f->arena, l->text, end);
	l->text += n + (l->text[n] != '\0');
	l->n++;
	return line;
}

unsigned kv_site_adds(struct kv_facts *f, const char *of, const char *dir, bool *sure)
{
	struct pth_lines l = pth_lines(f, of);
	const char *line;

	while ((line = next_pth_line(f, &l))) {
		if (!*line || *line == '#' ||
		    !kv_same_dir(f, *line == '/' ? line : kv_join(f->arena, of, line), dir))
			continue;
		/* Whether such a file is passed over, the last part of python's version decides. */
		*sure = *sure && l.name[0] != '.';
		return l.n;
	}
	return 0;
}

/* Lines that begin so are run. */
static bool is_code(const char *line)
{
	return kv_starts(line, "import ") || kv_starts(line, "import\t");
}

/* setuptools: "__editable___sglang_0_5_9_finder.py", one for each editable install. */
static bool is_finder(const char *name)
{
	return kv_starts(name, "__editable__") && kv_ends(name, "_finder.py");
}

void kv_site_leads(struct kv_facts *f, const char *site, struct kv_led *ret)
{
	struct pth_lines l = pth_lines(f, site);
	const struct kv_dirent *d;
	struct kv_span s;
	const char *line;

	*ret = (struct kv_led){ 0 };
	kv_vec_each (d, &l.files)
		if (is_finder(d->name) &&
		    kv_root_slurp(f->root, kv_join(f->arena, site, d->name), MAX_TEXT, &s) == 0)
			kv_vec_push(f->arena, &ret->finders,
				    kv_strdup(f->arena, (const char *)s.p));
	while ((line = next_pth_line(f, &l)))
		if (*line && *line != '#' && !is_code(line))
			kv_vec_push(f->arena, &ret->dirs,
				    kv_strdup(f->arena,
					      *line == '/' ? line : kv_join(f->arena, site, line)));
}

/* Of MAPPING: {'sglang': '/sgl-workspace/sglang/python/sglang'} */
static const char *mapped(struct kv_facts *f, const char *finder, const char *package)
{
	const char *key = kv_strf(f->arena, "'%s': '", package);
	const char *at = strstr(finder, key);
	const char *dir;

	if (!at)
		return NULL;
	at += strlen(key);
	dir = kv_strndup(f->arena, at, strcspn(at, "'\\\n"));
	return *dir == '/' && kv_root_is_dir(f->root, dir) ? dir : NULL;
}

const char *kv_led_to(struct kv_facts *f, const struct kv_led *led, const char *package)
{
	const char *dir = NULL;

	for (size_t i = 0; !dir && i < led->finders.n; i++)
		dir = mapped(f, led->finders.v[i], package);
	for (size_t i = 0; !dir && i < led->dirs.n; i++) {
		dir = kv_join(f->arena, led->dirs.v[i], package);
		dir = kv_root_is_dir(f->root, dir) ? dir : NULL;
	}
	return dir;
}

/* Code that is known to bring no modules: setuptools', virtualenv's. */
static bool is_harmless(const char *name)
{
	return kv_streq(name, "distutils-precedence.pth") || kv_streq(name, "_virtualenv.pth");
}

/* The directory that a line adds; NULL where that can not be told. Of code one form is known, which
 * comes with vLLM: nvidia_cutlass_dsl_packages.pth. */
static const char *added_by(struct kv_facts *f, const char *of, const char *line)
{
	char name[64], again[64], dir[64];
	int n = 0;

	if (!is_code(line))
		return *line == '/' ? line : kv_join(f->arena, of, line);
	if (sscanf(line,
		   "import sys, os, %63[A-Za-z0-9_]; sys.path.insert(0, "
		   "os.path.join(%63[A-Za-z0-9_].__path__[0], '%63[A-Za-z0-9_]'))%n",
		   name, again, dir, &n) != 3 ||
	    !n || line[n] || !kv_streq(name, again) ||
	    !kv_root_is_dir(f->root, kv_join(f->arena, of, name)))
		return NULL;
	return kv_strf(f->arena, "%s/%s/%s", of, name, dir);
}

bool kv_site_may_bring(struct kv_facts *f, const char *of, const char *module)
{
	struct pth_lines l = pth_lines(f, of);
	const char *line, *dir;

	while ((line = next_pth_line(f, &l))) {
		if (!*line || *line == '#' || is_harmless(l.name))
			continue;
		dir = added_by(f, of, line);
		if (!dir || kv_root_is_file(f->root, dir) || kv_package_has_module(f, dir, module))
			return true;
	}
	return false;
}

/* ---- code that python runs at its start ---- */

static const char *tested_pth(struct kv_facts *f, const char *of, kv_code_test *test,
			      const char *what)
{
	struct pth_lines l = pth_lines(f, of);
	const char *line;

	while ((line = next_pth_line(f, &l)))
		if (is_code(line) &&
		    test((struct kv_span){ (const uint8_t *)line, strlen(line) }, what))
			return kv_join(f->arena, of, l.name);
	return NULL;
}

/* The modules that site.py imports where they lie in this directory of its path. */
static const char *tested_module(struct kv_facts *f, const char *of, kv_code_test *test,
				 const char *what)
{
	static const char *const names[] = { "sitecustomize.py", "usercustomize.py" };
	struct kv_span s;

	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++) {
		const char *file = kv_join(f->arena, of, names[i]);

		if (kv_root_slurp(f->root, file, MAX_TEXT, &s) == 0 && test(s, what))
			return file;
	}
	return NULL;
}

const char *kv_site_code(struct kv_facts *f, kv_code_test *test, const char *what)
{
	struct kv_pythonpath p = kv_pythonpath(f);
	const char *file = NULL;

	while (!file && kv_pythonpath_next(f, &p))
		file = p.dir ? tested_module(f, p.dir, test, what) : NULL;
	for (size_t i = 0; !file && i < f->scan->sites.n; i++) {
		const char *site = f->scan->sites.v[i];

		file = tested_module(f, site, test, what);
		if (!file)
			file = tested_module(f, kv_dirname(f->arena, site), test, what);
		if (!file)
			file = tested_pth(f, site, test, what);
	}
	return file;
}

static bool names(struct kv_span code, const char *what)
{
	return strstr((const char *)code.p, what) != NULL;
}

bool kv_site_code_names(struct kv_facts *f, const char *dir)
{
	return kv_site_code(f, names, dir) != NULL;
}
