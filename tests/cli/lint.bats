#!/usr/bin/env bats
# lint: each rule with a recipe that has the fault and one that nearly has it.

load helper

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# found ID...: what is found in r.yaml, in the order of places.
found() {
	kv lint --json r.yaml
	ended 0 1
	json --argjson want "$(jq -nc '$ARGS.positional' --args "$@")" '[.files[0].findings[].id] == $want'
}

srtctl='
name: x
model: {path: m, container: c, precision: fp8}
resources: {gpu_type: gb200}'

# mends FILE: what --fix does is what --diff says, and patch(1) agrees; a second time it is nothing.
# PyYAML finds as many scalars other or new as were mended. Left in FILE.was is the file as it was.
mends() {
	cp -p "$1" "$1.was"
	kv lint --diff "$1"
	ended 1
	printf '%s\n' "$out" >diff
	cmp "$1" "$1.was"
	kv lint --fix "$1"
	cp -p "$1.was" patched
	patch -s --binary patched diff
	cmp patched "$1" || fail "--diff is not what --fix does"
	if [ "$(head -c 2 "$1")" != '#!' ]; then
		"$top/tests/tools/same_yaml.py" "$1.was" "$1" >differences || fail "$(cat differences)"
		[ "$(wc -l <differences)" = "$(grep -c ' mended: ' <<<"$out")" ] || fail "$(cat differences)"
	fi
	cp -p "$1" again
	kv lint --fix "$1"
	cmp again "$1" || fail "a second --fix changes something"
	kv lint --diff "$1"
	ended 0
	[ -z "$out" ]
}

@test "the example lints clean; where its image is not here, that is said" {
	kv lint --strict "$top/examples/glm-4.7-fp4-efa/recipe.yaml"
	ended 0
	[ "$(grep -c ': KV' <<<"$out")" = 1 ] || fail "something was found"
	says "KV710 note: cannot tell"
}

@test "KV701: a key that srtctl refuses, with its place" {
	printf '%s\nbash_preamble: x\noverride_a: {}\nsetup_script: s\n' "$srtctl" >r.yaml
	found KV701
	json '.schema == "kvpath.lint/1" and .files[0].dialect == "srtctl"
		and (.files[0].findings[0] | .line == 5 and .column == 1 and .severity == "warning" and .repair.text)'
	kv lint r.yaml
	ended 0
	says "r.yaml:5:1: KV701 warning: bash_preamble"
	kv lint --strict r.yaml
	ended 1
	printf 'apiVersion: v1\nkind: Pod\nbash_preamble: x\n' >r.yaml
	found
}

@test "KV702: what no shell expands" {
	printf '%s\nenvironment:\n  LD_LIBRARY_PATH: "/a:${LD_LIBRARY_PATH}"\n  OTHER: $X\n  NODE: "{node}"\n  PRICE: "5$ $$A $(B)"\n' "$srtctl" >r.yaml
	found KV702 KV702
	json '.files[0].findings | map([.line, .column, .severity]) == [[6, 21, "error"], [7, 10, "warning"]]'
	ended 1
	printf '%s\nbackend: {prefill_environment: {PATH: "$PATH:/x"}}\n' "$srtctl" >r.yaml
	found KV702
	# How this launcher quotes is not public.
	printf 'common: {bash_preamble: x}\nenvironment:\n  LD_LIBRARY_PATH: "/a:${LD_LIBRARY_PATH}"\n' >r.yaml
	found
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - env:\n    - name: LD_LIBRARY_PATH\n      value: /a:${LD_LIBRARY_PATH}\n    - {name: B, value: $(A)}\n' >r.yaml
	found KV702
	json '.files[0].findings[0] | .line == 7 and .severity == "error"'
}

@test "KV703: tcp among UCX's transports" {
	printf '%s\nenvironment: {UCX_TLS: "rc,cuda_copy,tcp"}\n' "$srtctl" >r.yaml
	found KV703
	local value
	for value in rc,cuda_copy '^tcp' all tcpx; do
		printf '%s\nenvironment: {UCX_TLS: "%s"}\n' "$srtctl" "$value" >r.yaml
		found
	done
}

@test "KV704: a secret is found and never shown" {
	printf '%s\nenvironment:\n  HF_TOKEN: hf_abcdefghijk\noutput: {s3: {secret_access_key: abcdefghijkl}}\n' "$srtctl" >r.yaml
	found KV704 KV704
	[[ $out != *abcdefghijk* ]] || fail "the secret is shown"
	kv lint r.yaml
	[[ $out$err != *abcdefghijk* ]] || fail "the secret is shown"
	printf '%s\nenvironment:\n  HF_TOKEN: "{hf_token}"\n  MAX_TOKEN: 123456789\n  CA_TOKEN: /run/token/x\n  A_TOKEN: ""\n  TOKENS: abcdefghijkl\n' "$srtctl" >r.yaml
	found
}

