#!/usr/bin/env bats
# fix and undo where they could hurt: several at once, files that others changed, kernels and file
# systems that refuse, users without rights.

load helper

teardown() {
	[ -z "${holder:-}" ] || kill "$holder" 2>/dev/null || true
	[ -z "${mounted:-}" ] || umount -l "$mounted" || true
	[ -z "${work:-}" ] || rm -rf "$work"
	[ -z "${open:-}" ] || rm -rf "$open"
}

# $root: the container, pruned, to be repaired; $fabric: what to borrow from.
small() {
	[ "$(id -u)" = 0 ] || skip "needs root to build a container"
	work=$(mktemp -d /dev/shm/kvpath-safe.XXXXXX)
	root=$work/root
	"$top/tests/roots/small" "$root" 2>/dev/null
	fabric=$("$top/tests/roots/fabric" F1 2>/dev/null)/opt/amazon/efa
	api=/usr/local/lib/python3.11/dist-packages/nixl_cu13/_api.py
}

before() {
	"$top/tests/roots/manifest" --inode "$root" >"$work/before"
}

# The tree is to the byte, the inode and the nanosecond what it was.
untouched() {
	"$top/tests/roots/manifest" --inode "$root" >"$work/after"
	diff "$work/before" "$work/after" >"$work/diff" || fail "the tree differs: $(head -n 5 "$work/diff")"
}

@test "sixteen at once: one works, the others find it done" {
	small
	before
	local i n=0 pids=()
	for i in {1..16}; do
		"$KVPATH" fix --quiet --fabric "$fabric" "$root" >"$work/out.$i" 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || { ran=fix status=$? out=$(cat "$work"/out.*) err='' && fail "one of them failed"; }
	done
	ran="fix, 16 at once" status=0 err='' out=$(cat "$work"/out.*)
	n=$(grep -c 'operations done' <<<"$out")
	[ "$n" = 1 ] || fail "$n of them changed something"
	[ "$(grep -c 'nothing to do: ready' <<<"$out")" = 15 ] || fail "not all others found it done"
	[ "$(echo "$root"/var/lib/kvpath/0*)" = "$root/var/lib/kvpath/000001" ] || fail "not one journal"
	kv undo "$root"
	ended 0
	untouched
}

# one_repairs PID...: all of them end well, one of them repairs, and undo leaves no trace of any.
one_repairs() {
	local i
	for i in "$@"; do
		wait "$i" || { ran=fix status=$? out=$(cat "$work"/out.*) err='' && fail "one of them failed"; }
	done
	[ "$(cat "$work"/out.* | grep -c 'operations done')" = 1 ]
	kv undo "$root"
	ended 0
	untouched
}

@test "without flock (NFS) too" {
	small
	before
	local i pids=()
	for i in {1..6}; do
		strace -f -qq -o /dev/null -e trace=flock -e inject=flock:error=EBADF \
			"$KVPATH" fix --quiet --fabric "$fabric" "$root" >"$work/out.$i" 2>&1 &
		pids+=($!)
	done
	one_repairs "${pids[@]}"
}

# noflock DELAY OUT...: fix without flock, slowed down as strace says.
noflock() {
	strace -f -qq -o /dev/null -e trace=flock,newfstatat,mkdirat -e inject=flock:error=EBADF -e inject="$1" \
		"$KVPATH" fix --quiet --fabric "$fabric" "$root" >"$2" 2>&1
}

@test "without flock: what another is making is no state of the target" {
	small
	cp -a "$root" "$work/copy"
	before
	# The call after which it knows the times of /var/lib, while the other makes a directory there.
	strace -o "$work/calls" -e inject=flock:error=EBADF "$KVPATH" fix --quiet --fabric "$fabric" "$work/copy" >"$work/out" 2>&1
	local n pids=()
	n=$(sed '/^fsetxattr(.*guard/Q' "$work/calls" | grep -c '^newfstatat(')
	grep -q '^fsetxattr(.*guard' "$work/calls" || skip "no extended attributes here"
	noflock "newfstatat:delay_enter=900000:when=$n" "$work/out.1" &
	pids+=($!)
	sleep 0.3
	noflock "mkdirat:delay_exit=1500000:when=1" "$work/out.2" &
	pids+=($!)
	one_repairs "${pids[@]}"
}

@test "who has to wait says for what" {
	small
	mkfifo "$work/said"
	exec 8<>"$work/said"
	(flock 9 && exec sleep 60) 9<"$root" 8>&- &
	holder=$!
	until ! flock -n "$root" true; do sleep 0.05; done
	"$KVPATH" fix --quiet --fabric "$fabric" "$root" >"$work/out" 2>"$work/said" &
	local pid=$!
	timeout 30 head -n 1 <"$work/said" >"$work/line"
	grep -q 'waiting for .*kvpath' "$work/line"
	kill "$holder"
	wait "$pid"
	grep -q 'operations done' "$work/out"
}

