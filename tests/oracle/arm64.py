#!/usr/bin/env python3
"""arm64.py: an arm64 container from this machine: the real NIXL in it, run by qemu-user, before and after `fix`.

The x86-64 program repairs; the arm64 program must say the same, to the byte, of the same directory. One line a case,
`ok` or `not ok`. KVPATH and KVPATH_ARM64 name the two programs.
"""
import json
import os
import re
import shutil
import sys
import tempfile
import time

from emulated import ARM64, QEMU, emulated, kvpath_arm64
from oracle import (MODULE, ROOTS, Done, Failure, KVPATH, build, compare_plugins, expect, finding_ids, kvpath,
                    plugins_of, same)

PYTHON = "/usr/bin/python3"
FABRIC = build("fabric", "F1-arm64")


def script(root, name, *argv, **how):
    """One of the programs in tests/roots, by the container's python."""
    with open(os.path.join(ROOTS, name), encoding="utf-8") as f:
        return emulated(root, PYTHON, "-", MODULE, *argv, stdin=f.read(), **how)


class Agent:
    def __init__(self, root, backend="LIBFABRIC", **how):
        self.ran = script(root, "agent.py", backend, **how)
        answer = self.ran.json()
        self.instantiated, self.backends = answer["instantiated"], answer["backends"]
        reason = re.search(r"Failed to load plugin from \S*/libplugin_LIBFABRIC\.so: (.*)", self.ran.err)
        self.reason = reason.group(1) if reason else None


class Cases:
    def __init__(self, work):
        self.root = os.path.join(work, "root")
        build("arm64", "container", self.root)
        self.before = self.manifest()
        self.after = None
        self.truth = {}

    def manifest(self):
        return Done([os.path.join(ROOTS, "manifest"), self.root]).ended(0).out

    def unchanged(self, want, what):
        have = self.manifest()
        old, new = set(want.splitlines()), set(have.splitlines())
        expect(have == want, what + " changed the tree:", *sorted(old - new)[:10], "now:", *sorted(new - old)[:10])

    def check(self, *options):
        return kvpath("check", "--json", *options, self.root).json("kvpath.check/1")

    def same_bytes(self, *args):
        """Both programs, the same arguments: the same output and status."""
        ours, theirs = kvpath(*args), kvpath_arm64(*args)
        expect((ours.status, ours.out) == (theirs.status, theirs.out), "the two programs differ", ours, theirs)
        expect(ours.status in (0, 1), "it cannot tell", ours)

    def agrees(self, works):
        report, agent = self.check(), Agent(self.root)
        ours = plugins_of(report)["LIBFABRIC"]
        same("LIBFABRIC loads", ours["loads"] == "yes", agent.instantiated)
        same("the reason", ours.get("error") or None, agent.reason)
        expect(agent.instantiated == works, f"instantiated is {agent.instantiated}", agent.ran)
        if works:
            expect("Backend LIBFABRIC was instantiated" in agent.ran.err, "NIXL's log does not say so", agent.ran)
        return report

    def as_found(self):
        report = self.agrees(False)
        same("the machine", report["target"]["arch"], "aarch64")
        expect(report["verdict"] == "off-fabric", f"verdict is {report['verdict']}")
        same("findings", sorted(finding_ids(report)), ["KV101", "KV201", "KV308"])

    def plugins(self):
        self.truth = script(self.root, "dlopen.py").ended(0).json()
        compare_plugins(self.check(), self.truth)

    def live(self):
        """The arm64 program in the running container."""
        binds = [os.path.dirname(os.path.dirname(ARM64)) + ":/kvpath"]
        ran = emulated(self.root, "/kvpath/bin/kvpath", "check", "--json", "/", binds=binds)
        expect(ran.status == 1, f"status {ran.status}, not 1", ran)
        compare_plugins(ran.json("kvpath.check/1"), self.truth)

    def by_environment(self):
        """`run` of the arm64 program in the container: nothing is written, the agent works."""
        binds = [os.path.dirname(os.path.dirname(ARM64)) + ":/kvpath", FABRIC + "/opt/amazon:/opt/amazon"]
        with open(os.path.join(ROOTS, "agent.py"), encoding="utf-8") as f:
            ran = emulated(self.root, "/kvpath/bin/kvpath", "run", "--backend", "LIBFABRIC", "--", QEMU, PYTHON,
                           "-", MODULE, "-", binds=binds, stdin=f.read())
        same("backends", ran.ended(0).json()["backends"], ["LIBFABRIC"])

    def by_both(self):
        for options in ([], ["--mem", "dram"], ["--env", "NIXL_BACKEND=UCX"], ["--fabric", FABRIC]):
            self.same_bytes("check", "--json", *options, self.root)
        self.same_bytes("check", self.root)

    def why_by_both(self):
        for plugin in plugins_of(self.check()).values():
            for options in ([], ["--process", "bare"]):
                self.same_bytes("why", "--json", *options, self.root, plugin["path"])

    def dry_run(self):
        self.same_bytes("fix", "--dry-run", "--fabric", FABRIC + "/opt/amazon/efa", self.root)
        self.unchanged(self.before, "fix --dry-run")

    def fix(self, program=kvpath):
        program("fix", "--fabric", FABRIC + "/opt/amazon/efa", self.root).ended(0)
        self.after = self.manifest()
        expect(self.after != self.before, "fix changed nothing")

    def fixed(self):
        expect(self.after, "there was no fix")
        same("verdict", self.agrees(True)["verdict"], "ready")
        same("the default agent's backends", Agent(self.root, "-").backends, ["LIBFABRIC"])

    def transfer(self):
        answer = script(self.root, "transfer.py", "LIBFABRIC", env=["KVPATH_DEADLINE_S=100"]).json()
        expect(answer["intact"], "bytes do not arrive", json.dumps(answer))

    def undo(self, program=kvpath):
        expect(self.after, "there was no fix")
        program("undo", self.root).ended(0)
        self.unchanged(self.before, "fix and undo")

    def emulated_repair(self):
        """The arm64 program writes what the other does. The emulator knows no openat2: the walk takes its place."""
        x86 = names_and_contents(self.after)
        self.fix(kvpath_arm64)
        same("what fix leaves", names_and_contents(self.after), x86)
        self.undo(kvpath_arm64)


