"""batch.py: runs many commands inside a container, as entering it for each would take far longer.

Reads a JSON array of {"argv": [...], "env": {...}, "cwd": "/",
"stdin": "/dev/null"} from stdin; prints one of {"status", "out",
"err"} in the same order. Each command is a process of its own with a clean environment, no input
and a time limit; status is negative for a signal, null where the limit was reached.
"""
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

LIMIT_S = 30


def run(case):
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/root", **case["env"]}
    # A working directory that the model knows: it is where container tasks start.
    try:
        with open(case.get("stdin", os.devnull), "rb") as stdin:
            p = subprocess.run(case["argv"], env=env, cwd=case.get("cwd", "/"), stdin=stdin,
                               capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"status": None, "out": "", "err": ""}
    except OSError as e:
        return {"status": 127, "out": "", "err": str(e)}
    return {"status": p.returncode, "out": p.stdout.decode(errors="surrogateescape"),
            "err": p.stderr.decode(errors="surrogateescape")}


with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
    json.dump(list(pool.map(run, json.load(sys.stdin))), sys.stdout)
