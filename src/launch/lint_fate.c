/*
 * What becomes of a failure in a text for bash: it is followed from the command out of the lists
 * and compound commands that it is in, and out of a function to its call, as far as bash's rules
 * leave no doubt (bash(1), SHELL GRAMMAR and set -e).
 */
#include "launch/lint_context.h"

/* What ends the text, or takes the failure on. */
static bool ends_it(const struct kv_shell_cmd *c)
{
	static const char *const words[] = { "exit", "return", "false", "kill", "scancel", NULL };

	return c->compound || !*kv_word_text(c, 0) ||
	       kv_lint_listed(words, kv_basename(kv_word_text(c, 0)));
}

static bool hides_it(const struct kv_shell_cmd *c)
{
	static const char *const words[] = { "true", ":", "echo", "printf", NULL };

	return !c->compound && kv_lint_listed(words, kv_basename(kv_word_text(c, 0)));
}

/* What its list makes of a test: || exit, or its status is that of what it is in. */
static bool is_looked_at(const struct kv_context *x, const struct kv_shell_cmd *test)
{
	const struct kv_shell_cmd *c = test, *then = kv_context_behind(x, c);

	if (c->next == KV_SHELL_OR)
		return then && ends_it(then);
	while (c && c->next == KV_SHELL_AND)
		c = kv_context_behind(x, c);
	return c && c->depth && test->kind == KV_SHELL_OTHER && !kv_context_behind(x, c);
}

/* Whether what follows a step may look at how it went: at its status, or at what it made. */
static bool looks_at_it(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	static const char *const tests[] = { "[", "test", NULL };
	static const char *const leaves[] = { "exit", "return", NULL };
	static const char *const parts[] = { "$?", "PIPESTATUS", "exit", "return", "false" };
	const char *first = kv_word_text(c, kv_shell_started(c));
	const struct kv_shell_cmd *body = kv_context_body(x, c);

	for (size_t i = 0; i < c->words.n; i++)
		if (strstr(c->words.v[i].raw, "$?") || strstr(c->words.v[i].raw, "PIPESTATUS"))
			return true;
	for (size_t i = 0; body->compound && i < KV_ARRAY_SIZE(parts); i++)
		if (memmem(x->text + body->start, body->end - body->start, parts[i],
			   strlen(parts[i])))
			return true;
	/* Alone, with the status of the command before. */
	if (kv_lint_listed(leaves, first) && c->words.n == 1)
		return true;
	return (c->compound || kv_lint_listed(tests, kv_basename(first))) && is_looked_at(x, c);
}

/* ---- a failure on its way ---- */

enum fate {
	UNSURE,
	PASSED_OVER,
	FAILS,   /* so does what it is in */
	GOES_ON, /* it is now one of another command of the list */
	RETURNS, /* the function ends, and has failed */
	EXITS,   /* the shell */
};

struct failure {
	const struct kv_shell_cmd *at;
	bool ignored;    /* set -e has let it pass, and does so further out */
	const char *why; /* it is passed over */
};

/* exit and return with a status that tells of a failure. */
static enum fate fate_of_leaving(const struct kv_shell_cmd *c, bool alone_fails)
{
	const char *first = kv_word_text(c, 0), *status = kv_word_text(c, 1);
	bool fails = c->words.n == 1 ? alone_fails
				     : c->words.n == 2 && *status && !kv_streq(status, "0") &&
					       !status[strspn(status, "0123456789")];

	if (!fails)
		return UNSURE;
	return kv_streq(first, "exit") ? EXITS : kv_streq(first, "return") ? RETURNS : UNSURE;
}

/* What the command behind || makes of a failure: of ( ) and { } what the commands in them do. */
static enum fate fate_of(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	const struct kv_shell_cmd *end = x->s->cmds.v + x->s->cmds.n;

	if (!c->compound && hides_it(c))
		return PASSED_OVER;
	if (c->next == KV_SHELL_PIPE || c->next == KV_SHELL_BACKGROUND || c->function)
		return UNSURE;
	if (!c->compound)
		return kv_streq(kv_word_text(c, 0), "false") ? FAILS : fate_of_leaving(c, true);
	if (c->kind != KV_SHELL_GROUP && c->kind != KV_SHELL_SUBSHELL)
		return UNSURE;
	for (const struct kv_shell_cmd *in = c + 1; in < end && in->depth > c->depth; in++) {
		enum fate fate = fate_of_leaving(in, false);

		if (in->depth > c->depth + 1 || in->next == KV_SHELL_OR || in->next == KV_SHELL_AND)
			return UNSURE;
		if (fate != UNSURE)
			return c->kind == KV_SHELL_SUBSHELL ? FAILS : fate;
		if (!hides_it(in))
			return UNSURE;
	}
	return PASSED_OVER;
}

