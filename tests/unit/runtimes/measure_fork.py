# SPDX-License-Identifier: Apache-2.0
"""Cycles per second of the python3 zygote and of a bare loop: measure_fork.py BOOTSTRAP [CYCLES]

Not a test: it prints, for turns that alternate, both rates and the processor time of a cycle (of
the zygote and its child; of the loop and its child). A cycle is fork, call, reply, reap; the bare
loop, in an interpreter of its own, forks, runs the same handler on the same JSON, sends the
result by pipe, reaps. Pin it to one processor (taskset) to compare work, not overlap.
"""

import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time

import support

TURNS = 5
BODY = b'{"x": 1}'
HANDLER = "def handle(event, context):\n    return event\n"


BARE = (
    """
import json, os, resource, sys, time
"""
    + HANDLER
    + """
cycles, body = int(sys.argv[1]), sys.argv[2].encode()
begin = time.monotonic()
for _ in range(cycles):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps(handle(json.loads(body), None)).encode())
        os._exit(0)
    os.close(write)
    assert os.read(read, 4096) == body
    os.waitpid(pid, 0)
    os.close(read)
rate = cycles / (time.monotonic() - begin)
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(rate, sum(t.ru_utime + t.ru_stime for t in used) * 1e6 / cycles)
"""
)


def bare(cycles):
    command = ["/usr/bin/python3", "-I", "-c", BARE, str(cycles), BODY.decode()]
    out = subprocess.run(command, env={}, check=True, stdout=subprocess.PIPE).stdout
    return [float(number) for number in out.split()]


def start_zygote(bootstrap, task):
    with open(task + "/app.py", "w", encoding="utf-8") as file:
        file.write(HANDLER)
    zygote = support.Zygote(["/usr/bin/python3", "-I", bootstrap])
    zygote.process.channel.receive()
    pairs = [("handler", "app.handle"), ("mode", "sandbox"), ("task_dir", task)]
    zygote.process.channel.send(support.LOAD, pairs)
    assert zygote.process.channel.receive().meta["fork"] == "1"
    return zygote


def with_zygote(zygote, cycles):
    null = os.open("/dev/null", os.O_WRONLY)
    meta = support.meta_of([("request_id", "r"), ("deadline_ms", "0"), ("trigger", "cli")])
    header = support.HEADER.pack(
        support.MAGIC, support.CALL, support.LAST_CALL, 0, len(meta), len(BODY), 1
    )
    for _ in range(cycles):
        ours, theirs = socket.socketpair()
        socket.send_fds(zygote.orders, [b"F"], [theirs.fileno(), null, null])
        theirs.close()
        (pid,) = struct.unpack("<i", zygote.orders.recv(4))
        ours.sendall(header + meta + BODY)
        assert ours.recv(4096).endswith(BODY)
        os.waitpid(pid, 0)
        ours.close()
    os.close(null)


def processor_us(zygote):
    with open(f"/proc/{zygote.process.pid}/schedstat", encoding="ascii") as file:
        own = int(file.read().split()[0]) / 1000
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own + (children.ru_utime + children.ru_stime) * 1e6


def main():
    bootstrap = sys.argv[1]
    cycles = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    with tempfile.TemporaryDirectory() as task:
        zygote = start_zygote(bootstrap, task)
        for _ in range(TURNS):
            bare_rate, bare_us = bare(cycles)
            begin, used = time.monotonic(), processor_us(zygote)
            with_zygote(zygote, cycles)
            rate = cycles / (time.monotonic() - begin)
            us = (processor_us(zygote) - used) / cycles
            print(
                f"bare {bare_rate:.0f}/s, {bare_us:.0f} us; zygote {rate:.0f}/s, {us:.0f} us;"
                f" ratio {rate / bare_rate:.2f}",
                flush=True,
            )
        zygote.end()


if __name__ == "__main__":
    main()
