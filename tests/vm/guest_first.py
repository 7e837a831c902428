# SPDX-License-Identifier: Apache-2.0
"""The units start Hearth with strict limits, and a call comes out with its record."""

import unittest

from service import Service, run, show, UNIT


class First(unittest.TestCase):
    def test_the_units_start_and_a_call_has_its_record(self):
        run("swapon", "/dev/vdb")  # so that a sandbox could be swapped
        run("systemd-sysusers")
        run("systemd-tmpfiles", "--create")
        run("systemctl", "daemon-reload")
        run("systemctl", "enable", "--now", "hearthd.socket", "hearthd.service")
        self.assertEqual(show(UNIT, "ActiveState"), "active")
        hearth = Service()
        hearth.shell("first", "echo first", "memory_mb = 16\n[http]\n")
        status, _, body = hearth.http("GET", "/fn/default/first")
        self.assertEqual((status, body), (200, b"first\n"))
        (record,) = hearth.calls(function="first")
        self.assertEqual((record["outcome"], record["limits"]), ("ok", "strict"), record)


if __name__ == "__main__":
    unittest.main()
