/* kvpath-manual DIR: writes the man pages to DIR/man1 and the completions beside it. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "manual/manual.h"

static void die(const char *what)
{
	fprintf(stderr, "kvpath-manual: %s: %s\n", what, strerror(errno));
	exit(1);
}

static FILE *begin(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		die(path);
	return f;
}

static void end(FILE *f, const char *path)
{
	bool bad = ferror(f);

	if (fclose(f) != 0 || bad)
		die(path);
}

/* A page of a command that is no more does not stay; and the directory has a new time. */
static void empty(const char *path)
{
	DIR *d;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		die(path);
	d = opendir(path);
	if (!d)
		die(path);
	for (const struct dirent *e; (e = readdir(d));)
		if (strstr(e->d_name, ".1") && unlinkat(dirfd(d), e->d_name, 0) < 0)
			die(e->d_name);
	closedir(d);
}

static void write_page(struct kv_arena *a, const char *dir, const struct kv_command *c)
{
	const char *path = kv_strf(a, "%s/man1/kvpath%s%s.1", dir, c ? "-" : "", c ? c->name : "");
	FILE *f = begin(path);

	kv_manual_page(f, c);
	end(f, path);
}

static void write_completion(struct kv_arena *a, const char *dir, const char *name,
			     void (*print)(FILE *, struct kv_arena *))
{
	const char *path = kv_strf(a, "%s/%s", dir, name);
	FILE *f = begin(path);

	print(f, a);
	end(f, path);
}

int main(int argc, char **argv)
{
	struct kv_arena *a = kv_arena_new();

	if (argc != 2) {
		fputs("Usage: kvpath-manual DIR\n", stderr);
		return 2;
	}
	empty(kv_strf(a, "%s/man1", argv[1]));
	write_page(a, argv[1], NULL);
	for (const struct kv_command *const *c = kv_commands; *c; c++)
		write_page(a, argv[1], *c);
	write_completion(a, argv[1], "kvpath", kv_manual_bash);
	write_completion(a, argv[1], "_kvpath", kv_manual_zsh);
	write_completion(a, argv[1], "kvpath.fish", kv_manual_fish);
	kv_arena_free(a);
	return 0;
}
