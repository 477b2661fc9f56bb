/* Rules of one variable: KV702, KV703, KV704, and check's where the value tells. A value that may
 * be secret is never printed. */
#include <strings.h>

#include "launch/lint.h"

/* ---- KV702 ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

/* The first $NAME or ${NAME}; not $(NAME), not "$$". Its length; 0 where there is none. */
static size_t reference(const char *s, const char **ret)
{
	for (; (s = strchr(s, '$')); s++) {
		size_t brace = s[1] == '{', n = strspn(s + 1 + brace, letters);

		if (s[1] == '$') {
			s++;
		} else if (n && !strchr("0123456789", s[1 + brace])) {
			*ret = s;
			return 1 + brace + n + (brace && s[2 + n] == '}');
		}
	}
	return 0;
}

/* The value as the kubelet expands it, where all that it refers to was set before in its list. */
static const char *kubelet_form(const struct kv_job *j, const struct kv_job_var *v,
				const struct kv_map *before)
{
	struct kv_arena *a = j->arena;
	_buf_ struct kv_buf b = { 0 };
	const char *ref;
	size_t n;

	for (const char *s = v->raw;; s = ref + n) {
		const struct kv_job_var *other;
		const char *name;

		n = reference(s, &ref);
		if (!n) {
			kv_buf_str(&b, s);
			return kv_strdup(a, b.text);
		}
		name = kv_strndup(a, ref + 1 + (ref[1] == '{'),
				  strspn(ref + 1 + (ref[1] == '{'), letters));
		other = before ? kv_map_get(before, name) : NULL;
		if (!other || (j->part && !kv_lint_sees(j, v, other)) ||
		    (ref[1] == '{' && ref[n - 1] != '}'))
			return NULL;
		kv_buf_add(&b, s, (size_t)(ref - s));
		kv_buf_fmt(&b, "$(%s)", name);
	}
}

/* What the image sets is lost where the value does not arrive. */
static const char *const paths[] = { "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "LD_PRELOAD",
				     "NIXL_PLUGIN_DIR", NULL };

/* $(NAME) in NAME's own value: the kubelet knows the image's variables not. Other names, a webhook
 * or an operator may add. */
static void lint_itself(struct kv_job *j, const struct kv_job_var *v, const struct kv_map *before)
{
	struct kv_arena *a = j->arena;

	if (!j->part || v->in_shell || v->hidden || j->has_env_from || !before ||
	    !kv_lint_listed(paths, v->name) || kv_map_get(before, v->name) ||
	    !strstr(v->raw, kv_strf(a, "$(%s)", v->name)) || strstr(v->raw, "$$"))
		return;
	kv_lint_add(j, "KV702", KV_ERROR, v->line, v->column,
		    kv_strf(a,
			    "%s: $(%s) arrives as it is written; the kubelet puts in what is set "
			    "before in the list, and nothing of the image",
			    v->name, v->name),
		    kv_strf(a,
			    "write the whole value of %s out, or set it in the command that "
			    "starts the worker",
			    v->name));
}

static void lint_literal(struct kv_job *j, const struct kv_job_var *v, const struct kv_map *before)
{
	struct kv_arena *a = j->arena;
	const char *ref, *form;
	size_t n = j->dialect->literal && !v->in_shell && !v->hidden ? reference(v->raw, &ref) : 0;
	struct kv_lint *l;

	if (!n)
		return;
	l = kv_lint_add(j, "KV702", kv_lint_listed(paths, v->name) ? KV_ERROR : KV_WARNING, v->line,
			v->column,
			kv_strf(a, "%s: %s arrives as it is written; %s expands no variables here",
				v->name, kv_strndup(a, ref, n), j->dialect->name),
			kv_strf(a,
				"write the whole value of %s out, or set it in the command that "
				"starts the worker",
				v->name));
	form = v->end > v->start && v->scope && v->scope->kind == KV_YAML_LIST
		       ? kubelet_form(j, v, before)
		       : NULL;
	if (!form)
		return;
	l->edit = (struct kv_edit){ v->start, v->end, form };
	l->repair = "write $(NAME), which the kubelet expands: the name is set before in this list";
}

/* ---- KV703 ---- */

/* Transports that reach another node by RDMA (UCX's documentation, UCX_TLS). */
static bool is_rdma(const char *s, size_t n)
{
	static const char *const names[] = { "rc", "dc", "ud", "ib", "srd" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++) {
		size_t m = strlen(names[i]);

		if (n >= m && memcmp(s, names[i], m) == 0 && (n == m || s[m] == '_'))
			return true;
	}
	return false;
}

