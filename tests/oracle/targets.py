#!/usr/bin/env python3
"""targets.py [--n TARGETS] [--seed S] [--only NUMBER] [-j JOBS]: containers broken, mended and set up by chance, kvpath against the real NIXL.

Each target is a real container of some NIXL with a few changes that the field's images and jobs have: where a libfabric lies and
who finds it, what is missing, cut, linked or moved, other NIXLs beside, variables, RPATHs. Then, with no answer known here:
what check says of the plugin, with its reason, and of the backend by default, is what the real agent does; what is ready
makes its agent over LIBFABRIC; what fix calls repaired does so too; what fix refuses is as it was; undo puts every byte back;
what `run` starts makes its agent, too. A recording, and with --images an image, get the same answer. LOOK='kvpath check .' with --only shows one.
A line for each that differs, with its script, to be made a scenario of. Prints `N passed, N failed`.
"""
import argparse
import collections
import difflib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "scenarios")]
from oracle import MODULE, ROOTS, Agent, Done, Failure, build, expect, inside, kvpath, same  # noqa: E402
from scenarios import PROGRAM, Roots, Scenario, Trial, own_mounts  # noqa: E402

LOOK = os.environ.get("LOOK")  # a command to run in the root of a target, once it was asked
VERSIONS = ["0.9.0", "0.10.1", "1.0.1", "1.4.1", "1.5.0", "1.5.1"]
FABRICS = ["F1", "F1", "F1b", "F2", "D13"]

# ---- changes: each takes (r, env) and returns lines of lib.sh's words; env is the job's ----


def add(env, name, value, r):
    """One more directory of a variable that is a list."""
    old = env.get(name)
    env[name] = value if not old else ":".join(r.sample([old, value], 2))


def fabric_installed(r, env):
    """An installer's directory, and one of the ways to find it."""
    way = r.choice(["nothing", "path", "path", "conf", "conf", "stale"])
    name, at = r.choice(FABRICS), r.choice(["opt/amazon", "opt/amazon", "usr/local/lib/fabric"])
    if way == "path":
        add(env, "LD_LIBRARY_PATH", f"/{at}/efa/lib", r)
    conf = f"echo /{at}/efa/lib >etc/ld.so.conf.d/{r.choice(['000_efa', 'zz-efa'])}.conf" if way in ("conf", "stale") else ""
    return f"efa {name} {at}; {conf}{'; cache' if way == 'conf' else ''}".rstrip("; ")


def fabric_over(r, env):
    """A libfabric laid over the system's, or beside NIXL's own."""
    name = r.choice(FABRICS)
    place = r.choice(["$LIB/libfabric.so.1", "$NIXL/libfabric.so.1", "$SITE/nixl_cu13.libs/libfabric.so.1", "usr/lib/libfabric.so.1"])
    return f"rm -f {place}; cp -L $EFA_{name}/lib/libfabric.so.1 {place}{r.choice(['; cache', ''])}"


def repaired(r, env):
    return f"fix {r.choice(['F1', 'F1', 'F2'])} --mem dram || true"


def lacks(r, env):
    """A library less, of the system's or of the wheel's."""
    what = r.choice(["$LIB/libefa.so.1*", "$LIB/libibverbs.so.1*", "$LIB/libhwloc.so.15*", "$LIB/libnl-3.so.200*", "$LIB/libnuma.so.1*",
                     "usr/local/cuda/lib64/libcudart.so*", "$NIXL/libnixl_common.so", "$NIXL/libserdes.so", "$NIXL/libnixl_build.so",
                     "$NIXL/libnixl_capi.so", "$LIB/libfabric.so.1*", "$LIB/librdmacm.so.1*", "$SITE/nixl_cu13.libs/libnuma-*",
                     "$SITE/nixl_cu13.libs/libhwloc-*", "$SITE/nixl_cu13.libs/libucp-*", "etc/ld.so.cache", "$LIB/libpsm2.so.2*",
                     "$LIB/libstdc++.so.6*"])
    return f"rm -f {what}{r.choice(['; cache', '', ''])}"


