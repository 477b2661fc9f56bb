/* kvpath run: starts a command repaired by environment alone. */
#include <limits.h>

#include "cmd/cmd.h"
#include "launch/launch.h"
#include "rules/rules.h"

/* A host directory that shall be seen at its own place inside the target. */
static int show(struct kv_opts *o, struct kv_prove_mount *mounts, size_t *n, const char *dir)
{
	char real[PATH_MAX];

	if (!realpath(dir, real))
		return kv_fail(KV_STATUS_USAGE, "--fabric %s: %s", dir, strerror(errno));
	mounts[*n].host = mounts[*n].guest = kv_strdup(o->arena, real);
	++*n;
	return KV_STATUS_OK;
}

/*
 * `run TARGET -- CMD`: the directory becomes the root of this process, with the environment that
 * its image sets; the repair then goes on as in the running container.
 */
static int enter(struct kv_opts *o)
{
	_target_ struct kv_target t = { 0 };
	struct kv_prove_mount *mounts;
	struct kv_prove_request req = { 0 };
	struct kv_err err = { 0 };
	int r;

	if (o->args.n < 2 || !kv_streq(o->args.v[1], "--"))
		return !o->mounts.n ? KV_STATUS_OK
				    : kv_fail(KV_STATUS_USAGE, "run: --mount needs a TARGET in "
							       "front of --: here nothing is "
							       "mounted for the command");
	if (o->args.n < 3)
		return kv_fail(KV_STATUS_USAGE, "run: a command is expected behind --");
	r = kv_target_open(o, o->args.v[0], &t);
	if (r == KV_STATUS_OK)
		r = kv_target_needs_dir(&t, "run");
	mounts = kv_alloc_n(o->arena, o->mounts.n + o->fabrics.n + 1, sizeof(*mounts));
	for (size_t i = 0; i < o->mounts.n; i++)
		mounts[req.n_mounts++] =
			(struct kv_prove_mount){ o->mounts.v[i].host, o->mounts.v[i].guest };
	for (size_t i = 0; r == KV_STATUS_OK && i < o->fabrics.n; i++) {
		r = show(o, mounts, &req.n_mounts, o->fabrics.v[i]);
		if (r == KV_STATUS_OK)
			o->fabrics.v[i] = kv_strdup(o->arena, mounts[req.n_mounts - 1].guest);
	}
	if (r == KV_STATUS_OK && !o->fabrics.n && access(KV_HOST_EFA, R_OK | X_OK) == 0)
		r = show(o, mounts, &req.n_mounts, KV_HOST_EFA);
	if (r != KV_STATUS_OK)
		return r;
	for (size_t i = 0; i < t.env.pairs.n; i++)
		putenv(t.env.pairs.v[i]);
	req.target = t.path;
	req.mounts = mounts;
	r = kv_prove_enter(&req, &err);
	if (r < 0)
		return kv_fail(r == -EPERM ? KV_STATUS_USAGE : KV_STATUS_UNKNOWN, "%s", err.msg);
	kv_vec_drop(&o->args, 2);
	o->mounts.n = 0;
	return KV_STATUS_OK;
}

static void tell_python(struct kv_arena *a, const struct kv_python *p)
{
	if (p->path)
		fprintf(stderr, "kvpath: the command is %s%s%s\n", kv_printable(a, p->path),
			p->first ? ", which imports first from " : "",
			p->first ? kv_printable(a, p->first) : "");
	else
		fprintf(stderr, "kvpath: which python the command starts, and what that imports "
				"from first, is not told by it\n");
}

/* No ground to refuse: it may well work. */
static void tell_mixture(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && f->nixls.v[i].other_libnixl)
			fprintf(stderr,
				"kvpath: %s is not of the release of %s: whether NIXL makes an "
				"agent can not be told (KV109)\n",
				kv_printable(f->arena, f->nixls.v[i].libnixl),
				kv_printable(f->arena, f->nixls.v[i].path));
}

/* `env A=B CMD`: what it would put over what is repaired becomes the job's environment before. */
static void take_env_words(struct kv_opts *o)
{
	while (kv_streq(kv_basename(o->args.v[0]), "env")) {
		size_t n = 1;

		while (n < o->args.n && o->args.v[n][0] != '-' && strchr(o->args.v[n], '='))
			n++;
		/* Alone it prints; with options it does something else. */
		if (n == 1 || n == o->args.n || o->args.v[n][0] == '-')
			return;
		for (size_t i = 1; i < n; i++)
			kv_env_put(o->arena, &o->env, o->args.v[i]);
		kv_vec_drop(&o->args, n);
	}
}

