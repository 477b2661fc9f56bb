/*
 * Variables of the job, the image or the call: one entry of the table for each. What is read is the
 * environment in which the target's processes start, whoever sets it.
 */
#include <strings.h>

#include "rules/environ.h"

bool kv_is_one_of(const char *v, const char *const *words)
{
	for (; *words; words++)
		if (!strcasecmp(v, *words))
			return true;
	return false;
}

/* libfabric src/var.c, fi_parse_bool(). */
static bool fi_true(const char *v)
{
	return kv_is_one_of(v, (const char *const[]){ "1", "true", "yes", "on", NULL });
}

bool kv_fi_false(const char *v)
{
	return kv_is_one_of(v, (const char *const[]){ "0", "false", "no", "off", NULL });
}

static bool is_no_bool(const struct kv_facts *f, const char *v)
{
	(void)f;
	return !fi_true(v) && !kv_fi_false(v);
}

/* As libfabric reads a number: 0 where there is none (src/var.c, fi_param_get()). */
static bool is_not_positive(const struct kv_facts *f, const char *v)
{
	(void)f;
	return (int)strtol(v, NULL, 0) <= 0;
}

static bool is_empty(const struct kv_facts *f, const char *v)
{
	(void)f;
	return !*v;
}

/* Whether a list, separated by any of seps, has the name, to which like() compares each. */
static bool lists(const char *list, const char *seps, const char *name,
		  int (*like)(const char *, const char *, size_t))
{
	for (const char *p = list; *p; p += strcspn(p, seps), p += *p != '\0')
		if (strcspn(p, seps) == strlen(name) && !like(p, name, strlen(name)))
			return true;
	return false;
}

static const struct kv_instance *instance_of(const struct kv_facts *f)
{
	return f->host ? f->host->instance : NULL;
}

/* ---- when a value is wrong ---- */

static bool any(const struct kv_facts *f, const char *v)
{
	(void)f, (void)v;
	return true;
}

/* "efa", "tcp,efa", "^tcp"; "^efa" and lists without it, also the empty one, leave efa out (core:
 * ofi_create_filter()). "efa;ofi_rxd" names a provider above efa, and not efa itself. */
static bool leaves_efa_out(const struct kv_facts *f, const char *v)
{
	(void)f;
	if (v[0] == '^')
		return lists(v + 1, ",", "efa", strncasecmp);
	return !lists(v, ",", "efa", strncasecmp);
}

/* Names that no usable device of this host has, letter for letter (efa: efa_env_allows_nic()).
 * Without a host nothing is known. What begins with "all" means all, and with nothing in it the
 * process ends. */
static bool names_no_device(const struct kv_facts *f, const char *v)
{
	if (!f->host || !kv_host_usable_efas(f->host) || !*v || kv_starts(v, "all") ||
	    kv_host_hides_devices(f->host))
		return false;
	for (size_t i = 0; i < f->host->verbs.n; i++)
		if (kv_verbs_is_efa(&f->host->verbs.v[i]) &&
		    kv_verbs_usable(&f->host->verbs.v[i]) &&
		    lists(v, ",", f->host->verbs.v[i].name, strncmp))
			return false;
	return true;
}

/*
 * Before 0.8.0 NIXL asks for libfabric's interface of 1.9. From 1.18 on the efa provider takes CUDA
 * memory with and without the device's RDMA (efa_user_info_should_support_hmem).
 */
static bool asks_below_1_18(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && *f->nixls.v[i].version &&
		    kv_version_cmp(f->nixls.v[i].version, "0.8.0") < 0)
			return true;
	return false;
}

static bool turns_hmem_off(const struct kv_facts *f, const char *v)
{
	return f->vram && kv_fi_false(v) && asks_below_1_18(f);
}

static bool has_no_rdma(const struct kv_facts *f)
{
	return instance_of(f) && !instance_of(f)->rdma_read;
}

/* Where there is none, as on g5, it turns nothing off. */
static bool turns_rdma_off(const struct kv_facts *f, const char *v)
{
	return f->vram && kv_fi_false(v) && !asks_below_1_18(f) && !has_no_rdma(f);
}

