# SPDX-License-Identifier: Apache-2.0
"""Zygo: a warm interpreter in a sandbox, forked for each request, behind an HTTP API.

It refuses a host without delegated cgroup v2 controllers; vm.py runs it in a machine that has them.
Its images come from a registry only, so a small one is served to it on loopback.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil

import peer
import registry

NAME = "zygo"
VERSION = "0.1.7"
CONTROLLERS = pathlib.Path("/sys/fs/cgroup/cgroup.controllers")


def install(cache):
    if here():
        raise peer.Unavailable(here())
    return fetch(cache)


def fetch(cache):
    """Also where it cannot run."""
    peer.fetched(cache, NAME, VERSION, build)
    peer.run(program(cache), "--version")
    return VERSION


def build(folder):
    objects = folder.parent / "objects"
    options = ["--version", VERSION, "--locked", "--jobs", "2", "--root", folder]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(objects))
    peer.run("cargo", "install", "zygo-cli", *options, limit_s=3600, env=environment)


def program(cache):
    return peer.place(cache, NAME, VERSION) / "bin/zygo"


def here():
    """Why it cannot run on this host, or None."""
    found = CONTROLLERS.read_text().split() if CONTROLLERS.exists() else []
    missing = {"cpu", "io", "memory", "pids"} - set(found)
    return f"the cgroup v2 controllers {sorted(missing)} are not there" if missing else None


@contextlib.contextmanager
def serve(cache, folder, around=()):
    """The sum function in python, forked for each call. `around` goes before each command, to run
    it as another user in a cgroup of its own."""
    folder, port = pathlib.Path(folder), peer.free_port()
    shutil.copy(peer.HANDLERS / "zygo_sum.py", folder / "handler.py")
    with registry.serving(registry.python()) as reference:
        peer.run(*around, program(cache), "pull", reference)
    api = ["api", "--no-auth", "--allow-deploy", "--listen", f"127.0.0.1:{port}"]
    with peer.server([*around, program(cache), *api], port, folder) as url:
        deploy(port, folder, reference)
        yield url + "/fn/sum"


def deploy(port, folder, reference):
    # Two processors and eight calls at once, as the function of Hearth that it is compared with.
    layer = {"image": reference, "entry": "./handler.py", "cpu": 2.0, "concurrency": 8}
    body = json.dumps({"layer": layer, "base_dir": str(folder)})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("PUT", "/fn/sum", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        if answer.status != 200:
            raise peer.Unavailable(f"zygo refuses the function: {answer.status} {text}")
    finally:
        connection.close()
