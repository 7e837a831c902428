# SPDX-License-Identifier: Apache-2.0
"""nodejs: nodejs_test.py BOOTSTRAP"""

import json
import os
import signal
import sys
import time

import support
from support import LAST_CALL, READY, REPLY

ECHO = "exports.handle = async (event) => event;\n"


class NodeTest(support.RuntimeTest):
    suffix = ".js"


class Loading(NodeTest):
    def fails(self, error_type, handler="app.handle"):
        process = self.start()
        meta = self.error(self.load(process, handler), "load_error", error_type)
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 1)
        self.assertIn(error_type.encode(), process.err.all())
        return meta

    def test_says_hello_with_its_version(self):
        process = support.start(self.argv)
        self.addCleanup(process.end)
        hello = process.channel.receive()
        self.assertEqual(hello.meta["runtime"], "nodejs")
        self.assertRegex(hello.meta["version"], r"^\d+\.\d+\.\d+$")

    def test_ends_when_no_load_comes(self):
        process = self.start()
        process.channel.socket.close()
        self.assertEqual(process.wait(), 0)

    def test_loads_every_kind_of_module(self):
        common = "exports.handle = async () => 'common ' + __filename.split('/').pop();\n"
        module = "export const handle = async () => 'es ' + import.meta.url.split('/').pop();\n"
        default = "export default { async handle() { return 'default'; } };\n"
        cases = [
            ({"a.js": common}, "a.handle", "common a.js"),
            ({"b.cjs": common}, "b.handle", "common b.cjs"),
            ({"c.mjs": module}, "c.handle", "es c.mjs"),
            ({"d/package.json": '{"type": "module"}', "d/d.js": module}, "d/d.handle", "es d.js"),
            ({"e/index.js": common}, "e.handle", "common index.js"),
            ({"f/index.mjs": module}, "f.handle", "es index.mjs"),
            ({"g.mjs": default}, "g.handle", "default"),
            ({"h.js": "exports.a = { b: async () => 'deep' };\n"}, "h.a.b", "deep"),
        ]
        for files, handler, wanted in cases:
            with self.subTest(handler):
                for name, text in files.items():
                    self.write(name, text)
                process = self.start()
                self.assertEqual(self.load(process, handler).type, READY)
                self.assertEqual(process.call_json(), wanted)

    def test_waits_for_a_module_that_awaits(self):
        self.write(
            "app.mjs",
            "const n = await new Promise((go) => setTimeout(go, 5, 7));\n"
            "export const handle = async () => n;\n",
        )
        process = self.start()
        self.assertEqual(self.load(process).type, READY)
        self.assertEqual(process.call_json(), 7)

    def test_names_a_missing_module(self):
        self.assertIn("'nothing'", self.fails("Runtime.ImportModuleError", "nothing.h")["message"])

    def test_names_a_module_that_the_module_misses(self):
        self.write("app.js", "require('not-there');\n")
        self.assertIn("not-there", self.fails("Runtime.ImportModuleError")["message"])
        self.write("es.mjs", "import 'not-there';\n")
        self.assertIn("not-there", self.fails("Runtime.ImportModuleError", "es.h")["message"])

    def test_shows_a_syntax_error(self):
        self.write("app.js", "const a = 1;\nexports.handle = (;\n")
        self.assertIn("app.js:2", self.fails("Runtime.UserCodeSyntaxError")["stack"])

    def test_names_a_missing_function(self):
        self.write("app.js", "exports.other = 1;\n")
        self.assertIn("handle", self.fails("Runtime.HandlerNotFound")["message"])
        self.write("num.js", "exports.handle = 1;\n")
        self.fails("Runtime.HandlerNotFound", "num.handle")

    def test_refuses_names_that_are_no_handler(self):
        for name in ("app", "", ".handle", "app.", "../x.handle"):
            with self.subTest(name):
                self.fails("Runtime.MalformedHandlerName", name)

    def test_passes_on_what_a_module_throws_with_user_frames_only(self):
        self.write("app.js", "function boom() { throw new RangeError('lost'); }\nboom();\n")
        meta = self.fails("RangeError")
        self.assertEqual(meta["message"], "lost")
        self.assertIn("at boom", meta["stack"])
        self.assertNotIn("load.cjs", meta["stack"])
        self.assertNotIn("node:internal", meta["stack"])

    def test_reports_a_module_that_exits_or_never_ends(self):
        self.write("app.js", "process.exit(5);\n")
        process = self.start()
        meta = self.error(self.load(process), "load_error", "Runtime.ExitError")
        self.assertIn("5", meta["message"])
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 5)
        self.write("es.mjs", "await new Promise(() => {});\n")
        process = self.start()
        self.error(self.load(process, "es.handle"), "load_error", "Runtime.ExitError")
        self.assertNotEqual(process.wait(), 0)

    def test_gives_environment_and_folder_before_user_code(self):
        process = self.loaded(
            "const seen = [process.env.COLOUR, process.cwd()];\n"
            "exports.handle = async () => seen;\n",
            env={"COLOUR": "blå"},
        )
        self.assertEqual(process.call_json(), ["blå", os.path.realpath(self.task)])

    def test_ends_with_an_error_on_what_is_no_frame(self):
        process = self.start()
        process.channel.send(support.LOAD, magic=0x12345678)
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)
        process = self.start()
        process.channel.send(support.CALL)  # out of turn
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)
        process = self.loaded(ECHO)
        process.channel.socket.sendall(b"HRTH\x04\0\0\0\x10\0\0\0")
        process.channel.socket.close()
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)


