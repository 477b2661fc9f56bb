"""The tables behind an object's symbols: strings, both kinds of hash, version definitions and
needs. Layouts as in the gABI and in glibc's elf/elf.h."""

import struct


class Strings:
    def __init__(self):
        self.data = bytearray(b"\0")
        self.known = {"": 0}

    def add(self, text):
        if text not in self.known:
            self.known[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self.known[text]

    def bytes(self):
        return bytes(self.data)


def sysv_hash(name):
    h = 0
    for c in name.encode():
        h = (h << 4) + c
        h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff
    return h


def gnu_hash(name):
    h = 5381
    for c in name.encode():
        h = (h * 33 + c) & 0xffffffff
    return h


def gnu_hash_table(defs, first, is32, order):
    """The definitions in their order in the table, the number of buckets and DT_GNU_HASH."""
    n_buckets = max(1, len(defs) // 2)
    ordered = sorted(defs, key=lambda d: gnu_hash(d["n"]) % n_buckets)
    bits, shift = (32, 5) if is32 else (64, 6)
    bloom = 0
    buckets, chains = [0] * n_buckets, []
    for i, d in enumerate(ordered):
        h = gnu_hash(d["n"])
        bloom |= 1 << h % bits | 1 << (h >> shift) % bits
        b = h % n_buckets
        if not buckets[b]:
            buckets[b] = first + i
        last = i + 1 == len(ordered) or gnu_hash(ordered[i + 1]["n"]) % n_buckets != b
        chains.append(h & ~1 | last)
    table = struct.pack(order + "IIII", n_buckets, first, 1, shift)
    table += struct.pack(order + ("I" if is32 else "Q"), bloom)
    table += struct.pack(order + "%dI" % (n_buckets + len(chains)), *buckets, *chains)
    return ordered, n_buckets, table


def hash_table(names, order):
    """names: of the symbols from number 1 on."""
    n_buckets = max(1, len(names) // 2)
    buckets, chains = [0] * n_buckets, [0] * (len(names) + 1)
    for i, name in enumerate(names, 1):
        b = sysv_hash(name) % n_buckets
        chains[i] = buckets[b]
        buckets[b] = i
    return struct.pack(order + "II%dI" % (n_buckets + len(chains)), n_buckets, len(chains),
                       *buckets, *chains)


def verdef_table(base, versions, strings, order):
    """base: name of the file's own entry. versions: [{n, parents, weak}]."""
    entries = [(base, 1, [])] + [(v["n"], 2 if v.get("weak") else 0, v.get("parents", []))
                                 for v in versions]
    out = b""
    for i, (name, flags, parents) in enumerate(entries):
        names = [name] + parents
        size = 20 + 8 * len(names)
        out += struct.pack(order + "HHHHIII", 1, flags, i + 1, len(names), sysv_hash(name), 20,
                           size if i + 1 < len(entries) else 0)
        for j, n in enumerate(names):
            out += struct.pack(order + "II", strings.add(n), 8 if j + 1 < len(names) else 0)
    return out


def verneed_table(needs, strings, order):
    """needs: {file: [(name, weak, index)]}."""
    out = b""
    for i, (file, versions) in enumerate(needs.items()):
        size = 16 + 16 * len(versions)
        out += struct.pack(order + "HHIII", 1, len(versions), strings.add(file), 16,
                           size if i + 1 < len(needs) else 0)
        for j, (name, weak, index) in enumerate(versions):
            out += struct.pack(order + "IHHII", sysv_hash(name), 2 if weak else 0, index,
                               strings.add(name), 16 if j + 1 < len(versions) else 0)
    return out
