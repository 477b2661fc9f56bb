#!/usr/bin/env bash
# coverage.sh [PART...]: which lines of src/ the tests run, of parts unit, cli and oracle (default: all three), for each
# room and in all. A build of its own, with clang: its counters lie in files that every process maps from its start, so
# that those of children count which are confined to a few system calls, end by _exit(), are killed, or have another
# directory as their root; /dev/shm is there in containers too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export LC_ALL=C NO_COLOR=1 KVPATH_CRASH_STRIDE=${KVPATH_CRASH_STRIDE:-37}
dir=build-coverage
counts=/dev/shm/kvpath-coverage.$(pwd | cksum | cut -d' ' -f1)
export KVPATH=$PWD/$dir/bin/kvpath

mkdir -p "$counts"
chmod 1777 "$counts"
trap 'rm -rf "$counts"' EXIT
if [ ! -e $dir/build.ninja ]; then
	CC=clang meson setup -Doptimization=1 $dir >/dev/null \
		-Dc_args="-fprofile-instr-generate=$counts/%c%m.profraw -fcoverage-mapping -mllvm -runtime-counter-relocation" \
		-Dc_link_args="-fprofile-instr-generate=$counts/%c%m.profraw"
fi
make --no-print-directory BUILD=$dir build
rm -f "$counts"/*.profraw
# Their files are there before anybody without rights starts them.
"$KVPATH" --version >/dev/null
$dir/libexec/kvpath/kvpath-probe --version >/dev/null 2>&1 || true
$dir/src/manual/kvpath-manual "$(mktemp -d -p "$counts")"
chmod a+rw "$counts"/*.profraw

# What a part finds wrong is its own business and told by make test; here its lines count.
[ $# -gt 0 ] || set -- unit cli oracle
for part; do
	echo "coverage: $part" >&2
	case $part in
	unit) meson test -C $dir --no-rebuild --timeout-multiplier 10 >"$dir/unit.log" 2>&1 || echo "coverage: a unit test failed" >&2 ;;
	cli) bats --tap tests/cli >"$dir/cli.log" 2>&1 || echo "coverage: a test of the command line failed" >&2 ;;
	oracle)
		for test in oracle/oracle.py oracle/log.py oracle/oci.py oracle/verbs.sh scenarios/scenarios.py \
			"oracle/trees/trees.py --n 1500 --seconds 120 --jobs $(nproc)"; do
			name=${test%% *}
			read -ra words <<<"tests/$test"
			"${words[@]}" >"$dir/$(basename "${name%.*}").log" 2>&1 || echo "coverage: a case of $name failed" >&2
		done
		;;
	*) echo "coverage: $part: unit, cli or oracle" >&2 && exit 2 ;;
	esac
done

llvm-profdata merge --failure-mode=all -o $dir/all.profdata "$counts"/*.profraw
objects=()
for file in "$dir"/src/kvpath-probe "$dir"/src/manual/kvpath-manual "$dir"/src/kvpath_spank.so "$dir"/src/lib/*.so* "$dir"/tests/*; do
	[ ! -f "$file" ] || [ -L "$file" ] || ! readelf -SW "$file" 2>/dev/null | grep -q __llvm_covmap || objects+=(-object "$file")
done
llvm-cov export --instr-profile=$dir/all.profdata "$KVPATH" "${objects[@]}" --format=lcov >$dir/coverage.lcov 2>/dev/null
tests/coverage.py $dir/coverage.lcov | tee $dir/coverage.txt
