/* The table of commands, and what --help and the man pages say of more than one of them. */
#include "cmd/cmd.h"
#include "repair/journal.h"
#include "repair/planner.h"

const struct kv_command *const kv_commands[] = {
	&kv_cmd_check, &kv_cmd_why,    &kv_cmd_fix,     &kv_cmd_undo, &kv_cmd_bake,
	&kv_cmd_prove, &kv_cmd_bench,  &kv_cmd_sweep,   &kv_cmd_log,  &kv_cmd_watch,
	&kv_cmd_run,   &kv_cmd_render, &kv_cmd_hook,    &kv_cmd_size, &kv_cmd_report,
	&kv_cmd_lint,  &kv_cmd_launch, &kv_cmd_explain, NULL,
};

bool kv_command_takes(const struct kv_command *c, const char *option)
{
	size_t n = strlen(option);

	if (kv_streq(option, "help"))
		return true;
	for (const char *p = c->options; (p = strstr(p, option)); p += n)
		if ((p == c->options || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

const char kv_about_program[] = "which path do your KV caches take? Find it, fix it, prove it";

const char kv_about_target[] =
	"TARGET is a container's root directory, or / (the default), where kvpath runs, or an "
	"image, which is only read: squashfs (.sqsh), an OCI layout, a docker or OCI archive. "
	"Nothing of it is executed, but by prove, bench, sweep and run.";

const struct kv_about kv_about_status[] = {
	{ "0", "*", "on-fabric, ready or done" },
	{ "1", "*", "off-fabric, or a proof failed, or no repair is possible" },
	{ "2", "*", "wrong usage or bad input" },
	{ "3", "*", "cannot tell: unreadable, unsupported" },
	{ 0 },
};

const struct kv_about kv_about_env[] = {
	{ "KVPATH_PROBE", "prove bench sweep",
	  "The kvpath-probe to start, in place of libexec/kvpath/kvpath-probe beside the directory "
	  "that kvpath is in." },
	{ "KVPATH_TOKEN", "bench",
	  "The secret that both hosts share, of at least 16 bytes, where --token-file names "
	  "none." },
	{ "LD_LIBRARY_PATH, NIXL_BACKEND, ...", "check why fix render run",
	  "Where the target is /, the environment of kvpath is taken for that of the job. --env "
	  "adds to it." },
	{ "HF_TOKEN and other secrets", "launch",
	  "They reach the tasks by the environment of srun, and are on no command line." },
	{ "NO_COLOR", "check why fix undo bake prove bench sweep log watch size lint launch",
	  "Where it is set to something, text is not coloured unless --color always asks for it." },
	{ "SLURM_CONF", "bench",
	  "Slurm's file that names the socket of munge; else /etc/slurm/slurm.conf." },
	{ "SLURM_JOB_ID", "launch",
	  "Set in an allocation, where the job is then started; without it salloc makes one." },
	{ "SOURCE_DATE_EPOCH", "bake",
	  "The time of what is new in the image, in seconds since 1970." },
	{ "SRTSLURM_CONFIG", "launch",
	  "srtctl's file of the cluster; else srtslurm.yaml here or up to two directories above." },
	{ "TMPDIR", "check why fix render",
	  "Where an unlinked file keeps what is read of a compressed image in layers; else "
	  "/var/tmp "
	  "or /tmp." },
	{ "XDG_RUNTIME_DIR", "run",
	  "Its directory kvpath holds the links and the import hook of programs that were started; "
	  "else /tmp/kvpath-UID." },
	{ 0 },
};

const struct kv_about kv_about_files[] = {
	{ KV_HOST_EFA, "check fix render run hook bake",
	  "Where the EFA installer puts libfabric: what is borrowed from unless --fabric says "
	  "otherwise. What a target lacks of libefa and libibverbs comes from among the system's "
	  "libraries then." },
	{ KV_FABRIC_DIR, "fix undo bake hook",
	  "In the target: the borrowed libfabric, its providers and companions." },
	{ KV_STATE_DIR, "fix undo bake hook", "In the target: the journal that undo reads." },
	{ 0 },
};

bool kv_about_applies(const struct kv_about *a, const struct kv_command *c)
{
	const struct kv_command list = { .options = a->commands };

	return kv_streq(a->commands, "*") || kv_command_takes(&list, c->name);
}
