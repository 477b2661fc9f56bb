#!/usr/bin/env bats
# log: recorded samples of worker logs (tests/cli/logs), what may be wrong with a file, what is printed.

load helper

logs=$BATS_TEST_DIRNAME/logs

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

schema='
	.schema == "kvpath.log/1" and (.version | type == "string") and has("setting")
	and (.verdict | IN("on-fabric", "off-fabric", "unknown"))
	and (.files | all(has("path") and (.format | IN("plain", "gzip", "zstd")) and (.bytes | type == "number")
		and (.lines | type == "number") and has("error")))
	and (.processes | all(has("name") and has("file") and has("label") and (.pids | type == "array")
		and (.ranks | type == "array") and (.whole_file | type == "boolean") and (.several | type == "boolean")
		and (.verdict | IN("on-fabric", "off-fabric", "unknown")) and has("reason") and has("setting")
		and has("backends") and has("provider") and has("fi_hmem") and has("nixl")
		and (.events | all(has("pattern") and has("kind") and has("finding") and has("subject") and has("path")
			and (.count > 0) and has("text")
			and ([.first, .last] | all(has("file") and (.line > 0) and has("time")))))))
	and (.waiting_for_input | (.lines | type == "number") and has("untimed") and has("interval_s")
		and (.timeline | all(has("time") and has("lines") and has("transfer_req") and has("inflight_req"))))
	and (.findings | all((.id | test("^KV[0-9]{3}$")) and (.severity | IN("error", "warning", "info"))
		and has("title") and has("detail") and (.evidence | all(has("path") and has("text")))
		and (.repair | has("automatic") and has("text"))))
'

@test "LIBFABRIC over efa: on-fabric, with the line that shows it" {
	kv log "$logs/sglang-efa.log"
	ended 0
	says on-fabric "provider efa" "Created 16 rails using provider=efa" "FI_HMEM yes" "NIXL 1.3.2"
	kv log --json "$logs/sglang-efa.log"
	ended 0
	json "$schema"
	json '.verdict == "on-fabric" and .findings == [] and .setting == null
		and (.processes[0] | .provider == "efa" and .fi_hmem == "yes" and .whole_file)'
	json '.processes[0].events[] | select(.pattern == "rails-created") | .first.line == 9
		and .first.time == "2026-11-22 17:10:31"'
}

@test "vLLM's default: UCX, off-fabric, and which process" {
	kv log --json "$logs/vllm-ucx.log"
	ended 1
	json "$schema"
	json '.verdict == "off-fabric" and [.findings[].id] == ["KV201"]'
	json '[.processes[] | select(.verdict == "off-fabric") | .pids] == [[304]]'
	json '.processes[] | .events[] | select(.pattern == "vllm-expired") | .first.line == 8'
}

@test "vLLM's own figures: all intervals together, of no process" {
	local said='INFO 11-22 17:25:10 [metrics.py:98] KV Transfer metrics: Num successful transfers'
	{
		echo "$said=3, Avg xfer time (ms)=10.5, P90 xfer time (ms)=12.0, Avg MB per transfer=70.0, Throughput (MB/s)=252.4"
		echo "$said=1, Avg xfer time (ms)=300.5, P90 xfer time (ms)=300.5, Avg MB per transfer=30.0, Num failed transfers=2"
		echo "$said=0, Avg xfer time (ms)=0, P90 xfer time (ms)=0, Avg MB per transfer=0, Num failed transfers=1"
		echo "$said=, Avg xfer time (ms)=nan, Avg MB per transfer="
		echo "$said=9"
	} >"$BATS_TEST_TMPDIR/v.log"
	head -3 "$BATS_TEST_TMPDIR/v.log" >"$BATS_TEST_TMPDIR/w.log"
	kv log "$BATS_TEST_TMPDIR/w.log"
	ended 3
	[[ $out == *"4 ended well, 3 failed; 60.0 MiB in 83.0 ms on average (0.76 GB/s each"*"slowest interval: 300.5 ms, line 2 of"* ]] || fail
	[[ $out != *"none of them of NIXL"* ]] || fail
	kv log --json "$BATS_TEST_TMPDIR/w.log" "$logs/vllm-ucx.log"
	json '.transfers | .ended == 10 and .failed == 3 and .slowest_interval.line == 7 and .mean_ms > 2505 and .mean_ms < 2506'
	json '[.processes[].events[].kind] | index("transfers") == null'
	kv log "$BATS_TEST_TMPDIR/v.log"
	ended 3
	kv log --json "$logs/sglang-efa.log"
	json '.transfers == null'
}

