# SPDX-License-Identifier: Apache-2.0
"""What one call might leave for the next. leave_X and find_X are one way to carry a word."""

import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time

import channels
from channels import found, kept
from host import libc, system_call
from verdict import Defended

CHANNEL = 3  # of the runtime, to hearthd
SLOT = 57


def leave_environment(word):
    os.environ["LEFT"] = word


def find_environment(word):
    return found(os.environ.get("LEFT") == word)


def leave_working_folder(word):
    os.makedirs("/tmp/" + word, exist_ok=True)
    os.chdir("/tmp/" + word)


def find_working_folder(word):
    return found(word in os.getcwd())


def leave_umask(word):
    os.umask(0o027)


def find_umask(word):
    now = os.umask(0o022)
    os.umask(now)
    return found(now == 0o027)


# What a process may lower, for good: to what differs, and is enough to serve on. The others are 0.
LIMITS = {"memory": (resource.RLIMIT_AS, 1 << 40), "data": (resource.RLIMIT_DATA, 1 << 40),
          "locked_memory": (resource.RLIMIT_MEMLOCK, 1 << 15), "locks": (10, 1000),
          "open_files": (resource.RLIMIT_NOFILE, 512),
          "signals": (resource.RLIMIT_SIGPENDING, 512),
          "processes": (resource.RLIMIT_NPROC, 32), "processor_time": (resource.RLIMIT_CPU, 5000),
          "real_time": (resource.RLIMIT_RTTIME, 1 << 40),
          "resident_memory": (resource.RLIMIT_RSS, 1 << 40),
          "size_of_files": (resource.RLIMIT_FSIZE, 1 << 29),
          "stack": (resource.RLIMIT_STACK, 4 << 20)}


def lower(which, value):
    resource.setrlimit(which, (value, value))


def find_lowered(which, value):
    return found(value in resource.getrlimit(which))


def leave_signal_mask(word):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})


def find_signal_mask(word):
    return found(signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def leave_pending_signal(word):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGVTALRM})
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.001)
    while signal.SIGVTALRM not in signal.sigpending():
        pass


def find_pending_signal(word):
    return found(signal.SIGVTALRM in signal.sigpending())


def leave_signal_handler(word):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def find_signal_handler(word):
    return found(signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN)


def leave_memory(word):
    sys.modules[__name__].left = word


def find_memory(word):
    return found(getattr(sys.modules[__name__], "left", None) == word)


def leave_descriptor(word):
    os.dup2(os.memfd_create(word), SLOT)


def find_descriptor(word):
    return found(word in os.readlink(f"/proc/self/fd/{SLOT}"))


def leave_timer(word):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 500)


def find_timer(word):
    return found(signal.getitimer(signal.ITIMER_REAL)[0] > 0)


def leave_thread(word):
    threading.Thread(target=time.sleep, args=(500,), name=word, daemon=True).start()


def find_thread(word):
    return found(any(each.name == word for each in threading.enumerate()))


def leave_priority(word):
    os.setpriority(os.PRIO_PROCESS, 0, 3)


def find_priority(word):
    return found(os.getpriority(os.PRIO_PROCESS, 0) == 3)


def leave_disk_priority(word):
    system_call(251, 1, 0, 2 << 13 | 7)


def find_disk_priority(word):
    return found(system_call(252, 1, 0) == 2 << 13 | 7)


def leave_processors(word):
    os.sched_setaffinity(0, {0})


def find_processors(word):
    return found(os.sched_getaffinity(0) == {0})


POLICY = os.SCHED_BATCH | os.SCHED_RESET_ON_FORK


def leave_scheduling(word):
    os.sched_setscheduler(0, POLICY, os.sched_param(0))


def find_scheduling(word):
    return found(os.sched_getscheduler(0) == POLICY)


def leave_name_of_the_process(word):
    libc.prctl(15, word.encode()[-15:], 0, 0, 0)


def find_name_of_the_process(word):
    with open("/proc/self/comm", encoding="utf-8") as file:
        return found(file.read().strip() == word[-15:])


def leave_personality(word):
    system_call(135, 0x20000)


def find_personality(word):
    return found(system_call(135, 0xffffffff) == 0x20000)


def leave_timer_slack(word):
    libc.prctl(29, 777777, 0, 0, 0)


def find_timer_slack(word):
    return found(libc.prctl(30, 0, 0, 0, 0) == 777777)


def dumpable():
    return libc.prctl(3, 0, 0, 0, 0)


dumpable_at_import = dumpable()


def leave_dumpability(word):
    libc.prctl(4, 1 - dumpable_at_import, 0, 0, 0)


def find_dumpability(word):
    return found(dumpable() != dumpable_at_import)


def leave_flags_of_the_channel(word):
    fcntl.fcntl(CHANNEL, fcntl.F_SETFL, fcntl.fcntl(CHANNEL, fcntl.F_GETFL) | os.O_ASYNC)


