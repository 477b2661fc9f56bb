"""The repair as launchers bring it, each as the launcher would: for targets.py.

What a repair leaves to people, a default in byte code alone for one, the agent asks for (target.asks).

Each function takes (target, path, fabric), a root that is not ready and a host's libfabric, and starts the agent there with what kvpath
writes or does for that launcher. Returns what ran, None where kvpath says that it has no repair or can not tell.
"""
import json
import os
import re
import subprocess
import tempfile

from oracle import KVPATH, ROOTS, Done, expect, kvpath

PYTHON = ["python3", "-"]


def script(name):
    with open(os.path.join(ROOTS, name), encoding="utf-8") as f:
        return f.read()


def options(target, fabric):
    return ["--mem", "dram", "--fabric", fabric, *[x for e in target.s.env or () for x in ("--env", e)]]


def render(dialect, target, path, fabric):
    """The text, None where there is none."""
    ran = kvpath("render", "--for", dialect, *options(target, fabric), path)
    expect(ran.status in (0, 1, 3), "render ended badly", ran)
    expect(bool(ran.out) == (not ran.status), "a text and a status that do not fit", ran)
    # It says of a variable of the job that nothing helps.
    return None if "KV313" in ran.err else ran.out or None


def started(target, path, mounts, env, before=(), backend="-", binds=()):
    """The agent in the root, with files and directories mounted into that and a command in front."""
    args = [x for m in mounts for x in ("--file", m.removesuffix(":ro"))] + [x for b in binds for x in ("--bind", b)]
    args += [x for e in [*(target.s.env or ()), *env] for x in ("--env", e)]
    return Done([os.path.join(ROOTS, "run"), *args, path, *before, *PYTHON, target.module, backend], script("agent.py"))


def sbatch(target, path, fabric):
    """pyxis' two options by hand, and kvpath run in front."""
    text = render("sbatch", target, path, fabric)
    if not text:
        return None
    ask = r"""eval "$1"; names=${kvpath_srun[1]#--container-env=}; printf '%s\n' "${kvpath_srun[0]#*=}" "${kvpath_run[*]}"
        for name in ${names//,/ }; do printf '%s=%s\n' "$name" "${!name}"; done"""
    mounts, run, *env = Done(["bash", "-c", ask, "bash", text]).ended(0).out.splitlines()
    return started(target, path, mounts.split(","), env, run.split())


def srtctl(target, path, fabric):
    """The keys of a recipe, and the preamble that stands in their comment."""
    text = render("srtctl", target, path, fabric)
    if not text:
        return None
    mounts = [json.loads(m) for m in re.findall(r'^  - (".*")$', text, re.M)]
    env = [f"{name}={json.loads(value)}" for name, value in re.findall(r'^  (\w+): (".*")$', text, re.M)]
    before = re.findall(r"^# default_bash_preamble: (.*)$", text, re.M)
    return started(target, path, mounts, env, ["bash", "-c", f'{before[0]} >&2; exec "$@"', "bash"] if before else [], backend=target.asks)


def k8s(target, path, fabric):
    """A pod's variables and mounts, and what its comment wants in front of the command."""
    text = render("k8s", target, path, fabric)
    if not text:
        return None
    env = [f"{name}={json.loads(value)}" for name, value in re.findall(r'{name: (\w+), value: (".*")}', text)]
    guests = re.findall(r'{name: (\S+), mountPath: (".*"), readOnly', text)
    hosts = dict(re.findall(r'{name: (\S+), hostPath: {path: (".*"), type: File}}', text))
    before = re.search(r"In front of the container's command: \[(.*)\]", text).group(1).split(", ")
    return started(target, path, [json.loads(hosts[name]) + ":" + json.loads(guest) for name, guest in guests], env, before)


def hook(target, path, fabric):
    """What enroot's hook calls, on the root itself."""
    before = target.manifest(path)
    ran = kvpath("hook", *options(target, fabric), path)
    expect(ran.status in (0, 1, 3), "hook ended badly", ran)
    # As fix, it repairs what it can where a variable of the job is what is left.
    if ran.status == 1 and "operations done" not in ran.out + ran.err:
        expect(target.manifest(path) == before, "hook refuses and has changed something", ran)
    after = None if ran.status else started(target, path, [], [], backend=target.asks)
    if target.manifest(path) != before:
        kvpath("undo", path).ended(0)
    return after


