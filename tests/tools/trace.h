/*
 * Runs a program and interferes at one of its system calls: ends it there, or lets the call fail.
 * Calls are counted from the first one on that could change a file.
 */
#ifndef KV_TEST_TRACE_H
#define KV_TEST_TRACE_H

#include "base/base.h"

struct fault {
	unsigned kill_at; /* SIGKILL in place of this call; 0: never */
	unsigned fail_at; /* this call that changes files fails, without being made; 0: none */
	int fail_errno;   /* with this */
	bool fail_on;     /* and so do all after it that change files */
};

struct traced {
	int status;      /* as wait() gives it */
	unsigned calls;  /* since the first that changes files, and with it */
	unsigned writes; /* those of them that change files */
	char err[512];   /* what it wrote to stderr */
};

/* stdin and stdout are /dev/null. Ends this program where the tracing itself fails. */
void trace_run(char *const argv[], const struct fault *f, struct traced *ret);

#endif
