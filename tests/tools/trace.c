/* See trace.h. A seccomp filter finds the first change of a file, so that what comes before runs at
 * full speed; from there on every call stops. */
#include "trace.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#define LIMIT_S 120

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(2);
}

/* Calls that change a file whatever their arguments are. */
static const int writers[] = {
	SYS_mkdirat,   SYS_symlinkat, SYS_linkat,    SYS_unlinkat,        SYS_renameat,
	SYS_renameat2, SYS_ftruncate, SYS_fchown,    SYS_fchownat,        SYS_fchmod,
	SYS_fchmodat,  SYS_utimensat, SYS_fsetxattr, SYS_fremovexattr,    SYS_fsync,
	SYS_fdatasync, SYS_fallocate, SYS_pwrite64,  SYS_copy_file_range, SYS_sendfile,
	SYS_mknodat,
#ifdef SYS_rename
	SYS_rename,    SYS_mkdir,     SYS_unlink,    SYS_rmdir,           SYS_link,
	SYS_symlink,   SYS_creat,     SYS_chmod,     SYS_chown,
#endif
};

#define OPEN_WRITES (O_WRONLY | O_RDWR | O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

static bool is_writer(uint64_t nr, const uint64_t *args)
{
	if (nr == SYS_openat)
		return args[2] & OPEN_WRITES;
	if (nr == SYS_write)
		return args[0] > 2;
	for (size_t i = 0; i < KV_ARRAY_SIZE(writers); i++)
		if (nr == (uint64_t)writers[i])
			return true;
	return false;
}

/* The same in the kernel. */
static void filter_self(void)
{
	struct sock_filter code[KV_ARRAY_SIZE(writers) * 2 + 16];
	unsigned short n = 0;
	struct sock_fprog prog = { 0, code };

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < KV_ARRAY_SIZE(writers); i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (uint32_t)writers[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, args[2]));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, OPEN_WRITES, 3, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, args[0]));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 2, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = n;
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0, "seccomp");
}

static void be_traced(char *const argv[], int err)
{
	int null = open("/dev/null", O_RDWR);

	must(null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(err, 2) == 2, "dup2");
	alarm(LIMIT_S);
	must(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0, "ptrace");
	raise(SIGSTOP);
	filter_self();
	execv(argv[0], argv);
	_exit(127);
}

/* The call of a thread that stands at its entry becomes one that does nothing. */
static void skip_call(pid_t tid)
{
#if defined(__x86_64__)
	must(ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L) == 0,
	     "skip");
#elif defined(__aarch64__)
	int nr = -1;
	struct iovec v = { &nr, sizeof(nr) };

	must(ptrace(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &v) == 0, "skip");
#endif
}

static void set_result(pid_t tid, long value)
{
#if defined(__x86_64__)
	must(ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rax), value) == 0,
	     "result");
#elif defined(__aarch64__)
	struct user_regs_struct regs;
	struct iovec v = { &regs, sizeof(regs) };

	must(ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &v) == 0, "result");
	regs.regs[0] = (unsigned long)value;
	must(ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &v) == 0, "result");
#endif
}

struct run {
	pid_t pid;
	const struct fault *f;
	struct traced *ret;
	bool counting;
	pid_t failing; /* whose call has been skipped */
};

static bool fails(const struct run *r)
{
	return r->f->fail_at && (r->ret->writes == r->f->fail_at ||
				 (r->f->fail_on && r->ret->writes > r->f->fail_at));
}

static void at_entry(struct run *r, pid_t tid, uint64_t nr, const uint64_t *args)
{
	r->ret->calls++;
	if (r->ret->calls == r->f->kill_at) {
		kill(r->pid, SIGKILL);
		return;
	}
	if (!is_writer(nr, args))
		return;
	r->ret->writes++;
	if (fails(r)) {
		skip_call(tid);
		r->failing = tid;
	}
}

/* What a stopped thread stands at. Returns the signal that it is to get. */
static int at_stop(struct run *r, pid_t tid, int status)
{
	struct __ptrace_syscall_info info;
	int sig = WSTOPSIG(status), event = status >> 16;

	if (sig != (SIGTRAP | 0x80) && event != PTRACE_EVENT_SECCOMP)
		return event || sig == SIGSTOP || sig == SIGTRAP ? 0 : sig;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0)
		return 0;
	if (info.op == PTRACE_SYSCALL_INFO_SECCOMP && !r->counting) {
		r->counting = true;
		at_entry(r, tid, info.seccomp.nr, info.seccomp.args);
	} else if (info.op == PTRACE_SYSCALL_INFO_ENTRY && r->counting) {
		at_entry(r, tid, info.entry.nr, info.entry.args);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && r->failing == tid) {
		set_result(tid, -r->f->fail_errno);
		r->failing = 0;
	}
	return 0;
}

static void follow(struct run *r)
{
	for (;;) {
		int status, sig;
		pid_t tid = waitpid(-1, &status, __WALL);

		must(tid > 0, "wait");
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (tid != r->pid)
				continue;
			r->ret->status = status;
			return;
		}
		sig = at_stop(r, tid, status);
		(void)ptrace(r->counting ? PTRACE_SYSCALL : PTRACE_CONT, tid, NULL, (long)sig);
	}
}

void trace_run(char *const argv[], const struct fault *f, struct traced *ret)
{
	int err = memfd_create("stderr", MFD_CLOEXEC), status;
	struct run r = { .f = f, .ret = ret };
	ssize_t n;

	*ret = (struct traced){ 0 };
	must(err >= 0, "memfd");
	r.pid = fork();
	must(r.pid >= 0, "fork");
	if (r.pid == 0)
		be_traced(argv, err);
	must(waitpid(r.pid, &status, 0) == r.pid && WIFSTOPPED(status), "start");
	must(ptrace(PTRACE_SETOPTIONS, r.pid, NULL,
		    (long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP |
			   PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC)) == 0,
	     "options");
	must(ptrace(PTRACE_CONT, r.pid, NULL, NULL) == 0, "go on");
	follow(&r);
	n = pread(err, ret->err, sizeof(ret->err) - 1, 0);
	ret->err[n > 0 ? n : 0] = '\0';
	ret->err[strcspn(ret->err, "\n")] = '\0';
	close(err);
}
