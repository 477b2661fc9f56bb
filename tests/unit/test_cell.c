/* What a confined child can do and how it ends; that of squashfs is tested by test_squash_box. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "root/cell.h"

#include <cmocka.h>

#define SPOOL_MAX 100

static struct kv_cell cell;
static int spool;

static void start(void (*run)(void *ctx), int spool_fd)
{
	const struct kv_cell_job job = {
		.in = STDIN_FILENO, .spool = spool_fd, .run = run, .deadline_s = 1
	};
	struct kv_err err = { 0 };

	if (kv_cell_start(&job, &cell, &err) < 0)
		fail_msg("%s", err.msg);
}

static int setup(void **state)
{
	char path[] = "/tmp/kvpath-cell-XXXXXX";

	(void)state;
	spool = mkstemp(path);
	return spool < 0 ? -1 : unlink(path);
}

static int teardown(void **state)
{
	(void)state;
	close(spool);
	return 0;
}

static void say(uint64_t bits)
{
	(void)!write(KV_CELL_SOCK, &bits, sizeof(bits));
}

static uint64_t heard(void)
{
	uint64_t bits = 0;

	assert_int_equal(kv_cell_receive(&cell, &bits, sizeof(bits)), sizeof(bits));
	return bits;
}

/* ---- what is left to it ---- */

static void show_fds(void *ctx)
{
	uint64_t bits = 0;

	(void)ctx;
	for (int fd = 0; fd < 60; fd++)
		bits |= fcntl(fd, F_GETFD) >= 0 ? (uint64_t)1 << fd : 0;
	say(bits);
}

static void test_fds(void **state)
{
	const uint64_t log = 1 << STDERR_FILENO, in = 1 << KV_CELL_IN, sock = 1 << KV_CELL_SOCK,
		       own = 1 << KV_CELL_SPOOL;

	(void)state;
	start(show_fds, spool);
	assert_int_equal(heard() & ~log, in | sock | own);
	assert_int_equal(kv_cell_end(&cell, false), 0);
	start(show_fds, -1);
	assert_int_equal(heard() & ~log, in | sock);
	assert_int_equal(kv_cell_end(&cell, false), 0);
}

static bool is_denied(long r)
{
	return r < 0 && errno == EPERM;
}

/* One bit each for what it could do, or what failed for another reason. */
static void try_all(void *ctx)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t bits = 0;

	(void)ctx;
	kv_cell_confine(&(struct kv_cell_limits){
		.memory = 64 << 20, .spool = SPOOL_MAX, .cpu_s = 10, .is_tolerant = true });
	bits |= (uint64_t)!is_denied(open("/etc/passwd", O_RDONLY | O_CLOEXEC)) << 0;
	bits |= (uint64_t)!is_denied(syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
		<< 1;
	bits |= (uint64_t)!is_denied(mprotect(page, 4096, PROT_READ | PROT_EXEC)) << 2;
	bits |= (uint64_t)!is_denied(kill(getppid(), 0)) << 3;
	bits |= (uint64_t)!is_denied(socket(AF_INET, SOCK_STREAM, 0)) << 4;
	bits |= (uint64_t)!is_denied(dup(KV_CELL_IN)) << 5;
	bits |= (uint64_t)!is_denied(fork()) << 6;
	bits |= (uint64_t)!is_denied(ftruncate(KV_CELL_SPOOL, 0)) << 7;
	say(bits);
}

static void test_forbidden_calls(void **state)
{
	(void)state;
	if (KV_SANITIZED || getenv("KVPATH_EMULATED"))
		skip(); /* no filter then */
	start(try_all, spool);
	assert_int_equal(heard(), 0);
	assert_int_equal(kv_cell_end(&cell, false), 0);
}

static void fill_spool(void *ctx)
{
	const struct kv_cell_limits limits = {
		.memory = 64 << 20, .spool = SPOOL_MAX, .cpu_s = 10, .is_tolerant = true
	};

	(void)ctx;
	kv_cell_confine(&limits);
	say(pwrite(KV_CELL_SPOOL, "ab", 2, SPOOL_MAX - 2) == 2 &&
	    pwrite(KV_CELL_SPOOL, "c", 1, SPOOL_MAX) < 0 && errno == EFBIG);
}

static void test_spool_is_bounded(void **state)
{
	(void)state;
	start(fill_spool, spool);
	assert_int_equal(heard(), 1);
	assert_int_equal(kv_cell_end(&cell, false), 0);
	assert_int_equal(lseek(spool, 0, SEEK_END), SPOOL_MAX);
}

/* ---- how it ends ---- */

static void die(void *ctx)
{
	(void)ctx;
	raise(SIGSEGV);
}

static void hang(void *ctx)
{
	(void)ctx;
	close(KV_CELL_SOCK);
	pause();
}

static void be_silent(void *ctx)
{
	(void)ctx;
	pause();
}

static void say_too_much(void *ctx)
{
	char much[100] = { 0 };

	(void)ctx;
	(void)!write(KV_CELL_SOCK, much, sizeof(much));
}

static void test_ends(void **state)
{
	uint64_t bits;
	int status;

	(void)state;
	start(die, -1);
	assert_int_equal(kv_cell_receive(&cell, &bits, sizeof(bits)), 0);
	status = kv_cell_end(&cell, false);
	assert_true(KV_SANITIZED || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
	start(hang, -1);
	assert_int_equal(kv_cell_receive(&cell, &bits, sizeof(bits)), 0);
	assert_int_equal(kv_cell_end(&cell, false), 0);
	start(be_silent, -1);
	assert_int_equal(kv_cell_receive(&cell, &bits, sizeof(bits)), -EAGAIN);
	assert_int_equal(kv_cell_end(&cell, true), 0);
	start(say_too_much, -1);
	assert_int_equal(kv_cell_receive(&cell, &bits, sizeof(bits)), -EMSGSIZE);
	assert_int_equal(kv_cell_end(&cell, true), 0);
	assert_int_equal(cell.pid, -1);
	assert_int_equal(kv_cell_end(&cell, true), 0); /* once more does no harm */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fds),
		cmocka_unit_test(test_forbidden_calls),
		cmocka_unit_test(test_spool_is_bounded),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
