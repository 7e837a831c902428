# SPDX-License-Identifier: Apache-2.0
"""Programs that use the native header: native_test.py PROGRAM-IN-C PROGRAM-IN-C++ ECHO"""

import os
import signal
import sys
import time

import support
from support import CALL, LAST_CALL, LOAD, READY, REPLY


class NativeTest(support.RuntimeTest):
    programs = None
    echo = None

    def loaded_with(self, program, **env):
        process = support.start([program])
        self.addCleanup(process.end)
        hello = process.channel.receive()
        self.assertEqual(hello.pairs, [("runtime", "native"), ("version", "1")])
        ready = self.load(process, "bin/thing", env=env)
        self.assertEqual((ready.type, ready.pairs), (READY, [("fork", "0")]))
        return process

    def each(self, **env):
        for program in self.programs:
            yield self.loaded_with(program, **env)

    def test_answers_with_status_type_and_bytes(self):
        for process in self.each():
            answer = process.call(b"\0binary\xff")
            self.assertEqual((answer.type, answer.body), (REPLY, b"\0binary\xff"))
            wanted = [("status", "200"), ("content_type", "application/octet-stream")]
            self.assertEqual(answer.pairs, wanted)
            self.assertEqual(process.call(path="empty").body, b"")

    def test_serves_until_the_last_call_or_the_end(self):
        for process in self.each():
            for i in range(100):
                self.assertEqual(process.call(b"%d" % i, call=i).body, b"%d" % i)
            self.assertEqual(process.call(b"end", flags=LAST_CALL).body, b"end")
            self.assertEqual(process.wait(), 0)
        process = self.loaded_with(self.echo)
        process.channel.socket.close()
        self.assertEqual(process.wait(), 0)

    def test_carries_six_mebibytes_both_ways_between_small_calls(self):
        big = os.urandom(6 << 20)
        for process in self.each():
            for body in (big, b"small", big + b"1", b""):
                self.assertEqual(process.call(body).body, body)
            self.assertEqual(process.call(big, path="copy").body, big + b"+")

    def test_gives_the_call_to_the_handler(self):
        for process in self.each(GREETING="hej"):
            answer = process.call(path="show", pairs=[("h:x-some", "v1"), ("h:x-some", "v2")])
            self.assertEqual(answer.body, b"hej from bin/thing|req-1|v1|1|never\0")
            self.assertEqual(answer.meta["content_type"], "text/plain")
            for offset, word in ((-1000, b"now"), (60000, b"later")):
                deadline = str(int(time.time() * 1000) + offset)
                pairs = [("deadline_ms", deadline)]
                process.channel.send(CALL, [("path", "show")] + pairs, b"", 1)
                self.assertEqual(process.channel.receive().body.split(b"|")[-1], word + b"\0")

    def test_sends_status_and_headers(self):
        for process in self.each():
            answer = process.call(b"404", path="fields")
            self.assertEqual(
                answer.pairs,
                [
                    ("h:x-upper", "one"),
                    ("h:set-cookie", "a=b"),
                    ("status", "404"),
                    ("content_type", "text/x"),
                ],
            )
            # Nothing of it stays for the next call.
            self.assertEqual(process.call(path="empty").meta["status"], "200")
            self.assertEqual(len(process.call(path="empty").pairs), 2)

    def test_refuses_what_cannot_be_sent(self):
        for process in self.each():
            for status in (b"199", b"600", b"0"):
                self.error(process.call(status, path="fields"), "function_error", "BadStatus")
            for path in ("split", "name", "overflow"):
                self.error(process.call(path=path), "function_error", "BadHeader")
            self.assertEqual(process.call(b"on").body, b"on")

    def test_reports_failures(self):
        for process in self.each():
            meta = self.error(process.call(path="é" * 10000), "function_error", "Unknown")
            self.assertTrue(2000 < len(meta["message"]) <= 2048)
            self.assertEqual(set(meta["message"]), {"é"})
            meta = self.error(process.call(path="seven"), "function_error", "HandlerFailed")
            self.assertIn("7", meta["message"])

    def test_reports_exceptions_of_cpp(self):
        process = self.loaded_with(self.programs[1])
        meta = self.error(process.call(path="throw"), "function_error", "std::exception")
        self.assertEqual(meta["message"], "thrown")
        self.error(process.call(path="throw int"), "function_error", "exception")
        self.assertEqual(process.call(b"on").body, b"on")

    def test_dies_when_the_handler_does(self):
        for process in self.each():
            self.assertIsNone(process.call(path="exit"))
            self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 9)
        process = self.loaded_with(self.programs[0])
        self.assertIsNone(process.call(path="abort"))
        self.assertEqual(os.WTERMSIG(process.wait()), signal.SIGABRT)

    def test_has_the_whole_log_before_the_answer(self):
        for process in self.each():
            self.assertEqual(process.out.now(), b"initialised\n")
            process.call(b"four", path="copy")
            self.assertEqual(process.out.now(), b"initialised\n4 bytes")

    def test_reports_an_initialiser_that_refuses(self):
        process = support.start([self.programs[0]])
        self.addCleanup(process.end)
        process.channel.receive()
        meta = self.error(
            self.load(process, env={"REFUSE": "1"}), "load_error", "InitialiserFailed"
        )
        self.assertIn("42", meta["message"])
        self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 1)

    def test_takes_frames_in_any_pieces(self):
        process = self.loaded_with(self.echo)
        meta = support.meta_of([("request_id", "r")])
        frames = b"".join(
            support.HEADER.pack(support.MAGIC, CALL, 0, 0, len(meta), 5, n) + meta + b"body%d" % n
            for n in range(1, 5)
        )
        for step in (1, 7, len(frames)):  # bytewise, in odd pieces, all four at once
            for at in range(0, len(frames), step):
                process.channel.socket.sendall(frames[at : at + step])
            for n in range(1, 5):
                answer = process.channel.receive()
                self.assertEqual((answer.call, answer.body), (n, b"body%d" % n))

    def test_ends_with_an_error_on_what_is_no_frame(self):
        pack = support.HEADER.pack
        for bad in (
            pack(0x12345678, CALL, 0, 0, 0, 0, 1),
            pack(support.MAGIC, LOAD, 0, 0, 0, 0, 1),
            pack(support.MAGIC, CALL, 0, 0, 65537, 0, 1),
            pack(support.MAGIC, CALL, 0, 0, 0, 10, 1),
        ):
            process = self.loaded_with(self.echo)
            process.channel.socket.sendall(bad)
            process.channel.socket.shutdown(1)
            self.assertEqual(os.waitstatus_to_exitcode(process.wait()), 2)

    def test_survives_meta_that_is_no_list_of_pairs(self):
        process = self.loaded_with(self.programs[0])
        for meta in (b"path", b"path\0show", b"\0\0\0", b"request_id\0", b"a\0b"):
            header = support.HEADER.pack(support.MAGIC, CALL, 0, 0, len(meta), 2, 1)
            process.channel.socket.sendall(header + meta + b"ok")
            self.assertEqual(process.channel.receive().body, b"ok")

    def test_says_so_when_started_by_hand(self):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(write, 2)
            os.closerange(3, 64)
            os.execv(self.echo, [self.echo])
        os.close(write)
        with os.fdopen(read) as file:
            self.assertIn("hearthd starts this program", file.read())
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 2)


if __name__ == "__main__":
    *NativeTest.programs, NativeTest.echo = sys.argv[1:]
    support.main()
