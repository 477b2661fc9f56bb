/*
 * What is wrong with a recipe. Each rule is a function over the document, or over one variable of
 * an environment; it says what was seen, and never prints a value that may be secret.
 */
#include "launch/recipe.h"

#define MAX_RECIPE ((size_t)8 << 20)

static const struct kv_dialect *const dialects[] = { &kv_dialect_k8s, &kv_dialect_dynamo,
						     &kv_dialect_srtctl, &kv_dialect_srtslurm };

/* One document, and what was seen of it as a whole. */
struct job {
	struct kv_lints *lints;
	const struct kv_dialect *dialect;
	const struct kv_yaml *efa;    /* where it asks for EFA; NULL */
	const struct kv_yaml *sglang; /* where it chooses SGLang with NIXL */
	bool has_knob;                /* something in it names NIXL's backend */
};

static void add(struct job *j, const char *id, bool error, unsigned line, unsigned column,
		const char *text, const char *repair)
{
	kv_vec_push(j->lints->arena, &j->lints->list,
		    ((struct kv_lint){ id, text, repair, error, line, column }));
}

/* ---- rules of one variable ---- */

struct variable {
	const char *name, *value;
	unsigned line, column; /* of the value */
};

/* The first $NAME or ${NAME}; not $(NAME), not "$$". */
static const char *reference(struct kv_arena *a, const char *s)
{
	for (; (s = strchr(s, '$')); s++) {
		size_t brace = s[1] == '{', n = strspn(s + 1 + brace, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								      "abcdefghijklmnopqrstuvwxyz"
								      "0123456789_");

		if (s[1] == '$')
			s++;
		else if (n && !strchr("0123456789", s[1 + brace]))
			return kv_strndup(a, s, 1 + brace + n + brace);
	}
	return NULL;
}

/* KV702 */
static void lint_literal(struct job *j, const struct variable *v)
{
	static const char *const paths[] = { "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "LD_PRELOAD",
					     "NIXL_PLUGIN_DIR" };
	struct kv_arena *a = j->lints->arena;
	const char *ref = j->dialect->literal ? reference(a, v->value) : NULL;
	bool path = false;

	if (!ref)
		return;
	for (size_t i = 0; i < KV_ARRAY_SIZE(paths); i++)
		path |= kv_streq(paths[i], v->name);
	add(j, "KV702", path, v->line, v->column,
	    kv_strf(a, "%s: %s arrives as it is written; %s expands no variables here", v->name,
		    ref, j->dialect->name),
	    kv_strf(a,
		    "write the whole value of %s out, or set it in the command that starts the "
		    "worker",
		    v->name));
}

/* KV703 */
static void lint_ucx_tls(struct job *j, const struct variable *v)
{
	if (!kv_streq(v->name, "UCX_TLS") || v->value[0] == '^')
		return;
	for (const char *s = v->value; *s; s += strcspn(s, ","), s += *s == ',') {
		size_t n = strcspn(s, ",");

		if (n == 3 && memcmp(s, "tcp", 3) == 0)
			add(j, "KV703", false, v->line, v->column,
			    "UCX_TLS allows tcp: where RDMA does not come up, UCX goes on over TCP "
			    "and says nothing",
			    "leave tcp out, so that the start fails instead; or use LIBFABRIC");
	}
}

/* KV704: names that are of secrets, with a value that is one. */
static void lint_secret(struct job *j, const struct variable *v)
{
	static const char *const ends[] = { "_TOKEN",      "_SECRET",     "_PASSWORD",
					    "_ACCESS_KEY", "_API_KEY",    "_SECRET_KEY",
					    "_secret_key", "_access_key", "_password",
					    "_api_key" };
	bool named = kv_streq(v->name, "password");

	for (size_t i = 0; i < KV_ARRAY_SIZE(ends); i++)
		named |= kv_ends(v->name, ends[i]);
	/* A reference, a path, a number and a placeholder tell nothing. */
	if (!named || strlen(v->value) < 8 || strpbrk(v->value, "${}<> /") ||
	    !v->value[strspn(v->value, "0123456789")])
		return;
	add(j, "KV704", false, v->line, v->column,
	    kv_strf(j->lints->arena, "%s: a secret in clear (not shown)", v->name),
	    "take it from the environment of the job or from a secret store, and renew it");
}

static void lint_variable(struct job *j, const struct variable *v, const struct kv_yaml *at)
{
	static const char *const knobs[] = { "SGLANG_DISAGGREGATION_NIXL_BACKEND", "NIXL_BACKEND",
					     "TRTLLM_NIXL_KVCACHE_BACKEND" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(knobs); i++)
		j->has_knob |= kv_streq(knobs[i], v->name);
	if (kv_streq(v->name, "FI_PROVIDER") && kv_starts(v->value, "efa") && !j->efa)
		j->efa = at;
	lint_literal(j, v);
	lint_ucx_tls(j, v);
}

/* ---- the walk ---- */

static bool is_env(const struct kv_dialect *d, const char *key)
{
	for (const char *const *k = d->env_keys; *k; k++) {
		size_t n = strlen(key), m = strlen(*k);

		if (kv_streq(*k, key) || (n > m && key[n - m - 1] == '_' && kv_ends(key, *k)))
			return true;
	}
	return false;
}

