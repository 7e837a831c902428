# SPDX-License-Identifier: Apache-2.0
"""Records and usage: complete, as promised, exactly one per call, even under SIGKILL."""

import datetime
import http.client
import json
import os
import pathlib
import re
import signal
import sys
import socket
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from books import check_usage
from instance import Instance
from waiting import Background, until

FIELDS = {
    "id": str, "tenant": str, "function": str, "version": int, "trigger": str, "outcome": str,
    "start": str, "received_at": str, "received_at_us": int, "queue_us": int, "init_us": int,
    "run_us": int, "total_us": int, "billed_ms": int, "gb_ms": int, "memory_mb": int,
    "memory_peak_bytes": int, "memory_peak_source": str, "cpu_user_us": int, "cpu_system_us": int,
    "throttled_us": int, "in_bytes": int, "out_bytes": int, "log_bytes": int, "limits": str,
}
# Burns CPU time in a grandchild whose parents are gone, then answers with what it used.
BURNER = """
import os, time
def handle(event, context):
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while time.process_time() < event["s"]: pass
            os.write(write, b"%d" % (time.process_time() * 1e6))
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))
"""
SLEEPER = """
import time
def handle(event, context):
    print("sleeping")
    until = time.monotonic() + event["s"]
    while time.monotonic() < until: time.sleep(0.01)
    return "x" * event.get("n", 1)
"""


