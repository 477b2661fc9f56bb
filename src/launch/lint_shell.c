/*
 * KV708: a step of the repair whose failure does not stop the job. Only steps that put libfabric or
 * NIXL in place are looked at, and only where bash's rules leave no doubt (bash(1), set -e).
 */
#include <strings.h>

#include "launch/lint.h"

static bool is_one(const char *s, const char *const *list)
{
	return kv_lint_listed(list, kv_basename(s));
}

/* Words in which a repair is recognised, also where a variable is in them. */
static bool is_about_fabric(const struct kv_shell_cmd *c)
{
	for (size_t i = 1; i < c->words.n; i++) {
		const char *raw = c->words.v[i].raw;

		if (strcasestr(raw, "fabric") || strcasestr(raw, "nixl") || strcasestr(raw, "/efa"))
			return true;
	}
	return false;
}

/* A copy to a backup, or of what is only read: nothing depends on it. */
static bool is_aside(const struct kv_shell_cmd *c)
{
	static const char *const parts[] = { "backup", ".bak",  ".orig", ".old", ".save",
					     ".log",   ".json", ".csv",  ".txt", ".out" };

	for (size_t k = 1; k < c->words.n; k++)
		for (size_t i = 0; i < KV_ARRAY_SIZE(parts); i++)
			if (strstr(c->words.v[k].raw, parts[i]))
				return true;
	return false;
}

/* The program that it starts; "" where that is not known. */
static const char *program(const struct kv_shell_cmd *c)
{
	return kv_word_text(c, kv_shell_started(c));
}

/* sed that writes its result elsewhere changes nothing. */
static bool only_reads(const struct kv_shell_cmd *c)
{
	if (!kv_streq(kv_basename(program(c)), "sed"))
		return false;
	for (size_t i = kv_shell_started(c); i < c->words.n; i++)
		if (kv_starts(c->words.v[i].raw, "-i") ||
		    kv_starts(c->words.v[i].raw, "--in-place"))
			return false;
	return true;
}

static bool is_step(const struct kv_shell_cmd *c)
{
	static const char *const tools[] = { "cp",  "ln",   "mv",   "install", "sed",   "patch",
					     "tar", "dpkg", "rpm",  "apt-get", "apt",   "yum",
					     "dnf", "pip",  "pip3", "uv",      "rsync", NULL };
	static const char *const always[] = { "ldconfig", NULL };
	const char *first = program(c), *what = kv_word_text(c, kv_shell_started(c) + 1);

	if (c->compound || c->depth)
		return false;
	if (kv_streq(kv_basename(first), "kvpath"))
		return kv_streq(what, "fix") || kv_streq(what, "check");
	return is_one(first, always) ||
	       (is_one(first, tools) && is_about_fabric(c) && !is_aside(c) && !only_reads(c));
}

/* What ends the text, or takes the failure on. */
static bool ends_it(const struct kv_shell_cmd *c)
{
	static const char *const words[] = { "exit", "return", "false", "kill", "scancel", NULL };

	return c->compound || !*kv_word_text(c, 0) || is_one(kv_word_text(c, 0), words);
}

static bool hides_it(const struct kv_shell_cmd *c)
{
	static const char *const words[] = { "true", ":", "echo", "printf", NULL };

	return !c->compound && is_one(kv_word_text(c, 0), words);
}

/* What is in effect of set -e and set -o pipefail. */
struct modes {
	bool errexit, pipefail;
};

/* set -e, set -euo pipefail, set -o errexit: 1; set +e: 0; -1: no such thing. letter: NUL where
 * there is none. */
static int sets(const struct kv_shell_cmd *c, char letter, const char *name)
{
	int found = -1;

	if (!kv_streq(kv_word_text(c, 0), "set"))
		return -1;
	for (size_t i = 1; i < c->words.n; i++) {
		const char *w = kv_word_text(c, i);

		if (letter && (w[0] == '-' || w[0] == '+') && w[1] != '-' && strchr(w, letter))
			found = w[0] == '-';
		if (kv_streq(w, name))
			found = kv_word_text(c, i - 1)[0] == '-';
	}
	return found;
}

/* After which nothing is certain: who knows what it sets. */
static bool is_opaque(const struct kv_shell_cmd *c)
{
	static const char *const words[] = { "trap", "source", ".", "eval", "exec", NULL };

	return kv_lint_listed(words, kv_word_text(c, 0));
}

/* The command behind it and what is in it; NULL. */
static const struct kv_shell_cmd *behind(const struct kv_shell *s, const struct kv_shell_cmd *c)
{
	size_t i = c ? kv_shell_behind(s, (size_t)(c - s->cmds.v)) : s->cmds.n;

	return i < s->cmds.n ? &s->cmds.v[i] : NULL;
}

/* Whether what follows a step may look at how it went: at its status, or at what it made. */
static bool looks_at_it(const struct kv_shell *s, const char *text, const struct kv_shell_cmd *c)
{
	static const char *const tests[] = { "[", "test", NULL };
	static const char *const parts[] = { "$?", "PIPESTATUS", "exit", "return", "false" };
	const struct kv_shell_cmd *then = behind(s, c);

	for (size_t i = 0; i < c->words.n; i++)
		if (strstr(c->words.v[i].raw, "$?") || strstr(c->words.v[i].raw, "PIPESTATUS"))
			return true;
	for (size_t i = 0; c->compound && i < KV_ARRAY_SIZE(parts); i++)
		if (memmem(text + c->start, c->end - c->start, parts[i], strlen(parts[i])))
			return true;
	return (c->compound || is_one(program(c), tests)) && c->next == KV_SHELL_OR && then &&
	       ends_it(then);
}

