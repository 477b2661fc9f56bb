#!/usr/bin/env bats
# check and why: on this machine, on made-up roots, and on a real broken container.

load helper

plugins=/usr/local/lib/python3.11/dist-packages/.nixl_cu13.mesonpy.libs/plugins

teardown() {
	[ -z "${open:-}" ] || rm -rf "$open"
}

schema='
	.schema == "kvpath.check/1" and (.version | type == "string")
	and (.target | (.kind | IN("live", "directory", "image")) and has("path") and has("arch")
		and has("libc") and has("os"))
	and (.verdict | IN("on-fabric", "ready", "off-fabric", "unknown"))
	and ([.nixl, .libfabric, .devices, .findings] | all(type == "array"))
	and (.nixl | all(has("dist") and has("version") and has("path") and has("python")
		and (.default_backends | type == "array")
		and (.plugins | all(has("name") and has("path") and has("error")
			and (.loads | IN("yes", "no", "abort", "unknown")) and (.needs | type == "object")))))
	and (.libfabric | all(has("path") and has("release") and has("abi")
		and (.providers | type == "array") and (.source | IN("target", "mount", "fabric"))))
	and (.devices | all(has("name") and has("kind") and has("node") and has("usable")))
	and (.findings | all((.id | test("^KV[0-9]{3}$"))
		and (.severity | IN("error", "warning", "info")) and has("title") and has("detail")
		and (.evidence | all(has("path") and has("text")))
		and (.repair | has("automatic") and has("text"))))
'

@test "check / on a machine without NIXL: a clear answer, status 1" {
	kv_bare check /
	ended 1
	says NIXL off-fabric
	kv_bare check
	ended 1
	kv_bare check --json /
	ended 1
	json "$schema"
	json '.target.kind == "live" and .target.path == "/" and .verdict == "off-fabric" and .nixl == []'
}

@test "check / on this machine, whatever it is" {
	kv check --json /
	ended 0 1
	json "$schema"
}

@test "an empty directory is no crash" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	kv check "$BATS_TEST_TMPDIR/empty"
	ended 1 3
	kv check --json "$BATS_TEST_TMPDIR/empty"
	ended 1 3
	json "$schema"
}

@test "an unprivileged user may check what it can read" {
	open_dir
	mkdir -p "$open/root/etc" "$open/root/usr/lib"
	printf 'ID=debian\nVERSION_ID="12"\n' >"$open/root/etc/os-release"
	kv_nobody check --json "$open/root"
	ended 1 3
	json "$schema"
	json '.target.kind == "directory"'
}

@test "what lies in a directory that can be listed and not looked into is not known" {
	open_dir
	mkdir -p "$open/root/etc" "$open/root/opt/closed/what"
	kv_nobody check --json "$open/root"
	json '.verdict == "off-fabric"'
	chmod 744 "$open/root/opt/closed"
	kv_nobody check --json "$open/root"
	ended 3
	json '.verdict == "unknown" and (.findings[0] | .id == "KV203" and (.evidence | tostring | contains("/opt/closed/what")))'
}

@test "links that lead out of the root are read inside it" {
	open=$(mktemp -d /tmp/kvpath-cli.XXXXXX)
	mkdir -p "$open/root/etc" "$open/out"
	printf 'ID=outside\nVERSION_ID="66"\n' >"$open/out/os-release"
	ln -s "$open/out/os-release" "$open/root/etc/os-release"
	ln -s ../../../../../../../.. "$open/root/usr"
	kv check --json "$open/root"
	ended 1 3
	json '.target.os | tostring | contains("outside") | not'
}

@test "the container: text names the faults and the verdict" {
	container
	kv check "$container"
	ended 1
	says off-fabric KV101 KV201 FABRIC_1.7
	[[ $out != *$'\e'* ]] || fail "colour without a terminal"
	kv check --color always "$container"
	ended 1
	[[ $out == *$'\e['* ]] || fail "no colour although asked for"
}

@test "the container: --json as the design has it" {
	container
	kv check --json "$container"
	ended 1
	json "$schema"
	json '.target | .kind == "directory" and .arch == "x86_64" and .libc == "glibc 2.36" and .os == "debian 12"'
	json '.verdict == "off-fabric"'
	json '.nixl | length == 1'
	json '.nixl[0] | .dist == "nixl-cu13" and .version == "1.5.0" and .python == "3.11" and .default_backends == ["UCX"]'
	json '.nixl[0].plugins[] | select(.name == "LIBFABRIC") | .loads == "no" and (.needs["libfabric.so.1"] | index("FABRIC_1.7"))'
	json '.libfabric[] | select(.source == "target") | .release == "1.17.0" and .abi == "FABRIC_1.6"'
	json '[.findings[] | select(.severity == "error") | .id] | index("KV101") and index("KV201")'
}

