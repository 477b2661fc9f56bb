/* The facts of a host as JSON and as text. */
#include "report/parts.h"

/* A limit in bytes; null where there is none. */
static json_t *limit(uint64_t n)
{
	return n == KV_UNLIMITED ? json_null() : json_integer((json_int_t)n);
}

json_t *kv_json_devices(struct kv_arena *a, const struct kv_host *h)
{
	json_t *devices = json_array();

	for (size_t i = 0; h && i < h->verbs.n; i++) {
		const struct kv_verbs *v = &h->verbs.v[i];

		json_array_append_new(
			devices,
			json_pack("{s:o, s:o, s:o, s:b, s:o, s:o, s:s}", "name",
				  kv_json_text(a, v->name), "kind", kv_json_text(a, v->driver),
				  "node", kv_json_text(a, v->node), "usable", kv_verbs_usable(v),
				  "problem", kv_json_text(a, kv_verbs_problem(v)), "address",
				  kv_json_text(a, v->address), "p2p", kv_p2p_name[v->p2p]));
	}
	return devices;
}

static json_t *card_json(struct kv_arena *a, const struct kv_pci *p)
{
	return json_pack("{s:o, s:o, s:o, s:i, s:o}", "address", kv_json_text(a, p->address),
			 "device", json_string(kv_strf(a, "%04x", p->device)), "driver",
			 kv_json_text(a, p->driver), "numa", p->numa, "iommu",
			 kv_json_text(a, p->iommu));
}

static enum kv_distance nearest(const struct kv_host *h, const struct kv_pci *gpu)
{
	enum kv_distance best = KV_DISTANCE_UNKNOWN;

	for (size_t i = 0; i < h->efas.n; i++)
		if (kv_pci_distance(gpu, &h->efas.v[i]) < best)
			best = kv_pci_distance(gpu, &h->efas.v[i]);
	return best;
}

static json_t *gpu_json(struct kv_arena *a, const struct kv_host *h, const struct kv_pci *gpu)
{
	json_t *o = card_json(a, gpu), *near = json_array();
	enum kv_distance best = nearest(h, gpu);

	for (size_t i = 0; best != KV_DISTANCE_UNKNOWN && i < h->efas.n; i++)
		if (kv_pci_distance(gpu, &h->efas.v[i]) == best)
			json_array_append_new(near, kv_json_text(a, h->efas.v[i].address));
	json_object_set_new(o, "nearest_efa", near);
	json_object_set_new(o, "distance", json_string(kv_distance_name[best]));
	return o;
}

static json_t *limits_json(const struct kv_limits *l)
{
	json_t *huge =
		l->huge_known
			? json_pack("{s:I, s:I, s:I}", "total", (json_int_t)l->huge_total, "free",
				    (json_int_t)l->huge_free, "size", (json_int_t)l->huge_size)
			: json_null();

	return json_pack("{s:b, s:o, s:b, s:o, s:o, s:o}", "memlock_known", l->memlock_known,
			 "memlock", limit(l->memlock_known ? l->memlock : KV_UNLIMITED),
			 "memlock_exempt", l->memlock_exempt, "cgroup_memory", limit(l->memory),
			 "cgroup_hugetlb", limit(l->hugetlb), "huge_pages", huge);
}

json_t *kv_json_host(struct kv_arena *a, const struct kv_host *h)
{
	json_t *efas, *gpus, *covers;
	const struct kv_modules *m;

	if (!h)
		return json_null();
	efas = json_array();
	gpus = json_array();
	covers = json_array();
	m = &h->modules;
	for (size_t i = 0; i < h->efas.n; i++)
		json_array_append_new(efas, card_json(a, &h->efas.v[i]));
	for (size_t i = 0; i < h->gpus.n; i++)
		json_array_append_new(gpus, gpu_json(a, h, &h->gpus.v[i]));
	for (size_t i = 0; i < h->covers.n; i++)
		json_array_append_new(covers,
				      json_pack("{s:o, s:o}", "path",
						kv_json_text(a, h->covers.v[i].path), "type",
						kv_json_text(a, h->covers.v[i].type)));
	return json_pack(
		"{s:o, s:o, s:o, s:o, s:{s:b, s:o, s:b, s:b, s:b, s:b, s:s, s:o}, s:o, s:o}",
		"kernel", kv_json_text(a, h->kernel), "instance_type", kv_json_text(a, h->product),
		"efa", efas, "gpus", gpus, "modules", "efa", m->efa, "efa_version",
		kv_json_text(a, m->efa_version), "ib_uverbs", m->uverbs, "efa_nv_peermem",
		m->efa_nv_peermem, "nvidia_peermem", m->nvidia_peermem, "gdrdrv", m->gdrdrv,
		"nvidia", kv_nvidia_name[m->nvidia], "nvidia_version",
		kv_json_text(a, m->nvidia_version), "limits", limits_json(&h->limits), "covered",
		covers);
}

/* Machines have many cards of one kind: they are counted, not listed. */
void kv_text_host(FILE *out, struct kv_arena *a, const struct kv_host *h)
{
	const struct kv_modules *m;

	if (!h)
		return;
	m = &h->modules;
	fprintf(out, "host%s%s%s%s: kernel %s, efa driver %s, NVIDIA %s%s%s\n",
		h->product ? " " : "", h->product ? kv_printable(a, h->product) : "",
		h->recorded ? " as recorded in " : "",
		h->recorded ? kv_printable(a, h->recorded) : "",
		h->kernel ? kv_printable(a, h->kernel) : "unknown",
		!h->modules.efa  ? "not loaded"
		: m->efa_version ? kv_printable(a, m->efa_version)
				 : "of the kernel",
		m->nvidia_version ? kv_printable(a, m->nvidia_version) : "",
		m->nvidia_version ? " " : "", kv_nvidia_name[m->nvidia]);
	if (h->efas.n || h->gpus.n)
		fprintf(out, "  %zu EFA cards, %zu verbs devices of EFA, %zu usable; %zu GPUs\n",
			h->efas.n, kv_host_efas(h), kv_host_usable_efas(h), h->gpus.n);
	for (size_t i = 0; i < h->gpus.n && h->efas.n; i++) {
		enum kv_distance best = nearest(h, &h->gpus.v[i]);
		size_t n = 0;

		for (size_t j = 0; j < h->efas.n; j++)
			n += kv_pci_distance(&h->gpus.v[i], &h->efas.v[j]) == best;
		fprintf(out, "  GPU %s: %zu EFA at distance %s\n",
			kv_printable(a, h->gpus.v[i].address), n, kv_distance_name[best]);
	}
	for (size_t i = 0; i < h->verbs.n; i++)
		fprintf(out, "  device %s (%s) %s: %s\n", kv_printable(a, h->verbs.v[i].name),
			kv_printable(a, h->verbs.v[i].driver), kv_printable(a, h->verbs.v[i].node),
			kv_verbs_usable(&h->verbs.v[i]) ? "usable"
							: kv_verbs_problem(&h->verbs.v[i]));
}
