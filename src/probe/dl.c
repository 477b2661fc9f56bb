/*
 * `kvpath-probe dlopen FILE [--preload FILE]...`: what the real loader says of FILE in a process
 * that links libc alone. Done in a child, since a bad object can end the process ("abort").
 */
#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/probe.h"

#define DLOPEN_DEADLINE_S 60

struct answer {
	bool opened, failed, preload_failed;
	char error[4096];
};

static void try_open(char **files, size_t n, struct answer *ans)
{
	/* The last one is the file in question. */
	for (size_t i = 0; i < n; i++) {
		if (dlopen(files[i], RTLD_NOW | RTLD_LOCAL))
			continue;
		ans->preload_failed = i + 1 < n;
		snprintf(ans->error, sizeof(ans->error), "%s", dlerror());
		ans->failed = true;
		return;
	}
	ans->opened = true;
}

static void print_answer(FILE *out, struct answer *ans, int st, bool killed)
{
	const char *loads = ans->opened ? "yes" : ans->failed ? "no" : killed ? "unknown" : "abort";
	char text[128];

	ans->error[sizeof(ans->error) - 1] = '\0';
	if (killed)
		snprintf(text, sizeof(text), "deadline of %d s passed in dlopen",
			 DLOPEN_DEADLINE_S);
	else if (WIFSIGNALED(st))
		snprintf(text, sizeof(text), "killed by signal %d (%s) in dlopen", WTERMSIG(st),
			 strsignal(WTERMSIG(st)));
	else
		snprintf(text, sizeof(text), "exited with status %d in dlopen", WEXITSTATUS(st));
	fprintf(out, "{\"loads\":\"%s\",\"error\":", loads);
	probe_json_str(out, ans->opened ? NULL : ans->failed ? ans->error : text);
	if (ans->preload_failed)
		fputs(",\"preload\":false", out);
	fputs("}\n", out);
}

int probe_dlopen(int argc, char **argv, FILE *out)
{
	static const struct option options[] = { { "preload", required_argument, NULL, 'p' },
						 { 0 } };
	char **files = calloc((size_t)argc + 1, sizeof(*files));
	struct answer *ans =
		mmap(NULL, sizeof(*ans), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t n = 0;
	int c, pid, st = 0;
	bool killed, usage = false;
	sigset_t chld, old;

	while (files && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			files[n++] = optarg;
		else
			usage = true;
	}
	if (!files || ans == MAP_FAILED || usage || optind + 1 != argc) {
		fputs("usage: kvpath-probe dlopen FILE [--preload FILE]...\n", stderr);
		return PROBE_EXIT_USAGE;
	}
	files[n++] = argv[optind];
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		try_open(files, n, ans);
		_exit(PROBE_EXIT_OK);
	}
	if (pid < 0) {
		fprintf(stderr, "kvpath-probe: fork: %s\n", strerror(errno));
		return PROBE_EXIT_FAILED;
	}
	probe_reap(&pid, &st, 1, probe_now_ns() + DLOPEN_DEADLINE_S * UINT64_C(1000000000), NULL,
		   NULL, &killed);
	print_answer(out, ans, st, killed);
	free(files);
	return ans->opened ? PROBE_EXIT_OK : PROBE_EXIT_FAILED;
}