static bool asks_for_no_rdma(const struct kv_facts *f, const char *v)
{
	return fi_true(v) && has_no_rdma(f);
}

static bool turns_p2p_off(const struct kv_facts *f, const char *v)
{
	return f->vram && fi_true(v);
}

static bool leaves_cuda_out(const struct kv_facts *f, const char *v)
{
	return f->vram && *v && !lists(v, ";", "cuda", strncasecmp);
}

static bool has_segments(const struct kv_facts *f, const char *v)
{
	const char *p = strcasestr(v, "expandable_segments:");

	return f->vram && p && !strncasecmp(p + strlen("expandable_segments:"), "true", 4);
}

/* Where the kernel copies on fork, libfabric takes no notice of what asks for it. */
static bool clashes_with_fork(const struct kv_facts *f, const char *v)
{
	const char *safe = kv_env_get(f->env, "FI_EFA_FORK_SAFE");

	if (!fi_true(v) ||
	    (f->host && f->host->kernel && kv_version_cmp(f->host->kernel, "5.13") >= 0))
		return false;
	return (safe && fi_true(safe)) || kv_env_get(f->env, "RDMAV_FORK_SAFE") ||
	       kv_env_get(f->env, "IBV_FORK_SAFE");
}

static bool is_another_backend(const struct kv_facts *f, const char *v)
{
	return !kv_streq(v, f->backend);
}

/* tensorrt_llm/_torch/disaggregation/base/agent.py, _force_py_nixl_kv_transfer(): "1", nothing
 * else. */
static bool takes_ucx_alone(const struct kv_facts *f, const char *v)
{
	for (size_t i = 0; kv_streq(v, "1") && i < f->frameworks.n; i++)
		if (f->frameworks.v[i].other)
			return true;
	return false;
}

/* ---- the table ---- */

