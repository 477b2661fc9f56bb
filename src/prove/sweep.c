/* What a sweep knows: nodes by their number, rates by round and slot, so that all pairs of ten
 * thousand nodes take four bytes and one each. */
#include <math.h>

#include "prove/sweep.h"

const char *const kv_sweep_fact_names[_KV_SWEEP_FACT_COUNT] = {
	[KV_FACT_ARCH] = "architecture", [KV_FACT_OS] = "system",
	[KV_FACT_LIBC] = "libc",         [KV_FACT_KERNEL] = "kernel",
	[KV_FACT_INSTANCE] = "instance", [KV_FACT_NIXL] = "NIXL",
	[KV_FACT_BACKENDS] = "default",  [KV_FACT_FABRIC] = "libfabric",
	[KV_FACT_EFA] = "EFA devices",   [KV_FACT_EFA_DRIVER] = "EFA driver",
	[KV_FACT_GPUS] = "GPUs",         [KV_FACT_GPU_DRIVER] = "GPU driver",
	[KV_FACT_KVPATH] = "kvpath",
};

/* Of the text that a node's document may make us keep. */
#define MAX_TEXT 1024

int kv_sweep_init(struct kv_sweep *s, struct kv_arena *a, const kv_strv *names, struct kv_err *err)
{
	*s = (struct kv_sweep){
		.arena = a,
		.interned = kv_map_new(a),
		.by_name = kv_map_new(a),
		.n = (uint32_t)names->n,
		.nodes = kv_alloc_n(a, names->n + 1, sizeof(*s->nodes)),
		.rounds = kv_alloc_n(a, names->n + 1, sizeof(*s->rounds)),
		.providers = { "" },
		.launcher = "",
	};
	s->test = (struct kv_sweep_test){ "", "", "", "", "", 0 };
	for (uint32_t i = 0; i < s->n; i++) {
		if (kv_map_get(s->by_name, names->v[i]))
			return kv_err(err, -EINVAL, "%s is among the nodes twice", names->v[i]);
		s->nodes[i].name = kv_sweep_intern(s, names->v[i]);
		*kv_map_slot(s->by_name, names->v[i]) = (void *)(uintptr_t)(i + 1);
	}
	return 0;
}

const char *kv_sweep_intern(struct kv_sweep *s, const char *text)
{
	void **slot = kv_map_slot(s->interned, text);

	if (!*slot)
		*slot = kv_strdup(s->arena, text);
	return *slot;
}

uint32_t kv_sweep_node_of(const struct kv_sweep *s, const char *name)
{
	return (uint32_t)(uintptr_t)kv_map_get(s->by_name, name) - 1;
}

/* ---- nodes ---- */

static void put(json_t *facts, enum kv_sweep_fact fact, const char *value)
{
	if (*value)
		json_object_set_new(facts, kv_sweep_fact_names[fact], json_string(value));
}

/* "16 efa1 (efa)": how many of each kind, in the order of the first of each. */
static void put_devices(json_t *facts, enum kv_sweep_fact fact, const json_t *list)
{
	struct kv_arena *a = kv_arena_new_small();
	const char *text = "";
	const json_t *d;
	size_t i, k;

	json_array_foreach(list, i, d)
	{
		const char *kind = kv_json_str(d, "device"), *driver = kv_json_str(d, "driver");
		const json_t *other;
		size_t same = 0, before = 0;

		json_array_foreach(list, k, other)
		{
			bool is = kv_streq(kv_json_str(other, "device"), kind) &&
				  kv_streq(kv_json_str(other, "driver"), driver);

			same += is;
			before += is && k < i;
		}
		if (!before)
			text = kv_strf(a, "%s%s%zu x %s%s%s", text, *text ? ", " : "", same, kind,
				       *driver ? " by " : "", driver);
	}
	if (json_is_array(list))
		put(facts, fact, *text ? text : "none");
	kv_arena_free(a);
}

