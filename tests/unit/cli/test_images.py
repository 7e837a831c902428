# SPDX-License-Identifier: Apache-2.0
"""Images: built by root in namespaces of their own, hardened, whole or not there at all."""

import json
import os
import signal
import stat
import subprocess
import tempfile
import time
import unittest

from case import HEARTH, Case
from fake_hearthd import Answer

RECIPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../rootfs/recipes")

# Stands in for mmdebstrap: what it makes holds everything that an image must not.
FAKE = """#!/bin/sh
for target; do case $target in /mnt/*) root=$target ;; esac; done
mkdir -p $root/usr/bin $root/etc $root/var/cache/apt $root/tmp $root/dev $root/usr/share/doc/x
mkdir -m 1777 $root/shared
mkdir -m 2755 $root/var/mail
echo "$@" >$root/arguments
echo secret >$root/etc/shadow
cp /bin/true $root/usr/bin/tool; chmod 6755 $root/usr/bin/tool
cp /bin/true $root/usr/bin/capable; setcap cap_net_raw+ep $root/usr/bin/capable
echo x >$root/etc/everybody; chmod 666 $root/etc/everybody
mknod $root/usr/null c 1 3; mkfifo $root/usr/pipe; mknod $root/dev/null c 1 3
echo doc >$root/usr/share/doc/x/copyright
ln -s /etc $root/run; ln -s /etc/hosts $root/etc/hosts
echo "I: making it"
BEHAVIOUR
"""


