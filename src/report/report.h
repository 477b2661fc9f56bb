/* Results as text for people and JSON for programs. Nothing of a target reaches a terminal
 * unescaped. */
#ifndef KV_REPORT_REPORT_H
#define KV_REPORT_REPORT_H

#include "base/json.h"
#include "prove/prove.h"
#include "rules/rules.h"

struct kv_style {
	bool color;
	bool quiet;
};

/* What kind of target the facts are of: the word that reports use. */
static inline const char *kv_target_kind(const struct kv_facts *f)
{
	return f->live ? "live" : kv_root_format(f->root) ? "image" : "directory";
}

/* Text to out. */
void kv_text_check(FILE *out, const struct kv_facts *f, const struct kv_findings *fi,
		   struct kv_style st);
void kv_text_why(FILE *out, struct kv_arena *a, const char *file, const char *process,
		 const struct kv_load *l, struct kv_style st);
void kv_text_prove(FILE *out, struct kv_arena *a, const struct kv_prove_result *r,
		   const char *backend, const char *mem, struct kv_style st);
void kv_text_finding(FILE *out, struct kv_arena *a, const struct kv_finding *fi,
		     struct kv_style st);

/* The documents of the design; the caller's reference. */
json_t *kv_json_check(const struct kv_facts *f, const struct kv_findings *fi);
json_t *kv_json_why(struct kv_arena *a, const char *file, const char *process,
		    const struct kv_load *l);
json_t *kv_json_prove(struct kv_arena *a, const struct kv_prove_result *r, const char *backend,
		      const char *mem);
/* Parts of kvpath.check: the verbs devices, and the rest of the host; null without one. */
json_t *kv_json_devices(struct kv_arena *a, const struct kv_host *h);
json_t *kv_json_host(struct kv_arena *a, const struct kv_host *h);
/* The same for people; nothing without a host. */
void kv_text_host(FILE *out, struct kv_arena *a, const struct kv_host *h);
/* Prints and drops the document. 0 or -EIO. */
int kv_json_print(FILE *out, json_t *doc);

#endif
