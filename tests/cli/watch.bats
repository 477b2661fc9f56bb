#!/usr/bin/env bats
# watch: bytes of real sockets and of real NIXL agents; EFA counters of stand-in trees, which move, vanish and begin
# anew (there is no EFA hardware); the terminal; the textfile, read by the real node_exporter.

load helper

setup() {
	pids=()
	host=$BATS_TEST_TMPDIR/host
	lines=$BATS_TEST_TMPDIR/lines
	# A file of the plugin's name that a process maps as code: what watch goes by.
	plugin=$BATS_TEST_TMPDIR/libplugin_LIBFABRIC.so
	head -c 4096 /dev/zero >"$plugin"
}

teardown() {
	local pid
	for pid in "${pids[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
	done
}

# python with these helpers at hand; in the background, $! is its pid.
python() {
	exec python3 -c '
import mmap, os, socket, sys, time
def plugin(path):
    with open(path, "rb") as f:
        return mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
'"$@"
}

# Two real processes; the second sends the first 4 MiB again and again. Leaves $receiver and $sender.
pair() {
	local at=$BATS_TEST_TMPDIR/pair
	"$@" python3 -c '
import os, socket, sys, time
l = socket.create_server(("127.0.0.1", 0))
child = os.fork()
if child == 0:
    s = socket.create_connection(l.getsockname())
    while True:
        s.sendall(b"x" * (4 << 20))
        time.sleep(0.02)
c, _ = l.accept()
with open(sys.argv[1] + ".new", "w") as f:
    f.write("%d %d\n" % (os.getpid(), child))
os.rename(sys.argv[1] + ".new", sys.argv[1])
while c.recv(1 << 20):
    pass' "$at" 3>&- &
	pids+=($!)
	until_true test -e "$at"
	read -r receiver sender <"$at"
	pids+=("$receiver" "$sender")
}

until_true() {
	local i
	for ((i = 0; i < 400; i++)); do
		if "$@"; then return 0; fi
		sleep 0.05
	done
	echo "in vain: $*"
	return 1
}

# A process that serves, as far as its mappings tell; $serving.
serve() {
	python '
kept = plugin(sys.argv[1])
open(sys.argv[2], "w").close()
time.sleep(600)' "$plugin" "$BATS_TEST_TMPDIR/ready" 3>&- &
	serving=$!
	pids+=("$serving")
	until_true test -e "$BATS_TEST_TMPDIR/ready"
}

ib() {
	echo "$host/sys/class/infiniband/$1"
}

# counter DEVICE NAME VALUE: put as a whole, as sysfs has it.
counter() {
	local at
	at=$(ib "$1")/ports/1/hw_counters
	mkdir -p "$at"
	echo "$3" >"$at/.new"
	mv "$at/.new" "$at/$2"
}

value() {
	cat "$(ib "$1")/ports/1/hw_counters/$2"
}

# The stand-in of a p4d with its four devices, all at the same values.
four() {
	local device
	"$top/tests/hosts/hosts.py" p4d "$host"
	devices=(rdmap16s27 rdmap32s27 rdmap144s27 rdmap160s27)
	for device in "${devices[@]}"; do
		counter "$device" tx_bytes 1000000000000
		counter "$device" rx_bytes 2000000000000
		counter "$device" rdma_write_bytes 0
	done
}

# Starts kvpath watch --json, and waits for its first line: two samples were taken.
watching() {
	"$KVPATH" watch --json --interval 0.3 "$@" >"$lines" 2>"$BATS_TEST_TMPDIR/watch-err" 3>&- &
	watcher=$!
	pids+=("$watcher")
	more_lines 1
}

# Waits for N more whole lines than there are.
more_lines() {
	local want=$(($(wc -l <"$lines") + $1))
	until_true eval '[ "$(wc -l <"$lines")" -ge '"$want"' ]'
}

