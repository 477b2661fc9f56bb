#!/usr/bin/env python3
"""oci.py: OCI layouts and docker archives against what podman mounts, and hostile ones.

The image (tests/roots/oci) is made and saved by podman; the oracle is its overlay mount: the same paths,
types, modes, owners, times, sizes, links and bytes, and the same findings as for that directory. So it is
for small images whose layers are made by chance (LAYERS=400: so many). Hostile archives are made by python's
tarfile. One line a case, `ok` or `not ok`.
"""
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

from oracle import KVPATH, Done, Failure, build, expect, kvpath, same

VIEW = os.environ.get("KVPATH_VIEW", os.path.join(os.path.dirname(os.path.dirname(KVPATH)), "tests", "kvpath-view"))
ENV = ["--env", "NIXL_PLUGIN_DIR=/opt/plugins", "--env", "FOO=a b"]
FORMATS = ["docker.tar", "oci.tar", "layout", "zstd"]
# Kept whole of a compressed layer, and not kept at all: those cost another pass each.
KEPT = ["/etc/passwd", "/etc/ld.so.cache", "/usr/lib64/ld-linux-x86-64.so.2", "/opt/new/y", "/srv/f"]
FETCHED = ["/usr/bin/perl-x", "/usr/share/perl5/n", "/usr/lib/x86_64-linux-gnu/libcuda.so.1"]


def view(target, *files):
    return Done([VIEW, target, *files])


def findings(done):
    report = done.json("kvpath.check/1")
    del report["target"]
    return report


# ---- the real image ----


def same_view(oci, form):
    names = ["ALL"] if form == "docker.tar" else KEPT + FETCHED
    theirs, ours = view(f"{oci}/root", *names).ended(0), view(f"{oci}/{form}", *names).ended(0)
    a, b = set(theirs.out.splitlines()), set(ours.out.splitlines())
    expect(a == b, f"{len(a ^ b)} paths differ", "\n".join(sorted(a ^ b)[:20]))
    expect(len(a) > 5000, "too few paths", len(a))


def same_check(oci, form):
    theirs, ours = kvpath("check", "--json", *ENV, f"{oci}/root"), kvpath("check", "--json", f"{oci}/{form}")
    same("findings", findings(ours), findings(theirs))
    same("status", ours.status, theirs.status)
    same("kind", ours.json()["target"]["kind"], "image")


def same_why(oci, form):
    plugin = "/usr/local/lib/python3.11/dist-packages/.nixl_cu13.mesonpy.libs/plugins/libplugin_LIBFABRIC.so"
    theirs = kvpath("why", "--json", *ENV, f"{oci}/root", plugin)
    ours = kvpath("why", "--json", f"{oci}/{form}", plugin)
    same("the loader's way", ours.json(), theirs.json())


def same_plan(oci, form):
    theirs = kvpath("fix", "--dry-run", *ENV, f"{oci}/root")
    ours = kvpath("fix", "--dry-run", f"{oci}/{form}")
    same("the plan", ours.out.replace(f"{oci}/{form}", ""), theirs.out.replace(f"{oci}/root", ""))
    same("status", ours.status, theirs.status)


def only_read(oci, form):
    for command in ["fix", "undo", "prove"]:
        done = kvpath(command, f"{oci}/{form}").ended(3)
        expect(len(done.err.splitlines()) == 1, "not one line", done)


# ---- where an image starts its processes ----


def derived(oci, top, cwd, *layers):
    """The real image with more layers, started in another directory, without its variables."""
    def read(desc):
        with open(f"{oci}/zstd/blobs/{desc['digest'].replace(':', '/')}", encoding="utf-8") as f:
            return json.load(f)

    with open(f"{oci}/zstd/index.json", encoding="utf-8") as f:
        manifest = read(json.load(f)["manifests"][0])
    config = read(manifest["config"])
    config["config"].update(WorkingDir=cwd, Env=[])
    os.makedirs(f"{top}/blobs/sha256")
    for layer in manifest["layers"]:
        name = layer["digest"].replace(":", "/")
        try:
            os.link(f"{oci}/zstd/blobs/{name}", f"{top}/blobs/{name}")
        except OSError:  # another file system
            shutil.copy(f"{oci}/zstd/blobs/{name}", f"{top}/blobs/{name}")
    manifest["config"] = {**manifest["config"], **blob(top, json.dumps(config).encode())}
    manifest["layers"] += [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **blob(top, x)} for x in layers]
    return layout(top, [blob(top, json.dumps(manifest).encode())])


