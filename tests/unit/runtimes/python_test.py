# SPDX-License-Identifier: Apache-2.0
"""python3, loading and calling: python_test.py BOOTSTRAP"""

import json
import os
import signal
import sys
import time

import support
from support import LAST_CALL, READY, REPLY

ECHO = "def handle(event, context):\n    return event\n"


class Loading(support.RuntimeTest):
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
        self.assertEqual(hello.meta["runtime"], "python3")
        self.assertRegex(hello.meta["version"], r"^3\.\d+\.\d+$")

    def test_ends_when_no_load_comes(self):
        process = self.start()
        process.channel.socket.close()
        self.assertEqual(process.wait(), 0)

    def test_names_a_missing_module(self):
        meta = self.fails("Runtime.ImportModuleError", "nothing.handle")
        self.assertIn("No module named 'nothing'", meta["message"])

    def test_names_a_module_that_the_module_misses(self):
        self.write("app.py", "import not_there\n")
        meta = self.fails("Runtime.ImportModuleError")
        self.assertIn("not_there", meta["message"])
        self.assertIn('app.py", line 1', meta["stack"])

    def test_shows_the_line_of_a_syntax_error(self):
        self.write("app.py", "x = 1\ndef handle(:\n")
        meta = self.fails("Runtime.UserCodeSyntaxError")
        self.assertIn("line 2", meta["message"])
        self.assertIn("def handle(:", meta["stack"])

    def test_names_a_missing_function(self):
        self.write("app.py", "x = 1\n")
        meta = self.fails("Runtime.HandlerNotFound")
        self.assertEqual(meta["message"], "Handler 'handle' missing on module 'app'")

    def test_refuses_a_handler_that_cannot_be_called(self):
        self.write("app.py", "handle = 7\n")
        self.fails("Runtime.HandlerNotFound")

    def test_refuses_names_that_are_no_handler(self):
        for name in ("app", "", ".", ".handle", "app.", "a//b.handle", "/app.handle"):
            with self.subTest(name):
                self.fails("Runtime.MalformedHandlerName", name)

    def test_passes_on_an_exception_at_import_with_user_frames_only(self):
        self.write("app.py", "def boom():\n    raise KeyError('lost')\nboom()\n")
        meta = self.fails("KeyError")
        self.assertEqual(meta["message"], "'lost'")
        self.assertIn("raise KeyError('lost')", meta["stack"])
        self.assertNotIn("hearth_runtime", meta["stack"])
        self.assertNotIn("importlib", meta["stack"])

    def test_reports_a_module_that_exits(self):
        self.write("app.py", "import sys\nsys.exit(5)\n")
        self.assertIn("5", self.fails("SystemExit")["message"])

    def test_just_ends_when_a_module_kills_the_process(self):
        self.write("app.py", "import os\nos._exit(9)\n")
        process = self.start()
        self.assertIsNone(self.load(process))
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 9)

    def test_loads_modules_in_packages_by_dots_and_slashes(self):
        self.write("pkg/__init__.py", "")
        self.write("pkg/mod.py", "def run(e, c):\n    return __name__\n")
        for name in ("pkg.mod.run", "pkg/mod.run"):
            process = self.start()
            self.assertEqual(self.load(process, name).type, READY)
            self.assertEqual(process.call_json(), "pkg.mod")

    def test_reports_a_missing_task_folder(self):
        self.task += "/missing"
        process = self.start()
        try:
            self.error(self.load(process), "load_error", "Runtime.InvalidTaskDir")
        finally:
            self.task = os.path.dirname(self.task)

    def test_gives_environment_folder_and_limits_before_user_code(self):
        process = self.loaded(
            "import os, resource, sys, time\n"
            "seen = [os.environ['COLOUR'], os.getcwd(), sys.path[0], time.tzname[0],\n"
            "        resource.getrlimit(resource.RLIMIT_NPROC), 'HEARTH_ROLE' in os.environ,\n"
            "        sys.path[1], [m for m in sys.path if 'hearth' in m and 'task' not in m]]\n"
            "def handle(event, context):\n    return seen\n",
            env={"COLOUR": "blå", "TZ": "XYZ-3", "PYTHONPATH": self.task + "/lib"},
            processes_max="17",
        )
        real = os.path.realpath(self.task)
        wanted = ["blå", real, self.task, "XYZ", [17, 17], False, self.task + "/lib", []]
        self.assertEqual(process.call_json(), wanted)

    def test_ends_with_an_error_on_what_is_no_frame(self):
        process = self.start()
        process.channel.send(support.LOAD, magic=0x12345678)
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)
        process = self.start()
        process.channel.send(support.CALL)  # out of turn
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)

    def test_ends_with_an_error_when_the_channel_ends_inside_a_frame(self):
        process = self.start()
        process.channel.socket.sendall(b"HRTH\x02\0\0\0\x10\0\0\0")
        process.channel.socket.close()
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)


