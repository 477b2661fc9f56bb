/* Family A, the plugin and its libraries: KV101 to KV151. */
#include "rules/rules.h"

static struct kv_finding *start(const struct kv_facts *f, struct kv_findings *out,
				const struct kv_nixl *n, const char *what)
{
	struct kv_finding *fi =
		kv_find(out, kv_severity_of(n), "%s: %s", kv_nixl_label(f, n), what);

	kv_show(out, fi, n->wanted->path, "%s", n->wanted->load.error);
	return fi;
}

/* What fix would borrow, or what was offered and refused, or what to get. */
static void mend_fabric(const struct kv_facts *f, struct kv_findings *out, struct kv_finding *fi,
			const struct kv_nixl *n)
{
	const char *need = n->wanted->elf ? kv_elf_max_need(n->wanted->elf, "FABRIC_") : NULL;

	for (size_t i = 0; i < f->fabrics.n; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];

		if (fab->source != KV_SOURCE_FABRIC)
			continue;
		if (fab->blocked)
			kv_show(out, fi, fab->path, "offered, refused: %s", fab->blocked);
		else
			kv_show(out, fi, fab->path, "offered: libfabric %s, %s",
				fab->release ? fab->release : "?", fab->abi);
	}
	if (!kv_mend_by_fabric(f, out, fi, n))
		kv_mend(out, fi, false,
			"install %s in the target or on the host and name its directory with "
			"--fabric DIR, or use a NIXL wheel that needs less",
			kv_what_serves(f, need ? need : "FABRIC_1.7"));
}

void kv_rule_fabric_abi(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_FABRIC_ABI)
	{
		const struct kv_load *l = &n->wanted->load;
		const char *need = kv_elf_max_need(l->requirer->elf, "FABRIC_");
		const char *have = kv_elf_max_def(l->provider->elf, "FABRIC_");
		struct kv_finding *fi = start(
			f, out, n,
			kv_strf(f->arena,
				"plugin %s needs %s, and the libfabric that its process gets, %s, "
				"goes up to %s",
				f->backend, need, l->provider->name,
				have ? have : "no version at all"));

		kv_show(out, fi, l->provider->name, "found by %s for %s",
			kv_rule_name[l->provider->rule], l->provider->request);
		mend_fabric(f, out, fi, n);
	}
}

void kv_rule_no_fabric(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_NO_FABRIC)
	{
		struct kv_finding *fi = start(
			f, out, n,
			kv_strf(f->arena,
				"plugin %s needs %s, which no rule of the loader finds; wheels "
				"since 0.7.0 do not carry it",
				f->backend, n->wanted->load.missing));

		kv_show_tried(out, fi, &n->wanted->load);
		mend_fabric(f, out, fi, n);
	}
}

void kv_rule_no_hwloc(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_NO_HWLOC)
	{
		struct kv_finding *fi =
			start(f, out, n,
			      kv_strf(f->arena,
				      "plugin %s needs %s, which wheels since 0.7.0 do "
				      "not carry",
				      f->backend, n->wanted->load.missing));

		kv_show_tried(out, fi, &n->wanted->load);
		kv_mend(out, fi, false,
			"install the distribution's package (Debian and Ubuntu: libhwloc15, "
			"RHEL: hwloc-libs)");
	}
}

/* "libcudart.so.13, libgomp.so.1" */
static const char *file_names(const struct kv_facts *f, const kv_strv *paths)
{
	const char *s = "";

	for (size_t i = 0; i < paths->n; i++)
		s = kv_strf(f->arena, "%s%s%s", s, i ? ", " : "", kv_basename(paths->v[i]));
	return s;
}

/* Frameworks import torch first; others would not have its libraries. */
static void tell_lent(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;
		const char *real;

		if (!n->active || !n->lent.n || n->imports_torch || n->alone.loads == KV_LOADS_YES)
			continue;
		fi = kv_find(out, KV_INFO,
			     "%s: plugin %s takes %s from torch: a process that does not import "
			     "torch before NIXL does not load it",
			     kv_nixl_label(f, n), f->backend, file_names(f, &n->lent));
		kv_show(out, fi, n->wanted->path, "%s", n->alone.error);
		if (kv_root_real(f->root, n->lent.v[0], 0, &real) < 0)
			real = n->lent.v[0];
		kv_mend(out, fi, false,
			"nothing for serving frameworks, which import torch; for others put %s on "
			"LD_LIBRARY_PATH",
			kv_dirname(f->arena, real));
	}
}

