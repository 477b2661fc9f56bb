"""Changes to a container, each by chance, as the field's images and jobs have them: for targets.py.

Each takes (r, env), the source of chance and the job's environment, which it may change, and returns lines for bash with the words of
tests/scenarios/lib.sh.
"""
import os
import shlex

from oracle import SUITE, SUITES

VERSIONS = SUITES[SUITE]
FABRICS = ["F1", "F1", "F1b", "F2", "D13"]


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
    other = f"$OTHER_{r.choice(VERSIONS).replace('.', '_')}"
    what = r.choice([f"cp -a {other}/$SITE/. opt/venv/lib/python3.11/site-packages/"] * 2 + [
        "ln -s /$SITE/nixl_cu13 opt/venv/lib/python3.11/site-packages/",
        "ln -s /$SITE/{nixl_cu13,.nixl_cu13.mesonpy.libs,nixl_cu13.libs} opt/venv/lib/python3.11/site-packages/"])
    return f"chroot . python3 -m venv --without-pip{r.choice(['', ' --system-site-packages'])} /opt/venv; {what}"


def default(r, env):
    """The default backend, as somebody changed it."""
    value = r.choice(['["LIBFABRIC"]', '["UCX", "LIBFABRIC"]', "['LIBFABRIC']", "[]", '["POSIX"]',
                      '[__import__("os").environ.get("NIXL_BACKEND", "UCX")]'])
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
    at = r.choice(["$LIB/glibc-hwcaps/x86-64-v2", "$LIB/glibc-hwcaps/x86-64-v3", "$LIB/glibc-hwcaps/x86-64-v4",
                   "usr/local/lib/glibc-hwcaps/x86-64-v3"])
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


def needs(r, env):
    """What a file needs, edited as people do it with patchelf."""
    file = r.choice(["$NIXL/plugins/libplugin_LIBFABRIC.so"] * 3 + ["$NIXL/libnixl.so", "$SITE/nixl_cu13/_bindings.cpython-311-x86_64-linux-gnu.so"])
    edit = r.choice(["--replace-needed libfabric.so.1 /opt/amazon/efa/lib/libfabric.so.1", "--replace-needed libfabric.so.1 /$LIB/libfabric.so.1",
                     "--replace-needed libfabric.so.1 libfabric.so", "--remove-needed libfabric.so.1", "--add-needed libfabric.so.1",
                     "--add-needed /opt/amazon/efa/lib/libfabric.so.1", "--remove-needed libhwloc.so.15", "--remove-needed libnixl_common.so",
                     "--add-needed libefa.so.1", "--add-needed libcudart.so.12", "--add-needed libibverbs.so.1", "--set-soname libnixl.so.0"])
    return f"if [ -s {file} ]; then patchelf {edit} {file}; fi"


def user_site(r, env):
    """The package where `pip install --user` puts it, this one or another release beside."""
    site = "root/.local/lib/python3.11/site-packages"
    how = f"for i in $OTHER_{r.choice(VERSIONS).replace('.', '_')}/$SITE/{{,.}}nixl_cu13*; do cp -a $i {site}/; done"
    if r.random() < 0.3:
        how = f"mv $SITE/{{,.}}nixl_cu13* {site}/"
    env.update(r.choice([{}, {}, {"PYTHONNOUSERSITE": "1"}, {"PYTHONNOUSERSITE": ""}, {"HOME": "/"}, {"PYTHONUSERBASE": "/root/.local"},
                         {"PYTHONUSERBASE": "/nowhere"}, {"HOME": "root"}]))
    return f"mkdir -p {site}; {how}"


def in_the_way(r, env):
    """Something of the package's name that comes first, or does not."""
    place = r.choice(["opt/first", "opt/first", "usr/lib/python3/dist-packages"])
    if place == "opt/first":
        add(env, "PYTHONPATH", "/opt/first", r)
    return f"mkdir -p {place}; " + r.choice([
        f"mkdir {place}/nixl_cu13", f": >{place}/nixl_cu13.py", f"mkdir {place}/nixl_cu13; : >{place}/nixl_cu13/__init__.py",
        f"ln -s /nowhere {place}/nixl_cu13", f"cp -a $SITE/nixl_cu13 {place}/; rm {place}/nixl_cu13/__init__.py",
        f"cp -a $SITE/nixl_cu13 {place}/", f"mkdir {place}/nixl_cu13; cp $API {place}/nixl_cu13/", f"ln -s /$SITE/nixl_cu13 {place}/nixl_cu13",
        f"cp -a $SITE/nixl_cu13 {place}/; rm {place}/nixl_cu13/_bindings*"])


