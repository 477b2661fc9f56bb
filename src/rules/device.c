/*
 * EFA devices of the host: KV305, KV306, KV314, KV315, KV316, KV503, KV612. One cause, one finding:
 * what is hidden is not called missing, and what is missing is not called closed.
 */
#include "rules/rules.h"

#define MAX_SHOWN 64 /* devices listed as evidence; p5 has 32 */

static const struct {
	unsigned device;
	const char *driver;
} cards[] = {
#define KV_EFA_CARD(device, driver) { device, driver },
#include "inspect/instances.def"
};

/* A boolean of enroot's configuration. */
static bool is_yes(const char *v)
{
	return v && (kv_streq(v, "1") || kv_streq(v, "y") || kv_streq(v, "yes") ||
		     kv_streq(v, "true") || kv_streq(v, "on"));
}

/* ---- KV315: what sysfs does not show ---- */

static const struct kv_verbs *verbs_of(const struct kv_host *h, const char *uverbs)
{
	for (size_t i = 0; i < h->verbs.n; i++)
		if (kv_streq(h->verbs.v[i].uverbs, uverbs))
			return &h->verbs.v[i];
	return NULL;
}

/* A card whose own directory has a verbs device that the class does not list. */
static bool is_hidden(const struct kv_host *h, const struct kv_pci *card)
{
	return card->uverbs && !verbs_of(h, card->uverbs);
}

static size_t hidden(const struct kv_host *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->efas.n; i++)
		n += is_hidden(h, &h->efas.v[i]);
	for (size_t i = 0; i < h->verbs.n; i++)
		n += kv_verbs_is_efa(&h->verbs.v[i]) && !h->verbs.v[i].shown;
	return n;
}

static const struct kv_cover *class_cover(const struct kv_host *h)
{
	for (size_t i = 0; i < h->covers.n; i++)
		if (kv_starts(h->covers.v[i].path, "/sys/class/infiniband"))
			return &h->covers.v[i];
	return NULL;
}

static bool is_masked(const struct kv_host *h)
{
	return hidden(h) || (class_cover(h) && !kv_host_efas(h));
}

/* enroot's hook 99-mellanox acts on every value but these. */
static const char *mellanox(const struct kv_facts *f)
{
	const char *v = kv_env_get(f->env, "MELLANOX_VISIBLE_DEVICES");

	return v && *v && !kv_streq(v, "void") && !kv_streq(v, "none") ? v : NULL;
}

static void warn_of_hook(const struct kv_facts *f, struct kv_findings *out)
{
	struct kv_finding *fi;

	if (f->host || !mellanox(f))
		return;
	fi = kv_find(out, KV_WARNING,
		     "MELLANOX_VISIBLE_DEVICES=%s: where enroot starts this, its hook 99-mellanox "
		     "shows mlx devices alone, and libibverbs sees no EFA",
		     mellanox(f));
	kv_mend(out, fi, false, "unset MELLANOX_VISIBLE_DEVICES for jobs on EFA");
}

void kv_rule_masked_sysfs(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	const struct kv_cover *cover = h ? class_cover(h) : NULL;
	struct kv_finding *fi;

	warn_of_hook(f, out);
	if (!h || !h->sysfs || !is_masked(h))
		return;
	fi = kv_find(out, kv_host_usable_efas(h) ? KV_WARNING : KV_ERROR,
		     "this host has EFA devices that %s does not show, so that libibverbs finds "
		     "%s of them",
		     cover ? cover->path : "/sys/class/infiniband",
		     kv_host_usable_efas(h) ? "only some" : "none");
	fi->of_host = true;
	for (size_t i = 0; i < h->covers.n; i++)
		kv_show(out, fi, h->covers.v[i].path, "a %s is mounted over it",
			h->covers.v[i].type);
	for (size_t i = 0; i < h->efas.n && i < MAX_SHOWN; i++)
		if (is_hidden(h, &h->efas.v[i]))
			kv_show(out, fi,
				kv_join(f->arena, "/sys/bus/pci/devices", h->efas.v[i].address),
				"has %s, which /sys/class/infiniband_verbs lacks",
				h->efas.v[i].uverbs);
	if (mellanox(f))
		kv_show(out, fi, "MELLANOX_VISIBLE_DEVICES", "%s: enroot's hook 99-mellanox acts",
			mellanox(f));
	kv_mend(out, fi, false,
		"give the container the host's /sys as it is; under enroot and pyxis unset "
		"MELLANOX_VISIBLE_DEVICES");
}

