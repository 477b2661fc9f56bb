/* The walk over a document: what the rules are about, with its place. Nothing is judged here. */
#include <strings.h>

#include "launch/lint.h"

/* ---- variables ---- */

bool kv_lint_listed(const char *const *list, const char *s)
{
	for (; list && *list; list++)
		if (kv_streq(*list, s))
			return true;
	return false;
}

static bool is_env(const struct kv_dialect *d, const char *key)
{
	for (const char *const *k = d->env_keys; k && *k; k++) {
		size_t n = strlen(key), m = strlen(*k);

		if (kv_streq(*k, key) || (n > m && key[n - m - 1] == '_' && kv_ends(key, *k)))
			return true;
	}
	return false;
}

static void add_var(struct kv_job *j, const char *name, const struct kv_yaml *value,
		    const struct kv_yaml *scope)
{
	struct kv_job_var *v = kv_vec_add(j->arena, &j->vars);

	*v = (struct kv_job_var){ .name = name,
				  .value = value->text,
				  .raw = value->text,
				  .line = value->value_line ? value->value_line : value->line,
				  .column = value->value_line ? value->value_column : value->column,
				  .scope = scope,
				  .rank = j->depth };
	if (kv_lint_exact(j, value->start, value->text, &v->end) && v->end == value->end)
		v->start = value->start;
	else
		v->end = 0;
}

static void note_secret(struct kv_job *j, const char *name, const struct kv_yaml *value)
{
	if (value->kind == KV_YAML_SCALAR && *value->text && kv_lint_is_secret(name))
		kv_vec_push(j->arena, &j->lints->secrets, value);
}

static void take_env(struct kv_job *j, const struct kv_yaml *env)
{
	for (const struct kv_yaml *e = env->first; e; e = e->next) {
		const struct kv_yaml *name = kv_yaml_get(e, "name"),
				     *value = kv_yaml_get(e, "value");

		if (env->kind == KV_YAML_MAP && e->kind == KV_YAML_SCALAR) {
			add_var(j, e->key, e, env);
		} else if (env->kind == KV_YAML_LIST && name && value &&
			   value->kind == KV_YAML_SCALAR) {
			add_var(j, name->text, value, env);
			note_secret(j, name->text, value);
		} else if (env->kind == KV_YAML_LIST && name && j->part) {
			/* valueFrom, and what a template makes */
			add_var(j, name->text, name, env);
			j->vars.v[j->vars.n - 1].value = NULL;
			j->vars.v[j->vars.n - 1].start = j->vars.v[j->vars.n - 1].end = 0;
			j->vars.v[j->vars.n - 1].raw = "";
		}
	}
}

/* Takes the first A=B off a list with commas, of which others are passed over; false at its end. */
static bool next_pair(struct kv_arena *a, const char **list, const char **ret_name,
		      const char **ret_value)
{
	while (**list) {
		size_t n = strcspn(*list, ",");
		const char *pair = kv_strndup(a, *list, n), *equals = strchr(pair, '=');

		*list += n + ((*list)[n] == ',');
		if (!equals)
			continue;
		*ret_name = kv_strndup(a, pair, (size_t)(equals - pair));
		*ret_value = equals + 1;
		return true;
	}
	return false;
}

/* #SBATCH --export=ALL,A=B: the script's environment, before its first line. */
static void take_directives(struct kv_job *j, const struct kv_yaml *directives)
{
	const struct kv_yaml *export = kv_yaml_get(directives, "export");
	const char *list = export ? export->text : "", *name, *value;

	while (next_pair(j->arena, &list, &name, &value))
		kv_vec_push(j->arena, &j->vars,
			    ((struct kv_job_var){ .name = name,
						  .value = value,
						  .raw = value,
						  .line = export->line,
						  .column = export->column }));
}

/* ---- texts for bash ---- */

/* The VALUE of ${NAME:-VALUE}, of the same name; NULL for anything else. */
static const char *default_in(struct kv_arena *a, const struct kv_word *w)
{
	const char *s = w->raw + (w->raw[0] == '"'), *value;
	size_t n = strlen(w->name);

	if (!kv_starts(s, "${") || strncmp(s + 2, w->name, n) != 0)
		return NULL;
	value = s + 2 + n;
	value += *value == ':';
	if (*value != '-' && *value != '=')
		return NULL;
	n = strcspn(++value, "}$`\"'\\");
	return value[n] == '}' && kv_streq(value + n + 1, w->raw[0] == '"' ? "\"" : "")
		       ? kv_strndup(a, value, n)
		       : NULL;
}

