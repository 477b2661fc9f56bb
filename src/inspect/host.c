/* The facts of a host, put together. */
#include "inspect/host.h"

struct kv_host *kv_host_collect(struct kv_sysroot *s)
{
	struct kv_host *h = kv_new(kv_sysroot_arena(s), struct kv_host);
	const char *real;

	h->recorded = kv_sysroot_path(s);
	h->sysfs = kv_sysroot_real(s, "/sys/class", &real) == 0;
	kv_find_pci(h, s);
	kv_find_verbs(h, s);
	kv_find_system(h, s);
	kv_find_limits(h, s);
	h->untold = kv_sysroot_untold(s);
	return h;
}

bool kv_host_is_untold(const struct kv_host *h, const char *const *places)
{
	for (size_t i = 0; i < h->untold->n; i++)
		for (size_t j = 0; places[j]; j++)
			if (kv_starts(h->untold->v[i].path, places[j]))
				return true;
	return false;
}

bool kv_host_hides_devices(const struct kv_host *h)
{
	static const char *const places[] = { "/sys/class", "/sys/bus", NULL };

	return kv_host_is_untold(h, places);
}

size_t kv_host_efas(const struct kv_host *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->verbs.n; i++)
		n += kv_verbs_is_efa(&h->verbs.v[i]);
	return n;
}

size_t kv_host_usable_efas(const struct kv_host *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->verbs.n; i++)
		n += kv_verbs_is_efa(&h->verbs.v[i]) && kv_verbs_usable(&h->verbs.v[i]);
	return n;
}
