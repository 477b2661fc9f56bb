/* One table of options for all commands: a name means the same wherever it is taken. */
#include <getopt.h>
#include <limits.h>

#include "cmd/cmd.h"

#define MAX_TOKENS ((uint64_t)1 << 32)
#define MAX_RANKS  65536
#define MAX_NODES  65535 /* of a sweep */

enum opt {
	OPT_AFTER = 256,
	OPT_ANYWAY,
	OPT_AS_IS,
	OPT_AWAIT,
	OPT_BACKEND,
	OPT_BEFORE,
	OPT_BYTES,
	OPT_COLOR,
	OPT_CONTAINER,
	OPT_CONNECT,
	OPT_COUNT,
	OPT_DEADLINE,
	OPT_DIFF,
	OPT_DRY_RUN,
	OPT_DTYPE,
	OPT_EFA,
	OPT_ENGINE,
	OPT_ENV,
	OPT_FABRIC,
	OPT_FIX,
	OPT_FOR,
	OPT_FORCE,
	OPT_FORCE_FILE,
	OPT_HELP,
	OPT_HOSTS,
	OPT_HOW,
	OPT_IMAGE,
	OPT_INTERVAL,
	OPT_ITERS,
	OPT_JSON,
	OPT_LAYOUT,
	OPT_LISTEN,
	OPT_MEM,
	OPT_MERGE,
	OPT_MODEL,
	OPT_MOUNT,
	OPT_NO_CHECK,
	OPT_NO_CONTAINER,
	OPT_NODES,
	OPT_NO_PAIRS,
	OPT_ONCE,
	OPT_OP,
	OPT_OUTPUT,
	OPT_PAGE,
	OPT_PAIRS,
	OPT_PID,
	OPT_PLAN,
	OPT_PRINT,
	OPT_PROCESS,
	OPT_PROGRAM,
	OPT_PROMETHEUS,
	OPT_PROVIDER,
	OPT_QUIET,
	OPT_RECORD,
	OPT_REPAIR,
	OPT_RESULT,
	OPT_RESUME,
	OPT_ROUNDS,
	OPT_ROOT,
	OPT_SARIF,
	OPT_SHAPE,
	OPT_SSH,
	OPT_STATE,
	OPT_STRICT,
	OPT_SYSROOT,
	OPT_TOKENS,
	OPT_TOKEN_FILE,
	OPT_TP,
	OPT_VERBOSE,
};

