/* Who a task is, by Slurm's environment: pure. */
#include <endian.h>

#include "prove/ranks.h"

#include "base/hostlist.h"

#define HOSTS_MAX KV_HOSTLIST_MAX
#define PORT_MIN  20000U
#define PORT_SPAN 12000U /* below the ports that kernels give out by themselves */

static bool number(const struct kv_env *env, const char *name, uint64_t max, uint64_t *ret)
{
	const char *s = kv_env_get(env, name);
	unsigned long long v;
	char *end;

	if (!s || *s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end || v > max)
		return false;
	*ret = v;
	return true;
}

const char *kv_ranks_host(struct kv_arena *a, const char *list, size_t i)
{
	kv_strv names = { 0 };

	return kv_hostlist_expand(a, list, &names, NULL) == 0 && i < names.n ? names.v[i] : NULL;
}

/* The ports that a number stands for, in the order in which they are tried. */
static void ports_of(uint64_t number, uint16_t ret[KV_RANKS_PORTS])
{
	number ^= number >> 32;
	for (size_t i = 0; i < KV_RANKS_PORTS; i++)
		ret[i] = (uint16_t)(PORT_MIN + (number + i * 1009) % PORT_SPAN);
}

void kv_ranks_ports_of_key(const struct kv_peer_key *key, uint16_t ret[KV_RANKS_PORTS])
{
	static const char label[] = "kvpath bench ports";
	uint8_t mac[KV_HMAC];
	uint64_t number;

	kv_hmac_sha256(key->bytes, sizeof(key->bytes), label, sizeof(label), mac);
	memcpy(&number, mac, sizeof(number));
	ports_of(le64toh(number), ret);
}

/* Other steps come to other ports, mostly; what listens where another step's should is recognised.
 */
static void choose_ports(struct kv_ranks *r)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (const char *p = r->step; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	ports_of(h, r->ports);
}

int kv_ranks_read(struct kv_arena *a, const struct kv_env *env, struct kv_ranks *ret,
		  struct kv_err *err)
{
	const char *job = kv_env_get(env, "SLURM_JOB_ID"), *step = kv_env_get(env, "SLURM_STEP_ID");
	const char *nodes = kv_env_get(env, "SLURM_STEP_NODELIST");
	uint64_t rank, tasks, n_nodes;

	if (!job || !step || !nodes || !number(env, "SLURM_PROCID", HOSTS_MAX, &rank) ||
	    !number(env, "SLURM_STEP_NUM_TASKS", HOSTS_MAX, &tasks) ||
	    !number(env, "SLURM_STEP_NUM_NODES", HOSTS_MAX, &n_nodes) || tasks < 2)
		return 0;
	if (tasks % 2 || (tasks != n_nodes && !(tasks == 2 && n_nodes == 1)))
		return kv_err(err, -EINVAL,
			      "%llu tasks on %llu nodes: bench takes them in pairs, one task on "
			      "each of 2, 4, 6, ... nodes (srun -N2 -n2), or two on one node",
			      (unsigned long long)tasks, (unsigned long long)n_nodes);
	*ret = (struct kv_ranks){ .rank = rank, .target = rank % 2 == 0 };
	ret->node = kv_ranks_host(a, nodes, n_nodes == 1 ? 0 : (size_t)(rank & ~UINT64_C(1)));
	if (!ret->node)
		return kv_err(err, -EINVAL,
			      "SLURM_STEP_NODELIST %s: the node of rank %llu is not "
			      "found in it; use --listen and --connect",
			      nodes, (unsigned long long)(rank & ~UINT64_C(1)));
	ret->step = kv_strf(a, "%s.%s %llu", job, step, (unsigned long long)rank / 2);
	choose_ports(ret);
	return 1;
}
