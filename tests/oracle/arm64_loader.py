#!/usr/bin/env python3
"""arm64_loader.py [--sample N] [--seed S] [--only TEXT]: the model against the arm64 ld.so, run by qemu-user.

The shared objects of an arm64 root (N of them, chosen by the seed; 0: all), then hand-made trees (arm64_trees.py),
each opened by a program that links libc alone: the verdict, the error's text, and the objects that it brings with
their paths in order must be what `kvpath why --process bare` says. One line a case, `ok` or `not ok`.
"""
import argparse
import os
import random
import re
import sys
import tempfile
import time

from arm64_trees import CASES, Tree
from emulated import ARM64, kvpath_arm64, model_answer, real_answers
from oracle import Failure, KVPATH, build, expect

BATCH = 40


def objects_of(root):
    """Files that are called like a shared object, as paths in the root."""
    found = []
    for top, _, names in os.walk(root):
        found += [os.path.join(top, n) for n in names if re.search(r"\.so(\.|$)", n)]
    return sorted(f[len(root):] for f in found if os.path.isfile(f) and not os.path.islink(f))


def compare(root, files, env=(), program=None):
    """Failure with every file for which the two differ."""
    real = real_answers(root, files, env)
    wrong = []
    for file in files:
        ours = model_answer(root, file, env, *([program] if program else []))
        if not ours.same_as(real[file]):
            wrong.append(f"{file}\n  kvpath {ours}\n  loader {real[file]}")
    expect(not wrong, f"{len(wrong)} of {len(files)} differ", *wrong)


def run_tree(case, work):
    tree = Tree(os.path.join(work, re.sub(r"\W+", "-", case.name)))
    case.build(tree)
    compare(tree.root, [case.file], case.env)


def report(name, function, *args):
    start, failure = time.monotonic(), None
    try:
        function(*args)
    except Failure as e:
        failure = str(e)
    print(f"{'ok     ' if failure is None else 'not ok '} arm64 loader: {name}  ({time.monotonic() - start:.1f} s)")
    for line in (failure or "").splitlines()[:80]:
        print("    # " + line[:600])
    sys.stdout.flush()
    return failure is None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", default="", help="hand-made trees whose name holds this")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("arm64_loader: needs root (it runs a container)")
    for program in (KVPATH, ARM64):
        if not os.access(program, os.X_OK):
            sys.exit(f"arm64_loader: {program} is not there: build first")
    good = True
    if not args.only:
        root = build("arm64", "container")
        files = objects_of(root)
        if 0 < args.sample < len(files):
            files = random.Random(args.seed).sample(files, args.sample)
        print(f"# {len(files)} objects, seed {args.seed}")
        for at in range(0, len(files), BATCH):
            some = files[at:at + BATCH]
            good &= report(f"objects {at + 1} to {at + len(some)} of the container", compare, root, some)
    with tempfile.TemporaryDirectory(prefix="arm64-loader-") as work:
        for case in CASES:
            if args.only in case.name:
                good &= report(case.name, run_tree, case, work)
    sys.exit(not good)


if __name__ == "__main__":
    main()