const struct kv_option kv_options[] = {
	{ "mount", "HOST:GUEST",
	  "show a host directory inside the target, as container_mounts will", OPT_MOUNT },
	{ "fabric", "DIR", "borrow libfabric from DIR (repeatable; default /opt/amazon/efa)",
	  OPT_FABRIC },
	{ "env", "K=V", "set a variable of the job's environment (repeatable)", OPT_ENV },
	{ "backend", "NAME", "the NIXL backend that is wanted (default LIBFABRIC)", OPT_BACKEND },
	{ "mem", "vram|dram", "the memory that the job registers (default vram)", OPT_MEM },
	{ "process", "bare|python|native|program", "the process that opens FILE", OPT_PROCESS },
	{ "how", "auto|files|env", "the kind of repair (default auto)", OPT_HOW },
	{ "image", NULL, "look at / as an image: leave this host's devices and driver out",
	  OPT_IMAGE },
	{ "sysroot", "DIR", "read the host's /sys, /proc and /dev from a recorded tree or tar",
	  OPT_SYSROOT },
	{ "record", "OUT.tar", "save what was read of the target and its host, secrets masked",
	  OPT_RECORD },
	{ "output", "FILE", "the file to write (-o FILE is the same)", OPT_OUTPUT },
	{ "force", NULL, "replace the file that is written where it exists", OPT_FORCE },
	{ "force-file", "PATH",
	  "take PATH back although it was changed since, which is lost then (repeatable)",
	  OPT_FORCE_FILE },
	{ "root", "DIR", "start the tasks in this directory of the nodes (root is needed)",
	  OPT_ROOT },
	{ "no-container", NULL, "start the tasks on the nodes as they are", OPT_NO_CONTAINER },
	{ "no-check", NULL, "do not check the nodes before the start", OPT_NO_CHECK },
	{ "repair", NULL, "give the workers the environment of kvpath run", OPT_REPAIR },
	{ "anyway", NULL, "start CMD also where the environment does not repair", OPT_ANYWAY },
	{ "as-is", NULL, "enter TARGET, and repair nothing", OPT_AS_IS },
	{ "dry-run", NULL, "print what would be done, change nothing", OPT_DRY_RUN },
	{ "provider", "NAME", "the libfabric provider that is asked for (default efa)",
	  OPT_PROVIDER },
	{ "bytes", "N", "payload of the proof (default 64 MiB)", OPT_BYTES },
	{ "deadline", "SECONDS", "longest time for the proof (default 30)", OPT_DEADLINE },
	{ "listen", "[ADDR:]PORT", "be the target of one bench --connect on another host, then end",
	  OPT_LISTEN },
	{ "connect", "HOST:PORT", "measure between this host and one where bench --listen runs",
	  OPT_CONNECT },
	{ "token-file", "FILE", "the secret that both hosts share (or KVPATH_TOKEN; see below)",
	  OPT_TOKEN_FILE },
	{ "engine", "NAME", "what moves the bytes (repeatable; see below)", OPT_ENGINE },
	{ "before", "ENGINE", "measure this one too, and compare --after with it", OPT_BEFORE },
	{ "after", "ENGINE", "measure this one too, and compare it with --before", OPT_AFTER },
	{ "shape", "COUNTxBYTES", "blocks of a transfer, and the bytes of each (repeatable)",
	  OPT_SHAPE },
	{ "op", "write|read|both", "who moves the bytes: write pushes (default), read pulls",
	  OPT_OP },
	{ "iters", "N", "at most N transfers of each shape (default 1000, or 2 s)", OPT_ITERS },
	{ "model", "CONFIG.json", "take the shape from a model's KV cache (see kvpath size)",
	  OPT_MODEL },
	{ "tokens", "N", "tokens of a request", OPT_TOKENS },
	{ "page", "N", "tokens of a page, vLLM's block (default 16)", OPT_PAGE },
	{ "tp", "N", "ranks that share a request's KV cache (default 1)", OPT_TP },
	{ "dtype", "auto|bf16|fp16|fp32|fp8|fp4|fp8_ds_mla",
	  "type of the KV cache (default auto: the model's)", OPT_DTYPE },
	{ "layout", "layer|page", "what lies together (default layer)", OPT_LAYOUT },
	{ "result", "RESULT.json", "rates that kvpath bench --json measured (repeatable)",
	  OPT_RESULT },
	{ "for", "DIALECT", "what to write (see below)", OPT_FOR },
	{ "pid", "N", "look at this process (repeatable); default: those that have NIXL mapped",
	  OPT_PID },
	{ "interval", "SECONDS", "time between two samples (default 1)", OPT_INTERVAL },
	{ "count", "N", "end after N intervals", OPT_COUNT },
	{ "once", NULL, "the same as --count 1", OPT_ONCE },
	{ "prometheus", "FILE", "write the counters for node_exporter's textfile collector",
	  OPT_PROMETHEUS },
	{ "nodes", "N", "of a Job for Kubernetes: its pods", OPT_NODES },
	{ "container", "IMAGE", "what those run in", OPT_CONTAINER },
	{ "efa", "N", "EFA devices that each of them asks for", OPT_EFA },
	{ "await", "N", "in those pods: N of them sweep each other, the first one leads",
	  OPT_AWAIT },
	{ "hosts", "LIST",
	  "not Slurm's nodes but these, by ssh: names or n[0-7], or a file of them", OPT_HOSTS },
	{ "ssh", "COMMAND", "in place of ssh -o BatchMode=yes -o ConnectTimeout=10", OPT_SSH },
	{ "program", "PATH", "kvpath's place on the nodes (default: this one's)", OPT_PROGRAM },
	{ "state", "FILE", "write there what is found out, as it comes", OPT_STATE },
	{ "resume", "FILE", "go on with the sweep that left FILE", OPT_RESUME },
	{ "no-pairs", NULL, "check the nodes, measure no pairs", OPT_NO_PAIRS },
	{ "rounds", "N", "measure N rounds, spread over all (default all)", OPT_ROUNDS },
	{ "pairs", "N", "measure N pairs at most", OPT_PAIRS },
	{ "merge", NULL, "judge what earlier sweeps found: the arguments are their state files",
	  OPT_MERGE },
	{ "plan", "N", "print the rounds for N nodes, as lines of round, sender, receiver",
	  OPT_PLAN },
	{ "fix", NULL, "write into the recipes what is certain to mend them", OPT_FIX },
	{ "diff", NULL, "print what --fix would write, as a unified diff, and write nothing",
	  OPT_DIFF },
	{ "strict", NULL, "let warnings count as errors in the exit status", OPT_STRICT },
	{ "json", NULL, "print a JSON document", OPT_JSON },
	{ "sarif", NULL, "print a SARIF 2.1.0 document, for tools that gather findings",
	  OPT_SARIF },
	{ "print", NULL, "start nothing: print the variables that are set, each ended by a NUL",
	  OPT_PRINT },
	{ "quiet", NULL, "print the verdict alone", OPT_QUIET },
	{ "verbose", NULL, "print the libraries' log too; for run, the variables that are set",
	  OPT_VERBOSE },
	{ "color", "auto|always|never", "colour the text (default auto; NO_COLOR is honoured)",
	  OPT_COLOR },
	{ "help", NULL, "print this help", OPT_HELP },
	{ 0 },
};

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

