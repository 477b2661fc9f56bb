/*
 * Reads NIXL's own log for what the C API cannot be asked: the libfabric provider, and why a plugin
 * was refused. The texts are those of the wheels 0.9.0 to 1.5.1 (facts: logs.md 2.3), at
 * NIXL_LOG_LEVEL=INFO or DEBUG. A line counts only with NIXL's prefix, "I1122 19:51:46.679286 16945
 * libfabric_rail_manager.cpp:232] ".
 */
#include <ctype.h>

#include "prove/parts.h"

struct line {
	char severity;
	const char *file, *text; /* after the prefix */
};

/* How telling a line about the provider is; a later line of the same strength does not replace an
 * earlier. */
enum strength { NONE, SIMPLIFIED, DISCOVERED, RAIL, RAILS };

struct scan {
	struct kv_arena *a;
	struct kv_prove_log *ret;
	enum strength strength;
};

static const char *skip(const char *s, const char *set)
{
	return s + strspn(s, set);
}

/* Splits absl's prefix; false for what other libraries wrote. */
static bool line_parse(char *s, struct line *ret)
{
	char *end = strstr(s, "] ");
	const char *p = s;

	if (!end || !strchr("IWEF", p[0]) || !p[0] || strspn(p + 1, "0123456789") != 4)
		return false;
	p = skip(skip(p + 5, " "), "0123456789:.");
	p = skip(skip(p, " "), "0123456789");
	p = skip(p, " ");
	if (p > end || !memchr(p, ':', (size_t)(end - p)))
		return false;
	*end = '\0';
	*ret = (struct line){ .severity = s[0], .file = p, .text = end + 2 };
	return true;
}

static bool is_efa(const char *provider)
{
	return kv_starts(provider, "efa");
}

/*
 * Both agents write to one stream. Where two equally strong lines differ, the one that is not efa
 * wins: what is proven must hold for both.
 */
static void provider_found(struct scan *sc, enum strength strength, const char *name, size_t n,
			   const char *text)
{
	struct kv_prove_log *ret = sc->ret;
	char *found;

	if (!n || strength < sc->strength)
		return;
	found = kv_strndup(sc->a, name, n);
	for (char *c = found; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	/* NIXL <= 0.10.1 calls the devices of the provider "sockets" socket devices. */
	if (kv_streq(found, "socket"))
		found = kv_strdup(sc->a, "sockets");
	if (strength == sc->strength && (!is_efa(ret->provider) || is_efa(found)))
		return;
	sc->strength = strength;
	ret->provider = found;
	ret->provider_line = kv_strdup(sc->a, text);
}

static size_t word_len(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-;");
}

static void scan_discovered(struct scan *sc, const char *text)
{
	const char *p = text + strlen("Discovered ");
	size_t n;

	if (!isdigit((unsigned char)*p))
		return;
	p = skip(skip(p, "0123456789"), " ");
	n = word_len(p);
	if (kv_starts(p + n, " devices"))
		provider_found(sc, DISCOVERED, p, n, text);
}

static void scan_provider(struct scan *sc, const char *text)
{
	static const struct {
		const char *before;
		enum strength strength;
	} forms[] = {
		{ "rails using provider=", RAILS },  /* >= 0.8.0; INFO since 1.1.0 */
		{ "rails using provider: ", RAILS }, /* 0.6.1, 0.7 */
		{ ", provider=", RAIL }, /* Created rail 0 (device=eth0, provider=tcp) */
		{ "Using simplified topology for ", SIMPLIFIED },
	};

	if (kv_starts(text, "Discovered "))
		scan_discovered(sc, text);
	for (size_t i = 0; i < KV_ARRAY_SIZE(forms); i++) {
		const char *p = strstr(text, forms[i].before);

		if (p) {
			p += strlen(forms[i].before);
			provider_found(sc, forms[i].strength, p, word_len(p), text);
		}
	}
}

/* "Failed to load plugin from /a/plugins/libplugin_UCX.so: REASON" */
static void scan_load_error(struct scan *sc, const char *text, const char *backend)
{
	const char *file = kv_strf(sc->a, "/libplugin_%s.so: ", backend);
	const char *at;

	if (sc->ret->load_error || !kv_starts(text, "Failed to load plugin from "))
		return;
	at = strstr(text, file);
	if (at)
		sc->ret->load_error = kv_strdup(sc->a, at + strlen(file));
}

void kv_prove_log_read(struct kv_arena *a, const char *text, const char *backend,
		       struct kv_prove_log *ret)
{
	struct scan sc = { .a = a, .ret = ret };
	char *copy = kv_strdup(a, text), *save = NULL;

	*ret = (struct kv_prove_log){ 0 };
	for (char *s = strtok_r(copy, "\r\n", &save); s; s = strtok_r(NULL, "\r\n", &save)) {
		struct line l;

		if (!line_parse(s, &l))
			continue;
		/* Only LIBFABRIC has providers; UCX says nothing like it. */
		if (kv_streq(backend, "LIBFABRIC") && kv_starts(l.file, "libfabric_"))
			scan_provider(&sc, l.text);
		scan_load_error(&sc, l.text, backend);
		if (l.severity == 'E' && !ret->first_error)
			ret->first_error = kv_strdup(a, l.text);
	}
}
