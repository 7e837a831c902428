# SPDX-License-Identifier: Apache-2.0
"""Calls by HTTP from curl, wrk and raw sockets: framing, bodies, load, refusals."""

import contextlib
import json
import os
import subprocess
import time
import unittest

from tests.support.curl import curl
from tests.support.instance import Instance
from tests.support.raw import Raw, chunked, request

MIB = 1 << 20
LIMIT = 6 * MIB

ECHO_EVENT = "def handle(event, context):\n    return event\n"
BIG = """
def handle(event, context):
    size = int(event["queryStringParameters"]["size"])
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": "y" * size}
"""
HTTP = "[http]\n"


def setUpModule():
    global hearth
    hearth = Instance()
    unittest.addModuleCleanup(hearth.close)
    hearth.start()
    hearth.shell("cat", "cat", "memory_mb = 64\ntimeout_ms = 30000\n" + HTTP)
    hearth.shell("count", "wc -c", "memory_mb = 64\n" + HTTP)
    hearth.python("event", ECHO_EVENT)
    hearth.python("big", BIG, "memory_mb = 512\n" + HTTP)
    hearth.python("readonly", ECHO_EVENT, '[http]\nmethods = ["GET", "HEAD"]\n')
    hearth.python("private", ECHO_EVENT, "")
    hearth.shell("digests", "cat >/dev/null; sleep 1", "timeout_ms = 30000\n" + HTTP)


def url(path):
    return f"http://127.0.0.1:{hearth.port}{path}"


