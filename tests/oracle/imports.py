#!/usr/bin/env python3
"""imports.py [-n N] [--seed S]: where a command's python imports from first, kvpath's answer and the real python's.

Commands are made by chance: python under several names, options in any form, what it runs (a file, a module, text, a
directory, an archive, nothing), scripts with first lines of their own, env, links, variables. Each is run in the
container, by the real kernel, env and python, and says its sys.path. Those that the real ones refuse are not counted.

One line where they differ, then `ok` or `not ok` for each lot of 50. KVPATH names the program to test.
"""
import argparse
import ast
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import KVPATH, ROOTS, build  # noqa: E402

MODEL = os.path.join(os.path.dirname(KVPATH), "../tests/command_path")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHOW = """import sys
print("\\n", [sys.executable, "%d.%d" % sys.version_info[:2], sys.flags.no_site or sys.prefix, sys.path[0], sys.flags.no_user_site])
"""
FIRST_LINES = ["/usr/bin/python3", " /usr/bin/python3", "\t/usr/bin/python3 \t", "/usr/bin/python3 -P", "/usr/bin/python3  -uP ",
               "/usr/bin/python3 -W ignore -P", "/usr/bin/env python3", "/usr/bin/env -S python3 -u", "/usr/bin/env -S python3 -P",
               "/usr/bin/env -Spython3  -s", "/job/venv/bin/python", "/usr/bin/env python3 -P", "/job/wrapper", "/job/sub/s0", "python3",
               "/usr/bin/env A=B python3", "/usr/bin/env -S A=B python3", "/nowhere/python3", "/bin/sh"]
LONG = ["/usr/bin/python3", '"/usr/bin/python3"', "'/job/a b/bin/python3'", "/usr/bin/python3 -P"]


def write(path, text, mode=0o755):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def make_job(job):
    """What the commands run, for /job."""
    os.chmod(job, 0o755)
    for place in ("show.py", "sub/show.py", "pkg/__init__.py", "pkg/__main__.py", "dir/__main__.py", "sub/-", "dot.d/x.y.py"):
        write(f"{job}/{place}", SHOW, 0o644)
    for i, line in enumerate(FIRST_LINES):
        write(f"{job}/sub/s{i}", f"#!{line}\n{SHOW}")
    for i, python in enumerate(LONG):
        write(f"{job}/sub/long{i}", f"#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n{SHOW}")
    write(f"{job}/wrapper", '#!/bin/sh\nexec python3 "$@"\n')
    write(f"{job}/plain", SHOW)
    write(f"{job}/notprogram", SHOW, 0o644)
    write(f"{job}/venv/pyvenv.cfg", "home = /usr/bin\n", 0o644)
    for made in ("a b/bin", "venv/bin"):
        os.makedirs(f"{job}/{made}")
    for name in ("python", "python3", "python3.11"):
        os.symlink("/usr/bin/python3", f"{job}/venv/bin/{name}")
    for name, to in (("link.py", "sub/show.py"), ("abs.py", "/job/sub/show.py"), ("up", "sub/../pkg"), ("dirlink", "dir"), ("tool", "sub/s0"),
                     ("py", "/usr/bin/python3"), ("loop", "loop"), ("a b/bin/python3", "/usr/bin/python3"), ("python", "/usr/bin/python3.11")):
        os.symlink(to, f"{job}/{name}")
    for name, head in (("z.pyz", b""), ("runs.pyz", b"#!/usr/bin/env python3\n"), ("z", b"")):
        made = subprocess.run([sys.executable, "-c", "import sys, io, zipfile; b = io.BytesIO(); z = zipfile.ZipFile(b, 'w'); "
                               "z.write(sys.argv[1], '__main__.py'); z.close(); sys.stdout.buffer.write(b.getvalue())",
                               f"{job}/dir/__main__.py"], capture_output=True, check=True).stdout
        with open(f"{job}/{name}", "wb") as f:
            f.write(head + made)
        os.chmod(f"{job}/{name}", 0o755)


FLAGS = ["-u", "-B", "-s", "-E", "-I", "-P", "-b", "-O", "-OO", "-q", "-uP", "-sB", "-W", "-Wignore", "-uWignore", "-X", "-Xutf8", "-BXdev", "-R",
         "--check-hash-based-pycs", "--check-hash-based-pycs=always", "-x", "--bogus", "-J", "-ESs", "-uEP", "-d", "-S"]
TAKES = {"-W": ["ignore", "error::SyntaxWarning", "-P"], "-X": ["utf8", "importtime=0", "-I"], "--check-hash-based-pycs": ["always", "never", "-P"]}
PYTHONS = ["python3"] * 6 + ["python3.11", "/usr/bin/python3", "../usr/bin/python3", "/job/py", "./py", "venv/bin/python", "/job/venv/bin/python3",
                             "./python", "a b/bin/python3", "pythonx", "./wrapper"]
SCRIPTS = ["show.py", "./show.py", "sub/show.py", "../job/sub/show.py", "/job/show.py", "link.py", "abs.py", "up/__main__.py", "pkg", "dir", "dir/",
           "dirlink", "z.pyz", "z", "runs.pyz", "sub/s3", "none.py", "loop", "./dot.d/../sub/show.py", "sub/-"]
