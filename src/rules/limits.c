/*
 * What a host allows a job on EFA: KV317, KV318, KV508, KV510. They speak only where there is an
 * EFA device that the job can use.
 */
#include "rules/rules.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* Receive buffers that NIXL posts on one rail: 1024 of 8 KiB (libfabric_rail.cpp). */
#define RAIL_BUFFERS (8 * MIB)
/* Below it the checks of libfabric's CI and of awsome-distributed-ai warn. */
#define MEMLOCK_ADVISED (16 * GIB)
/* What an endpoint of EFA takes, by the EFA installer's efa-config, which reserves it twice a CPU.
 */
#define ENDPOINT_BUFFERS (110 * MIB)

static bool on_efa(const struct kv_facts *f)
{
	return f->host && kv_streq(f->backend, "LIBFABRIC") && kv_host_usable_efas(f->host);
}

static const char *bytes(const struct kv_facts *f, uint64_t n)
{
	if (n == KV_UNLIMITED)
		return "unlimited";
	if (n < MIB)
		return kv_strf(f->arena, "%llu KiB", (unsigned long long)(n >> 10));
	return kv_strf(f->arena, "%llu MiB", (unsigned long long)(n >> 20));
}

void kv_rule_memlock(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_limits *l = f->host ? &f->host->limits : NULL;
	struct kv_finding *fi;
	size_t rails;

	if (!on_efa(f) || !l->memlock_known || l->memlock_exempt || l->memlock >= MEMLOCK_ADVISED)
		return;
	rails = kv_host_usable_efas(f->host);
	fi = kv_find(out, l->memlock < rails * RAIL_BUFFERS ? KV_ERROR : KV_WARNING,
		     "this process may lock %s of memory; NIXL's receive buffers for %zu EFA "
		     "devices alone are %s",
		     bytes(f, l->memlock), rails, bytes(f, rails * RAIL_BUFFERS));
	fi->of_host = true;
	kv_show(out, fi, "/proc/self/limits", "Max locked memory: %s, at most %s",
		bytes(f, l->memlock), bytes(f, l->memlock_hard));
	kv_mend(out, fi, false,
		"start the job with unlimited locked memory: docker --ulimit memlock=-1, "
		"LimitMEMLOCK=infinity for slurmd and containerd");
}

void kv_rule_cgroup_memory(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_limits *l = f->host ? &f->host->limits : NULL;
	uint64_t need = on_efa(f) ? kv_host_usable_efas(f->host) * 2 * ENDPOINT_BUFFERS : 0;
	struct kv_finding *fi;

	if (!need || l->memory >= need)
		return;
	fi = kv_find(out, KV_WARNING,
		     "the cgroup allows %s of memory; EFA's own buffers on %zu devices can take %s",
		     bytes(f, l->memory), kv_host_usable_efas(f->host), bytes(f, need));
	fi->of_host = true;
	kv_show(out, fi, l->memory_file, "%s", bytes(f, l->memory));
	kv_mend(out, fi, false, "raise the job's memory limit, or give it fewer EFA devices");
}

void kv_rule_no_numa(const struct kv_facts *f, struct kv_findings *out)
{
	struct kv_finding *fi;

	if (!f->host || f->host->numa_nodes != 0 || !kv_streq(f->backend, "LIBFABRIC"))
		return;
	fi = kv_find(
		out, KV_ERROR,
		"/sys shows no NUMA node: libhwloc, with which the LIBFABRIC backend looks for "
		"devices, ends the process then");
	fi->of_host = true;
	kv_show(out, fi, "/sys/devices/system/node", "no nodeN in it");
	kv_mend(out, fi, false,
		"give the container the host's whole /sys, or none of this directory");
}

void kv_rule_fork(const struct kv_facts *f, struct kv_findings *out)
{
	static const char *const asks[] = { "FI_EFA_FORK_SAFE", "RDMAV_FORK_SAFE",
					    "IBV_FORK_SAFE" };
	struct kv_finding *fi;

	if (!on_efa(f) || !f->host->kernel || kv_version_cmp(f->host->kernel, "5.13") >= 0)
		return;
	for (size_t i = 0; i < KV_ARRAY_SIZE(asks); i++)
		if (kv_env_get(f->env, asks[i]))
			return;
	fi = kv_find(out, KV_WARNING,
		     "kernel %s is older than copy-on-fork (5.13): a job that forks is aborted by "
		     "libfabric's efa provider, unless the kernel's vendor brought it back",
		     f->host->kernel);
	fi->of_host = true;
	kv_show(out, fi, "/proc/sys/kernel/osrelease", "%s", f->host->kernel);
	kv_mend(out, fi, false, "set FI_EFA_FORK_SAFE=1 in the job, or take a newer kernel");
}

void kv_rule_huge_pages(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_limits *l = f->host ? &f->host->limits : NULL;
	const char *asked = kv_env_get(f->env, "FI_EFA_USE_HUGE_PAGE");
	bool none;
	struct kv_finding *fi;

	if (!on_efa(f) || !l->huge_known || (asked && kv_fi_false(asked)))
		return;
	none = !l->huge_total || l->hugetlb == 0;
	if (!none && (l->huge_free || !asked))
		return;
	fi = kv_find(out, asked ? KV_WARNING : KV_INFO, "%s: EFA's buffers take small pages%s",
		     l->hugetlb == 0  ? "the cgroup allows no huge pages"
		     : !l->huge_total ? "this host has no huge pages"
				      : "no huge page is free",
		     asked ? ", although FI_EFA_USE_HUGE_PAGE asks for huge ones" : "");
	fi->of_host = true;
	kv_show(out, fi, "/proc/meminfo", "%llu huge pages of %s, %llu free",
		(unsigned long long)l->huge_total, bytes(f, l->huge_size),
		(unsigned long long)l->huge_free);
	if (l->hugetlb == 0)
		kv_show(out, fi, l->hugetlb_file, "0");
	kv_mend(out, fi, false,
		"give the job huge pages (Kubernetes: hugepages-2Mi), or set "
		"FI_EFA_USE_HUGE_PAGE=0 where fork fails for lack of memory");
}

#define MAX_SHOWN 8

/* What only a warning rests on changes no verdict. */
void kv_rule_untold_host(const struct kv_facts *f, struct kv_findings *out)
{
	static const char *const deciding[] = {
		"/sys/class",         "/sys/bus",          "/sys/module",
		"/sys/devices",       "/proc/self/limits", "/proc/self/status",
		"/proc/self/uid_map", "/proc/driver",      NULL
	};
	struct kv_finding *fi;
	bool decides;

	if (!f->host || !f->host->untold->n)
		return;
	decides = kv_host_is_untold(f->host, deciding);
	fi = kv_find(out, decides ? KV_WARNING : KV_INFO,
		     "%zu places of this host could not be read, or hold what no host has there: "
		     "what they would say is not known",
		     f->host->untold->n);
	fi->of_host = true;
	fi->cannot_tell = decides;
	for (size_t i = 0; i < f->host->untold->n && i < MAX_SHOWN; i++)
		kv_show(out, fi, f->host->untold->v[i].path, "%s", f->host->untold->v[i].why);
	kv_mend(out, fi, false,
		"run kvpath as a user who can read them, or record the host anew: kvpath check "
		"--record");
}
