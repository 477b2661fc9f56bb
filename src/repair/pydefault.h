/*
 * The default of `backends` in a NIXL wheel's _api.py, or in vLLM's or SGLang's code: finding it in
 * the source as it is written, and writing the line that honours NIXL_BACKEND. Works on text alone;
 * nothing of the target is executed.
 *
 * Looked for: in `class nixl_agent_config`, in the parameters of `__init__`, the parameter
 * `backends`, with any annotation or none, any quoting, spacing and line breaks, and its default: a
 * list or tuple of string literals, the expression that kvpath writes, or one of people's own that
 * asks one variable of the environment.
 */
#ifndef KV_REPAIR_PYDEFAULT_H
#define KV_REPAIR_PYDEFAULT_H

#include "base/base.h"

enum kv_pydefault_kind {
	KV_PYDEFAULT_UNKNOWN, /* the source is not of a shape that is understood; why says what was
				 missing */
	KV_PYDEFAULT_LITERAL, /* a literal list: backends */
	KV_PYDEFAULT_KVPATH,  /* kvpath's expression: NIXL_BACKEND, else backends */
	KV_PYDEFAULT_ENV,     /* as people write it: any variable, else backends */
};

struct kv_pydefault {
	enum kv_pydefault_kind kind;
	kv_strv backends;  /* names in order */
	size_t start, end; /* byte range of the default's expression in the source, of ENV that of
			      the string that it falls back to */
	unsigned line;     /* of start, counted from 1 */
	bool is_one;       /* a name, not a list of names */
	const char *env;   /* KVPATH, ENV: the variable that comes before backends */
	bool is_split;     /* it names several, with commas between them */
	bool skips_empty;  /* set to nothing it is as unset */
	const char *why;   /* UNKNOWN: one line */
};

/* Reads the default. Never fails: what is not understood is UNKNOWN. Memory from a. */
void kv_pydefault_find(struct kv_arena *a, struct kv_span source, struct kv_pydefault *ret);

/*
 * Reads what a call takes unasked: the second argument of the only CALL("KEY", ...) in the source,
 * as vLLM's get_from_extra_config("backends", ["UCX"]). As kv_pydefault_find otherwise.
 */
void kv_pydefault_find_call(struct kv_arena *a, struct kv_span source, const char *call,
			    const char *key, struct kv_pydefault *ret);

/*
 * Reads what a setting is unasked: the first argument of the only NAME = F(...) in the source, as
 * SGLang's SGLANG_DISAGGREGATION_NIXL_BACKEND = EnvStr("UCX"); a name alone. As kv_pydefault_find
 * otherwise.
 */
void kv_pydefault_find_setting(struct kv_arena *a, struct kv_span source, const char *name,
			       struct kv_pydefault *ret);

/*
 * The source with the default replaced by an expression that yields the list named by the
 * environment variable NIXL_BACKEND (comma-separated), or [backend] where that is unset or empty;
 * of a single name the first of them. Of people's own expression only what it falls back to.
 * All other bytes, line endings included, stay. found must be of the same source, and not UNKNOWN.
 */
struct kv_span kv_pydefault_patch(struct kv_arena *a, struct kv_span source,
				  const struct kv_pydefault *found, const char *backend);

#endif