@test "ranks under srun are processes of their own" {
	kv log --json "$logs/srun-tcp.log"
	ended 1
	json "$schema"
	json '[.processes[] | .label] == ["0", "1"] and [.processes[] | .verdict] == ["off-fabric", "unknown"]'
	json '[.findings[] | select(.severity == "error") | .id] == ["KV301", "KV302"]'
}

@test "processes that are alike are shown once" {
	for i in $(seq 40); do sed "s/^/$i: /" "$logs/sglang-efa.log"; done >ranks
	kv log ranks
	ended 0
	says "ranks [1]: on-fabric" "the same: ranks [2]," "and 23 more"
	[ "$(wc -l <<<"$out")" -lt 20 ] || fail "too long"
	kv log --json ranks
	json '.processes | length == 40'
}

@test "WaitingForInput over time" {
	kv log "$logs/stall.log"
	ended 3
	says "WaitingForInput: 2 lines" "2026-11-22 18:45:00" "to tell more: NIXL_LOG_LEVEL=INFO"
	kv log --json "$logs/stall.log"
	json "$schema"
	json '.waiting_for_input | .lines == 2 and ([.timeline[].lines] | add) == 2
		and ([.timeline[].transfer_req] | max) == 28 and ([.timeline[].inflight_req] | max) == 45'
}

