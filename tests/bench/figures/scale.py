# SPDX-License-Identifier: Apache-2.0
"""The same calls while the daemon has much else to know or to do."""

import re
import resource
import socket
import statistics
import threading
import time

from client import wrk
from figures.warm import KEPT, TEXT
from ground import FUNCTIONS
from measure import Row, Unavailable, measurement

MANY, READY = 1000, 100
ONE = 'reuse = "process"\nconcurrency_max = 1\nmemory_mb = 16\n[http]\n'

SCRIPT = {"program": (b"#!/bin/sh\ncat\n", 0o755)}
LITTLE = "memory_mb = 16\n[http]\n"


def deploy_many(hearth, names, files, extra, runtime="native", tenant="default"):
    for name in names:
        hearth.function(name, runtime, "program", files, extra, verify=False, tenant=tenant)


def alternating(urls, connections, seconds, **options):
    """A side for each of {name: URL}, warmed."""
    for url in urls.values():
        wrk(url, TEXT, connections, 1, **options)

    def side(url):
        return lambda: wrk(url, TEXT, connections, seconds, **options)

    return {name: side(url) for name, url in urls.items()}


@measurement(
    "many-functions",
    Row("many-functions-one", "1,000 functions, 100 sandboxes, calls of one / 1 and 1",
        "calls/s", ("many", "rate"), ("one", "rate"), ">= 0.95"),
    Row("many-functions-all", "1,000 functions, calls spread over 100 sandboxes / 1 and 1",
        "calls/s", ("spread", "rate"), ("one", "rate"), ">= 0.95"),
)
def many_functions(ground):
    program = {"program": (ground.program("echo.c").read_bytes(), 0o755)}
    alone, crowd = ground.hearth(), ground.hearth("[pool]\nidle_s_min = 600\n")
    alone.function("f0", "native", "program", program, ONE)
    deploy_many(crowd, [f"f{i}" for i in range(READY)], program, ONE)
    deploy_many(crowd, [f"f{i}" for i in range(READY, MANY)], SCRIPT, LITTLE, "exec")
    for i in range(READY):
        status, _, answer = crowd.http("POST", f"/fn/default/f{i}", b"x")
        if status != 200:
            raise RuntimeError(f"f{i}: {status} {answer}")
    ready = len({path for path in crowd.cgroups() if path.name.startswith("s-")})
    if ready < READY:
        raise RuntimeError(f"only {ready} sandboxes are ready")
    paths = [f"/fn/default/f{i}" for i in range(READY)]
    sides = alternating({"one": ground.url(alone, "f0"), "many": ground.url(crowd, "f0")}, 32,
                        ground.seconds)
    sides["spread"] = lambda: wrk(ground.url(crowd, "f0"), TEXT, 32, ground.seconds, paths=paths)
    return sides


