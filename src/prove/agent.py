"""What kvpath-probe does in C, for wheels without libnixl_capi.so: two agents in two processes.

Given to the target's python with -c. Prints the same JSON object (kvpath.probe/1). Both processes are
forked before NIXL is imported; each tells its steps over a pipe, so that a killed one has still told them.
"""
import argparse
import json
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys
import time

GUARD, GUARD_BYTE, MAX_DESCS = 256, 0x5A, 16
NOTIF = b"kvpath-probe: all sent"
FLIP = bytes(b ^ 0xFF for b in range(256))


class Failed(Exception):
    """(cause, text)"""


def layout(total):
    """Pieces (offset, length, place in the payload) with guard bytes between, and the buffer's size."""
    n, pieces, off, at = min(total, MAX_DESCS), [], GUARD, 0
    for i in range(n):
        length = total // n + (i < total % n)
        pieces.append((off, length, at))
        at += length
        off += (length + GUARD - 1) // GUARD * GUARD + GUARD
    return pieces, off


class Cuda:
    """The driver API by ctypes: torch need not be there."""

    def __init__(self, gpu):
        import ctypes

        self.c = ctypes
        try:
            self.lib = ctypes.CDLL("libcuda.so.1")
        except OSError as e:
            raise Failed("environment", "no GPU memory here: %s" % e)
        ctx, count, dev = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        self.call("cuInit", 0)
        self.call("cuDeviceGetCount", ctypes.byref(count))
        if gpu >= count.value:
            raise Failed("environment", "GPU %d was asked for, %d are visible here" % (gpu, count.value))
        self.call("cuDeviceGet", ctypes.byref(dev), gpu)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(ctx), dev)
        self.call("cuCtxSetCurrent", ctx)

    def call(self, name, *args):
        try:
            r = getattr(self.lib, name)(*args)
        except AttributeError as e:
            raise Failed("environment", "libcuda.so.1 is no real driver library: %s" % e)
        if r:
            why = "CUDA_ERROR_NO_DEVICE (100): no GPU is visible here, so --mem vram cannot be tried"
            raise Failed("environment", "%s: %s" % (name, why if r == 100 else "CUDA error (%d)" % r))

    def alloc(self, n):
        addr = self.c.c_uint64()
        self.call("cuMemAlloc_v2", self.c.byref(addr), self.c.c_size_t(n))
        return addr.value

    def write(self, addr, data):
        self.call("cuMemcpyHtoD_v2", self.c.c_uint64(addr), data, self.c.c_size_t(len(data)))
        self.call("cuCtxSynchronize")

    def read(self, addr, n):
        data = self.c.create_string_buffer(n)
        self.call("cuMemcpyDtoH_v2", data, self.c.c_uint64(addr), self.c.c_size_t(n))
        return data.raw


class Memory:
    def __init__(self, plan):
        self.plan, self.gpu, self.dev = plan, None, 0
        self.pieces, self.total = layout(plan.bytes)
        rng, mib = random.Random(plan.seed), 1 << 20
        # In pieces: randbytes itself ends at 256 MiB.
        self.payload = b"".join(rng.randbytes(min(mib, plan.bytes - i)) for i in range(0, plan.bytes, mib))
        if plan.mem == "vram":
            self.dev, self.gpu = plan.gpu, Cuda(plan.gpu)
            self.addr = self.gpu.alloc(self.total)
        else:
            import ctypes

            self.map = mmap.mmap(-1, self.total)
            self.addr = ctypes.addressof(ctypes.c_char.from_buffer(self.map))

    def fill(self, source):
        """The seeded pattern, or its complement, so that every single byte has to change."""
        data = self.payload if source else self.payload.translate(FLIP)
        buf = bytearray([GUARD_BYTE]) * self.total
        for off, length, at in self.pieces:
            buf[off : off + length] = data[at : at + length]
        if self.gpu:
            return self.gpu.write(self.addr, bytes(buf))
        self.map[:] = bytes(buf)

    def check(self):
        buf = self.gpu.read(self.addr, self.total) if self.gpu else self.map[:]
        end = 0
        for i, (off, length, at) in enumerate(self.pieces):
            have, want = buf[off : off + length], self.payload[at : at + length]
            if have != want:
                wrong = [k for k in range(length) if have[k] != want[k]]
                text = "descriptor %d: %d of %d bytes are wrong, the first at offset %d"
                raise Failed("corrupt", text % (i, len(wrong), length, wrong[0]))
        for off, length, _ in self.pieces + [(self.total, 0, 0)]:
            if buf[end:off].strip(bytes([GUARD_BYTE])):
                text = "a byte outside the %d descriptors was written, between offsets %d and %d"
                raise Failed("corrupt", text % (len(self.pieces), end, off))
            end = off + length

    def descs(self, base, dev):
        return [(base + off, length, dev) for off, length, _ in self.pieces]

    def registrations(self):
        whole = [(self.addr, self.total, self.dev)]
        return [d + ("",) for d in (whole if self.plan.register == "whole" else self.descs(*whole[0][::2]))]


