# SPDX-License-Identifier: Apache-2.0
"""Attempts in the shape of known holes: in kernels and in other sandboxes."""

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time

from host import libc, system_call
from verdict import Defended

TIOCSTI = 0x5412


def reach(number, *arguments):
    """Whether the kernel looks at the arguments, all of which it refuses: nothing happens."""
    try:
        system_call(number, *[each.encode() if isinstance(each, str) else each
                              for each in arguments])
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS, errno.EACCES):
            raise
        return errno.errorcode[error.errno]
    return "done"


def open_socket(family, kind, protocol=0):
    """By the plain system call, so that all bits of each argument are as given."""
    os.close(system_call(41, family, kind, protocol))


def open_socket_pair(family, kind):
    pair = (ctypes.c_int * 2)()
    system_call(53, family, kind, 0, pair)


def push_terminal_input(request=TIOCSTI):
    """TIOCSTI types into whatever terminal this process has, or can make."""
    try:
        terminal = os.openpty()[1]
    except OSError:
        terminal = 0
    if os.getsid(0) != os.getpid():
        os.setsid()
    if os.isatty(terminal):
        fcntl.ioctl(terminal, 0x540e, 0)  # TIOCSCTTY
    system_call(16, terminal, request, b"x")


def overwrite_running_program(program):
    """The file behind a process, opened again by its link when the process has ended."""
    child = subprocess.Popen([program, "60"])
    for _ in range(500):  # it is hidden while it is not yet what it runs
        try:
            held = os.open(f"/proc/{child.pid}/exe", os.O_PATH)
            break
        except FileNotFoundError:
            time.sleep(0.01)
    child.kill()
    child.wait()
    os.close(os.open(f"/proc/self/fd/{held}", os.O_WRONLY))


def overwrite_running_copy():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cp", "/bin/sleep", folder + "/sleep"], check=True)
        overwrite_running_program(folder + "/sleep")


def reopen_for_writing(path):
    """A descriptor for reading, opened again by its link for more."""
    held = os.open(path, os.O_RDONLY)
    os.close(os.open(f"/proc/self/fd/{held}", os.O_RDWR))


def write_mapped_file_by_memory(path, flags=os.O_RDONLY, protection=mmap.PROT_READ):
    """/proc/self/mem passes over the protection of pages: not into a file's."""
    with open(path, "rb") as file:
        before = file.read(1)
    number = os.open(path, flags)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(4096), protection, mmap.MAP_SHARED, number,
                        ctypes.c_long(0))
    libc.prctl(4, 1, 0, 0, 0)  # dumpable: else its own memory is closed to it
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(before.swapcase())
    with open(path, "rb") as file:
        if file.read(1) == before:
            raise Defended("the file is as before")


def share_pages_with_pipe(how):
    """Pages of the page cache in a pipe: what is written to the file later is read from it."""
    path = tempfile.mktemp(dir="/tmp")
    with open(path, "w+b", buffering=0) as file:
        file.write(b"before" + bytes(4090))
        file.seek(0)
        out, into = os.pipe()
        if how == "splice":
            offset = ctypes.c_long(0)
            system_call(275, file.fileno(), ctypes.byref(offset), into, 0, 6, 0)
        else:
            os.sendfile(into, file.fileno(), 0, 6)
        os.pwrite(file.fileno(), b"after!", 0)
        os.unlink(path)
        if os.read(out, 6) == b"before":
            raise Defended("a copy")


def share_memory_with_pipe():
    """vmsplice: the pages themselves get into the pipe."""
    held = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(held))
    out, into = os.pipe()
    part = struct.pack("QQ", address, 16)
    system_call(278, into, part, 1, 0)


def ring():
    os.close(system_call(425, 1, ctypes.create_string_buffer(120)))


def bpf_map():
    os.close(system_call(321, 0, struct.pack("IIIII", 2, 4, 4, 1, 0) + bytes(108), 128))


