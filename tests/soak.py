#!/usr/bin/env python3
"""soak.py [--n TRANSFERS] [--seconds S] [--seed N] [--kind KIND] [--kvpath FILE] [--verbose]

kvpath bench between two network namespaces, again and again, with faults: sides killed and stopped at a random moment,
5 % of all packets lost, the port flooded by strangers, bits flipped in what a side receives; over plain sockets,
raw libfabric and UCX, and NIXL. Ends once TRANSFERS were measured and every kind of round was there, or after S seconds.
What must never happen: a side that is not back within its deadline, flipped data called good, a process that is left.
Each round is a test; the last line is `N passed, N failed`.
"""
import argparse
import collections
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEADLINE = 40  # of a run
KILLED = 12  # of one whose target is killed, perhaps before anybody called: so long it is called
STOPPED = 3  # of one that is stopped
MARGIN = 60  # until a side that is not back counts as hung: other work may have the processors
# In classic BPF: of a random word, less than 5 % of its range is dropped. For kernels without netem.
LOSS = "4,32 0 0 4294963256,53 1 0 214748364,6 0 0 2,6 0 0 4294967295"
KINDS = ["clean", "loss", "flood", "kill target", "kill initiator", "kill worker", "stop worker", "stop target",
         "corrupt write", "corrupt read"]


