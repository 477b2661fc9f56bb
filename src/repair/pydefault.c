/*
 * Finds the default of `backends` by walking the logical lines of the source: classes and functions
 * by their indentation, then the one parameter list. The whole source is read before anything is
 * said, as a second definition further down would make the first one wrong. Whatever is not plainly
 * a list of names stays UNKNOWN, so that nothing is rewritten by guess.
 */
#include "repair/pydefault.h"

#include "repair/pytoken.h"

#define CONFIG_CLASS "nixl_agent_config"
#define PARAMETER    "backends"

/* As a default it is evaluated once, on import, and needs nothing that the module imports. */
#define EXPRESSION "(__import__(\"os\").environ.get(\"NIXL_BACKEND\") or \"%s\").split(\",\")"

#define MAX_SOURCE  ((size_t)8 << 20)
#define MAX_FRAMES  100 /* CPython's MAXINDENT */
#define MAX_VALUE   128 /* tokens of a default that is looked into */
#define MAX_EXCERPT 60

enum frame_kind { FRAME_FUNCTION, FRAME_CLASS, FRAME_CONFIG };

/* A class or function whose block may still go on: indent is that of its own first line. */
struct frame {
	enum frame_kind kind;
	unsigned indent;
};

struct scan {
	struct kv_arena *a;
	struct kv_pytokens tokens;
	const char *error; /* of this reader; tokens has its own */
	struct frame frames[MAX_FRAMES];
	size_t n_frames;
	unsigned n_classes, n_inits;
	bool is_field; /* the class declares it as a field */
	bool is_parameter, is_starred, has_value;
	struct kv_pytok value[MAX_VALUE]; /* the default's tokens */
	size_t n_value;
};

/* ---- walking ---- */

static bool is(const struct scan *s, const struct kv_pytok *tok, const char *text)
{
	return kv_pytok_is(&s->tokens, tok, text);
}

static bool is_over(const struct kv_pytok *tok)
{
	return tok->kind == KV_PYTOK_END || tok->kind == KV_PYTOK_ERROR;
}

/*
 * Reads on to the operator that ends this part of a parameter: a comma, `=` where stop_at_value, or
 * the bracket that closes the list. Commas and `=` of a lambda's own parameters are passed over.
 * keep: the tokens passed are the value. tok is the first token to look at, and in the end the one
 * that stopped.
 */
static void pass_part(struct scan *s, struct kv_pytok *tok, bool stop_at_value, bool keep)
{
	unsigned lambdas = 0;

	for (;; kv_pytokens_next(&s->tokens, tok)) {
		bool outside = tok->depth == 1;

		if (is_over(tok) || (is(s, tok, ")") && !tok->depth))
			return;
		if (outside && !lambdas && (is(s, tok, ",") || (stop_at_value && is(s, tok, "="))))
			return;
		if (outside && is(s, tok, "lambda"))
			lambdas++;
		else if (outside && lambdas && is(s, tok, ":"))
			lambdas--;
		if (keep && s->n_value < MAX_VALUE)
			s->value[s->n_value++] = *tok;
		else if (keep)
			s->error = "the default of " PARAMETER " is too long an expression";
	}
}

/* The parameters of CONFIG_CLASS.__init__; tok is what follows the name. */
static void read_parameters(struct scan *s, struct kv_pytok *tok)
{
	while (tok->depth || is(s, tok, "[") ||
	       is(s, tok, "]")) { /* type parameters, Python 3.12 */
		if (is_over(tok))
			return;
		kv_pytokens_next(&s->tokens, tok);
	}
	if (!is(s, tok, "(")) {
		s->error = "__init__ of class " CONFIG_CLASS " has no parameter list";
		return;
	}
	do {
		bool starred = false, wanted;

		kv_pytokens_next(&s->tokens, tok);
		for (; is(s, tok, "*") || is(s, tok, "**"); starred = true)
			kv_pytokens_next(&s->tokens, tok);
		wanted = tok->depth == 1 && is(s, tok, PARAMETER);
		pass_part(s, tok, /* stop_at_value= */ true, /* keep= */ false);
		if (wanted && s->is_parameter)
			s->error = "two parameters are named " PARAMETER;
		if (wanted) {
			s->is_parameter = true;
			s->is_starred = starred;
		}
		if (is(s, tok, "=")) {
			kv_pytokens_next(&s->tokens, tok);
			s->has_value |= wanted;
			pass_part(s, tok, /* stop_at_value= */ false, /* keep= */ wanted);
		}
	} while (is(s, tok, ","));
}

