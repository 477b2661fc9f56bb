"""A random tree from a seed: what lies where, how it is searched for, what is asked. The same seed
gives the same tree. Nothing here knows how a loader decides."""

import os
import random

from objects import chance, hostile, library, other, some, wrong

DIRS = ["/lib", "/usr/lib", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/opt/a",
        "/opt/b/lib", "/srv/x/y", "/usr/local/lib", "/opt/b/lib64", "/lib64", "/opt/haswell",
        "/opt/x86_64"]
LEGACY = ["tls", "haswell", "avx512_1", "x86_64", "xeon_phi"]
HWCAPS = ["glibc-hwcaps/x86-64-v1", "glibc-hwcaps/x86-64-v2", "glibc-hwcaps/x86-64-v3",
          "glibc-hwcaps/x86-64-v4", "glibc-hwcaps/other"]
TUNABLES = ["glibc.rtld.optional_static_tls=4096", "glibc.rtld.optional_static_tls=0",
            "glibc.rtld.nns=1", "glibc.rtld.nns=16", "glibc.rtld.execstack=0",
            "glibc.rtld.execstack=1", "glibc.rtld.execstack=2", "glibc.rtld.dynamic_sort=1",
            "glibc.rtld.dynamic_sort=2", "glibc.malloc.check=1", "none=1", "none"]


def hwcaps_dir(r):
    if chance(r, 0.55):
        return r.choice(HWCAPS)
    return "/".join(some(r, LEGACY, 0.4)) or r.choice(LEGACY)


