#!/usr/bin/env bash
# lint.sh [format|shell|spell|cppcheck|tidy|all|quick]: clang-format, cppcheck and clang-tidy over the C sources,
# those of shell by shellcheck, every text by codespell; changes nothing. quick: what takes seconds.
# BUILD names the build directory, whose commands clang-tidy reads.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sources() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files -z --cached --others --exclude-standard -- "$@"
	else
		find . -path './build*' -prune -o -type f \( -name '*.c' -o -name '*.h' -o -name '*.sh' \) -print0
	fi
}

case ${1:-all} in
format | quick | all)
	mapfile -d '' -t c < <(sources '*.c' '*.h')
	clang-format --dry-run --Werror "${c[@]}"
	;;&
shell | quick | all)
	mapfile -d '' -t all < <(sources)
	sh=()
	for f in "${all[@]}"; do
		[ -f "$f" ] && [[ $(head -n 1 "$f" | tr -d '\0') =~ ^('#!/usr/bin/env bash'|'#!/bin/'(ba)?sh|'# shellcheck shell=') ]] &&
			sh+=("$f")
	done
	shellcheck -x -P SCRIPTDIR "${sh[@]}"
	;;&
spell | quick | all)
	mapfile -d '' -t texts < <(sources | grep -zvE '^(LICENSE|tests/fuzz/corpus/|tests/report/results/)|\.(abi|lock)$')
	codespell "${texts[@]}"
	;;&
cppcheck | all)
	cppcheck --quiet --enable=warning,portability,performance --suppressions-list=.cppcheck-suppressions --error-exitcode=1 \
		--std=c11 -j "$(nproc)" -D_GNU_SOURCE -DKVPATH_VERSION='"0"' --include=tests/tools/cppcheck.h -Isrc -Iinclude src
	;;&
tidy | all)
	run-clang-tidy -quiet -p "${BUILD:-build}" -j "$(nproc)" "^$PWD/src/.*\.c$" >"${TMPDIR:-/tmp}/kvpath-tidy.$$" 2>&1 || {
		grep -vE '^(clang-tidy|[0-9]+ warnings? generated|$)' "${TMPDIR:-/tmp}/kvpath-tidy.$$"
		rm -f "${TMPDIR:-/tmp}/kvpath-tidy.$$"
		exit 1
	}
	rm -f "${TMPDIR:-/tmp}/kvpath-tidy.$$"
	;;
esac
