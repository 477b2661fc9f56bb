#!/usr/bin/env bats
# report: what it takes and refuses. How the page looks: tests/report/page.py.

load helper

results=$BATS_TEST_DIRNAME/../report/results

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

@test "one file of any results, with the worst verdict at its head" {
	kv report "$results"/*.json -o r.html
	ended 0
	[ -z "$out$err" ] || fail "it is not silent"
	grep -q '<h1 class="off-fabric">Off the fabric</h1>' r.html || fail "no verdict"
	grep -q 'broken here: KV101' r.html || fail "the broken link is not marked"
	grep -q 'kvpath fix links libfabric' r.html || fail "no repair"
	! grep -qi '<script\|https\?:' r.html || fail "it runs or loads something"
	kv report "$results/check-after.json" -o ready.html
	ended 0
	grep -q '<h1 class="ready">Ready</h1>' ready.html || fail "not ready"
	kv report "$results/check-after.json"
	ended 0
	[ "$out" = "$(cat ready.html)" ] || fail "stdout has another page"
}

@test "a file that is there is replaced only by force" {
	echo mine >r.html
	kv report "$results/prove.json" -o r.html
	ended 2
	one_line r.html --force
	[ "$(cat r.html)" = mine ]
	kv report --force "$results/prove.json" -o r.html
	ended 0
	grep -q 'Off the fabric' r.html
}

@test "force takes away no device, no pipe, no /dev/stdout and no result" {
	mkfifo pipe
	ln -s /proc/self/fd/1 stdout
	ln -s pipe link
	cp "$results/prove.json" own.json
	ln -s own.json own.html
	for name in pipe stdout link .; do
		kv report --force own.json -o $name
		ended 2
		one_line "$name" "not a regular file"
	done
	[ -p pipe ] && [ "$(readlink stdout)" = /proc/self/fd/1 ] || fail "one of them was replaced"
	for name in own.json ./own.json own.html; do
		kv report --force "$results/check-after.json" own.json -o $name
		ended 2
		one_line "$name" "one of the results"
	done
	cmp own.json "$results/prove.json"
}

@test "what is no result is one line, and nothing is written" {
	local text
	while IFS='|' read -r text status word; do
		printf '%s' "$text" >bad.json
		kv report "$results/prove.json" bad.json -o r.html
		ended "$status"
		one_line bad.json "$word"
		[ ! -e r.html ] || fail "something was written"
	done <<-'END'
		|2|no JSON
		{"schema": "kvpath.check/1"|2|no JSON
		[]|2|schema
		{}|2|schema
		{"schema": 1}|2|schema
		{"schema": "other/1"|2|no JSON
		{"schema": "other/1"}|2|other/1
		{"schema": "kvpath.check/2"}|3|kvpath.check/2
		{"schema": "kvpath.check"}|3|kvpath.check/1
	END
	kv report absent.json -o r.html
	ended 2
	one_line absent.json
	kv report
	ended 2
	one_line RESULT.json
	kv report "$results/prove.json" -o absent/r.html
	ended 3
	one_line absent "No such file"
}

@test "a document whose fields are missing is still a page" {
	local kind
	for kind in check why prove bench log sweep size; do
		echo "{\"schema\": \"kvpath.$kind/1\"}" >bare.json
		kv report --force bare.json -o r.html
		ended 0
		grep -q '</html>' r.html || fail "$kind: no page"
		! grep -q '<h1 class="\(on-fabric\|ready\)"' r.html || fail "$kind: a verdict out of nothing"
	done
}
