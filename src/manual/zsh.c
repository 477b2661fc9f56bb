/* Completion for zsh, by its _arguments. */
#include "manual/manual.h"

/* Within '...' of zsh, and within [...] and the parts between colons of _arguments. */
static void put(FILE *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '\'')
			fputs("'\\''", out);
		else if (strchr("[]:\\", *s))
			fprintf(out, "\\%c", *s);
		else
			fputc(*s, out);
	}
}

static void print_words(FILE *out, const char *name, const struct kv_words *w)
{
	fputc(':', out);
	put(out, name);
	fputc(':', out);
	if (w->choices.n && w->takes == KV_TAKES_FILE)
		fputs("_alternative \"words:word:(", out);
	else if (w->choices.n)
		fputc('(', out);
	for (size_t i = 0; i < w->choices.n; i++)
		fprintf(out, "%s%s", i ? " " : "", w->choices.v[i]);
	if (w->choices.n)
		fputc(')', out);
	if (w->choices.n && w->takes == KV_TAKES_FILE)
		fputs("\" \"files:file:_files\"", out);
	else if (w->takes == KV_TAKES_FILE)
		fputs("_files", out);
	else if (w->takes == KV_TAKES_DIR)
		fputs("_files -/", out);
}

static void print_option(FILE *out, struct kv_arena *a, const struct kv_option *o)
{
	fprintf(out, "\t\t\t'%s--%s%s[", kv_words_repeat(o) ? "*" : "", o->name, o->arg ? "=" : "");
	put(out, o->help);
	fputc(']', out);
	if (o->arg) {
		struct kv_words w = kv_words_of_option(a, o);

		print_words(out, o->arg, &w);
	}
	fputs("' \\\n", out);
}

static void print_command(FILE *out, struct kv_arena *a, const struct kv_command *c)
{
	struct kv_words w = kv_words_of_command(a, c);

	fprintf(out, "\t\t%s)\n\t\t_arguments -s \\\n", c->name);
	for (const struct kv_option *o = kv_options; o->name; o++)
		if (kv_command_takes(c, o->name))
			print_option(out, a, o);
	/* What follows -- is a command line of its own. */
	if (strstr(c->usage, "-- CMD"))
		fputs("\t\t\t'*:::command:_normal'\n", out);
	else if (w.takes == KV_TAKES_TEXT) {
		fputs("\t\t\t&& return 0\n", out);
	} else {
		fputs("\t\t\t'*", out);
		print_words(out, "argument", &w);
		fputs("'\n", out);
	}
	fputs("\t\t;;\n", out);
}

void kv_manual_zsh(FILE *out, struct kv_arena *a)
{
	fputs("#compdef kvpath\n# Made of kvpath's own tables: do not edit.\n\n_kvpath() {\n"
	      "\tlocal context state state_descr line\n\ttypeset -A opt_args\n"
	      "\t_arguments -C '1:command:->command' '*::argument:->argument' && return 0\n"
	      "\tcase $state in\n\tcommand)\n\t\tlocal -a commands=(\n",
	      out);
	for (const struct kv_command *const *c = kv_commands; *c; c++) {
		fprintf(out, "\t\t\t'%s:", (*c)->name);
		put(out, (*c)->summary);
		fputs("'\n", out);
	}
	fputs("\t\t)\n\t\t_describe -t commands command commands\n\t\t;;\n"
	      "\targument)\n\t\tcase $words[1] in\n",
	      out);
	for (const struct kv_command *const *c = kv_commands; *c; c++)
		print_command(out, a, *c);
	fputs("\t\tesac\n\t\t;;\n\tesac\n}\n\n_kvpath \"$@\"\n", out);
}
