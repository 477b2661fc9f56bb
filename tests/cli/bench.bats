#!/usr/bin/env bats
# kvpath bench: real transfers on this host; no test looks at how long they took.

load helper

teardown() {
	[ -z "${held:-}" ] || kill -KILL "$held" 2>/dev/null || true
}

@test "plain TCP: every shape, both ways, all checked" {
	kv bench --engine tcp --op both --shape 1x1 --shape 3x4099 --shape 16x65536 --iters 20
	ended 0
	says tcp sockets write read '16 x 64 KiB' '3 x 4099 bytes'
	kv bench --json --engine tcp --op both --shape 1x1 --shape 3x4099 --iters 20
	ended 0
	json '.schema == "kvpath.bench/1" and (.runs | length) == 4'
	json 'all(.runs[]; .intact == true and .iters > 0 and .iters <= 20 and .p50_us <= .p90_us
		and .p90_us <= .p99_us and .p99_us <= .max_us and .bytes_per_s > 0)'
	json '.engines == [.engines[0]] and .engines[0].good and .engines[0].clean_end'
	json '.host.cores >= 1 and .host.kernel != null'
}

@test "NIXL UCX and TCP side by side in the real container, compared" {
	container
	kv bench --json --before tcp --after nixl:UCX --op both --shape 1x4096 --shape 8x65536 \
		--iters 10 --mem dram "$container"
	ended 0
	json '[.runs[] | select(.engine == "nixl:UCX" and .notified == "timed" and .intact)] | length == 4'
	json '[.runs[] | select(.engine == "tcp")] | length == 4'
	json '(.comparison | length) == 4 and all(.comparison[]; .times_faster > 0 and (.busy | type) == "boolean")'
	json '.nixl == "1.5.0"'
}

@test "NIXL refuses its backend: its own words say why" {
	container
	kv bench --engine nixl:UCX --env UCX_TLS= --shape 1x4096 "$container"
	ended 1
	[[ $out == *'NIXL: Failed to create engine: Failed to create UCX context'* ]] || fail "it does not say why"
}

@test "NIXL with its progress thread and without: which one it was is seen in the process, not believed" {
	container
	bench=(bench --json --engine nixl:UCX --mem dram --shape 1x4096 --iters 5)
	kv "${bench[@]}" "$container"
	ended 0
	json 'all(.runs[]; .intact and .progress == "thread")'
	kv "${bench[@]}" --progress none --op both "$container"
	ended 0
	json '(.runs | length) == 2 and all(.runs[]; .intact and .progress == "none" and .notified == "timed")'
	# UCX's thread without its name could be NIXL's.
	printf 'int pthread_setname_np(unsigned long t, const char *n) { (void)t; return !n; }\n' >"$BATS_TEST_TMPDIR/nameless.c"
	gcc -shared -fPIC -o "$BATS_TEST_TMPDIR/nameless.so" "$BATS_TEST_TMPDIR/nameless.c"
	kv "${bench[@]}" --progress none --mount "$BATS_TEST_TMPDIR:/nameless" --env LD_PRELOAD=/nameless/nameless.so "$container"
	ended 3
	json '.runs == [] and (.engines[0].error | contains("has threads that are not known (1)")) and .engines[0].cause == "environment"'
	kv bench --engine tcp --progress none
	ended 2
}

@test "a plugin that does not load: the loader's words, status 1, the other engine all the same" {
	container
	kv bench --engine nixl:LIBFABRIC --engine tcp --shape 1x4096 --iters 5 "$container"
	ended 1
	says 'does not load' FABRIC_1.7 sockets
}

# Each shape of small, many, few, large and odd blocks, both ways; all checked.
raw() {
	kv bench --json --engine "$1" --op both --shape 1x1 --shape 3000x257 --shape 64x65536 \
		--shape 3x4099 --shape 2x5000001 --iters 6 --deadline 120 "${@:2}"
	ended 0
	json '(.runs | length) == 10 and all(.runs[]; .intact and .iters > 0 and .notified == "timed")'
	json '.engines[0].clean_end and .engines[0].provider != null'
	json '([.runs[].op] | unique) == ["read", "write"] and all(.runs[]; .rails == (.rail_names | length))'
}

@test "libfabric raw, over tcp and over shared memory: every shape, both ways, all checked" {
	raw ofi:tcp
	json 'all(.runs[]; (.provider | startswith("tcp")) and .rail_names == ["lo"])'
	raw ofi:shm
	json 'all(.runs[]; .provider == "shm")'
}

