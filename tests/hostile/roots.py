"""The hostile roots: name -> what is done to a copy of the container. Each takes a Root."""
import itertools
import json
import os
import shutil
import socket
import stat
import struct
import zlib

SITE = "usr/local/lib/python3.11/dist-packages"
LIBS = SITE + "/.nixl_cu13.mesonpy.libs"
PLUGIN = LIBS + "/plugins/libplugin_LIBFABRIC.so"
API = SITE + "/nixl_cu13/_api.py"
SYSTEM = "usr/lib/x86_64-linux-gnu"
STATE = "var/lib/kvpath"

# What check reads and what fix writes: directories and files, some not there yet.
PLACES = ["usr", "usr/lib", SYSTEM, SITE, SITE + "/nixl_cu13", API, LIBS, LIBS + "/plugins", PLUGIN,
          LIBS + "/libnixl.so", LIBS + "/libfabric.so.1", "etc", "etc/ld.so.cache", "etc/os-release",
          "etc/environment", "etc/ld.so.conf", SITE + "/nixl_cu13-1.5.0.dist-info/METADATA",
          SYSTEM + "/libc.so.6", SYSTEM + "/libfabric.so.1", "usr/bin/python3.11", "var", "var/lib",
          STATE, STATE + "/state", STATE + "/lock", STATE + "/000001", "opt", "opt/kvpath",
          "opt/kvpath/fabric", "opt/kvpath/fabric/libfabric.so.1.29.0"]
# Those that may be anything instead.
FILES = [API, PLUGIN, "etc/ld.so.cache", SITE + "/nixl_cu13-1.5.0.dist-info/METADATA",
         LIBS + "/libfabric.so.1", SYSTEM + "/libc.so.6"]

CASES = {}


def case(name):
    def add(function):
        CASES[name] = function
        return function
    return add


