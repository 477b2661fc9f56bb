/* kvpath why: how the loader decides for one file, in the process that opens it. */
#include "cmd/cmd.h"

/* What the objects that were loaded may open later. */
static void ask_optionals(struct kv_loader *l, struct kv_process *p, struct kv_load *ret)
{
	if (ret->loads != KV_LOADS_YES)
		return;
	kv_load_read_optionals(l, ret);
	kv_process_try_optionals(p, ret);
}

/* A NIXL's own plugin is opened by that NIXL's process, by the name that NIXL gives it. */
static bool why_plugin(const struct kv_facts *f, const char *real, const char **ret_process,
		       struct kv_load *ret)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		for (size_t j = 0; j < f->nixls.v[i].plugins.n; j++) {
			const struct kv_nixl *n = &f->nixls.v[i];

			if (!kv_streq(n->plugins.v[j].path, real))
				continue;
			*ret_process = n->site ? "python" : "native";
			*ret = n->plugins.v[j].load;
			if (ret->loads != KV_LOADS_YES)
				return true;
			/* It was taken out of the process again. */
			kv_load_read_optionals(f->loader, ret);
			if (ret->optionals.n) {
				kv_process_dlopen(n->proc, n->plugins.v[j].spelled, n->caller, 0,
						  ret);
				ask_optionals(f->loader, n->proc, ret);
			}
			return true;
		}
	return false;
}

/* The first NIXL of the kind that was asked for opens FILE as it would a plugin. */
static bool why_in(const struct kv_facts *f, const char *file, bool python, struct kv_load *ret)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if ((n->site != NULL) != python && (python || !n->libnixl))
			continue;
		if (!python) {
			struct kv_process_opts opts = { .env = f->env,
							.assumed =
								f->live ? NULL : kv_assumed_libs };
			struct kv_process *p = kv_process_start(f->loader, &opts, ret);

			if (ret->object)
				kv_process_dlopen(p, n->libnixl, NULL, 0, ret);
			if (ret->object)
				kv_process_dlopen(p, file, ret->object, 0, ret);
			ask_optionals(f->loader, p, ret);
			return true;
		}
		if (n->start.loads != KV_LOADS_YES) {
			*ret = n->start;
			return true;
		}
		kv_process_dlopen(n->proc, file, n->caller, 0, ret);
		ask_optionals(f->loader, n->proc, ret);
		return true;
	}
	return false;
}

/* A process that kvpath need know no NIXL for: nothing of the target is walked. */
static void why_plain(const struct kv_target *t, const char *file, bool program,
		      struct kv_load *ret)
{
	struct kv_elf_id id;
	struct kv_process_opts opts = { .exe = program ? file : NULL, .env = &t->env };
	struct kv_loader *l;
	struct kv_process *p;

	/* A library of another machine is opened by a program of that machine, if the root can run
	 * such. */
	if (!strchr(file, '/') || !kv_elf_identify(t->root, file, &id))
		kv_root_identify(t->root, &id);
	l = kv_loader_new(t->root, id.machine, id.is64, id.be, t->cpu_level);
	if (!kv_loader_ldso(l)->is_glibc) {
		kv_root_identify(t->root, &id);
		l = kv_loader_new(t->root, id.machine, id.is64, id.be, t->cpu_level);
	}
	if (t->cwd)
		kv_loader_start_in(l, t->cwd);
	p = kv_process_start(l, &opts, ret);
	if (ret->object && !program)
		kv_process_dlopen(p, file, NULL, 0, ret);
	ask_optionals(l, p, ret);
}

static bool is_plain(const char *process)
{
	return kv_streq(process, "bare") || kv_streq(process, "program");
}

/* NIXL looks for its plugins by this name. */
static bool may_be_plugin(const char *file)
{
	return strchr(file, '/') && kv_is_plugin(kv_basename(file));
}

static int status_of(const struct kv_load *l)
{
	return l->loads == KV_LOADS_YES       ? KV_STATUS_OK
	       : l->loads == KV_LOADS_UNKNOWN ? KV_STATUS_UNKNOWN
					      : KV_STATUS_OFF;
}

