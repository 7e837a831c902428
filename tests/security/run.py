# SPDX-License-Identifier: Apache-2.0
"""Runs every attack of this folder and counts them. Ends with `N passed, N failed, N skipped`.

usage: python3 -m tests.security.run    from the root of the repository
"""

import pathlib
import sys
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent


class Count(unittest.TextTestResult):
    """Counts tests, not the failures of parts of one; a class that cannot be set up is one."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.bad = set()

    def addFailure(self, test, err):
        self.bad.add(test.id())
        super().addFailure(test, err)

    def addError(self, test, err):
        self.bad.add(test.id())
        super().addError(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.bad.add(test.id())
        super().addSubTest(test, subtest, err)


def main():
    names = [f"tests.security.{path.stem}" for path in sorted(FOLDER.glob("test_*.py"))]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    attacks = suite.countTestCases()
    result = unittest.TextTestRunner(sys.stdout, resultclass=Count, verbosity=1).run(suite)
    skipped, failed = len(result.skipped), len(result.bad)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    passed = result.testsRun - skipped - len([each for each in result.bad if "setUp" not in each])
    print(f"{attacks} attacks\n{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed + failed + skipped < attacks else 0


if __name__ == "__main__":
    sys.exit(main())
