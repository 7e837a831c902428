# SPDX-License-Identifier: Apache-2.0
"""Programs as people write them, deployed: the sandbox must not be in their way.

What is built or fetched is kept in HEARTH_BUILD_CACHE, by default below ~/.cache, under a key of
its sources."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from tests.support.instance import Instance

HERE = pathlib.Path(__file__).resolve().parent / "programs"
CACHE = pathlib.Path(os.environ.get("HEARTH_BUILD_CACHE",
                                    pathlib.Path.home() / ".cache/hearth-programs"))
SETTINGS = "timeout_ms = 120000\nmemory_mb = 512\nprocesses_max = 256\ncpu_percent = 400\n"
PYTHON = {
    "numpy": [True, 499500, 1024.0],
    "pillow": [[64, 48]] * 4,
    "requests": [200, 1000000, 201, True, 201],
    "sqlite3": ["wal", 2000],
    "subprocess": ["hello", "99\n", -15, 0, 7, True],
    "threads": [1600, 328350],
    "processes": [40425, 285, "hello"],
    "asyncio": ["hello", "child", "thread", True, 0],
    "copying": [300000, True, 0, True],
    "system": [1, 1, True, "UTC", True, 32],
}
NODE = {
    "worker_threads": 4000,
    "crypto": [True, 5, "e3b0c442"],
    "zlib": [True, True, True],
    "child_process": ["99\n", "hello", "there and back", 0, "SIGTERM", 0],
    "network": [200, 200000, "unix", True],
    "files": [True, True, ["lo"]],
    "engine": [5, True, 5],
}
GO = """body 5
goroutines 1000
server 1000000
copied true
child "99\\n" "hello"
signal user defined signal 1
interfaces lo
"""
RUST = """body 5
threads 136
server 1000000
copied (500000, 500000, true)
child hello
unwound true
slept true
"""
JAVA = """body 5
threads 495000000
server 1000000
files 100000 50000 -1
packed 100000 32
child 99 0
interface lo
localhost true
"""
BOUND = """affinity 0
batch 0
limit 0
sum 4999950000
"""


def setUpModule():
    global hearth
    hearth = Instance()
    unittest.addModuleCleanup(hearth.close)
    hearth.start()


def cached(source, make, *more):
    """{path: (bytes, mode)} of what `make(folder)` leaves in a folder, made once."""
    key = hashlib.sha256((HERE / source).read_bytes() + repr(more).encode()).hexdigest()[:20]
    folder = CACHE / f"{source}-{key}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            made = pathlib.Path(work, "made")
            made.mkdir()
            make(made)
            made.chmod(0o755)
            with contextlib.suppress(OSError):  # another run was first
                made.rename(folder)
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
            for path in sorted(folder.rglob("*")) if path.is_file()}


def run(*command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout.decode(errors='replace')}"


def compiled(source, *command):
    """`command`, with {out} for the file to make."""
    return cached(source, lambda folder: run(
        *[each.format(out=folder / "program") for each in command], HERE / source,
        cwd=folder, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod",
                         "GOCACHE": str(CACHE / "go")}), command)


class Interpreted(unittest.TestCase):
    def each(self, function, programs):
        for name, expected in programs.items():
            with self.subTest(name):
                done = hearth.cli("invoke", function, "--data", "-", limit_s=150,
                                  data=json.dumps(name).encode())
                answer = json.loads(done.stdout)
                self.assertNotIn("failed", answer, answer.get("failed"))
                self.assertEqual(answer["result"], expected)

    def python(self, name, settings):
        packages = cached("requirements.txt", lambda folder: run(
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
            "--only-binary", ":all:", "--root-user-action=ignore", "--target", folder, "-r",
            HERE / "requirements.txt"), sys.version)
        files = {f"packages/{path}": file for path, file in packages.items()}
        files["everyday.py"] = (HERE / "everyday.py").read_text(encoding="utf-8")
        hearth.function(name, "python3", "everyday.handle", files, SETTINGS + settings)
        self.each(name, PYTHON)

    def test_python_programs_run_in_a_fresh_process_each(self):
        self.python("python-fresh", "")

    def test_python_programs_run_in_one_process(self):
        self.python("python-kept", 'reuse = "process"\n')

    def test_node_programs_run(self):
        source = (HERE / "everyday.js").read_text(encoding="utf-8")
        hearth.function("node", "nodejs", "everyday.handle", {"everyday.js": source}, SETTINGS)
        self.each("node", NODE)


class Compiled(unittest.TestCase):
    def check(self, name, files, expected, settings=""):
        hearth.function(name, "exec", "program", files, SETTINGS + settings)
        done, record = hearth.invoke(name, b"hello")
        self.assertEqual(done.stdout.decode(), expected)
        self.assertEqual(record["outcome"], "ok")

    def test_a_go_program_runs(self):
        self.check("go", compiled("everyday.go", "go", "build", "-ldflags=-s -w", "-o", "{out}"),
                   GO)

    def test_a_rust_program_runs(self):
        self.check("rust", compiled("everyday.rs", "rustc", "--edition=2021", "-O", "-o", "{out}"),
                   RUST)

    def test_a_java_program_runs(self):
        files = cached("Everyday.java", lambda folder: run("javac", "-d", folder,
                                                           HERE / "Everyday.java"))
        java = pathlib.Path(shutil.which("java")).resolve()
        files["program"] = (f"#!/bin/sh\nexec {java} -Xmx128m -cp /var/task Everyday\n", 0o755)
        self.check("java", files, JAVA)

    def test_threads_can_be_bound_to_processors(self):
        self.check("bound", compiled("bound.c", "cc", "-O2", "-fopenmp", "-o", "{out}"), BOUND,
                   '[env]\nOMP_PROC_BIND = "true"\n')


if __name__ == "__main__":
    unittest.main()
