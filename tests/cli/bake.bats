#!/usr/bin/env bats
# bake: what a baked image is unpacked to must be the directory that fix leaves of the unpacked image, to the
# byte, and undo must work on it. And when it may not write.

load helper

# Later than any file of the images, so that it shows what is new.
epoch=2000000000

# The directory that all images of the container unpack to, and that after fix: their manifests and journal.
setup_file() {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	export fabric file=$BATS_FILE_TMPDIR
	local fixed=$file/fixed since
	fabric=$("$top/tests/roots/fabric" F1 2>/dev/null)
	unpack "$("$top/tests/roots/image" 1.5.0 enroot 2>/dev/null)" "$fixed"
	"$top/tests/roots/manifest" "$fixed" >"$file/before"
	since=$(date +%s)
	"$KVPATH" fix --fabric "$fabric" "$fixed" >/dev/null
	manifest "$fixed" "$since" >"$file/after"
	journal "$fixed" >"$file/journal"
	rm -rf "$fixed"
}

setup() {
	work=$BATS_TEST_TMPDIR
	baked=$work/baked.sqsh
	tree=$work/tree
	api=usr/local/lib/python3.11/dist-packages/nixl_cu13/_api.py
	export SOURCE_DATE_EPOCH=$epoch
	unset loop
}

teardown() {
	[ -z "${loop:-}" ] || umount "$loop"
	rm -rf "$tree"
}

# image KIND: the real broken container as an image.
image() {
	image=$("$top/tests/roots/image" 1.5.0 "$1" 2>/dev/null)
}

unpack() {
	rm -rf "$2"
	unsquashfs -quiet -no-progress -dest "$2" "$1" >/dev/null
}

# manifest ROOT SINCE: times of what fix or bake made become one word; the files of the journal have times and
# process numbers in them, and are compared by `journal`.
manifest() {
	"$top/tests/roots/manifest" "$1" | awk -F'\t' -v OFS='\t' -v since="${2}000000000" '
		$7 >= since + 0 { $7 = "new" }
		$1 ~ "^var/lib/kvpath/([0-9]+/journal|state|lock)$" { $6 = $10 = "-" }
		{ print }'
}

journal() {
	cut -c10- "$1/var/lib/kvpath/state" "$1"/var/lib/kvpath/0*/journal |
		jq -c 'del(.tag, .atime, .pre.atime?, .post.atime?)'
}

# same_text A B WHAT: or fails, and says where.
same_text() {
	diff "$1" "$2" >"$work/diff" || fail "$3: $(head -n 20 "$work/diff")"
}

# bakes KIND: the image, unpacked by the real tool and mounted by the kernel, is the repaired directory.
bakes() {
	image "$1"
	kv check "$image"
	ended 1
	kv bake --fabric "$fabric" "$image" -o "$baked"
	ended 0
	says "baked into $baked: ready"
	[ -z "$err" ] || fail "stderr is not empty"
	unpack "$baked" "$tree"
	manifest "$tree" "$epoch" >"$work/tree.txt"
	same_text "$file/after" "$work/tree.txt" "another tree than fix leaves"
	journal "$tree" >"$work/journal.txt"
	same_text "$file/journal" "$work/journal.txt" "another journal than fix leaves"
	mounts
	kv check --json "$baked"
	ended 0
	json '.verdict == "ready"'
}

# Not everywhere can a test mount.
mounts() {
	loop=$work/mount
	mkdir -p "$loop"
	if ! mount -t squashfs -o loop,ro "$baked" "$loop" 2>/dev/null; then
		unset loop
		echo "# not mounted" >&3
		return 0
	fi
	manifest "$loop" "$epoch" >"$work/mount.txt"
	umount "$loop"
	unset loop
	same_text "$file/after" "$work/mount.txt" "the kernel sees another tree"
}

@test "enroot's options: the baked image is the repaired directory; undo works on it" {
	bakes enroot
	kv undo "$tree"
	ended 0
	"$top/tests/roots/manifest" "$tree" >"$work/undone.txt"
	same_text "$file/before" "$work/undone.txt" "undo did not put everything back"
}

@test "gzip: the baked image is the repaired directory" {
	bakes gzip
}

@test "xz: the baked image is the repaired directory" {
	bakes xz
}

@test "lzo: the baked image is the repaired directory" {
	bakes lzo
}

@test "lz4: the baked image is the repaired directory" {
	bakes lz4
}

@test "zstd: the baked image is the repaired directory" {
	bakes zstd
}

@test "no compression: the baked image is the repaired directory" {
	bakes none
}

