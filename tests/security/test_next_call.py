# SPDX-License-Identifier: Apache-2.0
"""What a call leaves for the next one of its function, in each mode of `reuse`."""

import os
import sys
import unittest

from tests.security.frame import FOLDER, LIMITS, Attacks

sys.path.insert(0, str(FOLDER))
import carry

MODES = ("sandbox", "never", "process")
# No call may do it, in any mode; outside it works.
REFUSED = ("attribute_of_shared_memory", "attribute_of_tmp", "key", "message_queue", "mode_of_tmp",
           "system_v_memory", "system_v_messages", "system_v_semaphores")
# With `process` the function's owner asks that the process serves on: all else carries.
CARRIES = sorted(set(carry.CARRIERS) - set(REFUSED))


class NextCall(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for mode in MODES:
            cls.deploy(mode, f'reuse = "{mode}"\nconcurrency_max = 1\n{LIMITS}')

    def check(self, mode, carrier):
        """Left and found in one call, which is the twin; then sought by the next."""
        word = f"{carrier[:12]}-{os.getpid()}"
        left = self.inside("carry.leave", carrier, word, function=mode)
        found = self.inside("carry.find", carrier, word, function=mode)
        if carrier in REFUSED:
            twin = self.outside("carry.leave", carrier, word, place="own folders")
            self.assertTrue(twin.worked, f"it does not work outside: {twin.detail}")
            if carrier == "key":
                self.outside("channels.remove_key", word)
            self.assertEqual(left, (False, "EPERM"))
            self.assertFalse(found.worked, found.detail)
            return
        self.assertTrue(left.worked, f"it cannot be left: {left.detail}")
        if mode == "process":
            self.assertTrue(found.worked, f"it did not carry: {found.detail}")
        else:
            self.assertFalse(found.worked, f"the next call found it: {found.detail}")
            self.assertRegex(found.detail, "nothing|ENOENT|ECONNREFUSED")


    def test_loopbacks_counters_carry_within_a_sandbox_as_the_threat_model_says(self):
        counted = {}
        for mode in MODES:
            self.inside("carry.bytes_on_loopback", 1000, function=mode)
            counted[mode] = int(self.inside("carry.bytes_on_loopback", function=mode).detail)
        self.assertGreaterEqual(min(counted["sandbox"], counted["process"]), 1000)
        self.assertEqual(counted["never"], 0)


for each in carry.CARRIERS:
    for reuse in MODES:
        finds = "finds" if reuse == "process" and each in CARRIES else "finds_no"
        setattr(NextCall, f"test_with_{reuse}_the_next_call_{finds}_{each}",
                lambda self, mode=reuse, carrier=each: self.check(mode, carrier))


if __name__ == "__main__":
    unittest.main()
