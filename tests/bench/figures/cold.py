# SPDX-License-Identifier: Apache-2.0
"""Calls that find no sandbox of their function."""

import itertools
import time

from client import wrk
from figures.warm import NUMBERS, TEXT
from ground import FLOORS, FUNCTIONS, PYTHON
from measure import Row, measurement

# A tree of nothing but what the program needs, with the same kinds of mounts as a sandbox.
BWRAP = ["/usr/bin/bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib64",
         "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
# Each first call leaves a sandbox; none must have to go before the next can be made.
ROOMY = "[pool]\nmemory_mb_max = 16384\n"
# First calls are few: several make a round's number, their median.
PER_ROUND = 7


@measurement(
    "cold-native",
    Row("cold-native-time", "first call of a native function, p50 / bwrap and exec", "us",
        ("hearth", "p50"), ("floor", "p50"), "<= 1.0", base="<= 2"),
    short=True,
)
def cold_native(ground):
    hearth = ground.hearth(ROOMY)
    program, numbers = ground.program("echo.c").read_bytes(), itertools.count()
    bare = ground.program("cat.c")

    def deploy():
        number = next(numbers)
        # Bytes that no other version has, so that none is found unpacked.
        files = {"program": (program + str(number).encode(), 0o755)}
        hearth.function(f"cold{number}", "native", "program", files, "memory_mb = 32\n[http]\n",
                        verify=False)
        return f"cold{number}"

    command = [*BWRAP, "--ro-bind", ground.folder, "/task", f"/task/{bare.name}"]
    return {
        "hearth": ground.first_calls(hearth, PER_ROUND, deploy, TEXT, "cold"),
        "floor": ground.start_loop(*command, loops=1, body=TEXT),
    }


@measurement(
    "cold-python",
    Row("cold-python-time", "first python call, generic sandbox waiting, p50 / bare python3 -I",
        "us", ("hearth", "p50"), ("floor", "p50"), "<= 0.6"),
    short=True,
)
def cold_python(ground):
    hearth = ground.hearth(ROOMY)
    code, numbers = (FUNCTIONS / "sum.py").read_text(), itertools.count()

    def deploy():
        name = f"cold{next(numbers)}"
        hearth.python(name, f"{code}# {name}\n", verify=False)
        # The pool makes the next generic sandbox as soon as one is taken.
        time.sleep(0.5)
        return name

    hearth.python("first", code)
    hearth.http("POST", "/fn/default/first", NUMBERS.encode())
    time.sleep(1)
    return {
        "hearth": ground.first_calls(hearth, PER_ROUND, deploy, NUMBERS, "generic"),
        "floor": ground.start_loop(PYTHON, "-I", FLOORS / "once.py", FUNCTIONS / "sum.py", loops=1,
                                   body=NUMBERS),
    }


@measurement(
    "never-native",
    Row("never-native-rate", "reuse=never native, sandboxes per second / clone3 and exec",
        "calls/s", ("hearth", "rate"), ("floor", "rate"), ">= 0.50"),
    short=True,
)
def never_native(ground):
    ours = ground.native(ground.hearth(), "echo",
                         'reuse = "never"\nconcurrency_max = 8\nmemory_mb = 32')
    wrk(ours, TEXT, 4, 1)
    return {
        "hearth": lambda: wrk(ours, TEXT, 4, ground.seconds),
        "floor": ground.start_loop(ground.program("cat.c"), body=TEXT, namespaces=True),
    }
