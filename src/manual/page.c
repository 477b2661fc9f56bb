/* A man page, in the macros of man(7). */
#include <ctype.h>
#include <stdlib.h>

#include "manual/manual.h"

/* Characters that roff would read as its own, or print as others than were typed. */
static void put(FILE *out, const char *s, size_t n, bool literal)
{
	for (size_t i = 0; i < n; i++) {
		bool dash = i + 1 < n && s[i] == '-' && s[i + 1] == '-';

		if (i == 0 && (s[i] == '.' || s[i] == '\''))
			fputs("\\&", out);
		if (s[i] == '\\')
			fputs("\\e", out);
		else if (s[i] == '-' && (literal || dash || (i && s[i - 1] == '-')))
			fputs("\\-", out);
		else if (s[i] == '\'' && literal)
			fputs("\\(aq", out);
		else if (s[i] == '`' && literal)
			fputs("\\(ga", out);
		else if (s[i] == '^' && literal)
			fputs("\\(ha", out);
		else if (s[i] == '~' && literal)
			fputs("\\(ti", out);
		else
			fputc(s[i], out);
	}
}

static void literal(FILE *out, const char *s)
{
	put(out, s, strlen(s), true);
}

/* What comes after the word that ends at p: each sentence has a line of its own, as roff wants it.
 */
static const char *between(const char *p, const char *word, size_t column)
{
	if (p[0] == '\n' && p[1] == '\n')
		return "\n.PP\n";
	if (!p[strspn(p, " \n")] || (p > word && strchr(".:;", p[-1])))
		return "\n";
	return column > 60 ? "\n" : " ";
}

/* Paragraphs; how their lines were broken before does not count. */
static void text(FILE *out, const char *p)
{
	size_t column = 0;

	while (*p) {
		const char *word = p, *sep;

		p += strcspn(p, " \n");
		put(out, word, (size_t)(p - word), false);
		column += (size_t)(p - word) + 1;
		sep = between(p, word, column);
		column = *sep == '\n' ? 0 : column;
		fputs(sep, out);
		p += strspn(p, " \n");
	}
}

static void lines(FILE *out, const char *s)
{
	fputs(".PP\n.nf\n", out);
	for (; *s; s += *s == '\n') {
		size_t n = strcspn(s, "\n");

		put(out, s, n, true);
		if (n)
			fputc('\n', out);
		s += n;
	}
	fputs(".fi\n", out);
}

static void options(FILE *out, const struct kv_command *c)
{
	fputs(".SH OPTIONS\n", out);
	for (const struct kv_option *o = kv_options; o->name; o++) {
		if (!kv_command_takes(c, o->name))
			continue;
		fputs(".TP\n.BR \\-\\-", out);
		literal(out, o->name);
		if (o->arg)
			fprintf(out, " \" \\fI%s\\fR\"", o->arg);
		fputc('\n', out);
		text(out, o->help);
	}
}

static void about(FILE *out, const char *title, const struct kv_about *a,
		  const struct kv_command *c)
{
	bool any = false;

	for (; a->name; a++) {
		if (c && !kv_about_applies(a, c))
			continue;
		if (!any)
			fprintf(out, ".SH %s\n", title);
		any = true;
		fputs(".TP\n.B ", out);
		literal(out, a->name);
		fputc('\n', out);
		text(out, a->text);
	}
}

static void examples(FILE *out, const char *s)
{
	const char *first = s;

	fputs(".SH EXAMPLES\n", out);
	for (bool command = false; *s; command = !command) {
		size_t n = strcspn(s, "\n");

		fputs(command ? ".PP\n.RS 4\n.nf\n" : s > first ? ".PP\n" : "", out);
		put(out, s, n, command);
		fputs(command ? "\n.fi\n.RE\n" : ":\n", out);
		s += n + (s[n] == '\n');
	}
}

static void describe(FILE *out, const struct kv_command *c)
{
	char *more = NULL;
	size_t size;
	FILE *mem;

	fprintf(out, ".SH SYNOPSIS\n.B kvpath %s\n", c->name);
	literal(out, c->usage);
	fprintf(out, "\n.SH DESCRIPTION\n%c", toupper((unsigned char)c->summary[0]));
	text(out, c->summary + 1);
	fputs(".PP\n", out);
	if (strstr(c->usage, "TARGET")) {
		text(out, kv_about_target);
		fputs(".PP\n", out);
	}
	text(out, c->help);
	if (!c->help_more)
		return;
	mem = open_memstream(&more, &size);
	if (!mem)
		abort();
	c->help_more(mem);
	fclose(mem);
	lines(out, more);
	free(more);
}

static void see_also(FILE *out, const struct kv_command *c)
{
	const char *between = "";

	fputs(".SH SEE ALSO\n", out);
	if (c) {
		fputs(".BR kvpath (1)\n", out);
		return;
	}
	for (const struct kv_command *const *p = kv_commands; *p; p++) {
		fprintf(out, "%s.BR kvpath\\-%s (1)", between, (*p)->name);
		between = ",\n";
	}
	fputc('\n', out);
}

static void program(FILE *out)
{
	fputs(".SH SYNOPSIS\n.B kvpath\n.I COMMAND\n[OPTIONS] [TARGET]\n.SH DESCRIPTION\n", out);
	text(out, "Disaggregated serving of language models moves KV caches between nodes through "
		  "NIXL. kvpath says why they do not take the fabric, repairs it, and proves it "
		  "with transfers that are measured.\n\n");
	text(out, kv_about_target);
	fputs(".SH COMMANDS\n", out);
	for (const struct kv_command *const *p = kv_commands; *p; p++) {
		fprintf(out, ".TP\n.BR kvpath\\-%s (1)\n", (*p)->name);
		text(out, (*p)->summary);
	}
}

void kv_manual_page(FILE *out, const struct kv_command *c)
{
	fputs(".\\\" Made of kvpath's own tables: do not edit.\n.TH KVPATH", out);
	if (c) {
		fputs("\\-", out);
		for (const char *s = c->name; *s; s++)
			fputc(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s, out);
	}
	fprintf(out, " 1 \"%s\" \"kvpath %s\" \"User Commands\"\n.SH NAME\nkvpath%s%s \\-\n",
		KVPATH_DATE, KVPATH_VERSION, c ? "\\-" : "", c ? c->name : "");
	text(out, c ? c->summary : kv_about_program);
	if (c) {
		describe(out, c);
		options(out, c);
	} else {
		program(out);
	}
	about(out, "EXIT STATUS", kv_about_status, c);
	about(out, "ENVIRONMENT", kv_about_env, c);
	about(out, "FILES", kv_about_files, c);
	if (c && c->examples)
		examples(out, c->examples);
	see_also(out, c);
}
