/* Bash that waits on the first node until something answers. */
#include "launch/plan_parts.h"
#include "launch/render.h"

const char *kv_plan_ready(const struct kv_job *j, unsigned workers)
{
	const char *models = j->served ? kv_strf(j->arena, "get /v1/models | grep -qF -- %s",
						 kv_shell_word(j->arena, j->served))
				       : "get /v1/models >/dev/null";

	return kv_strf(
		j->arena,
		"get() {\n"
		"  exec 3<>\"/dev/tcp/$HEAD_NODE_IP/%u\" || return 1\n"
		"  printf 'GET %%s HTTP/1.0\\r\\nHost: %%s\\r\\n\\r\\n' \"$1\" "
		"\"$HEAD_NODE_IP\" >&3\n"
		"  timeout 5 cat <&3\n"
		"  exec 3>&-\n"
		"}\n"
		"for ((i = 0; i < %u; i++)); do\n"
		"  if health=$(get /health 2>/dev/null) && [[ $health == HTTP/1.*' 200 '* ]] "
		"&& %s 2>/dev/null; then\n"
		"    seen=$(grep -o '\"endpoint\": *\"generate\"' <<<\"$health\" | wc -l)\n"
		"    if [[ $health != *'\"instances\"'* ]] || ((seen >= %u)); then\n"
		"      exit 0\n"
		"    fi\n"
		"  fi\n"
		"  sleep %u\n"
		"done\n"
		"echo \"the frontend does not list every worker after %u attempts\" >&2\n"
		"exit 1",
		j->port, j->attempts, models, workers, j->interval_s, j->attempts);
}

const char *kv_plan_services(const struct kv_launch *l)
{
	const char *ports = "";

	for (size_t i = 0; i < l->steps.n; i++)
		if (l->steps.v[i].role->kind == KV_ROLE_SERVICE)
			ports = kv_strf(l->job->arena, "%s %s", ports,
					kv_streq(l->steps.v[i].name, "etcd") ? "2379" : "4222");
	return !*ports ? NULL
		       : kv_strf(l->job->arena,
				 "for port in%s; do\n"
				 "  for ((i = 0; i < 300; i++)); do\n"
				 "    (exec 3<>\"/dev/tcp/$HEAD_NODE_IP/$port\") 2>/dev/null && "
				 "continue 2\n"
				 "    sleep 1\n"
				 "  done\n"
				 "  echo \"nothing listens at $HEAD_NODE_IP:$port\" >&2\n"
				 "  exit 1\n"
				 "done",
				 ports);
}
