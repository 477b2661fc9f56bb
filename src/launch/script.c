/* A launch as a script: what kvpath launch does, in the words of a shell, with the same arguments.
 */
#include "launch/plan.h"
#include "launch/render.h"

#define LOGS_VARIABLE "\"$logs\""

/* An argument as a word; the directory of the logs is a variable of the script, nodes come from a
 * function of it. */
static const char *arg_word(struct kv_arena *a, const char *arg)
{
	const char *at = strstr(arg, KV_LOGS_MARK), *text = "";
	unsigned first, count;

	if (kv_launch_places(arg, &first, &count))
		return kv_strf(a, "--nodelist=\"$(nodes %u %u)\"", first, count);
	for (; at; arg = at + strlen(KV_LOGS_MARK), at = strstr(arg, KV_LOGS_MARK))
		text = kv_strf(a, "%s%s" LOGS_VARIABLE, text,
			       at == arg ? ""
					 : kv_bash_word(a, kv_strndup(a, arg, (size_t)(at - arg))));
	return *text ? kv_strf(a, "%s%s", text, *arg ? kv_bash_word(a, arg) : "")
		     : kv_bash_word(a, arg);
}

/* Where a long command goes on in a new line. */
static bool breaks_before(const char *arg)
{
	return kv_starts(arg, "--container-") || kv_starts(arg, "--output=") ||
	       kv_starts(arg, "--error=") || kv_streq(arg, "bash");
}

static void put_words(FILE *out, struct kv_arena *a, const kv_strv *argv)
{
	for (size_t i = 0; i < argv->n; i++)
		fprintf(out, "%s%s",
			!i                          ? ""
			: breaks_before(argv->v[i]) ? " \\\n  "
						    : " ",
			arg_word(a, argv->v[i]));
}

static void put_step(FILE *out, const struct kv_launch *l, const struct kv_step *s)
{
	struct kv_arena *a = l->job->arena;

	for (size_t i = 0; i < s->env.pairs.n; i++) {
		const char *pair = s->env.pairs.v[i], *name = kv_pair_name(a, pair);

		if (!kv_strv_has(&s->secrets, name))
			fprintf(out, "%s=%s \\\n  ", name, kv_bash_word(a, kv_pair_value(pair)));
	}
	put_words(out, a, &s->argv);
}

static void put_head(FILE *out, const struct kv_launch *l, const kv_strv *self)
{
	const struct kv_job *j = l->job;
	struct kv_arena *a = j->arena;
	kv_strv salloc = { 0 };

	fprintf(out,
		"#!/bin/bash\n# Written by kvpath launch " KVPATH_VERSION " from %s (%s).\n"
		"#SBATCH --nodes=%u\n#SBATCH --job-name=%s\n",
		kv_printable(a, j->path), j->dialect, l->nodes, kv_shell_word(a, j->name));
	for (size_t i = 0; i < j->batch.n; i++)
		fprintf(out, "#SBATCH %s\n", kv_shell_word(a, j->batch.v[i]));
	fputs("# For sbatch, or bash in an allocation. Outside of one, kvpath launch starts itself "
	      "by\n#   ",
	      out);
	kv_launch_salloc(l, self, &salloc);
	put_words(out, a, &salloc);
	fputs("\n", out);
	fputs("# shellcheck disable=SC1003,SC2016 # for the shells of the tasks\n", out);
	for (size_t i = 0; i < j->left.n; i++)
		fprintf(out, "# left out: %s\n", kv_printable(a, j->left.v[i]));
}