# Ends the watch and leaves all of its lines as one array in $out.
ended_watch() {
	kill -TERM "$watcher"
	status=0
	wait "$watcher" || status=$?
	out=$(jq -s . "$lines")
	err=$(cat "$BATS_TEST_TMPDIR/watch-err")
	ran="kvpath watch"
	ended 0
	[ -z "$err" ] || fail "stderr is not empty"
}

@test "two processes that exchange bytes by TCP: over TCP, and each has its own bytes" {
	pair
	kv watch --json --once --pid "$sender" --pid "$receiver"
	ended 1
	json '.schema == "kvpath.watch/1" and .path == "tcp" and .tcp.complete'
	json --argjson p "$sender" '.tcp.processes[] | select(.pid == $p) | .tcp.tx_bytes >= 8388608 and .tcp.rx_bytes == 0'
	json --argjson p "$receiver" '.tcp.processes[] | select(.pid == $p) | .tcp.rx_bytes >= 8388608 and .tcp.tx_bytes == 0'
	json '[.tcp.processes[].tcp | .sockets == 1 and .loopback_bytes == .tx_bytes + .rx_bytes] | all'
	kv watch --once --quiet --pid "$sender" --pid "$receiver"
	ended 1
	says "over TCP: " " of 2 serving processes"
	[ "$(wc -l <<<"$out")" -eq 1 ] || fail "more than one line"
}

@test "no byte is lost or counted twice over many samples and short connections" {
	python '
l = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1] + "/ready", "w").close()
while not os.path.exists(sys.argv[1] + "/go"):
    time.sleep(0.02)
kept = []
for i in range(40):
    a = socket.create_connection(l.getsockname())
    b, _ = l.accept()
    a.sendall(b"x" * 10000)
    b.recv(10000, socket.MSG_WAITALL)
    kept += [a, b]
    time.sleep(0.03)
open(sys.argv[1] + "/done", "w").close()
time.sleep(600)' "$BATS_TEST_TMPDIR" 3>&- &
	pids+=($!)
	until_true test -e "$BATS_TEST_TMPDIR/ready"
	watching --pid "${pids[0]}" --prometheus "$BATS_TEST_TMPDIR/x.prom"
	touch "$BATS_TEST_TMPDIR/go"
	until_true test -e "$BATS_TEST_TMPDIR/done"
	more_lines 2
	ended_watch
	# The kernel counts a connection's SYN as one byte acknowledged.
	json '[.[].tcp.tx_bytes] | add | . >= 400000 and . <= 400040'
	json '[.[].tcp.rx_bytes] | add == 400000'
	grep -q '^kvpath_process_tcp_sent_bytes_total{pid="[0-9]*",comm="python3"} 4000[0-4][0-9]$' "$BATS_TEST_TMPDIR/x.prom"
}

@test "a process in another network namespace: its sockets are found there" {
	[ "$(id -u)" = 0 ] || skip "needs root to make a network namespace"
	pair unshare --net -- sh -c 'ip link set lo up && exec "$@"' sh
	kv watch --json --once --pid "$sender"
	ended 1
	json '.path == "tcp" and .tcp.tx_bytes >= 8388608'
}

@test "a user who may not see into a process is told so, and nothing is taken for no bytes" {
	pair
	open_dir
	kv_nobody watch --json --once --pid "$sender"
	rm -rf "$open"
	ended 3
	json '.path == "unknown" and (.tcp.complete | not) and .tcp.processes[0].tcp.tx_bytes == null'
	json '.cannot_tell | any(contains("descriptors cannot be read: Permission denied"))'
}

@test "EFA counters that move are told to the byte, and the process that has the plugin is found" {
	four
	serve
	watching --sysroot "$host"
	counter rdmap16s27 tx_bytes 1000040000000
	counter rdmap16s27 rdma_write_bytes 39999000
	counter rdmap144s27 rx_bytes 2000000123456
	more_lines 2
	ended_watch
	json '[.[].efa.tx_bytes] | add == 40000000'
	json '[.[].efa.rx_bytes] | add == 123456'
	json '[.[].efa.devices[] | select(.name == "rdmap16s27").counters.rdma_write_bytes.delta] | add == 39999000'
	json '[.[].efa.devices[] | select(.name == "rdmap32s27").counters[].delta] | add == 0'
	# 40 MB within an interval; agents of other tests may use TCP at the same time.
	json 'any(.[]; .path == "efa" or .path == "both")'
	json --argjson p "$serving" '.[-1].tcp.processes[] | select(.pid == $p) | .nixl and .plugins[0].name == "LIBFABRIC"'
	json 'all(.[]; .cannot_tell | any(contains("--sysroot")))'
}

