# SPDX-License-Identifier: Apache-2.0
"""Attacks of a program that is its own runtime: the protocol in the wrong order, at start."""

import json
import os
import time
import unittest

from tests.security.frame import MODULES, Attacks
from tests.support.waiting import until

# At once, not when the time to start is over; generous, since hosts of tests are busy.
START_S = 8
LIMITS = "timeout_ms = 8000\nmemory_mb = 64\nconcurrency_max = 1\n"
WAYS = (
    "ready_first", "reply_first", "garbage_first", "ends_at_once", "fails_at_once",
    "closes_its_channel", "half_a_hello", "descriptors_with_its_hello", "hello_twice",
    "ready_before_the_load", "ends_after_its_hello", "hello_with_too_much", "says_that_it_forks",
    "many_notes", "long_note", "meta_that_is_none", "ready_twice", "reply_before_the_call",
    "replies_to_all_calls_to_come", "error_before_the_call", "a_call_from_below",
    "a_load_from_below", "ends_after_its_ready", "a_byte_before_the_call")


class Rogue(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rogue("honest")

    @classmethod
    def rogue(cls, way):
        """A function whose program has the name of what it does wrong."""
        name = way.replace("_", "-")
        program = (MODULES["rogue.py"].encode(), 0o755)
        cls.hearth.function(name, "native", way, {way: program}, LIMITS, verify=False)
        return name

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.hearth.process.pid}/fd"))

    def check(self, way):
        self.assertIn(f'"{way}":', MODULES["rogue.py"])
        self.assertEqual(self.call("honest", b"{}"), (200, b'"right"'))  # the twin
        before = self.descriptors()
        name = self.rogue(way)
        begin = time.monotonic()
        status, body = self.call(name, b"{}")
        self.assertLess(time.monotonic() - begin, START_S)
        if status == 200:
            self.assertEqual(body, b'"right"')
        else:
            self.assertEqual(status, 502, body)
            self.assertIn(json.loads(body)["error"]["kind"], ("function_error", "crashed",
                                                              "bad_reply"))
        self.hearth.cli("delete", name)
        self.assertIsNone(self.hearth.process.poll())
        self.assertEqual(self.call("honest", b"{}"), (200, b'"right"'))
        until(lambda: self.descriptors() <= before + 12, "hearthd's descriptors are as before")


for each in WAYS:
    setattr(Rogue, f"test_a_runtime_harms_only_itself_{each}",
            lambda self, way=each: self.check(way))


if __name__ == "__main__":
    unittest.main()
