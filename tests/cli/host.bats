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

@test "what is found names its places" {
	on_host p5 efa:absent
	json '[.findings[] | select(.id == "KV305")][0].evidence | length == 32'
	on_host p6-b200 mlx5:EPERM
	json '[.findings[] | select(.id == "KV314")][0].evidence | map(.path) | index("/dev/infiniband/uverbs8")'
	on_host p5 -/sys/class/infiniband -/sys/class/infiniband_verbs /sys/class/infiniband_verbs/abi_version=6 \
		'/proc/1/mountinfo=40 23 0:50 / /sys/class/infiniband_verbs rw - tmpfs tmpfs rw'
	says tmpfs
	on_host p6e-gb200 uverbs0:absent
	says "can use 15 EFA devices; 16 are attached"
	on_host p5 -/sys/class/infiniband_verbs -/sys/class/infiniband -/sys/bus/pci/devices /sys/bus/pci/devices/.keep=
	says "no EFA card on the PCI bus" "takes up to 32"
	recorded p5 -/sys/class/infiniband_verbs -/sys/class/infiniband -/sys/module/efa -/sys/module/ib_uverbs
	find "$tree/sys/devices" -name 'infiniband*' -prune -exec rm -r {} +
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	says "made no verbs device" /sys/module/ib_uverbs "not loaded"
	find "$tree/sys/devices" -name driver -type l -lname '*/efa' -delete
	kv check --json --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	says "the efa driver is bound to none" "since 1.9.0"
	kv check --json --env NIXL_BACKEND=LIBFABRIC --sysroot "$BATS_TEST_TMPDIR/empty" "$BATS_TEST_TMPDIR/empty"
	says "can not be told"
	on_host p5 env:FI_HMEM=system
	json '[.findings[] | select(.id == "KV416")][0].evidence == [{"path": "FI_HMEM", "text": "system"}]'
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
}

@test "a recording that is damaged, or no recording" {
	local tar=$BATS_TEST_TMPDIR/p5.tar
	recorded p5
	kv check --quiet --record "$tar" --sysroot "$tree" "$BATS_TEST_TMPDIR/empty"
	# One as they were before targets were recorded.
	unpacked "$tar"
	rm "$tree/kvpath-target"
	tar -C "$tree" --format gnu -cf "$BATS_TEST_TMPDIR/host.tar" kvpath-host sys proc
	kv check "$BATS_TEST_TMPDIR/host.tar"
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
