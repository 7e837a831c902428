# SPDX-License-Identifier: Apache-2.0
"""What the tests in the guest deploy. Few functions, since each deploy takes seconds there."""

# The call chooses what to do; memory is touched, so that it counts.
CODE = """
import os, time

def allocate(event):
    blocks = []
    while len(blocks) < event.get("mb", 1 << 20): blocks.append(bytearray(b"x" * (1 << 20)))
    time.sleep(event.get("sleep", 0))
    return len(blocks)

def allocate_in_child(event):
    pid = os.fork()
    if pid == 0: allocate(event)
    return os.waitpid(pid, 0)[1]

def burn(event):
    begin, wall = time.process_time(), time.monotonic()
    while time.process_time() - begin < event["seconds"]: pass
    time.sleep(event.get("sleep", 0))
    return time.monotonic() - wall

def fork(event):
    made = 0
    while made < event["count"]:
        if os.fork() == 0: time.sleep(600)
        made += 1
    return made

def sleep(event):
    time.sleep(event["seconds"])
    return "slept"

def handle(event, context):
    return globals()[event["do"]](event)
"""
MEMORY_MB = 48
PROCESSES_MAX = 8
SLOW_PERCENT = 20
COMMON = "timeout_ms = 120000\n[http]\n"


def deploy(hearth):
    """`tight` has small limits, `slow` a fifth of a processor; `steady` keeps its process, and may
    have more processors than there are."""
    limits = f"memory_mb = {MEMORY_MB}\nprocesses_max = {PROCESSES_MAX}\n"
    hearth.python("tight", CODE, limits + 'reuse = "sandbox"\n' + COMMON)
    hearth.python("slow", CODE, f"cpu_percent = {SLOW_PERCENT}\n" + COMMON)
    hearth.python("steady", CODE, 'cpu_percent = 800\nreuse = "process"\n' + COMMON)