static int add_mount(struct kv_opts *o, const char *value)
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

static int bad_value(const struct kv_option *d, const char *value)
{
	return kv_fail(KV_STATUS_USAGE, "--%s %s: %s is expected", d->name, value, d->arg);
}

static int take(struct kv_opts *o, const struct kv_option *d, char *value)
{
	uint64_t number;

	if (d->arg && strchr(d->arg, '|') && !one_of(value, d->arg))
		return bad_value(d, value);
	switch ((enum opt)d->id) {
	case OPT_MOUNT:
		return add_mount(o, value);
	case OPT_FABRIC:
		kv_vec_push(o->arena, &o->fabrics, value);
		break;
	case OPT_ENV:
		if (!strchr(value, '=') || value[0] == '=')
			return bad_value(d, value);
		kv_env_put(o->arena, &o->env, value);
		break;
	case OPT_BACKEND:
		if (!is_backend_name(value))
			return bad_value(d, value);
		o->backend = value;
		o->backend_given = true;
		break;
	case OPT_MEM:
		o->vram = kv_streq(value, "vram");
		o->mem_given = true;
		break;
	case OPT_PROCESS:
		o->process = value;
		break;
	case OPT_HOW:
		o->how = value;
		break;
	case OPT_IMAGE:
		o->image = true;
		break;
	case OPT_OUTPUT:
		o->output = value;
		break;
	case OPT_FORCE:
		o->force = true;
		break;
	case OPT_FORCE_FILE:
		kv_vec_push(o->arena, &o->force_files, value);
		break;
	case OPT_DRY_RUN:
		o->dry_run = true;
		break;
	case OPT_ROOT:
		o->root = value;
		break;
	case OPT_NO_CONTAINER:
		o->no_container = true;
		break;
	case OPT_NO_CHECK:
		o->no_check = true;
		break;
	case OPT_REPAIR:
		o->repair = true;
		break;
	case OPT_ANYWAY:
		o->anyway = true;
		break;
	case OPT_AS_IS:
		o->as_is = true;
		break;
	case OPT_PROVIDER:
		o->provider = value;
		break;
	case OPT_BYTES:
		if (!parse_number(value, (uint64_t)1 << 40, &o->bytes))
			return bad_value(d, value);
		break;
	case OPT_DEADLINE:
		if (!parse_number(value, 86400, &number))
			return bad_value(d, value);
		o->deadline_s = (unsigned)number;
		o->deadline_given = true;
		break;
	case OPT_LISTEN:
		o->listen = value;
		break;
	case OPT_CONNECT:
		o->connect = value;
		break;
	case OPT_TOKEN_FILE:
		o->token_file = value;
		break;
	case OPT_ENGINE:
		if (!is_engine_name(value))
			return bad_value(d, value);
		kv_vec_push(o->arena, &o->engines, value);
		break;
	case OPT_BEFORE:
	case OPT_AFTER:
		if (!is_engine_name(value))
			return bad_value(d, value);
		*(d->id == OPT_BEFORE ? &o->before : &o->after) = value;
		break;
	case OPT_SHAPE:
		if (!is_shape(value))
			return bad_value(d, value);
		kv_vec_push(o->arena, &o->shapes, value);
		break;
	case OPT_OP:
		o->op = value;
		break;
	case OPT_ITERS:
		return parse_number(value, 10000000, &o->iters) ? KV_STATUS_OK
								: bad_value(d, value);
	case OPT_MODEL:
		o->model = value;
		break;
	case OPT_TOKENS:
		return parse_number(value, MAX_TOKENS, &o->tokens) ? KV_STATUS_OK
								   : bad_value(d, value);
	case OPT_PAGE:
		return parse_number(value, MAX_TOKENS, &o->page) ? KV_STATUS_OK
								 : bad_value(d, value);
	case OPT_TP:
		return parse_number(value, MAX_RANKS, &o->tp) ? KV_STATUS_OK : bad_value(d, value);
	case OPT_DTYPE:
		o->dtype = value;
		break;
	case OPT_LAYOUT:
		o->layout = value;
		break;
	case OPT_RESULT:
		kv_vec_push(o->arena, &o->results, value);
		break;
	case OPT_FOR:
		o->render_for = value;
		break;
	case OPT_PID:
		if (!parse_number(value, INT_MAX, &number))
			return bad_value(d, value);
		kv_vec_push(o->arena, &o->pids, (pid_t)number);
		break;
	case OPT_INTERVAL:
		if (!parse_seconds(value, &o->interval_s))
			return bad_value(d, value);
		break;
	case OPT_COUNT:
		if (!parse_number(value, UINT64_MAX, &o->count))
			return bad_value(d, value);
		break;
	case OPT_ONCE:
		o->count = 1;
		break;
	case OPT_NODES:
		return parse_number(value, MAX_NODES, &o->nodes) ? KV_STATUS_OK
								 : bad_value(d, value);
	case OPT_AWAIT:
		return parse_number(value, MAX_NODES, &o->await) ? KV_STATUS_OK
								 : bad_value(d, value);
	case OPT_EFA:
		return parse_number(value, 1024, &o->efa) ? KV_STATUS_OK : bad_value(d, value);
	case OPT_CONTAINER:
		o->container = value;
		break;
	case OPT_HOSTS:
		o->hosts = value;
		break;
	case OPT_SSH:
		o->ssh = value;
		break;
	case OPT_PROGRAM:
		o->program = value;
		break;
	case OPT_STATE:
		o->state = value;
		break;
	case OPT_RESUME:
		o->resume = value;
		break;
	case OPT_NO_PAIRS:
		o->no_pairs = true;
		break;
	case OPT_ROUNDS:
		return parse_number(value, MAX_NODES, &o->rounds) ? KV_STATUS_OK
								  : bad_value(d, value);
	case OPT_PAIRS:
		return parse_number(value, UINT32_MAX, &o->pairs) ? KV_STATUS_OK
								  : bad_value(d, value);
	case OPT_PLAN:
		return parse_number(value, MAX_NODES, &o->plan) ? KV_STATUS_OK
								: bad_value(d, value);
	case OPT_MERGE:
		o->merge = true;
		break;
	case OPT_PROMETHEUS:
		o->prometheus = value;
		break;
	case OPT_FIX:
		o->fix = true;
		break;
	case OPT_DIFF:
		o->diff = true;
		break;
	case OPT_STRICT:
		o->strict = true;
		break;
	case OPT_RECORD:
		o->record = value;
		break;
	case OPT_SYSROOT:
		o->sysroot = value;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_SARIF:
		o->sarif = true;
		break;
	case OPT_PRINT:
		o->print = true;
		break;
	case OPT_QUIET:
		o->quiet = o->style.quiet = true;
		break;
	case OPT_VERBOSE:
		o->verbose = true;
		break;
	case OPT_COLOR:
		o->style.color =
			kv_streq(value, "always") || (kv_streq(value, "auto") && o->style.color);
		break;
	case OPT_HELP:
		kv_help(stdout, o->command);
		return -1;
	}
	return KV_STATUS_OK;
}

