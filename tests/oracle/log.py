#!/usr/bin/env python3
"""log.py [VERSION...]: what `kvpath log` concludes from the real NIXL's own log, against what its agent did.

For containers of several NIXL versions, broken and with a libfabric that serves, at every log level: the agent is
made, its log kept, and the verdict of the log alone must be what happened. The same logs then go through what
carries logs to files (srun, kubectl, docker, CRI, CRLF), are torn, and are doctored to name efa, which is not here.
One line a case, `ok` or `not ok`.
"""
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from oracle import MODULE, VERSIONS, Agent, Failure, build, expect, inside, kvpath, same

EFA = "LD_LIBRARY_PATH=/opt/amazon/efa/lib"
LEVELS = ["default", "WARN", "INFO", "DEBUG", "TRACE"]
FABRIC_LEVELS = [None, "warn", "debug"]
STRANGERS = ["0.9.0", "0.10.1", "1.0.1"]


def log(path, *options):
    ran = kvpath("log", "--json", *options, path)
    report = ran.json("kvpath.log/1")
    same("the status", ran.status, {"on-fabric": 0, "off-fabric": 1, "unknown": 3}[report["verdict"]])
    return report


def ids(report, severity=None):
    return {f["id"] for f in report["findings"] if severity in (None, f["severity"])}


class Case:
    """One agent that was made: what it did, and its log in a file."""

    def __init__(self, work, root, backend, level, fabric_level=None, env=(), binds=()):
        extra = [f"NIXL_LOG_LEVEL={level}", *([f"FI_LOG_LEVEL={fabric_level}"] if fabric_level else [])]
        self.backend, self.level = backend, level
        self.agent = Agent(root, backend, env=[*env, *extra], binds=binds)
        self.text = self.agent.ran.err
        self.path = os.path.join(work, "agent.log")
        self.write(self.text)

    def write(self, text):
        with open(self.path, "w", encoding="utf-8", newline="") as f:
            f.write(text)

    def expected(self):
        """No EFA device is here: what works runs over tcp or sockets. Whether the log can say so is its level's affair:
        at WARN only failures are logged, at the default level NIXL's Python names backends besides."""
        if not self.agent.instantiated:
            return "off-fabric"
        if self.level == "WARN" or (self.level == "default" and self.backend == "LIBFABRIC"):
            return "unknown"
        return "off-fabric"

    def agrees(self):
        report = log(self.path)
        same("the verdict", report["verdict"], self.expected())
        if report["verdict"] == "unknown":
            expect("NIXL_LOG_LEVEL" in (report["setting"] or ""), "it does not say what would show more")
            expect(not ids(report, "error"), f"errors without a proof: {report['findings']}")
            return report
        process, = [p for p in report["processes"] if p["events"]]
        if self.agent.instantiated:
            same("the backends", process["backends"], self.backend)
        if self.agent.instantiated and self.backend == "LIBFABRIC":
            expect(process["provider"] in ("tcp", "sockets"), f"the provider is {process['provider']}")
            same("errors", ids(report, "error"), {"KV301"})
        if self.backend == "UCX":
            expect("KV201" in ids(report, "error"), f"KV201 is not among {ids(report)}")
        if not self.agent.instantiated:
            self.agrees_on_reason(report)
        return report

    def agrees_on_reason(self, report):
        texts = [f["detail"] for f in report["findings"]]
        if self.agent.reason:
            expect(self.agent.reason[:400] in [t[:400] for t in texts], f"not the loader's reason: {texts}")
        elif "FI_PROVIDER=efa" in " ".join(self.agent.ran.argv):
            expect("KV304" in ids(report, "error"), f"KV304 is not among {ids(report)}")
        else:
            expect(ids(report, "error") & {"KV203", "KV204"}, f"errors are {ids(report, 'error')}")


# ---- what carries a log to a file ----

def stamped(line):
    return "2026-11-22T18:40:10.100000000Z " + line


