#!/usr/bin/env python3
"""numa.py [--n TREES] [--seed S]: which copy of libnuma is set up first, kvpath against the real loader.

Libraries that need one another by chance, in circles too, and copies of the real libnuma under names of
their own: each library is opened by the real ld.so in the base (KVPATH_SUITE), in a process of its own,
which ends where a constructor of one copy asks another one too early. kvpath must say which ones do.
Prints `N passed, N failed`; a tree is one.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import KVPATH, Done, build, inside  # noqa: E402

COPIES = ["libnuma-a.so.1", "libnuma-b.so.1", "libnuma-c.so.1"]


def edit(file, *options):
    subprocess.run(["patchelf", *options, file], check=True)


def plan(r):
    """{name: names that it needs}, of libraries that may need one another in any direction."""
    names = [f"lib{i}.so" for i in range(r.randint(2, 6))]
    tree = {}
    for i, name in enumerate(names):
        others = names[i + 1:] if r.random() < 0.7 else [n for n in names if n != name]
        needs = r.sample(others, min(len(others), r.randint(0, 3))) + r.sample(COPIES, r.choice([0, 0, 1, 1, 2]))
        r.shuffle(needs)
        tree[name] = needs
    return tree


def lay(tree, at, stub, numa):
    os.makedirs(at)
    for name, needs in {**{c: [] for c in COPIES}, **tree}.items():
        file = os.path.join(at, name)
        shutil.copy(numa if name in COPIES else stub, file)
        # One at a time: all in one call write each other's strings over (patchelf 0.14).
        edit(file, "--set-soname", name)
        edit(file, "--set-rpath", "$ORIGIN")
        for need in reversed(needs):
            edit(file, "--add-needed", need)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("numa: needs root (it runs in a container)")
    base, bare, r = build("base"), build("bare"), random.Random(args.seed)
    # Debian's, whose calls are bound by name; Ubuntu's stay inside.
    numa = build("base", suite="bookworm") + "/usr/lib/x86_64-linux-gnu/libnuma.so.1"
    passed = failed = ends = 0
    with tempfile.TemporaryDirectory(prefix="kvpath-numa-") as work:
        stub = work + "/stub.so"
        subprocess.run(["gcc", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", stub], check=True)
        for number in range(args.n):
            tree, at = plan(r), f"{work}/{number}"
            lay(tree, at, stub, numa)
            files = [f"/t/{name}" for name in tree]
            truth = inside(base, "/bare/bare", *files, binds=[bare + ":/bare", at + ":/t"]).ended(0).out.split("\n")
            wrong = []
            for file, real in zip(files, truth):
                ours = Done([KVPATH, "why", "--json", "--process", "bare", "--mount", at + ":/t", base, file]).json()["loads"]
                ends += real == "abort"
                if ours != real.split()[0]:
                    wrong.append(f"{file}: kvpath says {ours}, the loader {real}")
            passed, failed = passed + (not wrong), failed + bool(wrong)
            if wrong:
                print(f"not ok  tree {number} of seed {args.seed}: {json.dumps(tree)}", *wrong, sep="\n    # ")
    print(f"{ends} libraries end their process")
    if not ends:
        failed += 1
        print("not ok  no library does: nothing was tested")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