@test "libfabric raw with newer libraries: their own layout, by --fabric, in a container too" {
	container
	for f in F1 F2; do
		fabric=$("$top/tests/roots/fabric" $f 2>/dev/null)/opt/amazon/efa
		raw ofi:tcp --fabric "$fabric"
		json 'all(.runs[]; .detail | startswith("libfabric 2."))'
	done
	kv bench --json --engine ofi:shm --fabric "$fabric" --shape 4x65536 --op both --iters 5 "$container"
	ended 0
	json 'all(.runs[]; .intact and (.detail | startswith("libfabric 2.5")))'
	kv bench --json --engine ofi:shm --shape 4x65536 --iters 5 "$container"
	ended 0
	json 'all(.runs[]; .intact and (.detail | startswith("libfabric 1.17")))'
}

@test "libfabric raw over several rails: blocks and their parts go over all of them" {
	[ "$(id -u)" = 0 ] || skip "needs root for interfaces of its own"
	into unshare --net -- sh -c 'ip link set lo up && ip link add d0 type veth peer name d1 &&
		ip addr add 10.9.8.7/24 dev d0 && ip link set d0 up && ip link set d1 up && exec "$@"' sh \
		"$KVPATH" bench --json --engine ofi:tcp/lo+d0 --op both \
		--shape 1x4096 --shape 1x3000001 --shape 33x70001 --iters 6
	ended 0
	json '(.runs | length) == 6 and all(.runs[]; .intact and .rails == 2 and .rail_names == ["lo", "d0"])'
}

@test "UCX raw: Debian's and the wheel's libucp, every shape, both ways, all checked" {
	local debian
	debian=libucp\ $(dpkg-query -W -f '${source:Upstream-Version}' libucx0 | sed 's/+.*//')
	into env UCX_TLS=tcp "$probe" bench --engine ucx --shape 1x1 --shape 3000x257 --shape 3x70001 --op both --iters 5
	ended 0
	out=$(grep '^{' <<<"$out")
	json -s --arg debian "$debian" 'length == 7 and .[6].good and all(.[:6][]; .intact and
		(.detail | startswith($debian + ";")) and (.rail_names | all(startswith("tcp/"))))'
	container
	raw ucx "$container"
	json --arg debian "$debian" 'all(.runs[]; (.detail | startswith($debian + ";") | not) and (.rail_names | length) > 0)'
	kv bench --json --engine nixl:UCX --engine ucx --shape 1x4096 --shape 8x65536 --iters 5 "$container"
	ended 0
	json '(.raw | length) == 2 and all(.raw[]; .engine == "nixl:UCX" and .raw == "ucx" and .of_raw > 0)'
	kv bench --engine ucx --env UCX_TLS=nosuch --shape 1x4096
	ended 1
	says failed ucp_
}

@test "libfabric raw: what is not there is named, with what there is" {
	kv bench --engine ofi:efa --shape 1x4096
	ended 3
	says 'fi_getinfo: No data available' 'offers no efa'
	kv bench --engine ofi:tcp/nosuch0 --shape 1x4096
	ended 3
	says 'no domain nosuch0; there are:' lo
	kv bench --engine ofi:tcp --fabric /nonexistent --shape 1x4096
	ended 2
	one_line --fabric
	into "$probe" bench --engine ofi:tcp --shape 1x4096 --fabric /nonexistent/libfabric.so.1
	ended 1
	says environment 'cannot open shared object file' --fabric
}

@test "an engine that the target has not, and GPU memory where there is no GPU: cannot tell" {
	kv_bare bench --engine nixl:UCX --shape 1x4096 /
	ended 3
	says libnixl_capi.so
	[ ! -e /dev/nvidiactl ] || skip "this machine has a GPU"
	kv bench --engine tcp --mem vram --shape 1x4096
	ended 3
	says libcuda.so.1
}

@test "GPU memory: the second GPU receives, or the first where there is no other" {
	gcc -Wall -Wextra -Werror -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$BATS_TEST_TMPDIR/libcuda.so.1" "$top/tests/tools/gpus.c"
	for gpus in 1 2; do
		rm -f "$BATS_TEST_TMPDIR/gpus"
		GPUS=$gpus GPU_LOG=$BATS_TEST_TMPDIR/gpus LD_LIBRARY_PATH=$BATS_TEST_TMPDIR kv bench --engine tcp --mem vram --shape 4x4096 --iters 20
		ended 0
		[ "$(sort "$BATS_TEST_TMPDIR/gpus" | xargs)" = "0 $((gpus - 1))" ] || fail "$(cat "$BATS_TEST_TMPDIR/gpus")"
	done
	GPUS=0 LD_LIBRARY_PATH=$BATS_TEST_TMPDIR kv bench --engine tcp --mem vram --shape 1x4096
	ended 3
	says '0 are visible'
}

