#!/usr/bin/env python3
"""rule_pages.py: every page of a rule has its parts, in order, and the length and width that people can read."""
import glob
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARTS = ["Symptom", "Cause", "How kvpath detects it", "Repair", "Source"]
wrong = []
pages = sorted(glob.glob(os.path.join(TOP, "src", "rules", "pages", "*.md")))
for path in pages:
    name = os.path.basename(path)[:-3]
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")[:-1]
    parts = re.split(r"^## (.*)$", "\n".join(lines), flags=re.M)
    if not lines[0].startswith(f"# {name}: "):
        wrong.append(f"{name}: the first line is not its title")
    if parts[1::2] != PARTS:
        wrong.append(f"{name}: its parts are {parts[1::2]}")
    if not all(text.strip() for text in parts[2::2]):
        wrong.append(f"{name}: a part is empty")
    if not 25 <= len(lines) <= 50 or max(map(len, lines)) > 92:
        wrong.append(f"{name}: {len(lines)} lines, the longest of {max(map(len, lines))} characters")
print("\n".join(wrong) or f"{len(pages)} pages")
sys.exit(bool(wrong) or len(pages) < 60)
