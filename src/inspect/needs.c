/*
 * Whether a framework takes the NIXL that is there. vLLM and SGLang import the module `nixl`, which
 * is the metapackage's since 0.7.0: a wheel of nixl-cu12 or nixl-cu13 alone has none. They then
 * take some names of nixl._api, all or nothing, and newer ones ask for the version of the package
 * nixl: where one of these fails the worker ends before there is an agent. Said is only what holds
 * of every NIXL that the job may import.
 */
#include <ctype.h>

#include "inspect/internal.h"

#define MODULE  "nixl._api"
#define AGENT   "nixl_agent"
#define VERSION "check_nixl_version(\"" /* of vLLM */

/* Real sources have one or two, of some names each; a forged one could keep us busy. */
#define MOST_IMPORTS 16
#define MOST_NAMES   64

/* ---- what is asked for ---- */

/* Whether the statement at `at` is for type checkers, who alone run its block. */
static bool is_for_types(struct kv_span s, size_t at)
{
	size_t start = at, indent;

	while (start && s.p[start - 1] != '\n')
		start--;
	indent = at - start;
	while (start && indent) {
		size_t end = start - 1, n = 0;

		for (start = end; start && s.p[start - 1] != '\n';)
			start--;
		while (start + n < end && (s.p[start + n] == ' ' || s.p[start + n] == '\t'))
			n++;
		if (start + n == end || s.p[start + n] == '#' || n >= indent)
			continue;
		indent = n;
		if (kv_span_find((struct kv_span){ s.p + start, end - start }, 0, "TYPE_CHECKING",
				 13) < end - start)
			return true;
	}
	return false;
}

/* The names of `from nixl._api import a, b as c`, which begins at `at`. */
static kv_strv imported_names(struct kv_arena *a, struct kv_span s, size_t at)
{
	static const char *const head[] = { "from", "nixl", ".", "_api", "import" };
	struct kv_pytokens t;
	struct kv_pytok tok;
	kv_strv names = { 0 };
	bool expected = true; /* else what follows `as` */

	kv_pytokens_init(&t, (struct kv_span){ s.p + at, s.n - at });
	for (size_t i = 0; i < KV_ARRAY_SIZE(head); i++) {
		kv_pytokens_next(&t, &tok);
		if (!kv_pytok_is(&t, &tok, head[i]))
			return names;
	}
	while (names.n < MOST_NAMES) {
		kv_pytokens_next(&t, &tok);
		if (kv_pytok_is(&t, &tok, "(") || kv_pytok_is(&t, &tok, ")"))
			continue;
		if (kv_pytok_is(&t, &tok, ",") || kv_pytok_is(&t, &tok, "as"))
			expected = kv_pytok_is(&t, &tok, ",");
		else if (tok.kind != KV_PYTOK_NAME)
			break;
		else if (expected)
			kv_vec_push(a, &names,
				    kv_strndup(a, (const char *)t.src.p + tok.start,
					       tok.end - tok.start));
	}
	return names;
}

static void read_names(struct kv_arena *a, struct kv_span s, struct kv_needs *ret)
{
	static const char from[] = "from " MODULE;
	size_t n = strlen(from), at = 0;

	for (unsigned i = 0; i < MOST_IMPORTS && (at = kv_span_find(s, at, from, n)) < s.n;
	     i++, at += n) {
		kv_strv names = imported_names(a, s, at);

		if (kv_strv_has(&names, AGENT) && !is_for_types(s, at))
			for (size_t j = 0; j < names.n; j++)
				kv_vec_push(a, &ret->names, names.v[j]);
	}
}

static void read_least(struct kv_arena *a, struct kv_span s, struct kv_needs *ret)
{
	size_t at = kv_span_find(s, 0, VERSION, strlen(VERSION)), n = 0;

	if (at >= s.n)
		return;
	at += strlen(VERSION);
	while (at + n < s.n && (isdigit(s.p[at + n]) || s.p[at + n] == '.'))
		n++;
	if (n && at + n < s.n && s.p[at + n] == '"')
		ret->least = kv_strndup(a, (const char *)s.p + at, n);
}

void kv_needs_read(struct kv_arena *a, struct kv_span source, struct kv_needs *ret)
{
	read_names(a, source, ret);
	read_least(a, source, ret);
}

/* ---- what is there ---- */

