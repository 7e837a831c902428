# SPDX-License-Identifier: Apache-2.0
"""Clients that go away while their call runs: who ends it, what is recorded, what others feel."""

import json
import signal
import socket
import time
import unittest
import zlib

from tests.support.books import all_records, check_usage
from tests.support.instance import Instance
from tests.support.waiting import until

# Answers with how many calls its process has had.
COUNTER = """
import time
calls = 0
def handle(event, context):
    global calls
    calls += 1
    if event.get("burn"):
        deadline = time.monotonic() + event["burn"]
        while time.monotonic() < deadline: pass
    time.sleep(event.get("s", 0))
    return calls
"""
NODE_COUNTER = """
let calls = 0;
exports.handle = async (event) => {
  ++calls;
  await new Promise(done => setTimeout(done, 1000 * (event.s || 0)));
  return calls;
};
"""
ONE = "concurrency_max = 1\ntimeout_ms = 20000\n[http]\n"


class ClientsGone(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)

    def client(self, name, body, hearth=None):
        """A client whose request is sent."""
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.connect(str((hearth or self.hearth).run / "hearth.sock"))
        connection.sendall(b"POST /v1/tenants/default/functions/%s/invocations HTTP/1.1\r\n"
                           b"Host: x\r\nContent-Length: %d\r\n\r\n" % (name.encode(), len(body)))
        connection.sendall(body)
        return connection

    def running(self, hearth=None):
        status = json.loads((hearth or self.hearth).api("GET", "/v1/status")[2])
        return status["sandboxes"]["running"]

    def cancelled(self, name):
        return self.hearth.calls(function=name, outcome="cancelled")

    def leave(self, name, event, after_s=0.01):
        """A call whose client goes away while it runs; its record."""
        before = len(self.cancelled(name))
        body = event if isinstance(event, bytes) else json.dumps(event).encode()

        def left():
            client = self.client(name, body)
            time.sleep(after_s)
            client.close()
            # There is none, and another is to be made, if it still waited for the sandbox.
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline and len(self.cancelled(name)) == before:
                time.sleep(0.01)
            return len(self.cancelled(name)) > before

        until(left, "the record")
        return self.cancelled(name)[0]

    def count(self, name):
        done, _ = self.hearth.invoke(name, b"{}")
        return json.loads(done.stdout)

    def test_a_process_ends_the_call_of_a_client_that_left_and_serves_on(self):
        self.hearth.python("keeps", COUNTER, 'reuse = "process"\n' + ONE)
        self.assertEqual(self.count("keeps"), 1)
        record = self.leave("keeps", {"s": 0.06})
        self.assertGreater(record["run_us"], 55_000, "it ended by itself")
        self.assertEqual(self.count("keeps"), 3, "a new process")

    def test_node_keeps_its_process_too(self):
        self.hearth.function("nodekeeps", "nodejs", "main.handle", {"main.js": NODE_COUNTER},
                             'reuse = "process"\n' + ONE)
        self.assertEqual(self.count("nodekeeps"), 1)
        self.leave("nodekeeps", {"s": 0.06})
        self.assertEqual(self.count("nodekeeps"), 3, "a new process")

    def test_a_call_that_lasts_longer_is_killed_soon(self):
        self.hearth.python("lasts", COUNTER, 'reuse = "process"\n' + ONE)
        self.assertEqual(self.count("lasts"), 1)
        record = self.leave("lasts", {"s": 15})
        self.assertGreaterEqual(record["run_us"], 100_000)
        self.assertLess(record["run_us"], 3_000_000)
        self.assertEqual(self.count("lasts"), 1, "the process of the killed call")

    def test_one_that_spins_is_killed_and_its_time_is_billed(self):
        self.hearth.python("spins", COUNTER, 'reuse = "process"\n' + ONE)
        self.assertEqual(self.count("spins"), 1)
        record = self.leave("spins", {"burn": 15})
        used = record["cpu_user_us"] + record["cpu_system_us"]
        self.assertGreater(used, 50_000)
        self.assertLess(record["run_us"], 3_000_000)
        self.assertEqual(record["billed_ms"], -(-(record["run_us"] + record["init_us"]) // 1000))

    def test_a_slow_start_is_worth_a_longer_wait(self):
        self.hearth.python("slowstart", "import time\ntime.sleep(0.8)\n" + COUNTER,
                           'reuse = "process"\n' + ONE)
        self.assertEqual(self.count("slowstart"), 1)
        self.leave("slowstart", {"s": 0.4})
        self.assertEqual(self.count("slowstart"), 3)

    def test_the_deadline_still_holds(self):
        self.hearth.python("late", "import time\ntime.sleep(0.8)\n" + COUNTER,
                           'reuse = "process"\nconcurrency_max = 1\ntimeout_ms = 200\n[http]\n')
        self.assertEqual(self.count("late"), 1)
        record = self.leave("late", {"s": 0.7})
        self.assertLess(record["run_us"], 600_000)
        self.assertEqual(self.count("late"), 1, "the process of the killed call")

    def test_fresh_calls_keep_their_sandbox(self):
        self.hearth.python("fresh", COUNTER, 'reuse = "sandbox"\n' + ONE)
        self.assertEqual(self.count("fresh"), 1)
        _, before = self.hearth.invoke("fresh", b"{}")
        self.leave("fresh", {"s": 0.05})
        done, after = self.hearth.invoke("fresh", b"{}")
        self.assertEqual(json.loads(done.stdout), 1, "not a fresh process")
        self.assertEqual((before["start"], after["start"]), ("warm", "warm"))

    def test_never_is_killed_at_once(self):
        self.hearth.python("never", COUNTER, 'reuse = "never"\n' + ONE)
        self.count("never")
        client = self.client("never", b'{"s": 15}')
        until(lambda: self.running() == 1, "it runs")
        left = time.monotonic()
        client.close()
        until(lambda: self.cancelled("never"), "the record")
        self.assertLess(time.monotonic() - left, 5)
        self.assertEqual(len(self.cancelled("never")), 1)

    def test_input_that_is_not_sent_yet_reaches_the_function_whole(self):
        """The body belongs to the client's connection, which goes."""
        self.hearth.python("reads", "import zlib\nseen = []\n"
                           "def handle(event, context):\n"
                           "    seen.append(zlib.crc32(str(event).encode()))\n"
                           "    return seen\n", 'reuse = "process"\n' + ONE)
        self.hearth.invoke("reads", b'"first"')
        texts = ["%d " % i * 600_000 for i in range(10)]
        for text in texts:
            self.leave("reads", text, after_s=0)
        done, _ = self.hearth.invoke("reads", b'"last"')
        expected = [zlib.crc32(text.encode()) for text in ["first", *texts, "last"]]
        self.assertEqual(json.loads(done.stdout), expected)

    def test_input_of_a_program_reaches_it_whole(self):
        self.hearth.shell("counts", "sleep 0.02; wc -c >&2; echo x", 'reuse = "sandbox"\n' + ONE)
        self.hearth.invoke("counts", b"x")
        for _ in range(5):
            self.leave("counts", b"x" * 3_000_000, after_s=0)
        logs = self.hearth.cli("logs", "counts").stdout.decode()
        self.assertEqual(logs.count("3000000"), 5, logs)
        _, record = self.hearth.invoke("counts", b"x")
        self.assertEqual(record["start"], "warm")

    def test_input_that_nobody_reads_holds_nothing(self):
        self.hearth.shell("deaf", "sleep 15", 'reuse = "sandbox"\n' + ONE)
        for i in range(5):
            client = self.client("deaf", b"x" * 4_000_000)
            until(lambda: self.running() == 1, "it runs")
            client.close()
            until(lambda: len(self.cancelled("deaf")) == i + 1, "the record")
        self.assertLess(max(row["run_us"] for row in self.cancelled("deaf")), 10_000_000)

    def test_a_client_that_leaves_at_the_end_of_a_failing_call_ends_no_process(self):
        self.hearth.python("fails", "calls = 0\ndef handle(event, context):\n"
                           "    global calls\n    calls += 1\n"
                           "    if event: raise ValueError(calls)\n    return calls\n",
                           'reuse = "process"\n' + ONE)
        self.hearth.invoke("fails", b"{}")
        for i in range(200):
            client = self.client("fails", b'{"x": 1}')
            time.sleep(0.00002 * i)
            client.close()
        until(lambda: self.running() == 0, "all ended")
        self.hearth.invoke("fails", b"{}")
        rows = self.hearth.calls(function="fails", limit=10000)
        self.assertEqual(len([row for row in rows if row["start"] != "warm"]), 1, "processes lost")

    def test_a_late_answer_is_never_given_to_the_next_call(self):
        self.hearth.python(
            "secrets",
            "import time\ndef handle(event, context):\n"
            "    time.sleep(event['s'])\n    return event['id']\n",
            'reuse = "process"\n' + ONE)
        self.hearth.invoke("secrets", b'{"s": 0, "id": "first"}')
        for i in range(40):
            left = {"s": 0.004 * i, "id": f"left-{i}"}
            client = self.client("secrets", json.dumps(left).encode())
            time.sleep(0.01)
            client.close()
            done, _ = self.hearth.invoke("secrets", b'{"s": 0, "id": "own-%d"}' % i)
            self.assertEqual(json.loads(done.stdout), f"own-{i}")

    def test_a_thousand_clients_that_leave_cost_no_process_and_every_call_is_recorded(self):
        self.hearth.python("storm", COUNTER, 'reuse = "process"\nconcurrency_max = 4\n[http]\n')
        self.count("storm")
        for _ in range(50):
            clients = [self.client("storm", b'{"s": 0.001}') for _ in range(20)]
            time.sleep(0.005)
            for client in clients:
                client.close()
        until(lambda: self.running() == 0, "all ended")
        records = all_records(self.hearth, "storm")
        self.assertGreater(len(records), 100)  # who left while it waited has none
        cold = [row for row in records if row["start"] != "warm"]
        self.assertLessEqual(len(cold), 4, "processes were lost")
        self.assertLessEqual({row["outcome"] for row in records}, {"ok", "cancelled"})
        check_usage(self, self.hearth, all_records(self.hearth))

    def test_a_stop_within_the_wait_loses_nothing(self):
        with Instance() as hearth:
            hearth.python("stops", "import time\ntime.sleep(0.9)\n" + COUNTER,
                          'reuse = "process"\n' + ONE)
            hearth.invoke("stops", b"{}")
            client = self.client("stops", b'{"s": 0.5}', hearth)
            until(lambda: self.running(hearth) == 1, "it runs")
            client.close()
            hearth.restart(signal.SIGTERM)
            rows = hearth.calls(function="stops")
            self.assertEqual(sorted(row["outcome"] for row in rows), ["cancelled", "ok"])


if __name__ == "__main__":
    unittest.main()
