#!/usr/bin/env bash
# Every test, in the order in which a fault is cheapest to see. Ends with `N passed, N failed`, and
# with status 1 when anything failed or could not run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
exec </dev/null
export LC_ALL=C NO_COLOR=1
# Build directories of its own: the one that is worked with, build, is left alone.
export KVPATH=$PWD/build-gcc/bin/kvpath

passed=0
failed=0
summary=()
log=$(mktemp)
trap 'rm -f "$log" "$log.cache" "$log.bad"' EXIT

title() {
	printf '\n===== %s =====\n' "$1"
	: >"$log"
	start=$SECONDS
}

# Adds what a part counted; a part that ended badly without saying what failed counts as one failure.
count() {
	local name=$1 status=$2 good=$3 bad=$4
	if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
	elif [ $((good + bad)) -eq 0 ]; then
		echo "no test ran"
		bad=1
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
	summary+=("$(printf '%-46s %4d passed %4d failed %5d s' "$name" "$good" "$bad" $((SECONDS - start)))")
	[ "$bad" -eq 0 ] && return
	again "$name" >>"$log.bad"
	return 1
}

# What a part that failed said of it, for the end of the output: who sees no more than that must see the cause.
again() {
	printf '\n===== again: %s =====\n' "$1"
	grep -a -A 15 '^not ok \|FAIL' "$log" | head -n 60
	tail -n 40 "$log"
}

# A part that is one test: it ends well or not.
single() {
	local name=$1
	shift
	title "$name"
	if "$@"; then
		count "$name" 0 1 0
	else
		count "$name" 1 0 1
	fi
}

# Warnings are errors here; a tree set up before with other options is set up anew.
build() {
	local dir=$1 cc=$2
	shift 2
	local options=(-Dwerror=true "$@")
	if [ ! -e "$dir/build.ninja" ] || [ "$(cat "$dir/.kvpath-setup" 2>/dev/null)" != "$cc ${options[*]}" ]; then
		rm -rf "$dir"
		CC=$cc meson setup "$dir" "${options[@]}" || return
		echo "$cc ${options[*]}" >"$dir/.kvpath-setup"
	fi
	make --no-print-directory BUILD="$dir" build
}

meson_sum() {
	sed -n "s/^\($1\): *\([0-9]*\) *$/\2/p" "$log" | awk '{ n += $1 } END { print n + 0 }'
}

# meson's own summary is the count.
unit() {
	local name=$1 dir=$2
	title "$name"
	meson test -C "$dir" --print-errorlogs --timeout-multiplier 3 2>&1 | tee "$log"
	count "$name" $? "$(meson_sum 'Ok')" "$(meson_sum 'Fail\|Timeout\|Unexpected Pass')"
}

cli() {
	title "command line"
	bats --tap tests/cli 2>&1 | tee "$log"
	count "command line" $? "$(grep -c '^ok ' "$log")" "$(grep -c '^not ok ' "$log")"
}

oracle() {
	title "real loader and real NIXL"
	{
		local status=0
		tests/oracle/oracle.py || status=1
		tests/oracle/log.py || status=1
		# Two that have one job each, side by side.
		tests/oracle/cache.py -n 8 >"$log.cache" 2>&1 &
		tests/oracle/oci.py || status=1
		wait $! || status=1
		cat "$log.cache"
		tests/oracle/verbs.sh || status=1
		tests/oracle/imports.py || status=1
		[ $status -eq 0 ]
	} 2>&1 | tee "$log"
	count "real loader and real NIXL" $? "$(grep -c '^ok ' "$log")" "$(grep -c '^not ok ' "$log")"
}

pages() {
	title "report in a browser"
	tests/report/page.py 2>&1 | tee "$log"
	count "report in a browser" "${PIPESTATUS[0]}" "$(grep -c '^ok ' "$log")" "$(grep -c '^not ok ' "$log")"
}

