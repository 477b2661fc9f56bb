#!/usr/bin/env python3
"""unreadable.py [-j N] [-k TEXT] [--all]: what of a host can not be read makes no verdict another definite one.

Each file and directory of a stand-in (hosts.py) is put out of reach (a link to itself, which root can not read either),
emptied, filled with what no kernel writes there, and taken away, on a healthy host and on broken ones. Then `kvpath
check` of a repaired container must say what it said before, or "unknown" and name a path; and it reports no error that
was not there before. What is taken away is absent, which is a fact: then only an error may not become "ready" unseen.
Without --all each is tried on one of the broken hosts, and the first on the healthy one too. The last line counts.
"""
import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), d) for d in ("scenarios", "oracle", "hosts")]

import hosts  # noqa: E402
from oracle import KVPATH  # noqa: E402
from scenarios import Overlay, Roots, own_mounts  # noqa: E402

BROKEN = {
    "memlock is low": ["memlock:65536:65536"],
    "the device cgroup refuses": ["efa:EPERM"],
    "no peer, and no dmabuf": ["no-peer", "/proc/sys/kernel/osrelease=5.4.0-1100-aws"],
    "no efa driver": ["-/sys/class/infiniband_verbs", "-/sys/class/infiniband"],
}
# Texts, of which any is as good as another, and what a kernel leaves empty.
TEXTS = ("ibdev", "osrelease", "sys_vendor", "product_name", "p2p", "version", "mountinfo", "cgroup", "dev", "rate",
         "node_type", "link_layer", "state", "initstate", "abi_version", "kvpath-host")


def places(top):
    """Of the four cards that are alike the first, and everything else."""
    cards = sorted(os.listdir(top + "/sys/bus/pci/devices"))
    later = [c for c in cards[3:]] + ["uverbs1", "uverbs2", "uverbs3"] + \
        [f"rdmap{int(c[5:7], 16)}s27" for c in cards[3:] if c.endswith("1b.0")]
    for at, dirs, files in os.walk(top):
        for name in sorted(dirs + files):
            path = os.path.join(at, name)[len(top):]
            if name != "kvpath-host" and not any("/" + x in path for x in later) and path.count("/") > 1:
                yield path


def absent(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def unreadable(path):
    absent(path)
    os.symlink(os.path.basename(path), path)


def hold(path, text):
    """False for what is no file."""
    if os.path.islink(path) or os.path.isdir(path):
        return False
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return True


def empty(path):
    return hold(path, "")


def garbage(path):
    return os.path.basename(path) not in TEXTS and hold(path, "\x01?\n")


def check(target, host):
    p = subprocess.run([KVPATH, "check", "--json", "--sysroot", host, target], capture_output=True, text=True,
                       timeout=60, check=False)
    if p.returncode not in (0, 1, 3):
        raise ValueError(f"status {p.returncode}: {p.stderr}")
    return json.loads(p.stdout)


def errors(report):
    return {f["id"] for f in report["findings"] if f["severity"] == "error"}


def wrong(before, after, is_absent):
    """Why the second statement does not go with the first; None."""
    told = [f for f in after["findings"] if f["id"] == "KV613"]
    if told and not all(e.get("path") for f in told for e in f["evidence"]):
        return "KV613 names no path"
    if is_absent:
        return None
    if after["verdict"] not in (before["verdict"], "unknown"):
        return f"{before['verdict']} became {after['verdict']}"
    # KV612 can say itself that it can not tell.
    if after["verdict"] != "unknown" and errors(after) - errors(before):
        return f"new errors {sorted(errors(after) - errors(before))}"
    if after["verdict"] == "unknown" != before["verdict"] and not told:
        return "unknown, and no path is named"
    return None


class Run:
    def __init__(self, work, target):
        self.work, self.target, self.lock = work, target, threading.Lock()
        self.passed = self.failed = 0
        self.number = itertools.count()

    def host(self, changes):
        top = f"{self.work}/host{next(self.number)}"
        hosts.build("p4d", top, changes)
        return top

    def case(self, name, changes, before, path, how):
        top = self.host(changes)
        try:
            if not os.path.lexists(top + path) or how(top + path) is False:
                return
            fault = wrong(before, check(self.target, top), how is absent)
        except (ValueError, subprocess.SubprocessError) as e:
            fault = str(e)
        finally:
            shutil.rmtree(top)
        with self.lock:
            self.passed, self.failed = self.passed + (not fault), self.failed + bool(fault)
            if fault:
                print(f"not ok  {name}: {path} {how.__name__}: {fault}")

    def all(self, jobs, every, part):
        variants = {"healthy": [], **BROKEN}
        before = {}
        for name, changes in variants.items():
            top = self.host(changes)
            before[name] = check(self.target, top)
            found = sorted(places(top)) if name == "healthy" else found
            shutil.rmtree(top)
        cases = []
        for i, (path, how) in enumerate(itertools.product(found, (unreadable, empty, garbage, absent))):
            names = [list(BROKEN)[(i // 4 + i % 4) % len(BROKEN)]] + ["healthy"] * (how is unreadable)
            names = list(variants) if every else names
            cases += [(n, variants[n], before[n], path, how) for n in names if part in path]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda c: self.case(*c), cases))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1), help="how many at a time")
    parser.add_argument("-k", default="", metavar="TEXT", help="only places with TEXT in their path")
    parser.add_argument("--all", action="store_true", help="every place on every broken host")
    args = parser.parse_args()
    own_mounts("unreadable")
    with tempfile.TemporaryDirectory(prefix="kvpath-unreadable-") as work:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "kvpath-unreadable", work], check=True)
        layers = Roots(work).layers("1.5.0", "F1", None)
        root = Overlay(work + "/target", layers)
        run = Run(work, root.path)
        run.all(args.j, args.all, args.k)
        root.close()
        subprocess.run(["umount", "-l", work], check=True)
    print(f"{run.passed} passed, {run.failed} failed")
    sys.exit(bool(run.failed or not run.passed))


if __name__ == "__main__":
    main()
