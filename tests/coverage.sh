#!/usr/bin/env bash
# coverage.sh [PART...]: which lines of src/ the tests run, of parts unit, cli and oracle (default: all three). A build of
# its own; children that are confined to a few system calls count for nothing, as they can write no file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export LC_ALL=C NO_COLOR=1 KVPATH_CRASH_STRIDE=${KVPATH_CRASH_STRIDE:-37}
dir=build-coverage
export KVPATH=$PWD/$dir/bin/kvpath

[ -e $dir/build.ninja ] || meson setup -Db_coverage=true -Doptimization=1 $dir >/dev/null
make --no-print-directory BUILD=$dir build
find $dir -name '*.gcda' -delete
# What a part finds wrong is its own business and told by make test; here its lines count.
[ $# -gt 0 ] || set -- unit cli oracle
for part; do
	echo "coverage: $part" >&2
	case $part in
	unit) meson test -C $dir --no-rebuild --timeout-multiplier 5 >"$dir/unit.log" 2>&1 || echo "coverage: a unit test failed" >&2 ;;
	cli) bats --tap tests/cli >"$dir/cli.log" 2>&1 || echo "coverage: a test of the command line failed" >&2 ;;
	oracle) tests/oracle/oracle.py >"$dir/oracle.log" 2>&1 || echo "coverage: a case of the oracle failed" >&2 ;;
	*) echo "coverage: $part: unit, cli or oracle" >&2 && exit 2 ;;
	esac
done
gcovr --root . --filter src/ --exclude 'src/spank/' --print-summary --sort-uncovered $dir 2>/dev/null | tee "$dir/coverage.txt"
