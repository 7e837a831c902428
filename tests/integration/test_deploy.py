# SPDX-License-Identifier: Apache-2.0
"""Deploying: what goes live, and that a refusal leaves nothing behind."""

import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tarfile
import tempfile
import time
import unittest

from tests.support.bundles import GOOD, raw_tar, raw_zip, tar_entry
from tests.support.instance import Failed, Instance, archive, manifest

CONFIG = """
[deploy]
upload_mb_max = 12
bundle_mb_max = 8
entries_max = 200
ratio_max = 50
load_timeout_ms = 3000
"""
MIB = 1 << 20
FUNCTIONS = "/v1/tenants/default/functions"
WAIT_S = 30


def setUpModule():
    global hearth
    hearth = Instance(CONFIG)
    unittest.addModuleCleanup(hearth.close)
    hearth.start()


def wait_until(what, condition):
    until = time.monotonic() + WAIT_S
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {WAIT_S} s: {what}")
        time.sleep(0.02)
    return found


def uploads():
    return sorted(path.name for path in (hearth.state / "uploads").iterdir())


def bundles():
    return {path.name for path in (hearth.state / "bundles").iterdir()}


def versions(name):
    status, _, body = hearth.api("GET", f"{FUNCTIONS}/{name}/versions")
    return json.loads(body) if status == 200 else []


def names():
    return [row["name"] for row in json.loads(hearth.api("GET", FUNCTIONS)[2])]


class Case(unittest.TestCase):
    def setUp(self):
        for name in names():
            hearth.api("DELETE", f"{FUNCTIONS}/{name}")

    def tearDown(self):
        self.assert_nothing_loose()

    def assert_nothing_loose(self):
        """No upload, no bundle but those of versions."""
        self.assertEqual(uploads(), [])
        known = {row["hash"] for name in names() for row in versions(name)}
        self.assertEqual(bundles(), known)

    def deploy(self, data, query=""):
        status, headers, body = hearth.api("POST", FUNCTIONS + query, data)
        self.assertEqual(headers["content-type"], "application/json")
        return status, json.loads(body)

    def refused(self, data, *words, status=400, kind="bad_request", limit=None, value=None):
        """The refusal of a bundle, which must leave nothing."""
        before, had = bundles(), {name: versions(name) for name in names()}
        got, answer = self.deploy(data)
        self.assertEqual(got, status, answer)
        error = answer["error"]
        self.assertEqual(error["kind"], kind, error)
        for word in words:
            self.assertIn(word, error["message"])
        if limit:
            self.assertEqual(error["limit"], limit)
        if value:
            self.assertEqual(error["value"], value)
        if status == 413:  # refused while it still arrives
            wait_until("the upload is removed", lambda: not uploads())
        self.assertEqual(uploads(), [])
        self.assertEqual(bundles(), before)
        self.assertEqual({name: versions(name) for name in names()}, had)
        return error

    def answer_of(self, name, event="{}"):
        return json.loads(hearth.invoke(name, event.encode())[0].stdout)