def perf_event():
    attributes = struct.pack("IIQ", 1, 112, 0) + bytes(96)
    os.close(system_call(298, attributes, 0, -1, -1, 0))


def fault_handler(flags):
    os.close(system_call(323, flags))


def add_key():
    return system_call(248, b"user", b"hearth-attack", b"x", 1, -2)  # the process' keyring


def new_session_keyring():
    return system_call(250, 1, 0)


def trace_a_child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        system_call(101, 0x4206, pid, 0, 0)  # PTRACE_SEIZE
    finally:
        os.kill(pid, signal.SIGKILL)


def read_memory_of_a_child(number=310):
    word = ctypes.create_string_buffer(b"word")
    pid = os.fork()
    if pid == 0:
        signal.pause()
    got = ctypes.create_string_buffer(4)
    try:
        system_call(number, pid, struct.pack("QQ", ctypes.addressof(got), 4), 1,
                    struct.pack("QQ", ctypes.addressof(word), 4), 1, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def take_descriptor_of_a_child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        os.close(system_call(438, os.pidfd_open(pid), 0, 0))
    finally:
        os.kill(pid, signal.SIGKILL)


def compare_with_a_child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        return system_call(312, os.getpid(), pid, 1, 0, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


def secret_memory():
    os.close(system_call(447, 0))


def personality(value):
    system_call(135, value)


def process_control(option, *arguments):
    return system_call(157, option, *arguments, *[0] * (4 - len(arguments)))


def rewrite_its_memory_map():
    """PR_SET_MM, PR_SET_MM_ARG_START: to what it is."""
    with open("/proc/self/stat", encoding="ascii") as file:
        begin = int(file.read().rpartition(")")[2].split()[45])
    process_control(35, 8, begin)


def set_capabilities():
    header, sets = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    system_call(125, header, sets)
    wanted = struct.unpack("6I", sets.raw)
    system_call(126, header, struct.pack("6I", wanted[0] | 1, wanted[1] | 1, *wanted[2:]))


def become(user):
    os.setresuid(user, user, user)


def become_group(group):
    os.setresgid(group, group, group)


def join_groups(groups):
    os.setgroups(groups)


def raise_limit(which, value):
    try:
        resource.setrlimit(getattr(resource, which), (value, value))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from None


def be_nicer_to_itself():
    os.setpriority(os.PRIO_PROCESS, 0, -5)


def schedule_in_real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def first_at_the_disk():
    system_call(251, 1, 0, 1 << 13)  # IOPRIO_CLASS_RT


def lock_memory(size):
    with mmap.mmap(-1, size) as held:
        address = ctypes.addressof(ctypes.c_char.from_buffer(held))
        system_call(149, address, size)
        system_call(150, address, size)


def write_proc(name, text):
    with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
        file.write(text)


def see_cached_pages(path):
    """mincore, after the page was asked to leave the cache."""
    number = os.open(path, os.O_RDONLY)
    os.fsync(number)
    os.posix_fadvise(number, 0, 4096, os.POSIX_FADV_DONTNEED)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_SHARED, number,
                        ctypes.c_long(0))
    told = ctypes.create_string_buffer(1)
    system_call(27, address, 4096, told)
    if told.raw[0] & 1:
        raise Defended("everything looks cached")


def count_cached_pages(path):
    number = os.open(path, os.O_RDONLY)
    system_call(451, number, struct.pack("QQ", 0, 4096), ctypes.create_string_buffer(40), 0)


def supervise_system_calls():
    """A filter of its own whose listener would answer for others."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000), 8)
    program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(code))
    libc.prctl(38, 1, 0, 0, 0)
    os.close(system_call(317, 1, 8, program))


def copy_a_file():
    """What copies files and serves them must go on without sendfile and splice."""
    import shutil
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(__file__, folder + "/copy")
        left, right = socket.socketpair()
        with open(folder + "/copy", "rb") as file, left, right:
            left.sendfile(file, count=100)
            return right.recv(100)
