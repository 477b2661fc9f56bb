#!/usr/bin/env bats
# render and hook: what is written is what its real reader takes, and a container that is started with it has a
# real NIXL that instantiates LIBFABRIC, while its root stays as it was.

load helper

bats_require_minimum_version 1.5.0

setup_file() {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	export container fabric
	container=$("$BATS_TEST_DIRNAME/../roots/container" 1.5.0 2>/dev/null)
	"$BATS_TEST_DIRNAME/../roots/fabric" F1 "$BATS_FILE_TMPDIR/host" >/dev/null 2>&1
	fabric=$BATS_FILE_TMPDIR/host/opt/amazon/efa
}

# What the real NIXL says in a root that CMD starts; "true" or "false".
instantiated() {
	"$@" python3 - nixl_cu13 LIBFABRIC <"$top/tests/roots/agent.py" 2>"$BATS_TEST_TMPDIR/agent" |
		jq .instantiated
}

# In a mount namespace of its own, as podman keeps its store mounted on itself.
pod() {
	unshare --mount --propagation private podman --root "$BATS_TEST_TMPDIR/store" --runroot "/tmp/kvpath-render.$$" --runtime runc \
		--cgroup-manager cgroupfs --events-backend none "$@"
}

# render_for DIALECT [OPTION...]: of the container where that is asked for.
render_for() {
	case $1 in
	preamble | enroot | oci-hook | dockerfile) set -- "$@" --fabric "$fabric" ;;
	*) set -- "$@" --fabric "$fabric" "$container" ;;
	esac
	"$KVPATH" render --for "$@"
}

teardown() {
	rm -rf "/tmp/kvpath-render.$$"
	[ -z "${spec:-}" ] || rm -f "$spec"
}

start_container() {
	pod run --rm -i --network=host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
		--env PYTHONDONTWRITEBYTECODE=1 --env LC_ALL=C "$@"
}

@test "cdi: podman starts the container with it, the real NIXL instantiates, the root is untouched" {
	"$top/tests/roots/manifest" "$container" >"$BATS_TEST_TMPDIR/before"
	[ "$(instantiated start_container --rootfs "$container:O")" = false ]
	# Engines look in /etc/cdi and /var/run/cdi, nowhere else; the name is ours alone.
	mkdir -p /var/run/cdi
	spec=/var/run/cdi/kvpath-test-$$.json
	kv render --for cdi --fabric "$fabric" "$container"
	ended 0
	sed "s#kvpath.dev/fabric#kvpath.dev/test$$#" <<<"$out" >"$spec"
	[ "$(instantiated start_container --device "kvpath.dev/test$$=all" --rootfs "$container:O")" = true ] ||
		fail "$(tail -n 5 "$BATS_TEST_TMPDIR/agent")"
	"$top/tests/roots/manifest" "$container" | cmp - "$BATS_TEST_TMPDIR/before"
}

@test "cdi: python's default is repaired too, by the hook in the container's own layer" {
	mkdir -p /var/run/cdi
	spec=/var/run/cdi/kvpath-test-$$.json
	"$KVPATH" render --for cdi --fabric "$fabric" "$container" | sed "s#kvpath.dev/fabric#kvpath.dev/test$$#" >"$spec"
	start_container --device "kvpath.dev/test$$=all" --rootfs "$container:O" \
		python3 - nixl_cu13 - <"$top/tests/roots/agent.py" 2>/dev/null | jq -e '.backends == ["LIBFABRIC"]'
}

@test "oci-hook: podman calls it for containers that ask, and leaves others alone" {
	mkdir "$BATS_TEST_TMPDIR/hooks"
	kv render --for oci-hook --fabric "$fabric"
	ended 0
	echo "$out" >"$BATS_TEST_TMPDIR/hooks/kvpath.json"
	start() {
		pod --hooks-dir "$BATS_TEST_TMPDIR/hooks" run --rm -i --network=host \
			--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
	}
	[ "$(instantiated start --annotation kvpath.dev/fix=true --rootfs "$container:O")" = true ] ||
		fail "$(tail -n 5 "$BATS_TEST_TMPDIR/agent")"
	[ "$(instantiated start --rootfs "$container:O")" = false ]
}

