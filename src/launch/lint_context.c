/*
 * Where the commands of a text for bash stand: what is in effect there of set -e, what compound
 * command or function they are in, and which only call that has. While loops, break, and all behind
 * trap, source and eval leave doubt (bash(1), SHELL GRAMMAR, set).
 */
#include "launch/lint_context.h"

#define NO_CALL SIZE_MAX

static const struct kv_shell_cmd *cmd(const struct kv_context *x, size_t i)
{
	return &x->s->cmds.v[i];
}

static size_t index_of(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	return (size_t)(c - x->s->cmds.v);
}

/* What it does, it does in a shell of its own. */
static bool is_apart(const struct kv_shell_cmd *c)
{
	return c->kind == KV_SHELL_SUBSHELL || c->before == KV_SHELL_PIPE ||
	       c->next == KV_SHELL_PIPE || c->next == KV_SHELL_BACKGROUND;
}

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

/* Whether it runs for certain, and where it stands; not what a function does. */
static bool is_sure(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	if (is_apart(c))
		return false;
	for (;; c = cmd(x, c->inside)) {
		if (c->before == KV_SHELL_AND || c->before == KV_SHELL_OR || c->function ||
		    (c->compound && c->kind != KV_SHELL_GROUP && c->kind != KV_SHELL_SUBSHELL))
			return false;
		if (!c->depth)
			return true;
	}
}

/* Takes over what it sets; false where nothing is certain from there on. */
static bool take_modes(const struct kv_context *x, const struct kv_shell_cmd *c, struct kv_modes *m)
{
	static const char *const opaque[] = { "trap", "source", ".", "eval", "exec", NULL };
	int errexit = sets(c, 'e', "errexit"), pipefail = sets(c, '\0', "pipefail");

	if (kv_lint_listed(opaque, kv_word_text(c, 0)))
		return false;
	if (errexit < 0 && pipefail < 0)
		return true;
	if (errexit >= 0)
		m->errexit = errexit > 0;
	if (pipefail >= 0)
		m->pipefail = pipefail > 0;
	return is_sure(x, c);
}

static void note_jump(struct kv_context *x, const struct kv_shell_cmd *c)
{
	static const char *const words[] = { "break", "continue", NULL };

	if (!kv_lint_listed(words, kv_word_text(c, 0)))
		return;
	for (; c->depth; c = cmd(x, c->inside))
		x->jumps[c->inside] |= cmd(x, c->inside)->kind == KV_SHELL_FOR;
}

static void read_modes(struct kv_context *x, struct kv_modes mode)
{
	struct kv_shell_cmd *c;
	const struct kv_shell_cmd *in = NULL; /* the compound one that is being read */

	for (x->limit = 0; x->limit < x->s->cmds.n; x->limit++) {
		c = &x->s->cmds.v[x->limit];
		/* What a shell of its own has set ends with it. */
		for (; in && in->depth >= c->depth; in = in->depth ? cmd(x, in->inside) : NULL)
			if (is_apart(in))
				mode = x->modes[index_of(x, in)];
		x->modes[x->limit] = mode;
		note_jump(x, c);
		if (!take_modes(x, c, &mode))
			break;
		if (c->compound)
			in = c;
	}
	while (x->limit < x->s->cmds.n && cmd(x, x->limit)->depth)
		x->limit = cmd(x, x->limit)->inside;
}

/* Whether the name stands in the word, also in what is put in there. */
static bool has_name(const char *word, const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_-";
	size_t n = strlen(name);

	for (const char *s = word; (s = strstr(s, name)); s++)
		if ((s == word || !strchr(letters, s[-1])) && (!s[n] || !strchr(letters, s[n])))
			return true;
	return false;
}

