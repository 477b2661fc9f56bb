#!/usr/bin/env python3
"""objects.py [--all | --sample N] [--seed S] [--jobs N] [FILE...]: real objects, the real ld.so.

Every ELF object of real containers (Debian's own, the wheels of NIXL, of CUDA's runtime and of Open
MPI) is given to `kvpath why` and to the container's own ld.so, and both answers are compared: the
verdict, the error's text, and what is mapped from where, in the order of the link map.

  shared objects   dlopen(FILE, RTLD_NOW | RTLD_LOCAL) by a program that links libc alone, which
                   leaves before any constructor runs (tests/roots/open.c)
  programs         ld.so --list and its tracing of relocations, which is how the loader itself
                   tells how a start-up ends; it starts shared objects too, so some are here
  both             also with LD_LIBRARY_PATH and LD_PRELOAD of real libraries
  in python        dlopen of extension modules and libraries by the python that has NIXL in it

Without options a sample of about a minute, the same for the same seed. FILEs: only these paths. A
disagreement is printed with both texts. Ends with `N passed, N failed`. `unknown` of kvpath is
counted apart, and fails the run where it is more than one answer in a hundred.
"""
import argparse
import json
import os
import random
import re
import shutil
import stat
import sys
import tempfile
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor

from oracle import KVPATH, MODULE, ROOTS, VERSIONS, Done, Failure, build, inside, kvpath

Case = namedtuple("Case", "root kind path env ldso")
Answer = namedtuple("Answer", "loads error loaded")

LDSO = "/lib64/ld-linux-x86-64.so.2"
LDSO_32 = "/lib/ld-linux.so.2"
SITE = "/usr/local/lib/python3.11/dist-packages"
LIB = "/usr/lib/x86_64-linux-gnu"
TOOLS = "/mnt/tools"
CHUNK = 100
PER_PYTHON = 50
ET_DYN, PT_INTERP = 3, 3

# Directories and libraries of the root `rich`: private ones that hide the system's, another class.
ENVIRONMENTS = [
    {"LD_LIBRARY_PATH": f"{LIB}/samba:/usr/lib/libreoffice/program:/usr/lib/jvm"},
    {"LD_LIBRARY_PATH": f"/usr/lib32:/nowhere;{LIB}/pulseaudio:/usr/local/lib/openmpi"},
    {"LD_PRELOAD": f"{LIB}/libjemalloc.so.2"},
    {"LD_PRELOAD": "libgomp.so.1 libnothing.so.7:libstdc++.so.6",
     "LD_LIBRARY_PATH": "/usr/local/lib/openmpi/ucx"},
]


class Object:
    """The little of an ELF file that decides what is asked about it; None of it is an oracle."""

    def __init__(self, path):
        with open(path, "rb") as f:
            head = f.read(4096)
        self.elf = head[:4] == b"\x7fELF" and len(head) >= 64
        self.native = self.elf and head[4] == 2 and head[18:20] == b"\x3e\0"
        self.i386 = self.elf and head[4] == 1 and head[18:20] == b"\x03\0"
        self.type = int.from_bytes(head[16:18], "little") if self.elf else 0
        kinds = set()
        if self.native:
            at, size, n = (int.from_bytes(head[a:b], "little")
                           for a, b in ((32, 40), (54, 56), (56, 58)))
            kinds = {int.from_bytes(head[at + i * size:at + i * size + 4], "little")
                     for i in range(n)}
        self.program = PT_INTERP in kinds


def crosses(link):
    """A link into another directory: $ORIGIN is then the link's."""
    return os.path.dirname(os.readlink(link)) not in ("", ".")


def target_of(root, link):
    """The file in the root that a link leads to: an absolute one leads within the root."""
    for _ in range(40):
        if not os.path.islink(link):
            return link if os.path.isfile(link) else None
        text = os.readlink(link)
        link = root + text if text[0] == "/" else os.path.join(os.path.dirname(link), text)
    return None