class Link:
    """Length-prefixed frames between the two agents."""

    def __init__(self, sock, plan):
        self.sock, self.plan = sock, plan

    def send(self, data=b""):
        try:
            self.sock.sendall(struct.pack("=I", len(data)) + data)
        except OSError as e:
            raise Failed("peer", "send to the other agent: %s" % e)

    def ready(self, seconds):
        return bool(select.select([self.sock], [], [], seconds)[0])

    def take(self, n):
        data = b""
        while len(data) < n:
            left = self.plan.end - time.monotonic()
            if left <= 0 or not self.ready(left):
                raise Failed("deadline", "the other agent did not answer in time")
            part = self.sock.recv(n - len(data))
            if not part:
                raise Failed("peer", "the other agent ended")
            data += part
        return data

    def recv(self):
        return self.take(struct.unpack("=I", self.take(4))[0])


class Agent:
    def __init__(self, plan, role, link, report):
        self.plan, self.role, self.link, self.report = plan, role, link, report
        self.call = ""

    def do(self, name, fn, *args):
        """A call into NIXL: its name is told before, whatever it raises is NIXL's failure."""
        self.doing(name)
        try:
            return fn(*args)
        except Exception as e:
            raise Failed("nixl", "%s: %s: %s" % (name, type(e).__name__, e))

    def doing(self, name):
        if name != self.call:
            self.call = name
            self.report(doing=name)

    def open(self):
        import importlib

        if self.plan.dir:
            sys.path.insert(0, self.plan.dir)
        backend, name = self.plan.backend, "kvpath-" + self.role
        api = self.do("import " + self.plan.module, importlib.import_module, self.plan.module + "._api")
        self.nixl = self.do("nixl_agent", lambda: api.nixl_agent(name, api.nixl_agent_config(backends=[])))
        # NIXL <= 1.0.1 opened every plugin by now, later ones open it here.
        params = self.do("get_plugin_params", self.nixl.get_plugin_params, backend)
        if backend not in self.nixl.plugin_b_options:
            raise Failed("nixl", "get_plugin_params: plugin %s is not available" % backend)
        self.report(step="loads")
        self.do("create_backend", self.nixl.create_backend, backend, dict(params))
        self.report(step="instantiates")

    def register(self, mem):
        self.mem, kind = mem, self.plan.mem.upper()
        mem.fill((self.role == "initiator") != (self.plan.op == "read"))
        args = (mem.registrations(), kind, [self.plan.backend])
        regs = self.do("register_memory", self.nixl.register_memory, *args)
        if regs is None:
            raise Failed("nixl", "register_memory refused the descriptors")
        self.report(step="registers")

    def hello(self):
        md = self.do("get_agent_metadata", self.nixl.get_agent_metadata)
        self.link.send(struct.pack("=QQ", self.mem.addr, self.mem.dev) + md)

    def meet(self):
        if self.role == "initiator":
            self.hello()
        self.doing("the wait for the other agent's metadata")
        data = self.link.recv()
        self.peer_mem = struct.unpack("=QQ", data[:16])
        peer = self.do("add_remote_agent", self.nixl.add_remote_agent, data[16:])
        self.peer = peer.decode() if isinstance(peer, bytes) else peer
        if self.role == "target":
            self.hello()
        self.doing("the wait for the other agent to be ready")
        self.link.send()
        self.link.recv()

    def notified(self):
        notifs = self.do("get_new_notifs", self.nixl.get_new_notifs)
        return any(NOTIF in texts for texts in notifs.values())

    def serve(self):
        while not self.notified():
            if time.monotonic() > self.plan.end:
                raise Failed("deadline", "no notification came in time")
            if self.link.ready(0.001):
                self.link.recv()
                raise Failed("peer", "the initiator gave up")
        self.report(step="completed")
        self.report(step="notified")
        self.doing("the check of the bytes")
        if self.plan.op == "write":
            self.mem.check()
        self.report(step="intact")
        self.link.send()
        self.link.recv()

    def move(self):
        kind = self.plan.mem.upper()
        ends = ((self.mem.addr, self.mem.dev), self.peer_mem)
        local, remote = [self.nixl.get_xfer_descs(self.mem.descs(*end), kind) for end in ends]
        args = (self.plan.op.upper(), local, remote, self.peer, NOTIF, [self.plan.backend])
        req = self.do("initialize_xfer", self.nixl.initialize_xfer, *args)
        start = time.monotonic()
        state = self.do("transfer", self.nixl.transfer, req)
        while state == "PROC":
            if time.monotonic() > self.plan.end:
                raise Failed("deadline", "check_xfer_state still says PROC")
            state = self.do("check_xfer_state", self.nixl.check_xfer_state, req)
        if state != "DONE":
            raise Failed("nixl", "check_xfer_state: %s" % state)
        self.report(elapsed_us=int((time.monotonic() - start) * 1e6))
        self.report(step="completed")
        while not self.link.ready(0.001) and time.monotonic() < self.plan.end:
            self.do("get_new_notifs", self.nixl.get_new_notifs)
        self.link.recv()
        self.report(step="notified")
        self.doing("the check of the bytes")
        if self.plan.op == "read":
            self.mem.check()
        self.report(step="intact")
        self.do("release_xfer_handle", self.nixl.release_xfer_handle, req)
        self.link.send()

    def run(self):
        # Without a GPU a loading backend is still worth knowing: that failure waits until NIXL was asked.
        mem, no_memory = None, None
        try:
            mem = Memory(self.plan)
        except Failed as e:
            no_memory = e
        self.open()
        if no_memory:
            raise no_memory
        self.register(mem)
        self.meet()
        (self.serve if self.role == "target" else self.move)()