@test "the same image and plan make the same bytes; a repaired image is copied" {
	image enroot
	kv bake --fabric "$fabric" "$image" -o "$baked"
	ended 0
	kv bake --fabric "$fabric" --quiet -o "$work/again.sqsh" "$image"
	ended 0
	[ "$out" = "8 operations baked into $work/again.sqsh: ready" ] || fail "more than a line"
	cmp "$baked" "$work/again.sqsh"
	kv bake --fabric "$fabric" "$baked" -o "$work/copy.sqsh"
	ended 0
	says "nothing to do: $work/copy.sqsh is a copy of $baked"
	cmp "$baked" "$work/copy.sqsh"
	kv bake --json --fabric "$fabric" "$baked" -o "$work/copy.sqsh" --force
	ended 0
	json '.schema == "kvpath.bake/1" and .done == "copied" and .verdict == "ready" and .operations == []'
	json --arg out "$work/copy.sqsh" '.output == $out'
}

@test "two repairs, one after the other, and one undo" {
	image enroot
	kv bake --fabric "$fabric" "$image" -o "$baked"
	ended 0
	kv bake --fabric "$("$top/tests/roots/fabric" F2 2>/dev/null)" --backend UCX "$baked" -o "$work/two.sqsh"
	ended 0
	says "baked into"
	unpack "$work/two.sqsh" "$tree"
	[ -d "$tree/var/lib/kvpath/000002" ] || fail "there is no second journal"
	kv undo "$tree"
	ended 0
	"$top/tests/roots/manifest" "$tree" >"$work/undone.txt"
	same_text "$file/before" "$work/undone.txt" "undo did not put everything back"
}

# attribute FILE VALUE
attribute() {
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.tried", sys.argv[2].encode())' "$@"
}

@test "owners, attributes, hard links, devices and many names stay" {
	image enroot
	unpack "$image" "$tree"
	chown -R 1234:5678 "$tree/${api%/*}"
	chmod 2775 "$tree/opt"
	chgrp 77 "$tree/opt"
	ln "$tree/$api" "$tree/second-name"
	attribute "$tree/$api" yes
	attribute "$tree/${api%/*}" "$(printf '%0300d' 7)"
	attribute "$tree" root
	setcap cap_net_raw+ep "$tree/usr/bin/perl"
	for i in $(seq 6000); do
		printf '%s\n' "$tree/opt/a-name-that-is-not-short-$i"
	done | xargs touch
	mksquashfs "$tree" "$work/odd.sqsh" -comp gzip -noD -noF -no-progress -quiet >/dev/null
	kv bake --fabric "$fabric" "$work/odd.sqsh" -o "$baked"
	ended 0
	local since
	since=$(date +%s)
	unpack "$work/odd.sqsh" "$tree"
	kv fix --fabric "$fabric" "$tree"
	ended 0
	manifest "$tree" "$since" >"$work/after"
	unpack "$baked" "$tree"
	manifest "$tree" "$epoch" >"$work/tree.txt"
	same_text "$work/after" "$work/tree.txt" "another tree than fix leaves"
	[ "$(grep -c 'user.tried=' "$work/tree.txt")" = 5 ] || fail "attributes are lost"
	file=$work mounts
}


# nothing_left: no new image, and no trace of one.
nothing_left() {
	[ ! -e "$baked" ] || fail "there is a new image"
	[ -z "$(find "$work" -maxdepth 1 -name '.kvpath*')" ] || fail "something hidden is left"
}

@test "neither the image nor what exists is overwritten" {
	image enroot
	ln "$image" "$work/hard.sqsh" 2>/dev/null || cp --reflink=auto "$image" "$work/hard.sqsh"
	ln -s "$work/hard.sqsh" "$work/link.sqsh"
	ln -s nowhere "$work/dangling.sqsh"
	for name in hard.sqsh link.sqsh ./hard.sqsh; do
		for force in "" --force; do
			# shellcheck disable=SC2086 # or no word
			kv bake --fabric "$fabric" $force "$work/hard.sqsh" -o "$work/$name"
			ended 2
			one_line "$name" "the image itself"
		done
	done
	kv bake --fabric "$fabric" --force "$work/link.sqsh" -o "$work/hard.sqsh"
	ended 2
	echo mine >"$baked"
	for name in baked.sqsh dangling.sqsh; do
		kv bake --fabric "$fabric" "$image" -o "$work/$name"
		ended 2
		one_line "$name" "exists already" --force
	done
	[ "$(cat "$baked")" = mine ] || fail "it was overwritten"
	mkdir "$work/dir"
	for name in dir /dev/null; do
		kv bake --fabric "$fabric" --force "$image" -o "$(realpath -m "$work/$name" | sed "s#^$work/dev#/dev#")"
		ended 2
		one_line "not a regular file"
	done
	kv bake --fabric "$fabric" --force "$image" -o "$baked"
	ended 0
	kv check "$baked"
	ended 0
}

