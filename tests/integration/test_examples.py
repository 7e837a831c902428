# SPDX-License-Identifier: Apache-2.0
"""The examples, with real input: the same calls as ./demo makes, checked more closely."""

import concurrent.futures
import contextlib
import hashlib
import io
import pathlib
import re
import subprocess
import unittest

from PIL import Image

from tests.support import probes
from tests.support.curl import curl
from tests.support.instance import STAGE, Instance

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = pathlib.Path("/usr/share/common-licenses/GPL-3").read_bytes()


def setUpModule():
    global hearth
    hearth = Instance()
    unittest.addModuleCleanup(hearth.close)
    hearth.start()


def deploy(example):
    """From a copy, with what it needs fetched and built."""
    folder = hearth.home / example
    script = '. tests/support/prepare.sh; bundle "$@"'
    subprocess.run(["bash", "-c", script, "bash", example, folder, STAGE], cwd=ROOT, check=True)
    hearth.cli("deploy", folder)
    return f"http://127.0.0.1:{hearth.port}/fn/default/{example}"


class Examples(unittest.TestCase):
    def test_thumbnail_makes_jpegs_and_pngs_smaller(self):
        url = deploy("thumbnail")
        picture = Image.effect_mandelbrot((1600, 1200), (-3, -2.5, 2, 2.5), 100).convert("RGB")
        for kind in ("PNG", "JPEG"):
            with self.subTest(kind):
                original = io.BytesIO()
                picture.save(original, kind)
                status, headers, body = curl(
                    "--data-binary", "@-", "-H", f"Content-Type: {Image.MIME[kind]}",
                    url + "?size=200", data=original.getvalue())
                self.assertEqual((status, headers["content-type"]), (200, [Image.MIME[kind]]))
                smaller = Image.open(io.BytesIO(body))
                smaller.load()
                self.assertEqual((smaller.format, smaller.size), (kind, (200, 150)))
                self.assertLess(len(body), len(original.getvalue()))
                # The same picture: about the colours that the library here makes of it.
                wanted = picture.resize((20, 15)).convert("L").tobytes()
                got = smaller.resize((20, 15)).convert("L").tobytes()
                apart = sum(abs(a - b) for a, b in zip(wanted, got)) / len(wanted)
                self.assertLess(apart, 12)
        self.assertEqual(curl("--data-binary", "no picture", url)[0], 502)
        self.assertEqual(curl(url)[0], 405)
        self.assertIn("PNG 1600x1200 -> 200x150", hearth.cli("logs", "thumbnail").stdout.decode())

    def test_markdown_becomes_html(self):
        url = deploy("markdown")
        text = "# Hearth\n\nA *function* in a **sandbox**, `code`, [link](http://x/).\n\n* é 😀\n"
        status, headers, body = curl("--data-binary", "@-", "-H", "Content-Type: text/markdown",
                                     url, data=text.encode())
        self.assertEqual((status, headers["content-type"]), (200, ["text/html; charset=utf-8"]))
        html = body.decode()
        for part in ("<h1>Hearth</h1>", "<em>function</em>", "<strong>sandbox</strong>",
                     "<code>code</code>", '<a href="http://x/">link</a>', "<li>é 😀</li>"):
            self.assertIn(part, html)

    def test_wordcount_counts_a_real_text(self):
        deploy("wordcount")
        done, record = hearth.invoke("wordcount", TEXT)
        lines = done.stdout.decode().splitlines()
        self.assertEqual(lines[0],
                         f"{len(TEXT.splitlines())} lines, {len(TEXT.split())} words")
        words = [re.sub("[^a-z]", "", word) for word in TEXT.decode().lower().split()]
        counts = {word: words.count(word) for word in set(words) - {""}}
        best = sorted(counts.values(), reverse=True)[:5]
        told = [line.split() for line in lines[1:]]
        self.assertEqual([int(count) for count, _ in told], best)
        self.assertEqual([counts[word] for _, word in told], best)
        self.assertEqual((record["outcome"], record["in_bytes"]), ("ok", len(TEXT)))

    def test_digest_agrees_with_hashlib(self):
        url = deploy("digest")
        for data in (TEXT, b"", b"a", bytes(range(256)) * 20_000):
            status, _, body = curl("--data-binary", "@-", url, data=data)
            self.assertEqual((status, body.decode().split()[0]),
                             (200, hashlib.sha256(data).hexdigest()))

    def test_of_hostile_nothing_is_left_when_the_caller_is_told(self):
        url = deploy("hostile")
        for _ in range(2):
            done, record = hearth.invoke("hostile", check=False)
            left = self.stubborn()
            self.assertEqual(left, [])
            self.assertEqual((done.returncode, record["outcome"]), (4, "timeout"))
            self.assertGreaterEqual(record["run_us"], 1_000_000)
            # It did what it is for, until then.
            logged = hearth.cli("logs", "hostile", "--call", record["id"]).stdout.decode()
            self.assertIn("filled /tmp", logged)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(curl, "--data", "{}", url)
            seen = 0  # while it lives, its grandchildren can be counted
            while not call.done():
                seen = max(seen, len(self.stubborn()))
            status, _, body = call.result()
        self.assertEqual((status, self.stubborn()), (504, []))
        self.assertEqual(seen, 5)
        self.assertIn(b'"kind":"timeout"', body)
        self.assertIn(b'"limit":"timeout_ms","value":1000', body)

    def stubborn(self):
        """Processes of sandboxes that ignore signals that nobody else ignores."""
        found = []
        for pid in hearth.sandbox_pids():
            with contextlib.suppress(OSError):
                if int(probes.status(pid)["SigIgn"], 16) & 1:  # SIGHUP
                    found.append(pid)
        return found


if __name__ == "__main__":
    unittest.main()
