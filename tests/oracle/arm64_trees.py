"""Hand-made arm64 trees: small objects by the cross compiler, each tree with the glibc of the arm64 root."""
import os
import shutil
import struct
import subprocess

from emulated import QEMU
from oracle import build, expect

GCC = "aarch64-linux-gnu-gcc"
LIB = "/lib/aarch64-linux-gnu"
MAIN = "/p/plugin.so"
GLIBC = ["/lib/ld-linux-aarch64.so.1", LIB + "/ld-linux-aarch64.so.1", LIB + "/libc.so.6", LIB + "/libm.so.6",
         "/bin/sh", "/bin/dash", "/sbin/ldconfig"]


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, " ".join(argv), done.stdout, done.stderr)


class Tree:
    """A root directory with a C library, to which a case adds its files."""

    def __init__(self, root):
        self.root = root
        base = build("arm64", "base")
        for name in ("bin", "lib", "sbin"):
            os.makedirs(f"{root}/usr/{name}")
            os.symlink("usr/" + name, f"{root}/{name}")
        for name in ("dev", "etc", "proc", "sys"):
            os.mkdir(f"{root}/{name}")
        for path in GLIBC:
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            shutil.copy2(base + path, root + path, follow_symlinks=False)

    def host(self, path):
        return self.root + path

    def write(self, path, data=b""):
        os.makedirs(os.path.dirname(self.host(path)), exist_ok=True)
        with open(self.host(path), "wb") as f:
            f.write(data)

    def link(self, path, to):
        os.makedirs(os.path.dirname(self.host(path)), exist_ok=True)
        os.symlink(to, self.host(path))

    def patch(self, path, at, data):
        with open(self.host(path), "r+b") as f:
            f.seek(at)
            f.write(data)

    def lib(self, path, needs=(), soname="", defines=None, uses=(), flags=(), versions="", source="", cc=(GCC,)):
        """A shared object. needs: paths of objects to be linked with; defines: its function, by default the
        file's name up to the first dot; uses: functions that it calls; source: C text besides."""
        stem = os.path.basename(path).split(".")[0]
        where = self.host(path)
        os.makedirs(os.path.dirname(where), exist_ok=True)
        calls = "".join(f"int {u}(void); int (*const use_{u})(void) = {u};\n" for u in uses)
        text = f"{source}\n{calls}int {defines or stem}(void) {{ return 0; }}\n"
        options = ["-shared", "-fPIC", "-nostdlib", "-w", "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *flags]
        if soname:
            options.append("-Wl,-soname," + soname)
        with open(where + ".c", "w", encoding="ascii") as f:
            f.write(text)
        if versions:
            with open(where + ".map", "w", encoding="ascii") as f:
                f.write(versions)
            options.append("-Wl,--version-script=" + where + ".map")
        # Linked by path, what is needed is recorded by its SONAME.
        run(*cc, *options, "-o", where, where + ".c", *(self.host(n) for n in needs))
        os.unlink(where + ".c")
        if versions:
            os.unlink(where + ".map")

    def pair(self, at, how=(), uses=("libx",), **more):
        """The usual plugin: needs libx.so.1, which lies in the directory `at`."""
        self.lib(at + "/libx.so.1", soname="libx.so.1", **more)
        self.lib(MAIN, needs=[at + "/libx.so.1"], uses=uses, flags=how)

    def gone(self, path):
        os.unlink(self.host(path))

    def move(self, path, to):
        os.makedirs(os.path.dirname(self.host(to)), exist_ok=True)
        os.rename(self.host(path), self.host(to))

    def ldconfig(self, *conf):
        """The root's own, so that the cache is what an arm64 system has."""
        self.write("/etc/ld.so.conf", "".join(c + "\n" for c in conf).encode())
        qemu = os.path.join(build("arm64", "qemu"), os.path.basename(QEMU))
        shutil.copy2(qemu, self.host("/qemu"))
        run("chroot", self.root, "/qemu", "/sbin/ldconfig")
        self.gone("/qemu")


def rpath(*dirs):
    return ("-Wl,--disable-new-dtags", "-Wl,-rpath," + ":".join(dirs))


def runpath(*dirs):
    return ("-Wl,--enable-new-dtags", "-Wl,-rpath," + ":".join(dirs))


class Case:
    def __init__(self, name, build_tree, env=(), file=MAIN):
        self.name, self.build, self.env, self.file = name, build_tree, list(env), file


def search_path(*dirs, separator=":"):
    return ["LD_LIBRARY_PATH=" + separator.join(dirs)]


# ---- where names are looked for ----

def inherited(how):
    """The plugin needs liba, which needs libx in a directory that only the plugin names."""
    def make(t):
        t.lib("/x/libx.so.1", soname="libx.so.1")
        t.lib("/a/liba.so.1", soname="liba.so.1", needs=["/x/libx.so.1"], uses=["libx"])
        t.lib(MAIN, needs=["/a/liba.so.1"], uses=["liba"], flags=how("/a", "/x"))
    return make


def two_places(how):
    """libx lies in /one, which the plugin names, and in /two."""
    def make(t):
        t.pair("/one", how=how("/one"))
        t.lib("/two/libx.so.1", soname="libx.so.1")
    return make


def token(text, place, how=runpath, file=MAIN):
    def make(t):
        t.pair(place, how=how(text))
        if file != MAIN:
            t.link(file, MAIN)
    return make


def subdirectories(*subs):
    """libx in these subdirectories of /x, the search path, and in /x."""
    def make(t):
        t.pair("/x")
        for sub in subs:
            t.lib(f"/x/{sub}/libx.so.1", soname="libx.so.1")
    return make


def cached(*subs, lose=None, also=None):
    def make(t):
        subdirectories(*subs)(t)
        t.ldconfig("/x")
        if lose:
            t.gone(lose)
        if also:
            t.lib(also, soname="libx.so.1")
    return make


def not_cached(t):
    t.ldconfig()
    t.pair("/x")
    t.write("/etc/ld.so.conf", b"/x\n")


def beyond_ascii(t):
    """The cache is sorted by characters, whose sign is the machine's."""
    t.lib("/x/libé.so.1", soname="libé.so.1", defines="libe")
    for name in ("liba", "libx", "libz"):
        t.lib(f"/x/{name}.so.1", soname=name + ".so.1")
    t.lib(MAIN, needs=["/x/libé.so.1", "/x/liba.so.1"])
    t.ldconfig("/x")


def no_default(t):
    t.pair(LIB, how=("-Wl,-z,nodefaultlib",))


def no_default_cached(t):
    no_default(t)
    t.ldconfig()


SEARCH = [
    Case("RPATH", lambda t: t.pair("/x", how=rpath("/x"))),
    Case("RUNPATH", lambda t: t.pair("/x", how=runpath("/x"))),
    Case("RPATH is inherited", inherited(rpath)),
    Case("RUNPATH is not", inherited(runpath)),
    Case("RPATH before LD_LIBRARY_PATH", two_places(rpath), search_path("/two")),
    Case("LD_LIBRARY_PATH before RUNPATH", two_places(runpath), search_path("/two")),
    Case("LD_LIBRARY_PATH with semicolons", lambda t: t.pair("/x"), search_path("/none", "/x", separator=";")),
    Case("LD_LIBRARY_PATH with slashes at the end", lambda t: t.pair("/x"), search_path("/none/", "/x///")),
    Case("the machine's directory of /lib", lambda t: t.pair(LIB)),
    Case("the machine's directory of /usr/lib", lambda t: t.pair("/usr" + LIB)),
    Case("/usr/lib itself", lambda t: t.pair("/usr/lib")),
    Case("not /lib64", lambda t: t.pair("/lib64")),
    Case("not /usr/local/lib without a cache", lambda t: t.pair("/usr/local/lib")),
    Case("the default directories are vetoed", no_default),
    Case("and the cache's paths in them", no_default_cached),
    Case("$ORIGIN", token("$ORIGIN/x", "/p/x")),
    Case("$ORIGIN is the link's directory", token("$ORIGIN/x", "/l/x", file="/l/plugin.so"), file="/l/plugin.so"),
    Case("$LIB", token("/x/$LIB", "/x/lib/aarch64-linux-gnu")),
    Case("${PLATFORM}", token("/x/${PLATFORM}/y", "/x/aarch64/y")),
    Case("$PLATFORM in LD_LIBRARY_PATH", lambda t: t.pair("/x/aarch64"), search_path("/x/$PLATFORM")),
    Case("no token: $ORIGINAL", token("$ORIGINAL", "/p")),
    Case("no token: $", token("/x/$/y", "/x/$/y")),
    Case("LD_PRELOAD brings the name", lambda t: t.pair("/x"), ["LD_PRELOAD=/x/libx.so.1"]),
    Case("hwcaps of another machine", subdirectories("glibc-hwcaps/x86-64-v3"), search_path("/x")),
    Case("subdirectory tls", subdirectories("tls"), search_path("/x")),
    Case("subdirectory aarch64", subdirectories("aarch64"), search_path("/x")),
    Case("subdirectory atomics", subdirectories("atomics"), search_path("/x")),
    Case("subdirectories tls, aarch64, atomics", subdirectories("tls", "aarch64", "atomics"), search_path("/x")),
    Case("subdirectories in one another", subdirectories("tls/aarch64", "aarch64/atomics", "tls/atomics"),
         search_path("/x")),
    Case("subdirectory tls/aarch64/atomics", subdirectories("tls/aarch64/atomics", "tls"), search_path("/x")),
    Case("subdirectories of RUNPATH", lambda t: (t.pair("/x", how=runpath("/x")),
                                                 t.lib("/x/atomics/libx.so.1", soname="libx.so.1"))),
    Case("subdirectory of a default directory", lambda t: (
        t.pair(LIB), t.lib(LIB + "/atomics/libx.so.1", soname="libx.so.1"))),
    Case("cache", cached()),
    Case("in ld.so.conf, not in the cache", not_cached),
    Case("cache with tls, aarch64, atomics", cached("tls", "aarch64", "atomics")),
    Case("cache with atomics", cached("atomics")),
    Case("cache with aarch64", cached("aarch64")),
    Case("cache: the file is gone", cached(lose="/x/libx.so.1")),
    Case("cache: the file is gone, a default directory has it",
         cached(lose="/x/libx.so.1", also=LIB + "/libx.so.1")),
    Case("cache: names beyond ASCII", beyond_ascii),
    Case("a directory that cannot be searched: a loop of links", lambda t: (t.pair("/x"), t.link("/y", "/y")),
         search_path("/y", "/x")),
]


# ---- what is found ----

def first(data=None, change=None):
    """Before /x stands /bad with another libx.so.1: these bytes, or the good one changed."""
    def make(t):
        t.pair("/x")
        if data is not None:
            t.write("/bad/libx.so.1", data)
            return
        t.lib("/bad/libx.so.1", soname="libx.so.1")
        change(t, "/bad/libx.so.1")
    return make


def other_machine(*cc):
    return lambda t, path: t.lib(path, soname="libx.so.1", cc=cc)


def patched(at, data):
    return lambda t, path: t.patch(path, at, data)


def segment(kind, number, field, value):
    """Writes a field (its offset in Elf64_Phdr) of the numberth segment of a kind."""
    def change(t, path):
        with open(t.host(path), "rb") as f:
            data = f.read()
        phoff, = struct.unpack_from("<Q", data, 32)
        count, = struct.unpack_from("<H", data, 56)
        at = [phoff + 56 * i for i in range(count) if struct.unpack_from("<I", data, phoff + 56 * i)[0] == kind]
        t.patch(path, at[number] + field, struct.pack("<Q", value))
    return change


def truncated(t, path):
    os.truncate(t.host(path), 1000)


def object_file(t, path):
    t.write(path + ".c", b"int libx;\n")
    run(GCC, "-c", "-o", t.host(path), t.host(path) + ".c")


def program(*flags):
    def make(t, path):
        t.write(path + ".c", b"int main(void) { return 0; }\n")
        run(GCC, *flags, "-o", t.host(path), t.host(path) + ".c")
    return make


def pages(size):
    return lambda t: t.pair("/x", flags=(f"-Wl,-z,max-page-size={size},-z,common-page-size=4096",))


V1 = "V_1 { libx; };\n"
V2 = V1 + "V_2 { libx2; } V_1;\n"


def versions(built, there, uses=("libx", "libx2"), source=""):
    """The plugin is linked with one libx.so.1, and finds another."""
    def make(t):
        t.lib("/new/libx.so.1", soname="libx.so.1", versions=built, source="int libx2(void) { return 0; }")
        t.lib(MAIN, needs=["/new/libx.so.1"], uses=uses, source=source)
        t.lib("/x/libx.so.1", soname="libx.so.1", versions=there, source="int libx2(void) { return 0; }")
    return make


def name_of_another(t):
    """What is asked for as liby.so.1 is loaded already: libz.so.1 calls itself so."""
    t.lib("/x/liby.so.1", soname="liby.so.1")
    t.lib("/x/libz.so.1", soname="liby.so.1", defines="liby")
    t.lib("/x/libw.so.1", soname="libw.so.1", needs=["/x/liby.so.1"])
    t.lib(MAIN, needs=["/x/libw.so.1"], flags=("-Wl,-z,lazy",))


def one_inode(t):
    t.lib("/x/libx.so.1", soname="")
    t.link("/x/liby.so.1", "libx.so.1")
    here = os.getcwd()
    os.chdir(t.host("/x"))
    t.lib(MAIN, flags=("-L.", "-l:libx.so.1", "-l:liby.so.1"))
    os.chdir(here)


def tls(size):
    return lambda t: t.lib(MAIN, source=f"__thread char big[{size}]; char *get(void) {{ return big; }}",
                           flags=("-ftls-model=initial-exec",))


X = search_path("/bad", "/x")
PT_LOAD, PT_DYNAMIC = 1, 2
P_OFFSET, P_ALIGN = 8, 48

FOUND = [
    Case("an x86-64 object is passed over", first(change=other_machine("gcc")), X),
    Case("nothing but an x86-64 object", first(change=other_machine("gcc")), search_path("/bad")),
    Case("a 32-bit object", first(change=patched(4, b"\1")), X),
    Case("nothing but a 32-bit object", first(change=patched(4, b"\1")), search_path("/bad")),
    Case("big-endian", first(change=patched(5, b"\2")), X),
    Case("another OS ABI", first(change=patched(7, b"\x09")), X),
    Case("the OS ABI of GNU", first(change=patched(7, b"\x03")), X),
    Case("another ABI version", first(change=patched(8, b"\1")), X),
    Case("padding of e_ident", first(change=patched(12, b"\1")), X),
    Case("another e_version", first(change=patched(20, b"\2")), X),
    Case("another size of program headers", first(change=patched(54, b"\x39")), X),
    Case("an empty file", first(b""), X),
    Case("a short file", first(b"\x7fELF\2\1\1"), X),
    Case("a linker script", first(b"INPUT(libx.so.1)\n" * 20), X),
    Case("a directory", lambda t: (t.pair("/x"), os.makedirs(t.host("/bad/libx.so.1"))), X),
    Case("a file that ends early", first(change=truncated), X),
    Case("an object file", first(change=object_file), X),
    Case("a program", first(change=program("-no-pie")), X),
    Case("a position-independent program", first(change=program("-pie")), X),
    Case("no dynamic section", first(change=segment(PT_DYNAMIC, 0, 0, 0x100000000)), X),
    Case("not to be opened", lambda t: t.lib(MAIN, flags=("-Wl,-z,nodlopen",))),
    Case("pages of 4 KiB", pages(4096), search_path("/x")),
    Case("pages of 64 KiB", pages(65536), search_path("/x")),
    Case("pages of 2 MiB", pages(2 << 20), search_path("/x")),
    Case("alignment 256", first(change=segment(PT_LOAD, 1, P_ALIGN, 256)), X),
    Case("alignment of no power of two", first(change=segment(PT_LOAD, 1, P_ALIGN, 0x3000)), X),
    Case("offset and address disagree", first(change=segment(PT_LOAD, 1, P_OFFSET, 8)), X),
    Case("protected branches", lambda t: t.lib(MAIN, flags=("-mbranch-protection=standard", "-Wl,-z,force-bti"))),
    Case("an executable stack", lambda t: t.lib(MAIN, flags=("-Wl,-z,execstack",))),
    Case("a version that is not there", versions(V2, V1), search_path("/x")),
    Case("a version that is not there, nor its function", versions(V2, V1, ["libx2"]), search_path("/x")),
    Case("a weak need for a version", versions(
        V2, V1, ["libx"], "__attribute__((weak)) int libx2(void); int (*const weak)(void) = libx2;"),
        search_path("/x")),
    Case("versions that are there", versions(V2, V2), search_path("/x")),
    Case("a library without versions where some are needed", versions(V2, ""), search_path("/x")),
    Case("a library with versions where none are needed", versions("", V2), search_path("/x")),
    Case("an undefined symbol", lambda t: t.lib(MAIN, uses=["nowhere"])),
    Case("an undefined weak symbol",
         lambda t: t.lib(MAIN, source="__attribute__((weak)) int nowhere(void); int (*const p)(void) = nowhere;")),
    Case("a SONAME that another has", name_of_another, search_path("/x")),
    Case("two names of one file", one_inode, search_path("/x")),
    Case("a need with a slash", lambda t: (t.lib("/x/libx.so.1", soname="/x/libx.so.1"),
                                           t.lib(MAIN, needs=["/x/libx.so.1"], uses=["libx"]))),
    Case("thread-local data that fit", tls(256)),
    Case("thread-local data that do not fit", tls(100000)),
    Case("libm by its name", lambda t: None, file="libm.so.6"),
    Case("libc, loaded already", lambda t: None, file="libc.so.6"),
    Case("the loader itself", lambda t: None, file="/lib/ld-linux-aarch64.so.1"),
    Case("a name that is nowhere", lambda t: None, file="libnowhere.so.1"),
    Case("a path that is nowhere", lambda t: t.lib(MAIN), file="/p/nowhere.so"),
]

CASES = SEARCH + FOUND