@test "a process that comes later, and maps the plugin later still, is found" {
	watching
	python '
time.sleep(2)
kept = plugin(sys.argv[1])
time.sleep(600)' "$plugin" 3>&- &
	serving=$!
	pids+=("$serving")
	until_true eval 'jq -s -e "any(.[]; any(.tcp.processes[]; .pid == $serving))" "$lines" >/dev/null'
	ended_watch
}

@test "a prefix of a device's name is another device" {
	"$top/tests/hosts/hosts.py" p4d "$host"
	mkdir -p "$host/sys/class/infiniband/rdmap16s2/device"
	ln -s ../../../../bus/pci/drivers/efa "$host/sys/class/infiniband/rdmap16s2/device/driver"
	counter rdmap16s27 tx_bytes 10
	counter rdmap16s2 tx_bytes 5
	kv watch --json --once --sysroot "$host"
	json '[.efa.devices[] | select(.name == "rdmap16s2").counters.tx_bytes.value] == [5]'
	json '[.efa.devices[] | select(.name == "rdmap16s27").counters.tx_bytes.value] == [10]'
}

@test "devices that vanish, appear, wrap and begin anew show no nonsense" {
	four
	counter rdmap160s27 tx_bytes 18446744073709551000
	serve
	watching --sysroot "$host" --pid "$serving"
	mv "$(ib rdmap16s27)" "$BATS_TEST_TMPDIR/gone"      # vanishes
	counter rdmap32s27 tx_bytes 17                      # reset in place
	counter rdmap32s27 rx_bytes 2000000000900
	counter rdmap160s27 tx_bytes 384                    # wraps: 1000 bytes
	again=$(realpath "$(ib rdmap144s27)") # its driver is loaded again
	cp -a "$again" "$again.new"
	mv "$again" "$BATS_TEST_TMPDIR/old"
	mv "$again.new" "$again"
	more_lines 3
	mv "$BATS_TEST_TMPDIR/gone" "$(ib rdmap16s27)" # appears
	more_lines 3
	ended_watch
	json '[.[].efa.devices[] | select(.name == "rdmap16s27").state] | index("gone") < index("new")'
	json '[.[].efa.devices[] | select(.name == "rdmap32s27").state] | any(. == "reset")'
	json '[.[].efa.devices[] | select(.name == "rdmap144s27").state] | any(. == "reset" or . == "new")'
	json '[.[].efa.devices[] | select(.name == "rdmap160s27").counters.tx_bytes.delta] | add == 1000'
	json '[.[].efa.devices[].counters[].delta // 0] | max == 1000 and min == 0'
	json '[.[].efa.devices[] | select(.name == "rdmap32s27" and .state == "reset").counters[].delta] | all(. == null)'
	json 'all(.[]; .efa.tx_bytes >= 0 and .efa.tx_bytes <= 1000)'
	json 'any(.[]; .efa.complete | not) and (.[-1].efa.complete)'
	json 'all(.[]; .path == "nothing" or (.path == "unknown" and (.efa.complete | not)))'
}

@test "a counter that is no number is left out" {
	four
	counter rdmap16s27 tx_bytes "-1"
	counter rdmap32s27 tx_bytes "0x10"
	counter rdmap144s27 tx_bytes "99999999999999999999999"
	kv watch --json --once --sysroot "$host"
	json '[.efa.devices[].counters | has("tx_bytes")] == [false, false, false, true]'
	json '.efa.complete | not'
}

