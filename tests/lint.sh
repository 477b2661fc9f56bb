#!/usr/bin/env bash
# clang-format over the C sources and shellcheck over the scripts; changes nothing.
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
format | all)
	mapfile -d '' -t c < <(sources '*.c' '*.h')
	clang-format --dry-run --Werror "${c[@]}"
	;;&
shell | all)
	mapfile -d '' -t all < <(sources)
	sh=()
	for f in "${all[@]}"; do
		[ -f "$f" ] && [[ $(head -n 1 "$f" | tr -d '\0') =~ ^('#!/usr/bin/env bash'|'#!/bin/'(ba)?sh|'# shellcheck shell=') ]] &&
			sh+=("$f")
	done
	shellcheck -x -P SCRIPTDIR "${sh[@]}"
	;;
esac
