/*
 * The report as one HTML file: it needs no script, no network and no other file. What is written in
 * it comes from JSON that others may have made up, so nothing but kv_html() writes, and kv_html()
 * escapes every string.
 */
#ifndef KV_REPORT_HTML_H
#define KV_REPORT_HTML_H

#include "base/base.h"
#include "base/json.h"

struct kv_html {
	struct kv_arena *arena;
	struct kv_buf out;
	unsigned ids; /* given to elements so far */
};

/*
 * fmt is markup and trusted; of its conversions %s is escaped text, never NULL. There are %s, %d,
 * %u, %zu, %.Nf, %.*f and %%, and no others. kv_html_raw() is for embedded files.
 */
void kv_html(struct kv_html *h, const char *fmt, ...) KV_PRINTF(2, 3);
void kv_html_raw(struct kv_html *h, const char *markup);
/* s for text and for quoted attributes; what kv_printable() would show otherwise is shown so. */
const char *kv_html_escape(struct kv_arena *a, const char *s);

/* ---- the documents ---- */

enum kv_doc_kind {
	KV_DOC_CHECK,
	KV_DOC_WHY,
	KV_DOC_PROVE,
	KV_DOC_BENCH,
	KV_DOC_LOG,
	KV_DOC_SWEEP,
	KV_DOC_SIZE,
	_KV_DOC_KIND_COUNT
};

struct kv_doc {
	const char *path; /* the file */
	const char *name; /* its last component */
	enum kv_doc_kind kind;
	json_t *root;
};

struct kv_docs {
	struct kv_arena *arena;
	const char *backend; /* the one that is wanted */
	KV_VEC(struct kv_doc) list;
};

/* Reads one more. 0, or -errno with err: one line that names the file. */
int kv_docs_add(struct kv_docs *docs, const char *path, struct kv_err *err);
void kv_docs_free(struct kv_docs *docs);
/* "on-fabric", "ready", "off-fabric", "unknown"; NULL for a kind that gives none. */
const char *kv_doc_verdict(const struct kv_doc *d);
/* Of findings that a document names by their ids alone, as kvpath prove does. */
const char *kv_doc_severity(const struct kv_doc *d);
/* What all of them together say; NULL where none gives one. */
const char *kv_docs_verdict(const struct kv_docs *docs);
size_t kv_docs_count(const struct kv_docs *docs, enum kv_doc_kind kind);

#define kv_docs_each(d, docs, what)                                                                \
	for (const struct kv_doc *d = (docs)->list.v; d && d < (docs)->list.v + (docs)->list.n;    \
	     d++)                                                                                  \
		if (d->kind == (what))

/* ---- the page ---- */

/* All of it; out holds the file. */
void kv_html_report(struct kv_html *h, const struct kv_docs *docs);

#endif
