/* Reading the documents. Fields are taken as they come: whoever reads one says what type it needs.
 */
#include "report/html.h"

#define MAX_DOC ((size_t)256 << 20)

static const struct {
	const char *schema;
	bool has_verdict;
} kinds[_KV_DOC_KIND_COUNT] = {
	[KV_DOC_CHECK] = { "kvpath.check/1", true }, [KV_DOC_WHY] = { "kvpath.why/1", false },
	[KV_DOC_PROVE] = { "kvpath.prove/1", true }, [KV_DOC_BENCH] = { "kvpath.bench/1", false },
	[KV_DOC_LOG] = { "kvpath.log/1", true },     [KV_DOC_SWEEP] = { "kvpath.sweep/1", true },
	[KV_DOC_SIZE] = { "kvpath.size/1", false },
};

/* From the worst to the best; what all documents together say is the first that one of them says,
 * but that "ready" beside a proof does not take from the proof. */
static const char *const verdicts[] = { "off-fabric", "unknown", "on-fabric", "ready" };

/* The kind whose schema it is, or why there is none. */
static int kind_of(const json_t *root, enum kv_doc_kind *ret, const char *path, struct kv_err *err)
{
	const char *schema = kv_json_str(root, "schema");
	size_t name = strcspn(schema, "/");

	for (size_t i = 0; i < _KV_DOC_KIND_COUNT; i++) {
		if (kv_streq(schema, kinds[i].schema)) {
			*ret = (enum kv_doc_kind)i;
			return 0;
		}
		if (*schema && strcspn(kinds[i].schema, "/") == name &&
		    strncmp(schema, kinds[i].schema, name) == 0)
			return kv_err(
				err, -ENOTSUP,
				"%s: schema %s: this kvpath reads %s (a newer kvpath may have "
				"written it)",
				path, schema, kinds[i].schema);
	}
	if (*schema)
		return kv_err(err, -EINVAL, "%s: schema %s is none that a report is made of", path,
			      schema);
	return kv_err(err, -EINVAL, "%s: no result of kvpath: it names no schema", path);
}

int kv_docs_add(struct kv_docs *docs, const char *path, struct kv_err *err)
{
	enum kv_doc_kind kind = KV_DOC_CHECK;
	struct kv_span text;
	json_error_t why;
	json_t *root;
	int r = kv_read_file(docs->arena, path, MAX_DOC, &text, err);

	if (r < 0)
		return r;
	root = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return kv_err(err, -EINVAL, "%s: no JSON: line %d: %s", path, why.line, why.text);
	r = kind_of(root, &kind, path, err);
	if (r < 0) {
		json_decref(root);
		return r;
	}
	kv_vec_push(docs->arena, &docs->list,
		    ((struct kv_doc){ path, kv_basename(path), kind, root }));
	return 0;
}

void kv_docs_free(struct kv_docs *docs)
{
	for (size_t i = 0; i < docs->list.n; i++)
		json_decref(docs->list.v[i].root);
	docs->list.n = 0;
}

/* A sweep is on the fabric where every pair is. */
static const char *verdict_of_pairs(const json_t *root)
{
	const json_t *pairs = kv_json_list(root, "pairs"), *pair;
	bool all_on = json_array_size(pairs) > 0;
	size_t i;

	json_array_foreach(pairs, i, pair)
	{
		const char *v = kv_json_str(pair, "verdict");

		if (kv_streq(v, "off-fabric"))
			return "off-fabric";
		all_on &= kv_streq(v, "on-fabric");
	}
	return all_on ? "on-fabric" : "unknown";
}

const char *kv_doc_verdict(const struct kv_doc *d)
{
	const char *said = kv_json_str(d->root, "verdict");

	if (d->kind == KV_DOC_SWEEP && !*said)
		said = verdict_of_pairs(d->root);
	if (!kinds[d->kind].has_verdict)
		return NULL;
	for (size_t i = 0; i < KV_ARRAY_SIZE(verdicts); i++)
		if (kv_streq(said, verdicts[i]))
			return verdicts[i];
	return "unknown";
}

const char *kv_doc_severity(const struct kv_doc *d)
{
	const char *verdict = kv_doc_verdict(d);

	return verdict && kv_streq(verdict, "off-fabric") ? "error" : "warning";
}

const char *kv_docs_verdict(const struct kv_docs *docs)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(verdicts); i++)
		for (size_t k = 0; k < docs->list.n; k++) {
			const char *v = kv_doc_verdict(&docs->list.v[k]);

			if (v && kv_streq(v, verdicts[i]))
				return verdicts[i];
		}
	return NULL;
}

size_t kv_docs_count(const struct kv_docs *docs, enum kv_doc_kind kind)
{
	size_t n = 0;

	kv_docs_each(d, docs, kind) n++;
	return n;
}
