# SPDX-License-Identifier: Apache-2.0
"""Attacks by quantity: processes that outlive their call, logs, answers that nobody reads."""

import json
import socket
import unittest

from tests.security.frame import LIMITS, Attacks
from tests.support.raw import request
from tests.support.waiting import until

ONE = "concurrency_max = 1\n"
GROWTH_MAX = 96 << 20
KEPT_KB = 64
CONFIG_OF_LOGS = f"log_kb = {KEPT_KB}\n"
# (bytes, how often)
FLOODS = {
    "zeros": ("00", 3 << 20), "no_line_end": ("78", 3 << 20), "empty_lines": ("0a", 1 << 20),
    "bytes_that_are_no_text": ("fffec328", 300_000), "short_lines": ("610a", 500_000),
    "carriage_returns": ("0d", 1 << 20)}
STREAMS = {1: "stdout", 2: "stderr"}
# What would fill the tables of the next call: (attempt, arguments).
CROWDS = {
    "as_many_processes_as_it_may": ("neighbours.children", (5000,)),
    "processes_that_init_must_bury": ("neighbours.orphans", (300,)),
    "children_of_init": ("neighbours.children_of_init", (20,)),
    "a_swarm_that_forks_on": ("neighbours.swarm", (6,))}


class Floods(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hearth.shell("good", "echo good", "[http]\n")
        cls.deploy("loud", ONE + CONFIG_OF_LOGS + LIMITS)
        for mode in ("sandbox", "never"):
            cls.deploy("crowd-" + mode, f'reuse = "{mode}"\n' + ONE +
                       LIMITS.replace("128", "512"))
        cls.hearth.shell("large", "head -c 5000000 /dev/zero",
                         "output_kb = 6000\nmemory_mb = 64\nconcurrency_max = 4\n[http]\n")

    def memory(self):
        with open(f"/proc/{self.hearth.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    def goes_on(self):
        self.assertEqual(self.hearth.http("GET", "/fn/default/good")[2], b"good\n")

    # Processes -------------------------------------------------------------------------------

    def crowd(self, mode, name):
        function = "crowd-" + mode
        attempt, given = CROWDS[name]
        before = self.inside("host.see_processes", function=function)
        self.assertEqual(before, (False, "only itself"))
        left = self.inside(attempt, *given, function=function)
        # Beyond what it may, the call can be stopped for it: then its sandbox is gone too.
        if not left.detail.startswith("processes_exceeded"):
            self.assertTrue(left.worked, left.detail)
            self.assertGreater(int(left.detail), 3)
        self.assertEqual(self.inside("host.see_processes", function=function), before)
        # Room for as many as before.
        again = self.inside("neighbours.children", 20, function=function)
        self.assertEqual(again, (True, "20"))
        self.goes_on()

    # Logs ------------------------------------------------------------------------------------

    def log_flood(self, name, descriptor):
        before = self.memory()
        found = self.inside("forge.write_log", *FLOODS[name], descriptor, function="loud")
        self.assertTrue(found.worked or found.detail.startswith("log_exceeded"), found.detail)
        self.assertLess(self.memory() - before, GROWTH_MAX)
        call = self.hearth.calls(function="loud", limit=1)[0]
        lines = json.loads(self.hearth.cli("--json", "logs", "loud", "--call", call["id"]).stdout)
        self.assertEqual({line["stream"] for line in lines}, {STREAMS[descriptor], "platform"})
        kept = sum(len(line["text"]) for line in lines if line["stream"] != "platform")
        self.assertLessEqual(kept, 6 * (KEPT_KB << 10))  # a byte that is no text takes more
        notes = [line["text"] for line in lines if line["stream"] == "platform"]
        self.assertTrue(any("truncated" in note for note in notes), notes)
        self.goes_on()

    def test_a_log_cannot_pass_for_the_platforms_word(self):
        word = b"truncated: 1 bytes (limit 2 bytes per call)\n"
        found = self.inside("forge.write_log", word.hex(), 1, function="loud")
        self.assertTrue(found.worked, found.detail)
        call = self.hearth.calls(function="loud", limit=1)[0]
        lines = json.loads(self.hearth.cli("--json", "logs", "loud", "--call", call["id"]).stdout)
        self.assertEqual([line["stream"] for line in lines if "truncated" in line["text"]],
                         ["stdout"])

    def test_a_log_cannot_command_the_terminal_of_who_reads_it(self):
        word = b"before\x1b]0;owned\x07\x1b[2J\x9b2Jafter\n"
        found = self.inside("forge.write_log", word.hex(), 1, function="loud")
        self.assertTrue(found.worked, found.detail)
        call = self.hearth.calls(function="loud", limit=1)[0]
        shown = self.hearth.cli("logs", "loud", "--call", call["id"]).stdout
        self.assertIn(b"before", shown)
        self.assertIn(b"after", shown)
        for byte in b"\x1b\x07\x9b":
            self.assertNotIn(byte, shown, shown)

    def test_a_call_that_closes_its_logs_harms_nobody(self):
        found = self.inside("forge.close_logs", function="loud")
        self.assertEqual(found, (True, "closed"))
        found = self.inside("forge.write_log", b"heard\n".hex(), 1, function="loud")
        self.assertTrue(found.worked)
        call = self.hearth.calls(function="loud", limit=1)[0]
        self.assertIn(b"heard", self.hearth.cli("logs", "loud", "--call", call["id"]).stdout)

    # Clients ---------------------------------------------------------------------------------

    def test_answers_that_nobody_reads_do_not_fill_hearthd(self):
        status, _, body = self.hearth.http("GET", "/fn/default/large")
        self.assertEqual((status, len(body)), (200, 5_000_000))  # the twin: who reads gets it
        before = self.memory()
        clients = []
        for _ in range(30):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", self.hearth.port))
            client.sendall(request("GET", "/fn/default/large"))
            clients.append(client)
        until(lambda: len(self.hearth.calls(function="large", limit=40)) >= 4, "some are answered")
        self.goes_on()
        grown = self.memory() - before
        for client in clients:
            client.close()
        self.assertLess(grown, 31 * 5_000_000 + GROWTH_MAX)
        self.goes_on()


for each in CROWDS:
    for reuse in ("sandbox", "never"):
        setattr(Floods, f"test_with_{reuse}_a_call_cannot_leave_{each}",
                lambda self, mode=reuse, name=each: self.crowd(mode, name))
for each in FLOODS:
    for number, stream in STREAMS.items():
        setattr(Floods, f"test_{stream}_cannot_flood_hearthd_with_{each}",
                lambda self, name=each, number=number: self.log_flood(name, number))


if __name__ == "__main__":
    unittest.main()