def objects(root, tops):
    """(path in the root, Object) of everything that somebody may hand to the loader."""
    for top in tops:
        for where, dirs, names in os.walk(root + top):
            dirs.sort()
            for name in sorted(names):
                host = os.path.join(where, name)
                guest = host[len(root):]
                mode = os.lstat(host).st_mode
                if stat.S_ISLNK(mode):
                    target = target_of(root, host)
                    if re.search(r"\.so($|\.)", name) and crosses(host) and target:
                        yield guest, Object(target)
                elif stat.S_ISREG(mode):
                    found = Object(host)
                    if found.elf or re.search(r"\.so($|\.\d)", name):
                        yield guest, found


def cases_of(root, tops, has_nixl, rng):
    cases, extensions = [], []
    for path, found in objects(root, tops):
        # kvpath takes a 32-bit object for the library of a 32-bit program where the root can run
        # such; there is no compiler for one here, but its ld.so, which starts libraries too.
        if found.i386 and os.path.exists(root + LDSO_32):
            if found.type != ET_DYN:
                continue
            cases.append(Case(root, "program", path, {}, LDSO_32))
            continue
        cases.append(Case(root, "dlopen", path, {}, LDSO))
        if not found.native:
            continue
        library = found.type == ET_DYN and not path.endswith(".debug") and not found.program
        if found.program or (library and rng.random() < 0.1):
            cases.append(Case(root, "program", path, {}, LDSO))
        if library and has_nixl and SITE in path:
            extensions.append(Case(root, "python", path, {}, LDSO))
    if not has_nixl:
        for env in ENVIRONMENTS:
            cases += [c._replace(env=env) for c in rng.sample(cases[:], len(cases) // 10)
                      if not c.env]
    return cases + rng.sample(extensions, min(PER_PYTHON, len(extensions)))


# ---- what the container says ----


def commands_of(case):
    """
    What is run for a case. --list ends where a start-up does but relocates nothing; tracing with
    LD_WARN and nothing bound at once relocates as a start-up does and tells every symbol that is
    missed (ldd -d), but goes on without libraries. So both are needed.
    """
    if case.kind == "dlopen":
        return [{"argv": [f"{TOOLS}/open", case.path], "env": case.env}]
    trace = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_WARN": "yes", "LD_BIND_NOW": ""}
    return [{"argv": [case.ldso, "--list", case.path], "env": case.env},
            {"argv": [case.ldso, case.path], "env": {**case.env, **trace}}]


def opened(ran):
    """The answer of open.c."""
    first, _, rest = ran["out"].partition("\n")
    if ran["status"] == 0 and first == "yes":
        lines = rest.splitlines()
        return Answer("yes", None, ([x[1:] for x in lines if x[0] == "+"],
                                    [x[1:] for x in lines if x[0] == "="]))
    if ran["status"] == 0 and first.startswith("no "):
        return Answer("no", first[3:], None)
    if ran["status"] is None:
        return Answer("hangs", None, None)
    return Answer("abort", ran["err"].strip() or f"status {ran['status']}", None)


def listed(ran, traced, path):
    """
    The answer of ld.so --list: objects on stdout, faults on stderr. A preload that cannot be had is
    no fault, nor a library without versions, and the kernel's vdso no file.
    """
    faults = [x for x in ran["err"].splitlines()
              if not re.match(r"ERROR: ld\.so: object .* cannot be preloaded|"
                              r".*: no version information available \(required by ", x)]
    if ran["status"] is None:
        return Answer("hangs", None, None)
    if ran["status"] < 0:
        return Answer("abort", f"status {ran['status']}", None)
    if faults:
        loads = "abort" if faults[0].startswith("Inconsistency") else "no"
        return Answer(loads, faults[0], None)
    if ran["status"]:
        return Answer("abort", f"status {ran['status']}", None)
    # The first is where a start-up ends; its text then has the program's name before it.
    symbol = re.search(r"^((?:undefined )?symbol.*)\t\((.*)\)$", traced["out"] + traced["err"], re.M)
    if symbol:
        return Answer("no", f"{path}: symbol lookup error: {symbol[2]}: {symbol[1]}", None)
    names = []
    for line in ran["out"].splitlines():
        m = re.match(r"\t(?:.* => )?(/.*) \(0x[0-9a-f]+\)$", line)
        if m:
            names.append(m.group(1))
    # So it calls what needs nothing; the link map it does not print then.
    return Answer("yes", None, None if "\tstatically linked\n" in ran["out"] else (names, []))


def ask_container(root, cases, tools):
    """Answers of the real loader, {case number: Answer}, in as few entries of the root as can be."""
    batch = [x for c in cases if c.kind != "python" for x in commands_of(c)]
    files = [c.path for c in cases if c.kind == "python"]
    answers, plain = {}, []
    if batch:
        enter = [os.path.join(ROOTS, "run"), "--bind", f"{tools}:{TOOLS}", root]
        plain = Done([*enter, "python3", f"{TOOLS}/batch.py"], json.dumps(batch)).ended(0).json()
    if files:
        python = inside(root, "python3", "-", MODULE, *files, script="dlopen.py").ended(0).json()
    plain = iter(plain)
    for i, case in enumerate(cases):
        if case.kind == "python":
            said = python[case.path]
            answers[i] = Answer(said["loads"], said["error"], None)
        else:
            ran = next(plain)
            answers[i] = (opened(ran) if case.kind == "dlopen"
                          else listed(ran, next(plain), case.path))
    return answers


# ---- what kvpath says ----


def ask_kvpath(case):
    process = {"dlopen": "bare"}.get(case.kind, case.kind)
    env = [x for k, v in case.env.items() for x in ("--env", f"{k}={v}")]
    ran = kvpath("why", "--process", process, "--json", *env, case.root, case.path)
    answer = ran.json("kvpath.why/1")
    loads = answer["loads"]
    if ran.status != {"yes": 0, "no": 1, "abort": 1, "unknown": 3}[loads]:
        raise Failure(f"{loads} with status {ran.status}\n{ran}")
    fresh = [x["path"] for x in answer["loaded"] if x["rule"] != "already-loaded"]
    before = [x["path"] for x in answer["loaded"] if x["rule"] == "already-loaded"]
    if case.kind == "program":
        # ld.so --list leaves out the program itself.
        fresh = fresh[fresh[:1] == [case.path]:]
    return Answer(loads, answer["error"], (fresh, before) if loads == "yes" else None)


def differences(ours, theirs):
    wrong = []
    if ours.loads != theirs.loads:
        wrong.append(f"kvpath: {ours.loads} {ours.error or ''}\n"
                     f"  ld.so:  {theirs.loads} {theirs.error or ''}")
    elif ours.loads == "no" and ours.error != theirs.error:
        wrong.append(f"kvpath: {ours.error}\n  ld.so:  {theirs.error}")
    elif ours.loads == "yes" and ours.loaded and theirs.loaded:
        if ours.loaded[0] != theirs.loaded[0]:
            wrong.append(first_difference(ours.loaded[0], theirs.loaded[0]))
        extra = [x for x in ours.loaded[1] if theirs.loaded[1] and x not in theirs.loaded[1]]
        if extra:
            wrong.append(f"kvpath: already loaded {extra}\n  ld.so:  {theirs.loaded[1]}")
    return wrong


def first_difference(ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b),
              min(len(ours), len(theirs)))
    return (f"kvpath: {len(ours)} objects, number {at} is {(ours[at:] or ['none'])[0]}\n"
            f"  ld.so:  {len(theirs)} objects, number {at} is {(theirs[at:] or ['none'])[0]}")


