/* kvpath prove: moves real bytes between two agents inside the target and says over what they went.
 */
#include "base/provider.h"
#include "cmd/cmd.h"

static const struct kv_nixl *choose(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && f->nixls.v[i].libnixl)
			return &f->nixls.v[i];
	return NULL;
}

/* Another provider than efa was asked for, and it carried the bytes. */
static bool is_as_asked(const struct kv_opts *o, const struct kv_prove_result *r)
{
	return o->provider && !kv_streq(o->provider, "efa") && r->provider &&
	       kv_streq(o->provider, r->provider) && r->intact;
}

static int status_of(const struct kv_opts *o, const struct kv_prove_result *r)
{
	if (kv_streq(r->verdict, "on-fabric") || is_as_asked(o, r))
		return KV_STATUS_OK;
	return kv_streq(r->verdict, "unknown") ? KV_STATUS_UNKNOWN : KV_STATUS_OFF;
}

/* KV301: the bytes went over another provider than efa, and none was asked for. */
static bool find_provider(const struct kv_opts *o, const struct kv_prove_result *r,
			  struct kv_finding *ret)
{
	*ret = (struct kv_finding){ .id = "KV301",
				    .title = kv_rule_title("KV301"),
				    .severity = KV_ERROR };
	if (!r->provider || kv_carrier_of(r->provider) != KV_CARRIER_HOST || is_as_asked(o, r))
		return false;
	ret->detail = kv_strf(o->arena, "the bytes went over libfabric's %s provider, not over efa",
			      r->provider);
	ret->repair = "run the proof where EFA devices are, with FI_PROVIDER=efa, which turns the "
		      "silent fallback into an error; --provider says that another one is wanted";
	return true;
}

static int print_result(const struct kv_opts *o, const struct kv_prove_result *r, const char *mem)
{
	struct kv_finding fi;
	bool found = find_provider(o, r, &fi);
	json_t *doc;

	if (!o->json) {
		if (found && !o->quiet)
			kv_text_finding(stdout, o->arena, &fi, o->style);
		if (is_as_asked(o, r) && !o->quiet)
			printf("asked     %s: it carried the bytes; the fabric was not tried\n",
			       o->provider);
		kv_text_prove(stdout, o->arena, r, o->backend, mem, o->style);
		return KV_STATUS_OK;
	}
	doc = kv_json_prove(o->arena, r, o->backend, mem);
	json_object_set_new(doc, "findings", found ? json_pack("[s]", fi.id) : json_array());
	return kv_print_json(doc);
}

static void fill(const struct kv_opts *o, const struct kv_target *t, const struct kv_nixl *n,
		 struct kv_prove_request *req)
{
	struct kv_prove_mount *mounts = kv_alloc_n(o->arena, o->mounts.n + 1, sizeof(*mounts));

	for (size_t i = 0; i < o->mounts.n; i++)
		mounts[i] = (struct kv_prove_mount){ o->mounts.v[i].host, o->mounts.v[i].guest };
	*req = (struct kv_prove_request){
		.target = t->path,
		.probe = kv_probe_path(o->arena),
		.capi = n->capi,
		.python = n->python_exe,
		.py_module = n->module,
		.py_dir = n->site,
		.plugin_dir = n->plugin_dir,
		.backend = o->backend,
		.mem = o->vram ? "vram" : "dram",
		.bytes = o->bytes,
		.deadline_s = o->deadline_s,
		.mounts = mounts,
		.n_mounts = o->mounts.n,
		.env = &t->env,
	};
}

/* VRAM is what jobs register; without --mem, a machine that has no GPU proves what it can: host
 * memory. */
static void choose_mem(struct kv_opts *o)
{
	if (o->mem_given || access("/dev/nvidiactl", F_OK) == 0)
		return;
	o->vram = false;
	if (!o->quiet && !o->json)
		fprintf(stderr, "kvpath: no GPU here: host memory is moved (--mem vram asks for "
				"GPU memory)\n");
}

static int run(struct kv_opts *o)
{
	_target_ struct kv_target t = { 0 };
	struct kv_prove_request req;
	struct kv_prove_result result = { 0 };
	struct kv_err err = { 0 };
	const struct kv_nixl *n;
	int r;

	r = kv_target_open_arg(o, &t);
	if (r == KV_STATUS_OK)
		r = kv_target_needs_dir(&t, "prove");
	if (r != KV_STATUS_OK)
		return r;
	n = choose(kv_target_facts(&t));
	if (!n)
		return kv_fail(KV_STATUS_OFF, "%s: there is no NIXL to prove anything with",
			       t.path);
	choose_mem(o);
	kv_target_lend(o, &t, n);
	fill(o, &t, n, &req);
	r = kv_prove(o->arena, &req, &result, &err);
	if (r < 0)
		return kv_fail(r == -EPERM ? KV_STATUS_USAGE : KV_STATUS_UNKNOWN, "%s", err.msg);
	if (o->verbose && result.log)
		fprintf(stderr, "%s\n", kv_printable_text(o->arena, result.log));
	if (is_as_asked(o, &result))
		result.verdict = "unknown";
	r = print_result(o, &result, req.mem);
	return r == KV_STATUS_OK ? status_of(o, &result) : r;
}

const struct kv_command kv_cmd_prove = {
	.name = "prove",
	.usage = "[OPTIONS] [TARGET]",
	.summary = "load the plugin for real, move real bytes between two agents, name the "
		   "provider and the counters",
	.options = "mount env backend mem provider bytes deadline json quiet verbose color",
	.help = "Runs the target's own libraries: in place for /, else in a mount namespace of its "
		"own (root is needed),\n"
		"where nothing is written to the target. on-fabric is said only where the bytes "
		"arrived intact, the provider\n"
		"is efa and the devices' counters moved by the payload. With --provider tcp (or "
		"another)\n"
		"the status says whether that one carried the bytes, and the verdict is `unknown`.",
	.rights = KV_RIGHTS_RUN,
	.examples = "On an EFA host, where the job will run\n"
		    "kvpath prove\n"
		    "What can be proven without EFA\n"
		    "kvpath prove --mem dram --provider tcp ./container",
	.run = run,
};
