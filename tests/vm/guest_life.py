# SPDX-License-Identifier: Apache-2.0
"""Starts, restarts, stops and deaths under systemd. The last test leaves the service stopped."""

import http.client
import json
import os
import pathlib
import threading
import time
import unittest

from service import SOCKET_UNIT, UNIT, UNIT_CGROUP, Service, run, show
from waiting import Background, until

LIMIT_S = 180
SANDBOX_IDS = range(0x70000000, 0x70000000 + 4096 * 65536)


class Load:
    """Clients that ask for the same function again and again, on a new connection each time."""

    def __init__(self, path, clients):
        self.path, self.ended = path, False
        self.answers, self.lost = [], []
        self.threads = [threading.Thread(target=self.client) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def client(self):
        while not self.ended:
            connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=LIMIT_S)
            try:
                connection.request("GET", self.path)
                response = connection.getresponse()
                self.answers.append((time.monotonic(), response.status, response.read()))
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            finally:
                connection.close()

    def end(self):
        self.ended = True
        for thread in self.threads:
            thread.join(LIMIT_S)


def processes():
    """Those of Hearth, and any with an id of a sandbox."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            name, uid = (folder / "comm").read_text().strip(), folder.stat().st_uid
        except OSError:
            continue
        if name.startswith("hearth-") or name == "hearthd" or uid in SANDBOX_IDS:
            found.append((folder.name, name, uid))
    return found


class Life(unittest.TestCase):
    def setUp(self):
        self.hearth = Service()

    def test_a_cgroup_that_systemd_kept_is_refused_and_a_delegated_one_taken(self):
        run("mkdir", "-p", "/var/tmp/other")
        command = ["/usr/sbin/hearthd", "--state-dir", "/var/tmp/other/state", "--runtime-dir",
                   "/var/tmp/other/run", "--listen", "127.0.0.1:0", "--limits", "strict"]
        unit = ["systemd-run", "--wait", "--pipe", "--quiet"]
        kept = run(*unit, *command, check=False)
        self.assertEqual(kept.returncode, 1, kept.stdout + kept.stderr)
        self.assertIn("did not delegate", kept.stderr)
        for options, says in (([], "lacks delegation"), (["-p", "Delegate=yes"], "would start")):
            self.assertIn(says, run(*unit, *options, *command, "--check", check=False).stdout)

    def test_either_socket_starts_the_service(self):
        for ask in (lambda: self.hearth.http("GET", "/fn/default/first", limit_s=LIMIT_S)[2],
                    lambda: self.hearth.invoke("first", data=b"")[0].stdout):
            run("systemctl", "stop", UNIT)
            self.assertEqual((show(UNIT, "ActiveState"), show(SOCKET_UNIT, "ActiveState")),
                             ("inactive", "active"))
            self.assertEqual(ask(), b"first\n")
            self.assertEqual(show(UNIT, "ActiveState"), "active")
        socket = self.hearth.run / "hearth.sock"
        self.assertEqual((socket.group(), oct(socket.stat().st_mode & 0o777)), ("hearth", "0o660"))

    def test_a_restart_under_load_loses_no_request(self):
        begin = time.time()
        load = Load("/fn/default/first", clients=3)
        try:
            until(lambda: len(load.answers) >= 10, "answers before", LIMIT_S)
            run("systemctl", "restart", UNIT)
            back = time.monotonic()
            until(lambda: load.answers[-1][0] > back, "answers after", LIMIT_S)
        finally:
            load.end()
        self.assertEqual(load.lost, [])
        self.assertEqual({(status, body) for _, status, body in load.answers}, {(200, b"first\n")})
        since = int(begin * 1e6)
        records = self.hearth.calls(function="first", since=since, limit=1000)
        self.assertEqual(len(records), len(load.answers))
        print(f"a restart under load: {len(load.answers)} requests, none lost")

    def test_a_stop_waits_for_the_call_in_flight(self):
        call = Background(self.hearth.call, "steady", "sleep", seconds=10)
        until(lambda: self.hearth.running() == 1, "it runs", LIMIT_S)
        run("systemctl", "stop", UNIT)
        status, answer, record = call.result(LIMIT_S)
        self.assertEqual((status, answer, record["outcome"]), (200, "slept", "ok"))
        self.assertEqual((show(UNIT, "ActiveState"), show(UNIT, "Result")), ("inactive", "success"))
        self.assertEqual(self.hearth.api("GET", f"/v1/calls/{record['id']}", limit_s=LIMIT_S)[0],
                         200)

    def test_without_process_ids_calls_are_refused_until_there_are_some(self):
        self.hearth.shell("plain", "cat", 'reuse = "never"\n[http]\n')
        self.assertEqual(self.hearth.http("POST", "/fn/default/plain", b"x", limit_s=LIMIT_S)[0],
                         200)
        daemon = self.hearth.pid()
        used = int((UNIT_CGROUP / "pids.current").read_text())
        limit = ["systemctl", "set-property", "--runtime", UNIT]
        self.addCleanup(run, *limit, "TasksMax=infinity")
        run(*limit, f"TasksMax={used}")
        for _ in range(5):
            status, _, body = self.hearth.http("POST", "/fn/default/plain", b"x", limit_s=LIMIT_S)
            if status != 200:  # at first what is ready serves
                break
        # A sandbox that was made before fails in its call: the kernel counts the refusal there,
        # whosever limit it was.
        self.assertIn((status, json.loads(body)["error"]["kind"]),
                      ((503, "overloaded"), (502, "processes_exceeded")))
        run(*limit, "TasksMax=infinity")
        until(lambda: self.hearth.http("POST", "/fn/default/plain", b"x", limit_s=LIMIT_S)[2]
              == b"x", "it serves again", LIMIT_S)
        self.assertEqual(self.hearth.pid(), daemon)

    def test_a_killed_daemon_comes_back_and_bills_what_ran(self):
        restarts = int(show(UNIT, "NRestarts"))
        call = Background(self.hearth.call, "steady", "burn", seconds=1, sleep=600)
        until(lambda: self.hearth.running() == 1, "it runs", LIMIT_S)
        time.sleep(6)  # a second of processor time, and some
        os.kill(self.hearth.pid(), 9)
        with self.assertRaises((OSError, http.client.HTTPException)):
            call.result(LIMIT_S)
        until(lambda: int(show(UNIT, "NRestarts")) == restarts + 1
              and show(UNIT, "ActiveState") == "active", "systemd started it again", LIMIT_S)
        (record,) = self.hearth.calls(function="steady", outcome="interrupted")
        self.assertGreaterEqual(record["cpu_user_us"] + record["cpu_system_us"], 1_000_000)
        self.assertGreaterEqual(record["billed_ms"], 1000)

    def test_z_after_a_stop_nothing_is_left(self):
        self.assertNotEqual(processes(), [])
        run("systemctl", "stop", UNIT, SOCKET_UNIT)
        self.assertEqual(processes(), [])
        self.assertFalse(UNIT_CGROUP.exists())
        self.assertEqual(list(self.hearth.run.iterdir()), [])
        self.assertNotIn("hearth", pathlib.Path("/proc/self/mountinfo").read_text())
        kinds = run("lsns", "--noheadings", "--output", "TYPE").stdout.split()
        self.assertEqual((kinds.count("user"), kinds.count("net")), (1, 1))
        self.assertEqual(run("losetup", "-a").stdout, "")