@test "KV705: EFA is there, and nothing names a backend" {
	local base='common: {bash_preamble: x}
backend: {shared_config: {disaggregation_transfer_backend: nixl}}'
	printf '%s\ncontainer_mounts: {/opt/amazon/efa: /opt/amazon/efa}\n' "$base" >r.yaml
	found KV705
	printf '%s\nenvironment: {FI_PROVIDER: efa}\n' "$base" >r.yaml
	found KV705
	printf '%s\n' "$base" >r.yaml
	found
	printf '%s\nenvironment: {FI_PROVIDER: efa, SGLANG_DISAGGREGATION_NIXL_BACKEND: LIBFABRIC}\n' "$base" >r.yaml
	found
	printf '%s\nenvironment: {FI_PROVIDER: efa}\n' "${base/: x/: kvpath fix /}" >r.yaml
	found
	printf 'common: {bash_preamble: x}\nenvironment: {FI_PROVIDER: efa}\n' >r.yaml
	found
}

@test "several documents and files; anchors of anchors end" {
	printf 'a: 1\n---\napiVersion: v1\nkind: Pod\nspec: {containers: [{env: [{name: PATH, value: $PATH}]}]}\n---\n' >r.yaml
	found KV702
	{
		printf 'apiVersion: v1\nkind: x\na0: &a0 [x, x]\n'
		for i in $(seq 1 40); do
			printf 'a%d: &a%d [*a%d, *a%d, *a%d]\n' "$i" "$i" $((i - 1)) $((i - 1)) $((i - 1))
		done
	} >r.yaml
	found
	kv lint r.yaml r.yaml --json
	ended 0
	json '.files | length == 2'
}

@test "what is no recipe is one line" {
	kv lint
	ended 2
	one_line RECIPE
	kv lint absent.yaml
	ended 2
	one_line absent.yaml
	printf 'a: [1\nb: }\n' >r.yaml
	kv lint r.yaml
	ended 2
	one_line r.yaml: "no YAML"
	[[ $err != *template* ]]
	printf 'env:\n  {{- if .Values.x }}\n  - name: A\n  {{- end }}\n' >r.yaml
	kv lint r.yaml
	ended 2
	one_line r.yaml: "no YAML" "helm template"
	printf 'a: 1\n' >r.yaml
	kv lint r.yaml
	ended 3
	one_line r.yaml "cannot tell"
	: >r.yaml
	kv lint r.yaml
	ended 3
	one_line r.yaml
	printf 'a: \0\n' >r.yaml
	kv lint r.yaml
	ended 2
	one_line r.yaml
	# libfyaml reads these for ever.
	printf 'a: 1\n%%\206x' >r.yaml
	kv lint r.yaml
	ended 2
	one_line r.yaml:2 UTF-8
	head -c 100000 /dev/zero | tr '\0' '[' >r.yaml
	kv lint r.yaml
	ended 2
	one_line r.yaml
}

@test "a key twice in one map is refused, and a map of many keys takes no longer than a list" {
	printf 'apiVersion: v1\nkind: Pod\nspec: {a: 1, b: 2, a: 3}\n' >r.yaml
	kv lint r.yaml
	ended 2
	one_line "r.yaml:3:20: no YAML" twice
	{
		printf '%s\nenvironment:\n' "$srtctl"
		seq 1 40000 | sed 's/.*/  K&: value of &/'
	} >r.yaml
	# The square of it would be a minute of processor time and more.
	(ulimit -t 20 && "$KVPATH" lint r.yaml)
	echo '  K7: again' >>r.yaml
	kv lint r.yaml
	ended 2
	one_line "r.yaml:40006:3: no YAML"
}

@test "KV701: keys of both layouts of srtctl, in maps below the top too, and of its cluster file" {
	printf 'schema: 2\nname: x\nmodel: {path: m, container: c, precision: fp8}\nresources: {gpu_type: x, spread_workers: true}\nengine: vllm\nroles: {prefill: {nodes: 1, args: {any: 1}}}\nservices: []\nhost_setup: {}\n' >r.yaml
	found
	sed -i 's/spread_workers/spread_worker/; s/nodes: 1/node_count: 1/' r.yaml
	found KV701 KV701
	json '.files[0].findings[0].repair.text == "perhaps spread_workers is meant"'
	printf 'model_paths: {a: /b}\ndefault_mounts: {}\n' >r.yaml
	found
	echo 'bash_preamble: x' >>r.yaml
	found KV701
}