@test "real NIXL agents over UCX and TCP: over TCP, and the plugin is named" {
	container
	"$top/tests/roots/run" --env UCX_TLS=tcp --env KVPATH_DEADLINE_S=100 "$container" python3 - nixl_cu13 UCX 60 \
		<"$top/tests/roots/transfer.py" >/dev/null 2>&1 3>&- &
	pids+=($!)
	# Found by what is mapped; other tests may have agents at work too.
	over_tcp() {
		kv watch --json --interval 0.5 --count 2
		[ "$status" -eq 1 ] && jq -se '.[1].tcp.processes | any(.tcp.tx_bytes > 8000000 and
			(.plugins | any(.name == "UCX" and (.path | endswith("/libplugin_UCX.so")))))' <<<"$out"
	}
	until_true over_tcp || fail "no agent was seen to move bytes by TCP"
	jq -se '.[1].path == "tcp" or .[1].path == "both"' <<<"$out" || fail "another verdict"
	pkill -9 -P "${pids[0]}" || true
}

@test "the textfile: node_exporter reads it, whatever a process is named" {
	command -v prometheus-node-exporter >/dev/null || skip "needs prometheus-node-exporter"
	local port at=$BATS_TEST_TMPDIR/text
	mkdir "$at"
	four
	python '
kept = plugin(sys.argv[1])
with open("/proc/self/comm", "w") as f:
    f.write("a\"b\\c\nd")
open(sys.argv[2], "w").close()
time.sleep(600)' "$plugin" "$BATS_TEST_TMPDIR/ready" 3>&- &
	pids+=($!)
	until_true test -e "$BATS_TEST_TMPDIR/ready"
	kv watch --quiet --once --sysroot "$host" --prometheus "$at/kvpath.prom"
	[ "$(ls -A "$at")" = kvpath.prom ] || fail "something else is left in the directory"
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory "$at" \
		--web.listen-address "127.0.0.1:$port" >"$BATS_TEST_TMPDIR/exporter" 2>&1 3>&- &
	pids+=($!)
	scrape() {
		out=$(python3 -c 'import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:%s/metrics" % sys.argv[1], timeout=5).read().decode())' "$port" 2>/dev/null)
	}
	until_true scrape
	grep -qx 'node_textfile_scrape_error 0' <<<"$out" || fail "node_exporter refuses the file"
	grep -qxF 'kvpath_efa_tx_bytes_total{device="rdmap16s27",port="1"} 1e+12' <<<"$out" || fail "no counter"
	grep -qxF '# TYPE kvpath_efa_tx_bytes_total counter' <<<"$out" || fail "no type"
	[ "$(grep -c '^kvpath_path{path="[a-z]*"} 1$' <<<"$out")" -eq 1 ] || fail "not one path"
	grep -F 'kvpath_process_plugin_info{comm="a\"b\\c\\x0ad",' <<<"$out" | grep -qF 'plugin="LIBFABRIC"' ||
		fail "no label of the odd name"
}

# terminal DRIVER OPTION...: watch on a pseudo terminal of 24 rows of 60 columns; DRIVER, in python, may resize it,
# send signals and read what comes.
terminal() {
	local driver=$1
	shift
	python3 -c '
import fcntl, os, pty, select, signal, struct, sys, termios, time
def resize(rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
def read(until, seconds=20):
    global seen
    end = time.monotonic() + seconds
    while until not in seen and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                more = os.read(fd, 65536)
            except OSError:
                break
            if not more:
                break
            seen += more
    at = seen.find(until)
    assert at >= 0, (until, seen[-400:])
    out, seen = seen[:at + len(until)], seen[at + len(until):]
    return out
seen = b""
pid, fd = pty.fork()
if pid == 0:
    time.sleep(0.2)
    # A job in the background of a shell has them ignored, and so would watch.
    for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(s, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])
resize(24, 60)
exec(sys.argv[1])' "$driver" "$KVPATH" watch --interval 0.2 --pid $$ "$@"
}

