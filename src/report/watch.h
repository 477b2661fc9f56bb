/* Reports of what moves. */
#ifndef KV_REPORT_WATCH_H
#define KV_REPORT_WATCH_H

#include "report/report.h"
#include "watch/watch.h"

/* Plain text; the first line is the verdict, and the only one where quiet is set. */
void kv_text_watch(FILE *out, const struct kv_watch_delta *d, const struct kv_watch_verdict *v,
		   bool quiet);
/* One line of JSON, without its newline. */
void kv_json_watch(struct kv_buf *out, const struct kv_watch_delta *d,
		   const struct kv_watch_verdict *v);
/* The text format that node_exporter's textfile collector reads. */
void kv_prometheus_watch(FILE *out, const struct kv_watch_delta *d,
			 const struct kv_watch_verdict *v);
/* UCX of .../libplugin_UCX.so. */
const char *kv_watch_plugin_name(struct kv_arena *a, const char *path);

#endif
