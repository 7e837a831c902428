# SPDX-License-Identifier: Apache-2.0
"""Attempts on the processes that serve every call of a sandbox: its init, and the zygote.

Which process to attack: its number inside; 0 is a child of this one, for the twin outside.
"""

import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from host import libc, system_call
from verdict import Defended

HIGH = 1 << 32
at_import = {}  # made by the zygote, so that calls inherit it
received = []  # signals that this process, or the zygote it comes from, got


def on(pid, attempt):
    """The attempt on this process; on a child that ends with the attempt when it is 0."""
    if pid:
        return attempt(pid)
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    try:
        return attempt(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def send_signal(pid, number, high=0):
    return on(pid, lambda pid: system_call(62, high + pid, number))


def send_signal_to_thread(pid, number):
    return on(pid, lambda pid: system_call(234, pid, pid, number))


def send_signal_to_bare_thread(pid, number):
    return on(pid, lambda pid: system_call(200, pid, number))


def queue_signal(pid, number):
    info = struct.pack("iii", number, 0, -1) + bytes(116)
    return on(pid, lambda pid: system_call(129, pid, number, info))


def signal_by_handle(pid, number):
    return on(pid, lambda pid: system_call(424, os.pidfd_open(pid), number, 0, 0))


def signal_by_folder(pid, number):
    """A folder of /proc serves as a handle too."""
    def attempt(pid):
        return system_call(424, os.open(f"/proc/{pid}", os.O_RDONLY), number, 0, 0)
    return on(pid, attempt)


def trace(pid):
    return on(pid, lambda pid: system_call(101, 0x4206, pid, 0, 0))


def read_memory(pid):
    return on(pid, lambda pid: os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY)))


def read_memory_by_call(pid):
    """The first bytes of a page that a fork has at the same place."""
    word, got = ctypes.create_string_buffer(b"word"), ctypes.create_string_buffer(4)

    def attempt(pid):
        return system_call(310, pid, struct.pack("QQ", ctypes.addressof(got), 4), 1,
                           struct.pack("QQ", ctypes.addressof(word), 4), 1, 0)
    return on(pid, attempt)


def see_maps(pid):
    return on(pid, lambda pid: os.close(os.open(f"/proc/{pid}/maps", os.O_RDONLY)))


def see_descriptors(pid):
    return on(pid, lambda pid: os.listdir(f"/proc/{pid}/fd"))


def take_descriptor(pid):
    return on(pid, lambda pid: system_call(438, os.pidfd_open(pid), 0, 0))


def enter_namespaces(pid):
    return on(pid, lambda pid: system_call(308, os.pidfd_open(pid), 0x20000000))


def open_program(pid):
    """The program that a process runs, taken while it runs and written to when it has ended."""
    if pid:
        return os.close(os.open(f"/proc/self/fd/{os.open(f'/proc/{pid}/exe', os.O_PATH)}",
                                os.O_WRONLY))
    copy = shutil.copy("/bin/sleep", tempfile.mkdtemp(dir="/tmp") + "/program")
    try:
        with subprocess.Popen([copy, "30"]) as victim:
            handle = os.open(f"/proc/{victim.pid}/exe", os.O_PATH)
            victim.kill()
        return os.close(os.open(f"/proc/self/fd/{handle}", os.O_WRONLY))
    finally:
        shutil.rmtree(os.path.dirname(copy))


def slow_down(pid):
    return on(pid, lambda pid: system_call(141, 0, pid, 19))


def slow_down_the_group(pid):
    return on(pid, lambda pid: system_call(141, 1, os.getpgid(pid), 0))


def slow_down_the_user(pid):
    return on(pid, lambda _: system_call(141, 2, os.getuid(), 0))


def join_group(pid):
    """Signals to a group reach all of it. By a child, as a session's leader can change no group;
    the twin's victim leads one."""

    def join(leader):
        child = os.fork()
        if child == 0:
            try:
                os.setpgid(0, leader)
                os._exit(0)
            except OSError as error:
                os._exit(error.errno)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            raise OSError(code, os.strerror(code))

    def lead_and_join(victim):
        os.setpgid(victim, victim)
        join(victim)

    return join(pid) if pid else on(pid, lead_and_join)


def yield_to_others(apart=False):
    """The session's scheduling group comes last, asked by a child whose files in /proc are its own;
    apart, it is one of the child's alone."""
    done = subprocess.run(["sh", "-c", "echo 19 >/proc/self/autogroup"], capture_output=True,
                          text=True, check=False, start_new_session=apart)
    if done.returncode:
        raise Defended(done.stderr.strip().rpartition(": ")[2])


