#!/usr/bin/env bats
# Squashfs images as targets: the same answers as for the directory that they were made of, and clear
# errors for what cannot be done with them or is wrong with them.

load helper

teardown() {
	[ -z "${open:-}" ] || rm -rf "$open"
}

# image KIND: the real broken container as an image (tests/roots/image).
image() {
	container
	image=$("$top/tests/roots/image" 1.5.0 "$1" 2>/dev/null)
}

# small OPTION...: a little root as an image.
small() {
	local tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/etc" "$tree/usr/lib"
	printf 'ID=debian\nVERSION_ID="12"\n' >"$tree/etc/os-release"
	image=$BATS_TEST_TMPDIR/small.sqsh
	rm -f "$image"
	mksquashfs "$tree" "$image" -no-progress -quiet "$@" >/dev/null
}

# What differs between a directory and its image by intent.
neutral() {
	sed 's/"kind": "[a-z]*"/"kind": ""/; s#"path": "'"$1"'"#"path": ""#; s#"target": "'"$1"'"#"target": ""#'
}

same() {
	local from_dir
	kv "$@" --json "$container"
	from_dir=$(neutral "$container" <<<"$out")
	kv "$@" --json "$image"
	[ "$(neutral "$image" <<<"$out")" = "$from_dir" ] || fail "another answer than for the directory"
	[ -z "$err" ] || fail "stderr is not empty"
}

@test "the same findings for a directory and its image, in every compression" {
	for kind in gzip zstd lzo lz4 xz none; do
		image "$kind"
		same check
		ended 1
		json '.target.kind == "image" and .verdict == "off-fabric"'
		json '[.findings[] | .id] | index("KV101") and index("KV201")'
	done
}

@test "the same findings with the options of enroot and of two clouds" {
	for kind in enroot hyperpod ami; do
		image "$kind"
		same check
		ended 1
		same check --mem dram
		same check --backend UCX
	done
}

@test "why and fix --dry-run answer for an image as for its directory" {
	image enroot
	plugin=/usr/local/lib/python3.11/dist-packages/.nixl_cu13.mesonpy.libs/plugins/libplugin_LIBFABRIC.so
	kv why --json "$container" "$plugin"
	ended 1
	from_dir=$out
	kv why --json "$image" "$plugin"
	ended 1
	[ "$out" = "$from_dir" ] || fail "another answer than for the directory"
	fabric=$("$top/tests/roots/fabric" F1 2>/dev/null)
	same fix --dry-run --fabric "$fabric"
	ended 0
	json '.done == "planned" and (.operations | length > 0)'
	kv render --for env --fabric "$fabric" "$image"
	ended 0
}

@test "a mount on an image" {
	image enroot
	fabric=$("$top/tests/roots/fabric" F1 2>/dev/null)
	same check --mount "$fabric:/opt/amazon/efa"
	json '.libfabric[] | select(.source == "mount")'
}

@test "a repaired root as an image needs no repair" {
	container
	open_dir
	"$top/tests/roots/container" 1.5.0 "$open/root" 2>/dev/null
	fabric=$("$top/tests/roots/fabric" F1 2>/dev/null)
	kv fix --fabric "$fabric" "$open/root"
	ended 0
	mksquashfs "$open/root" "$open/fixed.sqsh" -noI -noD -noF -noX -no-progress -quiet >/dev/null
	kv check --mem dram "$open/fixed.sqsh"
	ended 0
	says ready
	kv fix --dry-run --fabric "$fabric" "$open/fixed.sqsh"
	ended 0
	says "nothing to do"
}

@test "the image's /etc/environment is its environment; --env is on top" {
	container
	printf 'NIXL_PLUGINS_DIR=/somewhere\n' >"$BATS_TEST_TMPDIR/environment"
	image=$BATS_TEST_TMPDIR/env.sqsh
	mksquashfs "$container" "$image" -noI -noD -noF -noX -no-progress -quiet \
		-p "etc/environment f 644 0 0 cat $BATS_TEST_TMPDIR/environment" -e etc/environment >/dev/null
	kv check --json "$image"
	json '[.findings[] | .id] | index("KV206")'
	kv check --json --env NIXL_PLUGIN_DIR=/nowhere "$image"
	json '[.findings[] | .id] | index("KV205")'
	kv check --json "$container"
	json '[.findings[] | .id] | index("KV206") | not'
}

@test "what needs a directory says so" {
	small
	for c in "fix" "undo" "prove"; do
		kv "$c" "$image"
		ended 3
		one_line "$image" squashfs "$c"
	done
	kv run "$image" -- true
	ended 3
	one_line "$image" squashfs run
}

@test "an image without NIXL, for an unprivileged user" {
	small -comp lzo
	open_dir
	install -m 644 "$image" "$open/small.sqsh"
	kv_nobody check --json "$open/small.sqsh"
	ended 1 3
	json '.target.kind == "image" and .target.os == "debian 12"'
}

@test "other files say what is supported" {
	echo "no image" >"$BATS_TEST_TMPDIR/file"
	kv check "$BATS_TEST_TMPDIR/file"
	ended 3
	one_line "$BATS_TEST_TMPDIR/file" squashfs directory
}

@test "a damaged image: one line, status 3" {
	small
	used=$(od -An -tu8 -j 40 -N 8 "$image" | tr -d ' ')
	for n in 5 96 200 $((used / 2)) $((used - 1)); do
		head -c "$n" "$image" >"$BATS_TEST_TMPDIR/cut.sqsh"
		kv check "$BATS_TEST_TMPDIR/cut.sqsh"
		ended 3
		one_line cut.sqsh damaged
	done
	# The tables, whose places the superblock names.
	for at in 64 72; do
		cp "$image" "$BATS_TEST_TMPDIR/hole.sqsh"
		table=$(od -An -tu8 -j "$at" -N 8 "$image" | tr -d ' ')
		printf '\377\377\377\377\377\377' |
			dd of="$BATS_TEST_TMPDIR/hole.sqsh" bs=1 seek="$table" conv=notrunc status=none
		for c in check "fix --dry-run" "render --for env"; do
			# shellcheck disable=SC2086 # two words
			kv $c "$BATS_TEST_TMPDIR/hole.sqsh"
			ended 3
			one_line hole.sqsh damaged
		done
		kv why "$BATS_TEST_TMPDIR/hole.sqsh" /usr/lib/libx.so
		ended 3
		one_line hole.sqsh damaged
	done
}

@test "damage that shows late outweighs what was found before" {
	image enroot
	# A block in the middle of the plugin, which lies uncompressed in the image.
	cp "$image" "$BATS_TEST_TMPDIR/late.sqsh"
	table=$(od -An -tu8 -j 72 -N 8 "$image" | tr -d ' ')
	head -c 4096 /dev/urandom |
		dd of="$BATS_TEST_TMPDIR/late.sqsh" bs=1 seek=$((table + 60000)) conv=notrunc status=none
	kv check "$BATS_TEST_TMPDIR/late.sqsh"
	ended 3
	one_line late.sqsh damaged
}
