/* Boxing in a child. */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <locale.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "root/cell.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0
#endif

#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1),                                       \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))

/*
 * What is not on the list fails with EPERM. A kernel without seccomp (or a container whose own
 * filter forbids another one) leaves the descriptors, the limits and no_new_privs: that is no
 * reason to refuse an image that the user could unpack with tar as well.
 */
static void forbid_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		DENY,
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(read),
		ALLOW(pread64),
		ALLOW(write),
		ALLOW(pwrite64),
		ALLOW(lseek),
		ALLOW(mmap),
		ALLOW(munmap),
		ALLOW(mremap),
		ALLOW(mprotect), /* malloc's heaps */
		ALLOW(madvise),
		ALLOW(brk),
		ALLOW(futex),
		ALLOW(rt_sigreturn),
		ALLOW(rt_sigprocmask), /* abort() */
		ALLOW(getrandom),
		ALLOW(exit),
		ALLOW(exit_group),
		DENY,
	};
	const struct sock_fprog prog = { KV_ARRAY_SIZE(code), code };

	if (ARCH && !KV_SANITIZED) /* the sanitizers' runtimes read /proc/self/maps to report */
		(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void limit(int what, uint64_t most)
{
	const struct rlimit r = { most, most };

	(void)setrlimit((__rlimit_resource_t)what, &r);
}

static void box_in(const struct kv_cell *b)
{
	/* pax headers are UTF-8; the locale's file can not be opened later. */
	setlocale(LC_CTYPE, "C.UTF-8");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0);
	signal(SIGXFSZ, SIG_IGN);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, KV_CELL_CPU_S);
	limit(RLIMIT_FSIZE, b->spool < 0 ? 0 : b->spool_max);
	limit(RLIMIT_NOFILE, KV_CELL_SPOOL + 1);
	if (!KV_SANITIZED) /* ASan reserves terabytes of addresses */
		limit(RLIMIT_AS, KV_CELL_MEMORY);
	forbid_calls();
}

/* The three descriptors to their places, all others closed. */
static bool place_fds(const struct kv_cell *b, int out)
{
	const int from[] = { b->in, out, b->spool };
	int high[3];

	for (int i = 0; i < 3; i++) {
		high[i] = from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD, KV_CELL_SPOOL + 1);
		if (from[i] >= 0 && high[i] < 0)
			return false;
	}
	for (int i = 0; i < 3; i++)
		if (high[i] < 0)
			close(KV_CELL_IN + i);
		else if (dup2(high[i], KV_CELL_IN + i) < 0)
			return false;
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	if (!KV_SANITIZED)
		close(STDERR_FILENO);
	kv_close_from(KV_CELL_SPOOL + 1);
	return true;
}

int kv_cell_start(struct kv_cell *b, struct kv_err *err)
{
	int fds[2], e;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return kv_err(err, -errno, "pipe: %s", strerror(errno));
	b->pid = fork();
	if (b->pid < 0) {
		e = errno;
		close(fds[0]);
		close(fds[1]);
		return kv_err(err, -e, "fork: %s", strerror(e));
	}
	if (b->pid == 0) {
		if (!place_fds(b, fds[1]))
			_exit(1);
		box_in(b);
		b->run(b->ctx);
		_exit(0);
	}
	close(fds[1]);
	b->out = fds[0];
	return 0;
}

int kv_cell_end(struct kv_cell *b, bool kill_it)
{
	int status = 0;

	if (kill_it)
		kill(b->pid, SIGKILL);
	close(b->out);
	while (waitpid(b->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}
