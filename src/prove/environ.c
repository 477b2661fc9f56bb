/*
 * The environment of the agents: the target's own, since it decides what is loaded, plus what the
 * proof needs to be readable and repeatable.
 */
#include "prove/parts.h"

static const char *const forced[] = {
	"NIXL_LOG_LEVEL=INFO", /* the default, WARN, never names the provider */
	"LC_ALL=C",            /* the loader's messages are quoted */
	"PYTHONDONTWRITEBYTECODE=1",
	/*
	 * Both agents are on one host, where libfabric's efa provider would move bytes through
	 * shared memory and no device counter would stir.
	 */
	"FI_EFA_ENABLE_SHM_TRANSFER=0",
};

static const char *const defaults[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
};

/* The token that joins two hosts is none of the target's. */
static const char *const removed[] = { "FI_LOG_LEVEL", "KVPATH_TOKEN" };

static bool names(const char *pair, const char *other)
{
	size_t n = strcspn(pair, "=");

	return strcspn(other, "=") == n && memcmp(pair, other, n) == 0;
}

static bool overruled(const char *pair)
{
	for (size_t i = 0; i < KV_ARRAY_SIZE(forced); i++)
		if (names(pair, forced[i]))
			return true;
	for (size_t i = 0; i < KV_ARRAY_SIZE(removed); i++)
		if (names(pair, removed[i]))
			return true;
	return false;
}

/* In an environ block the first of two equal names counts, in kv_env the last: none may be there
 * twice. */
static bool named_after(const kv_strv *pairs, size_t i)
{
	for (size_t k = i + 1; k < pairs->n; k++)
		if (names(pairs->v[i], pairs->v[k]))
			return true;
	return false;
}

char **kv_prove_environ(struct kv_arena *a, const struct kv_env *env)
{
	kv_strv out = { 0 };

	for (size_t i = 0; env && i < env->pairs.n; i++)
		if (strchr(env->pairs.v[i], '=') && !overruled(env->pairs.v[i]) &&
		    !named_after(&env->pairs, i))
			kv_vec_push(a, &out, env->pairs.v[i]);
	for (size_t i = 0; i < KV_ARRAY_SIZE(defaults); i++) {
		bool there = false;

		for (size_t k = 0; k < out.n; k++)
			there = there || names(defaults[i], out.v[k]);
		if (!there)
			kv_vec_push(a, &out, kv_strdup(a, defaults[i]));
	}
	for (size_t i = 0; i < KV_ARRAY_SIZE(forced); i++)
		kv_vec_push(a, &out, kv_strdup(a, forced[i]));
	kv_vec_push(a, &out, NULL);
	return out.v;
}
