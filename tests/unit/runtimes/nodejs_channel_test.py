# SPDX-License-Identifier: Apache-2.0
"""nodejs on its channel, with channel.node and without: nodejs_channel_test.py BOOTSTRAP"""

import os
import pathlib
import re
import select
import signal
import sys
import time

import support
from support import LOAD, READY

ECHO = "exports.handle = async (event) => event;\n"


class Channel(support.RuntimeTest):
    suffix = ".js"

    def sleeps(self, process):
        """How often it has gone to sleep, once it stays asleep."""
        before = None
        for _ in range(500):
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            count = int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status)[1])
            if "\nState:\tS" in status and count == before:
                return count
            before = count
            time.sleep(0.02)
        return self.fail("it does not wait for a call")

    def test_is_not_woken_by_the_taking_of_an_answer(self):
        for mode, wakes in (("process", 0), ("sandbox", 1)):
            with self.subTest(mode):
                self.write("app.js", ECHO)
                process = self.start()
                pairs = [("handler", "app.handle"), ("mode", mode), ("task_dir", self.task)]
                process.channel.send(LOAD, pairs)
                select.select([process.channel.socket], [], [], support.WAIT_SECONDS)
                slept = self.sleeps(process)
                self.assertEqual(process.channel.receive().type, READY)
                time.sleep(0.05)
                self.assertEqual(self.sleeps(process) - slept, wakes)

    def test_serves_where_node_cannot_load_its_module(self):
        bootstrap = pathlib.Path(self.argv[1])
        self.assertTrue((bootstrap.parent / "channel.node").exists())
        self.write("alone/bootstrap.cjs", bootstrap.read_text(encoding="utf-8"))
        self.write("broken/bootstrap.cjs", bootstrap.read_text(encoding="utf-8"))
        self.write("broken/channel.node", "no module")
        body = "x" * 1_000_000
        self.write("app.js", ECHO)
        for folder in ("alone", "broken"):
            process = support.start([self.argv[0], f"{self.task}/{folder}/bootstrap.cjs"])
            self.addCleanup(process.end)
            self.assertIsNotNone(process.channel.receive(), process.err.now())
            self.assertEqual(self.load(process).type, READY)
            for event in (1, body, 2):
                self.assertEqual(process.call_json(event), event)
            self.assertEqual(process.err.now(), b"")

    def test_waits_on_after_a_signal(self):
        process = self.loaded(
            "let n = 0;\nprocess.on('SIGUSR2', () => { ++n; });\n"
            "exports.handle = async () => { await new Promise(setImmediate); return n; };\n"
        )
        self.assertEqual(process.call_json(), 0)
        for _ in range(20):
            self.sleeps(process)
            os.kill(process.pid, signal.SIGUSR2)
        process.call_json()
        self.assertGreater(process.call_json(), 0)

    def test_serves_on_a_channel_that_user_code_made_non_blocking(self):
        process = self.loaded(
            "const net = require('node:net');\n"
            "exports.handle = async (size) => {\n"
            "  if (size === 0) new net.Socket({ fd: 3, readable: false, writable: false });\n"
            "  return 'x'.repeat(size);\n};\n"
        )
        for size in (0, 5, 3_000_000, 5):
            time.sleep(0.02)
            self.assertEqual(len(process.call_json(size)), size)


if __name__ == "__main__":
    support.RuntimeTest.argv = ["/usr/bin/node", sys.argv[1]]
    support.main()