def names_and_contents(manifest):
    """Without times and without kvpath's own records, which hold times."""
    lines = [line.split("\t") for line in manifest.splitlines()]
    return [line[:6] + line[8:] for line in lines if "var/lib/kvpath" not in line[0]]


def main():
    if os.geteuid() != 0:
        sys.exit("arm64: needs root (it runs a container)")
    for program in (KVPATH, ARM64):
        if not os.access(program, os.X_OK):
            sys.exit(f"arm64: {program} is not there: build first")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="arm64-", dir=os.path.dirname(os.path.dirname(FABRIC))) as work:
        c = Cases(work)
        for name, function in [
                ("as found: check agrees with the agent", c.as_found),
                ("as found: every plugin is judged as the loader does", c.plugins),
                ("as found: the live check in it says the same", c.live),
                ("as found: check by both programs", c.by_both),
                ("as found: why of every plugin by both programs", c.why_by_both),
                ("run: environment alone", c.by_environment),
                ("fix --dry-run by both programs", c.dry_run),
                ("fix", c.fix),
                ("fixed: the agent works", c.fixed),
                ("fixed: bytes arrive", c.transfer),
                ("fixed: every plugin is judged as the loader does", c.plugins),
                ("fixed: check by both programs", c.by_both),
                ("fixed: why of every plugin by both programs", c.why_by_both),
                ("undo puts every byte back", c.undo),
                ("fix and undo by the arm64 program", c.emulated_repair)]:
            start, failure = time.monotonic(), None
            try:
                function()
            except Failure as e:
                failure = str(e)
            except (KeyError, TypeError, AttributeError, IndexError) as e:
                failure = f"an answer lacks what it should have: {type(e).__name__}: {e}"
            failed += failure is not None
            print(f"{'ok     ' if failure is None else 'not ok '} arm64 {name}  ({time.monotonic() - start:.1f} s)")
            for line in (failure or "").splitlines()[:60]:
                print("    # " + line[:600])
            sys.stdout.flush()
        shutil.rmtree(c.root)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