# F2 without the file of its efa provider beside it: it loads, and has neither efa nor CUDA.
@test "a repair of KV307 and KV404 is promised where fix has one, and nowhere else" {
	container
	local f1 f2 automatic
	f1=$("$top/tests/roots/fabric" F1 2>/dev/null)/opt/amazon/efa
	f2=$("$top/tests/roots/fabric" F2 2>/dev/null)/opt/amazon/efa
	set -- --mount "$f2/lib/libfabric.so.1:/usr/lib/x86_64-linux-gnu/libfabric.so.1.20.0"
	automatic='[.findings[] | select(.id == "KV307" or .id == "KV404") | .repair.automatic]'
	kv check --json "$@" "$container"
	json "$automatic == [false, false]"
	kv fix --dry-run "$@" "$container"
	ended 1
	kv check --json --fabric "$f1" "$@" "$container"
	json "$automatic == [true, true]"
	kv fix --dry-run --json --fabric "$f1" "$@" "$container"
	ended 0
	json '.verdict == "ready"'
}

@test "the container: no false alarm on what the binding has loaded" {
	container
	kv check "$container"
	[[ $out$err != *libnixl_common* && $out$err != *libserdes* ]] || fail "false alarm"
	kv check --json "$container"
	json '[.findings[] | .id] | index("KV108") | not'
}

# A virtual environment or site-packages is no root of a system: what would load there is not told,
# which is not the same as that it does not load.
@test "a directory that is no root: can not tell, and says what to name instead" {
	container
	kv check --json "$container/usr/local"
	json '[.findings[] | select(.id == "KV151")] | length == 1 and .[0].severity == "warning"
		and (.[0].evidence[0].text | contains("no root of a system"))
		and (.[0].repair.text | contains("kvpath check /") or contains("name the root"))'
	json '[.findings[] | .id] | index("KV150") | not'
	# UCX is the default there and loads or not: nothing else is wrong with it.
	kv check --backend UCX --json "$container/usr/local"
	ended 3
	json '.verdict == "unknown"'
	kv fix --dry-run "$container/usr/local"
	ended 1
	says "no root of a system"
}

@test "the same root gives the same bytes" {
	container
	kv check --json "$container"
	first=$out
	for _ in 1 2 3; do
		kv check --json "$container"
		[ "$out" = "$first" ] || fail "another answer"
	done
}

@test "another backend is another question" {
	container
	kv check --backend UCX "$container"
	ended 0 1
	[[ $out != *KV101* ]] || fail "LIBFABRIC's fault for UCX"
	kv check --backend NOSUCH "$container"
	ended 1 2
}

@test "check executes nothing of the target, opens no socket and writes nowhere" {
	container
	strace -f -o "$BATS_TEST_TMPDIR/trace" -e trace=execve,execveat,socket,connect,openat,openat2,open,creat,unlink,unlinkat,rename,renameat2,mkdir,mkdirat,symlink,symlinkat,link,linkat,chmod,fchmod,fchmodat,chown,fchown,fchownat,utimensat,truncate,ftruncate \
		"$KVPATH" check "$container" >/dev/null 2>&1 || [ $? = 1 ]
	[ "$(grep -cE '(execve|execveat)\(' "$BATS_TEST_TMPDIR/trace")" = 1 ]
	! grep -E 'socket\(|connect\(|O_WRONLY|O_RDWR|O_CREAT|creat\(|unlink|rename|mkdir|symlink(at)?\(|link(at)?\(|chmod|chown|utimens|truncate' \
		"$BATS_TEST_TMPDIR/trace" | grep -v '/dev/\(null\|tty\)'
}

@test "why: how the loader decides for the plugin" {
	container
	kv why "$container" "$plugins/libplugin_LIBFABRIC.so"
	ended 1
	says libfabric.so.1 FABRIC_1.7
	kv why --json "$container" "$plugins/libplugin_LIBFABRIC.so"
	ended 1
	json '.schema == "kvpath.why/1" and .loads == "no" and (.error | contains("FABRIC_1.7"))
		and (.process | IN("bare", "python", "native"))
		and (.loaded | length > 0 and all(has("path") and has("soname") and has("requested_by")
			and (.tried | type == "array")
			and (.rule | IN("path", "rpath", "ld_library_path", "runpath", "cache", "default", "already-loaded"))))'
	kv why "$container" "$plugins/libplugin_UCX.so"
	ended 0
}