class Root:
    def __init__(self, path, out, inside):
        self.path, self.out, self.inside = path, out, inside
        self.mounts = []    # bind mounts: (from, to)
        self.swaps = []     # (place, link text): exchanged all the time
        self.args = []      # more arguments of check
        self.nobody = False

    def at(self, place):
        return os.path.join(self.path, place)

    def clear(self, place):
        """Nothing is at place, and there is a directory for it."""
        path = self.at(place)
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        elif os.path.isdir(path):
            shutil.rmtree(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def link(self, place, text):
        os.symlink(text, self.clear(place))

    def write(self, place, content):
        with open(self.clear(place), "wb") as f:
            f.write(content)

    def outside(self, place):
        """The counterpart of a place out there: it exists there, and would serve."""
        return os.path.join(self.out, place)


def relative(path):
    return "../" * 40 + path.lstrip("/")


def absolute_link(place):
    return lambda r: r.link(place, r.outside(place))


def relative_link(place):
    return lambda r: r.link(place, relative(r.outside(place)))


def mounted_link(place):
    """The way out begins in a directory that is mounted into the root."""
    def make(r):
        shutil.rmtree(r.inside, ignore_errors=True)
        os.makedirs(r.inside)
        os.symlink(r.out, os.path.join(r.inside, "absolute"))
        os.symlink("../out", os.path.join(r.inside, "up"))
        os.makedirs(r.at("mnt"), exist_ok=True)
        r.mounts.append((r.inside, r.at("mnt")))
        r.link(place, f"/mnt/{'absolute' if len(place) % 2 else 'up'}/{place}")
    return make


for place in PLACES:
    CASES[f"absolute link at {place}"] = absolute_link(place)
    CASES[f"relative link at {place}"] = relative_link(place)
for place in PLACES[::2]:
    CASES[f"link through a mount at {place}"] = mounted_link(place)


def fifo(place):
    return lambda r: os.mkfifo(r.clear(place))


def device(place, kind, major, minor):
    return lambda r: os.mknod(r.clear(place), kind | 0o666, os.makedev(major, minor))


def unix_socket(place):
    def make(r):
        with socket.socket(socket.AF_UNIX) as s:
            # A socket's path is short: made by way of its directory.
            path = r.clear(place)
            here = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
            s.bind(f"/proc/self/fd/{here}/{os.path.basename(path)}")
            os.close(here)
    return make


def sparse(place, size):
    def make(r):
        with open(r.clear(place), "wb") as f:
            f.truncate(size)
    return make


for place in FILES:
    name = os.path.basename(place)
    CASES[f"FIFO as {name}"] = fifo(place)
    CASES[f"/dev/zero as {name}"] = device(place, stat.S_IFCHR, 1, 5)
    CASES[f"a terminal as {name}"] = device(place, stat.S_IFCHR, 5, 0)
    CASES[f"socket as {name}"] = unix_socket(place)
    CASES[f"8 TiB of nothing as {name}"] = sparse(place, 8 << 40)
    CASES[f"a link to itself as {name}"] = (lambda p: lambda r: r.link(p, os.path.basename(p)))(place)
CASES["block device as _api.py"] = device(API, stat.S_IFBLK, 7, 0)

CONTROL = ["\x1b[31mred", "\x1b]0;title\x07", "new\nline", "tab\tcr\rbs\b", "\u202etxt.so",
           "c1\u009b2J", "\u2066iso", "\x7fdel"]
BYTES = [b"\xff\xfe\x80", b"\xc0\xaf..", b"\xed\xa0\x80", b"\x9b2J"]


def named(name):
    """Everything that takes a name from the target gets this one."""
    def make(r):
        name_b = os.fsencode(name)
        site = os.fsencode(r.at(SITE))
        # A second NIXL below a directory of that name, and a plugin and a library called so.
        extra = os.path.join(os.fsencode(r.path), b"opt", name_b, b"site-packages")
        os.makedirs(extra)
        os.rename(os.path.join(site, b"nixl_cu13"), os.path.join(extra, b"nixl_cu13"))
        os.rename(os.path.join(site, b".nixl_cu13.mesonpy.libs"),
                  os.path.join(extra, b".nixl_cu13.mesonpy.libs"))
        os.rename(os.path.join(site, b"nixl_cu13-1.5.0.dist-info"),
                  os.path.join(extra, b"nixl_cu13-1.5.0.dist-info"))
        os.rename(os.path.join(site, b"nixl_cu13.libs"), os.path.join(extra, b"nixl_cu13.libs"))
        plugins = os.path.join(extra, b".nixl_cu13.mesonpy.libs", b"plugins")
        os.link(os.path.join(plugins, b"libplugin_UCX.so"),
                os.path.join(plugins, b"libplugin_" + name_b + b".so"))
        meta = os.path.join(extra, b"nixl_cu13-1.5.0.dist-info", b"METADATA")
        os.unlink(meta)
        with open(meta, "wb") as f:
            f.write(b"Metadata-Version: 2.1\nName: nixl-cu13" + name_b.replace(b"\n", b"") +
                    b"\nVersion: 1.5.0" + name_b.replace(b"\n", b"") + b"\n")
        r.write("etc/os-release", b"ID=debian\x1b[2J\nVERSION_ID=\"12" + name_b + b"\"\n")
        r.write("etc/environment", b"LD_LIBRARY_PATH=/x" + name_b.replace(b"\n", b"") + b"\n")
    return make


for i, name in enumerate(CONTROL + BYTES):
    CASES[f"control bytes in names, {i}"] = named(name)


@case("control bytes in what libraries are called")
def _(r):
    path = r.at(PLUGIN)
    with open(path, "rb") as f:
        data = f.read()
    assert data.count(b"\0libfabric.so.1\0") == 1
    r.write(PLUGIN, data.replace(b"\0libfabric.so.1\0", b"\0lib\x1b[31m\n.so.1\0"))


@case("control bytes in versions that are needed")
def _(r):
    with open(r.at(PLUGIN), "rb") as f:
        data = f.read()
    r.write(PLUGIN, data.replace(b"FABRIC_1.7", b"\x1b[2J\n\xe2\x80\xae_"))


@case("control bytes in the default's list")
def _(r):
    with open(r.at(API), "rb") as f:
        data = f.read()
    r.write(API, data.replace(b'["UCX"]', b'["\x1b[31mUCX\x9b"]').replace(b"'UCX'", b"'\x1b]0;'"))


@case("an interpreter's name with control bytes")
def _(r):
    data = open(r.at("usr/bin/python3.11"), "rb").read()
    r.write("usr/bin/python3.11", data.replace(b"/lib64/ld-linux-x86-64.so.2", b"/lib\x1b[2J\n-x86-64.so.2xxxx"[:27]))


def crowded(place, prefix):
    def make(r):
        os.makedirs(r.at(place), exist_ok=True)
        here = os.open(r.at(place), os.O_RDONLY | os.O_DIRECTORY)
        for i in range(100000):
            os.close(os.open(f"{prefix}{i}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
        os.close(here)
    return make


CASES["100000 files beside the plugins"] = crowded(LIBS + "/plugins", "libplugin_X")
CASES["100000 files in a site directory"] = crowded(SITE, "x")
CASES["100000 libraries"] = crowded(SYSTEM, "libx.so.")
CASES["100000 generations"] = crowded(STATE, "0")


def deep(levels, name):
    def make(r):
        here = os.open(r.at(SITE), os.O_RDONLY | os.O_DIRECTORY)
        for _ in range(levels):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
    return make


CASES["directories 2000 deep"] = deep(2000, "d")
CASES["directories 60 deep, long names"] = deep(60, "n" * 255)


@case("a chain of 45 links")
def _(r):
    os.rename(r.at(LIBS), r.at(LIBS) + ".real")
    for i in range(45):
        os.symlink(f"l{i + 1}" if i < 44 else os.path.basename(LIBS) + ".real", r.at(SITE + f"/l{i}"))
    os.symlink("l0", r.at(LIBS))


@case("links in a ring")
def _(r):
    r.link("opt/a", "b")
    r.link("opt/b", "a/../a")
    r.link(LIBS + "/libfabric.so.1", "/opt/a")


@case("links that double their length")
def _(r):
    for i in range(30):
        r.link(f"opt/z{i}", f"z{i + 1}/../z{i + 1}/../z{i + 1}")
    r.link(LIBS + "/libfabric.so.1", "/opt/z0/x")


@case("a link of 4095 bytes")
def _(r):
    r.link(LIBS + "/libfabric.so.1", "/" + "x/" * 2047)


@case("files that nobody may read")
def _(r):
    for place in (API, PLUGIN, "etc/ld.so.cache"):
        data = open(r.at(place), "rb").read()
        r.write(place, data)
        os.chmod(r.at(place), 0)
    r.nobody = True


@case("directories that nobody may enter")
def _(r):
    os.chmod(r.at(LIBS), 0)
    r.nobody = True


@case("a mount of the job that leads out")
def _(r):
    shutil.rmtree(r.inside, ignore_errors=True)
    os.makedirs(r.inside)
    os.symlink(r.outside(SYSTEM), os.path.join(r.inside, "lib"))
    os.symlink(relative(r.outside(API)), os.path.join(r.inside, "libnixl.so"))
    r.args += ["--mount", f"{r.inside}:/opt/job", "--env", "LD_LIBRARY_PATH=/opt/job/lib"]


@case("a library path that leads out")
def _(r):
    r.link("opt/lib", r.outside(SYSTEM))
    r.write("etc/environment", f"LD_LIBRARY_PATH=/opt/lib:{r.outside(SYSTEM)}:/../..{r.out}\n".encode())


@case("an ld.so.conf that includes what is outside")
def _(r):
    r.write("etc/ld.so.conf", f"include {r.outside('etc')}/*.conf\ninclude /../../..{r.out}/*\n{r.out}\n".encode())
    r.clear("etc/ld.so.cache")


@case("a .pth-like path in METADATA and RECORD")
def _(r):
    r.write(SITE + "/nixl_cu13-1.5.0.dist-info/RECORD", f"../../../../../../..{r.out}/x,,\n{r.out}/y,,\n".encode() * 1000)


CRC = [0] * 256
for n in range(256):
    c = n
    for _ in range(8):
        c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    CRC[n] = c


def record(o):
    text = json.dumps(o, separators=(",", ":"), sort_keys=True).encode()
    crc = 0xffffffff
    for byte in text:
        crc = CRC[(crc ^ byte) & 0xff] ^ crc >> 8
    return b"%08x %s\n" % (crc ^ 0xffffffff, text)


def journal(*steps, **last):
    """A journal with good checksums that says what an attacker wants it to."""
    def make(r):
        state = r.at(STATE)
        os.makedirs(state + "/000001")
        times = {"atime": [0, 0], "mtime": [0, 0]}
        fill = {"out": r.out, "victim": r.outside("victim")}
        with open(state + "/state", "wb") as f:
            f.write(record({"rec": "state", "version": 1, "made": 3, **times}))
        with open(state + "/000001/journal", "wb") as f:
            f.write(record({"rec": "plan", "version": 1, "tag": "0123456789abcdef"}))
            for op, path, pre, post in steps:
                f.write(record({"rec": "step", "op": op, "path": path.format(**fill), "pre": pre,
                                "post": post}))
            f.write(record({"rec": "dir", "path": last.get("dir", "/").format(**fill), **times}))
            f.write(record({"rec": "ready"}))
            if last.get("commit"):
                f.write(record({"rec": "commit"}))
        for i in range(len(steps)):
            with open(f"{state}/000001/old.{i}", "wb") as f:
                f.write(b"planted")
        r.link("opt/out", r.out)
    return make


ABSENT = {"type": "absent"}
FILE = {"type": "file", "mode": 0o644, "uid": 0, "gid": 0, "size": 7, "atime": [0, 0], "mtime": [0, 0],
        "sha256": "0" * 64}
for commit, (i, path) in itertools.product((False, True), enumerate(
        ["/../../..{victim}", "/opt/out/victim", "/opt/out/new", "{victim}", "/opt/out", "/"])):
    CASES[f"a journal that leads out, {i}{', committed' if commit else ''}"] = journal(
        ("file", path, FILE, ABSENT), ("file", path, ABSENT, FILE), commit=commit)
CASES["a journal that sets times outside"] = journal(dir="/opt/out")


@case("a journal of 50 MB")
def _(r):
    journal(commit=True)(r)
    with open(r.at(STATE + "/000001/journal"), "ab") as f:
        f.write(b"0" * (50 << 20))


@case("a guard that was planted")
def _(r):
    os.setxattr(r.path, "user.kvpath.guard", record(
        {"rec": "state", "version": 1, "made": 3, "atime": [0, 0], "mtime": [0, 0]}))
    os.makedirs(r.at("var/lib"), exist_ok=True)


def swapped(*places):
    def make(r):
        for place in places:
            os.makedirs(r.at(place), exist_ok=True)
            r.swaps.append((place, r.outside(place)))
    return make


for places in ([SITE], [SITE + "/nixl_cu13"], [LIBS], [LIBS + "/plugins"], [SYSTEM], ["opt"],
               ["var/lib"], ["opt", LIBS, SITE + "/nixl_cu13"]):
    CASES[f"a directory becomes a link and back: {', '.join(places)}"] = swapped(*places)
