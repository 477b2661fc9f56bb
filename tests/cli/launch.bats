#!/usr/bin/env bats
# launch: its commands as a script, and a real Slurm of two and of eight slurmd on this machine. The nodes share one
# real broken container; all but n3 of the eight have a host's EFA installation, so that `kvpath run` can repair it there.

load helper
load slurm

example=$BATS_TEST_DIRNAME/../../examples/glm-4.7-fp4-efa

# cluster DIR NODES BROKEN
cluster() {
	local dir=$1 roots=() i
	mkdir -p "$dir/bin" "$dir/libexec/kvpath" "$dir/target"
	install -m 755 "$KVPATH" "$dir/bin/kvpath"
	install -m 755 "$probe" "$dir/libexec/kvpath"
	for ((i = 0; i < $2; i++)); do
		[ "$i" = "$3" ] || roots+=(--root "$i=$efa")
	done
	# The container is the cache's: the daemons see it through a mount of their own.
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation private -- bash -c 'mount --bind -o ro "$1" "$2" && shift 2 && exec "$@"' - \
		"$broken" "$dir/target" "$top/tests/slurm/up" --nodes "$2" "${roots[@]}" "$dir" 3>&-
}

setup_file() {
	local broken efa
	export TWO='' EIGHT=''
	! slurm_missing || return 0
	broken=$("$top/tests/roots/container" 1.5.0 2>/dev/null)
	efa=$("$top/tests/roots/fabric" F1 2>/dev/null)
	TWO=$(slurm_dir launch)
	EIGHT=$(slurm_dir launch)
	cluster "$TWO" 2 none >/dev/null
	cluster "$EIGHT" 8 3 >/dev/null
}

teardown_file() {
	slurm_down "$TWO" "$EIGHT"
}

# on DIR: the cluster that the rest of the test uses.
on() {
	[ -n "$1" ] || skip "needs root, and Slurm from Debian"
	cluster=$1
	export SLURM_CONF=$1/slurm.conf
	logs=$1/logs-$BATS_TEST_NUMBER
	cd "$1"
}

# What a container's directory without devices can be checked for.
in_target=(--repair --image --mem dram --root)

launch() {
	into "$cluster/bin/kvpath" launch -o "$logs" "$@"
}

# No step and no worker is left of what was launched here.
nothing_left() {
	local i
	for ((i = 0; i < 100; i++)); do
		[ -z "$(squeue --noheader)$(squeue --noheader --steps)" ] && ! grep -lqs "$cluster/bin/kvpath" /proc/[0-9]*/cmdline &&
			return 0
		sleep 0.1
	done
	fail "left: $(squeue --noheader --steps) $(grep -ls "$cluster/bin/kvpath" /proc/[0-9]*/cmdline)"
}

# recipe CLIENT [COUNT [SHAPES]]: pairs of stand-in workers that move bytes for a minute and more, and a client.
recipe() {
	cat >"$BATS_TEST_TMPDIR/r.yaml" <<-END
		name: test
		backend_type: kvpath-bench
		common: {gpus_per_node: 4, workers: {prefill: {count: ${2:-1}, gpus: 4}, decode: {count: ${2:-1}, gpus: 4}}}
		backend: {shared_config: {engine: tcp, deadline: '600', shape: [$(yes 64x65536, | head -n "${3:-30}" | tr -d '\n')]}}
		environment: {NIXL_LOG_LEVEL: INFO}
		benchmark: {command: '$1'}
	END
}

# ---- the commands ----

srtctl_recipe() {
	cat >"$BATS_TEST_TMPDIR/s.yaml" <<-'END'
		name: s
		model: {path: /models/glm, container: /images/sglang.sqsh, precision: fp4}
		resources: {gpu_type: gb200, gpus_per_node: 4, prefill_nodes: 2, prefill_workers: 1, decode_nodes: 1, decode_workers: 2}
		slurm: {account: acc, time_limit: '01:00:00'}
		frontend: {type: dynamo, args: {router-mode: kv}}
		backend:
		  type: sglang
		  prefill_environment: {A: "it's"}
		  decode_environment: {LD_LIBRARY_PATH: '/opt/amazon/efa/lib:${LD_LIBRARY_PATH}'}
		  sglang_config:
		    prefill: {disaggregation-transfer-backend: nixl, trust-remote-code: true}
		    decode: {disaggregation-transfer-backend: nixl, enable-x: false}
		environment: {FI_PROVIDER: efa}
		extra_mount: ['/a:/b:ro']
		srun_options: {mpi: pmix}
		telemetry: {enabled: true}
		benchmark: {type: sa-bench, isl: 1024}
	END
}

