#!/usr/bin/env python3
"""releases.py [TEXT...]: every release of NIXL in tests/roots/wheels.lock, of nixl, nixl-cu12 and nixl-cu13, kvpath against the real thing.

Each is installed in Debian 12, with that of CUDA which it is for, and asked what targets.py asks of a container: the verdict, each plugin and
the loader's words, the default, a recording, `run`, fix and undo. TEXT: only those that have it in their names. Downloads 3 GB once.
A line for each, then `N passed, N failed`.
"""
import collections
import os
import subprocess
import sys
import tempfile

from targets import ROOTS, Failure, Roots, Target, build, own_mounts


class Bare(Roots):
    """Nothing but the system below each."""

    def layers(self, version, fabric, fix):
        return [build("base")]


def releases():
    with open(os.path.join(ROOTS, "wheels.lock"), encoding="utf-8") as f:
        lines = [line.split() for line in f if line.startswith("nixl")]
    found = {(name, version) for name, version, tag, *_ in lines if tag.startswith("cp311-") and tag.endswith("x86_64")}
    return sorted(found, key=lambda x: (x[0], [int(part) for part in x[1].split(".")]))


def main():
    own_mounts("releases")
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="kvpath-releases-") as work:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "kvpath-releases", work], check=True)
        roots = Bare(work)
        for name, version in releases():
            if sys.argv[1:] and not any(text in f"{name}-{version}" for text in sys.argv[1:]):
                continue
            counts = collections.Counter()
            entry = {"name": f"{name} {version}", "container": version, "expect": [], "agent": "no: asked here", "args": ["--mem", "dram"],
                     "change": f"install {name} {version} {13 if name.endswith('13') else 12}"}
            try:
                Target(entry, roots, f"{work}/{name}-{version}", counts, {}, with_image=False, module=name.replace("-", "_")).run()
                passed += 1
                print(f"ok      {name} {version}: {', '.join(sorted(counts))}", flush=True)
            except Failure as e:
                failed += 1
                print(f"not ok  {name} {version}\n    # " + str(e).replace("\n", "\n    # "), flush=True)
        subprocess.run(["umount", "-l", work], check=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed) or not passed)


if __name__ == "__main__":
    main()
