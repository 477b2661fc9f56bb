#!/usr/bin/env bash
# kill.sh [STRIDE]: ends fix and undo of a real container (tests/roots/small, in memory) at every
# STRIDEth system call from their first change on, and lets every STRIDEth change fail; see
# tests/tools/killtest.c. 1 unless told. KVPATH names the program; the build's unless told. Ends with
# `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
kvpath=$(realpath "${KVPATH:-build/bin/kvpath}")
killtest=$(dirname "$(dirname "$kvpath")")/tests/killtest
parts=$(nproc)
fabric=$(tests/roots/fabric F1)/opt/amazon/efa || exit 2
work=$(mktemp -d /dev/shm/kvpath-kill.XXXXXX)
trap 'rm -rf "$work"' EXIT

pids=()
for ((i = 0; i < parts; i++)); do
	tests/roots/small "$work/root.$i" || exit 2
	"$killtest" --stride "${1:-1}" --part "$i/$parts" "$kvpath" "$work/root.$i" "$fabric" \
		>"$work/out.$i" 2>"$work/err.$i" &
	pids+=($!)
done
status=0
for pid in "${pids[@]}"; do
	wait "$pid" || status=1
done
cat "$work"/err.* >&2
# The parts' counts, kind by kind.
awk '/ points: / { n = $1; sub(/^ *[0-9]+ points: /, ""); if (!($0 in sum)) order[++kinds] = $0; sum[$0] += n }
	/^[0-9]+ points, / { points += $1; failed += $3 }
	END {
		for (i = 1; i <= kinds; i++) printf "%6d points: %s\n", sum[order[i]], order[i]
		printf "%d passed, %d failed\n", points - (failed < points ? failed : points), failed
	}' "$work"/out.*
exit $status
