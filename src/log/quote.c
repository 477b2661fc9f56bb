/*
 * Whether a line that has a message only speaks of it: a prompt that is logged with its request, a
 * trace of a shell, a sentence. Judged by what stands between the start of the line and the
 * message. A record of JSON is looked at as what its string holds. A record that was torn in the
 * middle goes on with another one at once, which is no quotation, whatever was open in the first.
 */
#include <ctype.h>

#include "log/log.h"

#define HELD   4096 /* of a string before the message; more before it is no log's record */
#define NESTED 3    /* JSON in JSON: docker's, of Dynamo's */

/* ---- text ---- */

/* Behind the quote of a quotation that started in s and is open at its end; 0. */
static size_t open_at(struct kv_span s)
{
	uint8_t open = 0;
	size_t at = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		/* An apostrophe has letters on both sides. */
		bool inner = i && isalnum(s.p[i - 1]) && i + 1 < s.n && isalnum(s.p[i + 1]);

		if (c == '\n')
			open = 0;
		else if (c == '\\')
			i++;
		else if (open && (c == open || (open == '`' && c == '\'')) && !inner)
			open = 0;
		else if (!open && (c == '"' || c == '\'' || c == '`') &&
			 !(i && isalnum(s.p[i - 1]))) {
			open = c;
			at = i + 1;
		}
	}
	return open ? at : 0;
}

static size_t back(struct kv_span s, size_t at, const char *set)
{
	while (at && s.p[at - 1] && strchr(set, s.p[at - 1]))
		at--;
	return at;
}

/* Colours, also of an escape that was torn or printed. */
static size_t back_ansi(struct kv_span s, size_t at)
{
	size_t to;

	while (at && s.p[at - 1] == 'm') {
		to = back(s, at - 1, "0123456789;");
		if (!to || s.p[to - 1] != '[' || to == at - 1)
			break;
		at = to - 1;
		if (at && s.p[at - 1] == 033)
			at--;
	}
	return at;
}

static bool ends_with(struct kv_span s, size_t at, const char *text)
{
	size_t n = strlen(text);

	return at >= n && memcmp(s.p + at - n, text, n) == 0;
}

/* "_api.py:361", "17:20:46.100": not the count or the number of a listing. */
static bool is_number_of_head(struct kv_span s, size_t end)
{
	size_t at = back(s, end, "0123456789");

	return at && strchr(":.,-", s.p[at - 1]);
}

/* "conn.__init__:", "ValueError:", "3:", "node-3:", "[1,0]<stderr>:"; neither a word nor "file:9:".
 */
static bool is_name_of_head(struct kv_span s, size_t end)
{
	size_t at = end, digits = back(s, end, "0123456789");
	bool named = false;

	if (digits != end && digits && s.p[digits - 1] == ':' && digits > 1)
		return false;
	for (; at && !isspace(s.p[at - 1]); at--)
		named |= !islower(s.p[at - 1]) && !(isupper(s.p[at - 1]) && at < end);
	return named || ends_with(s, end, "Error") || ends_with(s, end, "Exception") ||
	       ends_with(s, end, "INFO") || ends_with(s, end, "WARNING");
}

static bool ends_with_level(struct kv_span s, size_t end)
{
	static const char *const words[] = { "INFO",     "WARNING",  "WARN",   "ERROR",
					     "DEBUG",    "NIXL",     "TRACE",  "CRITICAL",
					     "stderr F", "stdout F", "stderr", "stdout" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(words); i++)
		if (ends_with(s, end, words[i]))
			return true;
	return false;
}

/*
 * A message is not set in, and no line of a log is by much; the texts that kvpath explain prints
 * are, and what stands in other listings. Dynamo has two blanks before a level.
 */
static bool is_set_in(struct kv_span s, const struct kv_log_head *head)
{
	size_t end = s.n, at = head->end, from = back(s, at, " \t"), blank;

	/* "RuntimeError: " */
	if (ends_with(s, end, "Error: "))
		for (end -= 2; end && isalnum(s.p[end - 1]);)
			end--;
	blank = back(s, end, " \t");
	while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\t'))
		at++;
	/* Behind the time of NIXL's C++ stands the thread, to the right. */
	return (!head->severity && at - from > 3) ||
	       (end - blank > 1 && !ends_with_level(s, blank));
}

/* Whether what stands before a message could stand before any: a time, a level, a name. */
static bool is_head(struct kv_span s)
{
	size_t end = back_ansi(s, back(s, s.n, " \t"));
	uint8_t c;

	end = back(s, end, " \t");
	if (!end)
		return true;
	c = s.p[end - 1];
	if (!c || strchr("])|}>/\n\r", c) || ends_with(s, end, "\\n"))
		return true;
	if (isdigit(c))
		return is_number_of_head(s, end);
	if (c == ':')
		return is_name_of_head(s, end - 1);
	return c == '-' || (c == 'Z' && end > 1 && isdigit(s.p[end - 2])) ||
	       ends_with_level(s, end);
}

