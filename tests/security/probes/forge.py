# SPDX-License-Identifier: Apache-2.0
"""Bytes that a function's process sends to hearthd in place of what its runtime would."""

import array
import base64
import ctypes
import json
import os
import socket
import struct
import time

CHANNEL, FORK_SOCKET = 3, 4
MAGIC = 0x48545248
REPLY, ERROR = 5, 6
BODY = b'"forged"'
TYPE = b"content_type\0application/json\0"
META_MAX = 64 * 1024
OUTPUT_MAX = 64 << 10  # of the function's manifest
kept = []


def frame(kind=REPLY, number=0, body=BODY, meta=TYPE, *, flags=0, reserved=0, magic=MAGIC,
          meta_bytes=None, body_bytes=None):
    return struct.pack("<IBBHIIQ", magic, kind, flags, reserved,
                       len(meta) if meta_bytes is None else meta_bytes,
                       len(body) if body_bytes is None else body_bytes, number) + meta + body


def number_of_call():
    """Which call this is: the header of its frame lies on the stack of the runtime, in C."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        ends = next(line.split()[0] for line in maps if line.rstrip().endswith("[stack]"))
    low, high = (int(end, 16) for end in ends.split("-"))
    stack, call = ctypes.string_at(low, high - low), struct.pack("<IB", MAGIC, 4)
    starts = [at for at in range(0, len(stack) - 24, 8) if stack.startswith(call, at)]
    return max(struct.unpack_from("<Q", stack, at + 16)[0] for at in starts)


def send(data):
    while data:
        data = data[os.write(CHANNEL, data):]


def honest(number):
    send(frame(number=number))


def byte_by_byte(number):
    for byte in frame(number=number):
        send(bytes([byte]))
        time.sleep(0.002)


def many_descriptors(number):
    """As many as one message carries."""
    with socket.socket(fileno=os.dup(CHANNEL)) as channel:
        files = array.array("i", [os.open("/dev/null", os.O_RDONLY) for _ in range(200)])
        channel.sendmsg([frame(number=number)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])


def descriptors_alone(number):
    """Message after message, one byte each, of a frame that never ends."""
    with socket.socket(fileno=os.dup(CHANNEL)) as channel:
        files = array.array("i", [os.open("/dev/null", os.O_RDONLY) for _ in range(100)])
        for byte in frame(number=number)[:20]:
            channel.sendmsg([bytes([byte])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])


def sockets_in_sockets(number):
    """Sockets that travel in one another are for the kernel's collector."""
    with socket.socket(fileno=os.dup(CHANNEL)) as channel:
        inner = socket.socketpair()
        for _ in range(30):
            outer = socket.socketpair()
            socket.send_fds(outer[0], [b"x"], [inner[0].fileno(), outer[1].fileno()])
            inner = outer
        socket.send_fds(channel, [frame(number=number)], [inner[0].fileno(), inner[1].fileno()])


def half_closed(number):
    with socket.socket(fileno=os.dup(CHANNEL)) as channel:
        channel.shutdown(socket.SHUT_WR)


def reading_closed(number):
    with socket.socket(fileno=os.dup(CHANNEL)) as channel:
        channel.shutdown(socket.SHUT_RD)
    send(frame(number=number))


def ended_inside_a_header(number):
    send(frame(number=number)[:10])
    os._exit(0)


def ended_inside_a_body(number):
    send(frame(number=number)[:-1])
    os._exit(0)


def endless_bytes(number):
    while True:
        send(bytes(65536))


def endless_body(number):
    send(frame(number=number, body=b"", body_bytes=OUTPUT_MAX))
    while True:
        send(bytes(65536))


def from_many_processes(number):
    for _ in range(8):
        if os.fork() == 0:
            send(frame(number=number))
            os._exit(0)


def plain(**changes):
    """A whole frame of which only this is wrong."""
    def way(number):
        made = dict(changes)
        made["number"] = (number + made.pop("add", 0)) & 0xffffffffffffffff
        if "exact" in made:
            made["number"] = made.pop("exact")
        again = made.pop("then", b"")
        send(frame(**made) + (frame(number=number) if again == b"again" else again))
    return way


def error(*pairs):
    """An error frame that says this."""
    return plain(kind=ERROR, body=b"", meta=b"".join(b"%b\0%b\0" % pair for pair in pairs))


PLAIN = {
    "wrong_magic": plain(magic=0x12345678), "swapped_magic": plain(magic=0x48525448),
    **{f"type_{kind}": plain(kind=kind) for kind in (0, 1, 2, 3, 4, 7, 255)},
    "flags": plain(flags=1), "all_flags": plain(flags=255), "reserved_bits": plain(reserved=1),
    "number_of_no_call": plain(exact=0), "number_of_the_next_call": plain(add=1),
    "number_of_the_last_call": plain(add=-1), "largest_number": plain(exact=2**64 - 1),
    "too_much_meta": plain(meta=b"a\0" + b"b" * META_MAX + b"\0"),
    "endless_meta": plain(meta_bytes=0xffffffff), "sizes_that_overflow": plain(
        meta_bytes=0xffffffff, body_bytes=0xffffffff),
    "meta_without_end": plain(meta=b"content_type\0text"), "meta_of_one": plain(meta=b"name\0"),
    "meta_of_zeros": plain(meta=bytes(1001)),
    "too_large_a_body": plain(body=b"x" * (OUTPUT_MAX + 1)),
    "endless_size": plain(body_bytes=0xffffffff),
    "two_replies": plain(then=b"again"), "a_reply_and_a_byte": plain(then=b"x"),
    "an_error_of_no_kind": error((b"message", b"x")),
    "an_error_of_the_platforms": error((b"kind", b"internal"), (b"message", b"x")),
    "an_error_that_is_a_timeout": error((b"kind", b"timeout"), (b"message", b"x")),
    "an_error_that_is_success": error((b"kind", b"ok"), (b"message", b"x")),
    "an_error_of_a_load": error((b"kind", b"load_error"), (b"message", b"x")),
    "an_error_with_a_long_text": error((b"kind", b"function_error"), (b"message", b"x" * 60000)),
}


def answer(way):
    """Sends its own answer in this way; the runtime's never comes."""
    send_it = PLAIN.get(way) or globals()[way]
    send_it(number_of_call())
    time.sleep(60)


def answer_with_meta(pairs):
    """A reply with this meta: status, headers."""
    meta = b"".join(name.encode("latin-1") + b"\0" + value.encode("latin-1") + b"\0"
                    for name, value in pairs)
    send(frame(number=number_of_call(), meta=meta, body=b"body"))
    time.sleep(60)


def event(event, context):
    """The handler of a function that is called by HTTP."""
    return answer_with_meta(json.loads(base64.b64decode(event["body"])))


# What a module might keep of the runtime's descriptors at import.

def keep_descriptors():
    kept[:] = [os.dup(CHANNEL), os.dup(FORK_SOCKET)]


def forge_orders_answers(pids):
    """Answers to init's next order to fork, sent before it: these are the children."""
    with socket.socket(fileno=os.dup(kept[1])) as zygotes:
        for pid in pids:
            zygotes.send(struct.pack("i", pid), socket.MSG_DONTWAIT)
    return len(pids)


def forge_on_the_zygotes_channel(kind):
    """A frame as if the zygote had more to say."""
    os.write(kept[0], frame(kind=kind))
    return "sent"


def write_log(data_hex, times, descriptor=1):
    data = bytes.fromhex(data_hex) * times
    while data:
        data = data[os.write(descriptor, data):]
    return "written"


def close_logs():
    os.close(1)
    os.close(2)
    return "closed"