/* NAME=VALUE of command `cmd`: of what it starts alone, or for all that comes. */
static void add_shell_var(struct kv_job *j, const struct kv_job_shell *s, size_t cmd,
			  const struct kv_word *w, bool of_command)
{
	struct kv_job_var *v = kv_vec_add(j->arena, &j->vars);
	size_t skip = w->raw[0] == '"' || w->raw[0] == '\'';

	*v = (struct kv_job_var){ .name = w->name,
				  .value = w->text,
				  .raw = w->raw,
				  .in_shell = true,
				  .shell = (size_t)(s - j->shells.v),
				  .cmd = cmd,
				  .of_command = of_command,
				  .on_host = s->on_host,
				  .start = s->at[w->start] + skip };
	kv_lint_place(j, s->at[w->start], &v->line, &v->column);
	if (!w->text || !kv_lint_exact(j, v->start, w->text, &v->end))
		v->start = v->end = 0;
	if (w->text)
		return;
	v->value = default_in(j->arena, w);
	v->is_default = v->value != NULL;
}

/* srun --export=ALL,A=B */
static void take_exports(struct kv_job *j, const struct kv_job_shell *s, size_t cmd, size_t word)
{
	const struct kv_word *w = &s->shell.cmds.v[cmd].words.v[word];
	const char *list = kv_shell_export_list(&s->shell.cmds.v[cmd], word);
	struct kv_word pair = *w;

	while (list && next_pair(j->arena, &list, &pair.name, &pair.text))
		add_shell_var(j, s, cmd, &pair, /* of_command= */ true);
}

/* The names that commands of a text export. */
static const struct kv_map *exported_in(struct kv_arena *a, const struct kv_shell *s)
{
	struct kv_map *ret = kv_map_new(a);

	for (size_t i = 0; i < s->cmds.n; i++) {
		const struct kv_shell_cmd *c = &s->cmds.v[i];

		for (size_t k = 1; kv_shell_declares(c) == KV_SHELL_EXPORTS && k < c->words.n; k++)
			*kv_map_slot(ret, c->words.v[k].name ? c->words.v[k].name
							     : kv_word_text(c, k)) = ret;
	}
	return ret;
}

/* export A=B, A=B command, env A=B command, declare -x A=B, srun --export=A=B, srun env A=B; A=B of
 * one that is exported, or set before the text. */
static void take_command_vars(struct kv_job *j, const struct kv_job_shell *s, size_t cmd,
			      const struct kv_map *exported)
{
	const struct kv_shell_cmd *c = &s->shell.cmds.v[cmd];
	size_t started = kv_shell_started(c);
	bool exports = kv_shell_declares(c) == KV_SHELL_EXPORTS, alone = started == c->words.n;
	bool srun = kv_streq(kv_basename(kv_word_text(c, started)), "srun"), env = false;

	for (size_t k = 0; k < c->words.n; k++) {
		const struct kv_word *w = &c->words.v[k];
		bool is_taken = exports || k < started || env;

		if (w->name && alone)
			is_taken = kv_map_get(exported, w->name) || kv_map_get(j->outside, w->name);
		if (w->name && is_taken && !kv_shell_export_list(c, k))
			add_shell_var(j, s, cmd, w, !alone && !exports);
		else if (srun && k > started)
			take_exports(j, s, cmd, k);
		/* Its assignments and options end with the program that it starts. */
		env = srun && k > started &&
		      (kv_streq(kv_word_text(c, k), "env") ||
		       (env && (w->name || w->raw[0] == '-')));
	}
}

static void take_shell_vars(struct kv_job *j, struct kv_job_shell *s)
{
	const struct kv_map *exported = exported_in(j->arena, &s->shell);

	s->first_var = j->vars.n;
	for (size_t i = 0; s->readable && i < s->shell.cmds.n; i++)
		take_command_vars(j, s, i, exported);
	s->end_var = j->vars.n;
}