docs() {
	title "command lines of the docs"
	tests/docs/run.py 2>&1 | tee "$log"
	count "command lines of the docs" "${PIPESTATUS[0]}" "$(grep -c '^ok ' "$log")" "$(grep -c '^not ok ' "$log")"
}

# counted NAME FUNCTION...: a part whose last line says how many passed and failed.
counted() {
	local name=$1 status
	shift
	title "$name"
	"$@" 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	count "$name" "$status" "$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$log")" \
		"$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$log")"
}

# The arm64 program and the arm64 container, both emulated.
arm64() {
	title "arm64, emulated"
	{
		local status=0
		KVPATH=$PWD/build-gcc-aarch64/bin/kvpath bats --tap tests/cli/binary.bats || status=1
		tests/oracle/arm64.py || status=1
		tests/oracle/arm64_loader.py || status=1
		[ $status -eq 0 ]
	} 2>&1 | tee "$log"
	count "arm64, emulated" $? "$(grep -c '^ok ' "$log")" "$(grep -c '^not ok ' "$log")"
}

single "dependencies" scripts/deps.sh
single "format" tests/lint.sh format
single "scripts" tests/lint.sh shell
# What a function leaves unset is set to a pattern, so that nothing goes well by luck.
if single "build with gcc" build build-gcc gcc -Dc_args=-ftrivial-auto-var-init=pattern; then
	unit "unit tests, gcc" build-gcc
	cli
	pages
	docs
	built=yes
fi
# Every point at which the journal can be killed was tried above; here every 7th.
export KVPATH_CRASH_STRIDE=7
single "build with clang" build build-clang clang && unit "unit tests, clang" build-clang
# LeakSanitizer needs ptrace, which some containers refuse; everything else needs nothing.
export ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
single "build with sanitizers" build build-asan clang -Db_sanitize=address,undefined -Db_lundef=false &&
	unit "unit tests, ASan and UBSan" build-asan
unset KVPATH_CRASH_STRIDE
if [ "${built:-}" = yes ]; then
	oracle
	counted "copies of libnuma" tests/oracle/numa.py
	counted "scenarios" tests/scenarios/scenarios.py
	# A share; `make oracle-targets N=...` takes any number.
	counted "containers changed by chance" tests/oracle/targets.py --n 12 --launchers all
	counted "squashfs images made by chance" tests/oracle/images.py --n 2
	counted "batch scripts made by chance and the real bash" tests/oracle/recipes.py --n 100
	counted "Kubernetes' objects made by chance" tests/oracle/manifests.py --n 60
	counted "hosts that can not be read" tests/hosts/unreadable.py
	counted "real objects and the real loader" tests/oracle/objects.py
	# A share of the points; `make kill-test` takes every one.
	counted "killed at system calls" tests/kill.sh 37
	# Every 7th; `make hostile` takes every one.
	counted "hostile roots" tests/hostile/hostile.py --every 7 --first 3 --seconds 40
	counted "a crowd that repairs" tests/crowd.sh 1
	# Every kind of fault once, where time allows; `make soak` moves a million.
	counted "bench with faults" tests/soak.py --n 1000 --seconds 40
	# Bounded by time; the same seeds each time.
	counted "random trees and real loaders" tests/oracle/trees/trees.py --n 4500 --seconds 60 \
		--jobs "$(nproc)"
fi
if ! command -v aarch64-linux-gnu-gcc >/dev/null; then
	summary+=("arm64: left out, there is no cross compiler (see scripts/deps.sh)")
elif single "build for aarch64" build build-gcc-aarch64 gcc --cross-file scripts/cross/aarch64.ini; then
	unit "unit tests, aarch64" build-gcc-aarch64
	export KVPATH_ARM64=$PWD/build-gcc-aarch64/bin/kvpath
	[ "${built:-}" = yes ] && arm64
fi

cat "$log.bad" 2>/dev/null
printf '\n===== summary =====\n'
printf '%s\n' "${summary[@]}"
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