void kv_rule_no_cudart(const struct kv_facts *f, struct kv_findings *out)
{
	tell_lent(f, out);
	kv_each_failed(n, f, KV_CAUSE_NO_CUDART)
	{
		const char *major = strrchr(n->wanted->load.missing, '.') + 1;
		struct kv_finding *fi;

		if (kv_other_cuda(f, n))
			continue; /* KV106, or nothing where it is the other one that is imported */
		fi = start(f, out, n,
			   kv_strf(f->arena, "plugin %s is built for CUDA %s and needs %s",
				   f->backend, major, n->wanted->load.missing));

		kv_show_tried(out, fi, &n->wanted->load);
		kv_mend(out, fi, false,
			"install the wheel for this image's CUDA (nixl-cu12, nixl-cu13), or put "
			"the "
			"directory of %s on the loader's path",
			n->wanted->load.missing);
	}
}

void kv_rule_no_driver(const struct kv_facts *f, struct kv_findings *out)
{
	if (!f->live && f->assumed) {
		struct kv_finding *fi = kv_find(out, KV_INFO,
						"%s is assumed: the host injects the driver's "
						"libraries when the container starts",
						f->assumed);

		kv_mend(out, fi, false, "nothing to do; start the job with GPUs requested");
		return;
	}
	kv_each_failed(n, f, KV_CAUSE_NO_DRIVER)
	{
		struct kv_finding *fi = start(f, out, n,
					      n->wanted->load.missing_symbol
						      ? "the libcuda.so.1 that the process gets is "
							"a stub: it lacks the driver's functions"
						      : "the driver's libcuda.so.1 is not here");

		kv_show_tried(out, fi, &n->wanted->load);
		kv_mend(out, fi, false,
			"start the container with GPUs (NVIDIA_VISIBLE_DEVICES, --gpus) and keep "
			"CUDA's stubs directory off LD_LIBRARY_PATH");
	}
}

static const struct kv_plugin *has_plugin(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].wanted)
			return f->nixls.v[i].wanted;
	return NULL;
}

void kv_rule_out_of_tree(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_OUT_OF_TREE)
	{
		struct kv_finding *fi = start(
			f, out, n,
			kv_strf(f->arena,
				"plugin %s does not find %s, which lies in NIXL's own tree, from "
				"where the plugin is",
				f->backend, n->wanted->load.missing));

		kv_show(out, fi, n->lib_dir, "the tree that it belongs to");
		kv_mend(out, fi, false, "move it back to %s/plugins and unset NIXL_PLUGIN_DIR",
			n->lib_dir);
	}
	/* A copy elsewhere matters only where the tree itself has none. */
	for (size_t i = 0; !has_plugin(f) && i < f->orphans.n; i++) {
		const struct kv_orphan *o = &f->orphans.v[i];
		struct kv_finding *fi;

		if (!o->home || !kv_streq(o->name, f->backend))
			continue;
		fi = kv_find(
			out, KV_ERROR,
			"plugin %s was moved out of its NIXL's tree: from %s it does not find %s",
			o->name, o->path, o->load.missing);
		kv_show(out, fi, o->path, "%s", o->load.error);
		kv_show(out, fi, o->home->lib_dir, "the tree that it belongs to");
		kv_mend(out, fi, false, "move it back to %s/plugins", o->home->lib_dir);
	}
}

/* A tree without a package has no version. */
static bool is_one_release(const struct kv_facts *f, const struct kv_nixl *a,
			   const struct kv_nixl *b)
{
	if (*a->version && *b->version)
		return kv_streq(a->version, b->version);
	return kv_compare_releases(f, a->libnixl, b->libnixl) == KV_RELEASE_SAME;
}

void kv_rule_many_nixls(const struct kv_facts *f, struct kv_findings *out)
{
	bool several = false, differ = false, in_doubt = false;
	const struct kv_nixl *first = f->nixls.v;
	struct kv_finding *fi;

	/* One may be there by several ways: links to its package. */
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		several |= i &&
			   !(n->libnixl && first->libnixl && kv_streq(n->libnixl, first->libnixl));
		differ |= several && !is_one_release(f, n, first);
		in_doubt |= n->in_doubt;
	}
	if (!several && !in_doubt)
		return;
	fi = kv_find(out, differ || in_doubt ? KV_WARNING : KV_INFO,
		     "%zu NIXL copies%s; a plugin of one loaded by another may crash or be "
		     "missing%s",
		     f->nixls.n, differ ? " of different or unknown versions" : " of one version",
		     in_doubt
			     ? ". Not all of them work, and which one the job takes can not be told"
			     : "");
	fi->cannot_tell = in_doubt;
	for (size_t i = 0; i < f->nixls.n; i++)
		kv_show(out, fi, f->nixls.v[i].path, "%s%s", kv_nixl_label(f, &f->nixls.v[i]),
			!f->nixls.v[i].active    ? ", not imported by default"
			: f->nixls.v[i].in_doubt ? ", does not work as it is"
						 : "");
	kv_mend(out, fi, false,
		"keep one%s; where NIXL_PLUGIN_DIR is set it must belong to the libnixl.so that "
		"is loaded",
		in_doubt ? ", or name the job's python with --env PATH=DIR:..." : "");
}