def library_path(r, env):
    """A directory of libraries as conda's or a vendor's, which the job's variable or python's own RPATH puts first."""
    place = r.choice(["opt/conda/lib", "usr/local/nvidia/lib64"])
    how = r.choice(["variable", "variable", "force-rpath", "force-rpath", "runpath"])
    if how == "variable":
        add(env, "LD_LIBRARY_PATH", "/" + place, r)
    rpath = f"; patchelf {'--force-rpath ' * (how == 'force-rpath')}--set-rpath '$ORIGIN/../../{place}' usr/bin/python3.11" if how != "variable" else ""
    what = r.sample(["$EFA_D13/lib/libfabric.so.1", "$EFA_F1/lib/libfabric.so.1", "$LIB/libhwloc.so.15", "$LIB/libstdc++.so.6", "$LIB/libnuma.so.1",
                     "$LIB/libibverbs.so.1", "$LIB/libefa.so.1", "$LIB/libfabric.so.1", "usr/local/cuda/lib64/libcudart.so.13", "$NIXL/libnixl.so",
                     "$NIXL/libnixl_common.so", "$NIXL/plugins/libplugin_LIBFABRIC.so"], r.randint(1, 4))
    gone = r.choice(["", "", f"; : >{place}/libnuma.so.1", f"; mkdir {place}/libefa.so.1", f"; ln -s /nowhere {place}/libhwloc.so.15",
                     f"; chmod 644 {place}/*", "; rm -f $LIB/libfabric.so.1*"])
    return (f"mkdir -p {place}; for i in {' '.join(what)}; do if [ -f $i ] && [ ! -e {place}/$(basename $i) ]; then cp -L $i {place}/; fi; done"
            f"{gone}{rpath}")


def at_start(r, env):
    """Code that python runs at its start, and what it does there."""
    code = r.choice(['import os; os.environ["NIXL_PLUGIN_DIR"] = "/opt/none"', 'import os; os.environ.setdefault("NIXL_LOG_LEVEL", "WARN")',
                     'import sys; sys.path.insert(0, "/opt/site")', 'import sys; sys.path.append("/opt/site")', "import this_is_nowhere",
                     'import os; os.environ["LD_LIBRARY_PATH"] = "/opt/amazon/efa/lib"',
                     'import ctypes; ctypes.CDLL("/opt/amazon/efa/lib/libfabric.so.1", 256)'])
    file = r.choice(["$SITE/sitecustomize.py", "usr/lib/python3.11/sitecustomize.py", "$SITE/a.pth", "$SITE/zz.pth", "$SITE/usercustomize.py"])
    return (f"mkdir -p opt/site; for i in $OTHER_{r.choice(VERSIONS).replace('.', '_')}/$SITE/{{,.}}nixl_cu13*; do cp -a $i opt/site/; done; "
            f"rm -f {file}; echo {shlex.quote(code)} >{file}")


