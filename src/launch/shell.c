/*
 * The grammar of bash, as far as simple commands go (bash(1), SHELL GRAMMAR, QUOTING): what is
 * inside of a substitution is skipped, what is inside of a compound command has a depth.
 */
#include "launch/shell_lex.h"

/* ---- commands ---- */

static struct kv_shell_cmd *current(struct kv_lexer *x)
{
	return &x->out->cmds.v[x->current];
}

static struct kv_shell_cmd *begin(struct kv_lexer *x, bool compound)
{
	struct kv_shell_cmd *c = kv_vec_add(x->a, &x->out->cmds);

	c->compound = compound;
	c->depth = x->depth;
	c->inside = x->depth ? x->open[x->depth - 1] : 0;
	c->part = x->part[x->depth];
	c->before = x->joint[x->depth];
	c->inverted = x->inverted[x->depth];
	c->start = x->at;
	x->current = x->out->cmds.n - 1;
	x->has_cmd = true;
	return c;
}

static void end_cmd(struct kv_lexer *x, enum kv_shell_op op)
{
	if (x->has_cmd) {
		current(x)->next = x->joint[x->depth] = op;
		x->inverted[x->depth] &= op == KV_SHELL_PIPE;
	}
	if (x->has_cmd && x->in_header)
		x->out->cmds.n = x->current;
	x->has_cmd = x->in_header = false;
}

static void open_compound(struct kv_lexer *x, enum kv_shell_kind kind, const char *closer)
{
	struct kv_shell_cmd *c;

	if (x->depth == KV_SHELL_DEPTH - 1) {
		x->failed = true;
		return;
	}
	c = begin(x, true);
	c->kind = kind;
	c->function = x->function;
	x->function = NULL;
	x->in_header = false;
	x->open[x->depth] = x->current;
	x->closers[x->depth++] = closer;
	x->part[x->depth] = 0;
	x->joint[x->depth] = KV_SHELL_NEXT;
	x->inverted[x->depth] = false;
	x->has_cmd = false;
}

/* The innermost one ends, and is the command that is read again: an operator may follow. */
static void close_compound(struct kv_lexer *x, const char *closer)
{
	end_cmd(x, KV_SHELL_NEXT);
	if (!x->depth || !kv_streq(x->closers[x->depth - 1], closer)) {
		x->failed = true;
		return;
	}
	x->current = x->open[--x->depth];
	current(x)->end = x->at;
	x->has_cmd = true;
}

/* What was read since the last command's end is a pattern of case: A | B). */
static void drop_pattern(struct kv_lexer *x)
{
	struct kv_shell *s = x->out;

	end_cmd(x, KV_SHELL_NEXT);
	if (s->cmds.n > x->open[x->depth - 1] + 1)
		s->cmds.n--;
	while (s->cmds.n > x->open[x->depth - 1] + 1 &&
	       s->cmds.v[s->cmds.n - 1].depth == x->depth &&
	       s->cmds.v[s->cmds.n - 1].next == KV_SHELL_PIPE)
		s->cmds.n--;
}

static bool in_case(const struct kv_lexer *x)
{
	return x->depth && kv_streq(x->closers[x->depth - 1], "esac");
}

static void skip_blanks(struct kv_lexer *x)
{
	for (; x->at < x->n; x->at++)
		if (kv_lex_peek(x, 0) == '\\' && kv_lex_peek(x, 1) == '\n')
			x->at++;
		else if (kv_lex_peek(x, 0) != ' ' && kv_lex_peek(x, 0) != '\t' &&
			 kv_lex_peek(x, 0) != '\r')
			return;
}

/* "function NAME", "function NAME ()": what follows is the body. */
static void skip_function(struct kv_lexer *x)
{
	size_t start;

	skip_blanks(x);
	for (start = x->at; x->at < x->n && !kv_lex_ends(kv_lex_peek(x, 0));)
		x->at++;
	x->function = kv_strndup(x->a, x->s + start, x->at - start);
	skip_blanks(x);
	if (kv_lex_peek(x, 0) == '(' && kv_lex_peek(x, 1) == ')')
		x->at += 2;
}

