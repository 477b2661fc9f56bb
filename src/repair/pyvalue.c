/*
 * What a default stands for: names in a list or tuple, kvpath's expression, or one of people's own
 * that asks the environment. Whatever is not plainly one of them is left alone.
 */
#include "repair/pyvalue.h"

#define MAX_EXCERPT 60

bool kv_pyvalue_is_word(const char *s, size_t n)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

	for (size_t i = 0; i < n; i++)
		if (!s[i] || !strchr(allowed, s[i]))
			return false;
	return n > 0;
}

static bool is(const struct kv_pyvalue *x, const struct kv_pytok *tok, const char *text)
{
	return kv_pytok_is(x->tokens, tok, text);
}

static const char *string_body(const struct kv_pyvalue *x, const struct kv_pytok *tok)
{
	return kv_pytok_body(x->a, x->tokens, tok);
}

/* The value's n tokens from i on as names: a list or tuple of strings. NULL, or why it is none. */
static const char *read_literal(const struct kv_pyvalue *x, size_t i, size_t n, kv_strv *ret)
{
	bool comma = false;
	size_t end = i + n - 1;

	if (n < 2 || !(is(x, &x->v[i], "[") || is(x, &x->v[i], "(")) ||
	    x->v[end].kind != KV_PYTOK_OP || x->v[end].depth != x->v[i].depth)
		return "it is not a literal list";
	for (size_t k = i + 1; k < end; k++) {
		const char *name = NULL;

		/* Strings side by side are one string. */
		for (; k < end && x->v[k].kind == KV_PYTOK_STRING; k++) {
			const char *part = string_body(x, &x->v[k]);

			if (!part)
				return "one of its strings is bytes, formatted or a template";
			name = name ? kv_strf(x->a, "%s%s", name, part) : part;
		}
		if (!name || (k < end && !is(x, &x->v[k], ",")))
			return "it holds more than plain strings";
		if (!kv_pyvalue_is_word(name, strlen(name)))
			return "one of its strings is not a backend's name";
		comma |= k < end;
		kv_vec_push(x->a, ret, kv_strdup(x->a, name));
	}
	if (ret->n == 1 && !comma && is(x, &x->v[i], "("))
		return "it is a string in parentheses, not a tuple";
	return NULL;
}

/* Names with commas between them. */
static bool read_names(struct kv_arena *a, const char *names, kv_strv *ret)
{
	for (const char *p = names;; p++) {
		size_t n = strcspn(p, ",");

		if (!kv_pyvalue_is_word(p, n))
			return false;
		kv_vec_push(a, ret, kv_strndup(a, p, n));
		p += n;
		if (!*p)
			return true;
	}
}

/*
 * Whether the value is what kv_pydefault_patch() writes, in any quoting and spacing; ret: the names
 * that it falls back to. In shape, a string that must read so has a quote before it; the names'
 * place has the quote alone.
 */
static bool read_own(const struct kv_pyvalue *x, size_t n_value, kv_strv *ret)
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
		const char *body = string_body(x, &x->v[i]);

		if (shape[i][0] != '\'' ? !is(x, &x->v[i], shape[i]) : !body)
			return false;
		if (kv_streq(shape[i], "'"))
			names = body;
		else if (body && !kv_streq(body, shape[i] + 1))
			return false;
	}
	return read_names(x->a, names, ret);
}

/* kvpath's expression, its n tokens from the first on. */
static bool is_own(const struct kv_pyvalue *x, size_t n_value, struct kv_pydefault *ret)
{
	if (!read_own(x, n_value, &ret->backends)) {
		ret->backends.n = 0;
		return false;
	}
	ret->kind = KV_PYDEFAULT_KVPATH;
	ret->env = "NIXL_BACKEND";
	ret->is_split = ret->skips_empty = true;
	return true;
}

static bool eat(const struct kv_pyvalue *x, size_t *i, const char *text)
{
	if (*i >= x->n || !is(x, &x->v[*i], text))
		return false;
	++*i;
	return true;
}

static const char *eat_string(const struct kv_pyvalue *x, size_t *i)
{
	const char *body = *i < x->n ? string_body(x, &x->v[*i]) : NULL;

	*i += body != NULL;
	return body;
}

static bool eat_text(const struct kv_pyvalue *x, size_t *i, const char *text)
{
	const char *body = eat_string(x, i);

	return body && kv_streq(body, text);
}

static bool eat_os(const struct kv_pyvalue *x, size_t *i)
{
	static const char import[] = "import os";

	if (eat(x, i, "os"))
		return kv_span_find(x->tokens->src, 0, import, strlen(import)) < x->tokens->src.n;
	return eat(x, i, "__import__") && eat(x, i, "(") && eat_text(x, i, "os") && eat(x, i, ")");
}

