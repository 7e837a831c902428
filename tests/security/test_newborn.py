# SPDX-License-Identifier: Apache-2.0
"""Attacks of a function's zygote on the child that it forks for the next call."""

import json
import os
import unittest

from tests.security.frame import MODULES, Attacks
from tests.support.books import REFUSALS, seen
from tests.support.waiting import until

LIMITS = "timeout_ms = 3000\nmemory_mb = 128\nconcurrency_max = 1\n"
CALLS = 5
# What the attempt meets where something stands in its way; "worked": nothing does, and the child
# is harmed, which must harm no more than its call.
ENDS = {
    "stop": "worked", "kill": "worked", "trace": "EPERM", "write_memory": "ENOENT",
    "take_its_files": "worked", "say_a_byte": "worked", "say_half_a_frame": "worked",
    "answer_before_the_call": "worked", "wait_for_its_call": "worked",
    "keep_its_channel": "worked", "close_its_channel": "worked", "leave_a_thief": "worked"}
# Attempts that have no twin: the one of another name shows that they work.
SHOWN_BY = {"leave_a_thief": "wait_for_its_call"}
# How a call that was harmed ends.
HARMED = {"timeout", "crashed", "bad_reply", "function_error"}
# What calls tell of a zygote that serves them all and attacks nobody.
QUIET = [(number, []) for number in range(CALLS)]


def bodies_of(answers):
    return [json.loads(body) for status, _, body in answers if status == 200]


class Newborn(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hearth.shell("good", "echo good", "[http]\n")
        cls.newborn("nobody-attacks", "stop", 1_000_000)

    @classmethod
    def newborn(cls, name, way, which):
        imported = (f"import newborn\nfrom newborn import handle\n"
                    f"newborn.prepare({way!r}, {which})\n")
        cls.hearth.function(name, "python3", "imported.handle",
                            {**MODULES, "imported.py": imported}, LIMITS, verify=False)

    def answers(self, name):
        path = f"/v1/tenants/default/functions/{name}/invocations"
        return [self.hearth.api("POST", path, b"{}") for _ in range(CALLS)]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.hearth.process.pid}/fd"))

    def goes_on(self):
        self.assertIsNone(self.hearth.process.poll())
        self.assertEqual(self.hearth.http("GET", "/fn/default/good")[2], b"good\n")

    def check_records(self, name, answers):
        records = {record["id"]: record["outcome"]
                   for record in self.hearth.calls(function=name, limit=4 * CALLS)}
        told = dict(map(seen, answers))
        self.assertEqual(records, {call: outcome for call, outcome in told.items()
                                   if outcome not in REFUSALS})

    def attack(self, way, which):
        """How calls ended."""
        self.goes_on()
        before = self.descriptors()
        name = f"{way}-{which}".replace("_", "-")
        self.newborn(name, way, which)
        answers = self.answers(name)
        self.goes_on()
        self.check_records(name, answers)
        self.hearth.cli("delete", name)
        until(lambda: self.descriptors() <= before + 12, "hearthd's descriptors are as before")
        bodies = bodies_of(answers)
        for body in bodies:
            self.assertEqual(body["left"], [])
            self.assertLessEqual(set(body["found"]), {ENDS[way]})
        # Nobody was attacked in vain: it was noticed, or the sandbox was given up.
        self.assertNotEqual([(body["forks"], body["found"]) for body in bodies], QUIET)
        return [seen(answer)[1] for answer in answers]

    def check(self, way):
        twin = self.outside("newborn.outside", SHOWN_BY.get(way, way))
        self.assertTrue(twin.worked, twin.detail)
        outcomes = self.attack(way, 2)
        self.assertLessEqual(set(outcomes), {"ok", *HARMED})
        for outcome, following in zip(outcomes, outcomes[1:]):
            self.assertIn("ok", (outcome, following), "the call after one that was harmed is clean")
        outcomes = self.attack(way, 0)
        self.assertLessEqual(set(outcomes), {"ok", "overloaded", *HARMED})

    def test_a_zygote_that_attacks_nobody_serves_all_calls(self):
        bodies = bodies_of(self.answers("nobody-attacks"))
        self.assertEqual([(body["forks"], body["found"]) for body in bodies], QUIET)


for each in ENDS:
    setattr(Newborn, f"test_a_zygote_harms_only_its_own_calls_{each}",
            lambda self, way=each: self.check(way))


if __name__ == "__main__":
    unittest.main()
