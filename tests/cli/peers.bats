#!/usr/bin/env bats
# kvpath bench on two hosts: two network namespaces of this machine, joined by a veth; each process in a UTS namespace
# of its own, so that the hosts have names.

load helper

setup() {
	[ "$(id -u)" = 0 ] || skip "needs root for network namespaces"
	export KVPATH_TOKEN=0123456789abcdef0123456789abcdef
	net=kv$BATS_SUITE_TEST_NUMBER-$$
	ip netns add "${net}a"
	ip netns add "${net}b"
	ip link add name va netns "${net}a" type veth peer name vb netns "${net}b"
	for i in a b; do
		ip -n "$net$i" link set lo up
		ip -n "$net$i" link set v$i up
		ip -n "$net$i" addr add 10.77.0.$((16#$i - 9))/24 dev v$i
		ip -n "$net$i" addr add fd77::$((16#$i - 9))/64 dev v$i nodad
	done
	jobs_=()
}

teardown() {
	[ -n "${net:-}" ] || return 0
	for pid in "${jobs_[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	ip netns del "${net}a" 2>/dev/null || true
	ip netns del "${net}b" 2>/dev/null || true
}

# on a|b COMMAND...: on that host. exec, so that its pid is the command's.
on() {
	local i=$1
	shift
	# shellcheck disable=SC2016 # for the inner shell
	exec ip netns exec "$net$i" unshare --uts sh -c 'hostname "$0" && exec "$@"' "host-$i" "$@"
}

# target ARG...: a listener on host a; $port is where, $target its pid.
target() {
	local i
	: >"$BATS_TEST_TMPDIR/target.err"
	(on a "$KVPATH" bench --listen "$1" --deadline 60 "${@:2}") >"$BATS_TEST_TMPDIR/target.out" 2>"$BATS_TEST_TMPDIR/target.err" 3>&- &
	target=$!
	jobs_+=("$target")
	for ((i = 0; i < 600; i++)); do
		port=$(sed -n 's/^kvpath: bench listens on .*:\([0-9]*\)\( .*\)\?$/\1/p' "$BATS_TEST_TMPDIR/target.err")
		[ -z "$port" ] || return 0
		sleep 0.05
	done
	ran=target status='' out='' err=$(cat "$BATS_TEST_TMPDIR/target.err")
	fail "it does not listen"
}

target_ended() {
	local code=0
	wait "$target" || code=$?
	said=$(cat "$BATS_TEST_TMPDIR/target.err")
	[ "$code" = "$1" ] || fail "the target ended with $code, not $1: $said"
	[ ! -s "$BATS_TEST_TMPDIR/target.out" ] || fail "the target wrote results"
}

# initiator ARG...: bench --connect on host b.
initiator() {
	local at=$1
	shift
	kv_on b bench --connect "$at" "$@"
}

kv_on() {
	local i=$1
	shift
	into "$BASH" -c "$(declare -f on); net=$net; on \"\$@\"" bash "$i" "$KVPATH" "$@"
}

# The probe's workers below PID; they hold the engines.
workers_of() {
	local i probe_pid
	for ((i = 0; i < 600; i++)); do
		probe_pid=$(pgrep -P "$1" -f 'kvpath-probe bench' | head -n 1) || true
		[ -z "$probe_pid" ] || worker=$(pgrep -P "$probe_pid" | head -n 1) || true
		[ -z "${worker:-}" ] || return 0
		sleep 0.05
	done
	return 1
}

# Whether anything of PIDs' is left.
gone() {
	local pid i
	for pid in "$@"; do
		for ((i = 0; i < 200; i++)); do
			[ -e "/proc/$pid" ] || continue 2
			[[ $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) != Z ]] || continue 2
			sleep 0.05
		done
		fail "process $pid is left"
	done
}

@test "IPv4: both ways, checked, the document names both hosts" {
	target 10.77.0.1:0
	initiator "10.77.0.1:$port" --json --engine tcp --op both --shape 1x1 --shape 3x4099 --shape 8x65536 --iters 20
	ended 0
	target_ended 0
	json '.host.name == "host-b" and .peer.name == "host-a" and (.peer.address | startswith("10.77.0.1:"))'
	json '.peer.version == .version and .peer.cores >= 1'
	json '(.runs | length) == 6 and all(.runs[]; .intact and .iters > 0)'
	json '.engines[0].good and .engines[0].clean_end'
}

# slow ARG...: $port is slowlink.py's then.
slow() {
	local i
	(on a "$top/tests/tools/slowlink.py" 10.77.0.1 "$port" "$@") >"$BATS_TEST_TMPDIR/slow" 3>&- &
	jobs_+=("$!")
	for ((i = 0; i < 200; i++)); do
		port=$(cat "$BATS_TEST_TMPDIR/slow")
		[ -z "$port" ] || return 0
		sleep 0.05
	done
	return 1
}

@test "the end of what carries the data comes before the word that all is measured: no failure" {
	target 10.77.0.1:0
	slow 200
	initiator "10.77.0.1:$port" --json --engine tcp --op both --shape 1x512 --iters 3
	ended 0
	target_ended 0
	json '.engines[0].good and .engines[0].clean_end'
}

@test "a connection that the target does not know of is made once more" {
	target 10.77.0.1:0
	slow 0 2
	initiator "10.77.0.1:$port" --json --engine tcp --shape 1x512 --iters 3
	ended 0
	target_ended 0
	json '.engines[0].good'
}

@test "IPv6 and every address; NIXL's own libraries on each side; a token in a file" {
	container
	(umask 077 && echo "$KVPATH_TOKEN" >"$BATS_TEST_TMPDIR/token")
	unset KVPATH_TOKEN
	target 0 --token-file "$BATS_TEST_TMPDIR/token" "$container"
	initiator "[fd77::1]:$port" --token-file "$BATS_TEST_TMPDIR/token" --engine nixl:UCX --engine tcp \
		--env UCX_TLS=tcp --op both --shape 4x65536 --iters 10 "$container"
	ended 0
	says 'host-b, NIXL 1.5.0 -> host-a at [fd77::1]:' sockets
	[ "$(grep -cE '^  (write|read) ' <<<"$out")" = 4 ] || fail "not four runs"
	target_ended 0
}

@test "auto: the port follows from the token; another listener there is passed over" {
	local first squatter i
	target auto
	first=$port
	kill -KILL "$target"
	wait "$target" || true
	(KVPATH_TOKEN=another-token-of-someone-else on a "$KVPATH" bench --listen "$first") >/dev/null 2>"$BATS_TEST_TMPDIR/squatter" 3>&- &
	squatter=$!
	jobs_+=("$squatter")
	for ((i = 0; i < 600; i++)); do
		! grep -qs listens "$BATS_TEST_TMPDIR/squatter" || break
		sleep 0.05
	done
	target auto
	[ "$port" != "$first" ] || fail "two listen on one port"
	initiator 10.77.0.1:auto --json --engine tcp --shape 1x4096 --iters 5
	ended 0
	target_ended 0
	json --arg at "10.77.0.1:$port" '.peer.address == $at and .runs[0].intact'
}

@test "a plugin that loads on one side only: that the other one's does not is what counts" {
	container
	fabric=$(find "$("$top/tests/roots/fabric" F1 2>/dev/null)" -type f -name 'libfabric.so.1.*' | head -n 1)
	libs=/$(cd "$container" && find usr -name '.nixl_cu13.mesonpy.libs' -path '*dist-packages*' | head -n 1)
	target 10.77.0.1:0 "$container"
	initiator "10.77.0.1:$port" --json --engine nixl:LIBFABRIC --shape 1x4096 --iters 5 \
		--mount "$fabric:$libs/libfabric.so.1" "$container"
	ended 1
	json '.engines[0] | .side == "target" and .cause == "nixl" and (.error | test("^target, on host-a: .*FABRIC_1.7"))'
	target_ended 1
}

@test "another token: refused, and a right peer still gets in" {
	target 10.77.0.1:0
	KVPATH_TOKEN=0123456789abcdef0123456789abcdeX initiator "10.77.0.1:$port" --engine tcp
	ended 2
	one_line token
	initiator "10.77.0.1:$port" --engine tcp --shape 1x4096 --iters 5
	ended 0
	target_ended 0
}

@test "no token, a short one, one that others can read; options of the wrong side; places that are none" {
	for args in "--listen 0" "--connect 10.77.0.1:7000"; do
		# shellcheck disable=SC2086 # two words
		KVPATH_TOKEN='' kv bench $args
		ended 2
		one_line 'at least 16'
	done
	unset KVPATH_TOKEN
	kv bench --listen 0
	ended 2
	one_line KVPATH_TOKEN --token-file
	echo 0123456789abcdef0123456789abcdef >"$BATS_TEST_TMPDIR/open"
	chmod 644 "$BATS_TEST_TMPDIR/open"
	kv bench --listen 0 --token-file "$BATS_TEST_TMPDIR/open"
	ended 2
	one_line 'chmod 600'
	export KVPATH_TOKEN=0123456789abcdef0123456789abcdef
	for args in "--listen 0 --engine tcp" "--listen 0 --shape 1x1" "--listen 0 --connect h:1" "--listen 70000" \
		"--listen name:1" "--listen [::1" "--connect h" "--connect h:0" "--connect :1" "--connect fd77::1:7000" \
		"--token-file /dev/null"; do
		# shellcheck disable=SC2086 # several words
		kv bench $args
		ended 2
		one_line
	done
}

@test "what listens there is no kvpath, or another one; nobody is there; no such host" {
	(on a "$top/tests/tools/stranger.py" 10.77.0.1 7001 listen) >"$BATS_TEST_TMPDIR/ready" 3>&- &
	jobs_+=("$!")
	(on a "$top/tests/tools/stranger.py" 10.77.0.1 7002 version) >"$BATS_TEST_TMPDIR/ready2" 3>&- &
	jobs_+=("$!")
	until [ -s "$BATS_TEST_TMPDIR/ready" ] && [ -s "$BATS_TEST_TMPDIR/ready2" ]; do sleep 0.05; done
	initiator 10.77.0.1:7001 --engine tcp
	ended 3
	one_line 'no kvpath bench'
	initiator 10.77.0.1:7002 --engine tcp
	ended 3
	one_line 'version 9' 'same kvpath'
	initiator 10.77.0.1:7003 --engine tcp --deadline 1 --quiet
	ended 3
	one_line refused --listen
	initiator nonexistent.invalid:7003 --engine tcp --deadline 1
	ended 2
	one_line nonexistent.invalid
}

@test "a target that nobody calls, or only strangers, ends with its deadline" {
	target 10.77.0.1:0 --deadline 2
	(on b "$top/tests/tools/stranger.py" 10.77.0.1 "$port" call) >/dev/null 3>&-
	target_ended 3
	[[ $said == *'version 9'* ]] || fail "it does not say which version called: $said"
}

@test "a port flooded with garbage and silence: the right peer gets in, and is measured" {
	target 10.77.0.1:0
	for i in 1 2 3; do
		(on b "$top/tests/tools/stranger.py" 10.77.0.1 "$port" flood 60) >"$BATS_TEST_TMPDIR/flood$i" 3>&- &
		jobs_+=("$!")
	done
	initiator "10.77.0.1:$port" --json --engine tcp --shape 1x4096 --shape 4x65536 --iters 50
	ended 0
	target_ended 0
	json '(.runs | length) == 2'
}

# Transfers that go on for long: $initiator and $target, and the workers of both, $mine and $theirs.
long_run() {
	local shapes=() i
	for ((i = 0; i < 30; i++)); do
		shapes+=(--shape 4x65536)
	done
	target 10.77.0.1:0
	(on b "$KVPATH" bench --json --connect "10.77.0.1:$port" --engine tcp "${shapes[@]}" --iters 10000000 \
		--deadline "$1") >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	initiator=$!
	jobs_+=("$initiator")
	worker=
	workers_of "$target" || fail "no worker of the target"
	theirs=$worker
	worker=
	workers_of "$initiator" || fail "no worker of the initiator"
	mine=$worker
}

initiator_ended() {
	status=0
	wait "$initiator" || status=$?
	ran=initiator out=$(cat "$BATS_TEST_TMPDIR/out") err=$(cat "$BATS_TEST_TMPDIR/err")
	ended "$1"
}

@test "the target's worker is killed: the side, the signal, and what it did" {
	long_run 60
	kill -KILL "$theirs"
	initiator_ended 1
	json '.engines[0] | .good == false and .side == "target" and .cause == "crash"
		and (.error | test("^target, on host-a: killed by signal 9"))'
	target_ended 1
	gone "$mine" "$theirs"
}

@test "the initiator's worker is killed" {
	long_run 60
	kill -KILL "$mine"
	initiator_ended 1
	json '.engines[0] | .side == "initiator" and (.error | test("^initiator: killed by signal 9"))'
	target_ended 1
	gone "$mine" "$theirs"
}

@test "one host's kvpath is killed: the other one says so and ends, and nothing is left on either" {
	long_run 60
	kill -KILL "$target"
	initiator_ended 3
	json '.engines[0].error | contains("on host-a, says nothing more")'
	wait "$target" || true
	gone "$mine" "$theirs"
	long_run 60
	kill -KILL "$initiator"
	target_ended 3
	[[ $said == *'the initiator, on host-b, is lost'* ]] || fail "it does not say who is lost: $said"
	gone "$mine" "$theirs"
}

@test "a stopped worker, and a whole host that stops: the deadline, and the side that hung" {
	long_run 3
	kill -STOP "$theirs"
	initiator_ended 3
	json '.engines[0] | .side == "target" and .cause == "deadline" and (.error | contains("deadline of 3 s passed in"))'
	target_ended 3
	gone "$mine" "$theirs"
	long_run 3
	kill -STOP "$theirs" "$target"
	initiator_ended 3
	json '.engines[0].error | contains("on host-a, says nothing more")'
	gone "$mine"
	kill -KILL "$target" "$theirs"
	gone "$theirs"
}

@test "a plugin that hangs as it is loaded, on one side or on both workers of one host: named, with the call" {
	container
	echo 'void pause_(void) __asm__("pause"); __attribute__((constructor)) void hang(void) { for (;;) pause_(); }' |
		gcc -shared -fPIC -x c -o "$BATS_TEST_TMPDIR/hang.so" -
	plugin=$(cd "$container" && find usr -name libplugin_UCX.so | head -n 1)
	kv bench --json --engine nixl:UCX --shape 1x4096 --iters 5 --deadline 3 \
		--mount "$BATS_TEST_TMPDIR/hang.so:/$plugin" "$container"
	ended 3
	json '.engines[0] | .cause == "deadline" and (.error | contains("passed in nixl_capi_"))'
	target 10.77.0.1:0 --mount "$BATS_TEST_TMPDIR/hang.so:/$plugin" "$container"
	initiator "10.77.0.1:$port" --json --engine nixl:UCX --engine tcp --shape 1x4096 --iters 5 --deadline 4 "$container"
	ended 3
	json '.engines[0] | .side == "target" and .cause == "deadline" and (.error | contains("passed in nixl_capi_"))'
	json '.engines[1].good'
	target_ended 3
}

@test "a bit that changes on the wire, towards either side: never called good" {
	gcc -shared -fPIC -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/flip.so" "$top/tests/tools/flip.c" -ldl
	flipped=(--env "LD_PRELOAD=$BATS_TEST_TMPDIR/flip.so" --env FLIP_EVERY=30 --env "FLIP_LOG=$BATS_TEST_TMPDIR/flips")
	target 10.77.0.1:0 "${flipped[@]}"
	initiator "10.77.0.1:$port" --json --engine tcp --shape 2x4096 --iters 500
	ended 1
	json '.engines[0] | .cause == "corrupt" and .side == "target" and (.error | contains("corrupted: block"))'
	target_ended 1
	target 10.77.0.1:0
	initiator "10.77.0.1:$port" --json --engine tcp --op read --shape 2x4096 --iters 500 "${flipped[@]}"
	ended 1
	json '.engines[0] | .cause == "corrupt" and .side == "initiator"'
	target_ended 1
	[ -s "$BATS_TEST_TMPDIR/flips" ]
}

@test "a link of 200 Mb/s: no engine is said to be faster than the link, and none much slower" {
	container
	ip netns exec "${net}b" tc qdisc add dev vb root tbf rate 200mbit burst 64kb latency 200ms ||
		skip "THIS KERNEL HAS NO tbf: nothing is shaped here"
	target 10.77.0.1:0 --env UCX_TLS=tcp "$container"
	initiator "10.77.0.1:$port" --json --engine tcp --engine nixl:UCX --env UCX_TLS=tcp --shape 1x1048576 --shape 16x262144 \
		"$container"
	ended 0
	target_ended 0
	# 25e6 bytes a second on the wire, of which 0.94 can be payload. What a busy machine leaves of it is not judged.
	json '(.runs | length) == 4 and all(.runs[]; .bytes_per_s <= 25e6 and .bytes_per_s >= 10e6)'
}

@test "a link that loses 5 % and is late: slower, and every byte as sent" {
	local how=netem
	for i in a b; do
		ip netns exec "$net$i" tc qdisc add dev v$i root netem loss 5% delay 1ms 2>/dev/null || {
			how='a BPF filter: THIS KERNEL HAS NO netem, so nothing is delayed'
			ip netns exec "$net$i" tc qdisc add dev v$i clsact
			# Of a random word, less than 5 % of its range: dropped.
			ip netns exec "$net$i" tc filter add dev v$i egress bpf da bytecode \
				'4,32 0 0 4294963256,53 1 0 214748364,6 0 0 2,6 0 0 4294967295'
		}
	done
	echo "# lost by $how" >&3
	target 10.77.0.1:0
	initiator "10.77.0.1:$port" --json --engine tcp --op both --shape 1x65536 --iters 100 --deadline 60
	ended 0
	target_ended 0
	json '(.runs | length) == 2 and all(.runs[]; .intact)'
}
