/*
 * PCI functions that count: EFA (Amazon's vendor id, device 0xefa0 and on, each generation one
 * more) and NVIDIA's GPUs. Told by number: the names in pci.ids are younger than the cards.
 */
#include "inspect/host.h"

#define PCI          "/sys/bus/pci/devices"
#define MAX_DEVICES  4096
#define CLASS_SCREEN 0x03 /* display controllers; NVSwitches are bridges */

const char *const kv_distance_name[_KV_DISTANCE_COUNT] = { "switch", "root-complex", "numa-node",
							   "far", "unknown" };

/* "0x1d0f" as sysfs writes it. */
static bool number(struct kv_sysroot *s, const char *dir, const char *name, unsigned *ret)
{
	const char *text = kv_sysroot_value(s, dir, name);
	unsigned long v;
	char *end;

	if (!text)
		return false;
	v = strtoul(text, &end, 16);
	if (end == text || *end || v > UINT32_MAX) {
		kv_sysroot_odd(s, kv_join(kv_sysroot_arena(s), dir, name));
		return false;
	}
	*ret = (unsigned)v;
	return true;
}

static const char *own_uverbs(struct kv_sysroot *s, const char *dir)
{
	kv_dirents list = { 0 };
	struct kv_dirent *e;

	if (kv_sysroot_list(s, kv_join(kv_sysroot_arena(s), dir, "infiniband_verbs"), &list) < 0)
		return NULL;
	kv_vec_each (e, &list)
		if (kv_starts(e->name, "uverbs"))
			return e->name;
	return NULL;
}

static void add(kv_pcis *list, struct kv_sysroot *s, const char *address, unsigned device, bool efa)
{
	struct kv_arena *a = kv_sysroot_arena(s);
	const char *dir = kv_join(a, PCI, address), *numa = kv_sysroot_value(s, dir, "numa_node");
	struct kv_pci *p = kv_vec_add(a, list);

	p->address = address;
	p->device = device;
	if (kv_sysroot_real(s, dir, &p->path) < 0)
		p->path = NULL;
	p->driver = kv_sysroot_target(s, kv_join(a, dir, "driver"));
	p->numa = numa && *numa >= '0' && *numa <= '9' ? atoi(numa) : -1;
	if (!efa)
		return;
	p->uverbs = own_uverbs(s, dir);
	p->iommu = kv_sysroot_value(s, dir, "iommu_group/type");
}

void kv_find_pci(struct kv_host *h, struct kv_sysroot *s)
{
	kv_dirents list = { 0 };

	h->pci_listed = kv_sysroot_list(s, PCI, &list) == 0;
	for (size_t i = 0; i < list.n && i < MAX_DEVICES; i++) {
		const char *address = list.v[i].name,
			   *dir = kv_join(kv_sysroot_arena(s), PCI, address);
		unsigned vendor, device, class;

		if (!number(s, dir, "vendor", &vendor) || (vendor != 0x1d0f && vendor != 0x10de) ||
		    !number(s, dir, "device", &device))
			continue;
		if (vendor == 0x1d0f && (device & 0xfff0) == 0xefa0)
			add(&h->efas, s, address, device, true);
		else if (vendor == 0x10de && number(s, dir, "class", &class) &&
			 class >> 16 == CLASS_SCREEN)
			add(&h->gpus, s, address, device, false);
	}
}

/* The length of what two paths share, in whole components. */
static size_t shared(const char *a, const char *b)
{
	size_t n = 0;

	for (size_t i = 0;; i++) {
		if ((!a[i] || a[i] == '/') && (!b[i] || b[i] == '/'))
			n = i;
		if (!a[i] || a[i] != b[i])
			return n;
	}
}

/*
 * A path is /sys/devices/pci0000:44/0000:44:00.0/0000:45:00.0/...: the host bridge, then one
 * component for each bridge down to the card.
 */
enum kv_distance kv_pci_distance(const struct kv_pci *a, const struct kv_pci *b)
{
	size_t n = a->path && b->path ? shared(a->path, b->path) : 0;
	const char *bridge = n ? strstr(a->path, "/pci") : NULL;
	size_t top = bridge ? (size_t)(bridge - a->path) + 1 + strcspn(bridge + 1, "/") : 0;

	if (bridge && n > top)
		return KV_NEAR_SWITCH;
	if (bridge && n == top)
		return KV_NEAR_COMPLEX;
	if (a->numa < 0 || b->numa < 0)
		return KV_DISTANCE_UNKNOWN;
	return a->numa == b->numa ? KV_NEAR_NUMA : KV_FAR;
}
