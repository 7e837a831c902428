# SPDX-License-Identifier: Apache-2.0
"""A stand-in for hearthd: answers on a Unix socket what a test prepared, and remembers what it
was asked."""

import http.server
import os
import socketserver
import tempfile
import threading


class Answer:
    """What the daemon says to one request. `cut`: close after so many bytes of the body."""

    def __init__(
        self, body=b"", status=200, headers=None, cut=None, before_body=False, chunks=None
    ):
        self.body = body if isinstance(body, bytes) else body.encode()
        self.status = status
        self.headers = headers or {}
        self.cut = cut
        self.before_body = before_body  # answer and close without reading the request's body
        self.chunks = chunks  # a generator of bytes: sent as they come, in chunked coding


class Asked:
    def __init__(self, handler, body):
        self.method, self.path = handler.command, handler.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.body = body


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def handle_expect_100(self):
        answer = self.server.daemon.find(self.command, self.path)
        if answer.before_body:
            return True  # the refusal itself is the answer
        return super().handle_expect_100()

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while True:
            size = int(self.rfile.readline(), 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return body

    def answer(self):
        daemon = self.server.daemon
        answer = daemon.find(self.command, self.path)
        self.close_connection = True
        daemon.asked.append(Asked(self, b"" if answer.before_body else self.read_body()))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        if answer.chunks is not None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in answer.chunks:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])

    do_GET = do_POST = do_DELETE = answer


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that left is what some tests want


class FakeHearthd:
    """`with FakeHearthd() as daemon: daemon.on("GET", "/v1/status", Answer(...))`"""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="hearth-cli-")
        self.socket = os.path.join(self.folder.name, "hearth.sock")
        self.answers, self.asked = {}, []
        self.server = Server(self.socket, Handler)
        self.server.daemon = self
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def on(self, method, path, answer):
        """`path` without its query."""
        self.answers[(method, path)] = answer

    def find(self, method, path):
        missing = Answer(
            '{"error":{"kind":"not_found","stage":"route","message":"no such thing: %s"}}' % path,
            404,
        )
        return self.answers.get((method, path.split("?")[0]), missing)
