#!/usr/bin/env python3
"""frameworks.py [NAME[==VERSION]...]: whether check knows the serving frameworks that name NIXL's backend, in their real wheels.

By default the newest vLLM, SGLang and LMCache, and older ones that name it in another place or not at all. A release whose
source has moved is one that kvpath no longer sees: `not ok`. Downloads about 1 GB. KVPATH names the program to test.
"""
import json
import os
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import KVPATH, ROOTS  # noqa: E402

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
        good = bool(details) != (spec in SILENT)
        failed += not good
        print(f"{'ok' if good else 'not ok'} - {'-'.join(wheel.split('-')[:2])}: {'; '.join(details) or 'nothing said'}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