int kv_opts_parse(const struct kv_command *c, int argc, char **argv, struct kv_opts *ret)
{
	struct option longs[KV_ARRAY_SIZE(kv_options)] = { 0 };
	size_t n = 0;
	const char *shorts = kv_command_takes(c, "output") ? ":ho:" : ":h";
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
	ret->style.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	for (const struct kv_option *d = kv_options; d->name; d++)
		if (kv_command_takes(c, d->name))
			longs[n++] =
				(struct option){ d->name, d->arg ? required_argument : no_argument,
						 NULL, d->id };
	opterr = 0;
	optind = 0;
	/* '+': what follows the first word that is no option belongs to `run`'s command. */
	if (c == &kv_cmd_run)
		shorts = "+:h";
	while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		int r = KV_STATUS_OK;

		if (id == '?' || id == ':')
			return kv_fail(KV_STATUS_USAGE, "%s: %s %s (see kvpath %s --help)", c->name,
				       id == ':' ? "a value is missing after" : "unknown option",
				       optind > 0 && optind <= argc ? argv[optind - 1] : "",
				       c->name);
		for (const struct kv_option *d = kv_options; d->name; d++)
			if (d->id == (id == 'h' ? OPT_HELP : id == 'o' ? OPT_OUTPUT : id))
				r = take(ret, d, optarg);
		if (r != KV_STATUS_OK)
			return r;
	}
	if (ret->json && ret->sarif)
		return kv_fail(KV_STATUS_USAGE, "%s: --json or --sarif, not both", c->name);
	for (; optind < argc; optind++)
		kv_vec_push(ret->arena, &ret->args, argv[optind]);
	return KV_STATUS_OK;
}
