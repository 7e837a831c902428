# SPDX-License-Identifier: Apache-2.0
"""A host with nothing left for hearthd: no memory, no new threads, no file that can be written."""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from books import all_records, check_usage, seen
from instance import Instance
from waiting import Background, until

ECHO = "def handle(event, context):\n    return len(event['body'])\n"
SANITIZED = "ASAN_OPTIONS" in os.environ


class Case(unittest.TestCase):
    def setUp(self):
        self.hearth = Instance()
        self.addCleanup(self.hearth.close)

    def call(self, body=b"x"):
        return self.hearth.http("POST", "/fn/default/echo", body)

    def serves(self):
        return self.call()[0] == 200


def limited(options):
    return ["dash", "-c", f'ulimit {options}; exec "$@"', "sh"]


class Memory(Case):
    @unittest.skipIf(SANITIZED, "the sanitizer's own memory has no such limit")
    def test_without_memory_calls_fail_one_by_one_and_hearthd_lives(self):
        self.hearth.env["MALLOC_ARENA_MAX"] = "1"  # else each thread reserves address space
        self.hearth.start()
        status = pathlib.Path(f"/proc/{self.hearth.process.pid}/status").read_text()
        used = next(int(line.split()[1]) for line in status.splitlines() if "VmSize" in line)
        self.hearth.python("echo", ECHO)
        self.hearth.stop()
        self.hearth.wrapper = limited(f"-S -v {used + 4096}")  # of the sandboxes the hard one holds
        self.hearth.start()
        answers, lost = [self.call()], 0
        for _ in range(4):
            calls = [Background(self.call, b"y" * (5 << 20)) for _ in range(5)]
            for call in calls:
                try:
                    answers.append(call.result())
                except (OSError, http.client.HTTPException):
                    lost += 1  # not even an answer could be made
            self.assertIsNone(self.hearth.process.poll(), self.hearth.log()[-2000:])
        refused = [answer for answer in answers if answer[0] != 200]
        self.assertGreater(lost + len(refused), 0, "there was memory")
        until(self.serves, "it serves again")
        records = all_records(self.hearth)
        check_usage(self, self.hearth, records)
        by_id = {record["id"]: record["outcome"] for record in records}
        for answer in answers:
            call, outcome = seen(answer)
            if outcome == "ok":
                self.assertEqual(by_id.get(call), "ok")


class Threads(Case):
    """As a user that nobody else runs as, so that the limit is known."""

    def setUp(self):
        self.hearth = Instance('user = "games"\n')
        self.addCleanup(self.hearth.close)

    def threads(self):
        return len(list(pathlib.Path(f"/proc/{self.hearth.process.pid}/task").iterdir()))

    def test_it_makes_its_threads_before_it_is_ready(self):
        self.hearth.start()
        before = self.threads()
        self.hearth.python("echo", ECHO)
        self.assertTrue(self.serves())
        self.assertEqual(self.threads(), before)
        self.hearth.stop()
        # So it needs no more later, and without enough it does not start.
        self.hearth.wrapper = limited(f"-p {before + 4}")
        self.hearth.start()
        self.hearth.python("more", ECHO)
        self.assertTrue(self.serves())
        self.hearth.stop()
        for fewer in range(1, before):
            self.hearth.wrapper = limited(f"-p {fewer}")
            with self.assertRaisesRegex(RuntimeError, "ended with 1"):
                self.hearth.start()
            self.hearth.process = None
            self.assertIn("hearthd cannot go on", self.hearth.log())
        self.hearth.wrapper = []
        self.hearth.start()
        self.assertTrue(self.serves())


class ReadOnly(Case):
    def mount(self, *options):
        subprocess.run(["mount", *options, self.hearth.state], check=True)

    def test_a_state_folder_that_cannot_be_written_is_named_at_the_start(self):
        self.hearth.state.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=24m", "hearth-test")
        self.addCleanup(lambda: (self.hearth.stop(), self.hearth.close(), subprocess.run(
            ["umount", "-q", self.hearth.state], check=False)))
        self.hearth.start()
        self.hearth.python("echo", ECHO)
        self.assertTrue(self.serves())
        self.hearth.stop()
        self.mount("-o", "remount,ro")
        with self.assertRaisesRegex(RuntimeError, "ended with 1") as caught:
            self.hearth.start()
        self.hearth.process = None
        self.assertIn("Read-only file system", str(caught.exception))
        self.assertIn(str(self.hearth.state), str(caught.exception))
        self.mount("-o", "remount,rw")
        self.hearth.start()
        until(self.serves, "it serves")
        self.assertEqual(len(all_records(self.hearth, "echo")), 2)

    def test_folders_that_cannot_be_written_refuse_deploys_and_not_calls(self):
        self.hearth.start()
        self.hearth.python("echo", ECHO)
        folders = [self.hearth.state / name for name in ("bundles", "uploads", "logs")]
        for folder in folders:
            subprocess.run(["mount", "--bind", folder, folder], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", "-q", folder], check=False)
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        status, answer = self.hearth.deploy({
            "function.toml": 'name = "more"\nruntime = "python3"\nhandler = "app.handle"\n',
            "app.py": ECHO + "#" * 100_000})
        self.assertGreaterEqual(status, 500, answer)
        self.assertTrue(self.serves())
        for folder in folders:
            subprocess.run(["umount", "-l", folder], check=True)
        self.hearth.python("more", ECHO)
        check_usage(self, self.hearth, all_records(self.hearth))
        self.assertEqual(json.loads(self.hearth.api(
            "GET", "/v1/tenants/default/functions")[2])[0]["name"], "echo")


if __name__ == "__main__":
    unittest.main()
