#!/usr/bin/env python3
"""images.py [--n IMAGES] [--seed S] [--only NUMBER]: squashfs images made by chance, kvpath beside Linux and unsquashfs.

Each is of a small real container with files of every kind among its own, made by mksquashfs, appended to, or by squashfs-tools-ng,
with options by chance. What kvpath sees of it is what Linux mounts, with the same answers for both; what `bake` writes is, mounted
and unpacked, what `fix` leaves of the unpacked image; its inodes are found by their numbers, `undo` takes the repair back, and
baking it again copies it. A line for each that differs. Prints `N passed, N failed`. Needs root.
"""
import argparse
import collections
import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "scenarios")]
from oracle import KVPATH, ROOTS, Done, Failure, build, expect, kvpath, same  # noqa: E402
from scenarios import own_mounts  # noqa: E402

VIEW = os.environ.get("KVPATH_VIEW", os.path.join(os.path.dirname(os.path.dirname(KVPATH)), "tests", "kvpath-view"))
SITE = "usr/local/lib/python3.11/dist-packages"
API = f"{SITE}/nixl_cu13/_api.py"
# Plugins, and libraries that those alone need.
OTHERS = r"libplugin_(?!LIBFABRIC|UCX|POSIX)|nixl_cu13\.libs/lib(aws|azure|xml2|curl|gusli)"
LOOK = os.environ.get("LOOK")  # a command to run where the files of one that differs are
EPOCH = 2000000123  # the time of what bake makes; no other file has it
LIBC = ctypes.CDLL(None, use_errno=True)


def done(*argv):
    return Done(list(argv)).ended(0)


# ---- the container ----


def without_code(path):
    """Nobody here runs it, and zeros compress quickly."""
    with open(path, "r+b") as f:
        head = f.read(64)
        if head[:4] != b"\x7fELF":
            return
        at, size, n, names = struct.unpack("<40xQ10xHHH", head)
        f.seek(at)
        sections = list(struct.iter_unpack("<IIQQQQIIQQ", f.read(size * n)))
        f.seek(sections[names][4] if sections else 0)
        text = f.read(sections[names][5] if sections else 0)
        for name, _, _, _, start, length, *_ in sections:
            if text[name:].split(b"\0")[0] in (b".text", b".eh_frame", b".symtab"):
                f.seek(start)
                f.write(b"\0" * length)


def thin(at):
    """Of the real container what check reads of it, with three of its plugins: small, and a repair finds all that it needs."""
    base, root = build("container", "1.5.0"), at + "/thin"
    kvpath("check", "--quiet", "--record", at + "/record.tar", base)
    with tarfile.open(at + "/record.tar") as t:
        names = [m.name[len("target/"):] for m in t if m.name.startswith("target/")]
    names = [n for n in names if not re.search(OTHERS, n)]
    names += [n for n in done("find", base, "-type", "l", "-printf", "%P\n").out.splitlines() if "doc/" not in n]
    names += done("find", base, "-path", "*-packages/*.py", "-type", "f", "-size", "-64k", "-printf", "%P\n").out.splitlines()
    os.mkdir(root)
    with open(at + "/names", "w", encoding="utf-8") as f:
        f.write("\n".join(names))
    subprocess.run(["bash", "-c", f"tar -C {base} -c -T {at}/names | tar -C {root} -x"], check=True)
    for d, _, found in os.walk(root):
        for path in [os.path.join(d, n) for n in found]:
            if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) > 1 << 16:
                without_code(path)
    return root


# ---- what is put among its files ----


def directories(root):
    return [d for d, _, _ in os.walk(root)]


def odd_name(r):
    return r.choice([b"a b", b"tab\there", b"\xff\xfe", b"back\\slash", b"new\nline", "\u0151".encode(), b".wh.gone", b"-x", b"~", b"\x7f",
                     b"n" * 255, b"%s%n", b"'", b"A", b"\x01"])


