#!/usr/bin/env python3
"""Lists the pages of all rules in rules.def; fails where one has none, or a page has no rule."""
import os
import re
import sys

table = sys.argv[1]
pages = os.path.join(os.path.dirname(table), "pages")
with open(table, encoding="utf-8") as f:
    ids = re.findall(r"^KV_(?:RULE|PROVED|LOGGED)\((KV\d+),", f.read(), re.M)
there = sorted(os.path.splitext(p)[0] for p in os.listdir(pages) if p.endswith(".md"))
if sorted(ids) != there:
    sys.exit("rules.def and pages/ differ: %s" % ", ".join(sorted(set(ids) ^ set(there))))
print("\n".join(os.path.abspath(os.path.join(pages, i + ".md")) for i in there))