@test "KV706: a key that is nearly a known one, where others are taken" {
	printf 'common: {bash_preamble: x, model_paht: /m}\nenviroment: {A: b}\nmine: 1\n' >r.yaml
	found KV706 KV706
	json '.files[0].findings[0].detail | contains("common/model_paht: nearly model_path")'
	# Both are there; unlike any; too short; below the places that are known.
	printf 'common: {bash_preamble: x, workers: {prefill: {count: 1, gpu: 2}}}\nenviroment: {A: b}\nenvironment: {environmen: x}\nenvoy: 1\n' >r.yaml
	found
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: x\n    volumeMount: []\n    comand: [a]\n    extra: 1\n' >r.yaml
	found KV706 KV706
	printf 'apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nspec:\n  services:\n    x: {replicas: 1, envs: [], extraPodSpec: {mainContainer: {image: y, workingDirs: z}}}\n' >r.yaml
	found KV706
	# Dynamo's v1beta1: a list of components, each with a pod's own template.
	printf 'apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeployment\nspec:\n  backendFramework: vllm\n  env: []\n  components:\n  - name: p\n    replica: 2\n    podTemplates: {}\n  - name: d\n    type: decode\n    podTemplate: {spec: {containers: [{name: main, image: y, volumeMount: [], resources: {limit: {}}}]}}\n' >r.yaml
	found KV706 KV706 KV706 KV706
	printf '#!/bin/bash\n#SBATCH --job_name=x\n#SBATCH --ntasks=1 --nodes=2\n#SBATCH --nodelis=a\n#SBATCH --partitoin p\nhostname\n#SBATCH --patrition=x\n' >r.yaml
	found KV706 KV706
}

@test "KV704: not what stands for a secret; exports in scripts" {
	printf '%s\nenvironment: {HF_TOKEN: YOUR_HF_TOKEN_HERE, A_SECRET: changeme123, B_API_KEY: xxxxxxxxxx}\n' "$srtctl" >r.yaml
	found
	printf '#!/bin/bash\n#SBATCH -N1\nexport HF_TOKEN=hf_abcdefghijk A_TOKEN=$B C_TOKEN="$(cat t)"\nB_SECRET=abcdefghijk python3 x\n' >r.yaml
	found KV704 KV704
	json '.files[0].findings | map([.line, .column]) == [[3, 17], [4, 10]]'
	[[ $out != *abcdefghijk* ]] || fail "the secret is shown"
}

@test "KV705: vLLM and TensorRT-LLM; options of a command" {
	printf '%s\nenvironment: {FI_PROVIDER: efa}\nbackend: {type: vllm, connector: nixl}\n' "$srtctl" >r.yaml
	found KV705
	sed -i 's/type: vllm/type: sglang/' r.yaml
	found
	printf '%s\nenvironment: {FI_PROVIDER: efa}\nbackend: {trtllm_config: {prefill: {cache_transceiver_config: {backend: NIXL}}}}\n' "$srtctl" >r.yaml
	found KV705
	echo 'srun_options: {export: TRTLLM_NIXL_KVCACHE_BACKEND=LIBFABRIC}' >>r.yaml
	found
	printf 'apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeployment\nspec:\n  env: [{name: FI_PROVIDER, value: efa}]\n  components:\n  - name: prefill\n    type: prefill\n    podTemplate: {spec: {containers: [{name: main, image: y, args: [--kv-transfer-config, NixlConnector], resources: {limits: {vpc.amazonaws.com/efa: 16}}}]}}\n' >r.yaml
	found KV705
	local pod='apiVersion: v1
kind: Pod
spec:
  containers:
  - resources: {limits: {vpc.amazonaws.com/efa: "1"}}
    args: [--kv-transfer-config, "{\"kv_connector\":\"NixlConnector\"EXTRA}"]'
	printf '%s\n' "${pod/EXTRA/}" >r.yaml
	found KV705
	printf '%s\n' "${pod/EXTRA/,\\\"kv_connector_extra_config\\\":{\\\"backends\\\":[\\\"UCX\\\"]\}}" >r.yaml
	found
	printf '%s\n' "${pod/EXTRA/}" | sed 's/args: .*/args: [--disaggregation-transfer-backend, nixl]/' >r.yaml
	found KV705
	sed -i 's/nixl/mooncake/' r.yaml
	found
}

