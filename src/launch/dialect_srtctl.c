/*
 * srtctl's recipes and its cluster file (NVIDIA/srt-slurm, src/srtctl/core/schema.py, SrtConfig and
 * ClusterConfig, 2026-08; its loader refuses other keys). core/slurm.py quotes every value of an
 * environment with shlex.quote().
 */
#include "launch/recipe.h"

static const char *const top_keys[] = {
	"name",
	"model",
	"resources",
	"slurm",
	"backend",
	"frontend",
	"dynamo",
	"benchmark",
	"profiling",
	"output",
	"health_check",
	"infra",
	"observability",
	"telemetry",
	"environment",
	"container_mounts",
	"extra_mount",
	"srun_options",
	"sbatch_directives",
	"enable_config_dump",
	"setup_script",
	"identity",
	"reporting",
	/* files of several variants */
	"base",
	"sweep",
	"override_*",
	NULL,
};
static const char *const env_keys[] = { "environment", "env", NULL };

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

const struct kv_dialect kv_dialect_srtctl = { "srtctl", is_recipe, top_keys, env_keys, true };
const struct kv_dialect kv_dialect_srtslurm = { "srtslurm", is_cluster, NULL, env_keys, true };
