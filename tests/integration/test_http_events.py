# SPDX-License-Identifier: Apache-2.0
"""What a handler gets to see of a request, and what becomes of its answer."""

import base64
import json
import time
import unittest

from tests.support.curl import curl
from tests.support.instance import Instance
from tests.support.raw import Raw, request

PYTHON_EVENT = "def handle(event, context):\n    return event\n"
NODE_EVENT = "exports.handle = async (event) => event;\n"
# The request's body is the answer, as function URLs have it.
PYTHON_ANSWER = """
import json
def handle(event, context):
    return json.loads(event["body"])
"""
NODE_ANSWER = "export const handle = async (event) => JSON.parse(event.body);\n"


def setUpModule():
    global hearth
    hearth = Instance()
    unittest.addModuleCleanup(hearth.close)
    hearth.start()
    hearth.shell("cat", "cat")
    hearth.python("event", PYTHON_EVENT)
    hearth.python("answer", PYTHON_ANSWER)
    hearth.function("nodeanswer", "nodejs", "app.handle", {"app.mjs": NODE_ANSWER})
    hearth.function("nodeevent", "nodejs", "app.handle", {"app.js": NODE_EVENT})


def url(path):
    return f"http://127.0.0.1:{hearth.port}{path}"


class Events(unittest.TestCase):
    def event(self, path, *args, function="event", data=None):
        status, _, body = curl("--path-as-is", *args, url(f"/fn/default/{function}{path}"),
                               data=data)
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def test_the_path_arrives_as_it_was_sent(self):
        for path in ("/", "/a/b", "/a//b/", "/a%20b", "/%C3%A9%2F%00", "/..%2f..", "/a/../b",
                     "/~!$&'()*+,;=:@-._"):
            for function in ("event", "nodeevent"):
                with self.subTest(path=path, function=function):
                    event = self.event(path, function=function)
                    self.assertEqual(event["rawPath"], path)
                    self.assertEqual(event["requestContext"]["http"]["path"], path)
        self.assertEqual(self.event("")["rawPath"], "/")

    def test_the_query_arrives_raw_and_decoded(self):
        query = "a=1&b=%26%3D&c=&a=2&caf%C3%A9=%F0%9F%98%80&d=x+y&e=%7C"
        wanted = {"a": "1,2", "b": "&=", "c": "", "café": "😀", "d": "x y", "e": "|"}
        for function in ("event", "nodeevent"):
            with self.subTest(function=function):
                event = self.event("/?" + query, function=function)
                self.assertEqual(event["rawQueryString"], query)
                self.assertEqual(event["queryStringParameters"], wanted)

    def test_headers_arrive_lower_case_joined_and_unchanged(self):
        fields = ["X-One: a b  c", "x-two: 1", "X-TWO: 2", "Cookie: a=1; b=2", "X-Empty:",
                  "X-Punct: !#$%&'()*+,-./:;<=>?@[]^_`{|}~\"\\"]
        for function in ("event", "nodeevent"):
            with self.subTest(function=function), Raw(hearth.port) as client:
                client.send(request("GET", f"/fn/default/{function}", None, fields))
                event = json.loads(client.answer().body)
                self.assertEqual(event["headers"]["x-one"], "a b  c")
                self.assertEqual(event["headers"]["x-two"], "1,2")
                self.assertEqual(event["headers"]["x-punct"], fields[-1].split(": ", 1)[1])
                self.assertEqual(event["headers"]["x-empty"], "")
                self.assertEqual(event["headers"]["host"], "test")
                self.assertEqual(event["cookies"], ["a=1", "b=2"])

    def test_text_bodies_arrive_as_text_and_others_in_base64(self):
        text = "naïve 😀 \u0001 \"quoted\"\r\n".encode()
        binary = bytes(range(256))
        for function in ("event", "nodeevent"):
            with self.subTest(function=function):
                event = self.event("", "--data-binary", "@-", "-H", "Content-Type: text/plain",
                                   function=function, data=text)
                self.assertEqual((event["body"], event["isBase64Encoded"]),
                                 (text.decode(), False))
                for kind in ("application/octet-stream", "text/plain"):
                    event = self.event("", "--data-binary", "@-", "-H", f"Content-Type: {kind}",
                                       function=function, data=binary)
                    self.assertTrue(event["isBase64Encoded"])
                    self.assertEqual(base64.b64decode(event["body"]), binary)

    def test_the_context_names_method_protocol_client_and_call(self):
        status, headers, body = curl("-X", "PATCH", "-A", "tester/1", url("/fn/default/event/x"))
        self.assertEqual(status, 200)
        context = json.loads(body)["requestContext"]
        self.assertEqual(context["http"]["method"], "PATCH")
        self.assertEqual(context["http"]["protocol"], "HTTP/1.1")
        self.assertEqual(context["http"]["sourceIp"], "127.0.0.1")
        self.assertEqual(context["http"]["userAgent"], "tester/1")
        self.assertEqual(context["requestId"], headers["hearth-call-id"][0])
        self.assertLess(abs(context["timeEpoch"] / 1000 - time.time()), 120)