@test "KV707: the image's LD_LIBRARY_PATH wins over the job's" {
	mkdir -p image/etc
	cat >r.yaml <<-E
		#!/bin/bash
		#SBATCH -N 1
		export LD_LIBRARY_PATH=/a
		srun --container-image=$PWD/image hostname
	E
	found
	echo 'LD_LIBRARY_PATH=/usr/local/cuda/lib64' >image/etc/environment
	found KV707
	json '.files[0].findings[0] | .line == 3 and .severity == "error" and (.detail | contains("/usr/local/cuda/lib64"))'
	mksquashfs image image.sqsh -quiet -no-progress >/dev/null
	sed -i 's|image host|image.sqsh host|' r.yaml
	found KV707
	sed -i 's/srun /srun --container-env=LD_LIBRARY_PATH /' r.yaml
	found
	sed -i "s/--container-env=.* --/--/; s/^export.*/export OTHER=1/; s/hostname/bash -c 'export LD_LIBRARY_PATH=x; y'/" r.yaml
	found
	printf '#!/bin/bash\n#SBATCH -N 1\nexport LD_LIBRARY_PATH=/a\nsrun --container-image nvcr.io#x hostname\n' >r.yaml
	found KV707
	json '.files[0].findings[0] | .severity == "info" and (.detail | contains("cannot tell"))'
	ended 0
}

# step TEXT: TEXT as the body of an sbatch script, and as a folded preamble.
step() {
	printf '#!/bin/bash\n#SBATCH -N 1\n%s\n' "$1" >r.yaml
}

@test "KV708: steps that may fail" {
	local cp='cp /efa/libfabric.so.1 /usr/lib' text
	for text in "$cp; true" "$cp || true" "$cp && echo a || echo b; x" "$cp"$'\nx' "set -e; $cp && x; y" "sed -i s/a/b/ \"\$NIXL_API\" || :" \
		"set +e"$'\n'"$cp"$'\n'"x" "(x; y); $cp; z" "if a; then b; fi; $cp; z" $'cat <<E\nset -e\nE\n'"$cp; x" "ldconfig; x" "/opt/kvpath fix /; x" \
		"A=B $cp; x" "env A=B $cp; x" "command $cp; x" "$cp || (echo no; exit 1); x" "$cp || { echo no; }; x" "$cp"$'\n'"if a; then b; fi" "$cp; [ -d /x ] && y" \
		"set -e; $cp | tee log; x" "$cp 2>&1 | tee log || exit 1; x" "set -o pipefail; $cp | tee log; x" \
		"f() { $cp; x; }; f" "function f { $cp; x; }; f; y" "for i in 1; do $cp; done; x" "($cp; x)" "{ $cp; x; } && y" "set -e; f() { $cp; x; }; f || y" \
		"if a; then $cp; x; fi" "if a; then b; else $cp; fi; x" "(set -e; x); $cp; y" "set -e; ($cp; x) | tee log; y" \
		"case x in cp) $cp;; *) y;; esac; z"; do
		step "$text"
		found KV708
	done
	for text in "cp /logs/nixl.log /out; x" "sed -n s/a/b/p nixl.py; x" "$cp" "$cp && x" "set -e; $cp; x" "set -euo pipefail"$'\n'"$cp"$'\nx' "set -o errexit; $cp; x" "$cp || exit 1; x" "$cp || { x; exit 1; }; y" \
		"$cp && x || exit 1; y" "cp /a /b; x" "$cp; if [ \$? != 0 ]; then exit; fi" "$cp; rc=\$?; x" "trap 'exit 1' ERR; $cp; x" "source x; $cp; y" "f() { $cp; x; }; g" \
		"set -e; f() { $cp; x; }; f" "f() { $cp; x; }; f || exit 1; f" "set -e; for i in 1 2; do $cp; done; x" "while a; do $cp; x; done" \
		"for i in 1; do $cp; break; done; x" "f() { $cp; }; f || exit 1; x" "if $cp; then x; fi" \
		"cp a/libfabric.so b.backup || true; x" "# $cp; x" "echo '$cp; x'" $'cat <<E\n'"$cp; x"$'\nE' "$cp & x" "echo \"" \
		"[[ -e a && -e b ]] && $cp" \
		"set -e; $cp || (echo no; exit 1); x" "$cp || (echo no; exit 0 || x); y" "$cp || (echo no; exit 1)" "$cp || (exit 1); rc=\$?; x" "$cp; if [ ! -e /usr/lib/x ]; then exit 1; fi; y" "$cp; [ -e /usr/lib/x ] || exit 1; y" "$cp; [[ -e x ]] || exit 1; y" \
		"set -euo pipefail; $cp | tee log; x" "$cp | tee log; [ \${PIPESTATUS[0]} = 0 ] || exit 1; x" "set -e; yes | $cp; x"; do
		step "$text"
		found
	done
	printf 'common:\n  bash_preamble: >-\n    echo one;\n    cp /efa/libfabric.so.1 /usr/lib; # no\n    ln -s nixl y &&\n    ldconfig\n' >r.yaml
	found
	printf 'common:\n  bash_preamble: >-\n    echo one;\n    cp /efa/libfabric.so.1 /usr/lib;\n    ln -s nixl y &&\n    ldconfig\n' >r.yaml
	found KV708
	json '.files[0].findings[0] | .line == 4 and .column == 5 and (.detail | contains("bash_preamble, command 2 (cp)"))'
	printf "#!/bin/bash\n#SBATCH -N 1\nset -e\nsrun x bash -c '\n%s\nx\n'\nsrun x bash -ec '%s; x'\n" "$cp" "$cp" >r.yaml
	found KV708
	json '.files[0].findings[0] | .line == 5 and .column == 1'
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command: [/bin/sh, -c]\n    args:\n    - |\n      x\n      %s\n      y\n' "$cp" >r.yaml
	found KV708
	json '.files[0].findings[0].line == 9'
}

