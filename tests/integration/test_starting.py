# SPDX-License-Identifier: Apache-2.0
"""What hearthd says when it cannot start."""

import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import STAGE, Instance


class Starting(unittest.TestCase):
    def instance(self):
        hearth = Instance()
        self.addCleanup(hearth.close)
        return hearth

    def refuse(self, *args, status, says):
        done = subprocess.run([STAGE / "sbin/hearthd", *map(str, args)], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stderr)
        for words in says:
            self.assertIn(words, done.stderr)
        return done

    def options(self, hearth, **changed):
        given = {"config": hearth.config, "state-dir": hearth.state, "runtime-dir": hearth.run,
                 "listen": "127.0.0.1:0", "limits": "best-effort", **changed}
        return [word for name, value in given.items() for word in (f"--{name}", value)]

    def test_what_another_daemon_has_is_refused_by_name(self):
        hearth = self.instance().start()
        hearth.shell("still", "echo there")
        other = hearth.home / "other"
        for changed, says in (
                ({"runtime-dir": other}, ["another hearthd uses the state folder", hearth.state]),
                ({"state-dir": other}, ["another daemon serves", hearth.run / "hearth.sock"]),
                ({"state-dir": other, "runtime-dir": other / "run",
                  "listen": f"127.0.0.1:{hearth.port}"}, ["Address already in use", hearth.port])):
            self.refuse(*self.options(hearth, **changed), status=1, says=map(str, says))
        self.assertEqual(hearth.invoke("still")[0].stdout, b"there\n")

    def test_a_bad_configuration_is_told_with_its_line(self):
        hearth = self.instance()
        for text, line, says in (("x = = 1\n", 1, ""), ("\n[pool]\nmemory_mb_mx = 1\n", 3,
                                                         "did you mean 'pool.memory_mb_max'"),
                                 ("listen = 5\n", 1, "listen"),
                                 ('\nlimits = "lax"\n', 2, "best-effort"),
                                 ("[http]\nheaders_max = 0\n", 2, "headers_max")):
            hearth.config.write_text(text)
            for more in ([], ["--check"]):
                done = self.refuse(*self.options(hearth), *more, status=2, says=[says])
                self.assertTrue(done.stderr.startswith(f"hearthd: {hearth.config}:{line}:"),
                                done.stderr)
        hearth.config.unlink()
        self.refuse(*self.options(hearth), status=2, says=["No such file"])
        self.refuse("--no-such-option", status=2, says=["no-such-option"])
        self.refuse("--limits", "some", status=2, says=["best-effort"])

    def test_check_tells_without_starting(self):
        hearth = self.instance()
        done = subprocess.run([STAGE / "sbin/hearthd", *self.options(hearth), "--check"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("hearthd would start", done.stdout)
        self.assertFalse(hearth.state.exists())
        hearth.config.write_text('host_image = true\nuser = "nobody-such"\n')
        done = subprocess.run([STAGE / "sbin/hearthd", *self.options(hearth), "--check"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("useradd", done.stdout)

    def test_a_state_folder_that_cannot_be_written_is_named(self):
        hearth = self.instance()
        hearth.state.write_text("a file")
        self.refuse(*self.options(hearth), status=1, says=[str(hearth.state)])
        self.refuse(*self.options(hearth, **{"state-dir": "/proc/hearth"}), status=1,
                    says=["/proc/hearth"])
        self.assertEqual(hearth.state.read_text(), "a file")

    def test_a_damaged_table_of_calls_is_named(self):
        hearth = self.instance().start()
        hearth.stop()
        (hearth.state / "inflight").write_bytes(b"no table")
        self.refuse(*self.options(hearth), status=1, says=["inflight"])
        (hearth.state / "inflight").unlink()
        hearth.start()


if __name__ == "__main__":
    unittest.main()
