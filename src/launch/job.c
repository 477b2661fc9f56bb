/* Reads a recipe: what the dialects share. */
#include <limits.h>

#include "launch/backend.h"
#include "launch/recipe.h"
#include "launch/render.h"

#define MAX_RECIPE ((size_t)8 << 20)
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/* ---- parts of a document ---- */

const struct kv_yaml *kv_job_get(const struct kv_yaml *map, const char *path)
{
	while (map && *path) {
		size_t n = strcspn(path, ".");
		const struct kv_yaml *c = map->kind == KV_YAML_MAP ? map->first : NULL;

		while (c && (strlen(c->key) != n || strncmp(c->key, path, n) != 0))
			c = c->next;
		map = c;
		path += n + (path[n] == '.');
	}
	return map;
}

static bool is_nothing(const struct kv_yaml *y)
{
	return !y || (y->kind == KV_YAML_SCALAR &&
		      (!*y->text || kv_streq(y->text, "null") || kv_streq(y->text, "~")));
}

const char *kv_job_text(const struct kv_yaml *map, const char *path)
{
	const struct kv_yaml *y = kv_job_get(map, path);

	return y && y->kind == KV_YAML_SCALAR && !is_nothing(y) ? y->text : NULL;
}

int kv_job_number(const struct kv_job *j, const struct kv_yaml *map, const char *path,
		  unsigned other, unsigned *ret, struct kv_err *err)
{
	const struct kv_yaml *y = kv_job_get(map, path);
	char *end;
	long v;

	*ret = other;
	if (is_nothing(y))
		return 0;
	errno = 0;
	v = strtol(y->text, &end, 10);
	if (errno || !*y->text || *end || v < 1 || v > 1000000)
		return kv_err(err, -EINVAL, "%s:%u:%u: %s: a number from 1 on is expected", j->path,
			      y->value_line, y->value_column, path);
	*ret = (unsigned)v;
	return 0;
}

void kv_job_left(struct kv_job *j, const struct kv_yaml *at, const char *path, const char *why)
{
	kv_vec_push(j->arena, &j->left,
		    kv_strf(j->arena, "%s:%u: %s: %s", j->path, at->line, path, why));
}

