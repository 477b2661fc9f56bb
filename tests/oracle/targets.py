#!/usr/bin/env python3
"""targets.py [--n TARGETS] [--seed S] [--only NUMBER] [--change NAME] [-j JOBS]: containers broken, mended and set up by chance, kvpath against the real NIXL.

Each target is a real container of some NIXL with a few changes that the field's images and jobs have: where a libfabric lies and
who finds it, what is missing, cut, linked or moved, other NIXLs beside, variables, RPATHs. Then, with no answer known here:
what check says of the plugin, with its reason, and of the backend by default, is what the real agent does; what is ready
makes its agent over LIBFABRIC; what fix calls repaired does so too; what fix refuses is as it was; undo puts every byte back;
what `run` starts makes its agent, too. A recording, and with --images an image, get the same answer. LOOK='kvpath check .' with --only shows one.
KVPATH_SUITE: the release that the containers are of, as in oracle.py.
A line for each that differs, with its script, to be made a scenario of. Prints `N passed, N failed`.
"""
import argparse
import collections
import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "scenarios")]
from changes import CHANGES, VERSIONS  # noqa: E402
import launchers  # noqa: E402
from oracle import MODULE, PYTHON, ROOTS, Agent, Done, Failure, build, expect, inside, kvpath, same  # noqa: E402
from scenarios import PROGRAM, Roots, Scenario, Trial, own_mounts  # noqa: E402

LOOK = os.environ.get("LOOK")  # a command to run in the root of a target, once it was asked


def plan(seed, number, always):
    """A scenario by chance, with the change of that name in it."""
    r, env = random.Random(f"{seed}/{number}"), {}
    version = r.choice(VERSIONS)
    functions, weights = zip(*CHANGES)
    chosen = [f for f in functions if f.__name__ == always] + r.choices(functions, weights, k=r.choice([1, 1, 2, 2, 3, 4]))
    chosen = list(dict.fromkeys(chosen))
    lines = [line for f in chosen if (line := f(r, env))]
    entry = {"name": f"target {number} of seed {seed}", "container": version, "expect": [], "agent": "no: by chance", "args": ["--mem", "dram"]}
    if lines:
        entry["change"] = "\n".join(lines)
    if env:
        entry["env"] = [f"{k}={v}" for k, v in env.items()]
    return entry


