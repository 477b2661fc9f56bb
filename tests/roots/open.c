/*
 * open FILE: dlopen(FILE, RTLD_NOW | RTLD_LOCAL) from a program that links libc alone, without
 * running a single constructor. First line "yes", or "no TEXT" with dlerror's text; after "yes" the
 * link map in its order, one object a line: "=NAME" was there at the start, "+NAME" came with FILE.
 * A loader that gives up by itself (an assertion, SIGBUS) prints nothing.
 *
 * dlopen runs the constructors when everything is mapped, checked and relocated, that is when the
 * answer is known, by _dl_catch_exception(NULL, call_dl_init, ...) (elf/dl-open.c dl_open_worker,
 * since 2.30). ld.so calls that through its PLT, bound to the first definition in the process. Here
 * that is ours: NULL means that the load succeeded, and we leave. Where a glibc does it otherwise
 * the constructors run and dlopen's own return gives the same answer.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_AT_START 256

/* elf/dl-exception.c; its name and layout are part of GLIBC_PRIVATE. */
struct dl_exception {
	const char *objname, *errstring;
	char *message_buffer;
};

typedef int catch_fn(struct dl_exception *e, void (*operate)(void *), void *args);

catch_fn _dl_catch_exception;

static catch_fn *real;
static struct link_map *at_start[MAX_AT_START];
static size_t n_at_start;
static int opening;

static int was_there(const struct link_map *l)
{
	for (size_t i = 0; i < n_at_start; i++)
		if (at_start[i] == l)
			return 1;
	return 0;
}

static void report_loaded(void)
{
	printf("yes\n");
	for (struct link_map *l = _r_debug.r_map; l; l = l->l_next)
		printf("%c%s\n", was_there(l) ? '=' : '+', l->l_name);
	fflush(stdout);
	_exit(0);
}

int _dl_catch_exception(struct dl_exception *e, void (*operate)(void *), void *args)
{
	if (!e && opening)
		report_loaded();
	if (real)
		return real(e, operate, args);
	/* Only until main has looked it up; nothing fails there. */
	operate(args);
	if (e)
		*e = (struct dl_exception){ 0 };
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	real = (catch_fn *)dlvsym(RTLD_NEXT, "_dl_catch_exception", "GLIBC_PRIVATE");
	if (!real)
		return 2;
	for (struct link_map *l = _r_debug.r_map; l && n_at_start < MAX_AT_START; l = l->l_next)
		at_start[n_at_start++] = l;
	opening = 1;
	if (dlopen(argv[1], RTLD_NOW | RTLD_LOCAL))
		report_loaded();
	printf("no %s\n", dlerror());
	return 0;
}
