#!/usr/bin/env python3
"""rules.py: every rule of `kvpath check` on a real container that has the fault, and on one that nearly has it.

Each case lays one change over the container of NIXL 1.5.0 (an overlay: the container stays as it is), names the
findings that must be errors and warnings then, and no others, and asks the real NIXL whether its agent works.
One line a case, `ok` or `not ok`.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time

from oracle import KVPATH, Agent, Failure, build, expect, inside, kvpath, plugins_of, same

LIB = "/usr/lib/x86_64-linux-gnu"
SITE = "/usr/local/lib/python3.11/dist-packages"
NIXL = SITE + "/.nixl_cu13.mesonpy.libs"
BROKEN = {"KV101", "KV201"}  # the container as it is
DISTRO = {"KV308"}


class Root:
    """The container with changes, at `path`."""

    def __init__(self, path, sources):
        self.path, self.sources = path, sources

    def host(self, guest):
        return self.path + guest

    def remove(self, *patterns):
        for pattern in patterns:
            found = glob.glob(self.host(pattern))
            expect(found, f"{pattern}: nothing to remove")
            for path in found:
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    def ldconfig(self):
        subprocess.run(["chroot", self.path, "ldconfig"], check=True, stdin=subprocess.DEVNULL)

    def efa(self, source, where="/opt/amazon"):
        shutil.copytree(self.sources[source] + "/opt/amazon", self.host(where), symlinks=True)

    def fix(self, source, *options):
        kvpath("fix", *options, "--fabric", self.sources[source] + "/opt/amazon/efa", self.path).ended(0)


EFA_PATH = "LD_LIBRARY_PATH=/opt/amazon/efa/lib"


def no_fabric(r):
    r.remove(LIB + "/libfabric.so.1*")
    r.ldconfig()


def no_hwloc(r):
    r.fix("F1")
    r.remove(LIB + "/libhwloc.so.15*")
    r.ldconfig()


def no_cudart(r):
    r.remove("/usr/local/cuda/lib64/libcudart.so.13*")
    r.ldconfig()


def two_nixls(r):
    r.fix("F1")
    shutil.copytree(r.host(NIXL), r.host("/opt/nvidia/nixl/lib"), symlinks=True)
    shutil.copytree(r.host(SITE + "/nixl_cu13.libs"), r.host("/opt/nvidia/nixl/nixl_cu13.libs"), symlinks=True)


def copied_blindly(r):
    """What the usual preamble does with a newer host's library."""
    lib = glob.glob(r.sources["D13"] + "/opt/amazon/efa/lib/libfabric.so.1.*")[0]
    os.unlink(r.host(LIB + "/libfabric.so.1"))
    shutil.copy(lib, r.host(LIB + "/libfabric.so.1"))


def newer_glibc(r):
    """The same, on a target whose rdma-core is new enough: then libc is what it lacks."""
    source = r.host("/newer.c")
    with open(source, "w", encoding="ascii") as f:
        f.write('__asm__(".symver f, gnu_get_libc_version@GLIBC_2.38");\nextern const char *f(void);\n'
                "const char *g(void);\nconst char *g(void) { return f(); }\n")
    with open(r.host("/libc.map"), "w", encoding="ascii") as f:
        f.write("GLIBC_2.38 { gnu_get_libc_version; };\n")
    with open(r.host("/libc.c"), "w", encoding="ascii") as f:
        f.write("const char *gnu_get_libc_version(void);\nconst char *gnu_get_libc_version(void) { return 0; }\n")
    # A libhwloc that was linked against a newer libc.
    run = lambda *a: subprocess.run(a, check=True, stdin=subprocess.DEVNULL)
    run("gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libc.so.6", "-Wl,--version-script=" + r.host("/libc.map"),
        "-o", r.host("/libc.so.6"), r.host("/libc.c"))
    r.fix("F1")
    real = os.path.realpath(r.host(LIB + "/libhwloc.so.15"))
    os.unlink(real)
    run("gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libhwloc.so.15", "-o", real, source, r.host("/libc.so.6"))


