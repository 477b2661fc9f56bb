#!/usr/bin/env python3
"""frameworks.py [NAME[==VERSION]...]: whether check knows the serving frameworks that name NIXL's backend, in their real wheels.

By default the newest vLLM, SGLang and LMCache, and older ones that name it in another place or not at all. A release whose
source has moved is one that kvpath no longer sees: `not ok`. Of vLLM also its files are repaired, and the module that has
its default is run under the import hook of kvpath run; what it imports from the rest, which needs torch, is a stand-in.
Downloads about 1 GB. KVPATH names the program to test.
"""
import ast
import json
import os
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import KVPATH, ROOTS, TOP  # noqa: E402

NAMES = {"vllm": "vLLM", "sglang": "SGLang", "lmcache": "LMCache"}
WHEELS = ["vllm", "vllm==0.20.0", "vllm==0.12.0", "sglang", "sglang==0.5.9", "sglang==0.5.2", "lmcache", "lmcache==0.3.9"]
SILENT = ["sglang==0.5.2"]  # makes its agent by NIXL's default
SITE = "/usr/local/lib/python3.11/dist-packages"


def unpack(wheel, directory):
    """The python text of a wheel."""
    with zipfile.ZipFile(wheel) as z:
        z.extractall(directory, [n for n in z.namelist() if n.endswith(".py")])


def named(container, package, directory):
    """What check says of the frameworks, with the package mounted where the container's python finds it."""
    out = subprocess.run([KVPATH, "check", "--json", "--mount", f"{directory}/{package}:{SITE}/{package}", container],
                         capture_output=True, text=True)
    if out.returncode not in (0, 1):
        sys.exit(f"kvpath check ended with {out.returncode}: {out.stderr}")
    return [f["detail"] for f in json.loads(out.stdout)["findings"] if f["id"] == "KV201" and NAMES[package] in f["detail"]]


WORKER = """
from vllm.config.kv_transfer import KVTransferConfig
config = object.__new__(KVTransferConfig)
config.kv_connector_extra_config = {}
print(config.get_from_extra_config("backends", ["UCX"]), config.get_from_extra_config("other", ["UCX"]))
config.kv_connector_extra_config["backends"] = ["X"]
print(config.get_from_extra_config("backends", ["UCX"]))
"""


def hooked(directory, work):
    """What vLLM's own class says under the import hook."""
    place = os.path.join(work, "stand-in", "vllm")
    for name, text in (("__init__", ""), ("config/__init__", ""), ("utils/__init__", ""),
                       ("config/utils", "def config(c=None, **kw):\n    return c or config\n"),
                       ("utils/hashing", "def safe_hash(*args, **kw):\n    raise NotImplementedError\n")):
        os.makedirs(os.path.dirname(os.path.join(place, name)), exist_ok=True)
        with open(os.path.join(place, name + ".py"), "w", encoding="utf-8") as f:
            f.write(text)
    os.rename(f"{directory}/vllm/config/kv_transfer.py", f"{place}/config/kv_transfer.py")
    hook = os.path.join(TOP, "src", "launch")
    return subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": f"{hook}:{os.path.dirname(place)}", "KVPATH_BACKEND": "LIBFABRIC"})


def repaired(container, directory, work):
    """What vLLM's files take unasked once kvpath fix was there: in a copy of the container, by python's own parser."""
    copy = os.path.join(work, "container")
    subprocess.run(["cp", "-a", container, copy], check=True)
    subprocess.run(["cp", "-r", f"{directory}/vllm", f"{copy}{SITE}/"], check=True)
    fabric = subprocess.run([os.path.join(ROOTS, "fabric"), "F1"], check=True, capture_output=True, text=True).stdout.strip()
    out = subprocess.run([KVPATH, "fix", "--fabric", f"{fabric}/opt/amazon/efa", copy], capture_output=True, text=True)
    found = []
    for at, _, files in os.walk(f"{copy}{SITE}/vllm/distributed/kv_transfer"):
        for name in files:
            with open(os.path.join(at, name), encoding="utf-8") as f:
                tree = ast.parse(f.read())
            found += [ast.unparse(n.args[1]) for n in ast.walk(tree) if isinstance(n, ast.Call) and len(n.args) == 2
                      and getattr(n.func, "attr", "") == "get_from_extra_config" and ast.unparse(n.args[0]) == "'backends'"]
    os.environ.pop("NIXL_BACKEND", None)
    # pylint: disable-next=eval-used # what kvpath wrote
    wrong = [text for text in found if eval(text) != ["LIBFABRIC"]]
    return None if not out.returncode and found and not wrong else f"after fix (status {out.returncode}): {wrong or found} {out.stderr}"


def main():
    container = subprocess.run([os.path.join(ROOTS, "container"), "1.5.0"], check=True, capture_output=True, text=True).stdout.strip()
    failed = 0
    for spec in sys.argv[1:] or WHEELS:
        package = spec.split("=")[0]
        with tempfile.TemporaryDirectory() as work:
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "--only-binary", ":all:",
                            "-d", work, spec], check=True)
            wheel = next(n for n in os.listdir(work) if n.endswith(".whl"))
            unpack(os.path.join(work, wheel), work)
            details = named(container, package, work)
            after = repaired(container, work, work) if package == "vllm" else None
            run = hooked(work, work) if package == "vllm" else None
        good = bool(details) != (spec in SILENT)
        if after:
            good = False
            details.append(after)
        if run and (run.returncode or run.stdout != "['LIBFABRIC'] ['UCX']\n['X']\n"):
            good = False
            details.append(f"under the hook: {run.stdout}{run.stderr}")
        failed += not good
        print(f"{'ok' if good else 'not ok'} - {'-'.join(wheel.split('-')[:2])}: {'; '.join(details) or 'nothing said'}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
