#!/usr/bin/env python3
"""recipes.py [--n SCRIPTS] [--seed S] [--only NUMBER]: batch scripts and preambles made by chance, lint against the real bash.

Each has steps of a repair (`cp .../libfabric.so.N`), in the ways in which people join them, and lines that set FI_PROVIDER, and
ends with workers started by srun. bash runs it, with programs of our own in place of cp, srun and python3: once as it is, once
with each step failing, and with each condition holding or not. A step is passed over where workers start although
it failed; a variable is wrong where workers get it. What lint says (KV708, KV313) must be so, and what it does not
say of plain lines must not. Prints `N passed, N failed`.
"""
import itertools
import json
import os
import random
import re
import subprocess

from bychance import Differ, compare_all

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
KVPATH = os.path.abspath(os.environ.get("KVPATH", os.path.join(TOP, "build", "bin", "kvpath")))

TOOLS = {
    "cp": 'echo "step $1" >>"$TRACE"\n[[ " $FAIL " != *" ${1##*.} "* ]]\n',
    # Its own options, and --export as Slurm has it.
    "srun": 'while [[ ${1:-} == -* ]]; do\n\tif [ "$1" = --export ]; then shift; set -- "--export=$1" "${@:2}"; fi\n\tcase $1 in\n'
            '\t--export=*) [[ ,${1#*=}, =~ ,(ALL|FI_PROVIDER), ]] || unset FI_PROVIDER; [[ $1 != *FI_PROVIDER=* ]] || { v=${1#*FI_PROVIDER=}; export FI_PROVIDER="${v%%,*}"; } ;;\n'
            '\tesac\n\tshift\ndone\nexec "$@"\n',
    "python3": 'echo "worker ${FI_PROVIDER-unset}" >>"$TRACE"\n',
}
WORKER = "python3 -m sglang.launch_server --disaggregation-transfer-backend nixl"
BAD = ["tcp", "^efa", "shm"]


