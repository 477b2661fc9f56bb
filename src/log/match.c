/*
 * Compares a place of a log with the patterns that have the word found there, and looks before the
 * message for who wrote it. A record that another process's write has torn is no match, or matches
 * in the part that is whole.
 */
#include <ctype.h>

#include "base/provider.h"
#include "log/log.h"

#define MOST     160 /* patterns */
#define LOOKBACK 160 /* bytes before a message in which its source is named */
#define FIELD    600 /* longest %f */
#define ESCAPED  6   /* bytes of "\u003c", where "<" stands in JSON that Go wrote */
/* From the start of "\u003cwarn\u003e" to its last three bytes. */
#define LEVEL (2 * ESCAPED + 4 - KV_LOG_WORD_LEN)

#define NIXL_FILE "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

const char *const kv_log_kind_name[_KV_LOG_KIND_COUNT] = {
	"version",  "asked",     "made",     "refused",  "not-loaded", "no-plugin",
	"selected", "ucx-taken", "provider", "provider", "provider",   "provider",
	"hmem",     "no-hmem",   "no-vram",  "agent",    "fabric",     "warning",
	"error",    "mismatch",  "waiting",  "gauge",    "gauge",      "transfers",
};

#define ANY       KV_LOG_ANY
#define NIXL      KV_LOG_NIXL
#define LIBFABRIC KV_LOG_LIBFABRIC
#define UCX       KV_LOG_UCX

const struct kv_log_pattern kv_log_patterns[] = {
#define KV_LOG_LINE(name, kind, emitter, from, id, text)                                           \
	{ name, KV_LOG_##kind, emitter, from, id, text },
#include "log/patterns.def"
	{ 0 },
};

_Static_assert(KV_ARRAY_SIZE(kv_log_patterns) <= MOST, "MOST is too small");

static const struct {
	const char *reason, *id;
} causes[] = {
#define KV_LOG_CAUSE(reason, id) { reason, id },
#include "log/patterns.def"
};

/* The patterns of each word, in the order of the table. */
static struct {
	bool ready;
	uint8_t n[KV_LOG_WORDS], list[KV_LOG_WORDS][MOST];
	uint8_t offset[MOST]; /* of the word in the pattern's text */
} by_word;

/* Whether s has the text, of which a '*' stands for anything. */
static bool has_text(const char *s, const char *text)
{
	const char *star = strchr(text, '*');
	size_t n = star ? (size_t)(star - text) : strlen(text);

	s = memmem(s, strlen(s), text, n);
	return s && (!star || strstr(s + n, star + 1));
}

const char *kv_log_load_cause(const char *reason)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(causes); i++)
		if (has_text(reason, causes[i].reason))
			return causes[i].id;
	return NULL;
}

/* NIXL prints devices by other names than providers; utilities are layered with a semicolon. */
const char *kv_log_provider(const char *printed)
{
	static const struct {
		const char *printed, *name;
	} names[] = {
		{ "efa", "efa" },        { "efa-direct", "efa-direct" },
		{ "tcp", "tcp" },        { "sockets", "sockets" },
		{ "socket", "sockets" }, { "cxi", "cxi" },
		{ "verbs", "verbs" },    { "udp", "udp" },
		{ "shm", "shm" },
	};

	for (size_t i = 0; i < KV_ARRAY_SIZE(names); i++)
		if (kv_provider_is(printed, names[i].printed))
			return names[i].name;
	return NULL;
}

/* The word of a pattern is the first in its text, so that of one message there is one hit. */
static bool choose_word(const char *text, unsigned *ret_word, uint8_t *ret_offset)
{
	ptrdiff_t best = PTRDIFF_MAX, most = (ptrdiff_t)strcspn(text, "%") - KV_LOG_WORD_LEN;

	for (unsigned w = 0; kv_log_word(w); w++) {
		const char *at = strstr(text, kv_log_word(w));

		if (!at || at - text > most || at - text >= best)
			continue;
		best = at - text;
		*ret_word = w;
		*ret_offset = (uint8_t)best;
	}
	return best != PTRDIFF_MAX;
}

/* The end of an escaped ">", behind which libfabric's messages go on. */
static bool is_angle(unsigned word)
{
	return kv_streq(kv_log_word(word), "03e");
}

