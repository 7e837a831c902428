# SPDX-License-Identifier: Apache-2.0
"""The operator's maxima on reading, and hosts that cannot enforce any: a second hearthd tells."""

import pathlib
import unittest

from service import Service, run, show
from waiting import until

MB_S = 4
CODE = "def handle(event, context):\n    return event\n"
LIMIT_S = 180


class Second(Service):
    """Beside the one of the unit, with folders of its own below `home`."""

    def __init__(self, home, sandbox):
        super().__init__()
        self.state, self.run, self.port = home / "state", home / "run", 8081
        home.mkdir(exist_ok=True)
        self.config = home / "hearth.toml"
        own = pathlib.Path("/etc/hearth/hearth.toml").read_text()
        self.config.write_text(f"{own}\n[sandbox]\n{sandbox}\n")
        self.command = ["/usr/sbin/hearthd", "--config", self.config, "--state-dir", self.state,
                        "--runtime-dir", self.run, "--listen", f"127.0.0.1:{self.port}",
                        "--limits", "strict"]

    def start(self):
        run("systemd-run", "--quiet", "--unit=second", "-p", "Delegate=yes", "-p", "Type=notify",
            *self.command)
        return self

    def refused(self):
        """What it says when it does not start."""
        done = run("systemd-run", "--quiet", "--wait", "--pipe", "-p", "Delegate=yes",
                   *self.command, check=False)
        assert done.returncode == 1, done
        return done.stderr

    def stop(self):
        run("systemctl", "stop", "second.service", check=False)
        until(lambda: show("second.service", "ActiveState") != "active", "it stopped", LIMIT_S)

    def leaves(self):
        group = pathlib.Path("/sys/fs/cgroup/system.slice/second.service")
        return [path for path in group.rglob("s-*") if path.is_dir()]


class Bounds(unittest.TestCase):
    def second(self, sandbox, home="/var/tmp/second"):
        second = Second(pathlib.Path(home), sandbox)
        self.addCleanup(second.stop)
        return second

    def test_the_maximum_is_the_limit_of_who_names_none(self):
        second = self.second(f"io_mb_per_s_max = {MB_S}\nio_reads_per_s_max = 500").start()
        answer = second.python("plain", CODE)
        self.assertEqual((answer["io_mb_per_s"], answer["io_reads_per_s"]), (MB_S, 500))
        self.assertEqual(second.http("POST", "/fn/default/plain", b"1", limit_s=LIMIT_S)[0], 200)
        # Generic ones too.
        limits = {(path / "io.max").read_text().split(" ", 1)[1].strip()
                  for path in second.leaves()}
        self.assertEqual(limits, {f"rbps={MB_S << 20} wbps=max riops=500 wiops=max"})
        for key, value in (("io_mb_per_s", MB_S + 1), ("io_mb_per_s", 0), ("io_reads_per_s", 501)):
            with self.assertRaises(AssertionError) as refused:
                second.python("more", CODE, f"{key} = {value}\n[http]\n")
            self.assertIn(key, str(refused.exception))
        self.assertRegex(second.json("status")["limits"]["reads"], r"^io\.max of \d+:\d+$")

    def test_where_it_cannot_be_enforced_it_is_refused(self):
        home = pathlib.Path("/var/tmp/overlaid")
        for name in ("", "-upper", "-work"):
            pathlib.Path(str(home) + name).mkdir(exist_ok=True)
        run("mount", "-t", "overlay", "none", home, "-o",
            f"lowerdir={home},upperdir={home}-upper,workdir={home}-work")
        self.addCleanup(run, "umount", home)
        why = f"{home}/state/bundles is on overlay"
        bounded = Second(home, f"io_mb_per_s_max = {MB_S}")
        self.assertIn(f"reads cannot be limited here: {why}", bounded.refused())
        second = self.second("", home).start()
        second.python("plain", CODE)
        with self.assertRaises(AssertionError) as refused:
            second.python("bounded", CODE, f"io_mb_per_s = {MB_S}\n[http]\n")
        self.assertIn(f"'io_mb_per_s' cannot be enforced on this host: {why}",
                      str(refused.exception))
        self.assertEqual(second.json("status")["limits"]["reads"], "none: " + why)
        rows = {row["check"]: row for row in second.json("doctor")["checks"]}
        self.assertEqual((rows["limits on disk reads"]["level"],
                          rows["limits on disk reads"]["found"]), ("warn", why))
