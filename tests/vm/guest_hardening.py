# SPDX-License-Identifier: Apache-2.0
"""The unit's options, attempted: the same probe under them and, as a twin, without any."""

import json
import pathlib
import unittest

from service import UNIT, run

UNITS = pathlib.Path("/run/systemd/system")
PROBE = pathlib.Path(__file__).resolve().parent / "hardening_probe.py"
# What the twin must be able to do, or the probe proves nothing.
ATTEMPTS = {
    "write /usr", "write /etc", "write another service's state", "read a home",
    "see another's /tmp", "open a disk", "make a disk's node", "set the clock",
    "load a module", "change the personality", "run in real time", "open a packet socket",
    "swap to a file", "gain CAP_KILL", "run a setuid program as root",
}


def attempt(unit):
    """What succeeded in a unit that runs the probe."""
    run("systemctl", "daemon-reload")
    run("systemctl", "start", unit)
    text = run("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout
    (line,) = [line for line in text.splitlines() if line.startswith("{")][-1:]
    run("systemctl", "stop", unit, check=False)
    return json.loads(line)


class Hardening(unittest.TestCase):
    def test_nothing_that_the_options_forbid_is_possible(self):
        for path in ("/root/private", "/tmp/other", "/var/lib/other/state"):
            pathlib.Path(path).parent.mkdir(exist_ok=True)
            pathlib.Path(path).write_text("private")
        command = f"/usr/bin/python3 -B {PROBE}"
        keep = []
        for line in pathlib.Path("/lib/systemd/system", UNIT).read_text().splitlines():
            if line.startswith("ExecStart="):
                line = f"ExecStart={command}"
            if line.startswith("Type="):
                line = "Type=oneshot"
            if not line.startswith(("Requires=", "Restart=", "WantedBy=", "Also=", "[Install]")):
                keep.append(line)
        (UNITS / "hardened-probe.service").write_text("\n".join(keep) + "\n")
        (UNITS / "plain-probe.service").write_text(
            f"[Service]\nType=oneshot\nExecStart={command}\n")
        plain = attempt("plain-probe.service")
        self.assertEqual({name for name, done in plain.items() if done}, ATTEMPTS, plain)
        hardened = attempt("hardened-probe.service")
        self.assertEqual({name for name, done in hardened.items() if done}, set(), hardened)