class Forms(Case):
    """One bundle as a folder, a zip, a tar and a tar.gz."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = self.folder / "source"
        (self.source / "lib").mkdir(parents=True)
        (self.source / "function.toml").write_text(manifest("f", "python3", "app.handle"))
        (self.source / "app.py").write_text(
            "import os, lib.part\n"
            "def handle(event, context):\n"
            "    return [lib.part.WORD, os.access('tool', os.X_OK), os.readlink('alias'),\n"
            "            sorted(os.listdir('.'))]\n")
        (self.source / "lib/part.py").write_text("WORD = 'héllo'\n", encoding="utf-8")
        (self.source / "tool").write_text("#!/bin/sh\n")
        (self.source / "tool").chmod(0o755)
        (self.source / "alias").symlink_to("lib/part.py")
        self.wanted = ["héllo", True, "lib/part.py",
                       ["alias", "app.py", "function.toml", "lib", "tool"]]

    def test_the_same_content_is_the_same_version_in_every_form(self):
        run = {"cwd": self.source, "check": True, "capture_output": True}
        subprocess.run(["zip", "-qry", self.folder / "a.zip", "."], **run)
        subprocess.run(["tar", "czf", self.folder / "a.tar.gz", "."], **run)
        subprocess.run(["tar", "cf", self.folder / "a.tar", *os.listdir(self.source)], **run)
        said = hearth.cli("deploy", self.source).stdout.decode()
        self.assertRegex(said, r"^deployed f version \d+ \(python3, [0-9a-f]{12}\)\n$")
        first = versions("f")[0]
        self.assertEqual(self.answer_of("f"), self.wanted)
        for form in ("source", "a.zip", "a.tar.gz", "a.tar"):
            with self.subTest(form=form):
                said = hearth.cli("deploy", self.folder / form).stdout.decode()
                self.assertTrue(said.startswith("unchanged: f version "), said)
                self.assertEqual(len(versions("f")), 1)
                # Not only by its own word: the same bundle unpacked anew runs.
                hearth.cli("delete", "f")
                hearth.cli("deploy", self.folder / form)
                self.assertEqual(self.answer_of("f"), self.wanted)
                self.assertEqual(versions("f")[0]["hash"], first["hash"])

    def test_an_identical_deploy_changes_nothing(self):
        status, first = self.deploy(archive(GOOD))
        self.assertEqual((status, first["changed"]), (201, True))
        status, second = self.deploy(raw_zip())
        self.assertEqual((status, second["changed"]), (200, False))
        self.assertEqual(second["version"], first["version"])
        self.assertEqual(second["created_at"], first["created_at"])

    def test_what_the_ignore_file_names_stays_out(self):
        (self.source / ".hearthignore").write_text("*.log\nsecret/\n")
        (self.source / "noise.log").write_text("x")
        (self.source / "secret").mkdir()
        (self.source / "secret/key").write_text("x")
        (self.source / ".git").mkdir()
        (self.source / ".git/config").write_text("x")
        hearth.cli("deploy", self.source)
        self.assertLessEqual(set(self.answer_of("f")[3]), set(self.wanted[3]) | {".hearthignore"})

    def test_files_get_plain_modes_and_belong_to_hearthd(self):
        entry = tar_entry("tool", mode=0o6777)
        self.assertEqual(self.deploy(raw_tar(entry))[0], 201)
        tree = hearth.state / "bundles" / versions("f")[0]["hash"]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tree.rglob("*")}
        self.assertEqual(modes, {"tool": 0o755, "app.py": 0o644, "function.toml": 0o644})

    def test_folders_that_cannot_be_packed_are_refused_by_name(self):
        deep = self.source
        for _ in range(100):
            deep = deep / "deeper"
        deep.mkdir(parents=True)
        self.assert_cli_refuses(self.source, 3, "deep")
        shutil.rmtree(self.source / "deeper")
        os.mkfifo(self.source / "pipe")
        self.assert_cli_refuses(self.source, 3, "pipe")
        os.unlink(self.source / "pipe")
        (self.source / "out").symlink_to("/etc/passwd")
        self.assert_cli_refuses(self.source, 3, "leaves the bundle")
        (self.source / "function.toml").unlink()
        self.assert_cli_refuses(self.source, 3, "function.toml")
        self.assert_cli_refuses(self.folder / "nosuch", 2, "No such file")
        self.assertEqual(names(), [])

    def assert_cli_refuses(self, path, status, word):
        with self.assertRaises(Failed) as caught:
            hearth.cli("deploy", path)
        self.assertEqual(caught.exception.status, status, caught.exception)
        self.assertIn(word, caught.exception.stderr)
        self.assertTrue(caught.exception.stderr.startswith("hearth: error: ")
                        or caught.exception.stderr.startswith("error: "), caught.exception.stderr)


class Archives(Case):
    def test_what_is_no_archive_is_refused(self):
        for data in (b"x", b"\0" * 5000, os.urandom(5000), b"PK\3\4", b"\x1f\x8b",
                     b"\x1f\x8b\x08" + b"\0" * 100, b"PK\5\6" + b"\0" * 18,
                     b"7z\xbc\xaf\x27\x1c" + b"\0" * 100, json.dumps(GOOD).encode()):
            with self.subTest(data=data[:10]):
                self.refused(data)
        self.refused(b"", "no")

    def test_an_archive_cut_short_is_refused_wherever_it_is_cut(self):
        body = os.urandom(3000)
        for whole in (raw_tar((tar_entry("data"), body)), raw_zip(("data", body, 0o644)),
                      raw_tar((tar_entry("data"), body), pack=False)[:-10240 + 600]):
            for cut in (len(whole) // 3, len(whole) // 2, len(whole) - 1):
                self.refused(whole[:cut])

    def test_a_damaged_archive_is_refused(self):
        body = os.urandom(3000)
        for whole in (raw_tar((tar_entry("data"), body)), raw_zip(("data", body, 0o644))):
            at = len(whole) // 2
            self.refused(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1:])

    def test_paths_that_leave_the_bundle_are_refused(self):
        for name in ("../slip", "a/../../slip", "/etc/slip", "..", "a/..", "./../slip", "a//b",
                     "a/./b", "back\\slash", "line\nfeed"):
            with self.subTest(name=name):
                self.refused(raw_tar((tar_entry(name), b"x")), "in the archive")
        # In a zip, a backslash may stand for a slash.
        for name in ("../slip", "a/../../slip", "/etc/slip", "a//b", "a/./b", "..\\slip"):
            with self.subTest(zip=name):
                self.refused(raw_zip((name, b"x", 0o644)), "in the archive")
        self.assertFalse((hearth.state / "slip").exists())
        self.assertFalse((hearth.state / "uploads/slip").exists())

    def test_links_that_leave_the_bundle_are_refused(self):
        for link in ("/etc/passwd", "../../x", "..", "a/../../x", "/"):
            with self.subTest(link=link):
                self.refused(raw_tar(tar_entry("link", tarfile.SYMTYPE, link)), "link")
                self.refused(raw_zip(("link", link.encode(), stat.S_IFLNK | 0o777)), "link")

    def test_nothing_is_written_through_a_link(self):
        self.refused(raw_tar(tar_entry("d", tarfile.SYMTYPE, "lib"),
                             (tar_entry("d/file"), b"x")))

    def test_hard_links_devices_and_pipes_are_refused(self):
        for kind, word in ((tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "character device"),
                           (tarfile.BLKTYPE, "block device"), (tarfile.FIFOTYPE, "FIFO")):
            with self.subTest(word):
                self.refused(raw_tar(tar_entry("odd", kind, "app.py")), word)
        self.refused(raw_zip(("odd", b"", stat.S_IFCHR | 0o666)), "device")

    def test_a_path_given_twice_is_refused(self):
        self.refused(raw_tar((tar_entry("app.py"), b"x")), "app.py")
        self.refused(raw_tar((tar_entry("a"), b"x"), (tar_entry("a/b"), b"x")))

    def test_an_encrypted_zip_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in GOOD.items():
                pathlib.Path(folder, name).write_text(text)
            subprocess.run(["zip", "-q", "-P", "word", "a.zip", *GOOD], cwd=folder, check=True)
            self.refused(pathlib.Path(folder, "a.zip").read_bytes(), "encrypted")

    def test_bombs_are_refused_by_ratio_size_and_number(self):
        zeros = b"\0" * (4 * MIB)
        for bomb in (raw_tar((tar_entry("zeros"), zeros)), raw_zip(("zeros", zeros, 0o644))):
            self.assertLess(len(bomb), 20_000)
            self.refused(bomb, "50 times", limit="ratio<=50")
        self.refused(raw_tar((tar_entry("big"), os.urandom(9 * MIB))),
                     limit=f"bytes<={8 * MIB}")
        self.refused(raw_tar(*[tar_entry(f"f{i}") for i in range(199)]), "200",
                     limit="entries<=200", value=201)
        self.assertEqual(self.deploy(raw_tar(*[tar_entry(f"f{i}") for i in range(198)]))[0], 201)

    def test_folders_too_deep_are_refused(self):
        self.refused(raw_tar((tar_entry("a/" * 1000 + "f"), b"x")), "path_bytes",
                     limit="path_bytes<=1024")
        self.refused(raw_tar((tar_entry("a/" * 100 + "f"), b"x")), "depth",
                     limit="depth<=64", value=101)
        self.assertEqual(self.deploy(raw_tar((tar_entry("a/" * 63 + "f"), b"x")))[0], 201)

    def test_a_manifest_in_a_folder_below_is_pointed_at(self):
        self.refused(archive({"thumb/" + name: text for name, text in GOOD.items()}),
                     "thumb/", "top of the archive")
        self.refused(archive({"app.py": "x"}), "function.toml is missing")

    def test_an_upload_too_large_is_refused_with_the_limit(self):
        error = self.refused(b"\x1f\x8b" + b"x" * (12 * MIB), status=413, kind="too_large",
                             limit="body_bytes_max", value=12 * MIB)
        self.assertTrue(error["message"])

    def test_an_upload_cut_short_leaves_nothing(self):
        for framing in ("Content-Length: 5000000", "Transfer-Encoding: chunked"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(hearth.run / "hearth.sock"))
            client.sendall(f"POST {FUNCTIONS} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n".encode()
                           + b"f4240\r\n" + raw_tar((tar_entry("x"), os.urandom(200_000))))
            wait_until("the upload began", uploads)
            client.close()
            wait_until("the upload is removed", lambda: not uploads())

    def test_an_unknown_tenant_and_an_empty_body_are_refused(self):
        status, _, body = hearth.api("POST", "/v1/tenants/nobody/functions", archive(GOOD))
        self.assertEqual((status, json.loads(body)["error"]["value"]), (404, "nobody"))
        self.refused(None, "archive")


if __name__ == "__main__":
    unittest.main()
