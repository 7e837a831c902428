# SPDX-License-Identifier: Apache-2.0
"""Tries, as root in a unit, what the options of hearthd.service forbid; prints what worked."""

import ctypes
import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import time

LIBC = ctypes.CDLL(None, use_errno=True)


def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def write(path):
    pathlib.Path(path).write_text("attempt")
    os.unlink(path)


def node():
    path = "/dev/attempt"  # a /dev/shm would allow no device at all
    os.mknod(path, stat.S_IFBLK | 0o600, os.stat("/dev/vda").st_rdev)
    try:
        os.close(os.open(path, os.O_RDONLY))
    finally:
        os.unlink(path)


def set_clock():
    time.clock_settime(time.CLOCK_REALTIME, time.time())


def load_module():
    subprocess.run(["/usr/sbin/modprobe", "dummy"], check=True, capture_output=True)


def personality():
    addr_no_randomize = 0x0040000
    call(LIBC.personality(addr_no_randomize))


def real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def swap():
    # ENODEV or EINVAL would be the file's fault; the call is what is filtered.
    if LIBC.swapon(b"/nonexistent", 0) < 0 and ctypes.get_errno() in (1, 38):
        raise OSError("filtered")


def cap_kill():
    cap_kill_number = 5
    if LIBC.prctl(23, cap_kill_number) != 1:  # PR_CAPBSET_READ
        raise OSError("not in the bounding set")


def setuid_program():
    copy = "/var/lib/hearth/attempt"
    shutil.copy("/usr/bin/id", copy)
    os.chmod(copy, 0o4755)
    try:
        done = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", copy, "-u"],
                              check=True, capture_output=True)
    finally:
        os.unlink(copy)
    if done.stdout != b"0\n":
        raise OSError("it ran as nobody")


ATTEMPTS = {
    "write /usr": lambda: write("/usr/attempt"),
    "write /etc": lambda: write("/etc/attempt"),
    "write another service's state": lambda: write("/var/lib/other/attempt"),
    "read a home": lambda: pathlib.Path("/root/private").read_text(),
    "see another's /tmp": lambda: pathlib.Path("/tmp/other").read_text(),
    "open a disk": lambda: os.close(os.open("/dev/vda", os.O_RDONLY)),
    "make a disk's node": node,
    "set the clock": set_clock,
    "load a module": load_module,
    "change the personality": personality,
    "run in real time": real_time,
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "swap to a file": swap,
    "gain CAP_KILL": cap_kill,
    "run a setuid program as root": setuid_program,
}


def main():
    worked = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
            worked[name] = True
        except (OSError, subprocess.CalledProcessError):
            worked[name] = False
    print(json.dumps(worked), flush=True)


if __name__ == "__main__":
    main()
