"""What the programs of bench/ share: which machine this is, and the one form in which they give figures to bench/peers.

With --json a program prints, in place of its table, {"bench": NAME, "runs": N, "rows": [...]}. A row has `case` (what was
looked at), `tool` (what did it), and figures whose names end in their unit: ms, min_ms, max_ms, cpu_ms, us, mib."""
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time

PACKAGES = {"ldd, ld.so": "libc-bin", "libtree": "libtree", "unsquashfs": "squashfs-tools", "fi_pingpong": "libfabric-bin",
            "iperf3": "iperf3", "ucx_perftest": "ucx-utils", "grep": "grep"}


def summary(case, tool, ms, cpu_ms=None, **more):
    """The row of these runs."""
    row = {"case": case, "tool": tool, "ms": statistics.median(ms), "min_ms": min(ms), "max_ms": max(ms), **more}
    if cpu_ms:
        row["cpu_ms"] = statistics.median(cpu_ms)
    return row


def peak_mib(argv):
    """Of its largest process. What wait4() tells here is this program's own where that is larger; GNU time is small."""
    with tempfile.NamedTemporaryFile("r") as f:
        subprocess.run(["/usr/bin/time", "-q", "-f", "%M", "-o", f.name, *argv], check=False, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return int(f.read()) / 1024


def report(name, runs, rows):
    print(json.dumps({"bench": name, "runs": runs, "rows": rows}, indent=1))


def first(path, pattern):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            found = re.search(pattern, f.read(), re.M)
            return found.group(1) if found else "-"
    except OSError:
        return "-"


def busy_cores(seconds=1.0):
    """How many processors other work takes while this process sleeps."""
    def ticks():
        with open("/proc/stat", encoding="ascii") as f:
            fields = [int(x) for x in f.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    total, idle = ticks()
    time.sleep(seconds)
    total2, idle2 = ticks()
    return os.cpu_count() * (1 - (idle2 - idle) / max(1, total2 - total))


def machine():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": first("/proc/cpuinfo", r"^model name\s*: (.*)$"),
        "cores": os.cpu_count(),
        "virtual": " hypervisor" in first("/proc/cpuinfo", r"^flags\s*:(.*)$"),
        "memory_gib": round(int(first("/proc/meminfo", r"^MemTotal:\s*(\d+)")) / 2**20),
        "system": first("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "busy_cores": busy_cores(),
    }


def versions():
    """Of Debian's packages; "-" for one that is not installed so."""
    found = {}
    for tool, package in PACKAGES.items():
        r = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], check=False, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        found[tool] = r.stdout.strip() or "-"
    return found
