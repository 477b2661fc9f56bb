#!/usr/bin/env python3
"""manifests.py [--n FILES] [--seed S] [--only NUMBER]: Kubernetes' objects made by chance, lint against a model of the kubelet.

Each file has pods, or what makes pods (Deployment, LeaderWorkerSet, DynamoGraphDeployment, List), as YAML in any style, with anchors, or as
JSON. PyYAML reads it back, a model of the kubelet makes each container's environment (entries of one name, $(NAME), what can not be known),
and bash runs its command, with a program of our own in place of python3. What lint says of the file (KV313, KV709) must be so of a container
that serves, and what is so of one must be said. Prints `N passed, N failed`.
"""
import itertools
import json
import os
import random
import re
import subprocess

import yaml

from bychance import Differ, compare_all

HERE = os.path.dirname(os.path.abspath(__file__))
KVPATH = os.path.abspath(os.environ.get("KVPATH", os.path.join(HERE, "..", "..", "build", "bin", "kvpath")))
EFA = "vpc.amazonaws.com/efa"
BAD = {"tcp", "^efa", "shm"}
WORKER = "python3 -m sglang.launch_server"
# Says what a worker gets.
STAND_IN = '[[ $* != *sglang* ]] || echo "${FI_PROVIDER-unset}" >>"$TRACE"\n'
UNKNOWN = None  # a value that is not written in the file


