# SPDX-License-Identifier: Apache-2.0
"""Deploying what is well packed and wrong inside: manifests, handlers, code that does not load."""

import json
import pathlib
import tempfile
import time
import unittest

from tests.support.instance import Failed, Instance, manifest

CONFIG = "\n[deploy]\nload_timeout_ms = 3000\n[sandbox]\nmemory_mb_max = 1024\n"
FUNCTIONS = "/v1/tenants/default/functions"
PYTHON = manifest("f", "python3", "app.handle")
NODE = manifest("f", "nodejs", "app.handle")
CODE = "def handle(event, context):\n    return event\n"

# Manifest, line, words of the message.
MANIFESTS = [
    ("", 1, ["'name'"]),
    ("name = f\n", 1, []),
    ('name = "f"\n[[\n', 2, []),
    ('name = "f"\nname = "g"\n', 2, []),
    ('runtime = "python3"\nhandler = "app.handle"\n', 1, ["'name'"]),
    (PYTHON + "memroy_mb = 1\n", 5, ["memroy_mb", "did you mean", "memory_mb"]),
    (PYTHON + '[http]\npubic = true\n', 6, ["pubic", "did you mean", "public"]),
    (PYTHON + "[htpp]\n", 5, ["htpp", "did you mean", "http"]),
    (PYTHON + "zzzzzzzz = 1\n", 5, ["zzzzzzzz"]),
    (PYTHON.replace("python3", "pyton3"), 2, ["pyton3", "python3"]),
    (PYTHON + 'memory_mb = "128"\n', 5, ["memory_mb"]),
    (PYTHON + "memory_mb = 1.5\n", 5, ["memory_mb"]),
    (PYTHON + "memory_mb = -1\n", 5, ["memory_mb"]),
    (PYTHON + "memory_mb = 0\n", 5, ["memory_mb"]),
    (PYTHON + "memory_mb = 1025\n", 5, ["memory_mb", "1024"]),
    (PYTHON + "memory_mb = 99999999999999999999\n", 5, []),
    (PYTHON + "timeout_ms = 0\n", 5, ["timeout_ms"]),
    (PYTHON + "timeout_ms = true\n", 5, ["timeout_ms"]),
    (PYTHON + "concurrency_max = 0\n", 5, ["concurrency_max"]),
    (PYTHON + "warm_min = 9\nconcurrency_max = 2\n", 5, ["warm_min"]),
    (PYTHON + 'reuse = "always"\n', 5, ["always", "never", "sandbox", "process"]),
    (PYTHON + 'network = "host"\n', 5, ["none"]),
    (PYTHON + 'http = true\n', 5, ["http"]),
    (PYTHON + '[http]\nmethods = ["FETCH"]\n', 6, ["FETCH"]),
    (PYTHON + '[http]\nmethods = "GET"\n', 6, ["methods"]),
    (PYTHON + '[env]\nHEARTH_X = "1"\n', 6, ["HEARTH_X"]),
    (PYTHON + '[env]\n"A=B" = "1"\n', 6, []),
    (PYTHON + '[env]\nA = 1\n', 6, ["A"]),
    (PYTHON + '[env]\nA = "a\\u0000b"\n', 6, []),
    (PYTHON + "[exec]\nhttp_env = true\n", 5, ["exec"]),
    (PYTHON.replace('"f"', '"F"'), 1, ["name"]),
    (PYTHON.replace('"f"', '"../f"'), 1, ["name"]),
    (PYTHON.replace('"f"', f'"{"f" * 64}"'), 1, ["name"]),
    (PYTHON.replace("app.handle", "app"), 3, ["module.function"]),
    (PYTHON.replace("app.handle", "../app.handle"), 3, ["handler"]),
    (manifest("f", "exec", "/bin/sh"), 3, ["handler"]),
    (manifest("f", "exec", "run", 'reuse = "process"'), 4, ["reuse"]),
    (b"name = \"\xff\"\n", 1, []),
]


def setUpModule():
    global hearth
    hearth = Instance(CONFIG)
    unittest.addModuleCleanup(hearth.close)
    hearth.start()


