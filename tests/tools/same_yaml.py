#!/usr/bin/env python3
"""same_yaml.py BEFORE AFTER: what PyYAML finds different between two files, a line for each scalar; nothing else may be."""
import sys

import yaml


def differences(x, y, path):
    if type(x) is not type(y):
        sys.exit(f"{path}: another type")
    if isinstance(x, dict):
        if list(x) != list(y)[: len(x)]:
            sys.exit(f"{path}: other keys, or another order")
        for key in x:
            yield from differences(x[key], y[key], f"{path}/{key}")
        for key in list(y)[len(x) :]:
            yield f"{path}/{key}: new: {y[key]}"
    elif isinstance(x, list):
        if len(x) != len(y):
            sys.exit(f"{path}: another length")
        for i, (a, b) in enumerate(zip(x, y)):
            yield from differences(a, b, f"{path}/{i}")
    elif x != y:
        yield f"{path}: {x!r}, now {y!r}"


def load(path):
    with open(path, "rb") as f:
        return list(yaml.safe_load_all(f))


for line in differences(load(sys.argv[1]), load(sys.argv[2]), ""):
    print(line)