def find_flags_of_the_channel(word):
    return found(fcntl.fcntl(CHANNEL, fcntl.F_GETFL) & os.O_ASYNC)


def channel_socket():
    return socket.socket(fileno=os.dup(CHANNEL))


def leave_options_of_the_channel(word):
    with channel_socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("qq", 777, 0))


def find_options_of_the_channel(word):
    with channel_socket() as own:
        return found(own.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) ==
                     struct.pack("qq", 777, 0))


def leave_size_of_the_log_pipe(word):
    fcntl.fcntl(1, 1031, 8192)


def find_size_of_the_log_pipe(word):
    return found(fcntl.fcntl(1, 1032) == 8192)


def leave_closed_folder(word):
    os.makedirs(f"/tmp/{word}-closed/deep/deeper")
    leave_file(f"/tmp/{word}-closed/deep/deeper/file")
    os.chmod(f"/tmp/{word}-closed/deep", 0o1000)
    os.chmod(f"/tmp/{word}-closed", 0)


def find_closed_folder(word):
    return os.stat(f"/tmp/{word}-closed").st_mode


def leave_file(path):
    with open(path, "w", encoding="utf-8") as file:
        file.write("left")


def leave_used_space(word):
    with open(f"/tmp/{word}-large", "wb") as file:
        file.write(bytes(3 << 20))


def find_used_space(word):
    used = os.statvfs("/tmp")
    return found((used.f_blocks - used.f_bfree) * used.f_frsize > 2 << 20)


def leave_unnamed_file(word):
    held = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    os.write(held, word.encode())
    kept.append(held)


def find_unnamed_file(word):
    for pid in channels.processes():
        for number in range(3, 128):
            try:
                with open(f"/proc/{pid}/fd/{number}", "rb") as file:
                    if os.fstat(file.fileno()).st_nlink == 0:
                        file.seek(0)
                        if file.read(100) == word.encode():
                            return "read"
            except (OSError, ValueError):
                pass
    raise Defended("nothing")


def leave_attribute_of_tmp(word):
    os.setxattr("/tmp", "user.left", word.encode())


def find_attribute_of_tmp(word):
    return found(os.getxattr("/tmp", "user.left") == word.encode())


def leave_mode_of_tmp(word):
    os.chmod("/tmp", 0o1773)


def find_mode_of_tmp(word):
    return found(os.stat("/tmp").st_mode & 0o7777 == 0o1773)


def leave_attribute_of_shared_memory(word):
    os.setxattr("/dev/shm", "user.left", word.encode())


def find_attribute_of_shared_memory(word):
    return found(os.getxattr("/dev/shm", "user.left") == word.encode())


def leave_lock_on_its_code(word):
    """Held by a process that stays."""
    held = os.open("/var/task/host.py", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(60)


def find_lock_on_its_code(word):
    try:
        return channels.find_lock(word, "code")
    except Defended:
        raise Defended("nothing") from None


def leave_filter(word):
    """A filter of its own stays with a process and its children."""
    import ctypes
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000), 8)
    system_call(317, 1, 0, struct.pack("HxxxxxxQ", 1, ctypes.addressof(code)))


def filters():
    with open("/proc/self/status", encoding="utf-8") as file:
        return [line for line in file if line.startswith("Seccomp_filters")]


filters_at_import = filters()


def find_filter(word):
    return found(filters() != filters_at_import)


def bytes_on_loopback(send=0):
    """What the interface has counted, by rtnetlink; sends as much afterwards."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.send(struct.pack("IHHIIBxHiII", 32, 18, 1, 1, 0, 0, 0, 1, 0, 0))
        told = link.recv(65536)
    at, counted = 32, 0
    while at < len(told):
        length, kind = struct.unpack_from("HH", told, at)
        if kind == 23:  # IFLA_STATS64
            counted = struct.unpack_from("4Q", told, at + 4)[3]
        at += (length + 3) & ~3
    if send:
        server = socket.create_server(("127.0.0.1", 0))
        with server, socket.create_connection(server.getsockname()) as client:
            client.sendall(bytes(send))
    return counted


SHARED = ("file_in_tmp", "file_in_shared_memory", "system_v_memory", "system_v_semaphores",
          "system_v_messages", "message_queue", "key", "abstract_socket", "socket_in_tmp", "port",
          "port_for_datagrams", "process")
for name in SHARED:
    for what in ("leave_", "find_"):
        globals()[what + name] = getattr(channels, what + name)
for name, limit in LIMITS.items():
    globals()["leave_limit_on_" + name] = lambda _, limit=limit: lower(*limit)
    globals()["find_limit_on_" + name] = lambda _, limit=limit: find_lowered(*limit)
CARRIERS = sorted(name[6:] for name in list(globals())
                  if name.startswith("leave_") and name != "leave_file")


def leave(name, word):
    """Leaves it, and finds it again as long as this call runs."""
    globals()["leave_" + name](word)
    return globals()["find_" + name](word)


def find(name, word):
    return globals()["find_" + name](word)