/* ---- KV305, KV306, KV316: none can be opened ---- */

enum closed { OPEN, NO_NODE, REFUSED, RESTRICTED };

/* Why no EFA device is usable; OPEN where one is, or where the reason is another rule's. */
static enum closed why_closed(const struct kv_facts *f)
{
	const struct kv_host *h = f->host;
	bool refused = false, any = false, there = false;

	if (!h || is_masked(h) || kv_host_usable_efas(h))
		return OPEN;
	for (size_t i = 0; i < h->verbs.n; i++) {
		const struct kv_verbs *v = &h->verbs.v[i];

		if (!kv_verbs_is_efa(v))
			continue;
		any = true;
		there |= v->open.there;
		refused |= v->open.right && v->open.error == EPERM;
	}
	if (!any)
		return OPEN;
	if (refused)
		return REFUSED;
	return !there && is_yes(kv_env_get(f->env, "ENROOT_RESTRICT_DEV")) ? RESTRICTED : NO_NODE;
}

static struct kv_finding *report_closed(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	const struct kv_verbs *first = NULL;
	struct kv_finding *fi;
	size_t n = kv_host_efas(h), shown = 0;

	for (size_t i = h->verbs.n; i-- > 0;)
		if (kv_verbs_is_efa(&h->verbs.v[i]))
			first = &h->verbs.v[i];
	if (n == 1)
		fi = kv_find(out, KV_ERROR, "EFA device %s can not be opened: %s", first->name,
			     kv_verbs_problem(first));
	else
		fi = kv_find(out, KV_ERROR, "none of %zu EFA devices can be opened; %s: %s", n,
			     first->name, kv_verbs_problem(first));
	fi->of_host = true;
	for (size_t i = 0; i < h->verbs.n && shown < MAX_SHOWN; i++)
		if (kv_verbs_is_efa(&h->verbs.v[i])) {
			kv_show(out, fi, h->verbs.v[i].node, "%s: %s", h->verbs.v[i].name,
				kv_verbs_problem(&h->verbs.v[i]));
			shown++;
		}
	return fi;
}

void kv_rule_device_node(const struct kv_facts *f, struct kv_findings *out)
{
	if (why_closed(f) != NO_NODE)
		return;
	kv_mend(out, report_closed(f, out), false,
		"give the job the devices (docker --device=/dev/infiniband/uverbsN for each, the "
		"vpc.amazonaws.com/efa resource, an enroot mount of /dev/infiniband)");
}

void kv_rule_device_cgroup(const struct kv_facts *f, struct kv_findings *out)
{
	if (why_closed(f) != REFUSED)
		return;
	kv_mend(out, report_closed(f, out), false,
		"let the runtime allow the devices, not only show them: docker --device instead of "
		"a volume, the vpc.amazonaws.com/efa resource instead of a hostPath, or a "
		"privileged pod");
}