class File:
    def __init__(self, seed, number):
        self.r = random.Random(f"{seed}/{number}")
        self.shared = self.env()  # what several containers may have: an anchor

    def value(self):
        return self.r.choice([*sorted(BAD), "efa", "efa", "efa"])

    def entry(self):
        r, v = self.r, self.value()
        return r.choice([
            *[{"name": "FI_PROVIDER", "value": v}] * 6,
            {"name": "P", "value": v},
            {"name": "P", "value": v},
            {"name": "Z", "value": v},
            {"name": "FI_PROVIDER", "value": r.choice(["$(P)", "$(Z)", "$$(P)", "$(NONE)", "{{ .Values.provider }}"])},
            {"name": "FI_PROVIDER", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "provider"}}},
            {"name": "NIXL_BACKEND", "value": r.choice(["UCX", "LIBFABRIC"])},
        ])

    def env(self):
        env = [self.entry() for _ in range(self.r.randint(0, 5))]
        if self.r.random() < 0.8:
            env.insert(self.r.randint(0, len(env)), {"name": "NIXL_BACKEND", "value": "LIBFABRIC"})
        return env

    def script(self):
        r = self.r
        lines = [r.choice([
            f"export FI_PROVIDER={self.value()}", f"export FI_PROVIDER={self.value()}", f"FI_PROVIDER={self.value()}", "unset FI_PROVIDER", "ulimit -c 0",
            f"( export FI_PROVIDER={self.value()} )", f'if [ -n "$C{i}" ]; then export FI_PROVIDER={self.value()}; fi', "echo start", "# export FI_PROVIDER=tcp",
        ]) for i in range(r.randint(0, 3))]
        return "\n".join([*lines, r.choice([WORKER, f"exec {WORKER}", f"FI_PROVIDER={self.value()} {WORKER}", f"{WORKER} &\nwait"])]) + r.choice(["", "\n"])

    def command(self):
        """command and args."""
        r = self.r
        if r.random() < 0.4:
            return {"command": WORKER.split()}
        words = [r.choice(["bash", "/bin/bash"]), *r.choice([["-c"], ["-ec"], ["-euo", "pipefail", "-c"], ["-e", "-c"], ["--norc", "-c"], ["-o", "pipefail", "-c"]]), self.script()]
        cut = r.choice([len(words), 1, len(words) - 1])
        return {"command": words[:cut], **({"args": words[cut:]} if words[cut:] else {})}

    def container(self, name):
        r = self.r
        c = {"name": name, "image": "worker:1", **self.command(), "env": self.shared if r.random() < 0.3 else self.env()}
        if r.random() < 0.1:
            c["envFrom"] = [{"configMapRef": {"name": "c"}}]
        if r.random() < 0.6:
            c["resources"] = {"limits": {"nvidia.com/gpu": "1", **r.choice([{EFA: "1"}, {EFA: "1"}, {EFA: "0"}, {}])}}
        if r.random() < 0.1:
            c["livenessProbe"] = {"exec": {"command": ["bash", "-c", f"export FI_PROVIDER={self.value()}; python3 alive.py"]}}
        if r.random() < 0.05:
            c["securityContext"] = {"privileged": True}
        return c

    def pod(self):
        r = self.r
        spec = {"containers": [self.container(f"c{i}") for i in range(r.choice([1, 1, 1, 2, 3]))]}
        if r.random() < 0.3:
            spec["initContainers"] = [self.container("i")]
            if r.random() < 0.3:
                spec["initContainers"][0]["restartPolicy"] = "Always"
        return spec

    def service(self):
        r = self.r
        s = {"componentType": "worker", "replicas": 1}
        if r.random() < 0.5:
            s["envs"] = self.env()
        if r.random() < 0.5:
            s["resources"] = {"limits": {"gpu": "1", **r.choice([{"custom": {EFA: "1"}}, {}])}}
        if r.random() < 0.8:
            s["extraPodSpec"] = {"mainContainer": self.container("main")}
            if r.random() < 0.3:
                s["extraPodSpec"]["containers"] = [self.container("side")]
        return s

    def thing(self):
        r = self.r
        head = {"metadata": {"name": "x"}}
        return r.choice([
            lambda: {"apiVersion": "v1", "kind": "Pod", **head, "spec": self.pod()},
            lambda: {"apiVersion": "v1", "kind": "Pod", **head, "spec": self.pod()},
            lambda: {"apiVersion": "apps/v1", "kind": r.choice(["Deployment", "StatefulSet"]), **head, "spec": {"template": {**head, "spec": self.pod()}}},
            lambda: {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", **head,
                     "spec": {"leaderWorkerTemplate": {"leaderTemplate": {"spec": self.pod()}, "workerTemplate": {"spec": self.pod()}}}},
            lambda: {"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeployment", **head,
                     "spec": {"envs": self.env(), "services": {n: self.service() for n in ("decode", "prefill")[:r.randint(1, 2)]}}},
            lambda: {"apiVersion": "v1", "kind": "List", "items": [self.thing() for _ in range(r.randint(1, 2))]},
        ])()

    def text(self):
        r = self.r
        things = [self.thing() for _ in range(r.choice([1, 1, 1, 2]))]
        if r.random() < 0.2:
            return json.dumps(things[0], indent=r.choice([None, 2, "\t"]))

        class Dumper(yaml.SafeDumper):
            pass

        # A text of several lines as people write it: as a block, or in quotes.
        Dumper.add_representer(str, lambda d, s: d.represent_scalar("tag:yaml.org,2002:str", s, style=r.choice(["|", "|", '"', ">"]) if "\n" in s else None))
        return yaml.dump_all(things, Dumper=Dumper, default_flow_style=r.choice([False, False, None, True]), width=r.choice([80, 40, 1000]), sort_keys=r.random() < 0.5,
                             explicit_start=True)


def expand(value, env):
    """Kubernetes' expansion of $(NAME) and $$ (third_party/forked/golang/expansion)."""
    if "{{" in value:
        return UNKNOWN
    known = True

    def put(m):
        nonlocal known
        if m.group() == "$$":
            return "$"
        if m.group(1) not in env or env[m.group(1)] is UNKNOWN:
            known = False
            return ""
        return env[m.group(1)]
    text = re.sub(r"\$\$|\$\(([^)]*)\)", put, value)
    return text if known else UNKNOWN


