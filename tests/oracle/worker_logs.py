#!/usr/bin/env python3
"""worker_logs.py [--n N] [--seed S]: `kvpath log` on jobs made by chance of the real NIXL's own logs.

Workers of several NIXL releases, as found and with a libfabric that serves, make agents of one backend or several, fall back,
and are started again; what each did is known from the agents themselves. Their logs, some doctored to name efa, which is not
here, are then mixed line by line among lines that only speak of such messages (prompts, tutorials, traces of a shell, kvpath's
own output), and go through what carries logs to files. The verdict of every worker and of the job must be what happened, or
unknown where the log can not tell. Prints `N passed, N failed`.
"""
import argparse
import collections
import functools
import gzip
import json
import os
import random
import re
import sys
import tempfile

from oracle import MODULE, Failure, build, expect, inside, kvpath

EFA = "LD_LIBRARY_PATH=/opt/amazon/efa/lib"
VERSIONS = ["0.9.0", "1.0.1", "1.4.1", "1.5.0"]
STEPS = [[["LIBFABRIC"]], [["UCX"]], [["LIBFABRIC"], ["UCX"]], [["UCX", "LIBFABRIC"]], [["POSIX"], ["LIBFABRIC"]],
         [["LIBFABRIC"], ["LIBFABRIC"]], [["UCX"], ["LIBFABRIC"]], []]
LEVELS = ["INFO", "INFO", "DEBUG", "default", "WARN"]


# ---- workers ----

class Life:
    """One process of NIXL: its lines, what it did, and which of that its level lets a log show."""

    def __init__(self, version, works, level, steps, made, text):
        self.version, self.works, self.level, self.steps, self.made = version, works, level, steps, made
        self.lines, self.is_efa = text.splitlines(), False

    @classmethod
    def of(cls, lines, is_efa, **rest):
        life = cls(**rest, text="\n".join(lines))
        life.is_efa = is_efa
        return life

    def __str__(self):
        return f"{self.version} {'works' if self.works else 'broken'} {self.level} {self.steps}->{self.made}{' efa' if self.is_efa else ''}"

    def doctored(self):
        """As an EFA machine would have written it, where the provider is named; else None."""
        text = "\n".join(self.lines)
        if "rails using provider" not in text:
            return None
        text = re.sub(r"Discovered \d+ (socket|sockets|tcp) devices \(TCP fallback\)", "Discovered 1 EFA devices", text)
        text = re.sub(r"provider=(sockets|tcp)", "provider=efa", text)
        text = re.sub(r".*(simplified topology|TCP devices available|No provider found with FI_HMEM).*\n", "", text)
        text = text.replace("Using provider without FI_HMEM support", "Using provider with FI_HMEM support")
        life = Life(self.version, self.works, self.level, self.steps, self.made, text)
        life.is_efa = True
        return life

    def outcome(self):
        """What the log allows to be known of it."""
        has = {b for made in self.made for b in made}
        asked = {b for step in self.steps for b in step}
        text = "\n".join(self.lines)
        names = "was instantiated" in text
        if not any(w in text for w in ("nixl_", "libfabric_", "NIXL")):
            return "import"
        if "LIBFABRIC" in has:
            if not self.is_efa and re.search(r"provider=(tcp|sockets)|simplified topology|TCP fallback", text):
                return "tcp"
            if "UCX" in has:
                return "both" if names else "silent"
            return "efa" if self.is_efa and names else "silent"
        if "LIBFABRIC" in asked:
            return "refused"
        if "UCX" in has:
            # Up to 1.0.1 every plugin is loaded at the start, wanted or not.
            return "ucx" if names or "libplugin_LIBFABRIC.so: " in text else "silent"
        return "import"


def allowed(lives):
    """The verdicts that are right for a source that these processes wrote, one after the other."""
    outcomes = [o for o in (life.outcome() for life in lives) if o != "import"]
    seen = set(outcomes)
    if not outcomes:
        return {"unknown", None}
    if "tcp" in seen:
        return {"off-fabric"}
    if seen == {"efa"}:
        return {"on-fabric"}
    if seen == {"efa", "silent"}:
        return {"on-fabric", "unknown"}
    if outcomes[-1] == "refused" or seen == {"ucx"} or seen == {"ucx", "refused"}:
        return {"off-fabric"}
    if "refused" in seen or "ucx" in seen:
        return {"off-fabric", "unknown"}
    return {"unknown"}


