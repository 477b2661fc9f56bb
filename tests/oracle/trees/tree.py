"""Makes the directory that a description (a plain dictionary, see generate.py) stands for.

Files of glibc are hard links to one copy for the run. Nothing is ever written outside the root,
whatever the tree's links say.
"""

import json
import os
import shutil
import subprocess
import tempfile

import elfobj

LIB = "/lib/x86_64-linux-gnu"
NOBODY = 65534


def host_path(root, path):
    """Where a guest path lies; None where the links of the tree lead out of it, or nowhere."""
    parent, name = os.path.split(path)
    try:
        os.makedirs(root + parent, exist_ok=True)
    except OSError:
        return None
    real = os.path.realpath(root + parent)
    if real != root and not real.startswith(root + "/"):
        return None
    return os.path.join(real, name)


def content(node):
    kind = node["t"]
    if kind == "elf":
        return elfobj.build(node)
    if kind == "text":
        return node.get("s", "").encode()
    if kind == "hex":
        return bytes.fromhex(node.get("s", ""))
    return None


compiled = {}


def compile_to(root, at, node):
    """An object as gcc makes it, once for the run."""
    exe = node.get("exe")
    key = json.dumps(node)
    if key in compiled:
        with open(at, "wb") as f:
            f.write(compiled[key])
        os.chmod(at, 0o755)
        return
    with tempfile.TemporaryDirectory() as work:
        with open(f"{work}/a.c", "w") as f:
            f.write(node["c"])
        options = [] if exe else ["-shared", "-fPIC"]
        if "map" in node:
            with open(f"{work}/a.map", "w") as f:
                f.write(node["map"])
            options.append(f"-Wl,--version-script={work}/a.map")
        subprocess.run(["gcc", "-w", "-O1", *options, *node.get("flags", []), "-o", at,
                        f"{work}/a.c", *(root + w for w in node.get("with", []))], check=True)
    with open(at, "rb") as f:
        compiled[key] = f.read()


def put(root, path, node, library):
    at = host_path(root, path)
    if at is None:
        return
    if os.path.lexists(at):
        if node["t"] == "dir" and os.path.isdir(at):
            return
        if os.path.isdir(at) and not os.path.islink(at):
            shutil.rmtree(at)
        else:
            os.unlink(at)
    data = content(node)
    if data is not None:
        with open(at, "wb") as f:
            f.write(data)
        os.chmod(at, node.get("mode", 0o755))
    elif node["t"] == "gcc":
        compile_to(root, at, node)
    elif node["t"] == "link":
        os.symlink(node["to"], at)
    elif node["t"] == "hard":
        source = host_path(root, node["to"])
        if source and os.path.isfile(source) and not os.path.islink(source):
            os.link(source, at)
    elif node["t"] == "dir":
        os.mkdir(at)
    elif node["t"] == "lib":  # a file of the release's own, or of another one
        if "release" in node:
            library = os.path.join(os.path.dirname(library), "glibc-" + node["release"])
        os.link(os.path.join(library, node["name"]), at)


# What the hosts are linked with that have a path, to be overwritten (world.py).
ROOM = "kvpath" * 100


def write_host(host, at, main):
    """The host program with this DT_RPATH or DT_RUNPATH."""
    [(tag, path)] = main.items()
    with open(f"{host}-{tag}", "rb") as f:
        data = f.read()
    data = data.replace(ROOM.encode(), path.encode()[:len(ROOM)].ljust(len(ROOM), b"\0"))
    with open(at, "wb") as f:
        f.write(data)
    os.chmod(at, 0o755)


def chmod_dirs(root, tree):
    for path, node in tree.get("files", {}).items():
        if node["t"] == "dir" and "mode" in node:
            at = host_path(root, path)
            if at and os.path.isdir(at) and not os.path.islink(at):
                os.chmod(at, node["mode"])


def build(root, tree, library):
    """root must not exist. library: directory of the release's files (world.py)."""
    os.mkdir(root, 0o755)
    if tree.get("merged"):
        os.makedirs(root + "/usr/lib")
        os.makedirs(root + "/usr/lib64")
        os.makedirs(root + "/usr/sbin")
        for name in ("lib", "lib64", "sbin"):
            os.symlink("usr/" + name, f"{root}/{name}")
    for path in (LIB, "/lib64", "/etc", "/sbin"):
        os.makedirs(root + path, exist_ok=True)
    for name in ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2"):
        os.link(f"{library}/{name}", f"{root}{LIB}/{name}")
    loader = "ld-linux-x86-64.so.2"
    os.link(f"{library}/{loader}", f"{root}{LIB}/{loader}")
    if tree.get("loader_link"):
        os.symlink(f"..{LIB}/{loader}", f"{root}/lib64/{loader}")
    else:
        os.link(f"{library}/{loader}", f"{root}/lib64/{loader}")
    os.link(f"{library}/ldconfig", f"{root}/sbin/ldconfig")
    if "main" in tree:
        write_host(f"{library}/host", f"{root}/host", tree["main"])
    else:
        os.link(f"{library}/host", f"{root}/host")
    # Where ld.so learns the program's $ORIGIN. There is no /proc.
    os.makedirs(root + "/proc/self")
    os.symlink("/host", root + "/proc/self/exe")
    for path, node in tree.get("files", {}).items():
        put(root, path, node, library)


def change(root, tree, library):
    """What happens to the tree after ldconfig has run."""
    for path, node in tree.get("after", {}).items():
        if node["t"] == "gone":
            at = host_path(root, path)
            if at and os.path.lexists(at) and not (os.path.isdir(at) and not os.path.islink(at)):
                os.unlink(at)
        else:
            put(root, path, node, library)
    cache = root + "/etc/ld.so.cache"
    if tree.get("cache_damage") and os.path.isfile(cache):
        with open(cache, "rb") as f:
            data = bytearray(f.read())
        for kind, at, value in tree["cache_damage"]:
            if kind == "cut":
                del data[at % (len(data) + 1):]
            elif kind == "byte" and data:
                data[at % len(data)] = value
            elif kind == "word" and len(data) >= 4:
                at = at * 4 % (len(data) - 3)
                data[at:at + 4] = (value & 0xffffffff).to_bytes(4, "little")
        with open(cache, "wb") as f:
            f.write(data)
    chmod_dirs(root, tree)


def remove(root):
    if not os.path.lexists(root):
        return
    for base, dirs, _ in os.walk(root):
        for d in dirs:
            p = os.path.join(base, d)
            if not os.path.islink(p) and os.stat(p).st_mode & 0o700 != 0o700:
                os.chmod(p, 0o755)
    shutil.rmtree(root)
