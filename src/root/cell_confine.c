/*
 * What the child gives up before it looks at the first byte. After this it can read and write what
 * it has open, and get memory; it cannot open, run, signal, trace or connect to anything.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/seccomp.h"
#include "root/cell.h"

#define ALLOW(call) KV_BPF_IF(call), KV_BPF_RETURN(SECCOMP_RET_ALLOW)

/*
 * The calls of read(), write(), pread() and malloc() of glibc and of what ends a process. mmap()
 * must not make anything executable, and mprotect(), which could, is missing. A call of another
 * architecture's table would be another call: it is refused first. The x32 table's numbers have a
 * bit of their own, so none is on the list.
 */
static void filter_calls(const struct kv_cell_limits *l)
{
	const uint32_t deny = l->is_tolerant ? KV_BPF_REFUSED : SECCOMP_RET_KILL_PROCESS;
	struct sock_filter code[] = {
		KV_BPF_BEGIN(deny),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_pread64),
		ALLOW(l->spool ? SYS_pwrite64 : SYS_pread64),
		ALLOW(SYS_brk),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mremap),
		ALLOW(SYS_madvise),
		ALLOW(SYS_futex),
		ALLOW(SYS_getrandom),
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
		KV_BPF_RETURN(deny),
		KV_BPF_LOAD(args[2]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		KV_BPF_RETURN(deny),
		KV_BPF_RETURN(SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { KV_ARRAY_SIZE(code), code };

	/*
	 * A kernel without seccomp, or a container whose own filter refuses another one, leaves us
	 * with the limits, no new privileges, and no open file but what was given. That is what any
	 * other reader of images has at best, so it is no reason to refuse an image.
	 */
	if (KV_BPF_ARCH && !KV_SANITIZED)
		(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static void limit(int what, uint64_t most)
{
	const struct rlimit r = { most, most };

	(void)setrlimit((__rlimit_resource_t)what, &r);
}

void kv_cell_limit_memory(uint64_t most)
{
	if (!KV_SANITIZED)
		limit(RLIMIT_AS, most);
}

void kv_cell_confine(const struct kv_cell_limits *l)
{
	/* Writing too far fails, as it does on a disk that is full. */
	signal(SIGXFSZ, SIG_IGN);
	limit(RLIMIT_CPU, l->cpu_s);
	limit(RLIMIT_FSIZE, l->spool);
	limit(RLIMIT_NOFILE, 0);
	limit(RLIMIT_CORE, 0);
	kv_cell_limit_memory(l->memory);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	filter_calls(l);
}
