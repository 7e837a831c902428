# SPDX-License-Identifier: Apache-2.0
"""Attacks of a program that is its own runtime: the protocol in the wrong order, or not at all."""

import json
import os
import time
import unittest

from tests.security.frame import MODULES, Attacks
from tests.support.waiting import Background, until

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

# Callers that come at once to programs that take no call, or never end their answer.
CALLERS = 20
SLOW_MS = 4000
SLOW_LIMITS = f"timeout_ms = {SLOW_MS}\nmemory_mb = 32\nconcurrency_max = {CALLERS}\n"
BODY = b"x" * 5_000_000  # far more than a socket holds
KEPT_MAX = 32 << 20  # bytes that hearthd may keep; the bodies are three times as many
SLOW_WAYS = ("never_reads", "reads_a_byte_a_second", "half_a_header", "half_an_answer")


class Rogues(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rogue("honest")

    @classmethod
    def rogue(cls, way, limits=LIMITS):
        """A function whose program has the name of what it does wrong."""
        name = way.replace("_", "-")
        program = (MODULES["rogue.py"].encode(), 0o755)
        cls.hearth.function(name, "native", way, {way: program}, limits, verify=False)
        return name

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.hearth.process.pid}/fd"))


class Rogue(Rogues):
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


class Slow(Rogues):
    """The deadline is kept, others are served meanwhile, and nothing of it stays in hearthd."""

    def memory(self):
        with open(f"/proc/{self.hearth.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    def running(self, name):
        rows = self.hearth.json("status")["functions"]
        return sum(row["running"] for row in rows if row["name"] == name)

    def round(self, name):
        calls = [Background(self.call, name, BODY) for _ in range(CALLERS)]
        until(lambda: self.running(name) > 1, "some of them run")
        self.assertEqual(self.call("honest", b"{}"), (200, b'"right"'))
        self.assertGreater(self.running(name), 0, "it was served only afterwards")
        for call in calls:
            status, body = call.result()
            self.assertEqual((status, json.loads(body)["error"]["kind"]), (504, "timeout"))

    def check(self, way):
        self.assertIn(f'"{way}":', MODULES["rogue.py"])
        self.assertEqual(self.call("honest", BODY), (200, b'"right"'))  # the twin takes it all
        descriptors, memory = self.descriptors(), self.memory()
        name = self.rogue(way, SLOW_LIMITS)
        self.round(name)
        records = self.hearth.calls(function=name, limit=2 * CALLERS)
        self.assertEqual([record["outcome"] for record in records], ["timeout"] * CALLERS)
        for record in records:
            self.assertTrue(SLOW_MS <= record["run_us"] // 1000 < SLOW_MS + START_S * 1000, record)
        self.hearth.cli("delete", name)
        until(lambda: self.memory() < memory + KEPT_MAX, "hearthd's memory is as before")
        until(lambda: self.descriptors() <= descriptors + 12, "its descriptors are as before")
        self.assertEqual(self.call("honest", b"{}"), (200, b'"right"'))


for each in SLOW_WAYS:
    setattr(Slow, f"test_a_call_that_is_not_taken_ends_in_time_{each}",
            lambda self, way=each: self.check(way))
for each in WAYS:
    setattr(Rogue, f"test_a_runtime_harms_only_itself_{each}",
            lambda self, way=each: self.check(way))


if __name__ == "__main__":
    unittest.main()
