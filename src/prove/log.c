/*
 * What NIXL's own log says that the C API cannot be asked: the libfabric provider, and why a plugin
 * was refused, at NIXL_LOG_LEVEL=INFO or DEBUG. The lines are those of log/patterns.def; one counts
 * only with NIXL's prefix, "I1122 19:51:46.679286 16945 libfabric_rail_manager.cpp:232] ".
 */
#include "log/log.h"
#include "base/provider.h"
#include "prove/parts.h"

struct scan {
	struct kv_arena *a;
	const char *backend;
	struct kv_prove_log *ret;
	enum kv_log_kind strength; /* of the provider's line */
};

static char *text_of(struct kv_arena *a, struct kv_span s)
{
	return kv_strndup(a, (const char *)s.p, s.n);
}

static bool is_efa(const char *provider)
{
	return kv_carrier_of(provider) == KV_CARRIER_EFA;
}

/*
 * Both agents write to one stream. Where two equally strong lines differ, the one that is not efa
 * wins: what is proven must hold for both. A later line of the same strength replaces no earlier.
 */
static void provider_found(struct scan *sc, const struct kv_log_hit *hit)
{
	const char *name = kv_log_provider(text_of(sc->a, hit->subject));
	struct kv_prove_log *ret = sc->ret;
	enum kv_log_kind kind = hit->pattern->kind;

	if (!name || (ret->provider && kind < sc->strength))
		return;
	if (ret->provider && kind == sc->strength && (!is_efa(ret->provider) || is_efa(name)))
		return;
	sc->strength = kind;
	ret->provider = name;
	ret->provider_line = text_of(sc->a, hit->message);
}

static void line_found(struct scan *sc, const struct kv_log_hit *hit)
{
	switch (hit->pattern->kind) {
	case KV_LOG_SIMPLIFIED:
	case KV_LOG_DISCOVERED:
	case KV_LOG_RAIL:
	case KV_LOG_RAILS:
		/* Only LIBFABRIC has providers; UCX says nothing like it. */
		if (kv_streq(sc->backend, "LIBFABRIC"))
			provider_found(sc, hit);
		break;
	case KV_LOG_NOT_LOADED:
		if (!sc->ret->load_error &&
		    kv_ends(text_of(sc->a, hit->file),
			    kv_strf(sc->a, "/libplugin_%s.so", sc->backend)))
			sc->ret->load_error = text_of(sc->a, hit->subject);
		break;
	default:
		break;
	}
}

static void scan_line(struct scan *sc, struct kv_span line)
{
	struct kv_log_head head;
	struct kv_log_hit hit;
	const char *message;
	unsigned word;

	for (size_t at = 0; (at = kv_log_word_find(line, at, &word)) < line.n; at++)
		if (kv_log_match(line, at, word, &hit))
			line_found(sc, &hit);
	kv_log_head_parse(line, (struct kv_log_date){ 0 }, &head);
	if (head.severity != 'E' || sc->ret->first_error)
		return;
	message = strstr(text_of(sc->a, line), "] ");
	sc->ret->first_error = message ? message + 2 : NULL;
}

void kv_prove_log_read(struct kv_arena *a, const char *text, const char *backend,
		       struct kv_prove_log *ret)
{
	struct scan sc = { .a = a, .backend = backend, .ret = ret };

	*ret = (struct kv_prove_log){ 0 };
	while (*text) {
		size_t n = strcspn(text, "\r\n");

		scan_line(&sc, (struct kv_span){ (const uint8_t *)text, n });
		text += n + (text[n] != '\0');
	}
}
