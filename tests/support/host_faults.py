# SPDX-License-Identifier: Apache-2.0
"""A private hearthd on a host whose disk and clock the test sets: tests/fault/host_faults.c."""

import mmap
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

from instance import Instance

ECHO = "def handle(event, context):\n    return event\n"
SANITIZED = "ASAN_OPTIONS" in os.environ


def build_shim():
    """The shared object, and with a sanitizer what has to be loaded before it."""
    source = pathlib.Path(__file__).resolve().parents[1] / "fault/host_faults.c"
    out = pathlib.Path(tempfile.mkdtemp(prefix="hearth-test-")) / "host_faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", out, source, "-ldl"], check=True)
    out.parent.chmod(0o755)
    first = []
    if SANITIZED:
        first = [subprocess.run(["cc", "-print-file-name=libasan.so"], check=True,
                                capture_output=True, text=True).stdout.strip()]
    return out, ":".join([*first, str(out)])


class Case(unittest.TestCase):
    config = ""

    def setUp(self):
        shim, preload = build_shim()
        self.addCleanup(lambda: (shim.unlink(), shim.parent.rmdir()))
        self.hearth = Instance(self.config)
        self.addCleanup(self.hearth.close)
        path = self.hearth.home / "host-faults"
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.faults = mmap.mmap(file.fileno(), 4096)
        self.hearth.env.update({"HEARTH_HOST_FAULTS": str(path), "LD_PRELOAD": preload})
        self.hearth.start()
        self.hearth.python("echo", ECHO)

    def set(self, write_errno=0, clock_offset_s=0, refused=""):
        self.faults[16:80] = struct.pack("64s", refused.encode())
        self.faults[:16] = struct.pack("=qq", write_errno, clock_offset_s)

    def refuse(self, files, error):
        """No write to these succeeds, until the next `set`."""
        self.set(write_errno=error, refused=files)

    def call(self):
        return self.hearth.http("POST", "/fn/default/echo", b"x")

    def serves(self):
        return self.call()[0] == 200
