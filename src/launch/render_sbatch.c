/*
 * render --for sbatch: lines for a batch script that starts its tasks by srun and pyxis. The
 * borrowed files are mounted one by one, kvpath itself too, and `kvpath run` in front of the
 * command does the rest. pyxis lets the image's variables win over the job's unless they are named.
 */
#include "launch/render.h"

static int print(FILE *out, const struct kv_render *r)
{
	const struct kv_bring *b = &r->bring;
	const char *mounts = kv_strf(r->arena, "%s:" KV_JOB_PROGRAM ":ro", r->program);
	const char *names = "";

	for (size_t i = 0; i < b->files.n; i++)
		mounts = kv_strf(r->arena, "%s,%s:%s:ro", mounts, b->files.v[i].host,
				 b->files.v[i].guest);
	fputs("# Written by kvpath " KVPATH_VERSION ". For a script that starts tasks by srun and "
	      "pyxis.\n",
	      out);
	for (size_t i = 0; i < b->env.pairs.n; i++) {
		const char *pair = b->env.pairs.v[i], *name = kv_pair_name(r->arena, pair);

		fprintf(out, "export %s=%s\n", name, kv_shell_word(r->arena, kv_pair_value(pair)));
		names = kv_strf(r->arena, "%s%s%s", names, *names ? "," : "", name);
	}
	fprintf(out, "kvpath_srun=(--container-mounts=%s --container-env=%s)\n",
		kv_shell_word(r->arena, mounts), kv_shell_word(r->arena, names));
	fprintf(out, "kvpath_run=(" KV_JOB_PROGRAM " run %s --)\n",
		kv_shell_words(r->arena, &r->options));
	kv_print_left(out, r, "kvpath run");
	fputs("# srun \"${kvpath_srun[@]}\" --container-image=IMAGE \"${kvpath_run[@]}\" COMMAND\n",
	      out);
	return 0;
}

const struct kv_writer kv_writer_sbatch = {
	.name = "sbatch",
	.summary = "lines for a batch script that uses srun and pyxis",
	.needs = KV_NEEDS_BRING,
	.print = print,
};
