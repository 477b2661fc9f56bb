/* Results as one SARIF 2.1.0 document, for what gathers the results of checkers. */
#ifndef KV_REPORT_SARIF_H
#define KV_REPORT_SARIF_H

#include "report/report.h"

/* A directory or image that paths are inside of, and the id that stands for it. */
struct kv_sarif_base {
	const char *id, *path;
};

/* Where a result was seen. */
struct kv_sarif_place {
	const char *path;                 /* of a file; NULL where it is none */
	const char *name;                 /* of what is no file: a variable, a library */
	const struct kv_sarif_base *base; /* that the path is inside of; NULL: as it is called */
	const char *text;                 /* what was seen there; NULL */
	unsigned line, column;            /* 0: not known */
};

struct kv_sarif_result {
	const char *id; /* of the catalogue */
	enum kv_severity level;
	const char *message, *help; /* what is wrong; the way out, "" for none */
	bool automatic;             /* kvpath fix goes that way */
	KV_VEC(struct kv_sarif_place) places;
};

struct kv_sarif {
	struct kv_arena *arena;
	KV_VEC(const struct kv_sarif_base *) bases;
	KV_VEC(struct kv_sarif_result) results;
	int status;          /* that the program will end with */
	bool is_known;       /* false: that nothing more is listed proves nothing */
	const char *verdict; /* the status in a word; NULL */
};

/* The document; the caller's reference. */
json_t *kv_sarif_doc(const struct kv_sarif *run);

/* Of a check. sysroot: where the host was recorded; NULL for none. */
json_t *kv_sarif_check(const struct kv_facts *f, const struct kv_findings *fi, const char *sysroot,
		       int status);

#endif