class Script:
    def __init__(self, seed, number):
        self.r = random.Random(f"{seed}/{number}")
        self.steps = self.conditions = 0
        self.doubt = False  # has what lint may be silent about
        self.hidden = False  # sets the variable by what only bash knows

    def step(self):
        self.steps += 1
        return f"cp /efa/libfabric.so.{self.steps} /usr/lib/"

    def condition(self):
        """One that holds or not, whatever others do."""
        self.conditions += 1
        return f'"$C{self.conditions}"'

    def unsure(self, text):
        self.doubt = True
        return text

    def unseen(self, text):
        self.hidden = self.doubt = True
        return text

    def steps_line(self):
        r, s = self.r, self.step
        return r.choice([
            lambda: s(), lambda: s(), lambda: s(),
            lambda: f"{s()} && {s()}",
            lambda: f"{s()} && {s()} && echo done",
            lambda: f"{s()} && echo copied",
            lambda: f"{s()} \\\n  && {s()}",
            lambda: f"{s()} || true",
            lambda: f"{s()} || :",
            lambda: f"{s()} || echo failed",
            lambda: f"{s()} || exit 1",
            lambda: f"{s()} || {{ echo failed; exit 1; }}",
            lambda: f"{s()} || echo failed && exit 1",
            lambda: f"{s()} && {s()} || exit 3",
            lambda: f"{s()} && {s()} || true",
            lambda: f"{s()} || (echo failed; exit 1)",
            lambda: f"{s()}; {s()}",
            lambda: f"{s()} >log.txt 2>&1",
            lambda: f"{s()} 2>/dev/null || true",
            lambda: f"A=B {s()}",
            lambda: f"mkdir -p /tmp/x; {s()}",
            lambda: f"cd / && {s()}",
            lambda: f"[ -d / ] && {s()}",
            lambda: f"test -e /nowhere || {s()}",
            lambda: f"echo '{s()}'",
            lambda: f"# {s()}",
            lambda: f"cat <<END\n{s()}\nEND",
            lambda: f"{s()}\nrc=$?\n[ $rc -eq 0 ] || exit 1",
            lambda: f"{s()}\nif [ $? -ne 0 ]; then exit 1; fi",
            lambda: f"{s()}\n[[ -d / ]] && echo there",
            lambda: f"[[ -d / ]] && {s()}",
            lambda: f"{s()} | cat",
            lambda: f"{s()} 2>&1 | tee log.txt | cat",
            lambda: f"{s()} | cat || exit 1",
            lambda: f"{s()} | cat && echo done",
            lambda: f"echo x | {s()}",
            lambda: self.unsure(f"{s()} | cat; [ ${{PIPESTATUS[0]}} = 0 ] || exit 1"),
            lambda: self.unsure(f"{s()} &\nwait"),
            lambda: self.unsure(f"! {s()}"),
            lambda: self.unsure(f"if {s()}; then echo yes; fi"),
            lambda: self.unsure(f"if [ -n {self.condition()} ]; then {s()}; fi"),
            lambda: self.unsure(f"( {s()} )"),
            lambda: self.unsure(f"{{ {s()}; }}"),
            lambda: self.unsure(f"f() {{ {s()}; }}\nf"),
            lambda: self.unsure(f"for i in 1 2; do {s()}; done"),
            lambda: self.unsure(f"{s()} || {s()}"),
            lambda: self.unsure(f"command {s()}"),
            lambda: self.unsure(f"eval '{s()}'"),
            lambda: self.unsure(f"x=$({s()})"),
            lambda: self.unsure(f"trap 'exit 1' ERR\n{s()}"),
            lambda: self.unsure(f"bash -c '{s()}'"),
            lambda: self.unsure(f"{s()} || return 1 2>/dev/null || exit 1"),
        ])()

    def mode(self):
        return self.r.choice(["set -e", "set -euo pipefail", "set +e", "set -o errexit", "set -u", "set -x", "set -o pipefail", "set +o errexit",
                              "set -e -u", "set -ex", "shopt -s nullglob", "set -eE"])

    def variable_line(self):
        r = self.r
        v = r.choice([*BAD, *BAD, "efa", "efa", "efa;ofi_rxd"[:3]])
        q = r.choice([v, f'"{v}"', f"'{v}'"])
        return r.choice([
            lambda: f"export FI_PROVIDER={q}", lambda: f"export FI_PROVIDER={q}", lambda: f"export FI_PROVIDER={q}",
            lambda: f"FI_PROVIDER={q}",
            lambda: f"FI_PROVIDER={q}; export FI_PROVIDER",
            lambda: f"FI_PROVIDER={q}\nexport FI_PROVIDER",
            lambda: f"export A=1 FI_PROVIDER={q} B=2",
            lambda: f"declare -x FI_PROVIDER={q}",
            lambda: f"typeset -x FI_PROVIDER={q}",
            lambda: "unset FI_PROVIDER",
            lambda: "[[ -d / && ! -e /nowhere ]] && echo there",
            lambda: f"if [[ -n {self.condition()} ]]; then export FI_PROVIDER={q}; fi",
            lambda: f"while ! [[ -d / ]]; do sleep 1; done; export FI_PROVIDER={q}",
            lambda: f"n=1; ((n++)); let n=n+1; export FI_PROVIDER={q}",
            lambda: f"function set_too {{ export FI_PROVIDER={q}; }}; set_too",
            lambda: "export -n FI_PROVIDER",
            lambda: f"# export FI_PROVIDER={q}",
            lambda: f"echo export FI_PROVIDER={q}",
            lambda: f"cat <<END >/dev/null\nexport FI_PROVIDER={q}\nEND",
            lambda: f": <<'END'\nexport FI_PROVIDER={q}\nEND",
            lambda: f"( export FI_PROVIDER={q} )",
            lambda: f"{{ export FI_PROVIDER={q}; }}",
            lambda: f"set_it() {{ export FI_PROVIDER={q}; }}",
            lambda: f"set_it() {{ export FI_PROVIDER={q}; }}; set_it",
            lambda: f"set_it() {{ local FI_PROVIDER={q}; }}; set_it",
            lambda: self.unseen(f"true && export FI_PROVIDER={q}"),
            lambda: f"if [ -n {self.condition()} ]; then export FI_PROVIDER={q}; fi",
            lambda: f"[ -n {self.condition()} ] && export FI_PROVIDER={q}",
            lambda: self.unseen(f"if [ -n {self.condition()} ]; then\n  export FI_PROVIDER={q}\nelse\n  export FI_PROVIDER=efa\nfi"),
            lambda: f"case {self.condition()} in\nyes | no) export FI_PROVIDER={q} ;;\n*) echo other ;;\nesac",
            lambda: self.unseen(f"for p in {q}; do export FI_PROVIDER=$p; done"),
            lambda: f"export FI_PROVIDER=${{FI_PROVIDER:-{v}}}",
            lambda: f"export FI_PROVIDER={q} # as it was",
            lambda: f"export \\\n  FI_PROVIDER={q}",
            lambda: self.unseen(f"eval 'export FI_PROVIDER={v}'"),
            lambda: self.unseen(f"readonly OTHER={q}; export FI_PROVIDER=$OTHER"),
            lambda: f"bash -c 'export FI_PROVIDER={v}'",
            lambda: f"FI_PROVIDER={q} true",
        ])()

    def worker(self):
        r = self.r
        v = r.choice([*BAD, "efa"])
        return r.choice([
            lambda: f"srun --nodes=1 {WORKER}", lambda: f"srun --nodes=1 {WORKER}", lambda: f"srun --nodes=1 {WORKER}",
            lambda: f"FI_PROVIDER={v} srun --nodes=1 {WORKER}",
            lambda: f"env FI_PROVIDER={v} srun {WORKER}",
            lambda: f"env -u FI_PROVIDER srun {WORKER}",
            lambda: f"srun --export=ALL,FI_PROVIDER={v} {WORKER}",
            lambda: f"srun --export=ALL {WORKER}",
            lambda: f"srun --export=NONE {WORKER}",
            lambda: f"srun --export=PATH,TRACE,FI_PROVIDER {WORKER}",
            lambda: f"srun --export=PATH,TRACE {WORKER}",
            lambda: f"srun --export ALL,FI_PROVIDER={v} {WORKER}",
            lambda: f"srun env FI_PROVIDER={v} {WORKER}",
            lambda: f"srun bash -c 'export FI_PROVIDER={v}; exec {WORKER}'",
            lambda: f"srun bash -c '{WORKER}'",
            lambda: f"srun {WORKER} &\nsrun {WORKER}\nwait",
            lambda: f"exec srun {WORKER}",
            lambda: f"( FI_PROVIDER={v} srun {WORKER} )",
            lambda: f"if true; then FI_PROVIDER={v} srun {WORKER}; fi",
        ])()

    def lines(self):
        kinds = [self.steps_line, self.steps_line, self.mode, self.variable_line, self.variable_line]
        return "\n".join(self.r.choice(kinds)() for _ in range(self.r.randint(1, 6)))

    def texts(self):
        """The recipe, the text that bash runs for it, and the environment that it sets before: an sbatch script, or a recipe of srtctl
        with a preamble."""
        if self.r.random() < 0.6:
            env = {"FI_PROVIDER": self.r.choice([*BAD, "efa"])} if self.r.random() < 0.2 else {}
            export = "".join(f"#SBATCH --export=ALL,{k}={v}\n" for k, v in env.items())
            text = f"#!/bin/bash\n#SBATCH --nodes=2\n{export}{self.lines()}\n{self.worker()}\n"
            return text, text, env
        env = {"FI_PROVIDER": self.r.choice([*BAD, "efa"])} if self.r.random() < 0.4 else {}
        lines = self.lines()
        inset = "".join(f"    {line}\n" for line in lines.split("\n"))
        recipe = "backend: {shared_config: {disaggregation_transfer_backend: nixl}}\nenvironment:\n  NIXL_BACKEND: LIBFABRIC\n" + \
            "".join(f"  {k}: {v}\n" for k, v in env.items()) + f"common:\n  bash_preamble: |\n{inset}"
        return recipe, f"{lines}\n[ $? -eq 0 ] && {WORKER}\n", env


