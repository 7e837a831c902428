# SPDX-License-Identifier: Apache-2.0
"""Calls by CLI and HTTP in each runtime: what goes in, what comes out, how errors come back."""

import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import STAGE, Instance

# Written for AWS Lambda, with what such handlers use; nothing of Hearth in it.
LAMBDA_PYTHON = """
import base64
import json
import logging
import os

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event, context):
    if "requestContext" not in event:
        return {"statusCode": 200, "body": event.get("key", "")}
    logger.info("request of %s", event["requestContext"]["http"]["sourceIp"])
    body = event.get("body", "")
    if event["isBase64Encoded"]:
        body = base64.b64decode(body).hex()
    answer = {
        "event": {key: event.get(key) for key in ("version", "rawPath", "rawQueryString",
                  "queryStringParameters", "cookies", "routeKey")},
        "http": event["requestContext"]["http"],
        "header": event["headers"].get("x-shop"),
        "body": body,
        "same_id": context.aws_request_id == event["requestContext"]["requestId"],
        "function": [context.function_name, context.function_version, context.memory_limit_in_mb],
        "left": context.get_remaining_time_in_millis(),
        "environment": os.environ["AWS_LAMBDA_FUNCTION_NAME"],
    }
    return {"statusCode": 201, "headers": {"X-Answer": "yes"}, "cookies": ["a=b; Path=/", "c=d"],
            "body": json.dumps(answer)}
"""
LAMBDA_NODE = """
exports.handler = async (event, context) => {
  if (!event.requestContext) return {statusCode: 200, body: event.key};
  console.log("request of", event.requestContext.http.sourceIp);
  const body = event.isBase64Encoded
    ? Buffer.from(event.body, "base64").toString("hex") : (event.body ?? "");
  const {version, rawPath, rawQueryString, queryStringParameters, cookies, routeKey} = event;
  const answer = {
    event: {version, rawPath, rawQueryString, queryStringParameters, cookies, routeKey},
    http: event.requestContext.http,
    header: event.headers["x-shop"],
    body,
    same_id: context.awsRequestId === event.requestContext.requestId,
    function: [context.functionName, context.functionVersion, context.memoryLimitInMB],
    left: context.getRemainingTimeInMillis(),
    environment: process.env.AWS_LAMBDA_FUNCTION_NAME,
  };
  return {statusCode: 201, headers: {"X-Answer": "yes"}, cookies: ["a=b; Path=/", "c=d"],
          body: JSON.stringify(answer)};
};
"""
NATIVE = """
#include <hearth/hearth.h>
static int handle(const hearth_event *event, hearth_reply *reply) {
  if (event->size == 0) return hearth_fail(reply, "EmptyBody", "send some bytes");
  if (event->body[0] == '!') abort();
  hearth_content_type(reply, "text/x-reversed");
  for (size_t i = event->size; i > 0; --i) hearth_write(reply, event->body + i - 1, 1);
  return 0;
}
HEARTH_MAIN(handle)
"""
PYTHON_ERRORS = """
def deeper(event):
    raise KeyError("no such thing") from ValueError("boom")

def handle(event, context):
    print("before it fails")
    deeper(event)
"""
NODE_ERRORS = """
function deeper() { throw new RangeError("too far"); }
export const handle = async () => { await null; deeper(); };
"""
CGI = """
printf '%s|' "$REQUEST_METHOD" "$PATH_INFO" "$QUERY_STRING" "$CONTENT_LENGTH" "$CONTENT_TYPE"
printf '%s|' "$HTTP_X_SHOP" "${HTTP_PROXY-unset}" "$GREETING"
cat
"""
META_HEADERS = ("hearth-start", "hearth-run-us", "hearth-billed-ms", "hearth-cpu-us",
                "hearth-memory-peak")


def compile_native(source, *options):
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "program"
        subprocess.run(["gcc", "-x", "c", "-O1", *options, "-I", STAGE / "include", "-o", program,
                        "-"], input=source.encode(), check=True)
        return program.read_bytes()