def some_bytes(r, block):
    """Of lengths around those of blocks; some have holes, some repeat others."""
    n = r.choice([0, 1, 100, block - 1, block, block + 1, 2 * block, 3 * block + r.randrange(block), r.randrange(3 * block)])
    return r.choice([lambda: r.randbytes(min(n, 1 << 21)), lambda: b"\0" * n, lambda: b"same " * (n // 5), lambda: b"x" * n])()


def put_file(r, path, block):
    with open(path, "wb") as f:
        for _ in range(r.choice([1, 1, 1, 3])):
            f.write(some_bytes(r, block))
            if r.random() < 0.2:
                f.seek(r.choice([1, 2, 5]) * block + r.choice([0, 1]), os.SEEK_CUR)
        f.truncate()


def put_thing(r, path, block, files):
    kind = r.choice(["file"] * 5 + ["empty", "link", "long link", "hard", "hard", "fifo", "socket", "char", "block", "whiteout", "directory"])
    if kind == "empty":
        open(path, "wb").close()
    elif kind in ("link", "long link"):
        os.symlink(r.choice([b"/etc/passwd", b"..", b"/", b"nowhere", b"\xff"]) if kind == "link" else b"l" * r.choice([255, 256, 1000, 4000]), path)
    elif kind == "hard" and files:
        os.link(r.choice(files), path, follow_symlinks=False)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as s, in_directory(os.path.dirname(path)):
            s.bind(b"socket.new")
            os.rename(b"socket.new", path)
    elif kind in ("char", "block"):
        os.mknod(path, 0o600 | (stat.S_IFCHR if kind == "char" else stat.S_IFBLK), os.makedev(r.choice([1, 259, 4095]), r.choice([3, 0, 255, 70000])))
    elif kind == "whiteout":
        os.mknod(path, stat.S_IFCHR, 0)
    elif kind == "directory":
        os.mkdir(path)
    else:
        put_file(r, path, block)
    if kind != "directory":
        files.append(path)


@contextlib.contextmanager
def in_directory(path):
    old = os.open(".", os.O_RDONLY)
    os.chdir(path)
    try:
        yield
    finally:
        os.fchdir(old)
        os.close(old)


def attribute(r, path):
    """Owners, times and attributes."""
    kind = stat.S_IFMT(os.lstat(path).st_mode)
    if r.random() < 0.5:
        os.lchown(path, r.choice([0, 1, 1000, 65534, 65536, 2**32 - 2, r.randrange(1 << 20)]), r.choice([0, 5, 100000, r.randrange(1 << 20)]))
    if kind != stat.S_IFLNK and r.random() < 0.5:
        os.chmod(path, r.choice([0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o600, 0o444, 0, 0o7777]))
    if kind in (stat.S_IFREG, stat.S_IFDIR) and r.random() < 0.4:
        for name in r.sample([b"user.a", b"user." + b"n" * 200, b"trusted.t", b"security.kvpath", b"user.b"], r.randint(1, 3)):
            os.setxattr(path, name, r.choice([b"", b"short", b"v" * 300, r.randbytes(200)]))
    if r.random() < 0.6:
        t = r.choice([0, 1, 1_000_000_000, 2**31 - 1, 2**31, 2**32 - 1, -1, -2**31, 2**33, r.randrange(1_700_000_000)])
        os.utime(path, (t, t), follow_symlinks=False)


def many(r, root):
    """A large directory, whose list needs an index."""
    at = os.path.join(root, r.choice(["opt", SITE, "var/lib", "usr/lib/x86_64-linux-gnu", f"{SITE}/nixl_cu13", "var", "."]))
    os.makedirs(at, exist_ok=True)
    # On both sides of the names that a repair adds.
    start, how = r.choice(["", "a", "kv", "kvpath", "lib", "zz"]), r.choice([os.mkdir, lambda p: open(p, "wb").close(), lambda p: os.symlink("x", p)])
    for i in range(r.choice([255, 256, 257, 600, 3000])):
        how(f"{at}/{start}{i:0{r.choice([4, 4, 60])}}_")


def scatter(r, root, block):
    files = []
    if r.random() < 0.4:
        for d in r.sample(["opt", "var/lib", "var", "var/lib/kvpath-not", "opt/kvpath-not"], 2):
            os.makedirs(f"{root}/{d}", exist_ok=True)
    places = [os.fsencode(d) for d in directories(root)]
    near = [d for d in places if os.fsencode("nixl_cu13") in d or d.endswith((b"/opt", b"/lib", b"/var")) or d == os.fsencode(root)]
    for i in range(r.choice([0, 5, 30, 100])):
        path = os.path.join(r.choice(near if r.random() < 0.5 else places), odd_name(r) if r.random() < 0.2 else b"f%d" % i)
        if not os.path.lexists(path):
            put_thing(r, path, block, files)
    if r.random() < 0.4:
        many(r, root)
    own = [os.path.join(root, x) for x in [API, os.path.dirname(API), f"{SITE}/.nixl_cu13.mesonpy.libs", "", "opt", "var", "var/lib"]]
    if r.random() < 0.3:
        os.link(own[0], f"{root}/second-name")
    if r.random() < 0.2:
        files.append(f"{root}/zeros")
        with open(files[-1], "wb") as f:
            f.truncate(r.choice([1 << 20, 50_000_000]))
    # Some owners more than a block of their table has.
    for i in range(r.choice([0] * 9 + [2500])):
        os.mkdir(f"{root}/owner{i}")
        os.lchown(f"{root}/owner{i}", 5000 + i, 5000)
    for path in files + [p for p in own if os.path.lexists(p) and r.random() < 0.5]:
        attribute(r, path)


# ---- images ----


def options(r, block):
    comp = r.choice(["gzip", "xz", "lzo", "lz4", "zstd"])
    extra = {"gzip": ["-Xcompression-level", str(r.randint(1, 4))], "lzo": r.choice([["-Xalgorithm", "lzo1x_1"], ["-Xcompression-level", "1"]]),
             "zstd": ["-Xcompression-level", str(r.randint(1, 3))], "lz4": r.choice([[], ["-Xhc"]]),
             "xz": r.choice([[], ["-Xbcj", "x86"], ["-Xdict-size", str(max(block // 2, 8192))] if block > 4096 else []])}[comp]
    given = ["-comp", comp] + (extra if r.random() < 0.5 or comp in ("gzip", "zstd") else [])
    for flag, odds in {"-noI": 0.3, "-noId": 0.2, "-noD": 0.3, "-noF": 0.3, "-noX": 0.3, "-no-fragments": 0.2, "-always-use-fragments": 0.3,
                       "-no-duplicates": 0.2, "-no-exports": 0.4, "-no-sparse": 0.1, "-all-root": 0.2, "-no-tailends": 0.1, "-no-xattrs": 0.2,
                       "-nopad": 0.2, "-no-hardlinks": 0.1}.items():
        if r.random() < odds:
            given.append(flag)
    if r.random() < 0.3:
        given += r.choice([["-not-reproducible"], ["-all-time", "12345"], ["-mkfs-time", "1"], ["-force-uid", "70000"]])
    return given


def make(r, tree, image, block):
    """How it was made, in words."""
    way = r.choice(["mksquashfs"] * 6 + ["appended", "gensquashfs", "tar2sqfs"])
    silent = ["-no-progress", "-quiet", "-processors", "2", "-no-recovery"]
    given = ["-b", str(block), *options(r, block)]
    if way == "gensquashfs":
        given = ["-b", str(block), "-c", r.choice(["gzip", "xz", "zstd", "lz4"]), *r.choice([[], ["-x"]]), *r.choice([[], ["-e"]])]
        done("gensquashfs", "-q", "-k", "-o", *given, "-D", tree, image)
    elif way == "tar2sqfs":
        given = ["-b", str(block), "-c", r.choice(["gzip", "xz", "zstd", "lz4"]), *r.choice([[], ["-x"]]), *r.choice([[], ["-e"]])]
        tar = image + ".tar"
        done("tar", "-C", tree, "--xattrs", "--xattrs-include=*", "-cf", tar, ".")
        with open(tar, "rb") as f:
            subprocess.run(["tar2sqfs", "-q", *given, image], stdin=f, check=True, capture_output=True)
        os.unlink(tar)
    else:
        done("mksquashfs", tree, image, *given, *silent)
        if way == "appended":
            more = image + ".more"
            os.mkdir(more)
            files = []
            for i in range(r.randint(1, 9)):
                put_thing(r, os.fsencode(f"{more}/more{i}"), block, files)
            done("mksquashfs", more, image, *silent)
            shutil.rmtree(more)
    return " ".join([way, *given])


@contextlib.contextmanager
def mounted(image, at):
    os.makedirs(at, exist_ok=True)
    if os.path.getsize(image) % 4096:  # a device has whole sectors
        padded = shutil.copy(image, image + ".padded")
        os.truncate(padded, (os.path.getsize(image) + 4095) // 4096 * 4096)
        image = padded
    done("mount", "-t", "squashfs", "-o", "loop,ro", image, at)
    try:
        yield at
    finally:
        done("umount", at)


def unpacked(image, at):
    shutil.rmtree(at, ignore_errors=True)
    done("unsquashfs", "-quiet", "-no-progress", "-processors", "2", "-dest", at, image)
    return at


# ---- what is compared ----


def alike(what, ours, theirs):
    a, b = collections.Counter(ours), collections.Counter(theirs)
    expect(a == b, f"{what}: {sum((a - b).values())} and {sum((b - a).values())} lines of {len(theirs)} differ",
           *("ours   " + x for x in sorted(a - b)[:8]), *("theirs " + x for x in sorted(b - a)[:8]))


def seen(target):
    return done(VIEW, target, "ALL").out.splitlines()


def answer(*argv):
    report = kvpath(*argv).json()
    for part in ("target", "output", "done"):
        report.pop(part, None)
    return json.dumps(report, indent=1, sort_keys=True).replace(argv[-1], "").splitlines()


def manifest(root, since, until, links=True):
    """What fix or bake made has one time here; the journal has times and numbers of processes in it."""
    lines = []
    for line in done(os.path.join(ROOTS, "manifest"), root).out.splitlines():
        f = line.split("\t")
        if int(f[6]) // 10**9 == EPOCH or since <= int(f[6]) / 1e9 <= until:
            f[6] = "new"
        if re.fullmatch("var/lib/kvpath/([0-9]+/journal|state|lock)", f[0]):
            f[5] = f[9] = "-"
        if not links:
            f[7] = "-"
        lines.append("\t".join(f))
    return lines


def journal(root):
    """Its records without what differs from run to run."""
    found = []
    for d, _, names in sorted(os.walk(f"{root}/var/lib/kvpath")):
        for name in sorted(names):
            if name in ("journal", "state"):
                with open(f"{d}/{name}", encoding="utf-8") as f:
                    for line in f:
                        record = json.loads(line[9:])
                        for part in (record, record.get("pre") or {}, record.get("post") or {}):
                            part.pop("atime", None)
                        record.pop("tag", None)
                        found.append(json.dumps(record, sort_keys=True))
    return found


def summary(image):
    """What the superblock says that a repair must not change."""
    lines = done("unsquashfs", "-s", image).out.splitlines()
    return [x for x in lines if not re.search("Creation|Filesystem size|Number of (inodes|ids)|valid SQUASHFS", x)]


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handles(at):
    """Each file by the number of its inode, as NFS asks for it: the path is not looked up."""
    found = {}
    for d, dirs, names in os.walk(os.fsencode(at)):
        for path in [d] + [os.path.join(d, n) for n in names + dirs]:
            handle, mount = Handle(bytes=128), ctypes.c_int()
            if LIBC.name_to_handle_at(-100, path, ctypes.byref(handle), ctypes.byref(mount), 0) < 0:
                raise Failure(f"{path!r}: no handle: {os.strerror(ctypes.get_errno())}")
            found[path] = handle
    return found


def by_numbers(image, at):
    with mounted(image, at):
        known = {path: (h, os.lstat(path)) for path, h in handles(at).items()}
    with mounted(image, at):
        where = os.open(at, os.O_RDONLY)
        try:
            for path, (handle, st) in known.items():
                fd = LIBC.open_by_handle_at(where, ctypes.byref(handle), os.O_PATH)
                expect(fd >= 0, f"{path!r}: not found by its number: {os.strerror(ctypes.get_errno())}")
                got = os.fstat(fd)
                os.close(fd)
                for part in ("st_ino", "st_mode", "st_size", "st_uid", "st_mtime"):
                    same(f"{path!r} by its number: {part}", getattr(got, part), getattr(st, part))
        finally:
            os.close(where)


def compare_baked(at, image, baked, fixed, since, until, how):
    theirs = manifest(fixed, since, until)
    alike("unpacked", manifest(unpacked(baked, at + "/tree"), since, until), theirs)
    alike("the journal", journal(at + "/tree"), journal(fixed))
    # A directory's attributes, and how many names a file had, are what Linux makes of it.
    with mounted(baked, at + "/mount") as m:
        alike("mounted", manifest(m, since, until, links=False), manifest(fixed, since, until, links=False))
        alike("kvpath's view of it", seen(baked), seen(m))
    same("what it says of itself", summary(baked), summary(image))
    if "-no-exports" not in how and ("sqfs" not in how or " -e" in how) and "gensquashfs" not in how:
        by_numbers(baked, at + "/mount")
    kvpath("undo", at + "/tree").ended(0)
    alike("undone", manifest(at + "/tree", 0, 0), manifest(unpacked(image, fixed), 0, 0))


def compare(r, at, tree, counts):
    image, baked, block = at + "/image.sqsh", at + "/baked.sqsh", 4096 << r.randint(0, 8)
    how = make(r, tree, image, block)
    # Of lz4 images some have a table that unsquashfs refuses.
    if Done(["unsquashfs", "-l", image]).status:
        counts["can not be unpacked"] += 1
        return how
    fabric = build("fabric", "F1")
    with mounted(image, at + "/mount") as m:
        alike("kvpath's view", seen(image), seen(m))
        for command in [("check",), ("fix", "--dry-run", "--fabric", fabric)]:
            alike(command[0], answer(*command, "--json", image), answer(*command, "--json", m))
    since = int(subprocess.check_output(["date", "+%s"]))
    fixed = unpacked(image, at + "/fixed")
    theirs = kvpath("fix", "--fabric", fabric, fixed)
    ours = Done(["env", f"SOURCE_DATE_EPOCH={EPOCH}", KVPATH, "bake", "--fabric", fabric, image, "-o", baked])
    until = int(subprocess.check_output(["date", "+%s"])) + 1
    expect(ours.status == theirs.status, "bake ends otherwise than fix", how, ours, theirs)
    counts[f"status {ours.status}"] += 1
    if ours.status:
        return how
    try:
        compare_baked(at, image, baked, fixed, since, until, how)
        done(KVPATH, "bake", "--fabric", fabric, baked, "-o", at + "/again.sqsh")
        done("cmp", baked, at + "/again.sqsh")
    except Failure as e:
        raise Failure(f"{how}\n{e}") from None
    return how


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="this image alone")
    args = parser.parse_args()
    counts, failed = collections.Counter(), 0
    own_mounts("images")
    work = tempfile.mkdtemp(prefix="kvpath-images-")
    done("mount", "-t", "tmpfs", "-o", "mode=755", "kvpath-images", work)
    base = thin(work)
    for number in [args.only] if args.only is not None else range(args.n):
        at, r = f"{work}/{number}", random.Random(f"{args.seed}/{number}")
        os.mkdir(at)
        done("cp", "-a", "--reflink=auto", base, at + "/root")
        try:
            scatter(r, at + "/root", 4096 << r.randint(0, 8))
            how = compare(r, at, at + "/root", counts)
            counts[how.split()[0]] += 1
        except (Failure, OSError, subprocess.SubprocessError) as e:
            failed += 1
            print(f"not ok  image {number} of seed {args.seed}\n    # " + str(e)[:3000].replace("\n", "\n    # "), flush=True)
            if LOOK:
                subprocess.run(["bash", "-c", LOOK], cwd=at, check=False)
        counts["images"] += 1
        shutil.rmtree(at)
    done("umount", "-l", work)
    os.rmdir(work)
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    print(f"{counts['images'] - failed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
