/*
 * The grammar of bash, as far as simple commands go (bash(1), SHELL GRAMMAR, QUOTING): what is
 * inside of a substitution is skipped, what is inside of a compound command has a depth.
 */
#include "launch/shell.h"

#define MAX_DEPTH   64
#define MAX_HEREDOC 16

struct heredoc {
	const char *end;
	bool tabs;
};

struct lexer {
	struct kv_arena *a;
	struct kv_shell *out;
	const char *s;
	size_t at, n;
	bool failed;
	struct heredoc heredocs[MAX_HEREDOC];
	size_t n_heredocs;
	/* The compound commands that are open: their places in out, and what closes each. */
	size_t open[MAX_DEPTH];
	const char *closers[MAX_DEPTH];
	unsigned depth;
	bool has_cmd;   /* the last of out is being read */
	size_t current; /* which that is */
};

static char peek(const struct lexer *x, size_t ahead)
{
	return x->at < x->n && x->n - x->at > ahead ? x->s[x->at + ahead] : '\0';
}

/* Past a quoted text that begins at `at`; n where it has no end. */
static size_t skip_quoted(const struct lexer *x, size_t at)
{
	char q = x->s[at++];

	for (; at < x->n && x->s[at] != q; at++)
		if (x->s[at] == '\\' && q != '\'')
			at++;
	return at < x->n ? at + 1 : x->n + 1;
}

/* Past $(...), ${...} or (...), whose first bracket is at `at`; beyond n where it has no end. */
static size_t skip_brackets(const struct lexer *x, size_t at)
{
	char open = x->s[at], close = open == '{' ? '}' : ')';
	unsigned depth = 0;

	while (at < x->n) {
		char c = x->s[at];

		if (c == '\\') {
			at += 2;
		} else if (c == '\'' || c == '"' || c == '`') {
			at = skip_quoted(x, at);
		} else {
			depth += c == open;
			depth -= c == close;
			at++;
			if (!depth)
				return at;
		}
	}
	return x->n + 1;
}