void kv_rule_enroot_dev(const struct kv_facts *f, struct kv_findings *out)
{
	struct kv_finding *fi;

	if (why_closed(f) == RESTRICTED) {
		fi = report_closed(f, out);
	} else if (!f->host && is_yes(kv_env_get(f->env, "ENROOT_RESTRICT_DEV"))) {
		fi = kv_find(out, KV_WARNING,
			     "ENROOT_RESTRICT_DEV is set: enroot gives the job a /dev without "
			     "/dev/infiniband");
	} else {
		return;
	}
	kv_show(out, fi, "ENROOT_RESTRICT_DEV", "%s", kv_env_get(f->env, "ENROOT_RESTRICT_DEV"));
	kv_mend(out, fi, false,
		"unset ENROOT_RESTRICT_DEV, or mount /dev/infiniband (--container-mounts "
		"/dev/infiniband:/dev/infiniband)");
}

/* ---- KV314: one closed device among open ones ---- */

/*
 * libibverbs lists every device whose node is there (older ones by stat(2), newer ones where
 * access(2) allows); libfabric's efa provider opens each, and gives up at the first that fails
 * (efa_device_list_initialize(), until 2.7.0).
 */
static bool is_dead(const struct kv_verbs *v)
{
	return v->shown && v->open.there && v->open.error;
}

void kv_rule_dead_device(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	const char *release = kv_used_release(f);
	bool mended = release && kv_version_cmp(release, "2.7.0") >= 0, listed = false;
	struct kv_finding *fi = NULL;

	if (!h || !kv_host_usable_efas(h))
		return;
	for (size_t i = 0; i < h->verbs.n; i++)
		listed |= is_dead(&h->verbs.v[i]) && h->verbs.v[i].open.error != EACCES;
	for (size_t i = 0; i < h->verbs.n; i++) {
		const struct kv_verbs *v = &h->verbs.v[i];

		/* A release that passes over it loses no more than that device. */
		if (!is_dead(v) || (mended && !kv_verbs_is_efa(v)))
			continue;
		if (!fi)
			fi = kv_find(out, mended || !listed ? KV_WARNING : KV_ERROR,
				     "%s (%s) is shown to this job and can not be opened: %s",
				     v->name, v->driver,
				     mended ? "libfabric does without it"
					    : "libfabric's efa provider then gives up all devices");
		kv_show(out, fi, v->node, "%s, driver %s: %s", v->name, v->driver,
			kv_verbs_problem(v));
	}
	if (!fi)
		return;
	fi->of_host = true;
	kv_show(out, fi, "libfabric", "%s%s", release ? "release " : "its release is not known",
		release ? release : "");
	kv_mend(out, fi, false,
		"give the job the nodes of its EFA devices and no others: not all of "
		"/dev/infiniband; or a libfabric of 2.7.0 or newer");
}

/* ---- KV503: fewer than there could be ---- */

void kv_rule_fewer_rails(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	size_t usable, attached, most;
	struct kv_finding *fi;

	if (!h || !(usable = kv_host_usable_efas(h)))
		return;
	attached = h->efas.n > kv_host_efas(h) ? h->efas.n : kv_host_efas(h);
	most = h->instance && h->instance->efas > attached ? h->instance->efas : attached;
	if (usable == most)
		return;
	fi = kv_find(out, KV_INFO,
		     "this job can use %zu EFA devices; %zu are attached%s; its peers need as many",
		     usable, attached,
		     most > attached
			     ? kv_strf(f->arena, ", and %s takes up to %zu", h->product, most)
			     : "");
	fi->of_host = true;
	for (size_t i = 0; i < h->verbs.n && fi->evidence.n < MAX_SHOWN; i++)
		if (kv_verbs_is_efa(&h->verbs.v[i]) && !kv_verbs_usable(&h->verbs.v[i]))
			kv_show(out, fi, h->verbs.v[i].node, "%s: %s", h->verbs.v[i].name,
				kv_verbs_problem(&h->verbs.v[i]));
	for (size_t i = 0; i < h->efas.n && fi->evidence.n < MAX_SHOWN; i++)
		if (!h->efas.v[i].driver)
			kv_show(out, fi,
				kv_join(f->arena, "/sys/bus/pci/devices", h->efas.v[i].address),
				"1d0f:%04x, no driver is bound to it", h->efas.v[i].device);
	kv_mend(out, fi, false,
		"nothing, where the job was meant to have so many; NIXL before 0.7.1 fails where "
		"the two sides differ");
}

