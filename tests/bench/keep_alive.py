#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Cold starts against idle memory under several keep-alive policies, as a table and a chart.

usage: keep_alive.py [--replay PROGRAM] [--chart FILE.svg] [--json FILE] [arguments of replay, e.g.
--azure FILE]
"""

import argparse
import json
import math
import pathlib
import subprocess

import chart

HERE = pathlib.Path(__file__).resolve().parent


def front(rows):
    """The rows that no other row beats in both memory and cold starts."""
    return [
        row for row in rows
        if not any(other["idle_gb"] <= row["idle_gb"] and other["cold_share"] < row["cold_share"]
                   for other in rows)
    ]


def ours_at(rows, idle_gb):
    """The share of cold starts that our policy has with so much memory: between two of its points
    on the front, on a straight line of the chart; None outside them."""
    points = sorted((row["idle_gb"], math.log(row["cold_share"])) for row in front(rows)
                    if row["policy"] == "hearth")
    for (left, high), (right, low) in zip(points, points[1:]):
        if left <= idle_gb <= right and right > left:
            return math.exp(high + (low - high) * (idle_gb - left) / (right - left))
    return None


# Labels of one line stand above it, those of the next below, so near ones alternate.
ORDER = ["fixed", "hearth", "greedy dual", "hearth, bounded", "hybrid histogram"]


def by_policy(rows):
    """A series for each policy in the order of memory; ours twice: some rows bound its memory."""
    series = {name: [] for name in ORDER}
    for row in rows:
        name = row["policy"]
        if name == "none":
            continue
        series[name + ", bounded" * (name == "hearth" and "GiB" in row["setting"])].append(row)
    return {
        name: sorted(each, key=lambda row: row["idle_gb"]) for name, each in series.items() if each
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--replay", default=HERE.parents[1] / "build-bench/tests/bench/replay")
    parser.add_argument("--chart", default=HERE / "results/keep_alive.svg", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, help="write the answer of replay there")
    options, rest = parser.parse_known_args()
    done = subprocess.run([options.replay, "--json", *rest], stdout=subprocess.PIPE, check=True)
    answer = json.loads(done.stdout)
    if options.json:
        options.json.write_bytes(done.stdout)
    draw(answer, options.chart)
    show(answer)


def show(answer):
    rows = answer["rows"]
    best = front(rows)
    print(f"{answer['trace']}: {answer['functions']} functions, {answer['calls']} calls, "
          f"{answer['hours']:g} hours\n")
    print(f"{'policy':18} {'setting':16} {'cold':>8} {'refused':>8} {'idle GB':>8}  on the front")
    for row in rows:
        print(f"{row['policy']:18} {row['setting']:16} {100 * row['cold_share']:7.3f}% "
              f"{row['refused']:8} {row['idle_gb']:8.2f}  {'yes' if row in best else ''}")


def draw(answer, path):
    series = {
        name: [(row["idle_gb"], 100 * row["cold_share"], row["setting"].split(", ")[-1])
               for row in each]
        for name, each in by_policy(answer["rows"]).items()
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(chart.lines(
        "Cold starts and the memory that avoids them", "memory that waits for calls, GB (mean)",
        "calls that had to wait for a start, %", series, log_y=True))


if __name__ == "__main__":
    main()