@test "on a terminal: drawn within its size, redrawn when that changes, given back at the end" {
	four
	ran="kvpath watch"
	run terminal '
import re
def check(frame, rows, columns):
    lines = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\r", b"", frame).split(b"\n")
    assert len(lines) <= rows and max(map(len, lines)) <= columns, (rows, columns, lines)
assert read(b"\x1b[?1049h\x1b[?25l")
first = read(b"\x1b[J")
assert b"EFA DEVICE" in first and b"rdmap16s27" in first, first
check(first, 24, 60)
resize(5, 20)
for i in range(20):
    frame = read(b"\x1b[J")
    if b"rdmap" not in frame:
        break
check(frame, 5, 20)
resize(40, 150)
for i in range(20):
    frame = read(b"\x1b[J")
    if b"rdmap160s27" in frame:
        break
check(frame, 40, 150)
assert b"\x1b[1m" not in frame if "NO_COLOR" in os.environ else True
os.kill(pid, signal.SIGTERM)
rest = read(b"\x1b[?25h\x1b[?1049l")
_, status = os.waitpid(pid, 0)
assert status == 0, status' --sysroot "$host"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
}

@test "on a terminal: every signal that ends it, and a stop, give the screen back" {
	four
	run terminal '
read(b"\x1b[?1049h\x1b[?25l")
read(b"\x1b[J")
os.kill(pid, signal.SIGTSTP)
read(b"\x1b[?25h\x1b[?1049l")
while open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] != "T":
    time.sleep(0.02)
os.kill(pid, signal.SIGCONT)
read(b"\x1b[?1049h\x1b[?25l")
read(b"\x1b[J")
os.kill(pid, signal.SIGABRT)
read(b"\x1b[?25h\x1b[?1049l")
_, status = os.waitpid(pid, 0)
assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT, status' --sysroot "$host"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
	for signal in INT HUP QUIT; do
		run terminal '
read(b"\x1b[?1049h\x1b[?25l")
read(b"\x1b[J")
os.kill(pid, signal.SIG'$signal')
read(b"\x1b[?25h\x1b[?1049l")
_, status = os.waitpid(pid, 0)
assert status == 0, status' --sysroot "$host"
		[ "$status" -eq 0 ] || { echo "$signal: $output"; return 1; }
	done
}

@test "NO_COLOR and --color" {
	four
	export NO_COLOR=1
	run terminal 'assert b"\x1b[1m" not in read(b"\x1b[?1049h") + read(b"\x1b[J")
os.kill(pid, signal.SIGTERM)' --sysroot "$host"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
	export NO_COLOR=
	run terminal 'assert b"\x1b[1m" in read(b"\x1b[?1049h") + read(b"\x1b[J")
os.kill(pid, signal.SIGTERM)' --sysroot "$host"
	[ "$status" -eq 0 ] || { echo "set to nothing: $output"; return 1; }
	unset NO_COLOR
	run terminal 'assert b"\x1b[1m" in read(b"\x1b[?1049h") + read(b"\x1b[J")
os.kill(pid, signal.SIGTERM)' --sysroot "$host"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
}

@test "wrong usage" {
	kv watch x
	ended 2
	one_line "watch: x"
	kv watch --interval 0
	ended 2
	one_line "--interval 0"
	kv watch --interval nan
	ended 2
	one_line "--interval nan"
	kv watch --count -1
	ended 2
	one_line "--count -1"
	kv watch --pid 0
	ended 2
	one_line "--pid 0"
	kv watch --once --pid 2147483000
	ended 2
	one_line "--pid 2147483000: there is no such process"
	kv watch --once --sysroot /nonexistent
	ended 2
	one_line "/nonexistent"
	kv watch --once --interval 0.01 --quiet --prometheus /nonexistent/x.prom
	ended 2
	one_line "--prometheus /nonexistent/x.prom"
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	kv watch --once --interval 0.01 --quiet --prometheus "$BATS_TEST_TMPDIR/pipe"
	ended 2
	one_line "--prometheus $BATS_TEST_TMPDIR/pipe" "not a regular file"
	[ -p "$BATS_TEST_TMPDIR/pipe" ]
}