class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)

    def error_of(self, answer, status, kind):
        got, headers, body = answer
        self.assertEqual(got, status, body)
        self.assertEqual(headers["content-type"], "application/json")
        error = json.loads(body)["error"]
        self.assertEqual(error["kind"], kind)
        self.assertEqual(error["call_id"], headers["hearth-call-id"])
        return error

    # Each runtime ------------------------------------------------------------------------------

    def check_lambda(self, name, memory):
        body, headers = b'{"amount": 3}', {"Content-Type": "application/json", "X-Shop": "one",
                                           "Cookie": "x=1; y=2", "User-Agent": "test"}
        status, got, answer = self.hearth.http(
            "POST", f"/fn/default/{name}/items/7?color=red&color=blue&empty=", body, headers)
        self.assertEqual(status, 201, answer)
        self.assertEqual(got["x-answer"], "yes")
        self.assertIn(got["set-cookie"], ("a=b; Path=/", "c=d"))
        answer = json.loads(answer)
        self.assertEqual(answer["event"], {
            "version": "2.0", "rawPath": "/items/7", "routeKey": "$default",
            "rawQueryString": "color=red&color=blue&empty=",
            "queryStringParameters": {"color": "red,blue", "empty": ""},
            "cookies": ["x=1", "y=2"]})
        self.assertEqual(answer["http"], {"method": "POST", "path": "/items/7",
                                          "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                                          "userAgent": "test"})
        self.assertEqual(answer["header"], "one")
        self.assertEqual(answer["body"], body.decode())
        self.assertTrue(answer["same_id"])
        self.assertEqual(answer["function"], [name, "1", str(memory)])
        self.assertEqual(answer["environment"], name)
        self.assertTrue(0 < answer["left"] <= 20_000, answer["left"])
        # Bytes that are no text arrive unharmed.
        raw = bytes(range(256))
        _, _, answer = self.hearth.http("PUT", f"/fn/default/{name}", raw,
                                        {"Content-Type": "image/png"})
        self.assertEqual(json.loads(answer)["body"], raw.hex())
        # By the command line the event is what the caller gives, and the answer is the value.
        done, record = self.hearth.invoke(name, b'{"key": "caf\\u00e9"}')
        self.assertEqual(json.loads(done.stdout), {"statusCode": 200, "body": "café"})
        self.assertEqual((record["trigger"], record["outcome"]), ("cli", "ok"))

    def test_python_handlers_of_aws_lambda_run_unchanged(self):
        self.hearth.function("lambda-py", "python3", "lambda_function.lambda_handler",
                             {"lambda_function.py": LAMBDA_PYTHON},
                             "memory_mb = 96\ntimeout_ms = 20000\n[http]\n")
        self.check_lambda("lambda-py", 96)

    def test_node_handlers_of_aws_lambda_run_unchanged(self):
        self.hearth.function("lambda-js", "nodejs", "index.handler", {"index.js": LAMBDA_NODE},
                             "memory_mb = 192\ntimeout_ms = 20000\n[http]\n")
        self.check_lambda("lambda-js", 192)

    def test_handlers_answer_with_base64_and_with_plain_values(self):
        self.hearth.python("values", "import base64\ndef handle(event, context):\n"
                           "  if event['rawPath'] == '/plain': return [1, 'two', None]\n"
                           "  return {'statusCode': 200, 'isBase64Encoded': True,"
                           " 'headers': {'content-type': 'image/gif'},"
                           " 'body': base64.b64encode(bytes(range(256))).decode()}\n")
        status, headers, body = self.hearth.http("GET", "/fn/default/values/plain")
        self.assertEqual((status, json.loads(body)), (200, [1, "two", None]))
        self.assertEqual(headers["content-type"], "application/json")
        status, headers, body = self.hearth.http("GET", "/fn/default/values")
        self.assertEqual((status, body), (200, bytes(range(256))))
        self.assertEqual(headers["content-type"], "image/gif")

    def test_exec_takes_the_body_on_stdin_and_answers_on_stdout(self):
        self.hearth.shell("upper", "tr a-z A-Z")
        self.assertEqual(self.hearth.invoke("upper", b"hello \xff\x00")[0].stdout,
                         b"HELLO \xff\x00")
        status, headers, body = self.hearth.http("POST", "/fn/default/upper", b"by http")
        self.assertEqual((status, body), (200, b"BY HTTP"))
        self.assertEqual(headers["content-type"], "application/octet-stream")

    def test_exec_with_http_env_finds_the_request_in_cgi_names(self):
        self.hearth.shell("cgi", CGI, '[env]\nGREETING = "hi"\n[exec]\nhttp_env = true\n[http]\n')
        status, _, body = self.hearth.http(
            "POST", "/fn/default/cgi/a/b?q=1", b"in",
            {"Content-Type": "text/x", "X-Shop": "one", "Proxy": "evil"})
        self.assertEqual((status, body), (200, b"POST|/a/b|q=1|2|text/x|one|unset|hi|in"))
        done, _ = self.hearth.invoke("cgi", b"by cli")
        self.assertEqual(done.stdout, b"||||||unset|hi|by cli")

    def test_native_functions_are_written_against_one_header(self):
        program = compile_native(NATIVE)
        self.hearth.function("reverse", "native", "reverse", {"reverse": (program, 0o755)})
        status, headers, body = self.hearth.http("POST", "/fn/default/reverse", b"abc\x00")
        self.assertEqual((status, body), (200, b"\x00cba"))
        self.assertEqual(headers["content-type"], "text/x-reversed")
        self.assertEqual(self.hearth.invoke("reverse", b"12")[0].stdout, b"21")
        error = self.error_of(self.hearth.http("POST", "/fn/default/reverse"), 502,
                              "function_error")
        self.assertEqual((error["type"], error["message"]), ("EmptyBody", "send some bytes"))
        error = self.error_of(self.hearth.http("POST", "/fn/default/reverse", b"!"), 502, "crashed")
        self.assertIn("SIGABRT", error["message"])

    def test_large_bodies_pass_both_ways_and_larger_ones_are_refused(self):
        self.hearth.shell("big", "cat", "timeout_ms = 60000\n[http]\n")
        body = bytes(range(256)) * (6 << 12)  # 6 MiB, the default bound
        status, headers, answer = self.hearth.http("POST", "/fn/default/big", body)
        self.assertEqual((status, len(answer)), (200, len(body)))
        self.assertEqual(answer, body)
        status, _, answer = self.hearth.http("POST", "/fn/default/big", body + b"1")
        error = json.loads(answer)["error"]
        self.assertEqual((status, error["kind"]), (413, "too_large"))
        self.assertEqual(error["value"], len(body))

    # Errors ------------------------------------------------------------------------------------

    def test_python_exceptions_come_back_with_type_message_and_stack(self):
        self.hearth.python("raises", PYTHON_ERRORS)
        error = self.error_of(self.hearth.http("GET", "/fn/default/raises"), 502, "function_error")
        self.assertEqual((error["type"], error["stage"]), ("KeyError", "run"))
        self.assertIn("no such thing", error["message"])
        self.assertIn('app.py", line 3, in deeper', error["stack"])
        self.assertIn("ValueError: boom", error["stack"])
        self.assertNotIn("hearth_runtime", error["stack"])
        done, record = self.hearth.invoke("raises", check=False)
        self.assertEqual((done.returncode, record["outcome"]), (1, "function_error"))
        self.assertIn(b"KeyError", done.stderr)
        self.assertIn(b"line 3, in deeper", done.stderr)

    def test_node_errors_come_back_with_type_message_and_stack(self):
        self.hearth.function("rejects", "nodejs", "app.handle", {"app.mjs": NODE_ERRORS})
        error = self.error_of(self.hearth.http("GET", "/fn/default/rejects"), 502,
                              "function_error")
        self.assertEqual((error["type"], error["message"]), ("RangeError", "too far"))
        self.assertIn("app.mjs:2", error["stack"])

    def test_exec_exit_status_is_an_error_with_the_tail_of_stderr(self):
        self.hearth.shell("exits", 'for i in $(seq 1 2000); do echo "line $i" >&2; done; exit 7')
        error = self.error_of(self.hearth.http("GET", "/fn/default/exits"), 502, "function_error")
        self.assertIn("status 7", error["message"])
        self.assertEqual(error["type"], "Exit7")
        self.assertTrue(error["stack"].endswith("line 1999\nline 2000\n"), error["stack"][-50:])
        self.assertLessEqual(len(error["stack"]), 4096)
        done, _ = self.hearth.invoke("exits", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"line 2000", done.stderr)

    def test_bad_json_is_refused_before_a_sandbox_is_asked(self):
        self.hearth.python("wants-json", "def handle(event, context): return event")
        for bad in (b"{", b'{"a": }', b"\xff", b"{} {}", b"nan", b'["\x01"]', b"[" * 2000):
            done, record = self.hearth.invoke("wants-json", bad, check=False)
            self.assertEqual((done.returncode, record), (3, None), bad)
            self.assertIn(b"not valid JSON", done.stderr)
            status, _, body = self.hearth.api(
                "POST", "/v1/tenants/default/functions/wants-json/invocations", bad)
            self.assertEqual((status, json.loads(body)["error"]["kind"]), (400, "bad_request"))
        self.assertEqual(self.hearth.calls(function="wants-json"), [])
        # The same probe finds records of calls that are none of these.
        self.assertEqual(self.hearth.invoke("wants-json", b"[1]")[0].stdout, b"[1]")
        self.assertEqual(self.hearth.invoke("wants-json", b"")[0].stdout, b"{}")
        self.assertEqual(len(self.hearth.calls(function="wants-json")), 2)

    def test_unknown_names_are_404_and_name_what_is_unknown(self):
        for path, what in (("/fn/default/nothing", "function"), ("/fn/nobody/nothing", "tenant")):
            error = self.error_of(self.hearth.http("GET", path), 404, "not_found")
            self.assertEqual((error["limit"], error["stage"]), (what, "lookup"))
        for path in ("/fn", "/fn/default", "/elsewhere", "/fn/default/../../v1/status"):
            status, _, body = self.hearth.http("GET", path)
            self.assertEqual((status, json.loads(body)["error"]["kind"]), (404, "not_found"), path)
        done, record = self.hearth.invoke("nothing", check=False)
        self.assertEqual((done.returncode, record), (3, None))
        done, _ = self.hearth.invoke("nothing", check=False, tenant="nobody")
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"no tenant 'nobody'", done.stderr)

    def test_a_function_without_http_section_has_no_http_trigger(self):
        self.hearth.shell("inside", "echo ok", extra="")
        self.error_of(self.hearth.http("GET", "/fn/default/inside"), 404, "not_found")
        self.assertEqual(self.hearth.invoke("inside")[0].stdout, b"ok\n")

    def test_methods_that_the_manifest_leaves_out_are_405(self):
        self.hearth.shell("posted", "echo ok", '[http]\nmethods = ["POST", "PUT"]\n')
        answer = self.hearth.http("GET", "/fn/default/posted")
        error = self.error_of(answer, 405, "method_not_allowed")
        self.assertEqual((error["limit"], error["value"]), ("http.methods", "POST, PUT"))
        self.assertEqual(answer[1]["allow"], "POST, PUT")
        self.assertEqual(self.hearth.http("PUT", "/fn/default/posted")[0], 200)
        self.assertEqual(len(self.hearth.calls(function="posted")), 1)

    def test_every_answer_has_its_id_and_after_a_run_its_figures(self):
        self.hearth.shell("figures", 'case "$(cat)" in fail) exit 1;; esac')
        for body, status in ((b"", 200), (b"fail", 502)):
            got, headers, _ = self.hearth.http("POST", "/fn/default/figures", body)
            self.assertEqual(got, status)
            record = json.loads(self.hearth.api("GET", "/v1/calls/" + headers["hearth-call-id"])[2])
            self.assertEqual([headers[name] for name in META_HEADERS], [
                record["start"], str(record["run_us"]), str(record["billed_ms"]),
                str(record["cpu_user_us"] + record["cpu_system_us"]),
                str(record["memory_peak_bytes"])])
            self.assertEqual(record["trigger"], "http")
        _, headers, _ = self.hearth.http("GET", "/fn/default/nothing")
        self.assertEqual(len(headers["hearth-call-id"]), 26)
        for name in META_HEADERS:
            self.assertNotIn(name, headers)

    def test_base64_of_an_event_that_is_text_by_its_type_but_no_utf8(self):
        self.hearth.python("bytes", "def handle(event, context):"
                           " return [event['body'], event['isBase64Encoded']]")
        _, _, body = self.hearth.http("POST", "/fn/default/bytes", b"\xff\xfe",
                                      {"Content-Type": "text/plain"})
        self.assertEqual(json.loads(body), [base64.b64encode(b"\xff\xfe").decode(), True])


if __name__ == "__main__":
    unittest.main()
