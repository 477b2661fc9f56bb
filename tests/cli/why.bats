#!/usr/bin/env bats
# kvpath why: which process, what it says of a file, and torch's preloads as the real python does them.

# shellcheck disable=SC2154 # set by the helpers
load helper

# lib FILE SONAME [NEEDED...]: a small library.
lib() {
	local file=$1 soname=$2
	shift 2
	mkdir -p "$(dirname "$file")"
	echo "int $(echo "$soname" | tr -c 'a-z0-9\n' _)(void) { return 0; }" >"$BATS_TEST_TMPDIR/lib.c"
	gcc -shared -fPIC -o "$file" -Wl,-soname,"$soname" -Wl,--no-as-needed "$BATS_TEST_TMPDIR/lib.c" "$@"
}

@test "a file that is nowhere is answered as the loader answers" {
	kv why --json --process bare / /nowhere/libx.so
	ended 1
	json '.loads == "no" and .error == "/nowhere/libx.so: cannot open shared object file: No such file or directory"'
}

@test "a program's start-up" {
	container
	kv why --json --process program "$container" /usr/bin/python3.11
	ended 0
	json '.process == "program" and .loads == "yes" and ([.loaded[].soname] | index("libc.so.6") != null)'
}

@test "what lies in a directory of ld.so.conf but not in the cache is told" {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	container
	lib "$BATS_TEST_TMPDIR/new/libkvtestnew.so.1" libkvtestnew.so.1
	echo /opt/kvnew >"$BATS_TEST_TMPDIR/kvnew.conf"
	kv why --json --process bare --mount "$BATS_TEST_TMPDIR/new:/opt/kvnew" \
		--mount "$BATS_TEST_TMPDIR/kvnew.conf:/etc/ld.so.conf.d/kvnew.conf" "$container" libkvtestnew.so.1
	ended 1
	json '.missing_tried[] | select(.rule == "cache") | .why | contains("/opt/kvnew")'
}

@test "names of a target do not reach a terminal as they are" {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	local dir=$'/opt/kv\e[31mred'
	container
	lib "$BATS_TEST_TMPDIR/red/libkvtestred.so.1" libkvtestred.so.1
	echo "$dir" >"$BATS_TEST_TMPDIR/kvred.conf"
	kv why --process bare --mount "$BATS_TEST_TMPDIR/red:$dir" \
		--mount "$BATS_TEST_TMPDIR/kvred.conf:/etc/ld.so.conf.d/kvred.conf" "$container" libkvtestred.so.1
	ended 1
	says '/opt/kv\x1b[31mred'
	[[ $out != *$'\e'* ]] || fail "an escape sequence"
}

@test "the libraries that torch preloads are there before NIXL comes" {
	local site=/usr/local/lib/python3.11/dist-packages work=$BATS_TEST_TMPDIR
	container
	lib "$work/nvidia/cublas/lib/libcublas.so.12" libcublas.so.12
	lib "$work/torch/lib/libtorch_global_deps.so" libtorch_global_deps.so \
		"$work/nvidia/cublas/lib/libcublas.so.12"
	cat >"$work/torch/__init__.py" <<-'END'
		def _load_global_deps():
		    try:
		        ctypes.CDLL(global_deps_lib_path, mode=ctypes.RTLD_GLOBAL)
		    except OSError as err:
		        cuda_libs: Dict[str, str] = {
		            "cublas": "libcublas.so.*[0-9]",
		            "cudnn": "libcudnn.so.*[0-9]",
		        }
	END
	kv why --json --process python --mount "$work/torch:$site/torch" --mount "$work/nvidia:$site/nvidia" \
		"$container" libcublas.so.12
	ended 0
	json ".loaded[0].rule == \"already-loaded\" and .loaded[0].path == \"$site/nvidia/cublas/lib/libcublas.so.12\""
	# Without the wheel nobody brings it.
	kv why --json --process python --mount "$work/torch:$site/torch" "$container" libcublas.so.12
	ended 1
}