/* The variables of kv_launch_env, with the addresses looked up. */
static void put_variables(FILE *out, const struct kv_launch *l)
{
	struct kv_arena *a = l->job->arena;
	struct kv_env env = { 0 };
	kv_strv addresses = { 0 };

	for (unsigned i = 0; i < l->nodes; i++)
		kv_vec_push(a, &addresses, kv_strf(a, "\x02%u\x02", i));
	kv_launch_env(l, &addresses, KV_LOGS_MARK, &env);
	fputs("set -u\n"
	      "logs=${KVPATH_LOG_DIR:-$PWD/kvpath-launch-$SLURM_JOB_ID}\n"
	      "mkdir -p \"$logs\"\n"
	      "mapfile -t node < <(scontrol show hostnames \"$SLURM_JOB_NODELIST\")\n"
	      "# So many nodes of the allocation, from a first one on.\n"
	      "nodes() {\n"
	      "  local IFS=,\n"
	      "  echo \"${node[*]:$1:$2}\"\n"
	      "}\n"
	      "# An IPv6 address can not stand before a port as it is: then the name does.\n"
	      "address() {\n"
	      "  local at\n"
	      "  at=$(scontrol --oneliner show node \"$1\" | grep -o ' NodeAddr=[^ ]*' | cut -d= "
	      "-f2)\n"
	      "  case ${at:-:} in *:*) echo \"$1\" ;; *) echo \"$at\" ;; esac\n"
	      "}\n",
	      out);
	for (size_t i = 0; i < env.pairs.n; i++) {
		const char *pair = env.pairs.v[i], *name = kv_pair_name(a, pair),
			   *value = kv_pair_value(pair), *at = strchr(value, '\x02');

		if (!at)
			fprintf(out, "%s=%s\n", name, arg_word(a, value));
		else
			fprintf(out, "%s=%.*s$(address \"${node[%u]}\")%s\n", name,
				(int)(at - value), value, (unsigned)atoi(at + 1),
				strchr(at + 1, '\x02') + 1);
		fprintf(out, "export %s\n", name);
	}
}

static void put_secrets(FILE *out, const struct kv_launch *l)
{
	kv_strv seen = { 0 };

	if (l->job->paired)
		fputs("# The two sides of a transfer know each other by it.\n" KV_LAUNCH_TOKEN
		      "=$(head -c 32 /dev/urandom | base64)\nexport " KV_LAUNCH_TOKEN "\n",
		      out);
	for (size_t i = 0; i < l->steps.n; i++)
		for (size_t k = 0; k < l->steps.v[i].secrets.n; k++) {
			char *name = l->steps.v[i].secrets.v[k];

			if (kv_strv_has(&seen, name))
				continue;
			kv_vec_push(l->job->arena, &seen, name);
			fprintf(out,
				"# The recipe has a value for %s; it is not shown.\n"
				": \"${%s:?export it first}\"\n"
				"export %s\n",
				name, name, name);
		}
}

static void put_checks(FILE *out, const struct kv_launch *l)
{
	if (!l->checks.n)
		return;
	fputs("\n# Every node first: status 1 is off-fabric.\nchecks=()\n", out);
	for (size_t i = 0; i < l->checks.n; i++) {
		put_step(out, l, &l->checks.v[i]);
		fputs(" &\nchecks+=($!)\n", out);
	}
	fputs("for pid in \"${checks[@]}\"; do\n"
	      "  wait \"$pid\"\n"
	      "  if [ $? -eq 1 ]; then\n"
	      "    echo \"a node is off the fabric: see $logs/check-*\" >&2\n"
	      "    exit 1\n"
	      "  fi\n"
	      "done\n",
	      out);
}

static void put_steps(FILE *out, const struct kv_launch *l, enum kv_role_kind from,
		      enum kv_role_kind to)
{
	for (size_t i = 0; i < l->steps.n; i++) {
		const struct kv_step *s = &l->steps.v[i];

		if (s->role->kind < from || s->role->kind > to)
			continue;
		put_step(out, l, s);
		fprintf(out, " &\n%s+=($!)\n", s->ends ? "ending" : "serving");
	}
}

static void put_wait(FILE *out, const struct kv_launch *l, const char *text)
{
	if (text)
		fprintf(out, "bash -c %s || exit 1\n", kv_bash_word(l->job->arena, text));
}

void kv_launch_print(FILE *out, const struct kv_launch *l, const kv_strv *self)
{
	put_head(out, l, self);
	put_variables(out, l);
	put_secrets(out, l);
	put_checks(out, l);
	fputs("\nserving=() ending=()\n"
	      "trap 'kill \"${serving[@]}\" \"${ending[@]}\" 2>/dev/null; wait' EXIT\n",
	      out);
	put_steps(out, l, KV_ROLE_SERVICE, KV_ROLE_SERVICE);
	put_wait(out, l, l->services);
	put_steps(out, l, KV_ROLE_WORKER, KV_ROLE_FRONTEND);
	put_wait(out, l, l->ready);
	put_steps(out, l, KV_ROLE_CLIENT, KV_ROLE_CLIENT);
	fputs("\n# The end: when all that ends by itself has; or what serves dies.\n"
	      "for pid in \"${ending[@]}\"; do\n"
	      "  wait \"$pid\" || exit\n"
	      "done\n"
	      "[ ${#ending[@]} -gt 0 ] || wait -n \"${serving[@]}\"\n",
	      out);
}
