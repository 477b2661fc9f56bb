#ifndef KV_WATCH_LIMITS_H
#define KV_WATCH_LIMITS_H

#include <stdint.h>

enum kv_watch_limit {
#define KV_WATCH_LIMIT(name, value) KV_LIMIT_##name,
#include "watch/thresholds.def"
#undef KV_WATCH_LIMIT
	_KV_LIMIT_COUNT
};

extern const uint64_t kv_watch_limit[_KV_LIMIT_COUNT];

#endif
