/*
 * Kubernetes: each container is a job of its own, with what stands around it in the document
 * (volumes of its pod, what Dynamo gives to all of a service), and without its neighbours. Those of
 * initContainers end before the others start, but for sidecars (restartPolicy: Always).
 */
#include "launch/lint.h"

#define MOST_PARTS 512

/* ---- containers ---- */

/* Lists or maps of things that have nothing to do with one another. */
static bool is_crowd(const struct kv_yaml *y)
{
	static const char *const keys[] = { "containers", "initContainers", "ephemeralContainers",
					    "services",   "components",     "items",
					    NULL };

	return (y->kind == KV_YAML_LIST || y->kind == KV_YAML_MAP) && kv_lint_listed(keys, y->key);
}

/* What describes one container or pod, beside which others may stand. */
static bool is_single(const struct kv_yaml *y)
{
	static const char *const keys[] = {
		"mainContainer",  "extraPodSpec", "template", "leaderTemplate",
		"workerTemplate", "podTemplate",  NULL
	};

	return y->kind == KV_YAML_MAP && kv_lint_listed(keys, y->key);
}

struct finder {
	struct kv_arena *arena;
	kv_parts *parts;
	KV_VEC(const struct kv_yaml *) way;
	bool is_dynamo; /* services and components are its */
};

static void add_part(struct finder *f, const struct kv_yaml *y, bool serves, bool aside)
{
	struct kv_part *p = kv_vec_add(f->arena, f->parts);

	*p = (struct kv_part){
		.node = y, .serves = serves, .aside = aside, .sorts = f->is_dynamo && !aside
	};
	for (size_t i = 0; i < f->way.n; i++)
		kv_vec_push(f->arena, &p->way, f->way.v[i]);
}

/* A native sidecar starts first and stays (Kubernetes API, Container.restartPolicy). */
static bool stays(const struct kv_yaml *container)
{
	const struct kv_yaml *policy = kv_yaml_get(container, "restartPolicy");

	return policy && kv_streq(policy->text, "Always");
}

/* Of Dynamo's pods one container is the worker's: mainContainer, or the one named main. */
static bool is_aside(const struct finder *f, const struct kv_yaml *container)
{
	const struct kv_yaml *name = kv_yaml_get(container, "name");

	return f->is_dynamo && !kv_streq(container->key, "mainContainer") &&
	       !(name && kv_streq(name->text, "main"));
}

static bool find(struct finder *f, const struct kv_yaml *y);

/* Whether the worker's own container is in it. */
static bool find_in_list(struct finder *f, const struct kv_yaml *list)
{
	bool serves = kv_streq(list->key, "containers"), found = false;

	for (const struct kv_yaml *c = list->first; c; c = c->next) {
		bool aside = is_aside(f, c);

		if (c->kind != KV_YAML_MAP)
			continue;
		kv_vec_push(f->arena, &f->way, c);
		add_part(f, c, serves || stays(c), aside);
		f->way.n--;
		found |= serves && !aside;
	}
	return found;
}

/* Each service, item: one that has no container is looked at as if it were one. */
static bool find_in_crowd(struct finder *f, const struct kv_yaml *crowd)
{
	for (const struct kv_yaml *c = crowd->first; c; c = c->next) {
		kv_vec_push(f->arena, &f->way, c);
		if (!find(f, c))
			add_part(f, c, /* serves= */ true, /* aside= */ false);
		f->way.n--;
	}
	return crowd->first != NULL;
}

/* An object of Dynamo, or a part of one; a List may have it beside others. */
static bool is_of_dynamo(const struct finder *f, const struct kv_yaml *y)
{
	const struct kv_yaml *kind = kv_yaml_get(y, "apiVersion") ? kv_yaml_get(y, "kind") : NULL;

	return kind ? kv_starts(kind->text, "Dynamo") : f->is_dynamo;
}