# note FILE JSON NEEDED...: a library with a .note.dlopen, as the compiler makes it.
note() {
	local file=$1 text=${2//\"/\\\"}
	shift 2
	cat >"$BATS_TEST_TMPDIR/note.s" <<-END
		.section .note.dlopen, "a", %note
		.balign 4
		.long 2f - 1f, 4f - 3f, 0x407c0c0a
		1: .asciz "FDO"
		2: .balign 4
		3: .asciz "$text"
		4: .balign 4
	END
	gcc -shared -z noexecstack -o "$file" "$BATS_TEST_TMPDIR/note.s" "$@"
}

@test "what a library says that it may open is shown, found or not, and changes no verdict" {
	local work=$BATS_TEST_TMPDIR
	lib "$work/o/libkvfound.so.2" libkvfound.so.2
	local fast='{"feature":"speed","description":"Goes faster","priority":"suggested"'
	fast+=',"soname":["libkvnone.so.1","libkvfound.so.2"]}'
	note "$work/o/libkvnote.so" "[$fast,"'{"soname":["libkvnone.so.1"]}]' -Wl,-rpath,"$work/o"
	kv why --json --process bare / "$work/o/libkvnote.so"
	ended 0
	json ".optional[0] == {object: \"$work/o/libkvnote.so\", feature: \"speed\", description: \"Goes faster\",
		priority: \"suggested\", sonames: [\"libkvnone.so.1\", \"libkvfound.so.2\"], loads: \"yes\",
		path: \"$work/o/libkvfound.so.2\", error: null}"
	json '.optional[1] | .priority == "recommended" and .loads == "no" and .path == null and
		.error == "libkvnone.so.1: cannot open shared object file: No such file or directory"'
	json '[.loaded[].path | select(contains("kvfound"))] == []'
	kv why --process bare / "$work/o/libkvnote.so"
	ended 0
	[[ $out == *"libkvnote.so may open libkvnone.so.1 or libkvfound.so.2 (suggested, for speed): $work/o/libkvfound.so.2"* ]]
	[[ $out == *"may open libkvnone.so.1 (recommended): libkvnone.so.1: cannot open"* ]]
	# Nothing of the kind.
	kv why --json --process bare / libm.so.6
	json '.optional == []'
}

@test "many libraries are looked at by several threads as by one, and as the real loader does" {
	local work=$BATS_TEST_TMPDIR/many said whole
	mkdir "$work"
	# Eighty, each of which needs functions of two others; in the broken one's midst one that needs what nobody has.
	bash -e -s "$work" <<-'END'
		cd "$1"
		for i in {10..89}; do
			echo "int kv_a$((10 + (i - 9) % 80))(void), kv_b$((10 + i * 7 % 80))(void);
			int kv_a$i(void) { return kv_b$((10 + i * 7 % 80))(); } int kv_b$i(void) { return kv_a$((10 + (i - 9) % 80))(); }" >$i.c
			echo "gcc -shared -fPIC -nostdlib -o libkvmany$i.so $i.c"
		done >compile
		xargs -P 4 -I{} sh -c {} <compile
		echo 'int kv_nobody(void); int kv_lost(void) { return kv_nobody(); }' | gcc -shared -fPIC -nostdlib -o libkvlost.so -x c -
		link() { gcc -shared -nostdlib -Wl,-z,noexecstack -o "$1" -Wl,--no-as-needed -Wl,-rpath,"$PWD" "${@:2}"; }
		link libkvwhole.so libkvmany*.so
		link libkvbroken.so libkvmany[1-4]?.so libkvlost.so libkvmany[5-8]?.so
	END
	python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1], 2)' "$work/libkvwhole.so"
	said=$(python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1], 2)' "$work/libkvbroken.so" 2>&1 || :)
	said=${said##*OSError: }
	[[ $said == *"undefined symbol: kv_nobody" ]] || fail "the real loader says: $said"
	into taskset -c "$(taskset -pc $$ | sed 's/.*[ ,-]//')" "$KVPATH" why --json --process bare / "$work/libkvwhole.so"
	ended 0
	json '.loads == "yes" and (.loaded | length) > 80'
	whole=$out
	for _ in {1..10}; do
		kv why --json --process bare / "$work/libkvwhole.so"
		ended 0
		[ "$out" = "$whole" ] || fail "another answer than that of one thread"
		kv why --json --process bare / "$work/libkvbroken.so"
		ended 1
		[ "$(jq -r .error <<<"$out")" = "$said" ] || fail "not what the real loader says: $said"
	done
}
