#!/usr/bin/env bats
# Wrong usage and bad input: one clear line, status 2 (or 3 where kvpath cannot tell).

load helper

teardown() {
	[ -z "${open:-}" ] || rm -rf "$open"
}

commands="check why fix undo bake run prove bench log watch explain render hook size report lint"

@test "no arguments: usage, status 2" {
	kv
	ended 2
	[[ $out$err == *sage* ]] || fail "no usage"
	for c in $commands; do
		[[ $out$err == *"$c"* ]] || fail "the usage does not name $c"
	done
}

@test "--help and --version: status 0, on stdout" {
	kv --help
	ended 0
	says check fix
	[ -z "$err" ] || fail "stderr is not empty"
	kv --version
	ended 0
	[[ $out =~ [0-9]+\.[0-9]+\.[0-9]+ ]] || fail "no version"
}

@test "--help of every command: status 0, on stdout" {
	for c in $commands; do
		kv "$c" --help
		ended 0
		says "$c"
		[ -z "$err" ] || fail "stderr is not empty"
		help=$out
		kv help "$c"
		ended 0
		[ "$out" = "$help" ] || fail "kvpath help $c says something else"
	done
	kv help frobnicate
	ended 2
	one_line frobnicate
}

@test "an unknown command" {
	kv frobnicate
	ended 2
	one_line frobnicate
}

@test "an unknown option, for every command" {
	for c in $commands; do
		kv "$c" --frobnicate
		ended 2
		one_line --frobnicate
	done
}

@test "options without their value" {
	for o in --mount --fabric --env --backend --mem --color; do
		kv check "$o"
		ended 2
		one_line "$o"
	done
}

@test "options with a value that makes no sense" {
	for o in "--mem disk" "--color purple" "--mount nocolon" "--mount :/x" "--env noequals" \
		"--mount /nonexistent-kvpath:/x"; do
		# shellcheck disable=SC2086 # two words each
		kv check $o /
		ended 2
		one_line
	done
	kv fix --how magic /
	ended 2
	one_line magic
	kv why --process zombie / /bin/true
	ended 2
	one_line zombie
}

@test "too many arguments" {
	kv check / /
	ended 2
	one_line
	kv explain KV101 KV102 KV103 --nonsense
	ended 2
	one_line
}

@test "arguments that are not text" {
	kv check $'/\xff\xfe\x01nope'
	ended 2
	one_line
	kv $'\xff\n\x1b[31m'
	ended 2
	one_line
	kv check "$(head -c 100000 /dev/zero | tr '\0' a)"
	ended 2
	[ "$(wc -l <<<"$err")" = 1 ] || fail "stderr is not one line"
}

@test "a target that does not exist" {
	for c in check fix undo prove; do
		kv "$c" /nonexistent-kvpath/x
		ended 2
		one_line /nonexistent-kvpath/x
	done
	kv why /nonexistent-kvpath/x /bin/true
	ended 2
	one_line /nonexistent-kvpath/x
}

@test "a file that is no image" {
	echo "no image" >"$BATS_TEST_TMPDIR/file.sqsh"
	: >"$BATS_TEST_TMPDIR/empty.sqsh"
	printf 'hsqs' >"$BATS_TEST_TMPDIR/short.sqsh"
	for f in file empty short; do
		kv check "$BATS_TEST_TMPDIR/$f.sqsh"
		ended 2 3
		one_line "$f.sqsh"
	done
}

@test "a fifo, a device and a dangling link as target: no hang" {
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	ln -s /nonexistent-kvpath "$BATS_TEST_TMPDIR/dangling"
	for f in "$BATS_TEST_TMPDIR/fifo" /dev/null "$BATS_TEST_TMPDIR/dangling"; do
		kv check "$f"
		ended 2 3
		one_line "$f"
	done
}

@test "a directory that one may not read" {
	open_dir
	mkdir -m 700 "$open/shut"
	kv_nobody check "$open/shut"
	ended 3
	one_line "$open/shut"
}

@test "explain: a known id, an unknown one, none" {
	kv explain KV101
	ended 0
	says KV101 FABRIC
	kv explain KV999
	ended 2
	one_line KV999
	kv explain
	ended 0
	says KV101 KV404
	kv explain ''
	ended 2
	one_line
}

@test "explain: every finding has its page" {
	for id in KV101 KV103 KV104 KV105 KV107 KV108 KV110 KV112 KV114 KV201 KV203 KV205 KV206 KV307 \
		KV308 KV309 KV310 KV312 KV402 KV404; do
		kv explain "$id"
		ended 0
		says "$id"
		[ "${#out}" -gt 200 ] || fail "the page is too short to help"
	done
}

@test "results that cannot be written are an error" {
	[ -e /dev/full ] || skip "no /dev/full"
	local args
	for args in "explain KV101" "why --json / libc.so.6" help "help fix" --version \
		"watch --once --interval 0.01" "watch --once --interval 0.01 --json"; do
		status=0
		# shellcheck disable=SC2086 # words of a command line
		"$KVPATH" $args >/dev/full 2>"$BATS_TEST_TMPDIR/err" || status=$?
		out='' err=$(cat "$BATS_TEST_TMPDIR/err") ran="kvpath $args >/dev/full"
		[ "$status" != 0 ] || fail "status 0"
		one_line
	done
}
