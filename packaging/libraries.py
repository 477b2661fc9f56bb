#!/usr/bin/env python3
"""Which libraries are in a static kvpath: `libraries.py notices BUILD` prints their licence notices,
`libraries.py sbom BUILD TREE VERSION MACHINE` the SPDX 2.3 document of what lies in TREE.

The linker wrote what it read (src/kvpath.link.d); dpkg says whose files those are."""
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
COMMON = "/usr/share/common-licenses"


def known():
    with open(os.path.join(HERE, "libraries.tsv"), encoding="utf-8") as f:
        return {row[0]: row[1:] for row in (line.rstrip("\n").split("\t") for line in f if line[0] != "#")}


def dpkg(*args):
    return subprocess.run(["dpkg-query", *args], check=True, capture_output=True, text=True).stdout


def linked(build):
    """Of each package that has a part in the program: name, source, version."""
    with open(os.path.join(build, "src/kvpath.link.d"), encoding="utf-8") as f:
        names = set(re.findall(r"(?:^|\s)(/\S+\.[ao])(?=[:\s]|$)", f.read()))
    files = sorted({os.path.realpath(name) for name in names})
    packages = set()
    for name in files:
        packages.add(dpkg("-S", name).split(": ")[0].split(",")[0])
    rows = {}
    for package in sorted(packages):
        source, version = dpkg("-W", "-f", "${source:Package}\t${source:Version}", package).split("\t")
        # Debian's cross compilers are built of the sources of the native ones.
        source = re.sub(r"-cross$|^cross-toolchain-base.*", "", source) or "glibc"
        if source not in known():
            sys.exit("libraries.py: %s of %s is linked, and libraries.tsv does not know it" % (source, package))
        rows.setdefault(source, (package.split(":")[0], source, version))
    if len(rows) < 5:
        sys.exit("libraries.py: %s names hardly a library" % build)
    return [rows[source] for source in sorted(rows)]


def notices(build):
    text, common = [], set()
    for package, source, version in linked(build):
        licence, home = known()[source]
        with open("/usr/share/doc/%s/copyright" % package, encoding="utf-8") as f:
            copyright_file = f.read()
        common |= set(re.findall(COMMON + r"/([A-Za-z]+-[0-9.]*[0-9])", copyright_file))
        text.append("%s\n%s %s, %s\nLicence of what is linked: %s\n%s\n\n%s" %
                    ("=" * 78, source, version, home, licence, "=" * 78, copyright_file))
    sys.stdout.write("kvpath is linked with the libraries below. Their sources are those of Debian, of the version named; with\n"
                     "them and kvpath's own, `make` links the program anew. Each library's notice follows, and then the licences\n"
                     "that the notices name.\n\n" + "\n".join(text))
    for name in sorted(common):
        with open(os.path.join(COMMON, name), encoding="utf-8") as f:
            sys.stdout.write("\n%s\n%s\n%s\n\n%s" % ("=" * 78, name, "=" * 78, f.read()))


def package(spdx_id, name, version, licence, home, supplier):
    return {
        "SPDXID": spdx_id, "name": name, "versionInfo": version, "supplier": supplier, "downloadLocation": home,
        "filesAnalyzed": False, "licenseConcluded": licence, "licenseDeclared": licence, "copyrightText": "NOASSERTION",
    }


def tree_files(tree):
    for at, dirs, names in os.walk(tree):
        dirs.sort()
        for name in sorted(names):
            path = os.path.join(at, name)
            with open(path, "rb") as f:
                data = f.read()
            yield os.path.relpath(path, tree), hashlib.sha1(data).hexdigest(), hashlib.sha256(data).hexdigest()


def sbom(build, tree, version, machine):
    own = package("SPDXRef-kvpath", "kvpath", version, "Apache-2.0", "NOASSERTION", "NOASSERTION")
    files = list(tree_files(tree))
    own["primaryPackagePurpose"] = "APPLICATION"
    own["filesAnalyzed"] = True
    own["packageVerificationCode"] = {"packageVerificationCodeValue": hashlib.sha1("".join(sorted(f[1] for f in files)).encode()).hexdigest()}
    doc = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": "kvpath-%s-linux-%s" % (version, machine), "packages": [own], "files": [],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-kvpath"}],
    }
    for number, (path, sha1, sha256) in enumerate(files):
        spdx_id = "SPDXRef-file-%d" % number
        doc["files"].append({
            "SPDXID": spdx_id, "fileName": "./" + path,
            "checksums": [{"algorithm": "SHA1", "checksumValue": sha1}, {"algorithm": "SHA256", "checksumValue": sha256}],
            "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION",
        })
        doc["relationships"].append({"spdxElementId": "SPDXRef-kvpath", "relationshipType": "CONTAINS", "relatedSpdxElement": spdx_id})
    for _, source, library_version in linked(build):
        licence, home = known()[source]
        spdx_id = "SPDXRef-library-" + source
        doc["packages"].append(package(spdx_id, source, library_version, licence, home, "Organization: Debian"))
        doc["relationships"].append({"spdxElementId": "SPDXRef-kvpath", "relationshipType": "STATIC_LINK", "relatedSpdxElement": spdx_id})
    digest = hashlib.sha256(json.dumps(doc, sort_keys=True).encode()).hexdigest()
    made = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    doc["documentNamespace"] = "https://kvpath.dev/spdx/kvpath-%s-%s-%s" % (version, machine, digest[:32])
    doc["creationInfo"] = {"created": made.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: kvpath-packaging"]}
    json.dump(doc, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if sys.argv[1] == "notices":
    notices(sys.argv[2])
else:
    sbom(*sys.argv[2:])