@test "several files: the worst counts, each keeps its own answer" {
	kv log --json "$logs"/*.log
	ended 1
	json "$schema"
	json '.verdict == "off-fabric" and (.files | length) == 4'
	json '[.processes[] | select(.file | endswith("sglang-efa.log")) | .verdict] == ["on-fabric"]'
}

@test "stdin, gzip, zstd: the same answer" {
	kv log --json "$logs/srun-tcp.log"
	want=$(jq -c '[.verdict, [.findings[].id], [.processes[].events[] | [.pattern, .count, .first.line]]]' <<<"$out")
	gzip -c "$logs/srun-tcp.log" >a.gz
	zstd -q -c "$logs/srun-tcp.log" >a.zst
	# Members one after the other, as logrotate and parallel writers leave them.
	{
		head -n 5 "$logs/srun-tcp.log" | gzip -c
		tail -n +6 "$logs/srun-tcp.log" | gzip -c
	} >b.gz
	for f in a.gz a.zst b.gz; do
		kv log --json "$f"
		ended 1
		[ "$(jq -c '[.verdict, [.findings[].id], [.processes[].events[] | [.pattern, .count, .first.line]]]' <<<"$out")" = "$want" ] ||
			fail "$f differs"
		json --arg f "${f##*.}" '.files[0].format == {gz: "gzip", zst: "zstd"}[$f]'
		for how in "cat $f |" "<$f"; do
			status=0
			out=$(eval "if [[ \$how == cat* ]]; then cat $f | \"\$KVPATH\" log --json -; else \"\$KVPATH\" log --json - <$f; fi") || status=$?
			ended 1
			json '.files[0].path == "-"'
			[ "$(jq -c '[.verdict, [.findings[].id], [.processes[].events[] | [.pattern, .count, .first.line]]]' <<<"$out")" = "$want" ] ||
				fail "$f through stdin differs"
		done
	done
}

@test "a compressed file that is cut off: what is there counts, no good is said" {
	{
		cat "$logs/sglang-efa.log"
		head -c 300000 /dev/urandom | base64
	} | gzip -c | head -c 200000 >cut.gz
	kv log cut.gz
	ended 3
	[[ $err == *"cut.gz: its compressed data is damaged or cut off"* ]] || fail "no reason"
	says "Created 16 rails using provider=efa" unknown
	printf '\x1f\x8b\x08junk' >junk.gz
	kv log junk.gz
	ended 3
	[[ $err == *junk.gz* ]] || fail "no reason"
}

@test "files that are not there, not readable, no files: the others are not lost" {
	kv log /nonexistent-kvpath/x
	ended 2
	one_line /nonexistent-kvpath/x
	kv log "$BATS_TEST_TMPDIR"
	ended 2
	one_line "$BATS_TEST_TMPDIR"
	kv log /nonexistent-kvpath/x "$logs/vllm-ucx.log"
	ended 1
	says "Backend UCX was instantiated"
	[[ $err == *"/nonexistent-kvpath/x: No such file"* ]] || fail "the missing file is not named"
	kv log --json /nonexistent-kvpath/x "$logs/sglang-efa.log"
	ended 2
	json '.verdict == "unknown" and .files[0].error != null and .processes[0].verdict == "on-fabric"'
	open_dir
	install -m 600 "$logs/vllm-ucx.log" "$open/shut"
	kv_nobody log "$open/shut"
	ended 3
	one_line "$open/shut"
	rm -rf "$open"
}

@test "no file named, an empty one, one without a line of NIXL" {
	kv log
	ended 2
	one_line FILE
	: >empty
	kv log empty
	ended 3
	says unknown NIXL_LOG_LEVEL
	echo "hello" >hello
	kv log hello
	ended 3
	says "1 lines, none of them of NIXL"
	kv log --quiet hello
	[ "$out" = unknown ] || fail "more than the verdict"
}

@test "no byte of a log reaches the terminal as it is" {
	printf 'E1122 17:10:31.0 1 nixl_agent.cpp:3] createBackend: unsupported backend '"'LIBFABRIC'"' \033]0;owned\007\033[31m\x9b1m\xff\n' >evil
	printf 'libfabric:1:1795367431::efa:mr:f():893<warn> \033[2J\r\010 \xc2\x9b done\n' >>evil
	printf '[pod/\033[31m/x] Backend UCX\0 was instantiated\n' >>evil
	cp evil $'evil\033[31m\n.log'
	for f in evil $'evil\033[31m\n.log'; do
		kv log --color never "$f"
		ended 1
		LC_ALL=C grep -q '[^[:print:][:space:]]' <<<"$out" && fail "a raw byte"
		kv log --json "$f"
		json "$schema"
		LC_ALL=C grep -q '[^[:print:][:space:]]' <<<"$out" && fail "a raw byte"
	done
	kv log $'/nonexistent\033[31m'
	one_line '\x1b[31m'
}

@test "lines of megabytes, NUL bytes, CRLF, no last newline" {
	{
		head -c 5000000 /dev/zero
		printf ' 2026-11-22 17:10:32 NIXL INFO    _api.py:3 Backend UCX was instantiated '
		head -c 3000000 /dev/zero | tr '\0' x
		printf '\r\n2026-11-22 17:10:33 NIXL INFO    _api.py:3 Backend UCX was instantiated'
	} >long
	kv log --json long
	ended 1
	json '.files[0].lines == 2 and .files[0].bytes == ('"$(stat -c %s long)"')'
	json '.processes[0].events[] | select(.pattern == "backend-instantiated") | .count == 2
		and .first.line == 1 and .last.line == 2'
}

@test "--strict: a finding on the fabric counts" {
	sed 's/1\.3\.2/1.3.0/' "$logs/sglang-efa.log" >hang
	kv log hang
	ended 0
	says KV606 on-fabric
	kv log --strict hang
	ended 1
}

@test "--backend: another one may be wanted" {
	kv log --quiet --backend UCX "$logs/vllm-ucx.log"
	ended 3
}

@test "memory does not grow with the log" {
	[ -r /proc/self/status ] || skip "no /proc"
	"$top/bench/log" -k big.log -m 200
	ulimit -v 200000
	kv log --quiet big.log
	ended 0
}
