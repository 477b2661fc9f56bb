/*
 * command_path ROOT HOST:GUEST CWD: the model's side of imports.py. Reads commands from stdin, each
 * as its environment, an empty word, its arguments and an empty word more (words end with NUL; an
 * argument "" is written as "\1"). Prints one line for each: program, version, bin, first of the
 * path, "no user site" or "-"; "?" where the command tells nothing.
 */
#include "inspect/internal.h"

#define MAX_INPUT ((size_t)8 << 20)

static const char *word(const char **p, const char *end)
{
	const char *s = *p;

	if (s >= end)
		return "";
	*p += strlen(s) + 1;
	return s;
}

static void answer(struct kv_facts *f, const char **p, const char *end)
{
	struct kv_env env = { 0 };
	kv_strv argv = { 0 };
	const char *s;

	while (*(s = word(p, end)))
		kv_env_put(f->arena, &env, s);
	while (*(s = word(p, end)))
		kv_vec_push(f->arena, &argv, kv_strdup(f->arena, *s == '\1' ? "" : s));
	f->env = &env;
	kv_read_command(f, &argv);
	if (f->python.path)
		printf("%s\t%s\t%s\t%s\t%s\n", f->python.path,
		       f->python.version ? f->python.version : "-", f->python.bin,
		       !f->python.first          ? "-"
		       : f->python.first_is_sure ? f->python.first
						 : "perhaps",
		       f->python.no_user_site ? "no user site" : "-");
	else
		puts("?");
}

int main(int argc, char **argv)
{
	struct kv_arena *a = kv_arena_new();
	struct kv_facts f = { .arena = a };
	char *in = kv_alloc(a, MAX_INPUT);
	struct kv_err err;
	const char *p = in;
	char *colon;
	size_t n;

	if (argc != 4 || kv_root_open(a, argv[1], &f.root, &err) < 0)
		return 2;
	colon = strchr(argv[2], ':');
	if (!colon)
		return 2;
	*colon = '\0';
	if (kv_root_bind(f.root, argv[2], colon + 1, &err) < 0)
		return 2;
	f.cwd = argv[3];
	n = fread(in, 1, MAX_INPUT - 1, stdin);
	while (p < in + n)
		answer(&f, &p, in + n);
	kv_root_close(f.root);
	kv_arena_free(a);
	return 0;
}