# $root without any part of rdma-core.
without_rdma() {
	small
	rm -r "$root"/usr/lib/x86_64-linux-gnu/lib{efa,ibverbs,rdmacm,nl-3,nl-route-3}[.-]*
	before
}

@test "what the host has of rdma-core goes along, once, and undo leaves nothing of it" {
	without_rdma
	local way host
	# Beside NIXL; and where its plugin's libraries find their own.
	for way in "F1h vram" "F2h dram"; do
		host=$("$top/tests/roots/fabric" "${way% *}" 2>/dev/null)
		kv fix --mem "${way#* }" --fabric "$host/opt/amazon/efa" "$root"
		ended 0
		says libefa.so.1 libibverbs.so.1 libefa-rdmav34.so 'operations done' 'now: ready'
		kv fix --mem "${way#* }" --fabric "$host/opt/amazon/efa" "$root"
		ended 0
		says 'nothing to do: ready'
		kv undo "$root"
		ended 0
		untouched
	done
}

@test "the host of a source, however that is named" {
	without_rdma
	local host dir
	host=$("$top/tests/roots/fabric" F1h 2>/dev/null)
	# /opt/amazon in a shared place.
	mkdir -p "$work/host/opt"
	cp -a "$host"/{usr,etc,lib,lib64} "$work/host/"
	cp -a "$host/opt/amazon" "$work/shared"
	ln -s "$work/shared" "$work/host/opt/amazon"
	ln -s "$host" "$work/link"
	for dir in "$host/opt/amazon/efa/" "$host/opt/amazon/efa/lib" "$work/host/opt/amazon/efa" "$work/link/opt/amazon/efa"; do
		kv fix --dry-run --fabric "$dir" "$root"
		ended 0
		says libefa.so.1 'afterwards: ready'
	done
	# A copy belongs to no system.
	kv fix --dry-run --fabric "$work/shared/efa" "$root"
	ended 1
	says "libefa.so.1, which neither this target nor $work/shared/efa has"
	untouched
}

@test "a file that was changed since stops undo; --force-file goes on" {
	small
	before
	kv fix --fabric "$fabric" "$root"
	ended 0
	echo '# mine' >>"$root$api"
	kv undo "$root"
	ended 1
	one_line "$api" --force-file
	kv undo --force-file /etc/os-release "$root"
	ended 2
	one_line /etc/os-release
	kv undo --force-file "$api" "$root"
	ended 0
	untouched
	kv undo --force-file "$api" "$root"
	ended 2
	one_line "$api"
}

@test "what fix made and somebody removed does not stop undo, also where fix made it anew" {
	small
	before
	kv fix --fabric "$fabric" "$root"
	ended 0
	rm "$root/opt/kvpath/fabric/"libfabric.so.1.*
	kv fix --fabric "$fabric" "$root"
	ended 0
	kv undo "$root"
	ended 0
	untouched
	kv fix --fabric "$fabric" "$root"
	ended 0
	rm -r "$root/opt/kvpath"
	kv undo "$root"
	ended 0
	untouched
}

@test "killed before there was a state directory: undo, and fix, leave no trace of that" {
	small
	before
	local command
	for command in undo "fix --fabric $fabric"; do
		strace -f -qq -o /dev/null -e trace=mkdirat -e inject=mkdirat:signal=KILL:when=1 \
			"$KVPATH" fix --quiet --fabric "$fabric" "$root" >/dev/null 2>&1 && fail "not killed"
		[ ! -e "$root/var/lib/kvpath" ]
		# shellcheck disable=SC2086 # words of a command line
		kv $command "$root"
		ended 0
		[ "$command" = undo ] || kv undo "$root"
		untouched
	done
}

# refused CALL ERROR [WHEN]: fix and undo with that call answered so by the kernel.
refused() {
	local command
	for command in "fix --quiet --fabric $fabric" undo; do
		# shellcheck disable=SC2086 # words of a command line
		into strace -f -qq -o "$work/trace" -e "trace=$1" -e "inject=$1:error=$2${3:+:when=$3}" \
			"$KVPATH" $command "$root"
		grep -q INJECTED "$work/trace" || fail "$1 was not called"
		[ "$status" = 0 ] || return 0
	done
}

@test "a kernel without openat2, a filter that refuses it: the same repair, the same undo" {
	small
	before
	local error
	for error in ENOSYS EPERM; do
		refused openat2 "$error"
		ended 0
		says 'operations taken back'
		untouched
	done
}

