/*
 * Kubernetes: DynamoGraphDeployment and plain pods. Of an env entry's value the kubelet expands
 * $(NAME), and nothing expands ${NAME} (Kubernetes API, EnvVar).
 */
#include "launch/keys.h"

static const char *const env_keys[] = { "env", "envs", NULL };

static bool is_object(const struct kv_yaml *root)
{
	return kv_yaml_get(root, "apiVersion") && kv_yaml_get(root, "kind");
}

const struct kv_dialect kv_dialect_k8s = {
	.name = "kubernetes",
	.is = is_object,
	.keys = kv_keys_k8s,
	.env_keys = env_keys,
	.literal = true,
	.asks_for_devices = true,
	.has_pods = true,
};
