#!/usr/bin/env bats
# The SPANK plugin in a real Slurm of two slurmd: n0 is this machine, n1 has the real broken container laid over it.

load helper

setup_file() {
	[ "$(id -u)" = 0 ] && command -v slurmctld munged >/dev/null || skip "needs root, and Slurm from Debian"
	local top kvpath
	top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	kvpath=${KVPATH:-$top/build/bin/kvpath}
	plugin=$(dirname "$(dirname "$kvpath")")/src/kvpath_spank.so
	[ -e "$plugin" ] || skip "the plugin was not built: no slurm/spank.h"
	export CLUSTER=/tmp/kvpath-slurm.$$
	mkdir -p "$CLUSTER"
	cp "$kvpath" "$plugin" "$CLUSTER"
	SLURM_CONF=$("$top/tests/slurm/up" --nodes 2 --root 1="$("$top/tests/roots/container" 1.5.0 2>/dev/null)" \
		--plugstack "required $CLUSTER/kvpath_spank.so kvpath=$CLUSTER/kvpath" "$CLUSTER" 3>&-)
	export SLURM_CONF
}

teardown_file() {
	[ ! -d "${CLUSTER:-}" ] || {
		"$BATS_TEST_DIRNAME/../slurm/down" "$CLUSTER"
		rm -rf "$CLUSTER"
	}
}

job() {
	into srun --chdir=/ "$@"
}

# The node still takes jobs: nothing was drained.
not_drained() {
	local i
	for ((i = 0; i < 100; i++)); do
		[ "$(sinfo -h -t idle -o %D)" != 2 ] || return 0
		sleep 0.1
	done
	fail "a node is not idle: $(sinfo -h -R)"
}

# plugstack ARG...: another site's arguments, for the jobs that follow.
plugstack() {
	echo "required $CLUSTER/kvpath_spank.so $*" >"$CLUSTER/plugstack.conf"
}

setup() {
	plugstack "kvpath=$CLUSTER/kvpath"
}

@test "without the option nothing is said" {
	job -N2 true
	ended 0
	[ -z "$err" ] || fail "something is said"
}

@test "check: one line of each node, and the tasks run" {
	job -N2 -n4 --kvpath=check sh -c 'echo ran on $SLURMD_NODENAME'
	ended 0
	[ "$(grep -c '^ran on n[01]$' <<<"$out")" -eq 4 ] || fail "not all tasks ran"
	[ "$(grep -c 'kvpath: n0: ' <<<"$err")" -eq 1 ] || fail "not one line of n0"
	[ "$(grep -c 'kvpath: n1: off-fabric: .*KV101' <<<"$err")" -eq 1 ] || fail "not one line of n1"
	not_drained
}

@test "fix: the task has what kvpath run gives its command" {
	job -w n1 --kvpath=fix env -0
	ended 0
	tr '\0' '\n' <"$BATS_TEST_TMPDIR/out" | grep -E '^(LD_LIBRARY_PATH|PYTHONPATH|NIXL_BACKEND|KVPATH_BACKEND|[A-Z]*_?[A-Z]*NIXL[A-Z_]*)=' |
		sort >"$BATS_TEST_TMPDIR/task"
	job -w n1 "$CLUSTER/kvpath" run -- env -0
	if [ "$status" -eq 0 ]; then
		tr '\0' '\n' <"$BATS_TEST_TMPDIR/out" | grep -E '^(LD_LIBRARY_PATH|PYTHONPATH|NIXL_BACKEND|KVPATH_BACKEND|[A-Z]*_?[A-Z]*NIXL[A-Z_]*)=' |
			sort >"$BATS_TEST_TMPDIR/run"
		diff "$BATS_TEST_TMPDIR/run" "$BATS_TEST_TMPDIR/task"
	else
		# No fabric to borrow here: both say so, and the task starts all the same.
		[ ! -s "$BATS_TEST_TMPDIR/task" ]
	fi
	not_drained
}

@test "a failure of its own is a message, and the job runs" {
	plugstack "kvpath=/nonexistent"
	job -w n0 --kvpath=check echo ran
	ended 0
	says ran
	[[ $err == *"kvpath: n0: kvpath is not on this node"* ]] || fail "no message"
	printf '#!/bin/sh\nexit 9\n' >"$CLUSTER/odd"
	chmod +x "$CLUSTER/odd"
	plugstack "kvpath=$CLUSTER/odd"
	job -w n0 --kvpath=fix echo ran
	ended 0
	says ran
	[[ $err == *"the task starts as it is"* ]] || fail "no message"
	not_drained
}

@test "strict: a task off the fabric does not start, and no node is drained" {
	plugstack "kvpath=$CLUSTER/kvpath default=check strict"
	job -w n1 echo ran
	[ "$status" -ne 0 ] || fail "it started"
	[ -z "$out" ] || fail "it ran"
	[[ $err == *"kvpath: n1: off-fabric"* ]] || fail "no reason"
	not_drained
	job -w n1 --kvpath=off echo ran
	ended 0
	says ran
}

@test "wrong values of the option" {
	job -w n0 --kvpath=maybe true
	[ "$status" -ne 0 ] || fail "it is taken"
	[[ $err == *"--kvpath=maybe: check, fix or off is expected"* ]] || fail "no message"
	not_drained
}