@test "KV709: no device for a pod; no mount and no such directory in the image" {
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - env: [{name: FI_PROVIDER, value: efa}]\n    resources: {limits: {nvidia.com/gpu: 1}}\n' >r.yaml
	found KV709
	sed -i 's|nvidia.com/gpu|vpc.amazonaws.com/efa|' r.yaml
	found
	sed -i 's|resources: .*|securityContext: {privileged: true}|' r.yaml
	found
	mkdir -p image/opt/amazon
	printf 'common: {dynamo_container_image: %s/image, bash_preamble: x}\nenvironment: {LD_LIBRARY_PATH: /opt/amazon/efa/lib}\n' "$PWD" >r.yaml
	found KV709
	json '.files[0].findings[0].severity == "warning"'
	mkdir -p image/opt/amazon/efa/lib
	found
	rm -r image
	found KV709
	json '.files[0].findings[0] | .severity == "info" and (.detail | contains("cannot tell"))'
	echo 'container_mounts: {/opt/amazon: /opt/amazon}' >>r.yaml
	found KV710
	printf '#!/bin/bash\n#SBATCH -N 1\nsrun --container-image=/none bash -c "[ -e /opt/amazon/efa/lib ] && cp /opt/amazon/efa/lib/a /b"\n' >r.yaml
	found
	sed -i 's/\[ -e .* && //' r.yaml
	found KV709
	sed -i 's/cp /A=B cp /' r.yaml
	found KV709
	printf '#!/bin/bash\n#SBATCH -N 1\nsrun --container-image=/none --container-mounts=$M bash -c "cp /opt/amazon/efa/lib/a /b"\n' >r.yaml
	found
}

@test "KV710: the real image and libfabric of a newer and of an older system" {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	local image
	image=$("$top/tests/roots/image" 1.5.0 lzo 2>/dev/null)
	printf 'common: {dynamo_container_image: %s, bash_preamble: x}\ncontainer_mounts: {%s/opt/amazon/efa: /opt/amazon/efa}\n' \
		"$image" "$("$top/tests/roots/fabric" D13 2>/dev/null)" >r.yaml
	found KV710
	json '.files[0].findings[0] | .severity == "error" and .line == 1 and (.detail | contains("GLIBC_2.38"))'
	printf 'common: {dynamo_container_image: %s, bash_preamble: x}\ncontainer_mounts: {%s/opt/amazon/efa: /opt/amazon/efa}\n' \
		"$image" "$("$top/tests/roots/fabric" F1 2>/dev/null)" >r.yaml
	found
	printf 'common: {dynamo_container_image: %s, bash_preamble: x}\ncontainer_mounts: {/none/efa: /opt/amazon/efa}\n' "$image" >r.yaml
	found KV710
	json '.files[0].findings[0].severity == "info"'
}