class Images(Case):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.lacks("only root can build an image")
        folder = tempfile.TemporaryDirectory(prefix="hearth-images-")
        self.addCleanup(folder.cleanup)
        self.bin, self.state = os.path.join(folder.name, "bin"), os.path.join(folder.name, "state")
        os.mkdir(self.bin)
        os.mkdir(self.state)
        self.images = os.path.join(self.state, "images")
        self.recipe = os.path.join(RECIPES, "python3.toml")
        self.env = {**os.environ, "PATH": self.bin + ":" + os.environ["PATH"]}
        self.mmdebstrap("exit 0")
        self.daemon.on("GET", "/v1/status", Answer(json.dumps({"state_dir": self.state})))

    def mmdebstrap(self, behaviour):
        path = os.path.join(self.bin, "mmdebstrap")
        with open(path, "w") as file:
            file.write(FAKE.replace("BEHAVIOUR", behaviour))
        os.chmod(path, 0o755)

    def build(self, name="pics", *more):
        return self.ok("image", "build", name, "--recipe", self.recipe, *more, env=self.env)

    def refuses(self, status, *args):
        return self.fails(status, "image", *args, env=self.env)

    def rootfs(self, path=""):
        return os.path.join(self.images, "pics", "rootfs", path)

    def test_what_a_function_must_not_find_is_taken_out(self):
        self.assertIn("built image pics: ", self.build())
        for folder, folders, files in os.walk(self.rootfs()):
            for name in folders + files:
                path = os.path.join(folder, name)
                mode = os.lstat(path).st_mode
                if stat.S_ISLNK(mode):
                    continue
                self.assertTrue(stat.S_ISREG(mode) or stat.S_ISDIR(mode), path)
                self.assertEqual(mode & 0o7002, 0, path)
                self.assertNotIn("security.capability", os.listxattr(path), path)
        self.assertTrue(os.path.exists(self.rootfs("usr/bin/tool")))
        self.assertEqual(os.listdir(self.rootfs("usr/share/doc")), [])
        self.assertFalse(os.path.exists(self.rootfs("etc/shadow")))

    def test_links_of_the_image_do_not_lead_root_out_of_it(self):
        with open("/etc/hosts") as file:
            before = file.read()
        self.build()
        with open("/etc/hosts") as file:
            self.assertEqual(file.read(), before)
        self.assertTrue(os.path.isfile(self.rootfs("etc/hosts")))
        self.assertFalse(os.path.islink(self.rootfs("etc/hosts")))

    def test_the_sandbox_finds_its_mount_points_and_accounts(self):
        self.build()
        for point in ["proc", "dev", "tmp", "var/task", "var/runtime"]:
            self.assertTrue(os.path.isdir(self.rootfs(point)), point)
            self.assertEqual(os.listdir(self.rootfs(point)), [])
            self.assertEqual(stat.S_IMODE(os.stat(self.rootfs(point)).st_mode), 0o755)
        with open(self.rootfs("etc/passwd")) as file:
            self.assertIn("function:x:1000:1000:", file.read())
        self.assertEqual(stat.S_IMODE(os.stat(self.images + "/pics").st_mode), 0o755)

    def test_the_image_says_what_it_is(self):
        text = self.build(
            "pics", "--packages", "python3-pil,python3", "--suite", "trixie", "--json"
        )
        image = json.loads(text)
        with open(self.images + "/pics/image.json") as file:
            self.assertEqual(json.load(file), image)
        self.assertEqual(image["packages"], ["python3", "python3-pil"])
        self.assertEqual(
            (image["name"], image["recipe"], image["suite"]), ("pics", "python3", "trixie")
        )
        self.assertIn("python3", image["runtimes"])
        self.assertGreater(image["bytes"], 0)
        self.assertRegex(image["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        with open(self.rootfs("arguments")) as file:
            arguments = file.read().split()
        self.assertIn("--include=python3,python3-pil", arguments)
        self.assertIn("--dpkgopt=force-unsafe-io", arguments)
        self.assertEqual(arguments[-2:], ["trixie", "/mnt/rootfs"])

    def test_the_stages_are_shown(self):
        command = ["image", "build", "pics", "--recipe", self.recipe]
        result = self.hearth(*command, env=self.env)
        self.assertRegex(result.stderr.decode(), r"\[ +\d+ s\] +.* making it\n")

    def test_a_build_that_fails_leaves_nothing_and_says_why(self):
        self.mmdebstrap("echo 'E: Unable to locate package x'; echo 'E: second'; exit 25")
        result = self.hearth("image", "build", "pics", "--recipe", self.recipe, env=self.env)
        self.assertEqual(result.returncode, 3)
        self.assertIn(b"error: mmdebstrap: Unable to locate package x; the end of", result.stderr)
        self.assertIn(b"\nE: second\n", result.stderr)
        self.assertEqual(os.listdir(self.images), [])

    def started_build(self, behaviour):
        self.mmdebstrap(behaviour)
        command = [HEARTH, "--socket", self.daemon.socket, "image", "build", "pics", "--recipe"]
        process = subprocess.Popen(command + [self.recipe], env=self.env, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        while b"making it" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        return process

    def wait_running(self, marker, count):
        """Until so many processes whose command line starts with `marker` run."""
        deadline = time.monotonic() + 20
        while len(self.running("^" + marker)) != count and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(len(self.running("^" + marker)), count)

    def running(self, marker):
        return subprocess.run(["pgrep", "-f", marker], capture_output=True).stdout.split()

    def test_an_interrupted_build_leaves_no_file_no_process_and_no_mount(self):
        marker = "sleep 4%d" % os.getpid()
        for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
            with self.subTest(number.name):
                process = self.started_build(f"trap '' TERM INT; setsid {marker} & {marker}")
                self.wait_running(marker, 2)
                process.send_signal(number)
                text = process.stderr.read()
                self.assertEqual(process.wait(20), 3)
                self.assertIn(f"interrupted by {number.name}".encode(), text)
                self.assertEqual(os.listdir(self.images), [])
                self.assertEqual(self.running("^" + marker), [])

    def test_what_a_killed_build_leaves_goes_with_the_next_command(self):
        marker = "sleep 5%d" % os.getpid()
        process = self.started_build(f"{marker}; true")
        self.wait_running(marker, 1)
        process.kill()
        process.wait()
        self.assertEqual(len(os.listdir(self.images)), 1)
        self.wait_running(marker, 0)
        self.mmdebstrap("exit 0")
        self.build("other")
        self.assertEqual(os.listdir(self.images), ["other"])

    def test_an_image_is_deleted_when_the_daemon_agrees(self):
        self.build()
        conflict = '{"error":{"kind":"conflict","message":"used by thumb"}}'
        self.daemon.on("DELETE", "/v1/images/pics", Answer(conflict, 409))
        self.assertIn("conflict: used by thumb", self.refuses(3, "delete", "pics"))
        self.assertEqual(os.listdir(self.images), ["pics"])
        self.daemon.on("DELETE", "/v1/images/pics", Answer("{}"))
        self.assertEqual(self.ok("image", "delete", "pics"), "deleted image pics\n")
        self.assertEqual(os.listdir(self.images), [])

    def test_deleting_follows_no_link_and_takes_only_images(self):
        outside = os.path.join(self.state, "outside")
        os.makedirs(outside)
        open(outside + "/kept", "w").close()
        self.build()
        os.symlink(outside, self.rootfs("link"))
        for name in ["pics", "plain", "linked"]:
            self.daemon.on("DELETE", "/v1/images/" + name, Answer("{}"))
        self.ok("image", "delete", "pics")
        os.mkdir(self.images + "/plain")
        os.symlink(outside, self.images + "/linked")
        self.assertIn("is no image", self.refuses(3, "delete", "plain"))
        self.assertIn("is no image", self.refuses(3, "delete", "linked"))
        self.assertEqual(os.listdir(outside), ["kept"])

    def test_deleting_stops_at_a_mount(self):
        self.build()
        point = self.rootfs("proc")
        if subprocess.run(["mount", "-t", "tmpfs", "none", point], capture_output=True).returncode:
            self.lacks("cannot mount here")
        try:
            self.daemon.on("DELETE", "/v1/images/pics", Answer("{}"))
            self.assertIn("is a mount point", self.refuses(3, "delete", "pics"))
        finally:
            (removed,) = os.listdir(self.images)
            subprocess.run(["umount", f"{self.images}/{removed}/rootfs/proc"], check=True)

    def test_wrong_orders(self):
        self.build()
        self.assertIn(
            "exists; delete it first", self.refuses(3, "build", "pics", "--recipe", self.recipe)
        )
        for name in ["Pics", "../x", "", "x" * 64, "a.b", "host"]:
            self.refuses(2, "build", name)
            self.refuses(2, "delete", name)
        self.assertIn("no recipe 'nope'", self.refuses(2, "build", "x", "--recipe", "nope"))
        self.assertIn(
            "cannot open", self.refuses(2, "build", "x", "--recipe", "/nonexistent/r.toml")
        )
        self.assertIn("cannot be a package", self.refuses(2, "build", "x", "--packages", "a,-o x"))
        self.assertIn(
            "No such file",
            self.refuses(3, "build", "x", "--recipe", self.recipe, "--state-dir", "/nonexistent"),
        )
        os.unlink(self.bin + "/mmdebstrap")
        self.env["PATH"] = self.bin
        self.assertIn(
            "apt-get install mmdebstrap", self.refuses(3, "build", "x", "--recipe", self.recipe)
        )

    def test_a_recipe_is_checked(self):
        path = os.path.join(self.bin, "r.toml")
        for text, expected in [
            ('variant = "essential"\npakages = ["x"]', "did you mean 'packages'?"),
            ('packages = ["x"]', "has no variant"),
            ('variant = "a"\nremove = ["../etc"]', "cannot remove '../etc'"),
            ('variant = "a"\nremove = ["/etc"]', "cannot remove '/etc'"),
            ('variant = ["a", "b"]', "'variant' takes one text"),
        ]:
            with open(path, "w") as file:
                file.write(text)
            self.assertIn(expected, self.refuses(2, "build", "x", "--recipe", path))

    def test_only_root_builds_and_deletes(self):
        for args in [("build", "x"), ("delete", "x")]:
            result = subprocess.run(
                [HEARTH, "image", *args],
                capture_output=True,
                user=65534,
                group=65534,
                extra_groups=[],
            )
            self.assertEqual(result.returncode, 3)
            self.assertIn(b"use sudo", result.stderr)

    def test_the_list_shows_what_is_in_use(self):
        rows = [
            {
                "name": "pics",
                "recipe": "python3",
                "bytes": 156237824,
                "in_use": True,
                "created_at": "2025-01-31T12:00:00.000000Z",
                "packages": ["python3"],
            }
        ]
        self.daemon.on("GET", "/v1/images", Answer(json.dumps(rows)))
        self.assertIn(
            "pics  python3  149 MiB  yes     2025-01-31 12:00:00  python3", self.ok("image", "list")
        )
        self.assertEqual(json.loads(self.ok("image", "list", "--json")), rows)


class Recipes(unittest.TestCase):
    def test_those_that_come_along(self):
        names = sorted(name for name in os.listdir(RECIPES) if name.endswith(".toml"))
        self.assertEqual(names, ["minimal.toml", "nodejs.toml", "python3.toml"])


if __name__ == "__main__":
    unittest.main()