static void push_frame(struct scan *s, enum frame_kind kind, unsigned indent)
{
	if (s->n_frames == MAX_FRAMES)
		s->error = "blocks are nested too deeply";
	else
		s->frames[s->n_frames++] = (struct frame){ kind, indent };
}

/* One logical line by its first token; blocks that are neither class nor function are transparent.
 */
static void read_line(struct scan *s, struct kv_pytok *tok)
{
	unsigned indent = tok->indent;
	bool in_config;

	while (s->n_frames && s->frames[s->n_frames - 1].indent >= indent)
		s->n_frames--;
	in_config = s->n_frames == 1 && s->frames[0].kind == FRAME_CONFIG;
	if (is(s, tok, "async"))
		kv_pytokens_next(&s->tokens, tok);
	if (is(s, tok, "class")) {
		bool wanted;

		kv_pytokens_next(&s->tokens, tok);
		wanted = !s->n_frames && is(s, tok, CONFIG_CLASS);
		s->n_classes += wanted;
		push_frame(s, wanted ? FRAME_CONFIG : FRAME_CLASS, indent);
	} else if (is(s, tok, "def")) {
		push_frame(s, FRAME_FUNCTION, indent);
		kv_pytokens_next(&s->tokens, tok);
		if (in_config && is(s, tok, "__init__") && !s->n_inits++) {
			kv_pytokens_next(&s->tokens, tok);
			read_parameters(s, tok);
		}
	} else if (in_config && is(s, tok, PARAMETER)) {
		s->is_field = true;
	}
}

/* ---- what was found ---- */

static bool is_word(const char *s, size_t n)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

	for (size_t i = 0; i < n; i++)
		if (!s[i] || !strchr(allowed, s[i]))
			return false;
	return n > 0;
}

/* Text between the quotes, escapes as written: no text that is looked for holds a backslash. */
static const char *string_body(const struct scan *s, const struct kv_pytok *tok)
{
	size_t n = tok->body_end - tok->body;

	if (tok->kind != KV_PYTOK_STRING || !tok->plain)
		return NULL;
	return kv_strndup(s->a, (const char *)s->tokens.src.p + tok->body, n);
}

/* The value's n tokens from i on as names: a list or tuple of strings. NULL, or why it is none. */
static const char *read_literal(struct scan *s, size_t i, size_t n, kv_strv *ret)
{
	bool comma = false;
	size_t end = i + n - 1;

	if (n < 2 || !(is(s, &s->value[i], "[") || is(s, &s->value[i], "(")) ||
	    s->value[end].kind != KV_PYTOK_OP || s->value[end].depth != s->value[i].depth)
		return "it is not a literal list";
	for (size_t k = i + 1; k < end; k++) {
		const char *name = NULL;

		/* Strings side by side are one string. */
		for (; k < end && s->value[k].kind == KV_PYTOK_STRING; k++) {
			const char *part = string_body(s, &s->value[k]);

			if (!part)
				return "one of its strings is bytes, formatted or a template";
			name = name ? kv_strf(s->a, "%s%s", name, part) : part;
		}
		if (!name || (k < end && !is(s, &s->value[k], ",")))
			return "it holds more than plain strings";
		if (!is_word(name, strlen(name)))
			return "one of its strings is not a backend's name";
		comma |= k < end;
		kv_vec_push(s->a, ret, kv_strdup(s->a, name));
	}
	if (ret->n == 1 && !comma && is(s, &s->value[i], "("))
		return "it is a string in parentheses, not a tuple";
	return NULL;
}

/* Names with commas between them. */
static bool read_names(struct scan *s, const char *names, kv_strv *ret)
{
	for (const char *p = names;; p++) {
		size_t n = strcspn(p, ",");

		if (!is_word(p, n))
			return false;
		kv_vec_push(s->a, ret, kv_strndup(s->a, p, n));
		p += n;
		if (!*p)
			return true;
	}
}

/*
 * Whether the value is EXPRESSION, in any quoting and spacing; ret: the names that it falls back
 * to. In shape, a string that must read so has a quote before it; the names' place has the quote
 * alone.
 */
