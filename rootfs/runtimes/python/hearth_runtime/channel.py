# SPDX-License-Identifier: Apache-2.0
"""Frames between hearthd and this process; the bytes themselves are moved by _hearth."""

from hearth_runtime import _hearth

CHANNEL = 3
FORK_SOCKET = 4

HELLO, LOAD, READY, CALL, REPLY, ERROR = 1, 2, 3, 4, 5, 6
LAST_CALL = 1
META_BYTES_MAX = 64 * 1024


class Frame:
    """One received frame. `meta` is still bytes: see `pairs` and `text_pairs`."""

    __slots__ = ("type", "flags", "call", "meta", "body")

    def __init__(self, received):
        self.type, self.flags, self.call, self.meta, self.body = received


def receive(expected):
    """Waits for a frame of this type. None at the end of the channel."""
    received = _hearth.recv(CHANNEL)
    if received is None:
        return None
    frame = Frame(received)
    if frame.type != expected:
        raise ValueError(f"frame of type {frame.type} where {expected} was due")
    return frame


def send(kind, call, pairs, body=b""):
    _hearth.send(CHANNEL, kind, call, pack(pairs), body)


def pack(pairs):
    """Meta of (name, value) pairs, none of which contains NUL."""
    if not pairs:
        return b""
    text = "\0".join([part for pair in pairs for part in pair]) + "\0"
    return text.encode("utf-8", "replace")


def pairs(meta):
    """(name, value) pairs as bytes."""
    parts = meta.split(b"\0")
    if parts.pop() != b"" or len(parts) % 2:
        raise ValueError("meta is no list of pairs")
    return list(zip(parts[0::2], parts[1::2]))


def text_pairs(meta):
    """(name, value) pairs as text. Header values are UTF-8, or Latin-1 as old clients send them."""
    try:
        parts = meta.decode().split("\0")
    except UnicodeDecodeError:
        return [(name.decode("latin-1"), _text(value)) for name, value in pairs(meta)]
    if parts.pop() != "" or len(parts) % 2:
        raise ValueError("meta is no list of pairs")
    return list(zip(parts[0::2], parts[1::2]))


def _text(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
