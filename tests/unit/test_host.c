/* Facts of a host from damaged or odd files, distances, and rules that need a libfabric that no
 * test has. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "rules/rules.h"

#include <cmocka.h>

static struct kv_arena *arena;
static char top[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void make_parents(char *path)
{
	for (char *p = path + strlen(top) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(path, 0755);
	}
}

static void put(const char *path, const char *text)
{
	char *host = kv_strf(arena, "%s%s", top, path);
	FILE *f;

	make_parents(host);
	f = fopen(host, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_link(const char *path, const char *text)
{
	char *host = kv_strf(arena, "%s%s", top, path);

	make_parents(host);
	assert_int_equal(symlink(text, host), 0);
}

static int setup(void **state)
{
	(void)state;
	arena = kv_arena_new();
	strcpy(top, "/tmp/kvpath-host-XXXXXX");
	assert_non_null(mkdtemp(top));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	kv_arena_free(arena);
	return 0;
}

static struct kv_host *collect(void)
{
	struct kv_sysroot *s;
	struct kv_host *h;
	struct kv_err err;

	assert_int_equal(kv_sysroot_open(arena, top, &s, &err), 0);
	h = kv_host_collect(s);
	kv_sysroot_close(s);
	return h;
}

static void test_nothing_is_known_of_nothing(void **state)
{
	struct kv_host *h = collect();

	(void)state;
	assert_false(h->sysfs);
	assert_false(h->pci_listed);
	assert_int_equal(h->verbs_error, ENOENT);
	assert_false(h->modules.known);
	assert_false(h->limits.memlock_known);
	assert_false(h->limits.huge_known);
	assert_true(h->limits.memory == KV_UNLIMITED);
	assert_null(h->kernel);
	assert_null(h->product);
}

static void test_odd_files(void **state)
{
	struct kv_host *h;

	(void)state;
	put("/kvpath-host",
	    "kvpath-host 1\n\n#\nerror\ndevice\ndevice /dev/infiniband/uverbs0\n"
	    "device /dev/infiniband/uverbs1 NOSUCHERROR\nenv\nenv x\nfuture /a b\n");
	put("/proc/self/mountinfo", "\n1 2 3\na b c d - x\n1 2 3:4 / /sys/class/infiniband rw -\n"
				    "1 2 3:4 / /sys/class/infiniband_verbs rw - tmpfs\n - - \n");
	put("/proc/self/limits", "Max locked memory");
	put("/proc/self/cgroup", "0\n0:\n0::/../..\n");
	put("/proc/meminfo", "HugePages_Total: x\nHugePages_Free: 1\nHugepagesize: 2048 kB\n");
	put("/proc/driver/nvidia/version", "NVRM version: 1 . ..\n");
	put("/sys/bus/pci/devices/a/vendor", "0x1d0f0x\n");
	put("/sys/bus/pci/devices/b/vendor", "0x1d0f\n");
	put("/sys/bus/pci/devices/b/device", "\n");
	put("/sys/bus/pci/devices/c/vendor", "0x1d0f\n");
	put("/sys/bus/pci/devices/c/device", "0xec20\n"); /* ENA */
	put("/sys/bus/pci/devices/d/vendor", "0x10de\n");
	put("/sys/bus/pci/devices/d/device", "0x22a3\n");
	put("/sys/bus/pci/devices/d/class", "0x068000\n"); /* an NVSwitch */
	put("/sys/class/infiniband_verbs/uverbs1/ibdev", "../../..\n");
	put("/sys/class/infiniband_verbs/uverbs1/dev", "231:193\n");
	h = collect();
	assert_int_equal(h->efas.n, 0);
	assert_int_equal(h->gpus.n, 0);
	assert_int_equal(h->verbs.n, 1);
	assert_string_equal(h->verbs.v[0].name, "uverbs1");
	assert_int_equal(h->verbs.v[0].open.error, EIO);
	assert_int_equal(h->covers.n, 1);
	assert_string_equal(h->covers.v[0].type, "tmpfs");
	assert_false(h->limits.memlock_known);
	assert_false(h->limits.huge_known);
	assert_int_equal(h->modules.nvidia, KV_NVIDIA_CLOSED);
}

