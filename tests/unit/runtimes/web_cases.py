# SPDX-License-Identifier: Apache-2.0
"""Calls by HTTP, the same for every runtime that has events: payload format 2.0, both ways."""

import base64
import json

import support
from support import REPLY


class WebTest(support.RuntimeTest):
    program = None  # echoes the event at /echo, else answers with what the body says
    _text = ("content-type", "text/plain; charset=utf-8")

    def echo(self, body=b"", headers=(), **meta):
        answer = self.loaded(self.program).http(body, headers, path="/echo", **meta)
        self.assertEqual(answer.type, REPLY, answer)
        self.assertEqual(
            answer.pairs, [("status", "200"), ("content_type", "application/json")]
        )
        return json.loads(answer.body)

    def answer(self, result, process=None):
        """What the function answers with when it returns `result`."""
        process = process or self.loaded(self.program)
        return process.http(json.dumps(result).encode(), [("content-type", "application/json")])

    def refused(self, result, process=None):
        meta = self.error(self.answer(result, process), "bad_reply", "Runtime.BadReply")
        return meta["message"]

    def test_builds_the_event_of_format_2_0(self):
        headers = [
            ("host", "fn.example.org"),
            ("x-multi", "a"),
            ("x-multi", "b"),
            ("user-agent", "curl/7"),
            ("cookie", "k1=v1; k2=v2"),
            ("cookie", "k3=v3"),
            self._text,
        ]
        event = self.echo(
            "naïve".encode(), headers, query="a=1&b=x%20y&a=2&empty=&plus=x+y", method="PUT"
        )
        context = event.pop("requestContext")
        self.assertEqual(
            event,
            {
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": "/echo",
                "rawQueryString": "a=1&b=x%20y&a=2&empty=&plus=x+y",
                "cookies": ["k1=v1", "k2=v2", "k3=v3"],
                "headers": {
                    "host": "fn.example.org",
                    "x-multi": "a,b",
                    "user-agent": "curl/7",
                    "cookie": "k1=v1; k2=v2; k3=v3",
                    "content-type": "text/plain; charset=utf-8",
                },
                "queryStringParameters": {"a": "1,2", "b": "x y", "empty": "", "plus": "x y"},
                "body": "naïve",
                "isBase64Encoded": False,
            },
        )
        self.assertEqual(
            context.pop("http"),
            {
                "method": "PUT",
                "path": "/echo",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7",
                "userAgent": "curl/7",
            },
        )
        self.assertEqual(
            context,
            {
                "accountId": "anonymous",
                "apiId": "",
                "domainName": "fn.example.org",
                "domainPrefix": "fn",
                "requestId": "req-1",
                "routeKey": "$default",
                "stage": "$default",
                "time": "04/Mar/2020:19:03:58 +0000",
                "timeEpoch": 1583348638390,
            },
        )

    def test_leaves_out_what_a_request_lacks(self):
        event = self.echo(method="GET")
        for name in ("body", "cookies", "queryStringParameters"):
            self.assertNotIn(name, event)
        self.assertEqual((event["rawQueryString"], event["headers"]), ("", {}))
        self.assertIs(event["isBase64Encoded"], False)

    def test_gives_text_as_text_and_the_rest_as_base64(self):
        process = self.loaded(self.program)
        texts = [
            "text/html",
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "application/xml",
            "image/svg+xml",
            "application/javascript",
            "application/x-www-form-urlencoded",
        ]
        binaries = ["image/png", "application/octet-stream", "application/jsonish", ""]
        for content_type in texts + binaries:
            with self.subTest(content_type):
                headers = [("content-type", content_type)]
                event = json.loads(process.http("é".encode(), headers, path="/echo").body)
                wanted = ("é", False) if content_type in texts else ("w6k=", True)
                self.assertEqual((event["body"], event["isBase64Encoded"]), wanted)
        event = json.loads(process.http(b"\xe9\xff", [self._text], path="/echo").body)
        self.assertEqual((event["body"], event["isBase64Encoded"]), ("6f8=", True))

    def test_reads_old_clients_headers_as_latin_1(self):
        headers = [("x-old", b"caf\xe9"), ("x-new", "café"), ("__proto__", "odd"),
                   ("__proto__", "twice")]
        event = self.echo(b"", headers)
        self.assertEqual(
            event["headers"], {"x-old": "café", "x-new": "café", "__proto__": "odd,twice"}
        )

    def test_carries_six_mebibytes_of_bytes_both_ways(self):
        body = bytes(range(256)) * (6 << 12)
        event = self.echo(body, [("content-type", "application/octet-stream")])
        self.assertEqual(base64.b64decode(event["body"]), body)
        answer = self.answer(
            {
                "statusCode": 200,
                "isBase64Encoded": True,
                "body": base64.b64encode(body).decode(),
            }
        )
        self.assertEqual(answer.body, body)

    def test_answers_any_json_value(self):
        process = self.loaded(self.program)
        for value in ({"a": 1}, [1, "é"], "text", 0, None, False):
            with self.subTest(value):
                answer = self.answer(value, process)
                self.assertEqual(answer.meta["status"], "200")
                self.assertEqual(answer.meta["content_type"], "application/json")
                self.assertEqual(json.loads(answer.body), value)

    def test_answers_with_status_headers_and_cookies(self):
        answer = self.answer(
            {
                "statusCode": 201,
                "headers": {"Content-Type": "text/plain", "X-Number": 5, "X-Yes": True},
                "multiValueHeaders": {"x-two": ["1", "é"]},
                "cookies": ["a=1; Secure", "b=2"],
                "body": "hellö",
            }
        )
        self.assertEqual(answer.type, REPLY, answer)
        self.assertEqual(
            sorted(answer.pairs),
            [
                ("content_type", "text/plain"),
                ("h:set-cookie", "a=1; Secure"),
                ("h:set-cookie", "b=2"),
                ("h:x-number", "5"),
                ("h:x-two", "1"),
                ("h:x-two", "é"),
                ("h:x-yes", "true"),
                ("status", "201"),
            ],
        )
        self.assertEqual(answer.body.decode(), "hellö")

    def test_answers_without_body_or_headers(self):
        for result in ({"statusCode": 204}, {"statusCode": "204", "body": None, "headers": None}):
            answer = self.answer(result)
            self.assertEqual((answer.meta["status"], answer.body), ("204", b""))

    def test_refuses_what_is_no_answer(self):
        process = self.loaded(self.program)
        long = {f"x-{i}": "v" * 1000 for i in range(70)}
        cases = {
            "statusCode": [{"statusCode": code} for code in (199, 600, "2x0", None, 200.5, [])],
            "header": [
                {"statusCode": 200, "headers": headers}
                for headers in (
                    {"a b": "1"},
                    {"": "1"},
                    {"x\0y": "1"},
                    {"x": "a\r\nset-cookie: b"},
                    {"x": "a\0h:y"},
                    {"x": {"y": 1}},
                    {"x": None},
                    ["a"],
                    long,
                )
            ],
            "cookie": [
                {"statusCode": 200, "cookies": cookies} for cookies in ("a=1", ["a\nb"], [1, {}])
            ],
            "body": [
                {"statusCode": 200, "body": {"not": "text"}},
                {"statusCode": 200, "body": "#é", "isBase64Encoded": True},
            ],
        }
        for word, results in cases.items():
            for result in results:
                with self.subTest(str(result)[:80]):
                    self.assertIn(word, self.refused(result, process))
        self.assertEqual(self.answer({"statusCode": 200}, process).type, REPLY)
