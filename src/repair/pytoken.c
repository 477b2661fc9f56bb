/*
 * A bounded tokenizer for Python source. Every byte is read through peek(), every round of every
 * loop moves on by at least one byte, and strings inside formatted strings nest to a fixed depth.
 */
#include "repair/pytoken.h"

#define FSTRING_NESTING 8
#define TAB_STOP        8

static int peek(const struct kv_pytokens *t, size_t ahead)
{
	return ahead < t->src.n - t->pos ? t->src.p[t->pos + ahead] : -1;
}

static bool is_eol(int c)
{
	return c == '\n' || c == '\r';
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* Identifiers may hold any letter of any script; all bytes above ASCII are taken for such letters.
 */
static bool is_word(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
	       c >= 0x80;
}

static bool fail(struct kv_pytokens *t, const char *what)
{
	t->error = what;
	return false;
}

/* A line ends with LF, CR LF or CR, in one file even mixed. */
static void skip_eol(struct kv_pytokens *t)
{
	t->pos += peek(t, 0) == '\r' && peek(t, 1) == '\n' ? 2 : 1;
	t->line++;
}

static void skip_comment(struct kv_pytokens *t)
{
	while (peek(t, 0) >= 0 && !is_eol(peek(t, 0)))
		t->pos++;
}

struct prefix {
	bool valid, plain, formatted;
};

/* What the n bytes before a quote make of the string. A keyword may stand there too: `not"x"`. */
static struct prefix string_prefix(const struct kv_pytokens *t, size_t start, size_t n)
{
	struct prefix ret = { .valid = n <= 2, .plain = true };
	bool raw = false, kind = false;

	for (size_t i = 0; ret.valid && i < n; i++) {
		int c = t->src.p[start + i] | 0x20;

		if (c == 'r' && !raw) {
			raw = true;
		} else if (strchr("bft", c) && !kind) {
			kind = true;
			ret.plain = false;
			ret.formatted = c != 'b';
		} else if (c == 'u' && n == 1) {
			kind = true;
		} else {
			ret.valid = false;
		}
	}
	return ret;
}

static bool scan_field(struct kv_pytokens *t, unsigned nesting);

/* From the opening quote to past the closing one. */
static bool scan_string(struct kv_pytokens *t, bool formatted, unsigned nesting,
			struct kv_pytok *ret)
{
	int quote = peek(t, 0);
	bool triple = peek(t, 1) == quote && peek(t, 2) == quote;

	t->pos += triple ? 3 : 1;
	ret->body = t->pos;
	for (;;) {
		int c = peek(t, 0);

		if (c < 0 || (is_eol(c) && !triple))
			return fail(t, "a string does not end");
		if (c == quote && (!triple || (peek(t, 1) == quote && peek(t, 2) == quote))) {
			ret->body_end = t->pos;
			t->pos += triple ? 3 : 1;
			return true;
		}
		if (is_eol(c)) {
			skip_eol(t);
			continue;
		}
		t->pos++;
		if (c == '\\') {
			/* Raw strings too: the backslash stays, and still keeps the quote from
			 * closing. */
			if (is_eol(peek(t, 0)))
				skip_eol(t);
			else if (peek(t, 0) >= 0 && !(formatted && peek(t, 0) == '{'))
				t->pos++;
		} else if (formatted && c == '{') {
			if (peek(t, 0) == '{')
				t->pos++;
			else if (!scan_field(t, nesting))
				return false;
		}
	}
}

/* A run of word bytes, and the string that it prefixes where it does. */
static bool scan_word(struct kv_pytokens *t, unsigned nesting, struct kv_pytok *ret)
{
	size_t start = t->pos;
	struct prefix p;

	while (is_word(peek(t, 0)))
		t->pos++;
	ret->kind = KV_PYTOK_NAME;
	p = string_prefix(t, start, t->pos - start);
	if (!p.valid || (peek(t, 0) != '"' && peek(t, 0) != '\''))
		return true;
	ret->kind = KV_PYTOK_STRING;
	ret->plain = p.plain;
	return scan_string(t, p.formatted, nesting, ret);
}

/*
 * A replacement field, from past its opening brace to past its closing one. Since Python 3.12 the
 * expression in it may hold any string, even with the quotes of the string around it (PEP 701);
 * everything that older versions accept reads the same under these rules.
 */
static bool scan_field(struct kv_pytokens *t, unsigned nesting)
{
	struct kv_pytok ignored;
	unsigned depth = 0;
	bool format = false;

	if (nesting >= FSTRING_NESTING)
		return fail(t, "formatted strings are nested too deeply");
	for (;;) {
		int c = peek(t, 0);
		bool ok = true;

		if (c < 0)
			return fail(t, "a string does not end");
		if (is_eol(c)) {
			skip_eol(t);
			continue;
		}
		if (!format && is_word(c)) {
			ok = scan_word(t, nesting + 1, &ignored);
		} else if (!format && (c == '"' || c == '\'')) {
			ok = scan_string(t, /* formatted= */ false, nesting + 1, &ignored);
		} else if (!format && c == '#') {
			skip_comment(t);
		} else {
			t->pos++;
			if (c == '}' && !depth)
				return true;
			if (c == '{' && format)
				ok = scan_field(t, nesting + 1);
			else if (c == ':' && !depth)
				format = true;
			else if (!format && strchr("([{", c))
				depth++;
			else if (!format && strchr(")]}", c) && depth)
				depth--;
		}
		if (!ok)
			return false;
	}
}

/* Only `=` alone, `*`, `**` and brackets matter to the reader; the others must merely not be cut
 * apart. */
static bool scan_op(struct kv_pytokens *t, struct kv_pytok *ret)
{
	int c = peek(t, 0);

	ret->kind = KV_PYTOK_OP;
	t->pos++;
	if (c == '(' || c == '[' || c == '{') {
		if (t->depth == KV_PYTOK_DEPTH)
			return fail(t, "brackets are nested too deeply");
		t->closers[t->depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
		return true;
	}
	if (c == ')' || c == ']' || c == '}') {
		if (!t->depth || t->closers[t->depth - 1] != c)
			return fail(t, "a bracket closes that was not opened");
		ret->depth = --t->depth;
		return true;
	}
	if (c == '-' && peek(t, 0) == '>') {
		t->pos++;
		return true;
	}
	if (peek(t, 0) == c && strchr("*/<>", c))
		t->pos++;
	if (peek(t, 0) == '=' && strchr("=!<>:+-*/%&|^@", c))
		t->pos++;
	return true;
}

static void measure_indent(struct kv_pytokens *t)
{
	for (t->indent = 0;; t->pos++) {
		int c = peek(t, 0);

		if (c == ' ')
			t->indent++;
		else if (c == '\t')
			t->indent = (t->indent / TAB_STOP + 1) * TAB_STOP;
		else if (c == '\f')
			t->indent = 0;
		else
			return;
	}
}

/* Moves to the next byte that counts: of a token, the end of a logical line, or of the source (-1).
 */
static int skip_blanks(struct kv_pytokens *t)
{
	if (t->fresh && !t->depth)
		measure_indent(t);
	for (;;) {
		int c = peek(t, 0);

		if (c == ' ' || c == '\t' || c == '\f') {
			t->pos++;
		} else if (c == '#') {
			skip_comment(t);
		} else if (c == '\\' && is_eol(peek(t, 1))) {
			t->pos++;
			skip_eol(t);
		} else if (is_eol(c) && (t->depth || t->fresh)) {
			skip_eol(t);
			if (!t->depth)
				measure_indent(t);
		} else {
			return c;
		}
	}
}

void kv_pytokens_init(struct kv_pytokens *t, struct kv_span src)
{
	static const uint8_t bom[] = { 0xef, 0xbb, 0xbf };

	*t = (struct kv_pytokens){ .src = src, .line = 1, .fresh = true };
	if (src.n >= sizeof(bom) && memcmp(src.p, bom, sizeof(bom)) == 0)
		t->pos = sizeof(bom);
	/* Python refuses such a source as a whole. */
	if (src.n && memchr(src.p, 0, src.n))
		t->error = "the source holds a null byte";
}

void kv_pytokens_next(struct kv_pytokens *t, struct kv_pytok *ret)
{
	int c = t->error ? -1 : skip_blanks(t);
	bool ok = !t->error;

	*ret = (struct kv_pytok){ .start = t->pos, .line = t->line, .depth = t->depth };
	if (ok && ((c < 0 && !t->fresh) || is_eol(c)) && !t->depth) {
		if (c >= 0)
			skip_eol(t);
		t->fresh = true;
		ret->kind = KV_PYTOK_NEWLINE;
	} else if (ok && c < 0) {
		ret->kind = KV_PYTOK_END;
		ok = !t->depth || fail(t, "a bracket is not closed");
	} else if (ok) {
		ret->first = t->fresh;
		ret->indent = t->indent;
		t->fresh = false;
		ret->plain = true;
		if (c == '"' || c == '\'') {
			ret->kind = KV_PYTOK_STRING;
			ok = scan_string(t, /* formatted= */ false, /* nesting= */ 0, ret);
		} else if (is_digit(c)) {
			ret->kind = KV_PYTOK_NUMBER;
			while (is_word(peek(t, 0)) || peek(t, 0) == '.')
				t->pos++;
		} else if (is_word(c)) {
			ok = scan_word(t, /* nesting= */ 0, ret);
		} else if (c < 0x20 || c == '\\') {
			ok = fail(t, "a byte that no Python source has");
		} else {
			ok = scan_op(t, ret);
		}
	}
	ret->end = t->pos;
	if (!ok)
		ret->kind = KV_PYTOK_ERROR;
}

bool kv_pytok_is(const struct kv_pytokens *t, const struct kv_pytok *tok, const char *text)
{
	size_t n = strlen(text);

	return (tok->kind == KV_PYTOK_NAME || tok->kind == KV_PYTOK_OP) &&
	       tok->end - tok->start == n && memcmp(t->src.p + tok->start, text, n) == 0;
}

const char *kv_pytok_body(struct kv_arena *a, const struct kv_pytokens *t,
			  const struct kv_pytok *tok)
{
	if (tok->kind != KV_PYTOK_STRING || !tok->plain)
		return NULL;
	return kv_strndup(a, (const char *)t->src.p + tok->body, tok->body_end - tok->body);
}