def pool(versions):
    """The real workers, each run once."""
    efa, lives = build("fabric", "F1") + "/opt/amazon", []
    for version in versions:
        root = build("container", version)
        for works in (False, True):
            how = {"binds": [efa + ":/opt/amazon"]} if works else {}
            for level in dict.fromkeys(LEVELS):
                for steps in STEPS:
                    env = [f"NIXL_LOG_LEVEL={level}", *([EFA] if works else [])]
                    ran = inside(root, "python3", "-", MODULE, json.dumps(steps), script="agents.py", env=env, **how)
                    made = ran.json()
                    life = Life(version, works, level, steps, made, ran.err)
                    lives.append(life)
                    efa_life = life.doctored()
                    if efa_life:
                        lives.append(efa_life)
    return lives


def lives_of(path):
    if not path:
        return pool(VERSIONS)
    if not os.path.exists(path):
        lives = pool(VERSIONS)
        with open(path, "w", encoding="utf-8") as f:
            json.dump([vars(life) for life in lives], f)
    with open(path, encoding="utf-8") as f:
        return [Life.of(**v) for v in json.load(f)]


# ---- what only speaks of such lines ----

QUOTED = [
    "Backend UCX was instantiated", "NIXL KVManager initialized with backend: UCX", "Backend LIBFABRIC was instantiated",
    "2026-11-22 17:20:46 NIXL INFO    _api.py:361 Backend UCX was instantiated",
    "I1122 18:02:11.140021   20110 libfabric_rail_manager.cpp:232] Created 2 rails using provider=tcp",
    "I1122 18:02:11.140021   20110 libfabric_rail_manager.cpp:232] Created 2 rails using provider=efa",
    "E1122 18:30:00.131933     611 nixl_agent.cpp:396] createBackend: unsupported backend 'LIBFABRIC'",
    "Skipping backend registration LIBFABRIC due to the missing plugin.",
    "ModuleNotFoundError: No module named 'nixl'", "Unsupported NIXL backend: libfabric, fallback to UCX",
    "W1122 17:20:46.377001     304 nixl_agent.cpp:347] 16 Amazon EFA(s) were detected, but the UCX backend was configured.",
    "ImportError: libnixl_common.so: cannot open shared object file: No such file or directory",
    "No plugins available, cannot start transfers!",
]


PAGES = ["KV101", "KV150", "KV201", "KV203", "KV204", "KV205", "KV211", "KV213", "KV219", "KV301", "KV302", "KV303", "KV304", "KV317", "KV407"]


@functools.lru_cache(None)
def page(name):
    """What kvpath explain prints has the exact texts of messages, and a job may print it."""
    return kvpath("explain", name).out.splitlines()


def noise(rng):
    """Lines of something else in the worker's own output."""
    q = rng.choice(QUOTED)
    ask = f"It's slow, and the log of my worker says \"{q}\" again and again. Why?"
    body = {"model": "m", "messages": [{"role": "user", "content": ask}]}
    return rng.choice([
        lambda: [f"INFO 11-22 17:21:00 [logger.py:43] Received request cmpl-1: prompt: {repr(ask)}, params: SamplingParams(n=1)"],
        lambda: [f"INFO 11-22 17:21:00 [logger.py:43] Received request cmpl-1: prompt: {repr('Explain:' + chr(10) + q + chr(10))}, params: x"],
        lambda: [f"[2026-11-22 17:21:00 TP0] Receive: obj=GenerateReqInput(rid='a', text={repr(q + ' what is it')}, input_ids=None)"],
        lambda: [f"[2026-11-22 17:21:00 TP0] Finish: obj=GenerateReqInput(rid='a', text='x'), out={{'text': {repr(' That is ' + q)}, 'meta': 1}}"],
        lambda: [json.dumps({"time": "2026-11-22T17:21:00Z", "level": "INFO", "message": "request: " + json.dumps(body)})],
        lambda: [json.dumps({"time": "2026-11-22T17:21:00Z", "level": "INFO", "target": "http", "body": body})],
        lambda: [f"+ grep -q '{q.replace(chr(39), '')}' /logs/decode.out"],
        lambda: [f"+ echo 'look for {q.replace(chr(39), '')}'"],
        lambda: [f"If the log says `{q}`, LIBFABRIC is not used."],
        lambda: [f"# a good one has \"{q}\""],
        lambda: ["Collecting nixl-cu13==1.5.0", "  Downloading nixl_cu13-1.5.0-cp311-cp311-manylinux_2_28_x86_64.whl (58.3 MB)",
                 "Successfully installed nixl-cu13-1.5.0"],
        lambda: [f'INFO:     10.0.0.1:53732 - "POST /v1/completions?q={q.split()[0]} HTTP/1.1" 200 OK'],
        lambda: ["recipe.yaml:12:21: KV702 error: LD_LIBRARY_PATH: ${LD_LIBRARY_PATH} arrives as it is written; srtctl",
                 "KV201 error: the default backend is not the one wanted",
                 "  NIXL 1.5.0 (nixl-cu13): an agent made without naming backends uses UCX, not LIBFABRIC"],
        lambda: ["decode_0.out [0]: off-fabric, the plugin runs over libfabric's tcp provider, not efa",
                 "    backend LIBFABRIC, provider tcp, FI_HMEM no",
                 "  >        8          Created 2 rails using provider=tcp", f"           9          {QUOTED[0]}"],
        lambda: [f"  decode_0.out:9: {QUOTED[0]}"],
        lambda: page(rng.choice(PAGES)),
        lambda: ["[2026-11-22 17:21:01 TP0] Decode batch, #running-req: 6, #token: 41536, #transfer-req: 9, #queue-req: 0,"],
        lambda: ["Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:02<00:00,  1.06s/it]\rLoading"],
    ])()


