"""bychance.py: what recipes.py and manifests.py have in common: texts made by chance, and lint of each beside what is so."""
import argparse
import collections
import os
import sys
import tempfile


class Differ(Exception):
    pass


def compare_all(doc, what, make, tools):
    """make(work, seed, number, counts) is a trial: compare() raises Differ, body is its text. tools: programs that stand in
    for others, in work/bin."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help=f"this {what} alone")
    args = parser.parse_args()
    counts, failed = collections.Counter(), 0
    numbers = [args.only] if args.only is not None else range(args.n)
    with tempfile.TemporaryDirectory(prefix=f"kvpath-{what}s-") as work:
        os.mkdir(work + "/bin")
        for name, text in tools.items():
            with open(f"{work}/bin/{name}", "w", encoding="utf-8") as f:
                f.write("#!/bin/bash\n" + text)
            os.chmod(f"{work}/bin/{name}", 0o755)
        for number in numbers:
            trial = make(work, args.seed, number, counts)
            try:
                trial.compare()
            except Differ as e:
                failed += 1
                print(f"not ok  {what} {number} of seed {args.seed}: {e}")
                print("\n".join("    | " + line for line in trial.body.splitlines()), flush=True)
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    print(f"{len(numbers) - failed} passed, {failed} failed")
    sys.exit(bool(failed) or not numbers)
