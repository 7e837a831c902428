# SPDX-License-Identifier: Apache-2.0
"""Calls that each get a process of their own, in a sandbox that is kept."""

import subprocess

from client import wrk
from figures.warm import NUMBERS, TEXT
from ground import FLOORS, FUNCTIONS, NODE, PYTHON
from measure import Row, measurement

FRESH = 'reuse = "sandbox"\nconcurrency_max = 8\n'


def fork_loops(ground):
    """Two bare CPython processes that fork for each call."""

    def measure():
        command = [PYTHON, "-I", FLOORS / "fork_loop.py", FUNCTIONS / "sum.py",
                   str(ground.seconds), NUMBERS]
        loops = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        return {"rate": sum(int(each.communicate()[0]) for each in loops) / ground.seconds}

    return measure


def python(ground):
    hearth = ground.hearth()
    hearth.python("sum", (FUNCTIONS / "sum.py").read_text(), FRESH + "[http]\n")
    return ground.url(hearth, "sum")


@measurement(
    "fresh-python",
    Row("fresh-python-4", "fresh-process python, 4 connections / two bare fork loops", "calls/s",
        ("hearth 4", "rate"), ("floor", "rate"), ">= 0.85"),
    Row("fresh-python-8", "fresh-process python, 8 connections / two bare fork loops", "calls/s",
        ("hearth 8", "rate"), ("floor", "rate"), ">= 0.85", base=">= 0.6"),
    short=True,
)
def fresh_python(ground):
    ours = python(ground)
    wrk(ours, NUMBERS, 8, 1)
    return {
        "hearth 4": lambda: wrk(ours, NUMBERS, 4, ground.seconds),
        "floor": fork_loops(ground),
        "hearth 8": lambda: wrk(ours, NUMBERS, 8, ground.seconds),
    }


@measurement(
    "fresh-tail",
    Row("fresh-python-tail", "fresh-process python, 4 connections, rounds of 12 s: p99 / p50", "us",
        ("hearth", "p99"), ("hearth", "p50"), "<= 4"),
    seconds=12,
)
def fresh_tail(ground):
    ours = python(ground)
    wrk(ours, NUMBERS, 4, 1)
    return {"hearth": lambda: wrk(ours, NUMBERS, 4, ground.seconds)}


@measurement(
    "fresh-exec",
    Row("fresh-exec-parked", "exec, parked before the call, p50 / started when it arrives", "us",
        ("parked", "p50"), ("on arrival", "p50"), "<= 0.3"),
    short=True,
)
def fresh_exec(ground):
    """Calls 10 ms apart, so that a process had the time to park."""
    hearth = ground.hearth()
    program = {"run": (ground.program("cat.c").read_bytes(), 0o755)}
    hearth.function("parked", "exec", "run", program, FRESH + "memory_mb = 32\n[http]\n")
    hearth.function("arrival", "exec", "run", program,
                    FRESH + "memory_mb = 32\n[http]\n[exec]\nhttp_env = true\n")
    urls = {"parked": ground.url(hearth, "parked"), "on arrival": ground.url(hearth, "arrival")}

    def side(url):
        return lambda: wrk(url, TEXT, 1, ground.seconds, pause_ms=10)

    for url in urls.values():
        wrk(url, TEXT, 1, 1)
    return {name: side(url) for name, url in urls.items()}


@measurement(
    "fresh-node",
    Row("fresh-node-rate", "fresh-process node, 4 connections / two bare node start loops",
        "calls/s", ("hearth", "rate"), ("floor", "rate"), ">= 0.9"),
)
def fresh_node(ground):
    hearth = ground.hearth()
    files = {"app.js": (FUNCTIONS / "sum.js").read_text()}
    hearth.function("sum", "nodejs", "app.handle", files, FRESH + "[http]\n")
    ours = ground.url(hearth, "sum")
    wrk(ours, NUMBERS, 4, 1)
    return {
        "hearth": lambda: wrk(ours, NUMBERS, 4, ground.seconds),
        "floor": ground.start_loop(NODE, FLOORS / "once.js", FUNCTIONS / "sum.js", body=NUMBERS),
    }