static void prepare(void)
{
	unsigned w;

	for (unsigned i = 0; kv_log_patterns[i].name; i++)
		if (choose_word(kv_log_patterns[i].text, &w, &by_word.offset[i]))
			by_word.list[w][by_word.n[w]++] = (uint8_t)i;
	for (w = 0; kv_log_word(w); w++)
		for (unsigned i = 0; is_angle(w) && kv_log_patterns[i].name; i++)
			if (kv_log_patterns[i].text[0] == '<')
				by_word.list[w][by_word.n[w]++] = (uint8_t)i;
	by_word.ready = true;
}

/* ---- the message ---- */

struct cursor {
	const uint8_t *p;
	size_t at, end; /* of the line */
};

static struct kv_span cut(const struct cursor *c, size_t n)
{
	return (struct kv_span){ c->p + c->at, n };
}

static size_t word_len(const struct cursor *c)
{
	size_t n = 0;

	while (c->at + n < c->end &&
	       (isalnum(c->p[c->at + n]) || strchr("_-.;", c->p[c->at + n])) && c->p[c->at + n])
		n++;
	/* The full stop of a sentence. */
	while (n && c->p[c->at + n - 1] == '.')
		n--;
	return n;
}

/* Without the line's end, and without what docker's JSON puts behind the message. */
static size_t rest_len(const struct cursor *c)
{
	struct kv_span s =
		cut(c, c->end - c->at < KV_LOG_TEXT_MAX ? c->end - c->at : KV_LOG_TEXT_MAX);
	size_t n = kv_span_find(s, 0, "\\n\"", 3);

	while (n && (s.p[n - 1] == '\r' || s.p[n - 1] == ' '))
		n--;
	return n;
}

/* What follows a name that ends the pattern: a name that goes on was torn, or is another one. */
static bool ends_word(const struct cursor *c)
{
	return c->at >= c->end || strchr(" ,)'\"\\\r\033]", c->p[c->at]);
}

static bool take(struct cursor *c, const char **text, struct kv_log_hit *ret)
{
	char kind = (*text)[1];
	const char *next = *text + 2;
	size_t n = 0, literal = strcspn(next, "%");

	*text = next;
	switch (kind) {
	case 'w':
		n = word_len(c);
		ret->subject = cut(c, n);
		break;
	case 'n':
		while (c->at + n < c->end && n < 18 && isdigit(c->p[c->at + n]))
			n++;
		ret->number = 0;
		for (size_t i = 0; i < n; i++)
			ret->number = ret->number * 10 + (c->p[c->at + i] - '0');
		break;
	case 'f':
		n = kv_span_find(cut(c, c->end - c->at < FIELD ? c->end - c->at : FIELD), 0, next,
				 literal);
		if (c->at + n >= c->end || n == FIELD)
			return false;
		ret->file = cut(c, n);
		break;
	case 'r':
		n = rest_len(c);
		ret->subject = cut(c, n);
		break;
	}
	c->at += n;
	return (n || kind == 'r') && (kind != 'w' || *next || ends_word(c));
}

/* Docker's JSON, as all that Go encodes, has angles escaped. */
static bool skip_char(struct cursor *c, char want)
{
	const char *escaped = want == '<' ? "\\u003c" : want == '>' ? "\\u003e" : NULL;

	if (c->at < c->end && c->p[c->at] == (uint8_t)want) {
		c->at++;
		return true;
	}
	if (!escaped || c->end - c->at < ESCAPED || memcmp(c->p + c->at, escaped, ESCAPED) != 0)
		return false;
	c->at += ESCAPED;
	return true;
}

static bool compare(struct cursor *c, const char *text, struct kv_log_hit *ret)
{
	while (*text) {
		for (; *text && *text != '%'; text++)
			if (!skip_char(c, *text))
				return false;
		if (*text && !take(c, &text, ret))
			return false;
	}
	return true;
}

/* ---- who wrote it ---- */

static size_t back(const uint8_t *p, size_t from, size_t at, const char *set)
{
	while (at > from && p[at - 1] && strchr(set, p[at - 1]))
		at--;
	return at;
}

static uint32_t number(const uint8_t *p, size_t from, size_t to)
{
	uint64_t v = 0;

	if (to - from > 10)
		return 0;
	for (size_t i = from; i < to; i++)
		v = v * 10 + (p[i] - '0');
	return v <= UINT32_MAX ? (uint32_t)v : 0;
}

