# SPDX-License-Identifier: Apache-2.0
"""What a call leaves for the next one of its function, in each runtime and each mode of `reuse`."""

import json
import os
import re
import subprocess
import sys
import unittest

from tests.security.frame import FOLDER, LIMITS, PLACES, Attacks, Verdict, compiled

sys.path.insert(0, str(FOLDER))
import carry
import page_cache

MODES = ("sandbox", "never", "process")
# No call may do it, in any mode; outside it works.
REFUSED = {"attribute_of_shared_memory", "attribute_of_tmp", "key", "message_queue", "mode_of_tmp",
           "system_v_memory", "system_v_messages", "system_v_semaphores",
           "shared_memory_ids", "semaphores", "messages", "queue"}  # carry.c
WAYS = re.findall(r"WAY\((\w+)\)[,\n]", (FOLDER / "carry.c").read_text(encoding="utf-8"))
WAYS_OF_NODE = re.findall(r"^  (\w+): \{$", (FOLDER / "carry.mjs").read_text(encoding="utf-8"),
                          re.MULTILINE)


class NextCall(Attacks):
    """Each way is left and found in one call, which is the twin; then sought by the next call."""

    modes = MODES

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for mode in cls.modes:
            cls.deploy_mode(mode, f'reuse = "{mode}"\nconcurrency_max = 1\n{LIMITS}')

    def check(self, mode, way):
        word = f"{way[:12]}-{os.getpid()}"
        left = self.attempt("leave", way, word, mode)
        found = self.attempt("find", way, word, mode)
        if way in REFUSED:
            twin = self.attempt_outside(way, word)
            self.assertTrue(twin.worked, f"it does not work outside: {twin.detail}")
            self.assertEqual(left, (False, "EPERM"))
            self.assertFalse(found.worked, found.detail)
            return
        self.assertTrue(left.worked, f"it cannot be left: {left.detail}")
        if mode == "process":  # the function's owner asks that the process serves on
            self.assertTrue(found.worked, f"it did not carry: {found.detail}")
        else:
            self.assertFalse(found.worked, f"the next call found it: {found.detail}")
            self.assertRegex(found.detail, "nothing|ENOENT|ECONNREFUSED|EBADF")


class Python(NextCall):
    @classmethod
    def deploy_mode(cls, mode, extra):
        cls.deploy(mode, extra)

    def attempt(self, what, way, word, mode):
        return self.inside("carry." + what, way, word, function=mode)

    def attempt_outside(self, way, word):
        twin = self.outside("carry.leave", way, word, place="own folders")
        if way == "key":
            self.outside("channels.remove_key", word)
        return twin

    def check_write(self, mode, way):
        """Into files that all sandboxes share: test_channels.py has the twins."""
        before = self.inside("page_cache.digests", function=mode)
        found = self.inside("page_cache.write_shared", way, function=mode)
        self.assertFalse(found.worked, f"a file is changed: {found.detail}")
        self.assertRegex(found.detail, page_cache.pattern(way))
        self.assertTrue(before.worked)
        self.assertEqual(self.inside("page_cache.digests", function=mode), before)

    def test_loopbacks_counters_carry_within_a_sandbox_as_the_threat_model_says(self):
        counted = {}
        for mode in MODES:
            self.inside("carry.bytes_on_loopback", 1000, function=mode)
            counted[mode] = int(self.inside("carry.bytes_on_loopback", function=mode).detail)
        self.assertGreaterEqual(min(counted["sandbox"], counted["process"]), 1000)
        self.assertEqual(counted["never"], 0)


class Compiled(NextCall):
    @classmethod
    def setUpClass(cls):
        cls.alone = compiled("carry.c", False)
        cls.served = compiled("carry.c", True) if cls.runtime == "native" else cls.alone
        super().setUpClass()

    @classmethod
    def deploy_mode(cls, mode, extra):
        program = cls.served.read_bytes()
        cls.hearth.function(mode, cls.runtime, "carry", {"carry": (program, 0o755)}, extra)

    def attempt(self, what, way, word, mode):
        return self.inside(what, way, word, by="native", function=mode)

    def attempt_outside(self, way, word):
        """By way of the working directory, since something covers /tmp there."""
        command = [*PLACES["own folders"], "/proc/self/cwd/attacks", "leave", way, word]
        done = subprocess.run(command, cwd=self.alone.parent, check=True, capture_output=True,
                              timeout=60)
        return Verdict(**json.loads(done.stdout))


class Native(Compiled):
    runtime = "native"


class Exec(Compiled):
    """The same program, started for each call; it cannot serve a second one."""

    runtime, modes = "exec", MODES[:2]


class Nodejs(NextCall):
    @classmethod
    def deploy_mode(cls, mode, extra):
        files = {"carry.mjs": (FOLDER / "carry.mjs").read_text(encoding="utf-8")}
        cls.hearth.function(mode, "nodejs", "carry.handle", files, extra)

    def attempt(self, what, way, word, mode):
        status, answer = self.call(mode, json.dumps({"what": what, "way": way, "word": word}))
        self.assertEqual(status, 200, answer)
        return Verdict(**json.loads(answer))


def add(case, ways):
    for way in ways:
        for mode in case.modes:
            finds = "finds" if mode == "process" and way not in REFUSED else "finds_no"
            setattr(case, f"test_with_{mode}_the_next_call_{finds}_{way}",
                    lambda self, mode=mode, way=way: self.check(mode, way))


def add_writes():
    for mode in MODES:
        for way in page_cache.WAYS:
            setattr(Python, f"test_with_{mode}_the_next_call_reads_nothing_written_{way}",
                    lambda self, mode=mode, way=way: self.check_write(mode, way))


add_writes()
add(Python, carry.CARRIERS)
add(Native, WAYS)
add(Exec, WAYS)
add(Nodejs, WAYS_OF_NODE)

if __name__ == "__main__":
    unittest.main()
