# SPDX-License-Identifier: Apache-2.0
"""A disk that refuses the ledger, and a clock that is set. Calls are refused with a reason, or
served and recorded; when the fault is over hearthd serves as before."""

import datetime
import errno
import http.client
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from books import all_records, check_usage, seen
from host_faults import Case
from waiting import Background, until


class Ledger(Case):
    """The database refuses every write and sync; the table in memory holds what it can."""
    config = "[pool]\nsandboxes_max = 32\n[ledger]\nslots = 64\n"

    def check_errno(self, error):
        answers = [self.call() for _ in range(3)]
        self.refuse("/ledger.db", error)

        def refuses():
            answers.append(self.call())
            return answers[-1][0] != 200

        until(refuses, "calls are refused")
        status, headers, body = answers[-1]
        told = json.loads(body)["error"]
        self.assertEqual((status, told["kind"], told["stage"]), (503, "overloaded", "admit"))
        self.assertIn("the ledger takes no records: commit records", told["message"])
        self.assertIn("ledger.db", told["message"])
        self.assertIn("retry-after", headers)
        self.assertEqual(self.hearth.http("GET", "/readyz")[0], 503)
        self.assertEqual(self.hearth.http("GET", "/healthz")[0], 200)
        until(lambda: "the ledger takes no records" in self.hearth.log(), "the log says so")
        self.set()
        until(self.serves, "it serves again")
        until(lambda: "the ledger takes records again" in self.hearth.log(), "the log says so")
        self.check_books(answers)

    def check_books(self, answers):
        records = all_records(self.hearth, "echo")
        check_usage(self, self.hearth, all_records(self.hearth))
        by_id = {record["id"]: record["outcome"] for record in records}
        for answer in answers:
            call, outcome = seen(answer)
            self.assertEqual(by_id.get(call), "ok" if outcome == "ok" else None)

    def test_eio(self):
        self.check_errno(errno.EIO)

    def test_enospc(self):
        self.check_errno(errno.ENOSPC)

    def test_erofs(self):
        self.check_errno(errno.EROFS)

    def test_sigkill_while_it_refuses_loses_no_answered_call(self):
        self.refuse("/ledger.db", errno.EIO)
        answers = []
        for _ in range(100):
            answers.append(self.call())
            if answers[-1][0] != 200:
                break
        self.assertEqual(answers[-1][0], 503)
        self.hearth.process.kill()
        self.hearth.process.wait()
        # It starts on a disk that still refuses, and says that it is not ready.
        try:
            self.hearth.start()
            self.assertEqual(self.hearth.http("GET", "/readyz")[0], 503)
            self.assertEqual(self.call()[0], 503)
        except RuntimeError as refusal:
            self.assertIn("ledger.db", str(refusal))
            self.set()
            self.hearth.start()
        self.set()
        until(self.serves, "it serves")
        self.check_books(answers)


class LedgerWithDurabilityHost(Ledger):
    """No answer leaves before its record is on the disk: those under way wait for it."""
    config = "[pool]\nsandboxes_max = 32\n[ledger]\ndurability = \"host\"\nslots = 64\n"

    def check_errno(self, error):
        self.assertEqual(self.call()[0], 200)
        self.refuse("/ledger.db", error)
        waiting = Background(self.call)
        until(lambda: self.hearth.http("GET", "/readyz")[0] == 503, "it is not ready")
        self.assertEqual(self.call()[0], 503)
        self.assertTrue(waiting.is_alive(), "answered and not recorded")
        self.set()
        answer = waiting.result()
        self.assertEqual(answer[0], 200)
        until(self.serves, "it serves again")
        self.check_books([answer])

    def test_sigkill_while_it_refuses_loses_no_answered_call(self):
        self.refuse("/ledger.db", errno.EIO)
        waiting = Background(self.call)
        until(lambda: self.hearth.http("GET", "/readyz")[0] == 503, "it is not ready")
        self.hearth.process.kill()
        self.hearth.process.wait()
        with self.assertRaises((OSError, http.client.HTTPException)):
            waiting.result()
        self.set()
        self.hearth.start()
        records = all_records(self.hearth, "echo")
        self.assertEqual([record["outcome"] for record in records], ["ok"])
        check_usage(self, self.hearth, records)


class Clock(Case):
    """The wall clock is set while calls run: durations and deadlines do not follow it."""

    def runs(self):
        return json.loads(self.hearth.api("GET", "/v1/status")[2])["sandboxes"]["running"] > 0

    def test_steps_change_neither_durations_nor_deadlines_nor_order(self):
        self.hearth.python("nap", "import time\ndef handle(event, context):\n"
                           "    time.sleep(2)\n", "timeout_ms = 60000\n[http]\n")
        self.hearth.python("late", "import time\ndef handle(event, context):\n"
                           "    time.sleep(60)\n", "timeout_ms = 700\n[http]\n")
        self.hearth.http("POST", "/fn/default/nap")
        ids = []
        for offset in (86400, -86400, 0):
            call = Background(self.hearth.http, "POST", "/fn/default/nap")
            late = Background(self.hearth.http, "POST", "/fn/default/late")
            until(self.runs, "one of them runs")
            self.set(clock_offset_s=offset)
            status, headers, _ = call.result()
            self.assertEqual(status, 200)
            ids.append(headers["hearth-call-id"])
            self.assertEqual(seen(late.result())[1], "timeout")
        records = {record["id"]: record for record in all_records(self.hearth, "nap")}
        for call in ids:
            self.assertTrue(2_000_000 <= records[call]["run_us"] < 60_000_000, records[call])
            self.assertLess(records[call]["total_us"], 120_000_000)
        for record in all_records(self.hearth, "late"):
            self.assertTrue(700_000 <= record["run_us"] < 60_000_000, record)
        # Ids never run backwards, so a list by id is in the order in which calls were made.
        self.assertEqual(ids, sorted(ids))
        listed = [record["id"] for record in all_records(self.hearth, "nap")]
        self.assertEqual(listed, sorted(listed, reverse=True))
        check_usage(self, self.hearth, all_records(self.hearth))

    def test_records_of_a_step_count_for_the_day_that_the_clock_showed(self):
        self.set(clock_offset_s=3 * 86400)
        day = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(3)).date()
        self.assertTrue(self.serves())
        self.set()
        self.assertTrue(self.serves())
        rows = json.loads(self.hearth.api("GET", "/v1/usage")[2])
        self.assertIn(day.isoformat(), [row["day"] for row in rows])
        self.assertEqual(sum(row["calls"] for row in rows), 2)
        self.hearth.restart()
        self.assertTrue(self.serves())
        check_usage(self, self.hearth, all_records(self.hearth))


if __name__ == "__main__":
    unittest.main()