/* A failure in front of `|| alternative`. */
static enum fate take_over(const struct kv_context *x, struct failure *f,
			   const struct kv_shell_cmd *alternative)
{
	static const char brackets[] = "|| ( ... exit ) ends no more than what is in the brackets: "
				       "{ ... ; } would";
	const char *first = kv_word_text(alternative, 0);
	const struct kv_shell_cmd *c = alternative;
	enum fate fate = fate_of(x, alternative);

	if (fate == FAILS) {
		*f = (struct failure){ .at = c, .why = c->compound ? brackets : NULL };
		return GOES_ON;
	}
	if (fate != PASSED_OVER)
		return fate;
	while (c && (c->next == KV_SHELL_AND || c->next == KV_SHELL_OR)) {
		c = kv_context_behind(x, c);
		if (c && ends_it(c))
			return UNSURE;
	}
	f->why = kv_streq(first, "true") || kv_streq(first, ":") ? "|| true hides that it failed"
								 : "|| echo hides that it failed";
	return PASSED_OVER;
}

/* The command that comes after its list, too; NULL. */
static const struct kv_shell_cmd *after(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	const struct kv_shell_cmd *next = NULL;

	for (; c && !next; c = kv_context_around(x, c).c)
		next = kv_context_behind(x, c);
	return next;
}

static const char *why_on(struct kv_modes m, bool last, const char *before)
{
	if (before)
		return before;
	if (!m.errexit)
		return "what follows runs although it failed: no set -e is in effect";
	return last ? "set -e has no effect on what is in a condition, or in front of && or ||"
		    : "in front of && a failure does not end the script, with set -e too";
}

/* What its list makes of the failure. */
static enum fate in_list(const struct kv_context *x, struct failure *f)
{
	const struct kv_shell_cmd *c = f->at, *next;
	struct kv_modes mode = kv_context_modes(x, c);
	bool piped = c->next == KV_SHELL_PIPE;
	bool last = !c->inverted; /* of its list: set -e looks at it */

	while (c && c->next == KV_SHELL_PIPE)
		c = kv_context_behind(x, c);
	if (!c)
		return UNSURE;
	if (piped && !mode.pipefail) {
		f->why = "only what is behind | is looked at: no set -o pipefail is in effect";
		next = after(x, c);
		return next && looks_at_it(x, next) ? UNSURE : PASSED_OVER;
	}
	if (c->inverted && (c->next != KV_SHELL_NEXT || !kv_context_behind(x, c)))
		return UNSURE;
	for (; c && (c->next == KV_SHELL_AND || c->next == KV_SHELL_PIPE);
	     c = kv_context_behind(x, c))
		last = false;
	next = c ? kv_context_behind(x, c) : NULL;
	if (!c || c->next == KV_SHELL_BACKGROUND)
		return UNSURE;
	if (c->next == KV_SHELL_OR)
		return next ? take_over(x, f, next) : UNSURE;
	f->ignored |= !last;
	if (mode.errexit && !f->ignored && !kv_context_is_suspended(x, f->at))
		return EXITS;
	if (!next)
		return FAILS;
	if (looks_at_it(x, next))
		return UNSURE;
	f->why = why_on(mode, last, f->why);
	return PASSED_OVER;
}

/* Whether an if looks at it, or what comes next in a loop. */
static bool looks_around(const struct kv_context *x, const struct kv_shell_cmd *c)
{
	const struct kv_shell_cmd *in = x->s->cmds.v + c->inside;

	return kv_context_in_condition(x, c) ||
	       (in->kind == KV_SHELL_FOR && looks_at_it(x, in + 1));
}

/* Out of what it ends; false where that is the text, or it is not certain. */
static bool go_out(const struct kv_context *x, struct failure *f, enum fate fate)
{
	for (;;) {
		struct kv_around up = kv_context_around(x, f->at);

		if (!up.c || (fate == FAILS && looks_around(x, f->at)))
			return false;
		f->at = up.c;
		f->ignored &= !up.is_apart && !up.is_call;
		if (fate == FAILS || up.is_apart || (fate == RETURNS && up.is_call))
			return true;
	}
}

const char *kv_fate_passed_over(const struct kv_context *x, size_t i)
{
	const struct kv_shell_cmd *first = x->s->cmds.v, *limit = first + x->limit;
	struct failure f = { .at = first + i };

	if (f.at >= limit || !kv_context_is_clear(x, f.at))
		return NULL;
	while (f.at < limit) {
		enum fate fate = in_list(x, &f);

		if (fate == PASSED_OVER)
			return f.why;
		if (fate == UNSURE || (fate != GOES_ON && !go_out(x, &f, fate)))
			return NULL;
	}
	return NULL;
}
