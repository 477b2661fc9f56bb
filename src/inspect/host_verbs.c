/*
 * Verbs devices as libibverbs sees them: an entry of /sys/class/infiniband_verbs, its partner in
 * /sys/class/infiniband, and the node in /dev/infiniband. The number in uverbsN is no position: the
 * file ibdev names the device.
 */
#include "inspect/host.h"

#define VERBS "/sys/class/infiniband_verbs"
#define IB    "/sys/class/infiniband"

#define MAX_DEVICES 4096

const char *const kv_p2p_name[_KV_P2P_COUNT] = { "unknown", "none", "yes" };

/*
 * "NVIDIA", "NVIDIA peermem", "NEURON", or an empty line; only in AWS's own driver, under this name
 * since 2.6.0, before as gdr with 0 or 1 (amzn-drivers kernel/linux/efa/src/efa_sysfs.c).
 */
static enum kv_p2p read_p2p(struct kv_sysroot *s, const char *device)
{
	const char *text = kv_sysroot_value(s, device, "p2p");

	if (text)
		return text[strspn(text, " ")] ? KV_P2P_YES : KV_P2P_NONE;
	text = kv_sysroot_value(s, device, "gdr");
	if (!text)
		return KV_P2P_UNKNOWN;
	return kv_streq(text, "1") ? KV_P2P_YES : KV_P2P_NONE;
}

static void add(struct kv_host *h, struct kv_sysroot *s, const char *uverbs)
{
	struct kv_arena *a = kv_sysroot_arena(s);
	const char *dir = kv_join(a, VERBS, uverbs), *device = kv_join(a, dir, "device"), *real;
	struct kv_verbs *v = kv_vec_add(a, &h->verbs);

	v->uverbs = uverbs;
	v->name = kv_sysroot_value(s, dir, "ibdev");
	v->name = v->name && !strchr(v->name, '/') ? v->name : uverbs;
	v->node = kv_strf(a, "/dev/infiniband/%s", uverbs);
	v->driver = kv_sysroot_target(s, kv_join(a, device, "driver"));
	v->driver = v->driver ? v->driver : "unknown";
	v->address = kv_sysroot_target(s, device);
	v->shown = kv_sysroot_real(s, kv_join(a, IB, v->name), &real) == 0;
	kv_sysroot_node(s, v->node, kv_sysroot_value(s, dir, "dev"), &v->open);
	if (kv_verbs_is_efa(v))
		v->p2p = read_p2p(s, device);
}

/* uverbs2 before uverbs10. */
static int by_number(const void *a, const void *b)
{
	return kv_version_cmp(((const struct kv_verbs *)a)->uverbs + strlen("uverbs"),
			      ((const struct kv_verbs *)b)->uverbs + strlen("uverbs"));
}

void kv_find_verbs(struct kv_host *h, struct kv_sysroot *s)
{
	kv_dirents list = { 0 };

	h->verbs_error = -kv_sysroot_list(s, VERBS, &list);
	for (size_t i = 0; i < list.n && i < MAX_DEVICES; i++)
		if (kv_starts(list.v[i].name, "uverbs"))
			add(h, s, list.v[i].name);
	if (h->verbs.n > 1)
		qsort(h->verbs.v, h->verbs.n, sizeof(*h->verbs.v), by_number);
}

bool kv_verbs_is_efa(const struct kv_verbs *v)
{
	return kv_streq(v->driver, "efa");
}

bool kv_verbs_usable(const struct kv_verbs *v)
{
	return v->shown && v->open.error == 0;
}

const char *kv_verbs_problem(const struct kv_verbs *v)
{
	if (!v->shown)
		return "/sys/class/infiniband does not show it";
	if (!v->open.error)
		return NULL;
	if (!v->open.there)
		return "the device node does not exist here";
	if (v->open.error == EACCES)
		return "this user may not open it for reading and writing";
	if (!v->open.right)
		return "what stands in the device node's place is not this device";
	if (v->open.error == EPERM)
		return "open: Operation not permitted, as the device cgroup answers";
	return strerror(v->open.error);
}
