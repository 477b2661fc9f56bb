/*
 * Serving frameworks in the target that name NIXL's backends themselves, so that NIXL's own default
 * does not reach them, or that import it in a way of their own (needs.c). A framework counts as
 * such where its source reads the knob or imports NIXL, not by being there.
 */
#include "inspect/internal.h"

#define MAX_SOURCE ((size_t)8 << 20)

/* vLLM's NIXL connector, and how it asks its configuration. */
#define CONNECTOR "distributed/kv_transfer/kv_connector/v1/"
#define CALL      "get_from_extra_config"

static const struct known {
	const char *name, *package;
	const char *sources[4]; /* of which one has the text */
	const char *text; /* a blank stands for white space, or none: formatters break lines */
	const char *knob; /* NULL: an argument, or the framework's own configuration */
	const char *set;  /* of these; %s is the backend. NULL: none, it is always UCX */
	bool may_idle;    /* often there without sending anything by NIXL */
	bool has_setting; /* what the knob is unset, its one source says: KNOB = F("UCX") */
	const char *importers[2]; /* of which one imports nixl, by that name alone */
	const char *extension;    /* is linked to libnixl, and loaded right after; NULL */
	const char *other;        /* another agent, which may take UCX alone; NULL */
} known[] = {
	/* sglang: srt/environ.py defines the knob, srt/disaggregation/nixl/conn.py uses it; default
	   UCX */
	{ .name = "SGLang",
	  .package = "sglang",
	  .sources = { "srt/environ.py" },
	  .text = "SGLANG_DISAGGREGATION_NIXL_BACKEND",
	  .knob = "SGLANG_DISAGGREGATION_NIXL_BACKEND",
	  .has_setting = true,
	  .importers = { "srt/disaggregation/nixl/conn.py" } },
	/* TensorRT-LLM: nixl_utils/transferAgent.cpp asks common::getEnvNixlBackend(); default UCX
	 */
	{ .name = "TensorRT-LLM",
	  .package = "tensorrt_llm",
	  .sources = { "libs/libtensorrt_llm_nixl_wrapper.so" },
	  .text = "getEnvNixlBackend",
	  .knob = "TRTLLM_NIXL_KVCACHE_BACKEND",
	  .other = "_torch/disaggregation/nixl/_agent_py.py" },
	/* LMCache: pd_backend.py and p2p_backend.py hand nixl_backends to the channel; default UCX.
	   Its other stores need no NIXL, and vLLM's images bring it along. */
	{ .name = "LMCache",
	  .package = "lmcache",
	  .sources = { "v1/config.py" },
	  .text = "\"nixl_backends\":",
	  .knob = "LMCACHE_NIXL_BACKENDS",
	  .may_idle = true },
	/* vLLM: get_from_extra_config("backends", ["UCX"]) of the connector, wherever it is */
	{ .name = "vLLM",
	  .package = "vllm",
	  .sources = { CONNECTOR "nixl_connector.py", CONNECTOR "nixl/base_worker.py",
		       CONNECTOR "nixl/worker.py", CONNECTOR "nixl/connector.py" },
	  .text = CALL "( \"backends\",",
	  .set = "--kv-transfer-config with "
		 "\"kv_connector_extra_config\":{\"backends\":[\"%s\"]}",
	  .importers = { "distributed/nixl_utils.py", CONNECTOR "nixl_connector.py" } },
	/* vLLM's transfer of encoder outputs makes an agent by NIXL's default and registers with
	   UCX */
	{ .name = "vLLM's encoder cache (ec_transfer)",
	  .package = "vllm",
	  .sources = { "distributed/ec_transfer/ec_connector/cpu/data/nixl.py" },
	  .text = "backends=[\"UCX\"]" },
	/* vLLM's offloaded KV cache, fetched from other nodes: NixlTransport of the p2p tier */
	{ .name = "vLLM's p2p tier of offloaded KV cache",
	  .package = "vllm",
	  .sources = { "v1/kv_offload/tiering/p2p/data/nixl.py" },
	  .text = "backends else [ \"UCX\" ]",
	  .set = "\"secondary_tiers\":[{\"type\":\"p2p\",\"backends\":[\"%s\"]}]",
	  .may_idle = true },
	{ .name = "vLLM's kvcr tier of offloaded KV cache",
	  .package = "vllm",
	  .sources = { "v1/kv_offload/tiering/kvcr/manager.py" },
	  .text = "remote_fw_dram_backend: str = \"UCX\"",
	  .set = "\"secondary_tiers\":[{\"type\":\"kvcr\",\"remote_fw_dram_backend\":\"%s\"}]",
	  .may_idle = true },
	/* ModelExpress: nixl_transfer.py takes what its envs.py reads; weights, not KV */
	{ .name = "ModelExpress",
	  .package = "modelexpress",
	  .sources = { "envs.py" },
	  .text = "\"MX_NIXL_BACKEND\",",
	  .knob = "MX_NIXL_BACKEND",
	  .may_idle = true },
	/* kvbm: imports nixl first of all, as its own module needs a libnixl.so that is loaded */
	{ .name = "Dynamo's block manager (kvbm)",
	  .package = "kvbm",
	  .may_idle = true,
	  .importers = { "__init__.py" },
	  .extension = "_core.abi3.so" },
};