/* As it was in the process: of a plan the files are not there yet. */
static const struct kv_elf *used_fabric(const struct kv_facts *f, const char **ret_path,
					const struct kv_nixl **ret_nixl)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];

		if (!n->wanted || !n->active)
			continue;
		*ret_nixl = n;
		if (n->stack.known) {
			*ret_path = n->stack.fabric_path;
			return n->stack.fabric->elf;
		}
		if (kv_cause_of(f, n, &n->wanted->load) == KV_CAUSE_FABRIC_ABI) {
			*ret_path = n->wanted->load.provider->name;
			return n->wanted->load.provider->elf;
		}
	}
	return NULL;
}

void kv_rule_many_fabrics(const struct kv_facts *f, struct kv_findings *out)
{
	const char *used = NULL, *used_abi = NULL;
	const struct kv_nixl *n = NULL;
	const struct kv_elf *elf = used_fabric(f, &used, &n);
	const struct kv_fabric *newer = NULL;
	struct kv_finding *fi;

	if (!elf)
		return;
	used_abi = kv_elf_max_def(elf, "FABRIC_");
	for (size_t i = 0; i < f->fabrics.n; i++) {
		const struct kv_fabric *fab = &f->fabrics.v[i];

		/* A newer one without efa or CUDA is passed over for good, by fix too. */
		if (fab->source != KV_SOURCE_FABRIC && fab->elf != elf &&
		    !kv_fabric_serves_less(f, fab, n) &&
		    kv_version_cmp(fab->abi + strlen("FABRIC_"), used_abi + strlen("FABRIC_")) > 0)
			newer = fab;
	}
	if (!newer)
		return;
	fi = kv_find(out, KV_WARNING,
		     "several libfabric copies, and the process takes the older one: %s has %s, %s "
		     "has %s",
		     used, used_abi, newer->path, newer->abi);
	kv_show(out, fi, used, "taken");
	kv_show(out, fi, newer->path, "libfabric %s",
		newer->release ? newer->release : "of unknown release");
	kv_mend(out, fi, kv_server_for(f, has_plugin(f)) == newer,
		"kvpath fix puts the newer one first for NIXL alone where the plugin needs it");
}

void kv_rule_glibc(const struct kv_facts *f, struct kv_findings *out)
{
	bool failed = false;

	kv_each_failed(n, f, KV_CAUSE_GLIBC)
	{
		const struct kv_load *l = &n->wanted->load;
		struct kv_finding *fi =
			start(f, out, n,
			      kv_strf(f->arena, "%s needs %s; this target has %s",
				      l->requirer->name, l->missing_version, f->libc));

		kv_mend(out, fi, kv_server_for(f, n->wanted) != NULL,
			"take out the copy that came from a newer system and use a libfabric built "
			"for this one or "
			"an older");
		failed = true;
	}
	/* An offer that the target can not take matters only while one is needed. */
	for (size_t i = 0; i < f->nixls.n; i++)
		failed |= f->nixls.v[i].wanted && f->nixls.v[i].wanted->load.loads != KV_LOADS_YES;
	if (failed)
		kv_warn_blocked(f, out, KV_LACK_LIBC,
				"a libfabric that was offered can not be used here",
				"offer one that is built for this target's libc or an older (the "
				"EFA installer's for "
				"this distribution)");
}

/* Up to then each agent opens all plugins; since then those that it is asked for
 * (nixl_plugin_manager.cpp). */
#define LAZY_PLUGINS "1.1.0"

/* The plugin whose two copies of libnuma end the process; NULL. */
static const struct kv_plugin *ended_by_numa(const struct kv_facts *f, const struct kv_nixl *n)
{
	if (n->wanted && kv_cause_of(f, n, &n->wanted->load) == KV_CAUSE_TWO_NUMAS)
		return n->wanted;
	if (!*n->version || kv_version_cmp(n->version, LAZY_PLUGINS) >= 0)
		return NULL;
	for (size_t i = 0; i < n->plugins.n; i++)
		if (kv_cause_of(f, n, &n->plugins.v[i].load) == KV_CAUSE_TWO_NUMAS)
			return &n->plugins.v[i];
	return NULL;
}

