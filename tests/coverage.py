#!/usr/bin/env python3
"""coverage.py LCOV [ROOM]: lines of src/ that were run, for each room and in all; of ROOM (as src/root) each file with the lines
that were not."""
import collections
import os
import sys


def lines_of(path):
    """{file below src/: {line: was it run}}"""
    found = collections.defaultdict(dict)
    with open(path, encoding="utf-8") as f:
        for line in f:
            key, _, value = line.strip().partition(":")
            if key == "SF":
                name = os.path.relpath(value)
            elif key == "DA" and name.startswith("src/"):
                number, count = value.split(",")[:2]
                found[name][int(number)] = found[name].get(int(number), False) or int(count) > 0
    return found


def ranges(numbers):
    """1, 2, 3, 7 as 1-3 7."""
    out = []
    for n in numbers:
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


def show(name, covered, total):
    print(f"{name:36}{covered:8}{total:8}{100 * covered / max(1, total):8.1f}%")


def main():
    files = lines_of(sys.argv[1])
    if len(sys.argv) > 2:
        for name, lines in sorted(files.items()):
            if os.path.dirname(name) == sys.argv[2].rstrip("/"):
                show(name, sum(lines.values()), len(lines))
                print("    " + ranges(sorted(n for n, hit in lines.items() if not hit)))
        return
    rooms = collections.defaultdict(lambda: [0, 0])
    for name, lines in files.items():
        for room in (os.path.dirname(name), "all"):
            rooms[room][0] += sum(lines.values())
            rooms[room][1] += len(lines)
    print(f"{'room':36}{'run':>8}{'lines':>8}")
    for name, (covered, total) in sorted(rooms.items(), key=lambda x: (x[0] == "all", x[0])):
        show(name, covered, total)


main()
