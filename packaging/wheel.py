#!/usr/bin/env python3
"""wheel.py TREE VERSION MACHINE LIBC README OUT: a wheel that holds the programs of TREE.

`pip install` puts bin/kvpath among the scripts and libexec/kvpath/kvpath-probe where kvpath looks
for it, ../libexec from there. LIBC is the oldest glibc that the probe starts with, as in 2.34."""
import base64
import hashlib
import os
import stat
import sys
import time
import zipfile


def add(z, rows, name, data, mode, when):
    info = zipfile.ZipInfo(name, when)
    info.external_attr = (stat.S_IFREG | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    z.writestr(info, data, compresslevel=9)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    rows.append("%s,sha256=%s,%d" % (name, digest, len(data)))


def main():
    tree, version, machine, libc, readme, out = sys.argv[1:]
    tag = "py3-none-manylinux_%s_%s" % (libc.replace(".", "_"), machine)
    info, data_dir = "kvpath-%s.dist-info" % version, "kvpath-%s.data" % version
    when = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
    files = []
    for at, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(at, name)
            place = os.path.relpath(path, tree)
            # Documents stay out but for the notices, which go with the programs.
            if place.startswith(("bin/", "libexec/", "share/man/")):
                place = place.replace("bin/", "scripts/", 1) if place.startswith("bin/") else "data/" + place
                files.append((os.path.join(data_dir, place), path))
            elif os.path.basename(path) in ("LICENSE", "THIRD-PARTY") or path.endswith(".spdx.json"):
                files.append((os.path.join(info, "licenses" if not path.endswith(".json") else "sboms", name), path))
    with open(readme, encoding="utf-8") as f:
        about = f.read()
    texts = {
        "METADATA": "Metadata-Version: 2.1\nName: kvpath\nVersion: %s\nSummary: Finds why KV-cache transfers are not on the fabric, "
                    "repairs it, and proves it\nLicense: Apache-2.0\nClassifier: License :: OSI Approved :: Apache Software License\n"
                    "Classifier: Operating System :: POSIX :: Linux\nRequires-Python: >=3.6\n"
                    "Description-Content-Type: text/markdown\n\n%s" % (version, about),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: kvpath-packaging\nRoot-Is-Purelib: false\nTag: %s\n" % tag,
    }
    rows = []
    with zipfile.ZipFile(os.path.join(out, "kvpath-%s-%s.whl" % (version, tag)), "w") as z:
        for name, path in sorted(files):
            with open(path, "rb") as f:
                add(z, rows, name, f.read(), os.stat(path).st_mode & 0o755, when)
        for name, text in sorted(texts.items()):
            add(z, rows, info + "/" + name, text.encode(), 0o644, when)
        rows.append(info + "/RECORD,,")
        add(z, [], info + "/RECORD", ("\n".join(rows) + "\n").encode(), 0o644, when)


main()
