/*
 * Finds the default of `backends` by walking the logical lines of the source: classes and functions
 * by their indentation, then the one parameter list. The whole source is read before anything is
 * said, as a second definition further down would make the first one wrong. Whatever is not plainly
 * a list of names stays UNKNOWN, so that nothing is rewritten by guess.
 */
#include "repair/pyvalue.h"

#define CONFIG_CLASS "nixl_agent_config"
#define PARAMETER    "backends"

/* As a default it is evaluated once, on import, and needs nothing that the module imports. */
#define EXPRESSION "(__import__(\"os\").environ.get(\"NIXL_BACKEND\") or \"%s\").split(\",\")"

#define MAX_SOURCE ((size_t)8 << 20)
#define MAX_FRAMES 100 /* CPython's MAXINDENT */

enum frame_kind { FRAME_FUNCTION, FRAME_CLASS, FRAME_CONFIG };

/* A class or function whose block may still go on: indent is that of its own first line. */
struct frame {
	enum frame_kind kind;
	unsigned indent;
};

struct scan {
	struct kv_pytokens tokens;
	const char *error; /* of this reader; tokens has its own */
	struct frame frames[MAX_FRAMES];
	size_t n_frames;
	unsigned n_classes, n_inits;
	bool is_field; /* the class declares it as a field */
	bool is_parameter, is_starred, has_value;
	struct kv_pyvalue value; /* the default's tokens */
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
		if (keep && s->value.n < KV_PYVALUE_MAX)
			s->value.v[s->value.n++] = *tok;
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

/* Why there is no value to read; NULL where there is one. */
static const char *missing(const struct scan *s)
{
	if (s->tokens.error)
		return kv_strf(s->value.a, "line %u: %s", s->tokens.line, s->tokens.error);
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
	if (!s->has_value || !s->value.n)
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
	s->value.a = a;
	s->value.tokens = &s->tokens;
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
		kv_pyvalue_read(&s->value, ret);
}

/* ---- a call ---- */

/* The argument that begins behind tok becomes the value; depth is that of the bracket around it. In
 * the end tok is what ends the argument. */
static void read_argument(struct scan *s, struct kv_pytok *tok, unsigned depth)
{
	s->value.n = 0;
	for (kv_pytokens_next(&s->tokens, tok); !is_over(tok); kv_pytokens_next(&s->tokens, tok)) {
		if (tok->depth == depth || (tok->depth == depth + 1 && is(s, tok, ",")))
			return;
		if (s->value.n < KV_PYVALUE_MAX)
			s->value.v[s->value.n++] = *tok;
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
	first = kv_pytok_body(s->value.a, &s->tokens, tok);
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
	else if (s->error || calls != 1 || !s->value.n)
		ret->why = s->error ? s->error
			   : calls  ? kv_strf(a, "%u calls of %s name it", calls, call)
				    : kv_strf(a, "no call of %s names it", call);
	else
		kv_pyvalue_read(&s->value, ret);
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
	else if (s->error || settings != 1 || !s->value.n)
		ret->why = s->error ? s->error : "it is set in no plain way";
	else
		kv_pyvalue_read_one(&s->value, ret);
}

struct kv_span kv_pydefault_patch(struct kv_arena *a, struct kv_span source,
				  const struct kv_pydefault *found, const char *backend)
{
	size_t tail = source.n - found->end, n;
	const char *expression;
	uint8_t *out;

	/* What would not come back as one name must not get into code. */
	if (found->kind == KV_PYDEFAULT_UNKNOWN || !kv_pyvalue_is_word(backend, strlen(backend)))
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
