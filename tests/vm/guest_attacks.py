# SPDX-License-Identifier: Apache-2.0
"""Attacks of tests/security against the installed service, with every limit enforced.

Those whose twin needs a kernel with all modules and a root with all capabilities: on a host of
containers they fail outside as well, and prove nothing there. A skip counts as a failure here.
"""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from service import Service
from tests.security import test_kernel
from waiting import until


class Families(test_kernel.Families):
    installation = Service
    test_cannot_open_a_socket_of_rxrpc = None  # Debian's kernel for clouds is built without

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        pathlib.Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


class Rights(test_kernel.Rights):
    installation = Service
    test_cannot_run_beside_others_on_a_core = None  # the machine has no hyper-threads
    test_cannot_list_security_modules = None  # Linux 6.8


class MachineCode(test_kernel.MachineCode):
    installation = Service


class CoreDumps(unittest.TestCase):
    """The kernel runs the program that core_pattern names as root, outside every limit."""

    PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern")
    WAYS = {"as it is": "", "with none": "ulimit -c 0\n", "with more": "ulimit -c unlimited\n"}

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self.PATTERN.write_text, self.PATTERN.read_text())
        self.PATTERN.write_text(f"|/usr/bin/touch {self.folder}/%u")
        self.hearth = Service()

    def dumped_by(self):
        return {int(path.name) for path in self.folder.iterdir()}

    def test_a_crash_inside_starts_nothing_outside(self):
        for way, first in self.WAYS.items():
            self.hearth.shell("crash", f"{first}kill -ABRT $$", "timeout_ms = 60000\n")
            status, _, answer = self.hearth.api(
                "POST", "/v1/tenants/default/functions/crash/invocations", b"", limit_s=120)
            self.assertIn(b"SIGABRT", answer, way)
            self.assertEqual(status, 502, way)
        # The twin also shows that the kernel is done with the others.
        subprocess.run(["setpriv", "--reuid", "65534", "sh", "-c", "ulimit -c 0; kill -ABRT $$"],
                       check=False)
        until(lambda: 65534 in self.dumped_by(), "the kernel reports a crash outside", 60)
        self.assertEqual(self.dumped_by(), {65534})
