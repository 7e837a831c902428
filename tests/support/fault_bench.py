# SPDX-License-Identifier: Apache-2.0
"""A hearthd with fail points, its processes by what they are, and what must hold after a death."""

import collections
import contextlib
import functools
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from books import REFUSALS, all_records, check_usage, seen
from fail_points import FailPoints
from instance import STAGE, Instance
from waiting import Background, until

VICTIMS = ("hearthd", "spawner", "init", "runtime")


def status_of(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def lives(pid):
    return status_of(pid).get("State", "Z")[0] not in "ZX"


def children_named(pid, name):
    out = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if pathlib.Path(f"/proc/{child}/comm").read_text() == name + "\n":
                out.append(int(child))
    return out


def mounts_of(pid):
    return len(pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


@functools.cache
def echo_program(answer=None):
    """A program of the runtime native that answers what it is given, or always the same."""
    body = 'event->body, event->size' if answer is None else f'"\\"{answer}\\"", {len(answer) + 2}'
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "echo")
        source = ("#include <hearth.h>\n#include <unistd.h>\n"
                  "static int handle(const hearth_event *event, hearth_reply *reply) {\n"
                  "  if (strcmp(event->body, \"\\\"stay\\\"\") == 0) sleep(60);\n"
                  f"  return hearth_body(reply, {body});\n"
                  "}\nHEARTH_MAIN(handle)\n")
        subprocess.run(["gcc", "-static", "-O1", f"-I{STAGE}/include/hearth", "-x", "c", "-", "-o",
                        program], input=source.encode(), check=True)
        return program.read_bytes()


class Bench(unittest.TestCase):
    """Each test stops hearthd at one step, kills one of its processes there, and looks."""

    config = "[pool]\ngeneric_max = 0\n"
    elsewhere = None  # the other folder of cgroups in which the function's sandbox may be
    title = ""
    cells = None  # step -> victim -> result, for the table

    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance(cls.config)
        cls.addClassCleanup(cls.hearth.close)
        cls.points = FailPoints(cls.hearth.home / "fail-points")
        cls.hearth.env.update(cls.points.env)
        cls.hearth.start()
        cls.stage_mounts = mounts_of(cls.spawner())
        cls.addClassCleanup(cls.points.release)
        cls.number = 0

    @classmethod
    def spawner(cls):
        [pid] = children_named(cls.hearth.process.pid, "hearth-spawner")
        return pid

    def setUp(self):
        type(self).number += 1
        self.name = f"f{self.number}"
        process = self.hearth.process
        if process is None or process.poll() is not None:  # the test before this one failed
            self.hearth.start()

    def tearDown(self):
        self.points.release()

    # A function that answers what it is given

    def deploy(self):
        self.hearth.python(self.name, "def handle(event, context):\n    return event\n",
                           verify=False)

    def call(self, body=b'"x"'):
        return self.hearth.api(
            "POST", f"/v1/tenants/default/functions/{self.name}/invocations", body)

    def answers(self):
        status, _, body = self.call()
        return status == 200 and body.strip() == b'"x"'

    # Who is who

    def sandbox_pids(self, what):
        """Host pids of the function's PID 1, or of everything else that runs in its sandboxes."""
        pids = []
        for path in self.hearth.cgroups():
            if path.name.startswith("s-") and path.parent.name in (self.name, self.elsewhere):
                pids += (path / "cgroup.procs").read_text().split()
        first = [int(pid) for pid in pids if status_of(pid).get("NSpid", "").split()[-1:] == ["1"]]
        return first if what == "init" else [int(pid) for pid in pids if int(pid) not in first]

    def victims(self, what):
        if what == "hearthd":
            return [self.hearth.process.pid]
        return [self.spawner()] if what == "spawner" else self.sandbox_pids(what)

    def kill(self, what):
        """All of that kind, and they are gone: a signal that is only sent lets its victim run on.

        Waits for one to be there, since a ledger's step does not stop the sandboxes.
        """
        dead = []

        def killed():
            for pid in self.victims(what):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    dead.append(pid)
            return dead

        until(killed, f"there is a {what}", 10)
        until(lambda: not any(map(lives, dead)), f"the {what} is gone", 10)

    # One cell

    def asleep(self):
        return status_of(self.hearth.process.pid).get("State", "").startswith("S")

    def stop_at(self, step, request, *args):
        """The request on a thread of its own, once it has come to the step."""
        all_records(self.hearth, self.name)  # the ledger's thread has nothing left to do
        until(self.asleep, "nor has the loop")
        self.points.arm(step)
        client = Background(request, *args)
        self.points.await_reached()
        return client

    def go_on(self, client, what):
        """After the kill: the answer, or None if the client got none. hearthd runs again."""
        self.points.release()
        if what in ("hearthd", "spawner"):
            status = self.hearth.process.wait(30)
            self.assertEqual(status, -signal.SIGKILL if what == "hearthd" else 1)
            self.hearth.process = None
        try:
            answer = client.result()
        except (OSError, http.client.HTTPException):
            self.assertIn(what, ("hearthd", "spawner"), "hearthd lives and did not answer")
            answer = None
        if self.hearth.process is None:
            self.hearth.start()
        return answer

    # What must hold

    def check_books(self, answer, records_expected):
        """records_expected: how many the one call may have; of an answered one it is known."""
        records = all_records(self.hearth, self.name)
        check_usage(self, self.hearth, all_records(self.hearth))
        self.assertIn(len(records), records_expected)
        if answer is None:
            return records
        call, outcome = seen(answer)
        if outcome in REFUSALS:
            self.assertEqual(records, [])
        else:
            self.assertEqual([(r["id"], r["outcome"]) for r in records], [(call, outcome)])
        return records

    def check_nothing_leaked(self):
        """The function is gone: so is all that was made for it."""
        def left():
            shown = self.hearth.json("status")["sandboxes"]
            known = sum(shown[key] for key in
                        ("generic", "starting", "ready", "running", "stopping"))
            groups = [p for p in self.hearth.cgroups() if p.name.startswith("s-")]
            return len(groups) != known or any(p.parent.name == self.name for p in groups)

        until(lambda: not left(), "the sandboxes are gone")
        self.assertNotIn(str(self.hearth.home), pathlib.Path("/proc/self/mountinfo").read_text())
        self.assertEqual(mounts_of(self.spawner()), self.stage_mounts)
        state = self.hearth.state
        for folder in ("uploads", "trash"):
            until(lambda: not list((state / folder).iterdir()), folder + " is empty")
        rows = json.loads(self.hearth.api("GET", "/v1/tenants/default/functions")[2])
        versions = [version for row in rows for version in self.versions(row["name"])]
        self.assertEqual({path.name for path in (state / "bundles").iterdir()},
                         {version["hash"] for version in versions})

    def versions(self, name):
        return json.loads(self.hearth.api(
            "GET", f"/v1/tenants/default/functions/{name}/versions")[2])

    def delete(self):
        status, _, body = self.hearth.api("DELETE", f"/v1/tenants/default/functions/{self.name}")
        self.assertEqual(status, 200, body)

    # The table

    @classmethod
    def note(cls, step, victim, result):
        cls.cells = cls.cells if cls.cells is not None else collections.OrderedDict()
        cls.cells.setdefault(step, {})[victim] = result

    @classmethod
    def tearDownClass(cls):
        print(f"\n{cls.title:<28}" + "".join(f"{victim:>9}" for victim in VICTIMS))
        for step, row in (cls.cells or {}).items():
            print(f"{step:<28}" + "".join(f"{row.get(victim, ''):>9}" for victim in VICTIMS))
        print(flush=True)


def make_cells(cls, steps, victims=VICTIMS):
    """A test for each step and victim: cls.cell(step, victim) says what the table shows."""
    def cell_of(step, victim):
        def cell(self):
            type(self).note(step, victim, "RED")
            type(self).note(step, victim, self.cell(step, victim))
        return cell

    for row, (step, who) in enumerate(steps.items()):
        for victim in victims:
            if victim in who:
                setattr(cls, f"test_{row:02}_{re.sub('[^a-z]+', '_', step)}_{victim}",
                        cell_of(step, victim))
    return cls