/* The option of `env` that takes away what is set for the command; NULL. */
static const char *forgets(const struct kv_opts *o)
{
	const char *word = o->args.n > 1 ? o->args.v[1] : "";

	if (!o->args.n || !kv_streq(kv_basename(o->args.v[0]), "env"))
		return NULL;
	if (kv_streq(word, "-") || kv_streq(word, "--ignore-environment"))
		return word;
	/* Behind these letters stands what belongs to them. */
	for (const char *p = word + (*word == '-'); *word == '-' && *p && !strchr("-CSu", *p); p++)
		if (*p == 'i')
			return word;
	return NULL;
}

static int repair(struct kv_opts *o)
{
	_target_ struct kv_target t = { 0 };
	struct kv_env_repair env;
	struct kv_err err = { 0 };
	struct kv_facts *f;
	const char *base;
	int r = kv_target_open(o, NULL, &t);

	if (r != KV_STATUS_OK)
		return r;
	t.argv = o->print ? NULL : &o->args;
	f = kv_target_brief(&t);
	/* -S leaves sitecustomize out, -I and -E the environment: the default could not be set. */
	if (f->python.out)
		return kv_fail(
			KV_STATUS_USAGE,
			"run: %s %s keeps kvpath's import hook out; leave the flag away or use "
			"kvpath fix",
			o->args.v[0], f->python.out);
	if (f->nixls.n && forgets(o))
		return kv_fail(KV_STATUS_USAGE,
			       "run: %s %s takes away what kvpath sets; put kvpath run behind it: "
			       "env %s ... kvpath run -- CMD",
			       o->args.v[0], forgets(o), forgets(o));
	if (kv_env_base(o->arena, &base, &err) < 0 || kv_env_make(f, base, &env, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	if (env.reason && o->anyway)
		return KV_STATUS_OK;
	if (env.reason)
		return kv_fail(KV_STATUS_OFF,
			       "the command was not started: the environment alone does not repair "
			       "this: %s",
			       env.reason);
	if (!f->nixls.n)
		fprintf(stderr, "kvpath: no NIXL here: the command starts as it is\n");
	tell_mixture(f);
	if (env.lack)
		fprintf(stderr, "kvpath: also with what is set, %s\n",
			kv_printable(o->arena, env.lack));
	kv_tell_variables(f);
	for (size_t i = 0; i < o->env.pairs.n; i++)
		putenv(o->env.pairs.v[i]);
	for (size_t i = 0; i < env.set.pairs.n; i++)
		putenv(kv_strdup(o->arena, env.set.pairs.v[i]));
	for (size_t i = 0; o->print && f->nixls.n && i < env.set.pairs.n; i++)
		fwrite(env.set.pairs.v[i], strlen(env.set.pairs.v[i]) + 1, 1, stdout);
	if (o->verbose) {
		tell_python(o->arena, &f->python);
		for (size_t i = 0; i < env.set.pairs.n; i++)
			fprintf(stderr, "kvpath: %s\n", kv_printable(o->arena, env.set.pairs.v[i]));
	}
	return KV_STATUS_OK;
}

static int run(struct kv_opts *o)
{
	int r;

	if (o->print && !o->args.n)
		return repair(o);
	if (o->print || !o->args.n)
		return kv_fail(KV_STATUS_USAGE,
			       "run: a command is expected: kvpath run [OPTIONS] -- CMD, or "
			       "--print alone");
	if (o->as_is && (o->args.n < 2 || !kv_streq(o->args.v[1], "--")))
		return kv_fail(KV_STATUS_USAGE, "run: --as-is needs a TARGET in front of --");
	r = enter(o);
	if (r != KV_STATUS_OK)
		return r;
	if (!o->as_is) {
		take_env_words(o);
		r = repair(o);
	}
	if (r != KV_STATUS_OK)
		return r;
	kv_vec_push(o->arena, &o->args, NULL);
	execvp(o->args.v[0], o->args.v);
	return kv_fail(errno == ENOENT ? 127 : 126, "%s: %s", o->args.v[0], strerror(errno));
}

const struct kv_command kv_cmd_run = {
	.name = "run",
	.usage = "[OPTIONS] [TARGET] -- CMD [ARG ...]",
	.summary = "start CMD repaired by environment alone; nothing is written in the target",
	.options = "mount fabric env backend mem anyway as-is verbose print",
	.help = "A private directory of links goes in front of LD_LIBRARY_PATH, an import hook "
		"sets NIXL's default backend and\n"
		"vLLM's, and the knobs of SGLang, TensorRT-LLM, LMCache, ModelExpress and Dynamo "
		"are set. Variables that `env` sets in front of CMD are the job's own. CMD is then "
		"executed\n"
		"in place: signals, exit status and stdio are its own. A TARGET directory becomes "
		"the root "
		"of CMD (root is needed), on an\n"
		"overlay in memory.",
	.rights = KV_RIGHTS_RUN,
	.examples = "A server in the container that it runs in\n"
		    "kvpath run -- python3 -m sglang.launch_server --model-path MODEL\n"
		    "What is set, without starting anything\n"
		    "kvpath run --print | tr '\\0' '\\n'",
	.run = run,
};