static struct kv_job_shell *add_shell(struct kv_job *j, const char *what, const struct kv_yaml *y,
				      bool errexit)
{
	struct kv_job_shell *s = kv_vec_add(j->arena, &j->shells);

	*s = (struct kv_job_shell){ .what = what,
				    .node = y,
				    .errexit = errexit,
				    .on_host = kv_starts(what, "host_") || kv_streq(what, "script"),
				    .at = kv_lint_map(j, y) };
	s->readable = kv_shell_read(
		j->arena, (struct kv_span){ (const uint8_t *)y->text, strlen(y->text) }, &s->shell);
	return s;
}

/* bash -c TEXT, as a list of words: command, or command and args. */
struct argv {
	bool shell, wants_text, wants_name, errexit, pipefail;
};

/* An option of the shell's own: -c, -lc, -euo pipefail, +x, --norc. False for anything else. */
static bool take_option(struct argv *v, const char *s)
{
	if (v->wants_name) {
		v->errexit |= kv_streq(s, "errexit");
		v->pipefail |= kv_streq(s, "pipefail");
		v->wants_name = false;
		return true;
	}
	if (s[0] != '-' && s[0] != '+')
		return false;
	if (s[1] == '-')
		return true;
	v->errexit |= s[0] == '-' && strchr(s, 'e') != NULL;
	v->wants_text |= s[0] == '-' && strchr(s, 'c') != NULL;
	v->wants_name = strpbrk(s, "oO") != NULL;
	return true;
}

static void take_argv(struct kv_job *j, const struct kv_yaml *list, struct argv *v)
{
	for (const struct kv_yaml *e = list->first; e; e = e->next) {
		const char *base = kv_basename(e->text);

		if (e->kind != KV_YAML_SCALAR)
			return;
		if (v->shell && take_option(v, e->text))
			continue;
		if (v->shell && v->wants_text) {
			struct kv_job_shell *shell = add_shell(j, list->key, e, v->errexit);

			shell->pipefail = v->pipefail;
			shell->apart = j->is_apart;
			*v = (struct argv){ 0 };
		} else {
			*v = (struct argv){ .shell = kv_streq(base, "bash") ||
						     kv_streq(base, "sh") };
		}
	}
}

static void take_commands(struct kv_job *j, const struct kv_yaml *map)
{
	const struct kv_yaml *command = kv_yaml_get(map, "command"),
			     *args = kv_yaml_get(map, "args");
	struct argv v = { 0 };

	if (command && command->kind == KV_YAML_LIST)
		take_argv(j, command, &v);
	if (args && args->kind == KV_YAML_LIST)
		take_argv(j, args, &v);
}

/* ---- mounts and images ---- */

static void add_mount(struct kv_job *j, const struct kv_yaml *at, const char *host,
		      const char *guest)
{
	kv_vec_push(j->arena, &j->mounts,
		    ((struct kv_job_mount){ host, guest, at->line, at->column }));
}

/* HOST:GUEST[:flags] */
static void add_mount_text(struct kv_job *j, const struct kv_yaml *at, const char *s, size_t n)
{
	const char *text = kv_strndup(j->arena, s, n), *colon = strchr(text, ':'), *end;

	j->mounts_unknown |= strchr(text, '$') != NULL;
	if (!n)
		return;
	end = colon ? strchr(colon + 1, ':') : NULL;
	if (!colon)
		add_mount(j, at, text, text);
	else
		add_mount(j, at, kv_strndup(j->arena, text, (size_t)(colon - text)),
			  kv_strndup(j->arena, colon + 1,
				     end ? (size_t)(end - colon) - 1 : strlen(colon + 1)));
}

static void take_mounts(struct kv_job *j, const struct kv_yaml *y)
{
	if (y->kind == KV_YAML_SCALAR) {
		for (const char *s = y->text; *s; s += strcspn(s, ","), s += *s == ',')
			add_mount_text(j, y, s, strcspn(s, ","));
		return;
	}
	j->mounts_unknown |= y->kind == KV_YAML_ALIAS;
	for (const struct kv_yaml *e = y->first; e; e = e->next) {
		if (e->kind != KV_YAML_SCALAR || kv_streq(e->key, "<<"))
			j->mounts_unknown = true;
		else if (y->kind == KV_YAML_MAP)
			add_mount(j, e, e->key, e->text);
		else
			add_mount_text(j, e, e->text, strlen(e->text));
	}
}

