/* kvpath sweep on each node: what it runs there is kvpath again. */
#include <arpa/inet.h>
#include <sys/utsname.h>

#include "cmd/sweep.h"
#include "prove/peer.h"

#define KV_SWEEP_JOIN_S 60 /* the lead's host may be as busy as this one */

static void add(const struct kv_opts *o, kv_strv *argv, const char *option, const char *value)
{
	kv_vec_push(o->arena, argv, kv_strdup(o->arena, option));
	if (value)
		kv_vec_push(o->arena, argv, kv_strdup(o->arena, value));
}

struct kv_sweep_test kv_sweep_test_of(const struct kv_opts *o)
{
	return (struct kv_sweep_test){
		.engine = o->engines.n ? o->engines.v[0] : kv_strf(o->arena, "nixl:%s", o->backend),
		.shape = o->shapes.n ? o->shapes.v[0] : "16x1048576",
		.op = o->op ? o->op : "write",
		.mem = o->mem_given && o->vram ? "vram" : "dram",
		.target = o->args.n ? o->args.v[0] : "/",
		.iters = o->iters ? o->iters : 20,
	};
}

/* %N is the node's name. */
static const char *target_of(const struct kv_opts *o, const char *name)
{
	_buf_ struct kv_buf text = { 0 };

	for (const char *p = o->args.n ? o->args.v[0] : "/"; *p; p++) {
		if (p[0] == '%' && p[1] == 'N') {
			kv_buf_str(&text, name);
			p++;
		} else {
			kv_buf_add(&text, p, 1);
		}
	}
	return kv_strdup(o->arena, text.text ? text.text : "/");
}

static kv_strv command(const struct kv_opts *o, const char *name)
{
	kv_strv argv = { 0 };

	add(o, &argv, kv_self_path(o->arena), name);
	for (size_t i = 0; i < o->mounts.n; i++)
		add(o, &argv, "--mount",
		    kv_strf(o->arena, "%s:%s", o->mounts.v[i].host, o->mounts.v[i].guest));
	for (size_t i = 0; i < o->env.pairs.n; i++)
		add(o, &argv, "--env", o->env.pairs.v[i]);
	return argv;
}

static char **check_command(const struct kv_opts *o, const char *target)
{
	kv_strv argv = command(o, "check");

	add(o, &argv, "--json", NULL);
	for (size_t i = 0; i < o->fabrics.n; i++)
		add(o, &argv, "--fabric", o->fabrics.v[i]);
	add(o, &argv, "--backend", o->backend);
	add(o, &argv, "--mem", o->vram ? "vram" : "dram");
	add(o, &argv, target, NULL);
	kv_vec_push(o->arena, &argv, NULL);
	return argv.v;
}

static char **bench_command(const struct kv_opts *o, const char *target, bool listens)
{
	struct kv_sweep_test test = kv_sweep_test_of(o);
	kv_strv argv = command(o, "bench");

	add(o, &argv, "--deadline", kv_strf(o->arena, "%u", o->deadline_s));
	if (listens) {
		add(o, &argv, "--listen", "0");
	} else {
		add(o, &argv, "--connect", "");
		add(o, &argv, "--json", NULL);
		add(o, &argv, "--engine", test.engine);
		add(o, &argv, "--shape", test.shape);
		add(o, &argv, "--op", test.op);
		add(o, &argv, "--mem", test.mem);
		add(o, &argv, "--iters", kv_strf(o->arena, "%llu", (unsigned long long)test.iters));
	}
	add(o, &argv, target, NULL);
	kv_vec_push(o->arena, &argv, NULL);
	return argv.v;
}

/* What the lead knows this node by. */
const char *kv_sweep_own_name(struct kv_arena *a)
{
	const char *told = getenv(KV_SWEEP_NODE), *slurm = getenv("SLURMD_NODENAME");
	struct utsname u;

	if (told || slurm)
		return told ? told : slurm;
	if (uname(&u) < 0)
		return "";
	return kv_strndup(a, u.nodename, strcspn(u.nodename, "."));
}