void kv_rule_two_numas(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		const struct kv_plugin *p = ended_by_numa(f, n);
		const struct kv_fabric *server = p ? kv_server_for(f, p) : NULL;
		const struct kv_object *first, *own;
		struct kv_finding *fi;

		if (!p)
			continue;
		first = p->load.requirer;
		own = p->load.provider;
		fi = kv_find(out, kv_severity_of(n),
			     "%s: plugin %s ends the process%s: it comes with two copies of "
			     "libnuma, and one calls the other before that is set up",
			     kv_nixl_label(f, n), p->name,
			     p == n->wanted ? "" : ", and this NIXL opens every plugin");
		kv_show(out, fi, p->path, "%s", p->load.error);
		kv_show(out, fi, first->name, "needed by %s", first->requested_by->name);
		kv_show(out, fi, own->name, "needed by %s", own->requested_by->name);
		if (p == n->wanted && kv_fails_below_fabric(&p->load) && server &&
		    server->source == KV_SOURCE_FABRIC)
			mend_fabric(f, out, fi, n);
		else
			kv_mend(out, fi, false,
				"start the job with LD_PRELOAD=%s, or put a link to it in the "
				"place of %s",
				first->name, kv_basename(own->name));
	}
}

void kv_rule_other_load(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_OTHER)
	{
		struct kv_finding *fi;

		if (n->wanted->load.loads == KV_LOADS_UNKNOWN)
			continue;
		fi = start(f, out, n, kv_strf(f->arena, "plugin %s does not load", f->backend));
		kv_show_tried(out, fi, &n->wanted->load);
		kv_mend(out, fi, false, "see kvpath why %s", n->wanted->path);
	}
}

#define MAX_SHOWN 8

void kv_rule_denied(const struct kv_facts *f, struct kv_findings *out)
{
	const kv_strv *denied = kv_root_denied(f->root);
	struct kv_finding *fi;

	if (!denied->n)
		return;
	fi = kv_find(out, KV_WARNING,
		     "%zu paths that matter could not be read: what is missing here may be there "
		     "for the job, and what is right may not be all",
		     denied->n);
	fi->cannot_tell = true;
	for (size_t i = 0; i < denied->n && i < MAX_SHOWN; i++)
		kv_show(out, fi, denied->v[i], "could not be read");
	kv_mend(out, fi, false, "run kvpath as a user who can read them, as root for example");
}

/* It would load in a python that imports it. */
static void tell_off_path(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->nixls.n; i++) {
		const struct kv_nixl *n = &f->nixls.v[i];
		struct kv_finding *fi;

		if (!n->off_path || !n->wanted || n->wanted->load.loads != KV_LOADS_YES)
			continue;
		fi = kv_find(out, n->may_be_named ? KV_INFO : KV_WARNING,
			     "%s: whether a python imports it can not be told",
			     kv_nixl_label(f, n));
		fi->cannot_tell = !n->may_be_named;
		kv_show(out, fi, n->site, "%s", n->off_path);
		kv_mend(out, fi, false,
			"name the job's PYTHONPATH with --env, or install NIXL where the job's "
			"python looks");
	}
}

static void tell_editable(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < f->editables.n; i++) {
		const struct kv_editable *e = &f->editables.v[i];
		struct kv_finding *fi = kv_find(out, KV_WARNING,
						"%s is an editable install: what a python imports "
						"by that name can not be told",
						e->dist);

		fi->cannot_tell = true;
		kv_show(out, fi, e->info, "its modules are found by code");
		kv_mend(out, fi, false, "install it without -e, or ask kvpath prove");
	}
}

void kv_rule_untold_load(const struct kv_facts *f, struct kv_findings *out)
{
	kv_each_failed(n, f, KV_CAUSE_OTHER)
	{
		struct kv_finding *fi;

		if (n->wanted->load.loads != KV_LOADS_UNKNOWN)
			continue;
		fi = start(
			f, out, n,
			kv_strf(f->arena, "whether plugin %s loads can not be told", f->backend));
		fi->severity = KV_WARNING;
		fi->cannot_tell = true;
		kv_show_tried(out, fi, &n->wanted->load);
		kv_mend(out, fi, false,
			"name the root of the system that this NIXL runs in: / for a virtual "
			"environment of this machine, a container's root directory or image for "
			"one "
			"in it; kvpath prove asks the real loader");
	}
	tell_off_path(f, out);
	tell_editable(f, out);
}