/* "I1122 19:51:46.679286   16945 libfabric_rail.cpp:232] "; reporters cut all but the file away. */
static bool from_nixl(const uint8_t *p, size_t from, size_t at, const char *file,
		      struct kv_log_hit *ret)
{
	size_t end = at, name, tid;

	while (end > from && !(p[end - 1] == ' ' && end - 1 > from && p[end - 2] == ']'))
		end--;
	if (end == from)
		return false;
	at = end;
	end -= 2;
	name = back(p, from, end, "0123456789");
	if (name == end || name == from || p[name - 1] != ':')
		return false;
	end = name - 1;
	name = back(p, from, end, NIXL_FILE);
	if (end - name < strlen(file) || memcmp(p + name, file, strlen(file)) != 0)
		return false;
	end = back(p, from, name, " ");
	tid = back(p, from, end, "0123456789");
	/* A thread, not the end of the time. */
	if (tid > from && p[tid - 1] == ' ')
		ret->writer = number(p, tid, end);
	ret->message.p = p + at;
	/* The time, and the severity before it. */
	name = back(p, from, tid, "0123456789:. ");
	ret->record = p + name - (name > from && strchr("IWEF", p[name - 1]));
	return true;
}

/* "libfabric:16945:1772632639::efa:mr:efa_mr_reg_impl():893"; pid and time may be cut away. */
static bool from_libfabric(const uint8_t *p, size_t from, size_t at, struct kv_log_hit *ret)
{
	static const char word[] = "libfabric:";
	const size_t n = sizeof(word) - 1;
	size_t digits;

	if (back(p, from, at, "0123456789") == at)
		return false;
	for (size_t i = at; i - from >= n; i--) {
		if (memcmp(p + i - n, word, n) != 0)
			continue;
		for (digits = i; digits < at && isdigit(p[digits]); digits++)
			;
		ret->writer = number(p, i, digits);
		ret->is_pid = ret->writer != 0;
		ret->record = p + i - n;
		return true;
	}
	return false;
}

/* "[1746690477.974497] [host:611  :0] " */
static void from_ucx(const uint8_t *p, size_t from, size_t at, struct kv_log_hit *ret)
{
	size_t end = at, digits;

	while (end > from && p[end - 1] != ']')
		end--;
	if (end == from)
		return;
	end = back(p, from, end - 1, "0123456789abcdefx");
	if (end == from || p[end - 1] != ':')
		return;
	end = back(p, from, end - 1, " ");
	digits = back(p, from, end, "0123456789");
	if (digits > from && p[digits - 1] == ':')
		ret->writer = number(p, digits, end);
	ret->is_pid = ret->writer != 0;
}

static bool written_by(const uint8_t *p, size_t from, size_t at, struct kv_log_hit *ret)
{
	from = at - from > LOOKBACK ? at - LOOKBACK : from;
	switch (ret->pattern->emitter) {
	case KV_LOG_NIXL:
		return from_nixl(p, from, at, ret->pattern->from, ret);
	case KV_LOG_LIBFABRIC:
		return from_libfabric(p, from, at, ret);
	case KV_LOG_UCX:
		from_ucx(p, from, at, ret);
		return true;
	case KV_LOG_ANY:
		break;
	}
	return true;
}

bool kv_log_match(struct kv_span line, size_t at, unsigned word, struct kv_log_hit *ret)
{
	if (!by_word.ready)
		prepare();
	for (unsigned i = 0; i < by_word.n[word]; i++) {
		unsigned k = by_word.list[word][i];
		const struct kv_log_pattern *pattern = &kv_log_patterns[k];
		size_t offset = is_angle(word) ? LEVEL : by_word.offset[k], start = at - offset;
		struct cursor c = { line.p, start, line.n };

		/* Most patterns of a word differ in their first byte. */
		if (at < offset || (line.p[start] != (uint8_t)pattern->text[0] && !is_angle(word)))
			continue;
		*ret = (struct kv_log_hit){ .pattern = pattern, .line = line };
		if (!compare(&c, pattern->text, ret) || !written_by(line.p, 0, start, ret))
			continue;
		if (!ret->message.p)
			ret->message.p = line.p + start;
		if (!ret->record)
			ret->record = line.p + start;
		ret->message.n = line.n - (size_t)(ret->message.p - line.p);
		return true;
	}
	return false;
}
