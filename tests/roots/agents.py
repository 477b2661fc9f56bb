"""agents.py MODULE STEPS: a worker of the real NIXL that makes agents one after the other, as a framework that falls back does.

STEPS is JSON, [[BACKEND, ...], ...]; each makes an agent with these backends, a failure does not keep the next one from being
tried. Runs inside the container. One JSON line on stdout, [[the backends that each agent has], ...]; the log stays on stderr.
"""
import importlib
import json
import os
import sys


def main():
    module, steps = sys.argv[1], json.loads(sys.argv[2])
    if os.environ.get("NIXL_LOG_LEVEL") == "default":
        del os.environ["NIXL_LOG_LEVEL"]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    api = importlib.import_module(module + "._api")
    made, kept = [], []
    for n, backends in enumerate(steps):
        try:
            kept.append(api.nixl_agent(f"worker-{n}", api.nixl_agent_config(backends=backends)))
            made.append(sorted(kept[-1].backends))
        except Exception as e:
            print(f"{type(e).__module__}.{type(e).__name__}: {e}", file=sys.stderr, flush=True)
            made.append([])
    print(json.dumps(made), file=out, flush=True)
    os._exit(0)


main()