static void walk_env(struct job *j, const struct kv_yaml *env)
{
	for (const struct kv_yaml *e = env->first; e; e = e->next) {
		const struct kv_yaml *name = kv_yaml_get(e, "name"),
				     *value = kv_yaml_get(e, "value");
		struct variable v = { e->key, e->text, e->value_line, e->value_column };

		if (env->kind == KV_YAML_LIST && name && value)
			v = (struct variable){ name->text, value->text, value->value_line,
					       value->value_column };
		else if (env->kind == KV_YAML_LIST || e->kind != KV_YAML_SCALAR)
			continue;
		lint_variable(j, &v, env->kind == KV_YAML_LIST ? name : e);
		if (env->kind == KV_YAML_LIST)
			lint_secret(j, &v);
	}
}

/* What one node says of the job as a whole. */
static void note(struct job *j, const struct kv_yaml *y)
{
	bool nixl = kv_streq(y->key, "disaggregation_transfer_backend") ||
		    kv_streq(y->key, "disaggregation-transfer-backend");

	if (nixl && strcasecmp(y->text, "nixl") == 0 && !j->sglang)
		j->sglang = y;
	if ((kv_starts(y->key, "/opt/amazon/efa") || kv_starts(y->text, "/opt/amazon/efa") ||
	     kv_streq(y->key, "vpc.amazonaws.com/efa")) &&
	    !j->efa)
		j->efa = y;
	/* A preamble that edits NIXL, or kvpath itself, sets the default in its own way. */
	j->has_knob |= strstr(y->text, "kvpath") || strstr(y->text, "LIBFABRIC") ||
		       strstr(y->text, "NIXL_BACKEND");
}

static void walk(struct job *j, const struct kv_yaml *y)
{
	struct variable v = { y->key, y->text, y->value_line, y->value_column };

	note(j, y);
	if (y->kind == KV_YAML_SCALAR && *y->key)
		lint_secret(j, &v);
	if (y->kind != KV_YAML_SCALAR && is_env(j->dialect, y->key))
		walk_env(j, y);
	for (const struct kv_yaml *c = y->first; c; c = c->next)
		walk(j, c);
}

/* ---- rules of the whole ---- */

static bool takes(const char *const *keys, const char *key)
{
	for (; *keys; keys++) {
		size_t n = strlen(*keys);

		if (kv_streq(*keys, key) ||
		    ((*keys)[n - 1] == '*' && strncmp(*keys, key, n - 1) == 0))
			return true;
	}
	return kv_streq(key, "<<");
}

/* KV701 */
static void lint_keys(struct job *j, const struct kv_yaml *root)
{
	struct kv_arena *a = j->lints->arena;

	for (const struct kv_yaml *c = root->first; j->dialect->top_keys && c; c = c->next)
		if (!takes(j->dialect->top_keys, c->key))
			add(j, "KV701", false, c->line, c->column,
			    kv_strf(a,
				    "%s: no key of a recipe of %s, which refuses what it does "
				    "not know",
				    c->key, j->dialect->name),
			    kv_strf(a,
				    "see which launcher this is for; kvpath knows the keys of %s "
				    "as of 2026-08",
				    j->dialect->name));
}

/* KV705 */
static void lint_knob(struct job *j)
{
	if (!j->efa || !j->sglang || j->has_knob)
		return;
	add(j, "KV705", false, j->sglang->line, j->sglang->column,
	    kv_strf(j->lints->arena,
		    "SGLang transfers through NIXL and the recipe brings EFA (line %u), but "
		    "nothing "
		    "names a backend: NIXL's default is UCX",
		    j->efa->line),
	    "add SGLANG_DISAGGREGATION_NIXL_BACKEND: LIBFABRIC to the environment of the workers");
}

static const struct kv_dialect *dialect_of(const struct kv_yaml *root)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(dialects); i++)
		if (dialects[i]->is(root))
			return dialects[i];
	return NULL;
}

static int by_place(const void *a, const void *b)
{
	const struct kv_lint *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return strcmp(x->id, y->id);
}

int kv_recipe_lint(struct kv_arena *a, const char *path, struct kv_lints *ret, struct kv_err *err)
{
	kv_yamls docs = { 0 };
	struct kv_span text;
	int r = kv_read_file(a, path, MAX_RECIPE, &text, err);

	*ret = (struct kv_lints){ .arena = a, .path = path };
	if (r == 0)
		r = kv_yaml_parse(a, path, text, &docs, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < docs.n; i++) {
		struct job j = { .lints = ret, .dialect = dialect_of(docs.v[i]) };

		if (!j.dialect)
			continue;
		if (!ret->dialect)
			ret->dialect = j.dialect;
		lint_keys(&j, docs.v[i]);
		walk(&j, docs.v[i]);
		lint_knob(&j);
	}
	if (!ret->dialect)
		return kv_err(err, -ENOTSUP,
			      "%s: cannot tell which launcher this is for: known are recipes of "
			      "dynamo.tools and srtctl, srtslurm.yaml, Kubernetes objects",
			      path);
	if (ret->list.n)
		qsort(ret->list.v, ret->list.n, sizeof(*ret->list.v), by_place);
	return 0;
}