@test "wrong shapes and engines" {
	for args in "--shape 4096" "--shape 0x1" "--shape 1x0" "--shape -1x1" "--engine mpi" \
		"--engine nixl:" "--engine nixl:../x" "--op push" "--iters 0" "--model /nonexistent" \
		"--tokens 10" "--dtype fp8 --engine tcp" "--layout page"; do
		# shellcheck disable=SC2086 # two words each
		kv bench $args
		ended 2
		one_line
	done
}

@test "the shape of a model's KV cache" {
	kv bench --json --engine tcp --model glm-4.7 --tokens 64 --tp 4 --iters 2
	ended 0
	json '.shape_source | contains("64 tokens")'
	json '(.runs | length) == 1 and .runs[0].count == 2 * 92 * 4 and .runs[0].intact'
}

@test "a rate of this host for size and report, which say where the machine was busy" {
	kv bench --json --engine tcp --shape 1x65536 --iters 5
	ended 0
	cp "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/b.json"
	kv size glm-4.7 --tokens 1000 --result "$BATS_TEST_TMPDIR/b.json"
	ended 0
	says 'tcp sockets write dram'
	for wait in 0 0.06; do
		jq ".runs[] |= (.cpu_wait_s = .time_s * $wait)" "$BATS_TEST_TMPDIR/b.json" >"$BATS_TEST_TMPDIR/w.json"
		kv size glm-4.7 --tokens 1000 --result "$BATS_TEST_TMPDIR/w.json"
		[ "$(grep -c 'busy machine' <<<"$out")" = "${wait/0.06/1}" ] || fail "size: waited $wait"
		kv report "$BATS_TEST_TMPDIR/w.json"
		[ "$(grep -c 'as sent; busy machine' <<<"$out")" = "${wait/0.06/1}" ] || fail "report: waited $wait"
	done
	kv size glm-4.7 --tokens 1000 --json --result "$BATS_TEST_TMPDIR/w.json"
	json '[.links[] | select(.measured) | .busy] == [true]'
}

# The workers of the probe, once the transfers are on their way.
workers() {
	local i
	for i in $(seq 100); do
		mapfile -t pids < <(pgrep -P "$1" 2>/dev/null)
		[ "${#pids[@]}" = 2 ] && return 0
		sleep 0.05
	done
	return 1
}

# start_probe SECONDS ENGINE
start_probe() {
	setsid "$probe" bench --engine "$2" --shape 4x65536 --iters 10000000 --ms 60000 --deadline "$1" \
		>"$BATS_TEST_TMPDIR/out" 2>&1 &
	held=$!
	workers "$held" || fail "no workers"
	sleep 0.3
}

probe_ended() {
	local status=0
	wait "$held" || status=$?
	out=$(cat "$BATS_TEST_TMPDIR/out") err='' ran=probe
	[ "$status" = 1 ] || fail "status $status"
	out=$(grep '^{' <<<"$out")
	for pid in "${pids[@]}"; do
		[ ! -e "/proc/$pid" ] || fail "worker $pid is left"
	done
	held=
}

@test "what bench adds to libfabric's calls is measured by turns, and refused where that cannot be" {
	kv_probe() {
		out=$("$probe" bench --shape 1x65536 --iters 8 "$@" 2>/dev/null) && status=0 || status=$?
		err='' ran="probe $*"
	}
	for engine in ofi:tcp ofi:shm; do
		kv_probe --engine "$engine" --overhead 3
		ended 0
		json -s '.[0] | .kind == "overhead" and .n == 8 and (.engine_ns, .bare_ns | length == 6 and all(.[]; . > 0))'
		json -s '.[1] | .kind == "end" and .good and .clean_end and .finished == 1'
	done
	for wrong in "--engine tcp" "--engine ofi:shm --op read"; do
		# shellcheck disable=SC2086
		kv_probe $wrong --overhead 3
		ended 1
		json '.kind == "end" and (.error | contains("--overhead is for"))'
	done
}