@test "oci-hook: a container that can not be repaired is not started" {
	mkdir "$BATS_TEST_TMPDIR/hooks" "$BATS_TEST_TMPDIR/nothing"
	"$KVPATH" render --for oci-hook --fabric "$BATS_TEST_TMPDIR/nothing" >"$BATS_TEST_TMPDIR/hooks/kvpath.json"
	run ! pod --hooks-dir "$BATS_TEST_TMPDIR/hooks" run --rm --network=host \
		--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --annotation kvpath.dev/fix=true \
		--rootfs "$container:O" echo started
	[[ $output != *started* ]]
}

# enroot's contract: the hook gets the root, before it is final, and a file for variables.
enroot_hook() {
	"$KVPATH" render --for enroot --fabric "$fabric" >"$BATS_TEST_TMPDIR/50-kvpath.sh"
	chmod +x "$BATS_TEST_TMPDIR/50-kvpath.sh"
	: >"$BATS_TEST_TMPDIR/environ"
	into env ENROOT_ROOTFS="$1" ENROOT_ENVIRON="$BATS_TEST_TMPDIR/environ" "${@:2}" \
		"$BATS_TEST_TMPDIR/50-kvpath.sh"
}

@test "enroot: the hook repairs the root that is being started" {
	cp -a --reflink=auto "$container" "$BATS_TEST_TMPDIR/root"
	enroot_hook "$BATS_TEST_TMPDIR/root"
	ended 0
	shellcheck "$BATS_TEST_TMPDIR/50-kvpath.sh"
	grep -qx NIXL_BACKEND=LIBFABRIC "$BATS_TEST_TMPDIR/environ"
	[ "$(instantiated "$top/tests/roots/run" "$BATS_TEST_TMPDIR/root")" = true ]
	# A second job that starts the same root finds it done.
	enroot_hook "$BATS_TEST_TMPDIR/root"
	ended 0
}

@test "enroot: containers without NIXL, and jobs that say no, are left alone" {
	mkdir -p "$BATS_TEST_TMPDIR/empty/usr/lib"
	enroot_hook "$BATS_TEST_TMPDIR/empty"
	ended 0
	[ "$(find "$BATS_TEST_TMPDIR/empty" | wc -l)" -eq 3 ]
	enroot_hook "$container" KVPATH_FIX=off
	ended 0
	[ ! -s "$BATS_TEST_TMPDIR/environ" ]
}

@test "enroot: where no repair is possible the job starts as it is, with nothing set" {
	local old=$fabric
	cp -a --reflink=auto "$container" "$BATS_TEST_TMPDIR/root"
	fabric=$BATS_TEST_TMPDIR
	enroot_hook "$BATS_TEST_TMPDIR/root"
	ended 0
	[[ $err == *'starts as it is'* ]] || fail "it does not say so"
	[ ! -s "$BATS_TEST_TMPDIR/environ" ]
	enroot_hook "$BATS_TEST_TMPDIR/root" KVPATH_ON_FAILURE=fail
	ended 1
	fabric=$old
}

@test "sbatch: with its mounts and kvpath run in front, the real NIXL instantiates" {
	local pair binds=() vars=()
	"$KVPATH" render --for sbatch --fabric "$fabric" "$container" >"$BATS_TEST_TMPDIR/lines"
	shellcheck -s bash -e SC2034 "$BATS_TEST_TMPDIR/lines"
	# What pyxis does with the two options, by hand.
	. "$BATS_TEST_TMPDIR/lines"
	while IFS= read -r pair; do
		binds+=(--file "${pair%:ro}")
	done < <(tr , '\n' <<<"${kvpath_srun[0]#--container-mounts=}")
	while IFS= read -r pair; do
		vars+=(--env "$pair=${!pair}")
	done < <(tr , '\n' <<<"${kvpath_srun[1]#--container-env=}")
	[ "$(instantiated "$top/tests/roots/run" "${binds[@]}" "${vars[@]}" "$container" "${kvpath_run[@]}")" = true ] ||
		fail "$(tail -n 5 "$BATS_TEST_TMPDIR/agent")"
}

