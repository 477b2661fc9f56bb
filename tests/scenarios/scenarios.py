#!/usr/bin/env python3
"""scenarios.py [-j N] [-k TEXT]: every fault that kvpath knows, injected for real, and what is healthy.

A scenario is an entry of a .toml file here (README.md tells the fields): a target, what is done to it, and exactly
which errors and warnings kvpath must then find. Where the fault acts on loading or instantiating, the real NIXL is
run in the same target and must agree. One line a scenario, `ok` or `not ok`; then the confusion matrix; the last
line is `N passed, N failed`. KVPATH names the program to test.
"""
import argparse
import collections
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "oracle"), os.path.join(TOP, "tests", "hosts")]

from oracle import KVPATH, MODULE, PYTHON, ROOTS, Agent, Failure, build, expect, inside, kvpath, plugins_of, same, served  # noqa: E402
import hosts  # noqa: E402

SOURCES = ("F1", "F1b", "F1h", "F2", "F2h", "D13")
FIELDS = {"name", "near", "container", "fabric", "fix", "change", "host", "host_change", "host_shell", "env", "args", "live", "nobody", "log",
          "log_file", "log_edit", "recipe", "recipe_edit", "expect", "verdict", "agent", "module", "prove", "default", "agent_log", "agents", "commands"}
# The agent is not told of a host: it runs on this machine, which has no EFA.
AGENT = {"fails": False, "instantiates": True, "dies": None, "ends": None}
PROGRAM = os.path.dirname(os.path.dirname(KVPATH)) + ":/kvpath"


class Wrong(Exception):
    """What kvpath found is not what was expected: ids that are missed, ids that are false alarms."""

    def __init__(self, missed, alarms, report):
        super().__init__()
        self.missed, self.alarms, self.report = missed, alarms, report

    def lines(self):
        yield from (f"missed {id} {severity}" for id, severity in sorted(self.missed))
        for id, severity in sorted(self.alarms):
            details = [f["detail"] for f in self.report["findings"] if (f["id"], f["severity"]) == (id, severity)]
            yield f"false alarm {id} {severity}: {details[0] if details else ''}"


class Scenario:
    def __init__(self, entry, file):
        self.file = os.path.basename(file)
        unknown = set(entry) - FIELDS
        if unknown or "name" not in entry or "expect" not in entry:
            sys.exit(f"{file}: {entry.get('name')}: {', '.join(sorted(unknown)) or 'name and expect are needed'}")
        for field in FIELDS:
            setattr(self, field, entry.get(field))
        self.module = self.module or MODULE
        if self.container and not self.host and self.agent not in AGENT and not (self.agent or "").startswith("no: "):
            sys.exit(f"{file}: {self.name}: what does its agent do? (or: 'no: why it is not asked')")
        self.wanted = parse(self.expect)
        self.logged = parse(self.agent_log) if self.agent_log is not None else None
        self.matrix = []  # (id, severity, expected, found)

    def injected(self):
        return {id for id, _ in self.wanted | (self.logged or set())}


def parse(expected):
    pairs = {tuple(e.split()) for e in expected}
    if any(len(p) != 2 or not re.fullmatch(r"KV\d{3}", p[0]) or p[1] not in ("error", "warning", "info")
           for p in pairs):
        sys.exit(f"scenarios: not of the form 'KV101 error': {expected}")
    return pairs


class Roots:
    """Containers as found or repaired, each once; a scenario's own is an overlay over one of them."""

    def __init__(self, work):
        self.work, self.sources = work, {}
        self.locks = collections.defaultdict(threading.Lock)
        self.lock = threading.Lock()
        self.made = {}

    def source(self, name):
        with self.lock:
            if name not in self.sources:
                self.sources[name] = build("fabric", served(name))
            return self.sources[name] + "/opt/amazon/efa"

    def layers(self, version, fabric, fix):
        """The directories that an overlay needs below it."""
        key = (version, fabric, tuple(fix or ()))
        with self.lock:
            lock = self.locks[key]
        with lock:
            if key not in self.made:
                below = build("container", version)
                self.made[key] = [below]
                if fabric:
                    at = os.path.join(self.work, "base-" + re.sub(r"\W", "-", "-".join([version, fabric, *key[2]])))
                    root = Overlay(at, [below])
                    kvpath("fix", *key[2], "--fabric", self.source(fabric), root.path).ended(0)
                    root.close(keep=True)
                    self.made[key] = [at + "/up", below]
            return self.made[key]