static bool read_own(struct scan *s, size_t n_value, kv_strv *ret)
{
	/* clang-format off */
	static const char *const shape[] = {
		"(", "__import__", "(", "'os", ")", ".", "environ",
		".", "get", "(", "'NIXL_BACKEND", ")", "or", "'", ")",
		".", "split", "(", "',", ")",
	};
	/* clang-format on */
	const char *names = NULL;

	if (n_value != KV_ARRAY_SIZE(shape))
		return false;
	for (size_t i = 0; i < n_value; i++) {
		const char *body = string_body(s, &s->value[i]);

		if (shape[i][0] != '\'' ? !is(s, &s->value[i], shape[i]) : !body)
			return false;
		if (kv_streq(shape[i], "'"))
			names = body;
		else if (body && !kv_streq(body, shape[i] + 1))
			return false;
	}
	return read_names(s, names, ret);
}

/* kvpath's expression, its n tokens from the first on. */
static bool is_own(struct scan *s, size_t n_value, struct kv_pydefault *ret)
{
	if (!read_own(s, n_value, &ret->backends)) {
		ret->backends.n = 0;
		return false;
	}
	ret->kind = KV_PYDEFAULT_KVPATH;
	ret->env = "NIXL_BACKEND";
	ret->is_split = ret->skips_empty = true;
	return true;
}

static bool eat(const struct scan *s, size_t *i, const char *text)
{
	if (*i >= s->n_value || !is(s, &s->value[*i], text))
		return false;
	++*i;
	return true;
}

static const char *eat_string(const struct scan *s, size_t *i)
{
	const char *body = *i < s->n_value ? string_body(s, &s->value[*i]) : NULL;

	*i += body != NULL;
	return body;
}

static bool eat_text(const struct scan *s, size_t *i, const char *text)
{
	const char *body = eat_string(s, i);

	return body && kv_streq(body, text);
}

static bool eat_os(const struct scan *s, size_t *i)
{
	static const char import[] = "import os";

	if (eat(s, i, "os"))
		return kv_span_find(s->tokens.src, 0, import, strlen(import)) < s->tokens.src.n;
	return eat(s, i, "__import__") && eat(s, i, "(") && eat_text(s, i, "os") && eat(s, i, ")");
}

/*
 * As people write it: [os.environ.get("NAME", "UCX")], os.getenv("NAME", "UCX").split(","), or with
 * `or` in place of the comma, which needs parentheses where it is split.
 */
static bool read_env(struct scan *s, struct kv_pydefault *ret)
{
	size_t i = 0, at;
	struct kv_pydefault d = *ret;
	bool list = eat(s, &i, "["), around = !list && eat(s, &i, "("), ends;
	const char *names;

	if (!eat_os(s, &i) || !eat(s, &i, ".") ||
	    !(eat(s, &i, "getenv") ||
	      (eat(s, &i, "environ") && eat(s, &i, ".") && eat(s, &i, "get"))) ||
	    !eat(s, &i, "("))
		return false;
	d.env = eat_string(s, &i);
	d.skips_empty = eat(s, &i, ")");
	if (!d.env || !is_word(d.env, strlen(d.env)) || !eat(s, &i, d.skips_empty ? "or" : ","))
		return false;
	at = i;
	names = eat_string(s, &i);
	ends = names && (d.skips_empty || eat(s, &i, ")"));
	if (list)
		ends = ends && eat(s, &i, "]");
	else
		ends = ends && (around ? eat(s, &i, ")") : !d.skips_empty) && eat(s, &i, ".") &&
		       eat(s, &i, "split") && eat(s, &i, "(") && eat_text(s, &i, ",") &&
		       eat(s, &i, ")");
	if (!ends || i != s->n_value || !read_names(s, names, &d.backends) ||
	    (list && d.backends.n != 1))
		return false;
	d.kind = KV_PYDEFAULT_ENV;
	d.is_split = !list;
	d.start = s->value[at].start;
	d.end = s->value[at].end;
	*ret = d;
	return true;
}

/* The value's text on one line, cut where it is long. */
static const char *excerpt(const struct scan *s, size_t start, size_t end)
{
	bool cut = end - start > MAX_EXCERPT;
	char *text = kv_strndup(s->a, (const char *)s->tokens.src.p + start,
				cut ? MAX_EXCERPT : end - start);

	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
	return kv_strf(s->a, "%s%s", kv_printable(s->a, text), cut ? "..." : "");
}

