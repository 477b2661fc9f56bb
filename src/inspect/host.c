/* A live target's RDMA devices, as sysfs and /dev show them. Deepened by the host rules. */
#include <fcntl.h>

#include "inspect/internal.h"

#define VERBS "/sys/class/infiniband_verbs"

static const char *read_line(struct kv_facts *f, const char *path)
{
	struct kv_span s;

	if (kv_root_slurp(f->root, path, 4096, &s) < 0)
		return NULL;
	return kv_strndup(f->arena, (const char *)s.p, strcspn((const char *)s.p, "\n"));
}

/* libibverbs passes over a device whose node it can not open for reading and writing (init.c). */
static void check_node(struct kv_device *d)
{
	if (access(d->node, F_OK) < 0)
		d->problem = "the device node does not exist here";
	else if (access(d->node, R_OK | W_OK) < 0)
		d->problem = "this user may not open it for reading and writing";
	d->usable = !d->problem;
}

void kv_find_devices(struct kv_facts *f)
{
	kv_dirents list = { 0 };
	struct kv_dirent *e;

	if (kv_root_list(f->root, VERBS, &list) < 0)
		return;
	kv_vec_each (e, &list) {
		const char *dir = kv_join(f->arena, VERBS, e->name), *driver;
		struct kv_device d = { 0 };

		if (!kv_starts(e->name, "uverbs"))
			continue;
		d.name = read_line(f, kv_join(f->arena, dir, "ibdev"));
		d.node = kv_strf(f->arena, "/dev/infiniband/%s", e->name);
		d.kind = kv_root_real(f->root, kv_join(f->arena, dir, "device/driver"), 0,
				      &driver) == 0
				 ? kv_basename(driver)
				 : "unknown";
		d.name = d.name ? d.name : e->name;
		check_node(&d);
		kv_vec_push(f->arena, &f->devices, d);
	}
}