def spoilt(r, env):
    """A file that is not what it should be."""
    file = r.choice(["$NIXL/plugins/libplugin_LIBFABRIC.so"] * 3 + ["$NIXL/libnixl.so", "$LIB/libfabric.so.1", "$NIXL/libnixl_common.so",
                    "$LIB/libefa.so.1", "$SITE/nixl_cu13/_bindings.cpython-311-x86_64-linux-gnu.so"])
    how = r.choice(["head -c 100 {f} >{f}.new", "head -c 5000 {f} >{f}.new", ": >{f}.new", "echo libfabric >{f}.new",
                    "head -c -20000 {f} >{f}.new", "cp -L {f} {f}.new; printf '\\267\\000' | dd of={f}.new bs=1 seek=18 conv=notrunc status=none"])
    return f"if [ -f {file} ]; then {how.format(f=file)}; mv {file}.new {file}; fi"


def linked(r, env):
    """A file or directory elsewhere, with a link in its place."""
    what = r.choice(["$NIXL/plugins/libplugin_LIBFABRIC.so", "$NIXL/plugins", "$NIXL", "$NIXL/libnixl.so", "$SITE/nixl_cu13",
                     "$SITE/nixl_cu13.libs", "$LIB/libfabric.so.1"])
    to = r.choice(["/srv/data", "srv/data"])
    # Relative links lead nowhere, mostly, as they do where somebody made them in another directory.
    return f"mkdir -p srv/data; if [ -e {what} ]; then mv -T {what} srv/data/moved; ln -s {to}/moved {what}; fi"


def plugins(r, env):
    """NIXL_PLUGIN_DIR, and what lies there."""
    place = r.choice(["opt/plugins", "opt/nixl/lib/plugins"])
    what = r.choice(["cp -a $NIXL/plugins {p}", "mv $NIXL/plugins {p}", "mkdir {p}; cp $NIXL/plugins/libplugin_LIBFABRIC.so {p}/",
                     "mkdir {p}; cp $NIXL/plugins/libplugin_UCX.so {p}/", "mkdir {p}", "cp -a $OTHER_{v}/$NIXL/plugins {p}",
                     "cp -a $SITE/nixl_cu13.libs/nixl {p}", "mkdir -p $(dirname {p}); ln -s /$NIXL/plugins {p}"])
    value = r.choice(["/{p}"] * 5 + ["/{p}/", "{p}", "/{p}:/nowhere", "/nowhere", ""])
    env["NIXL_PLUGIN_DIR"] = value.format(p=place)
    return f"mkdir -p {os.path.dirname(place)}; rm -rf {place}; " + what.format(p=place, v=r.choice(VERSIONS).replace(".", "_"))


def swapped(r, env):
    """A part of another release of NIXL among these."""
    part = r.choice(["plugins/libplugin_LIBFABRIC.so", "plugins/libplugin_LIBFABRIC.so", "libnixl.so", "libnixl_common.so", "plugins"])
    return f"rm -rf $NIXL/{part}; cp -a $OTHER_{r.choice(VERSIONS).replace('.', '_')}/$NIXL/{part} $NIXL/{part}"


def native(r, env):
    """Another NIXL as a build from source installs it, which the job's variables or the cache may lead to."""
    place = r.choice(["opt/nvidia/nvda_nixl/lib/x86_64-linux-gnu", "usr/local/nixl/lib"])
    version = r.choice(VERSIONS).replace(".", "_")
    way = r.choice(["path", "path", "conf", "preload", "nothing"])
    if way == "path":
        add(env, "LD_LIBRARY_PATH", "/" + place, r)
    if way == "preload":
        add(env, "LD_PRELOAD", f"/{place}/libnixl.so", r)
    lines = f"mkdir -p {place}; cp -a $OTHER_{version}/$NIXL/. {place}/; cp -a $OTHER_{version}/$SITE/nixl_cu13.libs {place}/../"
    return lines + (f"; echo /{place} >etc/ld.so.conf.d/nixl.conf; cache" if way == "conf" else "")


