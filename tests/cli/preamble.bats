#!/usr/bin/env bats
# render: the preamble is valid bash, keeps the look that people know, and fails the start where a step does.

load helper

setup() {
	preamble=$BATS_TEST_TMPDIR/preamble.sh
	"$KVPATH" render --for preamble >"$preamble"
}

# A kvpath that answers as told, to see what the preamble makes of it.
stand_in() {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\n%s\n' "$1" >"$BATS_TEST_TMPDIR/bin/kvpath"
	chmod +x "$BATS_TEST_TMPDIR/bin/kvpath"
}

start_job() {
	run env -u KVPATH PATH="$BATS_TEST_TMPDIR/bin:$PATH" bash -c ". '$preamble'; echo STARTED"
}

@test "the preamble is valid bash" {
	bash -n "$preamble"
	shellcheck -s bash "$preamble"
}

@test "the preamble starts the job when every step is well" {
	stand_in 'exit 0'
	start_job
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = '[bash_preamble] ===== NIXL LIBFABRIC Container Fix =====' ]
	[ "$(grep -c '^\[bash_preamble\] Step [0-9]*: .* ✓$' <<<"$output")" -eq 3 ]
	[ "${lines[-1]}" = STARTED ]
}

@test "the preamble fails the start when the repair does" {
	stand_in '[ "$1" != fix ] || { echo no repair; exit 1; }'
	start_job
	[ "$status" -ne 0 ]
	grep -q '^\[bash_preamble\] Step 2: .* ✗ (status 1)$' <<<"$output"
	grep -q '^\[bash_preamble\]   no repair$' <<<"$output"
	[[ $output != *STARTED* ]]
}

@test "the preamble fails the start when the check does" {
	stand_in '[ "$1" != check ] || exit 3'
	start_job
	[ "$status" -ne 0 ]
	grep -q '^\[bash_preamble\] Step 3: .* ✗ (status 3)$' <<<"$output"
	[[ $output != *STARTED* ]]
}

@test "the preamble fails the start when kvpath is not there" {
	run env KVPATH=/nowhere/kvpath bash -c ". '$preamble'; echo STARTED"
	[ "$status" -ne 0 ]
	[[ $output != *STARTED* ]]
}

@test "render asks for a dialect and names those it has" {
	run "$KVPATH" render
	[ "$status" -eq 2 ]
	[[ $output == *preamble*env* ]]
	run "$KVPATH" render --for cobol
	[ "$status" -eq 2 ]
}
