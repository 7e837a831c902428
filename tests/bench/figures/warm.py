# SPDX-License-Identifier: Apache-2.0
"""Warm calls over HTTP of a process that is kept, against the same work without Hearth."""

import json
import shutil

from client import wrk
from ground import FLOORS, FUNCTIONS, NODE, PYTHON, instance
from measure import Row, measurement

TEXT = "x" * 100
NUMBERS = json.dumps({"numbers": list(range(10))})
KEPT = 'reuse = "process"\nconcurrency_max = 8\nmemory_mb = 64'


def both(ours, floor, body, connections, seconds, warm_up=1):
    """Each side once so that it is warm, then the sides."""
    for url in (ours, floor):
        wrk(url, body, connections, warm_up)
    return {
        "hearth": lambda: wrk(ours, body, connections, seconds),
        "floor": lambda: wrk(floor, body, connections, seconds),
    }


@measurement(
    "warm-native",
    Row("warm-native-rate", "warm native echo, 32 connections / bare forwarder", "calls/s",
        ("hearth", "rate"), ("floor", "rate"), ">= 0.80", base=">= 0.5"),
    short=True,
)
def warm_native(ground):
    ours = ground.native(ground.hearth(), "echo", KEPT)
    return both(ours, ground.forwarder(), TEXT, 32, ground.seconds)


@measurement(
    "warm-native-latency",
    Row("warm-native-p50", "warm native echo, 1 connection, p50 / bare forwarder", "us",
        ("hearth", "p50"), ("floor", "p50"), "<= 1.25"),
    Row("warm-native-p99", "warm native echo, 1 connection, p99 / bare forwarder", "us",
        ("hearth", "p99"), ("floor", "p99"), "<= 1.5"),
    short=True,
)
def warm_native_latency(ground):
    ours = ground.native(ground.hearth(), "echo", KEPT)
    return both(ours, ground.forwarder(), TEXT, 1, ground.seconds)


@measurement(
    "warm-python",
    Row("warm-python-rate", "warm python, 32 connections / the handler behind the forwarder",
        "calls/s", ("hearth", "rate"), ("floor", "rate"), ">= 0.75"),
    short=True,
)
def warm_python(ground):
    hearth = ground.hearth()
    hearth.python("sum", (FUNCTIONS / "sum.py").read_text(), KEPT + "\n[http]\n")
    floor = ground.forwarder(PYTHON, "-I", FLOORS / "worker.py", FUNCTIONS / "sum.py")
    return both(ground.url(hearth, "sum"), floor, NUMBERS, 32, ground.seconds)


@measurement(
    "warm-node",
    Row("warm-node-rate", "warm node, 32 connections / the handler behind the forwarder",
        "calls/s", ("hearth", "rate"), ("floor", "rate"), ">= 0.75"),
    short=True,
)
def warm_node(ground):
    hearth = ground.hearth()
    files = {"app.js": (FUNCTIONS / "sum.js").read_text()}
    hearth.function("sum", "nodejs", "app.handle", files, KEPT + "\n[http]\n")
    floor = ground.forwarder(NODE, FLOORS / "worker.js", FUNCTIONS / "sum.js")
    # Eight processes of each side compile what is hot, beside the calls and on the same processors.
    return both(ground.url(hearth, "sum"), floor, NUMBERS, 32, ground.seconds, warm_up=5)


@measurement(
    "metering",
    Row("metering-rate", "metering and log capture, native echo, 32 connections / without",
        "calls/s", ("with", "rate"), ("without", "rate"), ">= 0.95"),
    short=True,
)
def metering(ground):
    """Against the same daemon linked without its meter, which finds the rest beside itself."""
    stage = ground.folder / "unmetered"
    (stage / "sbin").mkdir(parents=True)
    for name in ("bin", "lib", "libexec", "share"):
        (stage / name).symlink_to(instance.STAGE / name)
    bare = shutil.copy(ground.build / "tests/bench/hearthd-unmetered", stage / "sbin/hearthd")
    instances = {
        "with": ground.hearth(),
        "without": ground.hearth(wrapper=["/bin/sh", "-c", 'shift; exec "$0" "$@"', bare]),
    }
    urls = {name: ground.native(each, "echo", KEPT) for name, each in instances.items()}
    for url in urls.values():
        wrk(url, TEXT, 32, 1)
    return {name: lambda url=url: wrk(url, TEXT, 32, ground.seconds) for name, url in urls.items()}
