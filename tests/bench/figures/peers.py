# SPDX-License-Identifier: Apache-2.0
"""The same work by others, installed from their registries into a cache; see peers/peer.py."""

import contextlib
import importlib
import sys

from client import wrk
from figures.cold import PER_ROUND, ROOMY
from figures.fresh import FRESH, python
from figures.warm import KEPT, NUMBERS, TEXT
from ground import HERE, instance
from measure import Row, Unavailable, measurement

PEERS = HERE / "peers"
HANDLERS = PEERS / "handlers"


@contextlib.contextmanager
def excused():
    """What a peer says that cannot run here becomes the row's reason."""
    sys.path.insert(0, str(PEERS))
    try:
        peer = importlib.import_module("peer")
        try:
            yield peer
        except peer.Unavailable as error:
            raise Unavailable(str(error)) from error
    except ImportError as error:
        raise Unavailable(str(error)) from error
    finally:
        sys.path.remove(str(PEERS))


def installed(ground, name):
    """The module of a peer, and the cache that it is in."""
    with excused() as peer:
        module, cache = importlib.import_module(name), peer.cache_folder()
        ground.against = f"{module.NAME} {module.install(cache)}"
        return module, cache


def folder_of(ground, name):
    folder = ground.folder / name
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def served(ground, name):
    """The URL of a peer that serves the function by HTTP."""
    module, cache = installed(ground, name)
    if not hasattr(module, "serve"):
        raise Unavailable(f"{module.NAME} {module.VERSION} has no server here")
    with excused():
        return ground.keep(module.serve(cache, folder_of(ground, name)))


def compared(ours, theirs, connections, seconds):
    """Sides of {name: (URL, body)}."""
    targets = {"hearth": ours, "peer": theirs}
    for url, body in targets.values():
        wrk(url, body, connections, 1, allow_closed=True)

    def side(url, body):
        return lambda: wrk(url, body, connections, seconds, allow_closed=True)

    return {name: side(*target) for name, target in targets.items()}


def node(ground, name):
    theirs = served(ground, name)
    hearth = ground.hearth()
    files = {"app.mjs": (HANDLERS / "hearth.mjs").read_text(),
             "sum.mjs": (HANDLERS / "sum.mjs").read_text()}
    hearth.function("sum", "nodejs", "app.handle", files, KEPT + "\n[http]\n")
    return compared((ground.url(hearth, "sum"), NUMBERS), (theirs, NUMBERS), 32, ground.seconds)


@measurement(
    "peer-workerd",
    Row("peer-workerd-rate", "warm node, 32 connections / workerd", "calls/s",
        ("hearth", "rate"), ("peer", "rate"), "> 1"),
)
def workerd(ground):
    return node(ground, "workerd")


@measurement(
    "peer-framework",
    Row("peer-framework-rate", "warm node, 32 connections / functions-framework", "calls/s",
        ("hearth", "rate"), ("peer", "rate"), "> 1"),
)
def framework(ground):
    return node(ground, "functions_framework")


def exec_per_call(ground, name):
    module, cache = installed(ground, name)
    program = ground.program("cat.c")
    with excused():
        theirs = ground.keep(module.serve_program(cache, folder_of(ground, name), program, TEXT))
    hearth = ground.hearth()
    files = {"run": (program.read_bytes(), 0o755)}
    hearth.function("run", "exec", "run", files, FRESH + "memory_mb = 32\n[http]\n")
    return compared((ground.url(hearth, "run"), TEXT), theirs, 4, ground.seconds)


@measurement(
    "peer-go-judge",
    Row("peer-go-judge-rate", "exec of a static program, 4 connections / go-judge", "calls/s",
        ("hearth", "rate"), ("peer", "rate"), ">= 2"),
)
def go_judge(ground):
    return exec_per_call(ground, "go_judge")


@measurement(
    "peer-of-watchdog",
    Row("peer-of-watchdog-rate", "exec of a static program, 4 connections / of-watchdog, streaming",
        "calls/s", ("hearth", "rate"), ("peer", "rate")),
)
def of_watchdog(ground):
    return exec_per_call(ground, "of_watchdog")


def cold(ground, name):
    """A first call against one start of the same kind of program by a peer."""
    module, cache = installed(ground, name)
    hearth = ground.hearth(ROOMY)
    program, numbers = ground.program("echo.c").read_bytes(), iter(range(10**6))

    def deploy():
        number = next(numbers)
        files = {"program": (program + str(number).encode(), 0o755)}
        hearth.function(f"cold{number}", "native", "program", files, "memory_mb = 32\n[http]\n",
                        verify=False)
        return f"cold{number}"

    command = module.command(cache, ground.program("cat.c"), folder_of(ground, name))
    around = module.around(cache) if hasattr(module, "around") else ()
    return {
        "hearth": ground.first_calls(hearth, PER_ROUND, deploy, TEXT, "cold"),
        "peer": ground.start_loop(*command, loops=1, body=TEXT, around=around),
    }


def register_cold(name, title):
    measurement(
        f"peer-{name}",
        Row(f"peer-{name}-time", f"first call of a native function, p50 / {title}", "us",
            ("hearth", "p50"), ("peer", "p50")),
    )(lambda ground: cold(ground, name))


for each in ("crun", "runc", "nsjail"):
    register_cold(each, f"{each} and exec")


@measurement(
    "peer-open-lambda",
    Row("peer-open-lambda-p50", "fresh-process python, 1 connection, p50 / OpenLambda", "us",
        ("hearth", "p50"), ("peer", "p50")),
)
def open_lambda(ground):
    return served(ground, "open_lambda")  # says why not


@measurement(
    "peer-zygo",
    Row("peer-zygo-p50", "fresh-process python, 1 connection, p50 / Zygo", "us",
        ("hearth", "p50_1"), ("peer", "p50_1"), "<= 0.6"),
    Row("peer-zygo-rate", "fresh-process python, 4 connections / Zygo", "calls/s",
        ("hearth", "rate_4"), ("peer", "rate_4"), ">= 1.5"),
    Row("peer-zygo-p99", "fresh-process python, 1 connection, p99 / Zygo", "us",
        ("hearth", "p99_1"), ("peer", "p99_1"), "<= 0.5"),
    Row("peer-zygo-p99-4", "fresh-process python, 4 connections, p99 / Zygo", "us",
        ("hearth", "p99_4"), ("peer", "p99_4"), "<= 0.5"),
    rounds=8, seconds=15,
)
def zygo(ground):
    """In a virtual machine where this host has not what Zygo needs."""
    with excused():
        elsewhere = importlib.import_module("zygo").here()
        if elsewhere:
            return zygo_in_vm(ground)
    theirs = served(ground, "zygo")
    sides = [compared((python(ground), NUMBERS), (theirs, NUMBERS), connections, ground.seconds)
             for connections in (1, 4)]
    return {side: lambda side=side: numbered({1: sides[0][side](), 4: sides[1][side]()})
            for side in sides[0]}


def numbered(found):
    """{connections: {name: number}} as one."""
    return {f"{name}_{connections}": each
            for connections, numbers in found.items() for name, each in numbers.items()}


def zygo_in_vm(ground):
    """Sides that tell what was measured in the machine, round by round."""
    vm, version = importlib.import_module("vm"), importlib.import_module("zygo").VERSION
    ground.against = f"Zygo {version}, both in an emulated virtual machine with strict limits"
    found = vm.compared(instance.STAGE, ground.rounds, ground.seconds, ground.note)
    return {side: iter(rounds).__next__ for side, rounds in found.items()}
