#!/usr/bin/env python3
"""real_vllm.py: the real vLLM, as pip installs it with NIXL, before and after kvpath fix, and under kvpath run.

In the container, without any CUDA but what comes with torch: as it is, without the package nixl, repaired, and as it was under
`run` with a libfabric of the host's. Each time vLLM's own code makes its agent (tests/roots/vllm.py), and it must be what
kvpath said. About 4 GB of downloads, 10 GB on the disk, kept in the cache. KVPATH names the program to test.
"""
import ast
import glob
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import KVPATH, Failure, build, expect, inside, kvpath, same  # noqa: E402
from real_torch import SITE, Overlaid, installed  # noqa: E402

PROGRAM = os.path.dirname(os.path.dirname(KVPATH)) + ":/kvpath"
PACKAGES = ["vllm==0.33.0", "nixl[cu13]==1.5.0"]


def default_of(root):
    """What the connector takes where its argument names nothing: the text in its source."""
    with open(f"{root}/{SITE}/vllm/distributed/kv_transfer/kv_connector/v1/nixl/base_worker.py", encoding="utf-8") as f:
        for n in ast.walk(ast.parse(f.read())):
            if isinstance(n, ast.Call) and getattr(n.func, "attr", "") == "get_from_extra_config" and ast.unparse(n.args[0]) == "'backends'":
                return ast.unparse(n.args[1])
    raise Failure("the connector names no backends")


def agent(root, *before, **how):
    return inside(root, *before, "python3", "-", default_of(root), script="vllm.py", **how).ended(0).json()


def verdict(root):
    report = kvpath("check", "--json", root).json("kvpath.check/1")
    return report["verdict"], {f["id"] for f in report["findings"] if f["severity"] == "error"}


def cases(root):
    efa = build("fabric", "F1") + "/opt/amazon/efa"
    yield "as it is", lambda: (same("errors", verdict(root), ("off-fabric", {"KV101", "KV201"})), same("backends", ["UCX"], agent(root)["backends"]))
    yield "under run", lambda: same("backends", ["LIBFABRIC"], agent(root, "/kvpath/bin/kvpath", "run", "--",
                                                                     binds=[PROGRAM, f"{efa}:/opt/amazon/efa"])["backends"])

    def without_nixl():
        shutil.move(f"{root}/{SITE}/nixl", f"{root}/{SITE}/kept")
        expect("KV219" in verdict(root)[1], "no KV219")
        expect(agent(root)["error"], "vLLM makes an agent without nixl")
        shutil.move(f"{root}/{SITE}/kept", f"{root}/{SITE}/nixl")

    def repaired():
        kvpath("fix", "--quiet", "--fabric", efa, root).ended(0)
        same("verdict", verdict(root), ("ready", set()))
        got = agent(root)
        same("backends", ["LIBFABRIC"], got["backends"])
        same("libfabric", [glob.glob(f"{root}/opt/kvpath/fabric/libfabric.so.1.*")[0][len(root):]], got["fabrics"])
        kvpath("prove", "--quiet", "--mem", "dram", "--provider", "tcp", root).ended(0)

    yield "without the package nixl", without_nixl
    yield "repaired", repaired


def main():
    failed = 0
    tree = installed(*PACKAGES)
    with tempfile.TemporaryDirectory(prefix="kvpath-vllm-") as work, Overlaid(tree, build("container", "1.5.0"), work) as root:
        for path in glob.glob(f"{root}/usr/local/cuda*"):
            shutil.rmtree(path)
        inside(root, "ldconfig").ended(0)
        for name, case in cases(root):
            try:
                case()
                print(f"ok - {PACKAGES[0]}, {PACKAGES[1]}: {name}", flush=True)
            except Failure as e:
                failed += 1
                print(f"not ok - {name}", *str(e).splitlines(), sep="\n    ", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