/*
 * What the command behind || makes of a failure, where that is certain: of ( ) and { } what the
 * commands in them do. An exit in ( ) ends no more than that, and gives it its status.
 */
enum fate { UNSURE_OR_ENDS, HIDDEN, ENDS_SUBSHELL };

static enum fate fate_of(const struct kv_shell *s, const struct kv_shell_cmd *c)
{
	const struct kv_shell_cmd *end = s->cmds.v + s->cmds.n;

	if (!c->compound)
		return hides_it(c) ? HIDDEN : UNSURE_OR_ENDS;
	if (!c->opens)
		return UNSURE_OR_ENDS;
	for (const struct kv_shell_cmd *in = c + 1; in < end && in->depth > c->depth; in++) {
		if (in->depth > c->depth + 1 || in->next == KV_SHELL_OR || in->next == KV_SHELL_AND)
			return UNSURE_OR_ENDS;
		if (kv_streq(program(in), "exit") && in->words.n == 2 &&
		    !kv_streq(kv_word_text(in, 1), "0"))
			return c->opens == '(' ? ENDS_SUBSHELL : UNSURE_OR_ENDS;
		if (!hides_it(in))
			return UNSURE_OR_ENDS;
	}
	return HIDDEN;
}

/* What the list makes of a failure in front of `|| alternative`; NULL as below. */
static const char *taken_over(const struct kv_shell *s, const char *text,
			      const struct kv_shell_cmd *alternative, bool errexit)
{
	const char *first = kv_word_text(alternative, 0);
	const struct kv_shell_cmd *c = alternative, *after;
	enum fate fate = fate_of(s, alternative);

	if (fate != HIDDEN && (fate != ENDS_SUBSHELL || errexit))
		return NULL;
	while (c && (c->next == KV_SHELL_AND || c->next == KV_SHELL_OR)) {
		c = behind(s, c);
		if (c && ends_it(c))
			return NULL;
	}
	if (fate == HIDDEN)
		return kv_streq(first, "true") || kv_streq(first, ":")
			       ? "|| true hides that it failed"
			       : "|| echo hides that it failed";
	/* The status of ( ) is left. */
	after = behind(s, c);
	return after && !looks_at_it(s, text, after) ? "|| ( ... exit ) ends no more than what is "
						       "in the brackets: { ... ; } would"
						     : NULL;
}

/* What becomes of a failure of command i; NULL where it stops the text, or that is not certain. */
static const char *passed_over(const struct kv_shell *s, const char *text, size_t i,
			       struct modes mode)
{
	const struct kv_shell_cmd *c = &s->cmds.v[i], *next;
	bool piped = c->next == KV_SHELL_PIPE;
	bool last = true; /* of its list: set -e looks at it */

	while (c && c->next == KV_SHELL_PIPE)
		c = behind(s, c);
	next = behind(s, c);
	if (piped && !mode.pipefail)
		return next && looks_at_it(s, text, next)
			       ? NULL
			       : "only what is behind | is looked at: no set -o pipefail is in "
				 "effect";
	for (; c && c->next == KV_SHELL_AND; c = behind(s, c))
		last = false;
	next = behind(s, c);
	if (!next)
		return NULL;
	if (c->next == KV_SHELL_OR)
		return taken_over(s, text, next, mode.errexit);
	if (c->next != KV_SHELL_NEXT || looks_at_it(s, text, next))
		return NULL;
	if (!mode.errexit)
		return "what follows runs although it failed: no set -e is in effect";
	return last ? NULL : "in front of && a failure does not end the script, with set -e too";
}

static void lint_one(struct kv_job *j, const struct kv_job_shell *s)
{
	struct modes mode = { .errexit = s->errexit, .pipefail = s->pipefail };
	unsigned number = 0;

	for (size_t i = 0; i < s->shell.cmds.n; i++) {
		const struct kv_shell_cmd *c = &s->shell.cmds.v[i];
		int errexit = sets(c, 'e', "errexit"), pipefail = sets(c, '\0', "pipefail");
		const char *why;
		unsigned line, column;

		if (is_opaque(c) || ((errexit >= 0 || pipefail >= 0) && c->depth))
			return;
		if (errexit >= 0)
			mode.errexit = errexit > 0;
		if (pipefail >= 0)
			mode.pipefail = pipefail > 0;
		number += c->depth == 0;
		why = is_step(c) ? passed_over(&s->shell, s->node->text, i, mode) : NULL;
		if (!why)
			continue;
		kv_lint_place(j, s->at[c->start], &line, &column);
		kv_lint_add(j, "KV708", KV_WARNING, line, column,
			    kv_strf(j->arena, "%s, command %u (%s): %s", s->what, number,
				    kv_basename(program(c)), why),
			    "join the steps by &&, or begin with set -e, and let a step that fails "
			    "end the job; kvpath fix does the whole repair in one step");
	}
}

void kv_lint_shells(struct kv_job *j)
{
	for (size_t i = 0; i < j->shells.n; i++)
		if (j->shells.v[i].readable)
			lint_one(j, &j->shells.v[i]);
}