@test "srtctl: well-formed YAML of keys that its schema has" {
	"$KVPATH" render --for srtctl --fabric "$fabric" "$container" |
		/usr/bin/python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' >"$BATS_TEST_TMPDIR/json"
	jq -e '(keys == ["environment", "extra_mount"]) and (.environment | all(type == "string"))
		and (.extra_mount | length == 2 and all(test("^/[^:]+:/[^:]+:ro$")))' "$BATS_TEST_TMPDIR/json"
}

@test "k8s: a pod that it is merged into is one by Kubernetes' own schema" {
	"$KVPATH" render --for k8s --fabric "$fabric" "$container" >"$BATS_TEST_TMPDIR/patch.yaml"
	/usr/bin/python3 "$top/tests/tools/pod.py" "$("$top/tests/roots/schema" 2>/dev/null)" "$BATS_TEST_TMPDIR/patch.yaml" >"$BATS_TEST_TMPDIR/pod"
	jq -e '.spec.containers[0] | .image and (.env | map(select(.name == "NIXL_BACKEND").value) == ["LIBFABRIC"])' \
		"$BATS_TEST_TMPDIR/pod"
}

@test "k8s and cdi: the EFA devices of a recorded host are passed on" {
	"$top/tests/hosts/hosts.py" p5en "$BATS_TEST_TMPDIR/p5en" >/dev/null
	kv render --for cdi --fabric "$fabric" --sysroot "$BATS_TEST_TMPDIR/p5en" "$container"
	ended 0
	json '.devices[0].containerEdits.deviceNodes | length == 16 and all(.path | test("^/dev/infiniband/uverbs[0-9]+$"))'
	kv render --for k8s --fabric "$fabric" --sysroot "$BATS_TEST_TMPDIR/p5en" "$container"
	ended 0
	says 'vpc.amazonaws.com/efa: "16"'
	/usr/bin/python3 "$top/tests/tools/pod.py" "$("$top/tests/roots/schema" 2>/dev/null)" /dev/stdin <<<"$out" >"$BATS_TEST_TMPDIR/pod"
	jq -e '.spec.containers[0].securityContext.capabilities.add == ["IPC_LOCK"]' "$BATS_TEST_TMPDIR/pod"
}

@test "dockerfile: the step does what fix does, with both mounts in place" {
	local step
	"$KVPATH" render --for dockerfile >"$BATS_TEST_TMPDIR/Dockerfile"
	step=$(sed '/^#/d' "$BATS_TEST_TMPDIR/Dockerfile" | tr -d '\\\n' | sed 's/^RUN *//; s/--mount=[^ ]* *//g')
	[[ $step == */tmp/kvpath*/tmp/efa* ]]
	[ "$(instantiated "$top/tests/roots/run" --file "$KVPATH:/tmp/kvpath" --bind "$fabric:/tmp/efa" "$container" \
		sh -c "$step >&2 && exec \"\$@\"" sh)" = true ]
}

@test "each text that calls kvpath asks for the memory that the job has" {
	local dialect plain
	for dialect in preamble srtctl sbatch enroot cdi oci-hook k8s dockerfile; do
		plain=$(render_for "$dialect")
		diff <(tr -s '[] ,"()\n' '\n' <<<"$plain") <(render_for "$dialect" --mem dram | tr -s '[] ,"()\n' '\n') |
			grep -q '^> dram' || fail "$dialect does not"
		[[ $plain == *MX_NIXL_BACKEND* ]] || [[ $dialect == oci-hook || $dialect == dockerfile ]] || fail "$dialect lacks a variable"
	done
}

