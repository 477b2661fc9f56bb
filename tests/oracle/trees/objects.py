"""Random objects that mostly fit together, and ways in which one can be wrong."""

LIBC = [("malloc", "GLIBC_2.2.5"), ("free", "GLIBC_2.2.5"), ("memcpy", "GLIBC_2.14"),
        ("memcpy", "GLIBC_2.2.5"), ("getentropy", "GLIBC_2.25"), ("errno", "GLIBC_PRIVATE"),
        ("__libc_start_main", "GLIBC_2.34"), ("pthread_create", "GLIBC_2.34"),
        ("pthread_create", "GLIBC_2.2.5"), ("arc4random", "GLIBC_2.36"),
        ("strlcpy", "GLIBC_2.38"), ("_dl_find_object", "GLIBC_2.35"), ("nosuch", "GLIBC_2.2.5"),
        ("malloc", "GLIBC_9.9"), ("_rtld_global", "GLIBC_PRIVATE"), ("mremap", "GLIBC_2.2.5")]
VERSIONS = ["V_1", "V_2", "V_3", "W_1"]
# What an object needs of ld.so itself, as a version of libc's.
MARKERS = ["GLIBC_ABI_DT_RELR", "GLIBC_ABI_GNU_TLS", "GLIBC_ABI_GNU2_TLS",
           "GLIBC_ABI_DT_X86_64_PLT"]


def chance(r, p):
    return r.random() < p


def some(r, items, p):
    return [i for i in items if chance(r, p)]


def exports(r, letter):
    """defs and verdefs of one library."""
    versioned = chance(r, 0.55)
    names = VERSIONS[:r.randint(1, 4)] if versioned else []
    defs = []
    for i in range(r.randint(1, 4)):
        d = {"n": f"{letter}{i}"}
        if versioned and chance(r, 0.85):
            d["v"] = r.choice(names)
            if chance(r, 0.1):
                d["hidden"] = True
            if chance(r, 0.15):
                defs.append({**d, "v": r.choice(names), "hidden": not d.get("hidden", False)})
        if chance(r, 0.06):
            d["type"] = r.choice(["object", "tls", "notype"])
        if chance(r, 0.04):
            d[r.choice(["abs", "zero"])] = True
        if chance(r, 0.06):
            d["bind"] = r.choice(["weak", "weak", "local", "unique"])
        if chance(r, 0.05):
            d["vis"] = r.choice(["hidden", "internal", "protected"])
        if chance(r, 0.06) and d.get("type") != "tls":
            d["reloc"] = r.choice(["glob", "jump", "64"])
        defs.append(d)
    if chance(r, 0.15):
        defs.append({"n": "common"})
    verdefs = [{"n": n} for n in names]
    for i, v in enumerate(verdefs):
        if i and chance(r, 0.3):
            v["parents"] = [names[i - 1]]
        if chance(r, 0.08):
            v["weak"] = True
    return defs, verdefs


def imports(r, needed):
    """undefs for the libraries needed: [(name as needed, its object)]."""
    out = []
    for name, lib in needed:
        for d in some(r, lib["defs"], 0.5):
            u = {"n": d["n"], "reloc": r.choice(["glob", "glob", "jump", "64", None])}
            if d.get("type") == "tls":
                u.update(type="tls", reloc=r.choice(["tpoff", "dtpmod", "dtpoff", "tlsdesc"]))
            if d.get("v") and chance(r, 0.85):
                u.update(v=d["v"], file=name)
            elif lib["verdefs"] and chance(r, 0.1):
                u.update(v=r.choice(VERSIONS), file=name)
            if chance(r, 0.06):
                u.update(v=r.choice(VERSIONS), file=name)
            if chance(r, 0.06) and not d.get("type") == "tls":
                u["weak"] = True
            if u.get("v") and chance(r, 0.06):
                u["weakver"] = True
            if u.get("v") and chance(r, 0.04):
                u["hiddenver"] = True
            if chance(r, 0.02) and u.get("type") != "tls":
                u["vis"] = r.choice(["hidden", "internal"])
            out.append(u)
    if chance(r, 0.05):
        out.append({"n": "nowhere", "reloc": r.choice(["glob", "jump", None]),
                    "weak": chance(r, 0.5)})
    if chance(r, 0.02):
        out.append({"n": "common", "reloc": "glob"})
    return out


def library(r, letter, needed, libc_versions):
    """A good library. needed: [(name, object)]. libc_versions: are those of libc wanted?"""
    defs, verdefs = exports(r, letter)
    o = {"t": "elf", "defs": defs, "verdefs": verdefs, "needed": [n for n, _ in needed],
         "undefs": imports(r, needed)}
    if chance(r, 0.6):
        o["needed"].append("libc.so.6")
        for n, v in some(r, LIBC[:4], 0.3) + (some(r, LIBC, 0.06) if libc_versions else []):
            u = {"n": n, "v": v, "file": "libc.so.6", "reloc": r.choice(["glob", "jump"])}
            if chance(r, 0.1):
                u["weak"] = True
            if chance(r, 0.05):
                del u["v"]
            o["undefs"].append(u)
    if chance(r, 0.1):
        o["needed"].append(r.choice(["libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2"]))
    r.shuffle(o["undefs"])
    if chance(r, 0.3):
        o["hash"] = r.choice(["both", "sysv", "sysv"])
    extras(r, o)
    return o


