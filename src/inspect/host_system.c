/* The machine: kernel, instance type, modules, and what covers parts of /sys and /dev. */
#include "inspect/host.h"

const char *const kv_nvidia_name[_KV_NVIDIA_COUNT] = { "none", "open", "proprietary" };

static const struct kv_instance instances[] = {
#define KV_INSTANCE(type, efas, rdma_read) { type, efas, rdma_read },
#include "inspect/instances.def"
};

static void find_instance(struct kv_host *h, struct kv_sysroot *s)
{
	static const char dmi[] = "/sys/devices/virtual/dmi/id";
	const char *vendor = kv_sysroot_value(s, dmi, "sys_vendor");

	if (!vendor || !kv_streq(vendor, "Amazon EC2"))
		return;
	h->product = kv_sysroot_value(s, dmi, "product_name");
	for (size_t i = 0; h->product && i < KV_ARRAY_SIZE(instances); i++)
		if (kv_streq(instances[i].type, h->product))
			h->instance = &instances[i];
}

static bool loaded(struct kv_sysroot *s, const char *module)
{
	const char *real;

	return kv_sysroot_real(s, kv_join(kv_sysroot_arena(s), "/sys/module", module), &real) == 0;
}

/* "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build ..." */
static void find_nvidia(struct kv_modules *m, struct kv_sysroot *s)
{
	const char *text = kv_sysroot_value(s, "/proc/driver/nvidia", "version"), *p;
	size_t n;

	if (!text || !kv_starts(text, "NVRM version:"))
		return;
	n = strcspn(text, "\n");
	text = kv_strndup(kv_sysroot_arena(s), text, n);
	m->nvidia = strstr(text, "Open Kernel Module") ? KV_NVIDIA_OPEN : KV_NVIDIA_CLOSED;
	/* The first word of numbers and dots. */
	for (p = text; *p; p += n + strspn(p + n, " ")) {
		size_t digits = strspn(p, "0123456789.");

		n = strcspn(p, " ");
		if (digits == n && memchr(p, '.', n)) {
			m->nvidia_version = kv_strndup(kv_sysroot_arena(s), p, n);
			return;
		}
	}
}

static void find_modules(struct kv_host *h, struct kv_sysroot *s)
{
	struct kv_modules *m = &h->modules;
	const char *real;

	m->known = kv_sysroot_real(s, "/sys/module", &real) == 0;
	m->efa = loaded(s, "efa");
	m->uverbs = loaded(s, "ib_uverbs");
	m->efa_nv_peermem = loaded(s, "efa_nv_peermem");
	m->nvidia_peermem = loaded(s, "nvidia_peermem");
	m->gdrdrv = loaded(s, "gdrdrv");
	m->efa_version = kv_sysroot_value(s, "/sys/module/efa", "version");
	find_nvidia(m, s);
}

/* The words of a mountinfo line: number 5 is the place, the first behind " - " the type. */
static void take_mount(struct kv_host *h, struct kv_arena *a, char *line)
{
	char *dash = strstr(line, " - "), *place = line, *end;

	for (int i = 0; i < 4 && place; i++) {
		place = strchr(place, ' ');
		place = place ? place + 1 : NULL;
	}
	if (!dash || !place || place > dash)
		return;
	end = strchr(place, ' ');
	*end = '\0';
	if (kv_starts(place, "/sys/class/infiniband") || kv_starts(place, "/sys/bus/pci") ||
	    kv_starts(place, "/dev/infiniband"))
		kv_vec_push(a, &h->covers,
			    ((struct kv_cover){ place,
						kv_strndup(a, dash + 3, strcspn(dash + 3, " ")) }));
}

static void find_covers(struct kv_host *h, struct kv_sysroot *s)
{
	const char *text = kv_sysroot_value(s, "/proc/self", "mountinfo");

	while (text && *text) {
		size_t n = strcspn(text, "\n");

		take_mount(h, kv_sysroot_arena(s), kv_strndup(kv_sysroot_arena(s), text, n));
		text += n + (text[n] == '\n');
	}
}

static int count_nodes(struct kv_sysroot *s)
{
	kv_dirents list = { 0 };
	struct kv_dirent *d;
	int n = 0;

	if (kv_sysroot_list(s, "/sys/devices/system/node", &list) < 0)
		return -1;
	kv_vec_each (d, &list)
		n += kv_starts(d->name, "node") && d->name[4] >= '0' && d->name[4] <= '9';
	return n;
}

void kv_find_system(struct kv_host *h, struct kv_sysroot *s)
{
	h->numa_nodes = count_nodes(s);
	h->kernel = kv_sysroot_value(s, "/proc/sys/kernel", "osrelease");
	find_instance(h, s);
	find_modules(h, s);
	find_covers(h, s);
}
