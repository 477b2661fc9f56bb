/* The pure parts of watch: counters between samples, sockets, what a process has mapped, the
 * verdict; and the reading of counters from trees that change. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "watch/limits.h"
#include "watch/watch.h"

#define SECOND 1000000000ULL
#define MB     1000000ULL

static struct kv_arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = kv_arena_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kv_arena_free(arena);
	return 0;
}

/* ---- samples made by hand ---- */

static struct kv_watch_sample *sample(unsigned seconds)
{
	struct kv_watch_sample *s = kv_new(arena, struct kv_watch_sample);

	s->arena = arena;
	s->live = true;
	s->at_ns = (seconds + 1) * SECOND;
	return s;
}

static void device(struct kv_watch_sample *s, const char *name, uint64_t id, uint64_t tx,
		   uint64_t rx)
{
	struct kv_watch_device *d = kv_vec_add(arena, &s->devices);

	d->name = name;
	d->id = id;
	kv_vec_push(arena, &d->counters, ((struct kv_watch_counter){ "rx_bytes", rx }));
	kv_vec_push(arena, &d->counters, ((struct kv_watch_counter){ "tx_bytes", tx }));
}

static struct kv_watch_process *process(struct kv_watch_sample *s, pid_t pid, const char *plugin)
{
	struct kv_watch_process *p = kv_vec_add(arena, &s->processes);

	p->pid = pid;
	p->started = 1;
	p->comm = "python3";
	p->ns = 1;
	if (plugin)
		kv_watch_take_map(arena, p, plugin);
	if (!s->nets.n)
		kv_vec_add(arena, &s->nets)->ns = 1;
	return p;
}

static void tcp(struct kv_watch_sample *s, struct kv_watch_process *p, uint32_t inode,
		uint64_t cookie, uint64_t sent, uint64_t received)
{
	kv_vec_push(arena, &p->inodes, inode);
	kv_vec_push(arena, &s->nets.v[0].sockets,
		    ((struct kv_watch_socket){ cookie, inode, true, sent, received }));
}

static struct kv_watch_delta delta_of(const struct kv_watch_sample *a, struct kv_watch_sample *b)
{
	struct kv_watch_delta d;

	kv_watch_compare(a, b, &d);
	return d;
}

static enum kv_watch_path path_of(const struct kv_watch_sample *a, struct kv_watch_sample *b)
{
	struct kv_watch_delta d = delta_of(a, b);
	struct kv_watch_verdict v;

	kv_watch_judge(&d, &v);
	assert_non_null(v.line);
	return v.path;
}

/* ---- counters ---- */

struct step_case {
	uint64_t id0, tx0, id1, tx1;
	enum kv_watch_state state;
	bool known;
	uint64_t delta;
};

