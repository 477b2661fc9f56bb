"""Writes ld.so.cache files of any of the three formats, right or wrong ones, and small ELF objects
for ldconfig to enter. Part of cache.py."""
import struct

MAGIC_OLD = b"ld.so-1.7.0\0"
MAGIC_NEW = b"glibc-ld.so.cache1.1"
NAMED = 1 << 62
HWCAPS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]


class Strings:
    def __init__(self, base):
        self.base, self.bytes, self.known = base, bytearray(), {}

    def __call__(self, text):
        if text not in self.known:
            self.known[text] = self.base + len(self.bytes)
            self.bytes += text.encode("latin-1") + b"\0"
        return self.known[text]


def new_table(entries, rng, at=0, names=None, endian=2):
    """entries: (flags, key, value, osversion, hwcap). at: position in the file."""
    strings = Strings(48 + 24 * len(entries))
    rows = b"".join(struct.pack("<iIIIQ", flags, strings(key), strings(value), osversion, hwcap)
                    for flags, key, value, osversion, hwcap in entries)
    # Of old followed by new, the extension's names count from the file's start.
    indices = [at + strings(name) for name in names or []]
    body = rows + bytes(strings.bytes)
    body += b"\0" * (-(48 + len(body)) % 4)
    extension = 0
    if names is not None:
        extension = at + 48 + len(body)
        data = extension + 8 + 16
        body += struct.pack("<II", 0xEAA42174, 1)
        body += struct.pack("<IIII", 1, 0, data, 4 * len(indices))
        body += b"".join(struct.pack("<I", i) for i in indices)
    header = MAGIC_NEW + struct.pack("<IIBxxxI12x", len(entries), len(strings.bytes), endian, extension)
    return header + body


def old_table(entries):
    strings = Strings(0)
    rows = b"".join(struct.pack("<iII", flags, strings(key), strings(value))
                    for flags, key, value, _, _ in entries)
    return MAGIC_OLD + struct.pack("<I", len(entries)) + rows, bytes(strings.bytes)


def make(rng, entries):
    """A cache of random format with these entries."""
    kind = rng.choice(["new", "new", "new", "old", "both"])
    names = rng.choice([None, sorted(HWCAPS), sorted(HWCAPS), sorted(HWCAPS + ["power9"]),
                        rng.sample(HWCAPS, 2)])
    endian = rng.choice([2, 2, 2, 2, 0, 3, 1, 4])
    if kind == "new":
        return new_table(entries, rng, 0, names, endian)
    head, strings = old_table(entries if rng.random() < 0.5 else entries[: len(entries) // 2])
    if kind == "old":
        return head + strings
    head += b"\0" * (-len(head) % 8)
    return head + new_table(entries, rng, len(head), names, endian)


def elf(soname=None, needed=("libc.so.6",), level=None, kernel=None, machine=62, bits=64, kind=3):
    """A shared object that is whole enough for ldconfig and for ld.so's search."""
    strtab, dyn = bytearray(b"\0"), []

    def string(text):
        strtab.extend(text.encode() + b"\0")
        return len(strtab) - len(text) - 1

    for name in needed:
        dyn.append((1, string(name)))
    if soname:
        dyn.append((14, string(soname)))
    note = b""
    if level is not None:  # GNU_PROPERTY_X86_ISA_1_NEEDED
        note += struct.pack("<III4sIII4x", 4, 16, 5, b"GNU\0", 0xC0008002, 4, level)
    abi = struct.pack("<III4sIIII", 4, 16, 1, b"GNU\0", 0, *kernel) if kernel else b""
    notes = [(4, note, 8), (0x6474E553, note, 8)] if note else []
    notes += [(4, abi, 4)] if abi else []
    phnum = 2 + len(notes)
    at = 64 + 56 * phnum
    blobs, phdrs = b"", []
    for kind_of, blob, align in notes:
        pad = -(at + len(blobs)) % 8
        blobs += b"\0" * pad
        phdrs.append((kind_of, 4, at + len(blobs), len(blob), align))
        blobs += blob
    blobs += b"\0" * (-(at + len(blobs)) % 8)
    str_at = at + len(blobs)
    blobs += bytes(strtab) + b"\0" * (-(str_at + len(strtab)) % 8)
    dyn_at = at + len(blobs)
    dyn += [(5, str_at), (10, len(strtab)), (6, str_at), (11, 24), (0, 0)]
    blobs += b"".join(struct.pack("<QQ", *d) for d in dyn)
    size = at + len(blobs)
    phdrs = [(1, 6, 0, size, 4096), (2, 6, dyn_at, 16 * len(dyn), 8)] + phdrs
    ehdr = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + b"\0" * 9
    ehdr += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, phnum, 0, 0, 0)
    out = ehdr
    for kind_of, flags, off, filesz, align in phdrs:
        out += struct.pack("<IIQQQQQQ", kind_of, flags, off, off, off, filesz, filesz, align)
    return out + blobs