def a_copy_where_it_starts(oci, top):
    """python -m would import it, a script elsewhere would not: that is not known, and a recording says the same."""
    site = f"{oci}/root/usr/local/lib/python3.11/dist-packages/nixl_cu13"
    files = [name for name in os.listdir(site) if name.endswith(".py") or name.startswith("_bindings.")]
    entries = []
    for name in files:
        with open(f"{site}/{name}", "rb") as f:
            entries.append((f"job/nixl_cu13/{name}", f.read()))
    for cwd, verdict in [("/job", "unknown"), ("/", "ready")]:
        made = derived(oci, f"{top}{cwd}/image", cwd, tar(*entries))
        report = findings(kvpath("check", "--json", "--backend", "UCX", "--record", f"{top}{cwd}/record.tar", made))
        same("verdict", report["verdict"], verdict)
        if cwd == "/job":
            same("of the recording", findings(kvpath("check", "--json", f"{top}/job/record.tar")), report)


def relative_library_path(top):
    """The real ld.so and libstdc++, which lacks a library unless "lib" is below the directory."""
    base, lib = build("container", "1.5.0"), "usr/lib/x86_64-linux-gnu"

    def real(name, at=lib):
        with open(f"{base}/{lib}/{name}", "rb") as f:
            return f"{at}/{name}", f.read()

    layer = tar(real("ld-linux-x86-64.so.2"), ("lib64/ld-linux-x86-64.so.2", tarfile.SYMTYPE, f"/{lib}/ld-linux-x86-64.so.2"), real("libc.so.6"),
                real("libm.so.6"), real("libstdc++.so.6"), real("libgcc_s.so.1", "data/job/lib"), ("job", tarfile.SYMTYPE, "data/job"))
    for path in ["lib", ":/nowhere"]:
        for cwd, status in [("/job", 0), ("/data/job/lib", 0), ("/data", 1), ("", 1), (None, 1), ("job", 1)]:
            found = status == 0 and (path == "lib") == (cwd == "/job")
            config = {"architecture": "amd64", "os": "linux", "config": {"Env": [f"LD_LIBRARY_PATH={path}"], "WorkingDir": cwd}}
            made = one(f"{top}/{path[:1]}{(cwd or str(cwd)).replace('/', '-')}", layer, config=config)
            done = kvpath("why", "--process", "bare", made, f"/{lib}/libstdc++.so.6").ended(0 if found else 1)
            expect(found or "libgcc_s.so.1: cannot open shared object file" in done.out, "another reason", done)
            if found:
                where = "lib/libgcc_s.so.1" if path == "lib" else "libgcc_s.so.1"
                expect(f"  {where}\n" in done.out, "not found there", done)


# ---- images made by hand ----


def blob(top, data):
    digest = hashlib.sha256(data).hexdigest()
    os.makedirs(f"{top}/blobs/sha256", exist_ok=True)
    with open(f"{top}/blobs/sha256/{digest}", "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def image(top, layers, arch="amd64", kind="application/vnd.oci.image.layer.v1.tar", config=None):
    config = blob(top, json.dumps(config or {"architecture": arch, "os": "linux", "config": {}}).encode())
    layers = [{"mediaType": kind, **blob(top, x)} for x in layers]
    return blob(top, json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode())


def layout(top, manifests):
    os.makedirs(f"{top}/blobs", exist_ok=True)
    with open(f"{top}/oci-layout", "w", encoding="utf-8") as f:
        f.write('{"imageLayoutVersion": "1.0.0"}')
    with open(f"{top}/index.json", "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": manifests}, f)
    return top


