# SPDX-License-Identifier: Apache-2.0
"""How many calls run at once, who waits, and who is refused."""

import json
import pathlib
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Instance
from waiting import Background, until

# The monotonic clock is the host's: calls can be laid side by side.
TIMED = """
import time
def handle(event, context):
    begin = time.monotonic()
    time.sleep(float((event.get("queryStringParameters") or {}).get("s", "0.05")))
    return [begin, time.monotonic()]
"""


def overlap(spans):
    """The most that ran at one time."""
    marks = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = running = 0
    for _, step in marks:
        running += step
        most = max(most, running)
    return most


class Concurrency(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)

    def parallel(self, paths, hearth=None):
        calls = [Background((hearth or self.hearth).http, "GET", path) for path in paths]
        return [call.result() for call in calls]

    def spans(self, answers):
        self.assertEqual([answer for answer in answers if answer[0] != 200], [])
        return [json.loads(body) for _, _, body in answers]

    def test_fifty_calls_never_have_more_than_concurrency_max_sandboxes(self):
        self.hearth.python("four", TIMED, "concurrency_max = 4\ntimeout_ms = 20000\n[http]\n")
        most, stop = [0], threading.Event()

        def watch():
            while not stop.is_set():
                row = next(row for row in self.hearth.json("status")["functions"]
                           if row["name"] == "four")
                most[0] = max(most[0], row["ready"] + row["running"])

        watcher = Background(watch)
        spans = self.spans(self.parallel(["/fn/default/four"] * 50))
        stop.set()
        watcher.result()
        self.assertEqual(len(spans), 50)
        self.assertLessEqual(overlap(spans), 4)
        self.assertGreaterEqual(overlap(spans), 2, "nothing ran side by side")
        self.assertTrue(1 <= most[0] <= 4, most)
        self.assertEqual(len(self.hearth.calls(function="four", limit=1000)), 50)

    def test_concurrency_max_1_never_overlaps(self):
        self.hearth.python("single", TIMED, "concurrency_max = 1\ntimeout_ms = 20000\n[http]\n")
        spans = self.spans(self.parallel(["/fn/default/single"] * 8))
        self.assertEqual(overlap(spans), 1)

    def test_a_tenants_concurrency_covers_all_its_functions(self):
        status, _, body = self.hearth.api("POST", "/v1/tenants",
                                          b'{"name": "narrow", "concurrency_max": 2}')
        self.assertEqual(status, 201, body)
        for name in ("one", "two", "three"):
            self.hearth.python(name, TIMED, "timeout_ms = 20000\n[http]\n", tenant="narrow")
        paths = [f"/fn/narrow/{name}" for name in ("one", "two", "three")] * 4
        spans = self.spans(self.parallel(paths))
        self.assertLessEqual(overlap(spans), 2)

    def test_one_tenants_burst_does_not_hold_up_another(self):
        self.hearth.cli("tenant", "create", "loud")
        self.hearth.cli("tenant", "create", "quiet")
        section = "concurrency_max = 2\ntimeout_ms = 20000\n[http]\n"
        self.hearth.python("burst", TIMED, section, tenant="loud")
        self.hearth.shell("small", "echo ok", tenant="quiet")
        burst = [Background(self.hearth.http, "GET", "/fn/loud/burst?s=0.5") for _ in range(16)]
        until(lambda: self.hearth.json("status")["sandboxes"]["waiting"] >= 8, "many wait")
        self.assertEqual(self.hearth.http("GET", "/fn/quiet/small")[2], b"ok\n")
        self.assertTrue(any(call.is_alive() for call in burst), "the burst was over before")
        self.spans([call.result() for call in burst])


class Refused(unittest.TestCase):
    """A host whose queue is short."""

    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance("[pool]\nwaiting_per_function_max = 2\nwait_ms_max = 3000\n")
        cls.hearth.start()
        cls.addClassCleanup(cls.hearth.close)
        cls.hearth.python("slow", TIMED, "concurrency_max = 1\ntimeout_ms = 20000\n[http]\n")

    def check_refused(self, answer, status, kind, limit, value, hearth=None):
        got, headers, body = answer
        error = json.loads(body)["error"]
        self.assertEqual((got, error["kind"], error["limit"], error["value"]),
                         (status, kind, limit, value), error)
        self.assertGreaterEqual(int(headers["retry-after"]), 1)
        got, _, _ = (hearth or self.hearth).api("GET", "/v1/calls/" + headers["hearth-call-id"])
        self.assertEqual(got, 404, "a refused call has no record")

    def test_what_the_queue_cannot_hold_is_429(self):
        calls = [Background(self.hearth.http, "GET", "/fn/default/slow?s=6")]
        waiting = lambda: self.hearth.json("status")["sandboxes"]["waiting"]
        running = lambda: self.hearth.json("status")["sandboxes"]["running"]
        until(running, "the first runs")
        calls += [Background(self.hearth.http, "GET", "/fn/default/slow?s=6") for _ in range(2)]
        until(lambda: waiting() == 2, "two wait")
        answer = self.hearth.http("GET", "/fn/default/slow")
        self.check_refused(answer, 429, "concurrency", "pool.waiting_per_function_max", 2)
        answers = [call.result() for call in calls]
        self.assertEqual(answers[0][0], 200)
        for answer in answers[1:]:  # the first one takes longer than they may wait
            self.check_refused(answer, 429, "concurrency", "pool.wait_ms_max", 3000)
        done, record = self.hearth.invoke("slow")
        self.assertEqual((done.returncode, record["outcome"]), (0, "ok"))

    def test_what_all_queues_together_cannot_hold_is_429(self):
        with Instance("[pool]\nwaiting_max = 1\n") as hearth:
            hearth.python("slow", TIMED, "concurrency_max = 1\ntimeout_ms = 20000\n[http]\n")
            counts = lambda: hearth.json("status")["sandboxes"]
            calls = [Background(hearth.http, "GET", "/fn/default/slow?s=3")]
            until(lambda: counts()["running"], "the first runs")
            calls += [Background(hearth.http, "GET", "/fn/default/slow")]
            until(lambda: counts()["waiting"] == 1, "one waits")
            answer = hearth.http("GET", "/fn/default/slow")
            self.check_refused(answer, 429, "concurrency", "pool.waiting_max", 1, hearth)
            self.assertEqual([call.result()[0] for call in calls], [200, 200])

    def test_a_function_larger_than_the_hosts_share_is_503(self):
        with Instance() as hearth:
            hearth.python("large", TIMED, "memory_mb = 256\n[http]\n")
            hearth.stop()
            hearth.config.write_text(hearth.config.read_text() + "[pool]\nmemory_mb_max = 128\n")
            hearth.start()
            answer = hearth.http("GET", "/fn/default/large")
            self.check_refused(answer, 503, "overloaded", "pool.memory_mb_max", 128, hearth)


if __name__ == "__main__":
    unittest.main()
