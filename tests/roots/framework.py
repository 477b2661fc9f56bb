"""framework.py vllm EXPRESSION | sglang: the agent that the real framework makes where nobody names a backend.

Runs inside the container. Their connectors need a GPU: this does, with the framework's own configuration and imports, what
they do first: vLLM kv_connector/v1/nixl/base_worker.py, whose default is EXPRESSION, as its text has it; SGLang
disaggregation/nixl/conn.py. One JSON line on stdout.
"""
import json
import os
import sys


def vllm():
    from vllm.config.kv_transfer import KVTransferConfig
    from vllm.distributed.nixl_utils import NixlWrapper, nixl_agent_config

    config = KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")
    backends = config.get_from_extra_config("backends", eval(sys.argv[2]))  # pylint: disable=eval-used
    return NixlWrapper("kvpath-test", nixl_agent_config(backends=backends))


def sglang():
    import sglang.srt.disaggregation.nixl.conn  # pylint: disable=unused-import # what it maps
    from nixl._api import nixl_agent, nixl_agent_config, nixl_thread_sync_t
    from sglang.srt.environ import envs

    made = nixl_agent("kvpath-test", nixl_agent_config(backends=[], sync_mode=nixl_thread_sync_t.NIXL_THREAD_SYNC_STRICT))
    made.create_backend(envs.SGLANG_DISAGGREGATION_NIXL_BACKEND.get(), {})
    return made


out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
try:
    agent = {"vllm": vllm, "sglang": sglang}[sys.argv[1]]()
    with open("/proc/self/maps", encoding="ascii") as f:
        fabrics = sorted({line.split()[-1] for line in f if "libfabric.so" in line})
    answer = {"backends": sorted(agent.backends), "fabrics": fabrics, "error": None}
except Exception as e:  # pylint: disable=broad-exception-caught
    answer = {"backends": [], "fabrics": [], "error": f"{type(e).__name__}: {e}"}
print(json.dumps(answer), file=out, flush=True)
os._exit(0)
