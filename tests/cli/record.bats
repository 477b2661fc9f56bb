#!/usr/bin/env bats
# Recordings of targets: the real broken container and its repaired copy, replayed elsewhere.

load helper

setup_file() {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export efa container=$BATS_FILE_TMPDIR/container
	efa=$("$top/tests/roots/fabric" F1 2>/dev/null)
	"$top/tests/roots/container" 1.5.0 "$container" >/dev/null 2>&1
}

setup() {
	tar=$BATS_TEST_TMPDIR/case.tar
}

# What a check says, but for the name of the target.
without_name() {
	jq 'del(.target.path)'
}

# recorded ARG...: checks and records, then replays from the tar and from the unpacked tree.
recorded() {
	local first
	rm -f "$tar"
	kv check --json --record "$tar" "$@"
	ended 0 1 3
	first=$(without_name <<<"$out")
	was=$status
	[ "$(stat -c %a "$tar")" = 600 ] || fail "others may read it"
	rm -rf "$BATS_TEST_TMPDIR/unpacked"
	mkdir "$BATS_TEST_TMPDIR/unpacked"
	tar -xf "$tar" -C "$BATS_TEST_TMPDIR/unpacked"
	diff <(jq 'del(.target.path)' "$BATS_TEST_TMPDIR/unpacked/kvpath-report.json") <(echo "$first")
	for again in "$tar" "$BATS_TEST_TMPDIR/unpacked"; do
		kv check --json "$again"
		ended "$was"
		[ -z "$err" ] || fail "it complains"
		[ "$(without_name <<<"$out")" = "$first" ] || fail "another answer: $(diff <(echo "$first") <(without_name <<<"$out"))"
	done
}

@test "the broken container, with a libfabric to borrow, and on a recorded host" {
	recorded --fabric "$efa/opt/amazon/efa" "$container"
	json '[.findings[].id] | index("KV101") and index("KV201")'
	json '.target.kind == "directory" and .target.os == "debian 12" and any(.libfabric[]; .source == "fabric")'
	[ "$(stat -c %s "$tar")" -lt 20000000 ] || fail "not to be attached: $(stat -c %s "$tar")"
	"$top/tests/hosts/hosts.py" p5 "$BATS_TEST_TMPDIR/host" uverbs1:EPERM
	recorded --sysroot "$BATS_TEST_TMPDIR/host" "$container"
	json '.host.instance_type == "p5.48xlarge"'
	kv check --json --sysroot "$tar" "$container"
	json '.host.instance_type == "p5.48xlarge"'
}

@test "every variable that a rule looks at is kept" {
	local options=() name
	for name in $(grep -oP '^\t\{ "KV\d+", "\K\w+' "$top/src/rules/environ.c" | sort -u); do
		options+=(--env "$name=1")
	done
	[ "${#options[@]}" -gt 30 ]
	recorded "${options[@]}" "$container"
	for name in "${options[@]}"; do
		[ "$name" = --env ] || tar -xOf "$tar" kvpath-host | grep -qx "env.$name" || fail "$name is not there"
	done
}

@test "the repaired container, its image, and one with mounts and variables" {
	kv fix --quiet --fabric "$efa/opt/amazon/efa" "$container"
	ended 0
	recorded "$container"
	json '.verdict == "ready"'
	mksquashfs "$container" "$BATS_TEST_TMPDIR/c.sqsh" -comp lz4 -quiet -no-progress >/dev/null
	recorded "$BATS_TEST_TMPDIR/c.sqsh"
	json '.verdict == "ready" and .target.kind == "image"'
	kv undo --quiet "$container"
	recorded --mount "$efa/opt/amazon/efa/lib:/opt/there" --env LD_LIBRARY_PATH=/opt/there --mem dram "$container"
	json 'any(.libfabric[]; .source == "mount")'
}

@test "a recording is read by whoever gets it, and recorded again" {
	kv check --quiet --record "$tar" --fabric "$efa/opt/amazon/efa" "$container"
	kv check --json --record "$BATS_TEST_TMPDIR/again.tar" "$tar"
	ended 1
	first=$(without_name <<<"$out")
	for t in "$tar" "$BATS_TEST_TMPDIR/again.tar"; do
		mkdir "$t.d"
		tar --exclude kvpath-report.json -xf "$t" -C "$t.d"
	done
	diff -r "$tar.d" "$BATS_TEST_TMPDIR/again.tar.d"
	open_dir
	install -m 644 "$tar" "$open/case.tar"
	kv_nobody check --json "$open/case.tar"
	ended 1
	[ "$(without_name <<<"$out")" = "$first" ] || fail "another answer"
	rm -rf "$open"
}

@test "no device is replaced by a recording" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	kv check --quiet --force --record "$BATS_TEST_TMPDIR/pipe" "$container"
	ended 2
	one_line "$BATS_TEST_TMPDIR/pipe" "not a regular file"
	[ -p "$BATS_TEST_TMPDIR/pipe" ]
}

@test "the target / of this machine" {
	rm -f "$tar"
	kv check --json --record "$tar" /
	ended 0 1 3
	first=$(without_name <<<"$out")
	kv check --json "$tar"
	[ "$(without_name <<<"$out")" = "$first" ] || fail "another answer: $(diff <(echo "$first") <(without_name <<<"$out"))"
	json '.target.kind == "live"'
}

@test "a search that stopped names where, in the recording too" {
	local deep=$BATS_TEST_TMPDIR/deep
	mkdir -p "$deep$(printf '/n%.0s' {1..300})"
	recorded "$deep"
	json '.verdict == "unknown"'
	json '.findings[0].evidence[0] | (.text | test("nested too deeply")) and (.path | test("^(/n){257}$"))'
}