def nothing_is_left():
    rows = json.loads(hearth.api("GET", FUNCTIONS)[2])
    return not rows and not list((hearth.state / "uploads").iterdir()) \
        and not list((hearth.state / "bundles").iterdir())


class Case(unittest.TestCase):
    def refused(self, files, *words, kind="bad_request", limit=None):
        status, answer = hearth.deploy(files)
        self.assertEqual(status, 400, answer)
        error = answer["error"]
        self.assertEqual(error["kind"], kind, error)
        for word in words:
            self.assertIn(word, error["message"])
        if limit:
            self.assertEqual(error["limit"], limit)
        self.assertTrue(nothing_is_left())
        return error


class Manifests(Case):
    def test_every_fault_is_told_with_its_line(self):
        for text, line, words in MANIFESTS:
            if isinstance(text, str):
                text = text.encode()
            with self.subTest(text=text):
                error = self.refused({"function.toml": text, "app.py": CODE,
                                      "run": ("#!/bin/sh\n", 0o755)}, *words)
                self.assertTrue(error["message"].startswith(f"function.toml:{line}:"), error)

    def test_the_cli_tells_it_in_one_line_with_status_3(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "function.toml").write_text(PYTHON + "memroy_mb = 1\n")
            with self.assertRaises(Failed) as caught:
                hearth.cli("deploy", folder)
        self.assertEqual(caught.exception.status, 3)
        self.assertEqual(len(caught.exception.stderr.splitlines()), 1)
        self.assertIn("function.toml:5:", caught.exception.stderr)
        self.assertIn("did you mean", caught.exception.stderr)

    def test_an_image_that_is_not_there_is_named_with_its_remedy(self):
        error = self.refused({"function.toml": PYTHON + 'image = "nosuch"\n', "app.py": CODE},
                             "no image 'nosuch'", "hearth image build nosuch", limit="image")
        self.assertEqual(error["value"], "nosuch")

    def test_a_handler_file_must_be_there_a_file_and_executable(self):
        for runtime in ("exec", "native"):
            toml = {"function.toml": manifest("f", runtime, "bin/run")}
            with self.subTest(runtime=runtime):
                self.refused(toml, "no file 'bin/run'", limit="handler")
                self.refused({**toml, "bin/run/x": ""}, "no file 'bin/run'", limit="handler")
                self.refused({**toml, "bin/run": "#!/bin/sh\n"}, "not executable", "chmod +x",
                             limit="handler")


