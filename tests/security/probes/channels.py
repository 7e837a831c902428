# SPDX-License-Identifier: Apache-2.0
"""Channels between sandboxes that run at the same time: one leaves a word, another looks for it.

leave_X and find_X are one channel. What is left stays while the process that left it lives.
"""

import errno
import fcntl
import os
import signal
import socket
import struct
import time
import zlib

from host import libc, system_call
from verdict import Defended

SHARED_FILES = {"program": "/usr/bin/env", "runtime": "/var/runtime/python/bootstrap.py",
                "code": "/var/task/host.py"}
IPC_CREATE = 0o1000
kept = []  # what must stay open


def key_of(word):
    return zlib.crc32(word.encode()) & 0x7fffffff


def port_of(word, base=20000):
    """Below 32768: the kernel gives those above to whoever connects."""
    return base + key_of(word) % 5000


def found(condition):
    if not condition:
        raise Defended("nothing")
    return "found"


def leave_file_in_tmp(word, folder="/tmp"):
    with open(f"{folder}/{word}", "w", encoding="utf-8") as file:
        file.write(word)


def find_file_in_tmp(word, folder="/tmp"):
    with open(f"{folder}/{word}", encoding="utf-8") as file:
        return file.read()


def leave_file_in_shared_memory(word):
    leave_file_in_tmp(word, "/dev/shm")


def find_file_in_shared_memory(word):
    return find_file_in_tmp(word, "/dev/shm")


def leave_system_v_memory(word):
    kept.append(system_call(29, key_of(word), 4096, IPC_CREATE | 0o666))


def find_system_v_memory(word):
    return system_call(29, key_of(word), 0, 0)


def leave_system_v_semaphores(word):
    system_call(64, key_of(word), 1, IPC_CREATE | 0o666)


def find_system_v_semaphores(word):
    return system_call(64, key_of(word), 0, 0)


def leave_system_v_messages(word):
    system_call(68, key_of(word), IPC_CREATE | 0o666)


def find_system_v_messages(word):
    return system_call(68, key_of(word), 0)


def leave_message_queue(word):
    kept.append(system_call(240, word.encode(), os.O_CREAT | os.O_RDWR, 0o666, 0))


def find_message_queue(word):
    return system_call(240, word.encode(), os.O_RDWR, 0, 0)


def leave_key(word):
    system_call(248, b"user", word.encode(), b"x", 1, -4)  # the user's keyring


def find_key(word):
    return system_call(249, b"user", word.encode(), 0, 0)


def remove_key(word):
    system_call(250, 9, find_key(word), -4)


def listen(family, address, kind=socket.SOCK_STREAM):
    server = socket.socket(family, kind)
    server.bind(address)
    if kind == socket.SOCK_STREAM:
        server.listen()
    kept.append(server)


def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as client:
        client.settimeout(3)
        client.connect(address)
        if kind == socket.SOCK_DGRAM:
            client.send(b"hello")  # the error for a closed port comes with the next
            time.sleep(0.05)
            client.send(b"hello")


def leave_abstract_socket(word):
    listen(socket.AF_UNIX, "\0" + word)


def find_abstract_socket(word):
    connect(socket.AF_UNIX, "\0" + word)


def leave_socket_in_tmp(word):
    listen(socket.AF_UNIX, f"/tmp/{word}.socket")


def find_socket_in_tmp(word):
    connect(socket.AF_UNIX, f"/tmp/{word}.socket")


def leave_port(word):
    listen(socket.AF_INET, ("127.0.0.1", port_of(word)))


def find_port(word):
    connect(socket.AF_INET, ("127.0.0.1", port_of(word)))


def leave_port_for_datagrams(word):
    listen(socket.AF_INET, ("127.0.0.1", port_of(word)), socket.SOCK_DGRAM)


def find_port_for_datagrams(word):
    connect(socket.AF_INET, ("127.0.0.1", port_of(word)), socket.SOCK_DGRAM)


def leave_port_of_any_address(word):
    listen(socket.AF_INET, ("0.0.0.0", port_of(word, 25000)))