/* FILE as a path from the target's root, and where it leads; a bare name stays as it is. */
static int find_file(const struct kv_opts *o, const struct kv_target *t, const char **file,
		     const char **ret_real)
{
	int e;

	if (!strchr(*file, '/'))
		return KV_STATUS_OK;
	if (**file != '/')
		*file = kv_strf(o->arena, "/%s", *file);
	e = kv_root_real(t->root, *file, 0, ret_real);
	if (e == 0)
		return KV_STATUS_OK;
	/* Then what the loader says of it is what was asked. */
	if (o->process && kv_streq(o->process, "bare"))
		return KV_STATUS_OK;
	if (kv_target_intact(t) != KV_STATUS_OK)
		return KV_STATUS_UNKNOWN;
	return kv_fail(KV_STATUS_USAGE, "%s: %s in %s", *file, strerror(-e), t->path);
}

/* Loads FILE in the process that was asked for, else in the one that would open it. */
static int load_file(const struct kv_opts *o, struct kv_target *t, const char *file,
		     const char *real, const char **ret_process, struct kv_load *ret)
{
	bool plain = o->process ? is_plain(o->process) : !may_be_plugin(file);
	const struct kv_facts *f = plain ? NULL : kv_target_facts(t);

	if (f && !o->process && why_plugin(f, real, ret_process, ret))
		return KV_STATUS_OK;
	*ret_process = o->process ? o->process : "bare";
	if (plain || !o->process)
		why_plain(t, file, kv_streq(*ret_process, "program"), ret);
	else if (!why_in(f, file, kv_streq(o->process, "python"), ret) && !kv_root_fault(t->root))
		return kv_fail(KV_STATUS_USAGE, "--process %s: no such NIXL in %s", o->process,
			       t->path);
	return KV_STATUS_OK;
}

static int run(struct kv_opts *o)
{
	_last_target_ struct kv_target t = { 0 };
	const char *file, *real = NULL, *process = NULL;
	struct kv_load load = { 0 };
	int r;

	if (o->args.n < 1 || o->args.n > 2)
		return kv_fail(KV_STATUS_USAGE,
			       "why: a FILE is expected, a TARGET before it is optional");
	file = o->args.v[o->args.n - 1];
	r = kv_target_open(o, o->args.n == 2 ? o->args.v[0] : NULL, &t);
	if (r == KV_STATUS_OK)
		r = find_file(o, &t, &file, &real);
	if (r == KV_STATUS_OK)
		r = load_file(o, &t, file, real, &process, &load);
	if (r == KV_STATUS_OK)
		r = kv_target_intact(&t);
	if (r != KV_STATUS_OK)
		return r;
	if (o->json)
		r = kv_print_json(kv_json_why(o->arena, file, process, &load));
	else
		kv_text_why(stdout, o->arena, file, process, &load, o->style);
	return r == KV_STATUS_OK ? status_of(&load) : r;
}

const struct kv_command kv_cmd_why = {
	.name = "why",
	.usage = "[OPTIONS] [TARGET] FILE",
	.summary = "show how the loader decides for FILE: every candidate, why each lost, versions "
		   "needed and had",
	.options = "mount env backend process json quiet color",
	.help = "FILE is a path in the target, or a bare name to be searched for. A plugin of a "
		"NIXL is opened by that\n"
		"NIXL's process unless --process says otherwise. bare is a program that links libc "
		"alone and calls dlopen(FILE,\n"
		"RTLD_NOW | RTLD_LOCAL); native, one that has loaded libnixl; program starts FILE "
		"itself.",
	.examples = "What the NIXL process of a container gets for a plugin\n"
		    "kvpath why ./container /path/of/libplugin_LIBFABRIC.so\n"
		    "A library by its name, in a program that links libc alone\n"
		    "kvpath why --process bare / libfabric.so.1",
	.run = run,
};