static bool is_among(const char *known, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = known; n && (p = strstr(p, key)); p += n)
		if ((p == known || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

void kv_job_rest(struct kv_job *j, const struct kv_yaml *map, const char *at, const char *known)
{
	if (!map || map->kind != KV_YAML_MAP)
		return;
	for (const struct kv_yaml *c = map->first; c; c = c->next) {
		bool empty = c->kind != KV_YAML_SCALAR && !c->first;

		if (is_among(known, c->key) || is_nothing(c) || empty)
			continue;
		kv_job_left(j, c, kv_strf(j->arena, "%s%s%s", at, *at ? "." : "", c->key),
			    "not understood by kvpath launch, and left out");
	}
}

bool kv_job_is_name(const char *s)
{
	return *s && !strchr("0123456789", *s) && !s[strspn(s, NAME_CHARS)];
}

void kv_job_env(struct kv_job *j, const struct kv_yaml *map, struct kv_env *ret)
{
	for (const struct kv_yaml *c = map && map->kind == KV_YAML_MAP ? map->first : NULL; c;
	     c = c->next)
		if (c->kind == KV_YAML_SCALAR && kv_job_is_name(c->key))
			kv_env_put(j->arena, ret, kv_strf(j->arena, "%s=%s", c->key, c->text));
		else
			kv_job_left(j, c, c->key, "no variable with a text: it is not set");
}

void kv_job_options(struct kv_job *j, const struct kv_yaml *map, const char *at,
		    const char *refused, kv_strv *ret)
{
	for (const struct kv_yaml *c = map && map->kind == KV_YAML_MAP ? map->first : NULL; c;
	     c = c->next) {
		const char *name = kv_strf(j->arena, "%s.%s", at, c->key);

		if (c->kind != KV_YAML_SCALAR)
			kv_job_left(j, c, name, "no text: this option is not given");
		else if (is_among(refused, c->key))
			kv_job_left(j, c, name, "kvpath launch sets this itself");
		else
			kv_vec_push(j->arena, ret,
				    is_nothing(c) ? kv_strf(j->arena, "--%s", c->key)
						  : kv_strf(j->arena, "--%s=%s", c->key, c->text));
	}
}

void kv_job_mounts(struct kv_job *j, const struct kv_yaml *map)
{
	for (const struct kv_yaml *c = map && map->kind == KV_YAML_MAP ? map->first : NULL; c;
	     c = c->next)
		kv_vec_push(j->arena, &j->mounts, kv_strf(j->arena, "%s:%s", c->key, c->text));
}

int kv_job_health(struct kv_job *j, const struct kv_yaml *root, struct kv_err *err)
{
	int r = kv_job_number(j, root, "health_check.max_attempts", 180, &j->attempts, err);

	if (r == 0)
		r = kv_job_number(j, root, "health_check.interval_seconds", 10, &j->interval_s,
				  err);
	kv_job_rest(j, kv_job_get(root, "health_check"), "health_check",
		    "max_attempts interval_seconds");
	return r;
}

/* ---- secrets ---- */

bool kv_is_secret_name(const char *name)
{
	static const char *const ends[] = { "TOKEN",       "SECRET",     "PASSWORD", "PASSWD",
					    "ACCESS_KEY",  "API_KEY",    "APIKEY",   "SECRET_KEY",
					    "PRIVATE_KEY", "CREDENTIALS" };
	size_t n = strlen(name);

	for (size_t i = 0; i < KV_ARRAY_SIZE(ends); i++) {
		size_t m = strlen(ends[i]);

		if (n >= m && strcasecmp(name + n - m, ends[i]) == 0)
			return true;
	}
	return false;
}

/* The name of a secret that a text of bash gives a value: NAME=x, or --name x as options say it. */
static const char *secret_in(struct kv_arena *a, const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = strspn(p, NAME_CHARS "-");
		const char *value = p + n, *name, *end;

		if (!n) {
			p++;
			continue;
		}
		name = kv_strndup(a, p, n);
		for (char *c = (char *)(uintptr_t)name; *c; c++)
			*c = *c == '-' ? '_' : *c;
		p = value;
		if (*value != '=' && !(*value == ' ' && kv_starts(name, "__")))
			continue;
		value++;
		value += strspn(value, "\"' ");
		end = value + strcspn(value, "\"' \n;&|");
		/* A reference, a path, a placeholder and a number tell nothing. */
		if (kv_is_secret_name(name) && end - value >= 8 &&
		    strcspn(value, "${}<>/") >= (size_t)(end - value) &&
		    strspn(value, "0123456789") < (size_t)(end - value))
			return name + strspn(name, "_");
	}
	return NULL;
}

static int refuse_secrets(const struct kv_job *j, const struct kv_yaml *y, struct kv_err *err)
{
	const char *name = y->kind == KV_YAML_SCALAR ? secret_in(j->arena, y->text) : NULL;
	int r = 0;

	if (y->kind == KV_YAML_ALIAS)
		return kv_err(err, -EINVAL,
			      "%s:%u:%u: an alias: kvpath launch follows none; write it out",
			      j->path, y->value_line, y->value_column);
	if (name)
		return kv_err(err, -EINVAL,
			      "%s:%u:%u: %s: %s is given in clear and would stand on a command "
			      "line; export it where you start kvpath launch, and take it out here",
			      j->path, y->value_line, y->value_column, y->key, name);
	for (const struct kv_yaml *c = y->first; r == 0 && c; c = c->next)
		r = refuse_secrets(j, c, err);
	return r;
}

/* ---- a recipe ---- */

/* srtctl's since "schema: 2". */
static bool is_of_roles(const struct kv_yaml *root)
{
	const struct kv_yaml *schema = kv_yaml_get(root, "schema");

	return schema && schema->text && kv_yaml_get(root, "roles");
}

static int other_launcher(const struct kv_job *j, const struct kv_yaml *root, struct kv_err *err)
{
	const struct kv_yaml *schema = kv_yaml_get(root, "schema");

	if (is_of_roles(root))
		return kv_err(
			err, -ENOTSUP,
			"%s:%u: schema %s of srtctl, with roles: kvpath launch starts recipes "
			"with resources.*_workers; start this one with srtctl, under srun "
			"--kvpath=fix",
			j->path, schema->line, schema->text);
	if (kv_dialect_k8s.is(root))
		return kv_err(err, -ENOTSUP,
			      "%s: a Kubernetes object is no job of Slurm: start it with kubectl "
			      "apply -f %s; kvpath render --for k8s writes the repair for it",
			      j->path, j->path);
	if (kv_dialect_srtslurm.is(root))
		return kv_err(err, -ENOTSUP,
			      "%s: this is srtctl's file of a cluster; launch takes a recipe, and "
			      "finds this file where srtctl does",
			      j->path);
	return kv_err(err, -ENOTSUP,
		      "%s: cannot tell which launcher this is for: launch takes recipes of "
		      "dynamo.tools and of srtctl",
		      j->path);
}

int kv_job_read(struct kv_arena *a, const char *path, struct kv_job *ret, struct kv_err *err)
{
	struct kv_job j = { .arena = a, .path = path };
	const struct kv_yaml *root;
	kv_yamls docs = { 0 };
	struct kv_span text;
	int r = kv_read_file(a, path, MAX_RECIPE, &text, err);

	if (r == 0)
		r = kv_yaml_parse(a, path, text, &docs, err);
	if (r < 0)
		return r;
	j.text = text;
	root = docs.n ? docs.v[0] : NULL;
	if (!root || root->kind != KV_YAML_MAP)
		return kv_err(err, -EINVAL, "%s: no recipe: no keys in it", path);
	if (docs.n > 1)
		kv_job_left(&j, docs.v[1], "a second document", "only the first one is started");
	if (kv_dialect_dynamo.is(root))
		j.dialect = kv_dialect_dynamo.name;
	else if (kv_dialect_srtctl.is(root) && !kv_dialect_k8s.is(root) && !is_of_roles(root))
		j.dialect = kv_dialect_srtctl.name;
	else
		return other_launcher(&j, root, err);
	r = refuse_secrets(&j, root, err);
	j.name = kv_job_text(root, "name") ? kv_job_text(root, "name") : "kvpath";
	if (r == 0)
		r = kv_streq(j.dialect, kv_dialect_dynamo.name) ? kv_job_dynamo(&j, root, err)
								: kv_job_srtctl(&j, root, err);
	if (r == 0)
		r = kv_job_pair(&j, err);
	if (r == 0)
		*ret = j;
	return r;
}
