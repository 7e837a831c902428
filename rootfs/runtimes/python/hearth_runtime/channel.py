# SPDX-License-Identifier: Apache-2.0
"""Frames between hearthd and this process; the bytes themselves are moved by _hearth."""

from hearth_runtime import _hearth

CHANNEL = 3
FORK_SOCKET = 4

HELLO, LOAD, READY, CALL, ERROR = 1, 2, 3, 4, 6


def receive(expected):
    """Waits for a frame of this type: its meta. None at the end of the channel."""
    received = _hearth.recv(CHANNEL)
    if received is None:
        return None
    kind, _, _, meta, _ = received
    if kind != expected:
        raise ValueError(f"frame of type {kind} where {expected} was due")
    return meta


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
