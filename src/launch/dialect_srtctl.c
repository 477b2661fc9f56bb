/*
 * srtctl's recipes and its cluster file (NVIDIA/srt-slurm, src/srtctl/core/schema.py, SrtConfig and
 * ClusterConfig, 2026-08). core/slurm.py quotes every value of an
 * environment with shlex.quote().
 */
#include "launch/keys.h"

static const char *const env_keys[] = { "environment", "env", NULL };
static const char *const shell_keys[] = { "default_bash_preamble", NULL };
static const char *const image_keys[] = { "container", NULL };
static const char *const mount_keys[] = { "container_mounts", "extra_mount", "default_mounts",
					  NULL };

static bool is_recipe(const struct kv_yaml *root)
{
	const struct kv_yaml *base = kv_yaml_get(root, "base");

	root = base ? base : root;
	return kv_yaml_get(kv_yaml_get(root, "model"), "container") &&
	       kv_yaml_get(root, "resources");
}

static bool is_cluster(const struct kv_yaml *root)
{
	return kv_yaml_get(root, "model_paths") || kv_yaml_get(root, "default_bash_preamble") ||
	       kv_yaml_get(root, "default_mounts");
}

const struct kv_dialect kv_dialect_srtctl = {
	.name = "srtctl",
	.is = is_recipe,
	.keys = kv_keys_srtctl,
	.env_keys = env_keys,
	.shell_keys = shell_keys,
	.image_keys = image_keys,
	.mount_keys = mount_keys,
	.literal = true,
	.may_mount = true,
};
const struct kv_dialect kv_dialect_srtslurm = {
	.name = "srtslurm",
	.is = is_cluster,
	.keys = kv_keys_srtslurm,
	.env_keys = env_keys,
	.shell_keys = shell_keys,
	.mount_keys = mount_keys,
	.literal = true,
	.may_mount = true,
};