@test "why: a file that is not there, or is no ELF" {
	container
	kv why "$container" /nonexistent-kvpath.so
	ended 2
	one_line /nonexistent-kvpath.so
	kv why "$container" /etc/os-release
	ended 1 2
	[[ $out$err == *"ELF"* ]] || fail "it is not said that this is no ELF"
}

@test "a broken pipe ends it quietly" {
	container
	run bash -c '"$1" check "$2" 2>&1 >&- | head -c 2000; "$1" check "$2" 2>&1 | head -n 1 >/dev/null' _ "$KVPATH" "$container"
	[[ $output != *"ore dumped"* && $output != *egmentation* ]]
}

# What is the same container looks the same: other names and mounts of its directory, other users and places that
# kvpath is started from, files that have nothing to do with it, a library directory that is a link.
@test "check: the same container says the same, wherever and however it lies" {
	container
	# shellcheck disable=SC2016
	into env "TOP=$BATS_TEST_TMPDIR" "LOW=$container" "KV=$KVPATH" unshare --mount --propagation private bash -euc '
		cd "$TOP"
		mount -t tmpfs -o mode=755 kvpath-same .
		cd "$TOP"
		mkdir up work root "other näme" "other näme/ro"
		said() {
			"$@" >said.json || [ $? -eq 1 ]
			jq -S "del(.target.path)" said.json | sed s,/srv/lib/python,/usr/local/lib/python,g
		}
		same() {
			said "${@:2}" >this
			cmp -s this first || { echo "$1:"; diff first this | head -n 20; exit 1; }
		}
		said "$KV" check --json "$LOW" >first
		grep -q KV101 first
		same "from within" env -C "$LOW" "$KV" check --json .
		same "another locale" env LC_ALL=tr_TR.UTF-8 TZ=Asia/Tokyo "$KV" check --json "$LOW/"
		mount --bind "$LOW" "other näme/ro"
		mount -o remount,bind,ro "other näme/ro"
		same "another name, read-only" "$KV" check --json "other näme/ro"
		mount -t overlay -o "lowerdir=$LOW,upperdir=up,workdir=work" overlay root
		ln -s root link
		same "an overlay, through a link" "$KV" check --json link
		chown -h 1234:1234 root
		mkdir -p root/srv/data root/home/user/.cache
		for i in {1..40}; do echo x >root/srv/data/lib$i.so; done
		same "files besides, another owner" "$KV" check --json root
		mkdir empty
		same "mounts" "$KV" check --json --mount "$TOP/empty:/a" --mount "$TOP/up:/b" root
		same "mounts in another order" "$KV" check --json --mount "$TOP/up:/b" --mount "$TOP/empty:/a" root
		mv root/usr/local/lib root/srv/lib
		ln -s /srv/lib root/usr/local/lib
		same "its libraries through a link" "$KV" check --json root
	'
	ended 0
}

# NIXL counts GPUs in sysfs, and takes no UCX_TLS by which UCX leaves their memory out. What says that there is one is made up
# here; both NIXL and kvpath read it.
@test "UCX_TLS on a machine with a GPU: as the real NIXL takes it" {
	container
	mkdir -p "$BATS_TEST_TMPDIR/pci/0000:00:1e.0"
	printf '%s\n' 0x10de >"$BATS_TEST_TMPDIR/pci/0000:00:1e.0/vendor"
	printf '%s\n' 0x030200 >"$BATS_TEST_TMPDIR/pci/0000:00:1e.0/class"
	printf '%s\n' 0x2335 >"$BATS_TEST_TMPDIR/pci/0000:00:1e.0/device"
	for tls in tcp self,sm,tcp tcp,cuda_copy cuda,tcp all; do
		there=("$top/tests/roots/run" --bind "$BATS_TEST_TMPDIR/pci:/pci" --bind "$(dirname "$KVPATH"):/kvpath"
			--env "UCX_TLS=$tls" "$container" sh -c 'mount --bind /pci /sys/bus/pci/devices; exec "$@"' sh)
		real=$("${there[@]}" python3 - nixl_cu13 UCX <"$top/tests/roots/agent.py" 2>/dev/null | tail -n 1 | jq .instantiated)
		into "${there[@]}" /kvpath/kvpath check --json --backend UCX
		json "([.findings[] | select(.id == \"KV218\")] == []) == $real"
	done
}
