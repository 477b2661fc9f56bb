#!/usr/bin/env bats
# Facts of hosts, from recorded trees: stand-ins made by tests/hosts/hosts.py. There is no EFA here.

load helper

# recorded NAME [CHANGE...]: a host's tree in $tree.
recorded() {
	tree=$BATS_TEST_TMPDIR/host
	rm -rf "$tree"
	"$top/tests/hosts/hosts.py" "$1" "$tree" "${@:2}"
	mkdir -p "$BATS_TEST_TMPDIR/empty"
}

# The check of a target that has nothing, on that host: what is found beside KV203 is the host's.
on_host() {
	recorded "$@"
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	ended 1 3
}

@test "each host: cards, GPUs, devices and how near they are" {
	local name efas gpus others device nearest distance
	while read -r name efas gpus others device nearest distance; do
		on_host "$name"
		json ".host.efa | length == $efas and all(.device == \"$device\" and .driver == \"efa\")"
		json ".host.gpus | length == $gpus and all((.nearest_efa | length == $nearest) and .distance == \"$distance\")"
		json "[.devices[] | select(.kind == \"efa\")] | length == $efas and all(.usable and .p2p == \"yes\")"
		json "[.devices[] | select(.kind != \"efa\")] | length == $others and all(.kind == \"mlx5_core\" and .usable)"
		json '.host | .instance_type and .kernel and .modules.efa and .modules.nvidia == "open"
			and .modules.nvidia_version and .limits.memlock == null and .limits.memlock_known
			and .limits.huge_pages.free > 0 and .covered == []'
	done <<-END
		p4d 4 8 0 efa0 1 root-complex
		p5 32 8 0 efa1 4 switch
		p5en 16 8 0 efa2 4 switch
		p6-b200 8 8 2 efa3 2 switch
		p6-b300 16 8 2 efa3 2 switch
		p6e-gb200 16 4 0 efa3 2 switch
	END
}

@test "a host's NUMA nodes and names are its own" {
	on_host p5
	json '.devices[0].name == "rdmap79s0" and .devices[31].name == "rdmap201s0"'
	json '.host.efa | map(.numa) | (.[0:16] | all(. == 0)) and (.[16:] | all(. == 1))'
	on_host p4d
	json '[.devices[].name] == ["rdmap16s27", "rdmap32s27", "rdmap144s27", "rdmap160s27"]'
}

@test "the text counts what is many" {
	recorded p5
	kv check --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	says p5.48xlarge "32 EFA cards, 32 verbs devices of EFA, 32 usable; 8 GPUs" "4 EFA at distance switch"
}

@test "the target / on a recorded host, without being root" {
	open_dir
	"$top/tests/hosts/hosts.py" p5en "$open/host"
	chmod -R a+rX "$open"
	kv_nobody check --json --sysroot "$open/host" /
	ended 0 1 3
	json '.target.kind == "live" and .host.instance_type == "p5en.48xlarge"'
	json '[.findings[].id] | index("KV612") | not'
	rm -rf "$open"
}

@test "the same tree gives the same bytes" {
	on_host p6-b200
	first=$out
	on_host p6-b200
	[ "$out" = "$first" ] || fail "another answer"
}

@test "links of a tree do not lead out of it" {
	mkdir -p "$BATS_TEST_TMPDIR/outside"
	echo "Amazon EC2" >"$BATS_TEST_TMPDIR/outside/sys_vendor"
	echo "outside" >"$BATS_TEST_TMPDIR/outside/product_name"
	recorded p5
	rm -r "$tree/sys/devices/virtual/dmi/id"
	ln -s "$BATS_TEST_TMPDIR/outside" "$tree/sys/devices/virtual/dmi/id"
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	json '.host.instance_type == null'
}

@test "errors that were recorded come back" {
	recorded p5
	echo "error /sys/class/infiniband_verbs EACCES" >>"$tree/kvpath-host"
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	json '.devices == [] and (.host.efa | length == 32)'
}

