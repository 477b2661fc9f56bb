#!/usr/bin/env python3
"""run.py [FILE...]: runs the command lines of README.md and docs/*.md as a reader would, in a directory with what the
README names: ./container, the real broken one, ./efa, a host's tree, container.sqsh, logs and a recipe.

A command is a line "$ COMMAND", "# COMMAND", "kvpath ..." or "make ..." of an indented or fenced block. `...` in it stands for a long path of the
container. It must not end as wrong usage, and every finding and verdict that the page shows of it must be in what it
prints. A block after `<!-- not run: WHY -->` is only looked at: its shell syntax, and that kvpath knows the command and
its options. Of `make TARGET`, make must know the target. Prints TAP."""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KVPATH = os.path.abspath(os.environ.get("KVPATH", os.path.join(TOP, "build/bin/kvpath")))
ENDLESS = re.compile(r"^kvpath watch\b(?!.*--(once|count))")
SHOWN = re.compile(r"\bKV\d{3}\b|^\s*(?:on-fabric|off-fabric|unknown)\b", re.M)


class Block:
    def __init__(self, page, line, why):
        self.page, self.line, self.why, self.steps = page, line, why, []

    def add(self, text):
        prompt = re.match(r"[$#] (?=\S)(.*)", text)
        if prompt and re.match(r"[a-z./]", prompt.group(1)):
            self.steps.append([prompt.group(1), []])
        elif re.match(r"(make|kvpath)( |$)", text):
            self.steps.append([re.sub(r"\s+#.*", "", text), []])
        elif self.steps and self.steps[-1][0].endswith("\\"):
            self.steps[-1][0] = self.steps[-1][0][:-1] + text.strip()
        elif self.steps:
            self.steps[-1][1].append(text)


def blocks(path):
    page, block, fence, why = os.path.relpath(path, TOP), None, False, None
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f.read().split("\n"), 1):
            mark = re.match(r"<!-- not run: (.+) -->$", line)
            if mark:
                if block:
                    yield block
                block, why = None, mark.group(1)
            elif re.match(r"```", line):
                fence = not fence
                if not fence and block:
                    yield block
                    why = None
                block = Block(page, number, why) if fence else None
            elif fence or line.startswith("    "):
                block = block or Block(page, number, why)
                block.add(line if fence else line[4:])
            elif line.strip() and block:
                yield block
                block = why = None
        if block:
            yield block


def sandbox(work):
    def root(*args):
        return subprocess.run([os.path.join(TOP, "tests/roots", args[0]), *args[1:]], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout.strip()

    root("container", "1.5.0", os.path.join(work, "container"))
    root("fabric", "F1", os.path.join(work, "host"))
    os.symlink("host/opt/amazon/efa", os.path.join(work, "efa"))
    os.symlink(root("image", "1.5.0", "lzo"), os.path.join(work, "container.sqsh"))
    logs = sorted(glob.glob(os.path.join(TOP, "tests/cli/logs/srun-tcp.log")) or glob.glob(os.path.join(TOP, "tests/cli/logs/*")))
    for name in ("decode_0.out", "prefill_0.out"):
        shutil.copy(logs[0], os.path.join(work, name))
    with open(os.path.join(work, "recipe.yaml"), "w", encoding="utf-8") as f:
        f.write('name: x\nmodel: {path: m, container: c, precision: fp8}\nresources: {gpu_type: gb200}\nenvironment:\n'
                '  LD_LIBRARY_PATH: "/a:${LD_LIBRARY_PATH}"\n')
    os.mkdir(os.path.join(work, "bin"))
    os.symlink(KVPATH, os.path.join(work, "bin/kvpath"))


def expand(command, work):
    """`.../a/b` is the one path of the container that ends so."""
    for word in re.findall(r"\.\.\./(\S+)", command):
        found = []
        for at, _, names in os.walk(os.path.join(work, "container", "usr")):
            found += [os.path.join(at, n) for n in names if ("/" + os.path.join(at, n)).endswith("/" + word)]
        if len(found) != 1:
            raise ValueError("...%s stands for %d files" % (word, len(found)))
        command = command.replace(".../" + word, found[0][len(os.path.join(work, "container")):])
    return command


def known(command):
    """What is wrong with a command line that is not run, or None."""
    if subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True).returncode:
        return "no shell would take it"
    for call in re.findall(r"(?:^|[|;&(]\s*|\ssudo )kvpath ([a-z]+)([^|;&)>]*)", command):
        usage = subprocess.run([KVPATH, call[0], "--help"], capture_output=True, text=True)
        if usage.returncode:
            return "no command " + call[0]
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", call[1].split(" -- ")[0]):
            if option not in usage.stdout:
                return "%s has no %s" % (call[0], option)
    return None


def run(command, shown, work):
    if command.startswith("make"):
        words = shlex.split(command)[1:]
        done = subprocess.run(["make", "-n", *words], cwd=TOP, capture_output=True, text=True)
        return None if done.returncode == 0 else done.stderr.strip()
    env = dict(os.environ, PATH=os.path.join(work, "bin") + ":" + os.environ["PATH"], NO_COLOR="1", LC_ALL="C")
    limit = ["timeout", "3"] if ENDLESS.match(command) else ["timeout", "300"]
    done = subprocess.run([*limit, "bash", "-c", expand(command, work)], cwd=work, env=env, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    if done.returncode == 2 or done.returncode > 3 and not (ENDLESS.match(command) and done.returncode == 124):
        return "status %d\n%s" % (done.returncode, done.stdout)
    for text in SHOWN.findall("\n".join(shown)):
        if text.strip() not in done.stdout:
            return "the page shows %s, and it does not say so:\n%s" % (text.strip(), done.stdout)
    return None


def main():
    pages = [os.path.abspath(p) for p in sys.argv[1:]] or [os.path.join(TOP, "README.md"), *sorted(glob.glob(os.path.join(TOP, "docs/*.md")))]
    failed = n = 0
    for page in pages:
        work = tempfile.mkdtemp(prefix="kvpath-docs.", dir=os.environ.get("TMPDIR", "/tmp"))
        ready = False
        try:
            for block in blocks(page):
                for command, shown in block.steps:
                    n += 1
                    if not block.why and not ready and not command.startswith("make"):
                        sandbox(work)
                        ready = True
                    try:
                        fault = known(command) if block.why else run(command, shown, work)
                    except ValueError as e:
                        fault = str(e)
                    failed += bool(fault)
                    print("%s %d %s:%d: %s%s" % ("not ok" if fault else "ok", n, block.page, block.line, command,
                                                 " (looked at: %s)" % block.why if block.why else ""), flush=True)
                    if fault:
                        print("# " + fault.replace("\n", "\n# "), flush=True)
        finally:
            shutil.rmtree(work)
    print("1..%d" % n)
    sys.exit(bool(failed or not n))


main()
