#!/usr/bin/env bats
# sweep: what it plans and what it makes of results.

load helper

state() {
	"$top/tests/tools/sweepstate.py" "$@"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

@test "a plan: each node once a round, each pair once" {
	local n
	for n in 2 3 8 33 64; do
		kv sweep --plan $n
		ended 0
		awk -v n=$n '
			$2 >= n || $3 >= n || $2 == $3 || seen[$1, $2]++ || seen[$1, $3]++ { exit bad = 1 }
			met[$2 < $3 ? $2 " " $3 : $3 " " $2]++ { exit bad = 1 }
			$1 > last { last = $1 }
			END { exit bad || NR != n * (n - 1) / 2 || last != n - 1 + n % 2 }' <<<"$out" || fail "not valid"
	done
	kv sweep --plan 64 --rounds 5
	[ "$(cut -d' ' -f1 <<<"$out" | sort -u | wc -l)" -eq 5 ] || fail "not five rounds"
	[ "$(wc -l <<<"$out")" -eq 160 ] || fail "not 32 pairs each"
	kv sweep --plan 64 --pairs 40
	[ "$(wc -l <<<"$out")" -eq 40 ] || fail "not 40 pairs"
	kv sweep --plan 3 --json
	ended 2
	one_line --json
	kv sweep --plan 1
	ended 0
	[ -z "$out" ] || fail "a pair of one node"
}

@test "merge: bad nodes and their reasons, differences, what is slow, whom to exclude" {
	state 12 11 slow=3 off=5 lost=7 old=8 >s
	kv sweep --merge s
	ended 1
	says "10 on-fabric: gpu[00-04,06,08-11]" "1 off-fabric KV314: gpu05" "1 2.10.0g: gpu08" "--exclude=gpu[05,07]" \
		"slow node   gpu03" "not measured again" "bad node    gpu07  lost: its connection ended" "45 of 66 pairs"
	kv sweep --merge --json s
	ended 1
	json '.schema == "kvpath.sweep/1" and .verdict == "off-fabric" and .exclude == "gpu[05,07]"
		and (.nodes | length) == 12 and ([.nodes[] | select(.reason)] | length) == 2
		and (.differences | map(.what)) == ["EFA driver"] and .all_pairs and (.pairs | length) == 45
		and ([.nodes[] | select(.slow) | .name]) == ["gpu03"] and (.slow_pairs | length) == 0
		and .totals.measured == 45 and (.rounds | length) == 11'
	kv report --force -o r.html <(echo "$out")
	ended 0
	grep -q 'Bad nodes' r.html
}

@test "merge: the rounds of several runs are one sweep; a slow node is confirmed by a second measurement" {
	state 12 6 slow=3 >a
	state 12 5 slow=3 from=6 seed=2 >b
	kv sweep --merge a b --json
	ended 0
	json '.totals.measured == 66 and .verdict == "on-fabric" and .exclude == null'
	state 12 11 slow=3 seed=3 >again
	kv sweep --merge a b again --json
	json '.exclude == "gpu03" and (.nodes[3].slow.confirmed) and (.nodes[3].reason | test("^slow: "))'
	kv sweep --merge a b again --strict
	ended 1
	# Fast when measured again: it was noise.
	state 12 11 seed=3 >again
	kv sweep --merge a b again --json
	json '.exclude == null and ([.nodes[] | select(.slow)] == [])'
}

@test "merge: of a thousand nodes the pairs are taken together by blocks" {
	state 1000 64 slow=7 off=11 >s
	kv sweep --merge --json s
	ended 1
	json '.all_pairs == false and (.blocks.nodes | length) <= 64 and (.pairs | length) < 300
		and ([.blocks.pairs[].measured] | add) == .totals.measured and .totals.measured == 31936
		and ([.nodes[] | select(.slow) | .name]) == ["gpu007"]'
	kv report --force -o r.html <(echo "$out")
	grep -q 'of 63 blocks' r.html
	[ "$(wc -c <r.html)" -lt 2000000 ]
}

@test "merge: what is no state of the same sweep is one line" {
	state 4 3 >a
	state 5 3 >b
	kv sweep --merge a b
	ended 2
	one_line b "other nodes"
	echo '{}' >c
	kv sweep --merge c
	ended 2
	one_line c "no state"
	kv sweep --merge absent
	ended 2
	one_line absent
	kv sweep --merge
	ended 2
	one_line FILE
	# Cut where a sweep was killed: the rest counts.
	head -c -7 a >cut
	kv sweep --merge cut --json
	ended 0
	json '.totals.measured == 5'
	echo 'pair 0 1' >>a
	kv sweep --merge a
	ended 2
	one_line "a: line"
}

@test "a state file on a full disk is told of, and what was found out is told all the same" {
	[ -e /dev/full ] || skip "no /dev/full"
	# shellcheck disable=SC2016 # for the shell that stands in for ssh
	printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >ssh
	chmod +x ssh
	kv sweep --hosts a,b --ssh "$PWD/ssh" --no-pairs --engine tcp --force --state /dev/full /
	says "2 nodes"
	[[ $err == *"/dev/full could not be written whole"* ]] || fail "nothing is said of it"
	[ "$status" != 0 ] || fail "status 0"
}

@test "host lists: Slurm writes and reads them as kvpath does" {
	command -v scontrol >/dev/null || skip "no scontrol"
	local i list
	printf 'ClusterName=x\nSlurmctldHost=localhost\nNodeName=n0\nPartitionName=p Nodes=n0\n' >slurm.conf
	export SLURM_CONF=$PWD/slurm.conf
	for i in {1..12}; do
		list=$(python3 - $i <<-'END'
			import random, sys
			rng = random.Random(int(sys.argv[1]))
			names, at = [], rng.randrange(120)
			for _ in range(rng.randrange(1, 20)):
			    at += rng.choice((1, 1, 1, 1, rng.randrange(2, 30)))
			    prefix = rng.choice(("n", "n", "n", "n", "gpu-", "r1n", "login"))
			    names.append(f"{prefix}{at:0{rng.choice((1, 1, 1, 3))}d}")
			print(",".join(dict.fromkeys(names)))
		END
		)
		printf 'kvpath.sweep-state/1 {"nodes": "%s"}\n' "$list" >s
		kv sweep --merge --json s
		[ "$(jq -r '.groups[0].nodes' <<<"$out")" = "$(scontrol show hostlist "$list")" ] ||
			fail "$(scontrol show hostlist "$list") for $list"
		printf 'kvpath.sweep-state/1 {"nodes": "%s"}\n' "$(scontrol show hostlist "$list")" >s
		kv sweep --merge --json s
		[ "$(jq -r '.nodes[].name' <<<"$out")" = "$(tr , '\n' <<<"$list")" ] || fail "not $list"
	done
}
