/*
 * maps FILE...: dlopen(FILE, RTLD_NOW | RTLD_LOCAL) from a program that links libc alone, each in a
 * child of its own, as the loader tells it. A file's answer is a block of lines: "file FILE", then
 * "yes", "no TEXT" with dlerror's text, or "abort TEXT" with what was written before the process
 * died; where it loaded, "map PATH" for each object that this brought, in the order of the link
 * map.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_S 120
#define MAX_MAPS   1000

/* The string of entry number i with this tag; NULL past the last. */
static const char *dynamic_text(const struct link_map *m, ElfW(Sxword) tag, int i)
{
	const char *strings = NULL;

	for (const ElfW(Dyn) *d = m->l_ld; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_STRTAB)
			strings = (const char *)d->d_un.d_ptr;
	for (const ElfW(Dyn) *d = m->l_ld; d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag && i-- == 0)
			return strings + d->d_un.d_val;
	return NULL;
}

static bool is_called(const struct link_map *m, const char *name)
{
	const char *soname = dynamic_text(m, DT_SONAME, 0), *slash = strrchr(m->l_name, '/');

	return strcmp(m->l_name, name) == 0 || strcmp(slash ? slash + 1 : m->l_name, name) == 0 ||
	       (soname && strcmp(soname, name) == 0);
}

/* Marks what maps[i] needs, directly and further on. */
static void mark(const struct link_map *const *maps, bool *needed, int n, int i)
{
	const char *name;

	needed[i] = true;
	for (int k = 0; (name = dynamic_text(maps[i], DT_NEEDED, k)); k++)
		for (int j = 0; j < n; j++)
			if (!needed[j] && is_called(maps[j], name)) {
				mark(maps, needed, n, j);
				break;
			}
}

static void print_maps(FILE *answer, const struct link_map *m)
{
	const struct link_map *maps[MAX_MAPS];
	bool needed[MAX_MAPS] = { false };
	int n = 0;

	for (; m && n < MAX_MAPS; m = m->l_next)
		maps[n++] = m;
	if (n)
		mark(maps, needed, n, 0);
	for (int i = 0; i < n; i++)
		if (needed[i])
			fprintf(answer, "map %s\n", maps[i]->l_name);
}

/* What libraries print while they start is of no interest, and must not mix with the answers. */
static void child(const char *file, int out, int log)
{
	const struct link_map *last = dlopen(NULL, RTLD_NOW);
	FILE *answer = fdopen(out, "w");
	int null = open("/dev/null", O_RDWR);

	alarm(DEADLINE_S);
	dup2(null, 0);
	dup2(null, 1);
	dup2(log, 2);
	while (last->l_next)
		last = last->l_next;
	if (!dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
		fprintf(answer, "no %s\n", dlerror());
	} else {
		fprintf(answer, "yes\n");
		print_maps(answer, last->l_next);
	}
	fflush(answer);
	_exit(0);
}

static int one(const char *file)
{
	int out = memfd_create("answer", 0), log = memfd_create("log", 0), status = 0;
	char text[65536];
	ssize_t n;
	pid_t pid;

	printf("file %s\n", file);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(file, out, log);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (status == 0) {
		n = pread(out, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		fputs(text, stdout);
	} else {
		n = pread(log, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		printf("abort %s\n", text);
	}
	close(out);
	close(log);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (one(argv[i]) < 0)
			return 2;
	return 0;
}
