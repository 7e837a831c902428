# SPDX-License-Identifier: Apache-2.0
"""Inside the guest: runs every guest_*.py in order, tells how each test ended on a serial line."""

import pathlib
import sys
import time
import traceback
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1])]
# In this order: the first shows that a call works at all, the last stops the service for good.
FILES = [
    "guest_first",
    "guest_limits",
    "guest_reads",
    "guest_bounds",
    "guest_tree",
    "guest_host",
    "guest_hardening",
    "guest_attacks",
    "guest_life",
]
REPORT = "/dev/ttyS1"


class Reporter(unittest.TestResult):
    """One line when a test begins and one when it ended, each at once."""

    def __init__(self, line):
        super().__init__()
        self.line, self.began = line, 0.0

    def say(self, text):
        self.line.write(text + "\n")
        self.line.flush()

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.say(f"begin {name_of(test)}")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(f"ok {name_of(test)} ({time.monotonic() - self.began:.0f} s)")

    def failed(self, test, error):
        self.say(f"FAIL {name_of(test)} ({time.monotonic() - self.began:.0f} s)")
        for part in traceback.format_exception(*error):
            for line in part.rstrip().splitlines():
                self.say(f"| {line[:400]}")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.failed(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.failed(test, error)

    def addSkip(self, test, reason):
        # In here everything is there that a test could miss.
        super().addSkip(test, reason)
        self.say(f"FAIL {name_of(test)} (skipped: {reason})")


def name_of(test):
    return test.id().removeprefix("guest_")


def main():
    with open(REPORT, "w") as line:
        reporter = Reporter(line)
        sys.stdout = line  # figures that a test prints
        only = (HERE / "only").read_text().split() or FILES
        for name in filter(only.__contains__, FILES):
            unittest.defaultTestLoader.loadTestsFromName(name).run(reporter)
        reporter.say(f"end {reporter.testsRun}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
