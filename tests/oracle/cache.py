#!/usr/bin/env python3
"""ld.so.cache and ld.so.conf: the model against the real ldconfig and the real ld.so, of each
release of glibc that tests/roots/glibc has (or of this machine alone), in a chroot.

What the cache says of a name is what ld.so itself reports with LD_DEBUG=libs; of which directories
and files ldconfig would make entries, ldconfig says with -v and -p. The caches are ldconfig's own in
three formats, hand-made ones, and damaged ones of both. Ends with `N passed, N failed`."""
import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import cachefile

HERE = os.path.dirname(os.path.abspath(__file__))
LIB = "lib/x86_64-linux-gnu"
NAMES = ["libx.so.1", "liby.so.2", "liby.so.10", "liby.so.9", "libz.so", "lib0001.so", "lib1.so",
         "lib4294967297.so", "libx.so", "libnone.so.3", "a", "9", "libé.so.1"]
DIRS = ["/opt/a/lib", "/opt/b", "/usr/lib/x86_64-linux-gnu", "/srv/c"]
FLAGS = [0x303] * 12 + [3, 1, 0x903, 0xA03, 0x803]
LEGACY = [0, 0, 0, 0, 1, 2, 4, 1 << 48, 1 << 50, 1 << 51, 1 << 52, 1 << 63, 1 << 63 | 2, 1 << 20]


class Lab:
    """A chroot with one release of glibc."""

    def __init__(self, release, source, lookup):
        self.release, self.lookup = release, lookup
        self.root = tempfile.mkdtemp(prefix="kvpath-cache-")
        os.chmod(self.root, 0o755)
        for path in ("etc/ld.so.conf.d", "lib64", LIB, "usr/" + LIB, "sbin", "var/cache/ldconfig", "tmp"):
            os.makedirs(os.path.join(self.root, path))
        shutil.copy(os.path.join(source, "ld-linux-x86-64.so.2"), self.path("lib64"))
        for name in ("libc.so.6",):
            shutil.copy(os.path.join(source, name), self.path(LIB))
        shutil.copy(os.path.join(source, "ldconfig"), self.path("sbin"))

    def path(self, guest):
        return os.path.join(self.root, guest.lstrip("/"))

    def write(self, guest, data):
        os.makedirs(os.path.dirname(self.path(guest)), exist_ok=True)
        with open(self.path(guest), "wb") as f:
            f.write(data)

    def run(self, *argv, env=None):
        def enter():  # not by chroot(1): it would itself run with this environment
            os.chroot(self.root)
            os.chdir("/")

        return subprocess.run(argv, capture_output=True, env={"LC_ALL": "C", **(env or {})},
                              stdin=subprocess.DEVNULL, timeout=60, preexec_fn=enter)

    def ldconfig(self, *argv):
        return self.run("/sbin/ldconfig", *argv)

    def real(self, names):
        """What ld.so finds in its cache for each name, as far as it lived."""
        r = self.run("/lib64/ld-linux-x86-64.so.2", "/%s/libc.so.6" % LIB,
                     env={"LD_DEBUG": "libs", "LD_PRELOAD": ":".join(names)})
        found, current, after_cache = {}, None, False
        for line in r.stderr.decode("utf-8", "surrogateescape").split("\n"):
            m = re.search(r"find library=(.*) \[\d+\]; searching$", line)
            if m:
                current = m[1]
            elif "search cache=" in line and current:
                found[current] = "!" if r.returncode < 0 else "-"
                after_cache = True
                continue
            elif after_cache and line:
                m = re.search(r"\t  trying file=(.*)$", line)
                found[current] = m[1] if m else "-"
            after_cache = False
        if r.returncode < 0 and "!" not in found.values():
            sys.exit("ld.so of %s died elsewhere: %s" % (self.release, r.stderr[-500:]))
        return found

    def model(self, what, names):
        r = subprocess.run([self.lookup, what, self.root, *names], capture_output=True, timeout=60)
        if r.returncode:
            sys.exit("cache_lookup: status %d: %s" % (r.returncode, r.stderr.decode()))
        return r.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]

    def close(self):
        shutil.rmtree(self.root)


