# SPDX-License-Identifier: Apache-2.0
"""What hearthd and systemd say to each other: readiness, sockets that were opened before, units."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from instance import Instance, STAGE

# Opens a Unix and a TCP socket, passes them as systemd does, and becomes hearthd.
ACTIVATE = """
import os, socket, sys
unix = socket.socket(socket.AF_UNIX)
unix.bind(sys.argv[1])
tcp = socket.create_server(("127.0.0.1", int(sys.argv[2])))
unix.listen()
for place, passed in enumerate((os.dup(unix.fileno()), os.dup(tcp.fileno())), 3):
    os.dup2(passed, place)
os.closerange(5, 64)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(sys.argv[3], sys.argv[3:])
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Notices(unittest.TestCase):
    def test_readiness_and_stopping_are_told(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "notify")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path)
                os.chmod(folder, 0o755)
                os.chmod(path, 0o666)  # hearthd tells it when it is no longer root
                manager.settimeout(60)
                with Instance(env={"NOTIFY_SOCKET": path}) as hearth:
                    ready = manager.recv(4096).decode()
                    self.assertIn("READY=1", ready.splitlines())
                    self.assertIn("STATUS=0 functions, limits best-effort", ready.splitlines())
                    hearth.shell("plain", "env")
                    seen = hearth.invoke("plain")[0].stdout.decode()
                    self.assertNotIn("NOTIFY_SOCKET", seen)
                    hearth.stop()
                    self.assertEqual(manager.recv(4096).decode(), "STOPPING=1")


class Sockets(unittest.TestCase):
    def test_sockets_that_were_opened_before_are_served(self):
        with tempfile.TemporaryDirectory() as folder:
            path, port = os.path.join(folder, "passed.sock"), free_port()
            hearth = Instance(wrapper=["/usr/bin/python3", "-c", ACTIVATE, path, str(port)])
            self.addCleanup(hearth.close)
            hearth.start()
            self.assertIsNone(hearth.port, "it opened no socket of its own")
            self.assertFalse((hearth.run / "hearth.sock").exists())
            hearth.port = port
            self.assertEqual(hearth.http("GET", "/healthz")[0], 200)
            self.assertEqual(hearth.http("GET", "/v1/status")[0], 403)
            (hearth.run / "hearth.sock").symlink_to(path)
            hearth.shell("plain", "cat; ls /proc/self/fd | wc -l")
            self.assertEqual(hearth.invoke("plain", b"in\n")[0].stdout, b"in\n4\n")
            self.assertEqual(hearth.http("POST", "/fn/default/plain", b"in\n")[2], b"in\n4\n")


class Installed(unittest.TestCase):
    UNITS = STAGE / "lib/systemd/system"

    def run_tool(self, *words):
        if shutil.which(words[0]) is None:
            self.fail(f"{words[0]} is not installed")
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout + done.stderr

    def test_systemd_takes_the_units(self):
        for unit in ("hearthd.service", "hearthd.socket"):
            said = self.run_tool("systemd-analyze", "verify", "--man=no", self.UNITS / unit)
            self.assertNotIn("hearthd", said)

    def test_the_unit_leaves_what_hearthd_and_sandboxes_need(self):
        unit = (self.UNITS / "hearthd.service").read_text()
        settings = dict(re.findall(r"(?m)^([A-Za-z]+)=(.*)$", unit))
        self.assertEqual(settings["ExecStart"], str(STAGE / "sbin/hearthd"))
        # The first two would give hearthd's files to root at each start, and remove the path of
        # hearthd.socket at each stop; the others keep sandboxes from being built.
        for breaks in ("StateDirectory", "RuntimeDirectory", "ProtectHostname", "ProtectProc",
                       "ProtectKernelLogs", "ProtectControlGroups", "ProtectKernelTunables",
                       "RestrictNamespaces", "PrivateDevices", "PrivateUsers"):
            self.assertNotIn(breaks, settings)
        folders = settings["ReadWritePaths"].split()
        made = (STAGE / "usr/lib/tmpfiles.d/hearth.conf").read_text()
        for folder in folders:
            self.assertIn(f"d {folder} ", made)
        for needed in ("cpu", "memory", "pids"):
            self.assertIn(needed, settings["Delegate"].split())

    def test_the_user_and_the_folders_are_made(self):
        with tempfile.TemporaryDirectory() as root:
            os.mkdir(os.path.join(root, "etc"))
            usr = STAGE / "usr/lib"
            self.run_tool("systemd-sysusers", "--root", root, usr / "sysusers.d/hearth.conf")
            users = pathlib.Path(root, "etc/passwd").read_text()
            self.assertRegex(users, r"(?m)^hearth:x:\d+:\d+:Hearth:/:/usr/sbin/nologin$")
            self.run_tool("systemd-tmpfiles", "--root", root, "--create",
                          usr / "tmpfiles.d/hearth.conf")
            uid = int(users.split("hearth:x:")[1].split(":")[0])
            for folder, mode in (("var/lib/hearth", 0o711), ("run/hearth", 0o755)):
                status = os.stat(os.path.join(root, folder))
                self.assertEqual((status.st_uid, status.st_mode & 0o777), (uid, mode), folder)

    def test_what_a_distribution_packages_is_there(self):
        for path in ("bin/hearth", "sbin/hearthd", "libexec/hearth/hearth-init",
                     "libexec/hearth/hearth-spawner", "include/hearth/hearth.h",
                     "share/bash-completion/completions/hearth",
                     "share/zsh/site-functions/_hearth",
                     "share/fish/vendor_completions.d/hearth.fish",
                     "share/hearth/recipes/python3.toml", "share/man/man1/hearth.1",
                     "share/man/man5/function.toml.5", "share/man/man5/hearth.toml.5",
                     "share/man/man7/hearth-runtime.7", "share/man/man8/hearth-init.8",
                     "share/man/man8/hearth-spawner.8", "share/man/man8/hearthd.8"):
            self.assertTrue((STAGE / path).is_file(), path)


if __name__ == "__main__":
    unittest.main()
