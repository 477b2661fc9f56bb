/*
 * Whether NIXL's progress thread is there. NIXL gives it no name, so that it has the process's; the
 * threads that UCX and CUDA start for themselves have names.
 */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "probe/bench/bench.h"

static bool is_known(const char *name)
{
	/* UCX's, for events; those of CUDA. */
	return strcmp(name, "async\n") == 0 || strncmp(name, "cuda", 4) == 0;
}

/* 0 where the thread is gone. */
static int is_unknown(const char *id)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", id);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	fclose(f);
	return name[0] && !is_known(name);
}

int bench_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    probe_strtoull(e->d_name, NULL, 10) != (unsigned long long)getpid())
			n += is_unknown(e->d_name);
	closedir(d);
	return n;
}
