# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at every step of a call: no record is lost or doubled, no sandbox is left."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fault_bench import Bench, make_cells
from waiting import until

ALL = ("hearthd", "spawner", "init", "runtime")
DAEMONS = ALL[:2]
# step -> who exists then, in the order in which a first call passes them. The ledger's last three
# are its thread's; the call has been answered by then, or is about to be.
STEPS = {
    "call.admitted": DAEMONS, "start.asked": DAEMONS, "start.made": ALL[:3],
    "start.set_up": ALL[:3], "start.started": ALL, "start.loaded": ALL, "call.leased": ALL,
    "table.claiming": ALL, "call.claimed": ALL, "call.sent": ALL, "call.ended": ALL,
    "call.diagnosed": ALL, "table.finishing": ALL, "call.recorded": ALL, "call.released": ALL,
    "recycle.asked": ALL, "answer.written": ALL, "ledger.gathered": ALL,
    "ledger.committing": ALL, "ledger.inserted": ALL, "ledger.freed": ALL, "recycle.done": ALL,
}
RECORD_FROM = list(STEPS).index("call.claimed")


class Python(Bench):
    title = "call of python3"
    extra = "timeout_ms = 30000\n[http]\n"

    def deploy(self):
        self.hearth.python(self.name, "def handle(event, context):\n    return event\n",
                           self.extra, verify=False)

    def call(self):
        return self.hearth.api(
            "POST", f"/v1/tenants/default/functions/{self.name}/invocations", b'"x"')

    def answers(self):
        status, _, body = self.call()
        return status == 200 and body.strip() == b'"x"'

    def cell(self, step, victim):
        self.deploy()
        client = self.stop_at(step, self.call)
        self.assertTrue(self.kill(victim), f"no {victim} at {step}")
        answer = self.go_on(client, victim)
        dies = victim in DAEMONS
        claimed = list(STEPS).index(step) >= RECORD_FROM
        # A claim cut short may be a record or none; whoever lives on finishes the call.
        expected = {1} if claimed else {0} if dies else {0, 1}
        records = self.check_books(answer, expected)
        if dies and claimed:
            self.assertIn(records[0]["outcome"], ("ok", "interrupted", "cancelled", "crashed"))
        until(self.answers, "the function serves")
        self.delete()
        self.check_nothing_leaked()
        return "ok"


make_cells(Python, STEPS)

if __name__ == "__main__":
    unittest.main()
