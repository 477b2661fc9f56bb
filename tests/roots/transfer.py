"""transfer.py MODULE BACKEND [SECONDS]: does the real NIXL of a container carry bytes?

Runs inside the container: two agents in two processes, in each one registered region, as a KV cache
is; the first writes blocks of its region to other offsets of the second's, again and again for SECONDS
where they are given. One JSON line on stdout:
{"intact": bool, "wrong": N, "error": TEXT}.
"""
import ctypes
import importlib
import json
import os
import signal
import sys
import time

BLOCKS, SIZE = 8, 256 * 1024
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 0
DEADLINE_S = int(os.environ.get("KVPATH_DEADLINE_S", "30"))


def agent(module, backend, name):
    api = importlib.import_module(module + "._api")
    made = api.nixl_agent(name, api.nixl_agent_config(backends=[backend]))
    region = (ctypes.c_char * (BLOCKS * SIZE))()
    base = ctypes.addressof(region)
    made.register_memory(made.get_reg_descs([(base, BLOCKS * SIZE, 0, "")], "DRAM"))
    return made, region, base


def blocks(made, base, order):
    return made.get_xfer_descs([(base + i * SIZE, SIZE, 0) for i in order], "DRAM")


def pattern(i):
    return bytes((i * 37 + k * 11 + 5) % 251 for k in range(SIZE // 64)) * 64


def send(stream, data):
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream):
    return stream.read(int.from_bytes(stream.read(8), "little"))


def target(module, backend, reads, writes):
    made, region, base = agent(module, backend, "target")
    send(writes, made.get_agent_metadata())
    send(writes, base.to_bytes(8, "little"))
    receive(reads)
    # A one-sided write may still be on its way when the writer is told that it is done.
    for _ in range(100):
        wrong = sum(region.raw[(BLOCKS - 1 - i) * SIZE:(BLOCKS - i) * SIZE] != pattern(i)
                    for i in range(BLOCKS))
        if not wrong:
            break
        time.sleep(0.02)
    send(writes, str(wrong).encode())


def initiator(module, backend, reads, writes):
    made, region, base = agent(module, backend, "initiator")
    for i in range(BLOCKS):
        ctypes.memmove(base + i * SIZE, pattern(i), SIZE)
    peer = made.add_remote_agent(receive(reads))
    far = int.from_bytes(receive(reads), "little")
    here = blocks(made, base, range(BLOCKS))
    there = blocks(made, far, reversed(range(BLOCKS)))
    handle = made.initialize_xfer("WRITE", here, there, peer, b"")
    end = time.monotonic() + SECONDS
    while True:
        state = made.transfer(handle)
        while state == "PROC":
            time.sleep(0.001)
            state = made.check_xfer_state(handle)
        if state != "DONE":
            raise RuntimeError(f"the transfer ended as {state}")
        if time.monotonic() >= end:
            break
    send(writes, b"done")
    wrong = int(receive(reads))
    return {"intact": wrong == 0, "wrong": wrong, "error": None}


def main():
    module, backend = sys.argv[1:3]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.alarm(DEADLINE_S)
    to_target, to_initiator = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(DEADLINE_S)
        target(module, backend, os.fdopen(to_target[0], "rb"), os.fdopen(to_initiator[1], "wb"))
        time.sleep(0.5)
        os._exit(0)
    os.close(to_target[0])
    os.close(to_initiator[1])
    try:
        answer = initiator(module, backend, os.fdopen(to_initiator[0], "rb"),
                           os.fdopen(to_target[1], "wb"))
    except Exception as e:
        answer = {"intact": False, "wrong": None, "error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer), file=out, flush=True)
    os._exit(0)


main()