static const struct {
	const char *id, *variable;
	const char *backend; /* with which alone it counts; NULL for all */
	bool (*wrong)(const struct kv_facts *f, const char *value);
	enum kv_severity severity;
	const char *says, *mend;
} table[] = {
	{ "KV206", "NIXL_PLUGINS_DIR", NULL, any, KV_WARNING,
	  "it has no effect: NIXL reads NIXL_PLUGIN_DIR", "rename the variable, or drop it" },
	{ "KV208", "VLLM_NIXL_KVCACHE_BACKEND", NULL, any, KV_WARNING,
	  "vLLM does not read it: its NIXL connector takes backends from an argument alone",
	  "--kv-transfer-config with "
	  "\"kv_connector_extra_config\":{\"backends\":[\"LIBFABRIC\"]}" },
	{ "KV209", "TRTLLM_NIXL_KVCACHE_BACKEND", NULL, is_another_backend, KV_WARNING,
	  "TensorRT-LLM takes the backend of this name, or UCX where it knows none",
	  "set it to the backend that is wanted, spelled in capitals" },
	{ "KV209", "TRTLLM_USE_PY_NIXL_KVCACHE", "LIBFABRIC", takes_ucx_alone, KV_WARNING,
	  "TensorRT-LLM's agent in Python takes the place of the one that reads "
	  "TRTLLM_NIXL_KVCACHE_BACKEND, and takes UCX alone",
	  "unset it" },
	{ "KV216", "UCX_TLS", "UCX", kv_has_tcp_alone, KV_WARNING,
	  "of the transports that it allows, only TCP reaches another node",
	  "unset it, or name the transport of the card (rc, dc, ud, srd)" },
	{ "KV216", "UCX_TLS", "UCX", kv_has_tcp_too, KV_INFO,
	  "it allows TCP, which UCX takes without a word where the card can not be used",
	  "leave tcp out, so that it fails instead" },
	{ "KV217", "UCX_TLS", NULL, kv_ends_ucx, KV_ERROR,
	  "UCX takes no such list, and an agent that has the UCX backend is not made",
	  "unset it, or name transports without \"all\"" },
	{ "KV218", "UCX_TLS", NULL, kv_leaves_gpus_out, KV_ERROR,
	  "no transport on it takes GPU memory, and on this machine, which has GPUs, NIXL makes no "
	  "UCX backend then",
	  "unset it, or add cuda_copy" },
	{ "KV220", "NIXL_TELEMETRY_ENABLE", NULL, kv_is_no_nixl_bool, KV_ERROR,
	  "NIXL makes no agent: it takes y, yes, on, 1, true, enable, n, no, off, 0, false, "
	  "disable",
	  "unset it, or set it to n" },
	{ "KV220", "NIXL_ETCD_ENDPOINTS", NULL, kv_is_no_endpoint_list, KV_ERROR,
	  "NIXL makes no agent where it is set to nothing", "unset it" },
	{ "KV220", "NIXL_TCPSTORE_ENDPOINT", NULL, kv_is_no_endpoint, KV_ERROR,
	  "NIXL makes no agent where it is not HOST:PORT", "unset it, or give both" },
	{ "KV313", "FI_PROVIDER", "LIBFABRIC", leaves_efa_out, KV_ERROR,
	  "libfabric leaves its efa provider out", "unset it or set it to efa" },
	{ "KV313", "FI_EFA_IFACE", "LIBFABRIC", names_no_device, KV_ERROR,
	  "it names no EFA device that this job can use",
	  "unset it, or name devices as /sys/class/infiniband does" },
	{ "KV320", "FI_EFA_MTU_SIZE", "LIBFABRIC", any, KV_ERROR,
	  "libfabric's efa provider aborts the process where it is set", "unset it" },
	{ "KV320", "FI_EFA_TX_IOV_LIMIT", "LIBFABRIC", any, KV_ERROR,
	  "libfabric's efa provider aborts the process where it is set", "unset it" },
	{ "KV320", "FI_EFA_RX_IOV_LIMIT", "LIBFABRIC", any, KV_ERROR,
	  "libfabric's efa provider aborts the process where it is set", "unset it" },
	{ "KV320", "FI_EFA_IFACE", "LIBFABRIC", is_empty, KV_ERROR,
	  "libfabric's efa provider aborts the process where it names nothing",
	  "unset it, or set it to all" },
	{ "KV320", "FI_EFA_TX_MIN_CREDITS", "LIBFABRIC", is_not_positive, KV_ERROR,
	  "libfabric's efa provider aborts the process where it is no positive number",
	  "unset it" },
	{ "KV320", "FI_EFA_USE_DEVICE_RDMA", "LIBFABRIC", is_no_bool, KV_ERROR,
	  "with an EFA device libfabric aborts the process: it takes 1, true, yes, on, 0, false, "
	  "no, off",
	  "unset it" },
	{ "KV405", "FI_EFA_USE_DEVICE_RDMA", "LIBFABRIC", turns_hmem_off, KV_ERROR,
	  "without the device's RDMA libfabric takes no GPU memory of a NIXL before 0.8.0",
	  "unset it" },
	{ "KV405", "FI_EFA_USE_DEVICE_RDMA", "LIBFABRIC", turns_rdma_off, KV_WARNING,
	  "libfabric sends as messages what the device could write and read by RDMA, and GPU "
	  "memory is copied on the way",
	  "unset it" },
	{ "KV406", "FI_EFA_USE_DEVICE_RDMA", "LIBFABRIC", asks_for_no_rdma, KV_ERROR,
	  "this instance type's EFA has no RDMA read, and libfabric aborts the process",
	  "unset it" },
	{ "KV412", "PYTORCH_CUDA_ALLOC_CONF", "LIBFABRIC", has_segments, KV_WARNING,
	  "memory of expandable segments can be refused by the card when it is read or written",
	  "take expandable_segments out" },
	{ "KV412", "PYTORCH_ALLOC_CONF", "LIBFABRIC", has_segments, KV_WARNING,
	  "memory of expandable segments can be refused by the card when it is read or written",
	  "take expandable_segments out" },
	{ "KV416", "FI_HMEM_DISABLE_P2P", "LIBFABRIC", turns_p2p_off, KV_WARNING,
	  "the card does not reach GPU memory: bytes are copied through host memory", "unset it" },
	{ "KV416", "FI_HMEM", "LIBFABRIC", leaves_cuda_out, KV_ERROR,
	  "libfabric leaves CUDA out: GPU memory can not be registered",
	  "unset it or put cuda on the list" },
	{ "KV509", "FI_EFA_USE_HUGE_PAGE", "LIBFABRIC", clashes_with_fork, KV_WARNING,
	  "huge pages and fork support are both asked for: on kernels before 5.13 libfabric aborts "
	  "the process",
	  "unset it, or FI_EFA_FORK_SAFE, RDMAV_FORK_SAFE and IBV_FORK_SAFE" },
};

