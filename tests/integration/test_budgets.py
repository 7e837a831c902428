# SPDX-License-Identifier: Apache-2.0
"""Deadline and budgets: each limit has its own error kind, nothing is left over."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Instance
from waiting import Background, until

CONFIG = """
[logs]
call_kb_max = 64
call_kb_kill = 4096
"""
# One function whose calls choose how to misbehave.
HOSTILE = """
import ctypes, os, signal, struct, sys, time

def sleep(event): time.sleep(600)

def spin(event):
    while True: pass

def allocate(event):
    blocks = []
    while True: blocks.append(bytearray(b"x" * (1 << 20)))

def fork_bomb(event):
    while True:
        try: os.fork()
        except OSError: time.sleep(0.001)

def print_much(event):
    line = "x" * 1023
    for _ in range(event["mb"] << 10): print(line)
    return "printed"

def large(event): return "x" * (event["kb"] << 10)

def fill_tmp(event):
    with open("/tmp/full", "wb", buffering=0) as file:
        while True: file.write(bytes(1 << 16))

def raises(event): raise RuntimeError("as asked")

def exits(event): os._exit(event["status"])

def system_exits(event): sys.exit(3)

def segfaults(event): ctypes.string_at(0)

def no_json(event): return {1, 2, 3}

def closes_channel(event):
    os.close(3)
    time.sleep(600)

def closes_everything(event):
    os.closerange(0, 1024)
    time.sleep(600)

def garbage(event):
    os.write(3, bytes(range(256)) * 64)
    time.sleep(600)

def half_a_frame(event):
    os.write(3, b"HRTH"[::-1] + bytes([5, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0]) + bytes(8) + b"x")
    os._exit(0)

def frame(kind, number, body=b"{}", magic=0x48545248, size=None):
    size = len(body) if size is None else size
    return struct.pack("<IBBHIIQ", magic, kind, 0, 0, 0, size, number) + body

def forged_number(event):
    os.write(3, frame(5, 2 ** 63))
    time.sleep(600)

def forged_kind(event):
    os.write(3, frame(event["kind"], 1))
    time.sleep(600)

def forged_magic(event):
    os.write(3, frame(5, 1, magic=0x12345678))
    time.sleep(600)

def forged_size(event):
    os.write(3, frame(5, 1, size=0xffffffff))
    time.sleep(600)

def kills_all(event):
    try: os.kill(-1, signal.SIGKILL)
    except OSError: pass
    os.kill(os.getpid(), signal.SIGKILL)

def kills_zygote(event):
    for pid in (1, 2, os.getppid()):
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass
    return "tried"

def outlives(event):
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: time.sleep(0.01)
    time.sleep(600)

def stops(event):
    os.kill(os.getpid(), signal.SIGSTOP)

def replies_twice(event):
    # The header of its frame lies on the stack of the runtime, in C.
    ends = [line.split()[0] for line in open("/proc/self/maps") if "[stack]" in line][0]
    low, high = (int(end, 16) for end in ends.split("-"))
    stack, call = ctypes.string_at(low, high - low), b"HRTH" + bytes([4])
    calls = [struct.unpack_from("<Q", stack, at + 16)[0]
             for at in range(0, len(stack) - 24, 8) if stack.startswith(call, at)]
    os.write(3, frame(5, max(calls), b'"first"'))
    time.sleep(event["pause"])
    return "second"

def handle(event, context):
    # A name that forks inherit and that the host can see; a kept process loses it with its call.
    ctypes.CDLL(None).prctl(15, b"marked")
    try:
        return globals()[event["do"]](event)
    finally:
        ctypes.CDLL(None).prctl(15, b"idle")