/* A reserved word where a command would begin. */
static bool take_reserved(struct kv_lexer *x, const char *word)
{
	static const struct {
		const char *word, *closer;
		enum kv_shell_kind kind;
	} pairs[] = {
		{ "if", "fi", KV_SHELL_IF },          { "while", "done", KV_SHELL_OTHER },
		{ "until", "done", KV_SHELL_OTHER },  { "for", "done", KV_SHELL_FOR },
		{ "select", "done", KV_SHELL_OTHER }, { "case", "esac", KV_SHELL_CASE },
		{ "{", "}", KV_SHELL_GROUP },
	};
	/* With how many lists they go on: see part. */
	static const struct {
		const char *word;
		unsigned parts;
	} between[] = { { "then", 1 }, { "elif", 1 }, { "else", 2 }, { "do", 1 }, { "time", 0 } };
	static const char *const closers[] = { "fi", "done", "esac", "}" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(pairs); i++)
		if (kv_streq(pairs[i].word, word)) {
			open_compound(x, pairs[i].kind, pairs[i].closer);
			x->in_header = kv_streq(word, "for") || kv_streq(word, "select") ||
				       kv_streq(word, "case");
			return true;
		}
	for (size_t i = 0; i < KV_ARRAY_SIZE(closers); i++)
		if (kv_streq(closers[i], word))
			return close_compound(x, closers[i]), true;
	for (size_t i = 0; i < KV_ARRAY_SIZE(between); i++)
		if (kv_streq(between[i].word, word))
			return x->part[x->depth] += between[i].parts, true;
	if (kv_streq(word, "!"))
		return x->inverted[x->depth] ^= true, true;
	if (kv_streq(word, "function"))
		return skip_function(x), true;
	return false;
}

/* [[ ... ]], in which && and < are not what they are elsewhere. */
static void skip_test(struct kv_lexer *x)
{
	begin(x, true);
	while (x->at < x->n && !(kv_lex_peek(x, 0) == ']' && kv_lex_peek(x, 1) == ']'))
		x->at = kv_lex_peek(x, 0) == '\'' || kv_lex_peek(x, 0) == '"'
				? kv_lex_quoted(x, x->at)
				: x->at + 1;
	x->failed |= x->at >= x->n;
	x->at += 2;
	current(x)->end = x->at;
}

static void add_word(struct kv_lexer *x)
{
	size_t start = x->at;
	struct kv_word w = kv_lex_word(x);
	bool plain = !x->has_cmd && !w.name;

	/* The number in front of < or > is none of the command's words. */
	if ((kv_lex_peek(x, 0) == '<' || kv_lex_peek(x, 0) == '>') && w.end > w.start && !w.name &&
	    !w.raw[strspn(w.raw, "0123456789")])
		return;
	if (plain && kv_streq(w.raw, "[[")) {
		skip_test(x);
		return;
	}
	if (plain && take_reserved(x, w.raw))
		return;
	if (x->has_cmd && current(x)->compound) /* words of "done <file", "for x in": none */
		return;
	if (!x->has_cmd)
		begin(x, false)->start = start;
	kv_vec_push(x->a, &current(x)->words, w);
}

/* < or >, and the word behind it. */
static void take_redirection(struct kv_lexer *x)
{
	size_t n = strspn(x->s + x->at, "<>&|-");
	bool here =
		kv_lex_peek(x, 0) == '<' && kv_lex_peek(x, 1) == '<' && kv_lex_peek(x, 2) != '<';
	struct kv_word w;

	if (kv_lex_peek(x, 1) == '(') { /* <(...) is a word */
		x->at = kv_lex_brackets(x, x->at + 1);
		if (x->has_cmd && !current(x)->compound)
			kv_vec_push(x->a, &current(x)->words, ((struct kv_word){ .raw = "" }));
		return;
	}
	x->at += n;
	skip_blanks(x);
	if (kv_lex_ends(kv_lex_peek(x, 0)))
		return;
	w = kv_lex_word(x);
	if (!here)
		return;
	if (x->n_heredocs == KV_SHELL_HEREDOCS || !w.text) {
		x->failed = true;
		return;
	}
	x->heredocs[x->n_heredocs++] =
		(struct kv_heredoc){ w.text, n > 2 && x->s[w.start - 1] == '-' };
}