# ---- what carries a log to a file ----

def timed(rng):
    return f"2026-11-22T18:40:{rng.randrange(60):02d}.{rng.randrange(10 ** 9):09d}Z "


def go_json(value):
    """As Go's encoders have it, docker's among them."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def journal(line, n, rng):
    return json.dumps({"__CURSOR": "s=" + "0123456789abcdef" * 8, "__REALTIME_TIMESTAMP": "1795372810100000", "_HOSTNAME": f"node-{n}",
                       "_PID": str(4000 + n), "SYSLOG_IDENTIFIER": "worker", "PRIORITY": "6", "MESSAGE": line})


def dynamo(line, n, rng):
    """Python's lines are in its JSON, those of NIXL's C++ between them."""
    if line[:1] in "IWE" and line[1:5].isdigit() or line.startswith("libfabric:"):
        return line
    return json.dumps({"time": "2026-11-22T18:40:10.100000Z", "level": "INFO", "target": "log", "message": line, "log.file": "a.py"})


# name: (function of (line, worker's number, rng), the label that kvpath should give; None where it knows none)
CARRIERS = {
    "plain": (lambda line, n, rng: line, None),
    "srun -l": (lambda line, n, rng: f"{n:2d}: {line}", lambda n: str(n)),
    "kubectl --prefix": (lambda line, n, rng: f"[pod/decode-{n}/engine] {line}", lambda n: f"pod/decode-{n}/engine"),
    "kubectl --prefix --timestamps": (lambda line, n, rng: f"[pod/decode-{n}/engine] {timed(rng)}{line}", lambda n: f"pod/decode-{n}/engine"),
    "stern": (lambda line, n, rng: f"decode-6458459f69-qxvb{n + 4} vllm {line}", lambda n: f"decode-6458459f69-qxvb{n + 4} vllm"),
    "compose": (lambda line, n, rng: f"decode-{n}  | {line}", lambda n: f"decode-{n}"),
    "a launcher": (lambda line, n, rng: f"[decode {n}] {line}", lambda n: f"decode {n}"),
    "ray": (lambda line, n, rng: f"(RayWorkerWrapper pid={700 + n}, ip=10.0.0.{n}) {line}", lambda n: f"pid {700 + n}"),
    "ray, one pid on each node": (lambda line, n, rng: f"(RayWorkerWrapper pid=700, ip=10.0.0.{n}) {line}", lambda n: f"10.0.0.{n}"),
    "ray, colours": (lambda line, n, rng: f"\x1b[36m(RayWorkerWrapper pid={700 + n})\x1b[0m {line}", lambda n: f"pid {700 + n}"),
    "vLLM": (lambda line, n, rng: f"(EngineCore_DP0 pid=304) (Worker_TP{n} pid={400 + n}) {line}", lambda n: f"pid {400 + n}"),
    "vLLM, colours": (lambda line, n, rng: f"\x1b[1;36m(EngineCore_DP0 pid=304)\x1b[0;0m \x1b[1;36m(Worker_TP{n} pid={400 + n})\x1b[0;0m {line}",
                      lambda n: f"pid {400 + n}"),
    "docker": (lambda line, n, rng: go_json({"log": line + "\n", "stream": "stderr", "time": timed(rng)[:-1]}), None),
    "CRI": (lambda line, n, rng: f"{timed(rng)}{rng.choice(['stdout', 'stderr'])} F {line}", None),
    "journald json": (journal, None),
    "journald short": (lambda line, n, rng: f"Nov 22 18:40:10 node-{n} worker[{4000 + n}]: {line}", lambda n: f"node-{n} worker[{4000 + n}]"),
    "journald short-iso": (lambda line, n, rng: f"2026-11-22T18:40:10+0000 node-{n} worker[{4000 + n}]: {line}",
                           lambda n: f"node-{n} worker[{4000 + n}]"),
    "Loki": (lambda line, n, rng: go_json({"labels": {"pod": f"decode-{n}", "container": "engine"}, "line": line, "timestamp": timed(rng)[:-1]}), None),
    "Fluent Bit": (lambda line, n, rng: json.dumps({"date": 1795372810.1, "log": f"{timed(rng)}stderr F {line}",
                                                    "kubernetes": {"pod_name": f"decode-{n}"}}), None),
    "Vector": (lambda line, n, rng: json.dumps({"file": "/var/log/x", "kubernetes": {"pod_name": f"decode-{n}"}, "message": line, "stream": "stderr"}), None),
    "Dynamo": (dynamo, None),
    "docker of Dynamo": (lambda line, n, rng: go_json({"log": dynamo(line, n, rng) + "\n", "stream": "stderr", "time": timed(rng)[:-1]}), None),
    "logfmt": (lambda line, n, rng: f'time="2026-11-22T18:40:10Z" level=info msg={json.dumps(line)} pod=decode-{n}', None),
    "CRLF": (lambda line, n, rng: line + "\r", None),
    "colours": (lambda line, n, rng: f"\x1b[32m{line}\x1b[0m", None),
    "mpirun": (lambda line, n, rng: f"[1,{n}]<stderr>:{line}", lambda n: f"1,{n}"),
    "pdsh": (lambda line, n, rng: f"node-{n}: {line}", None),
    "ts": (lambda line, n, rng: f"Nov 22 18:40:10 {line}", None),
    "logcli": (lambda line, n, rng: f'2026-11-22T18:40:10Z {{app="x", pod="decode-{n}"}} {line}', None),
}


# ---- a job ----

class Job:
    def __init__(self, seed, number, lives):
        self.rng = r = random.Random(f"{seed}/{number}")
        self.carrier = r.choice(list(CARRIERS))
        good = [life for life in lives if life.outcome() == "efa"]
        is_good_but_one = r.random() < 0.4
        workers = r.choice([1, 1, 2, 3, 4])
        self.sources = [[r.choice(lives) for _ in range(r.choice([1, 1, 1, 2, 3]))] for _ in range(workers)]
        if is_good_but_one:
            self.sources = [[r.choice(good)] for _ in range(workers)]
            self.sources[r.randrange(workers)] = [r.choice(lives)]
        self.is_noisy, self.is_torn = r.random() < 0.6, r.random() < 0.1
        self.is_one_file = workers == 1 or r.random() < 0.6

    def lines_of(self, n):
        lines = []
        for life in self.sources[n]:
            for line in life.lines:
                if self.is_noisy and self.rng.random() < 0.15:
                    lines += noise(self.rng)
                lines.append(line)
        if self.is_noisy:
            lines += noise(self.rng)
        return [CARRIERS[self.carrier][0](line, n, self.rng) for line in lines]

    def write(self, work):
        """The files, and which workers are in each."""
        each = [self.lines_of(n) for n in range(len(self.sources))]
        if self.is_one_file:
            left, mixed = [list(reversed(e)) for e in each], []
            while any(left):
                one = self.rng.choice([e for e in left if e])
                for _ in range(self.rng.choice([1, 1, 1, 5, 40])):
                    if one:
                        mixed.append(one.pop())
            each = [mixed]
        paths = []
        for n, lines in enumerate(each):
            if self.is_torn:
                lines = [line if self.rng.random() < 0.9 else line[:self.rng.randrange(len(line) + 1)] + "\n" + line[9:] for line in lines]
            text = ("\n".join(lines) + "\n").encode()
            path = f"{work}/worker-{n}.log"
            with open(path, "wb") as f:
                f.write(gzip.compress(text, 1) if self.rng.random() < 0.1 else text)
            paths.append(path)
        return paths

    def compare(self, work, counts):
        paths = self.write(work)
        ran = kvpath("log", "--json", *paths)
        report = ran.json("kvpath.log/1")
        wants = [allowed(lives) for lives in self.sources]
        got = report["verdict"]
        if self.is_torn:
            expect(got != "on-fabric" or all(w <= {"on-fabric", "unknown", None} for w in wants) and {"on-fabric"} in wants, "torn, and on-fabric")
            return
        self.compare_findings({f["id"] for f in report["findings"]})
        label = CARRIERS[self.carrier][1]
        if label or not self.is_one_file or len(self.sources) == 1:
            for n, want in enumerate(wants):
                self.compare_worker(report, n, want, label, paths)
            certain = [w for w in wants if None not in w]
            if any(w == {"off-fabric"} for w in wants):
                expect(got == "off-fabric", f"the job is {got}, not off-fabric")
            elif certain and all(w == {"on-fabric"} for w in certain):
                # A worker that says nothing of NIXL may still name queues of SGLang's.
                expect(got == "on-fabric" or self.is_noisy and len(certain) < len(wants) and got == "unknown", f"the job is {got}, not on-fabric")
            elif not any("off-fabric" in w for w in wants):
                expect(got == "unknown", f"the job is {got}, not unknown")
            counts["told " + got] += 1
            return
        # Nothing tells workers apart: no good may be said where one is not, no bad where all are.
        if any(w == {"off-fabric"} for w in wants):
            expect(got != "on-fabric", "on-fabric, and a worker is not")
            counts["off-fabric, no worker named, told " + got] += 1
        elif not any("off-fabric" in w for w in wants):
            expect(got != "off-fabric", "off-fabric, and no worker is")
        if all(w == {"on-fabric"} for w in wants):
            expect(got == "on-fabric", f"all are on-fabric, told {got}")

    def compare_findings(self, told):
        text = "\n".join(line for lives in self.sources for life in lives for line in life.lines)
        outcomes = {life.outcome() for lives in self.sources for life in lives}
        expect(("KV301" in told) == ("tcp" in outcomes), f"findings {told}, a worker over tcp: {'tcp' in outcomes}")
        reason = re.search(r"libplugin_LIBFABRIC\.so: .*FABRIC_", text)
        expect(("KV101" in told) == bool(reason), f"findings {told}, the loader's reason is there: {bool(reason)}")
        expect(bool(told & {"KV201", "KV213"}) == ("Backend UCX was instantiated" in text), f"findings {told}, UCX named: {'Backend UCX' in text}")
        known = {"KV101", "KV201", "KV203", "KV204", "KV213", "KV301", "KV606"}
        expect(told <= known, f"findings {told - known} of what did not happen")

    def compare_worker(self, report, n, want, label, paths):
        path = paths[0 if self.is_one_file else n]
        mine = [p for p in report["processes"] if p["file"] == path
                and (not label or not self.is_one_file or label(n) == p["label"] or p["name"].endswith(" " + label(n)))]
        verdicts = {p["verdict"] for p in mine if [e for e in p["events"] if e["kind"] not in ("gauge", "waiting", "warning", "fabric", "version")]}
        if not verdicts and None in want or "unknown" in want and not verdicts:
            return
        expect(len(verdicts) == 1, f"worker {n} has the verdicts {verdicts}")
        expect(verdicts <= want, f"worker {n} is {verdicts}, right is {want}: {[p['reason'] for p in mine]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="this job alone")
    parser.add_argument("--lives", help="a file of the real workers' logs, written where it is not there")
    parser.add_argument("--keep", help="a directory for the files of --only")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("worker_logs: needs root (it runs the containers)")
    lives, counts, failed = lives_of(args.lives), collections.Counter(), 0
    numbers = [args.only] if args.only is not None else range(args.n)
    with tempfile.TemporaryDirectory(prefix="kvpath-worker-logs-") as work:
        for number in numbers:
            job = Job(args.seed, number, lives)
            try:
                job.compare(args.keep or work, counts)
            except Failure as e:
                failed += 1
                print(f"not ok  job {number} of seed {args.seed}, {job.carrier}{', one file' if job.is_one_file else ''}{', noise' if job.is_noisy else ''}: {e}")
                for n, source in enumerate(job.sources):
                    print(f"    # {n}: " + "; ".join(map(str, source)), flush=True)
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    print(f"{len(numbers) - failed} passed, {failed} failed")
    sys.exit(bool(failed) or not numbers)


if __name__ == "__main__":
    main()
