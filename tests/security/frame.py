# SPDX-License-Identifier: Apache-2.0
"""Promises and attacks: each is attempted inside a deployed function, and outside, where it works.

A row of a table names the promise; it becomes a test method of that name. The twin runs first: an
attempt that does not work outside either would prove nothing.
"""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import typing
import unittest

from tests.support.instance import STAGE, Instance

FOLDER = pathlib.Path(__file__).resolve().parent / "probes"
MODULES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py"))}
LIMITS = "timeout_ms = 30000\nmemory_mb = 128\nprocesses_max = 32\n"
SHELL = 'out=$(sh -c "$(cat)" 2>&1); echo "$? $out"\n'
ISOLATED = ["unshare", "--mount", "--uts", "--ipc", "--net"]
# Where the twin runs. In `host` runs only what does no harm to this host.
PLACES = {
    "host": [],
    "scratch": [*ISOLATED, "--pid", "--fork", "--mount-proc"],
    "below an init": [*ISOLATED, "--pid", "--fork", "--mount-proc", "sh", "-c",
                      '"$0" "$@"; exit $?'],
    "own folders": [*ISOLATED, "sh", "-c", "mount -t tmpfs none /tmp; mount -t tmpfs none /dev/shm;"
                    ' exec "$0" "$@"'],
    "metadata server": [*ISOLATED, "sh", "-c", "ip link set lo up; ip addr add 169.254.169.254/32"
                        ' dev lo; exec "$0" "$@"'],
}


class Promise(typing.NamedTuple):
    name: str
    attempt: str  # module.function of probes/, a name in attacks.c or neighbours.mjs, a script
    ends: str  # a pattern of how it ends inside: the error, or what the attempt got instead
    given: tuple = ()  # arguments, the same on both sides; `{home}` is the instance's folder
    twin: tuple | None = None  # arguments outside, where they differ
    place: str = "host"
    by: str = "python"
    lacks: str = ""  # how it ends outside where the kernel, or root here, has no such thing


class Verdict(typing.NamedTuple):
    worked: bool
    detail: str


def of_script(text):
    status, _, output = text.partition(" ")
    return Verdict(status == "0", output.strip())


def compiled(source, inside):
    """The native attempts: a program that serves calls, or one that makes a single attempt."""
    side = "inside" if inside else "outside"
    made = FOLDER / f"{pathlib.Path(source).stem}-{side}"
    if made.exists():  # where there is no compiler
        return made
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-attacks-"))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    flags = [f"-I{STAGE}/include/hearth", *(["-DINSIDE"] if inside else [])]
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-Wall", "-static", *flags, "-o",
                    folder / "attacks", FOLDER / source], check=True)
    return folder / "attacks"


class Attacks(unittest.TestCase):
    """A hearthd with the attempts deployed; `tenant` other has the same."""

    installation = Instance
    native = False

    @classmethod
    def setUpClass(cls):
        cls.hearth = cls.installation()
        cls.addClassCleanup(cls.hearth.close)
        cls.hearth.start()
        cls.start_outside()
        cls.deploy("probe", LIMITS)
        cls.hearth.shell("shell", SHELL, LIMITS)
        if cls.native:
            program = compiled("attacks.c", True).read_bytes()
            cls.program = compiled("attacks.c", False)
            files = {"attacks": (program, 0o755)}
            cls.hearth.function("native", "native", "attacks", files, LIMITS)

    @classmethod
    def start_outside(cls):
        """A process of this host that makes attempts, each in a child."""
        cls.host = subprocess.Popen(["/usr/bin/python3", FOLDER / "verdict.py"], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.addClassCleanup(cls.host.__exit__, None, None, None)  # closes its input, and waits

    @classmethod
    def deploy(cls, name, extra, tenant="default"):
        cls.hearth.function(name, "python3", "verdict.handle", MODULES, extra, tenant=tenant)

    def call(self, function, body, tenant="default"):
        """(status, answer's bytes) of one call."""
        path = f"/v1/tenants/{tenant}/functions/{function}/invocations"
        status, _, answer = self.hearth.api("POST", path, body)
        return status, answer

    def inside(self, attempt, *given, by="python", function=None, tenant="default"):
        if by in ("python", "nodejs"):
            function = function or {"python": "probe", "nodejs": "node"}[by]
            body = json.dumps({"attempt": attempt, "with": given})
        else:
            function = function or {"exec": "shell", "native": "native"}[by]
            body = attempt if by == "exec" else "\n".join([attempt, *map(str, given)])
        status, answer = self.call(function, body.encode(), tenant)
        if status != 200:
            error = json.loads(answer)["error"]
            return Verdict(False, f"{error['kind']}: {error['message']}")
        return of_script(answer.decode()) if by == "exec" else Verdict(**json.loads(answer))

    def outside(self, attempt, *given, place="host", by="python"):
        if by == "python" and place == "host":
            self.host.stdin.write(json.dumps([attempt, given]) + "\n")
            self.host.stdin.flush()
            found = json.loads(self.host.stdout.readline())
            return Verdict(**found) if found else Verdict(False, "ended without a verdict")
        if by == "python":
            # By way of the working directory, which stays also where something covers /tmp.
            command = ["/usr/bin/python3", "/proc/self/cwd/verdict.py", attempt, json.dumps(given)]
        elif by == "native":
            command = [self.program, attempt, *map(str, given)]
        elif by == "nodejs":
            command = ["node", FOLDER / "neighbours.mjs", attempt]
        else:
            command = ["sh", "-c", SHELL]
        done = subprocess.run([*PLACES[place], *command], cwd=FOLDER, capture_output=True,
                              input=attempt.encode() if by == "exec" else b"", timeout=60,
                              check=False)
        said = done.stdout.decode(errors="replace")
        if by == "exec":
            return of_script(said)
        if not said.startswith("{"):
            return Verdict(False, f"ended with {done.returncode}: {done.stderr.decode()}")
        return Verdict(**json.loads(said))

    def fill(self, given):
        """The arguments with what only a running instance knows in place."""
        known = {"{daemon}": self.hearth.pid(), "{port}": self.hearth.port}

        def filled(each):
            if isinstance(each, list):
                return [filled(part) for part in each]
            if not isinstance(each, str) or each in known:
                return known.get(each, each) if isinstance(each, str) else each
            return each.replace("{home}", str(self.hearth.home)).replace(
                "{daemon}", str(self.hearth.pid()))

        return [filled(each) for each in given]

    def check(self, promise):
        twin = promise.given if promise.twin is None else promise.twin
        found = self.outside(promise.attempt, *self.fill(twin), place=promise.place, by=promise.by)
        missing = promise.lacks and re.match(promise.lacks, found.detail)
        if not missing:
            self.assertTrue(found.worked, f"the attempt does not work outside: {found.detail}")
        found = self.inside(promise.attempt, *self.fill(promise.given), by=promise.by)
        self.assertFalse(found.worked, f"the attack worked: {found.detail}")
        self.assertRegex(found.detail, re.compile(f"^(?:{promise.ends})", re.S))
        if missing:
            self.skipTest("fails inside, but does not work on this host outside either")


def promises(*rows):
    """Gives a class of Attacks one test for each row."""
    def add(case):
        for row in rows:
            name = "test_" + row.name
            assert not hasattr(case, name), name
            method = lambda self, row=row: self.check(row)
            method.__doc__ = f"{row.attempt}, by {row.by}"
            method.lacks = row.lacks
            setattr(case, name, method)
        return case
    return add