class Framing(unittest.TestCase):
    def test_one_connection_serves_request_after_request(self):
        with Raw(hearth.port) as client:
            for i in range(20):
                body = b"request %d" % i
                answer = client.send(request("POST", "/fn/default/cat", body)).answer()
                self.assertEqual((answer.status, answer.body), (200, body))
                self.assertIsNone(answer.header("connection"))

    def test_connection_close_is_obeyed(self):
        with Raw(hearth.port) as client:
            client.send(request("POST", "/fn/default/cat", b"x", ["Connection: close"]))
            answer = client.answer()
            self.assertEqual(answer.header("connection"), "close")
            self.assertEqual(client.rest(), b"")

    def test_http_1_0_closes_unless_asked_to_keep_alive(self):
        head = "POST /fn/default/cat HTTP/1.0\r\nContent-Length: 1\r\n"
        with Raw(hearth.port) as client:
            self.assertEqual(client.send(head + "\r\na").answer().body, b"a")
            self.assertEqual(client.rest(), b"")
        with Raw(hearth.port) as client:
            for _ in range(2):
                answer = client.send(head + "Connection: keep-alive\r\n\r\nb").answer()
                self.assertEqual(answer.header("connection"), "keep-alive")

    def test_a_hundred_pipelined_requests_are_answered_in_order(self):
        bodies = [b"%d" % i + b"z" * (i * 37 % 500) for i in range(100)]
        with Raw(hearth.port) as client:
            client.send(b"".join(request("POST", "/fn/default/cat", b) for b in bodies))
            for body in bodies:
                self.assertEqual(client.answer().body, body)

    def test_pipelined_requests_of_different_kinds_are_answered_in_order(self):
        with Raw(hearth.port) as client:
            client.send(request("GET", "/healthz")
                        + b"POST /fn/default/cat HTTP/1.1\r\nHost: h\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"chunks", [2])
                        + request("HEAD", "/fn/default/event")
                        + request("GET", "/fn/default/nosuch")
                        + request("POST", "/fn/default/cat", b"last"))
            self.assertEqual(client.answer().body, b"ok\n")
            self.assertEqual(client.answer().body, b"chunks")
            self.assertEqual(client.answer(head_only=True).status, 200)
            self.assertEqual(client.answer().error()["kind"], "not_found")
            self.assertEqual(client.answer().body, b"last")

    def test_chunked_bodies_arrive_whole_whatever_their_pieces(self):
        body = os.urandom(100_000)
        for sizes in ([100_000], [1, 2, 3, 5000], [17], [65536]):
            with self.subTest(sizes=sizes), Raw(hearth.port) as client:
                client.send(b"POST /fn/default/cat HTTP/1.1\r\nHost: h\r\n"
                            b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, sizes))
                self.assertEqual(client.answer().body, body)

    def test_a_request_may_arrive_byte_by_byte(self):
        with Raw(hearth.port) as client:
            for byte in request("POST", "/fn/default/cat", b"slowly", ["X-A: b"]):
                client.send(bytes([byte]))
            self.assertEqual(client.answer().body, b"slowly")

    def test_expect_100_continue_is_answered_before_the_body_is_sent(self):
        with Raw(hearth.port) as client:
            client.send("POST /fn/default/cat HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
                        "Expect: 100-continue\r\n\r\n")
            self.assertEqual(client.head().status, 100)
            self.assertEqual(client.send("body").answer().body, b"body")

    def test_expect_100_continue_with_a_body_too_large_is_refused_at_once(self):
        with Raw(hearth.port) as client:
            client.send(f"POST /fn/default/cat HTTP/1.1\r\nHost: h\r\nContent-Length: {LIMIT + 1}"
                        "\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(client.answer().status, 413)

    def test_head_gives_the_headers_of_get_and_no_body(self):
        status, headers, body = curl("-I", url("/fn/default/event"))
        self.assertEqual((status, body[:15]), (200, b"HTTP/1.1 200 OK"))
        self.assertGreater(int(headers["content-length"][0]), 100)
        with Raw(hearth.port) as client:
            client.send(request("HEAD", "/fn/default/event") + request("GET", "/healthz"))
            self.assertEqual(client.answer(head_only=True).status, 200)
            self.assertEqual(client.answer().body, b"ok\n")  # no byte of a body lies between

    def test_logs_are_followed_in_chunks(self):
        hearth.http("POST", "/fn/default/cat", b"x")
        done = subprocess.Popen(
            ["curl", "-sSN", "--max-time", "60", "-D", "-", "--unix-socket",
             hearth.run / "hearth.sock",
             "http://h/v1/tenants/default/functions/big/logs?follow=1"], stdout=subprocess.PIPE)
        try:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += done.stdout.readline()
            self.assertIn(b"transfer-encoding: chunked", head.lower())
        finally:
            done.kill()
            done.wait()
            done.stdout.close()


class Bodies(unittest.TestCase):
    def test_six_mebibytes_go_in_and_come_out_byte_exact(self):
        body = os.urandom(LIMIT)
        status, headers, answer = curl("--data-binary", "@-", url("/fn/default/cat"), data=body)
        self.assertEqual(status, 200, answer[:300])
        self.assertEqual(answer, body)
        record = json.loads(hearth.api("GET", f"/v1/calls/{headers['hearth-call-id'][0]}")[2])
        self.assertEqual((record["in_bytes"], record["out_bytes"]), (LIMIT, LIMIT))

    def test_six_mebibytes_in_chunks_arrive_byte_exact(self):
        body = os.urandom(LIMIT)
        status, _, answer = curl("--data-binary", "@-", "-H", "Transfer-Encoding: chunked",
                                 url("/fn/default/cat"), data=body)
        self.assertEqual(status, 200, answer[:300])
        self.assertEqual(answer, body)

    def test_one_byte_more_is_refused_with_the_limit_and_its_value(self):
        before = len(hearth.calls(function="count", limit=10000))
        for name, framing in (("length", []), ("chunks", ["-H", "Transfer-Encoding: chunked"])):
            with self.subTest(framing=name):
                status, _, answer = curl("--data-binary", "@-", *framing,
                                         url("/fn/default/count"), data=b"x" * (LIMIT + 1))
                self.assertEqual(status, 413)
                error = json.loads(answer)["error"]
                self.assertEqual((error["kind"], error["limit"], error["value"]),
                                 ("too_large", "body_bytes_max", LIMIT))
        self.assertEqual(len(hearth.calls(function="count", limit=10000)), before)

    def test_the_largest_body_reaches_the_function_to_the_last_byte(self):
        _, _, answer = curl("--data-binary", "@-", url("/fn/default/count"), data=b"x" * LIMIT)
        self.assertEqual(answer.strip(), b"%d" % LIMIT)

    def test_an_answer_of_the_limit_passes_and_one_byte_more_is_output_exceeded(self):
        status, _, answer = curl(url(f"/fn/default/big?size={LIMIT}"))
        self.assertEqual((status, answer), (200, b"y" * LIMIT))
        status, _, answer = curl(url(f"/fn/default/big?size={LIMIT + 1}"))
        self.assertEqual(status, 502)
        error = json.loads(answer)["error"]
        self.assertEqual((error["kind"], error["limit"], error["value"]),
                         ("output_exceeded", "output_kb", LIMIT >> 10))

    def test_every_byte_value_passes_both_ways(self):
        body = bytes(range(256)) * 16
        self.assertEqual(hearth.http("POST", "/fn/default/cat", body)[2], body)

    def test_an_empty_body_is_no_body(self):
        for fields, body in (([], None), ([], b"")):
            with Raw(hearth.port) as client:
                answer = client.send(request("POST", "/fn/default/event", body, fields)).answer()
                self.assertNotIn("body", json.loads(answer.body))

    def test_a_program_that_has_read_a_large_body_leaves_later_connections_alone(self):
        """They may get the number of the descriptor by which it was sent."""
        head, rest = (part.encode() for part in ("POST /fn/default/cat HTTP/1.1\r\nHost: x\r\n",
                                                 "Content-Length: 1\r\n\r\na"))
        for _ in range(3):
            with contextlib.ExitStack() as clients:
                large, *others = (clients.enter_context(Raw(hearth.port)) for _ in range(9))
                large.send(request("POST", "/fn/default/digests", b"x" * (2 * MIB)))
                time.sleep(0.3)  # sent; the program sleeps
                others += [clients.enter_context(Raw(hearth.port)) for _ in range(8)]
                for other in others:
                    other.send(head)
                self.assertEqual(large.answer().status, 200)
                for other in others:
                    self.assertEqual(other.send(rest).answer().body, b"a")

    def test_large_bodies_leave_no_memory_behind(self):
        body = b"m" * LIMIT

        def burst():
            for _ in range(4):
                runs = [subprocess.Popen(
                    ["curl", "-sS", "--max-time", "120", "--data-binary", "@-", "-o", "/dev/null",
                     "-w", "%{http_code}", url("/fn/default/cat")],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
                for run in runs:
                    self.assertEqual(run.communicate(body)[0], b"200")

        burst()  # what the allocator keeps for the next time is not growth
        before = rss_kb(hearth.process.pid)
        peak_before = rss_kb(hearth.process.pid, "VmHWM")
        burst()
        burst()
        grown = rss_kb(hearth.process.pid) - before
        self.assertLess(grown, 16 * 1024, f"{grown} KiB after {before} KiB")
        # Four calls at a time, each a body in and a body out, and nothing that adds up.
        self.assertLess(rss_kb(hearth.process.pid, "VmHWM") - peak_before, 64 * 1024)
        self.assertLess(peak_before, 256 * 1024)


def rss_kb(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))


class Load(unittest.TestCase):
    def test_wrk_sees_no_error_and_every_answered_call_has_one_record(self):
        hearth.python("load", ECHO_EVENT, 'reuse = "process"\nmemory_mb = 64\n'
                                          'concurrency_max = 4\n[http]\n')
        status, headers, _ = curl(url("/fn/default/load"))
        self.assertEqual(status, 200)
        done = subprocess.run(["wrk", "-t", "2", "-c", "32", "-d", "2s", "--timeout", "30s",
                               url("/fn/default/load")], capture_output=True, check=True)
        text = done.stdout.decode()
        self.assertNotIn("Non-2xx", text)
        self.assertNotIn("Socket errors", text)
        answered = int(next(line for line in text.splitlines() if "requests in" in line).split()[0])
        self.assertGreater(answered, 32)
        calls, errors = self.settled_usage("load")
        # wrk drops the connections that it has open at the end: up to 32 calls more were made, and
        # were answered or cancelled.
        self.assertGreaterEqual(calls - sum(errors.values()) - 1, answered)
        self.assertLessEqual(calls - 1 - answered, 32)
        self.assertLessEqual(set(errors), {"cancelled"})
        rows = hearth.calls(function="load", limit=10000)
        self.assertEqual(len({row["id"] for row in rows}), min(calls, 10000), "an id twice")

    def settled_usage(self, function):
        """(calls, errors by kind) once no call runs and every record is in the database."""
        before, until = -1, time.monotonic() + 60
        while time.monotonic() < until:
            rows = json.loads(hearth.api("GET", f"/v1/usage?function={function}")[2])
            calls = sum(row["calls"] for row in rows)
            running = json.loads(hearth.api("GET", "/v1/status")[2])["sandboxes"]["running"]
            if calls == before and running == 0:
                break
            before = calls
            time.sleep(0.3)
        errors = {}
        for row in rows:
            for kind, count in row["errors"].items():
                errors[kind] = errors.get(kind, 0) + count
        return calls, errors

    def test_curl_reuses_one_connection_for_many_calls(self):
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "60", "-w", "%{num_connects} ", "--data", "x",
             *[arg for i in range(10) for arg in ("-o", "/dev/null", url(f"/fn/default/cat?{i}"))]],
            capture_output=True, check=True)
        self.assertEqual(done.stdout.split(), [b"1"] + [b"0"] * 9)


