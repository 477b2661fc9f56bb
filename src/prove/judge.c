/*
 * From what was seen to a verdict. On-fabric needs all three: every byte intact, the provider named
 * efa, and the device's counters moved by the payload. Whatever is missing is listed, never
 * assumed.
 */
#include "base/provider.h"
#include "prove/parts.h"

/* Both agents are on this host, so the payload leaves and enters its devices: both directions
 * count. */
static bool counters_moved(const struct kv_prove_result *ret, uint64_t bytes)
{
	const struct kv_prove_counter *c;
	uint64_t tx = 0, rx = 0;

	kv_vec_each (c, &ret->counters) {
		if (c->delta <= 0)
			continue;
		if (kv_streq(c->counter, "tx_bytes"))
			tx += (uint64_t)c->delta;
		else if (kv_streq(c->counter, "rx_bytes"))
			rx += (uint64_t)c->delta;
	}
	return tx >= bytes && rx >= bytes;
}

static const char *one_line(struct kv_arena *a, const char *s)
{
	char *line = kv_strdup(a, s);

	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	return kv_printable(a, line);
}

static void list_step(struct kv_arena *a, struct kv_prove_result *ret, bool proven,
		      const char *step)
{
	kv_strv *list = proven ? &ret->proven : &ret->not_proven;

	kv_vec_push(a, list, kv_strdup(a, step));
}

static const char *failure_text(struct kv_arena *a, const struct kv_prove_request *req,
				const struct kv_prove_report *rep, const struct kv_prove_log *log)
{
	const char *cause = rep->cause ? rep->cause : "unknown";
	const char *what = rep->error ? rep->error : "failed without a reason";

	if (!rep->loads && log->load_error)
		return one_line(a, kv_strf(a, "the %s plugin does not load: %s", req->backend,
					   log->load_error));
	if (kv_streq(cause, "nixl") && log->first_error)
		return one_line(a, kv_strf(a, "%s: %s; NIXL: %s", rep->agent ? rep->agent : "agent",
					   what, log->first_error));
	if (kv_streq(cause, "corrupt"))
		return one_line(a, kv_strf(a, "NIXL reported success, but at the %s %s",
					   rep->agent ? rep->agent : "receiver", what));
	if (kv_streq(cause, "deadline"))
		return one_line(a, kv_strf(a, "deadline of %u s passed while the %s was in %s",
					   req->deadline_s, rep->agent ? rep->agent : "agent",
					   rep->call ? rep->call : "an unknown call"));
	return one_line(a, kv_strf(a, "%s: %s", rep->agent ? rep->agent : "agent", what));
}

/*
 * Failed: off-fabric where NIXL, its plugin or the loader is the reason (a serving process would
 * fail alike), unknown where the proof itself could not be carried through.
 */
static void judge_failed(struct kv_arena *a, const struct kv_prove_request *req,
			 const struct kv_prove_report *rep, const struct kv_prove_log *log,
			 struct kv_prove_result *ret)
{
	static const char *const nixls[] = { "nixl", "corrupt", "crash" };

	ret->verdict = "unknown";
	for (size_t i = 0; rep->cause && i < KV_ARRAY_SIZE(nixls); i++)
		if (kv_streq(rep->cause, nixls[i]))
			ret->verdict = "off-fabric";
	ret->error = failure_text(a, req, rep, log);
}

static void judge_moved(struct kv_arena *a, const struct kv_prove_request *req,
			const struct kv_prove_report *rep, struct kv_prove_result *ret)
{
	enum kv_carrier carrier = ret->provider ? kv_carrier_of(ret->provider) : KV_CARRIER_UNKNOWN;
	bool counted = counters_moved(ret, rep->bytes), efa = carrier == KV_CARRIER_EFA;

	ret->verdict = "unknown";
	if (efa && counted)
		ret->verdict = "on-fabric";
	else if (efa && !ret->counters.n)
		ret->error = "the provider is efa, but no EFA device has readable counters here: "
			     "not proven";
	else if (efa)
		ret->error = kv_strf(
			a,
			"the provider is efa, but tx_bytes and rx_bytes did not both move by %llu "
			"bytes: not proven",
			(unsigned long long)rep->bytes);
	else if (carrier == KV_CARRIER_OTHER)
		ret->error = kv_strf(a,
				     "the provider is %s: RDMA of another fabric than EFA, which "
				     "kvpath does not judge",
				     ret->provider);
	else if (ret->provider)
		ret->verdict = "off-fabric";
	else if (kv_streq(req->backend, "LIBFABRIC"))
		ret->error = "NIXL's log does not name the provider";
	else if (counted)
		ret->error = kv_strf(a,
				     "an EFA device moved as many bytes meanwhile, but nothing "
				     "shows that %s sent them",
				     req->backend);
	else
		ret->verdict = "off-fabric";
}

void kv_prove_judge(struct kv_arena *a, const struct kv_prove_request *req,
		    const struct kv_prove_report *rep, const struct kv_prove_log *log,
		    struct kv_prove_result *ret)
{
	ret->via = rep->via;
	ret->intact = rep->intact;
	ret->bytes = rep->intact ? rep->bytes : 0;
	ret->elapsed_us = rep->elapsed_us;
	ret->provider = log->provider;
	ret->provider_source = log->provider_line ? one_line(a, log->provider_line) : NULL;
	ret->error = NULL;
	if (rep->intact)
		judge_moved(a, req, rep, ret);
	else
		judge_failed(a, req, rep, log, ret);
	list_step(a, ret, rep->loads, "loads");
	list_step(a, ret, rep->instantiates, "instantiates");
	list_step(a, ret, rep->registers, "registers");
	/* Bytes that arrive changed have not been moved. */
	list_step(a, ret, rep->intact, "moves");
	list_step(a, ret, kv_streq(ret->verdict, "on-fabric"), "efa");
}

void kv_prove_judge_untried(struct kv_arena *a, const char *why, struct kv_prove_result *ret)
{
	static const char *const steps[] = { "loads", "instantiates", "registers", "moves", "efa" };

	ret->verdict = "unknown";
	ret->error = one_line(a, why);
	for (size_t i = 0; i < KV_ARRAY_SIZE(steps); i++)
		list_step(a, ret, false, steps[i]);
}
