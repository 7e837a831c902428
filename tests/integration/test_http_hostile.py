# SPDX-License-Identifier: Apache-2.0
"""HTTP clients that lie about framing, drip, stall, leave, or come in too great a number."""

import os
import select
import threading
import time
import unittest

from tests.support.instance import Instance
from tests.support.raw import Closed, Raw, request

CONFIG = """
[http]
header_ms_max = 800
body_period_ms = 800
write_period_ms = 800
idle_ms_max = 4000
connections_max = 40
buffered_mb_max = 16
"""
MIB = 1 << 20
BEFORE_END_S = 30
GET = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
POST = "POST /fn/default/cat HTTP/1.1\r\n"
HOST = "Host: h\r\n"
CHUNKED = POST + HOST + "Transfer-Encoding: chunked\r\n"


def setUpModule():
    global hearth
    hearth = Instance(CONFIG)
    unittest.addModuleCleanup(hearth.close)
    hearth.start()
    hearth.shell("cat", "cat")
    hearth.shell("sleep", "cat >/dev/null; sleep 600 & sleep 600", "timeout_ms = 600000\n[http]\n")
    hearth.python("big", 'def handle(e, c):\n    return "y" * 5000000\n')


def wait_until(what, condition):
    until = time.monotonic() + BEFORE_END_S
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {BEFORE_END_S} s: {what}")
        time.sleep(0.02)
    return found


def metric(name):
    for line in hearth.http("GET", "/metrics")[2].decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