static void read_value(struct scan *s, struct kv_pydefault *ret)
{
	const char *why;
	size_t i = 0, n = s->n_value;

	ret->start = s->value[0].start;
	ret->end = s->value[n - 1].end;
	ret->line = s->value[0].line;
	if (is_own(s, n, ret) || read_env(s, ret))
		return;
	/* Parentheses around the whole list or tuple. */
	while (n >= 4 && is(s, &s->value[i], "(") && is(s, &s->value[i + n - 1], ")") &&
	       s->value[i + n - 1].depth == s->value[i].depth &&
	       (is(s, &s->value[i + n - 2], ")") || is(s, &s->value[i + n - 2], "]")) &&
	       (is(s, &s->value[i + 1], "(") || is(s, &s->value[i + 1], "["))) {
		i++;
		n -= 2;
	}
	why = read_literal(s, i, n, &ret->backends);
	if (!why) {
		ret->kind = KV_PYDEFAULT_LITERAL;
		return;
	}
	ret->backends.n = 0;
	if (n == 1 && is(s, &s->value[0], "None"))
		why = "code that is not looked into decides what it stands for";
	ret->why = kv_strf(s->a, "line %u: the default of " PARAMETER " is %s: %s", ret->line,
			   excerpt(s, ret->start, ret->end), why);
}

/* Why there is no value to read; NULL where there is one. */
static const char *missing(const struct scan *s)
{
	if (s->tokens.error)
		return kv_strf(s->a, "line %u: %s", s->tokens.line, s->tokens.error);
	if (s->error)
		return s->error;
	if (!s->n_classes)
		return "no class " CONFIG_CLASS;
	if (s->n_classes > 1)
		return "class " CONFIG_CLASS " is defined more than once";
	if (s->n_inits > 1)
		return "class " CONFIG_CLASS " has more than one __init__";
	if (!s->n_inits && s->is_field)
		return "class " CONFIG_CLASS " has no __init__: " PARAMETER " is a field of it";
	if (!s->n_inits)
		return "class " CONFIG_CLASS " has no __init__";
	if (!s->is_parameter || s->is_starred)
		return "__init__ of class " CONFIG_CLASS " has no parameter " PARAMETER;
	if (!s->has_value || !s->n_value)
		return "the parameter " PARAMETER " has no default";
	return NULL;
}

/* Nothing is known yet; NULL where the source is not looked into. */
static struct scan *begin(struct kv_arena *a, struct kv_span source, struct kv_pydefault *ret)
{
	struct scan *s = kv_new(a, struct scan);

	*ret = (struct kv_pydefault){ .kind = KV_PYDEFAULT_UNKNOWN };
	if (source.n > MAX_SOURCE) {
		ret->why = "the source is too large";
		return NULL;
	}
	s->a = a;
	kv_pytokens_init(&s->tokens, source);
	return s;
}

void kv_pydefault_find(struct kv_arena *a, struct kv_span source, struct kv_pydefault *ret)
{
	struct scan *s = begin(a, source, ret);
	struct kv_pytok tok;

	if (!s)
		return;
	do {
		kv_pytokens_next(&s->tokens, &tok);
		if (tok.first)
			read_line(s, &tok);
	} while (!is_over(&tok));
	ret->why = missing(s);
	if (!ret->why)
		read_value(s, ret);
}

/* ---- a call ---- */

/* The argument that begins behind tok becomes the value; depth is that of the bracket around it. In
 * the end tok is what ends the argument. */
static void read_argument(struct scan *s, struct kv_pytok *tok, unsigned depth)
{
	s->n_value = 0;
	for (kv_pytokens_next(&s->tokens, tok); !is_over(tok); kv_pytokens_next(&s->tokens, tok)) {
		if (tok->depth == depth || (tok->depth == depth + 1 && is(s, tok, ",")))
			return;
		if (s->n_value < MAX_VALUE)
			s->value[s->n_value++] = *tok;
		else
			s->error = "the argument is too long an expression";
	}
}

/* tok is the name of the call; in the end the token behind what was read of it. True where it is
 * CALL("KEY", ...), with the rest of its arguments as the value. */
static bool read_call(struct scan *s, struct kv_pytok *tok, const char *key)
{
	unsigned depth;
	const char *first;

	kv_pytokens_next(&s->tokens, tok);
	if (!is(s, tok, "("))
		return false;
	depth = tok->depth;
	kv_pytokens_next(&s->tokens, tok);
	first = string_body(s, tok);
	if (!first || !kv_streq(first, key))
		return false;
	kv_pytokens_next(&s->tokens, tok);
	if (!is(s, tok, ","))
		return false;
	read_argument(s, tok, depth);
	return true;
}

