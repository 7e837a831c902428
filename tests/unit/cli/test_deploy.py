# SPDX-License-Identifier: Apache-2.0
"""What a deploy sends."""

import io
import json
import os
import tarfile
import tempfile
import time
import unittest

from case import FUNCTIONS, Case, error
from fake_hearthd import Answer


class Deploy(Case):
    ANSWER = {"name": "thumb", "version": 4, "hash": "0123456789abcdef" * 4, "runtime": "python3"}

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("function.toml", 'name = "thumb"\n')
        self.write("app.py", "x = 1\n")
        self.daemon.on("POST", FUNCTIONS, Answer(json.dumps(self.ANSWER)))

    def write(self, path, text, mode=0o600):
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as file:
            file.write(text)
        os.chmod(full, mode)

    def packed(self):
        return {
            entry.name: entry
            for entry in tarfile.open(fileobj=io.BytesIO(self.last().body), mode="r:gz")
        }

    def test_a_folder_is_packed(self):
        self.write("bin/run", "#!/bin/sh\n", 0o711)
        self.write("node_modules/marked/index.js", "1")
        os.symlink("app.py", os.path.join(self.folder, "link"))
        self.assertEqual(
            self.ok("deploy", self.folder), "deployed thumb version 4 (python3, 0123456789ab)\n"
        )
        self.assertEqual(self.last().path, FUNCTIONS)
        entries = self.packed()
        self.assertEqual(
            sorted(entries),
            [
                "app.py",
                "bin",
                "bin/run",
                "function.toml",
                "link",
                "node_modules",
                "node_modules/marked",
                "node_modules/marked/index.js",
            ],
        )
        self.assertEqual((entries["app.py"].mode, entries["bin/run"].mode), (0o644, 0o755))
        self.assertEqual(
            (entries["link"].type, entries["link"].linkname), (tarfile.SYMTYPE, "app.py")
        )
        self.assertEqual({(entry.uid, entry.mtime) for entry in entries.values()}, {(0, 0)})
        self.assertEqual(json.loads(self.ok("deploy", self.folder, "--json")), self.ANSWER)

    def test_the_same_content_gives_the_same_bytes(self):
        self.ok("deploy", self.folder)
        first = self.last().body
        os.utime(os.path.join(self.folder, "app.py"), (1, 1))
        time.sleep(1.1)
        self.ok("deploy", self.folder, "--no-verify")
        self.assertEqual(self.last().body, first)
        self.assertEqual(self.last().path, FUNCTIONS + "?verify=0")

    def test_what_is_ignored_stays_out(self):
        for path in [
            ".git/config",
            "__pycache__/a.pyc",
            "lib/__pycache__/b.pyc",
            "node_modules/.cache/x",
            "secret.key",
            "lib/other.key",
            "build/out.o",
            "lib/build",
            "docs/a.md",
            "docs/deep/b.md",
        ]:
            self.write(path, "x")
        self.write(".hearthignore", "# comment\n\n*.key\r\nbuild/\n/docs/*.md\n")
        self.ok("deploy", self.folder)
        self.assertEqual(
            sorted(self.packed()),
            [
                "app.py",
                "docs",
                "docs/deep",
                "docs/deep/b.md",
                "function.toml",
                "lib",
                "lib/build",
                "node_modules",
            ],
        )
        self.write(".hearthignore", "*.key\n!x.key\n")
        self.assertIn(".hearthignore, line 2", self.fails(2, "deploy", self.folder))

    def test_an_archive_goes_as_it_is(self):
        path = os.path.join(self.folder, "bundle.zip")
        with open(path, "wb") as file:
            file.write(b"PK\x03\x04" + os.urandom(100000))
        self.ok("deploy", path)
        with open(path, "rb") as file:
            self.assertEqual(self.last().body, file.read())
        self.assertEqual(self.last().headers["content-length"], "100004")

    def test_what_cannot_be_deployed(self):
        self.assertIn(
            "No such file or directory", self.fails(2, "deploy", self.folder + "/missing")
        )
        self.assertIn("neither a folder nor a file", self.fails(2, "deploy", "/dev/null"))
        os.mkfifo(os.path.join(self.folder, "pipe"))
        self.assertIn(
            "'pipe' is neither a file, a folder nor a link", self.fails(3, "deploy", self.folder)
        )
        os.unlink(os.path.join(self.folder, "pipe"))
        os.unlink(os.path.join(self.folder, "function.toml"))
        self.assertIn("holds no function.toml", self.fails(3, "deploy", self.folder))
        self.assertEqual(self.daemon.asked, [])

    def test_a_folder_that_is_too_deep_is_refused(self):
        path = self.folder
        for _ in range(300):
            path = os.path.join(path, "d")
            os.mkdir(path)
        self.assertIn("more than 256 folders deep", self.fails(3, "deploy", self.folder))

    def test_a_manifest_error_is_shown_with_its_hint(self):
        self.daemon.on(
            "POST",
            FUNCTIONS,
            error(
                "bad_request",
                "function.toml:3:1: unknown key 'memroy_mb'; did you mean 'memory_mb'?",
                400,
            ),
        )
        self.assertIn(
            "function.toml:3:1: unknown key 'memroy_mb'; did you mean 'memory_mb'?",
            self.fails(3, "deploy", self.folder),
        )

    def test_a_handler_that_does_not_load_shows_the_runtime_s_words(self):
        self.daemon.on(
            "POST",
            FUNCTIONS,
            error("load_error", "SyntaxError: invalid syntax", 422, stack="  File app.py, line 1"),
        )
        result = self.hearth("deploy", self.folder)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(
            result.stderr.decode().splitlines(),
            ["error: load_error: SyntaxError: invalid syntax", "  File app.py, line 1"],
        )


if __name__ == "__main__":
    unittest.main()
