/* kvpath sweep: every node, then every pair of nodes. */
#include "report/sweep.h"
#include "cmd/cmd.h"

static int status_of(const struct kv_opts *o, const struct kv_sweep *s)
{
	if (kv_streq(s->verdict, "off-fabric"))
		return KV_STATUS_OFF;
	if (kv_streq(s->verdict, "unknown"))
		return KV_STATUS_UNKNOWN;
	for (uint32_t i = 0; o->strict && i < s->n; i++)
		if (s->nodes[i].bad)
			return KV_STATUS_OFF;
	for (size_t i = 0; o->strict && i < s->slow.n; i++)
		if (s->slow.v[i].confirmed)
			return KV_STATUS_OFF;
	return KV_STATUS_OK;
}

static int print(const struct kv_opts *o, struct kv_sweep *s)
{
	int r = KV_STATUS_OK;

	kv_sweep_judge(s);
	if (o->json)
		r = kv_print_json(kv_json_sweep(s));
	else
		kv_text_sweep(stdout, s, o->style);
	return r == KV_STATUS_OK ? status_of(o, s) : r;
}

/* Lines of round, sender, receiver: of numbers, as there are no nodes yet. */
static int plan(const struct kv_opts *o)
{
	uint32_t n = (uint32_t)o->plan, all = kv_sweep_rounds(n);
	uint32_t rounds = o->rounds && o->rounds < all ? (uint32_t)o->rounds : all;
	uint64_t left = o->pairs ? o->pairs : UINT64_MAX;

	if (o->args.n)
		return kv_fail(KV_STATUS_USAGE, "sweep --plan: %s is too much", o->args.v[0]);
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t round = kv_sweep_round_of(n, rounds, i);

		for (uint32_t k = 0; k < kv_sweep_slots(n) && left; k++, left--) {
			struct kv_sweep_pair p = kv_sweep_pair_at(n, round, k);

			printf("%u %u %u\n", round + 1, p.a, p.b);
		}
	}
	return KV_STATUS_OK;
}

static int merge(const struct kv_opts *o)
{
	struct kv_sweep s = { 0 };

	if (!o->args.n)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep --merge: the FILE of a sweep is expected, as --state writes "
			       "it");
	for (size_t i = 0; i < o->args.n; i++) {
		struct kv_err err = { 0 };
		int r = kv_sweep_state_read(o->arena, o->args.v[i], &s, &err);

		if (r < 0)
			return kv_fail(r == -ENOTSUP ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s",
				       err.msg);
	}
	return print(o, &s);
}

static int run(struct kv_opts *o)
{
	if (o->plan)
		return plan(o);
	if (o->merge)
		return merge(o);
	return kv_fail(KV_STATUS_USAGE, "sweep: --plan N or --merge is expected");
}

const struct kv_command kv_cmd_sweep = {
	.name = "sweep",
	.rights = KV_RIGHTS_RUN,
	.usage = "--plan N | --merge FILE ...",
	.summary = "every node, then every pair of nodes: plan it, judge what was found",
	.options = "plan merge rounds pairs strict json quiet color",
	.help = "A node is slow where the middle of its rates is below the others' by a quarter, "
		"and by six times what they scatter.\nWhat was measured again must be slow again.",
	.run = run,
};
