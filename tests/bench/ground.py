# SPDX-License-Identifier: Apache-2.0
"""What a measurement stands on: a folder, servers and programs that end with it."""

import contextlib
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import instance  # noqa: E402

FLOORS = HERE / "floors"
FUNCTIONS = HERE / "functions"
PYTHON, NODE = "/usr/bin/python3", "/usr/bin/node"


class Ground:
    def __init__(self, build, rounds, seconds, limits, note):
        self.build, self.rounds, self.seconds = build, rounds, seconds
        self.limits, self.note = limits, note
        self.against = None  # the peer and its version
        self._open = contextlib.ExitStack()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-bench-"))
        # Programs in namespaces of their own run as nobody in particular.
        self.folder.chmod(0o755)
        self._open.callback(shutil.rmtree, self.folder, True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._open.close()

    def keep(self, context):
        """Enters what is left when the measurement ends."""
        return self._open.enter_context(context)

    def hearth(self, config="", **options):
        return self.keep(instance.Instance(config, limits=self.limits, **options))

    def process(self, *command, **options):
        """A process that prints one line when it is ready; it and the line."""
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                                   **options)

        def end():
            process.terminate()
            process.wait()
            process.stdout.close()

        self._open.callback(end)
        return process, process.stdout.readline().strip()

    def forwarder(self, *command, workers=8):
        """The URL of a bare server in front of so many processes."""
        program = self.build / "tests/bench/forwarder"
        _, port = self.process(program, workers, *command)
        return f"http://127.0.0.1:{int(port)}/"

    def start_loop(self, *arguments, loops=2, body="", namespaces=False, around=()):
        """A side that starts a program again and again, so many at once; around goes before the
        loop. The environment is nearly empty, as in a sandbox: a certificate list inherited from
        the host alone costs node 80 ms of its start."""
        command = [*around, self.build / "tests/bench/start_loop",
                   *(["--namespaces"] * namespaces), loops, self.seconds, body, *arguments]

        def measure():
            done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                                  check=True, env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
            count, median_us = map(int, done.stdout.split())
            return {"rate": count / self.seconds, "p50": median_us}

        return measure

    def first_calls(self, hearth, count, deploy, body, start):
        """A side of the median time of so many first calls. deploy makes one more function and
        returns its name; start is what kind of start the calls must have been."""

        def once():
            name = deploy()
            head = (f"POST /fn/default/{name} HTTP/1.1\r\nHost: x\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}")
            begin = time.monotonic()
            with socket.create_connection(("127.0.0.1", hearth.port), 60) as connection:
                connection.sendall(f"{head}\r\n\r\n{body}".encode())
                answer = connection.recv(65536).decode()
            took = time.monotonic() - begin
            if " 200 " not in answer[:20] or f"hearth-start: {start}\r" not in answer.lower():
                raise RuntimeError(f"{name}: {answer[:1000]}")
            return took * 1e6

        return lambda: {"p50": statistics.median(once() for _ in range(count))}

    def program(self, source, *flags, name=None):
        """A static program, compiled from one of the functions here."""
        binary = self.folder / (name or pathlib.Path(source).stem)
        include = instance.STAGE / "include/hearth"
        subprocess.run(["cc", "-O2", "-static", *flags, f"-I{include}", "-o", binary,
                        FUNCTIONS / source], check=True)
        return binary

    def native(self, hearth, name, extra, source="echo.c", **options):
        binary = self.program(source, name=f"{name}.bin").read_bytes()
        extra = f"{extra}\n[http]\n"
        hearth.function(name, "native", "program", {"program": (binary, 0o755)}, extra, **options)
        return self.url(hearth, name)

    @staticmethod
    def url(hearth, name, tenant="default"):
        return f"http://127.0.0.1:{hearth.port}/fn/{tenant}/{name}"


def optimised_build():
    """Builds Hearth as it is shipped, unless HEARTH_STAGE names an installation and
    HEARTH_BENCH_BUILD its build, which has the floors. Returns both folders."""
    stage, build = os.environ.get("HEARTH_STAGE"), os.environ.get("HEARTH_BENCH_BUILD")
    root = HERE.parents[1]
    if bool(stage) != bool(build):
        sys.exit("HEARTH_STAGE and HEARTH_BENCH_BUILD go together: of one alone, the figures would "
                 f"name a build that they are not of (HEARTH_STAGE={stage or ''}, "
                 f"HEARTH_BENCH_BUILD={build or ''}); set both, or neither to build as shipped")
    if not stage:
        subprocess.run(["bash", "-c", ". tests/support/prepare.sh; build_bench"], cwd=root,
                       check=True, stdout=sys.stderr)
        stage = root / "stage-bench"
    instance.STAGE = pathlib.Path(stage)
    return pathlib.Path(stage), pathlib.Path(build or root / "build-bench")
