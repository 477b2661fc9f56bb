#!/usr/bin/env bash
# Fuzzes every target with libFuzzer under ASan and UBSan, each from its corpus and from what earlier
# runs found (kept outside the tree). RUNS=N executions in all, or TIME=S seconds for each target
# (60 unless told). An input that crashes or hangs (1 s, 256 MB) is left beside what was found: it
# belongs into tests/fuzz/corpus. Ends with a line for each target and with status 1 if any failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
export LC_ALL=C
# Few freed blocks are kept back: memory of the targets is to be seen, not ASan's. LeakSanitizer
# needs ptrace, which some containers refuse.
export ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=8:detect_leaks=${LEAKS:-0}
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

# A target for each directory of the corpus. Their shares of RUNS: what is fast and large gets more.
targets=()
total=0
declare -A share=([elf]=6 [cache]=3 [squash]=6 [log]=3)
for dir in tests/fuzz/corpus/*/; do
	target=$(basename "$dir")
	targets+=("$target")
	share[$target]=${share[$target]:-1}
	total=$((total + share[$target]))
done
work=${KVPATH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvpath}/fuzz
build="build-fuzz"

if [ ! -e $build/build.ninja ]; then
	CC=clang meson setup $build -Dwerror=true -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false || exit
fi
programs=()
for target in "${targets[@]}"; do
	programs+=("tests/fuzz/fuzz_$target" "tests/fuzz/fuzz_${target}_replay")
done
nice ninja -C $build "${programs[@]}" >/dev/null || exit

fuzz() {
	local target=$1 limit=-max_total_time=${TIME:-60} log=$work/$1.log found=$work/$1
	[ -z "${RUNS:-}" ] || limit=-runs=$((RUNS * ${share[$target]} / total))
	mkdir -p "$found" "$work/failed-$target"
	nice -n 15 $build/tests/fuzz/"fuzz_$target" "$limit" -timeout=1 -rss_limit_mb=256 -entropic=0 \
		-max_len=8192 -print_final_stats=1 -artifact_prefix="$work/failed-$target/" \
		"$found" tests/fuzz/corpus/"$target" >"$log" 2>&1
}

stat() {
	sed -n "s/^stat::$2: *//p" "$work/$1.log" | tail -n 1
}

failed=0
rows=()
for target in "${targets[@]}"; do
	echo "fuzzing $target"
	if ! fuzz "$target"; then
		failed=1
		grep -a -E 'ERROR|SUMMARY|runtime error|Test unit written' "$work/$target.log"
	fi
	slowest=$($build/tests/fuzz/"fuzz_${target}_replay" "$work/$target" tests/fuzz/corpus/"$target" | sed 's/.*slowest //; s/:.*//')
	rows+=("$(printf '%-8s %12s executions %8s a second %6s edges %6s MB %10s slowest input' "$target" \
		"$(stat "$target" number_of_executed_units)" "$(stat "$target" average_exec_per_sec)" \
		"$(grep -a -o 'cov: [0-9]*' "$work/$target.log" | tail -n 1 | cut -c6-)" \
		"$(stat "$target" peak_rss_mb)" "$slowest")")
done
printf '%s\n' "${rows[@]}"
exit $failed
