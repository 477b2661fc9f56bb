/* Reading the expression that a default is, once its tokens are found. */
#ifndef KV_REPAIR_PYVALUE_H
#define KV_REPAIR_PYVALUE_H

#include "repair/pydefault.h"
#include "repair/pytoken.h"

#define KV_PYVALUE_MAX 128 /* tokens of a default that is looked into */

struct kv_pyvalue {
	struct kv_arena *a;
	const struct kv_pytokens *tokens; /* that v is of */
	struct kv_pytok v[KV_PYVALUE_MAX];
	size_t n;
};

/* Reads n > 0 tokens as a list of names; ret->kind stays UNKNOWN, with ret->why, where they are
 * none. */
void kv_pyvalue_read(const struct kv_pyvalue *x, struct kv_pydefault *ret);
/* The same of a single name: a string, or the first name of kvpath's expression. */
void kv_pyvalue_read_one(const struct kv_pyvalue *x, struct kv_pydefault *ret);

/* Whether n bytes are a backend's name, or a variable's. */
bool kv_pyvalue_is_word(const char *s, size_t n);

#endif
