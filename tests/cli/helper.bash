# shellcheck shell=bash disable=SC2034,SC2154
# Loaded by every file of tests here. KVPATH names the program; the default is the build's.

top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
KVPATH=${KVPATH:-$top/build/bin/kvpath}
probe=$(dirname "$(dirname "$KVPATH")")/libexec/kvpath/kvpath-probe

# kv ARG...: runs kvpath; then $status, $out and $err hold how it ended and what it wrote.
kv() {
	into "$KVPATH" "$@"
}

# What is not back after 200 s hangs: another run may have the processors.
into() {
	local dir=$BATS_TEST_TMPDIR
	status=0
	timeout 200 "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	out=$(cat "$dir/out")
	err=$(cat "$dir/err")
	ran="$*"
}

# What bats shows of a failed test.
fail() {
	printf '%s\n$ %s\n[status %s]\n--- stdout\n%s\n--- stderr\n%s\n' "$1" "$ran" "$status" \
		"$out" "$err" | head -n 60
	return 1
}

ended() {
	local want
	for want in "$@"; do
		[ "$status" = "$want" ] && return 0
	done
	fail "ended with $status, not $*"
}

# One clear line on stderr, nothing on stdout, that holds every TEXT.
one_line() {
	local text
	[ -z "$out" ] || fail "stdout is not empty"
	[ -n "$err" ] || fail "stderr is empty"
	[[ $err != *$'\n'* ]] || fail "stderr is more than one line"
	for text in "$@"; do
		[[ $err == *"$text"* ]] || fail "the line does not say \"$text\""
	done
}

says() {
	local text
	for text in "$@"; do
		[[ $out == *"$text"* ]] || fail "stdout does not say \"$text\""
	done
}

json() {
	jq -e "$@" >"$BATS_TEST_TMPDIR/jq" 2>&1 <<<"$out" || fail "jq $*: $(cat "$BATS_TEST_TMPDIR/jq")"
}

# A directory that an unprivileged user can reach; bats' own cannot be.
open_dir() {
	open=$(mktemp -d /tmp/kvpath-cli.XXXXXX)
	chmod 755 "$open"
}

# kv as a user without any privilege.
kv_nobody() {
	[ "$(id -u)" = 0 ] || skip "needs root to become nobody"
	install -m 755 "$KVPATH" "$open/kvpath"
	into setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$open/kvpath" "$@"
}

# kv on a machine without NIXL and without EFA: Debian 12 and nothing else.
kv_bare() {
	[ "$(id -u)" = 0 ] || skip "needs root to build the bare machine"
	into "$top/tests/roots/run" --bind "$(dirname "$(dirname "$KVPATH")"):/kvpath" \
		"$("$top/tests/roots/base" 2>/dev/null)" /kvpath/bin/kvpath "$@"
}

# The real broken container, to be looked at only.
container() {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	container=$("$top/tests/roots/container" 1.5.0 2>/dev/null)
}