# What a request must be refused for. {name: (bytes, status)}; each is followed by a whole request
# that must never be taken for one.
HEADS = {
    "both framings": (POST + HOST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
                      "\r\n", 400),
    "both framings, turned round": (POST + HOST + "Transfer-Encoding: chunked\r\nContent-Length: "
                                    "60\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + HOST + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400),
    "two equal lengths": (POST + HOST + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", 400),
    "a list of lengths": (POST + HOST + "Content-Length: 4, 4\r\n\r\nbody", 400),
    "a signed length": (POST + HOST + "Content-Length: +4\r\n\r\nbody", 400),
    "a negative length": (POST + HOST + "Content-Length: -4\r\n\r\nbody", 400),
    "a hexadecimal length": (POST + HOST + "Content-Length: 0x4\r\n\r\nbody", 400),
    "no length": (POST + HOST + "Content-Length:\r\n\r\nbody", 400),
    "a length that wraps": (POST + HOST + "Content-Length: 18446744073709551620\r\n\r\nbody", 400),
    "a length with a space": (POST + HOST + "Content-Length: 4 4\r\n\r\nbody", 400),
    "an unknown coding": (POST + HOST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "identity": (POST + HOST + "Transfer-Encoding: identity\r\n\r\n", 501),
    "chunked not last": (POST + HOST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
                         400),
    "two codings": (POST + HOST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked twice": (POST + HOST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
                      "\r\n0\r\n\r\n", 400),
    "a vertical tab behind chunked": (POST + HOST + "Transfer-Encoding: chunked\x0b\r\n\r\n", 400),
    "chunked in HTTP/1.0": (POST.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n"
                            "\r\n", 400),
    "a space before the colon": (POST + HOST + "Content-Length : 4\r\n\r\nbody", 400),
    "a tab before the colon": (POST + HOST + "Transfer-Encoding\t: chunked\r\n\r\n", 400),
    "a folded line": (POST + HOST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded first header": (POST + " X: y\r\n" + HOST + "\r\n", 400),
    "a NUL in a value": (POST + HOST + "X: a\0b\r\n\r\n", 400),
    "a NUL in a name": (POST + HOST + "X\0: b\r\n\r\n", 400),
    "a bare line feed": (POST + HOST + "X: a\nContent-Length: 4\r\n\r\nbody", 400),
    "a head of bare line feeds": ("GET /healthz HTTP/1.1\nHost: h\n\n", 400),
    "a bare carriage return": (POST + HOST + "X: a\rContent-Length: 4\r\n\r\n", 400),
    "no host": ("GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a host with a space": ("GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "no colon": (POST + HOST + "Content-Length 4\r\n\r\nbody", 400),
    "no name": (POST + HOST + ": 4\r\n\r\n", 400),
    "a name beyond ASCII": (POST + HOST + "Content-Length\xe9: 4\r\n\r\n", 400),
    "two spaces": ("GET  /healthz HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a space in the target": ("GET /health z HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "a tab in the target": ("GET /health\tz HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "no path": ("GET healthz HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "no version": ("GET /healthz\r\n\r\n", 505),
    "a version in lower case": ("GET /healthz http/1.1\r\n" + HOST + "\r\n", 400),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    "HTTP/1.2": ("GET /healthz HTTP/1.2\r\n" + HOST + "\r\n", None),
    "a method in lower case": ("get /healthz HTTP/1.1\r\n" + HOST + "\r\n", 400),
    "CONNECT": ("CONNECT h:80 HTTP/1.1\r\n" + HOST + "\r\n", None),
    "TRACE": ("TRACE / HTTP/1.1\r\n" + HOST + "\r\n", 405),
    "an upgrade": ("GET /healthz HTTP/1.1\r\n" + HOST + "Connection: Upgrade\r\n"
                   "Upgrade: h2c\r\n\r\n", 501),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 40 + "\r\n\r\n", 400),
    "a long header": (POST + HOST + "X: " + "x" * 40_000 + "\r\n\r\n", 431),
    "many headers": (POST + HOST + "X: y\r\n" * 200 + "\r\n", 431),
    "a long target": ("GET /" + "x" * 10_000 + " HTTP/1.1\r\n" + HOST + "\r\n", 414),
}
CHUNKS = {
    "a size that is none": "g\r\nx\r\n0\r\n\r\n",
    "a negative size": "-1\r\nx\r\n0\r\n\r\n",
    "a prefixed size": "0x1\r\nx\r\n0\r\n\r\n",
    "a space before the size": " 1\r\nx\r\n0\r\n\r\n",
    "no size": "\r\nx\r\n0\r\n\r\n",
    "a size that wraps": "10000000000000001\r\nx\r\n0\r\n\r\n",
    "a chunk longer than its size": "1\r\nxx\r\n0\r\n\r\n",
    "a chunk ended by a line feed": "1\r\nx\n0\r\n\r\n",
    "a size ended by a line feed": "1\nx\r\n0\r\n\r\n",
    "an extension with a line feed": "1;a\nx\r\n0\r\n\r\n",
    "a NUL in an extension": "1;a\0\r\nx\r\n0\r\n\r\n",
    "a folded trailer": "0\r\nX: a\r\n b\r\n\r\n",
    "a trailer ended by a line feed": "0\r\nX: a\n\r\n",
    "a trailer with a NUL": "0\r\nX: a\0\r\n\r\n",
}


class Smuggling(unittest.TestCase):
    def assert_refused(self, payload, status):
        """One JSON refusal, then the end: what follows is never taken for a request."""
        with Raw(hearth.port) as client:
            client.send(payload + POST + HOST + "Content-Length: 8\r\n\r\nsmuggled" + GET)
            answer = client.answer()
            if status:
                self.assertEqual(answer.status, status, answer.body)
            self.assertGreaterEqual(answer.status, 400)
            self.assertEqual(answer.header("content-type"), "application/json")
            self.assertEqual(answer.header("connection"), "close")
            self.assertTrue(answer.error()["kind"] and answer.error()["message"])
            self.assertEqual(client.rest(), b"")

    def test_no_ambiguous_request_is_served(self):
        before = len(hearth.calls(function="cat", limit=10000))
        for name, (payload, status) in HEADS.items():
            with self.subTest(name):
                self.assert_refused(payload, status)
        for name, chunks in CHUNKS.items():
            with self.subTest(name):
                self.assert_refused(CHUNKED + "\r\n" + chunks, 400)
        self.assertEqual(len(hearth.calls(function="cat", limit=10000)), before)

    def test_the_same_requests_without_their_faults_are_served(self):
        for payload in (POST + HOST + "Content-Length: 4\r\n\r\nbody",
                        CHUNKED + "\r\n4;ext=1\r\nbody\r\n0\r\nX-Trailer: 1\r\n\r\n",
                        CHUNKED.replace("chunked", "Chunked") + "\r\n04\r\nbody\r\n0\r\n\r\n",
                        "POST http://h/fn/default/cat HTTP/1.1\r\n" + HOST +
                        "content-LENGTH:4 \r\n\r\nbody"):
            with Raw(hearth.port) as client:
                client.send(payload + GET)
                self.assertEqual(client.answer().body, b"body")
                self.assertEqual(client.answer().body, b"ok\n")

    def test_endless_chunk_extensions_are_refused(self):
        with Raw(hearth.port) as client:
            client.send(CHUNKED + "\r\n1;" + "e" * 100_000)
            self.assertEqual(client.answer().status, 431)

    def test_random_bytes_kill_nothing(self):
        for seed in range(60):
            with Raw(hearth.port) as client:
                try:
                    client.send(os.urandom(500) + b"\r\n\r\n" if seed % 2 else
                                request("POST", "/fn/default/cat", b"x" * 50)[:-seed]
                                + os.urandom(60))
                    client.finish_sending().rest()
                except (ConnectionResetError, BrokenPipeError):
                    pass
        self.assertEqual(hearth.http("GET", "/healthz")[0], 200)


class Slow(unittest.TestCase):
    def test_headers_that_drip_are_408(self):
        with Raw(hearth.port) as client:
            client.send("GET /healthz HTTP/1.1\r\nHo")
            answer = client.answer()
            self.assertEqual((answer.status, answer.error()["kind"]), (408, "slow_client"))
            self.assertTrue(answer.error()["limit"])
            self.assertEqual(client.rest(), b"")

    def test_a_body_that_drips_is_408_and_reaches_no_function(self):
        before = len(hearth.calls(function="cat", limit=10000))
        with Raw(hearth.port) as client:
            client.send(POST + HOST + "Content-Length: 1000\r\n\r\nx")
            until = time.monotonic() + BEFORE_END_S
            while not select.select([client.socket], [], [], 0.1)[0]:
                client.send("x")
                self.assertLess(time.monotonic(), until)
            answer = client.answer()
            self.assertEqual((answer.status, answer.error()["kind"]), (408, "slow_client"))
        self.assertEqual(len(hearth.calls(function="cat", limit=10000)), before)

    def test_an_idle_connection_is_closed_without_an_answer(self):
        with Raw(hearth.port) as client:
            self.assertEqual(client.send(GET).answer().status, 200)
            self.assertEqual(client.rest(), b"")

    def test_a_client_that_does_not_read_is_cut_off(self):
        timeouts = metric("hearth_http_timeouts_total")
        with Raw(hearth.port, receive_buffer=4096) as client:
            client.send(request("GET", "/fn/default/big") * 4)
            wait_until("an answer waits", lambda: metric("hearth_http_buffered_bytes") > MIB)
            wait_until("cut off", lambda: metric("hearth_http_timeouts_total") > timeouts)
            # What remains is the head of the request that asks.
            self.assertLess(metric("hearth_http_buffered_bytes"), 1024)

    def test_a_call_is_no_slow_client(self):
        hearth.shell("pause", "sleep 2; cat", "timeout_ms = 20000\n[http]\n")
        with Raw(hearth.port) as client:
            client.send(request("POST", "/fn/default/pause", b"patience"))
            self.assertEqual(client.answer().body, b"patience")


class Leaving(unittest.TestCase):
    def sleepers(self):
        """Processes of the function on the host."""
        return [pid for pid in hearth.sandbox_pids() if b"600" in command_line(pid)]

    def assert_cancelled(self, leave):
        known = {row["id"] for row in hearth.calls(function="sleep", limit=10000)}
        client = Raw(hearth.port)
        client.send(request("GET", "/fn/default/sleep"))
        wait_until("it runs", lambda: len(self.sleepers()) == 2)
        leave(client)
        wait_until("its processes are gone", lambda: not self.sleepers())
        new = wait_until("its record", lambda: [
            row for row in hearth.calls(function="sleep", limit=10000) if row["id"] not in known])
        client.socket.close()
        self.assertEqual([row["outcome"] for row in new], ["cancelled"])
        self.assertGreater(new[0]["run_us"], 0)

    def test_a_client_that_closes_ends_its_call(self):
        self.assert_cancelled(lambda client: client.socket.close())

    def test_a_client_that_resets_ends_its_call(self):
        self.assert_cancelled(lambda client: client.reset())

    def test_a_client_that_half_closes_counts_as_gone(self):
        self.assert_cancelled(lambda client: client.finish_sending())

    def test_a_client_that_leaves_with_requests_in_the_pipeline_ends_all_of_them(self):
        before = len(hearth.calls(function="cat", limit=10000))

        def leave(client):
            client.send(request("POST", "/fn/default/cat", b"never") * 3)
            client.socket.close()

        self.assert_cancelled(leave)
        self.assertEqual(len(hearth.calls(function="cat", limit=10000)), before)

    def test_a_body_cut_short_reaches_no_function(self):
        before = len(hearth.calls(function="cat", limit=10000))
        whole = request("POST", "/fn/default/cat", b"x" * 100)
        for cut in (10, len(whole) - 100, len(whole) - 1):
            with Raw(hearth.port) as client:
                client.send(whole[:cut]).finish_sending()
                self.assertEqual(client.rest(), b"")
        with Raw(hearth.port) as client:
            client.send(CHUNKED + "\r\n5\r\nhello\r\n").finish_sending()
            self.assertEqual(client.rest(), b"")
        self.assertEqual(len(hearth.calls(function="cat", limit=10000)), before)

    def test_a_client_that_leaves_during_the_answer_has_its_record(self):
        known = {row["id"] for row in hearth.calls(function="big", limit=10000)}
        client = Raw(hearth.port, receive_buffer=4096)
        client.send(request("GET", "/fn/default/big"))
        self.assertEqual(client.head().status, 200)
        client.reset()
        new = wait_until("its record", lambda: [
            row for row in hearth.calls(function="big", limit=10000) if row["id"] not in known])
        self.assertEqual([row["outcome"] for row in new], ["ok"])
        self.assertEqual(hearth.http("GET", "/healthz")[0], 200)


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


class Many(unittest.TestCase):
    def test_connections_beyond_the_cap_are_told_so(self):
        clients = []
        self.addCleanup(lambda: [client.socket.close() for client in clients])
        for _ in range(80):
            client = Raw(hearth.port)
            clients.append(client)
            try:
                answer = client.send(GET).answer()
            except (Closed, ConnectionResetError, BrokenPipeError):
                continue
            if answer.status != 200:
                break
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.error()["kind"], "overloaded")
        self.assertEqual((answer.error()["limit"], answer.error()["value"]),
                         ("connections_max", 40))
        self.assertEqual(answer.header("retry-after"), "1")
        self.assertGreater(len(clients), 20)
        # The Unix socket's clients count too, so ours go first; then there is room again.
        for client in clients:
            client.socket.close()
        wait_until("room", lambda: self.served())

    def served(self):
        try:
            with Raw(hearth.port) as client:
                return client.send(GET).answer().status == 200
        except (Closed, ConnectionResetError, BrokenPipeError):
            return False

    def test_bodies_of_all_clients_together_are_bounded(self):
        peak = memory_kb("VmHWM")
        body = b"m" * (6 * MIB)
        ends = []

        def upload():
            with Raw(hearth.port) as client:
                try:
                    client.send(request("POST", "/fn/default/cat", body)[:-1])
                    ends.append(client.answer().status)
                except (Closed, ConnectionResetError, BrokenPipeError):
                    ends.append(None)

        threads = [threading.Thread(target=upload) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Two fit, never end, and are too slow; the others are told that there is no room.
        self.assertIn(503, ends)
        self.assertLessEqual(set(ends), {408, 503, None})
        self.assertLess(memory_kb("VmHWM") - peak, 40 * 1024)
        status, _, answer = hearth.http("POST", "/fn/default/cat", body)
        self.assertEqual((status, answer == body), (200, True))


def memory_kb(field):
    with open(f"/proc/{hearth.process.pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))


if __name__ == "__main__":
    unittest.main()
