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

from service import Service, run
from tests.security import test_kernel
from waiting import until

# Those that the kernel does not load by itself when somebody asks.
MODULES = ["arp_tables", "ebtables", "ip6_tables"]
# What Debian's kernel for clouds has not either.
MISSING = {
    "test_cannot_open_a_socket_of_rxrpc": "built without",
    "test_cannot_run_beside_others_on_a_core": "built without",
    "test_cannot_list_security_modules": "Linux 6.8",
    "test_cannot_read_and_send_pages_away": "Linux 6.14",
    "test_cannot_poison_memory": "built without",
    "test_cannot_take_memory_offline": "built without",
}


def of(attacks):
    """The class for the service, with those tests only whose twin a host may lack."""
    kept = {"installation": Service}
    for name in filter(lambda name: name.startswith("test_"), dir(attacks)):
        if not getattr(getattr(attacks, name), "lacks", "") or name in MISSING:
            kept[name] = None
    return type(attacks.__name__, (attacks,), kept)


def setUpModule():
    run("modprobe", "--all", *MODULES)
    pathlib.Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


Families, Options = of(test_kernel.Families), of(test_kernel.Options)
Rights, MachineCode = of(test_kernel.Rights), of(test_kernel.MachineCode)


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