class Calling(support.RuntimeTest):
    def test_keeps_state_and_serves_until_the_last_call(self):
        process = self.loaded(
            "n = 0\ndef handle(event, context):\n    global n\n    n += 1\n    return n\n"
        )
        self.assertEqual([process.call_json(call=i) for i in range(1, 6)], [1, 2, 3, 4, 5])
        self.assertEqual(process.call_json(flags=LAST_CALL), 6)
        self.assertEqual(process.wait(), 0)

    def test_ends_at_the_end_of_the_channel(self):
        process = self.loaded(ECHO)
        self.assertEqual(process.call_json([1]), [1])
        process.channel.socket.close()
        self.assertEqual(process.wait(), 0)

    def test_gives_an_empty_event_for_an_empty_body(self):
        self.assertEqual(self.loaded(ECHO).call_json(), {})

    def test_answers_json(self):
        answer = self.loaded(ECHO).call('{"é": [1, null, "\\ud800"]}'.encode())
        self.assertEqual(answer.pairs, [("content_type", "application/json")])
        self.assertEqual(json.loads(answer.body), {"é": [1, None, "\ud800"]})
        answer = self.loaded("def handle(e, c):\n    return {'é': 1}\n").call()
        self.assertEqual(answer.body, '{"é": 1}'.encode())

    def test_carries_six_mebibytes_both_ways(self):
        text = "".join(chr(0x20 + i % 0x50) for i in range(997)) * 6310
        body = json.dumps(text).encode()
        self.assertGreater(len(body), 6 << 20)
        answer = self.loaded(ECHO).call(body)
        self.assertEqual(json.loads(answer.body), text)

    def test_answers_decimals_as_numbers(self):
        process = self.loaded(
            "from decimal import Decimal\n"
            "def handle(e, c):\n    return [Decimal('1.5'), Decimal('12345678901234567890')]\n"
        )
        self.assertEqual(process.call_json(), [1.5, 12345678901234567890])

    def test_refuses_results_that_are_no_json(self):
        cases = {
            "b'bytes'": "bytes",
            "{1, 2}": "set",
            "float('nan')": "JSON",
            "(lambda x: (x.append(x), x)[1])([])": "Circular",
            "{(1, 2): 3}": "keys",
            "object()": "object",
        }
        process = self.loaded("def handle(event, context):\n    return eval(event)\n")
        for expression, wanted in cases.items():
            with self.subTest(expression):
                answer = process.call(json.dumps(expression).encode())
                meta = self.error(answer, "bad_reply", "Runtime.MarshalError")
                self.assertIn(wanted, meta["message"])
        self.assertEqual(process.call_json("1 + 1"), 2)

    def test_refuses_a_result_that_raises_when_it_is_read(self):
        process = self.loaded(
            "class D(dict):\n"
            "    def __contains__(self, key):\n        raise RuntimeError('no')\n"
            "class Key:\n"
            "    def __hash__(self):\n        return hash('statusCode')\n"
            "    def __eq__(self, other):\n        raise RuntimeError('no')\n"
            "def handle(event, context):\n"
            "    return {Key(): 1} if event['rawPath'] == '/key' else D()\n"
        )
        self.error(process.http(), "bad_reply", "Runtime.MarshalError")
        self.error(process.http(path="/key"), "bad_reply", "Runtime.MarshalError")

    def test_reports_a_body_that_is_no_json(self):
        process = self.loaded(ECHO)
        for body in (b"{", b"\xff\xfe\xfd", b"[" * 100000):
            self.error(process.call(body), "function_error", "Runtime.UnmarshalError")
        self.assertEqual(process.call_json(1), 1)

    def test_reports_what_a_handler_raises(self):
        process = self.loaded(
            "class Odd(Exception):\n    pass\n"
            "def deep():\n    raise Odd('wörd\\0end')\n"
            "def handle(event, context):\n    deep()\n"
        )
        meta = self.error(process.call(), "function_error", "Odd")
        self.assertEqual(meta["message"], "wörd\ufffdend")
        self.assertIn("in deep", meta["stack"])
        self.assertIn("app.py", meta["stack"])
        self.assertNotIn("call.py", meta["stack"])
        self.assertIn(b"[ERROR] Odd", process.err.now())
        self.error(process.call(), "function_error", "Odd")

    def test_shows_the_cause_of_an_exception(self):
        process = self.loaded(
            "def handle(event, context):\n"
            "    try:\n        {}['a']\n"
            "    except KeyError as e:\n        raise ValueError('b') from e\n"
        )
        meta = self.error(process.call(), "function_error", "ValueError")
        self.assertIn("KeyError: 'a'", meta["stack"])
        self.assertIn("direct cause", meta["stack"])

    def test_bounds_what_an_exception_says(self):
        process = self.loaded(
            "def again(n):\n    return again(n + 1) + again(n - 1)\n"
            "def handle(event, context):\n"
            "    if event:\n        raise ValueError('é' * (1 << 20))\n    again(0)\n"
        )
        meta = self.error(process.call(b"1"), "function_error", "ValueError")
        self.assertLessEqual(len(meta["message"].encode()), 8192)
        self.assertLessEqual(len(meta["stack"].encode()), 32768)
        meta = self.error(process.call(), "function_error", "RecursionError")
        self.assertLessEqual(len(meta["stack"].encode()), 32768)

    def test_survives_an_exception_without_text(self):
        process = self.loaded(
            "class Bad(Exception):\n    def __str__(self):\n        raise ValueError('x')\n"
            "def handle(event, context):\n    raise Bad()\n"
        )
        self.error(process.call(), "function_error", "Bad")
        self.error(process.call(), "function_error", "Bad")

    def test_reports_exits_and_dies_when_killed(self):
        process = self.loaded(
            "import os, sys\n"
            "def handle(event, context):\n    sys.exit(3) if event == 1 else os._exit(4)\n"
        )
        meta = self.error(process.call(b"1"), "function_error", "SystemExit")
        self.assertIn("Runtime.ExitError", meta["message"])
        self.assertIsNone(process.call(b"2"))
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 4)

    def test_dies_of_a_crash(self):
        process = self.loaded(
            "import os, signal\n"
            "def handle(event, context):\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
        )
        self.assertIsNone(process.call())
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), -signal.SIGSEGV)

    def test_runs_async_handlers(self):
        process = self.loaded(
            "import asyncio\n"
            "async def handle(event, context):\n    await asyncio.sleep(0)\n    return 'late'\n"
        )
        self.assertEqual(process.call_json(), "late")

    def test_gives_the_context_of_lambda(self):
        process = self.loaded(
            "def handle(event, context):\n"
            "    assert 'aws_request_id' in repr(context)\n"
            "    context.log('logged')\n"
            "    return [context.aws_request_id, context.function_name,\n"
            "            context.function_version, context.memory_limit_in_mb,\n"
            "            context.invoked_function_arn, context.log_group_name,\n"
            "            context.identity, context.client_context,\n"
            "            context.get_remaining_time_in_millis()]\n",
            env={
                "AWS_LAMBDA_FUNCTION_NAME": "thumb",
                "AWS_LAMBDA_FUNCTION_VERSION": "4",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            },
        )
        deadline = int(time.time() * 1000) + 60000
        answer = process.call(b"", [("deadline_ms", str(deadline))])
        seen = json.loads(answer.body)
        arn = "arn:aws:lambda:local:000000000000:function:thumb"
        wanted = ["req-1", "thumb", "4", "128", arn, "/aws/lambda/thumb", None, None]
        self.assertEqual(seen[:-1], wanted)
        self.assertTrue(0 < seen[-1] <= 60000, seen[-1])
        self.assertEqual(json.loads(process.call().body)[-1], 0)
        self.assertIn(b"logged", process.out.now())

    def test_has_the_whole_log_before_the_answer(self):
        process = self.loaded(
            "import ctypes, sys\n"
            "def handle(event, context):\n"
            "    ctypes.CDLL(None).puts(b'from C')\n"
            "    sys.stdout.write('no line end \\udc80')\n"
            "    sys.stderr.write('error too')\n"
            "    print('x' * 300000)\n"
            "    sys.stdout.write('end')\n"
        )
        self.assertEqual(process.call().type, REPLY)
        out = process.out.now()
        self.assertIn(b"no line end \\udc80" + b"x" * 300000 + b"\nend", out)
        self.assertIn(b"from C\n", out)
        self.assertEqual(process.err.now(), b"error too")

    def test_keeps_lines_printed_before_a_crash(self):
        process = self.loaded(
            "import os\ndef handle(event, context):\n    print('last words')\n    os._exit(1)\n"
        )
        self.assertIsNone(process.call())
        process.wait()
        self.assertEqual(process.out.all(), b"last words\n")

    def test_answers_though_a_handler_closed_its_output(self):
        process = self.loaded(
            "import sys\ndef handle(event, context):\n"
            "    sys.stdout.close()\n    sys.stderr = None\n    return 1\n"
        )
        self.assertEqual(process.call_json(), 1)

    def test_logs_as_lambda_does(self):
        process = self.loaded(
            "import logging\n"
            "logger = logging.getLogger()\nlogger.setLevel(logging.INFO)\n"
            "logger.info('at import')\n"
            "def handle(event, context):\n"
            "    logger.info('called %s', event)\n    logger.debug('unseen')\n"
        )
        process.call(b"7")
        out = process.out.now().decode()
        time_text = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        self.assertRegex(out, rf"(?m)^\[INFO\]\t{time_text}\treq-1\tcalled 7$")
        self.assertRegex(out, rf"(?m)^\[INFO\]\t{time_text}\t\tat import$")
        self.assertNotIn("unseen", out)

    def test_does_not_pass_the_channel_on_to_programs(self):
        process = self.loaded(
            "import os, subprocess\n"
            "def handle(event, context):\n"
            "    if event == 2:\n        os.set_inheritable(3, True)\n"
            "    return subprocess.run(['/bin/ls', '-l', '/proc/self/fd'], capture_output=True,\n"
            "                          close_fds=False).stdout.decode()\n"
        )
        self.assertNotIn("socket:", process.call_json(1))
        self.assertIn("socket:", process.call_json(2))  # the twin: the probe sees what is passed on

    def test_serves_on_a_channel_that_user_code_made_non_blocking(self):
        process = self.loaded(
            "import os\ndef handle(event, context):\n"
            "    os.set_blocking(3, False)\n    return 'x' * event\n"
        )
        for _ in range(3):
            self.assertEqual(len(process.call_json(3 << 20)), 3 << 20)

    def test_serves_while_threads_of_the_function_run(self):
        process = self.loaded(
            "import threading, time\n"
            "def spin():\n    while True:\n        time.sleep(0.0001)\n"
            "threading.Thread(target=spin).start()\n" + ECHO
        )
        for i in range(20):
            self.assertEqual(process.call_json(i), i)
        process.channel.socket.close()
        self.assertEqual(process.wait(), 0)  # and the thread does not keep it alive

    def test_a_forged_frame_is_only_bytes(self):
        process = self.loaded(
            "import os\ndef handle(event, context):\n    os.write(3, b'garbage' * 4)\n"
        )
        process.channel.send(support.CALL, [("request_id", "r"), ("deadline_ms", "0")], b"", 1)
        self.assertEqual(process.channel.socket.recv(28), b"garbage" * 4)


if __name__ == "__main__":
    here = sys.argv[1]
    support.RuntimeTest.argv = ["/usr/bin/python3", "-I", here]
    support.main()