class Loading(Case):
    def load_error(self, files, *words):
        error = self.refused(files, kind="load_error")
        self.assertEqual(error["stage"], "load")
        told = json.dumps([error["message"], error.get("type"), error.get("stack")])
        for word in words:
            self.assertIn(word, told)
        return error

    def test_python_code_that_does_not_load_is_refused_in_its_own_words(self):
        for code, words in (
                ("def handle(:\n", ["SyntaxError", "app.py"]),
                ("import nosuch_module\n", ["ModuleNotFoundError", "nosuch_module"]),
                ("x = 1\n", ["handle"]),
                ("handle = 5\n", ["handle"]),
                ("raise ValueError('at import')\n", ["ValueError", "at import", "line 1"]),
                ("1 / 0\n" + CODE, ["ZeroDivisionError"]),
                ("import sys\nsys.exit(3)\n", ["3"]),
                ("import os\nos._exit(7)\n", ["7"]),
                ("import os\nos.abort()\n", ["was killed by SIG"]),
        ):
            with self.subTest(code=code):
                self.load_error({"function.toml": PYTHON, "app.py": code}, *words)
        self.load_error({"function.toml": PYTHON}, "app")
        self.load_error({"function.toml": PYTHON, "app.py": b"\xff\xfe\n"}, "SyntaxError")

    def test_node_code_that_does_not_load_is_refused_in_its_own_words(self):
        for code, words in (
                ("exports.handle = (", ["SyntaxError"]),
                ("require('nosuch-module')", ["nosuch-module"]),
                ("exports.other = 1", ["handle"]),
                ("exports.handle = 5", ["handle"]),
                ("throw new RangeError('at import')", ["RangeError", "at import"]),
                ("process.exit(3)", ["3"]),
                ("process.abort()", ["SIGABRT"]),
        ):
            with self.subTest(code=code):
                self.load_error({"function.toml": NODE, "app.js": code}, *words)
        self.load_error({"function.toml": NODE}, "app")

    def test_programs_that_do_not_start_are_refused(self):
        native = manifest("f", "native", "run")
        self.load_error({"function.toml": manifest("f", "exec", "run"),
                         "run": ("#!/no/such/interpreter\n", 0o755)})
        self.load_error({"function.toml": native, "run": ("#!/bin/sh\nexit 3\n", 0o755)}, "3")
        self.load_error({"function.toml": native, "run": (b"\x7fELF" + b"\0" * 100, 0o755)})

    def test_code_that_hangs_at_import_is_refused_after_the_limit(self):
        begin = time.monotonic()
        error = self.load_error({"function.toml": PYTHON,
                                 "app.py": "import time\ntime.sleep(600)\n"})
        self.assertGreaterEqual(time.monotonic() - begin, 2.9)
        self.assertEqual((error["limit"], error["value"]), ("deploy.load_timeout_ms", 3000))
        self.assertEqual(hearth.sandbox_pids(), [])
        self.load_error({"function.toml": NODE, "app.mjs": "await new Promise(() => {});\n"
                         "setInterval(() => {}, 1000);\nexport const handle = 1;\n"})
        self.load_error({"function.toml": NODE, "app.js": "for (;;);"})

    def test_code_that_prints_at_import_loads_and_its_words_are_logged(self):
        hearth.python("f", "import sys\nprint('hello from import' + 'x' * 300000)\n"
                           "print('to stderr', file=sys.stderr)\n" + CODE)
        self.addCleanup(hearth.cli, "delete", "f")
        self.assertEqual(hearth.http("GET", "/fn/default/f")[0], 200)
        text = hearth.cli("logs", "f").stdout.decode()
        self.assertIn("hello from import", text)
        self.assertIn("to stderr", text)

    def test_what_failing_code_printed_comes_with_the_refusal(self):
        self.load_error({"function.toml": manifest("f", "native", "run"),
                         "run": ("#!/bin/sh\necho no database >&2\nexit 3\n", 0o755)},
                        "no database")

    def test_the_cli_prints_the_runtimes_words_and_ends_with_1(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "function.toml").write_text(PYTHON)
            pathlib.Path(folder, "app.py").write_text("raise ValueError('at import')\n")
            with self.assertRaises(Failed) as caught:
                hearth.cli("deploy", folder)
            self.assertEqual(caught.exception.status, 1)
            lines = caught.exception.stderr.splitlines()
            self.assertIn("ValueError: at import", lines[0])
            self.assertTrue(any("line 1" in line for line in lines[1:]), lines)
            self.assertTrue(nothing_is_left())

            hearth.cli("deploy", "--no-verify", folder)
            self.addCleanup(hearth.cli, "delete", "f")
            done, record = hearth.invoke("f", check=False)
            self.assertEqual((done.returncode, record["outcome"]), (1, "load_error"))
            self.assertIn("ValueError: at import", done.stderr.decode())

    def test_a_call_of_code_that_does_not_load_is_an_error_with_a_record(self):
        hearth.python("f", "raise ValueError('at import')\n", verify=False)
        self.addCleanup(hearth.cli, "delete", "f")
        for _ in range(2):
            status, headers, body = hearth.http("GET", "/fn/default/f")
            error = json.loads(body)["error"]
            self.assertEqual((status, error["kind"], error["stage"]),
                             (502, "function_error", "load"))
            self.assertEqual(error["type"], "ValueError")
            record = hearth.json("call", headers["hearth-call-id"])
            self.assertEqual(record["outcome"], "load_error")


if __name__ == "__main__":
    unittest.main()
