"""Looks after the writer of objects: what it calls a good object must be one to readelf too. (That
ld.so takes them shows in the trees.)"""

import os
import random
import subprocess

import elfobj
import objects


def good(r, letter, earlier):
    o = objects.library(r, letter, earlier, True)
    # Odd on purpose: numbers that readelf has no name for, a version that no symbol bears.
    for key in ("isa", "abi_note", "base", "verneeds"):
        o.pop(key, None)
    for u in o["undefs"]:
        u.pop("hiddenver", None)
    return o


def check(folder):
    """Complaints of readelf about a hundred random good objects."""
    r, complaints, earlier = random.Random(1), [], []
    path = os.path.join(folder, "object.so")
    for i in range(100):
        o = good(r, "abdefgh"[i % 7], earlier[-2:])
        earlier.append((f"lib{i}.so", o))
        with open(path, "wb") as f:
            f.write(elfobj.build(o))
        for options in ("-aW", "-DsW", "-rDW"):
            p = subprocess.run(["readelf", options, path], capture_output=True, text=True,
                               env={"LC_ALL": "C", "PATH": os.environ["PATH"]})
            if p.returncode or p.stderr or "<corrupt" in p.stdout or "<unknown" in p.stdout:
                complaints.append(f"object {i}, readelf {options}: {p.stderr.strip()}")
    os.unlink(path)
    return complaints