@test "a worker that is killed, of every engine: said so, and nothing is left" {
	for engine in tcp ofi:tcp ofi:shm ucx; do
		for which in 0 1; do
			start_probe 30 "$engine"
			kill -KILL "${pids[$which]}"
			probe_ended
			json '.kind == "end" and .good == false and .cause == "crash" and (.error | contains("signal 9"))'
		done
	done
}

@test "a worker that is stopped, of every engine: the deadline ends it" {
	for engine in tcp ofi:tcp ofi:shm ucx; do
		start_probe 2 "$engine"
		kill -STOP "${pids[$((RANDOM % 2))]}"
		probe_ended
		json '.kind == "end" and .good == false and .cause == "deadline" and .finished == 0'
	done
}

@test "a bit that changes on the way of libfabric's and UCX's data: never called good" {
	gcc -shared -fPIC -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/flip.so" "$top/tests/tools/flip.c" -ldl
	for engine in ofi:tcp ofi:shm ucx; do
		for op in write read; do
			# A read over shared memory goes through memory alone: nothing to take a bit from.
			[ "$engine $op" != "ofi:shm read" ] || continue
			rm -f "$BATS_TEST_TMPDIR/flips"
			kv bench --json --engine "$engine" --op "$op" --shape 1x65536 --iters 500 --env UCX_TLS=tcp \
				--env "LD_PRELOAD=$BATS_TEST_TMPDIR/flip.so" --env FLIP_EVERY=40 \
				--env "FLIP_LOG=$BATS_TEST_TMPDIR/flips"
			ended 1
			[ -s "$BATS_TEST_TMPDIR/flips" ] || fail "$engine, $op: nothing was changed"
			# On a busy machine UCX receives several messages at once; of a changed header it makes an end of its own.
			[ "$engine" != ucx ] || [ "$(jq -r '.engines[0].cause' <<<"$out")" != crash ] || continue
			json '.engines[0] | .cause == "corrupt" and (.error | contains("corrupted: block 0 of transfer"))'
		done
	done
}

# Processes of another container on the same /dev/shm have the same numbers.
@test "shared memory that a killed worker left is in nobody's way" {
	cat >"$BATS_TEST_TMPDIR/twice" <<-'END'
		mount -t tmpfs shm /dev/shm
		unshare --pid --fork --kill-child --mount-proc "$1" bench --engine ofi:shm --shape 1x65536 --iters 1000000 --ms 50000 >/dev/null &
		for ((i = 0; i < 400 && $(ls /dev/shm | wc -l) < 2; i++)); do sleep 0.05; done
		kill -9 $!
		wait $!
		[ "$(ls /dev/shm | wc -l)" -ge 2 ] || exit 9
		unshare --pid --fork --mount-proc "$1" bench --engine ofi:shm --shape 1x65536 --iters 20
	END
	into unshare --mount bash "$BATS_TEST_TMPDIR/twice" "$probe"
	ended 0
	tail -n 1 <<<"$out" | jq -e .good
}

# Ports that the workers' libraries listen on, once they do.
listening() {
	local pid i
	for ((i = 0; i < 200; i++)); do
		mapfile -t ports < <(for pid in "${pids[@]}"; do
			ss -Htlnp | sed -nE "s/^LISTEN +[0-9]+ +[0-9]+ +[^ ]*:([0-9]+) .*pid=$pid,.*/\\1/p"
		done)
		[ "${#ports[@]}" -lt 2 ] || return 0
		sleep 0.05
	done
	fail "the workers listen nowhere"
}

@test "garbage on the ports of libfabric's and UCX's sockets: a deadline at the latest, and no false good" {
	export UCX_TLS=tcp
	for engine in ofi:tcp ucx; do
		start_probe 4 "$engine"
		listening
		for port in "${ports[@]}"; do
			"$top/tests/tools/stranger.py" 127.0.0.1 "$port" flood 1 >/dev/null
		done
		probe_ended
		json '.kind == "end" and .good == false and .error != null'
	done
}

@test "on a terminal it says how far it is, and nowhere else" {
	script -qec "'$KVPATH' bench --engine tcp --shape 1x4096 --iters 5" /dev/null >"$BATS_TEST_TMPDIR/tty" </dev/null
	grep -q 'of 1, tcp, [0-9]* s' "$BATS_TEST_TMPDIR/tty"
	kv bench --engine tcp --shape 1x4096 --iters 5
	[ -z "$err" ] || fail "something is said"
}
