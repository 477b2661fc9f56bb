/*
 * kvpath-bench, a stand-in where there is no model and no GPU: workers that move bytes of a KV
 * cache's shape. Where a recipe has prefill and decode workers, one of each is a pair: decode
 * listens, prefill connects, says what is measured, and has the result. Others move the bytes
 * within their node.
 */
#include "launch/backend.h"

/* What only launch can say. */
#define OWN " disaggregation-mode json verbose listen connect token-file "
/* What the side that connects says for both. */
#define MEASURES " engine before after shape model tokens page tp dtype layout op mem iters "

/* The recipe's model, where it gives the length of a request and no shape. */
static const char *model_of(const struct kv_job *j, const struct kv_worker_spec *w)
{
	const char *name = w->served ? w->served : w->model ? kv_basename(w->model) : NULL;

	if (!name || !kv_job_flag(j, w, "tokens") || kv_job_flag(j, w, "model"))
		return "";
	return kv_strf(j->arena, " --model %s", kv_job_word(j, name));
}

static int make(struct kv_job *j, struct kv_role *role, struct kv_err *err)
{
	const struct kv_worker_spec *w = role->spec;

	(void)err;
	role->ends = true;
	role->command = kv_strf(j->arena, "\"$KVPATH_PROGRAM\" bench%s%s", model_of(j, w),
				kv_job_flags(j, w->flags, " disaggregation-mode ", true));
	return 0;
}

const struct kv_backend kv_backend_bench = { .name = "kvpath-bench",
					     .settings = "config",
					     .make = make };

/* ---- pairs ---- */

static struct kv_role *find(struct kv_job *j, const char *mode)
{
	for (size_t i = 0; i < j->roles.n; i++)
		if (j->roles.v[i].spec &&
		    kv_streq(j->roles.v[i].spec->backend, kv_backend_bench.name) &&
		    kv_streq(j->roles.v[i].spec->mode, mode))
			return &j->roles.v[i];
	return NULL;
}

/* A recipe that says itself who listens. */
static bool is_joined(const struct kv_job *j, const struct kv_role *r)
{
	return kv_job_flag(j, r->spec, "listen") || kv_job_flag(j, r->spec, "connect");
}

/* What is said of one side alone, and the other one decides. */
static void name_unused(struct kv_job *j, const struct kv_role *decode)
{
	for (const struct kv_yaml *c = kv_job_keys(decode->spec->flags[1]); c; c = c->next)
		if (strstr(MEASURES, kv_strf(j->arena, " %s ", c->key)))
			kv_job_left(j, c, c->key,
				    "of a pair the prefill worker says what is measured");
}

int kv_job_pair(struct kv_job *j, struct kv_err *err)
{
	struct kv_role *prefill = find(j, "prefill"), *decode = find(j, "decode");
	struct kv_arena *a = j->arena;

	if (!prefill || !decode || is_joined(j, prefill) || is_joined(j, decode))
		return 0;
	if (prefill->count != decode->count)
		return kv_err(err, -EINVAL,
			      "%s: %u prefill and %u decode workers of kvpath-bench: they are "
			      "pairs, so name as many of one as of the other, or say with connect "
			      "and listen who meets whom",
			      j->path, prefill->count, decode->count);
	if (prefill->nodes > 1 || decode->nodes > 1)
		return kv_err(err, -EINVAL,
			      "%s: a worker of kvpath-bench is on one node: give it at most %u "
			      "GPUs",
			      j->path, j->gpus_per_node);
	prefill->peer = decode->name;
	decode->peer = prefill->name;
	prefill->measures = true;
	prefill->command = kv_strf(
		a, "\"$KVPATH_PROGRAM\" bench --json --verbose --connect \"$KVPATH_PEER:auto\"%s%s",
		model_of(j, prefill->spec), kv_job_flags(j, prefill->spec->flags, OWN, true));
	decode->command = kv_strf(a, "\"$KVPATH_PROGRAM\" bench --verbose --listen auto%s",
				  kv_job_flags(j, decode->spec->flags, OWN MEASURES, true));
	name_unused(j, decode);
	j->paired = true;
	return 0;
}