class Tree:
    def __init__(self, seed, versions, hostile):
        self.r = r = random.Random(seed)
        self.hostile, self.versions = hostile, versions
        self.files, self.after = {}, {}
        self.t = {"glibc": r.choice(versions), "merged": chance(r, 0.5), "files": self.files}
        if chance(r, 0.3):
            self.t["loader_link"] = True
        self.dirs = r.sample(DIRS, r.randint(2, 5))
        self.where = {}   # needed name -> directories
        self.links = []   # links to directories

    # ---- libraries ----

    def libraries(self):
        r = self.r
        self.libs = []
        letters = "abdefgh"[:r.randint(1, 6)]
        for letter in letters:
            name = f"lib{letter}.so" + r.choice(["", ".1", ".1", ".2.10"])
            needed = r.sample(self.libs, min(len(self.libs), r.randint(0, 3)))
            if chance(r, 0.03):
                needed.append((f"lib{r.choice(letters)}.so.1", {"defs": [], "verdefs": []}))
            if chance(r, 0.03):
                needed.append(("libnone.so.1", {"defs": [{"n": "none"}], "verdefs": []}))
            lib = library(r, letter, needed, chance(r, 0.3))
            if chance(r, 0.85):
                lib["soname"] = name
            elif chance(r, 0.3):
                lib["soname"] = r.choice(["libm.so.6", "liba.so.1", "other.so", "",
                                          "/opt/a/" + name])
            self.libs.append((name, lib))
        if len(self.libs) > 1 and chance(r, 0.05):  # a cycle
            self.libs[0][1]["needed"].append(self.libs[-1][0])

    def place(self, name, lib):
        """Puts it in one to three places, some of them other or wrong versions of it."""
        r = self.r
        self.where[name] = []
        good = None
        for i in range(r.choice([1, 1, 1, 2, 2, 3])):
            base = r.choice(self.dirs)
            d = base + "/" + hwcaps_dir(r) if chance(r, 0.12) else base
            path = f"{d}/{name}"
            if path in self.files:
                continue
            self.where[name].append(base)
            self.put(path, name, lib, i, good)
            good = good or path

    def put(self, path, name, lib, number, good):
        r = self.r
        node = dict(lib)
        if chance(r, 0.12 if number == 0 else 0.45):
            node = {**node, **wrong(r)} if chance(r, 0.7) else other(r)
            if self.hostile and node["t"] == "elf" and chance(r, 0.3):
                node = {**lib, **hostile(r)}
        elif number and chance(r, 0.3) and good:
            node = {"t": r.choice(["hard", "link"]), "to": good}
        elif chance(r, 0.06):
            node["mode"] = r.choice([0, 0o600, 0o644])
        d = path.rsplit("/", 1)[0]
        if node["t"] == "elf" and chance(r, 0.15):
            real = f"{name}.{r.randint(0, 12)}.1"
            target = r.choice([real, f"{d}/{real}", f"./{real}",
                               f"../{d.rsplit('/', 1)[1]}/{real}"])
            self.files[f"{d}/{real}"] = node
            node = {"t": "link", "to": target}
        self.files[path] = node

    # ---- search paths ----

    def element(self, wanted, origin=True):
        """One directory of a search path, in one of the ways in which it can be written."""
        r = self.r
        pool = [d for n in wanted for d in self.where.get(n, [])] + self.links
        d = r.choice(pool) if pool and chance(r, 0.9) else r.choice(DIRS + ["/nowhere"])
        roll = r.random()
        if roll > 0.98:  # no directory
            return r.choice([p for p in self.files])
        if origin and roll < 0.25:
            up = r.choice(["$ORIGIN/..", "${ORIGIN}/..", "$ORIGIN/../.."])
            return up + r.choice([d, "/" + d.rsplit("/", 1)[1], ""])
        if origin and roll < 0.3:
            return r.choice(["$ORIGIN", "${ORIGIN}", "$ORIGIN/", "$ORIGINx", "${ORIGIN",
                             "/opt/$ORIGIN"])
        if roll < 0.36:
            return r.choice(["/$LIB", "/usr/$LIB", "/usr/${LIB}/", "/opt/$PLATFORM", "/opt/b/$LIBX",
                             "/opt/${PLATFORM}", "$", "/opt/a$", "/opt/$X", "/opt/b/${LIB",
                             "/$LIB/"])
        if roll < 0.44:
            return d + r.choice(["/", "//", "/.", "/../" + d.rsplit("/", 1)[1]])
        if roll < 0.47:
            return d.replace("/", "//", 1) if chance(r, 0.5) else d.replace("/", "//")
        if roll < 0.49:
            return ""
        if roll < 0.5:
            return d[1:]
        return d

    def search_path(self, wanted, separators=":", origin=True):
        r, out = self.r, ""
        for i in range(r.choice([1, 1, 1, 2, 2, 3, 4])):
            out += (r.choice(separators) if i else "") + self.element(wanted, origin)
        return out

    def give_paths(self):
        r = self.r
        for path, node in list(self.files.items()):
            if node["t"] != "elf" or not node.get("needed"):
                continue
            node["needed"] = list(node["needed"])
            for tag, p in (("rpath", 0.3), ("runpath", 0.45)):
                if chance(r, p):
                    node[tag] = self.search_path(node["needed"])
            if chance(r, 0.5):  # one that surely finds them
                dirs = [d for n in node["needed"] for d in self.where.get(n, [])]
                tag = "runpath" if "runpath" in node or chance(r, 0.6) else "rpath"
                parts = node.get(tag, "").split(":") if node.get(tag) else []
                node[tag] = ":".join(dict.fromkeys(parts + dirs))
            if chance(r, 0.04):
                i = r.randrange(len(node["needed"]))
                node["needed"][i] = r.choice(["$ORIGIN/", "/opt/a/", "${ORIGIN}/../", "/usr/$LIB/",
                                              "/$PLATFORM/", "x/"]) + node["needed"][i]
            if chance(r, 0.03):
                node["needed"] = node["needed"] + [r.choice(node["needed"] + [
                    path.rsplit("/", 1)[1], "", "lib" + "x" * 300 + ".so", ".", "..", "/"])]
            if chance(r, 0.05):
                node[r.choice(["filter", "auxiliary"])] = r.choice([n for n, _ in self.libs] +
                                                                   ["libnone.so.1", "libm.so.6"])

    def link_dirs(self):
        r = self.r
        for i in range(r.choice([0, 0, 0, 1, 1, 2])):
            path = r.choice(["/opt/link", "/srv/link", "/usr/link", "/opt/b/link"]) + str(i)
            to = r.choice(self.dirs)
            self.files[path] = {"t": "link", "to": r.choice([to, ".." + to, "../.." + to, to + "/",
                                                             path, "/nowhere/x"])}
            self.links.append(path)

    def environment(self):
        r, env = self.r, {}
        names = [n for n, _ in self.libs]
        if chance(r, 0.4):
            env["LD_LIBRARY_PATH"] = self.search_path(names, ":::;", chance(r, 0.1))
        if chance(r, 0.04):
            env["LD_BIND_NOW"] = r.choice(["1", "", "0"])
        if chance(r, 0.04):
            env["GLIBC_TUNABLES"] = ":".join(r.choice(TUNABLES)
                                             for _ in range(r.choice([1, 1, 2])))
        if chance(r, 0.15):
            paths = [p for p, n in self.files.items() if n["t"] != "dir"]
            env["LD_PRELOAD"] = r.choice([":", " "]).join(
                r.choice(names * 2 + paths * 2 + ["libnone.so", "/nowhere/l.so", "libm.so.6",
                                                  "$LIB/" + names[0], "/$LIB/" + names[0], ""])
                for _ in range(r.choice([1, 1, 2])))
        if chance(r, 0.03):
            text = r.choice(["%s\n", "# none\n%s", "%s # %s\n", " %s:%s \n", "%s\n\n%s"])
            listed = r.choices(names + list(self.files), k=2)
            text = text.replace("%s", "{}").format(*listed)
            self.files["/etc/ld.so.preload"] = {"t": "text", "s": text}
        if env:
            self.t["env"] = env

    def own_files(self):
        """Files of the release's own, or of another one, in further places."""
        r = self.r
        if chance(r, 0.06):
            name = r.choice(["ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libpthread.so.0"])
            path = f"{r.choice(self.dirs)}/" + (name if chance(r, 0.6) else "libown.so.1")
            self.files[path] = {"t": "lib", "name": name}
            # Not in the place of ld.so's own libc, which dates it where it is old.
            if chance(r, 0.3) and not path.startswith(("/lib", "/usr/lib")):
                self.files[path]["release"] = r.choice(self.versions)
            if chance(r, 0.4):
                r.choice(self.libs)[1]["needed"].append(path)

    def program(self):
        r = self.r
        if chance(r, 0.15):
            self.t["main"] = {r.choice(["rpath", "runpath"]):
                              self.search_path([n for n, _ in self.libs])}

    # ---- cache ----

    def cache(self):
        r = self.r
        if not chance(r, 0.45):
            return
        listed = some(r, self.dirs, 0.6) + some(r, self.links, 0.5)
        r.shuffle(listed)
        half = r.randint(0, len(listed))
        conf = listed[:half] + ["hwcap 0 nosegneg"] * chance(r, 0.03)
        if chance(r, 0.5):
            conf.append(r.choice(["include /etc/ld.so.conf.d/*.conf", "include ld.so.conf.d/*.conf",
                                  "include /etc/ld.so.conf.d/[0-4]*.conf"]))
        r.shuffle(conf)
        self.files["/etc/ld.so.conf"] = {"t": "text", "s": "\n".join(conf) + "\n"}
        for i, d in enumerate(listed[half:]):
            text = d + r.choice(["\n", " # why\n", "/\n"])
            self.files[f"/etc/ld.so.conf.d/{r.randint(0, 99)}-{i}.conf"] = {"t": "text", "s": text}
        self.t["ldconfig"] = r.choice([[], [], [], ["-c", "new"], ["-c", "compat"], ["-c", "old"],
                                       ["-X"]])
        if chance(r, 0.35):
            self.change_after()
        if chance(r, 0.08):
            self.t["cache_damage"] = [
                [r.choice(["cut", "byte", "word", "word"]),
                 r.choice([r.randrange(20), r.randrange(64), r.randrange(1 << 16)]),
                 r.choice([0, 1, 255, r.randrange(1 << 8), -1 if chance(r, 0.3) else 3])]
                for _ in range(r.choice([1, 1, 2]))]
            for d in self.t["cache_damage"]:
                d[2] &= 0xff if d[0] == "byte" else 0xffffffff
        if chance(r, 0.04):
            self.t["after"] = self.after
            self.after["/etc/ld.so.cache"] = r.choice([
                {"t": "dir"}, {"t": "text"}, {"t": "gone"}, {"t": "link", "to": "ld.so.conf"},
                {"t": "link", "to": "ld.so.cache"}, {"t": "text", "s": "x", "mode": 0}])

    def change_after(self):
        r = self.r
        self.t["after"] = self.after
        paths = [p for p, n in self.files.items() if not p.startswith("/etc")]
        for _ in range(r.randint(1, 2)):
            path = r.choice(paths)
            roll = r.random()
            if roll < 0.5:
                self.after[path] = {"t": "gone"}
            elif roll < 0.7:
                self.after[path] = other(r)
            elif roll < 0.85 and self.files[path]["t"] == "elf":
                self.after[path] = {**self.files[path], **wrong(r)}
            else:
                name, lib = r.choice(self.libs)
                self.after[f"{r.choice(self.dirs)}/{name}"] = dict(lib)

    # ---- questions ----

    def queries(self):
        r = self.r
        paths = [p for p in self.files if ".so" in p and "/etc/" not in p]
        names = [n for n, _ in self.libs]
        out = []
        for _ in range(r.choice([2, 3, 3, 4])):
            roll = r.random()
            if roll < 0.6 and paths:
                out.append(r.choice(paths))
            elif roll < 0.95:
                out.append(r.choice(names[-2:] if chance(r, 0.6) else names))
            elif roll < 0.97 and self.links:
                out.append(r.choice(self.links) + "/" + r.choice(names))
            else:
                out.append(r.choice(["/nowhere/l.so", "libnone.so", "libm.so.6", "libc.so.6",
                                     self.dirs[0] + "/../" + names[0], "//" + names[0],
                                     self.dirs[0], r.choice(paths or names)[1:],
                                     "$ORIGIN" + self.dirs[0] + "/" + names[0],
                                     "/$LIB/" + names[0], "/opt/${PLATFORM}/" + names[0],
                                     "$X" + names[0], "libx.so" * 40]))
        return list(dict.fromkeys(out))

    def rights(self):
        r = self.r
        if not chance(r, 0.06):
            return
        self.t["uid"] = 65534
        for node in self.files.values():
            if node["t"] in ("elf", "text", "hex") and chance(r, 0.25):
                node["mode"] = r.choice([0, 0o600, 0o700])
        if chance(r, 0.3):
            self.files.setdefault("/opt/a", {"t": "dir", "mode": r.choice([0, 0o700, 0o744])})

    def start(self):
        """Elsewhere than in "/", which is where relative paths begin."""
        r = self.r
        dirs = sorted({d for at in self.where.values() for d in at if d.startswith("/")})
        if not dirs or not chance(r, 0.15):
            return
        self.t["cwd"] = cwd = r.choice(dirs)
        relative = ["", ".", "./", "..", *(os.path.relpath(d, cwd) for d in dirs)]
        env = self.t.setdefault("env", {})
        if chance(r, 0.7):
            parts = [r.choice(relative), env.get("LD_LIBRARY_PATH", "/nowhere")]
            env["LD_LIBRARY_PATH"] = ":".join(parts if chance(r, 0.7) else parts[::-1])
        for node in self.files.values():
            if ("rpath" in node or "runpath" in node) and chance(r, 0.3):
                tag = "runpath" if "runpath" in node else "rpath"
                node[tag] = r.choice(relative) + ":" + node[tag]
        if chance(r, 0.5):
            self.t["queries"].append(r.choice(relative[1:]) + "/" + r.choice(self.libs)[0])

    def make(self):
        self.libraries()
        self.own_files()
        for name, lib in self.libs:
            self.place(name, lib)
        self.link_dirs()
        self.give_paths()
        self.program()
        self.environment()
        self.cache()
        self.rights()
        self.t["queries"] = self.queries()
        self.start()
        return self.t


def tree(seed, versions, with_hostile=False):
    return Tree(seed, versions, with_hostile).make()
