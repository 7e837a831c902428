# SPDX-License-Identifier: Apache-2.0
"""Every system call, made from inside a function, against the lists that were read line by line.

syscalls_server.txt is for programs that serve calls themselves, syscalls_zygote.txt for children of
python's zygote. A line is `CALL OUTCOME RESULT[|RESULT...]  # why`: CALL is a number with its
name, a range of numbers, or a call with arguments that decide. OUTCOME is one of

  allowed    as the kernel answers: the same result outside
  kernel     allowed, but refused by the kernel, for want of a capability or beside a filter:
             another result outside
  refused    the filter's answer: another result outside, where it is tried
  unknown    refused as a kernel would that does not know it, which outside is perhaps one
  ignored    nothing happens, and the caller is told that it did
  killed     the process is ended
"""

import ctypes
import errno
import json
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from tests.security import syscall_attempts
from tests.support.instance import STAGE, Instance

HERE = pathlib.Path(__file__).resolve().parent
SETTINGS = "timeout_ms = 240000\nmemory_mb = 128\n"
PYTHON = """
import ctypes
library = ctypes.CDLL("/var/task/libsweep.so")
library.sweep.restype = ctypes.c_char_p
def handle(event, context):
    return library.sweep(event.encode()).decode()
"""
ATTEMPTS = syscall_attempts.attempts()
OUTCOMES = {"allowed", "kernel", "refused", "unknown", "ignored", "killed"}


def compile_sweep(output, *flags):
    subprocess.run(["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", *flags, "-o", output,
                    HERE / "sweep.c"], check=True)
    return output.read_bytes()


def named(outcome):
    if outcome.isdigit():
        return errno.errorcode.get(int(outcome), outcome) if outcome != "0" else "ok"
    if outcome.startswith("signal "):
        return signal.Signals(int(outcome.split()[1])).name
    return outcome


def results(text, attempts):
    lines = text.splitlines()
    assert len(lines) == len(attempts), f"{len(lines)} outcomes of {len(attempts)} attempts"
    return {each.label: named(line) for each, line in zip(attempts, lines)}


def request(attempts):
    return "".join(each.line() + "\n" for each in attempts)


def setUpModule():
    global hearth, found
    hearth = Instance()
    unittest.addModuleCleanup(hearth.close)
    hearth.start()
    found = {"server": {}, "zygote": {}, "outside": {}}
    with tempfile.TemporaryDirectory() as folder:
        native = compile_sweep(pathlib.Path(folder, "sweep"), "-static", "-DHEARTH_NATIVE",
                               f"-I{STAGE}/include/hearth")
        library_path = pathlib.Path(folder, "libsweep.so")
        library = compile_sweep(library_path, "-shared", "-fPIC")
        loaded = ctypes.CDLL(str(library_path))
    hearth.function("sweep-native", "native", "sweep", {"sweep": (native, 0o755)}, SETTINGS)
    hearth.function("sweep-python", "python3", "app.handle",
                    {"app.py": PYTHON, "libsweep.so": (library, 0o755)}, SETTINGS)
    loaded.sweep.restype = ctypes.c_char_p
    tried = [each for each in ATTEMPTS if syscall_attempts.outside(each)]
    found["outside"] = results(loaded.sweep(request(tried).encode()).decode(), tried)
    body = hearth.cli("invoke", "sweep-native", "--data", "-", data=request(ATTEMPTS).encode(),
                      limit_s=300).stdout
    found["server"] = results(body.decode(), ATTEMPTS)
    body = hearth.cli("invoke", "sweep-python", "--data", "-",
                      data=json.dumps(request(ATTEMPTS)).encode(), limit_s=300).stdout
    found["zygote"] = results(json.loads(body), ATTEMPTS)


class Line:
    """One of a list: the attempts it is about, and what is to come of each."""

    def __init__(self, text):
        text, _, self.why = text.partition("  # ")
        self.call, self.outcome, wanted = text.rsplit(None, 2)
        self.wanted = wanted.split("|")
        assert self.outcome in OUTCOMES, text
        self.labels = [self.call]
        if number := re.fullmatch(r"(\d+) \w+", self.call):
            self.labels = [number[1]]
        elif span := re.fullmatch(r"(int80 |\w+ option )?(0x)?([0-9a-f]+)-(0x)?([0-9a-f]+)",
                                  self.call):
            base = 16 if span[2] else 10
            self.labels = [f"{span[1] or ''}{hex(each) if base == 16 else each}"
                           for each in range(int(span[3], base), int(span[5], base) + 1)]

    def problem(self, label, inside, outside):
        """What is wrong with these results, or None. `outside` is None where it is not tried."""
        if inside not in self.wanted:
            return "another result"
        if outside is None or self.outcome in ("unknown", "ignored"):
            return None
        if (inside == outside) != (self.outcome == "allowed"):
            return f"outside it is {outside}"
        return None


def read_list(profile):
    lines = (HERE / f"syscalls_{profile}.txt").read_text(encoding="utf-8").splitlines()
    return [Line(line) for line in lines if line and not line.startswith("#")]


class Sweep(unittest.TestCase):
    def compare(self, profile):
        lines = {label: line for line in read_list(profile) for label in line.labels}
        self.assertEqual(set(lines), set(found[profile]), "the list is not about what is tried")
        diff = []
        for label, inside in found[profile].items():
            line, outside = lines[label], found["outside"].get(label)
            if problem := line.problem(label, inside, outside):
                diff += [f"- {line.call} {line.outcome} {'|'.join(line.wanted)}",
                         f"+ {label} {inside}  # {problem}"]
        if diff:
            self.fail("\n".join([f"syscalls_{profile}.txt (-) and what came of it (+):", *diff]))

    def test_a_server_gets_of_every_call_what_is_listed(self):
        self.compare("server")

    def test_a_child_of_the_zygote_gets_of_every_call_what_is_listed(self):
        self.compare("zygote")

    def test_the_profiles_differ_in_process_two_only(self):
        server, zygote = found["server"], found["zygote"]
        differ = {label for label in server if server[label] != zygote[label]}
        self.assertTrue(differ)
        # 424 is pidfd_send_signal: whose descriptor it has, no filter can tell.
        self.assertEqual({label for label in differ if not re.search(
            r"\((2|-2|0xfffffffe)\)$", label)}, {"424"})

    def test_every_allowed_call_has_a_reason(self):
        for profile in ("server", "zygote"):
            bare = [line.call for line in read_list(profile)
                    if line.outcome in ("allowed", "kernel") and not line.why]
            self.assertEqual(bare, [], profile)

    def test_no_other_entry_to_the_kernel_is_open(self):
        for profile in ("server", "zygote"):
            others = {result for label, result in found[profile].items()
                      if label.startswith(("int80 ", "0x400"))}
            self.assertEqual(others, {"SIGSYS"}, profile)
            self.assertIn(found[profile]["sysenter 20"], {"SIGSYS", "SIGILL"})
        x32 = {result for label, result in found["outside"].items() if label.startswith("0x400")}
        self.assertNotIn("SIGSYS", x32)
        self.assertNotEqual(found["outside"]["int80 20"], "SIGSYS")

    def test_every_refusal_is_the_filters(self):
        """Without the filter each call that it refuses has another end."""
        for profile in ("server", "zygote"):
            refused = [label for line in read_list(profile) if line.outcome in ("refused", "killed")
                       for label in line.labels if label in found["outside"]]
            same = [label for label in refused
                    if found[profile][label] == found["outside"][label]]
            self.assertEqual(same, [])
            self.assertGreater(len(refused), 800)


if __name__ == "__main__":
    unittest.main()
