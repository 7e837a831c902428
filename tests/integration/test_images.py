# SPDX-License-Identifier: Apache-2.0
"""The recipes that come with Hearth, made into images, and functions that run in them.

Each image is the default of its runtime, so no function here names one.
"""

import json
import os
import pathlib
import stat
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Failed, Instance
from waiting import Background

BUILD_LIMIT_S = 540
PYTHON = """
import os, sqlite3, ssl, sys
def handle(event, context):
    return {"in": event, "version": sys.version_info[:2], "uid": os.getuid(),
            "doc": os.path.exists("/usr/share/doc/python3")}
"""
NODE = """
import fs from 'node:fs';
export const handle = async (event) => ({in: event, version: process.version,
  uid: process.getuid(), shadow: fs.existsSync('/etc/shadow')});
"""


class Recipes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Without the host's /usr: what runs here runs in an image.
        cls.hearth = Instance()
        cls.addClassCleanup(cls.hearth.close)
        cls.hearth.config.write_text("[deploy]\nload_timeout_ms = 60000\n")
        cls.hearth.start()
        more = {"minimal": [], "python3": ["--packages", "python3-markdown"], "nodejs": []}
        cls.builds = {name: Background(cls.hearth.cli, "image", "build", name, "--recipe", name,
                                       *words, limit_s=BUILD_LIMIT_S)
                      for name, words in more.items()}

    def built(self, name):
        """The image's row, when its build is done."""
        done = self.builds[name].result(BUILD_LIMIT_S)
        self.assertIn("success", done.stderr.decode(), "progress is shown")
        row, = [row for row in self.hearth.json("image", "list") if row["name"] == name]
        self.assertGreater(row["bytes"], 1 << 20)
        self.check_files(self.hearth.state / "images" / name / "rootfs")
        return row

    def check_files(self, root):
        for folder, names, files in os.walk(root):
            for name in names + files:
                status = os.lstat(os.path.join(folder, name))
                where = os.path.join(folder, name)
                if stat.S_ISLNK(status.st_mode):
                    continue
                self.assertFalse(status.st_mode & (stat.S_ISUID | stat.S_ISGID), where)
                self.assertTrue(stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode), where)

    def answer(self, name, event):
        done, record = self.hearth.invoke(name, json.dumps(event).encode())
        self.assertEqual(record["outcome"], "ok")
        return json.loads(done.stdout)

    def test_minimal_runs_scripts(self):
        self.built("minimal")
        self.hearth.shell("script", "id -u; tr a-z A-Z; ls /usr/bin/python3 2>&1 || true")
        done, _ = self.hearth.invoke("script", b"loud\n")
        self.assertTrue(done.stdout.startswith(b"1000\nLOUD\n"), done.stdout)
        self.assertIn(b"No such file", done.stdout)
        with self.assertRaises(Failed) as refused:
            self.hearth.cli("image", "delete", "minimal")
        self.assertEqual(refused.exception.status, 3)
        self.hearth.cli("delete", "script")
        self.hearth.cli("image", "delete", "minimal")
        self.assertFalse((self.hearth.state / "images" / "minimal").exists())

    def test_python3_runs_python_with_a_package_more(self):
        row = self.built("python3")
        self.assertIn("python3-markdown", row["packages"])
        code = PYTHON.replace("import os", "import markdown, os")
        self.hearth.python("snake", code, "timeout_ms = 60000\n[http]\n")
        answer = self.answer("snake", {"a": 1})
        self.assertEqual((answer["in"], answer["version"], answer["uid"], answer["doc"]),
                         ({"a": 1}, [3, 11], 1000, False))

    def test_nodejs_runs_javascript(self):
        self.built("nodejs")
        self.hearth.function("js", "nodejs", "app.handle", {"app.mjs": NODE},
                             "timeout_ms = 60000\n[http]\n")
        answer = self.answer("js", {"a": 1})
        self.assertEqual((answer["in"], answer["uid"], answer["shadow"]), ({"a": 1}, 1000, False))
        self.assertRegex(answer["version"], r"^v18\.")


if __name__ == "__main__":
    unittest.main()
