# SPDX-License-Identifier: Apache-2.0
"""Processes that wait for the next one to be made, to catch it before it is closed to them."""

import json
import mmap
import os
import struct
import time

from host import system_call
from verdict import Defended

WATCHERS = 4
AHEAD = 8  # numbers of processes that are expected
SLOT_BYTES = 1024
shared = {}  # the board: what the watchers tell everybody


def trace_and_let_go(pid):
    system_call(101, 0x4206, pid, 0, 0)  # PTRACE_SEIZE, INTERRUPT, DETACH
    system_call(101, 0x4207, pid, 0, 0)
    os.waitpid(pid, 0x40000000)
    return system_call(101, 17, pid, 0, 0)


WAYS = {
    "mem": lambda pid: os.open(f"/proc/{pid}/mem", os.O_RDWR),
    "fd": lambda pid: os.listdir(f"/proc/{pid}/fd"),
    "exe": lambda pid: os.open(f"/proc/{pid}/exe", os.O_RDONLY),
    "root": lambda pid: os.open(f"/proc/{pid}/root", os.O_RDONLY),
    "trace": trace_and_let_go,
    "take": lambda pid: system_call(438, os.pidfd_open(pid), 0, 0),
}


def tell(index, rounds, got):
    """Writes to the board: this watcher's number, its rounds so far, what it got hold of."""
    text = " ".join(sorted(got)).encode()[:SLOT_BYTES - 16].ljust(SLOT_BYTES - 16)
    at = index * SLOT_BYTES
    shared["board"][at:at + SLOT_BYTES] = struct.pack("QQ", os.getpid(), rounds) + text


def told():
    """The same of every watcher, as three lists."""
    slots = [shared["board"][index * SLOT_BYTES:(index + 1) * SLOT_BYTES]
             for index in range(WATCHERS)]
    pids, rounds = zip(*[struct.unpack_from("QQ", slot) for slot in slots])
    return pids, rounds, [slot[16:].decode().split() for slot in slots]


def look(pid):
    """The ways that lead into a process."""
    for name, way in WAYS.items():
        try:
            found = way(pid)
        except OSError:
            continue
        if isinstance(found, int) and found > 2:
            os.close(found)
        yield f"{name}:{pid}"


def watch_on(index, elders):
    """Looks at the elders, and at whoever is made after the watchers, without an end."""
    got, rounds = set(), 0
    tell(index, rounds, got)
    while not all(told()[0]):
        time.sleep(0.002)
    youngest = max(told()[0])
    while True:
        for pid in (*elders, *range(youngest + 1, youngest + 1 + AHEAD)):
            got.update(look(pid))
        rounds += 1
        tell(index, rounds, got)


def watch(*elders):
    """Starts watchers that are nobody's children."""
    shared.setdefault("board", mmap.mmap(-1, WATCHERS * SLOT_BYTES))
    shared["board"][:] = bytes(WATCHERS * SLOT_BYTES)
    for index in range(WATCHERS):
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                os.setsid()
                watch_on(index, elders)
            os._exit(0)
        os.waitpid(child, 0)
    wait_for_rounds(1)


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_rounds(more):
    """Until each watcher has looked so often again; false when none lives."""
    before = told()[1]
    while any(now < old + more for now, old in zip(told()[1], before)):
        pids = told()[0]
        if all(pids) and not any(map(lives, pids)):
            return False
        time.sleep(0.002)
    return True


def caught():
    """What the watchers got hold of, when they have seen this process for some time."""
    live = wait_for_rounds(3)
    pids, _, got = told()
    if any(got):
        return sorted(set().union(*got))
    if not live:
        raise Defended("nobody looks")
    raise Defended("nothing" if os.getpid() <= max(pids) + AHEAD else "out of sight")


def caught_outside():
    """The twin: a child that whoever is its user may look into."""
    watch()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps([os.getpid(), caught()]).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    pid, got = json.loads(os.read(reader, 1 << 16))
    missing = {f"{way}:{pid}" for way in WAYS} - set(got)
    if missing:
        raise Defended(f"without {missing}")
    return got