SELF = ["sub/s%d" % i for i in range(len(FIRST_LINES))] * 2 + ["sub/long%d" % i for i in range(len(LONG))] + \
    ["tool", "runs.pyz", "./runs.pyz", "plain", "notprogram", "s0", "s1", "s6", "long0"]


def python_command(r):
    words = [r.choice(PYTHONS)]
    for _ in range(r.choice((0, 0, 0, 1, 1, 2, 3))):
        flag = r.choice(FLAGS)
        words += [flag] + ([r.choice(TAKES[flag])] if flag in TAKES and r.random() < 0.95 else [])
    what = r.random()
    if what < 0.15:
        words += r.choice((["-c", SHOW], ["-uc", SHOW], ["-c" + SHOW], ["-Pc", SHOW]))
    elif what < 0.35:
        words += r.choice((["-m", "show"], ["-um", "pkg"], ["-mshow"], ["-m", "sub.show"], ["-Pm", "show"], ["-m", "dir"]))
    elif what < 0.45:
        words += r.choice((["-"], [], ["--"], ["--", "-"]))
    else:
        words += (["--"] if r.random() < 0.1 else []) + [r.choice(SCRIPTS)]
    return words + r.sample(["-P", "-I", "x", "--", "-c"], r.choice((0, 0, 1, 2)))


def make_case(r):
    """A command, its variables, and the directory in which it starts."""
    env = {"PATH": r.choice((PATH,) * 6 + (PATH + ":/job/sub", "sub:" + PATH, ":" + PATH, "/nowhere:/job/sub:" + PATH, "venv/bin:" + PATH))}
    if r.random() < 0.15:
        env["PYTHONSAFEPATH"] = r.choice(("1", "0", "", "no"))
    if r.random() < 0.1:
        env["PYTHONNOUSERSITE"] = r.choice(("1", ""))
    argv = python_command(r) if r.random() < 0.6 else [r.choice(SELF), *r.sample(["-P", "x", "-"], r.choice((0, 0, 1)))]
    for _ in range(r.choice((0,) * 8 + (1, 1, 2))):
        argv = r.choice((["env"], ["/usr/bin/env"], ["env", "-S"], ["env", "A=B"], ["env", "-u", "X"], ["env", "--"])) + argv
    return {"argv": argv, "env": env, "cwd": "/job"}


def ask_model(root, job, cases):
    words = []
    for c in cases:
        env = {"HOME": "/root", **c["env"]}
        words += [f"{k}={v}" for k, v in env.items()] + [""] + [a or "\1" for a in c["argv"]] + [""]
    done = subprocess.run([MODEL, root, f"{job}:/job", "/job"], input="".join(w + "\0" for w in words), capture_output=True, text=True, check=True)
    lines = [x.split("\t") for x in done.stdout.splitlines()]
    assert len(lines) == len(cases), (len(lines), len(cases))
    return lines


def ask_python(root, job, cases):
    # Standard input of all is the program, for those that run it.
    run = [{**c, "stdin": "/job/show.py"} for c in cases]
    done = subprocess.run([f"{ROOTS}/run", "--bind", f"{job}:/job", "--bind", f"{ROOTS}:/tools", root, "python3", "/tools/batch.py"],
                          input=json.dumps(run), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def differs(case, ours, real):
    """None; what differs; "" where nothing was said."""
    try:
        executable, version, prefix, first, no_user = ast.literal_eval(real["out"].strip().splitlines()[-1].strip())
    except (ValueError, SyntaxError, IndexError):
        return ""
    if ours == ["?"]:
        return None
    program, said, bin_, path, user = ours
    first = "/job" if first == "" else first
    want = "-" if first.startswith("/usr/lib/python3") else os.path.normpath(first)
    wrong = []
    if os.path.normpath(os.path.join("/job", executable)) != os.path.normpath(program):
        wrong.append(f"program {program}, really {executable}")
    if said != version:
        wrong.append(f"version {said}, really {version}")
    if prefix != 1 and os.path.dirname(bin_) != prefix:
        wrong.append(f"its own directory {bin_}, really of {prefix}")
    if (os.path.normpath(path) if path != "-" else path) != want:
        wrong.append(f"first {path}, really {want}")
    if user == "no user site" and not no_user:
        wrong.append("no user site, really there is one")
    return "; ".join(wrong) or None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=100, help="how many commands")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("imports: needs root (it runs a container)")
    root, r, untold, passed, failed, ran = build("container", "1.5.0"), random.Random(args.seed), 0, 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="kvpath-imports-") as job:
        make_job(job)
        cases = [make_case(r) for _ in range(args.n)]
        ours, real = ask_model(root, job, cases), ask_python(root, job, cases)
        for start in range(0, args.n, 50):
            wrong = 0
            for i in range(start, min(start + 50, args.n)):
                what = differs(cases[i], ours[i], real[i])
                ran += what != ""
                untold += what is None and ours[i] == ["?"]
                if what:
                    wrong += 1
                    print(f"    # {cases[i]['argv']} {cases[i]['env']}: {what}")
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print(f"{'not ok' if wrong else 'ok'}  imports: commands {start} to {min(start + 50, args.n) - 1}")
    print(f"{args.n} commands, {ran} of them run; of those {untold} are not followed")
    # What is left out must stay the exception.
    if ran < args.n / 3 or untold > ran / 3:
        failed += 1
        print("not ok  imports: too few of them tell anything")
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
