"""The two answers on one query: of the real loader in a chroot, and of the model."""

import json
import os
import re


class Answer:
    """loads: yes, no, abort, unknown, or broken (the asking went wrong). text: the error. loaded:
    paths that the dlopen mapped, in order. known: paths that were there before."""

    def __init__(self, loads, text=None, loaded=(), known=()):
        self.loads, self.text, self.loaded, self.known = loads, text, list(loaded), set(known)

    def show(self):
        out = self.loads
        if self.text:
            out += ": " + self.text
        if self.loads == "yes":
            out += ": " + " ".join(self.loaded)
        return out


# How ld.so begins its words at the start-up, before and behind the text that dlerror() would give.
START = re.compile(r"^\S+: (error while loading shared libraries|symbol lookup error|"
                   r"relocation error): |^/host: ")
WARNING = re.compile(r"cannot be preloaded|no version information available|: weak version `")


def start_error(err):
    """The errors of a program that did not come up, as kvpath joins them; None where it says
    none."""
    lines = [START.sub("", line) for line in err.splitlines() if not WARNING.search(line) and
             (START.search(line) or line.endswith(": CPU ISA level is lower than required"))]
    return "START-UP: " + "\\x0a".join(lines) if lines else None


def same_text(text):
    """The model's words, where they are of a start-up, in the same form."""
    return re.sub(r"^\S+: (error while loading shared libraries|symbol lookup error|"
                  r"relocation error): |^program: |^/host: ", "START-UP: ", text)


def env_list(tree):
    return [f"{k}={v}" for k, v in tree.get("env", {}).items()]


def ended(status):
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"status {os.WEXITSTATUS(status)}"


def real(spawner, root, tree):
    """An answer for each query."""
    names = [q for q in tree["queries"]]
    status, out, err = spawner.run(["/host", *names], root, tree.get("uid", 0),
                                   ["LC_ALL=C", *env_list(tree)], cwd=tree.get("cwd", "/"))
    answers, before, maps, verdict, text, noise = [], [], [], None, None, []
    if status != 0:
        # The program did not come up: one answer for all.
        text = start_error(err)
        if os.WIFEXITED(status) and text and "Inconsistency detected by ld.so" not in err:
            return [Answer("no", text)] * len(names)
        last = [line for line in err.splitlines() if not WARNING.search(line)]
        return [Answer("abort", f"at start-up: {ended(status)} {' '.join(last)}")] * len(names)
    for line in out.splitlines():
        tag, rest = line[:2], line[2:]
        if tag == "B ":
            before.append(rest)
        elif tag == "Q ":
            maps, verdict, text, noise = [], None, None, []
        elif tag == "L ":
            maps.append(rest)
        elif line == "Y":
            verdict = "yes"
        elif tag == "N ":
            verdict, text = "no", rest
        elif tag == "S ":
            if int(rest) != 0:
                verdict, text = "abort", f"{ended(int(rest))} {' '.join(noise)}"
            # Not merely what comes behind: a filtee that was there moves to before its filter.
            fresh = [m for m in maps if m not in before]
            answers.append(Answer(verdict, text, fresh, before))
        else:
            noise.append(line)
    return answers


def model(spawner, program, root, tree, name):
    # why takes FILE for a path from "/", and knows no program with a path of its own, nor where one starts.
    if "main" in tree or "cwd" in tree or ("/" in name and name[0] != "/"):
        tool = os.path.join(os.path.dirname(program), "..", "tests", "kvpath-load")
        argv = [tool, root, tree.get("cwd", "/"), "/host" if "main" in tree else "-", name, *env_list(tree)]
    else:
        argv = [program, "why", "--process", "bare", "--json"]
        for pair in env_list(tree):
            argv += ["--env", pair]
        argv += [root, name]
    status, out, err = spawner.run(argv, "", tree.get("uid", 0), ["LC_ALL=C"])
    try:
        j = json.loads(out)
    except ValueError:
        return Answer("broken", f"{ended(status)} {err.strip()}")
    fresh = [o["path"] for o in j["loaded"] if o["rule"] != "already-loaded"]
    known = [o["path"] for o in j["loaded"] if o["rule"] == "already-loaded"]
    text = j["error"]
    return Answer(j["loads"], same_text(text) if text else None, fresh, known)


def shape(text):
    """An error's kind: its text without its names and numbers."""
    text = re.sub(r"\n.*", "", text or "", flags=re.S)
    text = re.sub(r"dl-[a-z-]+\.c: \d+: ", "", text)
    if "version `" in text and not text.startswith("START"):
        return "version not found"
    if "undefined symbol: " in text and not text.startswith("START"):
        return "undefined symbol"
    if "link time reference" in text and not text.startswith("START"):
        return "symbol not defined in file with link time reference"
    text = re.sub(r"^at start-up: ", "", text)
    if text.startswith("START-UP: "):
        return "start-up: " + shape(text[len("START-UP: "):])
    return re.sub(r"^[^:]*: ", "", text, count=1)


def differ(r, m):
    """None where the two agree or the model says that it cannot tell, else the kind of difference,
    free of names."""
    if m.loads == "unknown":
        return None
    if m.loads == "broken":
        return "kvpath: " + re.sub(r"(/|worker)\S*", "PATH", m.text)
    if r.loads != m.loads:
        return f"real {r.loads} ({shape(r.text)}), model {m.loads} ({shape(m.text)})"
    if r.loads == "no" and "(required by /host)" in r.text:
        return None  # which versions the program itself wants is nothing that the model is told
    if r.loads == "no" and r.text != m.text:
        if shape(r.text) == shape(m.text):
            return f"text of {shape(r.text)}"
        return f"real ({shape(r.text)}), model ({shape(m.text)})"
    if r.loads == "yes" and r.loaded != m.loaded:
        if sorted(r.loaded) == sorted(m.loaded):
            return "order of loading"
        return "objects loaded"
    if r.loads == "yes" and not m.known - {"/host"} <= r.known:
        return "objects that were there before"
    return None
