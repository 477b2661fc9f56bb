"""Takes a tree that disagrees apart until nothing more can be left out."""

import copy
import json
import os
import re
import struct

STRINGS = ("rpath", "runpath", "LD_LIBRARY_PATH", "LD_PRELOAD", "s")


def places(node, path=()):
    """Every part that can be left out, the large ones first."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    for key, _ in items:
        if key not in ("t", "glibc", "queries", "n", "file", "to", "reloc", "type", "abi_note"):
            yield path + (key,)
    for key, value in items:
        if isinstance(value, (dict, list)):
            yield from places(value, path + (key,))
        elif key in STRINGS:
            for i in range(len(re.split(r"[:;\n ]", value))):
                yield path + (key, ("part", i))


def without(tree, path):
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        if isinstance(at[key], str):
            break
        at = at[key]
    last = path[-1]
    if isinstance(last, tuple):
        pieces = re.split(r"([:;\n ])", at[path[-2]])
        del pieces[2 * last[1]:2 * last[1] + 2]
        text = "".join(pieces)
        at[path[-2]] = text.rstrip(":; ") if last[1] else text
    else:
        del at[last]
    return tree


def still(worker, tree, kind):
    try:
        return any(k == kind for _, _, _, k in worker.try_tree(tree))
    except (KeyError, IndexError, TypeError, ValueError, struct.error):
        return False


def shrink(worker, tree, kind):
    changed = True
    while changed:
        changed = False
        skip = 0
        while True:
            rest = list(places(tree))[skip:]
            if not rest:
                break
            smaller = without(tree, rest[0])
            if smaller != tree and still(worker, smaller, kind):
                tree, changed = smaller, True
            else:
                skip += 1
    return tree


def compact(value, room=88, pad=""):
    """JSON with what fits on a line on one line."""
    text = json.dumps(value)
    if len(text) <= room - len(pad) or not isinstance(value, (dict, list)) or not value:
        return text
    inner = pad + " "
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(k)}: {compact(v, room, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + "\n" + pad + "}"
    return "[\n" + ",\n".join(inner + compact(v, room, inner) for v in value) + "\n" + pad + "]"


def write(tree, folder, kind, label):
    os.makedirs(folder, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")[:60]
    with open(os.path.join(folder, f"{name}-{label}.json"), "w") as f:
        f.write(compact(tree) + "\n")


def run(worker, tree, wanted):
    """Prints the smallest tree with a difference whose kind holds `wanted`; that tree, or None."""
    results = [r for r in worker.try_tree(tree) if r[3] and wanted in r[3]]
    if not results:
        print("the two agree")
        return None
    query, _, _, kind = results[0]
    tree = copy.deepcopy(tree)
    tree["queries"] = [query]
    tree = shrink(worker, tree, kind)
    print(compact(tree))
    for query, real, model, kind in worker.try_tree(tree):
        print(f"{query}: {kind}\n    real:  {real.show()}\n    model: {model.show()}")
    return tree
