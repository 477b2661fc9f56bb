/*
 * render --for srtctl: the keys of an srtctl recipe. The mounts are a list (extra_mount), as a
 * mapping from host to container takes each host file once only. What srtctl joins in front of the
 * worker's command is a key of the cluster's srtslurm.yaml, so that it is printed as a comment.
 */
#include "launch/render.h"

static int print(FILE *out, const struct kv_render *r)
{
	const struct kv_bring *b = &r->bring;

	fputs("# Written by kvpath " KVPATH_VERSION ". Keys of an srtctl recipe.\n"
	      "extra_mount:\n",
	      out);
	fprintf(out, "  - %s\n",
		kv_json_word(r->arena, kv_strf(r->arena, "%s:" KV_JOB_PROGRAM ":ro", r->program)));
	for (size_t i = 0; i < b->files.n; i++)
		fprintf(out, "  - %s\n",
			kv_json_word(r->arena, kv_strf(r->arena, "%s:%s:ro", b->files.v[i].host,
						       b->files.v[i].guest)));
	fputs("environment:\n", out);
	for (size_t i = 0; i < b->env.pairs.n; i++)
		fprintf(out, "  %s: %s\n", kv_pair_name(r->arena, b->env.pairs.v[i]),
			kv_json_word(r->arena, kv_pair_value(b->env.pairs.v[i])));
	if (b->left.n) {
		kv_print_left(out, r, "A preamble");
		fprintf(out,
			"# In srtslurm.yaml (the container's root has to be writable):\n"
			"# default_bash_preamble: " KV_JOB_PROGRAM " fix --image --quiet %s /\n",
			kv_shell_words(r->arena, &r->options));
	}
	return 0;
}

const struct kv_writer kv_writer_srtctl = {
	.name = "srtctl",
	.summary = "the keys of an srtctl recipe",
	.needs = KV_NEEDS_BRING,
	.print = print,
};
