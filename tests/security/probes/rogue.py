#!/usr/bin/python3 -S
# SPDX-License-Identifier: Apache-2.0
"""A program that speaks the channel's protocol as its own runtime, wrongly as its name says."""

import array
import os
import socket
import struct
import time

CHANNEL = socket.socket(fileno=3)
HELLO, LOAD, READY, CALL, REPLY, ERROR = 1, 2, 3, 4, 5, 6
NAMES = b"runtime\0rogue\0version\x001\0"
HEADER = struct.Struct("<IBBHIIQ")


def frame(kind, number=0, meta=b"", body=b""):
    return HEADER.pack(0x48545248, kind, 0, 0, len(meta), len(body), number) + meta + body


def send(*parts):
    CHANNEL.sendall(frame(*parts))


def receive():
    head = CHANNEL.recv(HEADER.size, socket.MSG_WAITALL)
    if len(head) < HEADER.size:
        os._exit(0)
    _, kind, _, _, meta, body, number = HEADER.unpack(head)
    if meta + body:
        CHANNEL.recv(meta + body, socket.MSG_WAITALL)
    return kind, number


def read_slowly():
    while CHANNEL.recv(1):
        time.sleep(1)


def with_descriptors(kind, meta):
    files = array.array("i", [os.open("/dev/null", os.O_RDONLY) for _ in range(200)])
    CHANNEL.sendmsg([HEADER.pack(0x48545248, kind, 0, 0, len(meta), 0, 0) + meta],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])


# What is said at each point of the protocol besides what is right, or instead of it.
BEFORE_HELLO = {
    "ready_first": lambda: send(READY), "reply_first": lambda: send(REPLY, 1, b"", b"1"),
    "garbage_first": lambda: CHANNEL.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(100)),
    "ends_at_once": lambda: os._exit(0), "fails_at_once": lambda: os._exit(3),
    "closes_its_channel": lambda: (CHANNEL.close(), time.sleep(60)),
    "half_a_hello": lambda: (CHANNEL.sendall(bytes(10)), os._exit(0)),
    "descriptors_with_its_hello": lambda: with_descriptors(HELLO, NAMES)}
AFTER_HELLO = {
    "hello_twice": lambda: send(HELLO, 0, NAMES), "ready_before_the_load": lambda: send(READY),
    "ends_after_its_hello": lambda: os._exit(0),
    "hello_with_too_much": lambda: CHANNEL.sendall(
        HEADER.pack(0x48545248, READY, 0, 0, 1 << 20, 0, 0) + bytes(1 << 20))}
READIES = {
    "says_that_it_forks": b"fork\x001\0", "many_notes": b"note\0x\0" * 9000,
    "long_note": b"note\0" + b"x" * 65000 + b"\0", "meta_that_is_none": b"note"}
AFTER_READY = {
    "ready_twice": lambda: send(READY), "reply_before_the_call": lambda: send(REPLY, 0, b"", b"1"),
    "replies_to_all_calls_to_come": lambda: [send(REPLY, n, b"", b"1") for n in range(1, 200)],
    "error_before_the_call": lambda: send(ERROR, 0, b"kind\0load_error\0"),
    "a_call_from_below": lambda: send(CALL, 1), "a_load_from_below": lambda: send(LOAD),
    "ends_after_its_ready": lambda: os._exit(0),
    "a_byte_before_the_call": lambda: CHANNEL.sendall(b"x"),
    "never_reads": lambda: time.sleep(600), "reads_a_byte_a_second": lambda: read_slowly()}
# What is sent for the rest of the call in place of its answer; the channel stays open.
ANSWERS = {
    "half_a_header": lambda answer: answer[:HEADER.size // 2],
    "half_an_answer": lambda answer: answer[:-1]}


def main(way):
    BEFORE_HELLO.get(way, int)()
    if way != "descriptors_with_its_hello":
        send(HELLO, 0, NAMES)
    AFTER_HELLO.get(way, int)()
    while True:
        kind, number = receive()
        if kind == LOAD:
            send(READY, 0, READIES.get(way, b""))
            AFTER_READY.get(way, int)()
        elif kind == CALL:
            answer = frame(REPLY, number, b"", b'"right"')
            CHANNEL.sendall(ANSWERS.get(way, bytes)(answer))
            if way in ANSWERS:
                time.sleep(600)


if __name__ == "__main__":
    main(os.path.basename(__file__))
