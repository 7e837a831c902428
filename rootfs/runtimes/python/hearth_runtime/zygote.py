# SPDX-License-Identifier: Apache-2.0
"""A loaded process that forks a child for each call: what must hold, what a fork shares."""

import gc
import os
import sys

from hearth_runtime import _hearth

NOTES_MAX = 32
_NOTE_CHARS_MAX = 500
_CO_COROUTINE = 0x80  # of `async def`; inspect, which knows the name, is large

# A fork shares these without passing anything on.
_STATELESS_FILES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")


def open_descriptors():
    """{number: what it is} of this process."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[int(entry)] = os.readlink("/proc/self/fd/" + entry)
        except OSError:
            pass  # the listing's own descriptor
    return found


def shared_memory():
    """Names of writable mappings that a child would share."""
    found = set()
    with open("/proc/self/maps", errors="surrogateescape") as maps:
        for line in maps:
            fields = line.split(None, 5)
            if fields[1][1] == "w" and fields[1][3] == "s":
                found.add(fields[5].rstrip("\n") if len(fields) > 5 else "anonymous")
    return found


class Before:
    """What was open and mapped before any user code ran."""

    def __init__(self):
        self.descriptors = open_descriptors()
        self.mappings = shared_memory()


def fork_obstacle():
    """Why children cannot be forked; None when they can."""
    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError as error:
        return f"cannot count the threads: {error}"
    if threads == 1:
        return None
    return (
        f"{threads - 1} threads run after the import, and a fork would lose them: "
        "every call gets a fresh process instead, which is slower"
    )


def notes(before, task_dir):
    """What one call could pass on to the next through the zygote, a line for each."""
    lines = []
    for number, target in sorted(open_descriptors().items()):
        if before.descriptors.get(number) == target or target in _STATELESS_FILES:
            continue
        lines.append(f"descriptor {number} ({target}) was opened at import: calls share it")
    for target in sorted(shared_memory() - before.mappings):
        lines.append(f"memory of {target} was mapped shared at import: calls share it")
    lines += _generators(task_dir)
    if len(lines) > NOTES_MAX:
        lines[NOTES_MAX - 1 :] = [f"{len(lines) - NOTES_MAX + 1} more of this kind"]
    return [line.replace("\0", "?").replace("\n", "?")[:_NOTE_CHARS_MAX] for line in lines]


def _generators(task_dir):
    """Random generators that modules of the function hold: a fork copies their state."""
    kinds = ()
    if "random" in sys.modules:
        kinds += (sys.modules["random"].Random,)
    numpy = sys.modules.get("numpy.random")
    kinds += tuple(
        kind
        for kind in (getattr(numpy, "Generator", None), getattr(numpy, "RandomState", None))
        if isinstance(kind, type)
    )
    if not kinds:
        return
    fresh = getattr(sys.modules.get("random"), "SystemRandom", ())
    prefix = os.path.join(task_dir, "")
    for module_name, module in sorted(sys.modules.items()):
        if not str(getattr(module, "__file__", None)).startswith(prefix):
            continue
        for name, value in list(vars(module).items()):
            if isinstance(value, kinds) and not isinstance(value, fresh):
                yield (
                    f"{module_name}.{name} is a random generator made at import: "
                    "every call draws the same numbers from it"
                )


def prepare(handler):
    """From here on nothing but forks happens in this process."""
    # The import may have made it traceable, and then its memory would be open to every call.
    _hearth.protect(False)
    code = getattr(handler, "__code__", None)
    if getattr(code, "co_flags", 0) & _CO_COROUTINE:
        import asyncio  # noqa: F401  (once here instead of in every child)
    numpy = sys.modules.get("numpy.random")
    if hasattr(numpy, "seed"):
        # `random` renews its state in a child by itself, numpy does not.
        os.register_at_fork(after_in_child=numpy.seed)
    # Garbage of the import goes; what lives is never looked at by a child's collector, so its pages
    # stay shared.
    os.register_at_fork(after_in_child=gc.enable)
    gc.collect()
    gc.freeze()
    gc.disable()

