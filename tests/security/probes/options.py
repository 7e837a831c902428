# SPDX-License-Identifier: Apache-2.0
"""Attempts by what a call is asked for: options of sockets, advice on memory, flags of reads, and
messages to the kernel's network."""

import contextlib
import ctypes
import errno
import mmap
import os
import socket
import struct

from host import libc, system_call

SETSOCKOPT, MADVISE = 54, 28
SO_ATTACH_FILTER, SO_REUSEPORT_CBPF = 26, 51
RTM_NEWLINK, RTM_NEWQDISC, RTM_NEWTFILTER = 16, 36, 44
REQUEST_ACK_CREATE = 0x405
INGRESS = 0xfffffff1
KINDS = {"udp": (socket.AF_INET, socket.SOCK_DGRAM),
         "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
         "netlink": (socket.AF_NETLINK, socket.SOCK_RAW)}


@contextlib.contextmanager
def opened(kind):
    """A socket of that kind and its peer, which that of TCP has: some options want one."""
    with contextlib.ExitStack() as stack:
        if kind != "tcp":
            yield stack.enter_context(socket.socket(*KINDS[kind])), None
            return
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(server.getsockname()))
        yield client, stack.enter_context(server.accept()[0])


def set_option(kind, level, option, value):
    """By the plain system call, so that all bits are as given."""
    value = value.encode() if isinstance(value, str) else struct.pack("i", value)
    with opened(kind) as (held, _):
        system_call(SETSOCKOPT, held.fileno(), level, option, value, len(value))


def offer_option(kind, level, option, value):
    """Whether the kernel looks at the value, which it refuses here: nothing is set."""
    try:
        set_option(kind, level, option, value)
    except OSError as error:
        if error.errno in (errno.ENOPROTOOPT, errno.EPERM, errno.EACCES):
            raise
        return errno.errorcode[error.errno]
    return "done"


def attach_filter(option=SO_ATTACH_FILTER, level=socket.SOL_SOCKET):
    """Classic BPF on a socket: code of the user's in the kernel, and no capability is asked for."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xffff), 8)
    program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(code))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        system_call(SETSOCKOPT, held.fileno(), level, option, program, len(program))


def send_out_of_band(how="sendto", flags=socket.MSG_OOB):
    """One urgent byte between two Unix sockets."""
    left, right = socket.socketpair()
    byte = ctypes.create_string_buffer(b"x", 1)
    part = struct.pack("QQ", ctypes.addressof(byte), 1)
    message = ctypes.create_string_buffer(64)
    parts = ctypes.create_string_buffer(part, 16)
    struct.pack_into("QIxxxxQQ", message, 0, 0, 0, ctypes.addressof(parts), 1)
    with left, right:
        if how == "sendto":
            system_call(44, left.fileno(), byte, 1, flags, 0, 0)
        elif how == "sendmsg":
            system_call(46, left.fileno(), message, flags)
        else:
            system_call(307, left.fileno(), message, 1, flags)
        return right.recv(1, socket.MSG_OOB)


def send_urgent_data():
    """The same between two sockets of TCP."""
    with opened("tcp") as (held, peer):
        held.send(b"x", socket.MSG_OOB)
        return peer.recv(1, socket.MSG_OOB)


def advise(advice, size=4096):
    """On memory of its own."""
    held = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held[0] = 1
    system_call(MADVISE, ctypes.addressof(ctypes.c_char.from_buffer(held)), size, advice)


def advise_on_file(advice, path):
    """On pages of the page cache."""
    number = os.open(path, os.O_RDONLY)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_SHARED, number,
                        ctypes.c_long(0))
    os.close(number)
    system_call(MADVISE, address, 4096, advice)


def read_with_flags(path, flags):
    number = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(number, [bytearray(1)], 0, flags)
    finally:
        os.close(number)


def look_up_cached(path):
    """openat2 with RESOLVE_CACHED: it fails where the name was not looked up lately."""
    os.stat(path)
    os.close(system_call(437, -100, path.encode(), struct.pack("QQQ", os.O_PATH, 0, 0x20), 24))


def write_with_flags(flags):
    number = os.memfd_create("written")
    try:
        return os.pwritev(number, [b"x"], 0, flags)
    finally:
        os.close(number)


def attribute(kind, value):
    return struct.pack("HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def tell_kernel(kind, body):
    """One message over rtnetlink, and the error of its answer."""
    message = struct.pack("IHHII", 16 + len(body), kind, REQUEST_ACK_CREATE, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.send(message)
        code = struct.unpack_from("i", link.recv(4096), 16)[0]
    if code:
        raise OSError(-code, str(kind))


def raise_loopback():
    tell_kernel(RTM_NEWLINK, struct.pack("BxHiII", 0, 0, 1, 1, 1))


def make_interface(kind):
    info = attribute(18, attribute(1, kind.encode()))  # IFLA_LINKINFO, IFLA_INFO_KIND
    tell_kernel(RTM_NEWLINK, struct.pack("BxHiII", 0, 0, 0, 0, 0) + info)


def add_queue(handle=0xffff0000, parent=INGRESS, kind=b"ingress\0"):
    tell_kernel(RTM_NEWQDISC,
                struct.pack("BxxxiIII", 0, 1, handle, parent, 0) + attribute(1, kind))


def add_traffic_filter():
    """One by bits. CVE-2022-2588 and many others begin so."""
    with contextlib.suppress(OSError):
        add_queue()
    protocol_all_priority_1 = 0x10000 | socket.htons(3)
    tell_kernel(RTM_NEWTFILTER,
                struct.pack("BxxxiIII", 0, 1, 0, 0xffff0000, protocol_all_priority_1)
                + attribute(1, b"u32\0") + attribute(2, attribute(5, bytes(16))))


def tune_as_programs_do():
    """Options, advice and flags that runtimes and libraries ask for."""
    with opened("tcp") as (held, peer):
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        held.settimeout(5)
        held.send(b"x")
        got = peer.recv(1)
    for advice in (4, 8, 14, 15, 18, 23):  # DONTNEED FREE HUGEPAGE NOHUGEPAGE WIPEONFORK POPULATE
        with contextlib.suppress(OSError) if advice in (14, 15) else contextlib.nullcontext():
            advise(advice)
    return got.decode(), read_with_flags(__file__, 0), write_with_flags(0)