def tar(*entries, form=tarfile.PAX_FORMAT):
    """Entries: (name, data), (name, type, link) or (name, type)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for name, what, *link in entries:
            info = tarfile.TarInfo(name)
            if isinstance(what, str) or len(what) > 1:
                what = what.encode() if isinstance(what, str) else what
                info.size = len(what)
            else:
                info.type, what = what, b""
                info.linkname = link[0] if link else ""
            t.addfile(info, io.BytesIO(what))
    return out.getvalue()


GOOD = tar(("etc/a", "one"), ("usr/b", "two"), ("usr/l", tarfile.SYMTYPE, "b"), ("usr/h", tarfile.LNKTYPE, "usr/b"))


def one(top, *layers, **more):
    return layout(top, [image(top, layers, **more)])


def paths(target):
    return {line.split("\t")[0]: line.split("\t")[1:] for line in view(target, "ALL").ended(0).out.splitlines()}


def refused(target, *texts):
    for done in [kvpath("check", target), view(target)]:
        done.ended(3)
        expect(len(done.err.splitlines()) == 1 and not done.out, "not one line", done)
        for text in texts:
            expect(text in done.err, f"does not say {text!r}", done)


def names_that_lead_out(top):
    for i, name in enumerate(["../x", "a/../../x", "..", "a/.."]):
        refused(one(f"{top}/{i}", tar((name, "x"))), "leads out of the root")


def absolute_names_stay_inside(top):
    got = paths(one(top, tar(("/etc/x", "x"), ("//y", "y"), ("./z", "z"))))
    same("paths", set(got), {"/etc", "/etc/x", "/y", "/z"})


def links_stay_inside(top):
    got = paths(one(top, tar(("e", tarfile.SYMTYPE, "/etc"), ("e/passwd", "mine"), ("u", tarfile.SYMTYPE, "../../.."),
                             ("u/top", "x"), ("h", tarfile.LNKTYPE, "../../../etc/passwd"))))
    same("paths", set(got), {"/e", "/etc", "/etc/passwd", "/u", "/top", "/h"})
    same("a link to outside", got["/h"][-1], "error 5")


def broken_hard_links(top):
    got = paths(one(top, tar(("a", tarfile.LNKTYPE, "a"), ("b", tarfile.LNKTYPE, "none"), ("c", "ok"))))
    same("hard links", [got["/" + x][-1] for x in "ab"], ["error 5"] * 2)


def names_twice(top):
    got = paths(one(top, tar(("a", tarfile.SYMTYPE, "b"), ("a", tarfile.DIRTYPE), ("a/x", "1"), ("c", "1"), ("c", "22"))))
    same("paths", set(got), {"/a", "/a/x", "/c"})
    same("the last one's size", got["/c"][4], "2")


def long_and_odd_names(top):
    deep, umlaut = "/".join(["d" * 100] * 30), "F\u0151tan"
    for form in [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]:
        got = paths(one(f"{top}/{form}", tar((deep, "x"), (umlaut, "y"), ("a\nb", "z"), form=form)))
        expect("/" + deep in got and "/F\\xc5\\x91tan" in got and "/a\\x0ab" in got, "names", list(got)[-3:])
    refused(one(f"{top}/l", tar(("d/" * 2100 + "x", "y"))), "too long")
    refused(one(f"{top}/n", tar(("n" * 256, "y"))), "too long")
    refused(one(f"{top}/s", tar(("s", tarfile.SYMTYPE, "x" * 5000))), "too long")


def devices_are_not_opened(top):
    got = paths(one(top, tar(("fifo", tarfile.FIFOTYPE), ("chr", tarfile.CHRTYPE), ("blk", tarfile.BLKTYPE))))
    same("kinds", [got[x][0][:-3] for x in ["/fifo", "/chr", "/blk"]], ["10", "20", "60"])
    kvpath("check", top)


def whole(target, *want):
    """The view of the undamaged image, or status 3 in one line; never anything else."""
    done = view(target, "ALL")
    if done.status == 3:
        expect(len(done.err.splitlines()) == 1, "not one line", done)
    else:
        expect(done.status == 0, "ended otherwise", done)
    return done


def unseen(top, data, size, **more):
    """A layer that is not as the manifest says, as damage on disk leaves it."""
    one(top, data, **more)
    digest = hashlib.sha256(data).hexdigest()
    return f"{top}/blobs/sha256/{digest}" if size else None


def truncated(top):
    for name, data in [("tar", GOOD), ("gz", gzip.compress(GOOD))]:
        for n in sorted({0, 1, 2, 100, 511, 512, 513, 700, 1000, 1024, 1500, len(data) // 2, len(data) - 9}):
            if n >= len(data):
                continue
            path = unseen(f"{top}/{name}{n}", data, True)
            with open(path, "r+b") as f:
                f.truncate(n)
            refused(f"{top}/{name}{n}", "the manifest says")
            done = whole(one(f"{top}/m{name}{n}", data[:n]))
            expect(name == "tar" or done.status == 3, f"cut at {n}: read", done)


def bit_flips(top):
    rng = random.Random(5)
    for name, data in [("tar", GOOD), ("gz", gzip.compress(GOOD))]:
        for i in range(150):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(data) if name == "gz" else 3000)] ^= 1 << rng.randrange(8)
            whole(one(f"{top}/{name}", bytes(damaged)))
            shutil.rmtree(f"{top}/{name}")


def huge_headers(top):
    big = bytearray(tar(("a", "x")))
    big[124:136] = b"\x80" + b"\x7f" * 11  # base-256: 2^94 bytes
    big[148:156] = b"%06o\0 " % (sum(big[:148]) + sum(big[156:512]) + 8 * 32)
    whole(one(f"{top}/a", bytes(big)))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x" * (8 << 20)}) as t:
        t.addfile(tarfile.TarInfo("b"))
    whole(one(f"{top}/b", out.getvalue()))


def bomb(top):
    data = gzip.compress(tar(("zeros", "\0" * (64 << 20)), ("etc/x", "x")), 9)
    got = Done([VIEW, one(top, data), "/etc/x"]).ended(0)
    expect("\t67108864\t" in got.out, "size", got)


def other_platforms(top):
    def manifest(where, arch):
        return {**image(where, [tar((arch, "x"))], arch=arch), "platform": {"architecture": arch, "os": "linux"}}

    got = paths(layout(f"{top}/two", [manifest(f"{top}/two", "amd64"), manifest(f"{top}/two", "arm64")]))
    expect(len(got) == 1 and set(got) <= {"/amd64", "/arm64"}, "one of the two", got)
    same("the only one", set(paths(one(f"{top}/only", tar(("r", "x")), arch="riscv64"))), {"/r"})
    refused(layout(f"{top}/none", [manifest(f"{top}/none", "s390x"), manifest(f"{top}/none", "ppc64le")]),
            "s390x", "ppc64le")
    twice = f"{top}/twice"
    refused(layout(twice, [{**image(twice, [tar((n, "x"))]), "annotations": {"org.opencontainers.image.ref.name": n}}
                           for n in ["first", "second"]]), "first", "second") if os.uname().machine == "x86_64" else None
    index = blob(f"{top}/nested", json.dumps({"manifests": [manifest(f"{top}/nested", "amd64")]}).encode())
    same("nested", set(paths(layout(f"{top}/nested", [index]))), {"/amd64"})


def unsupported(top):
    kind = "application/vnd.oci.image.layer.v1.tar"
    refused(one(f"{top}/e", GOOD, kind=kind + "+gzip+encrypted"), "encrypted")
    refused(one(f"{top}/h", GOOD, kind="application/vnd.cncf.helm.chart"), "helm")
    foreign = one(f"{top}/f", GOOD, kind="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    os.unlink(f"{top}/f/blobs/sha256/" + hashlib.sha256(GOOD).hexdigest())
    refused(foreign, "foreign")
    missing = one(f"{top}/m", GOOD)
    os.unlink(f"{top}/m/blobs/sha256/" + hashlib.sha256(GOOD).hexdigest())
    refused(missing, "missing")
    refused(layout(f"{top}/none", []), "no image")
    with open(f"{top}/root.tar", "wb") as f:
        f.write(GOOD)
    refused(f"{top}/root.tar", "no manifest.json")
    with open(f"{top}/root.tar.gz", "wb") as f:
        f.write(gzip.compress(GOOD))
    refused(f"{top}/root.tar.gz", "gunzip")


def damaged_json(top):
    one(top, GOOD)
    for name in os.listdir(f"{top}/blobs/sha256"):
        path = f"{top}/blobs/sha256/{name}"
        with open(path, "rb") as f:
            data = f.read()
        if data == GOOD:
            continue
        with open(path, "wb") as f:
            f.write(data.replace(b"a", b"b", 1))
        refused(top, "another digest")
        with open(path, "wb") as f:
            f.write(data)
    paths(top)
    rng = random.Random(6)
    with open(f"{top}/index.json", "rb") as f:
        index = f.read()
    for _ in range(100):
        damaged = bytearray(index)
        damaged[rng.randrange(len(index))] ^= 1 << rng.randrange(8)
        with open(f"{top}/index.json", "wb") as f:
            f.write(damaged)
        whole(top)


# ---- layers by chance, as podman unpacks and mounts them ----


def some_path(r):
    return "/".join(r.choice("abcd") for _ in range(r.randint(1, 3)))


def some_entry(r, made, whiteouts):
    """A TarInfo and its bytes; made: the files of the layer."""
    name, data = some_path(r), b""
    info = tarfile.TarInfo(r.choice(["", "", "", "./"]) + name)
    info.mtime, info.uid, info.gid = r.randint(0, 2_000_000_000), r.choice([0, 1000]), r.choice([0, 5])
    info.mode = r.choice([0o644, 0o755, 0o4755, 0o600, 0o700])
    kind = r.choice(["file", "file", "directory", "directory", "link", "hard", "fifo"] + ["whiteout", "whiteout", "opaque"] * whiteouts)
    if kind == "hard" and made:
        # The attributes of both are one.
        old = r.choice(list(made.values()))
        info.type, info.linkname = tarfile.LNKTYPE, old.name
        info.mtime, info.uid, info.gid, info.mode = old.mtime, old.uid, old.gid, old.mode
    elif kind == "directory":
        info.type, info.mode = tarfile.DIRTYPE, info.mode | 0o700
    elif kind == "link":
        info.type, info.linkname = tarfile.SYMTYPE, r.choice(["", "/", "../"]) + some_path(r)
    elif kind == "fifo":
        info.type = tarfile.FIFOTYPE
    elif kind == "whiteout":
        info.name = os.path.join(os.path.dirname(info.name), ".wh." + os.path.basename(name))
    elif kind == "opaque":
        info.name += "/.wh..wh..opq"
    else:
        data = r.randbytes(r.randint(0, 20)) * r.choice([1, 1, 1, 5000, 20000])
        info.size = len(data)
        made[name] = info
    return name, info, data


def some_layer(r, whiteouts):
    """Each path once, and below directories alone: podman refuses what is otherwise."""
    out, made, taken = io.BytesIO(), {}, {}
    with tarfile.open(fileobj=out, mode="w", format=r.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])) as t:
        for _ in range(r.randint(1, 8)):
            name, info, data = some_entry(r, made, whiteouts)
            above = [name.rsplit("/", i)[0] for i in range(1, name.count("/") + 1)]
            if name in taken or any(taken.get(a) is False for a in above) or any(other.startswith(name + "/") for other in taken):
                made.pop(name, None)
                continue
            taken[name] = info.isdir() or info.name.endswith("opq")
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def packed(r, layer):
    """As registries have layers, the end of its media type with it."""
    how = r.choice(["", "+gzip", "+gzip", "+zstd"])
    if how == "+gzip":
        # Of several members, as pigz and estargz make them.
        cut = r.choice([0, len(layer) // 2])
        return how, gzip.compress(layer[:cut]) * bool(cut) + gzip.compress(layer[cut:])
    return how, subprocess.run(["zstd", "-qc"], input=layer, stdout=subprocess.PIPE, check=True).stdout if how else layer


def for_podman(top, layers, r):
    """The layout of an image with what podman insists on."""
    digests = ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}}
    kind = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "config": {"mediaType": kind + "config.v1+json", **blob(top, json.dumps(config).encode())},
                "layers": [{"mediaType": kind + "layer.v1.tar" + how, **blob(top, x)} for how, x in [packed(r, x) for x in layers]]}
    return layout(top, [{"mediaType": kind + "manifest.v1+json", **blob(top, json.dumps(manifest).encode())}])


def tree(target):
    """What it has. A directory's attributes are those of a layer that names it, podman's else; a link has no mode; a whiteout of
    nothing stays to be seen in podman's mount."""
    found = set()
    for line in view(target, "ALL").ended(0).out.splitlines():
        if not line.endswith("listed, but not there"):
            path, mode, *rest = line.split("\t")
            kind = int(mode, 8) >> 12
            found.add((path, "directory") if kind == 4 else (path, "link", *rest) if kind == 10 else (path, mode, *rest))
    return found


