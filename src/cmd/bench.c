/* kvpath bench: measures transfers, engine by engine, all with checked data. */
#include "report/bench.h"
#include "cmd/bench_roles.h"
#include "cmd/cmd.h"
#include "prove/geometry.h"

static const struct kv_nixl *choose(const struct kv_facts *f)
{
	for (size_t i = 0; i < f->nixls.n; i++)
		if (f->nixls.v[i].active && f->nixls.v[i].libnixl)
			return &f->nixls.v[i];
	return NULL;
}

static void add_engine(const struct kv_opts *o, kv_strv *list, const char *name)
{
	if (name && !kv_strv_has(list, name))
		kv_vec_push(o->arena, list, kv_strdup(o->arena, name));
}

/* What was asked for; else what frameworks choose from, and plain sockets. */
static void choose_engines(const struct kv_opts *o, const struct kv_nixl *n, kv_strv *ret)
{
	static const char *const usual[] = { "UCX", "LIBFABRIC" };

	for (size_t i = 0; i < o->engines.n; i++)
		add_engine(o, ret, o->engines.v[i]);
	add_engine(o, ret, o->before);
	add_engine(o, ret, o->after);
	if (ret->n)
		return;
	for (size_t i = 0; n && i < KV_ARRAY_SIZE(usual); i++)
		for (size_t k = 0; k < n->plugins.n; k++)
			if (kv_streq(n->plugins.v[k].name, usual[i]))
				add_engine(o, ret, kv_strf(o->arena, "nixl:%s", usual[i]));
	add_engine(o, ret, "tcp");
}

/* Of the others nobody has such a thread. */
static int check_progress(const struct kv_opts *o, const kv_strv *engines)
{
	for (size_t i = 0; i < engines->n; i++)
		if (kv_starts(engines->v[i], "nixl:"))
			return KV_STATUS_OK;
	return o->progress ? kv_fail(KV_STATUS_USAGE, "bench: --progress is about NIXL, and no "
						      "engine of it is measured")
			   : KV_STATUS_OK;
}

/* The descriptors that one rank's KV cache of a request has; the data, not the scales. */
static int model_shape(const struct kv_opts *o, struct kv_bench_request *req, const char **ret_text)
{
	struct kv_shape_request sr = {
		.tokens = o->tokens,
		.page = o->page,
		.tp = o->tp,
		.dtype = o->dtype,
		.by_page = o->layout && kv_streq(o->layout, "page"),
	};
	struct kv_err err = { 0 };
	struct kv_geometry model;
	struct kv_shape shape;
	int r;

	if (!o->tokens)
		return kv_fail(KV_STATUS_USAGE, "bench: --model needs --tokens N");
	r = kv_geometry_read(o->arena, o->model, &model, &err);
	if (r == 0)
		r = kv_geometry_shape(&model, &sr, &shape, &err);
	if (r < 0)
		return kv_fail(r == -ENOTSUP ? KV_STATUS_UNKNOWN : KV_STATUS_USAGE, "%s", err.msg);
	for (size_t i = 0; i < shape.n_descs; i++)
		kv_vec_push(o->arena, &req->shapes,
			    kv_strf(o->arena, "%llux%llu", (unsigned long long)shape.descs[i].count,
				    (unsigned long long)shape.descs[i].bytes));
	*ret_text = kv_strf(o->arena, "%s, %llu tokens, one of %llu ranks, %s", model.name,
			    (unsigned long long)o->tokens, (unsigned long long)o->tp,
			    shape.dtype->name);
	return KV_STATUS_OK;
}

static int choose_shapes(const struct kv_opts *o, struct kv_bench_request *req,
			 const char **ret_text)
{
	static const char *const usual[] = { "1x4096", "1x65536", "1x1048576", "64x65536",
					     "64x1048576" };

	/* A shape that its user takes for a model's would be measured in its place. */
	if (!o->model && (o->tokens || o->dtype || o->layout))
		return kv_fail(KV_STATUS_USAGE, "bench: --%s is about --model CONFIG.json",
			       o->tokens  ? "tokens"
			       : o->dtype ? "dtype"
					  : "layout");
	for (size_t i = 0; i < o->shapes.n; i++)
		kv_vec_push(o->arena, &req->shapes, o->shapes.v[i]);
	if (o->model)
		return model_shape(o, req, ret_text);
	for (size_t i = 0; !req->shapes.n && i < KV_ARRAY_SIZE(usual); i++)
		kv_vec_push(o->arena, &req->shapes, kv_strdup(o->arena, usual[i]));
	return KV_STATUS_OK;
}

#define BAR_WIDTH 24

/* How far it is, on a terminal. */
struct bar {
	const char *engine;
	size_t done, total; /* runs, of all engines */
	int64_t start, drawn;
};