/* By which a remote shell reached this host: "CLIENT PORT ADDRESS PORT". */
static const char *ssh_address(struct kv_arena *a)
{
	const char *at = getenv("SSH_CONNECTION");

	for (int i = 0; at && i < 2; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at ? kv_strndup(a, at, strcspn(at, " ")) : "";
}

/* The lead may be a pod that has no address yet. */
static int join_by_name(const struct kv_opts *o, const char *name, uint16_t port, int *ret_fd,
			struct kv_err *err)
{
	int64_t end = kv_sweep_now() + KV_SWEEP_POD_S * 1000LL;
	int r = -ENOENT;

	while (r < 0 && kv_sweep_now() < end) {
		kv_peer_places places = { 0 };

		r = kv_peer_resolve(o->arena, kv_probe_path(o->arena), name, port, &places, err);
		for (size_t i = 0; i < places.n; i++) {
			char address[INET6_ADDRSTRLEN];
			const void *at = &places.v[i].addr;
			bool v4 = places.v[i].addr.ss_family == AF_INET;
			const void *ip =
				v4 ? (const void *)&((const struct sockaddr_in *)at)->sin_addr
				   : &((const struct sockaddr_in6 *)at)->sin6_addr;

			if (!inet_ntop(v4 ? AF_INET : AF_INET6, ip, address, sizeof(address)))
				continue;
			r = kv_sweep_connect(address, port, 1, ret_fd, err);
			if (r == 0)
				break;
		}
		if (r < 0)
			sleep(1);
	}
	return r;
}

static int join_at(const struct kv_opts *o, const char *join, int *ret_fd, struct kv_err *err)
{
	const char *slurm = getenv("SLURM_LAUNCH_NODE_IPADDR"), *address;
	struct kv_peer_place place;
	uint16_t port = kv_sweep_port(join);

	if (!port)
		return kv_err(err, -EINVAL, KV_SWEEP_JOIN "=%s: no place of a lead", join);
	address = kv_strndup(o->arena, join, (size_t)(strrchr(join, ':') - join));
	if (!*address)
		address = slurm ? slurm : "127.0.0.1";
	return kv_peer_place_parse(address, port, &place)
		       ? kv_sweep_connect(address, port, KV_SWEEP_JOIN_S, ret_fd, err)
		       : join_by_name(o, address, port, ret_fd, err);
}

uint16_t kv_sweep_port(const char *join)
{
	const char *colon = strrchr(join, ':');
	long port = colon ? strtol(colon + 1, NULL, 10) : 0;

	return port > 0 && port < 65536 ? (uint16_t)port : 0;
}

int kv_sweep_worker_run(const struct kv_opts *o, const char *join)
{
	const char *name = kv_sweep_own_name(o->arena), *target = target_of(o, name);
	bool shell = kv_streq(join, "-");
	struct kv_sweep_worker w = {
		.name = name,
		.address = shell ? ssh_address(o->arena) : "",
		.token = shell ? NULL : getenv(KV_SWEEP_TOKEN),
		.check = check_command(o, target),
		.listen = bench_command(o, target, true),
		.connect = bench_command(o, target, false),
	};
	struct kv_err err = { 0 };
	_close_ int fd = -EBADF;
	int r = 0;

	unsetenv(KV_SWEEP_JOIN);
	if (!shell && !w.token)
		return kv_fail(KV_STATUS_USAGE,
			       "sweep: " KV_SWEEP_TOKEN " is not set for a worker");
	if (!shell)
		r = join_at(o, join, &fd, &err);
	if (r == 0)
		r = kv_sweep_work(&w, shell ? STDIN_FILENO : fd, shell ? STDOUT_FILENO : fd, &err);
	return r == 0 ? KV_STATUS_OK : kv_fail(KV_STATUS_UNKNOWN, "sweep on %s: %s", name, err.msg);
}