@test "a tree made by hand needs no index" {
	recorded p4d
	rm "$tree/kvpath-host"
	mkdir -p "$tree/dev/infiniband"
	touch "$tree/dev/infiniband/uverbs1"
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	json '[.devices[] | select(.usable) | .name] == ["rdmap32s27"]'
}

@test "recorded variables are the job's; --env wins" {
	recorded p4d env:NIXL_PLUGINS_DIR=/recorded
	kv check --json --sysroot "$tree" /
	json '.findings[] | select(.id == "KV206") | .detail | contains("/recorded")'
	kv check --json --sysroot "$tree" --env NIXL_PLUGINS_DIR=/given /
	json '.findings[] | select(.id == "KV206") | .detail | contains("/given")'
	# This process's own variables are not those of the recorded host.
	NIXL_PLUGINS_DIR=/here kv check --json --sysroot "$tree" /
	json '.findings[] | select(.id == "KV206") | .detail | contains("/recorded")'
}

@test "no such tree, another version, a device in its place" {
	kv check --sysroot "$BATS_TEST_TMPDIR/none" /
	ended 2
	one_line --sysroot none
	recorded p4d
	echo "kvpath-host 2" >"$tree/kvpath-host"
	kv check --sysroot "$tree" /
	ended 2
	one_line "kvpath-host 1"
	kv check --sysroot /dev/null /
	ended 2
	one_line /dev/null
}

@test "a directory without a host has no host in its report" {
	mkdir "$BATS_TEST_TMPDIR/bare"
	kv check --json "$BATS_TEST_TMPDIR/bare"
	json '.host == null and .devices == []'
	kv check --json --image /
	json '.host == null'
}

