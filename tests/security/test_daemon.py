# SPDX-License-Identifier: Apache-2.0
"""Attacks of a function on hearthd: forged frames, descriptors, logs, answers nobody reads."""

import json
import os
import unittest

from tests.security.frame import LIMITS, MODULES, Attacks
from tests.support.raw import Raw, request
from tests.support.waiting import until

BAD = ("bad_reply",)
# How the call ends, whatever it sent. 200: what it sent was a right answer after all.
ENDS = {
    "byte_by_byte": (200,), "many_descriptors": (200, *BAD), "descriptors_alone": (*BAD, "timeout",
                                                                  "output_exceeded"),
    "sockets_in_sockets": (200, *BAD), "half_closed": BAD,
    "reading_closed": (200, *BAD), "ended_inside_a_header": (*BAD, "crashed"),
    "ended_inside_a_body": (*BAD, "crashed"), "endless_bytes": BAD, "endless_body": (200, *BAD),
    "from_many_processes": (200, *BAD), "wrong_magic": BAD, "swapped_magic": BAD,
    **{f"type_{kind}": BAD for kind in (0, 1, 2, 3, 4, 7, 255)},
    "flags": BAD, "all_flags": BAD, "reserved_bits": BAD, "number_of_no_call": BAD,
    "number_of_the_next_call": BAD, "number_of_the_last_call": BAD, "largest_number": BAD,
    "too_much_meta": BAD, "endless_meta": BAD, "sizes_that_overflow": (*BAD, "output_exceeded"),
    # By command line only the body is the answer.
    "meta_without_end": (200,), "meta_of_one": (200,), "meta_of_zeros": (200,),
    "too_large_a_body": ("output_exceeded",), "endless_size": ("output_exceeded",),
    "two_replies": (200, *BAD), "a_reply_and_a_byte": (200, *BAD),
    "an_error_of_no_kind": (*BAD, "function_error"),
    "an_error_of_the_platforms": (*BAD, "function_error"),
    "an_error_that_is_a_timeout": (*BAD, "function_error"),
    "an_error_that_is_success": (*BAD, "function_error"),
    "an_error_of_a_load": (*BAD, "function_error"),
    "an_error_with_a_long_text": ("function_error",)}
# What a reply says about itself, by HTTP.
META = {
    "a_status_of_words": [("status", "ok")], "a_status_beyond_all": [("status", "99999")],
    "a_negative_status": [("status", "-1")], "a_status_of_no_answer": [("status", "100")],
    "a_header_with_a_line_end": [("h:x", "1\r\nSet-Cookie: a=b")],
    "a_name_with_a_line_end": [("h:x: 1\r\nset-cookie", "a=b")],
    "a_name_with_a_space": [("h:a b", "1")], "an_empty_name": [("h:", "1")],
    "a_type_with_a_line_end": [("content_type", "text/html\r\nSet-Cookie: a=b")],
    "a_length_of_its_own": [("h:content-length", "2")],
    "chunks_that_are_none": [("h:transfer-encoding", "chunked")],
    "another_calls_number": [("h:hearth-call-id", "00000000000000000000000000")],
    "an_upgrade": [("status", "101"), ("h:upgrade", "h2c"), ("h:connection", "upgrade")],
    "a_connection_that_ends": [("h:connection", "close")],
    "another_start": [("h:hearth-start", "hot")], "a_header_of_zeros": [("h:x", "a\1b")]}
BYTES_MAX = 96 << 20  # what hearthd may grow by


