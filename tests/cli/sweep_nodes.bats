#!/usr/bin/env bats
# sweep where there are nodes: a real Slurm of eight slurmd on this machine, and a real sshd under several names. The
# real NIXL moves the bytes in containers of its own for each node.

load helper
load slurm

setup_file() {
	! slurm_missing sshd || skip "needs root, Slurm and sshd from Debian"
	local i
	CLUSTER=$(slurm_dir sweep)
	export CLUSTER
	slurm_up --nodes 8
	# One container is repaired, the other one is not; nothing is written in either.
	"$top/tests/roots/container" 1.5.0 "$CLUSTER/repaired" >/dev/null 2>&1
	"$KVPATH" fix --quiet --fabric "$("$top/tests/roots/fabric" F1 2>/dev/null)" "$CLUSTER/repaired" >/dev/null
	mkdir "$CLUSTER/root"
	for i in {0..7}; do
		ln -s ../repaired "$CLUSTER/root/n$i"
	done
	ln -sfn "$("$top/tests/roots/container" 1.5.0 2>/dev/null)" "$CLUSTER/root/n5"
}

teardown_file() {
	slurm_down "${CLUSTER:-}"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# job N ARG...: kvpath sweep in a job of N nodes.
job() {
	local n=$1
	shift
	status=0
	timeout 280 salloc -Q -N"$n" --no-kill "$KVPATH" sweep "$@" >out 2>err </dev/null 3>&- || status=$?
	out=$(cat out)
	err=$(cat err)
	ran="salloc -N$n kvpath sweep $*"
}

# excludes NODE...: the nodes to leave out are these, and such as two transfers of 64 KiB on a busy machine took for slow.
excludes() {
	json '[.nodes[] | select(.reason and (.reason | startswith("slow: ") | not)) | .name] == $ARGS.positional' --args "$@"
	json '[.nodes[] | select(.reason) | .name] == $ARGS.positional' \
		--args $(scontrol show hostnames "$(jq -r .exclude <<<"$out")")
}

# All that runs on a node of this cluster, and its slurmd: as if it lost its power.
kill_node() {
	local file parent pids
	pids=$(cat "$CLUSTER/pids/$1")
	while read -r file; do
		file=${file%/environ}
		pids+=" ${file#/proc/}"
		# Some end meanwhile.
		parent=$(sed -n 's/^PPid:\t//p' "$file/status" 2>/dev/null) || continue
		! grep -qs '^slurmstepd' "/proc/$parent/cmdline" || pids+=" $parent"
	done < <(grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null |
		xargs -r grep -lzxF "SLURMD_NODENAME=$1" 2>/dev/null)
	# shellcheck disable=SC2086 # numbers
	kill -KILL $pids 2>/dev/null || true
}

@test "two nodes: the real NIXL between them" {
	job 2 --mem dram --iters 3 --json --state s "$CLUSTER/root/%N"
	# There is no EFA: the bytes go over libfabric's tcp provider, and that is said.
	ended 1
	json '.verdict == "off-fabric" and .launcher == "slurm" and (.nodes | map(.name)) == ["n0", "n1"]
		and all(.nodes[]; .verdict == "ready" and .reason == null)
		and (.pairs | length) == 1 and .pairs[0].provider == "tcp" and .pairs[0].verdict == "off-fabric"
		and .pairs[0].bytes_per_s > 0 and .exclude == null'
	kv sweep --merge --json s
	json '.totals.measured == 1 and .verdict == "off-fabric"'
	grep -q '^pair 0 1 [0-9]* tcp$' s || grep -q '^pair 1 0 [0-9]* tcp$' s
}

@test "eight nodes, one with a container that is not repaired: it is named, the others are measured" {
	job 8 --mem dram --iters 2 --shape 1x65536 --rounds 3 --json "$CLUSTER/root/%N"
	ended 1
	excludes n5
	json '(.nodes[5] | .verdict == "off-fabric" and (.reason | test("KV101")) and .pairs == 0)
		and ([.nodes[] | select(.verdict == "ready")] | length) == 7
		and (.groups | length) == 2 and .groups[0].nodes == "n[0-4,6-7]" and .groups[1].nodes == "n5"
		and (.differences | map(.what)) == ["default", "libfabric"]
		and .totals.measured == 9 and .totals.failed == 0 and (.rounds | length) == 3'
	sinfo -h -t idle,comp -o %D | grep -qx 8
}

@test "a node that dies is named, its other pairs are left out, the others go on; then the sweep is resumed" {
	local pid
	cat >both <<-'END'
		sh -c 'echo $$ >lead; exec "$@"' - "$@" --state s >out 2>err
		echo $? >status
		# What a killed sweep leaves at the end.
		printf 'pair 0 1 99' >>s
		exec "$@" --resume s >out2 2>err2
	END
	timeout 280 salloc -Q -N8 --no-kill sh both "$KVPATH" sweep --engine tcp --iters 2 --shape 1x65536 --json \
		"$CLUSTER/root/%N" </dev/null 3>&- &
	pid=$!
	for ((i = 0; i < 5000; i++)); do
		! grep -qs '^pair' s || break
		sleep 0.02
	done
	# It does not run ahead meanwhile.
	kill -STOP "$(cat lead)"
	kill_node n6
	# It boots again, too late for this sweep.
	"$top/tests/slurm/node" "$CLUSTER" 6 "" >>"$CLUSTER/n6.out" 2>&1 </dev/null 3>&- &
	kill -CONT "$(cat lead)"
	wait $pid || true
	status=$(cat status) out=$(cat out) err=$(cat err) ran=sweep
	ended 1
	json '(.nodes[6] | .verdict == "unknown" and (.reason | test("^lost: its connection ended")))
		and .totals.measured >= 21 and .totals.measured < 28 and .totals.failed == 0
		and ([.pairs[] | select(.a != "n6" and .b != "n6")] | length) == 21'
	excludes n5 n6
	out=$(cat out2) err=$(cat err2)
	json '.totals.measured == 28'
	excludes n5
	! grep -q '^pair 0 1 99$' s
}

@test "by ssh: hosts that answer are swept, one that does not is named with ssh's own words" {
	local i port
	ssh-keygen -q -t ed25519 -N '' -f key
	ssh-keygen -q -t ed25519 -N '' -f host
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $PWD/host" "AuthorizedKeysFile $PWD/key.pub" \
		"StrictModes no" "UsePAM no" "PermitRootLogin yes" "PidFile $PWD/pid" >sshd_config
	mkdir -p /run/sshd
	/usr/sbin/sshd -f sshd_config -E sshd.log 3>&-
	{
		printf 'Host h*\n  HostName 127.0.0.1\n  Port %s\nHost gone\n  HostName 127.0.0.1\n  Port 1\n' "$port"
		printf 'Host *\n  IdentityFile %s\n  StrictHostKeyChecking no\n  UserKnownHostsFile %s\n  LogLevel ERROR\n' \
			"$PWD/key" "$PWD/known"
	} >ssh_config
	printf 'h[0-2] # three\ngone\n' >hosts
	status=0
	timeout 250 "$KVPATH" sweep --hosts ./hosts --ssh "ssh -F $PWD/ssh_config -o BatchMode=yes" --engine tcp --iters 2 \
		--shape 1x65536 --json "$CLUSTER/repaired" >out 2>err </dev/null 3>&- || status=$?
	kill "$(cat pid)"
	out=$(cat out) err=$(cat err) ran=sweep
	ended 3
	excludes gone
	json '.launcher == "ssh" and .totals.measured == 3 and .totals.failed == 0
		and (.nodes[3].reason | test("Connection refused"))
		and ([.nodes[] | select(.verdict == "ready")] | length) == 3'
}

@test "what can not be is one line" {
	kv sweep
	ended 2
	one_line "no job of Slurm" --hosts
	kv sweep --hosts 'n[0-'
	ended 2
	one_line --hosts brackets
	kv sweep --hosts 'n0,-oProxyCommand=x'
	ended 2
	one_line "begins with '-'"
	kv sweep --hosts n0,n0
	ended 2
	one_line twice
	kv sweep --hosts n0 --engine tcp --engine nixl:UCX
	ended 2
	one_line --engine
	kv sweep --hosts n0 --op both
	ended 2
	one_line --op
	touch there
	kv sweep --hosts n0 --state there
	ended 2
	one_line there --resume
	kv sweep --hosts n0 --resume there
	ended 2
	one_line there
}

@test "whoever connects without the token is turned away, and the sweep goes on" {
	local i port
	timeout 280 salloc -Q -N2 --no-kill "$KVPATH" sweep --no-pairs --json "$CLUSTER/root/%N" >out 2>err </dev/null 3>&- &
	for ((i = 0; i < 300; i++)); do
		port=$(pgrep -f "srun .*$CLUSTER/root/%N" | head -n 1 | xargs -I{} sh -c "tr '\0' '\n' </proc/{}/environ" 2>/dev/null |
			sed -n 's/^KVPATH_SWEEP=://p')
		[ -z "$port" ] || break
		sleep 0.05
	done
	[ -z "$port" ] || python3 - "$port" <<-'END' || true
		import socket, sys
		for say in (b"", b"\x00" * 5000, b"GET / HTTP/1.0\r\n\r\n", b"hello n0 - " + b"0" * 64 + b" " + b"0" * 64 + b"\n"):
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
		    s.sendall(say)
		    s.settimeout(2)
		    got = b""
		    try:
		        while (more := s.recv(4096)):
		            got += more
		    except OSError:
		        pass
		    assert b"welcome" not in got, got
	END
	status=0
	wait %1 || status=$?
	out=$(cat out) err=$(cat err) ran=sweep
	ended 0
	json '.verdict == "ready" and (.nodes | length) == 2 and all(.nodes[]; .verdict == "ready")'
}

@test "Kubernetes: the Job is one by its own schema, and its command sweeps where three pods have names" {
	local i pids=() port
	kv sweep --for k8s --nodes 3 --container registry.example/dynamo:1 --efa 16 --engine tcp --iters 2 --shape 1x65536 --json
	ended 0
	cp "$BATS_TEST_TMPDIR/out" manifest.yaml
	/usr/bin/python3 "$top/tests/tools/manifest.py" "$("$top/tests/roots/schema" 2>/dev/null)" manifest.yaml >manifest.json
	jq -e '[.[].kind] == ["Secret", "Service", "Job"] and .[2].spec.completions == 3
		and .[2].spec.template.spec.containers[0].resources.limits["vpc.amazonaws.com/efa"] == "16"' manifest.json
	mapfile -t args < <(jq -r '.[2].spec.template.spec.containers[0].command[1:][]' manifest.json)
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	for i in 0 1 2; do
		KVPATH_SWEEP=localhost:$port KVPATH_TOKEN=$(jq -r '.[0].stringData.token' manifest.json) JOB_COMPLETION_INDEX=$i \
			timeout 250 unshare --uts sh -c 'hostname "kvpath-sweep-$0" && exec "$@"' $i "$KVPATH" "${args[@]}" \
			"$CLUSTER/repaired" >"pod$i" 2>"pod$i.err" </dev/null 3>&- &
		pids+=($!)
	done
	for i in 0 1 2; do
		status=0
		wait "${pids[i]}" || status=$?
		out=$(cat "pod$i") err=$(cat "pod$i.err") ran="pod $i"
		# Plain TCP tells nothing of the fabric.
		[ $i -eq 0 ] && ended 3 || ended 0
	done
	out=$(cat pod0)
	json '.launcher == "kubernetes" and (.nodes | map(.name)) == ["kvpath-sweep-0", "kvpath-sweep-1", "kvpath-sweep-2"]
		and .totals.measured == 3 and .verdict == "unknown" and .exclude == null'
}
