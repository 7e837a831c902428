# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG, drawn from plain numbers: no library, no fonts of its own, readable on light and
dark pages."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 44, 52
# Told apart also by who sees no red or green (Okabe and Ito).
COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
STYLE = """
text { font: 12px sans-serif; fill: #444 }
.title { font-size: 15px; font-weight: bold }
.axis { stroke: #999; fill: none }
.grid { stroke: #999; stroke-opacity: .25 }
@media (prefers-color-scheme: dark) { text { fill: #ccc } }
"""


class Axis:
    """Numbers to pixels, with round marks."""

    def __init__(self, values, low, high, log=False):
        self.log, self.low, self.high = log, low, high
        if log:
            self.first = 10 ** math.floor(math.log10(min(values)))
            self.last = 10 ** math.ceil(math.log10(max(values)))
            decades = round(math.log10(self.last / self.first))
            self.marks = [self.first * 10**i for i in range(decades + 1)]
        else:
            top = max(values) or 1
            step = 10 ** math.floor(math.log10(top / 4))
            step *= next(k for k in (1, 2, 2.5, 5, 10) if top / (step * k) <= 6)
            self.first, self.last = 0, step * math.ceil(top / step)
            self.marks = [step * i for i in range(round(self.last / step) + 1)]

    def place(self, value):
        if self.log:
            part = math.log(value / self.first) / math.log(self.last / self.first)
        else:
            part = (value - self.first) / (self.last - self.first)
        return self.low + part * (self.high - self.low)


def label(number):
    return f"{number / 1e6:g}M" if number >= 1e6 else f"{number:g}"


def _frame(title, x_label, y_label, x, y):
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img"><title>{escape(title)}</title><style>{STYLE}</style>',
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
        f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">'
        f"{escape(x_label)}</text>",
        f'<text transform="translate(16 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>",
    ]
    for mark in x.marks:
        at = x.place(mark)
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">'
                     f"{label(mark)}</text>")
    for mark in y.marks:
        at = y.place(mark)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">'
                     f"{label(mark)}</text>")
    return parts


def lines(title, x_label, y_label, series, log_x=False, log_y=False):
    """An SVG of {name: [(x, y, label or "")]}: marks joined by lines, labels beside them."""
    points = [point for each in series.values() for point in each]
    x = Axis([p[0] for p in points], LEFT, WIDTH - RIGHT, log_x)
    y = Axis([p[1] for p in points], HEIGHT - BOTTOM, TOP, log_y)
    parts = _frame(title, x_label, y_label, x, y)
    for i, (name, each) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x.place(px):.1f},{y.place(py):.1f}" for px, py, _ in each)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for px, py, text in each:
            # Above for one line, below for the next, so that near ones keep apart.
            above = i % 2 == 0
            at = (f'x="{x.place(px) + (6 if above else -6):.1f}" '
                  f'y="{y.place(py) + (-6 if above else 16):.1f}" '
                  f'text-anchor="{"start" if above else "end"}"')
            parts.append(f'<circle cx="{x.place(px):.1f}" cy="{y.place(py):.1f}" r="4" '
                         f'fill="{colour}"/>')
            if text:
                parts.append(f"<text {at}>{escape(text)}</text>")
        row = TOP + 12 + 22 * i
        parts.append(f'<circle cx="{WIDTH - RIGHT + 18}" cy="{row - 4}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 30}" y="{row}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def bars(title, x_label, rows):
    """An SVG of [(name, value, target or None)]: a bar each, with a mark where it was to be."""
    high = [max(value, target or 0) for _, value, target in rows]
    width, left, right, step = 900, 440, 50, 26
    x = Axis(high, left, width - right)
    height = TOP + step * len(rows) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'role="img"><title>{escape(title)}</title><style>{STYLE}</style>',
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        f'<text x="{(left + width - right) / 2}" y="{height - 12}" text-anchor="middle">'
        f"{escape(x_label)}</text>",
    ]
    for mark in x.marks:
        at = x.place(mark)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP - 6}V{height - BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - BOTTOM + 18}" text-anchor="middle">'
                     f"{label(mark)}</text>")
    for i, (name, value, target) in enumerate(rows):
        y = TOP + step * i
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{x.place(value) - left:.1f}" height="17" '
                     f'fill="{COLOURS[1]}"/>')
        if target is not None:
            parts.append(f'<path d="M{x.place(target):.1f} {y - 3}v23" stroke="{COLOURS[0]}" '
                         f'stroke-width="3"/>')
        beyond = max(value, target or 0)
        parts.append(f'<text x="{x.place(beyond) + 5:.1f}" y="{y + 13}">{value:.2f}</text>')
    return "\n".join([*parts, "</svg>\n"])
