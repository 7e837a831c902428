# SPDX-License-Identifier: Apache-2.0
"""A hearthd and a hearth-init for tests: they start a runtime without a sandbox and talk to it."""

import json
import os
import select
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

HELLO, LOAD, READY, CALL, REPLY, ERROR = 1, 2, 3, 4, 5, 6
LAST_CALL = 1
MAGIC = 0x48545248
WAIT_SECONDS = 30

HEADER = struct.Struct("<IBBHIIQ")


def meta_of(pairs):
    return b"".join(
        part if isinstance(part, bytes) else part.encode()
        for name, value in pairs
        for part in (name, b"\0", value, b"\0")
    )


class Answer:
    """A received frame."""

    def __init__(self, kind, flags, call, meta, body):
        self.type, self.flags, self.call, self.body = kind, flags, call, body
        parts = meta.split(b"\0")
        assert parts.pop() == b"" and len(parts) % 2 == 0, meta
        self.pairs = [
            (name.decode(), value.decode()) for name, value in zip(parts[::2], parts[1::2])
        ]
        self.meta = dict(self.pairs)

    def __repr__(self):
        return f"Answer({self.type}, {self.pairs}, {self.body[:200]!r})"


class Channel:
    """hearthd's end of a channel."""

    def __init__(self, end):
        self.socket = end
        end.settimeout(WAIT_SECONDS)

    def send(self, kind, pairs=(), body=b"", call=0, flags=0, magic=MAGIC):
        meta = meta_of(pairs)
        header = HEADER.pack(magic, kind, flags, 0, len(meta), len(body), call)
        self.socket.sendall(header + meta + body)

    def receive(self):
        """None at the end of the channel."""
        header = self._exactly(HEADER.size)
        if header is None:
            return None
        magic, kind, flags, zero, meta_bytes, body_bytes, call = HEADER.unpack(header)
        assert magic == MAGIC and zero == 0, header
        meta = self._exactly(meta_bytes)
        return Answer(kind, flags, call, meta, self._exactly(body_bytes))

    def _exactly(self, size):
        data = bytearray(size)
        at = 0
        while at < size:
            try:
                got = self.socket.recv_into(memoryview(data)[at:])
            except ConnectionResetError:
                got = 0
            if got == 0:
                assert at == 0, "the channel ended inside a frame"
                return None
            at += got
        return bytes(data)


class Log:
    """Reads a pipe to its end, as hearthd does, so that a runtime never waits for it."""

    def __init__(self):
        self._read, self.write = os.pipe()
        self._data = bytearray()
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._drain, daemon=True)

    def start(self):
        os.close(self.write)
        self._thread.start()

    def _drain(self):
        while not self._ended:
            select.select([self._read], [], [])
            with self._lock:
                chunk = os.read(self._read, 65536)
                self._data += chunk
                self._ended = not chunk
        os.close(self._read)

    def now(self):
        """What was in the pipe at the latest when this was called."""
        while True:
            with self._lock:
                if self._ended or not select.select([self._read], [], [], 0)[0]:
                    return bytes(self._data)
            time.sleep(0.001)

    def all(self):
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive(), "the pipe is still open"
        return bytes(self._data)


