# SPDX-License-Identifier: Apache-2.0
"""What a figure is: sides that are run in turn, rows that compare them, and what the spread says.

A measurement has sides ("hearth", "floor", a peer). A round runs each side once, in an order that
turns from round to round, and gives each row one ratio; the row's ratio is their median."""

import dataclasses
import os
import re
import statistics
import time

# Rounds whose ratios lie further apart than this, by the distance of their quartiles and as a part
# of their median, were measured on a machine that did something else.
SPREAD_MAX = 0.20
# What the probe before a side may lose of its processor time to others.
LOST_MAX = 0.15


class Unavailable(Exception):
    """This host cannot run one side; the row says why."""


@dataclasses.dataclass(frozen=True)
class Target:
    text: str  # ">= 0.8", "<= 1.25", "> 1", "< 64"

    def holds(self, value):
        sign, bound = re.fullmatch(r"(<=|>=|<|>)\s*([\d.]+)", self.text).groups()
        bound = float(bound)
        return {"<=": value <= bound, ">=": value >= bound, "<": value < bound,
                ">": value > bound}[sign]

    def bound(self):
        return float(self.text.split()[1])

    def more_is_better(self):
        return self.text.startswith(">")


@dataclasses.dataclass(frozen=True)
class Row:
    """ours and reference are (side, number of that side); without a reference the number counts."""

    key: str
    title: str
    unit: str
    ours: tuple
    reference: tuple = None
    target: str = None  # what issue 4 of the project asks for; none is for information
    base: str = None  # what had to hold before there were these targets
    series: tuple = None  # of a chart: its name, and where on it the ratio is


@dataclasses.dataclass
class Measurement:
    key: str
    rows: list
    prepare: object  # called with the ground, returns {side: callable that returns {name: number}}
    short: bool = False
    growth: bool = False
    rounds: int = None  # instead of --pairs
    seconds: float = None  # instead of --seconds


REGISTERED = []


def measurement(key, *rows, **options):
    """Registers the function below it."""

    def register(prepare):
        REGISTERED.append(Measurement(key, list(rows), prepare, **options))
        return prepare

    return register


def spin(seconds):
    """The part of `seconds` that this processor did not give us."""
    begin, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - begin < seconds:
        pass
    return 1 - (time.process_time() - cpu) / (time.monotonic() - begin)


def lost_to_others(seconds=0.05):
    """The largest part of a short spin on each processor that somebody else got."""
    children = []
    for processor in os.sched_getaffinity(0):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.sched_setaffinity(0, [processor])
            os.write(writer, repr(spin(seconds)).encode())
            os._exit(0)
        os.close(writer)
        children.append((pid, reader))
    lost = []
    for pid, reader in children:
        lost.append(float(os.read(reader, 100)))
        os.close(reader)
        os.waitpid(pid, 0)
    return max(lost)


def run_rounds(sides, rounds, note):
    """[{side: {name: number}}] of each round, and what the probe before each side lost."""
    names, done, lost = list(sides), [], []
    for number in range(rounds):
        order = names if number % 2 else names[::-1]
        results = {}
        for name in order:
            note(f"round {number + 1}/{rounds} {name}")
            # The processes of the side before are still going: what they do in the next tenths of
            # a second is theirs.
            time.sleep(0.2)
            lost.append(lost_to_others())
            results[name] = sides[name]()
        done.append(results)
    return done, lost


def spread(values):
    """The distance between the quartiles, as a part of the median."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / abs(statistics.median(values) or 1)


def verdict(row, ratios, quiet):
    """met, not met, or withheld: on a machine that was not quiet, with rounds on both sides of the
    target."""
    if row.target is None:
        return ""
    target = Target(row.target)
    if not quiet and len({target.holds(each) for each in ratios}) > 1:
        return "withheld"
    if target.holds(statistics.median(ratios)):
        return "met"
    if row.base and Target(row.base).holds(statistics.median(ratios)):
        return "not met (base met)"
    return "not met"


def judge(row, rounds, lost):
    """The row as it goes into the table and the file."""
    ours = [each[row.ours[0]][row.ours[1]] for each in rounds]
    if row.reference:
        reference = [each[row.reference[0]][row.reference[1]] for each in rounds]
        ratios = [a / b for a, b in zip(ours, reference)]
    else:
        reference, ratios = None, ours
    apart = spread(ratios)
    # The rounds agree, and nobody else had the processors for long; memory does not mind.
    taken = row.reference is not None and sum(each > LOST_MAX for each in lost) * 3 > len(lost)
    quiet = apart <= SPREAD_MAX and not taken
    return {
        "key": row.key,
        "title": row.title,
        "unit": row.unit,
        "ours": statistics.median(ours),
        "reference": statistics.median(reference) if reference else None,
        "reference_side": row.reference[0] if reference else None,
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "spread": apart,
        "rounds": len(ratios),
        "target": row.target,
        "base": row.base,
        "series": row.series,
        "verdict": verdict(row, ratios, quiet),
        "quiet": quiet,
        "lost_to_others": statistics.median(lost) if lost else 0.0,
    }


def failed(row, reason, word="failed"):
    return {"key": row.key, "title": row.title, "unit": row.unit, "ratio": None,
            "target": row.target, "base": row.base, "verdict": word, "reason": reason}
