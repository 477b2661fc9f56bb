#!/usr/bin/env python3
"""real_torch.py [TORCH NIXL...]: what the plugins load from once the real torch is imported, by kvpath and by the real loader.

TORCH is what pip is asked for (torch, torch==2.8.0), NIXL a version of the containers or nixl-cu12 1.4.1 as `cu12`: by
default the newest torch with 1.5.0 and 1.0.1, and 2.8.0, which is for CUDA 12, with that. Each container as it is, then
without any CUDA but torch's own, then repaired; there bytes are moved by prove as well. A torch and what it needs are
about 3 GB of downloads, 6 GB on the disk, kept in the cache. KVPATH names the program to test.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import MODULE, ROOTS, Failure, build, expect, inside, kvpath, same  # noqa: E402

SITE = "usr/local/lib/python3.11/dist-packages"
CACHE = os.environ.get("KVPATH_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "kvpath")


def installed(*specs):
    """A tree with these packages, and what they need, in the container's directory of packages. By uv: pip takes ten minutes."""
    at = os.path.join(CACHE, "real-" + re.sub(r"\W+", "-", " ".join(specs)))
    if not os.path.exists(at):
        shutil.rmtree(at + ".part", ignore_errors=True)
        venv.create(at + ".part/uv", with_pip=True)
        subprocess.run([at + ".part/uv/bin/pip", "install", "-q", "uv==0.13.9"], check=True)
        subprocess.run([at + ".part/uv/bin/uv", "pip", "install", "-q", "--no-cache", "--only-binary", ":all:", "--python-version", "3.11",
                        "--target", f"{at}.part/{SITE}", *specs], check=True)
        for name in ("numpy", "setuptools") if "torch" in specs[0] else ():  # the container has its own
            shutil.rmtree(f"{at}.part/{SITE}/{name}", ignore_errors=True)
        shutil.rmtree(at + ".part/uv")
        os.rename(at + ".part", at)
    return at


class Overlaid:
    """A tree laid over a container, for a while."""

    def __init__(self, tree, container, work):
        self.layers, self.work = f"{tree}:{container}", work

    def __enter__(self):
        for name in ("up", "work", "root"):
            os.makedirs(f"{self.work}/{name}")
        subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={self.layers},upperdir={self.work}/up,workdir={self.work}/work", "overlay",
                        self.work + "/root"], check=True)
        return self.work + "/root"

    def __exit__(self, *error):
        subprocess.run(["umount", self.work + "/root"], check=True)


def compare(root, module, what):
    """Every plugin, in a process that has imported torch."""
    real = inside(root, "python3", "-", f"torch+{module}", script="dlopen.py").ended(0).json()
    report = kvpath("check", "--json", root).json("kvpath.check/1")
    ours = {p["name"]: (p["loads"], p.get("error") or None) for n in report["nixl"] if n["active"] for p in n["plugins"]}
    for name, said in real.items():
        same(f"{what}: {name}", ours.get(name), (said["loads"], said["error"]))
    return len(real)


def take_cu12(root):
    for name in ("nixl_cu13", ".nixl_cu13.mesonpy.libs"):
        shutil.rmtree(f"{root}/{SITE}/{name}")
    wheel = subprocess.run(["bash", "-c", '. "$0/lib.sh"; wheel nixl-cu12 1.4.1', ROOTS], check=True, capture_output=True, text=True)
    subprocess.run(["unzip", "-qo", wheel.stdout.strip(), "-d", f"{root}/{SITE}"], check=True)


def run(torch, version, work):
    cu12 = version == "cu12"
    module = "nixl_cu12" if cu12 else MODULE
    with Overlaid(torch, build("container", "1.4.1" if cu12 else version), work) as root:
        if cu12:
            take_cu12(root)
        n = compare(root, module, "as it is")
        for path in glob.glob(f"{root}/usr/local/cuda*"):
            shutil.rmtree(path)
        inside(root, "ldconfig").ended(0)
        n += compare(root, module, "without CUDA")
        kvpath("fix", "--quiet", "--fabric", build("fabric", "F1") + "/opt/amazon/efa", root).ended(0)
        n += compare(root, module, "repaired")
        ran = kvpath("prove", "--quiet", "--mem", "dram", "--provider", "tcp", root).ended(0)
        expect("is mapped first" not in ran.err, "--quiet is not quiet", ran)
        return n


def main():
    spec, *versions = sys.argv[1:] or [None]
    failed = 0
    for spec, version in [(spec, v) for v in versions] or [("torch", "1.5.0"), ("torch", "1.0.1"), ("torch==2.8.0", "cu12")]:
        torch = installed(spec)
        name = os.path.basename(glob.glob(f"{torch}/{SITE}/torch-*.dist-info")[0])[:-len(".dist-info")]
        with tempfile.TemporaryDirectory(prefix="kvpath-torch-") as work:
            try:
                print(f"ok - {name}, NIXL {version}: {run(torch, version, work)} answers of the loader", flush=True)
            except Failure as e:
                failed += 1
                print(f"not ok - {name}, NIXL {version}", *str(e).splitlines(), sep="\n    ", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
