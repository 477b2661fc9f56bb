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

@test "the example lints clean" {
	kv lint --strict "$top/examples/glm-4.7-fp4-efa/recipe.yaml"
	ended 0
	[ -z "$out$err" ] || fail "something was found"
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

@test "several documents and files; anchors are not followed" {
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
