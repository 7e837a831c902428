# SPDX-License-Identifier: Apache-2.0
"""Every step of a sandbox' set-up: made to fail, the caller and the log hear which, on what and
why; with a SIGKILL in it, nothing is left. Either way the next sandbox is whole."""

import errno
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from books import all_records
from fault_bench import Bench, make_cells
from instance import STAGE
from waiting import until

STEPS = subprocess.run([STAGE / "libexec/hearth/hearth-spawner", "--list-steps"], check=True,
                       capture_output=True, text=True).stdout.splitlines()
GENERIC_FROM = STEPS.index("enter the sandbox")
CHILD_FROM = STEPS.index("wait for the id maps")
CLONE = STEPS.index("clone")


class Case(Bench):
    def cell(self, step, victim):
        self.prepare()
        client = self.stop_at(step, self.call)
        self.kill(victim)
        answer = self.go_on(client, victim)
        self.check_books(answer, {0} if victim == "hearthd" else {0, 1})
        until(self.answers, "the function serves")
        self.delete()
        self.check_nothing_leaked()
        return "ok"

    def fail(self, step, error):
        self.prepare()
        begin = len(self.hearth.log())
        self.points.arm(step, error)
        status, _, body = self.call()
        self.assertTrue(self.points.fired(), "the step was not reached")
        told = json.loads(body)["error"]
        self.assertEqual((status, told["kind"], told["stage"]), (503, "overloaded", "start"), told)
        self.assertRegex(told["message"], f"a sandbox could not be set up: {step}.* '.+': "
                         + os.strerror(error))
        lines = [line for line in self.hearth.log()[begin:].splitlines()
                 if "sandbox did not start" in line]
        self.assertEqual(len(lines), 1)
        self.assertIn(f'step="{step}', lines[0] if " " in step else lines[0].replace("=", '="'))
        self.assertIn(f'error="{os.strerror(error)}"', lines[0])
        self.assertRegex(lines[0], 'object=("[^"]+"|[^ "]+)')
        self.assertEqual(all_records(self.hearth, self.name), [])
        until(self.answers, "the function serves")
        self.delete()
        self.check_nothing_leaked()


class Direct(Case):
    """A sandbox that is made for its function."""
    title = "SIGKILL in set-up"

    def prepare(self):
        self.deploy()


class Generic(Case):
    """One that was made for no function and gets the code when a call wants it."""
    title = "SIGKILL in specialise"
    config = "[pool]\ngeneric_per_key = 1\n"
    elsewhere = "generic"

    def prepare(self):
        # A call of another function shows the pool that such sandboxes are wanted.
        name, self.name = self.name, "keeper"
        self.deploy()
        until(self.answers, "the keeper serves")
        until(lambda: self.hearth.json("status")["sandboxes"]["generic"] == 1, "one is generic")
        self.name = name
        self.deploy()


def who(index):
    if index >= GENERIC_FROM:
        return ("hearthd", "spawner", "init", "runtime")
    return ("hearthd", "spawner", "init") if index > CLONE else ("hearthd", "spawner")


def add_failures(cls, steps):
    for row, step in enumerate(steps):
        # Two that the host gives when it is out of processes or of memory, among others.
        error = (errno.EAGAIN, errno.ENOMEM, errno.EDQUOT)[row % 3]
        name = re.sub("[^a-z]+", "_", step)
        setattr(cls, f"test_fail_{row:02}_{name}",
                lambda self, step=step, error=error: self.fail(step, error))


ROWS = {step: who(index) for index, step in enumerate(STEPS)}
add_failures(Direct, STEPS[:GENERIC_FROM])
make_cells(Direct, {step: ROWS[step] for step in STEPS[:GENERIC_FROM]})
add_failures(Generic, STEPS[GENERIC_FROM:])
make_cells(Generic, {step: ROWS[step] for step in STEPS[GENERIC_FROM:]})

if __name__ == "__main__":
    unittest.main()
