/* What is wrong with values of variables, where it takes more than a line: for environ.c's table.
 */
#ifndef KV_RULES_ENVIRON_H
#define KV_RULES_ENVIRON_H

#include "rules/rules.h"

/* UCX_TLS */
bool kv_ends_ucx(const struct kv_facts *f, const char *v);
bool kv_leaves_gpus_out(const struct kv_facts *f, const char *v);
bool kv_has_tcp_alone(const struct kv_facts *f, const char *v);
bool kv_has_tcp_too(const struct kv_facts *f, const char *v);

/* what NIXL reads itself */
bool kv_is_no_nixl_bool(const struct kv_facts *f, const char *v);
bool kv_is_no_endpoint(const struct kv_facts *f, const char *v);
bool kv_is_no_endpoint_list(const struct kv_facts *f, const char *v);

#endif