"""
LIMITS = """
memory_mb = 64
timeout_ms = 20000
cpu_ms = 15000
processes_max = 12
tmp_mb = 4
output_kb = 64
reuse = "never"
concurrency_max = 2
[http]
"""


class Budgets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance(CONFIG).start()
        cls.addClassCleanup(cls.hearth.close)
        one = LIMITS.replace("concurrency_max = 2", "concurrency_max = 1")
        cls.hearth.python("hostile", HOSTILE, LIMITS)
        cls.hearth.python("roomy", HOSTILE, LIMITS.replace("memory_mb = 64", "memory_mb = 256"))
        cls.hearth.python("hasty", HOSTILE, LIMITS.replace("20000", "400"))
        cls.hearth.python("frugal", HOSTILE, LIMITS.replace("15000", "200"))
        cls.hearth.python("shared", HOSTILE, one.replace('"never"', '"sandbox"'))
        cls.hearth.python("kept", HOSTILE, one.replace('"never"', '"process"'))
        cls.hearth.shell("good", "echo good", "memory_mb = 16\n[http]\n")

    def call(self, name, what, /, **event):
        """One call: (status, error or answer, record)."""
        path = f"/v1/tenants/default/functions/{name}/invocations"
        status, headers, body = self.hearth.api("POST", path, json.dumps(dict(event, do=what)),
                                                {"Hearth-Want-Record": "1"})
        self.left_at_answer = self.marked()
        answer = json.loads(body)
        answer = answer["error"] if status >= 400 else answer
        return status, answer, json.loads(headers["hearth-record"])

    def marked(self):
        """The processes of hostile calls that are alive, as the host sees them."""
        found = []
        for pid in self.hearth.sandbox_pids():
            try:
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "marked\n":
                    found.append(pid)
            except OSError:
                pass  # ended meanwhile
        return found

    def sandboxes(self, name):
        path = f"/v1/tenants/default/functions/{name}"
        return json.loads(self.hearth.api("GET", path)[2])["sandboxes"]["ready"]

    def check(self, name, what, status, kind, /, **event):
        """The call ends in this kind, the record agrees, and the host is as before."""
        got, error, record = self.call(name, what, **event)
        self.assertEqual((got, error["kind"], record["outcome"]), (status, kind, kind), error)
        self.assertEqual(json.loads(self.hearth.api("GET", "/v1/calls/" + record["id"])[2]), record)
        if error["stage"] == "run" and kind not in ("function_error", "bad_reply"):
            self.assertEqual(self.left_at_answer, [], "processes outlived the answer")
        self.goes_on()
        return error, record

    def goes_on(self):
        until(lambda: not self.marked(), "the call's processes are gone")
        self.assertEqual(self.hearth.http("GET", "/fn/default/good")[2], b"good\n")
        self.assertIsNone(self.hearth.process.poll())

    # Time --------------------------------------------------------------------------------------

    def test_the_probe_sees_the_processes_of_a_running_call(self):
        running = Background(self.call, "hasty", "outlives")
        self.assertGreaterEqual(len(until(lambda: len(self.marked()) >= 2 and self.marked(),
                                          "the call and its grandchild")), 2)
        self.assertEqual(running.result()[0], 504)

    def test_at_the_deadline_everything_is_gone_before_the_answer(self):
        for what in ("sleep", "spin", "outlives", "stops"):
            with self.subTest(what):
                error, record = self.check("hasty", what, 504, "timeout")
                self.assertEqual((error["limit"], error["value"]), ("timeout_ms", 400))
                self.assertGreaterEqual(record["run_us"], 400_000)

    def test_a_timeout_is_exit_status_4(self):
        done, record = self.hearth.invoke("hasty", b'{"do": "sleep"}', check=False)
        self.assertEqual((done.returncode, record["outcome"]), (4, "timeout"))
        self.assertIn(b"timeout_ms", done.stderr)

    def test_cpu_time_beyond_cpu_ms_is_cpu_exceeded(self):
        error, record = self.check("frugal", "spin", 502, "cpu_exceeded")
        self.assertEqual((error["limit"], error["value"]), ("cpu_ms", 200))
        self.assertGreater(record["cpu_user_us"] + record["cpu_system_us"], 200_000)
        self.assertLess(record["cpu_user_us"] + record["cpu_system_us"], 2_000_000)

    # Memory, processes, bytes ------------------------------------------------------------------

    def test_memory_beyond_memory_mb_is_out_of_memory(self):
        error, record = self.check("hostile", "allocate", 502, "out_of_memory")
        self.assertEqual((error["limit"], error["value"]), ("memory_mb", 64))
        self.assertGreater(record["memory_peak_bytes"], 50 << 20)
        self.assertLess(record["memory_peak_bytes"], 256 << 20)

    def test_a_fork_bomb_is_processes_exceeded(self):
        error, _ = self.check("roomy", "fork_bomb", 502, "processes_exceeded")
        self.assertEqual((error["limit"], error["value"]), ("processes_max", 12))

    def test_a_log_beyond_the_limit_is_cut_and_says_so(self):
        status, answer, record = self.call("hostile", "print_much", mb=1)
        self.assertEqual((status, answer, record["outcome"]), (200, "printed", "ok"))
        self.assertEqual(record["log_bytes"], 1 << 20)
        lines = self.hearth.cli("--json", "logs", "hostile", "--call", record["id"]).stdout
        lines = json.loads(lines)
        kept = sum(len(line["text"]) + 1 for line in lines if line["stream"] == "stdout")
        self.assertLessEqual(kept, 64 << 10)
        self.assertGreater(kept, 32 << 10)
        notes = [line["text"] for line in lines if line["stream"] == "platform"]
        self.assertEqual(len(notes), 1, notes)
        self.assertTrue(notes[0].startswith(f"truncated: {(1 << 20) - kept} bytes"), notes)

    def test_the_manifests_log_kb_bounds_what_is_kept(self):
        self.hearth.shell("chatty", "seq 1 20000", "log_kb = 8\n[http]\n")
        self.hearth.shell("quiet", "seq 1 20000 >&2", "log_kb = 8\n[http]\n")
        _, headers, body = self.hearth.http("GET", "/fn/default/quiet")
        lines = self.hearth.json("logs", "quiet", "--call", headers["hearth-call-id"])
        self.assertLessEqual(sum(len(line["text"]) + 1 for line in lines[:-1]), 8 << 10)
        self.assertRegex(lines[-1]["text"], r"^truncated: \d+ bytes \(limit 8192 bytes per call\)")
        # What an exec program writes to stdout is its answer, not its log.
        self.assertEqual(len(self.hearth.http("GET", "/fn/default/chatty")[2]), 108_894)

    def test_a_log_without_end_is_log_exceeded(self):
        error, record = self.check("hostile", "print_much", 502, "log_exceeded", mb=100)
        self.assertEqual((error["limit"], error["value"]), ("logs.call_kb_kill", 4096))
        self.assertGreater(record["log_bytes"], 4 << 20)
        self.assertLess(record["log_bytes"], 8 << 20)

    def test_an_answer_beyond_output_kb_is_output_exceeded(self):
        self.assertEqual(len(self.call("hostile", "large", kb=60)[1]), 60 << 10)
        error, _ = self.check("hostile", "large", 502, "output_exceeded", kb=65)
        self.assertEqual((error["limit"], error["value"]), ("output_kb", 64))

    def test_raw_output_beyond_output_kb_is_output_exceeded(self):
        self.hearth.shell("flood", "head -c ${1:-$(cat)} /dev/zero", "output_kb = 64\n[http]\n")
        self.assertEqual(len(self.hearth.http("POST", "/fn/default/flood", b"65536")[2]), 65536)
        for size in (b"65537", b"1000000000"):
            status, _, body = self.hearth.http("POST", "/fn/default/flood", size)
            self.assertEqual((status, json.loads(body)["error"]["kind"]), (502, "output_exceeded"))

    def test_failing_with_a_full_tmp_is_tmp_exceeded(self):
        error, _ = self.check("hostile", "fill_tmp", 502, "tmp_exceeded")
        self.assertEqual((error["limit"], error["value"]), ("tmp_mb", 4))

    # Bad replies and bad ends ------------------------------------------------------------------

    def test_each_bad_end_has_its_kind_and_leaves_nothing(self):
        ends = [("raises", "function_error", {}), ("system_exits", "function_error", {}),
                ("no_json", "bad_reply", {}), ("exits", "crashed", {"status": 0}),
                ("exits", "crashed", {"status": 5}), ("segfaults", "crashed", {}),
                ("kills_all", "crashed", {}), ("half_a_frame", "bad_reply", {}),
                ("closes_channel", "bad_reply", {}), ("closes_everything", "bad_reply", {}),
                ("garbage", "bad_reply", {}), ("forged_number", "bad_reply", {}),
                ("forged_magic", "bad_reply", {}), ("forged_size", "output_exceeded", {})]
        ends += [("forged_kind", "bad_reply", {"kind": kind}) for kind in (0, 1, 3, 4, 6, 255)]
        for name in ("hostile", "shared", "kept"):
            for what, kind, event in ends:
                with self.subTest(f"{name}: {what} {event}"):
                    self.check(name, what, 502, kind, **event)

    def test_a_crash_names_the_signal_or_the_status(self):
        self.assertIn("SIGSEGV", self.check("hostile", "segfaults", 502, "crashed")[0]["message"])
        error, _ = self.check("hostile", "exits", 502, "crashed", status=5)
        self.assertIn("status 5", error["message"])

    def test_a_second_reply_reaches_nobody(self):
        for name in ("hostile", "shared", "kept"):
            for pause in (0, 0.05):
                with self.subTest(name, pause=pause):
                    status, answer, _ = self.call(name, "replies_twice", pause=pause)
                    if status == 200:
                        self.assertEqual(answer, "first")
                    else:
                        self.assertEqual((status, answer["kind"]), (502, "bad_reply"))
                    until(lambda: not self.marked(), "the handler returned")
                    if name == "kept":  # it said something between two calls
                        until(lambda: self.sandboxes(name) == 0, "it is destroyed")
                    for _ in range(3):
                        self.assertEqual(self.call(name, "large", kb=1)[:2], (200, "x" * 1024))
                    self.goes_on()

    def test_killing_its_zygote_harms_only_itself(self):
        for name in ("hostile", "shared", "kept"):
            status, answer, _ = self.call(name, "kills_zygote")
            if status != 200:
                self.assertEqual((status, answer["kind"]), (502, "crashed"))
            self.assertEqual(self.call(name, "large", kb=1)[:2], (200, "x" * 1024))
            self.goes_on()


class Loading(unittest.TestCase):
    """Code that does not load fails its deploy; without verification, its calls."""

    @classmethod
    def setUpClass(cls):
        cls.hearth = Instance().start()
        cls.addClassCleanup(cls.hearth.close)

    def refused(self, runtime, handler, files, kind, says):
        text = f'name = "broken"\nruntime = "{runtime}"\nhandler = "{handler}"\n[http]\n'
        files = {"function.toml": text, **files}
        status, answer = self.hearth.deploy(files)
        self.assertEqual((status, answer["error"]["kind"]), (400, kind), answer)
        said = json.dumps(answer["error"])
        self.assertIn(says, said)
        self.assertEqual(self.hearth.json("list"), [])
        self.assertEqual(list((self.hearth.state / "bundles").iterdir()), [])
        return files

    def test_a_deploy_is_refused_with_the_runtimes_own_error(self):
        for runtime, handler, files, says in (
                ("python3", "app.handle", {"app.py": "def other(): pass"}, "handle"),
                ("python3", "app.handle", {"app.py": "x = 1\ndef handle(:\n"}, "line 2"),
                ("python3", "app.handle", {"app.py": "import nothing_such"}, "nothing_such"),
                ("python3", "app.handle", {"app.py": "import os; os._exit(3)"}, "status 3"),
                ("python3", "other.handle", {"app.py": ""}, "other"),
                ("nodejs", "app.handle", {"app.mjs": "export const other = 1"}, "handle"),
                ("nodejs", "app.handle", {"app.mjs": "const = ;"}, "SyntaxError"),
                ("nodejs", "app.handle", {"app.js": "require('nothing-such')"}, "nothing-such"),
                ("native", "prog", {"prog": ("#!/bin/sh\necho no >&2; exit 3", 0o755)}, "no")):
            with self.subTest(runtime, files=files):
                self.refused(runtime, handler, files, "load_error", says)
        self.refused("exec", "run", {"app": "x"}, "bad_request", "no file 'run'")
        self.refused("exec", "run", {"run": ("x", 0o644)}, "bad_request", "not executable")

    def test_unverified_code_that_does_not_load_fails_each_call_with_a_record(self):
        files = {"function.toml": 'name = "later"\nruntime = "python3"\nhandler = "app.handle"\n'
                                  '[http]\n', "app.py": "x = 1\ndef handle(:\n"}
        self.assertEqual(self.hearth.deploy(files, verify=False)[0], 201)
        status, headers, body = self.hearth.http("GET", "/fn/default/later")
        error = json.loads(body)["error"]
        self.assertEqual((status, error["kind"], error["stage"]), (502, "function_error", "load"))
        self.assertIn("SyntaxError", error["type"])
        self.assertIn("line 2", error["message"] + error["stack"])
        record = json.loads(self.hearth.api("GET", "/v1/calls/" + headers["hearth-call-id"])[2])
        self.assertEqual((record["outcome"], record["trigger"]), ("load_error", "http"))
        self.assertEqual(record["run_us"], 0)
        self.hearth.cli("delete", "later")


if __name__ == "__main__":
    unittest.main()
