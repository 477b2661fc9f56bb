/* kvpath sweep: every node, then every pair of nodes. */
#include "report/sweep.h"
#include "cmd/sweep.h"

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
	if (o->json)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep --plan: a plan is lines of numbers (round, sender, "
			       "receiver): leave --json away");
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

/* One engine, one shape, one way: what is compared must be the same. */
static int one_test(const struct kv_opts *o)
{
	if (o->engines.n > 1 || o->shapes.n > 1)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: one --engine and one --shape, so that pairs "
			       "can be compared");
	if (o->op && kv_streq(o->op, "both"))
		return kv_fail(KV_STATUS_USAGE, "sweep: --op write or read");
	if (o->state && o->resume)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: --resume FILE writes to FILE: leave --state "
			       "away");
	if (o->args.n > 1)
		return kv_fail(KV_STATUS_USAGE, "sweep: one target at a time, not also %s",
			       o->args.v[1]);
	return KV_STATUS_OK;
}

static int run(struct kv_opts *o)
{
	const char *join = getenv(KV_SWEEP_JOIN), *index = getenv("JOB_COMPLETION_INDEX");
	struct kv_sweep s = { 0 };
	bool saved = true;
	int r;

	if (o->plan)
		return plan(o);
	if (o->merge)
		return merge(o);
	r = one_test(o);
	if (r == KV_STATUS_OK && o->render_for)
		return kv_sweep_k8s_run(o);
	if (r == KV_STATUS_OK && o->await && !join)
		return kv_fail(KV_STATUS_USAGE, "sweep: --await is for the pods of --for k8s");
	if (r == KV_STATUS_OK && join && !(o->await && index && kv_streq(index, "0")))
		return kv_sweep_worker_run(o, join);
	if (r == KV_STATUS_OK)
		r = kv_sweep_lead_run(o, &s, &saved);
	if (r == KV_STATUS_OK)
		r = print(o, &s);
	return r == KV_STATUS_OK && !saved ? KV_STATUS_UNKNOWN : r;
}

const struct kv_command kv_cmd_sweep = {
	.name = "sweep",
	.rights = KV_RIGHTS_RUN,
	.usage = "[OPTIONS] [TARGET] | --merge FILE ... | --plan N",
	.summary = "check every node of a job, then measure every pair of nodes",
	.options = "for nodes container efa await hosts ssh program state resume force no-pairs "
		   "rounds pairs merge plan mount "
		   "fabric env backend engine shape op mem iters deadline strict json quiet "
		   "verbose color",
	.help = "In a job of Slurm, on its nodes, by one srun; with --hosts, by ssh. Each node "
		"checks TARGET, where %N stands for its name.\n"
		"Then pairs of nodes are measured in rounds, in which each node is in one pair: "
		"N - 1 rounds for all pairs of N nodes. A node\n"
		"that check finds off the fabric is in no pair, unless --engine tcp is asked for. "
		"One that is lost is named, and the others go on.\n"
		"A node is slow where the middle of its rates is a quarter below the others', and "
		"six times what they scatter; only what is\n"
		"slow again when it is measured again counts. Defaults: --engine nixl:LIBFABRIC, "
		"--shape 16x1048576, --iters 20, dram.",
	.examples =
		"All nodes of a job, each with the container of its own\n"
		"salloc -N 8 kvpath sweep --state sweep.state /containers/%N\n"
		"Hosts by ssh, plain TCP\n"
		"kvpath sweep --hosts gpu[01-08] --engine tcp\n"
		"A Job for Kubernetes that sweeps four nodes\n"
		"kvpath sweep --for k8s --nodes 4 --container registry.example/dynamo:1 --efa 16",
	.run = run,
};
