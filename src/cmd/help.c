/* --help, of the program and of a command. src/manual makes the man pages of the same texts. */
#include "cmd/cmd.h"

#define WIDTH  100
#define OPTION 30 /* columns of an option with its argument */

/* Prints a paragraph in lines of at most WIDTH columns; how it was broken before does not count. */
static void fill(FILE *out, const char *p, const char *end)
{
	size_t column = 0;

	while (p < end) {
		size_t n = strcspn(p, " \n");

		if (n > (size_t)(end - p))
			n = (size_t)(end - p);
		if (column && column + 1 + n > WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		fprintf(out, "%s%.*s", column ? " " : "", (int)n, p);
		column += n + !!column;
		p += n;
		p += strspn(p, " \n");
	}
	fputc('\n', out);
}

static void fill_all(FILE *out, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");

		end = end ? end : text + strlen(text);
		fputc('\n', out);
		fill(out, text, end);
		text = end + strspn(end, "\n");
	}
}

/* Lines by turns: what for, and the command. */
static void print_examples(FILE *out, const char *text)
{
	fputs("\nExamples:\n", out);
	for (bool command = false; *text; command = !command) {
		size_t n = strcspn(text, "\n");

		fprintf(out, "  %s%.*s%s\n", command ? "    " : "", (int)n, text,
			command ? "" : ":");
		text += n + (text[n] == '\n');
	}
}

static void help_command(FILE *out, const struct kv_command *c)
{
	fprintf(out, "Usage: kvpath %s %s\n\n%s.\n\nOptions:\n", c->name, c->usage, c->summary);
	for (const struct kv_option *d = kv_options; d->name; d++) {
		char left[64];

		if (!kv_command_takes(c, d->name))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", d->name, d->arg ? " " : "",
			 d->arg ? d->arg : "");
		/* A long one has a line of its own. */
		if (strlen(left) > OPTION) {
			fprintf(out, "  %s\n", left);
			left[0] = '\0';
		}
		fprintf(out, "  %-*s %s\n", OPTION, left, d->help);
	}
	if (c->help_more)
		c->help_more(out);
	if (c->help)
		fill_all(out, c->help);
	if (c->examples)
		print_examples(out, c->examples);
}

void kv_help(FILE *out, const struct kv_command *c)
{
	if (c) {
		help_command(out, c);
		return;
	}
	fprintf(out, "kvpath: %s.\n\nUsage: kvpath COMMAND [OPTIONS] [TARGET]\n", kv_about_program);
	fill_all(out, kv_about_target);
	fputs("\nCommands:\n", out);
	for (const struct kv_command *const *p = kv_commands; *p; p++)
		fprintf(out, "  %-9s %s\n", (*p)->name, (*p)->summary);
	fputs("\nExit status:\n", out);
	for (const struct kv_about *a = kv_about_status; a->name; a++)
		fprintf(out, "  %s  %s\n", a->name, a->text);
	fputs("\nkvpath COMMAND --help says more, and so does man kvpath-COMMAND.\n", out);
}