/* ---- JSON ---- */

struct string {
	size_t from;        /* behind the quote */
	struct kv_span key; /* of the member whose value it is */
	unsigned depth;
};

/* The string that is open at the end of s; false where it is none, or a key. */
static bool open_string(struct kv_span s, size_t from, struct string *ret)
{
	bool in = false, is_value = false;

	*ret = (struct string){ 0 };
	for (size_t i = from; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (in && c == '\\') {
			i++;
		} else if (c == '"') {
			in = !in;
			if (in)
				ret->from = i + 1;
			else if (!is_value)
				ret->key = (struct kv_span){ s.p + ret->from, i - ret->from };
		} else if (!in && (c == ':' || c == ',')) {
			is_value = c == ':';
		} else if (!in && (c == '{' || c == '}')) {
			ret->depth += c == '{' ? 1 : -1U;
			is_value = false;
		}
	}
	return in && is_value;
}

/* What users ask and models answer. */
static bool is_talk(const struct string *v)
{
	static const char *const keys[] = { "content", "prompt", "input", "text" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(keys); i++)
		if (v->key.n == strlen(keys[i]) && memcmp(v->key.p, keys[i], v->key.n) == 0)
			return i != KV_ARRAY_SIZE(keys) - 1 || v->depth > 1;
	return false;
}

/* Without the escapes; the length, which is never larger. */
static size_t decode(struct kv_span s, uint8_t *to)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\\' || i + 1 >= s.n) {
			to[n++] = s.p[i];
			continue;
		}
		i++;
		if (s.p[i] == 'u' && s.n - i > 4) {
			to[n++] = memcmp(s.p + i + 1, "001b", 4) == 0 ? 033 : '?';
			i += 4;
		} else {
			to[n++] = s.p[i] == 'n' ? '\n' : s.p[i] == 't' ? '\t' : s.p[i];
		}
	}
	return n;
}

/* The quote before `at` is of logfmt's message, as Go's loggers write: msg="..." */
static bool is_logfmt(struct kv_span s, size_t at)
{
	static const char *const keys[] = { " msg=\"", " message=\"", " log=\"", " line=\"" };

	for (size_t i = 0; i < KV_ARRAY_SIZE(keys); i++)
		if (ends_with(s, at, keys[i]))
			return true;
	return false;
}

/* ---- together ---- */

enum strictness { NAMED, BARE, ALONE };

/*
 * s ends where the record starts. NAMED: something of the record's own names who wrote it. BARE:
 * nothing does. ALONE: and the message is all that its writer wrote.
 */
static bool is_spoken_of(struct kv_span s, enum strictness strict, unsigned depth)
{
	static const struct kv_log_date no_date = { 1970, 1 };
	struct kv_log_head head;
	uint8_t text[HELD];
	struct string v;

	kv_log_head_parse((struct kv_span){ s.p, s.n < HELD ? s.n : HELD }, no_date, &head);
	if (strict != NAMED && is_set_in(s, &head))
		return true;
	if (!head.json && head.end == s.n)
		return false;
	if (depth >= NESTED)
		return true;
	if (!head.json || !open_string(s, head.json - 1, &v)) {
		v = (struct string){ .from = open_at(s) };
		if (!v.from)
			return strict == ALONE && !is_head(s);
		if (!is_logfmt(s, v.from))
			return true;
	}
	s = (struct kv_span){ s.p + v.from, s.n - v.from };
	if (is_talk(&v) || s.n > HELD)
		return true;
	return is_spoken_of((struct kv_span){ text, decode(s, text) }, strict, depth + 1);
}

bool kv_log_is_quoted(struct kv_span line, const struct kv_log_hit *hit)
{
	size_t n = (size_t)(hit->record - line.p);
	struct kv_span before = { line.p, n };
	enum kv_log_emitter emitter = hit->pattern->emitter;
	enum kv_log_kind kind = hit->pattern->kind;
	bool alone = kind == KV_LOG_MADE || kind == KV_LOG_REFUSED || kind == KV_LOG_NO_PLUGIN ||
		     kind == KV_LOG_UCX_TAKEN;

	if (!hit->pattern->id && kind > KV_LOG_NO_VRAM)
		return false;
	/* vLLM tries the modules that it may do without (vllm-project/vllm PR 50879). */
	if (kind == KV_LOG_NO_PLUGIN && kv_span_find(before, 0, "[import_utils.py:", 17) < before.n)
		return true;
	/* Torn, unless it is the letter of an escape. */
	if (n && isalnum(line.p[n - 1]) && !(n > 1 && line.p[n - 2] == '\\') &&
	    emitter != KV_LOG_ANY)
		return false;
	return is_spoken_of(before, emitter != KV_LOG_ANY ? NAMED : alone ? ALONE : BARE, 0);
}
