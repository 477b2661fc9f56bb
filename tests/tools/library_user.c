/*
 * A caller of libkvpath as it should not be disturbed: threads, SIGCHLD ignored, odd signal masks.
 * Checks argv[1] from eight threads at once; prints the verdicts, and what of this process has
 * changed.
 */
#include <dirent.h>
#include <kvpath/kvpath.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8

static const char *target;

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Whether the kernel filters this process, what it may gain, and its limits. */
static void state(char *out, size_t size)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Seccomp", 7) || !strncmp(line, "NoNewPrivs", 10) ||
		    !strncmp(line, "Cap", 3) || (!strncmp(line, "Sig", 3) && line[3] != 'Q'))
			strncat(out, line, size - strlen(out) - 1);
	if (f)
		fclose(f);
	f = fopen("/proc/self/limits", "r");
	while (f && fgets(line, sizeof(line), f))
		strncat(out, line, size - strlen(out) - 1);
	if (f)
		fclose(f);
}

static void *nothing(void *unused)
{
	return unused;
}

static void *check(void *verdict)
{
	kvpath_options *o = kvpath_options_new();
	kvpath_result *r;
	char *error = NULL;
	int e;

	kvpath_options_add(o, "backend", "LIBFABRIC");
	e = kvpath_check(target, o, &r, &error);
	*(int *)verdict = e;
	if (e == 0) {
		*(int *)verdict = (int)kvpath_result_verdict(r);
		kvpath_result_free(r);
	}
	free(error);
	kvpath_options_free(o);
	return NULL;
}

int main(int argc, char **argv)
{
	static char before[65536], after[65536];
	pthread_t threads[THREADS];
	int verdicts[THREADS], fds;

	target = argc > 1 ? argv[1] : "/";
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* With the first thread the C library takes a signal for itself. */
	pthread_create(&threads[0], NULL, nothing, NULL);
	pthread_join(threads[0], NULL);
	fds = count_fds();
	state(before, sizeof(before));
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, check, &verdicts[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		printf("%d ", verdicts[i]);
	state(after, sizeof(after));
	printf("\nfds %s, state %s\n", fds == count_fds() ? "same" : "changed",
	       strcmp(before, after) ? "changed" : "same");
	return 0;
}
