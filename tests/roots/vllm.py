"""vllm.py: the agent that the real vLLM's NIXL connector makes where its argument names no backend.

Runs inside the container. The connector itself needs a GPU: this does with vLLM's own configuration and its own import of
NIXL what the connector does first (kv_connector/v1/nixl/base_worker.py). One JSON line on stdout.
"""
import json
import os
import sys

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
try:
    from vllm.config.kv_transfer import KVTransferConfig
    from vllm.distributed.nixl_utils import NixlWrapper, nixl_agent_config

    # What kvpath fix makes of the connector's own text is in sys.argv[1].
    config = KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")
    backends = config.get_from_extra_config("backends", eval(sys.argv[1]))  # pylint: disable=eval-used
    agent = NixlWrapper("kvpath-test", nixl_agent_config(backends=backends))
    with open("/proc/self/maps", encoding="ascii") as f:
        fabrics = sorted({line.split()[-1] for line in f if "libfabric.so" in line})
    answer = {"backends": sorted(agent.backends), "fabrics": fabrics, "error": None}
except Exception as e:  # pylint: disable=broad-exception-caught
    answer = {"backends": [], "fabrics": [], "error": f"{type(e).__name__}: {e}"}
print(json.dumps(answer), file=out, flush=True)
os._exit(0)