static void test_devices_are_never_opened_in_a_tree(void **state)
{
	struct kv_host *h;

	(void)state;
	put("/sys/class/infiniband_verbs/uverbs0/ibdev", "rdmap0s6\n");
	put("/sys/class/infiniband_verbs/uverbs10/ibdev", "b\n");
	put("/sys/class/infiniband_verbs/uverbs9/ibdev", "a\n");
	put_link("/dev/infiniband/uverbs0", "/dev/null");
	h = collect();
	assert_int_equal(h->verbs.n, 3);
	assert_int_equal(h->verbs.v[0].open.error, ENOENT); /* the tree has no /dev/null */
	assert_string_equal(h->verbs.v[1].name, "a");
	assert_string_equal(h->verbs.v[2].name, "b");
}

static enum kv_distance between(const char *a, int numa_a, const char *b, int numa_b)
{
	struct kv_pci x = { .path = a, .numa = numa_a }, y = { .path = b, .numa = numa_b };

	return kv_pci_distance(&x, &y);
}

static void test_distances(void **state)
{
	static const char gpu[] = "/sys/devices/pci0000:44/0000:44:00.0/0000:45:00.0/0000:53:00.0";

	(void)state;
	assert_int_equal(between(gpu, 0,
				 "/sys/devices/pci0000:44/0000:44:00.0/0000:45:00.0/0000:4f:00.0",
				 0),
			 KV_NEAR_SWITCH);
	assert_int_equal(between(gpu, 0, "/sys/devices/pci0000:44/0000:44:01.0/0000:4f:00.0", 0),
			 KV_NEAR_COMPLEX);
	assert_int_equal(between(gpu, 0, "/sys/devices/pci0000:4/0000:04:00.0", 0), KV_NEAR_NUMA);
	assert_int_equal(between(gpu, 0, "/sys/devices/pci0000:90/0000:90:00.0", 1), KV_FAR);
	assert_int_equal(between(gpu, -1, "/sys/devices/pci0000:90/0000:90:00.0", 1),
			 KV_DISTANCE_UNKNOWN);
	assert_int_equal(between(NULL, 0, gpu, 0), KV_NEAR_NUMA);
	/* Below another device than the root of /sys/devices. */
	assert_int_equal(between("/sys/devices/platform/x/pci0009:00/0009:00:00.0/0009:01:00.0", 0,
				 "/sys/devices/platform/x/pci0009:00/0009:00:00.0/0009:02:00.0", 0),
			 KV_NEAR_SWITCH);
}

/* ---- rules ---- */

/* A job that uses one EFA device and two GPUs, with a NIXL and a libfabric of these releases. */
struct job {
	struct kv_facts facts;
	struct kv_host host;
	struct kv_env env;
	struct kv_nixl nixl;
	struct kv_fabric fabric;
};

static struct job *new_job(const char *nixl, const char *libfabric)
{
	struct job *j = kv_new(arena, struct job);
	struct kv_verbs efa = { .name = "rdmap79s0",
				.uverbs = "uverbs0",
				.node = "/dev/infiniband/uverbs0",
				.driver = "efa",
				.address = "0000:4f:00.0",
				.shown = true,
				.open = { .there = true, .right = true },
				.p2p = KV_P2P_NONE };
	struct kv_pci gpu = { .address = "0000:53:00.0",
			      .path = "/sys/devices/pci0000:44/0000:53:00.0",
			      .device = 0x2941 };
	struct kv_pci far = { .address = "0000:93:00.0",
			      .path = "/sys/devices/pci0000:90/0000:93:00.0",
			      .device = 0xefa3,
			      .numa = 1 };
	struct kv_pci near = { .address = "0000:4f:00.0",
			       .path = "/sys/devices/pci0000:44/0000:4f:00.0",
			       .device = 0xefa3 };

	j->fabric.release = libfabric;
	j->nixl = (struct kv_nixl){ .dist = "nixl-cu13",
				    .version = nixl,
				    .path = "/nixl",
				    .active = true,
				    .stack = { .known = true, .fabric = &j->fabric } };
	j->host.modules.nvidia = KV_NVIDIA_OPEN;
	j->host.kernel = "6.8.0";
	j->host.pci_listed = true;
	kv_vec_push(arena, &j->host.verbs, efa);
	kv_vec_push(arena, &j->host.gpus, gpu);
	kv_vec_push(arena, &j->host.gpus, gpu);
	kv_vec_push(arena, &j->host.efas, near);
	kv_vec_push(arena, &j->host.efas, far);
	j->facts.arena = arena;
	j->facts.env = &j->env;
	j->facts.backend = "LIBFABRIC";
	j->facts.vram = true;
	j->facts.arch = "x86_64";
	j->facts.host = &j->host;
	kv_vec_push(arena, &j->facts.nixls, j->nixl);
	return j;
}

