#!/usr/bin/env bats
# libkvpath as `make install` leaves it: pkg-config, the example, its ABI, and what it does to its caller.

load helper

setup_file() {
	kvpath=${KVPATH:-$BATS_TEST_DIRNAME/../../build/bin/kvpath}
	export build stage=$BATS_FILE_TMPDIR/stage
	build=$(dirname "$(dirname "$(realpath "$kvpath")")")
	DESTDIR=$stage meson install -C "$build" --no-rebuild --quiet --tags runtime,devel
}

setup() {
	so=$(find "$stage" -name 'libkvpath.so.*.*')
	export PKG_CONFIG_SYSROOT_DIR=$stage LD_LIBRARY_PATH
	PKG_CONFIG_LIBDIR=$(dirname "$(find "$stage" -name kvpath.pc)")
	export PKG_CONFIG_LIBDIR
	LD_LIBRARY_PATH=$(dirname "$so")
	mkdir -p "$BATS_TEST_TMPDIR/empty"
}

# compiled SOURCE [FLAG...]: the program $user, against the library.
compiled() {
	user=$BATS_TEST_TMPDIR/user
	# shellcheck disable=SC2046 # words
	cc -Wall -Wextra -Werror -Wno-unused-result -pthread "$@" $(pkg-config --cflags --libs kvpath) -o "$user"
}

@test "the ABI is the one that is written down" {
	# A change that adds is written down by: abidw as below, into src/lib/libkvpath.abi.
	run abidiff --headers-dir2 "$stage/usr/local/include" --drop-private-types "$top/src/lib/libkvpath.abi" "$so"
	[ "$status" = 0 ] || { echo "$output"; false; }
}

@test "abidiff would see a change" {
	# Without one function of the library's, and with an argument more.
	sed 's/kvpath_finding_repair;//' "$top/src/lib/libkvpath.map" >"$BATS_TEST_TMPDIR/map"
	cc -g -shared -fPIC -D_GNU_SOURCE -DKVPATH_VERSION='""' -DKVPATH_BINDIR='""' -I"$top/src" -I"$top/include" -fvisibility=hidden \
		-Wl,--version-script="$BATS_TEST_TMPDIR/map" -Wl,-soname,libkvpath.so.0 "$top"/src/lib/*.c -ljansson \
		-o "$BATS_TEST_TMPDIR/lib.so"
	run abidiff "$top/src/lib/libkvpath.abi" "$BATS_TEST_TMPDIR/lib.so"
	(((status & 8) != 0))
	[[ $output == *kvpath_finding_repair* ]]
}

@test "only names of its own, all with a version; libc and jansson are all that it needs" {
	run nm -D --defined-only "$so"
	[ -z "$(grep -vE ' (T kvpath_[a-z_]*@@KVPATH_0\.1|A KVPATH_0\.1)$' <<<"$output")" ]
	[ -z "$(readelf -d "$so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^lib(c|jansson)\.so')" ]
}

@test "the header is C11 and C++" {
	printf '#include <kvpath/kvpath.h>\nint main(void) { return !kvpath_version(); }\n' >"$BATS_TEST_TMPDIR/use.c"
	compiled -std=c11 -pedantic "$BATS_TEST_TMPDIR/use.c"
	"$user"
	compiled -x c++ -pedantic "$BATS_TEST_TMPDIR/use.c"
	"$user"
}

@test "the example says what kvpath check says" {
	container
	compiled "$top/examples/library/verdict.c"
	into "$user" "$container"
	ended 0
	[ "${out%%$'\n'*}" = off-fabric ] || fail "another verdict"
	diff <("$KVPATH" check --json "$container" | jq -r '.findings[] | select(.severity == "error") | .id + " " + .title') \
		<(tail -n +2 <<<"$out")
}

@test "the example: no such target, no such program" {
	compiled "$top/examples/library/verdict.c"
	into "$user" /nonexistent-kvpath
	ended 2
	one_line /nonexistent-kvpath
	KVPATH_PROGRAM=/nonexistent-kvpath/kvpath into "$user" /
	ended 2
	one_line /nonexistent-kvpath/kvpath
	# One that ends well and prints what is no document.
	KVPATH_PROGRAM=$(command -v echo) into "$user" /
	ended 2
	one_line
}

@test "a caller with threads, and without SIGCHLD: nothing of it changes" {
	compiled "$top/tests/tools/library_user.c"
	into "$user" "$BATS_TEST_TMPDIR/empty"
	ended 0
	says '2 2 2 2 2 2 2 2' 'fds same, state same'
}

@test "a program that hangs is ended at the deadline" {
	cat >"$BATS_TEST_TMPDIR/use.c" <<-'END'
		#include <kvpath/kvpath.h>
		#include <errno.h>
		int main(int argc, char **argv)
		{
			kvpath_options *o = kvpath_options_new();
			kvpath_result *r;

			(void)argc;
			kvpath_options_program(o, argv[1]);
			kvpath_options_deadline(o, 1);
			return kvpath_check("/", o, &r, 0) != -ETIMEDOUT;
		}
	END
	printf '#!/bin/sh\nexec tail -f /dev/null\n' >"$BATS_TEST_TMPDIR/hang"
	chmod +x "$BATS_TEST_TMPDIR/hang"
	compiled "$BATS_TEST_TMPDIR/use.c"
	into "$user" "$BATS_TEST_TMPDIR/hang"
	ended 0
}
