"""metadata.py MODULE BACKEND DIR [PEER]: an agent of the real NIXL that leaves its metadata in DIR/VERSION, or hears of the one
whose metadata is DIR/PEER, as the other side of a job does. Runs inside the container; one JSON line on stdout, its log on stderr.
"""
import importlib
import importlib.metadata
import json
import os
import sys


def main():
    module, backend, directory, *peer = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    api = importlib.import_module(module + "._api")
    version = importlib.metadata.version(module.replace("_", "-"))
    error = None
    agent = api.nixl_agent("peer" if peer else version, api.nixl_agent_config(backends=[backend]))
    if peer:
        with open(os.path.join(directory, peer[0]), "rb") as f:
            try:
                agent.add_remote_agent(f.read())
            except Exception as e:
                error = f"{type(e).__name__}: {e}"
    else:
        with open(os.path.join(directory, version), "wb") as f:
            f.write(agent.get_agent_metadata())
    print(json.dumps({"error": error}), file=out, flush=True)
    os._exit(0)


main()
