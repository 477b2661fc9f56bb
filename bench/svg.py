"""Drawings for docs/performance.md: lines and dots on logarithmic axes, readable on a light and on a dark page."""
import html
import math

STYLE = """text{font:13px system-ui,"DejaVu Sans",sans-serif;fill:#24292f}.dim{fill:#57606a}.b{font-weight:600}
.page{fill:#ffffff}.grid{stroke:#d8dee4}.axis{stroke:#8c959f}
.c0{--c:#0550ae}.c1{--c:#b35900}.c2{--c:#1a7f37}.c3{--c:#8250df}.c4{--c:#57606a}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#9ea7b3}.page{fill:#0d1117}.grid{stroke:#30363d}.axis{stroke:#6e7681}
.c0{--c:#79c0ff}.c1{--c:#ffa657}.c2{--c:#7ee787}.c3{--c:#d2a8ff}.c4{--c:#9ea7b3}}
.l{fill:none;stroke:var(--c);stroke-width:2}.f{fill:var(--c)}.r{fill:none;stroke:var(--c);stroke-width:2}text.f{fill:var(--c)}"""
GLYPH = 7.2  # the widest that a glyph of the text is on average, px


def text(x, y, what, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{html.escape(what)}</text>'


def mark(x, y, number, title):
    """A shape of its own for each colour."""
    shape = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="f"/>',
             f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" class="r"/>',
             f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 10h-11z" class="r"/>',
             f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" class="r"/>',
             f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="r"/>')[min(number, 4)]
    return f'<g class="c{min(number, 4)}"><title>{html.escape(title)}</title>{shape}</g>'


def ticks(low, high):
    """Powers of ten around what is shown."""
    a, b = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0 ** n for n in range(a, max(b, a + 1) + 1)]


def scale(marks, start, end):
    a, b = math.log10(marks[0]), math.log10(marks[-1])
    return lambda v: start + (math.log10(v) - a) / (b - a) * (end - start)


def page(width, height, title, body):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
            f'<title>{html.escape(title)}</title><style>{STYLE}</style><rect width="{width}" height="{height}" rx="6" class="page"/>'
            f'{text(16, 24, title, kind="b")}\n' + "\n".join(body) + "\n</svg>\n")


def apart(ends, least=17):
    """Places of labels: as near to their ends as they can be without touching."""
    places = []
    for y, *what in sorted(ends):
        places.append([max(y, places[-1][0] + least) if places else y, *what])
    return places


def lines(title, across, series, show):
    """series: {name: [(x, y)]}, the first one ours; show(y) is a value as text."""
    width, height, left, top, bottom = 720, 340, 84, 44, 290
    right = 20 + GLYPH * max(len(f"{name} {show(points[-1][1])}") for name, points in series.items())
    xs = ticks(min(p[0] for s in series.values() for p in s), max(p[0] for s in series.values() for p in s))
    ys = ticks(min(p[1] for s in series.values() for p in s), max(p[1] for s in series.values() for p in s))
    at_x, at_y = scale(xs, left, width - right), scale(ys, bottom, top)
    body = []
    for y in ys:
        body += [f'<path d="M{left} {at_y(y):.1f}H{width - right}" class="grid"/>', text(left - 8, at_y(y) + 4, show(y), "end", "dim")]
    for x in xs:
        body += [f'<path d="M{at_x(x):.1f} {top}V{bottom}" class="grid"/>', text(at_x(x), bottom + 18, f"{x:g}", "middle", "dim")]
    body.append(text((left + width - right) / 2, bottom + 38, across, "middle", "dim"))
    ends = []
    for number, (name, points) in enumerate(series.items()):
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        body.append(f'<g class="c{min(number, 4)}"><polyline points="{path}" class="l"/></g>')
        body += [mark(at_x(x), at_y(y), number, f"{name}: {show(y)}") for x, y in points]
        ends.append((at_y(points[-1][1]), number, name, points[-1]))
    for y, number, name, last in apart(ends):
        body.append(f'<g class="c{min(number, 4)}">{text(at_x(last[0]) + 12, y + 4, f"{name} {show(last[1])}", kind="f")}</g>')
    return page(width, height, title, body)


def dots(title, across, rows, show):
    """rows: [(label, [(tool, value)])], of each the first one ours."""
    width, step, top = 860, 52, 58
    left = 24 + GLYPH * max(len(label) for label, _ in rows)
    right, bottom = 40, top + step * len(rows)
    xs = ticks(min(v for _, row in rows for _, v in row), max(v for _, row in rows for _, v in row))
    at = scale(xs, left, width - right)
    body = []
    for x in xs:
        body += [f'<path d="M{at(x):.1f} {top - 12}V{bottom}" class="grid"/>', text(at(x), bottom + 18, show(x), "middle", "dim")]
    body.append(text((left + width - right) / 2, bottom + 38, across, "middle", "dim"))
    for i, (label, row) in enumerate(rows):
        y = top + step * i + 22
        body.append(text(left - 12, y + 4, label, "end"))
        values = [at(v) for _, v in row]
        body.append(f'<path d="M{min(values):.1f} {y}H{max(values):.1f}" class="axis"/>')
        for number, (tool, value) in reversed(list(enumerate(row))):
            body.append(mark(at(value), y, number, f"{tool}: {show(value)}"))
        # Ours above its dot, the others below, moved apart.
        body += labels([(at(row[0][1]), 0, f"{row[0][0]} {show(row[0][1])}")], y - 11, left, width)
        body += labels([(at(v), n, f"{t} {show(v)}") for n, (t, v) in enumerate(row) if n], y + 21, left, width)
    return page(width, bottom + 50, title, body)


def labels(wanted, y, left, width):
    """In one line, none over another, none out of the drawing."""
    placed, end = [], left
    for x, number, what in sorted(wanted):
        half = GLYPH * len(what) / 2
        x = max(x, end + half)
        placed.append([x, half, number, what])
        end = x + half + 8
    over = max(0, end - width + 4)
    for i in range(len(placed) - 1, -1, -1):
        x, half, number, what = placed[i]
        limit = placed[i + 1][0] - placed[i + 1][1] - 8 - half if i + 1 < len(placed) else width - 8 - half
        placed[i][0] = min(x, limit) if over else x
    return [f'<g class="c{min(n, 4)}">{text(x, y, what, "middle", "f")}</g>' for x, _, n, what in placed]
