"""Writes shared objects by hand: no compiler for each tree, and every field can be wrong.

An object is a plain dictionary (it comes from and goes to JSON); a field that is absent has the
value that makes a good object. build() gives its bytes.
"""

import struct

from elftables import Strings, gnu_hash_table, hash_table, verdef_table, verneed_table

PAGE = 4096
RELOC = {"64": 1, "glob": 6, "jump": 7, "dtpmod": 16, "dtpoff": 17, "tpoff": 18,
         "tlsdesc": 36}
TYPES = {"notype": 0, "object": 1, "func": 2, "tls": 6, "ifunc": 10}
FLAGS = {"origin": 1, "symbolic": 2, "textrel": 4, "bind_now": 8, "static_tls": 16}
FLAGS_1 = {"now": 1, "global": 2, "nodelete": 8, "initfirst": 0x20, "noopen": 0x40,
           "origin": 0x80, "interpose": 0x400, "nodeflib": 0x800, "nodump": 0x1000,
           "pie": 0x08000000}
VISIBILITY = {"internal": 1, "hidden": 2, "protected": 3}
DT = {"needed": 1, "pltrelsz": 2, "pltgot": 3, "hash": 4, "strtab": 5, "symtab": 6, "rela": 7,
      "relasz": 8, "relaent": 9, "strsz": 10, "syment": 11, "soname": 14, "rpath": 15,
      "symbolic": 16, "pltrel": 20, "textrel": 22, "jmprel": 23, "bind_now": 24, "runpath": 29,
      "flags": 30,
      "relrsz": 35, "relr": 36, "relrent": 37, "gnu_hash": 0x6ffffef5, "versym": 0x6ffffff0,
      "flags_1": 0x6ffffffb, "verdef": 0x6ffffffc, "verdefnum": 0x6ffffffd,
      "verneed": 0x6ffffffe, "verneednum": 0x6fffffff, "auxiliary": 0x7ffffffd,
      "filter": 0x7fffffff}


def note(name, kind, desc):
    name = name.encode() + b"\0"
    return struct.pack("<III", len(name), len(desc), kind) + name.ljust((len(name) + 3) & ~3,
                                                                       b"\0") + desc


class Versions:
    """Numbers of version names: definitions first, then the needs."""

    def __init__(self, obj):
        self.defs = [dict(v) for v in obj.get("verdefs", [])]
        self.needs = {}  # file -> [(name, weak, index)]
        for d in obj.get("defs", []):
            if d.get("v") and d["v"] not in (v["n"] for v in self.defs):
                self.defs.append({"n": d["v"]})
        self.index = {v["n"]: i + 2 for i, v in enumerate(self.defs)}
        self.next = len(self.defs) + 2
        self.need_index = {}
        for u in obj.get("undefs", []):
            if u.get("v"):
                self.need(u.get("file", "libc.so.6"), u["v"], u.get("weakver", False),
                          u.get("hiddenver", False))
        for v in obj.get("verneeds", []):
            self.need(v["file"], v["n"], v.get("weak", False))
        if obj.get("relr") and obj.get("relr_marker"):
            self.need("libc.so.6", "GLIBC_ABI_DT_RELR", False)
        self.used = bool(self.defs or self.needs or obj.get("versym"))

    def need(self, file, name, weak, hidden=False):
        if (file, name) in self.need_index:
            return
        self.need_index[file, name] = self.next
        number = self.next | (0x8000 if hidden else 0)
        self.needs.setdefault(file, []).append((name, weak, number))
        self.next += 1


