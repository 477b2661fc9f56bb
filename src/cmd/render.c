/* kvpath render: writes the repair in the dialect that is asked for. */
#include <limits.h>

#include "cmd/cmd.h"
#include "launch/render.h"

static const struct kv_writer *find(const char *name)
{
	for (size_t i = 0; kv_writers[i]; i++)
		if (kv_streq(kv_writers[i]->name, name))
			return kv_writers[i];
	return NULL;
}

static const char *names(struct kv_arena *a)
{
	const char *s = "";

	for (size_t i = 0; kv_writers[i]; i++)
		s = kv_strf(a, "%s%s%s", s, *s ? ", " : "", kv_writers[i]->name);
	return s;
}

/* Where the jobs' hosts have libfabric: what is named here, absolute, else the installer's place.
 */
static int find_fabrics(const struct kv_opts *o, kv_strv *ret)
{
	char real[PATH_MAX];

	for (size_t i = 0; i < o->fabrics.n; i++) {
		if (!realpath(o->fabrics.v[i], real))
			return kv_fail(KV_STATUS_USAGE, "--fabric %s: %s", o->fabrics.v[i],
				       strerror(errno));
		kv_vec_push(o->arena, ret, kv_strdup(o->arena, real));
	}
	if (!ret->n)
		kv_vec_push(o->arena, ret, kv_strdup(o->arena, KV_HOST_EFA));
	return KV_STATUS_OK;
}

/* This machine's devices, or a recorded one's, whatever the target is: its jobs will run here. */
static int find_host(const struct kv_opts *o, struct kv_target *t, const struct kv_host **ret)
{
	struct kv_err err = { 0 };

	if (!t->sysroot && kv_sysroot_open(o->arena, NULL, &t->sysroot, &err) < 0)
		return kv_fail(KV_STATUS_UNKNOWN, "%s", err.msg);
	*ret = kv_host_collect(t->sysroot);
	return KV_STATUS_OK;
}

/* The options of what runs before the job's own variables are there: those, but not the ones that
 * the texts set anew. */
static void add_before_job(const struct kv_opts *o, kv_strv *ret)
{
	struct kv_env knobs = { 0 };

	kv_wanted_options(o->arena, o->backend, o->vram, ret);
	kv_env_knobs(o->arena, o->backend, &knobs);
	for (size_t i = 0; i < o->env.pairs.n; i++) {
		if (kv_env_get(&knobs, kv_pair_name(o->arena, o->env.pairs.v[i])))
			continue;
		kv_vec_push(o->arena, ret, kv_strdup(o->arena, "--env"));
		kv_vec_push(o->arena, ret, o->env.pairs.v[i]);
	}
}

static int print_for(const struct kv_opts *o, const struct kv_writer *d, struct kv_target *t)
{
	kv_strv fabrics = { 0 };
	struct kv_render in = { .arena = o->arena,
				.backend = o->backend,
				.program = kv_self_path(o->arena),
				.fabrics = &fabrics };
	const struct kv_host *host = NULL;
	int r = find_fabrics(o, &fabrics);

	if (r != KV_STATUS_OK)
		return r;
	kv_wanted_options(o->arena, o->backend, o->vram, &in.options);
	add_before_job(o, &in.before_job);
	if (d->needs != KV_NEEDS_NOTHING) {
		r = kv_target_open_arg(o, t);
		if (r != KV_STATUS_OK)
			return r;
		in.facts = kv_target_facts(t);
	}
	if (d->needs == KV_NEEDS_BRING) {
		r = find_host(o, t, &host);
		if (r != KV_STATUS_OK)
			return r;
		kv_bring_make(in.facts, host, o->fabrics.n > 0, &in.bring);
	}
	r = d->needs == KV_NEEDS_NOTHING ? KV_STATUS_OK : kv_target_intact(t);
	if (r == KV_STATUS_OK && in.bring.reason)
		return kv_fail(KV_STATUS_OFF, "nothing that a launcher brings repairs this: %s",
			       in.bring.reason);
	if (r == KV_STATUS_OK)
		r = d->print(stdout, &in);
	if (r == KV_STATUS_OK && in.facts)
		kv_tell_variables(in.facts);
	return r;
}

static void list(FILE *out)
{
	fputc('\n', out);
	for (size_t i = 0; kv_writers[i]; i++)
		fprintf(out, "%-11s %s\n", kv_writers[i]->name, kv_writers[i]->summary);
}

static int run(struct kv_opts *o)
{
	_target_ struct kv_target t = { 0 };
	const struct kv_writer *d;

	if (!o->render_for)
		return kv_fail(KV_STATUS_USAGE, "render: --for DIALECT is expected: %s",
			       names(o->arena));
	d = find(o->render_for);
	if (!d)
		return kv_fail(KV_STATUS_USAGE, "render: --for %s: one of %s is expected",
			       o->render_for, names(o->arena));
	if (d->needs == KV_NEEDS_NOTHING && (o->args.n || o->mounts.n))
		return kv_fail(KV_STATUS_USAGE,
			       "render: %s is the same for every target: leave %s "
			       "away",
			       d->name, o->args.n ? o->args.v[0] : "--mount");
	return print_for(o, d, &t);
}

const struct kv_command kv_cmd_render = {
	.name = "render",
	.usage = "--for DIALECT [OPTIONS] [TARGET]",
	.summary = "write the repair as a launcher's text",
	.options = "for mount fabric env backend mem sysroot",
	.help_more = list,
	.help = "Where the text names files, they are mounted one by one, read-only; that the "
		"target loads the plugin with\n"
		"them is verified on the model first. Paths of the host are those of this machine.",
	.examples = "Variables for a job script\n"
		    "kvpath render --for env ./container\n"
		    "A device for podman\n"
		    "kvpath render --for cdi ./container >/etc/cdi/kvpath.json",
	.run = run,
};
