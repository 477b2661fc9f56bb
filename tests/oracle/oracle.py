#!/usr/bin/env python3
"""oracle.py [--jobs N] [--suite SUITE] [VERSION...]: kvpath against the real loader and the real NIXL.

For containers of several NIXL versions, as found and after `kvpath fix` from each fabric source,
what kvpath says is compared with what then happens in the container: the agent that NIXL makes, and
dlopen of every plugin. Nothing here knows the right answer for a plugin; the container does.

One line a case, `ok` or `not ok`, then `N passed, N failed`. KVPATH names the program to test.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
ROOTS = os.path.join(TOP, "tests", "roots")
KVPATH = os.path.abspath(os.environ.get("KVPATH", os.path.join(TOP, "build", "bin", "kvpath")))
VERSIONS = ["0.9.0", "0.10.1", "1.0.1", "1.4.1", "1.5.0", "1.5.1"]
SOURCES = ["F1", "F1b", "F2"]
# Releases that base and container are made of, with the NIXL whose wheels wheels.lock has for their python.
SUITES = {"bookworm": VERSIONS, **dict.fromkeys(["jammy", "noble", "trixie", "resolute"], VERSIONS[1:])}
SUITE = os.environ.get("KVPATH_SUITE", "bookworm")
PYTHON = subprocess.check_output(["bash", "-c", '. "$0/lib.sh"; suite_python "$1"', ROOTS, SUITE], text=True).strip()
# Where Debian 13's libfabric finds too old a glibc.
OLD_GLIBC = ("bookworm", "jammy")
# 1.5.1 needs FABRIC_1.10, which none of the sources has.
HOPELESS = {"1.5.1": "FABRIC_1.10"}
MODULE = "nixl_cu13"
DEADLINE_S = 120


class Failure(Exception):
    pass


def served(name):
    """The fabric source of that name that SUITE can use: Ubuntu 22.04's libefa is older than these libfabrics need, so
    that there they come with their host's."""
    return name + "h" if SUITE == "jammy" and name in ("F1", "F2") else name


def expect(truth, text, *more):
    if not truth:
        raise Failure("\n".join([text, *map(str, more)]))


def same(what, ours, theirs):
    expect(ours == theirs, f"{what}: kvpath says {ours!r}", f"the container says {theirs!r}")


class Done:
    """A finished command: its status and its two streams."""

    def __init__(self, argv, text=None):
        # Its own clean locale, and no terminal; what the tests inherit must not matter.
        env = {**os.environ, "LC_ALL": "C", "NO_COLOR": "1"}
        for name in [n for n in env if n.startswith(("NIXL_", "FI_", "LD_"))]:
            del env[name]
        self.argv = argv
        try:
            p = subprocess.run(argv, input=text or "", capture_output=True, text=True,
                               errors="replace", timeout=DEADLINE_S, env=env)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(argv)}: no end after {DEADLINE_S} s") from None
        except OSError as e:
            raise Failure(str(e)) from None
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr

    def __str__(self):
        return f"$ {' '.join(self.argv)}\n{self.out}{self.err}[status {self.status}]"

    def ended(self, status):
        expect(self.status == status, f"status {self.status}, not {status}", self)
        return self

    def json(self, schema=None):
        try:
            value = json.loads(self.out)
        except ValueError as e:
            raise Failure(f"no JSON ({e})\n{self}") from None
        if schema:
            expect(value.get("schema") == schema, f"schema is not {schema}", self)
        return value


def kvpath(*args):
    return Done([KVPATH, *args])


def build(*args, suite=None):
    """A builder of tests/roots; its progress goes to our stderr."""
    p = subprocess.run([os.path.join(ROOTS, args[0]), *args[1:]], stdout=subprocess.PIPE, text=True,
                       stdin=subprocess.DEVNULL, env={**os.environ, **({"KVPATH_SUITE": suite} if suite else {})})
    if p.returncode:
        sys.exit(f"oracle: {' '.join(args)} failed")
    return p.stdout.strip()


def inside(root, *argv, binds=(), env=(), script=None):
    options = [x for b in binds for x in ("--bind", b)] + [x for e in env for x in ("--env", e)]
    text = None
    if script:
        with open(os.path.join(ROOTS, script), encoding="utf-8") as f:
            text = f.read()
    return Done([os.path.join(ROOTS, "run"), *options, root, *argv], text)