/* A $ or ` at `at`: past what it stands for; at where it is plain text. */
static size_t skip_expansion(const struct lexer *x, size_t at)
{
	char c = at + 1 < x->n ? x->s[at + 1] : '\0';
	size_t n;

	if (x->s[at] == '`')
		return skip_quoted(x, at);
	if (c == '(' || c == '{')
		return skip_brackets(x, at + 1);
	if (c && strchr("?!#@*$-0123456789", c))
		return at + 2;
	n = strspn(x->s + at + 1,
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
	return n ? at + 1 + n : at;
}

struct text {
	struct kv_buf buf;
	bool dynamic;
};

/* One step of a word: takes a piece into `t`. */
static void take_expansion(struct lexer *x, struct text *t)
{
	size_t past = skip_expansion(x, x->at);

	if (past == x->at) {
		kv_buf_add(&t->buf, x->s + x->at++, 1);
		return;
	}
	t->dynamic = true;
	x->at = past;
}

static void take_double(struct lexer *x, struct text *t)
{
	for (x->at++; x->at < x->n && x->s[x->at] != '"';) {
		char c = x->s[x->at];

		if (c == '$' || c == '`') {
			take_expansion(x, t);
		} else if (c == '\\' && peek(x, 1) && strchr("$`\"\\\n", peek(x, 1))) {
			if (peek(x, 1) != '\n')
				kv_buf_add(&t->buf, x->s + x->at + 1, 1);
			x->at += 2;
		} else {
			kv_buf_add(&t->buf, x->s + x->at++, 1);
		}
	}
	x->at++;
}

static void take_piece(struct lexer *x, struct text *t)
{
	char c = x->s[x->at];
	size_t past;

	if (c == '\'') {
		past = skip_quoted(x, x->at);
		if (past <= x->n)
			kv_buf_add(&t->buf, x->s + x->at + 1, past - x->at - 2);
		x->at = past;
	} else if (c == '"') {
		take_double(x, t);
	} else if (c == '$' && (peek(x, 1) == '\'' || peek(x, 1) == '"')) {
		t->dynamic = true;
		x->at = skip_quoted(x, x->at + 1);
	} else if (c == '$' || c == '`') {
		take_expansion(x, t);
	} else if (c == '\\') {
		if (peek(x, 1) && peek(x, 1) != '\n')
			kv_buf_add(&t->buf, x->s + x->at + 1, 1);
		x->at += 2;
	} else {
		t->dynamic |= c == '*' || c == '?' || c == '[' || c == '~' || c == '{';
		kv_buf_add(&t->buf, x->s + x->at++, 1);
	}
}

static bool is_meta(char c)
{
	return c == '\0' || strchr(" \t\r\n;&|<>()", c);
}

/* NAME= or NAME+= at the beginning of a word; its length. */
static size_t assignment(const struct lexer *x)
{
	size_t n = strspn(x->s + x->at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
					"0123456789");

	if (!n || (x->s[x->at] >= '0' && x->s[x->at] <= '9'))
		return 0;
	return x->at + n < x->n && x->s[x->at + n] == '=' ? n + 1 : 0;
}

static struct kv_word take_word(struct lexer *x)
{
	struct kv_word w = { 0 };
	struct text t = { .dynamic = false };
	size_t name = assignment(x);

	if (name)
		w.name = kv_strndup(x->a, x->s + x->at, name - 1);
	x->at += name;
	w.start = x->at;
	while (x->at < x->n && !is_meta(x->s[x->at]))
		take_piece(x, &t);
	if (x->at > x->n) { /* a quote without end */
		x->failed = true;
		x->at = x->n;
	}
	w.end = x->at;
	w.raw = kv_strndup(x->a, x->s + w.start, w.end - w.start);
	if (!t.dynamic)
		w.text = kv_strdup(x->a, t.buf.text ? t.buf.text : "");
	kv_buf_clear(&t.buf);
	return w;
}

/* ---- commands ---- */

static struct kv_shell_cmd *current(struct lexer *x)
{
	return &x->out->cmds.v[x->current];
}

static struct kv_shell_cmd *begin(struct lexer *x, bool compound)
{
	struct kv_shell_cmd *c = kv_vec_add(x->a, &x->out->cmds);

	c->compound = compound;
	c->depth = x->depth;
	c->start = x->at;
	x->current = x->out->cmds.n - 1;
	x->has_cmd = true;
	return c;
}

static void end_cmd(struct lexer *x, enum kv_shell_op op)
{
	if (x->has_cmd)
		current(x)->next = op;
	x->has_cmd = false;
}

static void open_compound(struct lexer *x, const char *closer)
{
	if (x->depth == MAX_DEPTH) {
		x->failed = true;
		return;
	}
	begin(x, true);
	x->open[x->depth] = x->current;
	x->closers[x->depth++] = closer;
	x->has_cmd = false;
}

/* The innermost one ends, and is the command that is read again: an operator may follow. */
static void close_compound(struct lexer *x, const char *closer)
{
	end_cmd(x, KV_SHELL_NEXT);
	if (!x->depth || !kv_streq(x->closers[x->depth - 1], closer)) {
		x->failed = true;
		return;
	}
	x->current = x->open[--x->depth];
	x->has_cmd = true;
}

static bool in_case(const struct lexer *x)
{
	return x->depth && kv_streq(x->closers[x->depth - 1], "esac");
}

static void skip_blanks(struct lexer *x)
{
	for (; x->at < x->n; x->at++)
		if (peek(x, 0) == '\\' && peek(x, 1) == '\n')
			x->at++;
		else if (peek(x, 0) != ' ' && peek(x, 0) != '\t' && peek(x, 0) != '\r')
			return;
}

/* "function NAME", "function NAME ()": what follows is the body. */
static void skip_function(struct lexer *x)
{
	skip_blanks(x);
	while (x->at < x->n && !is_meta(peek(x, 0)))
		x->at++;
	skip_blanks(x);
	if (peek(x, 0) == '(' && peek(x, 1) == ')')
		x->at += 2;
}

/* A reserved word where a command would begin. */
static bool take_reserved(struct lexer *x, const char *word)
{
	static const char *const pairs[][2] = {
		{ "if", "fi" },       { "while", "done" }, { "until", "done" }, { "for", "done" },
		{ "select", "done" }, { "case", "esac" },  { "{", "}" },
	};
	static const char *const between[] = { "then", "do", "else", "elif", "!", "time" };
	static const char *const closers[] = { "fi", "done", "esac", "}" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(pairs); i++)
		if (kv_streq(pairs[i][0], word))
			return open_compound(x, pairs[i][1]), true;
	for (size_t i = 0; i < KV_ARRAY_SIZE(closers); i++)
		if (kv_streq(closers[i], word))
			return close_compound(x, closers[i]), true;
	for (size_t i = 0; i < KV_ARRAY_SIZE(between); i++)
		if (kv_streq(between[i], word))
			return true;
	if (kv_streq(word, "function"))
		return skip_function(x), true;
	return false;
}

/* [[ ... ]], in which && and < are not what they are elsewhere. */
static void skip_test(struct lexer *x)
{
	begin(x, true);
	while (x->at < x->n && !(peek(x, 0) == ']' && peek(x, 1) == ']'))
		x->at = peek(x, 0) == '\'' || peek(x, 0) == '"' ? skip_quoted(x, x->at) : x->at + 1;
	x->failed |= x->at >= x->n;
	x->at += 2;
}

static void add_word(struct lexer *x)
{
	size_t start = x->at;
	struct kv_word w = take_word(x);
	bool plain = !x->has_cmd && !w.name;

	/* The number in front of < or > is none of the command's words. */
	if ((peek(x, 0) == '<' || peek(x, 0) == '>') && w.end > w.start && !w.name &&
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
static void take_redirection(struct lexer *x)
{
	size_t n = strspn(x->s + x->at, "<>&|-");
	bool here = peek(x, 0) == '<' && peek(x, 1) == '<' && peek(x, 2) != '<';
	struct kv_word w;

	if (peek(x, 1) == '(') { /* <(...) is a word */
		x->at = skip_brackets(x, x->at + 1);
		if (x->has_cmd && !current(x)->compound)
			kv_vec_push(x->a, &current(x)->words, ((struct kv_word){ .raw = "" }));
		return;
	}
	x->at += n;
	skip_blanks(x);
	if (is_meta(peek(x, 0)))
		return;
	w = take_word(x);
	if (!here)
		return;
	if (x->n_heredocs == MAX_HEREDOC || !w.text) {
		x->failed = true;
		return;
	}
	x->heredocs[x->n_heredocs++] =
		(struct heredoc){ w.text, n > 2 && x->s[w.start - 1] == '-' };
}

/* The texts that were announced, behind the newline at which the lexer stands. */
static void skip_heredocs(struct lexer *x)
{
	for (size_t i = 0; i < x->n_heredocs; i++) {
		const struct heredoc *h = &x->heredocs[i];

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

static void take_bracket(struct lexer *x)
{
	if (peek(x, 0) == ')') {
		x->at++;
		if (in_case(x)) /* the end of a pattern */
			end_cmd(x, KV_SHELL_NEXT);
		else
			close_compound(x, ")");
		return;
	}
	if (!x->has_cmd) {
		open_compound(x, ")");
		x->at++;
	} else if (!current(x)->compound && current(x)->words.n == 1 && peek(x, 1) == ')') {
		/* NAME(): what follows is its body */
		x->out->cmds.n = x->current;
		x->has_cmd = false;
		x->at += 2;
	} else if (in_case(x)) {
		x->at++;
	} else { /* an array, or a pattern */
		x->at = skip_brackets(x, x->at);
	}
}

static void take_operator(struct lexer *x)
{
	char c = peek(x, 0), d = peek(x, 1);

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
	x->at += 1 + (d == c || (c == '|' && d == '&'));
}

static void take_newline(struct lexer *x)
{
	x->at++;
	end_cmd(x, KV_SHELL_NEXT);
	skip_heredocs(x);
}

static void take_token(struct lexer *x)
{
	char c = peek(x, 0);

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
	struct lexer x = { .a = a, .out = ret, .n = text.n };

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
