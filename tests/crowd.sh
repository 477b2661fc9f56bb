#!/usr/bin/env bash
# crowd.sh [ROUNDS] [N]: ROUNDS times (10 unless told), N (64) `kvpath fix` of one container at once, as
# when every task of a job repairs it: one changes something, all end well, there is one journal, and
# the result is the same each time. Every other round begins on a repair that was killed in the
# middle. undo then leaves what was there before. Ends with `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
kvpath=$(realpath "${KVPATH:-build/bin/kvpath}")
rounds=${1:-10}
n=${2:-64}
fabric=$(tests/roots/fabric F1)/opt/amazon/efa || exit 2
work=$(mktemp -d /dev/shm/kvpath-crowd.XXXXXX)
trap 'rm -rf "$work"' EXIT
tests/roots/small "$work/root" || exit 2

# What the repair is, without what differs each time: inodes, times, the journal itself.
result() {
	find "$work/root" -path "$work/root/var/lib/kvpath" -prune -o -printf '%P %y %m %U:%G %s %l\n' |
		sort
	find "$work/root" -newer "$work/start" -type f ! -path '*/var/lib/kvpath/*' -exec sha256sum {} +
}

fault() {
	echo "round $round: $*"
	bad=1
}

passed=0 failed=0
before=$(tests/roots/manifest --inode "$work/root" | sha256sum)
for ((round = 1; round <= rounds; round++)); do
	bad=0
	touch "$work/start"
	# Killed at the rename of its third step: the first in the crowd takes that back.
	[ $((round % 2)) = 1 ] || (
		strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL:when=3 \
			"$kvpath" fix --quiet --fabric "$fabric" "$work/root"
		true
	) >/dev/null 2>&1
	pids=()
	for ((i = 0; i < n; i++)); do
		"$kvpath" fix --quiet --fabric "$fabric" "$work/root" >"$work/out.$i" 2>&1 &
		pids+=($!)
	done
	for ((i = 0; i < n; i++)); do
		wait "${pids[i]}" || fault "one ended with $?: $(cat "$work/out.$i")"
	done
	[ "$(cat "$work"/out.* | grep -c 'operations done')" = 1 ] || fault "not one that worked"
	[ "$(cat "$work"/out.* | grep -c 'nothing to do: ready')" = $((n - 1)) ] ||
		fault "not all others found it done"
	[ "$(echo "$work"/root/var/lib/kvpath/0*)" = "$work/root/var/lib/kvpath/000001" ] ||
		fault "not one journal: $(echo "$work"/root/var/lib/kvpath/0*)"
	have=$(result)
	[ "$have" = "${first:=$have}" ] || fault "another result than in the first round"
	"$kvpath" undo "$work/root" >/dev/null || fault "undo ended with $?"
	[ $((round % 10)) != 1 ] || [ "$(tests/roots/manifest --inode "$work/root" | sha256sum)" = "$before" ] ||
		fault "undo left something else"
	[ "$bad" = 0 ] && passed=$((passed + 1)) || failed=$((failed + 1))
done
echo "$rounds rounds of $n at once"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
