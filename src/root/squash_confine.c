/*
 * What the reader of an image gives up before it looks at the first byte. After this it can read
 * and write what it has open, and get memory; it cannot open, run, signal, trace or connect to
 * anything.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "root/squash_box.h"

/* Largest honest need: a table of blocks, the blocks that are kept, xz's dictionary. */
#define MAX_MEMORY ((rlim_t)384 << 20)
#define MAX_CPU_S  120

#if KV_SANITIZED
void kv_box_limit_memory(void)
{
}

static void filter_calls(void)
{
}
#else
static void limit(int what, rlim_t most)
{
	setrlimit((__rlimit_resource_t)what, &(struct rlimit){ most, most });
}

void kv_box_limit_memory(void)
{
	limit(RLIMIT_AS, MAX_MEMORY);
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifndef ARCH
static void filter_calls(void)
{
}
#else
#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
/* Skips the next instruction unless the loaded word is `value`. */
#define IF(value)    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
#define ALLOW(call)  IF(SYS_##call), RETURN(SECCOMP_RET_ALLOW)
#define DENY         RETURN(SECCOMP_RET_KILL_PROCESS)

/*
 * The calls of read(), write(), pread() and malloc() of glibc and of what ends a process. mmap()
 * must not make anything executable, and mprotect(), which could, is missing. A call of another
 * architecture's table would be another call: it is refused first. The x32 table's numbers have a
 * bit of their own, so none is on the list.
 */
static void filter_calls(void)
{
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		DENY,
		LOAD(nr),
		ALLOW(read),
		ALLOW(write),
		ALLOW(pread64),
		ALLOW(brk),
		ALLOW(munmap),
		ALLOW(mremap),
		ALLOW(madvise),
		ALLOW(futex),
		ALLOW(getrandom),
		ALLOW(restart_syscall),
		ALLOW(rt_sigreturn),
		ALLOW(exit),
		ALLOW(exit_group),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
		DENY,
		LOAD(args[2]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		DENY,
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { KV_ARRAY_SIZE(code), code };

	/*
	 * A kernel without seccomp, or a container whose own filter refuses another one, leaves us
	 * with the limits, no new privileges, and no open file but the image. That is what any
	 * other reader of images has at best, so it is no reason to refuse an image.
	 */
	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}
#endif
#endif

void kv_box_confine(void)
{
	static const struct {
		int what;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_CPU, MAX_CPU_S },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_NOFILE, 0 },
		{ RLIMIT_CORE, 0 },
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(limits); i++)
		setrlimit((__rlimit_resource_t)limits[i].what,
			  &(struct rlimit){ limits[i].most, limits[i].most });
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	kv_box_limit_memory();
	filter_calls();
}
