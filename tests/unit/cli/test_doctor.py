# SPDX-License-Identifier: Apache-2.0
"""`hearth doctor` as a whole: every finding explains itself; the exit status follows from them."""

import json
import os
import tempfile
import unittest

from case import Case
from fake_hearthd import Answer


class Doctor(Case):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name
        self.serve("best-effort")

    def serve(self, mode):
        status = {"version": "0.1.0", "state_dir": self.state, "limits": {"mode": mode}}
        self.daemon.on("GET", "/v1/status", Answer(json.dumps(status)))

    def examine(self, *args):
        """(status, the report) and the same as JSON."""
        result = self.hearth("doctor", "--json", *args)
        report = json.loads(result.stdout)
        self.assertEqual(report["ok"], all(c["level"] != "fail" for c in report["checks"]))
        self.assertEqual(result.returncode, 0 if report["ok"] else 3)
        self.assertEqual(result.stderr == b"", report["ok"])
        return report["checks"]

    def test_every_finding_explains_itself(self):
        checks = self.examine()
        self.assertGreater(len(checks), 25)
        self.assertEqual(len({check["check"] for check in checks}), len(checks))
        for check in checks:
            self.assertIn(check["level"], ["ok", "warn", "fail"])
            self.assertTrue(check["found"], check)
            if check["level"] != "ok":
                self.assertTrue(check["why"] and check["fix"], check)

    def test_the_text_says_the_same(self):
        checks = self.examine()
        text = self.hearth("doctor").stdout.decode()
        for check in checks:
            self.assertIn(check["check"] + ": ", text)
            if check["level"] != "ok":
                self.assertIn("fix: " + check["fix"], text)
        count = sum(check["level"] == "ok" for check in checks)
        self.assertIn(f"{count} ok, ", text.splitlines()[-1])

    def level(self, checks, name):
        return next(check["level"] for check in checks if check["check"] == name)

    def test_the_limits_mode_of_the_daemon_counts(self):
        self.assertEqual(self.level(self.examine(), "hearthd"), "warn")
        self.serve("strict")
        self.assertEqual(self.level(self.examine(), "hearthd"), "ok")

    def test_a_daemon_that_is_not_there_is_a_finding(self):
        result = self.hearth("doctor", "--json", socket_path="/nonexistent/sock")
        checks = json.loads(result.stdout)["checks"]
        self.assertEqual(self.level(checks, "hearthd"), "warn")

    def test_a_setuid_file_in_an_image_fails(self):
        os.makedirs(self.state + "/images/pics/rootfs/bin")
        path = self.state + "/images/pics/rootfs/bin/su"
        open(path, "w").close()
        self.assertEqual(self.level(self.examine(), "image pics"), "ok")
        os.chmod(path, 0o4755)
        self.assertEqual(self.level(self.examine(), "image pics"), "fail")
        with tempfile.TemporaryDirectory() as other:
            self.assertEqual(self.level(self.examine("--state-dir", other), "images"), "warn")


if __name__ == "__main__":
    unittest.main()