static bool holds(const struct kv_facts *f, size_t i, const char *value)
{
	return value && (!table[i].backend || kv_streq(table[i].backend, f->backend)) &&
	       table[i].wrong(f, value);
}

/*
 * What is in effect: the environment's, or of libfabric's file of settings what that does not have,
 * or all of it where the file goes first (libfabric src/var.c, fi_param_get(), fi_param_init()).
 * What counts whatever its value is asked of the environment alone. *ret_file: NULL, or the file.
 */
static const char *value_of(const struct kv_facts *f, size_t i, const char **ret_file)
{
	const char *v = kv_env_get(f->env, table[i].variable),
		   *prefers = kv_env_get(f->env, "FI_PREFER_SYSCONFIG");

	*ret_file = NULL;
	if (!kv_starts(table[i].variable, "FI_") || table[i].wrong == any)
		return v;
	for (size_t k = 0; k < f->nixls.n; k++) {
		const struct kv_nixl *n = &f->nixls.v[k];
		const struct kv_fabric *fab = n->active ? n->stack.fabric : NULL;
		const char *in_file = fab ? kv_env_get(&fab->settings, table[i].variable) : NULL;

		if (!in_file)
			continue;
		prefers = prefers ? prefers : kv_env_get(&fab->settings, "FI_PREFER_SYSCONFIG");
		if (v && !(prefers && fi_true(prefers)))
			continue;
		*ret_file = fab->conf;
		return in_file;
	}
	return v;
}

kv_strv kv_environ_errors(struct kv_arena *a, const struct kv_facts *f)
{
	kv_strv ret = { 0 };
	const char *file;

	for (size_t i = 0; i < KV_ARRAY_SIZE(table); i++) {
		const char *v = value_of(f, i, &file);

		if (table[i].severity == KV_ERROR && holds(f, i, v))
			kv_vec_push(a, &ret,
				    kv_strf(a, "%s%s%s=%s: %s (%s): %s", file ? file : "",
					    file ? ": " : "", table[i].variable, v, table[i].says,
					    table[i].id, table[i].mend));
	}
	return ret;
}

bool kv_variable_fault(const char *name, const char *value, struct kv_variable_fault *ret)
{
	const struct kv_env env = { 0 };
	const struct kv_facts f = { .backend = "LIBFABRIC", .vram = true, .env = &env };

	for (size_t i = 0; i < KV_ARRAY_SIZE(table); i++) {
		/* Another backend may be meant. */
		if (!kv_streq(table[i].variable, name) || table[i].wrong == is_another_backend ||
		    !holds(&f, i, value))
			continue;
		*ret = (struct kv_variable_fault){ table[i].id, table[i].says, table[i].mend,
						   table[i].severity, table[i].backend };
		return true;
	}
	return false;
}

/* The rule of every id in the table. */
void kv_rule_environ(const struct kv_facts *f, struct kv_findings *out)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(table); i++) {
		const char *file = NULL,
			   *v = kv_streq(table[i].id, out->id) ? value_of(f, i, &file) : NULL;
		struct kv_finding *fi;

		if (!holds(f, i, v))
			continue;
		fi = kv_find(out, table[i].severity, "%s=%s: %s", table[i].variable, v,
			     table[i].says);
		/* Its configuration, which is not seen, decides whether it is taken. */
		fi->cannot_tell = table[i].wrong == takes_ucx_alone;
		if (file) {
			kv_show(out, fi, file, "%s=%s", table[i].variable, v);
			kv_mend(out, fi, false, "in that file: %s", table[i].mend);
		} else {
			kv_show(out, fi, table[i].variable, "%s", v);
			kv_mend(out, fi, false, "%s", table[i].mend);
		}
	}
}
