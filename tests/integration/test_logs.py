# SPDX-License-Identifier: Apache-2.0
"""Logs: what each call wrote, tagged with its id, of any length and any bytes."""

import json
import os
import pathlib
import re
import select
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import STAGE, Instance
from waiting import LIMIT_S, until

CONFIG = """
[logs]
call_kb_max = 4096
file_mb_max = 1
files_max = 3
"""
WRITER = """
import os, sys
def handle(event, context):
    os.write(event.get("fd", 1), eval(event["bytes"]))
    if event.get("die"): os.abort()
"""


class Logs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance(CONFIG).start()
        cls.addClassCleanup(cls.hearth.close)
        cls.hearth.python("writer", WRITER, "log_kb = 4096\n[http]\n")

    def write(self, expression, check=True, **event):
        """One call that writes these bytes; returns its id."""
        event = json.dumps(dict(event, bytes=expression)).encode()
        return self.hearth.invoke("writer", event, check=check)[1]["id"]

    def entries(self, call, name="writer"):
        return self.hearth.json("logs", name, "--call", call)

    def raw(self, name="writer"):
        """Whole log files: `time call stream length bytes`, one entry per line."""
        folder = self.hearth.state / "logs/default" / name
        lines = b"".join(path.read_bytes() for path in sorted(folder.iterdir())).split(b"\n")
        return [line.split(b" ", 4) for line in lines if line]

    def test_both_streams_are_kept_under_the_calls_id(self):
        self.hearth.python("both", "import sys\ndef handle(event, context):\n"
                           "  print('to', 'stdout')\n  print('to stderr', file=sys.stderr)\n"
                           "  sys.stdout.write('without an end')\n")
        ids = [self.hearth.invoke("both")[1]["id"] for _ in range(2)]
        for call in ids:
            rows = self.entries(call, "both")
            self.assertEqual(sorted((row["stream"], row["text"]) for row in rows), [
                ("stderr", "to stderr"), ("stdout", "to stdout"), ("stdout", "without an end")])
            self.assertEqual({row["call"] for row in rows}, {call})
            for row in rows:
                self.assertRegex(row["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(len(self.hearth.json("logs", "both")), 6)
        self.assertEqual(len(self.hearth.json("logs", "both", "--limit", "2")), 2)
        text = self.hearth.cli("logs", "both").stdout.decode()
        self.assertRegex(text, rf"{ids[1]}  err +to stderr")

    def test_a_line_of_a_mebibyte_is_kept_whole(self):
        call = self.write("b'0123456789abcdef' * 65536 + b'\\nnext\\n'")
        rows = self.entries(call)
        self.assertEqual(rows[-1]["text"], "next")
        self.assertEqual("".join(row["text"] for row in rows[:-1]), "0123456789abcdef" * 65536)
        self.assertEqual([row.get("continues", False) for row in rows],
                         [True] * (len(rows) - 2) + [False, False])

    def test_every_byte_is_kept_in_the_file(self):
        call = self.write("bytes(range(256)) + b'\\n'", fd=2)
        kept = [entry for entry in self.raw() if entry[1] == call.encode()]
        before, after = bytes(range(10)), bytes(range(11, 256))
        self.assertEqual([(entry[2], entry[3], entry[4]) for entry in kept],
                         [(b"err", b"10", before), (b"err", b"245", after)])
        # JSON has no bytes: what is no UTF-8 is replaced there, the rest is as it was.
        texts = [row["text"] for row in self.entries(call)]
        self.assertEqual(texts[0], before.decode())
        self.assertTrue(texts[1].startswith(after[:117].decode()))
        self.assertIn("\ufffd", texts[1])
        # A terminal gets no control characters.
        shown = self.hearth.cli("logs", "writer", "--call", call).stdout
        self.assertNotRegex(shown, rb"[\x00-\x08\x0b-\x1f\x7f]")

    def test_nothing_that_is_printed_looks_like_another_calls_entry(self):
        other = self.write("b'first'")
        forged = f"2030-01-01T00:00:00.000000Z {other} out 6 forged"
        call = self.write(f"b'x\\n{forged}\\n\\r{forged}\\n'")
        self.assertEqual([row["text"] for row in self.entries(other)], ["first"])
        self.assertEqual([row["text"] for row in self.entries(call)],
                         ["x", forged, "\r" + forged])

    def test_the_log_of_a_crashed_call_is_kept(self):
        call = self.write("b'last words'", check=False, die=True)
        self.assertIn("last words", [row["text"] for row in self.entries(call)])

    def test_what_code_prints_while_it_loads_belongs_to_no_call(self):
        self.hearth.python("loud", "print('loading')\ndef handle(event, context): pass\n")
        call = self.hearth.invoke("loud")[1]["id"]
        self.assertEqual(self.entries(call, "loud"), [])
        row = self.hearth.json("logs", "loud")[0]
        self.assertEqual((row["text"], row["stream"]), ("loading", "stdout"))
        self.assertEqual(self.hearth.api("GET", "/v1/calls/" + row["call"])[0], 404)

    def test_a_log_survives_sigkill_of_the_daemon(self):
        call = self.write("b'before\\n'")
        self.hearth.process.kill()
        self.hearth.process.wait()
        self.hearth.start()
        self.assertEqual([row["text"] for row in self.entries(call)], ["before"])
        again = self.write("b'after\\n'")
        self.assertEqual([row["text"] for row in self.entries(again)], ["after"])

    def test_files_are_rotated_and_the_loss_is_stated(self):
        self.hearth.python("rotated", WRITER, "log_kb = 4096\n[http]\n")
        for number in range(6):
            self.hearth.invoke("rotated", json.dumps(
                {"bytes": f"b'{number}' * 99 + b'\\n' + (b'x' * 99 + b'\\n') * 7000"}).encode())
        files = list((self.hearth.state / "logs/default/rotated").iterdir())
        self.assertLessEqual(len(files), 3)
        self.assertLessEqual(sum(path.stat().st_size for path in files), 5 << 20)
        notes = [entry[4] for entry in self.raw("rotated") if entry[2] == b"platform"]
        self.assertTrue(any(re.search(rb"\d+ bytes", note) for note in notes), notes)
        kept = {entry[4][:1] for entry in self.raw("rotated") if entry[4][:1].isdigit()}
        self.assertIn(b"5", kept)
        self.assertNotIn(b"0", kept)

    def test_follow_shows_what_comes(self):
        self.write("b'before\\n'")
        follower = subprocess.Popen(
            [STAGE / "bin/hearth", "--socket", self.hearth.run / "hearth.sock", "--json", "logs",
             "writer", "--follow", "--limit", "1"], stdout=subprocess.PIPE)
        self.addCleanup(follower.stdout.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        seen = bytearray()

        def shows(text):
            if select.select([follower.stdout], [], [], 0)[0]:
                seen.extend(os.read(follower.stdout.fileno(), 65536))
            return text in seen

        until(lambda: shows(b'"before"'), "what was there")
        for number in range(3):
            mark = f"mark {number} {time.monotonic_ns()}"
            call = self.write(repr(mark.encode() + b"\n"))
            until(lambda: shows(mark.encode()), "what is written now", LIMIT_S)
        rows = [json.loads(line) for line in seen.splitlines()]
        self.assertEqual((rows[-1]["call"], rows[-1]["text"]), (call, mark))

    def test_logs_of_unknown_functions_and_bad_filters_are_refused(self):
        path = "/v1/tenants/default/functions/"
        self.assertEqual(self.hearth.api("GET", path + "nothing/logs")[0], 404)
        for bad in ("call=x", "limit=0", "limit=x", "limit=99999999"):
            self.assertEqual(self.hearth.api("GET", f"{path}writer/logs?{bad}")[0], 400, bad)


if __name__ == "__main__":
    unittest.main()