def rpaths(r, env):
    """How the wheel's files look for one another: as auditwheel leaves it, as meson-python does, or not at all."""
    file = r.choice(["$SITE/nixl_cu13/_bindings.cpython-311-x86_64-linux-gnu.so", "$NIXL/libnixl.so", "$NIXL/plugins/libplugin_LIBFABRIC.so"])
    edit = r.choice(["--set-rpath \"$(patchelf --print-rpath {f})\"", "--force-rpath --set-rpath \"$(patchelf --print-rpath {f})\"",
                     "--remove-rpath", "--set-rpath '$ORIGIN/..:/opt/amazon/efa/lib'", "--force-rpath --set-rpath '/opt/amazon/efa/lib'"])
    return f"if [ -s {file} ] && patchelf --print-rpath {file} >/dev/null 2>&1; then patchelf {edit.format(f=file)} {file}; fi"


def second(r, env):
    """Another release of the package, where the job's python looks first, or last."""
    version = r.choice(VERSIONS).replace(".", "_")
    copy = f"mkdir -p opt/site; for i in $OTHER_{version}/$SITE/{{,.}}nixl_cu13*; do cp -a $i opt/site/; done"
    way = r.choice(["path", "path", "pth", "nothing"])
    if way == "path":
        env["PYTHONPATH"] = "/opt/site"
    return copy + ("; echo /opt/site >$SITE/site.pth" if way == "pth" else "")


def moved(r, env):
    """The package itself in another place."""
    way = r.choice(["path", "pth"])
    if way == "path":
        add(env, "PYTHONPATH", "/opt/moved", r)
    return "mkdir -p opt/moved; mv $SITE/{,.}nixl_cu13* opt/moved/" + ("; echo /opt/moved >$SITE/moved.pth" if way == "pth" else "")


def venv(r, env):
    """A virtual environment with the package, first on PATH or not."""
    env["PATH"] = r.choice(["/opt/venv/bin:", "/opt/venv/bin:", ""]) + "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return ("chroot . python3 -m venv --without-pip" + r.choice(["", " --system-site-packages"]) + " /opt/venv; "
            f"cp -a $OTHER_{r.choice(VERSIONS).replace('.', '_')}/$SITE/. opt/venv/lib/python3.11/site-packages/")


def default(r, env):
    """The default backend, as somebody changed it."""
    value = r.choice(['["LIBFABRIC"]', '["UCX", "LIBFABRIC"]', "['LIBFABRIC']", "[]", '["POSIX"]', '[__import__("os").environ.get("NIXL_BACKEND", "UCX")]'])
    if "NIXL_BACKEND" in value:
        env["NIXL_BACKEND"] = r.choice(["LIBFABRIC", "UCX"])
    return "edit $API " + shlex.quote(r's/\["UCX"\]/' + value + "/")