static void bar_draw(void *arg, size_t runs)
{
	struct bar *b = arg;
	size_t at = b->done + runs, full = b->total ? at * BAR_WIDTH / b->total : 0;
	int64_t now = kv_peer_now();

	if (at > b->total || now - b->drawn < 200)
		return;
	b->drawn = now;
	fprintf(stderr, "\r\33[Kkvpath: [%.*s%.*s] %zu of %zu, %s, %lld s", (int)full,
		"########################", (int)(BAR_WIDTH - full), "........................", at,
		b->total, b->engine, (long long)(now - b->start) / 1000);
}

/* The libraries' own lines, on either side. */
static void take_log(void *arg, const char *log)
{
	const struct kv_opts *o = arg;

	if (o->verbose && *log)
		fprintf(stderr, "%s\n", kv_printable_text(o->arena, log));
}

static int measure(const struct kv_opts *o, const struct kv_bench_request *req,
		   struct kv_bench_session *session, const kv_strv *engines,
		   struct kv_bench_report *rep)
{
	const size_t runs = req->shapes.n * (kv_streq(req->op, "both") ? 2 : 1);
	struct bar bar = { .total = runs * engines->n, .start = kv_peer_now() };
	bool shows = isatty(STDERR_FILENO) && !o->quiet;
	struct kv_bench_request mine = *req;
	struct kv_err err = { 0 };

	mine.progress = shows ? bar_draw : NULL;
	mine.progress_arg = &bar;

	for (size_t i = 0; i < engines->n && !(session && session->lost); i++) {
		struct kv_bench_engine *e = kv_vec_add(o->arena, &rep->engines);
		int r;

		bar.engine = engines->v[i];
		bar.done = i * runs;
		r = session ? kv_bench_with(o->arena, session, &mine, engines->v[i], e, &err)
			    : kv_bench(o->arena, &mine, engines->v[i], e, &err);
		if (shows)
			fputs("\r\33[K", stderr);
		if (r < 0) {
			rep->engines.n--;
			return kv_fail(r == -EPERM ? KV_STATUS_USAGE : KV_STATUS_UNKNOWN, "%s",
				       err.msg);
		}
		take_log(mine.took_log_arg, e->log);
	}
	return KV_STATUS_OK;
}

/* Failed by the engine's own fault: 1. What could not be tried or did not end in time: 3. */
static int status_of(const struct kv_bench_report *rep)
{
	static const char *const faults[] = { "nixl", "library", "corrupt", "crash" };
	int status = KV_STATUS_OK;

	for (size_t i = 0; i < rep->engines.n; i++) {
		const struct kv_bench_engine *e = &rep->engines.v[i];

		if (e->good)
			continue;
		for (size_t k = 0; e->cause && k < KV_ARRAY_SIZE(faults); k++)
			if (kv_streq(e->cause, faults[k]))
				return KV_STATUS_OFF;
		status = KV_STATUS_UNKNOWN;
	}
	return status;
}

static void fill(const struct kv_opts *o, const struct kv_target *t, const struct kv_nixl *n,
		 struct kv_bench_request *req)
{
	struct kv_prove_mount *mounts = kv_alloc_n(o->arena, o->mounts.n + 1, sizeof(*mounts));

	for (size_t i = 0; i < o->mounts.n; i++)
		mounts[i] = (struct kv_prove_mount){ o->mounts.v[i].host, o->mounts.v[i].guest };
	req->where = (struct kv_prove_request){
		.target = t->path,
		.probe = kv_probe_path(o->arena),
		.capi = n ? n->capi : NULL,
		.mem = o->mem_given && o->vram ? "vram" : "dram",
		.deadline_s = o->deadline_s,
		.mounts = mounts,
		.n_mounts = o->mounts.n,
		.env = &t->env,
	};
	req->op = o->op ? o->op : "write";
	req->nixl_progress = o->progress;
	req->iters = o->iters;
	req->took_log = take_log;
	req->took_log_arg = (void *)(uintptr_t)o;
	/* Of another host the first one, too. */
	req->peer_gpu = 1;
}

/* What this host tells the other one; and the reader of a result. */
static json_t *self(const struct kv_opts *o, const struct kv_target *t, const struct kv_nixl *n)
{
	json_t *host = kv_json_bench_host(o->arena);

	json_object_set_new(host, "version", json_string(KVPATH_VERSION));
	json_object_set_new(host, "target", json_string(t->path));
	json_object_set_new(host, "nixl", n ? json_string(n->version) : json_null());
	return host;
}

static int print_report(const struct kv_opts *o, const struct kv_bench_report *rep)
{
	if (o->json)
		return kv_print_json(kv_json_bench(o->arena, rep));
	kv_text_bench(stdout, o->arena, rep, o->style);
	return KV_STATUS_OK;
}

static int initiate(const struct kv_opts *o, struct kv_bench_part *part,
		    const struct kv_bench_request *req, const kv_strv *engines,
		    struct kv_bench_report *rep)
{
	struct kv_bench_session *s = part->role == KV_BENCH_BOTH ? NULL : &part->session;
	int r = measure(o, req, s, engines, rep);

