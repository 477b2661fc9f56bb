/*
 * kv_prove: counters, agents, counters again, and the verdict. The agents are kvpath-probe where
 * the target has NIXL's C API and can start it, else agent.py under the target's python.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

#include "prove/parts.h"

#define SYSFS "/sys"

/* What one try gave: a report, or why there is none. */
struct attempt {
	struct kv_prove_report rep;
	bool reported, timed_out;
	char *log;
	const char *why;
};

static const char *last_line(struct kv_arena *a, const char *text)
{
	size_t n = strlen(text);
	const char *s;

	while (n && strchr("\r\n \t", text[n - 1]))
		n--;
	for (s = text + n; s > text && s[-1] != '\n'; s--)
		;
	return kv_strndup(a, s, (size_t)(text + n - s));
}

static const char *silence_text(struct kv_arena *a, const struct kv_prove_run *run,
				const struct kv_prove_ran *ran, const char *log)
{
	const char *last = last_line(a, log);
	const char *said = *last ? kv_strf(a, "; its last line: %s", last) : "";

	if (ran->timed_out)
		return kv_strf(a, "deadline of %u s passed while %s was running%s", run->deadline_s,
			       run->argv[0], said);
	if (WIFSIGNALED(ran->status))
		return kv_strf(a, "%s was killed by signal %d before it could report%s",
			       run->argv[0], WTERMSIG(ran->status), said);
	return kv_strf(a, "%s ended with status %d and without a report%s", run->argv[0],
		       WEXITSTATUS(ran->status), said);
}

static int attempt_run(struct kv_arena *a, const struct kv_prove_run *run, struct attempt *ret,
		       struct kv_err *err)
{
	struct kv_prove_ran ran;
	struct kv_err bad = { 0 };
	int r = kv_prove_spawn(run, &ran, err);

	*ret = (struct attempt){ .log = kv_strdup(a, "") };
	if (r == 0) {
		ret->log = kv_prove_text_get(a, &ran.log);
		ret->timed_out = ran.timed_out;
		ret->reported = kv_prove_report_parse(a, kv_prove_text_get(a, &ran.out), &ret->rep,
						      &bad) == 0;
		if (!ret->reported)
			ret->why = bad.code == -ENODATA ? silence_text(a, run, &ran, ret->log)
							: kv_strdup(a, bad.msg);
	}
	kv_prove_text_clear(&ran.out);
	kv_prove_text_clear(&ran.log);
	return r;
}

static void add_args(struct kv_arena *a, kv_strv *argv, const char *const *list)
{
	for (; *list; list++)
		kv_vec_push(a, argv, kv_strdup(a, *list));
}

/* The options that both agents have. */
static void add_common(struct kv_arena *a, kv_strv *argv, const struct kv_prove_request *req,
		       bool each)
{
	const char *const list[] = {
		"--backend",  req->backend,
		"--mem",      req->mem,
		"--bytes",    kv_strf(a, "%llu", (unsigned long long)req->bytes),
		"--deadline", kv_strf(a, "%u", req->deadline_s),
		"--register", each ? "each" : "whole",
		NULL
	};

	add_args(a, argv, list);
	kv_vec_push(a, argv, NULL);
}

static int try_capi(struct kv_arena *a, const struct kv_prove_request *req, bool each,
		    struct attempt *ret, struct kv_err *err)
{
	const char *const head[] = { "kvpath-probe", "xfer", "--capi", req->capi, NULL };
	struct kv_prove_run run = { .req = req, .deadline_s = req->deadline_s };
	_close_ int fd = open(req->probe, O_RDONLY | O_CLOEXEC);
	kv_strv argv = { 0 };

	if (fd < 0)
		return kv_err(err, -errno, "open %s: %s", req->probe, strerror(errno));
	add_args(a, &argv, head);
	add_common(a, &argv, req, each);
	run.exec_fd = fd;
	run.argv = argv.v;
	run.envp = kv_prove_environ(a, req->env);
	return attempt_run(a, &run, ret, err);
}