@test "dry-run: a script that is well-formed, for both dialects" {
	srtctl_recipe
	local r
	for r in "$example/recipe.yaml" "$example/stand-in.yaml" "$BATS_TEST_TMPDIR/s.yaml"; do
		kv launch --dry-run "$r"
		[ "$r" != "$example/stand-in.yaml" ] || kv launch --no-container --dry-run "$r"
		ended 0
		bash -n <<<"$out" || fail "no bash"
		shellcheck - <<<"$out" >"$BATS_TEST_TMPDIR/err" || fail "$(cat "$BATS_TEST_TMPDIR/err")"
	done
}

# words STEP: the arguments of that step's srun, as bash reads them, one a line; its variables first.
words() {
	sed -n '/^serving=() ending=()/,$p' <<<"$out" | grep -v '^trap' >"$BATS_TEST_TMPDIR/steps"
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/srun" <<-'END'
		#!/bin/bash
		for w in "$@"; do [[ $w != --job-name=kvpath.* ]] || name=${w#*.}; done
		{ env; printf '%s\n' "$@"; } >"$WORDS/$name.words"
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/srun"
	# shellcheck disable=SC2016 # for the inner shell
	WORDS=$BATS_TEST_TMPDIR PATH=$BATS_TEST_TMPDIR/bin:$PATH timeout 20 bash -c \
		'logs=/L; bash() { :; }; nodes() { :; }; . "$WORDS/steps"; wait' || true
}

@test "dry-run: roles, nodes and variables of a recipe of dynamo.tools" {
	kv launch --dry-run "$example/recipe.yaml"
	ended 0
	[ "$(grep -c 'job-name=kvpath.prefill_' <<<"$out")" -eq 8 ] || fail "not eight prefill workers"
	[ "$(grep -c 'job-name=kvpath.decode_' <<<"$out")" -eq 2 ] || fail "not two decode workers"
	says '#SBATCH --nodes=10' 'kvpath.nats --nodelist="$(nodes 0 1)"' 'kvpath.etcd --nodelist="$(nodes 0 1)"' 'kvpath.frontend --nodelist="$(nodes 0 1)"' \
		'kvpath.prefill_7 --nodelist="$(nodes 7 1)"' 'kvpath.decode_1 --nodelist="$(nodes 9 1)"' 'kvpath.client --nodelist="$(nodes 0 1)"'
	words
	grep -qx 'FI_PROVIDER=efa' "$BATS_TEST_TMPDIR/decode_1.words"
	grep -qx -- '--mpi=pmix' "$BATS_TEST_TMPDIR/decode_1.words"
	grep -q 'exec python3 -m dynamo.sglang --model-path /models/GLM-4.7-FP4 .*--disaggregation-mode decode' \
		"$BATS_TEST_TMPDIR/decode_1.words"
	grep -q '^uvx aiperf profile .* --url \$KVPATH_URL ' "$BATS_TEST_TMPDIR/client.words"
}

@test "dry-run: what pyxis is given, it knows" {
	local option
	kv launch --dry-run "$example/recipe.yaml"
	words
	grep -qx -- '--container-image=/shared/containers/dynamo-sglang.sqsh' "$BATS_TEST_TMPDIR/prefill_0.words"
	grep -qxF -- '--container-mounts=/opt/amazon/efa:/opt/amazon/efa,/opt/kvpath:/opt/kvpath,/models:/models,/L:/logs' \
		"$BATS_TEST_TMPDIR/prefill_0.words"
	grep -q -- '^--container-env=.*,KVPATH_DECODE_1,.*,FI_PROVIDER,' "$BATS_TEST_TMPDIR/prefill_0.words"
	# Its options, as its README lists them.
	while read -r option; do
		grep -qx -- "${option%%=*}" <<-'END' || fail "pyxis has no $option"
			--container-image
			--container-mounts
			--container-env
			--no-container-entrypoint
			--no-container-mount-home
		END
	done < <(grep -hE '^--(no-)?container' "$BATS_TEST_TMPDIR"/*.words)
	# With the repair, kvpath stands in front of the worker, and is mounted for that.
	kv launch --dry-run --repair "$example/recipe.yaml"
	words
	grep -A 4 -x '/opt/kvpath/bin/kvpath' "$BATS_TEST_TMPDIR/decode_0.words" | tr '\n' ' ' |
		grep -q '^/opt/kvpath/bin/kvpath run --backend LIBFABRIC -- $'
	# For host memory, both the repair and the check of the nodes are.
	kv launch --dry-run --repair --mem dram "$example/recipe.yaml"
	words
	grep -A 6 -x '/opt/kvpath/bin/kvpath' "$BATS_TEST_TMPDIR/decode_0.words" | tr '\n' ' ' |
		grep -q '^/opt/kvpath/bin/kvpath run --backend LIBFABRIC --mem dram -- $'
	says '" check --json --backend LIBFABRIC --mem dram /'
}

@test "dry-run: a recipe of srtctl, workers of several nodes and several on one" {
	srtctl_recipe
	kv launch --dry-run "$BATS_TEST_TMPDIR/s.yaml"
	ended 0
	says '#SBATCH --nodes=3' '#SBATCH --account=acc' '#SBATCH --time=01:00:00' \
		'kvpath.prefill_0 --nodelist="$(nodes 0 2)" --nodes=2 --ntasks=2' 'kvpath.decode_0 --nodelist="$(nodes 2 1)" --nodes=1' \
		'kvpath.decode_1 --nodelist="$(nodes 2 1)" --nodes=1' 's.yaml:16: telemetry: ' 's.yaml:17: benchmark.type: '
	words
	grep -qx "A=it's" "$BATS_TEST_TMPDIR/prefill_0.words"
	grep -qx 'CUDA_VISIBLE_DEVICES=0,1' "$BATS_TEST_TMPDIR/decode_0.words"
	grep -qx 'CUDA_VISIBLE_DEVICES=2,3' "$BATS_TEST_TMPDIR/decode_1.words"
	grep -q -- '--node-rank "$SLURM_NODEID" --disaggregation-transfer-backend nixl --trust-remote-code; }$' \
		"$BATS_TEST_TMPDIR/prefill_0.words"
	# A reference is looked up in the container, and nowhere before.
	grep -qx 'export LD_LIBRARY_PATH="/opt/amazon/efa/lib:${LD_LIBRARY_PATH}"' "$BATS_TEST_TMPDIR/decode_0.words"
	! grep -q '^LD_LIBRARY_PATH=/opt' "$BATS_TEST_TMPDIR/decode_0.words" || fail "it is set outside too"
	! grep -q -- '--enable-x' "$BATS_TEST_TMPDIR/decode_0.words" || fail "a flag that is false"
	grep -q -- '--container-mounts=/models/glm:/model,/a:/b:ro,' "$BATS_TEST_TMPDIR/decode_0.words"
}

# srtctl_backend TYPE: a recipe of srtctl whose workers are that, from the two modes on the standard input.
srtctl_backend() {
	{
		printf 'name: s\nmodel: {path: /models/glm, container: /i.sqsh, precision: fp4}\nbenchmark: {type: manual}\n'
		printf 'resources: {gpu_type: gb200, gpus_per_node: 4, prefill_nodes: 1, prefill_workers: 2, decode_nodes: 2, decode_workers: 1}\n'
		printf 'backend:\n  type: %s\n' "$1"
		cat
	} >"$BATS_TEST_TMPDIR/s.yaml"
	kv launch --dry-run --no-check "$BATS_TEST_TMPDIR/s.yaml"
}

@test "dry-run: vLLM as srtctl starts it: connector, ports, replicas, several nodes" {
	srtctl_backend vllm <<-'END'
		  connector: nixl
		  vllm_config:
		    prefill: {served-model-name: glm, tensor_parallel_size: 2, node-rank: 3}
		    decode: {data-parallel-size: 8, kv-transfer-config: '{"kv_connector":"X"}'}
	END
	ended 0
	shellcheck - <<<"$out"
	says 's.yaml:9: node-rank: kvpath launch sets this itself'
	words
	grep -qxF 'exec python3 -m dynamo.vllm --model /model --served-model-name glm --disaggregation-mode prefill --kv-transfer-config '\''{"kv_connector": "NixlConnector", "kv_role": "kv_both"}'\'' --tensor-parallel-size 2' \
		"$BATS_TEST_TMPDIR/prefill_0.words"
	# Two on a node: each has its GPUs, and ports that are not the other's.
	grep -qx VLLM_NIXL_SIDE_CHANNEL_PORT=6550 "$BATS_TEST_TMPDIR/prefill_0.words"
	grep -qx VLLM_NIXL_SIDE_CHANNEL_PORT=6552 "$BATS_TEST_TMPDIR/prefill_1.words"
	grep -qx DYN_VLLM_KV_EVENT_PORT=5552 "$BATS_TEST_TMPDIR/prefill_1.words"
	grep -q -- '--container-env=.*,VLLM_NIXL_SIDE_CHANNEL_PORT' "$BATS_TEST_TMPDIR/prefill_1.words"
	grep -q -- '--served-model-name glm --disaggregation-mode decode --data-parallel-hybrid-lb --data-parallel-size-local 4 --data-parallel-start-rank "$((SLURM_NODEID \* 4))" --data-parallel-address "$KVPATH_LEADER" --data-parallel-rpc-port "${KVPATH_DP_PORT}" --data-parallel-size 8 --kv-transfer-config .{"kv_connector":"X"}.; }$' \
		"$BATS_TEST_TMPDIR/decode_0.words"
	srtctl_backend vllm <<-'END'
		  connector: null
		  vllm_config: {decode: {tensor-parallel-size: 8}}
	END
	words
	grep -q -- '--served-model-name glm --disaggregation-mode decode --master-addr "$KVPATH_LEADER" --nnodes 2 --node-rank "$SLURM_NODEID" $( ((SLURM_NODEID)) && echo --headless) --tensor-parallel-size 8; }$' \
		"$BATS_TEST_TMPDIR/decode_0.words"
}

@test "dry-run: TensorRT-LLM as srtctl starts it: a task for each GPU, the engine's file as it is written" {
	srtctl_backend trtllm <<-'END'
		  served_model_name: glm
		  trtllm_config:
		    prefill:
		      kv_cache_config:
		        dtype: "fp8" # a text
		        free_gpu_memory_fraction: 0.6
		      note: '1'
		    decode: {enable_attention_dp: true, tensor_parallel_size: 8}
	END
	ended 0
	shellcheck - <<<"$out"
	says '--nodes=1 --ntasks=2 --ntasks-per-node=2' '--nodes=2 --ntasks=8 --ntasks-per-node=4' '--mpi=pmix --oversubscribe'
	words
	grep -qx CUDA_VISIBLE_DEVICES=2,3 "$BATS_TEST_TMPDIR/prefill_1.words"
	# The task itself, with what it starts replaced: which arguments, and which file.
	mkdir "$BATS_TEST_TMPDIR/fake"
	printf '#!/bin/sh\necho "$@"; while [ "$1" != --extra-engine-args ]; do shift; done; cat "$2"\n' >"$BATS_TEST_TMPDIR/fake/numactl"
	chmod +x "$BATS_TEST_TMPDIR/fake/numactl"
	local role
	for role in prefill decode; do
		sed -n '/^-c$/,$p' "$BATS_TEST_TMPDIR/${role}_0.words" | tail -n +2 >"$BATS_TEST_TMPDIR/task"
		PATH=$BATS_TEST_TMPDIR/fake:$PATH KVPATH_LOGS=$BATS_TEST_TMPDIR SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_JOB_ID=1 \
			bash "$BATS_TEST_TMPDIR/task" >"$BATS_TEST_TMPDIR/$role.said"
		[[ $(head -n 1 "$BATS_TEST_TMPDIR/$role.said") == "-m 0,1 trtllm-llmapi-launch python3 -m dynamo.trtllm --model-path /model --served-model-name glm --disaggregation-mode $role --extra-engine-args "* ]]
	done
	python3 - "$BATS_TEST_TMPDIR" <<-'END'
		import sys, yaml
		read = lambda role: yaml.safe_load("".join(open(f"{sys.argv[1]}/{role}.said").readlines()[1:]))
		assert read("prefill") == {"kv_cache_config": {"dtype": "fp8", "free_gpu_memory_fraction": 0.6}, "note": "1"}, read("prefill")
		assert read("decode") == {"enable_attention_dp": True, "tensor_parallel_size": 8}, read("decode")
	END
}

@test "dry-run: a pair of stand-ins; what only one side can say; a recipe that joins them itself" {
	local r=$BATS_TEST_TMPDIR/r.yaml head='common: {served_model_name: glm-4.7, workers: {prefill: {count: 2, gpus: 4}, decode: {count: 2, gpus: 4}}}'
	printf 'backend_type: kvpath-bench\n%s\nbackend:\n  shared_config: {tokens: 256, deadline: 9}\n  worker_configs: {decode: {\n    op: read}}\n' \
		"$head" >"$r"
	kv launch --no-container --dry-run "$r"
	ended 0
	says "bench --json --verbose --connect \"\$KVPATH_PEER:auto\" --model glm-4.7 --tokens 256 --deadline 9;" \
		'KVPATH_PEER="$KVPATH_DECODE_1"; KVPATH_TOKEN="$KVPATH_TOKEN.1"' 'bench --verbose --listen auto --deadline 9;' \
		'r.yaml:6: op: of a pair the prefill worker says'
	[ "$(grep -c '^KVPATH_TOKEN=' <<<"$out")" = 1 ]
	shellcheck - <<<"$out"
	# scontrol's answer for a node with an IPv6 address: its name is taken.
	scontrol() { echo "NodeName=$4 NodeAddr=$addr NodeHostName=$4"; }
	eval "$(sed -n '/^address() {/,/^}/p' <<<"$out")"
	addr=fd00::7
	[ "$(address n1)" = n1 ]
	addr=10.0.0.7
	[ "$(address n1)" = 10.0.0.7 ]
	unset -f scontrol address
	# In a container pyxis has to be told of it.
	sed 's/common: {/&dynamo_container_image: i, /' "$r" >"$r.2"
	kv launch --dry-run "$r.2"
	[ "$(grep -c -- '--container-env=.*,KVPATH_TOKEN' <<<"$out")" = 4 ] || fail "the token does not come in"
	printf 'backend_type: kvpath-bench\n%s\nbackend: {worker_configs: {prefill: {connect: "{decode_0}:7"}, decode: {listen: 7}}}\n' "$head" >"$r"
	kv launch --no-container --dry-run "$r"
	says 'bench --connect "$KVPATH_DECODE_0:7"' 'bench --listen 7'
	[[ $out != *KVPATH_TOKEN* ]] || fail "a token of its own"
}

@test "what launch does not understand is named with its line" {
	printf 'name: x\nbackend_type: sglang\ncommon:\n  cpus_per_node: 144\n  model_path: /m\n  workers: {prefill: {count: 1}}\noutput:\n  s3: {a: b}\nauxiliary_containers: []\n' \
		>"$BATS_TEST_TMPDIR/r.yaml"
	kv launch --no-container --dry-run "$BATS_TEST_TMPDIR/r.yaml"
	ended 0
	says 'r.yaml:4: common.cpus_per_node: not understood' 'r.yaml:8: output.s3: not understood'
	[[ $out != *auxiliary* ]] || fail "an empty list is named"
}

@test "recipes that are refused, each in one line with the way out" {
	local r=$BATS_TEST_TMPDIR/r.yaml head='common: {model_path: /m, workers: {prefill: {count: 1}}}'
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b}]}\n' >"$r"
	kv launch --dry-run "$r"
	ended 3
	one_line 'kubectl apply' 'render --for k8s'
	printf 'default_mounts: {/a: /a}\n' >"$r"
	kv launch --dry-run "$r"
	ended 3
	one_line "srtctl's file of a cluster"
	printf 'a: 1\n' >"$r"
	kv launch --dry-run "$r"
	ended 3
	one_line 'cannot tell'
	for more in '' 'resources: {gpu_type: h200}'; do
		printf 'name: x\nschema: 2\nmodel: {path: /m, container: i}\nroles: {prefill: {workers: 1}}\n%s\n' "$more" >"$r"
		kv launch --dry-run "$r"
		ended 3
		one_line 'r.yaml:2: schema 2' 'resources.*_workers' 'srun --kvpath=fix'
	done
	printf 'backend_type: trtllm\n%s\n' "$head" >"$r"
	kv launch --no-container --dry-run "$r"
	ended 3
	one_line trtllm 'recipes of srtctl alone' 'kvpath run'
	srtctl_backend mocker </dev/null
	ended 3
	one_line mocker 'kvpath run'
	srtctl_backend vllm <<<'  vllm_config: {decode: {data-parallel-size: 2, tensor-parallel-size: 2}}'
	ended 2
	one_line 'data-parallel-size 2' '4 GPUs on each of 2 nodes'
	srtctl_backend vllm <<<'  vllm_config: {decode: {data-parallel-size: 1, tensor-parallel-size: 8}}'
	ended 3
	one_line 'larger than a node'
	srtctl_backend vllm <<<'  connector: other'
	ended 3
	one_line 'connector other'
	srtctl_backend sglang <<<'  sglang_config: {decode: {json-model-override-args: {a: 1}}}'
	ended 2
	one_line 's.yaml:7:' 'no map'
	printf 'backend_type: kvpath-bench\ncommon: {workers: {prefill: {count: 2}, decode: {count: 1}}}\n' >"$r"
	kv launch --no-container --dry-run "$r"
	ended 2
	one_line '2 prefill and 1 decode' 'as many' 'connect and listen'
	printf 'backend_type: sglang\n%s\nenvironment: &e {A: b}\nx: *e\n' "$head" >"$r"
	kv launch --no-container --dry-run "$r"
	ended 2
	one_line 'r.yaml:4:' alias
	printf 'backend_type: sglang\n%s\n' "$head" >"$r"
	kv launch --dry-run "$r"
	ended 2
	one_line 'no image' '--no-container'
	kv launch --root relative --dry-run "$r"
	ended 2
	one_line '--root relative'
	kv launch
	ended 2
	kv launch "$BATS_TEST_TMPDIR/nowhere.yaml"
	ended 2 3
	one_line nowhere.yaml
}

@test "secrets are on no command line" {
	local r=$BATS_TEST_TMPDIR/r.yaml head='common: {model_path: /m, workers: {prefill: {count: 1}}}'
	printf 'backend_type: sglang\n%s\nenvironment:\n  HF_TOKEN: hf_verysecretvalue\n' "$head" >"$r"
	kv launch --no-container --dry-run "$r"
	ended 0
	[[ $out$err != *verysecret* ]] || fail "it is shown"
	says ': "${HF_TOKEN:?' 'export HF_TOKEN'
	shellcheck - <<<"$out"
	printf 'backend_type: sglang\n%s\nbenchmark:\n  command: x --api-key sk_verysecretvalue\n' "$head" >"$r"
	kv launch --no-container --dry-run "$r"
	ended 2
	one_line 'r.yaml:4:' api_key
	[[ $err != *verysecret* ]] || fail "it is shown"
}

# ---- on Slurm ----

@test "two nodes: the example's stand-in moves its bytes, and nothing is left" {
	on "$TWO"
	launch --no-container --no-check --json "$example/stand-in.yaml"
	ended 0
	json '.schema == "kvpath.launch/1" and .end == "done" and .nodes == ["n0", "n1"]'
	json '[.steps[] | {name, state, status, nodes}] == [
		{"name": "prefill_0", "state": "done", "status": 0, "nodes": ["n0"]},
		{"name": "decode_0", "state": "done", "status": 0, "nodes": ["n1"]},
		{"name": "client", "state": "done", "status": 0, "nodes": ["n0"]}]'
	json '.steps[2].tail | map(select(test("a request +5.66 GB"))) | length == 1'
	# The model's shape between the two: 92 layers, keys and values, four pages.
	json '(.measured | length) == 1 and (.measured[0] | .from == "prefill_0" and .to == "decode_0")'
	json '.measured[0].bench | .schema == "kvpath.bench/1" and .engines[0].good and (.peer.address | startswith("127.0.0.1:"))
		and (.runs | length) == 1 and (.runs[0] | .intact and .count == 736 and .size == 16384 and .bytes_per_s > 0)'
	grep -q 'bench listens on' "$logs/decode_0.out"
	nothing_left
}

@test "two nodes: one of them alone has both sides, and the summary says what they measured" {
	on "$TWO"
	into salloc --nodes=1 "$cluster/bin/kvpath" launch -o "$logs" --no-container --no-check "$example/stand-in.yaml"
	ended 0
	says 'prefill_0 on n0 -> decode_0 on n0: GLM-4.7, 256 tokens, one of 4 ranks, fp8' '  tcp ' '736 x 16 KiB' 'B/s'
	nothing_left
}

# bench_of listen|connect: the pid of that side, once its transfers go on.
bench_of() {
	local i
	for ((i = 0; i < 600; i++)); do
		pid=$(pgrep -f "^$cluster/bin/kvpath bench .*--$1 ") || true
		# What is below the program moves the bytes.
		[ -z "$pid" ] || [ -z "$(pgrep -P "$pid")" ] || return 0
		sleep 0.05
	done
	fail "no bench --$1 that runs"
}

@test "two nodes: a side that dies ends the other one; its token is on no command line" {
	local side step token
	on "$TWO"
	recipe true 1
	for side in listen connect; do
		[ "$side" = listen ] && step=decode_0 || step=prefill_0
		timeout 60 "$cluster/bin/kvpath" launch --no-container --no-check -o "$logs-$side" "$BATS_TEST_TMPDIR/r.yaml" \
			>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null 3>&- &
		bench_of "$side"
		token=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^KVPATH_TOKEN=\(.*\)\.0$/\1/p')
		[ "${#token}" -ge 32 ] || fail "no token"
		! grep -lF "$token" /proc/[0-9]*/cmdline 2>/dev/null || fail "it is on a command line"
		kill -KILL "$pid"
		status=0
		wait $! || status=$?
		out=$(cat "$BATS_TEST_TMPDIR/out") err=$(cat "$BATS_TEST_TMPDIR/err") ran="launch, $step killed"
		ended 1
		says "$step on n" 'ended with status 137'
		! grep -rlF "$token" "$logs-$side" || fail "it is written"
		[[ $out$err != *"$token"* ]] || fail "it is shown"
		nothing_left
	done
}

@test "two nodes: the real NIXL moves the bytes, and its log tells the provider" {
	on "$TWO"
	sed 's/engine: tcp/engine: nixl:LIBFABRIC/; s/tokens: .*/tokens: 64/' "$example/stand-in.yaml" \
		>"$BATS_TEST_TMPDIR/r.yaml"
	launch "${in_target[@]}" "$cluster/target" --json "$BATS_TEST_TMPDIR/r.yaml"
	ended 1
	json '.end == "done" and .verdict == "off-fabric" and ([.findings[].id] | index("KV301"))'
	json '[.checks[] | select(.role != "image") | .verdict] == ["ready", "ready"]'
	json '[.steps[] | select(.role == "prefill" or .role == "decode") | .paths[0]] == [
		{"backends": "LIBFABRIC", "provider": "tcp", "verdict": "off-fabric"},
		{"backends": null, "provider": "tcp", "verdict": "off-fabric"}]'
	json '.measured[0].bench | .engines[0].provider == "tcp" and .engines[0].peer_provider == "tcp" and .runs[0].intact'
	[[ $err == *"prefill_0, by its log: KV301 error"* ]] || fail "it is not said as it comes"
	nothing_left
}

@test "two nodes: the script of --dry-run does the same under sbatch" {
	on "$TWO"
	into "$cluster/bin/kvpath" launch --no-container --no-check --dry-run "$example/stand-in.yaml"
	ended 0
	echo "$out" >"$cluster/script.sh"
	KVPATH_LOG_DIR=$logs into sbatch --wait --output="$cluster/script.out" "$cluster/script.sh"
	ended 0
	grep -q 'a request' "$logs/client.out" || fail "no client: $(cat "$cluster/script.out")"
	jq -e '.runs[0].intact' "$logs/prefill_0.json" >/dev/null || fail "nothing was measured"
	# By itself, without kvpath launch, a side ends when the other one does, and says why.
	recipe true 1
	into "$cluster/bin/kvpath" launch --no-container --no-check --dry-run "$BATS_TEST_TMPDIR/r.yaml"
	echo "$out" >"$cluster/script.sh"
	KVPATH_LOG_DIR=$logs-2 timeout 60 sbatch --wait --output="$cluster/script.out" "$cluster/script.sh" >/dev/null 3>&- &
	bench_of listen
	kill -KILL "$pid"
	! wait $! || fail "the script ended well"
	grep -q 'initiator: .*; and the target, on .*, says nothing more' "$logs-2/prefill_0.json" || fail "$(cat "$logs-2"/prefill_0.*)"
	nothing_left
}

@test "two nodes: secrets reach the tasks, and no output" {
	on "$TWO"
	recipe 'echo "token $HF_TOKEN"; [ "$HF_TOKEN" = hf_verysecretvalue ]' 1 1
	HF_TOKEN=hf_verysecretvalue launch --no-container --no-check "$BATS_TEST_TMPDIR/r.yaml"
	ended 0
	says 'token ***'
	[[ $out$err != *verysecret* ]] || fail "it is shown"
	! grep -l verysecret "$logs"/*.srun || fail "srun says it"
	nothing_left
}

@test "two nodes: SIGTERM and SIGINT end the steps" {
	local sig pid i status
	on "$TWO"
	recipe 'sleep 1000'
	for sig in TERM INT; do
		status=0
		# The signal comes to launch alone; salloc stands above it.
		salloc --nodes=2 "$cluster/bin/kvpath" launch --no-container --no-check -o "$logs-$sig" "$BATS_TEST_TMPDIR/r.yaml" \
			>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null 3>&- &
		for ((i = 0; i < 300; i++)); do
			[ "$(squeue --noheader --steps | grep -c kvpath)" -lt 3 ] || break
			sleep 0.1
		done
		pid=$(pgrep -P $! -f "$cluster/bin/kvpath launch")
		kill "-$sig" "$pid"
		wait $! || status=$?
		out=$(cat "$BATS_TEST_TMPDIR/out") err=$(cat "$BATS_TEST_TMPDIR/err") ran="launch, SIG$sig"
		[ "$status" -eq 130 ] || fail "ended with $status"
		says 'stopped; by the logs'
		nothing_left
	done
}

@test "a Slurm without pyxis: the ways out are named" {
	on "$TWO"
	sed 's/count: 8/count: 1/; s/count: 2/count: 1/' "$example/recipe.yaml" >"$BATS_TEST_TMPDIR/r.yaml"
	launch "$BATS_TEST_TMPDIR/r.yaml"
	ended 2
	[[ $err == *'no pyxis'*'--root DIR'*'--no-container'* ]] || fail "the way out is not named"
	nothing_left
}

@test "eight nodes: the broken one stops it before the start, with finding and repair" {
	on "$EIGHT"
	recipe true 4
	launch "${in_target[@]}" "$cluster/target" "$BATS_TEST_TMPDIR/r.yaml"
	ended 1
	says 'n3 (prefill): off-fabric' 'KV101 error' 'repair: ' 'refused: nothing was started'
	[[ $out != *n2* && $out != *n4* ]] || fail "a good node is blamed"
	[ ! -e "$logs/prefill_0.out" ] || fail "something was started"
	nothing_left
}

@test "eight nodes: without the check its worker ends the run, with name, status and last lines" {
	on "$EIGHT"
	recipe 'sleep 1000' 4
	launch --no-check "${in_target[@]}" "$cluster/target" "$BATS_TEST_TMPDIR/r.yaml"
	ended 1
	says 'prefill_3 on n3 ended with status 1' 'the environment alone does not repair this' 'died; by the logs'
	nothing_left
}

@test "eight nodes: one that dies mid-run ends the run, and is named" {
	local i pid
	on "$EIGHT"
	recipe 'sleep 1000' 4
	timeout 100 "$cluster/bin/kvpath" launch --no-container --no-check --json -o "$logs" "$BATS_TEST_TMPDIR/r.yaml" \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null 3>&- &
	for ((i = 0; i < 300; i++)); do
		# A step is there before its task is.
		[ "$(squeue --noheader --steps | grep -c kvpath)" -lt 9 ] ||
			! grep -lzsx SLURMD_NODENAME=n5 /proc/[0-9]*/environ | xargs -r grep -qzsx "KVPATH_LOGS=$logs" || break
		sleep 0.1
	done
	[ "$i" -lt 300 ] || fail "the workers do not start"
	# Everything of n5: its slurmd, and what that has started there.
	pid=$(cat "$cluster/pids/n5")
	for i in $(pgrep -f "slurmstepd: \[.*\]" | while read -r p; do
		# Of this cluster: others have an n5 too.
		tr '\0' '\n' <"/proc/$(pgrep -P "$p" | head -n 1)/environ" 2>/dev/null >"$BATS_TEST_TMPDIR/env" || continue
		grep -qx "KVPATH_LOGS=$logs" "$BATS_TEST_TMPDIR/env" && grep -qx SLURMD_NODENAME=n5 "$BATS_TEST_TMPDIR/env" && echo "$p"
	done); do
		kill -KILL $(pgrep -P "$i") "$i" 2>/dev/null || true
	done
	kill -KILL "$pid"
	# As a site's health check does; by itself slurmctld takes half a minute for it.
	scontrol update NodeName=n5 State=DOWN Reason=dead
	status=0
	wait $! || status=$?
	out=$(cat "$BATS_TEST_TMPDIR/out") err=$(cat "$BATS_TEST_TMPDIR/err") ran="launch, n5 dead"
	ended 1
	json '.end == "died" and .died == "decode_1" and .dead_node == "n5"'
	json '[.steps[] | select(.state == "running" or .state == "done")] == []'
	nothing_left
}
