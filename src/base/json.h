/* JSON whose fields may be of any type: a default where one is not of the type asked for. */
#ifndef KV_BASE_JSON_H
#define KV_BASE_JSON_H

#include <jansson.h>

static inline void kv_json_freep(json_t **o)
{
	json_decref(*o);
}
#define _json_ __attribute__((cleanup(kv_json_freep)))

/* "" */
static inline const char *kv_json_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* 0; else of an amount that there can be: 1e-12 to 1e18 */
static inline double kv_json_num(const json_t *o, const char *key)
{
	double n = json_number_value(json_object_get(o, key));

	return n >= 1e-12 && n <= 1e18 ? n : 0;
}

/* NULL: an array of none */
static inline const json_t *kv_json_list(const json_t *o, const char *key)
{
	const json_t *list = json_object_get(o, key);

	return json_is_array(list) ? list : NULL;
}

#endif