class Counts:
    def __init__(self):
        self.passed = self.failed = self.answers = self.found = self.deaths = self.unknown = 0

    def check(self, title, wrong):
        if wrong:
            self.failed += 1
            print("not ok %s: %s" % (title, "; ".join(wrong[:3])), flush=True)
        else:
            self.passed += 1


def compare(lab, counts, title, names):
    real = lab.real(names)
    wrong = []
    for name, model in zip(names, lab.model("find", names)):
        if name not in real:
            continue
        counts.answers += 1
        counts.found += real[name] not in "-!"
        counts.deaths += real[name] == "!"
        counts.unknown += model == "?"
        if model not in ("?", real[name]):
            wrong.append("%s: ld.so %s, model %s" % (name, real[name], model))
    counts.check("%s %s" % (lab.release, title), wrong)
    return wrong


def random_entries(rng):
    entries = []
    for _ in range(rng.choice([0, 1, 3, 12, 40])):
        name = rng.choice(NAMES)
        hwcap = rng.choice(LEGACY)
        if rng.random() < 0.4:
            hwcap = cachefile.NAMED | rng.choice([0, 1, 2, 3, 4, 33]) << 32 | rng.choice([0, 1, 2, 3])
        osversion = rng.choice([0, 0, 0, 0x30200, 0x50000, 0x630000])
        value = "%s/%d/%s" % (rng.choice(DIRS), len(entries), name)
        entries.append((rng.choice(FLAGS), name, value, osversion, hwcap))
    if rng.random() < 0.8:
        order = lambda e: (natural(e[1]), e[0], e[4] >> 62 == 1, e[4])
        entries.sort(key=order, reverse=True)
    return entries


def natural(name):
    """_dl_cache_libcmp's order, for names whose numbers fit."""
    return [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in re.split(r"(\d+)", name) if p]


