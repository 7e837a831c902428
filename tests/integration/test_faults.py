# SPDX-License-Identifier: Apache-2.0
"""A host that has no descriptors or no disk space left: errors, never a crash or a lost record."""

import json
import pathlib
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Instance
from waiting import Background, until

SLOW = "timeout_ms = 20000\nconcurrency_max = 8\n[http]\n"


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def idle_cpu_s(pid, seconds=1.0):
    """CPU time that the process takes while nothing is asked of it."""
    before = cpu_s(pid)
    time.sleep(seconds)
    return cpu_s(pid) - before


class Descriptors(unittest.TestCase):
    """hearthd with 64 descriptors, most of them taken when it is up."""

    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance(wrapper=["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]).start()
        cls.addClassCleanup(cls.hearth.close)
        cls.hearth.shell("held", 'cat > /dev/null; sleep 0.5; echo held', SLOW)

    def test_connections_beyond_the_descriptors_wait_or_are_refused(self):
        pid = self.hearth.process.pid
        clients = [socket.create_connection(("127.0.0.1", self.hearth.port)) for _ in range(100)]
        try:
            until(lambda: len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())) >= 60, "all taken")
            self.assertLess(idle_cpu_s(pid), 0.5, "it spins")
            self.assertIsNone(self.hearth.process.poll())
        finally:
            for client in clients:
                client.close()
        answers = lambda: self.hearth.http("POST", "/fn/default/held")[::2] == (200, b"held\n")
        until(answers, "it serves again")

    def test_calls_beyond_the_descriptors_get_errors(self):
        calls = [Background(self.hearth.http, "POST", "/fn/default/held") for _ in range(20)]
        answers = []
        for call in calls:
            try:
                answers.append(call.result())
            except OSError:
                answers.append((503, {}, b'{"error": {"kind": "overloaded"}}'))  # not accepted
        for status, _, body in answers:
            if status == 200:
                self.assertEqual(body, b"held\n")
            else:
                self.assertIn(status, (429, 502, 503))
                self.assertIn("kind", json.loads(body)["error"])
        self.assertIsNone(self.hearth.process.poll())
        answers = lambda: self.hearth.http("POST", "/fn/default/held")[::2] == (200, b"held\n")
        until(answers, "it serves again")
        self.assertLess(idle_cpu_s(self.hearth.process.pid), 0.5, "it spins")


class FullDisk(unittest.TestCase):
    def setUp(self):
        self.hearth = Instance()
        self.addCleanup(self.hearth.close)
        self.hearth.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "hearth-test",
                        self.hearth.state], check=True)
        self.addCleanup(self.unmount)
        self.hearth.start()

    def unmount(self):
        if self.hearth.process is not None:
            self.hearth.stop()
        subprocess.run(["umount", self.hearth.state], check=True)

    def fill(self):
        with open(self.hearth.state / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
        with open(self.hearth.state / "filler2", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def free(self):
        for name in ("filler", "filler2"):
            (self.hearth.state / name).unlink()

    def test_calls_are_refused_while_records_cannot_be_kept(self):
        self.hearth.shell("loud", 'cat; echo "to the log" >&2', SLOW)
        self.assertEqual(self.hearth.http("POST", "/fn/default/loud", b"before")[2], b"before")
        self.fill()
        answered, refused = [], []

        def refuses():
            status, headers, body = self.hearth.http("POST", "/fn/default/loud", b"full")
            if status == 200:
                answered.append(headers["hearth-call-id"])
                return False
            error = json.loads(body)["error"]
            self.assertEqual((error["limit"], error["value"]), (None, None), error)
            refused.append((status, error["kind"], headers["hearth-call-id"]))
            self.assertIn("retry-after", headers)
            return True

        until(refuses, "a call is refused")
        self.assertEqual(refused[0][:2], (503, "overloaded"))
        self.assertEqual(self.hearth.http("GET", "/readyz")[0], 503)
        self.assertEqual(self.hearth.http("GET", "/healthz")[0], 200)
        deploy = self.hearth.deploy({
            "function.toml": 'name = "late"\nruntime = "exec"\nhandler = "run"\n',
            "run": ("#!/bin/sh\n", 0o755), "ballast": "x" * 100_000})
        self.assertGreaterEqual(deploy[0], 500, deploy)
        self.assertIsNone(self.hearth.process.poll())

        self.free()
        until(lambda: self.hearth.http("GET", "/readyz")[0] == 200, "it is ready again")
        status, headers, body = self.hearth.http("POST", "/fn/default/loud", b"after")
        self.assertEqual((status, body), (200, b"after"))
        answered.append(headers["hearth-call-id"])
        recorded = {record["id"] for record in self.hearth.calls(limit=10000)}
        self.assertEqual(set(answered) - recorded, set(), "answered and not recorded")
        self.assertEqual({one[2] for one in refused} & recorded, set())
        self.assertEqual(self.hearth.deploy({
            "function.toml": 'name = "late"\nruntime = "exec"\nhandler = "run"\n',
            "run": ("#!/bin/sh\n", 0o755)})[0], 201)

    def test_sigkill_with_a_full_disk_loses_no_answered_call(self):
        self.hearth.shell("loud", "cat", SLOW)
        self.fill()
        answered = []
        while True:
            status, headers, _ = self.hearth.http("POST", "/fn/default/loud", b"full")
            if status != 200:
                break
            answered.append(headers["hearth-call-id"])
        self.hearth.process.kill()
        self.hearth.process.wait()
        self.free()
        self.hearth.start()
        recorded = {record["id"]: record["outcome"] for record in self.hearth.calls(limit=10000)}
        for call in answered:
            self.assertEqual(recorded.get(call), "ok")


if __name__ == "__main__":
    unittest.main()