@test "--fix: each place, bytes elsewhere as they were, mode and links" {
	printf '# top\r\n%s\r\nenvironment: # vars\r\n    "UCX_TLS":   '"'rc,tcp,cuda_copy'"'  # why\r\n    FI_PROVIDER: efa   # efa\r\n\r\n# end\r\nbackend: {sglang_config: {prefill: {disaggregation-transfer-backend: nixl}}}\r\n' "$(sed 's/$/\r/' <<<"$srtctl")" >r.yaml
	chmod 640 r.yaml
	ln -s r.yaml link.yaml
	mends r.yaml
	[ "$(stat -c %a r.yaml)" = 640 ]
	sed 's/rc,tcp,cuda_copy/rc,cuda_copy/; s/^\(    FI_PROVIDER.*\)$/\1\n    SGLANG_DISAGGREGATION_NIXL_BACKEND: LIBFABRIC\r/' r.yaml.was >want
	cmp want r.yaml || fail "$(diff want r.yaml)"
	cp r.yaml.was r.yaml
	kv lint --fix link.yaml
	says "KV703 mended" "KV705 mended"
	[ -L link.yaml ]
	cmp want r.yaml
	# In a pod: what was set before in the list. A flow map. A file without a last newline.
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - env:\n    - {name: A, value: /a}\n    - name: PATH\n      value: "${A}:$A/b"\n    - name: PATH2\n      value: ${NONE}:${A}\n' >r.yaml
	mends r.yaml
	grep -qF 'value: "$(A):$(A)/b"' r.yaml
	grep -qF 'value: ${NONE}:${A}' r.yaml
	printf 'common: {bash_preamble: x}\nbackend: {shared_config: {disaggregation_transfer_backend: nixl}}\nenvironment: {FI_PROVIDER: "efa" }' >r.yaml
	mends r.yaml
	grep -qF 'environment: {FI_PROVIDER: "efa", SGLANG_DISAGGREGATION_NIXL_BACKEND: LIBFABRIC }' r.yaml
	printf '#!/bin/bash\n#SBATCH -N 1\nexport A=1 UCX_TLS="rc_x,tcp"; x\n' >r.yaml
	mends r.yaml
	grep -qF 'UCX_TLS="rc_x"; x' r.yaml
	# Without the last newline, as a block.
	printf 'common: {bash_preamble: x}\nbackend: {shared_config: {disaggregation_transfer_backend: nixl}}\nenvironment:\n  FI_PROVIDER: efa' >r.yaml
	mends r.yaml
	[ "$(tail -c 53 r.yaml)" = "  SGLANG_DISAGGREGATION_NIXL_BACKEND: LIBFABRIC" ] || [ "$(tail -n 1 r.yaml)" = "  SGLANG_DISAGGREGATION_NIXL_BACKEND: LIBFABRIC" ]
}

@test "--fix: what is not certain is left" {
	# Nothing that reaches other nodes would be left; a folded value; no environment to add to.
	printf 'common: {bash_preamble: x}\nenvironment:\n  UCX_TLS: cuda_copy,tcp\n' >r.yaml
	kv lint --diff r.yaml
	ended 0
	printf 'common: {bash_preamble: x}\nworker: {environment: {FI_PROVIDER: efa}}\nbackend: {disaggregation_transfer_backend: nixl}\n' >r.yaml
	cp r.yaml was
	kv lint --fix r.yaml
	says "KV705 warning" "by hand"
	cmp was r.yaml
	kv lint --fix --strict r.yaml
	ended 1
	kv lint --fix --json r.yaml
	json '.files[0].findings[0] | .repair.automatic == false and (has("mended") | not)'
}

@test "--diff: a line with a secret is never shown, nor is the secret beside a change" {
	printf 'common: {bash_preamble: x}\nenvironment:\n  HF_TOKEN: hf_abcdefghijk\n  UCX_TLS: rc,tcp\n  # aws_secret_access_key: abcdefghijk\n  B: |\n    x\n' >r.yaml
	mends r.yaml
	! grep -q abcdefghijk diff || fail "the secret is shown"
	printf 'common: {bash_preamble: x}\nenvironment: {HF_TOKEN: hf_abcdefghijk, UCX_TLS: "rc,tcp"}\n' >r.yaml
	kv lint --diff r.yaml
	ended 1
	[ -z "$out" ] || fail "something is shown"
	[[ $err == *"not shown"* && $err != *abcdefghijk* ]] || fail "stderr"
	kv lint --fix r.yaml
	[[ $out$err != *abcdefghijk* ]] || fail "the secret is shown"
	grep -qF '{HF_TOKEN: hf_abcdefghijk, UCX_TLS: "rc"}' r.yaml
}

