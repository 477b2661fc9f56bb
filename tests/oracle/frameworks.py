#!/usr/bin/env python3
"""frameworks.py [NAME[==VERSION]...]: whether check knows the serving frameworks that name NIXL's backend, in their real wheels.

By default the newest vLLM, SGLang, LMCache and Dynamo's kvbm, and older ones that name it in another place or not at all. A release whose
source has moved is one that kvpath no longer sees: `not ok`. Of vLLM also its files are repaired, and the module that has
its default is run under the import hook of kvpath run; what it imports from the rest, which needs torch, is a stand-in.
Those that import `nixl` must miss it in a container without that package, and vLLM's own check of its version, where it has
one, must say of two releases what kvpath says (KV219). So must python's import of kvbm, whose module is linked to libnixl.so.
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
from oracle import KVPATH, ROOTS, TOP, build, inside  # noqa: E402

IMPORT_NIXL = ["vllm", "sglang", "kvbm"]
NAMES = {"vllm": "vLLM", "sglang": "SGLang", "lmcache": "LMCache", "kvbm": "Dynamo's block manager", "modelexpress": "ModelExpress"}
WHEELS = ["vllm", "vllm==0.20.0", "vllm==0.12.0", "sglang", "sglang==0.5.9", "sglang==0.5.2", "lmcache", "lmcache==0.3.9", "kvbm", "kvbm==1.2.1", "modelexpress"]
SILENT = ["sglang==0.5.2"]  # makes its agent by NIXL's default; kvbm by variables
SITE = "/usr/local/lib/python3.11/dist-packages"


def unpack(wheel, directory):
    """The python text of a wheel, and kvbm's own module."""
    with zipfile.ZipFile(wheel) as z:
        z.extractall(directory, [n for n in z.namelist() if n.endswith((".py", "/_core.abi3.so"))])


def said(container, package, directory, id, *beside):
    """What check says of a framework, with the package mounted where the container's python finds it, and others beside it."""
    mounts = [f"{path}:{SITE}/{os.path.basename(path)}" for path in (f"{directory}/{package}", *beside)]
    out = subprocess.run([KVPATH, "check", "--json", *[w for m in mounts for w in ("--mount", m)], container],
                         capture_output=True, text=True)
    if out.returncode not in (0, 1):
        sys.exit(f"kvpath check ended with {out.returncode}: {out.stderr}")
    return [f["detail"] for f in json.loads(out.stdout)["findings"] if f["id"] == id and NAMES[package] in f["detail"]]


def metapackage(version, work):
    """The directory with the package nixl of that version."""
    wheel = subprocess.run(["bash", "-c", '. "$0/lib.sh"; wheel nixl "$1" any', ROOTS, version], check=True, capture_output=True,
                           text=True).stdout.strip()
    at = os.path.join(work, "nixl-" + version)
    with zipfile.ZipFile(wheel) as z:
        z.extractall(at)
    return at


def imports(directory, work):
    """Where python, beside NIXLs of two releases, and kvpath differ about kvbm."""
    wrong = []
    for version in ("1.0.1", "1.5.0"):
        container, meta = build("container", version), metapackage(version, work)
        ours = said(container, "kvbm", directory, "KV219", meta + "/nixl")
        real = inside(container, "sh", "-c", f"cp -r /opt/beside/* /opt/meta/* {SITE}/ && exec python3 -c 'import kvbm'",
                      binds=[f"{directory}/kvbm:/opt/beside/kvbm", meta + ":/opt/meta"])
        error = real.err.strip().rpartition("ImportError: ")[2]
        if bool(ours) != bool(real.status) or (ours and not ours[0].endswith(error)):
            wrong.append(f"beside NIXL {version}: {ours or 'nothing said'}, python: {error or 'imports it'}")
    return wrong


VERSION = """
import ast, functools, sys
import pip._vendor.packaging, pip._vendor.packaging.version
sys.modules.update({"packaging": pip._vendor.packaging, "packaging.version": pip._vendor.packaging.version})
with open(sys.argv[1] + "/vllm/distributed/nixl_utils.py", encoding="utf-8") as f:
    tree = ast.parse(f.read())
names = {"functools": functools, "_get_nixl_package_name": lambda: "nixl"}
exec(compile(ast.Module([n for n in tree.body if getattr(n, "name", "") == "check_nixl_version"], []), "vllm", "exec"), names)
sys.path.insert(0, sys.argv[2])
names["check_nixl_version"](sys.argv[3])
"""


def least(directory):
    """The version of the package nixl that vLLM's connector asks for; None."""
    for at, _, files in os.walk(f"{directory}/vllm/distributed/kv_transfer"):
        for name in files:
            with open(os.path.join(at, name), encoding="utf-8") as f:
                for n in ast.walk(ast.parse(f.read())):
                    if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "check_nixl_version":
                        return n.args[0].value
    return None


def versions(container, directory, work):
    """Where vLLM's own check of the version and kvpath differ."""
    asked, wrong = least(directory), []
    for version in ("1.4.1", "1.5.0"):
        at = metapackage(version, work)
        ours = said(container, "vllm", directory, "KV219", f"{at}/nixl", f"{at}/nixl-{version}.dist-info")
        real = asked and subprocess.run([sys.executable, "-c", VERSION, directory, at, asked], capture_output=True, text=True)
        refuses = bool(real and "RuntimeError: NIXL >= " in real.stderr)
        if bool(ours) != refuses or (real and real.returncode != refuses):
            wrong.append(f"nixl {version}: {ours or 'nothing said'}, vLLM: {real.stderr if real else 'asks for none'}")
    return wrong


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
            details = said(container, package, work, "KV201")
            missed = said(container, package, work, "KV219")
            wrong = versions(container, work, work) if package == "vllm" else imports(work, work) if package == "kvbm" else []
            after = repaired(container, work, work) if package == "vllm" else None
            run = hooked(work, work) if package == "vllm" else None
        good = bool(details) != (spec in SILENT or package == "kvbm")
        if (package in IMPORT_NIXL) != bool(missed):
            wrong.append(f"without the package nixl: {missed or 'nothing said'}")
        if wrong:
            good = False
            details += wrong
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