def run(*args, check=True):
    return subprocess.run(args, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Net:
    def __init__(self):
        self.a, self.b = (f"kvsoak{os.getpid()}{x}" for x in "ab")
        for ns in (self.a, self.b):
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
        run("ip", "link", "add", "name", "v0", "netns", self.a, "type", "veth", "peer", "name", "v0", "netns", self.b)
        for i, ns in enumerate((self.a, self.b)):
            run("ip", "-n", ns, "addr", "add", f"10.78.0.{i + 1}/24", "dev", "v0")
            run("ip", "-n", ns, "link", "set", "v0", "up")

    def lose(self):
        """5 % of both directions; says by what."""
        how = "netem"
        for ns in (self.a, self.b):
            tc = ("ip", "netns", "exec", ns, "tc")
            if run(*tc, "qdisc", "add", "dev", "v0", "root", "netem", "loss", "5%", check=False).returncode:
                how = "a BPF filter (this kernel has no netem)"
                run(*tc, "qdisc", "add", "dev", "v0", "clsact")
                run(*tc, "filter", "add", "dev", "v0", "egress", "bpf", "da", "bytecode", LOSS)
        return how

    def lose_nothing(self):
        for ns in (self.a, self.b):
            run("ip", "netns", "exec", ns, "tc", "qdisc", "del", "dev", "v0", "root", check=False)
            run("ip", "netns", "exec", ns, "tc", "qdisc", "del", "dev", "v0", "clsact", check=False)

    def close(self):
        for pid in marked(f"KV_SOAK={os.getpid()}."):
            if pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
        for ns in (self.a, self.b):
            run("ip", "netns", "del", ns, check=False)


def marked(mark):
    """Processes, but for zombies, that have mark in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(c) for c in f.read().split()]
    except OSError:
        return []


class Round:
    def __init__(self, soak, kind):
        self.soak, self.kind = soak, kind
        self.mark = f"KV_SOAK={os.getpid()}.{soak.rounds}"
        self.dir = soak.dir
        self.faults = []
        self.flips = os.path.join(self.dir, "flips")
        self.deadline = {"stop": STOPPED, "kill": KILLED}.get(kind[:4], DEADLINE)
        self.corrupts = kind.startswith("corrupt")
        engines = [("tcp", "/", 4), ("ofi:tcp", "/", 2), ("ucx", soak.container, 1)]
        if not self.corrupts:
            engines.append(("nixl:UCX", soak.container, 3))
        engines = [e for e in engines if e[1]]
        self.engine, self.target, _ = soak.random.choices(engines, [e[2] for e in engines])[0]

    def start(self, ns, extra, name):
        env = dict(os.environ, KVPATH_TOKEN="soak" * 8)
        key, value = self.mark.split("=")
        env[key] = value
        args = ["ip", "netns", "exec", ns, self.soak.kvpath, "bench", *extra, "--env", self.mark]
        if self.target != "/":
            # With a GPU NIXL's UCX refuses a list without CUDA.
            args += ["--env", "UCX_TLS=tcp,cuda_copy" if os.path.exists("/dev/nvidiactl") else "UCX_TLS=tcp"]
        if (self.kind, name) in (("corrupt write", "target"), ("corrupt read", "initiator")):
            every = self.soak.random.randrange(20, 400)
            args += ["--env", f"LD_PRELOAD={self.soak.flip}", "--env", f"FLIP_EVERY={every}", "--env", f"FLIP_LOG={self.flips}"]
        with open(os.path.join(self.dir, name + ".out"), "wb") as out, open(os.path.join(self.dir, name + ".err"), "wb") as err:
            return subprocess.Popen(args + [self.target], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def read(self, name):
        with open(os.path.join(self.dir, name), errors="replace") as f:
            return f.read()

    def port(self):
        end = time.monotonic() + MARGIN
        while time.monotonic() < end:
            m = re.search(r"listens on .*:(\d+)", self.read("target.err"))
            if m:
                return m.group(1)
            time.sleep(0.02)
        raise RuntimeError("the target does not listen: " + self.read("target.err"))

    def workers(self, proc):
        """The probe's worker below kvpath, once it is there; None where it does not come soon."""
        end = time.monotonic() + 4
        while time.monotonic() < end and proc.poll() is None:
            for probe in children(proc.pid):
                for worker in children(probe):
                    return worker
            time.sleep(0.01)
        return None

    def break_it(self, target, initiator):
        """A fault at a random moment: while they meet, or while they measure."""
        pick = self.soak.random
        if pick.random() < 0.5:
            self.workers(initiator)
        time.sleep(pick.random() * 1.5)
        sides = {"kill target": target.pid, "kill initiator": initiator.pid, "stop target": target.pid}
        pids = [sides.get(self.kind)]
        if self.kind.endswith("worker"):
            pids = [self.workers(pick.choice([target, initiator]))]
        elif self.kind == "stop target":
            pids += [self.workers(target)]
        for pid in pids:
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL if self.kind.startswith("kill") else signal.SIGSTOP)
                except OSError:
                    pass

    def ended(self, proc, name):
        try:
            proc.wait(self.deadline + 10 + MARGIN)
        except subprocess.TimeoutExpired:
            self.faults.append(f"hang: {name} is not back {MARGIN} s after its deadline")
            proc.kill()
            proc.wait()

    def leaked(self):
        """Of what was stopped from outside, the parents' end must take the rest along."""
        end = time.monotonic() + 20
        while (left := marked(self.mark)) and time.monotonic() < end:
            time.sleep(0.05)
        for pid in left:
            self.faults.append(f"leak: process {pid} is left")
            os.kill(pid, signal.SIGKILL)

    def judge(self):
        text = self.read("initiator.out")
        flips = self.read("flips").count("flip") if os.path.exists(self.flips) else 0
        self.soak.flips += flips
        if not text:
            if flips or self.kind in ("clean", "loss", "flood"):
                self.faults.append("no document")
            return
        doc = json.loads(text)
        good = all(e["good"] for e in doc["engines"])
        done = sum(r["iters"] + r["warmup"] for r in doc["runs"] if r["intact"])
        self.soak.transfers += done
        self.soak.by_kind[self.kind][1] += done
        if flips and good:
            self.faults.append(f"false: {flips} bits were flipped, and the data are called good")
        if self.kind in ("clean", "loss", "flood") and not good:
            self.faults.append("failed without a fault: " + str([e["error"] for e in doc["engines"]]))

    def go(self):
        s, net = self.soak, self.soak.net
        if os.path.exists(self.flips):
            os.unlink(self.flips)
        target = self.start(net.a, ["--listen", "10.78.0.1:0", "--deadline", str(DEADLINE)], "target")
        port = self.port()
        op = "read" if self.kind == "corrupt read" else s.random.choice(["write", "read"])
        if self.kind == "corrupt write":
            op = "write"
        shapes = s.random.sample(["1x512", "1x4096", "3x1001", "8x4096", "2x65536"], s.shapes)
        if self.corrupts and self.engine != "tcp":
            # Of libraries only what comes in large pieces is changed (tests/tools/flip.c).
            shapes = s.random.sample(["1x65536", "2x65536", "3x100001"], s.shapes)
        options = [o for shape in shapes for o in ("--shape", shape)]
        if self.kind in ("clean", "flood") and s.shapes > 1 and self.engine == "tcp":
            options += ["--shape", "1x512"] * 6
        options += ["--op", op, "--engine", self.engine, "--iters", "1000000", "--deadline", str(self.deadline), "--json"]
        strangers = []
        if self.kind == "flood":
            strangers = [subprocess.Popen(["ip", "netns", "exec", net.b, s.stranger, "10.78.0.1", port, "flood", "600"],
                                          stdout=subprocess.DEVNULL) for _ in range(2)]
        initiator = self.start(net.b, ["--connect", f"10.78.0.1:{port}", *options], "initiator")
        if self.kind.startswith(("kill", "stop")):
            self.break_it(target, initiator)
        self.ended(initiator, "the initiator")
        if self.kind == "stop target":
            target.kill()
        self.ended(target, "the target")
        for p in strangers:
            p.kill()
            p.wait()
        self.leaked()
        self.judge()
        return not self.faults


