#!/usr/bin/env python3
"""The report in a real browser: geometry, contrast, structure, hostile input, print.

    tests/report/page.py [--keep DIR]      prints `ok` and `not ok` lines

Results are those in tests/report/results (README.md there says where they come from) and some that are made
up here: of many engines and nodes, of text that tries to be markup. With --keep the pages and screenshots
are left in DIR, to be looked at.
"""
import argparse
import html.parser
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
KVPATH = os.environ.get("KVPATH", os.path.join(TOP, "build/bin/kvpath"))
RESULTS = os.path.join(HERE, "results")
CHECKS = os.path.join(HERE, "checks.js")
HOSTILE = [
    "</style><script>window.pwned = 1</script>",
    "\"><img src=x onerror=\"window.pwned = 1\">",
    "' onmouseover='window.pwned = 1",
    "&lt;b&gt; &amp; \x1b[31m \u202egnp.exe\u2066",
    "]]><!-- ${7*7} {{7*7}} %s%n%1$s",
    "w" * 3000,
    "\u65e5\u672c\u8a9e " * 200,
    "",
]

failed = 0


def ok(good, name, why=""):
    global failed
    failed += not good
    print("%s %s%s" % ("ok" if good else "not ok", name, ": " + why if why and not good else ""), flush=True)


# ---- results that are made up ----

def bench(engines, ops=("write",), mems=("dram",), counts=(1,), sizes=range(12, 25)):
    runs = []
    for op in ops:
        for mem in mems:
            for count in counts:
                for i, (engine, provider) in enumerate(engines):
                    for e in sizes:
                        size = 1 << e
                        t = count * size / (1e9 * (i + 1)) + 1e-5 / (i + 1)
                        runs.append({"engine": engine, "provider": provider, "op": op, "mem": mem, "count": count,
                                     "size": size, "iters": 100, "p50_us": t * 1e6, "p90_us": t * 1.2e6,
                                     "p99_us": t * 2e6, "max_us": t * 9e6, "bytes_per_s": count * size / t,
                                     "intact": True})
                        # Of every other engine the link is known; at best it gives 80% of that.
                        if i % 2 == 0:
                            runs[-1]["link_bytes_per_s"] = 1.25e9 * (i + 1)
    return {"schema": "kvpath.bench/1", "host": {}, "runs": runs}


def sweep(n, bad=(), name="gb200-%03d"):
    rng = random.Random(n)
    nodes = [{"name": name % i, "verdict": "off-fabric" if i in bad else "on-fabric",
              "reason": "KV101" if i in bad else ""} for i in range(n)]
    pairs = [{"a": nodes[a]["name"], "b": nodes[b]["name"],
              "bytes_per_s": rng.uniform(1e9, 49e9) if a not in bad and b not in bad else 0,
              "verdict": "off-fabric" if a in bad or b in bad else "on-fabric"}
             for a in range(n) for b in range(n) if a != b]
    return {"schema": "kvpath.sweep/1", "nodes": nodes, "pairs": pairs}


def merged(n, rounds, *options):
    """What kvpath makes of a sweep of n nodes that never was."""
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run([os.path.join(TOP, "tests/tools/sweepstate.py"), str(n), str(rounds), *options], stdout=f, check=True)
        out = subprocess.run([KVPATH, "sweep", "--merge", "--json", f.name], capture_output=True, text=True, check=False)
    return json.loads(out.stdout)


ENGINES = [("nixl:LIBFABRIC", "efa"), ("nixl:UCX", "tcp"), ("ofi:efa", "efa"), ("ofi:tcp", "tcp"), ("tcp", None)]


def hostile(value, rng):
    """The same document with every string but the schema's replaced."""
    if isinstance(value, dict):
        return {k: v if k == "schema" else hostile(v, rng) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(v, rng) for v in value]
    return rng.choice(HOSTILE) if isinstance(value, str) else value


# ---- pages ----

class Nesting(html.parser.HTMLParser):
    """Every element closed where it should be, and nothing that could run or load."""
    VOID = {"meta", "br", "link", "img", "input", "hr", "wbr", "col"}
    CLOSED = {"path", "rect", "circle"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack, self.faults, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "img", "iframe", "object", "embed", "link", "base", "form", "a"):
            self.faults.append("<%s>" % tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "href", "srcset", "action", "style"):
                self.faults.append("%s=%s" % (name, value))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append("</%s> closes something else" % tag)

    def handle_data(self, data):
        self.text.append(data)