def damage(rng, data):
    data = bytearray(data)
    how = rng.randrange(4)
    if how == 0:
        del data[rng.randrange(len(data) + 1):]
    elif how == 1:
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif how == 2 and len(data) >= 8:
        for _ in range(rng.choice([1, 2])):
            at = rng.randrange(0, len(data) - 4) & ~3
            value = rng.choice([0, 1, len(data) - 1, len(data), len(data) + 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000,
                                4096, len(data) // 2])
            data[at:at + 4] = value.to_bytes(4, "little")
    else:
        data += bytes(rng.choice([0, 255]) for _ in range(rng.choice([1, 100, 4096 - len(data) % 4096])))
    return bytes(data)


def populate(lab, rng):
    """Random directories with libraries, named in ld.so.conf; returns the names to ask for."""
    for path in ("opt", "srv", "usr/local", "etc"):
        shutil.rmtree(lab.path(path), ignore_errors=True)
    os.makedirs(lab.path("etc/ld.so.conf.d"))
    places = ["/opt/a/lib", "/opt/b", "/srv/c", "/usr/local/lib", "/opt/tls", "/opt/b/haswell"]
    names = list(NAMES)
    for place in rng.sample(places, rng.randrange(1, len(places) + 1)):
        os.makedirs(lab.path(place), exist_ok=True)
        for _ in range(rng.randrange(1, 6)):
            soname = rng.choice(["libx.so.1", "liby.so.2", "libfoo.so.10", "libbar.so", None])
            file = rng.choice([soname or "libplain.so", (soname or "libplain.so") + ".1.2", "libother.so.3",
                               "odd.so.1", "libx.so.1"])
            sub = rng.choice(["", "", "", "/glibc-hwcaps/x86-64-v3", "/glibc-hwcaps/x86-64-v2",
                              "/glibc-hwcaps/x86-64-v4", "/glibc-hwcaps/other", "/tls", "/haswell", "/x86_64",
                              "/tls/x86_64", "/avx512_1"])
            lab.write(place + sub + "/" + file,
                      cachefile.elf(soname, level=rng.choice([None, None, 1, 2, 4, 8, 15]),
                                    kernel=rng.choice([None, (3, 2, 0), (99, 0, 0)]),
                                    machine=rng.choice([62] * 8 + [183]), kind=rng.choice([3] * 8 + [2]),
                                    bits=rng.choice([64] * 8 + [32])))
            names += [file, soname or file]
        link = lab.path(place + "/" + rng.choice(["libx.so", "libfoo.so", "liby.so.2", "libdead.so.1"]))
        if rng.random() < 0.5 and not os.path.lexists(link):
            os.symlink(rng.choice(os.listdir(lab.path(place)) + ["nowhere"]), link)
            names.append(os.path.basename(link))
    os.makedirs(lab.path("opt"), exist_ok=True)
    if rng.random() < 0.3:
        os.symlink("/opt/a/lib", lab.path("opt/same"))
    conf(lab, rng, places + ["/opt/same", "/opt/missing", "/", "opt/a/lib"])
    return sorted(set(names))


def conf(lab, rng, places):
    def lines(n):
        out = []
        for _ in range(n):
            place = rng.choice(places)
            out.append(rng.choice(["%s", "%s", " %s/", "%s \t", "\t%s//", "%s=libc6", "%s=what", "%s # why", "#%s",
                                   "%s\r", "%s\0x", "hwcap 1 %s", "HWCAP\t0 %s", "hwcap%s", "include%s"]) % place)
        return out

    text = lines(rng.randrange(0, 6))
    for _ in range(rng.randrange(0, 4)):
        text.insert(rng.randrange(len(text) + 1), rng.choice([
            "include /etc/ld.so.conf.d/*.conf", "include ld.so.conf.d/*.conf", "include\tld.so.conf.d/[a-m]*.conf",
            "include ld.so.conf.d/?.conf  /etc/extra.conf", "include ld.so.conf.d/*", "include /etc/*/[!b].conf",
            "include ld.so.conf.d/[[:alpha:]].conf", "include ld.so.conf.d/\\a.conf", "include missing.conf",
            "include ld.so.conf", "include /e*c/ld*/*.c[o-p]nf", "include ld.so.conf.d/[ab", "include /etc/ld.so.conf.d",
            "include ld.so.conf.d/.*", "INCLUDE ld.so.conf.d/*.conf", "  include ld.so.conf.d/b.conf # c"]))
    lab.write("/etc/ld.so.conf", "\n".join(text).encode() + rng.choice([b"", b"\n"]))
    for name in ("a.conf", "b.conf", "Z.conf", ".hidden.conf", "[ab", "note.txt"):
        if rng.random() < 0.6:
            more = lines(rng.randrange(0, 3))
            if rng.random() < 0.2:
                more.insert(0, rng.choice(["include *.txt", "include b.conf", "include ../extra.conf"]))
            lab.write("/etc/ld.so.conf.d/" + name, "\n".join(more).encode())
    lab.write("/etc/extra.conf", "\n".join(lines(1)).encode())


def check_dirs(lab, counts, title):
    """ldconfig -v prints each directory that it looks through. Those of subdirectories and its own
    are no lines of the file; older ones do not say which those are, but they come last."""
    out = lab.ldconfig("-v", "-N", "-X").stdout.decode("utf-8", "surrogateescape")
    real, says = [], "(from " in out
    for line in out.split("\n"):
        m = re.match(r"([^\t].*?):(?: \(hwcap: .*?\))?( \(from (.*):\d+\))?$", line)
        if m and "/glibc-hwcaps/" not in m[1] and (m[3] != "<builtin>"):
            real.append(os.path.normpath("/" + m[1].lstrip("/")))
    model = [d for d in lab.model("dirs", [])]
    subdirs = re.compile(r"/(tls|haswell|x86_64|avx512_1)$")
    if says:
        # A subdirectory of the legacy kind is listed with the line of its parent.
        listed = [d for d in real if d in model or not subdirs.search(d)]
        wrong = [] if listed == model else ["ldconfig %s, model %s" % (listed, model)]
    else:
        wrong = [] if real[:len(model)] == model else ["ldconfig %s, model %s" % (real, model)]
    counts.check("%s %s" % (lab.release, title), wrong)
    return wrong


def check_holds(lab, counts, title, names):
    """What kv_ldconf_holds promises is what ldconfig then enters."""
    model = dict(zip(names, lab.model("holds", names)))
    lab.ldconfig("-X")
    entered = {}
    for line in lab.ldconfig("-p").stdout.decode("utf-8", "surrogateescape").split("\n"):
        m = re.match(r"\t(.*) \(libc6,x86-64(.*)\) => (.*)$", line)
        if m and not m[2].startswith(", hwcap") and not m[3].startswith(("/lib/", "/usr/lib/")):
            entered.setdefault(m[1], []).append(os.path.dirname(m[3]))
    wrong = []
    for name, path in model.items():
        where = entered.get(name, [])
        where = [d for d in where if d in lab.model("dirs", [])] if where else where
        if path == "-":
            # It looks at files whose name begins with the SONAME only.
            if any(os.path.lexists(lab.path(d + "/" + name)) for d in where):
                wrong.append("%s: ldconfig enters it from %s, model nothing" % (name, where))
        elif os.path.dirname(path) not in where:
            wrong.append("%s: model %s, ldconfig %s" % (name, path, where))
    counts.check("%s %s" % (lab.release, title), wrong)
    return wrong


def from_ldconfig(lab, rng, counts, seed, keep):
    names = populate(lab, rng)
    bad = check_dirs(lab, counts, "seed %d: directories" % seed)
    bad += check_holds(lab, counts, "seed %d: what ldconfig would enter" % seed, names)
    wanted = rng.choice(["new", "old", "compat"])
    made = lab.ldconfig("-c", wanted)
    if made.returncode:
        sys.exit("ldconfig of %s: %s" % (lab.release, made.stderr.decode()))
    bad += compare(lab, counts, "seed %d: ldconfig -c %s" % (seed, wanted), names)
    with open(lab.path("/etc/ld.so.cache"), "rb") as f:
        good = f.read()
    for i in range(3):
        lab.write("/etc/ld.so.cache", damage(rng, good))
        bad += compare(lab, counts, "seed %d: ldconfig -c %s, damaged %d" % (seed, wanted, i), names)
        if bad and keep:
            break
    return bad


def hand_made(lab, rng, counts, seed, keep):
    data = cachefile.make(rng, random_entries(rng))
    bad = []
    for i in range(5):
        lab.write("/etc/ld.so.cache", data)
        bad += compare(lab, counts, "seed %d: hand-made %d" % (seed, i), NAMES)
        if bad and keep:
            break
        data = damage(rng, data or b"x")
    return bad


def releases():
    """Directories with a release each; this machine's own where the archive is out of reach."""
    builder = os.path.join(HERE, "../roots/glibc")
    found = {}
    if os.path.exists(builder):
        for version in subprocess.run([builder], capture_output=True, text=True).stdout.split():
            r = subprocess.run([builder, version], capture_output=True, text=True)
            if r.returncode == 0:
                found[version] = r.stdout.strip()
    if not found:
        own = tempfile.mkdtemp(prefix="kvpath-own-")
        for path in ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/sbin/ldconfig"):
            shutil.copy(path, own)
        found["own"] = own
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="rounds for each release")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--release", help="only this one")
    parser.add_argument("--glibc", action="append", default=[], metavar="NAME=DIR",
                        help="this directory's ld.so, libc.so.6 and ldconfig, instead of all that there are")
    parser.add_argument("--keep", action="store_true", help="stop at the first failure and leave its root")
    kvpath = os.environ.get("KVPATH", os.path.join(HERE, "../../build/bin/kvpath"))
    parser.add_argument("--lookup", default=os.path.join(os.path.dirname(kvpath), "../tests/cache_lookup"))
    args = parser.parse_args()
    counts = Counts()
    all_releases = dict(g.split("=", 1) for g in args.glibc) or releases()
    for release, source in all_releases.items():
        if args.release and release != args.release:
            continue
        lab, before = Lab(release, source, args.lookup), counts.failed
        for seed in range(args.seed, args.seed + args.n):
            rng = random.Random(seed)
            bad = (from_ldconfig if seed % 4 == 0 else hand_made)(lab, rng, counts, seed, args.keep)
            if bad and args.keep:
                print("left in", lab.root)
                return 1
        lab.close()
        if counts.failed == before:
            print("ok ld.so.cache and ld.so.conf of glibc %s: %d rounds" % (release, args.n), flush=True)
    if "own" in all_releases:
        shutil.rmtree(all_releases["own"])
    print("%d answers compared, %d found, %d deaths of ld.so, %d where the model cannot tell"
          % (counts.answers, counts.found, counts.deaths, counts.unknown))
    print("%d passed, %d failed" % (counts.passed, counts.failed))
    return 1 if counts.failed or not counts.passed else 0


if __name__ == "__main__":
    sys.exit(main())