def no_plugin(r):
    r.remove(NIXL + "/plugins/libplugin_LIBFABRIC.so")


def moved_plugin(r):
    os.mkdir(r.host("/opt/plugins"))
    os.rename(r.host(NIXL + "/plugins/libplugin_LIBFABRIC.so"), r.host("/opt/plugins/libplugin_LIBFABRIC.so"))


def empty_dir(r):
    r.fix("F1")
    os.mkdir(r.host("/opt/plugins"))


def without_efa(r):
    """libfabric 2.5.1 without the provider file that brings efa."""
    r.efa("F2")
    shutil.rmtree(r.host("/opt/amazon/efa/lib/libfabric"))


def no_libefa(r):
    r.efa("F1")
    r.remove(LIB + "/libefa.so.1*", LIB + "/libibverbs/libefa-rdmav34.so")


def fixed(r):
    r.fix("F1")


def fixed_dram(r):
    r.fix("F2", "--mem", "dram")


def edited(source):
    def change(r):
        path = r.host(SITE + "/nixl_cu13/_api.py")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        expect('["UCX"]' in text, "the default is not where it was")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace('["UCX"]', source, 1))
    return change


# name, change, options of check, errors, warnings, whether the real agent is asked
CASES = [
    ("the container as it is", lambda r: None, [], BROKEN, DISTRO, True),
    ("KV103: no libfabric", no_fabric, [], {"KV103", "KV201"}, set(), True),
    ("KV104: no libhwloc", no_hwloc, [], {"KV104"}, set(), True),
    ("KV105: no CUDA runtime", no_cudart, [], {"KV105", "KV201"}, set(), True),
    ("KV108: the plugin moved away", moved_plugin, [], {"KV108", "KV201", "KV203"}, set(), False),
    ("KV110: a second NIXL", two_nixls, [], set(), {"KV110"}, False),
    ("KV112: a newer libfabric that is not taken", lambda r: r.efa("F1"), [], BROKEN, DISTRO | {"KV112"}, True),
    ("KV112: not where the newer one is taken", lambda r: r.efa("F1"), ["--mem", "dram", "--env", EFA_PATH],
     {"KV201"}, set(), True),
    ("KV114: a library built for a newer glibc", newer_glibc, [], {"KV114"}, set(), True),
    ("KV114: a newer glibc's library is offered", lambda r: None, ["--fabric", "D13"], BROKEN, DISTRO | {"KV114"},
     True),
    ("KV203: no plugin", no_plugin, [], {"KV201", "KV203"}, set(), False),
    ("KV205: NIXL_PLUGIN_DIR without plugins", empty_dir, ["--env", "NIXL_PLUGIN_DIR=/opt/plugins"], {"KV205"}, set(),
     False),
    ("KV206: the plural", fixed, ["--env", "NIXL_PLUGINS_DIR=/opt/plugins"], set(), {"KV206"}, False),
    ("KV307: a libfabric without efa", without_efa, ["--mem", "dram", "--env", EFA_PATH], {"KV201", "KV307"}, set(),
     True),
    ("KV307: not where its efa DSO lies beside it", lambda r: r.efa("F2"), ["--mem", "dram", "--env", EFA_PATH],
     {"KV201"}, set(), True),
    ("KV310: no libefa", no_libefa, ["--env", EFA_PATH], {"KV201", "KV310"}, set(), True),
    ("KV312: a libefa that is too old", copied_blindly, [], {"KV201", "KV312"}, set(), True),
    ("KV402: no plain libcudart.so", lambda r: r.efa("F1"), ["--env", EFA_PATH], {"KV201", "KV402"}, set(), True),
    ("KV402: not for host memory", lambda r: r.efa("F1"), ["--mem", "dram", "--env", EFA_PATH], {"KV201"}, set(),
     True),
    ("KV404: no CUDA in libfabric", lambda r: r.efa("F2"), ["--env", EFA_PATH], {"KV201", "KV404"}, set(), True),
    ("KV404: not for host memory", fixed_dram, ["--mem", "dram"], set(), set(), True),
    ("repaired", fixed, [], set(), set(), True),
    ("KV201: NIXL_BACKEND takes the repair back", fixed, ["--env", "NIXL_BACKEND=UCX"], {"KV201"}, set(), False),
    ("KV201: quoted otherwise", edited("[ 'UCX', ]"), [], BROKEN, DISTRO, True),
    ("KV201: the default that is wanted", edited('["LIBFABRIC"]'), [], {"KV101"}, DISTRO, True),
]


