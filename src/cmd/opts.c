/* One table of options for all commands: a name means the same wherever it is taken. */
#include <getopt.h>
#include <limits.h>
#include <stddef.h>

#include "cmd/cmd.h"

#define MAX_TOKENS ((uint64_t)1 << 32)
#define MAX_RANKS  65536
#define MAX_NODES  65535 /* of a sweep */

static bool one_of(const char *value, const char *choices)
{
	size_t n = strlen(value);

	for (const char *p = choices; *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == n && strncmp(p, value, n) == 0)
			return true;
	return false;
}

static bool is_backend_name(const char *s)
{
	return *s &&
	       s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] ==
		       '\0';
}

static bool parse_number(const char *s, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || end == s || *end || *s == '-' || v == 0 || v > max)
		return false;
	*ret = v;
	return true;
}

/* "efa", "verbs;ofi_rxm", "tcp/eth0+eth1": a provider of libfabric, and domains of it. */
static bool is_provider_name(const char *s)
{
	return *s && strlen(s) < 56 && *s != '/' && *s != '-' &&
	       s[strspn(s,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-;./+:")] ==
		       '\0';
}

/* As the probe has them; what it does not have it refuses itself. */
static bool is_engine_name(const char *s)
{
	return kv_streq(s, "tcp") || kv_streq(s, "ucx") ||
	       (kv_starts(s, "nixl:") && is_backend_name(s + 5)) ||
	       (kv_starts(s, "ofi:") && is_provider_name(s + 4));
}

static bool is_shape(const char *s)
{
	unsigned long long count, size;
	char rest;

	return s[0] != '-' && s[strspn(s, "0123456789x")] == '\0' &&
	       sscanf(s, "%llux%llu%c", &count, &size, &rest) == 2 && count && size &&
	       count <= 1 << 22 && size <= ((uint64_t)1 << 38) / count;
}

static bool parse_seconds(const char *s, double *ret)
{
	char *end;
	double v = strtod(s, &end);

	/* Written as a plain number: strtod takes "inf" and hexadecimals too. */
	if (end == s || *end || s[strspn(s, "0123456789.")] || v < 0.01 || v > 86400)
		return false;
	*ret = v;
	return true;
}

/* ---- options that are more than a value in its place ---- */

static int take_mount(struct kv_opts *o, const char *value)
{
	const char *colon = strchr(value, ':');
	const char *guest = colon ? colon + 1 : NULL, *end = guest ? strchr(guest, ':') : NULL;

	/* pyxis takes HOST:GUEST:flags; the flags change nothing here. */
	if (!colon || colon == value || guest[0] != '/')
		return kv_fail(KV_STATUS_USAGE,
			       "--mount %s: HOST:GUEST is expected, GUEST absolute", value);
	kv_vec_push(
		o->arena, &o->mounts,
		((struct kv_mount_opt){ kv_strndup(o->arena, value, (size_t)(colon - value)),
					kv_strndup(o->arena, guest,
						   end ? (size_t)(end - guest) : strlen(guest)) }));
	return KV_STATUS_OK;
}

static int take_env(struct kv_opts *o, const char *value)
{
	if (!strchr(value, '=') || value[0] == '=')
		return KV_OPT_BAD;
	kv_env_put(o->arena, &o->env, value);
	return KV_STATUS_OK;
}

static int take_backend(struct kv_opts *o, const char *value)
{
	if (!is_backend_name(value))
		return KV_OPT_BAD;
	o->backend = value;
	o->backend_given = true;
	return KV_STATUS_OK;
}

static int take_mem(struct kv_opts *o, const char *value)
{
	o->vram = kv_streq(value, "vram");
	o->mem_given = true;
	return KV_STATUS_OK;
}

static int take_deadline(struct kv_opts *o, const char *value)
{
	uint64_t number;

	if (!parse_number(value, 86400, &number))
		return KV_OPT_BAD;
	o->deadline_s = (unsigned)number;
	o->deadline_given = true;
	return KV_STATUS_OK;
}

static int take_pid(struct kv_opts *o, const char *value)
{
	uint64_t number;

	if (!parse_number(value, INT_MAX, &number))
		return KV_OPT_BAD;
	kv_vec_push(o->arena, &o->pids, (pid_t)number);
	return KV_STATUS_OK;
}

static int take_interval(struct kv_opts *o, const char *value)
{
	return parse_seconds(value, &o->interval_s) ? KV_STATUS_OK : KV_OPT_BAD;
}

static int take_once(struct kv_opts *o, const char *value)
{
	(void)value;
	o->count = 1;
	return KV_STATUS_OK;
}

static int take_quiet(struct kv_opts *o, const char *value)
{
	(void)value;
	o->quiet = o->style.quiet = true;
	return KV_STATUS_OK;
}

static int take_color(struct kv_opts *o, const char *value)
{
	o->style.color = kv_streq(value, "always") || (kv_streq(value, "auto") && o->style.color);
	return KV_STATUS_OK;
}

static int take_help(struct kv_opts *o, const char *value)
{
	(void)value;
	kv_help(stdout, o->command);
	return -1;
}

/* ---- the table ---- */

#define AT(field)         .at = offsetof(struct kv_opts, field)
#define FLAG(field)       .kind = KV_OPT_FLAG, AT(field)
#define TEXT(field)       .kind = KV_OPT_TEXT, AT(field)
#define CHECKED(field, f) .kind = KV_OPT_TEXT, AT(field), .is = (f)
#define LIST(field, f)    .kind = KV_OPT_LIST, AT(field), .is = (f)
#define NUMBER(field, m)  .kind = KV_OPT_NUMBER, AT(field), .most = (m)
#define BY(f)             .kind = KV_OPT_BY, .take = (f)

const struct kv_option kv_options[] = {
	{ "mount", "HOST:GUEST",
	  "show a host directory inside the target, as container_mounts will", BY(take_mount) },
	{ "fabric", "DIR", "borrow libfabric from DIR (repeatable; default /opt/amazon/efa)",
	  LIST(fabrics, NULL) },
	{ "env", "K=V", "set a variable of the job's environment (repeatable)", BY(take_env) },
	{ "backend", "NAME", "the NIXL backend that is wanted (default LIBFABRIC)",
	  BY(take_backend) },
	{ "mem", "vram|dram",
	  "the memory that the job registers (default vram; bench, sweep: dram)", BY(take_mem) },
	{ "process", "bare|python|native|program", "the process that opens FILE", TEXT(process) },
	{ "how", "auto|files|env", "the kind of repair (default auto)", TEXT(how) },
	{ "image", NULL, "look at / as an image: leave this host's devices and driver out",
	  FLAG(image) },
	{ "sysroot", "DIR", "read the host's /sys, /proc and /dev from a recorded tree or tar",
	  TEXT(sysroot) },
	{ "record", "OUT.tar", "save what was read of the target and its host, secrets masked",
	  TEXT(record) },
	{ "output", "FILE", "the file to write, of launch the directory of logs (-o is the same)",
	  TEXT(output) },
	{ "force", NULL, "replace the file that is written where it exists", FLAG(force) },
	{ "force-file", "PATH",
	  "take PATH back although it was changed since, which is lost then (repeatable)",
	  LIST(force_files, NULL) },
	{ "root", "DIR", "start the tasks in this directory of the nodes (root is needed)",
	  TEXT(root) },
	{ "no-container", NULL, "start the tasks on the nodes as they are", FLAG(no_container) },
	{ "no-check", NULL, "do not check the nodes before the start", FLAG(no_check) },
	{ "repair", NULL, "give the workers the environment of kvpath run", FLAG(repair) },
	{ "anyway", NULL, "start CMD also where the environment does not repair", FLAG(anyway) },
	{ "as-is", NULL, "enter TARGET, and repair nothing", FLAG(as_is) },
	{ "dry-run", NULL, "print what would be done, change nothing", FLAG(dry_run) },
	{ "provider", "NAME", "the libfabric provider that is asked for (default efa)",
	  TEXT(provider) },
	{ "bytes", "N", "payload of the proof (default 64 MiB)", NUMBER(bytes, (uint64_t)1 << 40) },
	{ "deadline", "SECONDS",
	  "longest time for the proof, or for an engine of bench (default 30)", BY(take_deadline) },
	{ "listen", "[ADDR:]PORT", "be the target of one bench --connect on another host, then end",
	  TEXT(listen) },
	{ "connect", "HOST:PORT", "measure between this host and one where bench --listen runs",
	  TEXT(connect) },
	{ "token-file", "FILE", "the secret that both hosts share (or KVPATH_TOKEN; see below)",
	  TEXT(token_file) },
	{ "engine", "NAME", "what moves the bytes (repeatable; see below)",
	  LIST(engines, is_engine_name) },
	{ "before", "ENGINE", "measure this one too, and compare --after with it",
	  CHECKED(before, is_engine_name) },
	{ "after", "ENGINE", "measure this one too, and compare it with --before",
	  CHECKED(after, is_engine_name) },
	{ "shape", "COUNTxBYTES", "blocks of a transfer, and the bytes of each (repeatable)",
	  LIST(shapes, is_shape) },
	{ "op", "write|read|both", "who moves the bytes: write pushes (default), read pulls",
	  TEXT(op) },
	{ "progress", "thread|none", "of NIXL: with its progress thread (default), or without",
	  TEXT(progress) },
	{ "iters", "N", "at most N transfers of each shape (default 1000, or 2 s)",
	  NUMBER(iters, 10000000) },
	{ "model", "CONFIG.json", "take the shape from a model's KV cache (see kvpath size)",
	  TEXT(model) },
	{ "tokens", "N", "tokens of a request", NUMBER(tokens, MAX_TOKENS) },
	{ "page", "N", "tokens of a page, vLLM's block (default 16)", NUMBER(page, MAX_TOKENS) },
	{ "tp", "N", "ranks that share a request's KV cache (default 1)", NUMBER(tp, MAX_RANKS) },
	{ "dtype", "auto|bf16|fp16|fp32|fp8|fp4|fp8_ds_mla",
	  "type of the KV cache (default auto: the model's)", TEXT(dtype) },
	{ "layout", "layer|page", "what lies together (default layer)", TEXT(layout) },
	{ "result", "RESULT.json", "rates that kvpath bench --json measured (repeatable)",
	  LIST(results, NULL) },
	{ "for", "DIALECT", "what to write (see below)", TEXT(render_for) },
	{ "pid", "N", "look at this process (repeatable); default: those that have NIXL mapped",
	  BY(take_pid) },
	{ "interval", "SECONDS", "time between two samples (default 1)", BY(take_interval) },
	{ "count", "N", "end after N intervals", NUMBER(count, UINT64_MAX) },
	{ "once", NULL, "the same as --count 1", BY(take_once) },
	{ "prometheus", "FILE", "write the counters for node_exporter's textfile collector",
	  TEXT(prometheus) },
	{ "nodes", "N", "of a Job for Kubernetes: its pods", NUMBER(nodes, MAX_NODES) },
	{ "container", "IMAGE", "what those run in", TEXT(container) },
	{ "efa", "N", "EFA devices that each of them asks for", NUMBER(efa, 1024) },
	{ "await", "N", "in those pods: N of them sweep each other, the first one leads",
	  NUMBER(await, MAX_NODES) },
	{ "hosts", "LIST",
	  "not Slurm's nodes but these, by ssh: names or n[0-7], or a file of them", TEXT(hosts) },
	{ "ssh", "COMMAND", "in place of ssh -o BatchMode=yes -o ConnectTimeout=10", TEXT(ssh) },
	{ "program", "PATH", "kvpath's place on the nodes (default: this one's)", TEXT(program) },
	{ "state", "FILE", "write there what is found out, as it comes", TEXT(state) },
	{ "resume", "FILE", "go on with the sweep that left FILE", TEXT(resume) },
	{ "no-pairs", NULL, "check the nodes, measure no pairs", FLAG(no_pairs) },
	{ "rounds", "N", "measure N rounds, spread over all (default all)",
	  NUMBER(rounds, MAX_NODES) },
	{ "pairs", "N", "measure N pairs at most", NUMBER(pairs, UINT32_MAX) },
	{ "merge", NULL, "judge what earlier sweeps found: the arguments are their state files",
	  FLAG(merge) },
	{ "plan", "N", "print the rounds for N nodes, as lines of round, sender, receiver",
	  NUMBER(plan, MAX_NODES) },
	{ "fix", NULL, "write into the recipes what is certain to mend them", FLAG(fix) },
	{ "diff", NULL, "print what --fix would write, as a unified diff, and write nothing",
	  FLAG(diff) },
	{ "strict", NULL, "let warnings count as errors in the exit status", FLAG(strict) },
	{ "json", NULL, "print a JSON document", FLAG(json) },
	{ "sarif", NULL, "print a SARIF 2.1.0 document, for tools that gather findings",
	  FLAG(sarif) },
	{ "print", NULL, "start nothing: print the variables that are set, each ended by a NUL",
	  FLAG(print) },
	{ "quiet", NULL, "print the verdict alone", BY(take_quiet) },
	{ "verbose", NULL, "print the libraries' log too; for run, the variables that are set",
	  FLAG(verbose) },
	{ "color", "auto|always|never", "colour the text (default auto; NO_COLOR is honoured)",
	  BY(take_color) },
	{ "help", NULL, "print this help", BY(take_help) },
	{ 0 },
};

static int bad_value(const struct kv_option *d, const char *value)
{
	return kv_fail(KV_STATUS_USAGE, "--%s %s: %s is expected", d->name, value, d->arg);
}

static int take(struct kv_opts *o, const struct kv_option *d, char *value)
{
	void *at = (char *)o + d->at;
	int r = KV_STATUS_OK;

	if (d->arg && strchr(d->arg, '|') && !one_of(value, d->arg))
		return bad_value(d, value);
	if (d->is && !d->is(value))
		return bad_value(d, value);
	switch (d->kind) {
	case KV_OPT_FLAG:
		*(bool *)at = true;
		break;
	case KV_OPT_TEXT:
		*(const char **)at = value;
		break;
	case KV_OPT_LIST:
		kv_vec_push(o->arena, (kv_strv *)at, value);
		break;
	case KV_OPT_NUMBER:
		if (!parse_number(value, d->most, at))
			r = KV_OPT_BAD;
		break;
	case KV_OPT_BY:
		r = d->take(o, value);
		break;
	}
	return r == KV_OPT_BAD ? bad_value(d, value) : r;
}

#define FIRST 256 /* of what getopt_long() gives back: beyond all letters */

static const struct kv_option *named(const char *name)
{
	const struct kv_option *d = kv_options;

	while (!kv_streq(d->name, name))
		d++;
	return d;
}

int kv_opts_parse(const struct kv_command *c, int argc, char **argv, struct kv_opts *ret)
{
	struct option longs[KV_ARRAY_SIZE(kv_options)] = { 0 };
	size_t n = 0;
	const char *shorts = kv_command_takes(c, "output") ? ":ho:" : ":h";
	const char *no_color = getenv("NO_COLOR");
	int id;

	ret->command = c;
	ret->argv = argv + 1;
	ret->backend = "LIBFABRIC";
	ret->how = "auto";
	ret->vram = true;
	ret->bytes = (uint64_t)64 << 20;
	ret->deadline_s = 30;
	ret->page = 16;
	ret->tp = 1;
	ret->interval_s = 1;
	ret->style.color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
	for (const struct kv_option *d = kv_options; d->name; d++)
		if (kv_command_takes(c, d->name))
			longs[n++] =
				(struct option){ d->name, d->arg ? required_argument : no_argument,
						 NULL, FIRST + (int)(d - kv_options) };
	opterr = 0;
	optind = 0;
	/* '+': what follows the first word that is no option belongs to `run`'s command. */
	if (c == &kv_cmd_run)
		shorts = "+:h";
	while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		int r;

		if (id == '?' || id == ':')
			return kv_fail(KV_STATUS_USAGE, "%s: %s %s (see kvpath %s --help)", c->name,
				       id == ':' ? "a value is missing after" : "unknown option",
				       optind > 0 && optind <= argc ? argv[optind - 1] : "",
				       c->name);
		r = take(ret,
			 id == 'h'   ? named("help")
			 : id == 'o' ? named("output")
				     : &kv_options[id - FIRST],
			 optarg);
		if (r != KV_STATUS_OK)
			return r;
	}
	if (ret->json && ret->sarif)
		return kv_fail(KV_STATUS_USAGE, "%s: --json or --sarif, not both", c->name);
	for (; optind < argc; optind++)
		kv_vec_push(ret->arena, &ret->args, argv[optind]);
	return KV_STATUS_OK;
}
