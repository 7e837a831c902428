# SPDX-License-Identifier: Apache-2.0
"""Attempts on the host: its files, processes, devices and network."""

import ctypes
import fcntl
import mmap
import os
import socket
import stat
import struct
import tempfile

from verdict import Defended

libc = ctypes.CDLL(None, use_errno=True)
UP = "../" * 40


def system_call(number, *arguments):
    """What it returns; raises OSError. Bytes and buffers are passed as pointers."""
    padded = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *padded)
    if result < 0:
        raise OSError(ctypes.get_errno(), str(number))
    return result


def calls(number, *arguments):
    """A system call with these arguments; text becomes bytes."""
    return system_call(number, *[each.encode() if isinstance(each, str) else each
                                 for each in arguments])


def read(path):
    with open(path, "rb") as file:
        return file.read(1)


def list_folder(path):
    return len(os.listdir(path))


def open_to_write(path):
    """Opens only: what the file does with bytes is not tried on a host."""
    return os.close(os.open(path, os.O_WRONLY))


def open_device(path):
    return os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def climb_by_dots(path):
    return read(UP + path.lstrip("/"))


def climb_by_link(path):
    link = tempfile.mktemp(dir="/tmp")
    os.symlink(UP + path.lstrip("/"), link)
    try:
        return read(link)
    finally:
        os.unlink(link)


def climb_by_chroot(path):
    """The folder that is open lies outside the new root, so `..` goes on up from it."""
    folder = tempfile.mkdtemp(dir="/tmp")
    try:
        above = os.open("/", os.O_RDONLY)
        os.chroot(folder)
        os.fchdir(above)
        return read("./" + path.lstrip("/"))
    finally:
        os.close(above)


def climb_by_rename(path):
    """`..` of a folder that is moved up while a process stands in it."""
    base = tempfile.mkdtemp(dir="/tmp")
    os.makedirs(base + "/a/b")
    os.chdir(base + "/a/b")
    os.rename(base + "/a/b", base + "/b")
    return read(UP + path.lstrip("/"))