class Answers(unittest.TestCase):
    def both(self, answer):
        """What python and nodejs make of one answer."""
        answers = []
        for function in ("answer", "nodeanswer"):
            with Raw(hearth.port) as client:
                client.send(request("POST", f"/fn/default/{function}", json.dumps(answer).encode(),
                                    ["Content-Type: application/json"]))
                answers.append(client.answer())
        return answers

    def assert_bad_reply(self, got, answer):
        self.assertEqual(got.status, 502, (answer, got.body))
        self.assertEqual(got.error()["kind"], "bad_reply", answer)

    def test_status_headers_cookies_and_body_are_the_handlers(self):
        answer = {"statusCode": 201, "body": "made é", "cookies": ["a=1; Path=/", "b=2"],
                  "headers": {"Content-Type": "text/plain; charset=utf-8", "X-Thing": "a, b"}}
        for got in self.both(answer):
            self.assertEqual((got.status, got.body), (201, "made é".encode()))
            self.assertEqual(got.header("content-type"), "text/plain; charset=utf-8")
            self.assertEqual(got.header("x-thing"), "a, b")
            self.assertEqual([v for n, v in got.fields if n == "set-cookie"],
                             ["a=1; Path=/", "b=2"])

    def test_every_status_that_a_handler_may_give_arrives(self):
        for status in (200, 202, 206, 301, 302, 307, 400, 404, 418, 429, 451, 500, 503, 599):
            for got in self.both({"statusCode": status, "body": "b"}):
                self.assertEqual((got.status, got.body), (status, b"b"))
        for status in (204, 304):
            for got in self.both({"statusCode": status}):
                self.assertEqual(got.status, status)

    def test_a_base64_body_is_decoded(self):
        binary = bytes(range(256))
        whole = base64.b64encode(binary).decode()
        for body in (whole, whole[:76] + "\r\n" + whole[76:] + "\n"):
            for got in self.both({"statusCode": 200, "isBase64Encoded": True, "body": body,
                                  "headers": {"content-type": "image/png"}}):
                self.assertEqual((got.body, got.header("content-type")), (binary, "image/png"))

    def test_any_other_value_is_json(self):
        for value in ([1, 2], "text", None, 3.5, {"a": {"b": "é😀"}}, True):
            for got in self.both(value):
                self.assertEqual(json.loads(got.body), value)
                self.assertEqual(got.header("content-type"), "application/json")

    def test_no_header_of_a_handler_can_split_or_reframe_the_answer(self):
        for headers in ({"X-A": "b\r\nX-Injected: 1"}, {"X-A": "b\nX-Injected: 1"},
                        {"X-A\r\nX-Injected": "1"}, {"X-A: 1\r\nX-Injected": "1"}, {"X A": "1"},
                        {"": "1"}, {"X-A": "a\0b"}, {"X-A\r\n\r\nGET": "1"}):
            answer = {"statusCode": 200, "headers": headers, "body": "b"}
            for got in self.both(answer):
                self.assert_bad_reply(got, answer)
                self.assertIsNone(got.header("x-injected"))
        for cookie in ("a=1\r\nX-Injected: 1", "a\n"):
            answer = {"statusCode": 200, "cookies": [cookie]}
            for got in self.both(answer):
                self.assert_bad_reply(got, answer)

    def test_a_runtime_taken_over_cannot_split_the_answer_either(self):
        # Past the runtime's own checks, as code that writes to the channel itself would.
        hearth.python("forger", (
            "from hearth_runtime import web\n"
            "web._header = lambda name, value: (name, value)\n" + PYTHON_ANSWER))
        headers = {"X-A": "b\r\nX-Injected: 1", "X-B\r\nX-Injected": "1", "X-Good": "1",
                   "hEaRtH-Billed-Ms": "0", "Hearth-Own": "1"}
        body = json.dumps({"statusCode": 200, "headers": headers, "body": "b"}).encode()
        with Raw(hearth.port) as client:
            client.send(request("POST", "/fn/default/forger", body,
                                ["Content-Type: application/json"]))
            answer = client.answer()
            self.assertEqual((answer.status, answer.body), (200, b"b"))
            self.assertEqual(answer.header("x-good"), "1")
            for name in ("x-injected", "x-a", "x-b", "hearth-own"):
                self.assertIsNone(answer.header(name))
            self.assertNotEqual(answer.header("hearth-billed-ms"), "0")
            self.assertEqual(client.send(request("GET", "/healthz")).answer().body, b"ok\n")

    def test_headers_that_frame_or_bill_the_answer_stay_the_servers(self):
        lies = {"Content-Length": "1", "Transfer-Encoding": "chunked", "Connection": "close",
                "Hearth-Call-Id": "forged", "Hearth-Billed-Ms": "0", "Date": "never"}
        for got in self.both({"statusCode": 200, "headers": lies, "body": "whole"}):
            self.assertEqual(got.body, b"whole")
            self.assertEqual(got.header("content-length"), "5")
            for name in ("transfer-encoding", "connection"):
                self.assertIsNone(got.header(name))
            self.assertEqual(len(got.header("hearth-call-id")), 26)
            self.assertNotEqual(got.header("hearth-billed-ms"), "0")
            self.assertNotEqual(got.header("date"), "never")

    def test_answers_that_are_none_are_bad_replies(self):
        for answer in ({"statusCode": 99}, {"statusCode": "many"}, {"statusCode": 200, "body": {}},
                       {"statusCode": 200, "headers": ["x"]}, {"statusCode": 100},
                       {"statusCode": 200, "cookies": "a=1"},
                       {"statusCode": 200, "isBase64Encoded": True, "body": "!!"},
                       {"statusCode": 200, "headers": {"x": {}}}):
            for got in self.both(answer):
                self.assert_bad_reply(got, answer)

    def test_every_answer_tells_its_call_and_what_it_cost(self):
        status, headers, _ = curl("--data", "x", url("/fn/default/cat"))
        self.assertEqual(status, 200)
        record = json.loads(hearth.api("GET", f"/v1/calls/{headers['hearth-call-id'][0]}")[2])
        self.assertEqual(headers["hearth-start"][0], record["start"])
        self.assertEqual(int(headers["hearth-run-us"][0]), record["run_us"])
        self.assertEqual(int(headers["hearth-billed-ms"][0]), record["billed_ms"])
        self.assertEqual(int(headers["hearth-memory-peak"][0]), record["memory_peak_bytes"])
        self.assertEqual(int(headers["hearth-cpu-us"][0]),
                         record["cpu_user_us"] + record["cpu_system_us"])


if __name__ == "__main__":
    unittest.main()