@test "what is called before the job's environment is there gets --env" {
	local dialect
	for dialect in enroot cdi oci-hook dockerfile; do
		render_for "$dialect" --env "A=b c" >"$BATS_TEST_TMPDIR/text"
		if [ "$dialect" = enroot ] || [ "$dialect" = dockerfile ]; then
			grep -qF -- "--env 'A=b c'" "$BATS_TEST_TMPDIR/text" || fail "$dialect does not"
		else
			jq -e '[.. | .args? // empty] | any(index("--env") as $i | $i and .[$i + 1] == "A=b c")' "$BATS_TEST_TMPDIR/text" >/dev/null
		fi
	done
	# What the text sets anew is not.
	[[ $(render_for cdi --env NIXL_BACKEND=UCX) != *NIXL_BACKEND=UCX* ]]
	for dialect in preamble sbatch k8s srtctl; do
		[[ $(render_for "$dialect" --env "A=b c") != *--env\ * ]] || fail "$dialect has what the job itself sees"
	done
	kv render --for preamble --mount /a:/b
	ended 2
	one_line "leave --mount away"
}

@test "render tells of a variable of the job that is wrong whatever is brought" {
	for dialect in env sbatch cdi; do
		kv render --for "$dialect" --fabric "$fabric" --env FI_PROVIDER=tcp --env NIXL_BACKEND=UCX "$container"
		ended 0
		[[ $err == *'FI_PROVIDER=tcp: '*'KV313'* ]] || fail "$dialect does not: $err"
		[ "$(grep -c FI_PROVIDER <<<"$err")" = 1 ]
	done
	kv fix --how env --fabric "$fabric" --env FI_PROVIDER=tcp "$container"
	ended 0
	[[ $err == *'FI_PROVIDER=tcp: '*'KV313'* ]] || fail "fix does not: $err"
	kv fix --how env --json --fabric "$fabric" "$container"
	ended 2
	one_line --json
}

@test "render refuses what can not serve, and says why" {
	kv render --for cdi --fabric "$BATS_TEST_TMPDIR" "$container"
	ended 1
	one_line 'libfabric 1.20.0'
	kv render --for enroot "$container"
	ended 2
	one_line enroot
}

@test "hook: what can not be told starts under a runtime, and is told to who names the root" {
	local root=$BATS_TEST_TMPDIR/root
	cp -a --reflink=auto "$container" "$root"
	# Where python looks when a launcher sets PYTHONPATH, which the container's environment does not tell.
	mkdir "$root/opt/target"
	mv "$root"/usr/local/lib/python3.11/dist-packages/{,.}nixl* "$root/opt/target/"
	"$KVPATH" fix --quiet --fabric "$fabric" "$root"
	echo '{"root":{"path":"root"},"process":{"env":["PATH=/usr/bin"]}}' >"$BATS_TEST_TMPDIR/config.json"
	into sh -c 'echo "{\"bundle\":\"$1\"}" | "$0" hook --fabric "$2"' "$KVPATH" "$BATS_TEST_TMPDIR" "$fabric"
	ended 0
	[[ $err == *'can not be told'* ]] || fail "it does not say so: $err"
	kv hook --fabric "$fabric" --env PATH=/usr/bin "$root"
	ended 3
}

@test "hook: bad states are one clear line" {
	into sh -c 'echo "{}" | "$0" hook' "$KVPATH"
	ended 2
	one_line bundle
	into sh -c 'echo "{" | "$0" hook' "$KVPATH"
	ended 2
	one_line JSON
	into sh -c 'echo "{\"bundle\":\"/nonexistent-kvpath\"}" | "$0" hook' "$KVPATH"
	ended 2
	one_line config.json
	kv hook /
	ended 2
	one_line root
}