/* The process imports one NIXL: its version and default, and the libfabric that comes first. */
static void put_software(json_t *facts, const json_t *check)
{
	struct kv_arena *a = kv_arena_new_small();
	const json_t *nixl, *fabric, *name;
	const char *text = "";
	size_t i, k;

	json_array_foreach(json_object_get(check, "nixl"), i, nixl)
	{
		if (!json_is_true(json_object_get(nixl, "active")))
			continue;
		put(facts, KV_FACT_NIXL,
		    kv_strf(a, "%s %s", kv_json_str(nixl, "dist"), kv_json_str(nixl, "version")));
		json_array_foreach(json_object_get(nixl, "default_backends"), k, name) text =
			kv_strf(a, "%s%s%s", text, *text ? ", " : "",
				json_is_string(name) ? json_string_value(name) : "");
		put(facts, KV_FACT_BACKENDS, text);
		break;
	}
	text = "";
	json_array_foreach(json_object_get(check, "libfabric"), i, fabric) text =
		kv_strf(a, "%s%s%s", text, *text ? ", " : "", kv_json_str(fabric, "release"));
	put(facts, KV_FACT_FABRIC, text);
	kv_arena_free(a);
}

static json_t *facts_of(const json_t *check)
{
	const json_t *target = json_object_get(check, "target"),
		     *host = json_object_get(check, "host"),
		     *modules = json_object_get(host, "modules");
	json_t *facts = json_object();

	put(facts, KV_FACT_ARCH, kv_json_str(target, "arch"));
	put(facts, KV_FACT_OS, kv_json_str(target, "os"));
	put(facts, KV_FACT_LIBC, kv_json_str(target, "libc"));
	put(facts, KV_FACT_KERNEL, kv_json_str(host, "kernel"));
	put(facts, KV_FACT_INSTANCE, kv_json_str(host, "instance_type"));
	put_software(facts, check);
	put_devices(facts, KV_FACT_EFA, json_object_get(host, "efa"));
	put(facts, KV_FACT_EFA_DRIVER, kv_json_str(modules, "efa_version"));
	put_devices(facts, KV_FACT_GPUS, json_object_get(host, "gpus"));
	put(facts, KV_FACT_GPU_DRIVER, kv_json_str(modules, "nvidia_version"));
	put(facts, KV_FACT_KVPATH, kv_json_str(check, "version"));
	return facts;
}

static void add_id(json_t *list, const char *id)
{
	const json_t *other;
	size_t i;

	json_array_foreach(list, i, other) if (kv_streq(json_string_value(other), id)) return;
	json_array_append_new(list, json_string(id));
}

json_t *kv_sweep_brief(const json_t *check)
{
	json_t *errors = json_array(), *warnings = json_array();
	const char *detail = "";
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(check, "findings"), i, f)
	{
		bool error = kv_streq(kv_json_str(f, "severity"), "error");

		if (error && !*detail)
			detail = kv_json_str(f, "detail");
		if (error || kv_streq(kv_json_str(f, "severity"), "warning"))
			add_id(error ? errors : warnings, kv_json_str(f, "id"));
	}
	json_array_extend(errors, warnings);
	json_decref(warnings);
	if (!kv_streq(kv_json_str(check, "schema"), "kvpath.check/1")) {
		json_decref(errors);
		return NULL;
	}
	return json_pack("{s:s, s:o, s:s, s:o}", "verdict", kv_json_str(check, "verdict"),
			 "findings", errors, "detail", detail, "facts", facts_of(check));
}

/* What a node says is cut, and made such that it can be printed. */
static const char *keep(struct kv_sweep *s, const char *text)
{
	struct kv_arena_mark mark = kv_arena_mark(s->arena);
	const char *cut = kv_strndup(s->arena, text, strnlen(text, MAX_TEXT));
	const char *shown = kv_printable(s->arena, cut);
	const char *kept = kv_map_get(s->interned, shown);

	if (kept) {
		kv_arena_rewind(s->arena, mark);
		return kept;
	}
	return kv_sweep_intern(s, shown);
}

static const char *ids_of(struct kv_sweep *s, const json_t *list)
{
	_buf_ struct kv_buf text = { 0 };
	const json_t *id;
	size_t i;

	json_array_foreach(list, i, id) if (json_is_string(id) && text.n < MAX_TEXT)
		kv_buf_fmt(&text, "%s%s", text.n ? ", " : "", json_string_value(id));
	return keep(s, text.text ? text.text : "");
}

