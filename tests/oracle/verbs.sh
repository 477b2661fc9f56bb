#!/usr/bin/env bash
# KV305, KV309, KV314 and what fix takes along of a host's rdma-core against the real libibverbs: does a library that finds no driver file see an EFA
# device, which devices does it list, and does kvpath say so, live, of the same /sys and /dev? The sysfs
# tree is synthetic (a stand-in for hardware; SYSFS_PATH points libibverbs to it, a bind mount kvpath), the
# libraries are the real ones: the target's own, and the pair with hashed names that F1b brings.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
roots=$here/../roots
kvpath=${KVPATH:-$here/../../build-gcc/bin/kvpath}
[ -x "$kvpath" ] || kvpath=$here/../../build/bin/kvpath

if [ -z "${KVPATH_VERBS_NS:-}" ]; then
	root=$("$roots/container" 1.5.0)
	source=$("$roots/fabric" F1b)
	host=$("$roots/fabric" F1h)
	KVPATH_VERBS_NS=1 exec unshare --mount --propagation private -- "${BASH_SOURCE[0]}" "$root" "$source" "$host"
fi

mount -t tmpfs -o mode=755 kvpath-verbs /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/up,workdir=/mnt/work" overlay /mnt/root
top=/mnt/root
mount -t proc proc $top/proc
mount -t tmpfs -o mode=755 kvpath-dev $top/dev
mknod -m 666 $top/dev/null c 1 3
mknod -m 666 $top/dev/urandom c 1 9
mkdir $top/dev/infiniband $top/f1b
mknod -m 666 $top/dev/infiniband/uverbs0 c 231 192
cp "$2"/opt/amazon/efa/lib/* $top/f1b/

# One EFA device, as sysfs shows it.
verbs=$top/sysfs/class/infiniband_verbs
ib=$top/sysfs/class/infiniband/rdmap0s6
mkdir -p $verbs/uverbs0/device $ib/device
echo 6 >$verbs/abi_version
echo rdmap0s6 >$verbs/uverbs0/ibdev
echo 1 >$verbs/uverbs0/abi_version
echo 231:192 >$verbs/uverbs0/dev
echo '1: CA' >$ib/node_type
echo 'pci:v00001D0Fd0000EFA1sv00001D0Fsd0000EFA1bc02sc00i00' |
	tee $ib/device/modalias >$verbs/uverbs0/device/modalias

cat >$top/devices.py <<'END'
import ctypes
import sys

libs = [ctypes.CDLL(path) for path in sys.argv[1:]]
n = ctypes.c_int(0)
libs[0].ibv_get_device_list.restype = ctypes.c_void_p
libs[0].ibv_get_device_list(ctypes.byref(n))
print(n.value)
END

failed=0
ok() {
	local name=$1 want=$2 have=$3
	if [ "$want" = "$have" ]; then
		echo "ok verbs: $name"
	else
		echo "not ok verbs: $name: expected $want, found $have"
		failed=1
	fi
}

devices() {
	SYSFS_PATH=/sysfs PYTHONDONTWRITEBYTECODE=1 chroot $top python3 /devices.py "$@" 2>/dev/null
}

hashed_verbs=/f1b/libibverbs-1de1263b.so.1.14.48.0
hashed_efa=/f1b/libefa-f5f6ec5c.so.1.2.48.0
ok "the target's own libibverbs finds its driver" 1 "$(devices libibverbs.so.1)"
ok "one with another driver directory does not" 0 "$(devices $hashed_verbs)"
ok "one whose libefa is loaded beside it sees EFA all the same" 1 "$(devices $hashed_verbs $hashed_efa)"

# A target without rdma-core, and the pair that fix takes along of the host's: the driver is found by its bare name,
# which is a link beside the others.
lib=usr/lib/x86_64-linux-gnu nixl=/usr/local/lib/python3.11/dist-packages/.nixl_cu13.mesonpy.libs
(cd $top && mkdir rdma && mv $lib/lib{efa,ibverbs,rdmacm,nl-3,nl-route-3}[.-]* $lib/libibverbs rdma/ && chroot . ldconfig)
"$kvpath" fix --quiet --mem dram --fabric "$3/opt/amazon/efa" $top >/dev/null
ok "the host's pair knows EFA in a target that has none" 1 "$(LD_LIBRARY_PATH=$nixl devices libibverbs.so.1)"
ok "kvpath: no KV309 of it" ready "$("$kvpath" check --json --mem dram $top | jq -r \
	'[.verdict, (.findings[] | select(.id == "KV309") | .id)] | join(" ")')"
"$kvpath" undo --quiet $top >/dev/null
(cd $top && mv rdma/* $lib/ && rmdir rdma && chroot . ldconfig)

# Nodes. No driver has major 231 here, so that opening one is ENXIO; the device 1:3 is null, which opens.
cat >$top/open.py <<'END'
import ctypes
import sys

lib = ctypes.CDLL("libibverbs.so.1", use_errno=True)
n = ctypes.c_int(0)
lib.ibv_get_device_list.restype = ctypes.POINTER(ctypes.c_void_p)
lib.ibv_open_device.argtypes = [ctypes.c_void_p]
lib.ibv_open_device.restype = ctypes.c_void_p
devices = lib.ibv_get_device_list(ctypes.byref(n))
for i in range(n.value):
    opened = lib.ibv_open_device(devices[i])
    print("opens" if opened else "closed")
END

opened() {
	SYSFS_PATH=/sysfs PYTHONDONTWRITEBYTECODE=1 chroot $top python3 /open.py 2>/dev/null
}

# As kvpath sees it, live: the ids of the host's findings, with their severities.
install -m 755 "$kvpath" $top/kvpath
live() {
	mount --bind $top/sysfs $top/sys
	chroot $top /kvpath check --json / >$top/report || true
	umount $top/sys
	jq -r '[.findings[] | select(.id | test("^KV(30[56]|31[4-6]|503|612)$")) | "\(.id):\(.severity)"] | join(" ")' \
		$top/report
}

mkdir -p $top/sysfs/bus/pci/drivers/efa $top/sysfs/bus/pci/drivers/mlx5_core
ln -s ../../../../bus/pci/drivers/efa $verbs/uverbs0/device/driver
ok "a device whose node opens with an error is listed all the same" closed "$(opened)"
ok "kvpath: KV305" KV305:error "$(live)"
rm $top/dev/infiniband/uverbs0
ok "a device whose node is missing is passed over" "" "$(opened)"
ok "kvpath: KV305 again" KV305:error "$(live)"
mknod -m 666 $top/dev/infiniband/uverbs0 c 1 3
ok "a node of another number is listed, and does not open" closed "$(opened)"
ok "kvpath: KV305 for what stands there" KV305:error "$(live)"
echo 1:3 >$verbs/uverbs0/dev
ok "kvpath: nothing where it opens" "" "$(live)"
# A second card, mlx5, that is shown and does not open.
mkdir -p $verbs/uverbs1/device $top/sysfs/class/infiniband/ibp115s0f0/device
echo ibp115s0f0 >$verbs/uverbs1/ibdev
echo 231:193 >$verbs/uverbs1/dev
echo 1 >$verbs/uverbs1/abi_version
echo '1: CA' >$top/sysfs/class/infiniband/ibp115s0f0/node_type
echo 'pci:v000015B3d00001021sv000015B3sd00000087bc02sc07i00' |
	tee $top/sysfs/class/infiniband/ibp115s0f0/device/modalias >$verbs/uverbs1/device/modalias
ln -s ../../../../bus/pci/drivers/mlx5_core $verbs/uverbs1/device/driver
ok "kvpath: nothing of a card whose node is missing" "" "$(live)"
mknod -m 666 $top/dev/infiniband/uverbs1 c 231 193
ok "the card is listed too now" 2 "$(opened | wc -l)"
ok "kvpath: KV314" KV314:error "$(live)"
rm $top/open.py $top/kvpath $top/report

# So the finding is a warning in that case, and the verdict stands.
rm -rf $top/f1b $top/sysfs $top/devices.py
umount $top/dev $top/proc
"$kvpath" fix --quiet --fabric "$2/opt/amazon/efa" $top >/dev/null
report=$("$kvpath" check --json $top)
ok "kvpath calls it a warning" warning \
	"$(jq -r '.findings[] | select(.id == "KV309") | .severity' <<<"$report")"
ok "and the target ready" ready "$(jq -r .verdict <<<"$report")"
exit $failed
