/*
 * What to repair first: errors before warnings, in the order in which a process meets their causes;
 * what follows from another finding right below it. Nothing is left out.
 */
#include "rules/rules.h"

static const struct {
	const char *first, *last;
} steps[] = {
#define KV_STEP(first, last) { #first, #last },
#include "rules/order.def"
};

static const struct {
	const char *effect, *cause;
} links[] = {
#define KV_BECAUSE(effect, cause) { #effect, #cause },
#include "rules/order.def"
};

static size_t step_of(const char *id)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(steps); i++)
		if (strcmp(id, steps[i].first) >= 0 && strcmp(id, steps[i].last) <= 0)
			return i;
	return KV_ARRAY_SIZE(steps);
}

static int by_weight(const void *a, const void *b)
{
	const struct kv_finding *x = a, *y = b;

	if (x->severity != y->severity)
		return (int)x->severity - (int)y->severity;
	if (step_of(x->id) != step_of(y->id))
		return step_of(x->id) < step_of(y->id) ? -1 : 1;
	if (strcmp(x->id, y->id) != 0)
		return strcmp(x->id, y->id);
	return x->place < y->place ? -1 : x->place > y->place;
}

/* A warning explains no error; of one id the first explains the others. */
static bool explains(const struct kv_finding *cause, const struct kv_finding *fi)
{
	if (cause == fi || cause->severity > fi->severity)
		return false;
	for (size_t i = 0; i < KV_ARRAY_SIZE(links); i++)
		if (kv_streq(links[i].effect, fi->id) && kv_streq(links[i].cause, cause->id))
			return cause < fi || !kv_streq(cause->id, fi->id);
	return false;
}

/* Number of the finding that the one at i follows from; i itself where there is none. */
static size_t cause_of(const struct kv_findings *out, size_t i)
{
	for (size_t j = 0; j < out->list.n; j++)
		if (explains(&out->list.v[j], &out->list.v[i]))
			return j;
	return i;
}

/* Puts those that follow from number i, directly or not, behind it. */
static void append(struct kv_findings *out, const size_t *causes, size_t i,
		   const struct kv_findings *from)
{
	kv_vec_push(out->arena, &out->list, from->list.v[i]);
	for (size_t j = 0; j < from->list.n; j++)
		if (j != i && causes[j] == i)
			append(out, causes, j, from);
}

void kv_findings_sort(struct kv_findings *out)
{
	struct kv_findings from = *out;
	size_t *causes;

	if (out->list.n < 2)
		return;
	/* A stable order of what is alike: qsort() alone promises none. */
	for (size_t i = 0; i < from.list.n; i++)
		from.list.v[i].place = i;
	qsort(from.list.v, from.list.n, sizeof(*from.list.v), by_weight);
	causes = kv_alloc_n(out->arena, from.list.n, sizeof(*causes));
	for (size_t i = 0; i < from.list.n; i++) {
		causes[i] = cause_of(&from, i);
		from.list.v[i].because = causes[i] == i ? NULL : from.list.v[causes[i]].id;
	}
	out->list.v = NULL;
	out->list.n = out->list.cap = 0;
	for (size_t i = 0; i < from.list.n; i++)
		if (causes[i] == i)
			append(out, causes, i, &from);
}