	rep->peer = s ? s->peer : NULL;
	if (r == KV_STATUS_OK || rep->engines.n) {
		int printed = print_report(o, rep);

		r = r != KV_STATUS_OK ? r : printed;
	}
	if (r == KV_STATUS_OK)
		r = status_of(rep);
	if (s)
		kv_bench_part(s, r);
	return r;
}

static int run(struct kv_opts *o)
{
	_last_target_ struct kv_target t = { 0 };
	struct kv_bench_request req = { 0 };
	struct kv_bench_report rep = { .before = o->before, .after = o->after };
	struct kv_bench_part part;
	const struct kv_facts *f;
	const struct kv_nixl *n;
	kv_strv engines = { 0 };
	int r = kv_bench_part_choose(o, &part);

	if (r == KV_STATUS_OK)
		r = kv_target_open_arg(o, &t);

	if (r == KV_STATUS_OK)
		r = kv_target_needs_dir(&t, "bench");
	if (r == KV_STATUS_OK)
		r = choose_shapes(o, &req, &rep.shape_source);
	if (r != KV_STATUS_OK)
		return r;
	f = kv_target_facts(&t);
	n = choose(f);
	kv_target_lend(o, &t, n);
	fill(o, &t, n, &req);
	r = kv_bench_libs(o, f, n, &req);
	if (r != KV_STATUS_OK)
		return r;
	if (part.role == KV_BENCH_TARGET)
		return kv_bench_part_serve(o, &part, &req, self(o, &t, n));
	choose_engines(o, n, &engines);
	r = check_progress(o, &engines);
	if (r != KV_STATUS_OK)
		return r;
	if (part.role == KV_BENCH_INITIATOR)
		r = kv_bench_part_reach(o, &part, self(o, &t, n));
	if (r != KV_STATUS_OK)
		return r;
	rep.target = t.path;
	rep.nixl = n ? n->version : NULL;
	return initiate(o, &part, &req, &engines, &rep);
}

const struct kv_command kv_cmd_bench = {
	.name = "bench",
	.rights = KV_RIGHTS_RUN,
	.usage = "[OPTIONS] [TARGET]",
	.summary = "measure transfers in KV shapes: NIXL's backends and plain TCP, side by side",
	.options = "mount env fabric engine before after shape model tokens page tp dtype layout "
		   "op mem progress "
		   "iters deadline listen connect token-file json quiet verbose color",
	.help = "Engines: nixl:BACKEND, through NIXL's own C API in the target, and tcp, plain "
		"sockets; and raw, to compare NIXL with:\n"
		"ofi:PROVIDER, libfabric's fi_write and fi_read on every domain of the provider "
		"(ofi:PROVIDER/DOMAIN+DOMAIN: on those), by the\n"
		"libfabric that NIXL's plugin gets, or that of --fabric; and ucx, libucp's put and "
		"get, as NIXL's wheel has it. Two workers on this host "
		"move "
		"every shape; each block is checked\n"
		"at the receiver by CRC32C, and what arrives changed is never counted. Of NIXL and "
		"the raw ones a transfer ends when the\n"
		"target has taken its notification. us/xfer is the mean; p50 to max are "
		"microseconds.\n"
		"--mem is dram unless vram is asked for: then from GPU 0 to GPU 1,\n"
		"or on GPU 0 where there is no other.\n"
		"NIXL's agents have a thread that moves transfers on, as serving engines make "
		"them. --progress none makes them without:\n"
		"what the library takes by itself, and no thread to wait for. The result says "
		"which it was.\n\n"
		"Two hosts: kvpath bench --listen PORT on the one that receives, kvpath bench "
		"--connect HOST:PORT on the other one, which\n"
		"says what is measured and prints it. Both need the same token of at least 16 "
		"bytes, in KVPATH_TOKEN or a file that\n"
		"only its owner can read; it never crosses the network. auto for PORT is one that "
		"follows from the token. There a transfer of NIXL "
		"ends when it is complete for the sender.\n"
		"As tasks of a step of Slurm (srun -N2 -n2 kvpath bench ...) no more is needed: "
		"rank 0 "
		"receives, rank 1 sends and prints, so\n"
		"do 2 and 3 and so on. They share a secret by munge, or by KVPATH_TOKEN where the "
		"container has no munge.",
	.examples = "What the repair is worth, for the KV cache of a model\n"
		    "kvpath bench --before tcp --after nixl:LIBFABRIC --model glm-4.7 --tokens "
		    "30000 --tp 4\n"
		    "Between two hosts: on the one that receives\n"
		    "kvpath bench --listen 7000\n"
		    "And on the one that sends\n"
		    "kvpath bench --connect decode-0:7000 --engine nixl:LIBFABRIC\n"
		    "Between two nodes of a Slurm cluster\n"
		    "srun -N2 -n2 kvpath bench",
	.run = run,
};