def check(root, options):
    args = [root.sources[o] + "/opt/amazon/efa" if o in root.sources else o for o in options]
    ran = kvpath("check", "--json", *args, root.path)
    expect(ran.status in (0, 1), "check cannot tell", ran)
    return ran.json("kvpath.check/1")


def ids(report, severity):
    return {f["id"] for f in report["findings"] if f["severity"] == severity}


def run_case(root, change, options, errors, warnings, ask):
    change(root)
    report = check(root, options)
    expect(ids(report, "error") == errors, f"errors are {sorted(ids(report, 'error'))}, not {sorted(errors)}",
           report["findings"])
    expect(ids(report, "warning") == warnings,
           f"warnings are {sorted(ids(report, 'warning'))}, not {sorted(warnings)}", report["findings"])
    expect((report["verdict"] == "off-fabric") == bool(errors), f"verdict is {report['verdict']}")
    if ask:
        env = [o for o in options if o.startswith("LD_")]
        agent = Agent(root.path, env=env)
        ours = plugins_of(report)["LIBFABRIC"]
        same("LIBFABRIC loads", ours["loads"] == "yes", agent.instantiated)
        same("the reason", ours.get("error") or None, agent.reason)


def live_cases(root):
    """KV107 speaks in the running container only: an image gets its driver when it starts."""
    root.fix("F1")
    driver = root.host(LIB + "/libcuda.so.1")
    os.unlink(driver)
    expect(not ids(check(root, []), "error"), "an image without a driver is called a fault")
    binds = [os.path.dirname(os.path.dirname(KVPATH)) + ":/kvpath"]
    live = lambda: ids(inside(root.path, "/kvpath/bin/kvpath", "check", "--json", "/", binds=binds).json(), "error")
    expect(live() == {"KV107", "KV612"}, f"without a driver the errors are {live()}")
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-Wl,-soname,libcuda.so.1", "-o", driver],
                   check=True)
    expect(live() == {"KV107", "KV612"}, f"with an empty stub the errors are {live()}")


def overlay(lower, at):
    for name in ("up", "work", "root"):
        os.makedirs(os.path.join(at, name))
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={at}/up,workdir={at}/work",
                    "overlay", at + "/root"], check=True)
    return at + "/root"


def main():
    if "KVPATH_RULES_NS" not in os.environ:
        os.environ["KVPATH_RULES_NS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--", sys.executable, *sys.argv])
    sources = {name: build("fabric", name) for name in ("F1", "F1b", "F2", "D13")}
    lower = build("container", "1.5.0")
    failed = 0
    cases = [(name, lambda r, c=case: run_case(r, *c)) for name, *case in CASES]
    cases.append(("KV107: in the running container alone", live_cases))
    with tempfile.TemporaryDirectory(prefix="rules-", dir=os.path.dirname(os.path.dirname(lower))) as work:
        # In memory: an overlay's upper layer has to be on another file system than an overlay.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "kvpath-rules", work], check=True)
        for n, (name, function) in enumerate(cases):
            at, start, failure = os.path.join(work, str(n)), time.monotonic(), None
            try:
                function(Root(overlay(lower, at), sources))
            except Failure as e:
                failure = str(e)
            subprocess.run(["umount", at + "/root"], check=True)
            shutil.rmtree(at)
            print(f"{'ok     ' if failure is None else 'not ok '} rules {name}  ({time.monotonic() - start:.1f} s)")
            for line in (failure or "").splitlines()[:40]:
                print("    # " + line[:400])
            sys.stdout.flush()
            failed += failure is not None
        subprocess.run(["umount", work], check=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
