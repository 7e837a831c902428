# SPDX-License-Identifier: Apache-2.0
"""The installed hearthd as systemd runs it, with the clients of tests/support/instance.py."""

import contextlib
import json
import pathlib
import subprocess

from instance import Instance

UNIT = "hearthd.service"
SOCKET_UNIT = "hearthd.socket"
UNIT_CGROUP = pathlib.Path("/sys/fs/cgroup/system.slice") / UNIT


def run(*command, check=True, limit_s=300):
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=limit_s,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done


def show(unit, name):
    return run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()


class Service(Instance):
    """The one instance of the machine. Closing it does nothing: the unit stays as it is."""

    def __init__(self):
        self.state, self.run = pathlib.Path("/var/lib/hearth"), pathlib.Path("/run/hearth")
        self.home = self.state
        self.port = 8080
        self.process = None

    def start(self):
        run("systemctl", "start", UNIT)
        return self

    def stop(self):
        run("systemctl", "stop", UNIT)

    def restart(self):
        run("systemctl", "restart", UNIT)
        return self

    def close(self):
        pass

    def pid(self):
        return int(show(UNIT, "MainPID"))

    def entries(self, *options):
        """The journal of the unit, oldest first, every field."""
        text = run("journalctl", "-u", UNIT, "-o", "json", "--no-pager", *options).stdout
        return [json.loads(line) for line in text.splitlines()]

    def log(self):
        return run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager").stdout

    def cgroup_base(self):
        for path in UNIT_CGROUP.glob("hearth-*"):
            return path
        return None

    def running(self):
        """How many calls run. Not by the command line, which may have to be read from the disk."""
        return json.loads(self.api("GET", "/v1/status")[2])["sandboxes"]["running"]

    def call(self, name, do, /, tenant="default", **event):
        """One call: (status, answer or error, record)."""
        status, headers, body = self.api(
            "POST",
            f"/v1/tenants/{tenant}/functions/{name}/invocations",
            json.dumps(dict(event, do=do)),
            {"Hearth-Want-Record": "1"},
            limit_s=300,
        )
        answer = json.loads(body)
        answer = answer["error"] if status >= 400 else answer
        return status, answer, json.loads(headers.get("hearth-record", "null"))

    def leaves(self):
        """The cgroups of all sandboxes, also of those that were started before their function."""
        base = self.cgroup_base()
        return sorted(base.glob("tenants/*/*/s-*")) + sorted(base.glob("tenants/*/*/*/s-*"))

    def leaf(self, limit_mb):
        """The cgroup of the sandbox with that memory limit, which the tests keep apart by it."""
        for path in self.leaves():
            with contextlib.suppress(OSError):
                if int((path / "memory.max").read_text()) == limit_mb << 20:
                    return path
        return None


def counter(path, key):
    """A number of a flat keyed file of a cgroup."""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    raise KeyError(f"{key} in {path}")