class Writer:
    def __init__(self, obj):
        self.o = obj
        self.is32 = obj.get("cls", 2) == 1
        self.order = ">" if obj.get("data", 1) == 2 else "<"
        self.word = "I" if self.is32 else "Q"
        self.wsize = 4 if self.is32 else 8
        self.strings = Strings()
        self.blobs = []   # (name, bytes) of the read-only segment
        self.addr = {}
        self.base = obj.get("base_addr", 0)

    def pack(self, fmt, *values):
        return struct.pack(self.order + fmt.replace("W", self.word), *values)

    def add(self, name, data):
        self.blobs.append((name, data))

    # ---- symbols ----

    def symbol(self, name, bind, kind, shndx, value, size, other=0):
        info = bind << 4 | kind
        off = self.strings.add(name)
        if self.is32:
            return self.pack("IIIBBH", off, value, size, info, other, shndx)
        return self.pack("IBBHQQ", off, info, other, shndx, value, size)

    def symbols(self):
        """Undefined ones first; the defined ones in the order that DT_GNU_HASH wants."""
        o, v = self.o, self.versions
        table = [self.symbol("", 0, 0, 0, 0, 0)]
        versym = [0]
        self.undef_index = []
        for u in o.get("undefs", []):
            self.undef_index.append(len(table))
            table.append(self.symbol(u["n"], 2 if u.get("weak") else 1,
                                     TYPES[u.get("type", "notype")], 0, 0, 0,
                                     VISIBILITY.get(u.get("vis"), 0)))
            index = v.need_index[u.get("file", "libc.so.6"), u["v"]] if u.get("v") else 1
            versym.append(u.get("versym", index))
        first = len(table)
        defs, buckets, ghash = gnu_hash_table(o.get("defs", []), first, self.is32, self.order)
        names = [u["n"] for u in o.get("undefs", [])]
        self.own_index = []
        for d in defs:
            tls = d.get("type") == "tls"
            if d.get("reloc"):
                self.own_index.append((d["reloc"], len(table)))
            table.append(self.symbol(d["n"], {"weak": 2, "local": 0, "unique": 10}.get(
                d.get("bind"), 1), TYPES[d.get("type", "func")],
                0xfff1 if d.get("abs") else 1,
                0 if d.get("zero") or tls else self.text_at(), 8,
                VISIBILITY.get(d.get("vis"), 0)))
            index = v.index[d["v"]] if d.get("v") else 1
            versym.append(d.get("versym", index | (0x8000 if d.get("hidden") else 0)))
            names.append(d["n"])
        kind = o.get("hash", "gnu")
        if kind in ("gnu", "both"):
            self.add("gnu_hash", ghash)
        if kind in ("sysv", "both"):
            self.add("hash", hash_table(names, self.order))
        self.add("symtab", b"".join(table))
        self.n_syms = len(table)
        if v.used and not o.get("no_versym"):
            self.add("versym", self.pack("%dH" % len(versym), *versym))

    def text_at(self):
        return self.base + 0x40  # any mapped address does: nothing is ever called

    # ---- the rest ----

    def relocations(self):
        """(rela, jmprel) with their slots in the writable segment."""
        rela, jmprel = [], []
        for u, sym in zip(self.o.get("undefs", []), self.undef_index):
            kind = u.get("reloc", "glob")
            if kind:
                (jmprel if kind == "jump" else rela).append((RELOC[kind], sym))
        for kind, sym in self.own_index:
            (jmprel if kind == "jump" else rela).append((RELOC[kind], sym))
        for kind in self.o.get("tls_relocs", []):
            rela.append((RELOC[kind], 0))
        return rela, jmprel

    def reloc_bytes(self, relocs, slot):
        out = b""
        for i, (kind, sym) in enumerate(relocs):
            out += self.pack("QQq", slot + 16 * i, sym << 32 | kind, 0)
        return out

    def notes(self):
        o, out = self.o, []
        if o.get("isa"):
            desc = b"".join(struct.pack("<IIII", t, 4, bits, 0) for t, bits in
                            ((0xc0008002, o["isa"]), (0xc0010002, o.get("isa_used", 0))) if bits)
            out.append(("prop", note("GNU", 5, desc)))
        if o.get("abi_note"):
            out.append(("abi", note("GNU", 1, struct.pack("<IIII", *o["abi_note"]))))
        return out

    def dynamic(self):
        o, s = self.o, self.strings
        d = [("needed", s.add(n)) for n in o.get("needed", [])]
        for tag in ("soname", "rpath", "runpath", "filter", "auxiliary"):
            if o.get(tag) is not None:
                d.append((tag, s.add(o[tag])))
        for tag, names in (("flags", FLAGS), ("flags_1", FLAGS_1)):
            if o.get(tag):
                d.append((tag, sum(names[n] for n in o[tag])))
        return d

    def link(self, head):
        """Lays the blobs out behind the headers; where they end."""
        at = head
        for name, data in self.blobs:
            at = (at + 7) & ~7
            self.addr[name] = at
            at += len(data)
        return (at + 7) & ~7

    def build(self):
        o = self.o
        self.versions = v = Versions(o)
        soname = o.get("soname")
        fixed = self.dynamic()
        self.symbols()
        base = o.get("base", soname or "base")
        if v.defs and not o.get("no_verdef"):
            self.add("verdef", verdef_table(base, v.defs, self.strings, self.order))
        if v.needs and not o.get("no_verneed"):
            self.add("verneed", verneed_table(v.needs, self.strings, self.order))
        rela, jmprel = ([], []) if self.is32 else self.relocations()
        n_rela, n_jmp, n_relr = len(rela), len(jmprel), 1 if o.get("relr") else 0
        for name, n in (("rela", n_rela * 24), ("jmprel", n_jmp * 24), ("relr", n_relr * 8)):
            if n:
                self.add(name, b"\0" * n)
        for name, data in self.notes():
            self.add(name, data)
        self.add("strtab", self.strings.bytes())
        phnum = self.count_phdrs()
        head = (52 + 32 * phnum) if self.is32 else (64 + 56 * phnum)
        # So that some table begins in the first page and ends in the next one, which is another segment.
        ro_end = self.link(max(head, PAGE - o["split"]) if o.get("split") else head)
        rw = (ro_end + PAGE - 1) & ~(PAGE - 1)
        # DT_PLTGOT: three words for lazy binding, which LD_PRELOAD's objects get
        self.got = rw
        rw_data = rw + 24
        dyn = self.dynamic_entries(fixed, n_rela, n_jmp, n_relr)
        slots = self.base + rw_data + len(dyn) * 2 * self.wsize
        # A slot has room for a descriptor.
        fill = {"rela": self.reloc_bytes(rela, slots),
                "jmprel": self.reloc_bytes(jmprel, slots + 16 * n_rela),
                "relr": self.pack("Q", slots + 16 * (n_rela + n_jmp)) if n_relr else b""}
        out = bytearray(ro_end)
        for name, data in self.blobs:
            data = fill.get(name, data)
            out[self.addr[name]:self.addr[name] + len(data)] = data
        out = out.ljust(rw_data, b"\0")
        for tag, value in dyn:
            out += self.pack("WW", tag, value)
        out += b"\0" * (16 * (n_rela + n_jmp + n_relr) + 16)
        out[0:head] = self.header(phnum) + self.phdrs(ro_end, rw, len(dyn), len(out))
        return self.damage(bytes(out))

    def dynamic_entries(self, fixed, n_rela, n_jmp, n_relr):
        a = {name: at + self.base for name, at in self.addr.items()}
        v = self.versions
        d = [(DT[t], x) for t, x in fixed]
        for tag in ("hash", "gnu_hash", "symtab", "strtab"):
            if tag in a and tag not in self.o.get("drop_dt", []):
                d.append((DT[tag], a[tag]))
        d += [(DT["strsz"], len(self.strings.bytes())), (DT["syment"], 16 if self.is32 else 24)]
        if n_rela:
            d += [(DT["rela"], a["rela"]), (DT["relasz"], 24 * n_rela), (DT["relaent"], 24)]
        if n_jmp:
            d += [(DT["jmprel"], a["jmprel"]), (DT["pltrelsz"], 24 * n_jmp), (DT["pltrel"], 7),
                  (DT["pltgot"], self.base + self.got)]
        if n_relr:
            d += [(DT["relr"], a["relr"]), (DT["relrsz"], 8), (DT["relrent"], 8)]
        if "versym" in a:
            d.append((DT["versym"], a["versym"]))
        if "verdef" in a:
            d += [(DT["verdef"], a["verdef"]), (DT["verdefnum"], len(v.defs) + 1)]
        if "verneed" in a:
            d += [(DT["verneed"], a["verneed"]), (DT["verneednum"], len(v.needs))]
        return d + [(0, 0)]

    # ---- headers ----

    def count_phdrs(self):
        o = self.o
        return sum((0 if o.get("no_load") else 3 if o.get("split") else 2, 0 if o.get("no_dynamic") else 1,
                    0 if o.get("stack", 6) is None else 1, 1 if o.get("tls") else 0,
                    2 if o.get("isa") else 0, 1 if o.get("abi_note") else 0))

    def phdr(self, kind, flags, off, filesz, memsz, align):
        vaddr = off + self.base if kind != 0x6474e551 else 0
        if self.is32:
            return self.pack("8I", kind, off, vaddr, vaddr, filesz, memsz, flags, align)
        return self.pack("IIQQQQQQ", kind, flags, off, vaddr, vaddr, filesz, memsz, align)

    def phdrs(self, ro_end, rw, n_dyn, end):
        o, out = self.o, b""
        if not o.get("no_load"):
            align = o.get("load_align", PAGE)
            first = min(ro_end, PAGE) if o.get("split") else ro_end
            out += self.phdr(1, 5, 0, first, first, align)
            if o.get("split"):
                out += self.phdr(1, 5, PAGE, ro_end - PAGE, ro_end - PAGE, align) if ro_end > PAGE else self.phdr(0, 0, 0, 0, 0, 0)
            at = rw + o.get("misalign", 0)
            out += self.phdr(1, 6, at, end - at, end - at + o.get("bss", 0), align)
        if not o.get("no_dynamic"):
            out += self.phdr(2, 6, rw + 24, n_dyn * 2 * self.wsize, n_dyn * 2 * self.wsize, 8)
        if o.get("stack", 6) is not None:
            out += self.phdr(0x6474e551, o.get("stack", 6), 0, 0, 0, 16)
        if o.get("tls"):
            out += self.phdr(7, 4, end - 16, 0, o["tls"]["size"], o["tls"].get("align", 8))
        for name in ("prop", "abi"):
            if name in self.addr:
                n = len(dict(self.blobs)[name])
                out += self.phdr(4, 4, self.addr[name], n, n, 8 if name == "prop" else 4)
                if name == "prop":
                    out += self.phdr(0x6474e553, 4, self.addr[name], n, n, 8)
        return out

    def header(self, phnum):
        o = self.o
        ident = bytes((0x7f, 0x45, 0x4c, 0x46, o.get("ident_cls", o.get("cls", 2)),
                       o.get("data", 1), o.get("ident_version", 1), o.get("osabi", 0),
                       o.get("abiversion", 0), o.get("pad", 0))).ljust(16, b"\0")
        machine = o.get("machine", 3 if self.is32 else 62)
        hsize, psize = (52, 32) if self.is32 else (64, 56)
        return ident + self.pack("HHIWWWIHHHHHH", o.get("type", 3), machine, o.get("version", 1),
                                 0, o.get("phoff", hsize), 0, 0, hsize,
                                 o.get("phentsize", psize), o.get("phnum", phnum), 0, 0, 0)

    def damage(self, out):
        cut = self.o.get("cut")
        if cut is not None:
            return out[:cut if cut >= 0 else max(0, len(out) + cut)]
        return out


def build(obj):
    return Writer(obj).build()
