"""agent.py MODULE BACKEND: what the real NIXL of a container does with nixl_agent(backends=[BACKEND]).

With BACKEND "-" the agent is made without a configuration, as SGLang and others do. Runs inside the container. One JSON line on stdout; NIXL's own log, which has the loader's reason,
stays on stderr. MODULE:NAME takes that name of it too, as frameworks do; torch+MODULE imports torch first. NIXL up to 1.0.1 only warns: its agent then has no backend. The log is at INFO unless NIXL_LOG_LEVEL
says otherwise; "default" leaves the variable unset.
"""
import importlib
import json
import os
import sys


def main():
    module, backend = sys.argv[1:3]
    first, _, module = module.rpartition("+")
    module, _, name = module.partition(":")
    if os.environ.setdefault("NIXL_LOG_LEVEL", "INFO") == "default":
        del os.environ["NIXL_LOG_LEVEL"]
    # NIXL or a library of its may print on stdout: that line is ours.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer = {"instantiated": False, "backends": [], "mems": [], "error": None}
    try:
        if first:
            importlib.import_module(first)
        api = importlib.import_module(module + "._api")
        if name:
            getattr(api, name)
        config = [] if backend == "-" else [api.nixl_agent_config(backends=[backend])]
        agent = api.nixl_agent("kvpath-test", *config)
        answer["backends"] = sorted(agent.backends)
        answer["mems"] = [str(m) for m in agent.backend_mems.get(backend, [])]
        answer["instantiated"] = backend in agent.backends or backend == "-" and bool(agent.backends)
    except Exception as e:
        answer["error"] = f"{type(e).__name__}: {e}"
    print(json.dumps(answer), file=out, flush=True)
    # Progress threads of a backend may outlive the interpreter's end.
    os._exit(0)


main()
