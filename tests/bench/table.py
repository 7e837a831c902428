# SPDX-License-Identifier: Apache-2.0
"""Figures as text and as JSON."""

import json


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def ratio(row):
    """With more decimals where two would show a figure that misses its target as one that meets
    it."""
    short = f"{row['ratio']:.2f}"
    missed = (row["verdict"] or "").startswith("not met")
    return f"{row['ratio']:.4f}" if missed and short in row["target"] else short


def cells(row):
    """name, ours, reference, ratio, low-high, spread, target, verdict."""
    if row["ratio"] is None:
        return [row["title"], "", "", "", "", "", row["target"] or "",
                f"{row['verdict']}: {' '.join(row['reason'].split())[:300]}"]
    absolute = row["reference"] is None
    return [
        row["title"],
        f"{number(row['ours'])} {row['unit']}",
        "" if absolute else f"{number(row['reference'])} {row['unit']}",
        "" if absolute else ratio(row),
        f"{row['low']:.2f}-{row['high']:.2f}",
        f"{100 * row['spread']:.0f} %",
        row["target"] or "",
        row["verdict"] + ("" if row["quiet"] else ", busy" if row["verdict"] else "busy"),
    ]


HEAD = ["figure", "ours", "reference", "ratio", "lowest-highest", "spread", "target", "verdict"]


def aligned(lines):
    """Lines of cells in columns: the first and the last to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    last = len(widths) - 1
    return "\n".join(
        "  ".join(cell.ljust(width) if i in (0, last) else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(line, widths))).rstrip()
        for line in lines)


def text(rows):
    return aligned([HEAD, *map(cells, rows)])


def host_line(host):
    return (f"{host['date']}, hearth {host['hearth']} ({host['commit']}, {host['build']}), limits "
            f"{host['limits']}\n{host['processor']}, {host['cores']} cores, Linux "
            f"{host['kernel']}, libuv {host['libuv']}, python {host['python']}, node "
            f"{host['node']}")


def read(path):
    return json.loads(path.read_text())


def write(path, host, rows):
    path.write_text(json.dumps({"host": host, "rows": rows}, indent=1) + "\n")


def merged(kept, rows, measurements):
    """Rows of an earlier run and of this one, which count more, in the order of the figures."""
    order = {row.key: i for i, row in enumerate(row for each in measurements for row in each.rows)}
    both = {row["key"]: row for row in [*kept, *rows]}
    return sorted((row for key, row in both.items() if key in order),
                  key=lambda row: order[row["key"]])
