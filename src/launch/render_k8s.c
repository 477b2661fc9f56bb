/*
 * render --for k8s: a strategic merge patch for a pod (kubectl patch --patch-file, kustomize, or by
 * hand into a DynamoGraphDeployment: the podTemplate of v1beta1, whose container is "main", or the
 * extraPodSpec of v1alpha1). Each borrowed file is a hostPath volume of its own; `kvpath run` in
 * front of the container's command does the rest.
 */
#include "launch/render.h"

static void print_mount(FILE *out, const struct kv_render *r, size_t i, const char *guest)
{
	fprintf(out, "    - {name: kvpath-%zu, mountPath: %s, readOnly: true}\n", i,
		kv_json_word(r->arena, guest));
}

static void print_volume(FILE *out, const struct kv_render *r, size_t i, const char *host)
{
	fprintf(out, "  - {name: kvpath-%zu, hostPath: {path: %s, type: File}}\n", i,
		kv_json_word(r->arena, host));
}

static int print(FILE *out, const struct kv_render *r)
{
	const struct kv_bring *b = &r->bring;

	fputs("# Written by kvpath " KVPATH_VERSION
	      ". A strategic merge patch: give the container its name.\n",
	      out);
	kv_print_left(out, r, "kvpath run");
	fputs("# In front of the container's command: [" KV_JOB_PROGRAM ", run", out);
	for (size_t i = 0; i < r->options.n; i++)
		fprintf(out, ", %s", r->options.v[i]);
	fputs(", --]\n", out);
	fputs("spec:\n  containers:\n  - name: worker\n    env:\n", out);
	for (size_t i = 0; i < b->env.pairs.n; i++)
		fprintf(out, "    - {name: %s, value: %s}\n",
			kv_pair_name(r->arena, b->env.pairs.v[i]),
			kv_json_word(r->arena, kv_pair_value(b->env.pairs.v[i])));
	/* What the device pins counts against the limit of locked memory, which pods get from
	 * containerd, unless they have this capability (KV317). */
	if (b->devices.n)
		fprintf(out,
			"    resources: {limits: {vpc.amazonaws.com/efa: \"%zu\"}}\n"
			"    securityContext: {capabilities: {add: [IPC_LOCK]}}\n",
			b->devices.n);
	fputs("    volumeMounts:\n", out);
	print_mount(out, r, 0, KV_JOB_PROGRAM);
	for (size_t i = 0; i < b->files.n; i++)
		print_mount(out, r, i + 1, b->files.v[i].guest);
	fputs("  volumes:\n", out);
	print_volume(out, r, 0, r->program);
	for (size_t i = 0; i < b->files.n; i++)
		print_volume(out, r, i + 1, b->files.v[i].host);
	return 0;
}

const struct kv_writer kv_writer_k8s = {
	.name = "k8s",
	.summary = "a strategic merge patch for a pod",
	.needs = KV_NEEDS_BRING,
	.print = print,
};
