# SPDX-License-Identifier: Apache-2.0
"""How the cost of a call grows with what the daemon has: each size is a side of its own."""

import itertools
import os
import subprocess
import time

from client import wrk
from figures.cold import ROOMY
from figures.scale import LITTLE, ONE, PATIENT, SCRIPT, deploy_many, idle_connections
from figures.warm import KEPT, TEXT
from measure import Row, measurement

FLAT = ">= 0.9"


def growing(key, title, sizes, against=None, number="rate", unit="calls/s", target=FLAT):
    """Rows that compare each size with the smallest, or with the same size of another side."""
    rows = []
    for size in sizes:
        reference = f"{against} {size}" if against else str(sizes[0])
        ours = f"hearth {size}" if against else str(size)
        rows.append(Row(f"growth-{key}-{size}", f"{title}: {size:,}", unit, (ours, number),
                        (reference, number), None if ours == reference else target,
                        series=(key, size)))
    return rows


def rates(urls, seconds, connections=32):
    """A side for each {size: URL}."""
    for url in urls.values():
        wrk(url, TEXT, connections, 1)

    def side(url):
        return lambda: wrk(url, TEXT, connections, seconds)

    return {str(size): side(url) for size, url in urls.items()}


FUNCTIONS_SIZES = [10, 100, 1000, 10_000]


def crowds(ground, sizes):
    """An instance with so many functions, for each size."""
    instances = {}
    for size in sizes:
        ground.note(f"deploying {size} functions")
        instances[size] = ground.hearth(ROOMY)
        deploy_many(instances[size], [f"f{i}" for i in range(size - 1)], SCRIPT, LITTLE, "exec")
    return instances


@measurement(
    "growth-functions",
    *growing("functions", "calls/s with so many functions", FUNCTIONS_SIZES),
    growth=True,
)
def functions(ground):
    instances = crowds(ground, FUNCTIONS_SIZES)
    return rates({size: ground.native(hearth, "echo", KEPT) for size, hearth in instances.items()},
                 ground.seconds)


@measurement(
    "growth-never-called",
    *growing("never-called", "first call of one of so many functions", [10, 10_000], number="p50",
             unit="us", target="<= 1.1"),
    growth=True,
)
def never_called(ground):
    """Always a function that no call reached before; a small crowd gets new ones as they go."""
    instances = crowds(ground, [10, 10_000])
    numbers = itertools.count(10)

    def more():
        name = f"f{next(numbers)}"
        deploy_many(instances[10], [name], SCRIPT, LITTLE, "exec")
        return name

    # From the middle of the others, and not in the order of their making.
    old = (f"f{(i * 7919) % 9000 + 100}" for i in itertools.count())
    return {
        "10": ground.first_calls(instances[10], 21, more, TEXT, "cold"),
        "10000": ground.first_calls(instances[10_000], 21, lambda: next(old), TEXT, "cold"),
    }


TENANTS_SIZES = [1, 10, 100, 1000]


@measurement(
    "growth-tenants",
    *growing("tenants", "calls/s with so many tenants", TENANTS_SIZES),
    growth=True,
)
def tenants(ground):
    urls = {}
    for size in TENANTS_SIZES:
        hearth = ground.hearth()
        for i in range(size - 1):
            hearth.cli("tenant", "create", f"t{i}")
            deploy_many(hearth, ["f"], SCRIPT, LITTLE, "exec", f"t{i}")
        urls[size] = ground.native(hearth, "echo", KEPT)
    return rates(urls, ground.seconds)


SANDBOXES_SIZES = [1, 10, 100, 250]


@measurement(
    "growth-sandboxes",
    *growing("sandboxes", "calls/s with so many ready sandboxes", SANDBOXES_SIZES),
    growth=True,
)
def sandboxes(ground):
    program = {"program": (ground.program("echo.c").read_bytes(), 0o755)}
    urls = {}
    for size in SANDBOXES_SIZES:
        hearth = ground.hearth(ROOMY + "idle_s_min = 900\n")
        deploy_many(hearth, [f"f{i}" for i in range(size)], program, ONE)
        for i in range(size):
            hearth.http("POST", f"/fn/default/f{i}", b"x")
        urls[size] = ground.url(hearth, "f0")
    return rates(urls, ground.seconds)


CONNECTIONS_SIZES = [0, 10, 100, 1000, 10_000]


@measurement(
    "growth-connections",
    *growing("connections", "calls/s beside so many idle connections", CONNECTIONS_SIZES),
    growth=True,
)
def connections(ground):
    urls = {}
    for size in CONNECTIONS_SIZES:
        hearth = ground.hearth(PATIENT)
        urls[size] = ground.native(hearth, "echo", KEPT)
        idle_connections(ground, hearth.port, size)
    return rates(urls, ground.seconds)


PAYLOADS = [100, 1000, 10_000, 100_000, 1_000_000, 6_000_000]


@measurement(
    "growth-payload",
    *growing("payload", "bytes in and out / bare forwarder", PAYLOADS, against="floor",
             number="bytes", unit="B/s", target=">= 0.7"),
    growth=True,
)
def payload(ground):
    ours, floor = ground.native(ground.hearth(), "echo", KEPT), ground.forwarder()
    sides = {}
    for size in PAYLOADS:
        body = ground.folder / f"body{size}"
        body.write_bytes(b"x" * size)
        for side, url in (("hearth", ours), ("floor", floor)):
            wrk(url, body, 4, 1)
            sides[f"{side} {size}"] = lambda url=url, body=body: wrk(url, body, 4, ground.seconds)
    return sides


RECORDS = [1000, 10_000, 100_000, 1_000_000, 10_000_000]


@measurement(
    "growth-records",
    *growing("records", "calls/s with so many records", RECORDS),
    *growing("records-list", "the last 20 calls of so many, listed", RECORDS, number="list_us",
             unit="us", target="<= 1.5"),
    growth=True,
)
def records(ground):
    sides = {}
    for size in RECORDS:
        ground.note(f"filling a ledger with {size:,} records")
        hearth = ground.hearth()
        url = ground.native(hearth, "echo", KEPT)
        hearth.stop()
        fill(ground, hearth.state, size)
        begin = time.monotonic()
        hearth.start()
        ground.note(f"started in {time.monotonic() - begin:.2f} s")
        url = ground.url(hearth, "echo")
        wrk(url, TEXT, 32, 1)
        sides[str(size)] = lambda hearth=hearth, url=url: listed(hearth, url, ground.seconds)
    return sides


def fill(ground, state, count):
    ledger = state / "ledger.db"
    owner = ledger.stat()
    subprocess.run([ground.build / "tests/bench/fill_ledger", ledger, str(count)], check=True)
    for each in state.glob(ledger.name + "*"):
        os.chown(each, owner.st_uid, owner.st_gid)
    # Else the daemon's first checkpoint waits until the disk has all of it.
    os.sync()


def listed(hearth, url, seconds):
    result = wrk(url, TEXT, 32, seconds)
    times = []
    for _ in range(9):
        begin = time.monotonic()
        rows = hearth.calls(limit=20)
        times.append(time.monotonic() - begin)
        if len(rows) != 20:
            raise RuntimeError(f"{len(rows)} calls are listed")
    return result | {"list_us": sorted(times)[4] * 1e6}