def layers_by_chance(top):
    """LAYERS: how many images."""
    run = tempfile.mkdtemp(prefix="kvpath-oci-")  # podman takes no long path for it
    podman = ["podman", "--root", f"{top}/store", "--runroot", run, "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs",
              "--events-backend", "none"]
    os.makedirs(top)
    try:
        for number in range(int(os.environ.get("LAYERS", "30"))):
            r = random.Random(number)
            made = for_podman(f"{top}/{number}", [some_layer(r, whiteouts=i > 0) for i in range(r.randint(1, 4))], r)
            image = Done([*podman, "pull", "-q", "oci:" + made]).ended(0).out.strip()
            theirs = tree(Done([*podman, "image", "mount", image]).ended(0).out.strip())
            ours = tree(made)
            expect(ours == theirs, f"image {number} differs", f"kvpath alone: {sorted(ours - theirs)}", f"podman alone: {sorted(theirs - ours)}")
            for form in ["docker-archive", "oci-archive"]:
                archive = f"{top}/{number}.{form}"
                copied = Done(["skopeo", "copy", "-q", "oci:" + made, f"{form}:{archive}"])
                if "zstd compression is not supported for docker" in copied.err:
                    continue
                copied.ended(0)
                same(f"image {number} as {form}", tree(archive), ours)
                os.unlink(archive)
            Done([*podman, "image", "umount", image]).ended(0)
            shutil.rmtree(made)
    finally:
        Done([*podman, "image", "umount", "-a"])
        shutil.rmtree(run)