def extras(r, o):
    if chance(r, 0.08):
        o["flags"] = some(r, ["origin", "symbolic", "textrel", "bind_now", "static_tls"],
                          0.35)
    if chance(r, 0.12):
        o["flags_1"] = some(r, ["now", "global", "nodelete", "initfirst", "nodeflib", "origin",
                                "interpose", "nodump"], 0.3)
    if chance(r, 0.07) or any(d.get("type") == "tls" for d in o["defs"]):
        o["tls"] = {"size": r.choice([8, 64, 200, 500, 600, 1000, 1600, 3000, 20000]),
                    "align": r.choice([1, 8, 16, 64, 4096])}
        if chance(r, 0.8):
            o["tls_relocs"] = r.choice([["tpoff"], ["dtpmod", "dtpoff"], ["dtpmod"], ["tlsdesc"],
                                         ["tlsdesc", "tpoff"]])
    if chance(r, 0.05):
        o["relr"] = True
        o["relr_marker"] = chance(r, 0.5)
    if chance(r, 0.05):
        o["stack"] = r.choice([None, 7, 4, 0])
    if chance(r, 0.05):
        o["isa"] = r.choice([1, 2, 3, 4, 7, 8, 15, 16, 0x1000])
    if chance(r, 0.04):
        o["abi_note"] = r.choice([[0, 3, 2, 0], [0, 2, 6, 32], [0, 99, 0, 0], [1, 3, 2, 0]])
    if chance(r, 0.03):
        o["base"] = r.choice(["base", "V_1", ""])
    if chance(r, 0.03):
        o.setdefault("verneeds", []).append(
            {"file": r.choice(["liba.so", "libz.so", "libc.so.6"]), "n": r.choice(VERSIONS),
             "weak": chance(r, 0.3)})
    if chance(r, 0.03):
        o.setdefault("verneeds", []).append(
            {"file": "libc.so.6", "n": r.choice(MARKERS), "weak": chance(r, 0.1)})
    if chance(r, 0.03):
        o["load_align"] = r.choice([0, 1, 2, 0x200, 0x3000, 0x10000, 0x200000])
    if chance(r, 0.02):
        o["bss"] = r.choice([8, 5000, 100000])
    if chance(r, 0.08):
        o["split"] = r.choice([8, 24, 60, 120, 250, 500, 1000])


def wrong(r):
    """Fields that spoil an object."""
    return r.choice([
        lambda: {"cls": 1}, lambda: {"cls": 1}, lambda: {"ident_cls": r.choice([0, 1, 3])},
        lambda: {"machine": r.choice([3, 183, 40, 0])}, lambda: {"machine": 183},
        lambda: {"data": 2}, lambda: {"data": 2, "machine": 21},
        lambda: {"osabi": r.choice([3, 3, 9, 255])},
        lambda: {"osabi": r.choice([0, 3]), "abiversion": r.choice([1, 2, 3, 4, 5, 6, 7, 200])},
        lambda: {"version": r.choice([0, 2])}, lambda: {"ident_version": r.choice([0, 2])},
        lambda: {"pad": 1}, lambda: {"type": r.choice([0, 1, 2, 2, 4])},
        lambda: {"phentsize": r.choice([0, 32, 55, 57])},
        lambda: {"cut": r.choice([0, 1, 4, 16, 51, 52, 63, 64, 65, 100, 400, 900, 4096, 4100, -1,
                                  -16, -300])},
        lambda: {"phnum": r.choice([0, 1, 2, 5000])},
        lambda: {"phoff": r.choice([0, 1, 100, 1 << 20])},
        lambda: {"misalign": r.choice([1, 8, 16, 64])},
        lambda: {"no_load": True}, lambda: {"no_dynamic": True},
        lambda: {"flags_1": ["noopen"]}, lambda: {"flags_1": ["pie"]},
        lambda: {"flags_1": ["pie", "noopen"]}, lambda: {"base_addr": 0x10000},
        lambda: {"hash": "none"},
        lambda: {"stack": 7}, lambda: {"isa": 8}, lambda: {"defs": [], "verdefs": []},
        lambda: {"defs": []}, lambda: {"verdefs": []}, lambda: {"soname": None},
        lambda: {"soname": "other.so"}, lambda: {"needed": ["libnone.so.1"]},
        lambda: {"relr": True, "relr_marker": False},
        lambda: {"tls": {"size": 4000}, "tls_relocs": ["tpoff"]},
    ])()


def hostile(r):
    """What no linker and no editor of objects makes: ld.so itself dies of it."""
    return r.choice([{"no_versym": True}, {"no_verneed": True}, {"drop_dt": ["strtab"]},
                     {"drop_dt": ["symtab"]}, {"phnum": 40}, {"filter": "liba.so.1"},
                     {"no_verdef": True}, {"versym": True}])


def other(r):
    """Something that is no object."""
    return r.choice([
        lambda: {"t": "text", "s": "GROUP ( libx.so AS_NEEDED ( liby.so ) )\n"},
        lambda: {"t": "text", "s": "/* GNU ld script\n   Use the shared library */\n" * 20},
        lambda: {"t": "text", "s": ""}, lambda: {"t": "dir"},
        lambda: {"t": "hex", "s": "7f454c46"}, lambda: {"t": "hex", "s": "7f454c460201010000"},
        lambda: {"t": "text", "s": "x" * r.choice([10, 63, 64, 200])},
        lambda: {"t": "link", "to": r.choice(["/nowhere", "nothing", ".", "/etc/passwd/x"])},
    ])()