@test "a quota that is used up, a server that lost a file: one line, status 3, the tree the same" {
	small
	before
	refused mkdirat EDQUOT 5
	ended 3
	one_line "quota"
	untouched
	refused mkdirat ESTALE 5
	ended 3
	one_line "stale file handle"
	untouched
	kv fix --quiet --fabric "$fabric" "$root"
	ended 0
	into strace -f -qq -o "$work/trace" -e trace=renameat,renameat2 \
		-e inject=renameat,renameat2:error=ESTALE:when=1 "$KVPATH" undo "$root"
	grep -q INJECTED "$work/trace" || fail "nothing was renamed"
	ended 3
	one_line "stale file handle"
	kv undo "$root"
	ended 0
	untouched
}

@test "a full file system: one line, status 3, the tree the same" {
	small
	local used
	mkdir "$work/full"
	mount -t tmpfs -o size=1g kvpath-full "$work/full"
	mounted=$work/full
	cp -a "$root" "$work/full/root"
	root=$work/full/root
	used=$(df --output=used -B 4096 "$work/full" | tail -n 1)
	mount -o "remount,size=$(((used + 16) * 4096))" "$work/full"
	before
	kv fix --quiet --fabric "$fabric" "$root"
	ended 3
	one_line "no space left"
	untouched
}

@test "a read-only mount: one line, status 3, the tree the same, before fix and after it" {
	small
	mkdir "$work/mount"
	mount --bind "$root" "$work/mount"
	mounted=$work/mount
	mount -o remount,bind,ro "$work/mount"
	before
	kv fix --quiet --fabric "$fabric" "$work/mount"
	ended 3
	one_line "read-only file system"
	untouched
	kv fix --quiet --fabric "$fabric" "$root"
	ended 0
	before
	kv undo "$work/mount"
	ended 3
	one_line "read-only file system"
	untouched
}

@test "fix says what it can not tell, and changes nothing" {
	local root=$BATS_TEST_TMPDIR/root
	container
	cp -a --reflink=auto "$container" "$root"
	mv "$root/usr/bin/python3.11" "$root/usr/bin/interpreter"
	printf '#!/bin/sh\nexec /usr/bin/interpreter "$@"\n' >"$root/usr/bin/python3.11"
	chmod +x "$root/usr/bin/python3.11"
	"$top/tests/roots/manifest" "$root" >"$BATS_TEST_TMPDIR/before"
	kv fix --fabric "$("$top/tests/roots/fabric" F1)/opt/amazon/efa" "$root"
	ended 1
	[[ $out == *'whether its plugin LIBFABRIC loads can not be told'* ]] || fail "it does not say so"
	"$top/tests/roots/manifest" "$root" | cmp - "$BATS_TEST_TMPDIR/before"
}

@test "a virtual environment that can not be told stands in no other NIXL's way" {
	local root=$BATS_TEST_TMPDIR/root fabric venv
	container
	fabric=$("$top/tests/roots/fabric" F1)/opt/amazon
	cp -a --reflink=auto "$container" "$root"
	venv=$root/opt/stray
	mkdir -p "$venv/bin" "$venv/lib/python3.11/site-packages"
	ln -s /opt/gone/bin/python3.11 "$venv/bin/python3.11"
	ln -s python3.11 "$venv/bin/python3"
	echo 'home = /opt/gone/bin' >"$venv/pyvenv.cfg"
	cp -a "$root"/usr/local/lib/python3.11/dist-packages/{,.}nixl* "$venv/lib/python3.11/site-packages/"
	into "$top/tests/roots/run" --bind "$fabric:/opt/amazon" --bind "$(dirname "$KVPATH"):/kvpath" "$root" \
		/kvpath/kvpath run -- /bin/true
	ended 0
	kv fix --fabric "$fabric/efa" "$root"
	ended 0
	[[ $out == *'done (kvpath undo takes them back)'* ]] || fail "nothing was done"
}

# no_proc ARG...: kvpath as in a chroot where nobody has mounted it.
no_proc() {
	# shellcheck disable=SC2016 # for the shell in the namespace
	into unshare --mount sh -c 'mount -t tmpfs none /proc && exec "$@"' - "$KVPATH" "$@"
}

@test "a chroot without /proc: the same repair, and the same answer of a single file that is mounted" {
	small
	before
	local new
	new=$(realpath "$fabric/lib/libfabric.so.1")
	no_proc check --quiet --mount "$new:/usr/lib/x86_64-linux-gnu/libfabric.so.1.20.0" "$root"
	ended 1
	[ "$out" = "off-fabric: KV402, KV201" ] || fail "the mount was not read"
	no_proc fix --quiet --fabric "$fabric" "$root"
	ended 0
	says "operations done" ready
	kv check --quiet "$root"
	ended 0
	no_proc undo "$root"
	ended 0
	untouched
}
