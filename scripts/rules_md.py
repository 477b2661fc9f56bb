#!/usr/bin/env python3
"""rules_md.py [--check]: writes docs/rules.md from docs/reasons.tsv, the table of rules, their pages and the scenarios.

--check writes nothing, and fails where the file is not what would be written.
"""
import glob
import os
import re
import sys
import tomllib

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SEEN_BY = {"c": "check", "l": "log", "p": "prove"}
HEAD = """# Rules

{} reasons are known: for {} there is a finding and a scenario that injects it, for {} there is none, and the remark says why.

Every known reason why KV transfers are not on EFA, and what kvpath has for it. Made by `make docs` from
`docs/reasons.tsv`, the table of rules, their pages and the scenarios; do not edit it here. The page of a finding:
`kvpath explain ID`. Findings beyond these reasons are in `src/rules/rules.def` alone.

| row | reason | finding | seen by | first scenario | remark | source |
|---|---|---|---|---|---|---|
"""


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as f:
        return f.read()


def titles():
    return dict(re.findall(r'^KV_(?:RULE|PROVED|LOGGED)\((KV\d+),[^"]*"((?:[^"\\]|\\.)*)"',
                           read("src", "rules", "rules.def"), re.M))


def scenarios():
    """The names of those that inject an id."""
    found = {}
    for path in sorted(glob.glob(os.path.join(TOP, "tests", "scenarios", "*.toml"))):
        with open(path, "rb") as f:
            for entry in tomllib.load(f).get("scenario", []):
                for text in entry.get("expect", []) + entry.get("agent_log", []):
                    names = found.setdefault(text.split()[0], [])
                    if entry["name"] not in names:
                        names.append(entry["name"])
    return found


def rows():
    for number, line in enumerate(read("docs", "reasons.tsv").splitlines(), 1):
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 5:
            sys.exit(f"docs/reasons.tsv:{number}: {len(fields)} fields, not 5")
        yield fields


def source(id):
    text = read("src", "rules", "pages", id + ".md").split("## Source\n", 1)[1]
    return " ".join(text.split())


def cell(text):
    return text.replace("|", "\\|")


def check_order(all_rows):
    """Every reason once: A1, A2, ... without a gap."""
    last = ("", 0)
    for row, *_ in all_rows:
        here = (row[0], int(row[1:]))
        if here not in ((last[0], last[1] + 1), (chr(ord(last[0] or "@") + 1), 1)):
            sys.exit(f"docs/reasons.tsv: {row} comes after {last[0]}{last[1]}")
        last = here


def document():
    title, injected, out, without = titles(), scenarios(), [], 0
    check_order(list(rows()))
    for row, reason, ids, seen, remark in rows():
        ids = [] if ids == "-" else ids.split(",")
        unknown = [i for i in ids if i not in title]
        if unknown or not (ids or remark):
            sys.exit(f"docs/reasons.tsv: {row}: {' '.join(unknown) or 'neither a finding nor why there is none'}")
        names = injected.get(ids[0], []) if ids else []
        if ids and not names:
            sys.exit(f"docs/reasons.tsv: {row}: no scenario injects {ids[0]}")
        without += not ids
        shown = names[0] if names else ""  # the first, so that a further one changes nothing here
        finding = "<br>".join(f"[{i}](../src/rules/pages/{i}.md) {title[i]}" for i in ids) or "none"
        out.append(f"| {row} | {cell(reason)} | {cell(finding)} | {', '.join(SEEN_BY[c] for c in seen)} | "
                   f"{cell(shown)} | {cell(remark)} | {cell(source(ids[0])) if ids else ''} |\n")
    return HEAD.format(len(out), len(out) - without, without) + "".join(out)


def main():
    text = document()
    path = os.path.join(TOP, "docs", "rules.md")
    if sys.argv[1:] == ["--check"]:
        if not os.path.exists(path) or read("docs", "rules.md") != text:
            sys.exit("docs/rules.md is not current: make docs")
        return
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


main()
