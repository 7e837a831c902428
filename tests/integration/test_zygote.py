# SPDX-License-Identifier: Apache-2.0
"""A loaded python process is replaced after a bounded number of calls and when it grew."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Instance

# The token is made once in each loaded process; forks of it answer the same.
CODE = """
import os
TOKEN = os.urandom(8).hex()
def handle(event, context): return TOKEN
"""
# Every fork leaves a MiB in the process that forks.
HOARD = CODE + """
hoard = []
os.register_at_fork(before=lambda: hoard.append(b"x" * (1 << 20)))
"""
ONE = "concurrency_max = 1\nmemory_mb = 256\n"
CONFIG = "[sandbox]\nzygote_calls_max = {calls}\nzygote_growth_mb_max = 16\n"


class Zygote(unittest.TestCase):
    def tokens(self, hearth, name, calls):
        """How many calls in a row each loaded process served."""
        found = [hearth.http("GET", f"/fn/default/{name}") for _ in range(calls)]
        self.assertEqual([status for status, _, _ in found if status != 200], [])
        runs, last = [], None
        for _, _, token in found:
            if token != last:
                runs.append(0)
            runs[-1], last = runs[-1] + 1, token
        return runs

    def test_it_is_replaced_after_so_many_calls(self):
        with Instance(CONFIG.format(calls=5)) as hearth:
            hearth.python("plain", CODE, ONE + "[http]\n")
            self.assertEqual(self.tokens(hearth, "plain", 17), [5, 5, 5, 2])
            hearth.python("kept", CODE, ONE + 'reuse = "process"\n[http]\n')
            self.assertEqual(self.tokens(hearth, "kept", 17), [17], "no forks, no shared layout")

    def test_it_is_replaced_when_it_grew(self):
        with Instance(CONFIG.format(calls=10000)) as hearth:
            hearth.python("plain", CODE, ONE + "[http]\n")
            self.assertEqual(self.tokens(hearth, "plain", 100), [100])
            hearth.python("hoards", HOARD, ONE + "[http]\n")
            self.assertEqual(self.tokens(hearth, "hoards", 100), [65, 35])


if __name__ == "__main__":
    unittest.main()