class Target(Trial):
    """What kvpath says of it and does with it, beside the real thing."""

    def __init__(self, entry, roots, at, counts, others, with_image=False, brought_by=(), module=MODULE):
        super().__init__(Scenario(entry, "targets.toml"), roots, at)
        self.counts, self.others, self.module, self.with_image, self.launchers = counts, others, module, with_image, brought_by

    def shell(self, path, script):
        for version, at in self.others.items():
            script = script.replace(f"$OTHER_{version.replace('.', '_')}/", f"{at}/")
        # The changes name what they change as it lies in Debian 12.
        super().shell(path, script.replace("python3.11", f"python{PYTHON}").replace("cpython-311", f"cpython-{PYTHON.replace('.', '')}"))

    def agent(self, path, backend="-"):
        return Agent(path, backend, module=self.module, env=self.s.env or ())

    def compare_all(self, path, nixl):
        """Every plugin of it, by the real dlopen in the process that has imported its binding."""
        ran = inside(path, "python3", "-", self.module, script="dlopen.py", env=self.s.env or ())
        if ran.status:
            return  # it can not be imported: the agent's matter
        ours = {p["name"]: p for p in nixl["plugins"]}
        for name, real in ran.json().items():
            mine = ours.get(name, {"loads": "not listed"})
            if mine["loads"] == "unknown":
                self.counts["plugins unknown"] += 1
                continue
            same(name, mine["loads"], real["loads"])
            if real["loads"] != "abort":
                same(name, mine.get("error") or None, real["error"])

    def compare_default(self, active, unasked):
        """Which backends an agent has that is not asked for any, where all that it takes load."""
        imports = not (unasked.error or "").startswith(("ImportError", "ModuleNotFoundError"))
        wanted = active[0]["default_backends"] if len(active) == 1 and imports else None
        loads = {p["name"]: p["loads"] for n in active for p in n["plugins"]}
        if wanted and unasked.ran.out and all(loads.get(name) == "yes" for name in wanted):
            same("the backends of an agent that is not asked for any", sorted(wanted), unasked.backends)

    def compare_verdict(self, report, unasked, said):
        if report["verdict"] == "ready":
            expect("LIBFABRIC" in unasked.backends, "ready, and the agent that is not asked for a backend lacks it", said, unasked.ran)
            return
        errors = {f["id"] for f in report["findings"] if f["severity"] == "error"}
        expect(errors, "not ready, and no error says why", said)
        # What these say of a provider turns out where there are devices.
        if not errors & {"KV307", "KV309", "KV313"}:
            expect("LIBFABRIC" not in unasked.backends, "not ready, and the agent that is not asked for a backend has it", said,
                   unasked.ran)

    def compare_log(self, asked):
        """`log` of what the agent printed says what it did, with the loader's reason."""
        file, error = self.at + "/agent.log", asked.error
        with open(file, "w", encoding="utf-8") as f:
            f.write(asked.ran.err)
            if error and error.split(":")[0] in ("ImportError", "ModuleNotFoundError"):  # as python prints it
                f.write(f"Traceback (most recent call last):\n  File \"worker.py\", line 3, in <module>\n    import nixl\n{error}\n")
        ran = kvpath("log", "--json", file)
        report = ran.json("kvpath.log/1")
        os.unlink(file)
        if '"WARN"' in (self.s.change or ""):
            return
        # Of an exception the log knows what names NIXL's own files; one that died need not have said of what.
        if asked.instantiated and not re.search(r"\w+\.(cpp|h):\d", asked.ran.err):
            return same("the verdict of a log that names no provider", report["verdict"], "unknown")
        if asked.instantiated or asked.reason or "ImportError" in (error or "") and "nixl" in error:
            same("the verdict of its log", report["verdict"], "off-fabric")
        if asked.instantiated:
            same("the errors of its log", {f["id"] for f in report["findings"] if f["severity"] == "error"}, {"KV301"})
        elif asked.reason:
            details = [f["detail"][:400] for f in report["findings"]]
            expect(asked.reason[:400] in details, "the loader's reason is not in what log says", ran, asked.reason, asked.ran)

    def compare(self, path, report):
        """The report and what the real NIXL does."""
        active = [n for n in report["nixl"] if n.get("active")]
        ids = {f["id"] for f in report["findings"]}
        self.counts[report["verdict"]] += 1
        if report["verdict"] == "unknown":
            return
        if len(active) == 1 and active[0]["dist"]:
            self.module = os.path.basename(active[0]["path"])
        if "torch_brings" in (self.s.change or ""):
            self.module = "torch+" + self.module
        asked, unasked = self.agent(path, "LIBFABRIC"), self.agent(path)
        self.compare_log(asked)
        place = dict(e.split("=", 1) for e in self.s.env or ()).get("NIXL_PLUGIN_DIR", "/")
        if len(active) == 1 and place.startswith("/"):
            self.compare_all(path, active[0])
        # Parts of different builds, and a provider that is there with its devices alone.
        if not ids & {"KV109", "KV313"}:
            self.compare_default(active, unasked)
        ours = [p for n in active for p in n["plugins"] if p["name"] == "LIBFABRIC"]
        if not ours and "KV205" in ids and not place.startswith("/"):
            return  # where the job starts is not known
        loads, error = (ours[0]["loads"], ours[0].get("error") or None) if ours else ("no plugin", None)
        said = json.dumps({"findings": [(f["id"], f["severity"], f["detail"]) for f in report["findings"]], "loads": loads,
                           "error": error}, indent=1)
        expect(loads == "yes" or not asked.instantiated, "the real agent has LIBFABRIC", said, asked.ran)
        if len(ours) == 1 and asked.reason and loads != "unknown":
            same("the reason", error, asked.reason)
        self.compare_verdict(report, unasked, said)

    def manifest(self, path):
        return Done([os.path.join(ROOTS, "manifest"), path]).ended(0).out

    def mend(self, path):
        before = self.manifest(path)
        ran = kvpath("fix", *launchers.options(self, self.roots.source("F1")), path)
        expect(ran.status in (0, 1, 3), "fix ended badly", ran)
        if ran.status:
            expect(self.manifest(path) == before or "operations done" in ran.out, "fix refuses and has changed something", ran)
        else:
            self.counts["fixed"] += 1
            report = self.check(path)
            self.compare(path, report)
            # A source that was insisted on is done as asked, and may leave something for people.
            expect(report["verdict"] != "off-fabric" or "KV313" in ran.out or self.agent(path, "LIBFABRIC").instantiated,
                   "fixed, and the real agent lacks LIBFABRIC", ran)
        # Where one was there before, undo goes back behind that, or refuses as it was changed since.
        if self.manifest(path) != before and "fix " not in (self.s.change or ""):
            kvpath("undo", path).ended(0)
            expect(self.manifest(path) == before, "undo does not put everything back")

    def start_under(self, path):
        """The agent under `run`, with the host's installation to borrow from."""
        binds = [PROGRAM, self.roots.source("F1") + ":/opt/kvpath-host"]
        ran = inside(path, "/kvpath/bin/kvpath", "run", "--mem", "dram", "--fabric", "/opt/kvpath-host", "--", "python3", "-", self.module, "-",
                     script="agent.py", binds=binds, env=self.s.env or ())
        if (ran.status in (1, 3) and not ran.out) or "can not be told" in ran.err or "(KV313)" in ran.err:
            return
        if "No module named" in (ran.json()["error"] or ""):
            return  # python says so itself
        self.counts["run"] += 1
        expect("LIBFABRIC" in ran.json()["backends"], "started, and the agent lacks LIBFABRIC", ran)

    def launch(self, path):
        """By each launcher that was asked for, with a host's libfabric by chance."""
        fabric = self.roots.source(random.Random(self.s.name).choice(["F1", "F1", "F2", "F1b", "D13"]))
        plan = self.launchers and kvpath("fix", "--dry-run", *launchers.options(self, fabric), path)
        self.asks = "-" if plan and "afterwards: ready" in plan.out else "LIBFABRIC"
        for launcher in self.launchers:
            ran = launcher(self, path, fabric)
            if not ran or "No module named" in (ran.json()["error"] or ""):
                continue
            self.counts[launcher.__name__] += 1
            expect("LIBFABRIC" in ran.json()["backends"], f"brought by {launcher.__name__} from {fabric}, and the agent lacks LIBFABRIC", ran)

    def answers_alike(self, what, report, target, *options):
        ran = kvpath("check", "--json", *options, target)
        again = ran.json("kvpath.check/1")
        for part in ("verdict", "nixl", "libfabric", "findings"):
            texts = [json.dumps(r[part], indent=1).splitlines() for r in (report, again)]
            expect(again[part] == report[part], f"{what} gets another answer", *difflib.unified_diff(*texts, lineterm="", n=1))

    def other_forms(self, path, report):
        """The recording of the target, and its image, get the same answer."""
        tar, image = self.at + "/target.tar", self.at + "/target.sqsh"
        kvpath("check", "--quiet", "--record", tar, *self.options(), path)
        self.answers_alike("the recording", report, tar)
        if self.with_image:
            subprocess.run(["mksquashfs", path, image, "-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"], check=True,
                           stdout=subprocess.DEVNULL)
            self.answers_alike("the image", report, image, *self.options())

    def run(self):
        try:
            path = self.target()
            report = self.check(path)
            self.other_forms(path, report)
            self.compare(path, report)
            if report["verdict"] != "ready":
                self.start_under(path)
                self.launch(path)
                self.mend(path)
        finally:
            if LOOK and self.overlay:
                subprocess.run(["bash", "-c", LOOK], cwd=self.overlay.path, check=False)
            if self.overlay:
                self.overlay.close()
            shutil.rmtree(self.at)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="this target alone")
    parser.add_argument("--change", choices=[f.__name__ for f, _ in CHANGES], help="a change that each has")
    parser.add_argument("--images", action="store_true", help="ask of an image of each, too")
    parser.add_argument("--launchers", help="bring the repair by these, too, or all: " + ", ".join(f.__name__ for f in launchers.LAUNCHERS))
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    chosen = [f for f in launchers.LAUNCHERS if f.__name__ in (args.launchers or "").split(",") or args.launchers == "all"]
    own_mounts("targets")
    others = {v: build("container", v) for v in VERSIONS}
    counts, lock, failed = collections.Counter(), threading.Lock(), []
    with tempfile.TemporaryDirectory(prefix="kvpath-targets-") as work:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "kvpath-targets", work], check=True)
        roots = Roots(work)

        def one(number):
            entry, failure = plan(args.seed, number, args.change), None
            try:
                Target(entry, roots, f"{work}/{number}", counts, others, args.images, chosen).run()
            except Failure as e:
                if "the change failed" in str(e):
                    counts["can not be made"] += 1
                    return
                failure = str(e)
            except (KeyError, TypeError, ValueError, subprocess.SubprocessError, OSError) as e:
                failure = f"{type(e).__name__}: {e}"
            with lock:
                counts["targets"] += 1
                if failure:
                    failed.append(number)
                    print(f"not ok  {entry['name']}: NIXL {entry['container']}, {' '.join(entry.get('env', []))}")
                    print("\n".join("    | " + line for line in entry.get("change", "").splitlines()))
                    print("\n".join("    # " + line[:400] for line in failure.splitlines()[:60]), flush=True)

        numbers = [args.only] if args.only is not None else range(args.n)
        with ThreadPoolExecutor(args.j) as pool:
            list(pool.map(one, numbers))
        subprocess.run(["umount", "-l", work], check=True)
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    print(f"{counts['targets'] - len(failed)} passed, {len(failed)} failed")
    sys.exit(bool(failed) or not counts["targets"])


if __name__ == "__main__":
    main()
