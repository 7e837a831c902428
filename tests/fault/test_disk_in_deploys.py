# SPDX-License-Identifier: Apache-2.0
"""A disk that refuses what a deploy, a rollback or a log writes. The old version serves on, whoever
asked is told why, and when the fault is over everything is as if it had not been asked."""

import errno
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from books import all_records, check_usage
from host_faults import Case
from instance import manifest
from waiting import Background, until

FUNCTIONS = "/v1/tenants/default/functions"
# Two errors a disk has, and how SQLite calls them.
ERRORS = {errno.EIO: "Input/output error|disk I/O error",
          errno.ENOSPC: "No space left on device|database or disk is full"}
# What is refused, and what of a deploy writes there.
PLACES = {"the_registry": "/hearth.db", "the_upload": "/uploads/upload-",
          "the_unpacked_code": "/uploads/unpacked-"}
SLOWLY = "import time\ntime.sleep(5)\n"  # time for the test to have the disk refuse


def code(word, before=""):
    return f"{before}def handle(event, context):\n    return {word!r}\n"


class Disk(Case):
    def setUp(self):
        super().setUp()
        self.hearth.python("f", code("one"))

    def deploy(self, name, text):
        return self.hearth.deploy({"function.toml": manifest(
            name, "python3", "app.handle", "[http]\n"), "app.py": text})

    def say(self):
        return json.loads(self.hearth.http("GET", "/fn/default/f")[2])

    def versions(self, name="f"):
        """(number, whether it is live) of each; none of a function that is not there."""
        status, _, body = self.hearth.api("GET", f"{FUNCTIONS}/{name}/versions")
        return [(row["version"], row["live"]) for row in json.loads(body)] if status == 200 else []

    def rollback(self):
        status, _, body = self.hearth.api("POST", f"{FUNCTIONS}/f/rollback")
        return status, json.loads(body)

    def check_refusal(self, status, answer, error):
        self.assertGreaterEqual(status, 500, answer)
        self.assertRegex(answer["error"]["message"], ERRORS[error])

    def check_state(self, word, versions):
        """Now and after a restart: what is said, what exists, and that nothing else is left."""
        for again in (True, False):
            self.assertEqual((self.say(), self.versions()), (word, versions))
            state = self.hearth.state
            rows = json.loads(self.hearth.api("GET", FUNCTIONS)[2])
            known = {row["hash"] for each in rows for row in json.loads(self.hearth.api(
                "GET", f"{FUNCTIONS}/{each['name']}/versions")[2])}
            self.assertEqual({path.name for path in (state / "bundles").iterdir()}, known)
            until(lambda: not list((state / "uploads").iterdir()), "no upload is left")
            if again:
                self.hearth.restart()
        check_usage(self, self.hearth, all_records(self.hearth))

    def check_deploys(self, place, error):
        self.refuse(PLACES[place], error)
        for name in ("f", "more"):
            self.check_refusal(*self.deploy(name, code("two")), error)
        self.assertEqual((self.say(), self.versions(), self.versions("more")),
                         ("one", [(1, True)], []))
        self.set()
        self.check_state("one", [(1, True)])
        self.assertEqual(self.deploy("f", code("two"))[0], 201)
        [first, (_, live)] = self.versions()
        self.assertEqual((first, live, self.say()), ((1, False), True, "two"))

    def begin_trial(self, text):
        """A deploy whose version is there and not yet live."""
        client = Background(self.deploy, "f", text)
        until(lambda: len(self.versions()) == 2, "its code is tried")
        return client

    def check_going_live(self, error):
        client = self.begin_trial(code("two", SLOWLY))
        self.refuse("/hearth.db", error)
        self.check_refusal(*client.result(), error)
        self.assertEqual(self.say(), "one")
        self.assertEqual([number for number, live in self.versions() if live], [1])
        self.set()
        self.hearth.restart()  # sweeps what could not be taken back then
        self.check_state("one", [(1, True)])

    def check_giving_up(self, error):
        """The code does not load, and the registry cannot forget the version."""
        client = self.begin_trial(SLOWLY + "raise ValueError('no')\n")
        self.refuse("/hearth.db", error)
        status, answer = client.result()
        self.assertEqual((status, answer["error"]["kind"]), (400, "load_error"), answer)
        self.assertEqual(self.say(), "one")
        self.set()
        self.hearth.restart()
        self.check_state("one", [(1, True)])

    def check_rollback(self, error):
        self.assertEqual(self.deploy("f", code("two"))[0], 201)
        self.refuse("/hearth.db", error)
        self.check_refusal(*self.rollback(), error)
        self.assertEqual((self.say(), self.versions()), ("two", [(1, False), (2, True)]))
        self.set()
        self.check_state("two", [(1, False), (2, True)])
        self.assertEqual(self.rollback()[0], 200)
        self.check_state("one", [(1, True), (2, False)])


class Logs(Case):
    """The call is answered; what the log lost is said in it as soon as it takes a line again."""

    def lines(self):
        rows = json.loads(self.hearth.cli("--json", "logs", "loud").stdout)
        return [(row["stream"], row["text"]) for row in rows]

    def check_lost(self, error):
        self.hearth.python("loud", "print('loaded')\ndef handle(event, context):\n"
                           "    print('x' * 1000)\n    return 1\n")
        told = []
        for word in ("before", "during", "after"):
            if word == "during":
                self.refuse("/logs/", error)
            status, _, body = self.hearth.http("POST", "/fn/default/loud")
            self.assertEqual((status, body), (200, b"1"))
            self.set()
            told.append(self.lines())
        before, _, after = told
        self.assertEqual(after.count(("stdout", "x" * 1000)), 2)
        lost = [text for stream, text in after if stream == "platform" and "lost" in text]
        self.assertEqual(len(lost), 1, after)
        self.assertRegex(lost[0], f"^lost: 1000 bytes \\(({ERRORS[error]})\\)$")
        self.assertEqual(after[:len(before)], before, "what was there stays")
        metrics = self.hearth.http("GET", "/metrics")[2].decode()
        self.assertIn("\nhearth_log_lost_bytes_total 1000\n", metrics)
        check_usage(self, self.hearth, all_records(self.hearth))

    def check_deploy(self, error):
        """Code that prints while it loads goes live all the same."""
        self.refuse("/logs/", error)
        self.hearth.python("loud", "print('loaded')\n" + code("one"))
        self.assertEqual(self.hearth.http("GET", "/fn/default/loud")[0], 200)


def add(case, number, way, *given):
    """One test of the case: `way` is the method that makes it."""
    name = "_".join([errno.errorcode[number].lower(), way, *given])
    setattr(case, "test_" + name,
            lambda self: getattr(self, "check_" + way)(*given, number))


for each in ERRORS:
    for part in PLACES:
        add(Disk, each, "deploys", part)
    for part in ("going_live", "giving_up", "rollback"):
        add(Disk, each, part)
    for part in ("lost", "deploy"):
        add(Logs, each, part)


if __name__ == "__main__":
    unittest.main()
