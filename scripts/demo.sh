#!/usr/bin/env bash
# The whole story on real parts: a container as the field reports it, and a host's EFA tree. Shows
# each command with its output, and fails when one does not end as it should.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

top=$PWD
version=${1:-1.5.0}

scripts/deps.sh
make --no-print-directory build

cache=${KVPATH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvpath}
mkdir -p "$cache"
work=$(mktemp -d "$cache/demo.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\033[1m' plain=$'\033[0m'
else
	bold='' plain=''
fi

say() {
	printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
}

# step STATUS TEXT... -- CMD...: runs CMD, which must end with STATUS and print every TEXT.
step() {
	local want=$1 texts=() text status=0
	shift
	while [ "$1" != -- ]; do
		texts+=("$1")
		shift
	done
	shift
	printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
	"$@" >"$work/out" 2>&1 || status=$?
	cat "$work/out"
	printf '[status %d]\n' "$status"
	if [ "$status" -ne "$want" ]; then
		echo "demo: FAILED: status $status, not $want" >&2
		exit 1
	fi
	for text in "${texts[@]}"; do
		grep -qF -- "$text" "$work/out" || {
			echo "demo: FAILED: the output does not say \"$text\"" >&2
			exit 1
		}
	done
}

agent() {
	printf '\n%s$ nixl_agent(backends=["LIBFABRIC"]), the real one, in the container%s\n' "$bold" "$plain"
	"$top/tests/roots/run" container python3 - nixl_cu13 LIBFABRIC \
		<"$top/tests/roots/agent.py" 2>"$work/err" >"$work/out"
	sed -n 's/^.*\(Failed to load plugin from .*\)/\1/p' "$work/err"
	cat "$work/out"
	jq -e ".instantiated == $1" "$work/out" >/dev/null || {
		echo "demo: FAILED: the real agent does otherwise" >&2
		exit 1
	}
}

say "a container: Debian 12, its libfabric 1.17, and the wheel nixl-cu13 $version"
tests/roots/container "$version" "$work/container"
say "a host: /opt/amazon/efa with libfabric 2.3"
tests/roots/fabric F1 "$work/host"
tests/roots/manifest "$work/container" >"$work/before"
cd "$work"
PATH=$top/build/bin:$PATH

say "why is the KV cache slow?"
step 1 KV101 KV201 off-fabric -- kvpath check container
agent false

say "repair it with the host's libfabric"
step 0 -- kvpath fix --fabric host/opt/amazon/efa container
step 0 ready -- kvpath check container
agent true

say "prove it with bytes. There is no EFA here, so they go over tcp, and kvpath does not call that the fabric"
step 1 tcp off-fabric -- kvpath prove --mem dram container
step 0 tcp -- kvpath prove --mem dram --provider tcp container

say "and back"
step 0 -- kvpath undo container
step 1 KV101 off-fabric -- kvpath check container
"$top/tests/roots/manifest" container | cmp - before || {
	echo "demo: FAILED: the tree is not what it was" >&2
	exit 1
}
say "the container is byte for byte what it was; every step ended as it should"
