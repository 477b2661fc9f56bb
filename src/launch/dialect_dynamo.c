/*
 * The sweep recipes of dynamo.tools, as the one public file shows them (pst2154/dynamo_glm47,
 * glm_fp4_efa.yaml). The launcher is not public: neither its keys nor how it quotes are known.
 */
#include "launch/keys.h"

static const char *const env_keys[] = { "environment", NULL };
static const char *const shell_keys[] = { "bash_preamble", "bash_preamble_frontend",
					  "host_bash_preamble", NULL };
static const char *const image_keys[] = { "dynamo_container_image", NULL };
static const char *const mount_keys[] = { "container_mounts", NULL };

static bool is_sweep(const struct kv_yaml *root)
{
	const struct kv_yaml *common = kv_yaml_get(root, "common");

	return kv_yaml_get(common, "dynamo_container_image") ||
	       kv_yaml_get(common, "bash_preamble") ||
	       (common && kv_yaml_get(root, "backend_type"));
}

const struct kv_dialect kv_dialect_dynamo = {
	.name = "dynamo.tools",
	.is = is_sweep,
	.keys = kv_keys_dynamo,
	.env_keys = env_keys,
	.shell_keys = shell_keys,
	.image_keys = image_keys,
	.mount_keys = mount_keys,
};
