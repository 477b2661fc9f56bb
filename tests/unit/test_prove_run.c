/* The running part of prove, with /bin/sh in the place of the agents. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

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

/* ---- environment, bounded text ---- */

static void test_environ(void **state)
{
	struct kv_env env = { 0 };
	char **e;
	bool a = false, path = false;
	unsigned levels = 0;

	(void)state;
	kv_vec_push(arena, &env.pairs, kv_strdup(arena, "A=1"));
	kv_vec_push(arena, &env.pairs, kv_strdup(arena, "FI_LOG_LEVEL=debug"));
	kv_vec_push(arena, &env.pairs, kv_strdup(arena, "NIXL_LOG_LEVEL=WARN"));
	kv_vec_push(arena, &env.pairs, kv_strdup(arena, "PATH=/x"));
	kv_vec_push(arena, &env.pairs, kv_strdup(arena, "A=2"));
	for (e = kv_prove_environ(arena, &env); *e; e++) {
		assert_false(kv_starts(*e, "FI_LOG_LEVEL="));
		assert_string_not_equal(*e, "A=1");
		a = a || kv_streq(*e, "A=2");
		path = path || kv_streq(*e, "PATH=/x");
		levels += kv_starts(*e, "NIXL_LOG_LEVEL=");
	}
	assert_true(a && path);
	assert_int_equal(levels, 1);
	assert_non_null(kv_prove_environ(arena, NULL)[0]);
}

static void test_text_bounded(void **state)
{
	struct kv_prove_text t = { 0 };
	char *got;

	(void)state;
	kv_prove_text_add(&t, "first line\n", 11);
	for (int i = 0; i < 200000; i++)
		kv_prove_text_add(&t, "0123456789abcde\n", 16);
	kv_prove_text_add(&t, "la\0st\n", 6);
	got = kv_prove_text_get(arena, &t);
	assert_true(kv_starts(got, "first line\n"));
	assert_true(kv_ends(got, "\nla st\n"));
	assert_non_null(strstr(got, " bytes left out]\n"));
	assert_true(strlen(got) < KV_PROVE_HEAD_MAX + KV_PROVE_TAIL_MAX + 64);
	kv_prove_text_clear(&t);
}

/* ---- the runner ---- */

static int run_sh(const char *script, unsigned deadline_s, struct kv_prove_ran *ran,
		  struct kv_err *err)
{
	char sh[] = "sh", opt[] = "-c", e[] = "PATH=/usr/bin:/bin";
	char *argv[] = { sh, opt, kv_strdup(arena, script), NULL }, *envp[] = { e, NULL };
	struct kv_prove_request req = { .target = "/" };
	struct kv_prove_run run = { .req = &req,
				    .exec_fd = -EBADF,
				    .exec_path = "/bin/sh",
				    .argv = argv,
				    .envp = envp,
				    .deadline_s = deadline_s };

	return kv_prove_spawn(&run, ran, err);
}

static void test_spawn_collects(void **state)
{
	struct kv_prove_ran ran;
	struct kv_err err;

	(void)state;
	assert_int_equal(
		run_sh("echo out; echo log >&2; ls /proc/self/fd | wc -l; exit 7", 10, &ran, &err),
		0);
	assert_false(ran.timed_out);
	assert_int_equal(WEXITSTATUS(ran.status), 7);
	assert_string_equal(kv_prove_text_get(arena, &ran.log), "log\n");
	/* 0, 1, 2, and the directory that ls reads: nothing of ours leaks. */
	assert_string_equal(kv_prove_text_get(arena, &ran.out), "out\n4\n");
	kv_prove_text_clear(&ran.out);
	kv_prove_text_clear(&ran.log);
}

/* Stray children that hold the pipes: the run ends with its process, and they end with the run. */
static void test_spawn_leaves_nothing(void **state)
{
	time_t start = time(NULL);
	struct kv_prove_ran ran;
	struct kv_err err;
	pid_t stray;

	(void)state;
	assert_int_equal(run_sh("sleep 300 & echo $!", 20, &ran, &err), 0);
	assert_false(ran.timed_out);
	assert_true(time(NULL) - start < 10);
	stray = (pid_t)strtol(kv_prove_text_get(arena, &ran.out), NULL, 10);
	kv_prove_text_clear(&ran.out);
	assert_true(stray > 0);
	/* Killed; gone or waiting for init to reap it. */
	for (int i = 0; i < 100; i++) {
		char path[64], stat[256] = "";
		_close_ int fd = -EBADF;
		size_t n = 0;

		snprintf(path, sizeof(path), "/proc/%d/stat", stray);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || kv_read_all(fd, stat, sizeof(stat) - 1, 0, &n) < 0 ||
		    strstr(stat, ") Z "))
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	fail_msg("process %d is still there", stray);
}

static void test_spawn_deadline(void **state)
{
	struct kv_prove_ran ran;
	struct kv_err err;

	(void)state;
	assert_int_equal(run_sh("echo before; trap '' TERM; sleep 300", 1, &ran, &err), 0);
	assert_true(ran.timed_out);
	assert_true(WIFSIGNALED(ran.status));
	assert_string_equal(kv_prove_text_get(arena, &ran.out), "before\n");
	kv_prove_text_clear(&ran.out);
}

static void test_spawn_no_such_program(void **state)
{
	char name[] = "nonesuch";
	char *argv[] = { name, NULL }, *envp[] = { NULL };
	struct kv_prove_request req = { .target = "/" };
	struct kv_prove_run run = { .req = &req,
				    .exec_fd = -EBADF,
				    .exec_path = "/nonesuch",
				    .argv = argv,
				    .envp = envp,
				    .deadline_s = 5 };
	struct kv_prove_ran ran;
	struct kv_err err;

	(void)state;
	assert_int_equal(kv_prove_spawn(&run, &ran, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "nonesuch"));
}

static void test_prove_untried(void **state)
{
	struct kv_prove_request req = {
		.target = "/", .backend = "LIBFABRIC", .mem = "dram", .bytes = 1, .deadline_s = 1
	};
	struct kv_prove_result ret;
	struct kv_err err;

	(void)state;
	assert_int_equal(kv_prove(arena, &req, &ret, &err), 0);
	assert_string_equal(ret.verdict, "unknown");
	assert_int_equal(ret.not_proven.n, 5);
	req.mem = "gpu";
	assert_int_equal(kv_prove(arena, &req, &ret, &err), -EINVAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_environ),        T(test_text_bounded),
		T(test_spawn_collects), T(test_spawn_leaves_nothing),
		T(test_spawn_deadline), T(test_spawn_no_such_program),
		T(test_prove_untried),
	};

	return cmocka_run_group_tests_name("prove_run", tests, NULL, NULL);
}