def idle_connections(ground, port, count):
    """So many connections that were used once and now wait, until the measurement ends."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit[1] < count + 200:
        raise Unavailable(f"{count} connections need more than {limit[1]} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sockets = []
    for number in range(count):
        # The ports of one address would not last.
        client = socket.create_connection(("127.0.0.1", port), 30,
                                          (f"127.0.{1 + number // 10000}.1", 0))
        client.sendall(request)
        answer = client.recv(4096)
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"connection {number}: {answer[:200]!r}")
        sockets.append(client)
    for client in sockets:
        ground.keep(client)
    return sockets


PATIENT = "[http]\nidle_ms_max = 3600000\n"


@measurement(
    "idle-connections",
    Row("idle-connections-rate", "10,000 idle connections beside 32 busy ones / none", "calls/s",
        ("beside 10,000", "rate"), ("alone", "rate"), ">= 0.9"),
)
def idle(ground):
    alone, crowd = ground.hearth(), ground.hearth(PATIENT)
    urls = {"alone": ground.native(alone, "echo", KEPT),
            "beside 10,000": ground.native(crowd, "echo", KEPT)}
    idle_connections(ground, crowd.port, 10_000)
    return alternating(urls, 32, ground.seconds)


class Deployer(threading.Thread):
    """Deploys a new version every so often until it is told to stop."""

    def __init__(self, hearth, program, every_s):
        super().__init__()
        self.hearth, self.program, self.every_s = hearth, program, every_s
        self.over, self.times, self.error = threading.Event(), [], None

    def run(self):
        number = 0
        while not self.over.is_set():
            number += 1
            begin = time.monotonic()
            try:
                files = {"program": (self.program + str(begin).encode(), 0o755)}
                self.hearth.function(f"d{number % 10}", "native", "program", files,
                                     "memory_mb = 16\n[http]\n")
            except Exception as error:
                self.error = error
                return
            self.times.append(time.monotonic() - begin)
            self.over.wait(max(0, self.every_s - self.times[-1]))


@measurement(
    "deploys",
    Row("deploys-rate", "2 deploys per second beside 32 busy connections / none", "calls/s",
        ("deploying", "rate"), ("alone", "rate"), ">= 0.9"),
    Row("deploys-time", "the time of such a deploy, verified by loading it", "ms",
        ("deploying", "deploy_ms")),
)
def deploys(ground):
    hearth = ground.hearth()
    url = ground.native(hearth, "echo", KEPT)
    program = ground.program("echo.c").read_bytes()
    wrk(url, TEXT, 32, 1)

    def deploying():
        deployer = Deployer(hearth, program, 0.5)
        deployer.start()
        try:
            result = wrk(url, TEXT, 32, ground.seconds)
        finally:
            deployer.over.set()
            deployer.join()
        if deployer.error:
            raise deployer.error
        return result | {"deploy_ms": 1000 * statistics.median(deployer.times)}

    return {"alone": lambda: wrk(url, TEXT, 32, ground.seconds), "deploying": deploying}


def resident_mb(pid):
    text = open(f"/proc/{pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def parked_mb(hearth):
    """Proportional memory of each sandbox in which one python process waits for a call."""
    found = []
    for path in hearth.cgroups():
        processes = (path / "cgroup.procs").read_text().split()
        if len(processes) == 3:  # hearth-init, the zygote, the parked child
            texts = [open(f"/proc/{pid}/smaps_rollup").read() for pid in processes]
            found.append(sum(int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
                             for text in texts) / 1024)
    return statistics.median(found)


@measurement(
    "memory-large",
    Row("memory-1000", "hearthd, 1,000 functions, 1,000 idle connections: resident", "MB",
        ("hearth", "mb"), target="< 64"),
    rounds=1,
    short=True,
)
def memory_large(ground):
    hearth = ground.hearth(PATIENT)
    program = {"program": (ground.program("echo.c").read_bytes(), 0o755)}
    deploy_many(hearth, ["f0"], program, ONE)
    deploy_many(hearth, [f"f{i}" for i in range(1, MANY)], SCRIPT, LITTLE, "exec")
    idle_connections(ground, hearth.port, 1000)
    wrk(ground.url(hearth, "f0"), TEXT, 32, 1)
    return {"hearth": lambda: {"mb": resident_mb(hearth.process.pid)}}


@measurement(
    "memory-small",
    Row("memory-100", "hearthd, 100 functions: resident", "MB", ("hearth", "mb"), target="< 30"),
    Row("memory-parked", "a parked python sandbox: proportional", "MB", ("hearth", "parked_mb"),
        target="< 15"),
    rounds=1,
    short=True,
)
def memory_small(ground):
    hearth = ground.hearth()
    deploy_many(hearth, [f"f{i}" for i in range(100)], SCRIPT, LITTLE, "exec")
    hearth.python("sum", (FUNCTIONS / "sum.py").read_text())
    hearth.http("POST", "/fn/default/sum", b'{"numbers": [1]}')
    time.sleep(1)
    return {"hearth": lambda: {"mb": resident_mb(hearth.process.pid),
                               "parked_mb": parked_mb(hearth)}}
