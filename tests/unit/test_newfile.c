/* Files that are there whole or not at all, with a name while they are written and without one. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/newfile.h"

#include <cmocka.h>

static char dir[] = "/tmp/kvpath-newfile-XXXXXX";
static char path[64];

static size_t entries(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void is(const char *text)
{
	char have[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, have, sizeof(have) - 1) >= 0);
	close(fd);
	assert_string_equal(have, text);
}

static int put(struct kv_arena *a, const char *text, bool replace, bool commit)
{
	_newfile_ struct kv_newfile f;
	struct kv_err err = { 0 };
	struct stat st;

	assert_int_equal(kv_newfile_open(a, path, &f, &err), 0);
	assert_int_equal(kv_write_all(f.fd, text, strlen(text)), 0);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_size, strlen(text));
	return commit ? kv_newfile_commit(&f, replace, &err) : 0;
}

static void each_way(void (*test)(struct kv_arena *a))
{
	for (int named = 0; named < 2; named++) {
		struct kv_arena *a = kv_arena_new();

		kv_newfile_test.no_tmpfile = named;
		test(a);
		unlink(path);
		kv_arena_free(a);
	}
}

static void ways(struct kv_arena *a)
{
	assert_int_equal(put(a, "never", false, false), 0);
	assert_int_equal(entries(), 0);
	assert_int_equal(put(a, "one", false, true), 0);
	is("one");
	assert_int_equal(put(a, "two", false, true), -EEXIST);
	is("one");
	assert_int_equal(put(a, "three", true, true), 0);
	is("three");
	assert_int_equal(entries(), 1);
}

static void test_ways(void **state)
{
	(void)state;
	each_way(ways);
}

/* Whoever reads there would miss it. */
static void no_file(struct kv_arena *a)
{
	struct kv_err err = { 0 };
	struct stat st;

	assert_int_equal(kv_newfile_check(path, &err), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(kv_newfile_check(path, &err), -EINVAL);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(put(a, "never", true, true), -EINVAL);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/proc/self/fd/1", path), 0);
	assert_int_equal(put(a, "never", true, true), -EINVAL);
	assert_int_equal(entries(), 1);
}

static void test_no_file(void **state)
{
	(void)state;
	each_way(no_file);
}

static void end_by(struct kv_arena *a, int sig)
{
	struct kv_newfile f;
	struct kv_err err = { 0 };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (kv_newfile_open(a, path, &f, &err) == 0 && kv_write_all(f.fd, "half", 4) == 0)
			raise(sig);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	assert_true(access(path, F_OK) < 0);
}

static void signals(struct kv_arena *a)
{
	end_by(a, SIGINT);
	end_by(a, SIGTERM);
	assert_int_equal(entries(), 0);
	if (!kv_newfile_test.no_tmpfile)
		end_by(a, SIGKILL);
	assert_int_equal(entries(), 0);
}

static void test_signals(void **state)
{
	(void)state;
	each_way(signals);
}

static void test_nowhere(void **state)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_err err = { 0 };
	struct kv_newfile f;

	(void)state;
	assert_int_equal(kv_newfile_open(a, "/nowhere/at/all", &f, &err), -ENOENT);
	kv_newfile_close(&f);
	kv_arena_free(a);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_nowhere),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
