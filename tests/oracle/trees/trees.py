#!/usr/bin/env python3
"""Random trees, each loaded by the real ld.so in a chroot and by the model (`kvpath why`), which
must agree. Needs root.

  trees.py [--n N] [--seed S] [--jobs J] [--seconds T]   N trees from seed S on, T seconds at most
  trees.py --only SEED [--keep DIR]                      one tree, in full; DIR keeps it
  trees.py --shrink SEED                                 the smallest tree that still disagrees
  trees.py --file TREE.json                              a tree that was written down (regress/)

The regress/ trees, which once disagreed, are tried first. KVPATH names the program.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from queue import Empty

import answer
import generate
import shrink
import tree as trees
import writer
from world import HERE, Spawner, World


class Worker:
    def __init__(self, world, program, number=0):
        self.world, self.program = world, program
        self.dir = os.path.join(world.dir, f"worker-{number}")
        os.mkdir(self.dir, 0o755)
        self.spawner = Spawner(world)

    def try_tree(self, tree, keep=None):
        """[(query, real answer, model's answer, difference or None)]"""
        root = keep or os.path.join(self.dir, "root")
        library = self.world.library(tree["glibc"])
        trees.remove(root)
        trees.build(root, tree, library)
        if "ldconfig" in tree:
            self.spawner.run(["/sbin/ldconfig", *tree["ldconfig"]], root, env=["LC_ALL=C"])
        trees.change(root, tree, library)
        out = []
        for query, real in zip(tree["queries"], answer.real(self.spawner, root, tree)):
            model = answer.model(self.spawner, self.program, root, tree, query)
            out.append((query, real, model, answer.differ(real, model)))
        if not keep:
            trees.remove(root)
        return out


class Counts:
    def __init__(self):
        self.trees = self.queries = self.bad = 0
        self.verdicts, self.errors, self.unknown = Counter(), Counter(), Counter()
        self.kinds, self.example = Counter(), {}

    def add(self, label, results):
        self.trees += 1
        for _, real, model, kind in results:
            self.queries += 1
            self.verdicts[real.loads] += 1
            if real.loads != "yes":
                self.errors[f"{real.loads}: {answer.shape(real.text)}"] += 1
            if model.loads == "unknown":
                self.unknown[answer.shape(model.text)] += 1
            if kind:
                self.bad += 1
                self.kinds[kind] += 1
                self.example.setdefault(kind, []).append(label)

    def print(self, elapsed, missing):
        print(f"\n{self.trees} trees, {self.queries} queries, {elapsed:.0f} s")
        if missing:
            print(f"releases of glibc that could not be had: {' '.join(missing)}")
        for title, counter in (("the real loader's verdicts", self.verdicts),
                               ("its errors", self.errors), ("the model cannot tell", self.unknown),
                               ("disagreements", self.kinds)):
            print(f"{title}: {sum(counter.values())}")
            for text, n in counter.most_common():
                where = f"   ({', '.join(self.example[text][:4])})" if text in self.example else ""
                print(f"  {n:7} {text}{where}")


def show(label, results, command):
    for query, real, model, kind in results:
        if kind:
            print(f"not ok {label} {query}: {kind}\n    real:  {real.show()}\n"
                  f"    model: {model.show()}\n    {command}", flush=True)


def written(path, versions):
    """The tree of a file, once for each release where it says "all"; none where it holds a file of
    a release that could not be had."""
    with open(path) as f:
        tree = json.load(f)
    if any(n.get("release", versions[0]) not in versions for n in tree["files"].values()):
        return
    for version in versions if tree["glibc"] == "all" else [tree["glibc"]]:
        if version in versions:
            yield version, {**tree, "glibc": version}


def regress(versions):
    folder = os.path.join(HERE, "regress")
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".json")):
        for version, tree in written(os.path.join(folder, name), versions):
            yield name, version, tree


def command(*args):
    return " ".join([os.path.relpath(os.path.join(HERE, "trees.py")), *args])


def run_part(world, program, number, seeds, deadline, queue, hostile):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker = Worker(world, program, number)
    for seed in seeds:
        if time.monotonic() > deadline:
            break
        queue.put((seed, worker.try_tree(generate.tree(seed, world.versions, hostile))))
    queue.put(None)


