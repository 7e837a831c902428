# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at every step of a call: no record is lost or doubled, no sandbox is left."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fault_bench import Bench, echo_program, make_cells
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
EXEC = 'body=$(cat); [ "$body" != \'"stay"\' ] || sleep 60; printf %s "$body"'
HOST_STEPS = ("call.diagnosed", "table.finishing", "ledger.gathered", "ledger.committing",
              "ledger.inserted", "ledger.freed", "call.recorded", "answer.written")
ENDED = ("call.ended", "call.diagnosed", "table.finishing", "call.recorded",
              "call.released", "recycle.asked")
FRAMED_STEPS = ("start.started", "start.loaded", "call.leased", "call.sent", "call.ended",
                "call.released", "recycle.asked", "recycle.done")
PROCESS_STEPS = ("call.leased", "call.sent", "call.ended", "call.released")
RECORD_FROM = list(STEPS).index("call.claimed")


class Call(Bench):
    def cell(self, step, victim):
        self.deploy()
        # Of those that call.sent does not stop, a program has to be still there.
        body = b'"stay"' if (step, victim) == ("call.sent", "runtime") else b'"x"'
        client = self.stop_at(step, self.call, body)
        self.kill(victim)
        answer = self.go_on(client, victim)
        dies = victim in DAEMONS
        claimed = list(STEPS).index(step) >= RECORD_FROM
        # A hearthd that lives on may get further with the call.
        expected = {1} if claimed else {0} if victim == "hearthd" else {0, 1}
        records = self.check_books(answer, expected)
        if dies and claimed:
            self.assertIn(records[0]["outcome"], ("ok", "interrupted", "cancelled", "crashed"))
        until(self.answers, "the function serves")
        self.delete()
        self.check_nothing_leaked()
        return "ok"


class Python(Call):
    title = "call of python3"


class Exec(Call):
    """A program that is started anew for each call, and no frames."""
    title = "call of exec"

    def deploy(self):
        self.hearth.shell(self.name, EXEC, verify=False)


class OfNodejs(Call):
    extra = ""

    def deploy(self):
        echo = ("exports.handle = async (event) => event !== 'stay' ? event :\n"
                "  new Promise((resolve) => setTimeout(resolve, 60000));\n")
        self.hearth.function(self.name, "nodejs", "app.handle", {"app.js": echo}, self.extra,
                             verify=False)


class OfNative(Call):
    extra = ""

    def deploy(self):
        self.hearth.function(self.name, "native", "echo", {"echo": (echo_program(), 0o755)},
                             self.extra, verify=False)


class Nodejs(OfNodejs):
    """The process of the next call is another, which loads when this one is over."""
    title = "call of nodejs"


class NodejsProcess(OfNodejs):
    """The same process serves on, and nothing is recycled."""
    title, extra = "call of nodejs, process", 'reuse = "process"\n'


class Native(OfNative):
    title = "call of native"


class NativeProcess(OfNative):
    title, extra = "call of native, process", 'reuse = "process"\n'


class DurabilityHost(Call):
    """An answer that waits until its record is on the disk."""
    title = "call, durability host"
    config = Bench.config + '[ledger]\ndurability = "host"\n'


make_cells(Python, STEPS)
# hearthd and the spawner do the same for it. Its program has ended with its answer.
make_cells(Exec, {step: ("init",) if step in ENDED else who[2:]
                  for step, who in STEPS.items() if step != "start.loaded"})
# Likewise.
# A process that serves one call ends with its answer, too.
FRAMED = {step: ("init",) if step in ENDED else STEPS[step][2:] for step in FRAMED_STEPS}
PROCESS = {step: STEPS[step][2:] for step in PROCESS_STEPS}
make_cells(Nodejs, FRAMED)
make_cells(Native, FRAMED)
make_cells(NodejsProcess, PROCESS)
make_cells(NativeProcess, PROCESS)
make_cells(DurabilityHost, {step: DAEMONS[:1] for step in STEPS if step in HOST_STEPS})

if __name__ == "__main__":
    unittest.main()
