#!/usr/bin/env python3
"""screenshots.py [DIR]: the README's pictures, into docs/pictures: the terminal (SVG, of what the commands really print on the
broken container of the tests), and the report (PNG, by Chromium). Needs root."""
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KVPATH = os.path.abspath(os.environ.get("KVPATH", os.path.join(TOP, "build/bin/kvpath")))
STORY = ("check --fabric ./efa ./container", "fix --fabric ./efa ./container", "prove --mem dram ./container")
COLUMNS, LINE, GLYPH, LEFT, TOP_BAR = 112, 18, 7.83, 18, 44  # characters; px
COLOURS = {"31": "r", "32": "g", "33": "y", "1": "b", "2": "d"}
STYLE = """text{font:13px "DejaVu Sans Mono",ui-monospace,Menlo,Consolas,monospace;fill:#d6dbe1;white-space:pre}
.r{fill:#ff8a80}.g{fill:#8ddb8c}.y{fill:#ffca6a}.b{fill:#ffffff;font-weight:600}.d{fill:#98a2ad}.p{fill:#7fb8ff}"""
# What the picture leaves out, and marks by "...": plugins that are not what it is about, and all copies of libfabric.
CUT = re.compile(r"^    (?!LIBFABRIC|POSIX|UCX)[A-Z_]+ +(?:yes|no) |^libfabric$|^  (?:fabric|target)   |^           [0-9]")
LONG = "/usr/local/lib/python3.11/dist-packages"


def sandbox(work):
    for builder, *args in (("container", "1.5.0", f"{work}/container"), ("fabric", "F1", f"{work}/host")):
        subprocess.run([f"{TOP}/tests/roots/{builder}", *args], check=True, stdout=subprocess.DEVNULL)
    os.symlink("host/opt/amazon/efa", f"{work}/efa")


def kvpath(work, *args):
    r = subprocess.run([KVPATH, *args], cwd=work, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if r.returncode not in (0, 1):
        sys.exit(f"screenshots: kvpath {' '.join(args)}: status {r.returncode}")
    return r.stdout


def styled(text):
    """[(character, class)] for each line of what has SGR codes."""
    kind, line = "", []
    for code, char in re.findall(r"\x1b\[([0-9;]*)m|(.|\n)", text.replace(LONG, "...")):
        if not char:
            kind = COLOURS.get(code, "")
        elif char == "\n":
            yield line
            line = []
        else:
            line.append((char, kind))


def shown(text):
    """Without what is cut; what is longer than the window goes on in the next line, as in a terminal."""
    cutting = False
    for line in styled(text):
        if CUT.match("".join(c for c, _ in line) + " "):
            if not cutting:
                yield [(c, "d") for c in "    ..."]
            cutting = True
            continue
        cutting = False
        for at in range(0, max(1, len(line)), COLUMNS):
            yield line[at:at + COLUMNS]


def spans(line):
    out, at = [], 0
    while at < len(line):
        end = at
        while end < len(line) and line[end][1] == line[at][1]:
            end += 1
        text = html.escape("".join(c for c, _ in line[at:end]))
        out.append(f'<tspan class="{line[at][1]}">{text}</tspan>' if line[at][1] else text)
        at = end
    return "".join(out)


def terminal(work):
    lines = []
    for command in STORY:
        lines += [[("# ", "d"), ("kvpath " + command, "p")]]
        name, *args = command.split()
        lines += [*shown(kvpath(work, name, "--color", "always", *args)), []]
    width, height = round(2 * LEFT + GLYPH * COLUMNS), TOP_BAR + LINE * len(lines) + 6
    body = [f'<text x="{LEFT}" y="{TOP_BAR + 10 + LINE * i}">{spans(line)}</text>' for i, line in enumerate(lines) if line]
    dots = "".join(f'<circle cx="{LEFT + 6 + 20 * i}" cy="18" r="6" fill="{c}"/>' for i, c in enumerate(("#ff5f57", "#febc2e", "#28c840")))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
            f"<title>kvpath check, fix and prove on a broken container</title><style>{STYLE}</style>"
            f'<rect width="{width}" height="{height}" rx="9" fill="#16191e"/>{dots}\n' + "\n".join(body) + "\n</svg>\n")


def report(work, path):
    """Of the container as it was found, with a proof: by the browser, the head of the page."""
    for name, *args in (("check", "--fabric", "./efa", "./container"), ("prove", "--mem", "dram", "--backend", "UCX", "./container")):
        with open(f"{work}/{name}.json", "w", encoding="utf-8") as f:
            f.write(kvpath(work, name, "--json", *args))
    kvpath(work, "report", "check.json", "prove.json", "-o", "report.html")
    subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                    "--user-data-dir=" + f"{work}/profile", "--blink-settings=preferredColorScheme=1", "--window-size=1120,1000",
                    f"--screenshot={path}", f"file://{work}/report.html"], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(TOP, "docs/pictures")
    os.makedirs(out, exist_ok=True)
    work = tempfile.mkdtemp(prefix="kvpath-pictures.")
    try:
        sandbox(work)
        report(work, os.path.join(out, "report.png"))
        picture = terminal(work)
        with open(os.path.join(out, "terminal.svg"), "w", encoding="utf-8") as f:
            f.write(picture)
    finally:
        shutil.rmtree(work)


main()