# ---- the run ----


def kind_of_error(answer):
    """An error without the names that differ from case to case."""
    if answer.loads == "yes":
        return ""
    text = re.sub(r"[`'][^']*'", "`...'", answer.error or "")
    text = re.sub(r"undefined symbol: \S+(, version \S+)?", "undefined symbol: ...", text)
    return ": " + re.sub(r"\S*/\S*|\S+\.so\S*", "...", text)[:90]


def is_injected(case, theirs):
    """
    A library of the driver is missing in the container: the host brings it when a container
    starts, and kvpath takes it as there (but for a bare process).
    """
    return case.kind == "python" and re.match(r"lib(cuda|nvidia-ml)\.so\.1: ", theirs.error or "")


class Run:
    def __init__(self, tools, jobs):
        self.tools, self.jobs = tools, jobs
        self.passed = self.failed = 0
        self.unknown = []
        self.kinds = Counter()

    def judge(self, case, ours, theirs):
        where = f"{case.kind} {case.root.split('/')[-2]}{case.path} {case.env or ''}".strip()
        if is_injected(case, theirs):
            self.kinds[f"{case.kind:8} not compared: the host brings what is missing"] += 1
            return
        if isinstance(ours, Failure):
            wrong = [str(ours)]
        elif ours.loads == "unknown":
            self.unknown.append(f"{where}: {ours.error} (ld.so: {theirs.loads} {theirs.error})")
            return
        else:
            wrong = differences(ours, theirs)
        self.kinds[f"{case.kind:8} {theirs.loads}{kind_of_error(theirs)}"] += 1
        self.passed += not wrong
        self.failed += bool(wrong)
        for text in wrong:
            print(f"not ok {where}\n  {text}", flush=True)

    def chunk(self, root, cases, pool):
        def ours_of(case):
            try:
                return ask_kvpath(case)
            except Failure as e:
                return e

        ours = pool.map(ours_of, cases)
        theirs = ask_container(root, cases, self.tools)
        for i, answer in enumerate(ours):
            self.judge(cases[i], answer, theirs[i])

    def all(self, cases):
        by_root = {}
        for case in cases:
            by_root.setdefault(case.root, []).append(case)
        with ThreadPoolExecutor(self.jobs) as pool:
            for root, its in by_root.items():
                for at in range(0, len(its), CHUNK):
                    self.chunk(root, its[at:at + CHUNK], pool)

    def report(self):
        print("What the real loader said, and how often:")
        for kind, n in sorted(self.kinds.items()):
            print(f"{n:7} {kind}")
        for text in self.unknown[:50]:
            print(f"unknown {text}")
        total = self.passed + self.failed + len(self.unknown)
        print(f"{len(self.unknown)} of {total} answered unknown")
        if len(self.unknown) * 100 > total:
            print("not ok unknown: more than one answer in a hundred")
            self.failed += 1
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed != 0 or not self.passed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every object: many minutes")
    parser.add_argument("--sample", type=int, default=1000, help="cases to draw (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--kind", action="append", choices=["dlopen", "program", "python"])
    parser.add_argument("file", nargs="*", help="only these paths of the roots")
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("objects: needs root (it enters the containers)")
    if not os.access(KVPATH, os.X_OK):
        sys.exit(f"objects: {KVPATH} is not there: build first")
    rng = random.Random(args.seed)
    cases = cases_of(build("rich"), ["/usr"], False, rng)
    for version in VERSIONS:
        cases += cases_of(build("container", version), ["/usr/local"], True, rng)
    cases = [c for c in cases if not args.kind or c.kind in args.kind]
    total = len(cases)
    if args.file:
        cases = [c for c in cases if c.path in args.file]
    elif not args.all:
        cases = rng.sample(cases, min(args.sample, total))
    print(f"{len(cases)} of {total} cases, seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="objects-") as tools:
        shutil.copy(os.path.join(build("open"), "open"), tools)
        shutil.copy(os.path.join(ROOTS, "batch.py"), tools)
        run = Run(tools, args.jobs)
        run.all(cases)
    sys.exit(run.report())


if __name__ == "__main__":
    main()