# finds [ID:SEVERITY...]: what the rules of hosts found, and no more.
finds() {
	local want have
	want=$(printf '%s\n' "$@" | sort)
	have=$(jq -r '.findings[] | select(.id | test("^KV(214|30[56]|31[3-9]|320|40[5-9]|41[0-6]|5..|6..)$"))
		| "\(.id):\(.severity)"' <<<"$out" | sort)
	[ "$want" = "$have" ] || fail "found $(echo $have), not $*"
}

# The container with libfabric 2.3.0 (F1) in front, as a mount would put it, on that host.
job_on() {
	local name=$1 lib
	container
	lib=$("$top/tests/roots/fabric" F1 2>/dev/null)/opt/amazon/efa/lib/libfabric.so.1.29.0
	tree=$BATS_TEST_TMPDIR/host
	rm -rf "$tree"
	"$top/tests/hosts/hosts.py" "$name" "$tree" "${@:2}"
	kv check --json --sysroot "$tree" --mount "$lib:${plugins%/plugins}/libfabric.so.1" "$container"
	ended 0 1
}
plugins=/usr/local/lib/python3.11/dist-packages/.nixl_cu13.mesonpy.libs/plugins

@test "healthy hosts: nothing is found" {
	local name
	for name in p4d p5 p5en p6-b200 p6-b300 p6e-gb200; do
		on_host "$name"
		finds
	done
}

@test "healthy hosts with a real job: nothing is found" {
	local name
	for name in p4d p5 p5en p6-b200 p6-b300 p6e-gb200; do
		job_on "$name"
		json '.nixl[0].plugins[] | select(.name == "LIBFABRIC") | .loads == "yes"'
		finds
	done
}

@test "KV305: no node; nodes for some are a grant" {
	on_host p5 efa:absent
	finds KV305:error
	json '[.findings[] | select(.id == "KV305")][0].evidence | length == 32'
	on_host p5 efa:EACCES
	finds KV305:error
	on_host p5 efa:wrong
	finds KV305:error
	on_host p6-b200 efa:absent mlx5:absent
	finds KV305:error
	on_host p5 efa:absent uverbs3:ok uverbs4:ok
	finds KV503:info
}

@test "KV306: the device cgroup" {
	on_host p5 efa:EPERM
	finds KV306:error
	on_host p5 efa:absent uverbs7:EPERM
	finds KV306:error
}

@test "KV314: a device that is shown and closed" {
	on_host p6-b200 mlx5:EPERM
	finds KV314:error
	json '[.findings[] | select(.id == "KV314")][0].evidence | map(.path) | index("/dev/infiniband/uverbs8")'
	on_host p6-b200 mlx5:ENXIO
	finds KV314:error
	# What is not shown does no harm.
	on_host p6-b200 mlx5:absent
	finds
	# Of libibverbs some pass over it, some do not.
	on_host p6-b200 mlx5:EACCES
	finds KV314:warning
	# An EFA device of another job, shown by a hostPath.
	on_host p5 uverbs31:EPERM
	finds KV314:error KV503:info
	job_on p6-b200 mlx5:EPERM
	finds KV314:error
}

@test "KV315: sysfs that hides" {
	local tmpfs='/proc/1/mountinfo=40 23 0:50 / /sys/class/infiniband_verbs rw - tmpfs tmpfs rw'
	on_host p5 -/sys/class/infiniband -/sys/class/infiniband_verbs /sys/class/infiniband_verbs/abi_version=6 "$tmpfs" \
		env:MELLANOX_VISIBLE_DEVICES=all
	finds KV315:error
	says tmpfs
	# Only the second directory.
	on_host p5 -/sys/class/infiniband
	finds KV315:error
	# The tree of cards hidden too: the mount tells.
	on_host p5 -/sys/class/infiniband -/sys/class/infiniband_verbs -/sys/bus/pci "$tmpfs"
	finds KV315:error
	# Some of them.
	on_host p4d -/sys/class/infiniband/rdmap16s27
	finds KV315:warning KV503:info
	# The variable alone hides nothing.
	on_host p5 env:MELLANOX_VISIBLE_DEVICES=all
	finds
	# Something mounted there that shows everything.
	on_host p5 "$tmpfs"
	finds
}

@test "KV315, KV316: what enroot would do, of a target without a host" {
	mkdir -p "$BATS_TEST_TMPDIR/empty"
	kv check --json --env MELLANOX_VISIBLE_DEVICES=all "$BATS_TEST_TMPDIR/empty"
	finds KV315:warning
	kv check --json --env MELLANOX_VISIBLE_DEVICES=void "$BATS_TEST_TMPDIR/empty"
	finds
	kv check --json --env ENROOT_RESTRICT_DEV=y "$BATS_TEST_TMPDIR/empty"
	finds KV316:warning
}

@test "KV316: enroot's small /dev" {
	on_host p5 efa:absent env:ENROOT_RESTRICT_DEV=y
	finds KV316:error
	on_host p5 efa:absent env:ENROOT_RESTRICT_DEV=n
	finds KV305:error
	on_host p5 env:ENROOT_RESTRICT_DEV=y
	finds
}

# memlock SOFT HARD: as /proc/self/limits has it.
memlock() {
	printf '/proc/1/limits=Limit  Soft Limit  Hard Limit  Units\\nMax locked memory         %-20s %-20s bytes' "$@"
}

@test "KV317: locked memory" {
	on_host p5 "$(memlock 65536 65536)"
	finds KV317:error
	on_host p5 "$(memlock 8388608 8388608)"
	finds KV317:error
	on_host p4d "$(memlock 67108864 unlimited)"
	finds KV317:warning
	on_host p5 "$(memlock 17179869184 unlimited)"
	finds
	# Root of the first user namespace with CAP_IPC_LOCK is held by no limit; another's root is.
	on_host p5 "$(memlock 65536 65536)" $'/proc/1/status=CapEff:\t000001ffffffffff'
	finds
	on_host p5 "$(memlock 65536 65536)" $'/proc/1/status=CapEff:\t000001ffffffffff' '/proc/1/uid_map=0 100000 65536'
	finds KV317:error
	# What is not known is not judged, nor a job without EFA.
	on_host p5 -/proc/1/limits
	finds
	on_host p5 "$(memlock 65536 65536)" efa:absent
	finds KV305:error
}

@test "KV318: the cgroup's memory" {
	on_host p5 /sys/fs/cgroup/memory.max=4294967296
	finds KV318:warning
	on_host p5 /sys/fs/cgroup/memory.max=137438953472
	finds
	on_host p5 '/proc/1/cgroup=0::/kubepods/pod1' /sys/fs/cgroup/kubepods/memory.max=1073741824 \
		/sys/fs/cgroup/kubepods/pod1/memory.max=max
	finds KV318:warning
	on_host p5 '/proc/1/cgroup=4:memory:/x' /sys/fs/cgroup/memory/memory.limit_in_bytes=1073741824
	finds KV318:warning
	on_host p5 '/proc/1/cgroup=4:memory:/x' /sys/fs/cgroup/memory/memory.limit_in_bytes=9223372036854771712
	finds
}

# no_peer NAME: every EFA of that host without a peer in its driver, as changes.
no_peer() {
	python3 - "$top/tests/hosts" "$1" <<-'END'
		import sys
		sys.path.insert(0, sys.argv[1])
		import hosts
		for s in hosts.HOSTS[sys.argv[2]]["switches"]:
		    for bus in s.efa:
		        print(f"/sys/bus/pci/devices/0000:{bus:02x}:{s.slot}/p2p=")
	END
}

@test "KV407, KV408, KV411: no way to GPU memory" {
	local peers closed='NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12'
	mapfile -t peers < <(no_peer p5)
	job_on p5 "${peers[@]}"
	finds KV408:error
	job_on p5 "${peers[@]}" "/proc/driver/nvidia/version=$closed"
	finds KV411:error
	job_on p5 "${peers[@]}" /proc/sys/kernel/osrelease=5.10.0-aws env:FI_EFA_FORK_SAFE=1
	finds KV407:error
	# The old driver with the closed module, where the peer is there.
	job_on p5 "/proc/driver/nvidia/version=$closed"
	finds
	# One device tells another thing than the rest: nothing is concluded.
	job_on p5 "${peers[@]:1}"
	finds
}

@test "KV408: only where libfabric is known, or dmabuf is turned off" {
	local peers
	mapfile -t peers < <(no_peer p5)
	on_host p5 "${peers[@]}"
	finds
	on_host p5 "${peers[@]}" env:FI_HMEM_CUDA_USE_DMABUF=0
	finds KV408:error
}

@test "KV410: an IOMMU that translates" {
	local peers
	mapfile -t peers < <(no_peer p4d)
	job_on p4d "${peers[@]}" /sys/bus/pci/devices/0000:10:1b.0/iommu_group/type=DMA-FQ
	finds KV408:error KV410:warning
	job_on p4d "${peers[@]}" /sys/bus/pci/devices/0000:10:1b.0/iommu_group/type=identity
	finds KV408:error
	job_on p4d /sys/bus/pci/devices/0000:10:1b.0/iommu_group/type=DMA-FQ
	finds
}

@test "KV501: no PCI tree" {
	on_host p5 -/sys/bus/pci
	finds KV501:warning
	on_host p5 -/sys/bus/pci -/proc/driver/nvidia/version
	finds
}

@test "KV503: fewer than the type takes, or than are there" {
	on_host p6e-gb200 -/sys/class/infiniband_verbs/uverbs0 -/sys/devices/pci0000:1c/0000:1c:00.0/0000:1d:01.0/0000:1e:01.0/0000:27:00.0 -/sys/bus/pci/devices/0000:27:00.0 -/sys/class/infiniband/rdmap39s0
	finds KV503:info
	says 15 "up to 16"
	# A type that is not in the table is judged by what is there.
	on_host p5 /sys/devices/virtual/dmi/id/product_name=p9.1000xlarge
	finds
}

@test "KV508: fork" {
	on_host p4d /proc/sys/kernel/osrelease=5.4.0-1100-aws
	finds KV508:warning
	on_host p4d /proc/sys/kernel/osrelease=5.4.0-1100-aws env:FI_EFA_FORK_SAFE=1
	finds
	on_host p4d /proc/sys/kernel/osrelease=5.15.0
	finds
}

@test "KV510: huge pages" {
	local none='/proc/meminfo=HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB'
	on_host p5 "$none"
	finds KV510:info
	on_host p5 "$none" env:FI_EFA_USE_HUGE_PAGE=1
	finds KV510:warning
	on_host p5 "$none" env:FI_EFA_USE_HUGE_PAGE=0
	finds
	on_host p5 /sys/fs/cgroup/hugetlb.2MB.max=0
	finds KV510:info
	on_host p5 /sys/fs/cgroup/hugetlb.2MB.max=5368709120
	finds
}

@test "KV612: not attached, no driver, no verbs device, and what can not be told" {
	on_host p5 -/sys/class/infiniband_verbs -/sys/class/infiniband -/sys/bus/pci/devices /sys/bus/pci/devices/.keep=
	finds KV612:error
	says "no EFA card on the PCI bus" "takes up to 32"
	json '.verdict == "off-fabric"'
	recorded p5 -/sys/class/infiniband_verbs -/sys/class/infiniband -/sys/module/efa
	find "$tree/sys/devices" -name driver -type l -lname '*/efa' -delete
	find "$tree/sys/devices" -name 'infiniband*' -prune -exec rm -r {} +
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	finds KV612:error
	says "the efa driver is bound to none" "since 1.9.0" "not loaded"
	recorded p5 -/sys/class/infiniband_verbs -/sys/class/infiniband -/sys/module/ib_uverbs
	find "$tree/sys/devices" -name 'infiniband*' -prune -exec rm -r {} +
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	finds KV612:error
	says "made no verbs device" /sys/module/ib_uverbs
	container
	kv check --json --env NIXL_BACKEND=LIBFABRIC --sysroot "$BATS_TEST_TMPDIR/empty" "$container"
	finds KV612:error
	says "can not be told"
}

@test "KV214: a card that is newer than NIXL's list" {
	local changes=() bus
	for bus in 10 20 90 a0; do
		changes+=("/sys/bus/pci/devices/0000:$bus:1b.0/device=0xefa4")
	done
	on_host p4d "${changes[@]}"
	finds KV214:info
}

# unpacked TAR: its tree in $tree.
unpacked() {
	tree=$BATS_TEST_TMPDIR/unpacked
	rm -rf "$tree"
	mkdir "$tree"
	tar -xf "$1" -C "$tree"
}

@test "a recording of this machine gives the same report" {
	local tar=$BATS_TEST_TMPDIR/this.tar first
	kv check --json --record "$tar" --env FI_EFA_IFACE=all /
	ended 0 1 3
	first=$out
	[ "$(stat -c %a "$tar")" = 600 ] || fail "others may read it"
	unpacked "$tar"
	kv check --json --sysroot "$tree" /
	[ "$out" = "$first" ] || fail "another answer: $(diff <(echo "$first") <(echo "$out"))"
	diff <(echo "$first") "$tree/kvpath-report.json"
}

@test "a recording of each host gives the same report, and the same recording" {
	local name first
	for name in p4d p5 p5en p6-b200 p6-b300 p6e-gb200; do
		recorded "$name" uverbs1:EPERM env:FI_PROVIDER=efa
		echo "error /proc/meminfo EACCES" >>"$tree/kvpath-host"
		rm -f "$BATS_TEST_TMPDIR"/*.tar
		kv check --json --record "$BATS_TEST_TMPDIR/1.tar" --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
		first=$out
		unpacked "$BATS_TEST_TMPDIR/1.tar"
		kv check --json --record "$BATS_TEST_TMPDIR/2.tar" --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
		[ "$out" = "$first" ] || fail "another answer"
		kv check --json --sysroot "$BATS_TEST_TMPDIR/1.tar" "$BATS_TEST_TMPDIR/empty"
		[ "$out" = "$first" ] || fail "another answer from the tar itself"
		cmp "$BATS_TEST_TMPDIR/1.tar" "$BATS_TEST_TMPDIR/2.tar"
	done
}

@test "a recording holds what was read, and secrets masked" {
	local tar=$BATS_TEST_TMPDIR/this.tar
	recorded p5 '/proc/1/mountinfo=1 2 0:1 / /home/jane rw - nfs4 server:/home rw\n23 27 0:22 / /sys/class/infiniband rw - tmpfs tmpfs rw' \
		$'/proc/1/status=Name:\tsecretive\nCapEff:\t0' /etc/shadow=root
	kv check --quiet --record "$tar" --sysroot "$tree" --env NIXL_ETCD_ENDPOINTS=http://a:pw1@h:1,https://b:pw2@h:2/x@y \
		--env NIXL_API_TOKEN=pw3 --env FI_MY_SECRET=pw4 --env HOME=/home/pw5 --env FI_EFA_IFACE=rdmap79s0 "$BATS_TEST_TMPDIR/empty"
	ended 1
	unpacked "$tar"
	! grep -rE 'pw[1-9]|jane|secretive' "$tree"
	grep -q '^env NIXL_ETCD_ENDPOINTS=http://masked@h:1,https://masked@h:2/x@y$' "$tree/kvpath-host"
	grep -q '^env NIXL_API_TOKEN=masked$' "$tree/kvpath-host"
	grep -q '^env FI_EFA_IFACE=rdmap79s0$' "$tree/kvpath-host"
	[ ! -e "$tree/etc" ]
	[ -z "$(find "$tree" -path '*hw_counters*')" ]
}

@test "a recording replaces nothing unless told to" {
	local tar=$BATS_TEST_TMPDIR/this.tar
	echo precious >"$tar"
	kv check --record "$tar" /
	ended 2
	one_line this.tar --force
	[ "$(cat "$tar")" = precious ]
	kv check --quiet --record "$tar" --force /
	ended 0 1 3
	tar -tf "$tar" | grep -qx kvpath-host
	[ "$(stat -c %a "$tar")" = 600 ]
	kv check --record "$BATS_TEST_TMPDIR/none/x.tar" /
	ended 3
	one_line none/x.tar
	kv check --record "$BATS_TEST_TMPDIR/y.tar" "$BATS_TEST_TMPDIR"
	ended 2
	one_line --sysroot
	[ ! -e "$BATS_TEST_TMPDIR/y.tar" ]
}

@test "a recording that is damaged, or no recording" {
	local tar=$BATS_TEST_TMPDIR/p5.tar
	recorded p5
	kv check --quiet --record "$tar" --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	kv check "$tar"
	ended 2
	one_line --sysroot
	head -c 200000 "$tar" >"$BATS_TEST_TMPDIR/cut.tar"
	kv check --json --sysroot "$BATS_TEST_TMPDIR/cut.tar" "$BATS_TEST_TMPDIR/empty"
	ended 3
	one_line cut.tar
	tar -C "$tree" -cf "$BATS_TEST_TMPDIR/other.tar" proc
	kv check --json --sysroot "$BATS_TEST_TMPDIR/other.tar" "$BATS_TEST_TMPDIR/empty"
	ended 2 3
	one_line other.tar
}

# in_env K=V... -- WANT...: what the rules find in a directory with these variables.
in_env() {
	local vars=()
	while [ "$1" != -- ]; do
		vars+=(--env "$1")
		shift
	done
	shift
	mkdir -p "$BATS_TEST_TMPDIR/empty"
	kv check --json "${more[@]}" "${vars[@]}" "$BATS_TEST_TMPDIR/empty"
	ended 1
	finds "$@"
}
more=()

@test "variables: each one that is wrong, and nearly wrong" {
	in_env FI_PROVIDER=tcp -- KV313:error
	in_env FI_PROVIDER=^efa,shm -- KV313:error
	in_env FI_PROVIDER=^tcp --
	in_env FI_PROVIDER=shm,EFA --
	in_env FI_PROVIDER=efa-direct -- KV313:error
	in_env FI_PROVIDER= --
	in_env FI_EFA_MTU_SIZE= -- KV320:error
	in_env FI_EFA_TX_IOV_LIMIT=4 FI_EFA_RX_IOV_LIMIT=4 -- KV320:error KV320:error
	in_env FI_EFA_TX_SIZE=4 --
	in_env FI_EFA_USE_DEVICE_RDMA=0 -- KV405:error
	in_env FI_EFA_USE_DEVICE_RDMA=No -- KV405:error
	in_env FI_EFA_USE_DEVICE_RDMA=1 --
	in_env PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:64,expandable_segments:True -- KV412:warning
	in_env PYTORCH_ALLOC_CONF=expandable_segments:True -- KV412:warning
	in_env PYTORCH_CUDA_ALLOC_CONF=expandable_segments:False --
	in_env FI_HMEM_DISABLE_P2P=1 -- KV416:warning
	in_env FI_HMEM_DISABLE_P2P=0 --
	in_env FI_HMEM=system -- KV416:error
	in_env 'FI_HMEM=system;cuda' --
	in_env FI_EFA_USE_HUGE_PAGE=1 FI_EFA_FORK_SAFE=1 -- KV509:warning
	in_env FI_EFA_USE_HUGE_PAGE=1 RDMAV_FORK_SAFE=0 -- KV509:warning
	in_env FI_EFA_USE_HUGE_PAGE=1 FI_EFA_FORK_SAFE=0 --
	in_env FI_EFA_USE_HUGE_PAGE=0 FI_EFA_FORK_SAFE=1 --
}

@test "variables: knobs of frameworks" {
	kv check --json --env VLLM_NIXL_KVCACHE_BACKEND=LIBFABRIC --env TRTLLM_NIXL_KVCACHE_BACKEND=libfabric "$BATS_TEST_TMPDIR"
	json '[.findings[] | select(.severity == "warning") | .id] == ["KV208", "KV209"]'
	kv check --json --env TRTLLM_NIXL_KVCACHE_BACKEND=LIBFABRIC "$BATS_TEST_TMPDIR"
	json '[.findings[] | select(.severity == "warning")] == []'
}

@test "variables: of another backend, or for host memory, are no concern" {
	more=(--backend UCX)
	in_env FI_PROVIDER=tcp FI_HMEM=system FI_EFA_MTU_SIZE=1 --
	more=(--mem dram)
	in_env FI_HMEM=system FI_EFA_USE_DEVICE_RDMA=0 FI_HMEM_DISABLE_P2P=1 PYTORCH_ALLOC_CONF=expandable_segments:True --
}

@test "KV202: UCX where EFA is" {
	recorded p5
	kv check --json --sysroot "$tree" --backend UCX --env UCX_TLS=cuda_copy,tcp "$BATS_TEST_TMPDIR/empty"
	json '[.findings[] | select(.id == "KV202")][0] | .severity == "warning" and .evidence[0].text == "cuda_copy,tcp"'
	kv check --json --sysroot "$tree" --backend UCX --mem dram "$BATS_TEST_TMPDIR/empty"
	json '[.findings[] | select(.id == "KV202")] == []'
	on_host p5
	json '[.findings[] | select(.id == "KV202")] == []'
	recorded p5 efa:absent
	kv check --json --sysroot "$tree" --backend UCX "$BATS_TEST_TMPDIR/empty"
	json '[.findings[] | select(.id == "KV202")] == []'
}

@test "variables: what the host decides" {
	on_host p5 env:FI_EFA_IFACE=rdmap79s0
	finds
	on_host p5 env:FI_EFA_IFACE=rdmap7,rdmap16s27
	finds KV313:error
	on_host p5 env:FI_EFA_USE_HUGE_PAGE=1 env:FI_EFA_FORK_SAFE=1
	finds
	on_host p4d /proc/sys/kernel/osrelease=5.4.0 env:FI_EFA_USE_HUGE_PAGE=1 env:FI_EFA_FORK_SAFE=1
	finds KV509:warning
	on_host p4d env:FI_EFA_USE_DEVICE_RDMA=1
	finds
	on_host p4d env:FI_EFA_USE_DEVICE_RDMA=1 /sys/devices/virtual/dmi/id/product_name=g5.48xlarge
	finds KV406:error
}