/* "error", "warning", "info", or "none": what this rule finds. */
static const char *finds(const struct job *j, kv_rule_fn *rule)
{
	struct kv_findings out = { .arena = arena, .id = "KV000", .title = "test" };

	rule(&j->facts, &out);
	assert_true(out.list.n < 2);
	return out.list.n ? kv_severity_name[out.list.v[0].severity] : "none";
}

static void test_dmabuf_by_release(void **state)
{
	struct job *j;

	(void)state;
	assert_string_equal(finds(new_job("1.5.0", "2.4.0"), kv_rule_no_dmabuf), "error");
	assert_string_equal(finds(new_job("1.5.0", "2.4.0amzn5.0"), kv_rule_no_dmabuf), "warning");
	assert_string_equal(finds(new_job("1.5.0", "2.5.0"), kv_rule_no_dmabuf), "none");
	assert_string_equal(finds(new_job("1.5.0", "2.10.0"), kv_rule_no_dmabuf), "none");
	assert_string_equal(finds(new_job("1.5.0", NULL), kv_rule_no_dmabuf), "none");
	j = new_job("1.5.0", "2.4.0");
	j->facts.vram = false;
	assert_string_equal(finds(j, kv_rule_no_dmabuf), "none");
	j = new_job("1.5.0", "2.4.0");
	j->facts.backend = "UCX";
	assert_string_equal(finds(j, kv_rule_no_dmabuf), "none");
}

static void test_gb200_by_release(void **state)
{
	struct job *j = new_job("1.5.0", "2.1.0");

	(void)state;
	/* Without a peer GPU memory can not be reached at all: that is said alone. */
	assert_string_equal(finds(j, kv_rule_c2c_mapping), "none");
	j->host.verbs.v[0].p2p = KV_P2P_YES;
	assert_string_equal(finds(j, kv_rule_c2c_mapping), "warning");
	j->host.gpus.v[0].device = j->host.gpus.v[1].device = 0x2901;
	assert_string_equal(finds(j, kv_rule_c2c_mapping), "none");
	j = new_job("1.5.0", "2.2.0");
	j->host.verbs.v[0].p2p = KV_P2P_YES;
	assert_string_equal(finds(j, kv_rule_c2c_mapping), "none");
}

static void test_dead_device_by_release(void **state)
{
	struct kv_verbs mlx = { .name = "ibp115s0f0",
				.uverbs = "uverbs1",
				.node = "/dev/infiniband/uverbs1",
				.driver = "mlx5_core",
				.shown = true,
				.open = { .there = true, .right = true, .error = EPERM } };
	struct job *old = new_job("1.5.0", "2.6.0"), *new = new_job("1.5.0", "2.7.0amzn2.0");

	(void)state;
	kv_vec_push(arena, &old->host.verbs, mlx);
	kv_vec_push(arena, &new->host.verbs, mlx);
	assert_string_equal(finds(old, kv_rule_dead_device), "error");
	assert_string_equal(finds(new, kv_rule_dead_device), "none");
	new->host.verbs.v[1].driver = "efa";
	assert_string_equal(finds(new, kv_rule_dead_device), "warning");
}

static void test_far_card_by_version(void **state)
{
	struct job *j;

	(void)state;
	assert_string_equal(finds(new_job("0.9.0", "2.7.0"), kv_rule_far_card), "warning");
	assert_string_equal(finds(new_job("0.10.0", "2.7.0"), kv_rule_far_card), "none");
	assert_string_equal(finds(new_job("", "2.7.0"), kv_rule_far_card), "none");
	j = new_job("0.9.0", "2.7.0");
	j->host.efas.v[1] = j->host.efas.v[0];
	assert_string_equal(finds(j, kv_rule_far_card), "none");
}

static void test_huge_pages_that_are_taken(void **state)
{
	struct job *j = new_job("1.5.0", "2.7.0");

	(void)state;
	j->host.limits = (struct kv_limits){
		.huge_known = true, .huge_total = 100, .huge_size = 2 << 20, .hugetlb = KV_UNLIMITED
	};
	assert_string_equal(finds(j, kv_rule_huge_pages), "none");
	kv_env_put(arena, &j->env, kv_strdup(arena, "FI_EFA_USE_HUGE_PAGE=1"));
	assert_string_equal(finds(j, kv_rule_huge_pages), "warning");
	j->host.limits.huge_free = 1;
	assert_string_equal(finds(j, kv_rule_huge_pages), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_known_of_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_devices_are_never_opened_in_a_tree, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_distances, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dmabuf_by_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gb200_by_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_device_by_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_far_card_by_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_pages_that_are_taken, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
