"""What the arm64 tests share: programs of an arm64 root, run by qemu-user, and the loader's answers."""
import os

from oracle import Done, ROOTS, TOP, build, expect, kvpath

QEMU = "/qemu/qemu-aarch64-static"
# The program to test, built for arm64 (make CROSS=aarch64).
ARM64 = os.path.abspath(os.environ.get("KVPATH_ARM64", os.path.join(TOP, "build-aarch64", "bin", "kvpath")))


def emulated(root, *argv, binds=(), env=(), stdin=None):
    """Runs argv, an arm64 program and its arguments, inside root."""
    binds = [build("arm64", "qemu") + ":/qemu", *binds]
    options = [x for b in binds for x in ("--bind", b)]
    # By qemu's own option: what starts qemu is of this machine.
    variables = [x for e in env for x in ("-E", e)]
    return Done([os.path.join(ROOTS, "run"), *options, root, QEMU, *variables, *argv], stdin)


def kvpath_arm64(*args):
    """The arm64 kvpath on a root directory of this host."""
    return Done(["qemu-aarch64-static", ARM64, *args])


class Answer:
    """Whether an object loads, the error, and what it brought, in order."""

    def __init__(self, loads, text, maps):
        self.loads, self.text, self.maps = loads, text, maps

    def __str__(self):
        return "\n".join([f"{self.loads} {self.text}", *("  " + m for m in self.maps)])

    def same_as(self, real):
        if self.loads != real.loads:
            return False
        if self.loads == "yes":
            return self.maps == real.maps
        # How a process dies is told by its log, which may have more than the reason.
        return self.loads == "abort" or self.text == real.text


def real_answers(root, files, env=(), batch=40):
    """{file: Answer} of the root's own loader."""
    answers, current = {}, None
    for at in range(0, len(files), batch):
        ran = emulated(root, "/maps/maps", *files[at:at + batch], binds=[build("arm64", "maps") + ":/maps"], env=env)
        for line in ran.ended(0).out.splitlines():
            word, _, rest = line.partition(" ")
            if word == "file":
                current = answers[rest] = Answer(None, "", [])
            elif word == "map":
                current.maps.append(rest)
            else:
                current.loads, current.text = word, rest
    return answers


def model_answer(root, file, env=(), program=kvpath):
    """What `why` says of a program that links libc alone."""
    options = [x for e in env for x in ("--env", e)]
    ran = program("why", "--json", "--process", "bare", *options, root, file)
    why = ran.json("kvpath.why/1")
    status = {"yes": 0, "no": 1, "abort": 1, "unknown": 3}[why["loads"]]
    expect(ran.status == status, f"why ends with {ran.status}, not {status}", ran)
    maps = [o["path"] for o in why["loaded"] if o["rule"] != "already-loaded"]
    return Answer(why["loads"], why["error"] or "", maps)