void kv_pydefault_find_call(struct kv_arena *a, struct kv_span source, const char *call,
			    const char *key, struct kv_pydefault *ret)
{
	struct scan *s = begin(a, source, ret);
	struct kv_pytok tok;
	unsigned calls = 0;

	if (!s)
		return;
	kv_pytokens_next(&s->tokens, &tok);
	while (!is_over(&tok))
		if (is(s, &tok, call))
			calls += read_call(s, &tok, key);
		else
			kv_pytokens_next(&s->tokens, &tok);
	if (s->tokens.error)
		ret->why = kv_strf(a, "line %u: %s", s->tokens.line, s->tokens.error);
	else if (s->error || calls != 1 || !s->n_value)
		ret->why = s->error ? s->error
			   : calls  ? kv_strf(a, "%u calls of %s name it", calls, call)
				    : kv_strf(a, "no call of %s names it", call);
	else
		read_value(s, ret);
}

/* ---- a setting ---- */

/* tok is the name; true where it is NAME = F(...). */
static bool read_setting(struct scan *s, struct kv_pytok *tok)
{
	kv_pytokens_next(&s->tokens, tok);
	if (!is(s, tok, "="))
		return false;
	kv_pytokens_next(&s->tokens, tok);
	if (tok->kind != KV_PYTOK_NAME)
		return false;
	kv_pytokens_next(&s->tokens, tok);
	if (!is(s, tok, "("))
		return false;
	read_argument(s, tok, tok->depth);
	return true;
}

/* A string, or EXPRESSION's first name. */
static const char *read_one(struct scan *s, struct kv_pydefault *ret)
{
	size_t n = s->n_value;
	const char *name;

	ret->start = s->value[0].start;
	ret->end = s->value[n - 1].end;
	ret->line = s->value[0].line;
	ret->is_one = true;
	if (n > 3 && is(s, &s->value[n - 3], "[") &&
	    s->value[n - 2].end - s->value[n - 2].start == 1 &&
	    s->tokens.src.p[s->value[n - 2].start] == '0' && is(s, &s->value[n - 1], "]") &&
	    is_own(s, n - 3, ret)) {
		ret->backends.n = 1;
		return NULL;
	}
	name = n == 1 ? string_body(s, &s->value[0]) : NULL;
	if (!name || !is_word(name, strlen(name)))
		return kv_strf(s->a, "line %u: it is %s, not a backend's name", ret->line,
			       excerpt(s, ret->start, ret->end));
	ret->kind = KV_PYDEFAULT_LITERAL;
	kv_vec_push(s->a, &ret->backends, kv_strdup(s->a, name));
	return NULL;
}

void kv_pydefault_find_setting(struct kv_arena *a, struct kv_span source, const char *name,
			       struct kv_pydefault *ret)
{
	struct scan *s = begin(a, source, ret);
	struct kv_pytok tok;
	unsigned settings = 0;

	if (!s)
		return;
	kv_pytokens_next(&s->tokens, &tok);
	while (!is_over(&tok))
		if (tok.first && is(s, &tok, name))
			settings += read_setting(s, &tok);
		else
			kv_pytokens_next(&s->tokens, &tok);
	if (s->tokens.error)
		ret->why = kv_strf(a, "line %u: %s", s->tokens.line, s->tokens.error);
	else if (s->error || settings != 1 || !s->n_value)
		ret->why = s->error ? s->error : "it is set in no plain way";
	else
		ret->why = read_one(s, ret);
}

struct kv_span kv_pydefault_patch(struct kv_arena *a, struct kv_span source,
				  const struct kv_pydefault *found, const char *backend)
{
	size_t tail = source.n - found->end, n;
	const char *expression;
	uint8_t *out;

	/* What would not come back as one name must not get into code. */
	if (found->kind == KV_PYDEFAULT_UNKNOWN || !is_word(backend, strlen(backend)))
		return (struct kv_span){ 0 };
	if (found->kind == KV_PYDEFAULT_ENV)
		expression = kv_strf(a, "\"%s\"", backend);
	else
		expression = kv_strf(a, EXPRESSION "%s", backend, found->is_one ? "[0]" : "");
	n = strlen(expression);
	out = kv_alloc_raw(a, found->start + n + tail + 1);
	memcpy(out, source.p, found->start);
	memcpy(out + found->start, expression, n);
	memcpy(out + found->start + n, source.p + found->end, tail);
	out[found->start + n + tail] = '\0';
	return (struct kv_span){ out, found->start + n + tail };
}
