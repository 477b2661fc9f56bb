#!/usr/bin/env python3
"""Stand-ins for EFA hosts: trees as kvpath check --sysroot reads them.

    hosts.py NAME DIR [CHANGE...]

There is no EFA hardware in any test. Each description below follows what is public about the instance
type; what is concluded and not seen is marked "derived". Sources:
- PCI ids, addresses, NUMA nodes: hwloc topologies in ai-dynamo/nixl test/unit/utils/libfabric/topo
  and aws/aws-ofi-nccl tests/unit/fixtures/topology
- counts: awslabs/awsome-distributed-ai gpu-cluster-healthcheck/instance-profiles.conf, NVIDIA/aicr#1256
- names of devices: linux-rdma/rdma-core kernel-boot/rdma_rename.c (decimal bus and slot)
- contents of files: amzn/amzn-drivers kernel/linux/efa (p2p, node_type, rate); linux-rdma/rdma-core#884
- huge pages: the EFA installer's efa-config, 110 MB twice for each CPU
- mlx5 devices of B200 and B300: ofiwg/libfabric#12708, aws-samples/aws-do-eks#63

A CHANGE makes one of these hosts a broken one:
    PATH=TEXT    a file with this text (\\n for a line's end)   -PATH   the file or tree taken away
    uverbs3:EPERM, efa:absent, mlx5:EPERM   how opening the node ends, or those of a driver
    memlock:SOFT:HARD   the limit of locked memory      no-peer   the efa driver has no peer for GPU memory
    env:K=V      a variable of the job
"""
import glob
import os
import shutil
import sys

LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max locked memory         %-20s %-20s bytes
"""


class Switch:
    """Cards below one PCI switch (bridges: its way from the root complex; none: directly below it)."""

    def __init__(self, numa, efa, gpus, bridges=(), root=None, slot="00.0", mlx5=()):
        self.numa, self.efa, self.gpus, self.bridges, self.slot, self.mlx5 = numa, efa, gpus, bridges, slot, mlx5
        self.root = root


def switches(groups, **more):
    """One switch for each (numa, EFA buses, GPU buses); derived: the numbers of the bridges."""
    made = []
    for i, (numa, efa, gpus, *rest) in enumerate(groups):
        top = min(list(efa) + list(gpus)) - 0x0b
        made.append(Switch(numa, efa, gpus, (top, top + 1, top + 2), top, mlx5=rest[0] if rest else (), **more))
    return made


def p5_group(numa, gpu):
    return numa, range(gpu - 4, gpu), [gpu]


HOSTS = {
    # Host bridges without a switch: one EFA and two GPUs of one bus, slots 1b, 1c, 1d.
    "p4d": dict(
        type="p4d.24xlarge", efa=0xefa0, gpu=0x20b0, cpus=96, kernel="5.15.0-1071-aws", driver="2.10.0g",
        nvidia="550.127.05", rate="100 Gb/sec (4X EDR)",
        switches=[Switch(n, [bus], [(bus, "1c.0"), (bus, "1d.0")], (), bus, "1b.0")
                  for n, bus in ((0, 0x10), (0, 0x20), (1, 0x90), (1, 0xa0))]),
    "p5": dict(
        type="p5.48xlarge", efa=0xefa1, gpu=0x2330, cpus=192, kernel="6.12.83", driver="2.17.2g",
        nvidia="580.95.05", rate="100 Gb/sec (4X EDR)",
        switches=switches([p5_group(i // 4, gpu)
                           for i, gpu in enumerate((0x53, 0x64, 0x75, 0x86, 0x97, 0xa8, 0xb9, 0xca))])),
    "p5en": dict(
        type="p5en.48xlarge", efa=0xefa2, gpu=0x2335, cpus=192, kernel="6.8.0-1030-aws", driver="2.15.3g",
        nvidia="580.95.05", rate="200 Gb/sec (4X HDR)",
        switches=switches([(0, range(85, 89), [0x59, 0x5a]), (0, range(110, 114), [0x72, 0x73]),
                           (1, range(135, 139), [0x8b, 0x8c]), (1, range(160, 164), [0xa4, 0xa5])])),
    "p6-b200": dict(
        type="p6-b200.48xlarge", efa=0xefa3, gpu=0x2901, cpus=192, kernel="6.8.0-1030-aws", driver="2.17.2g",
        nvidia="590.48.01", rate="400 Gb/sec (8X HDR)",
        switches=switches([(0, [79, 80], [0x51, 0x52]), (0, [96, 97], [0x62, 0x63]),
                           (1, [113, 114], [0x75, 0x76], [115, 116]), (1, [132, 133], [0x86, 0x87])])),
    # derived: the last six GPU buses, and the NUMA nodes behind EFA 102
    "p6-b300": dict(
        type="p6-b300.48xlarge", efa=0xefa3, gpu=0x3182, cpus=192, kernel="6.17.0-1019-aws", driver="3.1.0g",
        nvidia="580.126.09", rate="400 Gb/sec (8X HDR)",
        switches=switches([(i // 4, [bus, bus + 1], [bus + 2], [198, 199] if i == 7 else [])
                           for i, bus in enumerate((86, 101, 116, 131, 146, 161, 176, 191))])),
    # Half of the cards are below a GPU's switch, half below the CPU's own root ports.
    "p6e-gb200": dict(
        type="p6e-gb200.36xlarge", efa=0xefa3, gpu=0x2941, cpus=144, kernel="6.8.0-1030-aws", driver="2.15.3g",
        nvidia="580.95.05", rate="400 Gb/sec (8X HDR)", huge_size=2048,
        switches=switches([(0, [39, 40], [0x29]), (0, [61, 62], [0x3f]), (1, [154, 155], [0x9c]),
                           (1, [176, 177], [0xb2]), (0, [54, 55], []), (0, [76, 77], []),
                           (1, [169, 170], []), (1, [191, 192], [])])),
}


class Tree:
    def __init__(self, top):
        self.top = top
        self.nodes = {}  # uverbs name -> [driver, answer]
        self.env = []

    def path(self, path):
        full = os.path.join(self.top, path.lstrip("/"))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def write(self, path, text):
        with open(self.path(path), "w", encoding="utf-8") as f:
            f.write(text + "\n")

    def link(self, path, target):
        """A link as sysfs makes it: relative."""
        os.symlink(os.path.relpath(target, os.path.dirname(path)), self.path(path))

    def remove(self, path):
        full = self.path(path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        else:
            os.unlink(full)

    def index(self):
        lines = ["kvpath-host 1", "# a stand-in, made by tests/hosts/hosts.py"]
        lines += [f"device /dev/infiniband/{name} {answer}" for name, (_, answer) in sorted(self.nodes.items())]
        lines += ["env " + e for e in self.env]
        with open(self.path("kvpath-host"), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")


def card(tree, address, bridges, root, numa, vendor, device, kind, driver):
    """A PCI function at its place below its bridges, as /sys/bus/pci/devices links to it."""
    way = "/".join(f"0000:{bus:02x}:{'00.0' if i == 0 else '01.0'}" for i, bus in enumerate(bridges))
    real = "/".join(filter(None, [f"/sys/devices/pci0000:{root:02x}", way, address]))
    for name, value in (("vendor", f"0x{vendor:04x}"), ("device", f"0x{device:04x}"), ("class", kind),
                        ("numa_node", str(numa))):
        tree.write(f"{real}/{name}", value)
    os.makedirs(tree.path(f"/sys/bus/pci/drivers/{driver}/."), exist_ok=True)
    tree.link(f"{real}/driver", f"/sys/bus/pci/drivers/{driver}")
    tree.link(f"/sys/bus/pci/devices/{address}", real)
    return real


def verbs(tree, real, name, driver, rate, layer):
    n = len(tree.nodes)
    uverbs = f"uverbs{n}"
    tree.nodes[uverbs] = [driver, "ok"]
    at = f"{real}/infiniband_verbs/{uverbs}"
    tree.write(f"{at}/ibdev", name)
    tree.write(f"{at}/dev", f"231:{192 + n}")
    tree.write(f"{at}/abi_version", "1")
    tree.link(f"{at}/device", real)
    tree.link(f"/sys/class/infiniband_verbs/{uverbs}", at)
    ib = f"{real}/infiniband/{name}"
    tree.write(f"{ib}/node_type", "7: unspecified" if driver == "efa" else "1: CA")
    tree.write(f"{ib}/ports/1/state", "4: ACTIVE")
    tree.write(f"{ib}/ports/1/rate", rate)
    tree.write(f"{ib}/ports/1/link_layer", layer)
    tree.link(f"{ib}/device", real)
    tree.link(f"/sys/class/infiniband/{name}", ib)


def cards(tree, host):
    tree.write("/sys/class/infiniband_verbs/abi_version", "6")
    for s in host["switches"]:
        for bus in s.efa:
            slot, function = s.slot.split(".")
            real = card(tree, f"0000:{bus:02x}:{s.slot}", s.bridges, s.root, s.numa, 0x1d0f, host["efa"], "0x020000",
                        "efa")
            tree.write(f"{real}/p2p", "NVIDIA")
            verbs(tree, real, f"rdmap{bus}s{int(slot, 16)}", "efa", host["rate"], "Unknown")
        for gpu in s.gpus:
            bus, slot = gpu if isinstance(gpu, tuple) else (gpu, "00.0")
            card(tree, f"0000:{bus:02x}:{slot}", s.bridges, s.root, s.numa, 0x10de, host["gpu"], "0x030200", "nvidia")
    for s in host["switches"]:
        for bus in s.mlx5:
            real = card(tree, f"0000:{bus:02x}:00.0", s.bridges, s.root, s.numa, 0x15b3, 0x1021, "0x020700",
                        "mlx5_core")
            verbs(tree, real, f"ibp{bus}s0f0", "mlx5_core", "100 Gb/sec (2X HDR)", "InfiniBand")


def machine(tree, host):
    tree.write("/sys/devices/virtual/dmi/id/sys_vendor", "Amazon EC2")
    tree.write("/sys/devices/virtual/dmi/id/product_name", host["type"])
    tree.write("/sys/module/efa/version", host["driver"])
    tree.write("/sys/module/ib_uverbs/initstate", "live")
    tree.write("/proc/sys/kernel/osrelease", host["kernel"])
    arch = "aarch64" if "gb200" in host["type"] else "x86_64"
    tree.write("/proc/driver/nvidia/version",
               f"NVRM version: NVIDIA UNIX Open Kernel Module for {arch}  {host['nvidia']}  Release Build  (root@host)\n"
               "GCC version:  gcc version 12.3.0")
    pages = host["cpus"] * 2 * 110 // 2 + 1
    tree.write("/proc/meminfo", f"MemTotal:       2097152000 kB\nHugePages_Total:   {pages}\n"
               f"HugePages_Free:    {pages}\nHugepagesize:       2048 kB")
    tree.write("/proc/1/limits", (LIMITS % ("unlimited", "unlimited")).rstrip("\n"))
    tree.write("/proc/1/status", "Name:\tpython3\nCapEff:\t00000000a80425fb")
    tree.write("/proc/1/uid_map", "         0          0 4294967295")
    tree.write("/proc/1/cgroup", "0::/")
    tree.write("/proc/1/mountinfo", "23 27 0:22 / /sys ro,relatime - sysfs sysfs ro")
    tree.write("/sys/fs/cgroup/memory.max", "max")
    os.symlink("1", tree.path("/proc/self"))


def change(tree, text):
    if text.startswith("env:"):
        tree.env.append(text[4:])
    elif text.startswith("memlock:"):
        tree.write("/proc/1/limits", (LIMITS % tuple(text.split(":")[1:])).rstrip("\n"))
    elif text == "no-peer":
        for path in glob.glob(tree.top + "/sys/bus/pci/devices/*/p2p"):
            tree.write(os.path.relpath(path, tree.top), "")
    elif text.startswith("-"):
        tree.remove(text[1:])
    elif "=" in text:
        path, value = text.split("=", 1)
        tree.write(path, value.replace("\\n", "\n"))
    else:
        which, answer = text.split(":")
        drivers = {"efa": "efa", "mlx5": "mlx5_core"}
        for name, node in tree.nodes.items():
            if name == which or node[0] == drivers.get(which):
                node[1] = answer


def build(name, top, changes=()):
    tree = Tree(top)
    os.makedirs(top, exist_ok=True)
    cards(tree, HOSTS[name])
    machine(tree, HOSTS[name])
    for text in changes:
        change(tree, text)
    tree.index()


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in HOSTS:
        sys.exit(f"usage: hosts.py {'|'.join(HOSTS)} DIR [CHANGE...]")
    build(sys.argv[1], sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    main()
