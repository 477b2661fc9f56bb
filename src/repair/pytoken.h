/*
 * Tokens of a Python source, for finding a place in it: as much of the lexical rules as is needed
 * to tell code from strings and comments, one logical line from the next, and the indentation of
 * each. Accepts more than Python does; what Python accepts is split as Python splits it.
 */
#ifndef KV_REPAIR_PYTOKEN_H
#define KV_REPAIR_PYTOKEN_H

#include "base/base.h"

enum kv_pytok_kind {
	KV_PYTOK_END,
	KV_PYTOK_NEWLINE, /* end of a logical line */
	KV_PYTOK_NAME,    /* keywords too */
	KV_PYTOK_NUMBER,
	KV_PYTOK_STRING,
	KV_PYTOK_OP,
	KV_PYTOK_ERROR, /* for good: kv_pytokens.error says what, .line where */
};

struct kv_pytok {
	enum kv_pytok_kind kind;
	size_t start, end; /* bytes in the source */
	unsigned line;     /* of start, counted from 1 */
	unsigned depth;    /* brackets open around it; a bracket itself is not inside itself */
	bool first;        /* opens a logical line, whose indentation is indent */
	unsigned indent;
	/* STRING: what is between the quotes; plain unless bytes, formatted or a template */
	size_t body, body_end;
	bool plain;
};

/* CPython allows 200 (MAXLEVEL in Parser/lexer/state.h). */
#define KV_PYTOK_DEPTH 200

struct kv_pytokens {
	struct kv_span src;
	size_t pos;
	unsigned line;
	const char *error;
	bool fresh; /* no token of this logical line was returned yet */
	unsigned indent;
	unsigned depth;
	uint8_t closers[KV_PYTOK_DEPTH];
};

void kv_pytokens_init(struct kv_pytokens *t, struct kv_span src);
void kv_pytokens_next(struct kv_pytokens *t, struct kv_pytok *ret);

/* Whether tok is a name or an operator that reads text. */
bool kv_pytok_is(const struct kv_pytokens *t, const struct kv_pytok *tok, const char *text);

/* The text between the quotes of a plain string, escapes as written: no text that is looked for
 * holds a backslash. NULL of anything else. Memory from a. */
const char *kv_pytok_body(struct kv_arena *a, const struct kv_pytokens *t,
			  const struct kv_pytok *tok);

#endif