def schedule_as_idle(pid):
    return on(pid, lambda pid: system_call(144, pid, 5, struct.pack("i", 0)))


def move_to_a_processor(pid):
    return on(pid, lambda pid: system_call(203, pid, 8, struct.pack("Q", 1)))


def limit(pid):
    return on(pid, lambda pid: system_call(302, pid, 7, struct.pack("QQ", 64, 64), 0))


def delay_disk(pid):
    return on(pid, lambda pid: system_call(251, 1, pid, 3 << 13))


def blame_for_memory(pid):
    def attempt(pid):
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    return on(pid, attempt)


def move_memory(pid):
    return on(pid, lambda pid: system_call(279, pid, 1, struct.pack("Q", 4096), 0,
                                           ctypes.create_string_buffer(4), 0))


def own_signals_of_a_socket(pid):
    """F_SETOWN: the kernel would send SIGIO in this process's name."""
    left, _ = socket.socketpair()
    return on(pid, lambda pid: system_call(72, left.fileno(), 8, pid))


# Handles on the zygote that the function's own module makes while it is imported.

def prepare():
    """What an import may leave for calls: a folder, a socket that knows who made it, a message."""
    signal.signal(signal.SIGUSR2, lambda *_: received.append("SIGUSR2"))
    at_import["folder"] = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    at_import["pair"] = socket.socketpair()
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    at_import["messages"] = reader, writer
    try:
        reader.setsockopt(socket.SOL_SOCKET, 76, 1)  # SO_PASSPIDFD
    except OSError as error:
        at_import["no message"] = error
    for _ in range(9):  # each call takes one
        writer.send(b"from the zygote")


def handle_on_maker(way):
    if way == "folder":
        return at_import["folder"]
    if way == "peer":
        return at_import["pair"][0].getsockopt(socket.SOL_SOCKET, 77)  # SO_PEERPIDFD
    if "no message" in at_import:
        raise at_import["no message"]
    _, ancillary, _, _ = at_import["messages"][0].recvmsg(100, 100,
                                                             socket.MSG_DONTWAIT)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, 4):  # SCM_PIDFD
            return struct.unpack("i", data)[0]
    raise Defended("no handle came")


def make_traceable():
    """A module may call this at import, which makes the files of /proc the user's."""
    libc.prctl(4, 1, 0, 0, 0)


def open_memory_of_maker(name):
    return os.close(os.open(name, os.O_RDWR, dir_fd=at_import["folder"]))


def open_memory_of_maker_outside(name):
    prepare()
    child = os.fork()
    if child == 0:
        open_memory_of_maker(name)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def signal_maker(way, number):
    """Sends a signal to whoever imported this module, by a handle made then."""
    handle = handle_on_maker(way)
    return system_call(424, handle, number, 0, 0)


def signal_maker_outside(way, number):
    """The twin: a parent that imported it, and a child that is forked for the call."""
    prepare()
    child = os.fork()
    if child == 0:
        os._exit(0 if signal_maker(way, number) == 0 else 1)
    return os.waitpid(child, 0)[1]


def signals_so_far():
    if not received:
        raise Defended("none")
    return received


def signal_init_by_channel(number, descriptor=3):
    """The channel's other end was made by init: the socket gives a handle on it."""
    channel = socket.socket(fileno=os.dup(descriptor))
    return system_call(424, channel.getsockopt(socket.SOL_SOCKET, 77), number, 0, 0)


def signal_own_channel(number):
    left, right = socket.socketpair()
    os.dup2(left.fileno(), 60)
    return signal_init_by_channel(number, 60) and right


# Filling what init keeps.

def children(count):
    """Processes that stay."""
    for made in range(count):
        try:
            pid = os.fork()
        except OSError:
            return made
        if pid == 0:
            os.setsid()
            while True:
                time.sleep(60)
    return count


def orphans(count):
    """Processes that end at once and are init's to bury."""
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.waitpid(pid, 0)
    return count


def children_of_init(count):
    """By CLONE_PARENT they are init's from the start."""
    for _ in range(count):
        if system_call(56, 0x8000 | 17, 0, 0, 0, 0) == 0:
            os._exit(7)
    return count


def swarm(count):
    """Processes that fork and end without pause, so that there is always a younger one."""
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            libc.prctl(4, 1, 0, 0, 0)
            while True:
                try:
                    if os.fork():
                        os._exit(0)
                except OSError:
                    time.sleep(0.001)
    return count