class OnHearthd(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        limits = LIMITS.replace("30000", "5000") + "output_kb = 64\nconcurrency_max = 1\n"
        cls.deploy("forger", limits)
        cls.hearth.function("web", "python3", "forge.event", MODULES, limits + "[http]\n")
        cls.hearth.shell("good", "echo good", "[http]\n")
        imported = "import forge\nfrom verdict import handle\nforge.keep_descriptors()\n"
        cls.hearth.function("keeper", "python3", "imported.handle",
                            {**MODULES, "imported.py": imported}, limits)
        cls.goes_on(cls)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.hearth.process.pid}/fd"))

    def memory(self):
        with open(f"/proc/{self.hearth.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    def goes_on(self):
        assert self.hearth.http("GET", "/fn/default/good")[2] == b"good\n"
        assert self.hearth.process.poll() is None, self.hearth.log()[-2000:]


class Daemon(OnHearthd):
    def forge(self, way):
        """How the call ends: 200, or the kind of its error."""
        status, body = self.call("forger", json.dumps(
            {"attempt": "forge.answer", "with": [way]}).encode())
        if status == 200:
            if way != "endless_body":
                self.assertEqual(body, b'"forged"')
            return 200
        return json.loads(body)["error"]["kind"]

    def check_frame(self, way):
        self.assertEqual(self.forge("honest"), 200)  # the twin: the same writer can answer rightly
        memory = self.memory()
        self.assertIn(self.forge(way), ENDS[way])
        self.goes_on()
        self.assertLess(self.memory() - memory, BYTES_MAX)
        self.assertEqual(self.forge("honest"), 200)

    def check_meta(self, name):
        body = json.dumps([("status", "202"), ("h:x-right", "1")]).encode()
        twin = self.hearth.http("POST", "/fn/default/web", body)
        self.assertEqual((twin[0], twin[1]["x-right"], twin[2]), (202, "1", b"body"))
        with Raw(self.hearth.port) as client:
            client.send(request("POST", "/fn/default/web", json.dumps(META[name]).encode()))
            answer = client.answer()
            fields = dict(answer.fields)
            self.assertNotIn("set-cookie", fields)
            self.assertNotIn("upgrade", fields)
            self.assertIn(answer.status, (200, 502))
            if answer.body != b"body":
                self.assertEqual((answer.status, answer.error()["kind"]), (502, "bad_reply"))
            self.assertNotEqual(answer.header("hearth-call-id"), "0" * 26)
            self.assertIn(answer.header("hearth-start"), ("cold", "warm", "generic"))
            # The next answer on the connection is the next answer.
            client.send(request("GET", "/fn/default/good"))
            self.assertEqual(client.answer().body, b"good\n")

    def test_descriptors_sent_to_hearthd_do_not_stay_there(self):
        self.forge("many_descriptors")
        self.goes_on()
        before = self.descriptors()
        for way in ("many_descriptors", "descriptors_alone", "sockets_in_sockets") * 2:
            self.forge(way)
        self.forge("honest")
        until(lambda: self.descriptors() <= before + 3, "hearthd's descriptors are as before")


class Zygotes(OnHearthd):
    """Through the zygote's own descriptors, which the module kept."""

    def check_afterwards(self):
        for _ in range(3):
            status, body = self.call("keeper", json.dumps(
                {"attempt": "neighbours.orphans", "with": [0]}).encode())
            if status == 200:
                self.assertEqual(json.loads(body), {"worked": True, "detail": "0"})
            else:
                self.assertIn(json.loads(body)["error"]["kind"], ("bad_reply", "crashed"))
        self.goes_on()
        self.assertEqual((status, json.loads(body)["detail"]), (200, "0"))

    def test_forged_answers_to_orders_to_fork_name_nobody(self):
        for pids in ([1], [2], [3], [-1], [0], [1 << 30], list(range(3, 12)), [-2] * 100):
            with self.subTest(pids=pids):
                found = self.inside("forge.forge_orders_answers", pids, function="keeper")
                self.assertEqual(found, (True, str(len(pids))))
                self.check_afterwards()

    def test_forged_frames_on_the_zygotes_channel_answer_no_call(self):
        for kind in (1, 3, 5, 6, 255):
            with self.subTest(kind=kind):
                found = self.inside("forge.forge_on_the_zygotes_channel", kind, function="keeper")
                if found.worked:
                    self.assertEqual(found.detail, "sent")
                self.check_afterwards()


for each in ENDS:
    setattr(Daemon, f"test_a_frame_harms_only_its_sandbox_{each}",
            lambda self, way=each: self.check_frame(way))
for each in META:
    setattr(Daemon, f"test_an_answer_cannot_forge_{each}",
            lambda self, way=each: self.check_meta(way))


if __name__ == "__main__":
    unittest.main()
