#!/usr/bin/env bats
# kvpath bench as tasks of a step, in a real Slurm of four slurmd on this machine, with a munge of its own.

load helper
load slurm

setup_file() {
	! slurm_missing || skip "needs root, and Slurm from Debian"
	CLUSTER=$(slurm_dir ranks)
	export CLUSTER
	slurm_up --nodes 4
}

teardown_file() {
	slurm_down "${CLUSTER:-}"
}

@test "two tasks: one document, of rank 1, checked data; the secret comes by munge" {
	job -N2 -n2 "$KVPATH" bench --json --engine tcp --op both --shape 1x4096 --shape 4x65536 --iters 20
	ended 0
	json '(.runs | length) == 4 and all(.runs[]; .intact) and .peer.name != null and .engines[0].good'
	[ "$(grep -c kvpath.bench/1 <<<"$out")" = 1 ] || fail "not one document"
}

@test "two on one node, and four on four: pairs" {
	job -N1 -n2 "$KVPATH" bench --json --engine tcp --shape 1x4096 --iters 5
	ended 0
	json '.runs[0].intact'
	job -N4 -n4 -o "$BATS_TEST_TMPDIR/%t.json" "$KVPATH" bench --json --engine tcp --shape 1x4096 --iters 5
	ended 0
	jq -e '.runs[0].intact' "$BATS_TEST_TMPDIR/1.json" "$BATS_TEST_TMPDIR/3.json" >/dev/null || fail "not two documents"
	[ ! -s "$BATS_TEST_TMPDIR/0.json" ] && [ ! -s "$BATS_TEST_TMPDIR/2.json" ]
}

@test "a secret in KVPATH_TOKEN is taken instead of munge's" {
	KVPATH_TOKEN=0123456789abcdef0123456789abcdef job -N2 -n2 "$KVPATH" bench --json --engine tcp --shape 1x4096 --iters 5
	ended 0
	json '.runs[0].intact'
	# shellcheck disable=SC2016 # for the task's shell
	job -N2 -n2 sh -c 'KVPATH_TOKEN=0123456789abcdef$SLURM_PROCID exec "$0" "$@"' "$KVPATH" bench --engine tcp --deadline 3
	ended 3
	[[ $err == *token* ]] || fail "it does not name the token"
}

@test "without munge: what to set" {
	job -N2 -n2 env SLURM_CONF=/nonexistent "$KVPATH" bench --engine tcp --deadline 2
	[ "$status" != 0 ]
	[[ $err == *munge* ]] || fail "it does not name munge"
}

@test "tasks that make no pairs are refused, each with one line" {
	job -N3 -n3 "$KVPATH" bench --engine tcp
	ended 2
	[[ $err == *'3 tasks on 3 nodes'* ]] || fail "it does not say how many"
	job -N2 -n4 "$KVPATH" bench --engine tcp
	ended 2
	[[ $err == *'4 tasks on 2 nodes'* ]] || fail "it does not say how many"
}

@test "one task is this host's own, as without Slurm" {
	job -N1 -n1 "$KVPATH" bench --json --engine tcp --shape 1x4096 --iters 5
	ended 0
	json '.peer == null and .runs[0].intact'
}

@test "a rank that never comes: the deadline" {
	# shellcheck disable=SC2016 # for the task's shell
	job -N2 -n2 sh -c '[ "$SLURM_PROCID" = 0 ] || exec "$0" "$@"; exit 0' "$KVPATH" bench --engine tcp --deadline 3
	ended 3
	[[ $err == *"rank 0's task on n0 is not reached"* ]] || fail "it does not say who"
}
