# SPDX-License-Identifier: Apache-2.0
"""What the unit's programs are on the host: user, capabilities, open files, hardening, journal."""

import os
import pathlib
import re
import subprocess
import unittest

from service import UNIT, UNIT_CGROUP, Service, run, show

UNIT_FILE = pathlib.Path("/lib/systemd/system") / UNIT
# Bits of the kernel's numbers: DAC_READ_SEARCH, SETGID, SETUID, SYS_ADMIN.
SPAWNER_CAPABILITIES = 1 << 2 | 1 << 6 | 1 << 7 | 1 << 21
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}


def files_of(pid):
    return [os.readlink(path) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()]


def unit_lines():
    return UNIT_FILE.read_text().splitlines()


class Host(unittest.TestCase):
    def setUp(self):
        self.hearth = Service()
        self.daemon = self.hearth.pid()
        leaf = (UNIT_CGROUP / "supervisor/cgroup.procs").read_text().split()
        (self.spawner,) = set(map(int, leaf)) - {self.daemon}

    def test_hearthd_is_user_hearth_with_no_capability_in_any_set(self):
        status = status_of(self.daemon)
        uid = run("id", "-u", "hearth").stdout.strip()
        self.assertEqual(set(status["Uid"].split()), {uid})
        self.assertEqual({int(status[name], 16) for name in SETS}, {0})
        self.assertEqual((status["NoNewPrivs"], status["Groups"]), ("1", ""))

    def test_the_spawner_has_four_capabilities_and_one_thread(self):
        status = status_of(self.spawner)
        self.assertEqual(set(status["Uid"].split()), {"0"})
        sets = {name: int(status[name], 16) for name in SETS}
        four = SPAWNER_CAPABILITIES
        self.assertEqual(sets, {"CapInh": 0, "CapPrm": four, "CapEff": four, "CapBnd": four,
                                "CapAmb": 0})
        self.assertEqual((status["NoNewPrivs"], status["Threads"]), ("1", "1"))

    def test_open_files_are_of_the_kinds_that_the_threat_model_names(self):
        kinds = r"/dev/null|/var/lib/hearth/.*|(socket|pipe):.*|anon_inode:.*|/sys/fs/cgroup/.*"
        for name in files_of(self.daemon):
            self.assertRegex(name, f"^({kinds})$")
        # hearth-init, the base cgroup, its own pidfd, the folders of its stage.
        kinds = r"/dev/null|(socket|pipe):.*|anon_inode:.*|/sys/fs/cgroup/.*|/[a-z-]*"
        for name in files_of(self.spawner):
            self.assertRegex(name, f"^({kinds})$")

    def test_the_spawner_can_name_nothing_of_the_host(self):
        root = pathlib.Path(f"/proc/{self.spawner}/root")
        self.assertEqual({path.name for path in root.iterdir()},
                         {"proc", "state", "runtimes", "dev", "images", "box"})
        with self.assertRaises(OSError):
            (root / "state/attempt").write_text("")

    def test_the_files_of_the_state_are_user_hearth_s_alone(self):
        for name in ("hearth.db", "ledger.db", "inflight"):
            path = self.hearth.state / name
            self.assertEqual((path.owner(), path.stat().st_mode & 0o077), ("hearth", 0), name)
            done = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", "cat", path],
                                  capture_output=True, timeout=60)
            self.assertIn(b"Permission denied", done.stderr)

    def test_each_hardening_option_has_its_reason_above_it(self):
        lines = unit_lines()
        begin = lines.index("[Service]") + 1
        end = lines.index("[Install]")
        plain = ("Type=", "Restart=", "LimitNPROC=", "SystemCallErrorNumber=")
        for at in range(begin, end):
            if not lines[at] or lines[at].startswith(("#", "StateDirectory")):
                continue
            if lines[at].startswith(plain):
                continue
            self.assertTrue(lines[at - 1].startswith("#"), lines[at])

    def test_systemd_took_every_option_and_its_score_is_this(self):
        done = run("systemd-analyze", "verify", "--man=no", UNIT_FILE, check=False)
        self.assertEqual(done.stderr, "")
        for name, value in (("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"),
                            ("ProtectHome", "yes"), ("PrivateTmp", "yes"),
                            ("DevicePolicy", "closed"), ("ProtectClock", "yes"),
                            ("ProtectKernelModules", "yes"), ("LockPersonality", "yes"),
                            ("RestrictRealtime", "yes"), ("Delegate", "yes"),
                            ("DelegateControllers", "cpu io memory pids"), ("UMask", "0077")):
            self.assertEqual(show(UNIT, name), value, name)
        text = run("systemd-analyze", "security", "--no-pager", UNIT).stdout
        score = re.search(r"Overall exposure level .*: ([0-9.]+) ", text)
        print(f"systemd-analyze security: {score[1]} of 10")
        self.assertLessEqual(float(score[1]), 5.3)

    def test_doctor_passes(self):
        checks = {row["check"]: row for row in self.hearth.json("doctor")["checks"]}
        self.assertEqual([name for name, row in checks.items() if row["level"] == "fail"], [])
        for name in ("memory", "pids", "cpu"):
            self.assertEqual(checks[f"cgroup controller {name}"]["level"], "ok")
        self.assertIn("memory", checks["delegation"]["found"])
        self.assertIn("strict", checks["hearthd"]["found"])

    def test_the_journal_has_the_fields_of_each_line(self):
        entries = self.hearth.entries()
        (ready,) = [e for e in entries if e["MESSAGE"].startswith("info ready")][-1:]
        self.assertEqual((ready["HEARTH_LIMITS"], ready["PRIORITY"], ready["SYSLOG_IDENTIFIER"]),
                         ("strict", "6", "hearthd"))
        live = [e for e in entries if e.get("HEARTH_FUNCTION") == "first"]
        self.assertEqual((live[0]["HEARTH_TENANT"], live[0]["HEARTH_VERSION"]), ("default", "1"))
        found = run("journalctl", "HEARTH_FUNCTION=first", "-o", "cat", "--no-pager").stdout
        self.assertIn("function live", found)
