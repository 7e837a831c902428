# SPDX-License-Identifier: Apache-2.0
"""What the tests of the program `hearth` share."""

import json
import os
import subprocess
import unittest

from fake_hearthd import Answer, FakeHearthd

HEARTH = os.environ["HEARTH_PROGRAM"]  # the program under test

FUNCTIONS = "/v1/tenants/default/functions"
RECORD = {
    "id": "01JABCDEFGHJKMNPQRSTVWXYZ0",
    "tenant": "default",
    "function": "thumb",
    "version": 3,
    "trigger": "cli",
    "outcome": "ok",
    "start": "warm",
    "received_at": "2025-01-31T12:00:00.250000Z",
    "queue_us": 120,
    "init_us": 0,
    "run_us": 1520,
    "total_us": 1700,
    "billed_ms": 2,
    "memory_mb": 128,
    "memory_peak_bytes": 20971520,
    "cpu_user_us": 900,
    "cpu_system_us": 100,
}


def error(kind, message, status, **more):
    return Answer(json.dumps({"error": {"kind": kind, "message": message, **more}}), status)


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = FakeHearthd()
        self.daemon.__enter__()
        self.addCleanup(self.daemon.__exit__)

    def lacks(self, why):
        """This host lacks what the test needs: that is no success where every test must run."""
        if os.environ.get("HEARTH_TESTS_MUST_RUN") == "1":
            self.fail(why)
        self.skipTest(why)

    def hearth(self, *args, stdin=b"", env=None, socket_path=None, timeout=30):
        command = [HEARTH, "--socket", socket_path or self.daemon.socket, *args]
        return subprocess.run(command, input=stdin, capture_output=True, env=env, timeout=timeout)

    def ok(self, *args, **options):
        result = self.hearth(*args, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def fails(self, status, *args, **options):
        """One line on stderr (it is returned), nothing on stdout."""
        result = self.hearth(*args, **options)
        self.assertEqual(result.returncode, status, result.stderr)
        lines = result.stderr.decode().splitlines()
        self.assertTrue(lines and lines[0].startswith("error: "), result.stderr)
        return lines[0]

    def last(self):
        return self.daemon.asked[-1]
