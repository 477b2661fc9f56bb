#!/usr/bin/env bats
# What the two programs may be linked with: kvpath starts in any container, and the probe brings
# nothing that could stand in for a library that is missing there.

load helper

@test "kvpath is static" {
	run readelf -W -l -d "$KVPATH"
	[ "$status" = 0 ]
	[[ $output != *INTERP* ]]
	[[ $output != *"(NEEDED)"* ]]
}

@test "both programs are for one machine" {
	machine() { readelf -W -h "$1" | sed -n 's/^ *Machine: *//p'; }
	[ -n "$(machine "$KVPATH")" ]
	[ "$(machine "$KVPATH")" = "$(machine "$probe")" ]
}

@test "kvpath-probe needs libc alone" {
	run bash -c 'readelf -W -d "$1" | sed -n "s/.*(NEEDED).*\[\(.*\)\]/\1/p" | grep -vE "^(libc\.so\.6|ld-linux-.*\.so\.[0-9])$"' _ "$probe"
	[ "$output" = "" ]
	readelf -W -d "$probe" | grep 'NEEDED.*\[libc\.so\.6\]'
}

@test "kvpath-probe needs at most GLIBC_2.34" {
	run bash -c 'readelf -W -V "$1" | grep -o "GLIBC_[0-9.]*" | sort -uV | tail -n 1' _ "$probe"
	[ "$status" = 0 ]
	[[ $output == GLIBC_* ]]
	[ "$(printf '%s\nGLIBC_2.34\n' "$output" | sort -V | tail -n 1)" = GLIBC_2.34 ]
}

@test "kvpath-probe has no run path" {
	run readelf -W -d "$probe"
	[ "$status" = 0 ]
	[[ $output != *PATH* ]]
}

@test "no program has an executable stack" {
	for f in "$KVPATH" "$probe"; do
		run readelf -W -l "$f"
		[[ $output == *GNU_STACK* ]]
		[[ $(grep GNU_STACK <<<"$output") != *RWE* ]]
	done
}