/* The texts that were announced, behind the newline at which the lexer stands. */
static void skip_heredocs(struct kv_lexer *x)
{
	for (size_t i = 0; i < x->n_heredocs; i++) {
		const struct kv_heredoc *h = &x->heredocs[i];

		for (bool found = false; !found;) {
			size_t n, tabs;

			if (x->at >= x->n) {
				x->failed = true;
				return;
			}
			n = strcspn(x->s + x->at, "\n");
			tabs = h->tabs ? strspn(x->s + x->at, "\t") : 0;
			found = n >= tabs && n - tabs == strlen(h->end) &&
				memcmp(x->s + x->at + tabs, h->end, n - tabs) == 0;
			x->at += n + (x->at + n < x->n);
		}
	}
	x->n_heredocs = 0;
}

/* (( ... )), arithmetic: has no commands. Two subshells that begin together may end apart. */
static bool skip_arithmetic(struct kv_lexer *x)
{
	size_t end;

	if (kv_lex_peek(x, 1) != '(')
		return false;
	end = kv_lex_brackets(x, x->at);
	if (end > x->n || kv_lex_brackets(x, x->at + 1) != end - 1)
		return false;
	begin(x, true);
	x->at = current(x)->end = end;
	return true;
}

static void take_bracket(struct kv_lexer *x)
{
	if (kv_lex_peek(x, 0) == ')') {
		x->at++;
		if (in_case(x))
			drop_pattern(x);
		else
			close_compound(x, ")");
		return;
	}
	if (!x->has_cmd && skip_arithmetic(x))
		return;
	if (!x->has_cmd) {
		open_compound(x, KV_SHELL_SUBSHELL, ")");
		x->at++;
	} else if (!current(x)->compound && current(x)->words.n == 1 && kv_lex_peek(x, 1) == ')') {
		/* NAME(): what follows is its body */
		x->function = kv_word_text(current(x), 0);
		x->out->cmds.n = x->current;
		x->has_cmd = false;
		x->at += 2;
	} else if (in_case(x)) {
		x->at++;
	} else { /* an array, or a pattern */
		x->at = kv_lex_brackets(x, x->at);
	}
}

static void take_operator(struct kv_lexer *x)
{
	char c = kv_lex_peek(x, 0), d = kv_lex_peek(x, 1);

	if (c == '&' && d == '>') {
		x->at++;
		take_redirection(x);
		return;
	}
	if (c == '&')
		end_cmd(x, d == '&' ? KV_SHELL_AND : KV_SHELL_BACKGROUND);
	else if (c == '|')
		end_cmd(x, d == '|' ? KV_SHELL_OR : KV_SHELL_PIPE);
	else
		end_cmd(x, KV_SHELL_NEXT);
	x->part[x->depth] += c == ';' && d == ';';
	x->at += 1 + (d == c || (c == '|' && d == '&'));
}

static void take_newline(struct kv_lexer *x)
{
	x->at++;
	end_cmd(x, KV_SHELL_NEXT);
	skip_heredocs(x);
}

static void take_token(struct kv_lexer *x)
{
	char c = kv_lex_peek(x, 0);

	if (c == '#')
		x->at += strcspn(x->s + x->at, "\n");
	else if (c == '\n')
		take_newline(x);
	else if (c == ';' || c == '&' || c == '|')
		take_operator(x);
	else if (c == '<' || c == '>')
		take_redirection(x);
	else if (c == '(' || c == ')')
		take_bracket(x);
	else
		add_word(x);
}

bool kv_shell_read(struct kv_arena *a, struct kv_span text, struct kv_shell *ret)
{
	struct kv_lexer x = { .a = a, .out = ret, .n = text.n };

	*ret = (struct kv_shell){ 0 };
	if (memchr(text.p, '\0', text.n))
		return false;
	x.s = kv_strndup(a, (const char *)text.p, text.n);
	while (!x.failed) {
		skip_blanks(&x);
		if (x.at >= x.n)
			break;
		take_token(&x);
		x.failed |= x.at > x.n;
	}
	return !x.failed && !x.depth && !x.n_heredocs;
}