static void take_image(struct kv_job *j, const struct kv_yaml *y)
{
	const struct kv_yaml *containers = kv_yaml_get(j->root, "containers"),
			     *dir = kv_yaml_get(containers, "containers_path");
	static const char place[] = "{containers_path}";
	const char *path = y->text;

	if (kv_starts(path, place) && dir && dir->kind == KV_YAML_SCALAR)
		path = kv_cat(j->arena, dir->text, path + strlen(place));
	if (*path)
		kv_vec_push(j->arena, &j->images,
			    ((struct kv_job_image){ path, y->value_line, y->value_column }));
}

/* ---- what it says of the job as a whole ---- */

static void choose(struct kv_job *j, const struct kv_yaml *at, const char *name,
		   const char *variable, const char *mend)
{
	if (j->framework.name)
		return;
	j->framework.name = name;
	j->framework.variable = variable;
	j->framework.mend = mend;
	j->framework.line = at->line;
	j->framework.column = at->column;
}

static void choose_sglang(struct kv_job *j, const struct kv_yaml *at)
{
	choose(j, at, "SGLang", "SGLANG_DISAGGREGATION_NIXL_BACKEND",
	       "add SGLANG_DISAGGREGATION_NIXL_BACKEND: LIBFABRIC to the environment of the "
	       "workers");
}

static void choose_vllm(struct kv_job *j, const struct kv_yaml *at)
{
	choose(j, at, "vLLM", NULL,
	       "add \"kv_connector_extra_config\":{\"backends\":[\"LIBFABRIC\"]} to vLLM's "
	       "--kv-transfer-config");
}

/* --disaggregation-transfer-backend nixl, in one text or as two words of a list */
static bool names_nixl(const struct kv_yaml *y)
{
	static const char option[] = "--disaggregation-transfer-backend";
	const char *s = strstr(y->text, option);

	if (!s)
		return false;
	s += strlen(option);
	if (!*s && y->next)
		return strcasecmp(y->next->text, "nixl") == 0;
	s += strspn(s, "= ");
	return strncasecmp(s, "nixl", 4) == 0;
}

static bool is_vllm(const struct kv_yaml *engine)
{
	const struct kv_yaml *type = kv_yaml_get(engine, "type");

	return type && kv_streq(type->text, "vllm");
}

static void note_framework(struct kv_job *j, const struct kv_yaml *y, const struct kv_yaml *parent)
{
	if ((kv_streq(y->key, "disaggregation_transfer_backend") ||
	     kv_streq(y->key, "disaggregation-transfer-backend")) &&
	    strcasecmp(y->text, "nixl") == 0)
		choose_sglang(j, y);
	else if (names_nixl(y))
		choose_sglang(j, y);
	else if (strstr(y->text, "NixlConnector") && !strstr(y->text, "backends") &&
		 !kv_yaml_get(parent, "kv_connector_extra_config"))
		choose_vllm(j, y);
	else if (kv_streq(y->key, "connector") && strcasecmp(y->text, "nixl") == 0 &&
		 is_vllm(parent))
		choose_vllm(j, y);
	else if (kv_streq(y->key, "backend") && strcasecmp(y->text, "nixl") == 0 && parent &&
		 kv_ends(parent->key, "cache_transceiver_config"))
		choose(j, y, "TensorRT-LLM", "TRTLLM_NIXL_KVCACHE_BACKEND",
		       "add TRTLLM_NIXL_KVCACHE_BACKEND: LIBFABRIC to the environment of the "
		       "workers");
}

static void note_efa(struct kv_job *j, unsigned line, unsigned column)
{
	if (j->efa_line)
		return;
	j->efa_line = line;
	j->efa_column = column;
}