static bool find(struct finder *f, const struct kv_yaml *y)
{
	bool found = false, was_dynamo = f->is_dynamo;

	f->is_dynamo = is_of_dynamo(f, y);
	for (const struct kv_yaml *c = y->first; c && f->parts->n < MOST_PARTS; c = c->next) {
		kv_vec_push(f->arena, &f->way, c);
		if (kv_streq(c->key, "mainContainer") && c->kind == KV_YAML_MAP) {
			add_part(f, c, /* serves= */ true, /* aside= */ false);
			found = true;
		} else if (is_crowd(c) && strcasestr(c->key, "containers")) {
			found |= find_in_list(f, c);
		} else if (is_crowd(c) && (f->is_dynamo || kv_streq(c->key, "items"))) {
			found |= find_in_crowd(f, c);
		} else {
			found |= find(f, c);
		}
		f->way.n--;
	}
	f->is_dynamo = was_dynamo;
	return found;
}

void kv_lint_parts(struct kv_arena *a, const struct kv_yaml *root, kv_parts *ret)
{
	struct finder f = { .arena = a, .parts = ret };

	kv_vec_push(a, &f.way, root);
	find(&f, root);
	if (ret->n >= MOST_PARTS)
		ret->n = 0;
}

static bool is_on_way(const struct kv_part *p, const struct kv_yaml *y)
{
	for (size_t i = 0; i < p->way.n; i++)
		if (p->way.v[i] == y)
			return true;
	return false;
}

bool kv_lint_concerns(const struct kv_part *p, const struct kv_yaml *parent,
		      const struct kv_yaml *child, bool inside)
{
	static const char *const workers[] = { "env",           "envs",      "envFrom",
					       "envFromSecret", "resources", NULL };

	if (is_on_way(p, child))
		return true;
	if (is_crowd(child) || (is_crowd(parent) && is_on_way(p, parent)))
		return false;
	return inside || (!is_single(child) && !(p->aside && kv_lint_listed(workers, child->key)));
}

/* ---- variables ---- */

/* Of two entries of one name the last is taken (kubelet, makeEnvironmentVariables); what is said of
 * a container goes before what is said of all (Dynamo's operator, MergeEnvs). */
static void hide_others(struct kv_job *j)
{
	struct kv_map *last = kv_map_new(j->arena);

	for (size_t i = 0; i < j->vars.n; i++) {
		struct kv_job_var *v = &j->vars.v[i], *before;
		void **known = kv_map_slot(last, v->name);

		before = *known;
		if (before && before->rank > v->rank) {
			v->hidden = true;
			continue;
		}
		if (before)
			before->hidden = true;
		*known = v;
	}
}

bool kv_lint_sees(const struct kv_job *j, const struct kv_job_var *v,
		  const struct kv_job_var *before)
{
	return !j->part->sorts || (!before->hidden && strcmp(before->name, v->name) < 0);
}

/* The value with its $(NAME) put in, "$$" being one "$"; NULL where that is not known: a name that
 * is not written here may come from elsewhere. */
static const char *expanded(struct kv_job *j, const struct kv_job_var *of,
			    const struct kv_map *before)
{
	const char *s = of->value;
	struct kv_arena *a = j->arena;
	_buf_ struct kv_buf b = { 0 };

	for (const char *end; *s; s = end) {
		const struct kv_job_var *v;
		size_t n = strcspn(s, "$");

		kv_buf_add(&b, s, n);
		s += n;
		end = s[0] && s[1] == '(' ? strchr(s, ')') : NULL;
		if (!end) {
			kv_buf_add(&b, s, *s != '\0');
			end = s + (*s != '\0') + (s[0] && s[1] == '$');
			continue;
		}
		v = kv_map_get(before, kv_strndup(a, s + 2, (size_t)(end++ - s) - 2));
		if (!v || !v->value || !kv_lint_sees(j, of, v))
			return NULL;
		kv_buf_str(&b, v->value);
	}
	return kv_strdup(a, b.n ? b.text : "");
}

void kv_lint_settle_env(struct kv_job *j)
{
	struct kv_map *before = kv_map_new(j->arena);

	hide_others(j);
	for (size_t i = 0; i < j->vars.n; i++) {
		struct kv_job_var *v = &j->vars.v[i];

		/* Lists that are merged may get another order. */
		if (i && v->scope != v[-1].scope)
			before = kv_map_new(j->arena);
		if (v->value)
			v->value = strstr(v->value, "{{") ? NULL : expanded(j, v, before);
		*kv_map_slot(before, v->name) = v;
	}
}