static void lint_ucx_tls(struct kv_job *j, const struct kv_job_var *v)
{
	_buf_ struct kv_buf rest = { 0 };
	bool tcp = false, rdma = false;
	struct kv_lint *l;

	if (!kv_streq(v->name, "UCX_TLS") || !v->value || v->value[0] == '^')
		return;
	for (const char *s = v->value; *s; s += strcspn(s, ","), s += *s == ',') {
		size_t n = strcspn(s, ",");

		if (n == 3 && memcmp(s, "tcp", 3) == 0) {
			tcp = true;
			continue;
		}
		rdma |= is_rdma(s, n);
		kv_buf_str(&rest, rest.n ? "," : "");
		kv_buf_add(&rest, s, n);
	}
	if (!tcp || !kv_lint_reaches(j, v))
		return;
	l = kv_lint_add(j, "KV703", KV_WARNING, v->line, v->column,
			"UCX_TLS allows tcp: where RDMA does not come up, UCX goes on over TCP and "
			"says nothing",
			"leave tcp out, so that the start fails instead; or use LIBFABRIC");
	/* With nothing left that reaches another node, UCX could not start at all. */
	if (rdma && v->end > v->start && (v->in_shell || kv_streq(v->raw, v->value)))
		l->edit = (struct kv_edit){ v->start, v->end, kv_strdup(j->arena, rest.text) };
}

/* ---- what check says of the environment ---- */

/* Whether what it says of LIBFABRIC is of any interest. */
static bool wants_libfabric(const struct kv_job *j)
{
	bool ucx = false;

	for (size_t i = 0; i < j->vars.n; i++) {
		const struct kv_job_var *v = &j->vars.v[i];

		if (!v->value || v->hidden || !strstr(v->name, "NIXL") ||
		    !strstr(v->name, "BACKEND"))
			continue;
		if (strstr(v->value, "LIBFABRIC"))
			return true;
		ucx |= strstr(v->value, "UCX") != NULL;
	}
	return !ucx && (j->efa_line || j->framework.name || j->has_knob);
}

static void lint_value(struct kv_job *j, const struct kv_job_var *v)
{
	struct kv_variable_fault fault;

	if (!v->value || strchr(v->value, '$') || strstr(v->value, "{{") ||
	    !kv_variable_fault(v->name, v->value, &fault) ||
	    (fault.backend && !wants_libfabric(j)) || !kv_lint_reaches(j, v))
		return;
	/* A shell may leave the line out. */
	kv_lint_add(j, fault.id, v->in_shell ? KV_WARNING : fault.severity, v->line, v->column,
		    kv_strf(j->arena, "%s=%s: %s", v->name, v->value, fault.says), fault.mend);
}

/* ---- KV704 ---- */

bool kv_lint_is_secret(const char *name)
{
	static const char *const ends[] = { "_TOKEN",      "_SECRET",     "_PASSWORD",
					    "_ACCESS_KEY", "_API_KEY",    "_SECRET_KEY",
					    "_secret_key", "_access_key", "_password",
					    "_api_key" };
	static const char *const whole[] = { "password", "hf_token", "gh_token", "github_token",
					     NULL };

	for (size_t i = 0; i < KV_ARRAY_SIZE(ends); i++)
		if (kv_ends(name, ends[i]))
			return true;
	return kv_lint_listed(whole, name);
}

/* A reference, a path, a number and what stands for a value tell nothing. */
static bool is_no_value(const char *s)
{
	static const char *const stand_ins[] = { "your",     "changeme",    "change_me", "replace",
						 "example",  "placeholder", "_here",     "dummy",
						 "redacted", "xxxx",        "todo" };

	if (strlen(s) < 8 || strpbrk(s, "${}<> /") || !s[strspn(s, "0123456789")])
		return true;
	for (size_t i = 0; i < KV_ARRAY_SIZE(stand_ins); i++)
		if (strcasestr(s, stand_ins[i]))
			return true;
	return false;
}

static void lint_secret(struct kv_job *j, const char *name, const char *value, unsigned line,
			unsigned column)
{
	if (!kv_lint_is_secret(name) || !value || is_no_value(value))
		return;
	kv_lint_add(j, "KV704", KV_WARNING, line, column,
		    kv_strf(j->arena, "%s: a secret in clear (not shown)", name),
		    "take it from the environment of the job or from a secret store, and renew it");
}

void kv_lint_vars(struct kv_job *j)
{
	const struct kv_yaml *scope = NULL;
	struct kv_map *before = NULL;

	for (size_t i = 0; i < j->vars.n; i++) {
		struct kv_job_var *v = &j->vars.v[i];

		if (v->scope != scope)
			before = NULL;
		scope = v->scope;
		if (scope && !before)
			before = kv_map_new(j->arena);
		lint_literal(j, v, before);
		lint_itself(j, v, before);
		lint_ucx_tls(j, v);
		lint_value(j, v);
		if (v->in_shell || (v->scope && v->scope->kind == KV_YAML_LIST))
			lint_secret(j, v->name, v->value, v->line, v->column);
		if (scope)
			*kv_map_slot(before, v->name) = v;
	}
}

/* Of every key, whatever map it is in. */
void kv_lint_secrets(struct kv_job *j, const struct kv_yaml *y)
{
	if (y->kind == KV_YAML_SCALAR && *y->key)
		lint_secret(j, y->key, y->text, y->value_line, y->value_column);
	for (const struct kv_yaml *c = y->first; c; c = c->next)
		kv_lint_secrets(j, c);
}