@test "files and directories: recipes are found, what is none is left, one that is broken is said" {
	mkdir -p dir/sub dir/.git
	printf '%s\nenvironment: {PATH: $PATH}\n' "$srtctl" >dir/sub/a.yaml
	printf '#!/bin/bash\n#SBATCH -N 1\nexport UCX_TLS=rc,tcp\n' >dir/b.sbatch
	cp dir/sub/a.yaml dir/.git/c.yaml
	printf 'a: 1\n' >dir/other.yml
	printf '#!/bin/sh\necho\n' >dir/other.sh
	kv lint --json dir
	ended 1
	json '[.files[].path] == ["dir/b.sbatch", "dir/sub/a.yaml"] and .failed == []'
	kv lint --sarif dir "$top/examples"
	ended 1
	json '[.runs[0].results[].ruleId] == ["KV703", "KV702", "KV710"]'
	printf 'a: [\n' >dir/z.yaml
	kv lint --sarif dir absent.yaml
	ended 2
	[ "$(wc -l <<<"$err")" = 2 ] || fail "not two lines"
	json '.runs[0].invocations[0].executionSuccessful == false and (.runs[0].results | length == 2)'
	kv lint --json dir
	json '.failed | map(.path) == ["dir/z.yaml"]'
	kv lint dir/other.yml dir/b.sbatch
	ended 3
	says KV703
}

@test "a directory of links is linted, and one without a recipe is no praise" {
	mkdir -p map/..data empty/sub
	printf '#!/bin/bash\n#SBATCH -N 1\nexport UCX_TLS=rc,tcp\n' >map/..data/job.sbatch
	ln -s ..data/job.sbatch map/job.sbatch
	ln -s nowhere.yaml map/gone.yaml
	ln -s ../map map/round.yaml
	kv lint --strict map
	ended 1
	says map/job.sbatch KV703
	[ "$(wc -l <<<"$out")" -le 3 ] || fail "more than once"
	printf 'a: 1\n' >empty/sub/other.yaml
	kv lint empty
	ended 3
	one_line empty "no recipe"
	kv lint --strict empty map
	ended 1
}

# The real bash runs the script, its srun prints what a worker gets.
worker_gets() {
	mkdir -p bin
	# shellcheck disable=SC2016 # for the script
	printf '#!/bin/sh\necho "${FI_PROVIDER-unset}"\n' >bin/srun
	chmod +x bin/srun
	PATH=$PWD/bin:$PATH bash r.yaml
}

@test "variables of a script are judged as the worker gets them, and not where a later line decides" {
	local server='SGLANG_DISAGGREGATION_NIXL_BACKEND=LIBFABRIC srun --container-image=x.sqsh python3 -m sglang.launch_server --disaggregation-transfer-backend nixl'
	step "export FI_PROVIDER=tcp
$server"
	[ "$(worker_gets)" = tcp ] || fail "bash does otherwise"
	found KV313
	step "FI_PROVIDER='^efa' $server"
	[ "$(worker_gets)" = '^efa' ] || fail "bash does otherwise"
	found KV313
	step "export FI_PROVIDER=tcp
export FI_PROVIDER=efa
$server"
	[ "$(worker_gets)" = efa ] || fail "bash does otherwise"
	found
	step "export FI_PROVIDER=tcp
unset FI_PROVIDER
$server"
	[ "$(worker_gets)" = unset ] || fail "bash does otherwise"
	found
	step "FI_PROVIDER=tcp
$server"
	[ "$(worker_gets)" = unset ] || fail "bash does otherwise"
	found
	step "export FI_PROVIDER=\${FABRIC:-efa}
$server"
	[ "$(worker_gets)" = efa ] || fail "bash does otherwise"
	found
}

