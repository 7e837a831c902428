# SPDX-License-Identifier: Apache-2.0
"""Calls and their logs: what goes up, what comes out, how it ends."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

from case import FUNCTIONS, HEARTH, RECORD, Case, error
from fake_hearthd import Answer


class Invoke(Case):
    PATH = FUNCTIONS + "/thumb/invocations"

    def test_the_answer_is_written_byte_for_byte(self):
        body = bytes(range(256)) * 40
        self.daemon.on("POST", self.PATH, Answer(body))
        result = self.hearth("invoke", "thumb")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, body, b""))
        self.assertEqual(self.last().body, b"")

    def test_data_as_it_stands(self):
        self.daemon.on("POST", self.PATH, Answer("1"))
        for data in ['{"a": [1, 2]}', "{}", "[]", "[1,2]", "", "-5", '"x"', "null", "a=b"]:
            with self.subTest(data):
                self.ok("invoke", "thumb", "--data", data)
                self.assertEqual(self.last().body, data.encode())
                self.assertEqual(self.last().headers["content-type"], "application/json")

    def test_data_from_a_file_and_from_stdin(self):
        self.daemon.on("POST", self.PATH, Answer("1"))
        body = os.urandom(300000)
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            self.ok("invoke", "thumb", "--data", "@" + file.name, "--type", "image/png")
            self.assertEqual(self.last().body, body)
            self.assertEqual(self.last().headers["content-type"], "image/png")
            with open(file.name, "rb") as stdin:
                stdin.seek(1000)
                subprocess.run(
                    [HEARTH, "--socket", self.daemon.socket, "invoke", "thumb", "--data", "-"],
                    stdin=stdin,
                    check=True,
                    capture_output=True,
                )
            self.assertEqual(self.last().body, body[1000:])
        self.ok("invoke", "thumb", "-d", "-", stdin=body)
        self.assertEqual(self.last().body, body)
        self.assertEqual(self.last().headers["transfer-encoding"], "chunked")

    def test_a_file_that_cannot_be_read_is_wrong_usage(self):
        self.assertIn(
            "cannot open '/nonexistent/x': No such file",
            self.fails(2, "invoke", "thumb", "--data", "@/nonexistent/x"),
        )
        self.assertIn("is a folder", self.fails(2, "invoke", "thumb", "--data", "@/"))
        self.assertEqual(self.daemon.asked, [])

    def test_the_record_is_one_line_on_stderr(self):
        self.daemon.on(
            "POST", self.PATH, Answer("ok", headers={"Hearth-Record": json.dumps(RECORD)})
        )
        result = self.hearth("invoke", "thumb", "--meter")
        self.assertEqual(result.stdout, b"ok")
        self.assertEqual(json.loads(result.stderr), RECORD)
        self.assertEqual(self.last().headers["hearth-want-record"], "1")
        self.ok("invoke", "thumb")
        self.assertNotIn("hearth-want-record", self.last().headers)

    def test_a_function_that_raised_shows_its_stack_and_still_its_record(self):
        answer = error(
            "function_error",
            "bad \x1b[31mcolour",
            502,
            type="ValueError",
            call_id=RECORD["id"],
            stack='Traceback:\n  File "app.py", line 3',
        )
        answer.headers["Hearth-Record"] = json.dumps(RECORD)
        self.daemon.on("POST", self.PATH, answer)
        result = self.hearth("invoke", "thumb", "--meter")
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        lines = result.stderr.decode().splitlines()
        self.assertEqual(json.loads(lines[0]), RECORD)
        self.assertEqual(
            lines[1:],
            [
                "error: function_error: ValueError: bad \\x1b[31mcolour [call %s]" % RECORD["id"],
                "Traceback:",
                '  File "app.py", line 3',
            ],
        )

    def test_exit_status_by_kind(self):
        kinds = {
            "function_error": (502, 1),
            "crashed": (502, 1),
            "out_of_memory": (502, 1),
            "bad_reply": (502, 1),
            "cpu_exceeded": (502, 1),
            "output_exceeded": (502, 1),
            "some_new_kind": (502, 1),
            "timeout": (504, 4),
            "some_new_timeout": (504, 4),
            "not_found": (404, 3),
            "bad_request": (400, 3),
            "too_large": (413, 3),
            "concurrency": (429, 3),
            "overloaded": (503, 3),
            "draining": (503, 3),
        }
        for kind, (http, status) in kinds.items():
            with self.subTest(kind):
                self.daemon.on("POST", self.PATH, error(kind, "why", http))
                self.assertIn(f"error: {kind}: why", self.fails(status, "invoke", "thumb"))

    def test_limits_values_and_what_to_do_are_in_the_line(self):
        self.daemon.on(
            "POST",
            self.PATH,
            error("timeout", "the call ran too long", 504, limit="timeout_ms", value=3000),
        )
        self.assertEqual(
            self.fails(4, "invoke", "thumb"),
            "error: timeout: the call ran too long (limit timeout_ms, "
            "value 3000); raise timeout_ms in function.toml",
        )
        answer = error("overloaded", "the queue is full", 503, limit="waiting_max", value=4096)
        answer.headers["Retry-After"] = "2"
        self.daemon.on("POST", self.PATH, answer)
        self.assertEqual(
            self.fails(3, "invoke", "thumb"),
            "error: overloaded: the queue is full (limit waiting_max, "
            "value 4096); try again in 2 s",
        )

    def test_what_the_message_says_is_not_said_twice(self):
        for message, limit, value, expected in [
            ("no function 'nope'", "function", "nope", "no function 'nope'"),
            ("too slow (timeout_ms = 3000)", "timeout_ms", 3000, "too slow (timeout_ms = 3000)"),
            ("128 are too many", "calls", 8, "128 are too many (limit calls, value 8)"),
        ]:
            self.daemon.on("POST", self.PATH, error("x", message, 404, limit=limit, value=value))
            self.assertEqual(self.fails(3, "invoke", "thumb"), "error: x: " + expected)

    def test_a_refusal_before_the_body_is_read_is_shown(self):
        answer = error(
            "too_large", "the event is too large", 413, limit="body_bytes_max", value=9 << 20
        )
        answer.before_body = True
        self.daemon.on("POST", self.PATH, answer)
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(9 << 20)
            line = self.fails(3, "invoke", "thumb", "--data", "@" + file.name)
        self.assertIn(
            "too_large: the event is too large (limit body_bytes_max, value 9437184)", line
        )
        self.assertIn(
            "too_large", self.fails(3, "invoke", "thumb", "--data", "-", stdin=b"x" * 200000)
        )

    def test_a_daemon_that_dies_in_the_answer_is_told_from_success(self):
        self.daemon.on("POST", self.PATH, Answer(b"x" * 1000, cut=100))
        result = self.hearth("invoke", "thumb")
        self.assertEqual((result.returncode, result.stdout), (3, b"x" * 100))
        self.assertIn(b"went away in the middle of its answer, after 100 bytes", result.stderr)

    def measured(self, *words):
        """(bytes on stdout, exit status, peak memory in KiB) of the program."""
        script = (
            "import resource, subprocess, sys\n"
            "p = subprocess.run(sys.argv[1:], capture_output=True)\n"
            "rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss; "
            "print(len(p.stdout), p.returncode, rss)"
        )
        command = [sys.executable, "-c", script, HEARTH, *words]
        result = subprocess.run(command, capture_output=True, timeout=60)
        return tuple(map(int, result.stdout.split()))

    def test_a_large_answer_streams(self):
        piece = os.urandom(1 << 20)
        self.daemon.on("POST", self.PATH, Answer(chunks=(piece for _ in range(100))))
        size, status, rss_kb = self.measured("--socket", self.daemon.socket, "invoke", "thumb")
        self.assertEqual((size, status), (100 << 20, 0))
        idle_kb = self.measured("--version")[2]  # 120 MB with AddressSanitizer
        self.assertLess(rss_kb - idle_kb, 40 << 10)

    def test_a_reader_that_leaves_is_no_error(self):
        self.daemon.on("POST", self.PATH, Answer(chunks=(b"y" * 65536 for _ in range(100))))
        process = subprocess.Popen(
            [HEARTH, "--socket", self.daemon.socket, "invoke", "thumb"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual((process.wait(30), process.stderr.read()), (0, b""))
        process.stderr.close()

    def test_a_full_disk_is_an_error(self):
        self.daemon.on("POST", self.PATH, Answer("x"))
        with open("/dev/full", "wb") as full:
            result = subprocess.run(
                [HEARTH, "--socket", self.daemon.socket, "invoke", "thumb"],
                stdout=full,
                stderr=subprocess.PIPE,
            )
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"cannot write the output: No space left on device", result.stderr)

    def test_on_a_terminal_the_prompt_starts_on_its_own_line(self):
        self.daemon.on("POST", self.PATH, Answer("42"))
        master, slave = os.openpty()
        subprocess.run(
            [HEARTH, "--socket", self.daemon.socket, "invoke", "thumb"], stdout=slave, check=True
        )
        os.close(slave)
        self.assertEqual(os.read(master, 100), b"42\r\n")
        os.close(master)


class Logs(Case):
    PATH = FUNCTIONS + "/thumb/logs"
    ENTRIES = [
        {
            "time": "2025-01-31T12:00:00.123456Z",
            "call": RECORD["id"],
            "stream": "stdout",
            "text": "hello",
        },
        {
            "time": "2025-01-31T12:00:01.000000Z",
            "call": RECORD["id"],
            "stream": "stderr",
            "text": "\x1b[2Jé\t!",
        },
    ]

    def ndjson(self):
        return "".join(json.dumps(entry) + "\n" for entry in self.ENTRIES)

    def test_lines_name_time_call_and_stream(self):
        self.daemon.on("GET", self.PATH, Answer(self.ndjson()))
        self.assertEqual(
            self.ok("logs", "thumb").splitlines(),
            [
                "2025-01-31 12:00:00.123  01JABCDEFGHJKMNPQRSTVWXYZ0  out       hello",
                "2025-01-31 12:00:01.000  01JABCDEFGHJKMNPQRSTVWXYZ0  err       \\x1b[2Jé\t!",
            ],
        )
        self.ok("logs", "thumb", "--call", RECORD["id"], "--limit", "5")
        self.assertEqual(self.last().path, self.PATH + "?call=%s&limit=5" % RECORD["id"])

    def test_json_is_an_array_and_lines_when_followed(self):
        self.daemon.on("GET", self.PATH, Answer(self.ndjson()))
        self.assertEqual(json.loads(self.ok("logs", "thumb", "--json")), self.ENTRIES)
        lines = self.ok("logs", "thumb", "--json", "--follow").splitlines()
        self.assertEqual([json.loads(line) for line in lines], self.ENTRIES)
        self.daemon.on("GET", self.PATH, Answer(""))
        self.assertEqual(self.ok("logs", "thumb", "--json"), "[]\n")

    def test_followed_lines_come_at_once(self):
        release = threading.Event()

        def chunks():
            yield (json.dumps(self.ENTRIES[0]) + "\n").encode()
            release.wait(20)

        self.daemon.on("GET", self.PATH, Answer(chunks=chunks()))
        process = subprocess.Popen(
            [HEARTH, "--socket", self.daemon.socket, "logs", "thumb", "-f"], stdout=subprocess.PIPE
        )
        self.assertIn(b"hello", process.stdout.readline())
        self.assertIsNone(process.poll())
        release.set()
        self.assertEqual(process.wait(10), 0)
        process.stdout.close()
        self.assertIn("follow=1", self.last().path)


if __name__ == "__main__":
    unittest.main()