def loader_words(r, env):
    """What the loader itself listens to."""
    name, value = r.choice([
        ("LD_BIND_NOW", "1"), ("LD_BIND_NOW", ""), ("LD_BIND_NOT", "1"), ("LD_DYNAMIC_WEAK", "1"), ("LD_HWCAP_MASK", "0"),
        ("LD_ASSUME_KERNEL", "2.6.32"),
        ("GLIBC_TUNABLES", "glibc.rtld.nns=2"), ("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=0"),
        ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2_Usable")])
    env[name] = value
    return ""


def conf(r, env):
    """ld.so.conf as people write it."""
    line = r.choice([
        "/opt/amazon/efa/lib", "/opt/amazon/efa/lib ", r"\t/opt/amazon/efa/lib # efa", "opt/amazon/efa/lib", "# /opt/amazon/efa/lib",
        "include /etc/efa.conf", "include ../etc/efa.conf", "include efa.conf", "include /etc/*fa.conf", "/opt/amazon/efa/lib=libc6",
        r"hwcap 1 nosegneg\n/opt/amazon/efa/lib", "/opt/amazon/efa/lib:/usr/lib", "/opt/amazon/efa/lib/,/usr/lib", "/opt/*/efa/lib"])
    where = r.choice(["cat - etc/ld.so.conf >etc/new; mv etc/new etc/ld.so.conf", "cat >>etc/ld.so.conf", "cat >etc/ld.so.conf.d/a.conf"])
    after = r.choice(["; cache", "; cache", "; cache", "; rm etc/ld.so.cache", ""])
    return f"efa {r.choice(FABRICS)}; echo /opt/amazon/efa/lib >etc/efa.conf; printf '{line}\\n' | {{ {where}; }}{after}"


def compiled(r, env):
    """Byte code beside the source: of it, of another, alone."""
    mode = r.choice(["timestamp", "checked-hash", "unchecked-hash"])
    make = f"chroot . python3.11 -m compileall -q --invalidation-mode {mode} /$SITE/nixl_cu13 >/dev/null"
    pyc = "$SITE/nixl_cu13/__pycache__/_api.cpython-311.pyc"

    def edited(backend):
        return f"""edit $API 's/\\["UCX"\\]/["{backend}"]/'"""

    return f"{make}; " + r.choice([
        "true", edited("LIBFABRIC"), f"touch -r etc/passwd $API; {edited('POSIX')}; touch -r etc/passwd $API",
        f"mv {pyc} $SITE/nixl_cu13/_api.pyc; rm $API", "rm $API", f": >{pyc}", f"{edited('POSIX')}; {make}"])


def providers(r, env):
    """libfabric's own variables."""
    name, value = r.choice([("FI_PROVIDER", "tcp"), ("FI_PROVIDER", "^efa"), ("FI_PROVIDER", "verbs"), ("FI_PROVIDER", "shm"),
                            ("FI_PROVIDER", ""), ("FI_PROVIDER", "sockets"), ("FI_PROVIDER_PATH", "/opt/amazon/efa/lib/libfabric"),
                            ("FI_PROVIDER_PATH", "/nowhere"), ("FI_EFA_USE_DEVICE_RDMA", "1"), ("FI_LOG_LEVEL", "info"), ("FI_HMEM", "cuda"),
                            ("FI_HMEM_CUDA_USE_GDRCOPY", "0"), ("FI_UNIVERSE_SIZE", "64"), ("FI_EFA_FORK_SAFE", "1"), ("RDMAV_FORK_SAFE", "1")])
    env[name] = value
    return ""


def python_parts(r, env):
    """What the package imports, and how its binding is called."""
    package, tag = "$SITE/nixl_cu13", "_bindings.cpython-311-x86_64-linux-gnu.so"
    return r.choice([
        "rm -rf $SITE/numpy usr/lib/python3/dist-packages/numpy", "rm -rf $SITE/torch", "rm -rf $SITE/nixl_cu13-*.dist-info",
        f"rm -f {package}/_utils.py {package}/_bindings.pyi", f"rm -f {package}/_bindings*.so", f"rm -f {package}/__init__.py",
        f": >{package}/__init__.py", f"mv {package}/{tag} {package}/_bindings.so", f"mv {package}/{tag} {package}/_bindings.abi3.so",
        f"mv {package}/{tag} {package}/{tag.replace('311', '312')}", f"cp {package}/{tag} {package}/_bindings.abi3.so",
        f"""sed -i '1i import os; os.environ["NIXL_PLUGIN_DIR"] = "/opt/none"' {package}/__init__.py"""])


def more_plugins(r, env):
    """What else lies among the plugins, or does not."""
    at = "$NIXL/plugins"
    wanted = f"{at}/libplugin_LIBFABRIC.so"
    return r.choice([
        f"cp {wanted} {wanted}.orig", f"mv {wanted} {wanted}.orig", f"mv {wanted} {at}/libplugin_libfabric.so", f"cp {wanted} {at}/libplugin_FAST.so",
        f"rm -f {wanted}; mkdir {wanted}", f"chmod 000 {wanted}",
        f"strip {wanted}", f"echo no >{at}/libplugin_MINE.so", f": >{at}/libplugin_.so",
        f"rm -f {at}/libplugin_UCX.so", f"rm -f {at}/libplugin_P*.so {at}/libplugin_G*.so", f"mkdir {at}/old; mv {at}/*.so {at}/old/",
        f"mv {at} {at}.old"])


# How often each is taken.
CHANGES = [
    (fabric_installed, 6), (repaired, 5), (fabric_over, 4), (lacks, 4), (by_hand, 3), (default, 3), (library_path, 3), (native, 3), (needs, 3),
    (plugins, 3), (rpaths, 3), (at_start, 2), (compiled, 2), (conf, 2), (cudart, 2), (cut_path, 2), (hwcaps, 2), (in_the_way, 2), (linked, 2),
    (more_plugins, 2), (providers, 2), (python_parts, 2), (second, 2), (spoilt, 2), (swapped, 2), (user_site, 2), (for_cuda_12, 1),
    (loader_words, 1), (meta, 1), (moved, 1), (old_cache, 1), (preload, 1), (torches, 1), (venv, 2),
]