class Calling(NodeTest):
    def test_keeps_state_and_serves_until_the_last_call(self):
        process = self.loaded("let n = 0;\nexports.handle = async () => ++n;\n")
        self.assertEqual([process.call_json(call=i) for i in range(1, 6)], [1, 2, 3, 4, 5])
        self.assertEqual(process.call_json(call=2**40 + 7), 6)
        self.assertEqual(process.call_json(flags=LAST_CALL), 7)
        self.assertEqual(process.wait(), 0)

    def test_serves_one_call_when_a_call_needs_a_fresh_process(self):
        process = self.loaded(ECHO, mode="sandbox")
        self.assertEqual(process.call_json(1), 1)
        self.assertEqual(process.wait(), 0)

    def test_ends_at_the_end_of_the_channel(self):
        process = self.loaded(ECHO)
        self.assertEqual(process.call_json([1]), [1])
        process.channel.socket.close()
        self.assertEqual(process.wait(), 0)

    def test_answers_json(self):
        process = self.loaded(ECHO)
        self.assertEqual(process.call_json(), {})
        answer = process.call('{"é": [1, null]}'.encode())
        self.assertEqual(answer.pairs, [("content_type", "application/json")])
        self.assertEqual(answer.body, '{"é":[1,null]}'.encode())
        process = self.loaded("exports.handle = async () => {};\n")
        self.assertIsNone(process.call_json())

    def test_carries_six_mebibytes_both_ways(self):
        text = "".join(chr(0x20 + i % 0x50) for i in range(997)) * 6310
        body = json.dumps(text).encode()
        self.assertGreater(len(body), 6 << 20)
        self.assertEqual(json.loads(self.loaded(ECHO).call(body).body), text)

    def test_refuses_results_that_are_no_json(self):
        process = self.loaded("exports.handle = async (code) => eval(code);\n")
        for code in ("10n", "(() => { const a = []; a.push(a); return a; })()", "() => 1"):
            with self.subTest(code):
                answer = process.call(json.dumps(code).encode())
                self.error(answer, "bad_reply", "Runtime.MarshalError")
        self.assertEqual(process.call_json("1 + 1"), 2)

    def test_reports_a_body_that_is_no_json(self):
        process = self.loaded(ECHO)
        for body in (b"{", b'"\xff"'):
            self.error(process.call(body), "function_error", "Runtime.UnmarshalError")
        self.assertEqual(process.call_json(1), 1)

    def test_runs_callback_handlers(self):
        process = self.loaded(
            "exports.handle = (event, context, callback) => {\n"
            "  setTimeout(() => { callback(null, event); callback(null, 'twice'); }, 1);\n};\n"
        )
        self.assertEqual(process.call_json([1]), [1])
        process = self.loaded(
            "exports.handle = (event, context, callback) => callback(new TypeError('bad'));\n"
        )
        self.error(process.call(), "function_error", "TypeError")

    def test_a_callback_waits_for_the_event_loop_unless_told_not_to(self):
        program = (
            "exports.handle = (event, context, callback) => {\n"
            "  context.callbackWaitsForEmptyEventLoop = event;\n"
            "  const answer = { late: false };\n"
            "  setTimeout(() => { answer.late = true; }, 20);\n"
            "  callback(null, answer);\n};\n"
        )
        self.assertEqual(self.loaded(program).call_json(True), {"late": True})
        self.assertEqual(self.loaded(program).call_json(False), {"late": False})

    def test_runs_handlers_of_the_oldest_style(self):
        process = self.loaded(
            "exports.handle = (event, context) => {\n"
            "  setInterval(() => {}, 1000);\n"
            "  if (event === 1) context.succeed('yes');\n"
            "  if (event === 2) context.fail(new RangeError('no'));\n"
            "  if (event === 3) context.done(null, 'done');\n};\n"
        )
        self.assertEqual(process.call_json(1), "yes")
        self.error(process.call(b"2"), "function_error", "RangeError")
        self.assertEqual(process.call_json(3), "done")

    def test_answers_null_when_nothing_is_left_to_wait_for(self):
        process = self.loaded("exports.handle = (event) => { setTimeout(() => {}, 1); };\n")
        self.assertIsNone(process.call_json())
        self.assertIsNone(process.call_json())

    def test_reports_a_promise_that_can_never_settle(self):
        process = self.loaded("exports.handle = () => new Promise(() => {});\n")
        self.error(process.call(), "function_error", "Runtime.NeverSettled")
        self.error(process.call(), "function_error", "Runtime.NeverSettled")

    def test_gives_the_context_of_lambda(self):
        process = self.loaded(
            "exports.handle = async (event, c) => [c.awsRequestId, c.functionName,\n"
            "  c.functionVersion, c.memoryLimitInMB, c.invokedFunctionArn, c.logGroupName,\n"
            "  c.getRemainingTimeInMillis()];\n",
            env={
                "AWS_LAMBDA_FUNCTION_NAME": "thumb",
                "AWS_LAMBDA_FUNCTION_VERSION": "4",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            },
        )
        deadline = int(time.time() * 1000) + 60000
        seen = json.loads(process.call(b"", [("deadline_ms", str(deadline))]).body)
        arn = "arn:aws:lambda:local:000000000000:function:thumb"
        self.assertEqual(seen[:-1], ["req-1", "thumb", "4", "128", arn, "/aws/lambda/thumb"])
        self.assertTrue(0 < seen[-1] <= 60000, seen[-1])

    def test_reports_what_a_handler_throws(self):
        process = self.loaded(
            "class Odd extends Error {}\n"
            "const deep = () => { throw new Odd('w\\u00f6rd\\0end'); };\n"
            "exports.handle = (event) => {\n"
            "  if (event === 1) deep();\n  if (event === 2) throw 'text';\n"
            "  if (event === 3) throw null;\n"
            "  throw { get stack() { throw 1; }, get message() { throw 2; } };\n};\n"
        )
        meta = self.error(process.call(b"1"), "function_error", "Odd")
        self.assertEqual(meta["message"], "wörd\ufffdend")
        self.assertIn("at deep", meta["stack"])
        self.assertNotIn("call.cjs", meta["stack"])
        self.assertIn(b"[ERROR] Odd", process.err.now())
        meta = self.error(process.call(b"2"), "function_error", "string")
        self.assertEqual(meta["message"], "text")
        self.error(process.call(b"3"), "function_error", "object")
        self.error(process.call(b"4"), "function_error", "object")

    def test_reports_what_an_async_handler_rejects_with(self):
        process = self.loaded(
            "exports.handle = async (event) => {\n"
            "  await null;\n  throw new RangeError('x'.repeat(1 << 20));\n};\n"
        )
        meta = self.error(process.call(), "function_error", "RangeError")
        self.assertLessEqual(len(meta["message"]), 8192)
        self.assertLessEqual(len(meta["stack"]), 32768)

    def test_reports_what_nobody_caught(self):
        process = self.loaded(
            "exports.handle = (event, context, callback) => {\n"
            "  if (event === 1) setTimeout(() => { throw new RangeError('later'); }, 1);\n"
            "  else if (event === 2) Promise.reject(new RangeError('alone'));\n"
            "  else callback(null, 'fine');\n"
            "  setTimeout(() => {}, 50);\n};\n"
        )
        meta = self.error(process.call(b"1"), "function_error", "RangeError")
        self.assertIn("app.js:2", meta["stack"])
        answer = process.call(b"2")
        meta = self.error(answer, "function_error", "Runtime.UnhandledPromiseRejection")
        self.assertIn("alone", meta["message"])
        self.assertEqual(process.call_json(3), "fine")

    def test_blames_no_call_for_what_an_earlier_one_left(self):
        process = self.loaded(
            "exports.handle = async (event) => {\n"
            "  if (event === 1) process.nextTick(() => setImmediate(() => {\n"
            "    throw new RangeError('left over');\n  }));\n  return event;\n};\n"
        )
        self.assertEqual(process.call_json(1), 1)
        self.assertEqual(process.call_json(2), 2)
        self.assertEqual(process.call_json(3), 3)

    def test_runs_nothing_between_two_calls(self):
        process = self.loaded(
            "let n = 0;\n"
            "exports.handle = async () => { setInterval(() => { ++n; }, 1).unref(); return n; };\n"
        )
        process.call_json()
        time.sleep(0.1)
        self.assertLess(process.call_json(), 20)

    def test_reports_exits_and_dies_when_killed(self):
        process = self.loaded("exports.handle = async () => process.exit(3);\n")
        meta = self.error(process.call(), "function_error", "Runtime.ExitError")
        self.assertIn("3", meta["message"])
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 3)
        process = self.loaded("exports.handle = async () => process.kill(process.pid, 9);\n")
        self.assertIsNone(process.call())
        self.assertEqual(process.wait(), signal.SIGKILL)

    def test_has_the_whole_log_before_the_answer(self):
        process = self.loaded(
            "exports.handle = async () => {\n"
            "  console.log('%s is', 'this', { a: 1 });\n"
            "  console.error('error too');\n"
            "  process.stdout.write('x'.repeat(1000000));\n"
            "  process.stdout.write(Buffer.from([0xff, 0]));\n"
            "  process.stdout.write('end', () => {});\n};\n",
            mode="sandbox",
        )
        self.assertEqual(process.call().type, REPLY)
        wanted = b"this is { a: 1 }\n" + b"x" * 1000000 + b"\xff\0end"
        self.assertEqual(process.out.now(), wanted)
        self.assertEqual(process.err.now(), b"error too\n")
        self.assertEqual(process.wait(), 0)
        self.assertEqual(process.out.all(), wanted)

    def test_answers_though_a_handler_closed_its_output(self):
        process = self.loaded(
            "exports.handle = async () => {\n"
            "  process.stdout.end(); process.stderr.destroy(); console.log('lost');\n"
            "  require('fs').closeSync(2); console.error('lost'); return 1;\n};\n"
        )
        self.assertEqual(process.call_json(), 1)

    def test_does_not_pass_the_channel_on_to_programs(self):
        process = self.loaded(
            "const { execFileSync } = require('child_process');\n"
            "const script = 'readlink /proc/$$/fd/3 || echo none';\n"
            "exports.handle = async (event) => execFileSync('/bin/sh', ['-c', script],\n"
            "  event === 2 ? { stdio: ['ignore', 'pipe', 'ignore', 3] } : {}).toString();\n"
        )
        self.assertEqual(process.call_json(1), "none\n")
        self.assertIn("socket:", process.call_json(2))  # the twin: the probe sees what is passed on

    def test_ends_when_its_channel_is_closed_by_user_code(self):
        process = self.loaded("exports.handle = async () => require('fs').closeSync(3);\n")
        self.assertIsNone(process.call())
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)


if __name__ == "__main__":
    support.RuntimeTest.argv = ["/usr/bin/node", sys.argv[1]]
    support.main()