def find_port_of_any_address(word):
    connect(socket.AF_INET, ("127.0.0.9", port_of(word, 25000)))


def leave_process(word):
    """One that has the word as its name, and outlives whoever made it."""
    named, ready = os.pipe()
    if os.fork():
        os.close(ready)
        os.read(named, 1)
        os.close(named)
        return
    os.setsid()
    libc.prctl(4, 1, 0, 0, 0)  # dumpable: else /proc hides it
    libc.prctl(15, word.encode()[-15:], 0, 0, 0)
    for number in (0, 1, 2, named, ready):
        os.close(number)
    while True:
        time.sleep(60)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def find_process(word):
    for pid in processes():
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read().strip() == word[-15:]:
                    return pid
        except OSError:
            pass
    raise Defended("nothing")


def leave_descriptor(word):
    """An open file without a name, that others could reach through /proc."""
    held = os.memfd_create(word, 0)
    kept.append(held)


def find_descriptor(word):
    own = f"/proc/{os.getpid()}/"
    for pid in processes():
        for number in range(3, 64):
            link = f"/proc/{pid}/fd/{number}"
            try:
                if word in os.readlink(link) and not link.startswith(own):
                    return link
            except OSError:
                pass
    raise Defended("nothing")


def leave_lease(word):
    """A lease on a file that is shared tells when somebody opens it."""
    held = os.open(SHARED_FILES["program"], os.O_RDONLY)
    fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    kept.append(held)


def find_lease(word):
    leave_lease(word)


def leave_watch(word):
    """A notice when somebody else touches a folder that is shared."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    held = os.open("/usr/bin", os.O_RDONLY)
    fcntl.fcntl(held, fcntl.F_NOTIFY, 1 | 0x80000000)
    kept.append(held)


def find_watch(word):
    leave_watch(word)


# Locks on files that sandboxes share: THREAT_MODEL.md, "What is not defended".

def leave_lock(word, which):
    held = os.open(SHARED_FILES[which], os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    kept.append(held)


def find_lock(word, which):
    held = os.open(SHARED_FILES[which], os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "locked"
    finally:
        os.close(held)
    raise Defended("nothing")


def leave_record_lock(word, which):
    held = os.open(SHARED_FILES[which], os.O_RDONLY)
    fcntl.lockf(held, fcntl.LOCK_SH, 1)
    kept.append(held)


def find_record_lock(word, which):
    """Who may only read can still ask who would be in the way of writing."""
    held = os.open(SHARED_FILES[which], os.O_RDONLY)
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    told = struct.unpack("hhqqi4x", fcntl.fcntl(held, fcntl.F_GETLK, wanted))
    os.close(held)
    return found(told[0] != fcntl.F_UNLCK)


CHANNELS = sorted(name[6:] for name in list(globals())
                  if name.startswith("leave_") and "lock" not in name)


def leave_all(word):
    """{channel: how leaving the word ended}."""
    ends = {}
    for name in CHANNELS:
        try:
            globals()["leave_" + name](word)
            ends[name] = "left"
        except OSError as error:
            ends[name] = errno.errorcode[error.errno]
    return ends


def leave_locks(word):
    for which in SHARED_FILES:
        leave_lock(word, which)
        leave_record_lock(word, which)


def hold(word, locks=False):
    """Leaves the word everywhere, says so by its name, and stays."""
    ends = leave_all(word)
    if locks:
        leave_locks(word)
    libc.prctl(15, b"holding", 0, 0, 0)
    print(ends, flush=True)
    time.sleep(100)
    return ends


def remove_all(word):
    """What outlives a process of the host."""
    for get, control in ((29, 31), (64, 66), (68, 71)):
        try:
            number = system_call(get, key_of(word), 0, 0)
        except OSError:
            continue
        system_call(control, number, *((0, 0, 0) if get == 64 else (0, 0)))
    system_call(241, word.encode())
    remove_key(word)
    for name in (f"/tmp/{word}", f"/dev/shm/{word}", f"/tmp/{word}.socket"):
        os.unlink(name)
