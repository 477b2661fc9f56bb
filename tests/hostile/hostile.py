#!/usr/bin/env python3
"""hostile.py [--every N] [--first M] [--only TEXT] [--seconds S]: check, why, fix and undo on hostile roots
(roots.py), each a real container to which something was done. Nothing outside of a root may be read, listed,
written or created (the kernel tells: watch.py); every command ends in time, with a status of its own, and
prints nothing that a terminal obeys. A repair that succeeded is taken back to what was there. Of all cases
(--only: with TEXT in their name) each Nth from number M on; none begins after S seconds. Needs root.
Ends with `N passed, N failed`."""
import argparse
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from roots import API, CASES, LIBS, PLUGIN, SITE, SYSTEM, Root  # noqa: E402
from watch import LIBC, Watch  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KVPATH = os.environ.get("KVPATH", TOP + "/build/bin/kvpath")
LIMIT_S = 120
# C0 but for the newline, DEL, C1, what reorders or hides text; and what is no UTF-8.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\udc80-\udcff]")

# fix says so before it goes on; a swap that stops one repair leaves that to the next.
TAKEN_BACK = b"kvpath: an interrupted repair was rolled back first\n"


def builder(*args):
    return subprocess.run([TOP + "/tests/roots/" + args[0], *args[1:]], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def mount(*args):
    subprocess.run(["mount", *args], check=True)


def copy(base, to):
    subprocess.run(["cp", "-al", base, to], check=True)


def tree(top):
    """What is in a root: names, types, modes, owners, inodes, links; no times, as swapping moves them."""
    found = subprocess.run(["find", top, "-printf", r"%P %y %m %U:%G %i %l\0"], check=True,
                           stdout=subprocess.PIPE)
    return sorted(found.stdout.split(b"\0"))


class Swapper:
    """A process that exchanges directories and links, as fast as it can."""
    def __init__(self, root):
        self.pairs = []
        for place, text in root.swaps:
            os.symlink(text, root.at(place) + ".swap")
            self.pairs.append((os.fsencode(root.at(place)), os.fsencode(root.at(place) + ".swap")))
        self.pid = 0

    def start(self):
        self.pid = os.fork() if self.pairs else 0
        if self.pid == 0 and self.pairs:
            while True:
                for a, b in self.pairs:
                    LIBC.renameat2(-100, a, -100, b, 2)

    def stop(self):
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0
        for a, b in self.pairs:
            if os.path.islink(a):
                LIBC.renameat2(-100, a, -100, b, 2)


class Test:
    def __init__(self, work):
        self.work = work
        self.base = work + "/in/base"
        self.out = work + "/out"
        os.makedirs(work + "/in")
        os.makedirs(self.out)
        mount("-t", "tmpfs", "-o", "size=4g", "kvpath-in", work + "/in")
        mount("-t", "tmpfs", "-o", "size=1g", "kvpath-out", self.out)
        builder("small", self.base)
        self.fabric = builder("fabric", "F1") + "/opt/amazon/efa"
        # Out there lies a whole container, repaired: whoever gets there finds what he looks for.
        subprocess.run(["cp", "-a", self.base + "/.", self.out], check=True)
        subprocess.run([KVPATH, "fix", "--quiet", "--fabric", self.fabric, self.out], check=True,
                       stdout=subprocess.DEVNULL)
        os.makedirs(self.out + "/victim")
        for place in (self.work, self.out):
            os.chmod(place, 0o755)
        with open(self.out + "/x.conf", "w") as f:
            f.write("/secret\n")
        self.kvpath = work + "/in/kvpath"
        shutil.copy(KVPATH, self.kvpath)
        self.watch = Watch(self.out)
        self.faults = []

    def control(self):
        """The watch does see who reads, lists and creates."""
        before = self.watch.names()
        self.watch.seen()
        for command in ("cat etc/os-release", "ls victim", "mkdir made"):
            subprocess.run(command.split(), cwd=self.out, stdout=subprocess.DEVNULL, check=True)
            if command.startswith("mkdir"):
                assert self.watch.names() != before, "creating is not seen"
            else:
                assert self.watch.seen(), f"{command} is not seen"
        os.rmdir(self.out + "/made")

    def fault(self, text):
        self.faults.append(text)

    def run(self, root, *args):
        command = [self.kvpath, *args]
        if root.nobody and args[0] in ("check", "why"):
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.fault(f"{args[0]}: no end after {LIMIT_S} s")
            return None
        text = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
        allowed = (1, 2, 3) if args[0] == "check" and not root.swaps else (0, 1, 2, 3)
        if done.returncode not in allowed:
            self.fault(f"{args[0]}: status {done.returncode}: {text[:300]!r}")
        if OBEYED.search(text):
            self.fault(f"{' '.join(args[:2])}: prints {OBEYED.search(text).group()!r} in {text[:3000]!r}")
        if done.returncode and not done.stdout and done.stderr.replace(TAKEN_BACK, b"").count(b"\n") != 1:
            self.fault(f"{args[0]}: not one line of error: {done.stderr[:300]!r}")
        seen = self.watch.seen()
        if seen:
            self.fault(f"{args[0]}: touched outside: {seen[:3]}")
        return done.returncode

    def commands(self, root):
        status = []
        for _ in range(12 if root.swaps else 1):
            status.append(self.run(root, "check", *root.args, root.path))
            self.run(root, "check", "--json", *root.args, root.path)
            self.run(root, "why", *root.args, root.path, "/" + PLUGIN)
            status.append(self.run(root, "fix", "--fabric", self.fabric, *root.args, root.path))
            if root.swaps:
                self.run(root, "undo", root.path)
        return status

    def one(self, name, make):
        self.faults = []
        start = time.monotonic()
        root = Root(self.work + "/in/root", self.out, self.work + "/in/inside")
        copy(self.base, root.path)
        make(root)
        for source, place in root.mounts:
            mount("--bind", source, place)
        before = tree(root.path)
        outside = self.watch.names()
        swapper = Swapper(root)
        if root.swaps:
            before = tree(root.path)
        self.watch.seen()
        swapper.start()
        status = self.commands(root)
        swapper.stop()
        undone = self.run(root, "undo", root.path)
        if self.watch.names() != outside:
            self.fault("what lies outside has changed")
        # What was planted in the journal's own directory is not kept.
        if undone == 0 and "journal" not in name and "guard" not in name and "at var/lib/kvpath/" not in name and tree(root.path) != before:
            gone = [x for x in before if x not in tree(root.path)][:2]
            more = [x for x in tree(root.path) if x not in before][:2]
            self.fault(f"undo left something else: {gone} became {more}")
        if undone != 0 and root.swaps:
            self.fault(f"undo ended with {undone} when nothing was swapped any more")
        for _, place in root.mounts:
            subprocess.run(["umount", place], check=True)
        subprocess.run(["rm", "-rf", "--one-file-system", root.path], check=True)
        words = "/".join(str(x) for x in (status + [undone] if not root.swaps else [sorted(set(map(str, status))), undone]))
        print(f"{'ok' if not self.faults else 'not ok'} - {name}: {words}, {time.monotonic() - start:.1f} s",
              flush=True)
        for text in self.faults:
            print(f"    {text}", flush=True)
        return not self.faults

    def close(self):
        for place in ("/in", "/out"):
            subprocess.run(["umount", "-l", self.work + place], check=False)
        shutil.rmtree(self.work, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("hostile.py: needs root")
    names = [n for n in CASES if args.only in n][args.first::args.every]
    passed = failed = 0
    end = time.monotonic() + args.seconds
    test = Test(tempfile.mkdtemp(prefix="kvpath-hostile.", dir="/dev/shm"))
    try:
        test.control()
        for name in names:
            if time.monotonic() > end:
                break
            if test.one(name, CASES[name]):
                passed += 1
            else:
                failed += 1
    finally:
        test.close()
    if passed + failed < len(names):
        print(f"{len(names) - passed - failed} not tried: the time was over")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
