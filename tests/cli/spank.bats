#!/usr/bin/env bats
# The SPANK plugin in a real Slurm of eight slurmd: n1 has the real broken container and a host's EFA installation laid
# over it, the others are this machine.

load helper
load slurm

setup_file() {
	! slurm_missing || skip "needs root, and Slurm from Debian"
	local plugin
	plugin=$(dirname "$(dirname "$KVPATH")")/src/kvpath_spank.so
	[ -e "$plugin" ] || skip "the plugin was not built: no slurm/spank.h"
	[ "$(printf '%s\n2.36\n' "$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)" | sort -V | tail -n 1)" = 2.36 ] ||
		skip "n1's slurmd would need a newer glibc than the container has that is laid over it"
	CLUSTER=$(slurm_dir spank)
	export CLUSTER
	install -m 755 "$KVPATH" "$plugin" "$CLUSTER"
	slurm_up --nodes 8 --root 1="$("$top/tests/roots/container" 1.5.0 2>/dev/null)" \
		--root 1="$("$top/tests/roots/fabric" F1 2>/dev/null)" \
		--plugstack "required $CLUSTER/kvpath_spank.so kvpath=$CLUSTER/kvpath"
}

teardown_file() {
	slurm_down "${CLUSTER:-}"
}

# agent OPTION...: the real NIXL's agent as a task of n1, from the standard input.
agent() {
	into bash -c 'exec "$@" <"$0"' "$top/tests/roots/agent.py" \
		"${as[@]}" srun --chdir=/ -w n1 "$@" /usr/bin/python3 - nixl_cu13 LIBFABRIC
}

# build NAME: a program for kvpath's place, from the C on the standard input.
build() {
	gcc -D_GNU_SOURCE -DCLUSTER="\"$CLUSTER\"" -x c -o "$CLUSTER/$1" -
}

# The nodes still take jobs: nothing was drained.
not_drained() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ "$(sinfo -h -t idle -o %D)" != 8 ] || return 0
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
	job -N8 true
	ended 0
	[ -z "$err" ] || fail "something is said"
}

@test "check: one line of each node, and the tasks run" {
	job -w 'n[0-1]' -n4 --kvpath=check sh -c 'echo ran on $SLURMD_NODENAME'
	ended 0
	[ "$(grep -c '^ran on n[01]$' <<<"$out")" -eq 4 ] || fail "not all tasks ran"
	[ "$(grep -c 'kvpath: n0: ' <<<"$err")" -eq 1 ] || fail "not one line of n0"
	[ "$(grep -c 'kvpath: n1: off-fabric: .*KV101' <<<"$err")" -eq 1 ] || fail "not one line of n1"
	not_drained
}

@test "eight nodes: a line of each, and none is drained" {
	local i
	job -N8 --kvpath=check sh -c 'echo ran on $SLURMD_NODENAME'
	ended 0
	[ "$(sort -u <<<"$out" | grep -c '^ran on n[0-7]$')" -eq 8 ] || fail "not every node ran its task"
	[ "$(grep -c 'kvpath: ' <<<"$err")" -eq 8 ] || fail "not eight lines"
	for i in {0..7}; do
		[ "$(grep -cE "kvpath: n$i: (on|off)-fabric" <<<"$err")" -eq 1 ] || fail "not one line of n$i"
	done
	not_drained
}

@test "eight nodes where kvpath hangs: a line of each, the tasks run, nothing is left behind" {
	local pid n=0
	build hang <<-'END'
		#include <stdio.h>
		#include <unistd.h>
		int main(void)
		{
			FILE *f = fopen(CLUSTER "/hung", "a");
			pid_t child = fork();
			if (child)
				fprintf(f, "%d\n%d\n", getpid(), child);
			fclose(f);
			for (;;)
				pause();
		}
	END
	plugstack "kvpath=$CLUSTER/hang" deadline=2
	job -N8 --kvpath=check sh -c 'echo ran on $SLURMD_NODENAME'
	ended 0
	[ "$(sort -u <<<"$out" | grep -c '^ran on n[0-7]$')" -eq 8 ] || fail "not every node ran its task"
	[ "$(grep -c 'kvpath check did not end: the task starts unchecked' <<<"$err")" -eq 8 ] || fail "not eight lines"
	not_drained
	while read -r pid; do
		n=$((n + 1))
		[ "$(readlink "/proc/$pid/exe")" != "$CLUSTER/hang" ] || fail "process $pid is left"
	done <"$CLUSTER/hung"
	[ $n -eq 16 ] || fail "$n processes"
}

