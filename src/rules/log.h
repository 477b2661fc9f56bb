/* What logs prove of the path of each process, and the findings of the catalogue that they show. */
#ifndef KV_RULES_LOG_H
#define KV_RULES_LOG_H

#include "log/log.h"
#include "rules/rules.h"

struct kv_log_path {
	enum kv_verdict verdict;
	bool speaks;                      /* its lines say something of the path */
	const char *reason;               /* one line */
	const char *setting;              /* what would show more; NULL */
	const char *backends;             /* instantiated or used, "UCX, LIBFABRIC"; "" */
	const char *provider;             /* NULL where no line names it */
	const char *version;              /* NIXL's; NULL */
	const char *hmem;                 /* "yes", "no"; NULL */
	const struct kv_log_event *proof; /* the line that decides; NULL */
};

struct kv_log_report {
	const char *wanted;
	struct kv_findings findings; /* with the verdict of all */
	struct kv_log_path *paths;   /* one for each process */
	const char *setting;         /* what would tell more, where it is unknown; NULL */
};

/* `backend` is the one that is wanted. Memory from the log's arena. */
void kv_log_judge(const struct kv_log *l, const char *backend, struct kv_log_report *ret);

/* Whether a plugin that did not load is this backend's. */
bool kv_log_is_plugin(const struct kv_log_event *e, const char *backend);

/* "FILE [label] pid 304": how a process is called. */
const char *kv_log_process_name(const struct kv_log *l, const struct kv_log_process *p);

#endif