/* Whether the text stands at p, its blanks as any white space. */
static bool is_at(const char *p, const char *end, const char *text)
{
	for (; *text; text++) {
		if (*text == ' ') {
			while (p < end && strchr(" \t\r\n", *p))
				p++;
			continue;
		}
		if (p == end || *p++ != *text)
			return false;
	}
	return true;
}

static bool has_text(struct kv_span s, const char *text)
{
	const char *start = (const char *)s.p;
	size_t word = strcspn(text, " ");

	for (size_t at = 0; (at = kv_span_find(s, at, text, word)) < s.n; at++)
		if (is_at(start + at, start + s.n, text))
			return true;
	return false;
}

static bool reads(struct kv_facts *f, const char *path, const char *text, struct kv_span *ret)
{
	return kv_root_slurp(f->root, path, MAX_SOURCE, ret) == 0 && has_text(*ret, text);
}

static bool reads_knob(struct kv_facts *f, const char *dir, const struct known *k)
{
	struct kv_span s;

	for (size_t i = 0; i < KV_ARRAY_SIZE(k->sources) && k->sources[i]; i++)
		if (reads(f, kv_join(f->arena, dir, k->sources[i]), k->text, &s))
			return true;
	return false;
}

/* Whether python would run compiled code of that source without looking at it. */
static bool has_unchecked_pyc(struct kv_facts *f, const char *path)
{
	const char *cache = kv_join(f->arena, kv_dirname(f->arena, path), "__pycache__");
	const char *stem = kv_basename(path);
	const struct kv_dirent *d;
	kv_dirents list = { 0 };
	struct kv_span pyc;

	stem = kv_strf(f->arena, "%.*s.cpython-", (int)(strlen(stem) - strlen(".py")), stem);
	if (kv_root_list(f->root, cache, &list) < 0)
		return false;
	kv_vec_each (d, &list)
		if (kv_starts(d->name, stem) &&
		    kv_root_slurp(f->root, kv_join(f->arena, cache, d->name), MAX_SOURCE, &pyc) ==
			    0 &&
		    kv_pyc_is_unchecked(pyc))
			return true;
	return false;
}

/* Notes where kvpath may rewrite it: not where python would not look at it, or that is mounted. */
static void keep_default(struct kv_facts *f, const char *path, struct kv_named_default d,
			 struct kv_framework *ret)
{
	const char *real;

	if (d.def.kind != KV_PYDEFAULT_UNKNOWN && !has_unchecked_pyc(f, path) &&
	    kv_root_real(f->root, path, 0, &real) == 0 && !kv_root_is_mounted(f->root, real))
		d.path = real;
	kv_vec_push(f->arena, &ret->defaults, d);
}

/* What its variable is where it is unset: UCX, or what kvpath has written there. */
static void read_setting(struct kv_facts *f, const char *dir, const struct known *k,
			 struct kv_framework *ret)
{
	const char *path = kv_join(f->arena, dir, k->sources[0]);
	struct kv_named_default d = { 0 };

	if (kv_root_slurp(f->root, path, MAX_SOURCE, &d.source) < 0)
		return;
	kv_pydefault_find_setting(f->arena, d.source, k->knob, &d.def);
	if (d.def.kind == KV_PYDEFAULT_UNKNOWN)
		return;
	d.taken = kv_taken_backends(f, &d.def, /* hooked= */ false);
	d.taken.n = 1;
	keep_default(f, path, d, ret);
}