static int try_python(struct kv_arena *a, const struct kv_prove_request *req, bool each,
		      struct attempt *ret, struct kv_err *err)
{
	const char *const head[] = { req->python,
				     "-c",
				     kv_prove_agent_py,
				     "--module",
				     req->py_module,
				     "--dir",
				     req->py_dir ? req->py_dir : "",
				     NULL };
	struct kv_prove_run run = { .req = req, .exec_fd = -EBADF, .deadline_s = req->deadline_s };
	kv_strv argv = { 0 };

	add_args(a, &argv, head);
	add_common(a, &argv, req, each);
	run.exec_path = req->python;
	run.argv = argv.v;
	run.envp = kv_prove_environ(a, req->env);
	return attempt_run(a, &run, ret, err);
}

/* The C API first; python where the wheel has none, or where the probe cannot even start in the
 * target. */
static int try_agents(struct kv_arena *a, const struct kv_prove_request *req, bool each,
		      struct attempt *ret, struct kv_err *err)
{
	bool python = req->python && req->py_module;
	int r;

	if (!req->capi)
		return try_python(a, req, each, ret, err);
	r = try_capi(a, req, each, ret, err);
	if (r == -EPERM || !python || (r == 0 && (ret->reported || ret->timed_out)))
		return r;
	return try_python(a, req, each, ret, err);
}

/*
 * NIXL <= 0.10.1 over a provider with offset addressing (sockets) writes to the start of the
 * registered region whatever place inside it was asked for, and reports success. Whether that is
 * the fault is found by registering every piece by itself.
 */
static void explain_corruption(struct kv_arena *a, const struct kv_prove_request *req,
			       struct kv_prove_result *ret)
{
	struct attempt again;
	struct kv_err err = { 0 };

	if (try_agents(a, req, /* each= */ true, &again, &err) < 0 || !again.reported ||
	    !again.rep.intact)
		return;
	ret->error =
		kv_strf(a,
			"%s; the same bytes arrive intact where every piece is registered by "
			"itself: this NIXL "
			"goes wrong over provider %s inside a registered region, as KV blocks are",
			ret->error, ret->provider ? ret->provider : "(not named)");
}

/* The kernel caches hardware counters for their `lifespan`, 10 ms unless set: wait that out. */
static int counters_settled(struct kv_arena *a, struct kv_prove_counts *ret, struct kv_err *err)
{
	if (ret->list.n)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	return kv_prove_counters_read(a, SYSFS, ret, err);
}

static int check_request(const struct kv_prove_request *req, struct kv_err *err)
{
	if (!req->target || !req->backend || !req->mem || (req->capi && !req->probe))
		return kv_err(err, -EINVAL,
			      "kv_prove: target, backend, mem and probe must be given");
	if (!kv_streq(req->mem, "dram") && !kv_streq(req->mem, "vram"))
		return kv_err(err, -EINVAL, "memory kind %s: must be dram or vram", req->mem);
	if (!req->bytes || !req->deadline_s)
		return kv_err(err, -EINVAL, "bytes and deadline must not be 0");
	return 0;
}

int kv_prove(struct kv_arena *a, const struct kv_prove_request *req, struct kv_prove_result *ret,
	     struct kv_err *err)
{
	struct kv_prove_counts before = { 0 }, after;
	struct kv_prove_result out = { 0 };
	struct kv_prove_log log;
	struct attempt got;
	int r = check_request(req, err);

	if (r < 0)
		return r;
	if (!req->capi && !(req->python && req->py_module)) {
		kv_prove_judge_untried(
			a, "this NIXL has no libnixl_capi.so, and no python was found to drive it",
			&out);
		*ret = out;
		return 0;
	}
	r = kv_prove_counters_read(a, SYSFS, &before, err);
	if (r < 0)
		return r;
	r = try_agents(a, req, /* each= */ false, &got, err);
	if (r < 0)
		return r;
	after = before;
	r = counters_settled(a, &after, err);
	if (r < 0)
		return r;
	kv_prove_counters_delta(a, &before, &after, &out);
	kv_prove_log_read(a, got.log, req->backend, &log);
	out.log = got.log;
	if (got.reported)
		kv_prove_judge(a, req, &got.rep, &log, &out);
	else
		kv_prove_judge_untried(a, got.why, &out);
	if (got.reported && got.rep.cause && kv_streq(got.rep.cause, "corrupt"))
		explain_corruption(a, req, &out);
	*ret = out;
	return 0;
}