# A line each: what a worker gets, and the lines before it, ending with what stands in front of srun.
@test "which value of a variable a worker gets, by what bash does" {
	local server='srun --container-image=x.sqsh python3 -m sglang.launch_server --disaggregation-transfer-backend nixl' gets lines
	while IFS='|' read -r gets lines; do
		step "$(printf 'export NIXL_BACKEND=LIBFABRIC\n%b%s' "$lines" "$server")"
		[ "$(worker_gets)" = "$gets" ] || fail "bash does otherwise: $lines: $(worker_gets)"
		if [ "$gets" = tcp ]; then found KV313; else found; fi
	done <<-'END'
		tcp|FI_PROVIDER=tcp\nexport FI_PROVIDER\n
		tcp|FI_PROVIDER=tcp; export FI_PROVIDER\n
		efa|export FI_PROVIDER=tcp\nFI_PROVIDER=efa\n
		unset|export FI_PROVIDER=tcp\nexport -n FI_PROVIDER\n
		unset|declare FI_PROVIDER=tcp\n
		tcp|declare -x FI_PROVIDER=tcp\n
		tcp|export FI_PROVIDER=tcp\nFI_PROVIDER=efa true\n
		unset|FI_PROVIDER=tcp true\n
		efa|export FI_PROVIDER=tcp\nenv FI_PROVIDER=efa\040
		tcp|export FI_PROVIDER=efa\nenv FI_PROVIDER=tcp\040
		unset|export FI_PROVIDER=tcp\nenv -u FI_PROVIDER\040
		tcp|export FI_PROVIDER=${FI_PROVIDER:-tcp}\n
		efa|export FI_PROVIDER=efa\nexport FI_PROVIDER="${FI_PROVIDER:-tcp}"\n
		unset|( export FI_PROVIDER=tcp )\n
		unset|FI_PROVIDER=tcp\nif [ -n "$NOWHERE" ]; then export FI_PROVIDER=efa; fi\n
		unset|export FI_PROVIDER=tcp \174 cat\n
		tcp|{ export FI_PROVIDER=tcp; }\n
		unset|f() { export FI_PROVIDER=tcp; }\n
		tcp|f() { export FI_PROVIDER=tcp; }\nf\n
		efa|f() { export FI_PROVIDER=tcp; }\nf; export FI_PROVIDER=efa\n
		tcp|case yes in\nyes) export FI_PROVIDER=tcp ;;\nesac\n
		efa|export FI_PROVIDER=tcp\nfor i in 1 2; do ls >r.out; done\n[ -d / ]\nexport FI_PROVIDER=efa\n
		efa|export FI_PROVIDER=tcp\n[[ -d / ]] && true\nexport FI_PROVIDER=efa\n
		efa|export FI_PROVIDER=tcp\nn=1; ((n++)); for ((i = 0; i < 2; i++)); do :; done\nexport FI_PROVIDER=efa\n
		tcp|function f { export FI_PROVIDER=tcp; }\nf\n
		unset|: <<X\nexport FI_PROVIDER=tcp\nX\n
	END
	step "export NIXL_BACKEND=LIBFABRIC
export FI_PROVIDER=tcp
srun --export=ALL,FI_PROVIDER=efa ${server#srun}"
	found
	step "export NIXL_BACKEND=LIBFABRIC
export FI_PROVIDER=efa
srun --export=ALL,FI_PROVIDER=tcp ${server#srun}"
	found KV313
	step "export NIXL_BACKEND=LIBFABRIC
${server%%python3*}env FI_PROVIDER=tcp python3${server#*python3}"
	found KV313
	step "export NIXL_BACKEND=LIBFABRIC
export FI_PROVIDER=tcp
${server%%python3*}bash -c 'export FI_PROVIDER=efa; exec python3${server#*python3}'"
	found
	# What the recipe's environment sets is exported before a preamble runs.
	while IFS='|' read -r gets set lines; do
		printf 'backend: {shared_config: {disaggregation_transfer_backend: nixl}}\nenvironment: {NIXL_BACKEND: LIBFABRIC, FI_PROVIDER: %s}\ncommon:\n  bash_preamble: |\n    %s\n' \
			"$set" "$lines" >r.yaml
		# shellcheck disable=SC2016 # for bash
		[ "$(FI_PROVIDER=$set bash -c "$lines"$'\necho "${FI_PROVIDER-unset}"')" = "$gets" ] || fail "bash does otherwise: $lines"
		if [ "$gets" = tcp ]; then found KV313; else found; fi
	done <<-'END'
		efa|tcp|FI_PROVIDER=efa
		tcp|efa|FI_PROVIDER=tcp
		tcp|tcp|( FI_PROVIDER=efa )
		unset|tcp|unset FI_PROVIDER
		efa|efa|export FI_PROVIDER=${FI_PROVIDER:-tcp}
		tcp|tcp|export FI_PROVIDER=${FI_PROVIDER:-efa}
	END
	printf '#!/bin/bash\n#SBATCH -N 1\n#SBATCH --export=ALL,NIXL_BACKEND=LIBFABRIC,FI_PROVIDER=tcp\n%s' "$server" >r.yaml
	found KV313
	json '.files[0].findings[0].line == 3'
	sed -i 's/^srun/FI_PROVIDER=efa srun/' r.yaml
	found
	# One that starts nothing is read in by others.
	step 'export FI_PROVIDER=tcp NIXL_BACKEND=LIBFABRIC'
	found KV313
}
