/* A word of bash: its quotes, and what it is where that is known without running it. */
#include "launch/shell_lex.h"

char kv_lex_peek(const struct kv_lexer *x, size_t ahead)
{
	return x->at < x->n && x->n - x->at > ahead ? x->s[x->at + ahead] : '\0';
}

size_t kv_lex_quoted(const struct kv_lexer *x, size_t at)
{
	char q = x->s[at++];

	for (; at < x->n && x->s[at] != q; at++)
		if (x->s[at] == '\\' && q != '\'')
			at++;
	return at < x->n ? at + 1 : x->n + 1;
}

size_t kv_lex_brackets(const struct kv_lexer *x, size_t at)
{
	char open = x->s[at], close = open == '{' ? '}' : ')';
	unsigned depth = 0;

	while (at < x->n) {
		char c = x->s[at];

		if (c == '\\') {
			at += 2;
		} else if (c == '\'' || c == '"' || c == '`') {
			at = kv_lex_quoted(x, at);
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
static size_t skip_expansion(const struct kv_lexer *x, size_t at)
{
	char c = at + 1 < x->n ? x->s[at + 1] : '\0';
	size_t n;

	if (x->s[at] == '`')
		return kv_lex_quoted(x, at);
	if (c == '(' || c == '{')
		return kv_lex_brackets(x, at + 1);
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
static void take_expansion(struct kv_lexer *x, struct text *t)
{
	size_t past = skip_expansion(x, x->at);

	if (past == x->at) {
		kv_buf_add(&t->buf, x->s + x->at++, 1);
		return;
	}
	t->dynamic = true;
	x->at = past;
}

static void take_double(struct kv_lexer *x, struct text *t)
{
	for (x->at++; x->at < x->n && x->s[x->at] != '"';) {
		char c = x->s[x->at];

		if (c == '$' || c == '`') {
			take_expansion(x, t);
		} else if (c == '\\' && kv_lex_peek(x, 1) &&
			   strchr("$`\"\\\n", kv_lex_peek(x, 1))) {
			if (kv_lex_peek(x, 1) != '\n')
				kv_buf_add(&t->buf, x->s + x->at + 1, 1);
			x->at += 2;
		} else {
			kv_buf_add(&t->buf, x->s + x->at++, 1);
		}
	}
	x->at++;
}

static void take_piece(struct kv_lexer *x, struct text *t)
{
	char c = x->s[x->at];
	size_t past;

	if (c == '\'') {
		past = kv_lex_quoted(x, x->at);
		if (past <= x->n)
			kv_buf_add(&t->buf, x->s + x->at + 1, past - x->at - 2);
		x->at = past;
	} else if (c == '"') {
		take_double(x, t);
	} else if (c == '$' && (kv_lex_peek(x, 1) == '\'' || kv_lex_peek(x, 1) == '"')) {
		t->dynamic = true;
		x->at = kv_lex_quoted(x, x->at + 1);
	} else if (c == '$' || c == '`') {
		take_expansion(x, t);
	} else if (c == '\\') {
		if (kv_lex_peek(x, 1) && kv_lex_peek(x, 1) != '\n')
			kv_buf_add(&t->buf, x->s + x->at + 1, 1);
		x->at += 2;
	} else {
		t->dynamic |= c == '*' || c == '?' || c == '[' || c == '~' || c == '{';
		kv_buf_add(&t->buf, x->s + x->at++, 1);
	}
}

bool kv_lex_ends(char c)
{
	return c == '\0' || strchr(" \t\r\n;&|<>()", c);
}

/* NAME= or NAME+= at the beginning of a word; its length. */
static size_t assignment(const struct kv_lexer *x)
{
	size_t n = strspn(x->s + x->at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
					"0123456789");

	if (!n || (x->s[x->at] >= '0' && x->s[x->at] <= '9'))
		return 0;
	return x->at + n < x->n && x->s[x->at + n] == '=' ? n + 1 : 0;
}

struct kv_word kv_lex_word(struct kv_lexer *x)
{
	struct kv_word w = { 0 };
	struct text t = { .dynamic = false };
	size_t name = assignment(x);

	if (name)
		w.name = kv_strndup(x->a, x->s + x->at, name - 1);
	x->at += name;
	w.start = x->at;
	while (x->at < x->n && !kv_lex_ends(x->s[x->at]))
		take_piece(x, &t);
	if (x->at > x->n) { /* a quote without end */
		x->failed = true;
		x->at = x->n;
	}
	w.end = x->at;
	w.raw = kv_strndup(x->a, x->s + w.start, w.end - w.start);
	/* One bracket alone is no pattern. */
	if (!t.dynamic || kv_streq(w.raw, "["))
		w.text = kv_strdup(x->a, t.buf.text ? t.buf.text : "");
	kv_buf_clear(&t.buf);
	return w;
}
