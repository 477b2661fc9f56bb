/* kvpath log: which path worker logs show. Reads text, touches no container and no device. */
#include "report/log.h"
#include "cmd/cmd.h"

static int status_of(const struct kv_opts *o, const struct kv_log_report *r, int failed)
{
	if (r->findings.verdict == KV_OFF_FABRIC)
		return KV_STATUS_OFF;
	if (failed)
		return failed;
	if (r->findings.verdict == KV_VERDICT_UNKNOWN)
		return KV_STATUS_UNKNOWN;
	return o->strict && r->findings.list.n ? KV_STATUS_OFF : KV_STATUS_OK;
}

/* Says in one line of each file what could not be read of it; the worst of the statuses. */
static int read_all(const struct kv_opts *o, struct kv_log *l, size_t *ret_read)
{
	int status = KV_STATUS_OK;

	for (size_t i = 0; i < o->args.n; i++) {
		int r = kv_log_read(l, o->args.v[i]), one;

		*ret_read += l->files.v[i].bytes != 0 || r == 0;
		if (r == 0)
			continue;
		one = r == -ENOENT || r == -ENOTDIR || r == -EISDIR ? KV_STATUS_USAGE
								    : KV_STATUS_UNKNOWN;
		(void)kv_fail(one, "%s: %s", o->args.v[i], l->files.v[i].error);
		if (status != KV_STATUS_USAGE)
			status = one;
	}
	kv_log_finish(l);
	return status;
}

static int run(struct kv_opts *o)
{
	struct kv_log_report report;
	size_t n_read = 0;
	struct kv_log l;
	int failed, r = KV_STATUS_OK;

	if (!o->args.n)
		return kv_fail(KV_STATUS_USAGE, "log: a FILE is expected (- for standard input)");
	kv_log_init(&l, o->arena);
	failed = read_all(o, &l, &n_read);
	if (!n_read)
		return failed;
	kv_log_judge(&l, o->backend, &report);
	if (o->json)
		r = kv_print_json(kv_json_log(&l, &report));
	else
		kv_text_log(stdout, &l, &report, o->style);
	return r == KV_STATUS_OK ? status_of(o, &report, failed) : r;
}

const struct kv_command kv_cmd_log = {
	.name = "log",
	.usage = "[OPTIONS] FILE ...",
	.summary = "say which path worker logs show: backend, provider, fallbacks, WaitingForInput",
	.options = "backend strict json quiet color",
	.help = "FILE may be compressed by gzip or zstd; - is standard input. The verdict is "
		"off-fabric where a line shows it,\n"
		"on-fabric only where NIXL instantiated LIBFABRIC and names efa as its provider, "
		"else "
		"unknown: a log at NIXL's\n"
		"default level names the backend and never the provider. A process is known by "
		"what "
		"its lines carry (a pod, a\n"
		"rank, a pid); else a file is one process. --strict counts any finding.",
	.examples = "All workers of a job\n"
		    "kvpath log decode_*.out prefill_*.out\n"
		    "A pod that still runs\n"
		    "kubectl logs POD | kvpath log -",
	.run = run,
};
