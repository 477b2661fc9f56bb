/* Completion for bash: one function, every list in it. */
#include "manual/manual.h"

static const char head[] =
	"# bash completion for kvpath. Made of its own tables: do not edit.\n\n"
	"_kvpath()\n{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev='' command='' options='' words='' files=''\n"
	"\tlocal i\n"
	"\tCOMPREPLY=()\n"
	"\t((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	"\t# --mem=vram comes as three words.\n"
	"\tif [[ $cur == '=' ]]; then\n"
	"\t\tcur=''\n"
	"\telif [[ $prev == '=' ]] && ((COMP_CWORD > 1)); then\n"
	"\t\tprev=${COMP_WORDS[COMP_CWORD - 2]}\n"
	"\tfi\n";

static const char after_dashes[] = "\t# What follows -- is a command line of its own.\n"
				   "\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
				   "\t\t[[ ${COMP_WORDS[i]} == -- ]] || continue\n"
				   "\t\tif ((i + 1 == COMP_CWORD)); then\n"
				   "\t\t\tmapfile -t COMPREPLY < <(compgen -c -- \"$cur\")\n"
				   "\t\telse\n"
				   "\t\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
				   "\t\t\tcompopt -o filenames 2>/dev/null\n"
				   "\t\tfi\n"
				   "\t\treturn 0\n"
				   "\tdone\n";

static const char tail[] = "\tif [[ $cur == -* ]]; then\n"
			   "\t\twords=$options files=''\n"
			   "\tfi\n"
			   "\tmapfile -t COMPREPLY < <(\n"
			   "\t\tcompgen -W \"$words\" -- \"$cur\"\n"
			   "\t\t[[ -z $files ]] || compgen \"$files\" -- \"$cur\"\n"
			   "\t)\n"
			   "\t[[ -z $files ]] || compopt -o filenames 2>/dev/null\n"
			   "\treturn 0\n"
			   "}\n"
			   "complete -F _kvpath kvpath\n";

static void print_words(FILE *out, const struct kv_words *w)
{
	if (w->choices.n) {
		fputs(" words='", out);
		for (size_t i = 0; i < w->choices.n; i++)
			fprintf(out, "%s%s", i ? " " : "", w->choices.v[i]);
		fputc('\'', out);
	}
	if (w->takes == KV_TAKES_FILE || w->takes == KV_TAKES_DIR)
		fprintf(out, " files=-%c", w->takes == KV_TAKES_FILE ? 'f' : 'd');
}

static void print_command(FILE *out, struct kv_arena *a, const struct kv_command *c)
{
	struct kv_words w = kv_words_of_command(a, c);

	fprintf(out, "\t%s)\n\t\toptions='", c->name);
	for (const struct kv_option *o = kv_options; o->name; o++)
		if (kv_command_takes(c, o->name))
			fprintf(out, "--%s ", o->name);
	fputs("'", out);
	print_words(out, &w);
	fputs("\n\t\t;;\n", out);
}

static void print_option(FILE *out, struct kv_arena *a, const struct kv_option *o)
{
	struct kv_words w = kv_words_of_option(a, o);

	fprintf(out, "\t--%s%s)\n\t\toptions='' words='' files=''", o->name,
		kv_streq(o->name, "output") ? " | -o" : "");
	print_words(out, &w);
	/* A name of one's own is as good: nothing to offer. */
	fputs("\n\t\t;;\n", out);
}

void kv_manual_bash(FILE *out, struct kv_arena *a)
{
	fputs(head, out);
	fputs("\tif ((COMP_CWORD == 1)); then\n\t\tmapfile -t COMPREPLY < <(compgen -W '", out);
	for (const struct kv_command *const *c = kv_commands; *c; c++)
		fprintf(out, "%s ", (*c)->name);
	fputs("--help --version' -- \"$cur\")\n\t\treturn 0\n\tfi\n", out);
	fputs(after_dashes, out);
	fputs("\tcommand=${COMP_WORDS[1]}\n\tcase $command in\n", out);
	for (const struct kv_command *const *c = kv_commands; *c; c++)
		print_command(out, a, *c);
	fputs("\tesac\n\tcase $prev in\n", out);
	for (const struct kv_option *o = kv_options; o->name; o++)
		if (o->arg)
			print_option(out, a, o);
	fputs("\tesac\n", out);
	fputs(tail, out);
}
