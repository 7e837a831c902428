# SPDX-License-Identifier: Apache-2.0
"""A daemon that cannot be reached, and a command line that is wrong."""

import os
import socket
import subprocess
import threading
import unittest

from case import FUNCTIONS, HEARTH, Case
from fake_hearthd import Answer


class Unreachable(Case):
    def test_no_socket(self):
        line = self.fails(3, "list", socket_path="/nonexistent/hearth.sock")
        self.assertIn(
            "cannot reach hearthd at '/nonexistent/hearth.sock': no such socket; start hearthd",
            line,
        )

    def test_nobody_listens(self):
        path = os.path.join(self.daemon.folder.name, "dead.sock")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        self.assertIn("nobody listens", self.fails(3, "invoke", "x", socket_path=path))

    def test_no_permission(self):
        if os.geteuid() != 0:
            self.lacks("only root can become somebody without the right")
        os.chmod(self.daemon.folder.name, 0o755)
        os.chmod(self.daemon.socket, 0o600)
        result = subprocess.run(
            [HEARTH, "--socket", self.daemon.socket, "list"],
            capture_output=True,
            user=65534,
            group=65534,
            extra_groups=[],
        )
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"permission denied; add your account to the group hearth", result.stderr)

    def test_a_path_that_no_socket_can_have_is_wrong_usage(self):
        self.assertIn("1 to 107 bytes", self.fails(2, "list", socket_path="/" + "x" * 200))

    def test_the_environment_names_the_socket_and_the_option_wins(self):
        self.daemon.on("GET", FUNCTIONS, Answer("[]"))
        env = {"HEARTH_SOCKET": self.daemon.socket, "http_proxy": "http://127.0.0.1:1"}
        result = subprocess.run([HEARTH, "list", "--json"], env=env, capture_output=True)
        self.assertEqual((result.returncode, result.stdout), (0, b"[]\n"), result.stderr)
        env["HEARTH_SOCKET"] = "/nonexistent"
        self.assertEqual(self.ok("list", "--json", env=env), "[]\n")

    def test_a_daemon_that_says_nothing(self):
        path = os.path.join(self.daemon.folder.name, "mute.sock")
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(path)
            mute.listen(1)

            def close_at_once():
                connection, _ = mute.accept()
                connection.recv(65536)
                connection.close()

            threading.Thread(target=close_at_once, daemon=True).start()
            self.assertIn(
                "went away in the middle of its answer, after 0 bytes",
                self.fails(3, "list", socket_path=path),
            )


class Usage(Case):
    def test_wrong_usage_is_status_2_and_one_line(self):
        for args, expected in [
            (["deplyo"], "unknown command 'deplyo'; did you mean 'deploy'?"),
            (["frobnicate"], "unknown command 'frobnicate'; see 'hearth --help'"),
            (["tenant", "craete"], "unknown command 'craete'; did you mean 'create'?"),
            (["list", "--jsno"], "unknown option '--jsno'; did you mean '--json'?"),
            (["list", "--xyzzy=1"], "unknown option '--xyzzy'; see 'hearth list --help'"),
            (["list", "extra"], "unexpected argument 'extra'"),
            ([], "a command is needed; see 'hearth --help'"),
            (["tenant"], "a command is needed; see 'hearth tenant --help'"),
            (["invoke"], "FUNCTION is required; see 'hearth invoke --help'"),
            (["calls", "--limit", "0"], "--limit"),
            (["calls", "--limit", "many"], "--limit"),
            (["completions", "tcsh"], "tcsh"),
        ]:
            with self.subTest(args):
                result = self.hearth(*args)
                self.assertEqual((result.returncode, result.stdout), (2, b""))
                self.assertEqual(len(result.stderr.splitlines()), 1)
                self.assertIn(expected, result.stderr.decode())
        self.assertEqual(self.daemon.asked, [])

    def test_help_and_version_are_no_errors(self):
        self.assertRegex(self.ok("--version"), r"^hearth \d+\.\d+\.\d+\n$")
        self.assertIn("Exit status:", self.ok("--help"))
        self.assertIn("--no-verify", self.ok("deploy", "--help"))


if __name__ == "__main__":
    unittest.main()