class Soak:
    def __init__(self, args, tmp):
        self.dir, self.random = tmp, random.Random(args.seed)
        self.kvpath, self.net = os.path.abspath(args.kvpath), Net()
        self.stranger = os.path.join(TOP, "tests/tools/stranger.py")
        self.flip = os.path.join(tmp, "flip.so")
        self.shapes = 1 if args.n < 100000 else 3
        self.rounds = self.transfers = self.flips = 0
        self.by_kind = collections.defaultdict(lambda: [0, 0])
        self.by_engine = collections.Counter()
        run("gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", self.flip, os.path.join(TOP, "tests/tools/flip.c"), "-ldl")
        built = subprocess.run([os.path.join(TOP, "tests/roots/container"), "1.5.0"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
        self.container = built.stdout.strip() if built.returncode == 0 else None


def soak(s, args):
    passed = failed = 0
    counts = collections.Counter()
    end = time.monotonic() + args.seconds
    order, loss = [], None
    while time.monotonic() < end and (s.transfers < args.n or s.rounds < len(KINDS)):
        order = order or ([args.kind] if args.kind else s.random.sample(KINDS, len(KINDS)))
        kind = order.pop()
        loss = s.net.lose() if kind == "loss" else loss
        r = Round(s, kind)
        began = time.monotonic()
        s.rounds += 1
        s.by_kind[kind][0] += 1
        s.by_engine[r.engine] += 1
        try:
            good = r.go()
        except (OSError, RuntimeError, ValueError) as e:
            good = False
            r.faults.append(f"{type(e).__name__}: {e}")
        if kind == "loss":
            s.net.lose_nothing()
        for fault in r.faults:
            counts[fault.split(":")[0]] += 1
            print(f"round {s.rounds} ({kind}, {r.engine}): {fault}\n{r.read('initiator.err')}{r.read('target.err')}", flush=True)
        passed, failed = passed + good, failed + (not good)
        if args.verbose:
            print(f"round {s.rounds}: {kind}, {r.engine}, {time.monotonic() - began:.1f} s", flush=True)
    for kind in KINDS:
        print(f"{kind:16} {s.by_kind[kind][0]:6} rounds {s.by_kind[kind][1]:9} transfers")
    print(", ".join(f"{engine}: {n} rounds" for engine, n in sorted(s.by_engine.items())))
    print(f"loss by {loss}; {s.flips} bits flipped")
    print(f"{s.transfers} transfers checked, {s.rounds} rounds, seed {args.seed}: "
          f"{counts['hang']} hangs beyond the deadline, {counts['false']} times flipped data called good, "
          f"{counts['leak']} processes left")
    print(f"{passed} passed, {failed} failed")
    return failed == 0 and passed > 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--n", type=int, default=1000000)
    p.add_argument("--seconds", type=float, default=3600)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    p.add_argument("--kind", choices=KINDS, help="rounds of this kind alone")
    p.add_argument("--kvpath", default=os.environ.get("KVPATH", os.path.join(TOP, "build/bin/kvpath")))
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="kvpath-soak.") as tmp:
        s = Soak(args, tmp)
        try:
            sys.exit(0 if soak(s, args) else 1)
        finally:
            s.net.close()


main()