class Agent:
    """What the real nixl_agent does, and why its LIBFABRIC did not load."""

    def __init__(self, root, backend="LIBFABRIC", module=MODULE, **how):
        self.ran = inside(root, "python3", "-", module, backend, script="agent.py", **how)
        # One whose process ended on the way has made none.
        answer = self.ran.json() if self.ran.out else {"instantiated": False, "backends": []}
        self.instantiated, self.backends, self.error = answer["instantiated"], answer["backends"], answer.get("error")
        reason = re.search(r"Failed to load plugin from \S*/libplugin_LIBFABRIC\.so: (.*)",
                           self.ran.err)
        self.reason = reason.group(1) if reason else None


def plugins_of(report):
    """{name: plugin} of the first NIXL of a check, the one that the containers have."""
    expect(report.get("nixl"), "check finds no NIXL", json.dumps(report, indent=1)[:2000])
    return {p["name"]: p for p in report["nixl"][0]["plugins"]}


def finding_ids(report):
    return [f["id"] for f in report["findings"]]


def compare_plugins(report, truth):
    ours = plugins_of(report)
    wrong = []
    for name, real in truth.items():
        mine = ours.get(name)
        if mine is None:
            wrong.append(f"{name}: kvpath does not list it")
        elif mine["loads"] != real["loads"]:
            wrong.append(f"{name}: kvpath says {mine['loads']} ({mine.get('error')}), "
                         f"the loader {real['loads']} ({real['error']})")
        elif mine["loads"] != "abort" and (mine.get("error") or None) != real["error"]:
            wrong.append(f"{name}: kvpath says\n    {mine.get('error')}\n  the loader\n"
                         f"    {real['error']}")
    expect(not wrong, f"{len(wrong)} of {len(truth)} plugins differ", *wrong)
    expect(truth, "the container has no plugins")


def dlopen_all(root, **how):
    return inside(root, "python3", "-", MODULE, script="dlopen.py", **how).ended(0).json()


class Output:
    """Lines of all workers, in one order and one count."""

    def __init__(self):
        self.lock, self.passed, self.failed = threading.Lock(), 0, 0

    def note(self, name, failure, seconds):
        with self.lock:
            if failure is None:
                self.passed += 1
                print(f"ok      {name}  ({seconds:.1f} s)")
            else:
                self.failed += 1
                print(f"not ok  {name}  ({seconds:.1f} s)")
                for line in failure.rstrip().splitlines()[:60]:
                    print("    # " + line)
            sys.stdout.flush()