/* ---- KV612: none at all ---- */

static const char *first_driver(unsigned device)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(cards); i++)
		if (cards[i].device == device)
			return cards[i].driver;
	return NULL;
}

static void show_cards(const struct kv_facts *f, struct kv_findings *out, struct kv_finding *fi)
{
	const struct kv_host *h = f->host;

	for (size_t i = 0; i < h->efas.n && i < MAX_SHOWN; i++) {
		const char *since = first_driver(h->efas.v[i].device);

		kv_show(out, fi, kv_join(f->arena, "/sys/bus/pci/devices", h->efas.v[i].address),
			"1d0f:%04x, driver %s%s%s", h->efas.v[i].device,
			h->efas.v[i].driver ? h->efas.v[i].driver : "none",
			since ? "; known to AWS's efa driver since " : "", since ? since : "");
	}
	if (h->modules.known)
		kv_show(out, fi, "/sys/module/efa", "%s%s",
			!h->modules.efa          ? "not loaded"
			: h->modules.efa_version ? "version "
						 : "the kernel's own",
			h->modules.efa_version ? h->modules.efa_version : "");
}

static struct kv_finding *no_card(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	struct kv_finding *fi;

	if (!h->sysfs || h->verbs_error == EACCES)
		fi = kv_find(out, KV_ERROR, "whether there is an EFA device can not be told: %s",
			     h->sysfs ? "/sys/class/infiniband_verbs may not be read"
				      : "there is no /sys here");
	else
		fi = kv_find(
			out, KV_ERROR,
			"no EFA device: %zu RDMA devices, none of them bound to the efa driver%s",
			h->verbs.n, h->pci_listed ? ", and no EFA card on the PCI bus" : "");
	fi->cannot_tell = !h->sysfs || h->verbs_error == EACCES;
	kv_show(out, fi, "/sys/class/infiniband_verbs", "%s",
		h->verbs_error ? strerror(h->verbs_error) : "no uverbs device of EFA");
	if (h->instance)
		kv_show(out, fi, "/sys/devices/virtual/dmi/id/product_name",
			"%s, which takes up to %u EFA devices", h->product, h->instance->efas);
	else if (h->product)
		kv_show(out, fi, "/sys/devices/virtual/dmi/id/product_name",
			"%s, of which kvpath does not know how many it takes", h->product);
	kv_mend(out, fi, false,
		"run this on the node, or in the job, that has the EFA interfaces; in the cloud, "
		"attach interfaces of type efa and load the efa module");
	return fi;
}

void kv_rule_no_device(const struct kv_facts *f, struct kv_findings *out)
{
	const struct kv_host *h = f->host;
	struct kv_finding *fi;
	bool bound = false;

	if (!h || kv_host_efas(h) || is_masked(h))
		return;
	if (!h->efas.n) {
		no_card(f, out)->of_host = true;
		return;
	}
	for (size_t i = 0; i < h->efas.n; i++)
		bound |= h->efas.v[i].driver && kv_streq(h->efas.v[i].driver, "efa");
	fi = kv_find(out, KV_ERROR, "%zu EFA cards on the PCI bus, and %s", h->efas.n,
		     bound ? "their driver made no verbs device of them"
			   : "the efa driver is bound to none of them");
	fi->of_host = true;
	show_cards(f, out, fi);
	if (bound && h->modules.known && !h->modules.uverbs)
		kv_show(out, fi, "/sys/module/ib_uverbs", "not loaded");
	kv_mend(out, fi, false, "%s",
		bound ? "load ib_uverbs (modprobe ib_uverbs); else see dmesg for efa"
		      : "load the efa module (modprobe efa), or install one that is new enough "
			"for these cards with the EFA installer");
}