static void note(struct kv_job *j, const struct kv_yaml *y, const struct kv_yaml *parent)
{
	static const char *const devices[] = { "vpc.amazonaws.com/efa", "resourceClaims", "claims",
					       NULL };

	note_framework(j, y, parent);
	if (kv_starts(y->key, "/opt/amazon/efa") || kv_starts(y->text, "/opt/amazon/efa") ||
	    (kv_streq(y->key, "vpc.amazonaws.com/efa") && !kv_streq(y->text, "0")))
		note_efa(j, y->line, y->column);
	j->has_device |= (kv_lint_listed(devices, y->key) && !kv_streq(y->text, "0")) ||
			 (kv_streq(y->key, "privileged") && kv_streq(y->text, "true")) ||
			 kv_starts(y->text, "/dev/infiniband") || kv_streq(y->text, "/dev");
	/* A preamble that edits NIXL, or kvpath itself, sets the default in its own way. */
	j->has_knob |= strstr(y->text, "kvpath") || strstr(y->text, "LIBFABRIC") ||
		       strstr(y->text, "NIXL_BACKEND");
}

static void take_node(struct kv_job *j, const struct kv_yaml *y, const struct kv_yaml *parent)
{
	const struct kv_dialect *d = j->dialect;

	if (!kv_streq(y->key, "script")) /* its commands are noted one by one */
		note(j, y, parent);
	if (kv_streq(y->key, "container_env"))
		j->keeps_ld_path |= strstr(y->text, "LD_LIBRARY_PATH") != NULL;
	note_secret(j, y->key, y);
	j->has_env_from |= kv_starts(y->key, "envFrom");
	if (kv_streq(y->key, "directives"))
		take_directives(j, y);
	if (y->kind != KV_YAML_SCALAR && is_env(d, y->key))
		take_env(j, y);
	if (kv_lint_listed(d->mount_keys, y->key))
		take_mounts(j, y);
	if (y->kind == KV_YAML_SCALAR && *y->text && kv_lint_listed(d->shell_keys, y->key))
		add_shell(j, y->key, y, false)->flows = !kv_streq(y->key, "script");
	if (y->kind == KV_YAML_SCALAR && kv_lint_listed(d->image_keys, y->key))
		take_image(j, y);
	if (y->kind == KV_YAML_MAP)
		take_commands(j, y);
}

/* inside: of the container that is looked at. */
static void walk(struct kv_job *j, const struct kv_yaml *y, const struct kv_yaml *parent,
		 bool inside)
{
	static const char *const aside[] = { "lifecycle", "livenessProbe", "readinessProbe",
					     "startupProbe", NULL };
	bool was_apart = j->is_apart;

	j->is_apart |= j->part && kv_lint_listed(aside, y->key);
	take_node(j, y, parent);
	j->depth++;
	for (const struct kv_yaml *c = y->first; c; c = c->next)
		if (!j->part || kv_lint_concerns(j->part, y, c, inside))
			walk(j, c, y, inside || c == (j->part ? j->part->node : NULL));
	j->depth--;
	j->is_apart = was_apart;
}

void kv_lint_collect(struct kv_job *j)
{
	const struct kv_yaml *env = kv_yaml_get(j->root, "environment");

	j->env = env && env->kind == KV_YAML_MAP ? env : NULL;
	walk(j, j->root, NULL, !j->part);
	if (j->part)
		kv_lint_settle_env(j);
	j->outside = kv_map_new(j->arena);
	for (size_t i = 0; i < j->vars.n; i++)
		*kv_map_slot(j->outside, j->vars.v[i].name) = j;
	for (size_t i = 0; i < j->shells.n; i++)
		take_shell_vars(j, &j->shells.v[i]);
	for (size_t i = 0; i < j->mounts.n; i++)
		if (kv_starts(j->mounts.v[i].guest, "/opt/amazon/efa"))
			note_efa(j, j->mounts.v[i].line, j->mounts.v[i].column);
	for (size_t i = 0; i < j->vars.n; i++) {
		const struct kv_job_var *v = &j->vars.v[i];
		static const char *const knobs[] = { "SGLANG_DISAGGREGATION_NIXL_BACKEND",
						     "NIXL_BACKEND", "TRTLLM_NIXL_KVCACHE_BACKEND",
						     "LMCACHE_NIXL_BACKENDS", NULL };

		if (v->hidden)
			continue;
		j->has_knob |= kv_lint_listed(knobs, v->name);
		if (kv_streq(v->name, "FI_PROVIDER") && v->value && kv_starts(v->value, "efa"))
			note_efa(j, v->line, v->column);
	}
}
