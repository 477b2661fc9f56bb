"""What the trees of one run share: the releases of glibc, each with its host program, on a file
system where they can be linked; and the program that starts programs."""

import os
import shutil
import struct
import subprocess
import tempfile

from tree import ROOM

HERE = os.path.dirname(os.path.abspath(__file__))
ROOTS = os.path.join(HERE, "..", "..", "roots")
FILES = ("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0",
         "ldconfig")
GCC = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
BARE = ["-fPIE", "-pie", "-fcf-protection=none", "-fno-stack-protector", "-nostdlib",
        "-nostartfiles", "-Wl,-dynamic-linker,/lib64/ld-linux-x86-64.so.2"]


def glibc(*args):
    r = subprocess.run([os.path.join(ROOTS, "glibc"), *args], stdout=subprocess.PIPE, text=True)
    if r.returncode == 3:
        return None
    if r.returncode:
        raise SystemExit(f"trees: {ROOTS}/glibc {' '.join(args)} failed")
    return r.stdout.split()


class World:
    """A directory for the run; gone when it is closed."""

    def __init__(self, only=None):
        base = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="kvpath-trees.", dir=base))
        os.chmod(self.dir, 0o755)
        self.versions, self.missing = [], []
        try:
            self.fill(only)
        except BaseException:
            self.close()
            raise

    def fill(self, only):
        for version in only or glibc():
            cached = glibc(version)
            if not cached:
                self.missing.append(version)
                continue
            self.add(version, cached[0])
        if not self.versions:
            raise SystemExit("trees: no release of glibc is to be had")
        self.spawn = os.path.join(self.dir, "spawn")
        subprocess.run([*GCC, "-o", self.spawn, os.path.join(HERE, "spawn.c")], check=True)

    def add(self, version, cached):
        to = self.library(version)
        os.mkdir(to)
        for name in FILES:
            shutil.copy(os.path.join(cached, name), to)
        # dlopen is in libc from 2.34 on; the linker takes libdl only where it is needed.
        for name, options in (("host", []),
                              ("host-rpath", ["-Wl,--disable-new-dtags", f"-Wl,-rpath,{ROOM}"]),
                              ("host-runpath", ["-Wl,--enable-new-dtags", f"-Wl,-rpath,{ROOM}"])):
            subprocess.run([*GCC, *BARE, *options, "-o", os.path.join(to, name),
                            os.path.join(HERE, "host.c"), f"{to}/libc.so.6", "-Wl,--as-needed",
                            f"{to}/libdl.so.2", f"{to}/ld-linux-x86-64.so.2"], check=True)
        self.versions.append(version)

    def library(self, version):
        return os.path.join(self.dir, "glibc-" + version)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Spawner:
    """Runs programs, in a root of their own where one is given."""

    def __init__(self, world):
        self.proc = subprocess.Popen([world.spawn], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     bufsize=0)

    def run(self, argv, root="", uid=0, env=(), seconds=60, cwd="/"):
        """(status as wait() gives it, stdout, stderr)"""
        text = "\0".join([root, cwd, str(uid), str(seconds), str(len(argv)), *argv, *env]) + "\0"
        data = text.encode("utf-8", "surrogateescape")
        self.proc.stdin.write(struct.pack("=I", len(data)) + data)
        status, n_out, n_err = struct.unpack("=iII", self.read(12))
        out = self.read(n_out).decode("utf-8", "surrogateescape")
        return status, out, self.read(n_err).decode("utf-8", "surrogateescape")

    def read(self, n):
        data = b""
        while len(data) < n:
            got = self.proc.stdout.read(n - len(data))
            if not got:
                raise SystemExit("trees: spawn has ended")
            data += got
        return data

    def close(self):
        self.proc.stdin.close()
        self.proc.wait()