HOSTILE = [names_that_lead_out, absolute_names_stay_inside, links_stay_inside, broken_hard_links, names_twice,
           long_and_odd_names, devices_are_not_opened, truncated, bit_flips, huge_headers, bomb, other_platforms,
           unsupported, damaged_json]


def main():
    failed = 0
    oci = build("oci")
    work = tempfile.mkdtemp(prefix="kvpath-oci-")
    cases = [(f"{what.__name__} {form}", what, (oci, form)) for form in FORMATS
             for what in [same_view, same_check, same_why, same_plan, only_read]]
    cases.append(("a_copy_where_it_starts", a_copy_where_it_starts, (oci, f"{work}/starts")))
    cases += [(what.__name__, what, (f"{work}/{what.__name__}",)) for what in [relative_library_path, layers_by_chance, *HOSTILE]]
    for name, what, args in cases:
        start = time.monotonic()
        if len(sys.argv) > 1 and not any(x in name for x in sys.argv[1:]):
            continue
        try:
            what(*args)
            print(f"ok - oci: {name.replace('_', ' ')} ({time.monotonic() - start:.1f} s)", flush=True)
        except Failure as e:
            failed += 1
            print(f"not ok - oci: {name}\n# " + str(e)[:4000].replace("\n", "\n# "), flush=True)
    shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