/* Where it names what it takes unasked: UCX, or what kvpath has written there. */
static void read_defaults(struct kv_facts *f, const char *dir, const struct known *k,
			  struct kv_framework *ret)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(k->sources) && k->sources[i]; i++) {
		const char *path = kv_join(f->arena, dir, k->sources[i]);
		struct kv_named_default d = { 0 };

		if (!reads(f, path, k->text, &d.source))
			continue;
		kv_pydefault_find_call(f->arena, d.source, CALL, "backends", &d.def);
		if (d.def.kind == KV_PYDEFAULT_LITERAL && !kv_strv_has(&d.def.backends, "UCX"))
			continue;
		d.taken = kv_taken_backends(f, &d.def, /* hooked= */ true);
		keep_default(f, path, d, ret);
	}
}

static void read_needs(struct kv_facts *f, const char *dir, const struct known *k,
		       struct kv_needs *ret)
{
	struct kv_span s;

	for (size_t i = 0; i < KV_ARRAY_SIZE(k->importers) && k->importers[i] && !ret->file; i++) {
		const char *path = kv_join(f->arena, dir, k->importers[i]);

		if (reads(f, path, "nixl._api", &s)) {
			ret->file = path;
			kv_needs_read(f->arena, s, ret);
		}
	}
	if (ret->file && k->extension)
		ret->extension = kv_join(f->arena, dir, k->extension);
	for (size_t i = 0; ret->file && i < KV_ARRAY_SIZE(k->sources) && k->sources[i]; i++)
		if (kv_root_slurp(f->root, kv_join(f->arena, dir, k->sources[i]), MAX_SOURCE, &s) ==
		    0)
			kv_needs_read(f->arena, s, ret);
}

static const char *setting_of(struct kv_facts *f, const struct known *k)
{
	const char *at;

	if (k->knob)
		return kv_strf(f->arena, "%s=%s", k->knob, f->backend);
	if (!k->set)
		return NULL;
	at = strstr(k->set, "%s");
	return kv_strf(f->arena, "%.*s%s%s", (int)(at - k->set), k->set, f->backend,
		       at + strlen("%s"));
}

/* The file of its other agent, where that takes UCX alone. */
static const char *ucx_agent(struct kv_facts *f, const char *dir, const struct known *k)
{
	const char *path = k->other ? kv_join(f->arena, dir, k->other) : NULL;
	struct kv_span source;

	return path && reads(f, path, "backends = [ \"UCX\" ]", &source) ? path : NULL;
}

static void find_framework(struct kv_facts *f, const char *site, const char *dir,
			   const struct known *k)
{
	bool by_argument = !k->knob && k->set && !k->may_idle;
	struct kv_framework w = {
		.name = k->name,
		.path = dir,
		.knob = k->knob,
		.set = setting_of(f, k),
		.may_idle = k->may_idle,
		.needs = { .site = site },
	};

	if (by_argument)
		read_defaults(f, dir, k, &w);
	w.chooses = by_argument ? w.defaults.n > 0 : reads_knob(f, dir, k);
	w.value = w.chooses && k->knob ? kv_env_get(f->env, k->knob) : NULL;
	w.other = ucx_agent(f, dir, k);
	if (w.chooses && k->has_setting)
		read_setting(f, dir, k, &w);
	read_needs(f, dir, k, &w.needs);
	if (w.chooses || w.needs.file)
		kv_vec_push(f->arena, &f->frameworks, w);
}

void kv_find_frameworks(struct kv_facts *f)
{
	for (size_t i = 0; i < f->scan->sites.n; i++) {
		const char *site = f->scan->sites.v[i];
		struct kv_led led;

		kv_site_leads(f, site, &led);
		for (size_t j = 0; j < KV_ARRAY_SIZE(known); j++) {
			const char *dir = kv_join(f->arena, site, known[j].package);

			/* SGLang's own images have it from its sources. */
			if (!kv_root_is_dir(f->root, dir))
				dir = kv_led_to(f, &led, known[j].package);
			if (dir)
				find_framework(f, site, dir, &known[j]);
		}
	}
}
