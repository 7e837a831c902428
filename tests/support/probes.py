# SPDX-License-Identifier: Apache-2.0
"""Attempts that run inside a deployed function and, to show that they work, outside it.

Self-contained: tests deploy this file as a function's module. Each probe returns what it found."""

import ctypes
import errno
import os
import signal
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
# x86-64 and arm64.
NUMBERS = {
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "io_uring_setup": (425, 425),
    "clone3": (435, 435), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "fsopen": (430, 430), "open_tree": (428, 428), "move_mount": (429, 429),
    "mount_setattr": (442, 442), "process_vm_readv": (310, 270), "kcmp": (312, 272),
    "chroot": (161, 51), "sethostname": (170, 161), "setdomainname": (171, 162),
    "reboot": (169, 142), "init_module": (175, 105), "finit_module": (313, 273),
    "kexec_load": (246, 104), "swapon": (167, 224), "acct": (163, 89), "syslog": (103, 116),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
    "clock_settime": (227, 112), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "iopl": (172, None), "modify_ldt": (154, None), "pidfd_getfd": (438, 438),
    "fanotify_init": (300, 262), "lookup_dcookie": (212, 18), "vhangup": (153, 58),
    "personality": (135, 92),
}


def system_call(name, *arguments):
    """"ok", or the name of the error."""
    number = NUMBERS[name][os.uname().machine == "aarch64"]
    ctypes.set_errno(0)
    padded = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = libc.syscall(ctypes.c_long(number), *padded)
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def status(pid="self"):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def attempt(what):
    """"ok", or the name of the error."""
    try:
        what()
        return "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def readable(paths):
    def look(path):
        if os.path.isdir(path):
            os.listdir(path)
        else:
            with open(path, "rb") as file:
                file.read(1)
    return {path: attempt(lambda path=path: look(path)) for path in paths}


def writable(folders):
    """Whether a file can be made in each, and an existing one opened for writing."""
    def make(folder):
        path = os.path.join(folder, "planted")
        with open(path, "w", encoding="utf-8"):
            pass
        os.unlink(path)
    return {folder: attempt(lambda folder=folder: make(folder)) for folder in folders}


def openable_for_writing(paths):
    return {path: attempt(lambda path=path: os.close(os.open(path, os.O_WRONLY)))
            for path in paths}


def processes():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def connect(address, family=socket.AF_INET):
    client = socket.socket(family)
    client.settimeout(3)
    try:
        return attempt(lambda: client.connect(address))
    finally:
        client.close()


def interfaces():
    return sorted(name for _, name in socket.if_nameindex())


def own_loopback():
    """A server and a client in this sandbox: what is said to work does work."""
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            client.sendall(b"hello")
            return peer.recv(5).decode()


def descriptors():
    """What each is, but the one that lists them."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass
    return {number: what for number, what in found.items() if "/fd" not in what}


def leave_state(word):
    """Everything a call might leave for the next."""
    for folder in ("/tmp", "/dev/shm"):
        os.makedirs(f"{folder}/deep/er", exist_ok=True)
        with open(f"{folder}/deep/er/{word}", "w", encoding="utf-8") as file:
            file.write(word)
        os.chmod(f"{folder}/deep", 0)
    sys.modules[__name__].left = word
    os.environ["LEFT"] = word
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0left")
    abstract.listen()
    if os.fork() == 0:  # keeps the socket open
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    return find_state()


def find_state():
    return {
        "tmp": sorted(os.listdir("/tmp")),
        "shm": sorted(os.listdir("/dev/shm")),
        "module": getattr(sys.modules[__name__], "left", None),
        "environment": os.environ.get("LEFT"),
        "socket": connect("\0left", socket.AF_UNIX),
        "processes": len(processes()),
        "working": os.getcwd(),
    }


def run(name, arguments):
    return globals()[name](*arguments)


def handle(event, context):
    return run(event["probe"], event.get("with", []))
