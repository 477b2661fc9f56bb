#!/usr/bin/env python3
"""sweepstate.py NODES ROUNDS [OPTION=VALUE]...: the state file of a sweep that never was, on the standard output.

Rounds are dealt by turning a wheel of seats around the last node, and not by kvpath's sums. Options: seed=N,
slow=N (a node at half the rate), off=N (a node whose check fails), lost=N, old=N (an older EFA driver), from=ROUND.
"""
import json
import random
import sys


def rounds(n):
    seats = [n - 1, *range(n - 1)] if n % 2 == 0 else [None, *range(n)]
    for _ in range(len(seats) - 1):
        half = len(seats) // 2
        yield [(a, b) for a, b in zip(seats[:half], reversed(seats[half:])) if a is not None and b is not None]
        seats = seats[:1] + seats[-1:] + seats[1:-1]


def main():
    n, want = int(sys.argv[1]), int(sys.argv[2])
    opts = {k: int(v) for k, v in (a.split("=") for a in sys.argv[3:])}
    rng = random.Random(opts.get("seed", 1))
    width = len(str(n - 1))
    names = [f"gpu{i:0{width}d}" for i in range(n)]
    out = sys.stdout
    head = {"nodes": f"gpu[{0:0{width}d}-{n - 1:0{width}d}]", "launcher": "slurm", "engine": "nixl:LIBFABRIC",
            "shape": "64x1048576", "op": "write", "mem": "vram", "target": "/", "iters": 20, "version": "0"}
    out.write("kvpath.sweep-state/1 " + json.dumps(head) + "\n")
    for i, name in enumerate(names):
        bad = i == opts.get("off")
        doc = {"verdict": "off-fabric" if bad else "on-fabric", "findings": ["KV314"] if bad else [],
               "detail": "/dev/infiniband/uverbs0 can not be opened" if bad else "",
               "facts": {"architecture": "x86_64", "system": "ubuntu 24.04", "libc": "glibc 2.39", "kernel": "6.8.0-1021-aws",
                         "instance": "p5en.48xlarge", "NIXL": "nixl-cu13 1.5.0", "default": "LIBFABRIC",
                         "libfabric": "2.3.0", "EFA devices": "16 x efa3 by efa", "GPUs": "8 x 2335 by nvidia",
                         "EFA driver": "2.10.0g" if i == opts.get("old") else "2.17.2g", "GPU driver": "580.95.05"}}
        out.write(f"node {name} {json.dumps(doc)}\n")
    if "lost" in opts:
        out.write(f"lost {names[opts['lost']]} its connection ended\n")
    out_of = {opts.get("off"), opts.get("lost")}
    for r, pairs in enumerate(rounds(n)):
        if r < opts.get("from", 0):
            continue
        if r == opts.get("from", 0) + want:
            break
        for a, b in pairs:
            if a in out_of or b in out_of:
                continue
            rate = 45e9 * (0.5 if opts.get("slow") in (a, b) else 1) * rng.uniform(0.96, 1.04)
            out.write(f"pair {a} {b} {rate:.0f} efa\n")


main()