static bool is_word(int c)
{
	return isalnum(c) || c == '_';
}

static bool has_word(struct kv_span s, const char *word)
{
	size_t n = strlen(word);

	for (size_t at = 0; (at = kv_span_find(s, at, word, n)) < s.n; at += n)
		if ((!at || !is_word(s.p[at - 1])) && (at + n == s.n || !is_word(s.p[at + n])))
			return true;
	return false;
}

static bool is_imported(const struct kv_nixl *n)
{
	return n->active && n->site;
}

/* Whether what _api.py has of names can be told from its text. */
static bool is_plain_api(const struct kv_nixl *n)
{
	return n->api_py && !n->other_pyc && !has_word(n->api_source, "__getattr__") &&
	       !has_word(n->api_source, "globals") &&
	       kv_span_find(n->api_source, 0, "import *", 8) >= n->api_source.n;
}

static bool all_lack(const struct kv_facts *f, const char *name)
{
	bool any = false;

	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (!is_imported(n))
			continue;
		if (!is_plain_api(n) || has_word(n->api_source, name))
			return false;
		any = true;
	}
	return any;
}

/* A name that no NIXL has; NULL. */
static const char *missing_name(const struct kv_facts *f, const struct kv_needs *needs)
{
	for (size_t i = 0; i < needs->names.n; i++)
		if (all_lack(f, needs->names.v[i]))
			return needs->names.v[i];
	return NULL;
}

/* The version of the package nixl where it is older than that in every case; NULL. */
static const char *older_than(const struct kv_facts *f, const char *least)
{
	const char *found = NULL;

	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		const char *version = kv_streq(n->module, "nixl") ? n->version : n->meta;

		if (!is_imported(n))
			continue;
		if (!version || !*version || kv_version_cmp(version, least) >= 0)
			return NULL;
		found = version;
	}
	return found;
}

/*
 * What the loader says of the framework's own module, which has its libnixl.so from the NIXL that
 * is imported before, where none of those that may be serves; NULL.
 */
static const char *extension_fault(struct kv_facts *f, const char *extension)
{
	const char *fault = NULL;

	if (!kv_root_is_file(f->root, extension))
		return NULL;
	for (size_t i = 0; i < f->nixls.n; i++) {
		struct kv_nixl *n = &f->nixls.v[i];
		struct kv_load load;

		if (!is_imported(n))
			continue;
		if (n->start.loads != KV_LOADS_YES)
			return NULL;
		kv_process_dlopen(n->proc, extension, NULL, 0, &load);
		kv_process_rewind(n->proc, n->imported);
		if (load.loads == KV_LOADS_YES || load.loads == KV_LOADS_UNKNOWN)
			return NULL;
		fault = load.error;
	}
	return fault;
}

static void find_fault(struct kv_facts *f, const char *framework, struct kv_needs *needs)
{
	const char *name, *version, *error;

	needs->sure = true;
	if (!kv_package_place(f, needs->site, "nixl")) {
		needs->lacks_module = true;
		needs->sure = kv_path_is_plain(f, "nixl");
		needs->fault = kv_strf(f->arena,
				       "%s imports NIXL by the name nixl, and python has no module "
				       "of that name",
				       framework);
		return;
	}
	version = needs->least ? older_than(f, needs->least) : NULL;
	name = missing_name(f, needs);
	if (version)
		needs->fault = kv_strf(f->arena, "%s takes no nixl older than %s, and it is %s",
				       framework, needs->least, version);
	else if (name)
		needs->fault = kv_strf(f->arena,
				       "%s imports %s from " MODULE ", which this NIXL does not "
				       "have",
				       framework, name);
	if (needs->fault || !needs->extension)
		return;
	error = extension_fault(f, needs->extension);
	if (!error)
		return;
	needs->was_built_for_another = true;
	needs->fault =
		kv_strf(f->arena, "%s can not be imported beside this NIXL: %s", framework, error);
}

void kv_find_needs(struct kv_facts *f)
{
	bool any = false;

	for (size_t i = 0; i < f->nixls.n; i++)
		any |= f->nixls.v[i].site != NULL;
	for (size_t i = 0; any && i < f->frameworks.n; i++)
		if (f->frameworks.v[i].needs.file)
			find_fault(f, f->frameworks.v[i].name, &f->frameworks.v[i].needs);
}