/*
 * As people write it: [os.environ.get("NAME", "UCX")], os.getenv("NAME", "UCX").split(","), or with
 * `or` in place of the comma, which needs parentheses where it is split.
 */
static bool read_env(const struct kv_pyvalue *x, struct kv_pydefault *ret)
{
	size_t i = 0, at;
	struct kv_pydefault d = *ret;
	bool list = eat(x, &i, "["), around = !list && eat(x, &i, "("), ends;
	const char *names;

	if (!eat_os(x, &i) || !eat(x, &i, ".") ||
	    !(eat(x, &i, "getenv") ||
	      (eat(x, &i, "environ") && eat(x, &i, ".") && eat(x, &i, "get"))) ||
	    !eat(x, &i, "("))
		return false;
	d.env = eat_string(x, &i);
	d.skips_empty = eat(x, &i, ")");
	if (!d.env || !kv_pyvalue_is_word(d.env, strlen(d.env)) ||
	    !eat(x, &i, d.skips_empty ? "or" : ","))
		return false;
	at = i;
	names = eat_string(x, &i);
	ends = names && (d.skips_empty || eat(x, &i, ")"));
	if (list)
		ends = ends && eat(x, &i, "]");
	else
		ends = ends && (around ? eat(x, &i, ")") : !d.skips_empty) && eat(x, &i, ".") &&
		       eat(x, &i, "split") && eat(x, &i, "(") && eat_text(x, &i, ",") &&
		       eat(x, &i, ")");
	if (!ends || i != x->n || !read_names(x->a, names, &d.backends) ||
	    (list && d.backends.n != 1))
		return false;
	d.kind = KV_PYDEFAULT_ENV;
	d.is_split = !list;
	d.start = x->v[at].start;
	d.end = x->v[at].end;
	*ret = d;
	return true;
}

/* The value's text on one line, cut where it is long. */
static const char *excerpt(const struct kv_pyvalue *x, size_t start, size_t end)
{
	bool cut = end - start > MAX_EXCERPT;
	char *text = kv_strndup(x->a, (const char *)x->tokens->src.p + start,
				cut ? MAX_EXCERPT : end - start);

	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
	return kv_strf(x->a, "%s%s", kv_printable(x->a, text), cut ? "..." : "");
}

void kv_pyvalue_read(const struct kv_pyvalue *x, struct kv_pydefault *ret)
{
	const char *why;
	size_t i = 0, n = x->n;

	ret->start = x->v[0].start;
	ret->end = x->v[n - 1].end;
	ret->line = x->v[0].line;
	if (is_own(x, n, ret) || read_env(x, ret))
		return;
	/* Parentheses around the whole list or tuple. */
	while (n >= 4 && is(x, &x->v[i], "(") && is(x, &x->v[i + n - 1], ")") &&
	       x->v[i + n - 1].depth == x->v[i].depth &&
	       (is(x, &x->v[i + n - 2], ")") || is(x, &x->v[i + n - 2], "]")) &&
	       (is(x, &x->v[i + 1], "(") || is(x, &x->v[i + 1], "["))) {
		i++;
		n -= 2;
	}
	why = read_literal(x, i, n, &ret->backends);
	if (!why) {
		ret->kind = KV_PYDEFAULT_LITERAL;
		return;
	}
	ret->backends.n = 0;
	if (n == 1 && is(x, &x->v[0], "None"))
		why = "code that is not looked into decides what it stands for";
	ret->why = kv_strf(x->a, "line %u: the default of backends is %s: %s", ret->line,
			   excerpt(x, ret->start, ret->end), why);
}

void kv_pyvalue_read_one(const struct kv_pyvalue *x, struct kv_pydefault *ret)
{
	size_t n = x->n;
	const char *name;

	ret->start = x->v[0].start;
	ret->end = x->v[n - 1].end;
	ret->line = x->v[0].line;
	ret->is_one = true;
	if (n > 3 && is(x, &x->v[n - 3], "[") && x->v[n - 2].end - x->v[n - 2].start == 1 &&
	    x->tokens->src.p[x->v[n - 2].start] == '0' && is(x, &x->v[n - 1], "]") &&
	    is_own(x, n - 3, ret)) {
		ret->backends.n = 1;
		return;
	}
	name = n == 1 ? string_body(x, &x->v[0]) : NULL;
	if (!name || !kv_pyvalue_is_word(name, strlen(name))) {
		ret->why = kv_strf(x->a, "line %u: it is %s, not a backend's name", ret->line,
				   excerpt(x, ret->start, ret->end));
		return;
	}
	ret->kind = KV_PYDEFAULT_LITERAL;
	kv_vec_push(x->a, &ret->backends, kv_strdup(x->a, name));
}
