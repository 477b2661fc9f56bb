/* Recording what was asked of a target and its host, as a tar that is read again by
 * kv_recording_open() and kv_sysroot_open() (docs/recording.md). */
#ifndef KV_INSPECT_RECORD_H
#define KV_INSPECT_RECORD_H

#include "inspect/facts.h"
#include "inspect/sysroot.h"

#define KV_SYSROOT_REPORT "kvpath-report.json"

struct kv_record {
	const struct kv_facts *facts;
	struct kv_sysroot *sysroot; /* NULL where there was no host */
	struct kv_notes *notes;     /* of the target; they are used up */
	const kv_source_dirs *sources;
	bool image; /* options */
	unsigned cpu_level;
	const char *report; /* a document that goes along */
};

/*
 * The tar's bytes, from what was asked so far, into a buffer of the caller. Of the environment the
 * variables that kvpath looks at are kept, and secrets are masked.
 */
void kv_record_make(const struct kv_record *rec, struct kv_buf *ret);
/* Writes bytes as a new file that only its owner may read; with force it replaces what is there. */
int kv_record_save(const char *path, const struct kv_buf *bytes, bool force, struct kv_err *err);

/* ---- between record.c and record_target.c ---- */

void kv_recording_target(const struct kv_record *rec, struct kv_buf *ret);
void kv_recording_text(struct kv_buf *tar, const char *name, const char *text);
/* Whether a variable's name says that its value is nobody's business. */
bool kv_is_secret(const char *name);

#endif
