/* The words in which the filters of system calls are written. */
#ifndef KV_BASE_SECCOMP_H
#define KV_BASE_SECCOMP_H

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

/* 0 where the machine is none that a filter was written for. */
#if defined(__x86_64__)
#define KV_BPF_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define KV_BPF_ARCH AUDIT_ARCH_AARCH64
#else
#define KV_BPF_ARCH 0
#endif

#define KV_BPF_REFUSED      (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))
#define KV_BPF_LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define KV_BPF_RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
/* Skips the next instruction unless the loaded word is `value`. */
#define KV_BPF_IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
/* Refuses calls of another architecture's table, as `what` says, and loads the call's number. */
#define KV_BPF_BEGIN(what)                                                                         \
	KV_BPF_LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KV_BPF_ARCH, 1, 0),                 \
		KV_BPF_RETURN(what), KV_BPF_LOAD(nr)

#endif