CARRIERS = {
    "srun": lambda line: "0: " + line,
    "kubectl --timestamps": stamped,
    "CRI": lambda line: "2026-11-22T18:40:10.1000000Z stderr F " + line,
    "docker json-file": lambda line: json.dumps({"log": line + "\n", "stream": "stderr", "time": "2026-11-22T18:40:10Z"}),
    "compose": lambda line: "decode-1  | " + line,
    "kubectl --prefix": lambda line: "[pod/decode-0/engine] " + line,
    "a launcher": lambda line: "[decode 0] " + line,
    "two layers": lambda line: stamped("[pod/decode-0/engine] " + line),
    "CRLF": lambda line: line + "\r",
    "colours": lambda line: "\x1b[32m" + line + "\x1b[0m",
}


def carried(case):
    want = log(case.path)
    for name, carrier in CARRIERS.items():
        case.write("".join(carrier(line) + "\n" for line in case.text.splitlines()))
        got = log(case.path)
        same(f"{name}: the verdict", got["verdict"], want["verdict"])
        same(f"{name}: the errors", ids(got, "error"), ids(want, "error"))
    case.write(case.text)


def torn(case):
    """Another process's lines in the middle of these, at random: what is whole still decides."""
    rng = random.Random(7)
    noise = "[2026-11-22 18:40:10 TP1] Decode batch, #running-req: 6, #transfer-req: 9, #queue-req: 0,\n"
    for _ in range(20):
        text = "".join(line if rng.random() < 0.9 else line[:rng.randrange(len(line))] + noise + line[9:]
                       for line in case.text.splitlines(keepends=True))
        case.write(text)
        got = log(case.path)["verdict"]
        expect(got != "on-fabric", f"torn: {got}")
    for n in sorted(rng.sample(range(len(case.text)), min(20, len(case.text)))):
        case.write(case.text[:n])
        expect(log(case.path)["verdict"] != "on-fabric", f"cut at {n}: on-fabric")
    case.write(case.text)


def doctored(case):
    """The log that an EFA machine would have written: the real lines with efa's names in them."""
    text = re.sub(r"Discovered \d+ (socket|sockets|tcp) devices \(TCP fallback\)", "Discovered 1 EFA devices", case.text)
    text = re.sub(r"provider=(sockets|tcp)", "provider=efa", text)
    text = re.sub(r".*(simplified topology|TCP devices available|No provider found with FI_HMEM).*\n", "", text)
    text = text.replace("Using provider without FI_HMEM support", "Using provider with FI_HMEM support")
    expect(text != case.text, "nothing to doctor")
    case.write(text)
    report = log(case.path)
    same("the verdict", report["verdict"], "on-fabric")
    case.write(text.replace("Backend LIBFABRIC was instantiated", ""))
    same("without the backend's line", log(case.path)["verdict"], "unknown")
    case.write(text + case.text)
    same("followed by the real log", log(case.path)["verdict"], "off-fabric")
    case.write(case.text)


# ---- the cases ----

class Run:
    def __init__(self):
        self.failed, self.lock = 0, threading.Lock()

    def case(self, name, function, *args, **how):
        start, failure, value = time.monotonic(), None, None
        try:
            value = function(*args, **how)
        except Failure as e:
            failure = str(e)
        lines = [f"{'ok     ' if failure is None else 'not ok '} log {name}  ({time.monotonic() - start:.1f} s)"]
        lines += ["    # " + line[:400] for line in (failure or "").splitlines()[:30]]
        with self.lock:
            print("\n".join(lines), flush=True)
            self.failed += failure is not None
        return value


def agent(work, root, backend, level, fabric_level=None, **how):
    case = Case(work, root, backend, level, fabric_level, **how)
    case.agrees()
    return case


def transfer(work, root, **how):
    """Two agents in two processes, one log: bytes that move over tcp are off the fabric."""
    path = os.path.join(work, "transfer.log")
    ran = inside(root, "python3", "-", MODULE, "LIBFABRIC", script="transfer.py",
                 **{**how, "env": [*how["env"], "NIXL_LOG_LEVEL=INFO"]})
    with open(path, "w", encoding="utf-8") as f:
        f.write(ran.err)
    report = log(path)
    same("the verdict", report["verdict"], "off-fabric")
    same("errors", ids(report, "error"), {"KV101"} if "FABRIC_1." in ran.out + ran.err and "not found" in ran.err
         and "instantiated" not in ran.err else {"KV301"})


