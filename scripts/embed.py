#!/usr/bin/env python3
"""Turns text files into C: `embed.py text OUT FILE NAME`, `embed.py pages OUT PAGE.md...`, or
`embed.py models OUT MODEL.json...`."""
import os
import sys


def literal(data):
    lines = []
    for line in data.decode("utf-8").splitlines(keepends=True):
        text = line.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\n", "\\n")
        # A hex digit behind an escape would be taken into it; UTF-8 goes out as octal escapes.
        text = "".join(c if ord(c) < 128 else "".join("\\%03o" % b for b in c.encode()) for c in text)
        lines.append('\t"%s"\n' % text.replace("??", '?\\?'))
    return "".join(lines) or '\t""\n'


def main():
    kind, out = sys.argv[1:3]
    with open(out, "w", encoding="ascii") as f:
        f.write("/* Generated: do not edit. */\n")
        if kind == "text":
            with open(sys.argv[3], "rb") as src:
                name = sys.argv[4]
                f.write("extern const char %s[];\nconst char %s[] =\n%s;\n" % (name, name, literal(src.read()).rstrip("\n")))
            return
        # A table of name and text, ended by NULL.
        struct, field = {"pages": ("kv_page", "id"), "models": ("kv_model", "name")}[kind]
        f.write("#include <stddef.h>\n\nextern const struct %s {\n\tconst char *%s, *text;\n} %ss[];\n\n"
                "const struct %s %ss[] = {\n" % (struct, field, struct, struct, struct))
        for path in sorted(sys.argv[3:]):
            with open(path, "rb") as src:
                name = os.path.splitext(os.path.basename(path))[0]
                f.write('\t{ "%s",\n%s\t},\n' % (name, literal(src.read())))
        f.write("\t{ NULL, NULL },\n};\n")


main()