class Container:
    """The cases of one NIXL version. A case that leaves its copy changed gets the next a new one."""

    def __init__(self, version, sources, work, output):
        self.version, self.output, self.sources = version, output, sources
        self.root = os.path.join(work, version)
        self.hopeless = HOPELESS.get(version)
        self.before = self.after = self.last = None
        self.clean = False

    def case(self, name, function, *args):
        start = time.monotonic()
        failure = None
        try:
            function(*args)
        except Failure as e:
            failure = str(e)
        except (KeyError, TypeError, AttributeError, IndexError) as e:
            failure = f"an answer lacks what it should have: {type(e).__name__}: {e}"
        self.output.note(f"{self.version} {name}", failure, time.monotonic() - start)
        return failure is None

    def manifest(self):
        return Done([os.path.join(ROOTS, "manifest"), self.root]).ended(0).out

    def fresh(self):
        if os.path.exists(self.root):
            shutil.rmtree(self.root)
        build("container", self.version, self.root)
        self.before = self.manifest()
        self.clean = True

    def pristine_again(self):
        """What the case before left changed, or may have, is replaced by a new copy."""
        if not self.clean:
            self.fresh()

    def expect_unchanged(self, before, what):
        after = self.manifest()
        self.clean = after == self.before
        self.last = after
        if after != before:
            old, new = set(before.splitlines()), set(after.splitlines())
            raise Failure("\n".join([f"{what} changed the tree:",
                                     *(f"- {x}" for x in sorted(old - new)[:15]),
                                     *(f"+ {x}" for x in sorted(new - old)[:15])]))

    def check(self, *options, status=None):
        ran = kvpath("check", "--json", *options, self.root)
        if status is not None:
            ran.ended(status)
        expect(ran.status in (0, 1), "check cannot tell", ran)
        return ran.json("kvpath.check/1")

    # What the container is, before anything is done to it.

    def agrees(self, report, **how):
        agent = Agent(self.root, **how)
        ours = plugins_of(report)["LIBFABRIC"]
        expect(ours["loads"] in ("yes", "no", "abort"), f"loads is {ours['loads']}")
        same("LIBFABRIC loads", ours["loads"] == "yes", agent.instantiated)
        same("the process ends", ours["loads"] == "abort", not agent.ran.out)
        if agent.ran.out:
            same("the reason", ours.get("error") or None, agent.reason)
        return agent

    def as_found(self):
        report = self.check(status=1)
        agent = self.agrees(report)
        expect(SUITE != "bookworm" or not agent.instantiated, "the container is not broken", agent.ran)
        expect(report["verdict"] == "off-fabric", f"verdict is {report['verdict']}")
        expect(report["nixl"][0]["version"] == self.version,
               f"kvpath calls it {report['nixl'][0]['version']}")
        old = {"KV101"} if "version `FABRIC_" in (agent.reason or "") else set()
        missing = (old | {"KV201"}) - set(finding_ids(report))
        expect(not missing, f"findings lack {missing}: {finding_ids(report)}")
        self.expect_unchanged(self.before, "check")

    def found_plugins(self):
        compare_plugins(self.check(), dlopen_all(self.root))

    def live(self):
        ran = inside(self.root, "/kvpath/bin/kvpath", "check", "--json", "/",
                     binds=[os.path.dirname(os.path.dirname(KVPATH)) + ":/kvpath"])
        expect(ran.status == 1, f"status {ran.status}, not 1", ran)
        compare_plugins(ran.json("kvpath.check/1"), dlopen_all(self.root))

    def bare(self):
        where = os.path.dirname(plugins_of(self.check())["LIBFABRIC"]["path"])
        host = os.path.normpath(self.root + where)
        files = [where + "/" + f for f in sorted(os.listdir(host)) if f.endswith(".so")]
        expect(files, f"no plugins in {host}")
        truth = inside(self.root, "/bare/bare", *files, binds=[build("bare") + ":/bare"]).ended(0)
        wrong = []
        for file, line in zip(files, truth.out.splitlines(), strict=True):
            loads, _, error = line.partition(" ")
            ran = kvpath("why", "--json", "--process", "bare", self.root, file)
            answer = ran.json("kvpath.why/1")
            # A process that dies says nothing.
            said = "" if answer["loads"] == "abort" else answer.get("error") or ""
            if (answer["loads"], said) != (loads, error):
                wrong.append(f"{file}: kvpath says {answer['loads']} {answer.get('error')!r}, "
                             f"the loader {loads} {error!r}")
            status = {"yes": 0, "no": 1, "abort": 1}[loads]
            if ran.status != status:
                wrong.append(f"{file}: why ends with {ran.status}, not {status}")
        expect(not wrong, f"{len(wrong)} of {len(files)} differ", *wrong)

    def library_path(self, source):
        """The usual hand repair: the host's directory mounted, LD_LIBRARY_PATH set to it."""
        efa = self.sources[source] + "/opt/amazon"
        env = "LD_LIBRARY_PATH=/opt/amazon/efa/lib"
        report = self.check("--mount", efa + ":/opt/amazon", "--env", env)
        how = {"binds": [efa + ":/opt/amazon"], "env": [env]}
        compare_plugins(report, dlopen_all(self.root, **how))
        self.agrees(report, **how)

    def moved(self):
        """Plugins taken out of their tree lose what $ORIGIN gave them."""
        where = os.path.dirname(plugins_of(self.check())["LIBFABRIC"]["path"])
        self.clean = False
        os.rename(os.path.normpath(self.root + where), self.root + "/opt/plugins")
        env = "NIXL_PLUGIN_DIR=/opt/plugins"
        report = self.check("--env", env, status=1)
        compare_plugins(report, dlopen_all(self.root, env=[env]))
        agent = self.agrees(report, env=[env])
        if "cannot open shared object file" in (agent.reason or ""):
            expect("KV108" in finding_ids(report), f"KV108 is not among {finding_ids(report)}")

    def by_environment(self):
        """`run` in the container: the agent works, and the tree stays as it is."""
        binds = [os.path.dirname(os.path.dirname(KVPATH)) + ":/kvpath",
                 self.sources["F1"] + "/opt/amazon:/opt/amazon"]
        ran = inside(self.root, "/kvpath/bin/kvpath", "run", "--backend", "LIBFABRIC", "--",
                     "python3", "-", MODULE, "-", script="agent.py", binds=binds)
        if self.hopeless or SUITE == "jammy":
            if not self.hopeless:  # what it lacks is the host's, and not in /opt/amazon
                expect(ran.status == 1 and "does not repair this" in ran.err, "run does not refuse", ran)
                return
            expect(ran.status != 0 or not ran.json()["instantiated"], "it cannot work", ran)
            expect(self.hopeless in ran.out + ran.err, f"{self.hopeless} is not named", ran)
            return
        answer = ran.ended(0).json()
        expect(answer["backends"] == ["LIBFABRIC"], "the default agent has no LIBFABRIC", ran)

    def other_abi(self):
        """An older rdma-core in the target than the host's, of another private ABI: both libraries go along."""
        new, old = self.root + "/usr/lib/x86_64-linux-gnu/", build("base", suite="bookworm") + "/usr/lib/x86_64-linux-gnu/"
        parts = ("libefa.so.", "libibverbs.so.")
        self.clean = False
        for name in [n for n in os.listdir(new) if n.startswith(parts)]:
            os.remove(new + name)
        for name in [n for n in os.listdir(old) if n.startswith(parts)]:
            shutil.copy2(old + name, new + name, follow_symlinks=False)
        before = self.manifest()
        report = self.check("--mem", "dram", status=1)
        expect(not self.agrees(report).instantiated, "the old libraries serve")
        expect("KV312" in finding_ids(report), f"KV312 is not among {finding_ids(report)}")
        ran = kvpath("fix", "--mem", "dram", "--fabric", build("fabric", "OWNh") + "/opt/amazon/efa", self.root)
        if self.version == "0.10.1":  # its plugin's RUNPATH leads no library below it, and the target's own stay
            expect(ran.status == 1 and "libefa.so.1" in ran.out + ran.err, "it is not refused for that", ran)
            self.expect_unchanged(before, "a refused fix")
            return
        ran.ended(0)
        for name in ("/libefa.so.1", "/libibverbs.so.1", "/libefa-rdmav59.so"):
            expect(name in ran.out, f"{name} does not go along", ran)
        expect(self.agrees(self.check("--mem", "dram", status=0)).instantiated, "the pair does not serve")
        kvpath("undo", self.root).ended(0)
        self.expect_unchanged(before, "fix and undo")

    # What fix makes of it.

    def efa(self, source):
        return self.sources[source] + "/opt/amazon/efa"

    def dry_run(self, source):
        ran = kvpath("fix", "--dry-run", "--fabric", self.efa(source), self.root).ended(0)
        expect("libfabric.so.1" in ran.out, "no plan is shown", ran)
        self.expect_unchanged(self.before, "fix --dry-run")

    def fix(self, source):
        self.after, self.clean = None, False
        kvpath("fix", "--fabric", self.efa(source), self.root).ended(0)
        self.after = self.last = self.manifest()
        expect(self.after != self.before, "fix changed nothing")

    def fixed(self, source):
        report = self.check()
        agent = self.agrees(report)
        expect(agent.instantiated, "the real agent still has no LIBFABRIC", agent.ran)
        compare_plugins(report, dlopen_all(self.root))

    def verdict(self, source):
        if source == "F1":
            expect(self.check(status=0)["verdict"] == "ready", "verdict is not ready")
        elif source == "F1b":
            ids = finding_ids(self.check())
            expect("KV309" in ids, f"KV309 is not among {ids}")
        else:
            report = self.check("--mem", "dram", status=0)
            expect(report["verdict"] == "ready", f"verdict is {report['verdict']}")
            report = self.check("--mem", "vram", status=1)
            expect("KV404" in finding_ids(report), f"KV404 is not among {finding_ids(report)}")

    def default_backend(self):
        for env, backend in (([], "LIBFABRIC"), (["NIXL_BACKEND=UCX"], "UCX")):
            agent = Agent(self.root, "-", env=env)
            expect(agent.backends == [backend], f"with {env} the default agent has "
                   f"{agent.backends}, not {backend}", agent.ran)

    def fixed_tree(self):
        return self.after is not None and self.after != self.before

    def fix_again(self, source):
        expect(self.fixed_tree(), "there was no first fix")
        kvpath("fix", "--fabric", self.efa(source), self.root).ended(0)
        self.expect_unchanged(self.after, "the second fix")

    def prove(self, source):
        """Whether bytes arrive is NIXL's affair too: 0.9.0 and 0.10.1 write blocks of a registered
        region to wrong places over the sockets provider, and prove must say so."""
        expect(self.fixed_tree(), "there was no fix")
        truth = inside(self.root, "python3", "-", MODULE, "LIBFABRIC", script="transfer.py").json()
        # Without being asked for, tcp is no proof of the fabric.
        for asked, status in ((["--provider", "tcp"], 0 if truth["intact"] else 1), ([], 1)):
            ran = kvpath("prove", "--json", "--mem", "dram", *asked, self.root).ended(status)
            answer = ran.json("kvpath.prove/1")
            expect(answer["backend"] == "LIBFABRIC", "it is not LIBFABRIC", ran)
            expect(re.match("tcp|sockets", answer["provider"]), "the provider is not tcp", ran)
            expect("efa" in answer["not_proven"], "efa is called proven", ran)
            if not asked:
                expect(answer["verdict"] == "off-fabric", "tcp is called the fabric", ran)
            same("intact", answer["intact"], truth["intact"])
            expect(("moves" in answer["proven"]) == truth["intact"], "moves is told wrong", ran)
            expect((answer["bytes"] > 0) == truth["intact"], "bytes is told wrong", ran)
        self.expect_unchanged(self.last, "prove")

    def undo(self):
        expect(self.fixed_tree(), "there is nothing to undo")
        kvpath("undo", self.root).ended(0)
        self.expect_unchanged(self.before, "fix and undo")

    def refused(self, source, reason):
        """A source that cannot serve: status 1, the reason named, nothing touched."""
        ran = kvpath("fix", "--fabric", self.efa(source), self.root).ended(1)
        expect(reason in ran.out + ran.err, f"{reason} is not named", ran)
        if self.hopeless:
            expect(re.search(r"libfabric (>= ?)?2\.7|1\.51", ran.out + ran.err),
                   "what would serve is not named", ran)
        self.expect_unchanged(self.before, "a refused fix")

    def run(self):
        self.fresh()
        self.case("as found: check agrees with the agent", self.as_found)
        self.case("as found: every plugin is judged as the loader does", self.found_plugins)
        self.case("as found: the live check in it says the same", self.live)
        self.case("as found: why agrees with a bare process", self.bare)
        for source in ["F1", "F1b", "F2", "D13"]:
            self.case(f"{source} by LD_LIBRARY_PATH: check agrees", self.library_path, source)
        self.case("F1 by run: environment alone", self.by_environment)
        self.case("plugins moved out of their tree", self.moved)
        if SUITE == "resolute" and not self.hopeless:
            self.pristine_again()
            self.case("an older rdma-core than the host's", self.other_abi)
            self.clean = False
        for source in SOURCES:
            self.pristine_again()
            if self.hopeless:
                self.case(f"{source}: fix refuses", self.refused, source, self.hopeless)
                continue
            if source == "F1":
                self.case(f"{source}: fix --dry-run touches nothing", self.dry_run, source)
            self.case(f"{source}: fix", self.fix, source)
            self.case(f"{source}: check agrees with the agent and the loader", self.fixed, source)
            self.case(f"{source}: verdict", self.verdict, source)
            self.case(f"{source}: default backend", self.default_backend)
            self.case(f"{source}: a second fix changes nothing", self.fix_again, source)
            self.case(f"{source}: prove agrees with a real transfer", self.prove, source)
            self.case(f"{source}: undo puts every byte back", self.undo)
        self.pristine_again()
        if self.hopeless or SUITE in OLD_GLIBC:
            self.case("D13: fix refuses", self.refused, "D13", self.hopeless or "GLIBC_2.38")
        shutil.rmtree(self.root)


def main():
    global SUITE
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--suite", choices=SUITES, default=SUITE, help=f"what the containers are made of (default: {SUITE})")
    parser.add_argument("version", nargs="*", help="default: all that there are for the suite")
    args = parser.parse_args()
    SUITE = os.environ["KVPATH_SUITE"] = args.suite
    versions = args.version or SUITES[SUITE]
    if os.geteuid() != 0:
        sys.exit("oracle: needs root (it runs the containers)")
    if not os.access(KVPATH, os.X_OK):
        sys.exit(f"oracle: {KVPATH} is not there: build first")
    sources = {name: build("fabric", served(name)) for name in SOURCES}
    sources["D13"] = build("fabric", "D13")
    for version in versions:
        build("container", version)
    build("bare")
    cache = os.path.dirname(os.path.dirname(sources["F1"]))
    output = Output()
    with tempfile.TemporaryDirectory(prefix="oracle-", dir=cache) as work:
        with ThreadPoolExecutor(args.jobs) as pool:
            jobs = [pool.submit(Container(v, sources, work, output).run) for v in versions]
            for job in jobs:
                job.result()
    print(f"{output.passed} passed, {output.failed} failed")
    sys.exit(output.failed != 0)


if __name__ == "__main__":
    main()