def child(plan, role, sock, fd):
    signal.alarm(int(plan.deadline) + 5)
    os.dup2(2, 1)  # NIXL's python logger prints on stdout, which is for the report alone

    def report(**event):
        os.write(fd, json.dumps(event).encode() + b"\n")

    agent = Agent(plan, role, Link(sock, plan), report)
    try:
        agent.run()
    except Failed as e:
        report(cause=e.args[0], call=agent.call, error=" ".join(e.args[1].split()))
    except Exception as e:
        report(cause="environment", call=agent.call, error="%s: %s" % (type(e).__name__, e))
    report(done=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # no destructors of half-torn-down plugins; nothing is left to be done


class Child:
    def __init__(self, plan, role, socks):
        self.role, self.steps, self.info, self.text = role, set(), {}, b""
        self.fd, fd = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.fd)
            socks["initiator" if role == "target" else "target"].close()
            child(plan, role, socks[role], fd)
        os.close(fd)

    def read(self):
        """False at the end of the pipe."""
        part = os.read(self.fd, 65536)
        self.text += part
        *lines, self.text = self.text.split(b"\n")
        for line in lines:
            event = json.loads(line)
            self.steps.add(event.pop("step", None))
            if "cause" in event and "cause" in self.info:
                continue
            self.info.update(event)
        return bool(part)

    def reap(self, plan, killed):
        _, st = os.waitpid(self.pid, 0)
        self.clean = st == 0 and not killed
        if self.info.get("done") or "cause" in self.info:
            return
        where = self.info.get("doing", "the start")
        if killed:
            how = "deadline of %g s passed" % plan.deadline
        elif os.WIFSIGNALED(st):
            how = "killed by signal %d" % os.WTERMSIG(st)
        else:
            how = "exited with status %d" % os.WEXITSTATUS(st)
        cause = "deadline" if killed else "crash"
        self.info.update(call=where, cause=cause, error="%s in %s" % (how, where))


def wait(plan, children):
    # An agent sees the deadline itself and says more than its death would: a moment of grace.
    end, live = plan.end + 0.3, {c.fd: c for c in children}
    while live and time.monotonic() < end:
        for fd in select.select(list(live), [], [], max(0, end - time.monotonic()))[0]:
            if not live[fd].read():
                del live[fd]
    for c in live.values():
        os.kill(c.pid, signal.SIGKILL)
    for c in children:
        c.reap(plan, c in live.values())


def culprit(target, initiator):
    """The failure that came first: not the one that only echoes the other agent's end."""
    t, i = target.info.get("cause"), initiator.info.get("cause")
    if t in (None, "peer") or (t == "deadline" and i not in (None, "peer")):
        return initiator
    return target


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--module", required=True)
    p.add_argument("--backend", required=True)
    p.add_argument("--dir", default="")
    p.add_argument("--mem", choices=("dram", "vram"), default="dram")
    p.add_argument("--op", choices=("write", "read"), default="write")
    p.add_argument("--register", choices=("whole", "each"), default="whole")
    p.add_argument("--bytes", type=int, default=1 << 20)
    p.add_argument("--deadline", type=float, default=30)
    p.add_argument("--gpu", type=int, default=0)
    plan = p.parse_args()
    plan.end, plan.seed = time.monotonic() + plan.deadline, random.SystemRandom().getrandbits(52)
    socks = dict(zip(("target", "initiator"), socket.socketpair()))
    children = [Child(plan, role, socks) for role in ("target", "initiator")]
    for s in socks.values():
        s.close()
    wait(plan, children)
    steps = children[0].steps & children[1].steps
    moved = "notified" in children[0].steps and "completed" in children[1].steps
    intact = moved and "intact" in steps
    bad = None if intact else culprit(*children)
    out = {"schema": "kvpath.probe/1", "via": "python"}
    out.update({k: getattr(plan, k) for k in ("module", "backend", "mem", "op", "register", "bytes", "seed")})
    out["descs"] = min(plan.bytes, MAX_DESCS)
    out.update({s: s in steps for s in ("loads", "instantiates", "registers")}, moves=moved, intact=intact)
    out["elapsed_us"] = children[1].info.get("elapsed_us", 0)
    out["agent"] = bad.role if bad else None
    out.update({k: bad.info.get(k) if bad else None for k in ("cause", "call", "error")})
    out["clean_end"] = all(c.clean for c in children)
    print(json.dumps(out), flush=True)
    sys.exit(0 if intact else 1)


main()