def stranger(work, root, version, peer, **how):
    """NIXL up to 0.10.1 cannot read what a newer one says of itself; a newer one reads what they say. At WARN, as what a peer
    has is not told where the provider is known to be tcp."""
    shared = os.path.join(os.path.dirname(work), "metadata")
    how = {"env": [*how["env"], "NIXL_LOG_LEVEL=WARN"], "binds": [*how["binds"], shared + ":/opt/metadata"]}
    ran = inside(root, "python3", "-", MODULE, "LIBFABRIC", "/opt/metadata", peer, script="metadata.py", **how)
    path = os.path.join(work, "stranger.log")
    with open(path, "w", encoding="utf-8") as f:
        f.write(ran.err)
    same("the warnings", "KV602" in ids(log(path), "warning"), ran.json()["error"] is not None)
    same("what the agent did", ran.json()["error"] is not None, old(version) and not old(peer))


def old(version):
    return [int(part) for part in version.split(".")] < [1, 0]


def run_version(run, version, efa, work):
    root = build("container", version)
    works = {"env": [EFA], "binds": [efa + ":/opt/amazon"]}
    for level in LEVELS:
        for fabric_level in FABRIC_LEVELS if level in ("WARN", "TRACE") else [None]:
            name = f"{version} {level}{' FI_LOG_LEVEL=' + fabric_level if fabric_level else ''}"
            run.case(f"{name}: as found", agent, work, root, "LIBFABRIC", level, fabric_level)
            run.case(f"{name}: UCX", agent, work, root, "UCX", level, fabric_level)
            run.case(f"{name}: with a libfabric", agent, work, root, "LIBFABRIC", level, fabric_level, **works)
    run.case(f"{version}: FI_PROVIDER=efa without a device", agent, work, root, "LIBFABRIC", "INFO",
             env=[EFA, "FI_PROVIDER=efa"], binds=works["binds"])
    run.case(f"{version}: two processes, one log", transfer, work, root, **works)
    # From 1.4.0 on an agent waits for the one that it hears of, which is gone here.
    for peer in STRANGERS if version in STRANGERS else []:
        run.case(f"{version}: a peer of {peer}", stranger, work, root, version, peer, **works)
    for what, how in (("as found", {}), ("with a libfabric", works)):
        case = run.case(f"{version}: {what}, at INFO", agent, work, root, "LIBFABRIC", "INFO", **how)
        if case:
            run.case(f"{version}: {what}, through carriers of logs", carried, case)
            run.case(f"{version}: {what}, torn and cut", torn, case)
        if case and case.agent.instantiated:
            run.case(f"{version}: doctored to name efa", doctored, case)


def main():
    if os.geteuid() != 0:
        sys.exit("log: needs root (it runs the containers)")
    efa = build("fabric", "F1") + "/opt/amazon"
    run = Run()
    versions = sys.argv[1:] or VERSIONS
    for version in versions:
        build("container", version)
    with tempfile.TemporaryDirectory(prefix="kvpath-log-") as work:
        for version in versions:
            os.mkdir(os.path.join(work, version))
        os.mkdir(os.path.join(work, "metadata"))
        for version in STRANGERS if set(STRANGERS) & set(versions) else []:
            inside(build("container", version), "python3", "-", MODULE, "LIBFABRIC", "/opt/metadata", script="metadata.py",
                   env=[EFA], binds=[efa + ":/opt/amazon", f"{work}/metadata:/opt/metadata"])
        with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
            jobs = [pool.submit(run_version, run, v, efa, os.path.join(work, v)) for v in versions]
            for job in jobs:
                job.result()
    sys.exit(run.failed != 0)


if __name__ == "__main__":
    main()