def climb_by_descriptor(path, leaked=None):
    """Through any folder that whoever started this process left open."""
    if leaked:
        os.open(leaked, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(256):
        for name in (path, UP + path.lstrip("/")):
            try:
                return os.read(os.open(name.lstrip("/"), os.O_RDONLY, dir_fd=number), 1)
            except OSError:
                pass
    raise Defended("no descriptor leads there")


def climb_by_processes(path, kind):
    """Through /proc/PID/root or cwd of any process."""
    for number in range(1, 400):
        try:
            return read(f"/proc/{number}/{kind}/{UP if kind == 'cwd' else ''}{path}")
        except OSError:
            pass
    raise Defended("no process leads there")


def open_by_handle(path):
    """By the number of an inode on the same file system, past all names."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.c_int()
    system_call(303, -100, path.encode(), handle, ctypes.byref(mount), 0)
    above = os.open("/", os.O_RDONLY)
    return system_call(304, above, handle, os.O_RDONLY)


def make_file(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.unlink(path)


def remove_file(path):
    os.unlink(path)


def link_file(path):
    os.link(path, path + ".planted")
    os.unlink(path + ".planted")


def same_mode(path):
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))


def same_times(path):
    os.utime(path)


def set_attribute(path):
    os.setxattr(path, "user.planted", b"1")


def truncate(path):
    os.truncate(path, os.stat(path).st_size)


def write_through_mapping(path, flags=os.O_RDONLY):
    """Shared pages of a file that is open for reading only, or for more."""
    number = os.open(path, flags)
    with mmap.mmap(number, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
        view[0:1] = view[0:1]
    os.close(number)


def own_as_root(path="/tmp/own"):
    """A program that belongs to root and runs as its owner."""
    with open(path, "w", encoding="utf-8"):
        pass
    try:
        os.chown(path, 0, 0)
        os.chmod(path, 0o4755)
        return oct(os.stat(path).st_mode)
    finally:
        os.unlink(path)


def give_capabilities(path="/tmp/capable"):
    with open(path, "w", encoding="utf-8"):
        pass
    try:
        os.setxattr(path, "security.capability", struct.pack("<5I", 0x2000001, 0xffffffff, 0, 0, 0))
    finally:
        os.unlink(path)


def make_device(kind, major, minor):
    path = tempfile.mktemp(dir="/tmp")
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    try:
        return os.close(os.open(path, os.O_RDONLY))
    finally:
        os.unlink(path)


def see_processes():
    """Others than those that this process and its parents are."""
    seen = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}
    if not seen:
        raise Defended("only itself")
    return sorted(seen)


def see_processes_by_signal():
    """kill(pid, 0) tells whether there is such a process, whatever /proc shows."""
    own = {os.getpid(), os.getppid()}
    seen = []
    for number in range(1, 5000):
        try:
            os.kill(number, 0)
            seen.append(number)
        except PermissionError:
            seen.append(number)
        except ProcessLookupError:
            pass
    others = set(seen) - own - {1, 2}  # init, and the zygote whose child this may be
    if not others:
        raise Defended("none but its own")
    return sorted(others)


def signal_process(pid):
    os.kill(pid, 0)


def see_mounts(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        lines = [line for line in file if path in line]
    if not lines:
        raise Defended("not among the mounts")
    return lines


def see_control_groups():
    """A mounted hierarchy, or the names of the groups above."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line for line in file if " - cgroup" in line]
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        above = [line for line in file if line.startswith("0::") and line != "0::/\n"]
    if not mounts:
        raise Defended(f"no hierarchy, {above}")
    return mounts


def list_mounts():
    request = struct.pack("IIQQQ", 32, 0, 0xffffffffffffffff, 0, 0)
    return system_call(458, ctypes.create_string_buffer(request, 32), (ctypes.c_uint64 * 64)(),
                       64, 0)


def connect(address, *, family=socket.AF_INET):
    with socket.socket(family) as client:
        client.settimeout(3)
        client.connect(tuple(address) if isinstance(address, list) else address)


def connect_unix(path):
    connect(path, family=socket.AF_UNIX)


def connect_abstract(name):
    connect("\0" + name, family=socket.AF_UNIX)


def send_datagram(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((address, port))
        sender.send(b"hello")


def add_address():
    """RTM_NEWADDR 10.99.0.1/8 to lo, over rtnetlink."""
    body = struct.pack("BBBBI", socket.AF_INET, 8, 0, 0, 1) + struct.pack(
        "HH4s", 8, 2, socket.inet_aton("10.99.0.1"))
    message = struct.pack("IHHII", 16 + len(body), 20, 5 | 0x400, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.send(message)
        code = struct.unpack_from("i", link.recv(4096), 16)[0]
    if code:
        raise OSError(-code, "RTM_NEWADDR")


def raise_interface():
    """SIOCSIFFLAGS on lo."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x49))


def host_name(name):
    socket.sethostname(name)


def clone_into(flags):
    """A child in new namespaces, by the old call."""
    pid = system_call(56, flags | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def clone3_into(flags):
    arguments = ctypes.create_string_buffer(struct.pack("11Q", flags, 0, 0, 0, 17, *[0] * 6), 88)
    pid = system_call(435, arguments, 88)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def map_root(in_new_namespace=False):
    """Maps this process's user to root of the namespace above."""
    if in_new_namespace:
        system_call(272, 0x10000000)
    with open("/proc/self/uid_map", "w", encoding="utf-8") as file:
        file.write("0 0 1")


def join_namespaces_by_process(pid):
    """setns to all of a process: by what pidfd_open gives."""
    return system_call(308, os.pidfd_open(pid), 0x20000000)


def join_namespace_by_file(path):
    return system_call(308, os.open(path, os.O_RDONLY), 0)