def survey(worker, counts, o):
    """Takes the first tree of each kind of disagreement apart."""
    for kind, where in counts.example.items():
        label = min((w for w in where if w.isdigit()), key=int, default=None)
        if not label:
            continue
        print(f"\n### seed {label}, {counts.kinds[kind]} times: {kind}", flush=True)
        tree = generate.tree(int(label), worker.world.versions, o.hostile)
        small = shrink.run(worker, tree, kind)
        if small:
            shrink.write(small, o.survey, kind, label)


def run(world, o):
    """The written trees, then the random ones."""
    counts, start = Counts(), time.monotonic()
    worker = Worker(world, o.kvpath, "regress")
    complaints = writer.check(world.dir)
    print("\n".join(f"not ok writer: {c}" for c in complaints) or "ok writer", flush=True)
    for name, version, tree in regress(world.versions):
        results = worker.try_tree(tree)
        counts.add(f"{name} {version}", results)
        show(f"{name} {version}", results,
             command("--file", f"{HERE}/regress/{name}", "--releases", version))
    seeds = range(o.seed, o.seed + o.n)
    queue = multiprocessing.Queue()
    deadline = start + o.seconds
    parts = [multiprocessing.Process(
        target=run_part, daemon=True,
        args=(world, o.kvpath, i, seeds[i::o.jobs], deadline, queue, o.hostile))
        for i in range(o.jobs)]
    for p in parts:
        p.start()
    left = len(parts)
    while left:
        try:
            item = queue.get(timeout=120)
        except Empty:
            raise SystemExit("trees: a worker has died or hangs") from None
        if item is None:
            left -= 1
            continue
        seed, results = item
        counts.add(str(seed), results)
        show(f"seed {seed}", results, command("--only", str(seed)))
    for p in parts:
        p.join()
    if o.survey:
        survey(worker, counts, o)
    counts.print(time.monotonic() - start, world.missing)
    unknown, bad = sum(counts.unknown.values()), counts.bad + len(complaints)
    if unknown * 100 > counts.queries:
        print("not ok: the model cannot tell too often")
        bad += 1
    print(f"{counts.queries - unknown - counts.bad} passed, {bad} failed")
    return bad == 0 and counts.queries > 0


def one(world, o, tree, label):
    worker = Worker(world, o.kvpath, label)
    print(f"# {label}\n{shrink.compact(tree)}")
    results = worker.try_tree(tree, o.keep and os.path.realpath(o.keep))
    for query, real, model, kind in results:
        print(f"{'not ok' if kind else 'ok'} {query}{': ' + kind if kind else ''}\n"
              f"    real:  {real.show()}\n    model: {model.show()}")
    return not any(r[3] for r in results)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--n", type=int, default=200)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--seconds", type=float, default=1e9)
    p.add_argument("--only", type=int)
    p.add_argument("--shrink", type=int)
    p.add_argument("--survey", metavar="DIR", help="shrink one of each kind afterwards, into DIR")
    p.add_argument("--kind", default="", help="shrink the disagreement whose kind holds this text")
    p.add_argument("--hostile", action="store_true", help="also objects that no linker makes")
    p.add_argument("--releases", nargs="+", help="only these releases of glibc")
    p.add_argument("--file")
    p.add_argument("--keep")
    p.add_argument("--kvpath", default=os.environ.get("KVPATH") or
                   os.path.join(HERE, "..", "..", "..", "build", "bin", "kvpath"))
    o = p.parse_args()
    if os.geteuid() != 0:
        sys.exit("trees: needs root (it uses chroot)")
    o.kvpath = os.path.realpath(o.kvpath)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    world = World(o.releases)
    try:
        if o.shrink is not None or (o.file and o.kind):
            first = (next(written(o.file, world.versions))[1] if o.file else
                     generate.tree(o.shrink, world.versions, o.hostile))
            good = not shrink.run(Worker(world, o.kvpath), first, o.kind)
        elif o.only is not None:
            good = one(world, o, generate.tree(o.only, world.versions, o.hostile), f"seed-{o.only}")
        elif o.file:
            good = all([one(world, o, tree, version)
                        for version, tree in written(o.file, world.versions)])
        else:
            good = run(world, o)
    finally:
        world.close()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
