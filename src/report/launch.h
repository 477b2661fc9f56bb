/* What kvpath launch says: the nodes before the start, the steps, and the end. */
#ifndef KV_REPORT_LAUNCH_H
#define KV_REPORT_LAUNCH_H

#include "launch/steps.h"
#include "report/log.h"

/* One node, or an image, as kvpath check found it. */
struct kv_checked {
	const char *name, *role;
	json_t *doc;       /* kvpath.check; NULL where there is none */
	const char *error; /* why not */
};

/* What the two sides of a transfer measured. */
struct kv_measured {
	const struct kv_running *from; /* the step that has the result */
	json_t *doc;                   /* kvpath.bench; NULL where there is none */
};

enum kv_launch_end {
	KV_LAUNCH_DONE,
	KV_LAUNCH_REFUSED, /* a check stopped it before the start */
	KV_LAUNCH_DIED,    /* a step ended that must not have */
	KV_LAUNCH_STOPPED, /* by a signal */
	_KV_LAUNCH_END_COUNT
};

struct kv_launch_result {
	struct kv_arena *arena;
	const struct kv_launch *launch;
	const char *job_id, *logs;
	kv_strv nodes;
	KV_VEC(struct kv_checked) checked; /* the image first, where it is a file */
	KV_VEC(struct kv_running) steps;
	KV_VEC(struct kv_measured) measured;
	enum kv_launch_end end;
	const struct kv_running *culprit; /* of KV_LAUNCH_DIED */
	const char *dead_node;            /* Slurm calls it down; NULL */
	struct kv_log log;
	struct kv_log_report report;
	kv_strv masked; /* values that are never shown */
};

/* Reads what the steps measured, once they have ended. */
void kv_launch_measured(struct kv_launch_result *r);
/* For the text, and for the document. */
void kv_text_measured(FILE *out, const struct kv_launch_result *r, struct kv_style st);
json_t *kv_json_measured(const struct kv_launch_result *r);
/* The nodes of a step, "n3" or "n3..n5". */
const char *kv_launch_nodes(const struct kv_launch_result *r, const struct kv_step *s);
/* "off-fabric", or "unknown" where there is no document. */
const char *kv_checked_verdict(const struct kv_checked *c);
void kv_text_launch(FILE *out, const struct kv_launch_result *r, struct kv_style st);
/* The table of a run that goes on. */
void kv_text_launch_now(FILE *out, const struct kv_launch_result *r);
json_t *kv_json_launch(const struct kv_launch_result *r);
/* Without the values of secrets; and as a line that is fit for a terminal. */
const char *kv_unsecret(const struct kv_launch_result *r, const char *text);
const char *kv_masked(const struct kv_launch_result *r, const char *line);

#endif