@test "fix: the real agent of a task has LIBFABRIC, and without the option has not" {
	as=()
	agent
	ended 0
	json '.instantiated == false and .backends == []'
	[[ $err == *"FABRIC_1."*"not found"* ]] || fail "not for the reason that is repaired"
	agent --kvpath=check
	ended 0
	json '.instantiated == false'
	agent --kvpath=fix
	ended 0
	json '.instantiated and .backends == ["LIBFABRIC"] and .error == null'
	[[ $err == *"kvpath: n1: repaired by environment"* ]] || fail "it is not said"
	not_drained
}

@test "fix: a user without privilege, and the tasks of one node at once" {
	as=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/)
	agent
	json '.instantiated == false and .backends == []'
	agent --kvpath=fix
	ended 0
	json '.instantiated and .error == null'
	cp "$top/tests/roots/agent.py" "$CLUSTER"
	job -w n1 -n4 --kvpath=fix /usr/bin/python3 "$CLUSTER/agent.py" nixl_cu13 LIBFABRIC
	ended 0
	json -s 'length == 4 and all(.instantiated)'
	[ "$(grep -c 'kvpath: n1: ' <<<"$err")" -eq 1 ] || fail "not one line"
}

@test "fix: the task has what kvpath run gives its command" {
	local ours='^(LD_LIBRARY_PATH|PYTHONPATH|NIXL_BACKEND|KVPATH_BACKEND|[A-Z]*_?[A-Z]*NIXL[A-Z_]*)='
	job -w n1 --kvpath=fix env -0
	ended 0
	tr '\0' '\n' <"$BATS_TEST_TMPDIR/out" | grep -E "$ours" | sort >"$BATS_TEST_TMPDIR/task"
	job -w n1 "$CLUSTER/kvpath" run -- env -0
	ended 0
	tr '\0' '\n' <"$BATS_TEST_TMPDIR/out" | grep -E "$ours" | sort >"$BATS_TEST_TMPDIR/run"
	grep -q '^LD_LIBRARY_PATH=.' "$BATS_TEST_TMPDIR/task"
	diff "$BATS_TEST_TMPDIR/run" "$BATS_TEST_TMPDIR/task"
	not_drained
}

@test "fix: exit status, output and input are the task's own" {
	into bash -c 'echo given | exec "$@"' - \
		srun --chdir=/ -w n1 --kvpath=fix sh -c 'cat; echo to stderr >&2; exit 7'
	ended 7
	[ "$out" = given ] || fail "not its output alone"
	[ "$(grep -c '^to stderr$' <<<"$err")" -eq 1 ] || fail "stderr is not its own"
	# Descriptors and signals: as where nothing is done.
	job -w n1 sh -c 'ls /proc/self/fd; grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status'
	ended 0
	mv "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/plain"
	job -w n1 --kvpath=fix sh -c 'ls /proc/self/fd; grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status'
	ended 0
	diff "$BATS_TEST_TMPDIR/plain" "$BATS_TEST_TMPDIR/out"
	not_drained
}

@test "fix: signals reach the task" {
	local pid i status=0
	job -w n1 --kvpath=fix sh -c 'kill -TERM $$'
	ended 143
	timeout 60 srun --chdir=/ -w n1 --kvpath=fix \
		sh -c 'trap "echo caught; exit 3" USR1; echo $SLURM_JOB_ID; while :; do sleep 0.1; done' \
		>"$BATS_TEST_TMPDIR/out" 2>/dev/null </dev/null 3>&- &
	pid=$!
	for ((i = 0; i < 300; i++)); do
		[ ! -s "$BATS_TEST_TMPDIR/out" ] || break
		sleep 0.1
	done
	scancel --signal=USR1 "$(head -n 1 "$BATS_TEST_TMPDIR/out")"
	wait $pid || status=$?
	[ $status -eq 3 ]
	grep -qx caught "$BATS_TEST_TMPDIR/out"
	not_drained
}

@test "a failure of its own is a message, and the job runs" {
	plugstack "kvpath=/nonexistent"
	job -w n0 --kvpath=check echo ran
	ended 0
	says ran
	[[ $err == *"kvpath: n0: kvpath is not on this node"* ]] || fail "no message"
	build odd <<<'int main(void) { return 9; }'
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

@test "strict: a program that says nothing was no check, and the task starts" {
	build mute <<<'int main(void) { return 1; }'
	plugstack "kvpath=$CLUSTER/mute default=check strict"
	job -w n1 echo ran
	ended 0
	says ran
	[[ $err == *"the task starts unchecked"* ]] || fail "no message"
}

@test "wrong values of the option" {
	job -w n0 --kvpath=maybe true
	[ "$status" -ne 0 ] || fail "it is taken"
	[[ $err == *"--kvpath=maybe: check, fix or off is expected"* ]] || fail "no message"
	not_drained
}
