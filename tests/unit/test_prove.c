/* The pure parts of prove: recorded logs, synthetic sysfs trees, reports, verdicts. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "prove/links.h"
#include "prove/parts.h"

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

/* ---- NIXL's log: lines as the real wheels print them ---- */

#define PRE "I1122 19:51:43.084737   16847 "

struct log_case {
	const char *text, *provider;
};

static void test_log_provider(void **state)
{
	static const struct log_case cases[] = {
		/* 0.9.0, 0.10.1 */
		{ PRE "libfabric_topology.cpp:124] Discovered 1 socket devices (TCP fallback)\n",
		  "sockets" },
		{ PRE "libfabric_topology.cpp:96] Using simplified topology for sockets devices "
		      "(no topology "
		      "mapping needed)\n",
		  "sockets" },
		{ PRE "libfabric_rail_manager.cpp:84] Successfully created 1 data rails and 1 "
		      "control rails "
		      "using provider=sockets\n",
		  "sockets" },
		/* 1.0.1 */
		{ PRE "libfabric_topology.cpp:132] Discovered 1 tcp devices (TCP fallback)\n",
		  "tcp" },
		/* 1.4.1, 1.5.0 */
		{ PRE "libfabric_rail_manager.cpp:232] Created 1 rails using provider=tcp\n",
		  "tcp" },
		{ PRE
		  "libfabric_rail_manager.cpp:359] Created rail 0 (device=eth0, provider=tcp)\n",
		  "tcp" },
		{ PRE "libfabric_topology.cpp:134] Discovered 16 EFA devices\n", "efa" },
		{ PRE "libfabric_rail_manager.cpp:232] Created 16 rails using provider=efa\n",
		  "efa" },
		{ PRE
		  "libfabric_rail_manager.cpp:232] Created 16 rails using provider=efa-direct\r\n",
		  "efa-direct" },
		/* No provider line, or not NIXL's own. */
		{ PRE "libfabric_rail.cpp:465] fabric_attr->name 192.0.2.0/24\n", NULL },
		{ PRE "libfabric_rail_manager.cpp:257] Using default (all) rail selection policy "
		      "for DRAM memory "
		      "type when provider is \"tcp\" and no PCIe bus data is available\n",
		  NULL },
		{ "Created 16 rails using provider=efa\n", NULL },
		{ PRE "other.cpp:1] Created 16 rails using provider=efa\n", NULL },
		{ PRE "libfabric_topology.cpp:134] Discovered EFA devices\n", NULL },
		{ PRE "libfabric_rail_manager.cpp:232] Created 16 rails using provider=\n", NULL },
		{ "I1122", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		struct kv_prove_log log;

		kv_prove_log_read(arena, cases[i].text, "LIBFABRIC", &log);
		if (!cases[i].provider)
			assert_null(log.provider);
		else
			assert_string_equal(log.provider, cases[i].provider);
	}
}

static void test_log_strongest_line(void **state)
{
	struct kv_prove_log log;

	(void)state;
	kv_prove_log_read(arena,
			  PRE
			  "libfabric_topology.cpp:134] Discovered 16 EFA devices\n" PRE
			  "libfabric_rail_manager.cpp:232] Created 2 rails using provider=tcp\n" PRE
			  "libfabric_topology.cpp:134] Discovered 16 EFA devices\n",
			  "LIBFABRIC", &log);
	assert_string_equal(log.provider, "tcp");
	assert_string_equal(log.provider_line, "Created 2 rails using provider=tcp");
}

/* Two agents, one on efa and one not: whatever the order, efa is not proven. */
static void test_log_agents_differ(void **state)
{
	static const char efa[] =
		PRE "libfabric_rail_manager.cpp:232] Created 1 rails using provider=efa\n";
	static const char tcp[] =
		PRE "libfabric_rail_manager.cpp:232] Created 1 rails using provider=tcp\n";
	struct kv_prove_log log;

	(void)state;
	kv_prove_log_read(arena, kv_strf(arena, "%s%s", efa, tcp), "LIBFABRIC", &log);
	assert_string_equal(log.provider, "tcp");
	kv_prove_log_read(arena, kv_strf(arena, "%s%s", tcp, efa), "LIBFABRIC", &log);
	assert_string_equal(log.provider, "tcp");
}

static void test_log_load_error(void **state)
{
	static const char text[] = PRE
		"nixl_plugin_manager.cpp:352] Failed to load plugin from "
		"/x/plugins/libplugin_GDS.so: "
		"libcufile.so.0: cannot open shared object file: No such file or directory\n" PRE
		"nixl_plugin_manager.cpp:352] Failed to load plugin from "
		"/x/plugins/libplugin_LIBFABRIC.so: "
		"/lib/libfabric.so.1: version `FABRIC_1.7' not found (required by /x)\n"
		"E1122 19:51:48.922611   17022 nixl_agent.cpp:334] createBackend: unsupported "
		"backend 'LIBFABRIC'\n";
	struct kv_prove_log log;

	(void)state;
	kv_prove_log_read(arena, text, "LIBFABRIC", &log);
	assert_string_equal(log.load_error,
			    "/lib/libfabric.so.1: version `FABRIC_1.7' not found (required by /x)");
	assert_string_equal(log.first_error, "createBackend: unsupported backend 'LIBFABRIC'");
	kv_prove_log_read(arena, text, "GDS_MT", &log);
	assert_null(log.load_error);
	kv_prove_log_read(
		arena, PRE "libfabric_rail_manager.cpp:232] Created 1 rails using provider=efa\n",
		"UCX", &log);
	assert_null(log.provider);
}

/* ---- counters ---- */

static char tree[] = "/tmp/kvpath-test-prove-XXXXXX";

static void put(const char *path, const char *text)
{
	char *full = kv_join(arena, tree, path), *slash = full + strlen(tree);
	int fd;

	while ((slash = strchr(slash + 1, '/'))) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(kv_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void put_device(const char *device, const char *driver, const char *tx, const char *rx)
{
	char *link = kv_strf(arena, "%s/class/infiniband/%s/device/driver", tree, device);

	put(kv_strf(arena, "class/infiniband/%s/ports/1/hw_counters/tx_bytes", device), tx);
	put(kv_strf(arena, "class/infiniband/%s/ports/1/hw_counters/rx_bytes", device), rx);
	put(kv_strf(arena, "class/infiniband/%s/device/vendor", device), "0x1d0f\n");
	unlink(link);
	assert_int_equal(symlink(kv_strf(arena, "../../../../bus/pci/drivers/%s", driver), link),
			 0);
}

static int tree_setup(void **state)
{
	setup(state);
	memcpy(tree + strlen(tree) - 6, "XXXXXX", 6);
	return mkdtemp(tree) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int tree_teardown(void **state)
{
	nftw(tree, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return teardown(state);
}

static void test_counters(void **state)
{
	struct kv_prove_counts before, after;
	struct kv_prove_result ret = { 0 };
	struct kv_err err;

	(void)state;
	/* rdmap16s2 is a prefix of the next one; mlx5_0 belongs to another driver. */
	put_device("rdmap16s27", "efa", "1000\n", "5\n");
	put_device("rdmap16s2", "efa", "18446744073709551615\n", "7\n");
	put_device("mlx5_0", "mlx5_core", "1\n", "1\n");
	assert_int_equal(kv_prove_counters_read(arena, tree, &before, &err), 0);
	assert_int_equal(before.list.n, 4);
	assert_string_equal(before.list.v[0].device, "rdmap16s2");
	assert_string_equal(before.list.v[0].counter, "tx_bytes");
	put_device("rdmap16s27", "efa", "1049576\n", "5\n");
	put_device("mlx5_0", "mlx5_core", "99999999\n", "1\n");
	assert_int_equal(kv_prove_counters_read(arena, tree, &after, &err), 0);
	kv_prove_counters_delta(arena, &before, &after, &ret);
	assert_int_equal(ret.counters.n, 4);
	assert_int_equal(ret.counters.v[0].delta, 0);
	assert_string_equal(ret.counters.v[2].device, "rdmap16s27");
	assert_int_equal(ret.counters.v[2].delta, 1048576);
	assert_int_equal(ret.counters.v[3].delta, 0);
}

static void test_counters_none_and_bad(void **state)
{
	struct kv_prove_counts got = { 0 };
	struct kv_err err = { 0 };

	(void)state;
	assert_int_equal(kv_prove_counters_read(arena, tree, &got, &err), 0);
	assert_int_equal(got.list.n, 0);
	put_device("rdmap0s6", "efa", "N/A\n", "0\n");
	assert_int_equal(kv_prove_counters_read(arena, tree, &got, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "rdmap0s6/ports/1/hw_counters/tx_bytes"));
	unlink(kv_strf(arena, "%s/class/infiniband/rdmap0s6/ports/1/hw_counters/tx_bytes", tree));
	assert_int_equal(kv_prove_counters_read(arena, tree, &got, &err), -ENOENT);
}

static void test_links(void **state)
{
	json_t *rails = json_pack("[s, s]", "rdmap0s6-rdm", "rdmap0s7-rdm");
	static const char *const none[] = { "lo",     "veth0", "down",
					    "absent", "shm",   "cuda_ipc/cuda",
					    "../x",   "..",    "x/../..",
					    "",       "/" };

	(void)state;
	put("class/infiniband/rdmap0s6/ports/1/rate", "100 Gb/sec (4X EDR)\n");
	put("class/infiniband/mlx5_0/ports/1/rate", "400 Gb/sec (4X NDR)\n");
	put("class/net/eth0/speed", "25000\n");
	put("class/net/eth0/device/vendor", "0x1d0f\n");
	put("class/net/down/speed", "-1\n");
	put("class/net/down/device/vendor", "0x1d0f\n");
	put("class/net/veth0/speed", "10000\n");
	put("class/net/lo/mtu", "65536\n");
	assert_true(kv_link_rate(arena, tree, "rdmap0s6-rdm") == 12.5e9);
	assert_true(kv_link_rate(arena, tree, "rdmap0s6-dgrm") == 12.5e9);
	assert_true(kv_link_rate(arena, tree, "rc_mlx5/mlx5_0:1") == 50e9);
	assert_true(kv_link_rate(arena, tree, "eth0") == 3.125e9);
	assert_true(kv_link_rate(arena, tree, "tcp/eth0") == 3.125e9);
	for (size_t i = 0; i < KV_ARRAY_SIZE(none); i++)
		assert_true(kv_link_rate(arena, tree, none[i]) == 0);
	/* Of several, all or nothing. */
	assert_true(kv_links_rate(arena, tree, rails) == 0);
	put("class/infiniband/rdmap0s7/ports/1/rate", "100 Gb/sec (4X EDR)\n");
	assert_true(kv_links_rate(arena, tree, rails) == 25e9);
	json_decref(rails);
	assert_true(kv_links_rate(arena, tree, NULL) == 0);
}

/* ---- the agents' report ---- */

#define STEPS(l, i, r, m, x)                                                                       \
	"{\"schema\":\"kvpath.probe/1\",\"via\":\"capi\",\"loads\":" l ",\"instantiates\":" i      \
	",\"registers\":" r ",\"moves\":" m ",\"intact\":" x ",\"clean_end\":true,\"bytes\":4096," \
	"\"elapsed_us\":12,\"cause\":"

static void test_report(void **state)
{
	struct kv_prove_report rep;
	struct kv_err err;

	(void)state;
	assert_int_equal(
		kv_prove_report_parse(arena,
				      "noise\n{\"a\":1}\n" STEPS("true", "true", "true", "true",
								 "true") "null}\n{broken\n",
				      &rep, &err),
		0);
	assert_true(rep.loads && rep.intact && rep.clean_end);
	assert_int_equal(rep.bytes, 4096);
	assert_null(rep.cause);
	assert_int_equal(kv_prove_report_parse(arena,
					       STEPS("true", "false", "false", "false",
						     "false") "\"nixl\",\"error\":\"e\"}",
					       &rep, &err),
			 0);
	assert_string_equal(rep.cause, "nixl");
	assert_string_equal(rep.error, "e");
}

static void test_report_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{ "", -ENODATA },
		{ "{\"schema\":\"kvpath.probe/2\"}", -ENODATA },
		{ "{\"schema\":\"kvpath.probe/1\"}", -EBADMSG },
		{ "{\"schema\":7}", -ENODATA },
		/* Intact without having moved is a lie. */
		{ STEPS("true", "true", "true", "false", "true") "null}", -EBADMSG },
		{ STEPS("1", "true", "true", "true", "true") "null}", -EBADMSG },
	};
	struct kv_prove_report rep;
	struct kv_err err;

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++)
		assert_int_equal(kv_prove_report_parse(arena, cases[i].text, &rep, &err),
				 cases[i].code);
}

/* ---- verdicts ---- */

struct verdict_case {
	const char *backend, *provider;
	int64_t tx, rx; /* -1: no device */
	const char *verdict;
	bool explained;
};

static void test_verdict_moved(void **state)
{
	static const struct verdict_case cases[] = {
		{ "LIBFABRIC", "efa", 4096, 4096, "on-fabric", false },
		{ "LIBFABRIC", "efa-direct", 5000, 4100, "on-fabric", false },
		{ "LIBFABRIC", "efa", 4096, 4095, "unknown", true },
		{ "LIBFABRIC", "efa", 0, 0, "unknown", true },
		{ "LIBFABRIC", "efa", -1, -1, "unknown", true },
		{ "LIBFABRIC", "tcp", 9999, 9999, "off-fabric", false },
		{ "LIBFABRIC", "tcp", -1, -1, "off-fabric", false },
		{ "LIBFABRIC", "cxi", -1, -1, "unknown", true },
		{ "LIBFABRIC", "cxi", 9999, 9999, "unknown", true },
		{ "LIBFABRIC", NULL, 9999, 9999, "unknown", true },
		{ "UCX", NULL, 0, 0, "off-fabric", false },
		{ "UCX", NULL, 9999, 9999, "unknown", true },
	};

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		const struct verdict_case *c = &cases[i];
		struct kv_prove_request req = { .backend = c->backend, .deadline_s = 3 };
		struct kv_prove_report rep = { true, true, true, true,         true,
					       true, 4096, 1,    .via = "capi" };
		struct kv_prove_log log = { .provider = c->provider };
		struct kv_prove_result ret = { 0 };

		if (c->tx >= 0) {
			kv_vec_push(arena, &ret.counters,
				    ((struct kv_prove_counter){ "e0", "tx_bytes", c->tx }));
			kv_vec_push(arena, &ret.counters,
				    ((struct kv_prove_counter){ "e0", "rx_bytes", c->rx }));
		}
		kv_prove_judge(arena, &req, &rep, &log, &ret);
		assert_string_equal(ret.verdict, c->verdict);
		assert_int_equal(ret.error != NULL, c->explained);
		assert_true(kv_strv_has(&ret.proven, "moves"));
		assert_int_equal(kv_strv_has(&ret.proven, "efa"),
				 kv_streq(c->verdict, "on-fabric"));
		assert_int_equal(ret.proven.n + ret.not_proven.n, 5);
		assert_int_equal(ret.bytes, 4096);
	}
}

static void test_verdict_failed(void **state)
{
	static const struct {
		const char *cause, *verdict, *says;
	} cases[] = {
		{ "nixl", "off-fabric", "target: broke; NIXL: no devices" },
		{ "corrupt", "off-fabric", "NIXL reported success, but at the target broke" },
		{ "crash", "off-fabric", "target: broke" },
		{ "environment", "unknown", "target: broke" },
		{ "deadline", "unknown", "deadline of 3 s passed while the target was in f" },
	};
	struct kv_prove_request req = { .backend = "LIBFABRIC", .deadline_s = 3 };
	struct kv_prove_log log = { .provider = "efa", .first_error = "no devices" };

	(void)state;
	for (size_t i = 0; i < KV_ARRAY_SIZE(cases); i++) {
		struct kv_prove_report rep = { .loads = true,
					       .via = "capi",
					       .bytes = 9,
					       .cause = cases[i].cause,
					       .agent = "target",
					       .call = "f",
					       .error = "broke" };
		struct kv_prove_result ret = { 0 };

		kv_prove_judge(arena, &req, &rep, &log, &ret);
		assert_string_equal(ret.verdict, cases[i].verdict);
		assert_string_equal(ret.error, cases[i].says);
		assert_int_equal(ret.bytes, 0);
		assert_true(kv_strv_has(&ret.proven, "loads") && ret.proven.n == 1);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_log_provider),
		T(test_log_strongest_line),
		T(test_log_agents_differ),
		T(test_log_load_error),
		cmocka_unit_test_setup_teardown(test_counters, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_links, tree_setup, tree_teardown),
		cmocka_unit_test_setup_teardown(test_counters_none_and_bad, tree_setup,
						tree_teardown),
		T(test_report),
		T(test_report_refused),
		T(test_verdict_moved),
		T(test_verdict_failed),
	};

	return cmocka_run_group_tests_name("prove", tests, NULL, NULL);
}