class Trial:
    def __init__(self, work, script, counts):
        self.work, self.script, self.counts = work, script, counts
        self.path = work + "/recipe.yaml"
        self.body, self.shell, self.env = script.texts()
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(self.body)

    def runs(self, fail, cond):
        """What bash does: the steps that were done, and what workers got."""
        trace = self.work + "/trace"
        open(trace, "w", encoding="utf-8").close()
        env = {"PATH": self.work + "/bin:/usr/bin:/bin", "FAIL": " ".join(map(str, fail)), "TRACE": trace, **self.env,
               **{f"C{n}": "yes" for n in cond}}
        subprocess.run(["bash", "-c", self.shell], env=env, cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=False, timeout=20)
        with open(trace, encoding="utf-8") as f:
            lines = f.read().splitlines()
        return ({int(l.rsplit(".", 1)[1]) for l in lines if l.startswith("step")}, [l[7:] for l in lines if l.startswith("worker")])

    def lint(self):
        ran = subprocess.run([KVPATH, "lint", "--json", self.path], capture_output=True, text=True, check=False)
        if ran.returncode not in (0, 1):
            raise Differ(f"lint ended with {ran.returncode}: {ran.stderr}")
        return json.loads(ran.stdout)["files"][0]["findings"]

    def step_at(self, finding):
        line = self.body.splitlines()[finding["line"] - 1][finding["column"] - 1:]
        found = re.search(r"libfabric\.so\.(\d+)", line)
        return int(found.group(1)) if found else None

    def outcomes(self, n, whole):
        """Whether workers start where step n fails, by the conditions with which they do otherwise; of one that
        runs only where another fails, with that failing, too."""
        ends = []
        for cond, (done, workers) in whole.items():
            with_it = [[]] if n in done else [[m] for m in range(1, n) if m in done and n in self.runs([m], cond)[0]]
            ends += [bool(self.runs([*more, n], cond)[1]) for more in with_it if workers]
        return ends

    def compare(self):
        said = self.lint()
        told = {self.step_at(f) for f in said if f["id"] == "KV708"}
        every = range(1, self.script.conditions + 1)
        whole = {c: self.runs([], c) for n in range(len(every) + 1) for c in itertools.combinations(every, n)}
        for n in range(1, self.script.steps + 1):
            ends = self.outcomes(n, whole)
            if n in told and not any(ends) and any(w for _, w in whole.values()):
                raise Differ(f"KV708 of step {n}, and where it fails no worker starts")
            if ends and all(ends) and n not in told:
                self.counts["passed over, not told"] += 1
                if not self.script.doubt:
                    raise Differ(f"step {n} fails, workers start all the same, and lint does not say so")
            self.counts["steps told"] += n in told
        values = [set(w) for _, w in whole.values()]
        wrong = [bool(v & set(BAD)) for v in values]
        is_told = any(f["id"] == "KV313" for f in said)
        self.counts["variables told"] += is_told
        if is_told and not any(wrong) and not self.script.hidden and all(values):
            raise Differ(f"KV313, and workers get {values}")
        if all(wrong) and not is_told:
            self.counts["wrong variable, not told"] += 1
            if not self.script.hidden:
                raise Differ(f"workers get {values}, and lint does not say so")


if __name__ == "__main__":
    compare_all(__doc__, "script", lambda work, seed, number, counts: Trial(work, Script(seed, number), counts), TOOLS)