int kv_sweep_add_node(struct kv_sweep *s, uint32_t node, const json_t *doc, struct kv_err *err)
{
	static const char *const known[] = { "on-fabric", "ready", "off-fabric", "unknown" };
	struct kv_sweep_node *n = &s->nodes[node];
	json_auto_t *brief = kv_sweep_brief(doc);
	const json_t *facts;

	doc = brief ? brief : doc;
	facts = json_object_get(doc, "facts");
	n->verdict = NULL;
	for (size_t i = 0; i < KV_ARRAY_SIZE(known); i++)
		if (kv_streq(kv_json_str(doc, "verdict"), known[i]))
			n->verdict = known[i];
	if (!n->verdict)
		return kv_err(err, -EINVAL, "%s: what it sent is no result of a check", n->name);
	/* Of a sweep that is resumed: it is back. */
	n->lost = NULL;
	n->findings = ids_of(s, json_object_get(doc, "findings"));
	n->detail = keep(s, kv_json_str(doc, "detail"));
	for (size_t i = 0; i < _KV_SWEEP_FACT_COUNT; i++) {
		const char *value = kv_json_str(facts, kv_sweep_fact_names[i]);

		n->facts[i] = *value ? keep(s, value) : NULL;
	}
	return 0;
}

void kv_sweep_add_lost(struct kv_sweep *s, uint32_t node, const char *why)
{
	if (!s->nodes[node].lost)
		s->nodes[node].lost = keep(s, why);
}

/* ---- pairs ---- */

/* Its place, with the round's arrays made. */
static float *place(struct kv_sweep *s, struct kv_sweep_pair p, struct kv_sweep_round **ret_round,
		    uint32_t *ret_slot)
{
	struct kv_sweep_round *r;
	uint32_t round;

	kv_sweep_pair_find(s->n, p.a, p.b, &round, ret_slot);
	r = *ret_round = &s->rounds[round];
	if (!r->rate) {
		r->rate = kv_alloc_n(s->arena, kv_sweep_slots(s->n), sizeof(*r->rate));
		r->provider = kv_alloc_n(s->arena, kv_sweep_slots(s->n), sizeof(*r->provider));
	}
	return &r->rate[*ret_slot];
}

static uint8_t provider_of(struct kv_sweep *s, const char *provider)
{
	size_t i = 0;

	for (; i < KV_ARRAY_SIZE(s->providers) && s->providers[i]; i++)
		if (kv_streq(s->providers[i], provider))
			return (uint8_t)i;
	/* More than there are providers: somebody makes them up. */
	if (i == KV_ARRAY_SIZE(s->providers))
		return 0;
	s->providers[i] = keep(s, provider);
	return (uint8_t)i;
}

/* A pair that failed before and moves its bytes now. */
static void forget_fault(struct kv_sweep *s, struct kv_sweep_pair p)
{
	s->n_faults--;
	for (size_t i = 0; i < s->faults.n; i++)
		if (s->faults.v[i].pair.a == p.a && s->faults.v[i].pair.b == p.b) {
			s->faults.v[i] = s->faults.v[--s->faults.n];
			return;
		}
}

void kv_sweep_add_rate(struct kv_sweep *s, struct kv_sweep_pair p, double rate,
		       const char *provider)
{
	struct kv_sweep_round *r;
	uint32_t slot;
	float *at = place(s, p, &r, &slot), v = (float)rate;

	/* Also of a number that is none. */
	if (!(rate >= 1 && rate <= 1e18))
		return;
	if (*at > 0) {
		if (!r->again)
			r->again = kv_alloc_n(s->arena, kv_sweep_slots(s->n), sizeof(*r->again));
		r->again[slot] = fmaxf(r->again[slot], v);
		return;
	}
	if (*at < 0)
		forget_fault(s, p);
	s->tried += *at == 0;
	s->measured++;
	*at = v;
	r->provider[slot] = provider_of(s, provider);
}

void kv_sweep_add_fault(struct kv_sweep *s, struct kv_sweep_pair p, const char *cause,
			const char *text)
{
	struct kv_sweep_round *r;
	uint32_t slot;
	float *at = place(s, p, &r, &slot);

	if (*at < 0)
		return;
	s->tried += *at == 0;
	s->measured -= *at > 0;
	*at = KV_SWEEP_FAILED;
	s->n_faults++;
	if (s->faults.n < KV_SWEEP_FAULTS)
		kv_vec_push(s->arena, &s->faults,
			    ((struct kv_sweep_fault){ p, (uint32_t)(r - s->rounds), keep(s, cause),
						      keep(s, text) }));
}

bool kv_sweep_has(const struct kv_sweep *s, struct kv_sweep_pair p)
{
	uint32_t round, slot;

	kv_sweep_pair_find(s->n, p.a, p.b, &round, &slot);
	return s->rounds[round].rate && s->rounds[round].rate[slot] > 0;
}
