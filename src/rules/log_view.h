/* The parts of judging logs: what the events of one process come to, and its findings. */
#ifndef KV_RULES_LOG_VIEW_H
#define KV_RULES_LOG_VIEW_H

#include "rules/log.h"

/* Each is the event that stands for the fact, NULL where nothing shows it. */
struct kv_log_view {
	const char *wanted;
	const struct kv_log_event *version;
	const struct kv_log_event *asked, *made;                /* the wanted backend */
	const struct kv_log_event *other_made, *other_selected; /* another one that is no storage */
	const struct kv_log_event *refused, *not_loaded, *no_plugin;
	const struct kv_log_event *ucx_taken;
	const struct kv_log_event *efa, *other_provider, *other_fabric; /* of providers */
	const struct kv_log_event *hmem, *no_hmem, *no_vram, *no_register, *mismatch;
	uint64_t n_made, n_efa; /* times that the wanted one was instantiated, and efa named */
};

void kv_log_view(const struct kv_log_process *p, const char *wanted, struct kv_log_view *ret);

/* Adds the findings that a process's events show. */
void kv_log_find(const struct kv_log *l, const struct kv_log_process *p, const char *wanted,
		 const struct kv_log_path *path, struct kv_findings *out);

#endif