class Process:
    """A process that serves calls, with a channel and log pipes of its own."""

    def __init__(self):
        ours, self.theirs = socket.socketpair()
        self.channel = Channel(ours)
        self.out, self.err = Log(), Log()
        self.pid = None

    def started(self, pid):
        self.pid = pid
        self.theirs.close()
        self.out.start()
        self.err.start()

    def call(self, body=b"", pairs=(), call=1, flags=0, **meta):
        given = [("request_id", "req-1"), ("deadline_ms", "0"), ("trigger", "cli")]
        pairs = given + list(meta.items()) + list(pairs)
        self.channel.send(CALL, pairs, body, call, flags)
        answer = self.channel.receive()
        assert answer is None or answer.call == call, answer
        return answer

    def call_json(self, event=None, **options):
        answer = self.call(b"" if event is None else json.dumps(event).encode(), **options)
        assert answer is not None and answer.type == REPLY, answer
        return json.loads(answer.body)

    def http(self, body=b"", headers=(), **meta):
        given = {"method": "POST", "path": "/", "query": "", "protocol": "HTTP/1.1"}
        given.update(source_ip="192.0.2.7", time_ms="1583348638390", **meta)
        pairs = list(given.items()) + [("h:" + name, value) for name, value in headers]
        channel_pairs = [("request_id", "req-1"), ("deadline_ms", "0"), ("trigger", "http")]
        self.channel.send(CALL, channel_pairs + pairs, body, 1)
        return self.channel.receive()

    def wait(self):
        """The wait status."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == self.pid:
                self.pid = None
                return status
            time.sleep(0.001)
        raise AssertionError("the process does not end")

    def end(self):
        self.channel.socket.close()
        if self.pid is not None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            self.pid = None


def start(argv, env=None, fork_socket=None, uid=None):
    """Starts a program as hearth-init does: the channel is descriptor 3, own pipes are 1 and 2."""
    process = Process()
    pid = os.fork()
    if pid == 0:
        try:
            _become(process, argv, env or {}, fork_socket, uid)
        finally:
            os._exit(127)
    process.started(pid)
    return process


def _become(process, argv, env, fork_socket, uid):
    wanted = [os.open("/dev/null", os.O_RDONLY), process.out.write, process.err.write]
    wanted.append(process.theirs.fileno())
    if fork_socket is not None:
        wanted.append(fork_socket.fileno())
    high = [os.dup2(number, 100 + i) for i, number in enumerate(wanted)]
    for i, number in enumerate(high):
        os.dup2(number, i)
    os.closerange(len(wanted), 256)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.execve(argv[0], argv, env)


class Zygote:
    """A process that forks children; orders go over its fork socket."""

    def __init__(self, argv, uid=None):
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.orders.settimeout(WAIT_SECONDS)
        self.process = start(argv, {"HEARTH_ROLE": "zygote"}, theirs, uid)
        theirs.close()

    def fork(self):
        child = Process()
        descriptors = [child.theirs.fileno(), child.out.write, child.err.write]
        socket.send_fds(self.orders, [b"F"], descriptors)
        (pid,) = struct.unpack("<i", self.orders.recv(16))
        child.started(pid if pid > 0 else None)
        if pid <= 0:
            child.end()
        assert pid > 0, os.strerror(-pid)
        return child

    def end(self):
        self.orders.close()
        self.process.end()


class RuntimeTest(unittest.TestCase):
    """A task folder for each test, and an end for everything that it started."""

    argv = None  # set by the test program
    suffix = ".py"

    def setUp(self):
        self.task = tempfile.mkdtemp(prefix="hearth-task-")
        self.addCleanup(shutil.rmtree, self.task)
        os.chmod(self.task, 0o755)

    def write(self, name, text):
        path = os.path.join(self.task, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, **options):
        process = start(self.argv, **options)
        self.addCleanup(process.end)
        hello = process.channel.receive()
        self.assertIsNotNone(hello, process.err.now())
        self.assertEqual((hello.type, hello.call, hello.body), (HELLO, 0, b""))
        return process

    def load(self, process, handler="app.handle", mode="process", env=(), **more):
        pairs = [("handler", handler), ("mode", mode), ("task_dir", self.task)]
        pairs += [("env:" + name, value) for name, value in dict(env).items()]
        process.channel.send(LOAD, pairs + list(more.items()))
        return process.channel.receive()

    def loaded(self, text, mode="process", **options):
        """A process that has loaded `text` as its handler's module."""
        self.write("app" + self.suffix, text)
        process = self.start()
        answer = self.load(process, mode=mode, **options)
        self.assertIsNotNone(answer, process.err.now())
        self.assertEqual(answer.type, READY, answer)
        return process

    def error(self, answer, kind, error_type):
        self.assertIsNotNone(answer)
        self.assertEqual(answer.type, ERROR, answer)
        self.assertEqual((answer.meta["kind"], answer.meta["type"]), (kind, error_type), answer)
        return answer.meta


def main():
    unittest.main(argv=[sys.argv[0]], verbosity=2)