class Work:
    def __init__(self, directory):
        self.dir = directory
        self.profile = os.path.join(directory, "profile")

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, doc):
        with open(self.path(name), "w", encoding="utf-8") as f:
            json.dump(doc, f)
        return self.path(name)

    def report(self, name, files):
        out = self.path(name + ".html")
        run = subprocess.run([KVPATH, "report", "--force", "-o", out] + files, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit("page.py: kvpath report failed: %s" % run.stderr)
        return out

    def chromium(self, *args):
        return subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                               "--hide-scrollbars", "--no-first-run", "--user-data-dir=" + self.profile] + list(args),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120, check=False).stdout

    def measure(self, page, width, dark):
        """What checks.js says of the page; the copy has the policy taken out that forbids scripts."""
        with open(page, encoding="utf-8") as f:
            text = f.read()
        with open(CHECKS, encoding="utf-8") as f:
            script = f.read()
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        copy = self.path("measured.html")
        with open(copy, "w", encoding="utf-8") as f:
            f.write(text.replace("</body>", "<script>%s</script></body>" % script))
        # Headless windows are never narrower than 500: a frame is.
        frame = self.path("frame.html")
        with open(frame, "w", encoding="utf-8") as f:
            f.write("<!DOCTYPE html><iframe src=measured.html style=\"border:0;width:%dpx;height:900px\"></iframe>"
                    "<pre id=answer></pre><script>onmessage = e => answer.textContent = e.data</script>" % width)
        args = ["--window-size=%d,1000" % (width + 40), "--virtual-time-budget=10000", "--dump-dom", "file://" + frame]
        if dark:
            args.insert(0, "--blink-settings=preferredColorScheme=0")
        dom = self.chromium(*args).decode("utf-8", "replace")
        answer = re.search(r'<pre id="answer">(.*?)</pre>', dom, re.S)
        return json.loads(html.unescape(answer.group(1))) if answer and answer.group(1) else None


def check_page(work, name, files, widths=((1280, False), (1280, True), (380, False))):
    page = work.report(name, files)
    with open(page, encoding="utf-8") as f:
        text = f.read()
    nest = Nesting()
    nest.feed(text)
    ok(not nest.faults and not nest.stack, "%s: well-formed, nothing that runs or loads" % name,
       ", ".join(nest.faults[:5] + nest.stack[:5]))
    for width, dark in widths:
        label = "%s, %d wide%s" % (name, width, ", dark" if dark else "")
        faults = work.measure(page, width, dark)
        ok(faults is not None, label + ": measured")
        for kind, list_ in sorted((faults or {}).items()):
            ok(not list_, "%s: %s" % (label, kind), "; ".join(list_[:4]))
    return page, "".join(nest.text)


def results(*names):
    return [os.path.join(RESULTS, n + ".json") for n in names]


def check_hostile(work):
    rng = random.Random(5)
    files = []
    for name in sorted(os.listdir(RESULTS)):
        if name.endswith(".json"):
            with open(os.path.join(RESULTS, name), encoding="utf-8") as f:
                files.append(work.write("hostile-" + name, hostile(json.load(f), rng)))
    files.append(work.write("hostile-bench.json", hostile(bench(ENGINES), rng)))
    files.append(work.write("hostile-sweep.json", hostile(sweep(5), rng)))
    _, text = check_page(work, "hostile", files, widths=((1280, False),))
    ok("<script>window.pwned = 1</script>" in text, "hostile: markup is shown as text")
    ok("\u202e" not in text and "\\xe2\\x80\\xae" in text, "hostile: marks of direction are shown as such")
    ok("\x1b" not in text and "\\x1b" in text, "hostile: control bytes are shown as such")


def check_print(work, page):
    pdf = work.path("report.pdf")
    work.chromium("--no-pdf-header-footer", "--print-to-pdf=" + pdf, "file://" + page)
    text = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=False).stdout
    for what in ("Off the fabric", "The path", "KV101", "Every run", "Node to node"):
        ok(what in text, "print: the PDF has \"%s\"" % what)
    ok(text.count("\f") < 25, "print: a moderate number of pages", str(text.count("\f")))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--keep", help="leave the pages and screenshots in this directory")
    args = args.parse_args()
    for tool in ("chromium", "pdftotext"):
        if not shutil.which(tool):
            sys.exit("page.py: %s is not there (scripts/deps.sh installs it)" % tool)
    directory = args.keep or tempfile.mkdtemp(prefix="kvpath-page.")
    os.makedirs(directory, exist_ok=True)
    work = Work(os.path.abspath(directory))
    try:
        made = [os.path.join(TOP, "docs/results/2026-11-29-h200x2", n + ".json") for n in ("nvlink", "ucx-tcp", "libfabric")]
        page, _ = check_page(work, "all", results("check-before", "check-after", "prove", "log-srun-tcp", "log-stall",
                                                  "why", "sweep") + made)
        check_print(work, page)
        check_page(work, "host", results("check-p5"))
        many = [("engine-with-a-long-name-%d:LIBFABRIC" % i, "provider%d" % i) for i in range(12)]
        _, text = check_page(work, "many", [work.write("many.json", bench(many, counts=(1, 64), sizes=(4, 12, 20, 36))),
                                  work.write("nodes.json", sweep(150, bad=(3, 77), name="a-long-name-of-a-node-%04d"))])
        ok(text.count("80%") == 6 and "can carry: each way's best shape" in text, "many: each way's share of its link")
        check_page(work, "few", [work.write("one.json", bench(ENGINES[:1], sizes=(0,))),
                                 work.write("two.json", sweep(2))])
        check_page(work, "blocks", [work.write("blocks.json", merged(1000, 64, "slow=7", "off=11", "lost=300"))])
        check_hostile(work)
        if args.keep:
            for name, extra in (("light", []), ("dark", ["--blink-settings=preferredColorScheme=0"])):
                work.chromium("--window-size=1280,6000", "--screenshot=" + work.path(name + ".png"), *extra, "file://" + page)
    finally:
        if not args.keep:
            shutil.rmtree(directory)
    return failed != 0


sys.exit(main())