@test "wrong usage" {
	image enroot
	kv bake
	ended 2
	one_line "one image"
	kv bake "$image"
	ended 2
	one_line "-o FILE"
	kv bake -o
	ended 2
	kv bake "$image" "$image" -o "$baked"
	ended 2
	kv bake "$work/none.sqsh" -o "$baked"
	ended 2
	one_line none.sqsh
	kv bake / -o "$baked"
	ended 2
	one_line "kvpath fix"
	kv bake --how env "$image" -o "$baked"
	ended 2
	one_line "render"
	kv bake --fabric "$fabric" "$image" -o "$work/none/baked.sqsh"
	ended 3
	one_line "$work/none"
	SOURCE_DATE_EPOCH=soon kv bake --fabric "$fabric" "$image" -o "$baked"
	ended 2
	one_line "SOURCE_DATE_EPOCH"
	kv check -o "$baked" "$image"
	ended 2
	kv bake --help
	ended 0
	says "-o FILE" "--force" "--fabric"
	nothing_left
}

@test "where there is no repair nothing is written" {
	image enroot
	mkdir "$work/empty"
	kv bake --fabric "$work/empty" "$image" -o "$baked"
	ended 1
	says "no repair" "was not written"
	kv bake --json --fabric "$work/empty" "$image" -o "$baked"
	ended 1
	json '.done == "nothing" and .reason != null'
	nothing_left
}

@test "layered images: says what is supported, and the way out" {
	"$top/tests/roots/oci" >/dev/null 2>&1 || skip "no layered image"
	archive=$(find "$("$top/tests/roots/oci" 2>/dev/null)" -name '*.tar' | head -n 1)
	[ -n "$archive" ] || skip "no archive"
	kv bake --fabric "$fabric" "$archive" -o "$baked"
	ended 3
	one_line "squashfs" "kvpath fix"
	nothing_left
}

@test "damaged images: one line, status 3, no new image" {
	image gzip
	used=$(od -An -tu8 -j 40 -N 8 "$image" | tr -d ' ')
	cp "$image" "$work/bad.sqsh"
	# The table of inodes by number, which only writing reads; its first block.
	table=$(od -An -tu8 -j 88 -N 8 "$image" | tr -d ' ')
	block=$(od -An -tu8 -j "$table" -N 8 "$image" | tr -d ' ')
	printf '\377\377\377\377' | dd of="$work/bad.sqsh" bs=1 seek=$((block + 100)) conv=notrunc status=none
	kv check "$work/bad.sqsh"
	ended 1
	kv bake --fabric "$fabric" "$work/bad.sqsh" -o "$baked"
	ended 3
	one_line bad.sqsh damaged
	head -c $((used - 1)) "$image" >"$work/bad.sqsh"
	kv bake --fabric "$fabric" "$work/bad.sqsh" -o "$baked"
	ended 3
	one_line bad.sqsh "cut short"
	nothing_left
}

@test "killed at any moment, or interrupted, it leaves nothing" {
	image none
	for signal in KILL TERM INT; do
		for n in 1 2 3 4 5 6 7 8; do
			"$KVPATH" bake --fabric "$fabric" "$image" -o "$baked" >/dev/null 2>&1 &
			sleep "0.$(printf '%02d' $((RANDOM % 60)))"
			kill -"$signal" $! 2>/dev/null || true
			status=0
			wait $! || status=$?
			# It was done already.
			[ "$status" != 0 ] || rm "$baked"
			nothing_left
		done
	done
}

@test "a full file system: one line, status 3, nothing left" {
	image none
	loop=$work/full
	mkdir "$loop"
	if ! mount -t tmpfs -o size=100m none "$loop" 2>/dev/null; then
		unset loop
		skip "cannot mount"
	fi
	kv bake --fabric "$fabric" "$image" -o "$loop/baked.sqsh"
	ended 3
	one_line "$loop/baked.sqsh: " "No space left on device"
	[ -z "$(ls -A "$loop")" ] || fail "something is left"
}

@test "an unprivileged user bakes the same bytes" {
	image enroot
	kv bake --fabric "$fabric" "$image" -o "$baked"
	open_dir
	chmod 777 "$open"
	install -m 644 "$image" "$open/image.sqsh"
	cp -r "$fabric" "$open/fabric"
	kv_nobody bake --fabric "$open/fabric" "$open/image.sqsh" -o "$open/out.sqsh"
	ended 0
	cmp "$open/out.sqsh" "$baked"
	rm -rf "$open"
}
