#!/usr/bin/env python3
"""real_frameworks.py [NAME...]: the real vLLM and SGLang, as users install them with NIXL, before and after kvpath fix, and under run.

In the container, without any CUDA but what comes with torch: as it is, as it is under `run` with a libfabric of the host's,
without the package nixl, and repaired. Each time the framework's own code makes its agent (tests/roots/framework.py), and it
must be what kvpath said. Each is about 4 GB of downloads, 10 GB on the disk, kept in the cache. KVPATH names the program to test.
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
NIXL = "nixl[cu13]==1.5.0"
SPECS = {"vllm": "vllm==0.33.0", "sglang": "sglang==0.5.23"}


def vllm_default(root):
    """What vLLM's connector takes where its argument names nothing: the text in its source."""
    with open(f"{root}/{SITE}/vllm/distributed/kv_transfer/kv_connector/v1/nixl/base_worker.py", encoding="utf-8") as f:
        for n in ast.walk(ast.parse(f.read())):
            if isinstance(n, ast.Call) and getattr(n.func, "attr", "") == "get_from_extra_config" and ast.unparse(n.args[0]) == "'backends'":
                return ast.unparse(n.args[1])
    raise Failure("the connector names no backends")


class Trial:
    def __init__(self, name, root):
        self.name, self.root = name, root
        self.efa = build("fabric", "F1") + "/opt/amazon/efa"

    def agent(self, *before, **how):
        words = [self.name] + ([vllm_default(self.root)] if self.name == "vllm" else [])
        return inside(self.root, *before, "python3", "-", *words, script="framework.py", **how).ended(0).json()

    def check(self):
        report = kvpath("check", "--json", self.root).json("kvpath.check/1")
        return report["verdict"], {f["id"] for f in report["findings"] if f["severity"] == "error"}

    def as_it_is(self):
        same("errors", self.check(), ("off-fabric", {"KV101", "KV201"}))
        same("backends", ["UCX"], self.agent()["backends"])

    def under_run(self):
        made = self.agent("/kvpath/bin/kvpath", "run", "--", binds=[PROGRAM, self.efa + ":/opt/amazon/efa"])
        same("backends", ["LIBFABRIC"], made["backends"])

    def without_nixl(self):
        shutil.move(f"{self.root}/{SITE}/nixl", f"{self.root}/{SITE}/kept")
        expect("KV219" in self.check()[1], "no KV219")
        expect("nixl" in (self.agent()["error"] or "") or not self.agent()["backends"], "it makes an agent without nixl")
        shutil.move(f"{self.root}/{SITE}/kept", f"{self.root}/{SITE}/nixl")

    def repaired(self):
        kvpath("fix", "--quiet", "--fabric", self.efa, self.root).ended(0)
        same("verdict", self.check(), ("ready", set()))
        made = self.agent()
        same("backends", ["LIBFABRIC"], made["backends"])
        same("libfabric", [path[len(self.root):] for path in glob.glob(f"{self.root}/opt/kvpath/fabric/libfabric.so.1.*")], made["fabrics"])
        kvpath("prove", "--quiet", "--mem", "dram", "--provider", "tcp", self.root).ended(0)


def main():
    failed = 0
    for name in sys.argv[1:] or SPECS:
        tree = installed(SPECS[name], NIXL)
        with tempfile.TemporaryDirectory(prefix="kvpath-real-") as work, Overlaid(tree, build("container", "1.5.0"), work) as root:
            for path in glob.glob(f"{root}/usr/local/cuda*"):
                shutil.rmtree(path)
            inside(root, "ldconfig").ended(0)
            trial = Trial(name, root)
            for case in (trial.as_it_is, trial.under_run, trial.without_nixl, trial.repaired):
                try:
                    case()
                    print(f"ok - {SPECS[name]}, {NIXL}: {case.__name__.replace('_', ' ')}", flush=True)
                except Failure as e:
                    failed += 1
                    print(f"not ok - {SPECS[name]}: {case.__name__.replace('_', ' ')}", *str(e).splitlines(), sep="\n    ", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
