/* Recording what was asked of a host, as a tar that kv_sysroot_open reads (docs/recording.md). */
#ifndef KV_INSPECT_RECORD_H
#define KV_INSPECT_RECORD_H

#include "inspect/sysroot.h"

#define KV_SYSROOT_REPORT "kvpath-report.json"

/*
 * The tar's bytes, from what was asked of s so far, into a buffer of the caller. env: the job's, of
 * which the variables that kvpath looks at are kept and secrets are masked. report: a document that
 * goes along.
 */
void kv_record_make(struct kv_sysroot *s, const struct kv_env *env, const char *report,
		    struct kv_buf *ret);
/* Writes bytes as a new file that only its owner may read; with force it replaces what is there. */
int kv_record_save(const char *path, const struct kv_buf *bytes, bool force, struct kv_err *err);

#endif