def podman(target, path, *how, engine=()):
    """The agent in a container of that root, as podman starts it; in a mount namespace, as that keeps its store mounted on itself."""
    variables = [x for e in [*(target.s.env or ()), "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C"] for x in ("--env", e)]
    store = target.at + "/store"
    return Done(["unshare", "--mount", "--propagation", "private", "podman", "--root", store, "--runroot", store + "-run", "--runtime", "runc",
                 "--cgroup-manager", "cgroupfs", "--events-backend", "none", *engine, "run", "--rm", "-i", "--network=host",
                 "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", *variables, *how, "--rootfs", path + ":O",
                 *PYTHON, target.module, target.asks], script("agent.py"))


def cdi(target, path, fabric):
    """A real podman that is asked for the device."""
    text = render("cdi", target, path, fabric)
    if not text:
        return None
    kind = f"kvpath.dev/test{os.getpid()}-{os.path.basename(target.at)}"
    spec = f"/var/run/cdi/{kind.replace('/', '-')}.json"
    os.makedirs(os.path.dirname(spec), exist_ok=True)
    with open(spec, "w", encoding="utf-8") as f:
        f.write(text.replace("kvpath.dev/fabric", kind))
    try:
        return podman(target, path, "--device", kind + "=all")
    finally:
        os.unlink(spec)


def oci_hook(target, path, fabric):
    """A real podman with a hook's file, which repairs the container's own layer."""
    hooks = target.at + "/hooks.d"
    os.makedirs(hooks)
    with open(hooks + "/kvpath.json", "w", encoding="utf-8") as f:
        f.write(kvpath("render", "--for", "oci-hook", "--mem", "dram", "--fabric", fabric).ended(0).out)
    ran = podman(target, path, "--annotation", "kvpath.dev/fix=true", engine=["--hooks-dir", hooks])
    # A runtime starts what can not be told, too.
    return None if not ran.out and "error running hook" in ran.err else ran


def preamble(target, path, fabric):
    """The text in front of the worker, in a root that it may change, with kvpath and the host's libfabric mounted."""
    text = kvpath("render", "--for", "preamble", "--mem", "dram").ended(0).out
    before = text.replace("kvpath_preamble ||", "kvpath_preamble >&2 ||") + 'exec "$@"'
    ran = started(target, path, [KVPATH + ":/opt/kvpath/bin/kvpath"], ["KVPATH=/opt/kvpath/bin/kvpath", "KVPATH_FABRIC=/opt/host/efa"],
                  ["bash", "-c", before, "bash"], binds=[fabric + ":/opt/host/efa"])
    expect(ran.out or "✗" in ran.err, "no agent, and no step that failed", ran)
    return ran if ran.out else None


def env(target, path, fabric):
    """The variables that a job exports; python's default is not theirs to set, so that the agent asks."""
    text = render("env", target, path, fabric)
    if not text:
        return None
    names = [line.split("=")[0].removeprefix("export ") for line in text.splitlines() if line.startswith("export ")]
    ask = 'eval "$1"; shift; for name; do printf "%s=%s\\n" "$name" "${!name}"; done'
    pairs = Done(["bash", "-c", ask, "bash", text, *names]).ended(0).out.splitlines()
    binds = [f"{line.split()[2]}:{line.split()[2]}" for line in text.splitlines() if line.startswith("# mount ")]
    return started(target, path, [], pairs, backend="LIBFABRIC", binds=binds)


def bake(target, path, fabric):
    """The baked image, unpacked."""
    with tempfile.TemporaryDirectory(prefix="kvpath-bake-", dir=target.at) as work:
        image, baked, root = work + "/image.sqsh", work + "/baked.sqsh", work + "/root"
        subprocess.run(["mksquashfs", path, image, "-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"], check=True, stdout=subprocess.DEVNULL)
        ran = kvpath("bake", *options(target, fabric), image, "-o", baked)
        expect(ran.status in (0, 1, 3), "bake ended badly", ran)
        expect(os.path.exists(baked) == (not ran.status), "an image and a status that do not fit", ran)
        if ran.status:
            return None
        Done(["unsquashfs", "-quiet", "-no-progress", "-dest", root, baked]).ended(0)
        return started(target, root, [], [], backend=target.asks)


LAUNCHERS = [sbatch, srtctl, k8s, hook, cdi, oci_hook, preamble, env, bake]