class Overlay:
    def __init__(self, at, layers):
        self.at, self.path = at, at + "/root"
        for name in ("up", "work", "root"):
            os.makedirs(os.path.join(at, name))
        subprocess.run(["mount", "-t", "overlay", "-o",
                        f"lowerdir={':'.join(layers)},upperdir={at}/up,workdir={at}/work", "overlay", self.path],
                       check=True)

    def close(self, keep=False):
        subprocess.run(["umount", self.path], check=True)
        if not keep:
            shutil.rmtree(self.at)


class Trial:
    """One scenario being run, in a directory of its own."""

    def __init__(self, scenario, roots, at):
        self.s, self.roots, self.at = scenario, roots, at
        self.overlay = None
        os.makedirs(at)

    def target(self):
        s = self.s
        if not s.container:
            os.makedirs(self.at + "/empty")
            path = self.at + "/empty"
        else:
            self.overlay = Overlay(self.at + "/overlay", self.roots.layers(s.container, s.fabric, s.fix))
            path = self.overlay.path
        if s.change:
            self.shell(path, s.change)
        return path

    def shell(self, path, script):
        """The fault's script, with the words of lib.sh, in the target's root."""
        env = {**os.environ, "KVPATH": KVPATH, "ROOTS": ROOTS, "PYTHON": PYTHON, "LC_ALL": "C",
               **{f"EFA_{n}": self.roots.source(n) for n in SOURCES if n in script}}
        p = subprocess.run(["bash", "-euc", f". {shlex.quote(HERE)}/lib.sh\n{script}"], cwd=path, env=env,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        expect(p.returncode == 0, f"the change failed (status {p.returncode})", p.stdout, p.stderr)

    def options(self):
        s = self.s
        found = [self.roots.source(a[1:]) if a[1:] in SOURCES and a[0] == "@" else a for a in s.args or ()]
        for e in s.env or ():
            found += ["--env", e]
        if s.host:
            hosts.build(s.host, self.at + "/host", s.host_change or ())
            if s.host_shell:
                self.shell(self.at + "/host", s.host_shell)
            found += ["--sysroot", self.at + "/host"]
        return found

    def check(self, path):
        if self.s.live:
            ran = inside(path, "/kvpath/bin/kvpath", "check", "--json", *self.options(), "/", binds=[PROGRAM],
                         env=self.s.env or ())
        elif self.s.nobody:
            ran = self.as_nobody(path, "check", "--json")
        else:
            ran = kvpath("check", "--json", *self.options(), path)
        expect(ran.status in (0, 1, 3), "check ended badly", ran)
        return ran.json("kvpath.check/1")

    def as_nobody(self, path, *words):
        return inside(path, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/kvpath/bin/kvpath", *words,
                      *self.options(), "/mnt", binds=[PROGRAM, path + ":/mnt"])

    def refuses(self, path):
        """What could not be read is no ground to repair on."""
        for words in (["fix", "--dry-run"], ["render", "--for", "cdi"]):
            ran = self.as_nobody(path, *words)
            expect(ran.status in (1, 3), f"{words[0]} does not refuse", ran)

    def log(self):
        """Recorded lines, changed with sed as the scenario says, read as one file."""
        s = self.s
        return self.read_log(self.text(s.log or "", s.log_file, s.log_edit), s.args or ())

    def text(self, text, file, edit):
        if file:
            with open(os.path.join(TOP, file), encoding="utf-8") as f:
                text = f.read()
        if not edit:
            return text
        done = subprocess.run(["sed", "-E", *[x for e in edit for x in ("-e", e)]], input=text, capture_output=True,
                              text=True, check=True)
        expect(done.stdout != text, "the edit changes nothing")
        return done.stdout

    def lint(self):
        """A recipe: a file of the repository, or its lines."""
        s = self.s
        is_text = "\n" in s.recipe
        path, text = self.at + "/recipe.yaml", self.text(s.recipe, None if is_text else s.recipe, s.recipe_edit)
        for name in SOURCES:
            if f"@{name}:" in text:
                text = text.replace(f"@{name}:", self.roots.source(name) + ":")
        if s.container:
            text = text.replace("@target", self.target())
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        ran = kvpath("lint", "--json", path)
        expect(ran.status in (0, 1), "lint ended badly", ran)
        findings = [{"detail": "", **f} for f in ran.json("kvpath.lint/1")["files"][0]["findings"]]
        return {"findings": findings, "verdict": "off-fabric" if ran.status else "ready"}

    def read_log(self, text, options=()):
        path = self.at + "/worker.log"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        ran = kvpath("log", "--json", *options, path)
        expect(ran.status in (0, 1, 3), "log ended badly", ran)
        return ran.json("kvpath.log/1")

    def judge(self, report, wanted):
        found = {(f["id"], f["severity"]) for f in report["findings"]}
        found = {p for p in found if p[1] != "info" or p in wanted}
        self.s.matrix += [(*p, p in wanted, p in found) for p in sorted(found | wanted)]
        if found != wanted:
            raise Wrong(wanted - found, found - wanted, report)

    def verdict(self, report, wanted):
        want = self.s.verdict or ("off-fabric" if any(s == "error" for _, s in wanted) else "ready")
        expect(report["verdict"] == want, f"verdict is {report['verdict']}, not {want}")

    def ask(self, path, report):
        """The real NIXL, in the same target with the same environment."""
        s = self.s
        agent = Agent(path, module=s.module, env=s.env or ())
        if s.agent == "dies":
            expect(agent.ran.status == -signal.SIGABRT, "the real agent does not abort", agent.ran)
            if s.logged is not None:
                self.judge(self.read_log(agent.ran.err), s.logged)
            return
        if s.agent == "ends":
            expect(agent.ran.status == 1 and not agent.ran.out, "the real agent's process does not end", agent.ran)
            same("LIBFABRIC loads", plugins_of(report)["LIBFABRIC"]["loads"], "abort")
            if s.logged is not None:
                self.judge(self.read_log(agent.ran.err), s.logged)
            return
        expect(agent.instantiated == AGENT[s.agent], f"the real agent {'has' if agent.instantiated else 'lacks'} "
               "LIBFABRIC, the scenario says otherwise", agent.ran)
        # The one that is imported, where several packages lie side by side.
        nixls = sorted(report["nixl"], key=lambda n: not n.get("active"))
        ours = [p for n in nixls for p in n["plugins"] if p["name"] == "LIBFABRIC"]
        if report["verdict"] == "unknown":
            pass  # then it may say so or so
        elif ours:
            # What is instantiated was loaded; what fails with a reason of the loader was not.
            if agent.instantiated or agent.reason:
                same("LIBFABRIC loads", ours[0]["loads"] == "yes", agent.instantiated)
                same("the reason", ours[0].get("error") or None, agent.reason)
        else:
            expect(not agent.instantiated, "kvpath sees no plugin, the real agent has it")
        if s.default:
            default = Agent(path, "-", module=s.module, env=s.env or ())
            expect(default.backends == [s.default], f"the default agent has {default.backends}", default.ran)
        if self.s.logged is not None:
            self.judge(self.read_log(agent.ran.err), s.logged)

    def start(self, path):
        """`run` looks at less than `check`: what it starts must find what was promised, its refusal is check's."""
        s, kv, binds = self.s, "/kvpath/bin/kvpath", [PROGRAM]
        if not os.path.lexists(path + "/opt"):
            return
        # A host's installation to borrow from, unless the scenario has one of its own there.
        if not os.path.lexists(path + "/opt/amazon"):
            binds.append(self.roots.source("F1") + ":/opt/amazon/efa")
        pairs = list(zip(s.args or (), (s.args or ())[1:]))
        options = [word for pair in pairs if pair[0] in ("--mem", "--backend") for word in pair]
        backend = dict(pairs).get("--backend", "LIBFABRIC")
        ran = inside(path, kv, "run", *options, "--", kv, "check", "--json", *options, "/", binds=binds, env=s.env or ())
        refusal = re.search(r"the environment alone does not repair this: (.*)", ran.err)
        if refusal:
            expect(ran.status in (1, 3), "a refusal has another status", ran)
            report = inside(path, kv, "check", "--json", *options, "/", binds=binds, env=s.env or ()).json()
            loads = [p["loads"] for n in report["nixl"] if n["active"] for p in n["plugins"] if p["name"] == backend]
            expect(not loads or set(loads) != {"yes"}, "refused though it loads", ran)
            # Neither the machine's faults nor the default are a reason.
            why = [f["detail"] for f in report["findings"] if f["severity"] == "error" and f["id"] not in ("KV201", "KV612")]
            expect(refusal[1] in why or (not why and "can not be told" in refusal[1]), "the reason is not one of check's", ran, why)
            return
        report = ran.json("kvpath.check/1")
        # Of several NIXLs that differ, run starts with the one that python has.
        in_doubt = any(f["id"] == "KV110" and "can not be told" in f["detail"] for f in report["findings"])
        for nixl in report["nixl"] if not in_doubt else []:
            loads = [p["loads"] for p in nixl["plugins"] if p["name"] == backend]
            expect(not nixl["active"] or loads == ["yes"], f"started though {backend} does not load", ran)

    def command(self, path, line):
        """`run` starts the real agent as this command, or refuses it and the real one fails."""
        cwd, refused, words = line.split(": ", 2)
        words = ["env", "-C", cwd, *words.split(), "nixl_cu13", "LIBFABRIC"]
        ran = inside(path, *words[:3], "/kvpath/bin/kvpath", "run", "--", *words[3:], binds=[PROGRAM], env=self.s.env or ())
        if refused == "1":
            expect(ran.status in (1, 3) and "does not repair this" in ran.err, f"{line}: run does not refuse", ran)
            ran = inside(path, *words, env=self.s.env or ())
        else:
            expect(ran.status == 0, f"{line}: run refuses", ran)
        expect(ran.json()["instantiated"] == (refused == "0"), f"{line}: the real agent does otherwise", ran)

    def run(self):
        s = self.s
        try:
            if s.log or s.log_file:
                report = self.log()
            elif s.recipe:
                report = self.lint()
            else:
                path = self.target()
                report = self.check(path)
            self.judge(report, s.wanted)
            self.verdict(report, s.wanted)
            if s.nobody and report["verdict"] == "unknown":
                self.refuses(path)
            if s.agent in AGENT:
                self.ask(path, report)
            for backend, instantiates in (s.agents or {}).items():
                agent = Agent(path, backend, module=s.module, env=s.env or ())
                expect(agent.instantiated == instantiates, f"the agent of {backend} does otherwise", agent.ran)
            for line in s.commands or ():
                self.command(path, line)
            if s.prove:
                kvpath("prove", "--quiet", "--mem", "dram", "--provider", s.prove, path).ended(0)
            # The other files' faults differ by what check says of them, not by what starting a command needs.
            if s.container and not s.host and s.file in ("containers.toml", "copies.toml", "several.toml"):
                self.start(path)
        finally:
            if self.overlay:
                self.overlay.close()
            shutil.rmtree(self.at)


def each(entry):
    """An entry with a list of containers or hosts is one scenario for each."""
    for field, what in (("container", "NIXL "), ("host", "")):
        if isinstance(entry.get(field), list):
            for value in entry[field]:
                yield from each({**entry, field: value, "name": f"{entry['name']}, {what}{value}"})
            return
    yield entry


def read_all(part):
    found = []
    for file in sorted(glob.glob(os.path.join(HERE, "*.toml"))):
        with open(file, "rb") as f:
            found += [Scenario(one, file) for entry in tomllib.load(f)["scenario"] for one in each(entry)]
    names = collections.Counter(s.name for s in found)
    if names.most_common(1)[0][1] > 1:
        sys.exit(f"scenarios: two are called '{names.most_common(1)[0][0]}'")
    return [s for s in found if part in s.name or part in s.file]


def rule_ids():
    """{id: macro} of the table of rules."""
    with open(os.path.join(TOP, "src", "rules", "rules.def"), encoding="utf-8") as f:
        return {m[2]: m[1] for m in re.finditer(r"^(KV_\w+)\((KV\d{3}),", f.read(), re.M)}


def print_matrix(scenarios):
    """Per id: in how many scenarios it was injected, found, missed, and found where it was not injected."""
    rows = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
    for s in scenarios:
        for id, _, expected, found in s.matrix:
            for i, counts in enumerate((expected, expected and found, expected and not found, found and not expected)):
                rows[id][i] += counts
        if s.near:
            rows[s.near][4] += 1
    print("\nid      injected  found  missed  false alarms  nearly")
    for id in sorted(rows):
        print("%-6s %9d %6d %7d %13d %7d" % (id, *rows[id]))
    none = sorted(set(rule_ids()) - {id for id in rows if rows[id][0]})
    if none:
        print(f"in no scenario: {' '.join(none)}")
    faults = [s for s in scenarios if s.injected()]
    print(f"{len(scenarios)} scenarios: {len(faults)} with faults, {len([s for s in scenarios if s.near])} nearly, "
          f"{len([s for s in scenarios if not s.injected() and not s.near])} healthy; the real NIXL asked in "
          f"{len([s for s in scenarios if s.agent in AGENT])}")
    missed, alarms = (sum(r[i] for r in rows.values()) for i in (2, 3))
    print(f"missed {missed}, false alarms {alarms}")
    return missed + alarms, none


def run_one(scenario, roots, at, lock):
    start, failure = time.monotonic(), None
    try:
        Trial(scenario, roots, at).run()
    except Wrong as e:
        failure = list(e.lines())
    except Failure as e:
        failure = str(e).splitlines()
    except (KeyError, TypeError, subprocess.SubprocessError, OSError) as e:
        failure = [f"{type(e).__name__}: {e}"]
    with lock:
        print(f"{'ok     ' if failure is None else 'not ok '} {scenario.file.removesuffix('.toml')}: {scenario.name}  "
              f"({time.monotonic() - start:.1f} s)")
        for line in (failure or [])[:40]:
            print("    # " + line[:400])
        sys.stdout.flush()
    return failure is None


def own_mounts(name):
    """Goes on in a mount namespace of its own: whatever happens, nothing stays mounted."""
    if os.geteuid() != 0:
        sys.exit(f"{name}: needs root (it mounts overlays and runs containers)")
    mark = f"KVPATH_{name.upper()}_NS"
    if mark not in os.environ:
        os.environ[mark] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--", sys.executable, *sys.argv])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1), help="how many at a time")
    parser.add_argument("-k", default="", metavar="TEXT", help="only those with TEXT in their name or file")
    args = parser.parse_args()
    own_mounts("scenarios")
    scenarios = read_all(args.k)
    if not scenarios:
        sys.exit(f"scenarios: none has '{args.k}' in its name")
    with tempfile.TemporaryDirectory(prefix="kvpath-scenarios-") as work:
        # In memory: an overlay's upper layer has to be on another file system than an overlay.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "kvpath-scenarios", work], check=True)
        roots, lock = Roots(work), threading.Lock()
        with ThreadPoolExecutor(args.j) as pool:
            good = list(pool.map(lambda i: run_one(scenarios[i], roots, f"{work}/{i}", lock), range(len(scenarios))))
        subprocess.run(["umount", "-l", work], check=True)
    wrong, lacking = print_matrix(scenarios)
    wrong += len(lacking) if not args.k else 0  # every finding has a scenario
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    sys.exit(bool(wrong or not all(good)))


if __name__ == "__main__":
    main()
