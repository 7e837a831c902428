# SPDX-License-Identifier: Apache-2.0
"""A private hearthd for tests: its own folders, socket and port, made and removed with the test.

The programs come from a staged installation: HEARTH_STAGE, made by ./check with `meson install`.
"""

import contextlib
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time

STAGE = pathlib.Path(
    os.environ.get("HEARTH_STAGE", pathlib.Path(__file__).resolve().parents[2] / "stage")
)
START_LIMIT_S = 20
CONFIG = """
host_image = true
default_image = "host"
"""


class Failed(Exception):
    """A command of the hearth program that did not end with status 0."""

    def __init__(self, done):
        super().__init__(f"exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        self.status = done.returncode
        self.stderr = done.stderr.decode(errors="replace")
        self.stdout = done.stdout


def archive(files):
    """A .tar.gz of {path: bytes or (bytes, mode)}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for path, content in files.items():
            data, mode = content if isinstance(content, tuple) else (content, 0o644)
            if isinstance(data, str):
                data = data.encode()
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def manifest(name, runtime, handler, extra=""):
    return f'name = "{name}"\nruntime = "{runtime}"\nhandler = "{handler}"\n{extra}\n'


class Instance:
    def __init__(self, config="", limits="best-effort", env=None, wrapper=()):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="hearth-test-"))
        self.home.chmod(0o755)
        self.state, self.run = self.home / "state", self.home / "run"
        self.config = self.home / "hearth.toml"
        self.config.write_text(CONFIG + config)
        self.log_path = self.home / "hearthd.log"
        self.limits, self.env = limits, dict(os.environ, **(env or {}))
        self.wrapper = list(wrapper)  # a program that ends in exec "$@"
        self.process = None
        self.port = None

    # Life

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def start(self):
        log = open(self.log_path, "ab")
        begin = self.log_path.stat().st_size
        self.process = subprocess.Popen(
            [
                *self.wrapper,
                STAGE / "sbin/hearthd",
                "--config",
                self.config,
                "--state-dir",
                self.state,
                "--runtime-dir",
                self.run,
                "--listen",
                "127.0.0.1:0",
                "--limits",
                self.limits,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self.env,
        )
        log.close()
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            text = self.log_path.read_bytes()[begin:].decode(errors="replace")
            if "info ready" in text:
                for line in text.splitlines():
                    if "listening" in line and "127.0.0.1:" in line:
                        self.port = int(line.rsplit("127.0.0.1:", 1)[1].split()[0].strip('"'))
                return self
            if self.process.poll() is not None:
                raise RuntimeError(f"hearthd ended with {self.process.returncode}:\n{text}")
            time.sleep(0.02)
        raise RuntimeError(f"hearthd was not ready in {START_LIMIT_S} s:\n{self.log()}")

    def pid(self):
        return self.process.pid

    def stop(self, number=signal.SIGTERM, limit_s=30):
        """Sends the signal and waits; returns the exit status."""
        if self.process is None:
            return None
        self.process.send_signal(number)
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.process = None
        return status

    def restart(self, number=signal.SIGTERM):
        self.stop(number)
        return self.start()

    def close(self):
        if self.process is not None:
            with contextlib.suppress(Exception):
                self.stop()
        # A killed daemon leaves its cgroups to the next start: let one clean up.
        if any(path.name.startswith("s-") for path in self.cgroups()):
            with contextlib.suppress(Exception):
                self.start()
                self.stop()
        for path in self.cgroups():
            with contextlib.suppress(OSError):
                os.rmdir(path)
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # The host's view

    def cgroup_base(self):
        for line in self.log().splitlines()[::-1]:
            if " cgroup=" in line:
                return pathlib.Path(line.rsplit(" cgroup=", 1)[1].split()[0].strip('"'))
        return None

    def cgroups(self):
        """Every cgroup below the base, deepest first, the base last."""
        base = self.cgroup_base()
        return (
            [pathlib.Path(p) for p, _, _ in os.walk(base, topdown=False)]
            if base and base.exists()
            else []
        )

    def sandbox_pids(self):
        pids = []
        for path in self.cgroups():
            with contextlib.suppress(OSError):
                pids += [int(p) for p in (path / "cgroup.procs").read_text().split()]
        return pids

    # Clients

    def cli(self, *args, data=None, check=True, limit_s=60):
        stdin = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(
            [STAGE / "bin/hearth", "--socket", self.run / "hearth.sock", *map(str, args)],
            capture_output=True,
            timeout=limit_s,
            **stdin,
        )
        if check and done.returncode != 0:
            raise Failed(done)
        return done

    def json(self, *args):
        return json.loads(self.cli("--json", *args).stdout)

    def invoke(self, name, data=b"{}", check=True, tenant="default"):
        """One call by the command line: the finished process and the record."""
        done = self.cli(
            "--tenant", tenant, "invoke", name, "--data", "-", "--meter", data=data, check=check
        )
        record = None
        for line in done.stderr.decode(errors="replace").splitlines():
            if line.startswith("{"):
                record = json.loads(line)
        return done, record

    def _request(self, connection, method, path, body, headers):
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return (
                response.status,
                {k.lower(): v for k, v in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def http(self, method, path, body=None, headers=None, limit_s=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)
        return self._request(connection, method, path, body, headers)

    def api(self, method, path, body=None, headers=None, limit_s=60):
        """The management API over the Unix socket."""
        connection = http.client.HTTPConnection("localhost", timeout=limit_s)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(limit_s)
        connection.sock.connect(str(self.run / "hearth.sock"))
        return self._request(connection, method, path, body, headers)

    def deploy(self, files, tenant="default", verify=True):
        """Deploys {path: content}; returns (status, answer)."""
        query = "" if verify else "?verify=0"
        status, _, body = self.api("POST", f"/v1/tenants/{tenant}/functions{query}", archive(files))
        return status, json.loads(body)

    def function(
        self, name, runtime, handler, files, extra="[http]\n", tenant="default", verify=True
    ):
        """Deploys a function; fails the test if that is refused."""
        files = {"function.toml": manifest(name, runtime, handler, extra), **files}
        status, answer = self.deploy(files, tenant, verify)
        if status not in (200, 201):
            raise AssertionError(answer)
        return answer

    def python(self, name, code, extra="[http]\n", **options):
        return self.function(name, "python3", "app.handle", {"app.py": code}, extra, **options)

    def shell(self, name, script, extra="[http]\n", **options):
        return self.function(
            name, "exec", "run", {"run": ("#!/bin/sh\n" + script, 0o755)}, extra, **options
        )

    def calls(self, **filters):
        query = "&".join(f"{k}={v}" for k, v in filters.items())
        status, _, body = self.api("GET", f"/v1/calls?{query}")
        assert status == 200, body
        return json.loads(body)
