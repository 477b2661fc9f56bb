/* Completion for fish: one line for each word. */
#include "manual/manual.h"

static void quote(FILE *out, const char *s)
{
	fputc('\'', out);
	for (; *s; s++)
		fprintf(out, "%s%c", *s == '\'' || *s == '\\' ? "\\" : "", *s);
	fputc('\'', out);
}

static void print_choices(FILE *out, const kv_strv *choices)
{
	fputs(" -a '", out);
	for (size_t i = 0; i < choices->n; i++)
		fprintf(out, "%s%s", i ? " " : "", choices->v[i]);
	fputc('\'', out);
}

static void print_option(FILE *out, struct kv_arena *a, const struct kv_command *c,
			 const struct kv_option *o)
{
	fprintf(out, "complete -c kvpath -n '__kvpath_command %s' -l %s", c->name, o->name);
	if (kv_streq(o->name, "output"))
		fputs(" -s o", out);
	if (o->arg) {
		struct kv_words w = kv_words_of_option(a, o);

		fputs(w.takes == KV_TAKES_FILE ? " -r" : " -x", out);
		if (w.takes == KV_TAKES_DIR)
			fputs(" -a '(__fish_complete_directories)'", out);
		else if (w.choices.n)
			print_choices(out, &w.choices);
	}
	fputs(" -d ", out);
	quote(out, o->help);
	fputc('\n', out);
}

static void print_command(FILE *out, struct kv_arena *a, const struct kv_command *c)
{
	struct kv_words w = kv_words_of_command(a, c);

	fprintf(out, "complete -c kvpath -n '__kvpath_command' -a %s -d ", c->name);
	quote(out, c->summary);
	fputc('\n', out);
	for (const struct kv_option *o = kv_options; o->name; o++)
		if (kv_command_takes(c, o->name))
			print_option(out, a, c, o);
	if (w.choices.n) {
		fprintf(out, "complete -c kvpath -n '__kvpath_command %s'", c->name);
		print_choices(out, &w.choices);
		fputc('\n', out);
	}
	if (w.takes != KV_TAKES_FILE)
		fprintf(out, "complete -c kvpath -n '__kvpath_command %s' -f\n", c->name);
}

void kv_manual_fish(FILE *out, struct kv_arena *a)
{
	fputs("# fish completion for kvpath. Made of its own tables: do not edit.\n\n"
	      "# Whether the command is the one named; without a name, whether there is none yet.\n"
	      "function __kvpath_command\n"
	      "    set -l words (commandline -opc)\n"
	      "    if test (count $argv) -eq 0\n"
	      "        test (count $words) -eq 1\n"
	      "    else\n"
	      "        test (count $words) -gt 1; and test $words[2] = $argv[1]\n"
	      "    end\n"
	      "end\n\n"
	      "complete -c kvpath -n '__kvpath_command' -f\n",
	      out);
	for (const struct kv_command *const *c = kv_commands; *c; c++)
		print_command(out, a, *c);
}