def environment(entries):
    env = {}
    for e in entries:
        env[e["name"]] = expand(e["value"], env) if "value" in e else UNKNOWN
    return env


def merged(*lists):
    """What Dynamo's operator makes of them: the last of a name, by name."""
    return [e for _, e in sorted({e["name"]: e for entries in lists for e in entries}.items())]


def has_device(*holders):
    limits = [h.get("resources", {}).get("limits", {}) for h in holders]
    return any({**x, **x.get("custom", {})}.get(EFA, "0") != "0" for x in limits) or any(h.get("securityContext", {}).get("privileged") for h in holders)


def serving(y):
    """Of each container that serves: its environment, what it runs, whether it has a device."""
    if y.get("kind") == "DynamoGraphDeployment":
        for s in y["spec"]["services"].values():
            extra = s.get("extraPodSpec", {})
            main = extra.get("mainContainer", {})
            yield environment(merged(y["spec"]["envs"], s.get("envs", []), main.get("env", []))), main, has_device(s, main)
            for c in extra.get("containers", []):
                yield environment(c["env"]), c, has_device(c)
        return
    for key, value in y.items():
        if key in ("containers", "initContainers"):
            for c in value:
                if key == "containers" or c.get("restartPolicy") == "Always":
                    yield {**({"FI_PROVIDER": UNKNOWN} if "envFrom" in c else {}), **environment(c["env"])}, c, has_device(c)
        elif isinstance(value, dict):
            yield from serving(value)
        elif key == "items":
            for item in value:
                yield from serving(item)


class Trial:
    def __init__(self, work, file, counts):
        self.work, self.counts = work, counts
        self.body = file.text()

    def gets(self, env, container):
        """What the worker may have for FI_PROVIDER, by what can not be known."""
        words = container.get("command", WORKER.split()) + container.get("args", [])
        provider = env.get("FI_PROVIDER", "")
        names = sorted(set(re.findall(r"\bC\d\b", " ".join(words))))
        for guess, *holds in itertools.product(["tcp", "efa", ""] if provider is UNKNOWN else [provider], *[["", "yes"]] * len(names)):
            trace = self.work + "/trace"
            open(trace, "w", encoding="utf-8").close()
            given = {"PATH": self.work + "/bin:/usr/bin:/bin", "TRACE": trace, **dict(zip(names, holds)), **({"FI_PROVIDER": guess} if guess else {})}
            subprocess.run(words, env=given, cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=20)
            with open(trace, encoding="utf-8") as f:
                yield from f.read().split()

    def compare(self):
        path = self.work + "/r.yaml"
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.body)
        ran = subprocess.run([KVPATH, "lint", "--json", path], capture_output=True, text=True, check=False)
        if ran.returncode not in (0, 1):
            raise Differ(f"lint ended with {ran.returncode}: {ran.stderr}")
        told = {f["id"] for f in json.loads(ran.stdout)["files"][0]["findings"]}
        may, must = set(), set()
        for env, container, device in (s for y in yaml.safe_load_all(self.body.replace("\t", " ")) for s in serving(y)):
            values, backend = list(self.gets(env, container)), env.get("NIXL_BACKEND")
            wrong, efa = [v in BAD for v in values], [v == "efa" and not device for v in values]
            if backend != "UCX":
                may |= {"KV313"} if any(wrong) else set()
                must |= {"KV313"} if values and all(wrong) and backend == "LIBFABRIC" else set()
            may |= {"KV709"} if any(efa) else set()
            must |= {"KV709"} if values and all(efa) else set()
        for rule in ("KV313", "KV709"):
            self.counts[rule + " told"] += rule in told
            if rule in told and rule not in may:
                raise Differ(f"{rule}, and it is so of no container that serves")
            if rule in must and rule not in told:
                raise Differ(f"lint does not say {rule}")


if __name__ == "__main__":
    compare_all(__doc__, "file", lambda work, seed, number, counts: Trial(work, File(seed, number), counts), {"python3": STAND_IN})