/* The only place that calls the function; NO_CALL where there may be others. */
static size_t find_call(const struct kv_context *x, size_t body)
{
	const char *name = cmd(x, body)->function;
	size_t call = NO_CALL;

	for (size_t i = 0; i < x->s->cmds.n && *name; i++) {
		const struct kv_shell_cmd *c = cmd(x, i);

		if (i != body && c->function && kv_streq(c->function, name))
			return NO_CALL;
		for (size_t k = 0; k < c->words.n; k++) {
			if (!has_name(c->words.v[k].raw, name))
				continue;
			if (call != NO_CALL || k || !kv_streq(kv_word_text(c, 0), name))
				return NO_CALL;
			call = i;
		}
	}
	/* A body that calls itself is no call. */
	return call < x->limit && call >= kv_shell_behind(x->s, body) ? call : NO_CALL;
}

void kv_context_read(struct kv_arena *a, const struct kv_job_shell *s, struct kv_context *ret)
{
	struct kv_context *x = ret;
	size_t n = s->shell.cmds.n;

	*x = (struct kv_context){ .s = &s->shell,
				  .text = s->node->text,
				  .modes = kv_alloc_n(a, n + 1, sizeof(*x->modes)),
				  .jumps = kv_alloc_n(a, n + 1, sizeof(*x->jumps)) };
	memset(x->jumps, 0, (n + 1) * sizeof(*x->jumps));
	read_modes(x, (struct kv_modes){ .errexit = s->errexit, .pipefail = s->pipefail });
	for (size_t i = 0; i < x->limit && x->n_functions < KV_MOST_FUNCTIONS; i++)
		if (cmd(x, i)->function) {
			x->functions[x->n_functions].call = find_call(x, i);
			x->functions[x->n_functions++].body = i;
		}
}

/* ---- places ---- */

const struct kv_shell_cmd *kv_context_behind(const struct kv_context *x,
					     const struct kv_shell_cmd *c)
{
	const struct kv_shell_cmd *next = c;

	do {
		size_t i = kv_shell_behind(x->s, index_of(x, next));

		if (i == x->s->cmds.n || cmd(x, i)->depth != c->depth || cmd(x, i)->part != c->part)
			return NULL;
		next = cmd(x, i);
	} while (next->function && next->before == KV_SHELL_NEXT);
	return next;
}

struct kv_around kv_context_around(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	struct kv_around ret = { 0 };

	if (!c->depth)
		return ret;
	ret.c = cmd(x, c->inside);
	ret.is_apart = is_apart(ret.c);
	if (!ret.c->function)
		return ret;
	for (size_t i = 0; i < x->n_functions; i++)
		if (x->functions[i].body == c->inside && x->functions[i].call != NO_CALL) {
			ret.c = cmd(x, x->functions[i].call);
			ret.is_call = true;
			ret.is_apart |= is_apart(ret.c);
			return ret;
		}
	ret.c = NULL;
	return ret;
}

bool kv_context_is_clear(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	while (c->depth) {
		if (cmd(x, c->inside)->kind == KV_SHELL_OTHER || x->jumps[c->inside])
			return false;
		c = kv_context_around(x, c).c;
		if (!c)
			return false;
	}
	return true;
}

const struct kv_shell_cmd *kv_context_body(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	const char *name = kv_word_text(c, 0);

	for (size_t i = x->n_functions; *name && i-- > 0;)
		if (kv_streq(cmd(x, x->functions[i].body)->function, name))
			return cmd(x, x->functions[i].body);
	return c;
}

struct kv_modes kv_context_modes(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	const struct kv_shell_cmd *at = c;

	for (struct kv_around up = kv_context_around(x, c); up.c; up = kv_context_around(x, up.c))
		if (up.is_call)
			at = up.c;
	return x->modes[index_of(x, at)];
}

bool kv_context_in_condition(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	return c->depth && cmd(x, c->inside)->kind == KV_SHELL_IF && c->part % 2 == 0;
}

bool kv_context_is_suspended(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	while (c && !kv_context_in_condition(x, c)) {
		const struct kv_shell_cmd *end;

		c = end = kv_context_around(x, c).c;
		while (end && end->next == KV_SHELL_PIPE)
			end = kv_context_behind(x, end);
		if (end && (end->inverted || end->next == KV_SHELL_AND || end->next == KV_SHELL_OR))
			return true;
	}
	return c != NULL;
}
