"""nixl_loop.py MODULE BACKEND SIZE N [none] [quiet] [fresh]: NIXL's own Python API, as a serving process uses it, timed.

Runs inside a container: two agents in two processes, one request of one block with a notification,
posted N times, or for 3 s. As in `kvpath bench`, a transfer ends when the target has taken its notification,
which it says in memory that both share. With `none` the agents have no progress thread, which the
process's threads must bear out. With `quiet` no notification goes along, and a transfer ends when it is
complete for the initiator. With `fresh` each transfer makes its request, as SGLang does. Prints the mean time of a transfer, us.
"""
import ctypes
import importlib
import mmap
import os
import signal
import sys
import time

MODULE, BACKEND, SIZE, N = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
THREAD, QUIET, FRESH = "none" not in sys.argv[5:], "quiet" in sys.argv[5:], "fresh" in sys.argv[5:]
WARMUP, LONGEST_S = 20, 3
taken = ctypes.c_uint64.from_buffer(mmap.mmap(-1, 4096))


def unnamed_threads():
    """NIXL's has no name of its own; that of UCX has."""
    names = [open(f"/proc/self/task/{t}/comm", encoding="ascii").read() for t in os.listdir("/proc/self/task")]
    return sum(n != "async\n" for n in names)


def agent(name):
    api = importlib.import_module(MODULE + "._api")
    before = unnamed_threads()
    made = api.nixl_agent(name, api.nixl_agent_config(enable_prog_thread=THREAD, backends=[BACKEND]))
    if (unnamed_threads() > before) != THREAD:
        raise RuntimeError(f"a progress thread: asked for {THREAD}, and it is not so")
    region = (ctypes.c_char * SIZE)()
    base = ctypes.addressof(region)
    made.register_memory(made.get_reg_descs([(base, SIZE, 0, "")], "DRAM"))
    return made, region, base


def send(stream, data):
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream):
    return stream.read(int.from_bytes(stream.read(8), "little"))


def target(reads, writes):
    made, _region, base = agent("target")
    send(writes, made.get_agent_metadata())
    send(writes, base.to_bytes(8, "little"))
    receive(reads)
    while True:
        for messages in made.get_new_notifs().values():
            taken.value += len(messages)


def request(made, peer, base, far):
    here = made.get_xfer_descs([(base, SIZE, 0)], "DRAM")
    there = made.get_xfer_descs([(far, SIZE, 0)], "DRAM")
    return made.initialize_xfer("WRITE", here, there, peer, b"")


def initiator(reads, writes):
    made, _region, base = agent("initiator")
    peer = made.add_remote_agent(receive(reads))
    far = int.from_bytes(receive(reads), "little")
    handle = request(made, peer, base, far)
    send(writes, b"go")
    start = first = time.perf_counter()
    for i in range(WARMUP + N):
        if i == WARMUP:
            start = time.perf_counter()
        if i > WARMUP and time.perf_counter() - first > LONGEST_S:
            break
        done = i + 1
        if FRESH:
            made.release_xfer_handle(handle)
            handle = request(made, peer, base, far)
        state = made.transfer(handle) if QUIET else made.transfer(handle, b"kvpath bench")
        while state == "PROC":
            state = made.check_xfer_state(handle)
        if state != "DONE":
            raise RuntimeError(f"the transfer ended as {state}")
        while not QUIET and taken.value <= i:
            made.get_new_notifs()
    return (time.perf_counter() - start) / (done - WARMUP) * 1e6


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.alarm(60)
    to_target, to_initiator = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        target(os.fdopen(to_target[0], "rb"), os.fdopen(to_initiator[1], "wb"))
    mean = initiator(os.fdopen(to_initiator[0], "rb"), os.fdopen(to_target[1], "wb"))
    print(f"{mean:.3f}", file=out, flush=True)
    os.kill(child, signal.SIGKILL)
    os._exit(0)


main()
