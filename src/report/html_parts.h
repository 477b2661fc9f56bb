/* What the sections of the page share. Each prints nothing where no document is for it. */
#ifndef KV_REPORT_HTML_PARTS_H
#define KV_REPORT_HTML_PARTS_H

#include "report/html.h"

/* Rows that a table shows at most; the rest is counted. */
#define KV_HTML_ROWS 200

/* A section with its heading; kv_html_end() closes it. */
void kv_html_section(struct kv_html *h, const char *title);
void kv_html_end(struct kv_html *h);
/* "and 12 more" where there are more than were shown. */
void kv_html_more(struct kv_html *h, size_t n, size_t shown);
/* A verdict, or a state, with its mark. */
void kv_html_verdict(struct kv_html *h, const char *verdict);
/* A table that scrolls by itself where it is too wide; the columns' heads, NULL at the end. A head
 * that begins with '#' is of numbers. */
void kv_html_table(struct kv_html *h, const char *caption, const char *const *heads);
void kv_html_table_end(struct kv_html *h);

void kv_html_chains(struct kv_html *h, const struct kv_docs *docs);
void kv_html_findings(struct kv_html *h, const struct kv_docs *docs);
void kv_html_proofs(struct kv_html *h, const struct kv_docs *docs);
void kv_html_bench(struct kv_html *h, const struct kv_docs *docs);
void kv_html_sizes(struct kv_html *h, const struct kv_docs *docs);
void kv_html_sweeps(struct kv_html *h, const struct kv_docs *docs);
void kv_html_logs(struct kv_html *h, const struct kv_docs *docs);
void kv_html_whys(struct kv_html *h, const struct kv_docs *docs);
void kv_html_facts(struct kv_html *h, const struct kv_docs *docs);

#endif