class Case(unittest.TestCase):
    def check_arithmetic(self, record):
        self.assertEqual({name: type(value) for name, value in record.items()}, FIELDS)
        self.assertEqual(record["billed_ms"], -(-(record["run_us"] + record["init_us"]) // 1000))
        self.assertEqual(record["gb_ms"], -(-record["memory_mb"] * record["billed_ms"] // 1024))
        parts = record["queue_us"] + record["init_us"] + record["run_us"]
        self.assertGreaterEqual(record["total_us"], parts - 3)  # each is rounded down by itself

    def check_usage(self, hearth):
        """Usage is the sum of the records, however they were made."""
        records = hearth.calls(limit=10000)
        for record in records:
            self.check_arithmetic(record)
        check_usage(self, hearth, records)
        return records


class Records(Case):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)
        cls.hearth.python("sleeper", SLEEPER, "memory_mb = 100\n[http]\n")

    def test_a_record_is_complete_and_computed_as_promised(self):
        before = datetime.datetime.now(datetime.timezone.utc)
        body = b'{"s": 0.3, "n": 500}'
        _, record = self.hearth.invoke("sleeper", body)
        after = datetime.datetime.now(datetime.timezone.utc)
        self.check_arithmetic(record)
        self.assertRegex(record["id"], "^[0-9A-HJKMNP-TV-Z]{26}$")
        expected = {"tenant": "default", "function": "sleeper", "version": 1, "trigger": "cli",
                    "outcome": "ok", "memory_mb": 100, "in_bytes": len(body), "out_bytes": 502,
                    "log_bytes": len("sleeping\n"), "limits": "best-effort", "throttled_us": 0,
                    "memory_peak_source": "polled"}
        self.assertEqual({name: record[name] for name in expected}, expected)
        self.assertTrue(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
                                     record["received_at"]))
        received = datetime.datetime.fromisoformat(record["received_at"])
        self.assertTrue(before <= received <= after, record["received_at"])
        self.assertEqual(round(received.timestamp() * 1e6), record["received_at_us"])
        self.assertTrue(300_000 <= record["run_us"] <= record["total_us"], record)
        self.assertTrue(1 << 20 < record["memory_peak_bytes"] < 100 << 20, record)
        self.assertTrue(0 < record["cpu_user_us"] + record["cpu_system_us"] < 300_000, record)

    def test_the_same_record_by_every_way(self):
        _, record = self.hearth.invoke("sleeper", b'{"s": 0}')
        self.assertEqual(self.hearth.json("call", record["id"]), record)
        self.assertIn(record, self.hearth.json("calls", "--limit", "5"))
        self.assertIn(record, self.hearth.calls(function="sleeper"))
        self.assertIn(record["id"].encode(), self.hearth.cli("calls", "sleeper").stdout)
        status, _, body = self.hearth.api("GET", "/v1/calls/01ARYZ6S41TSV4RRFFQ69G5FAV")
        self.assertEqual((status, json.loads(body)["error"]["kind"]), (404, "not_found"))
        self.assertEqual(self.hearth.api("GET", "/v1/calls/nonsense")[0], 400)
        for bad in ("limit=0", "limit=10001", "limit=x", "since=yesterday", "until=-1"):
            self.assertEqual(self.hearth.api("GET", f"/v1/calls?{bad}")[0], 400, bad)

    def test_lists_are_filtered_and_the_latest_come_first(self):
        ids = [self.hearth.invoke("sleeper", b'{"s": 0}')[1]["id"] for _ in range(3)]
        rows = self.hearth.calls(function="sleeper", limit=2)
        self.assertEqual([row["id"] for row in rows], [ids[2], ids[1]])
        since = rows[1]["received_at_us"]
        rows = self.hearth.calls(function="sleeper", since=since)
        self.assertEqual([row["id"] for row in rows], [ids[2], ids[1]])
        self.assertEqual(self.hearth.calls(outcome="timeout", since=since), [])
        self.assertEqual(self.hearth.calls(tenant="nobody"), [])

    def test_cpu_time_of_grandchildren_is_counted(self):
        self.hearth.python("burner", BURNER, "timeout_ms = 30000\n[http]\n")
        done, record = self.hearth.invoke("burner", b'{"s": 0.5}')
        used = int(done.stdout)
        self.assertGreaterEqual(used, 500_000)
        counted = record["cpu_user_us"] + record["cpu_system_us"]
        self.assertGreaterEqual(counted, used - 5_000)
        self.assertLess(counted, used + 500_000)
        # The next call pays for itself only.
        _, record = self.hearth.invoke("burner", b'{"s": 0}')
        self.assertLess(record["cpu_user_us"] + record["cpu_system_us"], 400_000)

    def test_a_cold_start_is_billed_once(self):
        self.hearth.python("slow-import", "import time\ntime.sleep(0.4)\n"
                           "def handle(event, context): pass\n", "concurrency_max = 1\n[http]\n")
        first = self.hearth.invoke("slow-import")[1]
        self.assertIn(first["start"], ("cold", "generic"))
        self.assertGreaterEqual(first["init_us"], 400_000)
        self.assertGreaterEqual(first["billed_ms"], 400)
        second = self.hearth.invoke("slow-import")[1]
        self.assertEqual((second["start"], second["init_us"]), ("warm", 0))
        self.assertLess(second["run_us"], first["init_us"])

    def test_usage_is_the_sum_of_the_records(self):
        self.hearth.cli("tenant", "create", "acme")
        self.hearth.shell("mixed", 'case "$(cat)" in fail) exit 1;; slow) sleep 9;; esac; echo ok',
                          "timeout_ms = 300\n[http]\n", tenant="acme")
        for body in (b"", b"fail", b"slow", b"fail", b"x" * 1000):
            self.hearth.http("POST", "/fn/acme/mixed", body)
        records = self.check_usage(self.hearth)
        mixed = [record for record in records if record["tenant"] == "acme"]
        self.assertEqual(sorted(record["outcome"] for record in mixed),
                         ["function_error", "function_error", "ok", "ok", "timeout"])
        rows = self.hearth.json("--tenant", "acme", "usage")
        self.assertEqual([(row["calls"], row["errors"]) for row in rows],
                         [(5, {"function_error": 2, "timeout": 1})])

    def test_a_client_that_goes_away_cancels_its_call(self):
        self.hearth.shell("stay", "cat > /dev/null\nsetsid sleep 4242 & sleep 4242",
                          "timeout_ms = 60000\n[http]\n")

        def sleepers():
            found = 0
            for pid in self.hearth.sandbox_pids():
                try:
                    found += b"4242" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    pass
            return found

        client = socket.create_connection(("127.0.0.1", self.hearth.port))
        client.sendall(b"GET /fn/default/stay HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: sleepers() == 2, "the call runs")
        client.close()
        until(lambda: sleepers() == 0, "its processes are gone")
        record = until(lambda: self.hearth.calls(function="stay", outcome="cancelled"), "record")[0]
        self.assertEqual(record["trigger"], "http")
        self.check_arithmetic(record)
        self.assertGreater(record["run_us"], 0)


class Killed(Case):
    """hearthd and hearth-spawner die without a word; the next start makes it good."""

    def setUp(self):
        self.hearth = Instance('[ledger]\ndurability = "%s"\n' % self.durability).start()
        self.addCleanup(self.hearth.close)
        self.answered, self.runs, self.invoked = [], 0, 0  # over all runs
        self.hearth.python("sleeper", SLEEPER, "timeout_ms = 60000\nconcurrency_max = 4\n[http]\n")

    durability = "process"

    def storm(self, answered, stop):
        """Calls until the daemon is gone; notes the id of each answer."""
        while not stop.is_set():
            try:
                status, headers, _ = self.hearth.api(
                    "POST", "/v1/tenants/default/functions/sleeper/invocations", b'{"s": 0.002}')
            except (OSError, EOFError, http.client.HTTPException):
                return
            if status == 200:
                answered.append(headers["hearth-call-id"])

    def sandbox_cgroups(self):
        """By inode, since the next run counts from one again."""
        return {path.stat().st_ino for path in self.hearth.cgroups() if path.name[:2] == "s-"}

    def check_after_restart(self, answered, running):
        old = self.sandbox_cgroups()
        self.assertTrue(old, "the probe finds nothing")
        self.hearth.start()
        until(lambda: not old & self.sandbox_cgroups(), "no cgroup of the killed run is left")
        records = self.check_usage(self.hearth)
        by_id = {record["id"]: record for record in records}
        self.assertEqual(set(answered) - set(by_id), set(), "answered calls without a record")
        for id_ in answered:
            self.assertEqual(by_id[id_]["outcome"], "ok")
        interrupted = [record for record in records if record["outcome"] == "interrupted"]
        self.assertGreaterEqual(len(interrupted), running)
        for record in interrupted:
            self.assertGreaterEqual(record["run_us"],
                                    record["cpu_user_us"] + record["cpu_system_us"])
        # Nothing but these: each client had one call under way that may have ended unanswered.
        records_of_others = len(records) - len(answered) - len(interrupted)
        self.assertLessEqual(records_of_others, 4 * self.runs + self.invoked)
        self.assertEqual([row["name"] for row in self.hearth.json("list")], ["sleeper"])
        self.assertEqual(self.hearth.invoke("sleeper", b'{"s": 0}')[0].stdout, b'"x"')
        self.invoked += 1
        return interrupted

    def kill_in_a_storm(self, victim):
        answered, stop = self.answered, threading.Event()
        enough = len(answered) + 20
        self.runs += 1
        clients = [Background(self.storm, answered, stop) for _ in range(3)]
        slow = Background(self.storm_of_one)
        until(lambda: len(answered) >= enough, "calls are answered")
        pids = self.hearth.sandbox_pids()
        victim()
        self.hearth.process.wait(30)
        stop.set()
        for client in [*clients, slow]:
            client.result()
        self.hearth.process = None
        return answered, pids

    def storm_of_one(self):
        """One call that is certainly running when the daemon dies."""
        try:
            self.hearth.api("POST", "/v1/tenants/default/functions/sleeper/invocations",
                            b'{"s": 50}')
        except (OSError, http.client.HTTPException):
            return

    def test_answered_calls_have_one_record_and_running_ones_are_interrupted(self):
        for _ in range(2):
            answered, pids = self.kill_in_a_storm(lambda: self.hearth.process.kill())
            interrupted = self.check_after_restart(answered, 1)
            long = [record for record in interrupted if record["in_bytes"] == len(b'{"s": 50}')]
            self.assertTrue(long)
            self.assertGreater(long[0]["cpu_user_us"] + long[0]["cpu_system_us"], 0)
            until(lambda: not any(alive(pid) for pid in pids), "processes of the killed run end")

    def spawner(self):
        children = pathlib.Path(f"/proc/{self.hearth.process.pid}/task")
        spawners = [int(pid) for task in children.iterdir()
                    for pid in (task / "children").read_text().split()
                    if pathlib.Path(f"/proc/{pid}/comm").read_text() == "hearth-spawner\n"]
        self.assertEqual(len(spawners), 1)
        return spawners[0]

    def test_a_restart_waits_for_the_spawner_of_the_killed_run(self):
        # That one would kill its sandboxes by names that the next run gives again.
        spawner = self.spawner()
        os.kill(spawner, signal.SIGSTOP)
        self.hearth.process.kill()
        self.hearth.process.wait(30)
        restart = Background(self.hearth.start)
        restart.join(2)
        self.assertTrue(restart.is_alive(), "it did not wait")
        os.kill(spawner, signal.SIGCONT)
        restart.result()
        self.assertFalse(alive(spawner))
        self.assertEqual(self.hearth.invoke("sleeper", b'{"s": 0}')[0].stdout, b'"x"')

    def test_without_its_spawner_hearthd_ends_and_a_restart_recovers(self):
        answered, _ = self.kill_in_a_storm(lambda: os.kill(self.spawner(), signal.SIGKILL))
        self.assertIn("hearth-spawner is gone", self.hearth.log())
        self.check_after_restart(answered, 0)


class KilledWithDurabilityHost(Killed):
    durability = "host"


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