def preload(r, env):
    file = r.choice(["/opt/amazon/efa/lib/libfabric.so.1", "/nowhere/lib.so", "libfabric.so.1", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"])
    if r.random() < 0.3:
        return f"echo {file} >etc/ld.so.preload"
    add(env, "LD_PRELOAD", file, r)
    return ""


def cudart(r, env):
    """The CUDA runtime in a place of its own."""
    add(env, "LD_LIBRARY_PATH", "/usr/local/cuda-13/lib64", r)
    return "mkdir -p usr/local/cuda-13; mv usr/local/cuda/lib64 usr/local/cuda-13/" + r.choice(["; cache", ""])


def meta(r, env):
    """The package nixl, which takes this one."""
    return f"wheel nixl {r.choice(['1.0.1', '1.4.1', '1.5.0'])} any"


def by_hand(r, env):
    """A libfabric as `make install` leaves it in /usr/local/lib, whole or with a link that leads nowhere."""
    name = r.choice(FABRICS)
    whole = f"mkdir -p usr/local/lib; cp -a $EFA_{name}/lib/libfabric.so* usr/local/lib/"
    return whole + r.choice(["; cache", "; cache", "", "; ln -sfn libfabric.so.1.99.0 usr/local/lib/libfabric.so.1; cache"])


def hwcaps(r, env):
    """A library for newer processors, which comes first where the processor is one."""
    what = r.choice(["$EFA_F1/lib/libfabric.so.1", "$LIB/libefa.so.1", "$EFA_D13/lib/libfabric.so.1", "/dev/null"])
    name = "libefa.so.1" if "libefa" in what else "libfabric.so.1"
    at = r.choice(["$LIB/glibc-hwcaps/x86-64-v2", "$LIB/glibc-hwcaps/x86-64-v3", "$LIB/glibc-hwcaps/x86-64-v4", "usr/local/lib/glibc-hwcaps/x86-64-v3"])
    return f"mkdir -p {at}; cp -L {what} {at}/{name}{r.choice(['; cache', '; cache', ''])}"


def cut_path(r, env):
    """LD_LIBRARY_PATH as shells put it together."""
    old = env.get("LD_LIBRARY_PATH", "")
    env["LD_LIBRARY_PATH"] = r.choice([":" + old, old + ":", f"/nowhere:{old}", f"{old};/nowhere", f"/usr/local/cuda/lib64:{old}",
                                       f"$LD_LIBRARY_PATH:{old}", f"/opt/amazon/efa/$LIB:{old}"])
    return ""


def old_cache(r, env):
    """A cache of another format, or one that is cut."""
    return r.choice(["chroot . ldconfig -c compat", "chroot . ldconfig -c old", "chroot . ldconfig -c new", "truncate -s 1000 etc/ld.so.cache",
                     "truncate -s -2000 etc/ld.so.cache"])


def torches(r, env):
    """torch's version, the CUDA runtime as its wheels bring it, or NCCL's plugin."""
    return r.choice(["torch 13.0", "torch 12.8", "torch None", "if [ -e usr/local/cuda/lib64/libcudart.so.13 ]; then torch_brings global; fi",
                     "if [ -e usr/local/cuda/lib64/libcudart.so.13 ]; then torch_brings extension; fi"])


def for_cuda_12(r, env):
    """The package for CUDA 12 beside, and which runtime is there."""
    return f"wheel nixl-cu12 1.4.1; cuda {r.choice(['12', '13'])}"


CHANGES = [(by_hand, 3), (hwcaps, 2), (cut_path, 2), (old_cache, 1), (torches, 1), (for_cuda_12, 1), (fabric_installed, 6), (fabric_over, 4), (repaired, 5), (lacks, 4), (spoilt, 2), (linked, 2), (plugins, 3), (swapped, 2),
           (native, 3), (rpaths, 3), (second, 2), (moved, 1), (venv, 1), (default, 3), (preload, 1), (cudart, 2), (meta, 1)]


def plan(seed, number):
    """A scenario by chance."""
    r, env = random.Random(f"{seed}/{number}"), {}
    version = r.choice(VERSIONS)
    functions, weights = zip(*CHANGES)
    chosen = list(dict.fromkeys(r.choices(functions, weights, k=r.choice([1, 1, 2, 2, 3, 4]))))
    lines = [line for f in chosen if (line := f(r, env))]
    entry = {"name": f"target {number} of seed {seed}", "container": version, "expect": [], "agent": "no: by chance", "args": ["--mem", "dram"]}
    if lines:
        entry["change"] = "\n".join(lines)
    if env:
        entry["env"] = [f"{k}={v}" for k, v in env.items()]
    return entry


class Target(Trial):
    """What kvpath says of it and does with it, beside the real thing."""

    def __init__(self, entry, roots, at, counts, others, with_image):
        super().__init__(Scenario(entry, "targets.toml"), roots, at)
        self.counts, self.others, self.module, self.with_image = counts, others, MODULE, with_image

    def shell(self, path, script):
        for version in VERSIONS:
            name = "OTHER_" + version.replace(".", "_")
            script = script.replace(f"${name}/", f"{self.others[version]}/")
        super().shell(path, script)

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
        wanted = active[0]["default_backends"] if len(active) == 1 else None
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
        if not errors & {"KV307", "KV309"}:
            expect("LIBFABRIC" not in unasked.backends, "not ready, and the agent that is not asked for a backend has it", said,
                   unasked.ran)

    def compare(self, path, report):
        """The report and what the real NIXL does."""
        active = [n for n in report["nixl"] if n.get("active")]
        ids = {f["id"] for f in report["findings"]}
        self.counts[report["verdict"]] += 1
        if report["verdict"] == "unknown":
            return
        self.module = os.path.basename(active[0]["path"]) if len(active) == 1 and active[0]["dist"] else MODULE
        if "torch_brings" in (self.s.change or ""):
            self.module = "torch+" + self.module
        asked, unasked = self.agent(path, "LIBFABRIC"), self.agent(path)
        place = dict(e.split("=", 1) for e in self.s.env or ()).get("NIXL_PLUGIN_DIR", "/")
        if len(active) == 1 and place.startswith("/"):
            self.compare_all(path, active[0])
        if "KV109" not in ids:  # parts of different builds
            self.compare_default(active, unasked)
        ours = [p for n in active for p in n["plugins"] if p["name"] == "LIBFABRIC"]
        if not ours and "KV205" in ids and not place.startswith("/"):
            return  # where the job starts is not known
        loads, error = (ours[0]["loads"], ours[0].get("error") or None) if ours else ("no plugin", None)
        said = json.dumps({"findings": [(f["id"], f["severity"], f["detail"]) for f in report["findings"]], "loads": loads,
                           "error": error}, indent=1)
        expect(loads == "yes" or not asked.instantiated, "the real agent has LIBFABRIC", said, asked.ran)
        if len(ours) == 1 and asked.reason:
            same("the reason", error, asked.reason)
        self.compare_verdict(report, unasked, said)

    def manifest(self, path):
        return Done([os.path.join(ROOTS, "manifest"), path]).ended(0).out

    def mend(self, path):
        before = self.manifest(path)
        env = [x for e in self.s.env or () for x in ("--env", e)]
        ran = kvpath("fix", "--mem", "dram", "--fabric", self.roots.source("F1"), *env, path)
        expect(ran.status in (0, 1, 3), "fix ended badly", ran)
        if ran.status:
            expect(self.manifest(path) == before or "operations done" in ran.out, "fix refuses and has changed something", ran)
        else:
            self.counts["fixed"] += 1
            report = self.check(path)
            self.compare(path, report)
            # A source that was insisted on is done as asked, and may leave something for people.
            expect(report["verdict"] != "off-fabric" or self.agent(path, "LIBFABRIC").instantiated,
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
        if (ran.status in (1, 3) and not ran.out) or "can not be told" in ran.err:
            return
        self.counts["run"] += 1
        expect("LIBFABRIC" in ran.json()["backends"], "started, and the agent lacks LIBFABRIC", ran)

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
    parser.add_argument("--images", action="store_true", help="ask of an image of each, too")
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    own_mounts("targets")
    others = {v: build("container", v) for v in VERSIONS}
    counts, lock, failed = collections.Counter(), threading.Lock(), []
    with tempfile.TemporaryDirectory(prefix="kvpath-targets-") as work:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "kvpath-targets", work], check=True)
        roots = Roots(work)

        def one(number):
            entry, failure = plan(args.seed, number), None
            try:
                Target(entry, roots, f"{work}/{number}", counts, others, args.images).run()
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
