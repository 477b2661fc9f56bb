/*
 * A Secret with the token of this one sweep, a Service without an address of its own, by which pods
 * find the first of them, and the Job: a pod for each node. The first pod leads, and its log is the
 * result.
 */
#include "launch/sweep_k8s.h"
#include "launch/render.h"

#define NAME  KV_SWEEP_K8S_NAME
#define PROBE "/opt/kvpath/libexec/kvpath/kvpath-probe"

static void print_command(FILE *out, const struct kv_sweep_k8s *k)
{
	fprintf(out, "        command: [\"" KV_JOB_PROGRAM "\", \"sweep\", \"--await\", \"%u\"",
		k->nodes);
	for (size_t i = 0; i < k->args->n; i++)
		fprintf(out, ", %s", kv_json_word(k->arena, k->args->v[i]));
	fputs("]\n", out);
}

static void print_pod(FILE *out, const struct kv_sweep_k8s *k)
{
	fputs("    spec:\n      restartPolicy: Never\n      subdomain: " NAME "\n"
	      "      affinity:\n        podAntiAffinity:\n"
	      "          requiredDuringSchedulingIgnoredDuringExecution:\n"
	      "          - topologyKey: kubernetes.io/hostname\n"
	      "            labelSelector: {matchLabels: {app: " NAME "}}\n"
	      "      containers:\n      - name: sweep\n",
	      out);
	fprintf(out, "        image: %s\n", kv_json_word(k->arena, k->container));
	print_command(out, k);
	fprintf(out,
		"        env:\n"
		"        - {name: KVPATH_SWEEP, value: \"" NAME "-0." NAME ":%d\"}\n"
		"        - name: KVPATH_TOKEN\n"
		"          valueFrom: {secretKeyRef: {name: " NAME ", key: token}}\n",
		KV_SWEEP_K8S_PORT);
	if (k->efa)
		fprintf(out, "        resources: {limits: {vpc.amazonaws.com/efa: \"%zu\"}}\n",
			k->efa);
	fputs("        volumeMounts:\n"
	      "        - {name: kvpath, mountPath: " KV_JOB_PROGRAM ", readOnly: true}\n"
	      "        - {name: probe, mountPath: " PROBE ", readOnly: true}\n"
	      "      volumes:\n",
	      out);
	fprintf(out,
		"      - {name: kvpath, hostPath: {path: %s, type: File}}\n"
		"      - {name: probe, hostPath: {path: %s, type: File}}\n",
		kv_json_word(k->arena, k->program), kv_json_word(k->arena, k->probe));
}

void kv_sweep_k8s_print(FILE *out, const struct kv_sweep_k8s *k)
{
	fprintf(out,
		"# Written by kvpath " KVPATH_VERSION
		". The token is of this sweep alone. The result:\n"
		"#     kubectl logs -l app=" NAME ",batch.kubernetes.io/job-completion-index=0\n"
		"apiVersion: v1\nkind: Secret\nmetadata: {name: " NAME "}\n"
		"stringData: {token: \"%s\"}\n---\n"
		"apiVersion: v1\nkind: Service\nmetadata: {name: " NAME "}\n"
		"spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: " NAME
		"}}\n---\n"
		"apiVersion: batch/v1\nkind: Job\nmetadata: {name: " NAME "}\nspec:\n"
		"  completionMode: Indexed\n  completions: %u\n  parallelism: %u\n  backoffLimit: "
		"0\n"
		"  template:\n    metadata: {labels: {app: " NAME "}}\n",
		k->token, k->nodes, k->nodes);
	print_pod(out, k);
}