class Refusals(unittest.TestCase):
    def refused(self, status, kind, method, path, body=None, headers=None):
        got, fields, text = hearth.http(method, path, body, headers)
        self.assertEqual(got, status, text)
        self.assertEqual(fields["content-type"], "application/json")
        error = json.loads(text)["error"]
        self.assertLessEqual({"kind", "stage", "message", "limit", "value", "call_id"}, set(error))
        self.assertEqual(error["kind"], kind)
        self.assertTrue(error["message"])
        return error

    def test_what_does_not_exist_is_named(self):
        error = self.refused(404, "not_found", "GET", "/fn/default/nosuch")
        self.assertEqual((error["limit"], error["value"]), ("function", "nosuch"))
        error = self.refused(404, "not_found", "GET", "/fn/nobody/event")
        self.assertEqual((error["limit"], error["value"]), ("tenant", "nobody"))
        for path in ("/", "/fn", "/fn/", "/fn/default", "/fn/default/", "/fn//event", "/x",
                     "/fn/default/EVENT", "/fn/default/event%2f", "/fn/../event"):
            with self.subTest(path=path):
                self.refused(404, "not_found", "GET", path)

    def test_a_function_without_a_trigger_is_not_served(self):
        self.refused(404, "not_found", "GET", "/fn/default/private")

    def test_a_method_that_the_function_does_not_take_is_405(self):
        error = self.refused(405, "method_not_allowed", "POST", "/fn/default/readonly", b"x")
        self.assertEqual((error["limit"], error["value"]), ("http.methods", "GET, HEAD"))
        self.assertEqual(hearth.http("GET", "/fn/default/readonly")[0], 200)

    def test_the_management_api_is_refused_on_tcp(self):
        for method, path in (("GET", "/v1/status"), ("GET", "/v1/tenants"), ("GET", "/v1/calls"),
                             ("POST", "/v1/tenants/default/functions"), ("GET", "/v1/nosuch"),
                             ("DELETE", "/v1/tenants/default/functions/event"),
                             ("POST", "/v1/tenants/default/functions/event/invocations"),
                             ("GET", "/v1/usage"), ("GET", "/v1/openapi.json"), ("GET", "/v1/")):
            with self.subTest(path=path):
                self.refused(403, "forbidden", method, path, b"{}" if method == "POST" else None)
        self.assertEqual(hearth.api("GET", "/v1/status")[0], 200)

    def test_an_upload_on_tcp_is_refused_without_being_kept(self):
        self.refused(403, "forbidden", "POST", "/v1/tenants/default/functions", b"x" * MIB)
        self.assertEqual(list((hearth.state / "uploads").iterdir()), [])


if __name__ == "__main__":
    unittest.main()
