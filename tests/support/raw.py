# SPDX-License-Identifier: Apache-2.0
"""A client that sends what it is told, byte for byte, and reads answers as a strict client does."""

import dataclasses
import json
import socket

LIMIT_S = 60


@dataclasses.dataclass
class Answer:
    status: int
    fields: list  # (lower-case name, value), in order, repeated ones too
    body: bytes

    def header(self, name):
        """The one value of a header; None: there is none. Two of them are an error."""
        found = [value for field, value in self.fields if field == name]
        assert len(found) <= 1, (name, found)
        return found[0] if found else None

    def error(self):
        return json.loads(self.body)["error"]


class Closed(Exception):
    """The server closed the connection before an answer was whole."""


class Raw:
    def __init__(self, port, receive_buffer=0):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(("127.0.0.1", port))
        self.left = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Leaves without a farewell."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def _more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise Closed(self.left[:200])
        self.left += data

    def _take(self, count):
        parts, have = [self.left], len(self.left)
        while have < count:
            data = self.socket.recv(1 << 20)
            if not data:
                raise Closed(f"{have} of {count} bytes")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.left = whole[count:]
        return whole[:count]

    def line(self):
        while b"\r\n" not in self.left:
            self._more()
        line, self.left = self.left.split(b"\r\n", 1)
        return line

    def head(self):
        version, status, _ = self.line().split(b" ", 2)
        assert version == b"HTTP/1.1", version
        fields = []
        while line := self.line():
            name, value = line.split(b": ", 1)
            fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        return Answer(int(status), fields, b"")

    def answer(self, head_only=False):
        """The next final answer."""
        answer = self.head()
        if head_only or answer.status in (204, 304) or answer.status < 200:
            return answer
        length = answer.header("content-length")
        if answer.header("transfer-encoding") == "chunked":
            assert length is None, "both framings in one answer"
            while size := int(self.line(), 16):
                answer.body += self._take(size)
                assert self.line() == b""
            assert self.line() == b"", "trailers"
        elif length is not None:
            answer.body = self._take(int(length))
        return answer

    def rest(self):
        """What is left until the server closes; a reset counts as closing."""
        try:
            while data := self.socket.recv(1 << 20):
                self.left += data
        except ConnectionResetError:
            pass
        rest, self.left = self.left, b""
        return rest


def request(method, path, body=None, fields=()):
    """A well-formed request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(body, sizes):
    """`body` in chunks of the given sizes, the last of which repeats."""
    out, at, sizes = [], 0, list(sizes)
    while at < len(body):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        piece = body[at:at + size]
        out.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        at += size
    return b"".join(out) + b"0\r\n\r\n"
