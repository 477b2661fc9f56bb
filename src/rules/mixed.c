/* Family A, parts of NIXL that do not belong together. */
#include "rules/rules.h"

/* It may still do: python's part of 1.4.1 makes its agent on the libnixl.so of 1.5.0, that of 1.0.1
 * does not, as it asks for each plugin that is listed, which then loads or ends it. */
static void tell_other_libnixl(const struct kv_facts *f, struct kv_findings *out,
			       const struct kv_nixl *n)
{
	struct kv_finding *fi = kv_find(
		out, KV_WARNING,
		"%s: its process takes a libnixl.so of another release than the wheel's own: "
		"whether it makes an agent can not be told",
		kv_nixl_label(f, n));

	fi->cannot_tell = true;
	kv_show(out, fi, n->libnixl, "the libnixl.so of the process");
	kv_show(out, fi, n->other_libnixl, "the wheel's own");
	kv_mend(out, fi, false,
		"take both from one build of NIXL: leave its directory out of LD_LIBRARY_PATH or "
		"LD_PRELOAD, or install the wheel of its release");
}

void kv_rule_nixl_abi(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && f->nixls.v[i].other_libnixl)
			tell_other_libnixl(f, out, &f->nixls.v[i]);
	kv_each_failed(n, f, KV_CAUSE_NIXL_ABI)
	{
		const struct kv_load *l = &n->wanted->load;
		struct kv_finding *fi =
			kv_find(out, kv_severity_of(n),
				"%s: %s was built with another NIXL: it wants a function that the "
				"libnixl.so of its process does not have",
				kv_nixl_label(f, n), l->requirer ? l->requirer->name : n->path);

		kv_show(out, fi, n->wanted->path, "%s", l->error);
		if (n->libnixl)
			kv_show(out, fi, n->libnixl, "the libnixl.so of the process");
		kv_mend(out, fi, false,
			"take the plugin, libnixl.so and what uses it from one build of NIXL");
	}
}

/* ---- KV106: another CUDA's package is imported ---- */

const struct kv_nixl *kv_other_cuda(const struct kv_facts *f, const struct kv_nixl *n)
{
	for (size_t i = 0; n->site && i < f->nixls.n; i++) {
		const struct kv_nixl *m = &f->nixls.v[i];

		if (m != n && m->site && kv_streq(m->site, n->site) && m->wanted &&
		    kv_cause_of(f, m, &m->wanted->load) != KV_CAUSE_NO_CUDART)
			return m;
	}
	return NULL;
}

void kv_rule_other_cuda(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_NO_CUDART)
	{
		const struct kv_nixl *m = kv_other_cuda(f, n);
		struct kv_finding *fi;

		if (!n->active || !m)
			continue;
		fi = kv_find(
			out, KV_ERROR,
			"`import nixl` takes %s, whose CUDA runtime is not here; %s would find "
			"its own",
			n->module, m->module);
		kv_show(out, fi, n->wanted->path, "%s", n->wanted->load.error);
		kv_show(out, fi, m->path, "not imported");
		if (n->asked_by_torch)
			kv_mend(out, fi, false, "bring %s: torch is for that CUDA",
				n->wanted->load.missing);
		else if (n->meta && kv_version_cmp(n->meta, "1.5.0") >= 0)
			kv_mend(out, fi, false, "uninstall %s", n->dist);
		else
			kv_mend(out, fi, false,
				"uninstall %s, or take the metapackage nixl 1.5.0 or newer",
				n->dist);
	}
}

/* ---- KV111: the plugins of another NIXL ---- */

static void check_plugins(const struct kv_facts *f, struct kv_findings *out,
			  const struct kv_nixl *n, const char *dir)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *m = &f->nixls.v[i];
		enum kv_release release;
		struct kv_finding *fi;

		if (m == n || !m->lib_dir || kv_streq(m->lib_dir, n->lib_dir) ||
		    !kv_streq(kv_join(f->arena, m->lib_dir, "plugins"), dir) ||
		    (*m->version && kv_streq(m->version, n->version)))
			continue;
		release = kv_compare_releases(f, n->libnixl, m->libnixl);
		if (release == KV_RELEASE_SAME)
			continue;
		fi = kv_find(out, KV_WARNING, "NIXL_PLUGIN_DIR gives %s the plugins of %s",
			     kv_nixl_label(f, n), kv_nixl_label(f, m));
		/* NIXL 0.10.1 ends on those of 1.0.1, 1.5.0 takes them. */
		fi->cannot_tell = release == KV_RELEASE_OTHER;
		kv_show(out, fi, dir, "plugins of %s", m->path);
		kv_mend(out, fi, false, "unset NIXL_PLUGIN_DIR, or set it to %s/plugins",
			n->lib_dir);
		return;
	}
}

