# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at every step of a deploy, a rollback and a delete: what is found is the state before or
the state after, and nothing of the other."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fault_bench import Bench, echo_program, make_cells
from instance import manifest
from waiting import until

ALL = ("hearthd", "spawner", "init", "runtime")
DAEMONS = ALL[:2]
# In the order in which a deploy passes them; start.* are its trial's.
DEPLOY = {
    "deploy.received": DAEMONS, "deploy.unpacked": DAEMONS, "deploy.checked": DAEMONS,
    "deploy.placed": DAEMONS, "registry.adding": DAEMONS, "deploy.added": DAEMONS,
    "start.asked": DAEMONS, "start.made": ALL[:3], "start.set_up": ALL[:3],
    "start.started": ALL, "start.loaded": ALL, "deploy.tried": DAEMONS,
    "registry.going_live": DAEMONS, "deploy.live": DAEMONS, "deploy.served": DAEMONS,
    "answer.written": DAEMONS,
}
LIVE_FROM = list(DEPLOY).index("deploy.live")


class Case(Bench):
    runtime = "python3"

    def files(self, text):
        head = lambda handler: manifest(self.name, self.runtime, handler, "[http]\n")
        if self.runtime == "nodejs":
            return {"function.toml": head("app.handle"),
                    "app.js": f"exports.handle = async () => '{text}';\n"}
        if self.runtime == "native":
            return {"function.toml": head("echo"), "echo": (echo_program(text), 0o755)}
        if self.runtime == "exec":
            return {"function.toml": head("run"),
                    "run": (f"#!/bin/sh\ncat >/dev/null\necho '\"{text}\"'\n", 0o755)}
        code = f"def handle(event, context):\n    return '{text}'\n"
        return {"function.toml": head("app.handle"), "app.py": code}

    def deploy(self, text, verify=True):
        return self.hearth.deploy(self.files(text), verify=verify)

    def says(self):
        """The function's answer, or None if there is no such function."""
        def settled():
            status, _, body = self.hearth.http("POST", f"/fn/default/{self.name}")
            return (status, body) if status in (200, 404) else None

        status, body = until(settled, "it serves, or is gone")
        return json.loads(body) if status == 200 else None

    def numbers(self):
        rows = self.versions(self.name)
        live = [row["version"] for row in rows if row["live"]]
        return [row["version"] for row in rows], live


class AnySecond(Case):
    def cell(self, step, victim):
        self.assertEqual(self.deploy("one", verify=False)[0], 201)
        client = self.stop_at(step, self.deploy, "two")
        self.kill(victim)
        answer = self.go_on(client, victim)
        done = list(DEPLOY).index(step) >= LIVE_FROM
        text = self.says()
        if answer is not None:
            self.assertEqual(text, "two" if answer[0] == 201 else "one", answer)
        if victim in ("init", "runtime"):
            # Of exec a start is the whole trial, and it is over.
            over = step == "start.loaded" or self.runtime == "exec"
            self.assertIn(answer[0], (201,) if over else (400, 503), answer)
        if done or victim == "hearthd":
            self.assertEqual(text, "two" if done else "one")
        # Of a version that never was live nothing is left, and one is whole.
        self.assertIn(self.numbers(), [([1], [1]), ([1, 2], [2])])
        # It can be deployed, whatever became of the attempt.
        self.assertIn(self.deploy("two")[0], (200, 201))
        self.assertEqual(self.says(), "two")
        self.delete()
        self.check_nothing_leaked()
        return "ok"


class Second(AnySecond):
    title = "deploy of a version 2"


class Nodejs(AnySecond):
    title, runtime = "deploy of a version 2, nodejs", "nodejs"


class Native(AnySecond):
    title, runtime = "deploy of a version 2, native", "native"


class Exec(AnySecond):
    title, runtime = "deploy of a version 2, exec", "exec"


class First(Case):
    title = "deploy of a version 1"

    def cell(self, step, victim):
        client = self.stop_at(step, self.deploy, "one")
        self.kill(victim)
        self.go_on(client, victim)
        done = list(DEPLOY).index(step) >= LIVE_FROM
        self.assertEqual(self.says(), "one" if done else None)
        self.assertEqual(self.hearth.calls(function=self.name, outcome="interrupted"), [])
        if done:
            self.delete()
        self.check_nothing_leaked()
        return "ok"


ROLLBACK = {"registry.going_live": DAEMONS, "rollback.live": DAEMONS}


class Rollback(Case):
    title = "rollback to version 1"

    def rollback(self):
        return self.hearth.api(
            "POST", f"/v1/tenants/default/functions/{self.name}/rollback")

    def cell(self, step, victim):
        for text in ("one", "two"):
            self.assertEqual(self.deploy(text, verify=False)[0], 201)
        client = self.stop_at(step, self.rollback)
        self.kill(victim)
        answer = self.go_on(client, victim)
        text = self.says()
        if victim == "hearthd" or answer is not None:
            self.assertEqual(text, "one" if answer or step == "rollback.live" else "two")
        self.assertEqual(self.numbers(), ([1, 2], [1 if text == "one" else 2]))
        self.delete()
        self.check_nothing_leaked()
        return "ok"


DELETE = {"registry.removing": DAEMONS, "delete.removed": ALL, "destroy.killed": DAEMONS,
          "destroy.removed": DAEMONS, "delete.idle": DAEMONS, "delete.dropped": DAEMONS,
          "trash.removing": DAEMONS}


class Delete(Case):
    title = "delete"

    def cell(self, step, victim):
        self.assertEqual(self.deploy("one", verify=False)[0], 201)
        self.assertEqual(self.says(), "one")  # so it has a sandbox, and the ledger a record
        client = self.stop_at(step, self.delete)
        self.kill(victim)
        self.points.release()
        self.go_on(client, victim)
        text = self.says()
        if step != "registry.removing":
            self.assertIsNone(text)
        elif victim == "hearthd":
            self.assertEqual(text, "one")
        if text is not None:
            self.delete()
        self.assertFalse((self.hearth.state / "logs/default" / self.name).exists())
        self.check_nothing_leaked()
        return "ok"


make_cells(Second, DEPLOY)
# What of it is the runtime's.
TRIAL = {step: ALL[2:] for step in ("start.started", "start.loaded")}
make_cells(Nodejs, TRIAL)
make_cells(Native, TRIAL)
make_cells(Exec, {"start.started": ALL[2:]})
make_cells(First, {step: DAEMONS[:1] for step in DEPLOY})
make_cells(Rollback, ROLLBACK)
make_cells(Delete, DELETE)

if __name__ == "__main__":
    unittest.main()