static void test_steps(void **state)
{
	static const struct step_case cases[] = {
		{ 7, 1000, 7, 4000, KV_WATCH_OK, true, 3000 },
		{ 7, 1000, 7, 1000, KV_WATCH_OK, true, 0 },
		/* wraps at 2^64 */
		{ 7, UINT64_MAX - 99, 7, 400, KV_WATCH_OK, true, 500 },
		/* reset: counts anew from nothing */
		{ 7, 1000000, 7, 10, KV_WATCH_RESET, false, 0 },
		{ 7, UINT64_MAX / 2, 7, 0, KV_WATCH_RESET, false, 0 },
		/* the driver was loaded again, and already counted further than before */
		{ 7, 1000, 8, 4000, KV_WATCH_RESET, false, 0 },
		/* a leap that no device makes */
		{ 7, 0, 7, UINT64_MAX / 4, KV_WATCH_RESET, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		const struct step_case *c = &cases[i];
		struct kv_watch_sample *a = sample(0), *b = sample(1);
		struct kv_watch_delta d;

		device(a, "rdmap0s6", c->id0, c->tx0, 0);
		device(b, "rdmap0s6", c->id1, c->tx1, 0);
		d = delta_of(a, b);
		assert_int_equal(d.devices.n, 1);
		assert_int_equal(d.devices.v[0].state, c->state);
		assert_int_equal(d.devices.v[0].known, c->known);
		assert_int_equal(d.n_known, c->known);
		assert_int_equal(d.tx, c->delta);
	}
}

/* Where one counter of a device began anew, no other one of it is believed. */
static void test_reset_of_one(void **state)
{
	struct kv_watch_sample *a = sample(0), *b = sample(1);
	struct kv_watch_delta d;

	(void)state;
	device(a, "d", 1, 5000, 10);
	device(b, "d", 1, 10, 4000);
	d = delta_of(a, b);
	assert_false(d.devices.v[0].known);
	for (size_t i = 0; i < d.devices.v[0].steps.n; i++)
		assert_false(d.devices.v[0].steps.v[i].known);
	assert_int_equal(d.rx, 0);
}

static void test_come_and_go(void **state)
{
	struct kv_watch_sample *a = sample(0), *b = sample(1);
	struct kv_watch_delta d;

	(void)state;
	device(a, "goes", 1, 5000, 0);
	device(a, "stays", 2, 0, 0);
	device(b, "comes", 3, 9000, 0);
	device(b, "stays", 2, 70, 0);
	d = delta_of(a, b);
	assert_int_equal(d.devices.n, 3);
	assert_int_equal(d.devices.v[0].state, KV_WATCH_NEW);
	assert_int_equal(d.devices.v[1].state, KV_WATCH_OK);
	assert_int_equal(d.devices.v[2].state, KV_WATCH_GONE);
	assert_string_equal(d.devices.v[2].name, "goes");
	assert_int_equal(d.devices.v[2].steps.n, 0);
	assert_int_equal(d.n_known, 1);
	assert_int_equal(d.tx, 70);
}

/* A counter that vanished leaves the others alone, and the device's bytes unknown if it was one of
 * them. */
static void test_vanished_counter(void **state)
{
	struct kv_watch_sample *a = sample(0), *b = sample(1);
	struct kv_watch_delta d;

	(void)state;
	device(a, "d", 1, 100, 100);
	device(b, "d", 1, 300, 100);
	b->devices.v[0].counters.v++;
	b->devices.v[0].counters.n--;
	d = delta_of(a, b);
	assert_int_equal(d.devices.v[0].state, KV_WATCH_OK);
	assert_int_equal(d.devices.v[0].steps.n, 1);
	assert_int_equal(d.devices.v[0].steps.v[0].delta, 200);
	assert_false(d.devices.v[0].known);
}

/* ---- sockets ---- */

static void test_sockets(void **state)
{
	struct kv_watch_sample *a = sample(0), *b = sample(1);
	struct kv_watch_process *p = process(a, 10, "/x/libplugin_UCX.so");
	struct kv_watch_delta d;

	(void)state;
	tcp(a, p, 100, 1, 1000, 50);
	tcp(a, p, 101, 2, 7000, 0);
	tcp(a, p, 102, 3, 7000, 0);
	p = process(b, 10, "/x/libplugin_UCX.so");
	tcp(b, p, 100, 1, 1500, 50); /* goes on */
	tcp(b, p, 101, 9, 300, 20);  /* another one of that inode: all is new */
	tcp(b, p, 103, 4, 40, 0);    /* new; 102 is closed */
	d = delta_of(a, b);
	assert_int_equal(d.processes.n, 1);
	assert_true(d.processes.v[0].known);
	assert_int_equal(d.processes.v[0].sockets, 3);
	assert_int_equal(d.sent, 500 + 300 + 40);
	assert_int_equal(d.received, 20);
	assert_int_equal(d.processes.v[0].local, 500 + 300 + 40);
	assert_int_equal(b->processes.v[0].sent_total, 840);
}

/* A forked worker has its parent's sockets: they count once. */
static void test_shared_socket(void **state)
{
	struct kv_watch_sample *a = sample(0), *b = sample(1);
	struct kv_watch_process *p;
	struct kv_watch_delta d;

	(void)state;
	process(a, 10, "/x/libplugin_UCX.so");
	p = process(b, 10, "/x/libplugin_UCX.so");
	tcp(b, p, 100, 1, 1000, 0);
	p = process(b, 11, "/x/libplugin_UCX.so");
	kv_vec_push(arena, &p->inodes, 100);
	d = delta_of(a, b);
	assert_int_equal(d.sent, 1000);
	assert_int_equal(d.processes.v[1].sent, 0);
}

static void test_unknown_sockets(void **state)
{
	struct kv_watch_sample *a = sample(0), *b = sample(1);
	struct kv_watch_delta d;

	(void)state;
	process(a, 10, "/x/libplugin_UCX.so");
	process(b, 10, "/x/libplugin_UCX.so");
	b->nets.v[0].error = -EPERM;
	d = delta_of(a, b);
	assert_false(d.processes.v[0].known);
	assert_non_null(strstr(d.processes.v[0].unknown, "Operation not permitted"));
	assert_int_equal(path_of(a, b), KV_WATCH_UNKNOWN);
}

/* ---- what is mapped ---- */

static void test_maps(void **state)
{
	static const struct {
		const char *path;
		bool nixl;
		size_t plugins, libfabrics;
		bool nccl;
	} cases[] = {
		{ "/usr/x/plugins/libplugin_LIBFABRIC.so", true, 1, 0, false },
		{ "/usr/x/libplugin_UCX.so", true, 1, 0, false },
		{ "/usr/x/libplugin_UCX.so.1", true, 1, 0, false },
		{ "/usr/x/libnixl.so", true, 0, 0, false },
		{ "/usr/x/libnixl_common-1a2b.so", true, 0, 0, false },
		{ "/opt/amazon/efa/lib/libfabric.so.1.29.0", false, 0, 1, false },
		{ "/x/nixl.libs/libfabric-fc70961d.so.1.29.0", false, 0, 1, false },
		{ "/opt/amazon/ofi-nccl/lib/libnccl-net-ofi.so", false, 0, 0, true },
		/* not NIXL's: another program's plugin, a text, a directory of that name */
		{ "/usr/lib/vlc/libplugin_video.so", false, 0, 0, false },
		{ "/home/libplugin_UCX.so/x.py", false, 0, 0, false },
		{ "/usr/x/libplugin_UCX.sox", false, 0, 0, false },
		{ "/usr/x/libnixl.txt", false, 0, 0, false },
		{ "/usr/x/libfabric2.so.1", false, 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		struct kv_watch_process p = { 0 };

		kv_watch_take_map(arena, &p, cases[i].path);
		kv_watch_take_map(arena, &p, cases[i].path);
		assert_int_equal(p.nixl, cases[i].nixl);
		assert_int_equal(p.plugins.n, cases[i].plugins);
		assert_int_equal(p.libfabrics.n, cases[i].libfabrics);
		assert_int_equal(p.nccl_net, cases[i].nccl);
	}
}

/* ---- the verdict ---- */

static char device_d[] = "d";

struct verdict_case {
	uint64_t efa, tcp; /* bytes of the second */
	bool has_efa, nixl, open;
	enum kv_watch_path path;
};

static void test_verdicts(void **state)
{
	static const struct verdict_case cases[] = {
		{ 40000 * MB, 0, true, true, true, KV_WATCH_EFA },
		{ 0, 800 * MB, true, true, true, KV_WATCH_TCP },
		{ 0, 800 * MB, false, true, false, KV_WATCH_TCP },
		{ 0, 0, true, true, true, KV_WATCH_NOTHING },
		{ 0, 0, false, true, false, KV_WATCH_NOTHING },
		{ 900 * MB, 800 * MB, true, true, true, KV_WATCH_BOTH },
		/* control traffic grows with the load */
		{ 40000 * MB, 30 * MB, true, true, true, KV_WATCH_EFA },
		{ 20 * MB, 800 * MB, true, true, true, KV_WATCH_TCP },
		/* below what counts */
		{ 1000, 2 * MB, true, true, true, KV_WATCH_NOTHING },
		/* the device is another job's: this one has none open */
		{ 40000 * MB, 800 * MB, true, true, false, KV_WATCH_TCP },
		{ 40000 * MB, 0, true, true, false, KV_WATCH_NOTHING },
		/* nobody here is a serving process */
		{ 40000 * MB, 0, true, false, false, KV_WATCH_UNKNOWN },
		{ 0, 0, true, false, false, KV_WATCH_NOTHING },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		const struct verdict_case *c = &cases[i];
		struct kv_watch_sample *a = sample(0), *b = sample(1);
		struct kv_watch_process *p;

		if (c->has_efa) {
			device(a, "d", 1, 5, 5);
			device(b, "d", 1, 5 + c->efa, 5);
		}
		if (c->nixl) {
			p = process(a, 10, "/x/libplugin_LIBFABRIC.so");
			tcp(a, p, 100, 1, 0, 0);
			p = process(b, 10, "/x/libplugin_LIBFABRIC.so");
			tcp(b, p, 100, 1, c->tcp, 0);
			if (c->open)
				kv_vec_push(arena, &p->efa, device_d);
		}
		if (path_of(a, b) != c->path)
			fail_msg("case %zu: %s", i, kv_watch_path_name[path_of(a, b)]);
	}
}

/* What is not known is never taken for nothing. */
static void test_not_known(void **state)
{
	struct kv_watch_sample *a = sample(0), *b = sample(1);
	struct kv_watch_process *p;

	(void)state;
	process(a, 10, "/x/libplugin_LIBFABRIC.so");
	p = process(b, 10, "/x/libplugin_LIBFABRIC.so");
	kv_vec_push(arena, &p->efa, device_d);
	device(a, "d", 1, 5000, 0);
	device(b, "d", 2, 0, 0);
	assert_int_equal(path_of(a, b), KV_WATCH_UNKNOWN);
	b->devices.n = a->devices.n = 0;
	b->efa_error = -EACCES;
	assert_int_equal(path_of(a, b), KV_WATCH_UNKNOWN);
	b->efa_error = 0;
	assert_int_equal(path_of(a, b), KV_WATCH_NOTHING);
	b->processes.n = 0;
	b->unreadable = 3;
	assert_int_equal(path_of(a, b), KV_WATCH_UNKNOWN);
}

/* ---- trees that change ---- */

static char top[] = "/tmp/kvpath-watch.XXXXXX";

static void put(const char *path, const char *text)
{
	char *full = kv_strf(arena, "%s/%s", top, path), *temp = kv_cat(arena, full, ".new");
	FILE *f;

	for (char *p = full + strlen(top) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		(void)mkdir(full, 0755);
	}
	f = fopen(temp, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(temp, full), 0);
}

static void driver(const char *device, const char *name)
{
	put(kv_strf(arena, "sys/class/infiniband/%s/device/x", device), "");
	assert_int_equal(
		symlink(kv_strf(arena, "../../../../bus/pci/drivers/%s", name),
			kv_strf(arena, "%s/sys/class/infiniband/%s/device/driver", top, device)),
		0);
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path);
}

static void take_away(const char *path)
{
	nftw(kv_join(arena, top, path), drop, 16, FTW_DEPTH | FTW_PHYS);
}

#define PORT "sys/class/infiniband/d/ports/1/hw_counters/"

static uint64_t counted(const struct kv_watch_sample *s, const char *name, bool *ret_there)
{
	const struct kv_watch_counter *c;

	*ret_there = false;
	if (!s->devices.n)
		return 0;
	kv_vec_each (c, &s->devices.v[0].counters)
		if (kv_streq(c->name, name)) {
			*ret_there = true;
			return c->value;
		}
	return 0;
}

static void expect(struct kv_watch *w, const char *name, bool there, uint64_t value)
{
	struct kv_watch_sample *s = kv_watch_take(w, NULL);
	bool is_there;

	assert_int_equal(counted(s, name, &is_there), value);
	assert_int_equal(is_there, there);
	kv_watch_free(w, s);
}

static void test_tree(void **state)
{
	static const pid_t nobody = 0x7ffffff0;
	struct kv_watch w = { .live = false, .pids = &nobody, .n_pids = 1 };
	struct kv_watch_sample *s;
	uint64_t id;

	(void)state;
	assert_non_null(mkdtemp(top));
	w.root_fd = open(top, O_PATH | O_DIRECTORY);
	expect(&w, "tx_bytes", false, 0); /* no class at all */
	driver("d", "efa");
	driver("mlx5_0", "mlx5_core");
	put("sys/class/infiniband/mlx5_0/ports/1/hw_counters/tx_bytes", "1\n");
	put(PORT "tx_bytes", "12345678901234567\n");
	put(PORT "lifespan", "12\n");
	put(PORT "rx_bytes", "no number\n");
	put("sys/class/infiniband/d/hw_counters/cmds_err", "3\n");
	s = kv_watch_take(&w, NULL);
	assert_int_equal(s->devices.n, 1);
	assert_int_equal(s->devices.v[0].counters.n, 2);
	id = s->devices.v[0].id;
	kv_watch_free(&w, s);
	expect(&w, "tx_bytes", true, 12345678901234567ULL);
	expect(&w, "cmds_err", true, 3);
	/* Another file of the name, in the same directory. */
	for (unsigned i = 1; i < 50; i++) {
		put(PORT "tx_bytes", kv_strf(arena, "%u\n", i));
		expect(&w, "tx_bytes", true, i);
	}
	put(PORT "rx_bytes", "7\n");
	expect(&w, "rx_bytes", true, 7);
	assert_int_equal(unlink(kv_join(arena, top, PORT "rx_bytes")), 0);
	expect(&w, "rx_bytes", false, 0);
	/* The driver is gone, and comes back. */
	assert_int_equal(
		rename(kv_join(arena, top, "sys/class/infiniband/d"), kv_join(arena, top, "old")),
		0);
	expect(&w, "tx_bytes", false, 0);
	driver("d", "efa");
	put(PORT "tx_bytes", "5\n");
	s = kv_watch_take(&w, NULL);
	assert_int_equal(s->devices.n, 1);
	assert_int_not_equal(s->devices.v[0].id, id);
	kv_watch_free(&w, s);
	/* A number that is none, or too large. */
	put(PORT "tx_bytes", "-5\n");
	expect(&w, "tx_bytes", false, 0);
	put(PORT "tx_bytes", "99999999999999999999\n");
	expect(&w, "tx_bytes", false, 0);
	put(PORT "tx_bytes", "");
	expect(&w, "tx_bytes", false, 0);
	/* No descriptor is left over. */
	kv_watch_close(&w);
	assert_int_equal(close(w.root_fd), 0);
	take_away("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_reset_of_one),
		cmocka_unit_test(test_come_and_go),
		cmocka_unit_test(test_vanished_counter),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_shared_socket),
		cmocka_unit_test(test_unknown_sockets),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_not_known),
		cmocka_unit_test(test_tree),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