@test "variables that decide which python and which default there is" {
	chroot "$container" python3 -m venv --without-pip /opt/venv
	cp -a "$container"/usr/local/lib/python3.11/dist-packages/. "$container/opt/venv/lib/python3.11/site-packages/"
	recorded --env PATH=/opt/venv/bin:/usr/bin "$container"
	json '[.nixl[] | select(.active)] | length == 1 and .[0].path == "/opt/venv/lib/python3.11/site-packages/nixl_cu13"'
	rm -r "$container/opt/venv"
	sed -i 's/\["UCX"\]/[__import__("os").getenv("MY_BACKEND", "UCX")]/' "$container"/usr/local/lib/python3.11/dist-packages/nixl_cu13/_api.py
	recorded --env MY_BACKEND=POSIX --env HOME=/root "$container"
	json '.nixl[0].default_backends == ["POSIX"]'
	tar -xOf "$tar" kvpath-host | grep -qx env.MY_BACKEND=POSIX
	if tar -xOf "$tar" kvpath-host | grep -q HOME; then fail "HOME is in it"; fi
	sed -i 's/\[__import__.*"UCX")\]/["UCX"]/' "$container"/usr/local/lib/python3.11/dist-packages/nixl_cu13/_api.py
}

@test "why says the same of a recording" {
	local plugin
	kv check --quiet --record "$tar" "$container"
	plugin=$(cd "$container" && echo usr/local/lib/python3.11/dist-packages/.nixl_cu13.mesonpy.libs/plugins/libplugin_LIBFABRIC.so)
	kv why --json "$container" "/$plugin"
	ended 1
	first=$out
	kv why --json "$tar" "/$plugin"
	ended 1
	[ "$out" = "$first" ] || fail "another answer"
}

@test "what nothing asked for can not be told, and is not made up" {
	kv check --quiet --record "$tar" "$container"
	kv check --env LD_LIBRARY_PATH=/opt/elsewhere "$tar"
	ended 3
	one_line case.tar /opt/elsewhere
	# Options that ask for nothing else are fine.
	kv check --json --strict "$tar"
	ended 1
}

@test "secrets of the target stay there" {
	printf '%s\n' 'API_TOKEN=pw1' 'NIXL_ETCD_ENDPOINTS=http://me:pw2@h:1' 'NIXL_SECRET_KEY=pw3' 'FI_PROVIDER=tcp' \
		'AWS_ACCESS=pw4' >"$container/etc/environment"
	printf '%s\n' '# made by hand' 'nixl_token = "pw5"' 'NIXL_PLUGIN_DIR = "/nowhere"' >"$container/etc/nixl.cfg"
	mkdir -p "$container/home/jane"
	echo pw6 >"$container/home/jane/diary"
	recorded "$container"
	rm "$container/etc/environment" "$container/etc/nixl.cfg"
	rm -r "$container/home/jane"
	json '[.findings[].id] | index("KV313") and index("KV207")'
	! grep -rE 'pw[1-6]|jane|diary' "$BATS_TEST_TMPDIR/unpacked"
	grep -q '^env NIXL_SECRET_KEY=masked$' "$BATS_TEST_TMPDIR/unpacked/kvpath-host"
	grep -q '^nixl_token = "xxx"$' "$BATS_TEST_TMPDIR/unpacked/target/etc/nixl.cfg"
	[ ! -e "$BATS_TEST_TMPDIR/unpacked/target/etc/environment" ]
}

@test "a recording is looked at, and nothing else" {
	kv check --quiet --record "$tar" "$container"
	for command in fix undo prove render bake; do
		case $command in
		render) kv render --for env "$tar" ;;
		bake) kv bake "$tar" -o "$BATS_TEST_TMPDIR/out.sqsh" ;;
		*) kv "$command" "$tar" ;;
		esac
		ended 2 3
		one_line case.tar
	done
	kv check --sysroot "$tar" "$container"
	ended 2
	one_line "no host"
}

@test "damaged recordings" {
	local n
	kv check --quiet --record "$tar" "$container"
	for n in 1000 100000 3000000; do
		head -c $n "$tar" >"$BATS_TEST_TMPDIR/cut.tar"
		kv check "$BATS_TEST_TMPDIR/cut.tar"
		ended 2 3
		one_line cut.tar
	done
	mkdir "$BATS_TEST_TMPDIR/d"
	tar -xf "$tar" -C "$BATS_TEST_TMPDIR/d"
	: >"$BATS_TEST_TMPDIR/d/target/usr/bin/python3.11"
	kv check "$BATS_TEST_TMPDIR/d"
	ended 3
	one_line python3.11
	echo "part 1 x /a" >>"$BATS_TEST_TMPDIR/d/kvpath-target"
	kv check "$BATS_TEST_TMPDIR/d"
	ended 3
	one_line "makes no sense"
	sed -i '1s/1$/2/' "$BATS_TEST_TMPDIR/d/kvpath-target"
	kv check "$BATS_TEST_TMPDIR/d"
	ended 3
	one_line kvpath-target
}

@test "an unpacked recording is no part of the machine that it lies on" {
	kv check --quiet --record "$tar" "$container"
	mkdir -p "$BATS_TEST_TMPDIR/root/opt/case"
	tar -xf "$tar" -C "$BATS_TEST_TMPDIR/root/opt/case"
	kv check --json "$BATS_TEST_TMPDIR/root"
	json '.nixl == [] and .libfabric == []'
}