void kv_rule_foreign_plugins(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		const char *dir;

		if (n->active && n->lib_dir && (n->plugin_dir_from_env || n->plugin_dir_file) &&
		    kv_root_real(f->root, n->plugin_dir, 0, &dir) == 0)
			check_plugins(f, out, n, dir);
	}
}

/* ---- KV113: libfabric was there before the plugin ---- */

static const char *dir_of_fabric(const struct kv_facts *f, const struct kv_nixl *n)
{
	const char *real;

	if (!n->stack.fabric_path || kv_root_real(f->root, n->stack.fabric_path, 0, &real) < 0)
		return "the directory of the newer libfabric";
	return kv_dirname(f->arena, real);
}

/* Whether the job has more than one GPU for each worker is not in the target. */
static void tell_nccl(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;

		if (!n->active || !n->nccl_by || n->after_nccl.loads == KV_LOADS_YES)
			continue;
		fi = kv_find(out, KV_WARNING,
			     "%s: in a worker of several GPUs NCCL opens its network first, and "
			     "plugin %s does not load on what this brings: %s",
			     kv_nixl_label(f, n), f->backend, n->nccl_brings);
		fi->cannot_tell = true;
		kv_show(out, fi, n->nccl_by, "brings %s", n->nccl_brings);
		kv_show(out, fi, n->wanted->path, "%s", n->after_nccl.error);
		kv_mend(out, fi, false,
			"let both take one: %s first on the job's LD_LIBRARY_PATH, or a newer %s "
			"where NCCL looks",
			dir_of_fabric(f, n), kv_basename(n->nccl_brings));
	}
}

void kv_rule_early_fabric(const struct kv_facts *f, struct kv_findings *out)
{
	tell_nccl(f, out);
	kv_each_failed(n, f, KV_CAUSE_FABRIC_ABI)
	{
		const struct kv_object *o = n->fabric_before;
		struct kv_finding *fi;

		if (!o || n->wanted->load.provider != o)
			continue;
		fi = kv_find(out, KV_WARNING,
			     "%s: its process has %s before the plugin is opened, so that no other "
			     "libfabric on the plugin's path counts",
			     kv_nixl_label(f, n), o->name);
		if (o->requested_by)
			kv_show(out, fi, o->requested_by->name, "asks for %s", o->request);
		else
			kv_show(out, fi, o->name, "%s", kv_rule_name[o->rule]);
		kv_mend(out, fi, false,
			"let LD_PRELOAD, or the library that brings it, name the libfabric that "
			"NIXL needs, or leave it out");
	}
}

/* ---- KV117, KV118: faults of packaging ---- */

void kv_rule_ucx_mo(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		for (size_t j = 0; j < n->plugins.n; j++) {
			const struct kv_plugin *p = &n->plugins.v[j];
			struct kv_finding *fi;

			if (!kv_streq(p->name, "UCX_MO") || !p->load.missing ||
			    !kv_streq(p->load.missing, "libplugin_UCX.so"))
				continue;
			fi = kv_find(out, p == n->wanted ? kv_severity_of(n) : KV_INFO,
				     "%s: its plugin UCX_MO does not find UCX's own plugin",
				     kv_nixl_label(f, n));
			kv_show(out, fi, p->path, "%s", p->load.error);
			kv_mend(out, fi, false, "use a newer NIXL, or the backend LIBFABRIC");
		}
	}
}

void kv_rule_bundled_fabric(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_loaded(n, f)
	{
		struct kv_finding *fi;
		const char *real;

		if (!n->site || kv_root_real(f->root, n->stack.fabric_path, 0, &real) < 0 ||
		    !kv_starts(real, kv_strf(f->arena, "%s/%s.libs/", n->site, n->module)))
			continue;
		fi = kv_find(out, KV_WARNING,
			     "%s brings a libfabric of its own, with libibverbs and drivers as its "
			     "builder had them: that of the target is not used",
			     kv_nixl_label(f, n));
		kv_show(out, fi, real, "libfabric %s",
			n->stack.fabric->release ? n->stack.fabric->release : "of unknown release");
		kv_mend(out, fi, false, "use NIXL 0.7.0 or newer, whose wheels take the target's");
	}
}
