/*
 * What a command gives up before it looks at a target. None but prove and run ever executes
 * anything of one: from here on this process can not execute at all, nor open a connection, nor
 * mount, nor trace. A process of root keeps the few capabilities that its work with files takes.
 */
#include <linux/capability.h>
#include <sys/prctl.h>

#include "base/seccomp.h"
#include "cmd/cmd.h"
#include "root/cell.h"

#define BIT(cap) ((uint64_t)1 << (cap))

/* Locked memory is not limited for who has CAP_IPC_LOCK: check tells, so it must not be lost. */
#define READ_CAPS (BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_IPC_LOCK))
/* Owners, modes and attributes are put back as they were; CAP_SYS_ADMIN is for those in trusted. */
#define CHANGE_CAPS                                                                                \
	(READ_CAPS | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_CHOWN) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) |  \
	 BIT(CAP_SETFCAP) | BIT(CAP_SYS_ADMIN))
/* To see into other processes (ptrace's right to read) and to enter their network namespaces. */
#define LOOK_CAPS (READ_CAPS | BIT(CAP_SYS_PTRACE) | BIT(CAP_SYS_ADMIN) | BIT(CAP_DAC_OVERRIDE))

static void keep_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return;
	for (unsigned i = 0; i < 2; i++) {
		data[i].effective &= (uint32_t)(keep >> 32 * i);
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].inheritable = 0;
	}
	(void)syscall(SYS_capset, &head, data);
}

#define DENY(call) KV_BPF_IF(call), KV_BPF_RETURN(KV_BPF_REFUSED)
/* Numbers of the x32 table. */
#define X32 0x40000000U

/* A container whose own filter refuses another one leaves us with what we do not do anyway. */
static void refuse_calls(bool looks)
{
	struct sock_filter code[] = {
		KV_BPF_BEGIN(KV_BPF_REFUSED),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1),
		KV_BPF_RETURN(KV_BPF_REFUSED),
		DENY(SYS_execve),
		DENY(SYS_execveat),
		DENY(looks ? SYS_execve : SYS_socket), /* sock_diag is asked by one */
		DENY(SYS_connect),
		DENY(SYS_ptrace),
		DENY(SYS_process_vm_writev),
		DENY(SYS_mount),
		DENY(SYS_umount2),
		DENY(SYS_move_mount),
		DENY(SYS_chroot),
		DENY(SYS_pivot_root),
		DENY(looks ? SYS_execve : SYS_setns),
		DENY(SYS_unshare),
		DENY(SYS_mknodat),
		DENY(SYS_init_module),
		DENY(SYS_finit_module),
		DENY(SYS_bpf),
		DENY(SYS_kexec_load),
		KV_BPF_RETURN(SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { KV_ARRAY_SIZE(code), code };

	if (KV_BPF_ARCH)
		(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

void kv_confine(enum kv_rights rights, bool may_write)
{
	if (rights == KV_RIGHTS_RUN || KV_SANITIZED)
		return;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	keep_caps(rights == KV_RIGHTS_LOOK     ? LOOK_CAPS
		  : rights == KV_RIGHTS_CHANGE ? CHANGE_CAPS
		  : may_write                  ? READ_CAPS | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER)
					       : READ_CAPS);
	refuse_calls(rights == KV_RIGHTS_LOOK);
}
