# SPDX-License-Identifier: Apache-2.0
"""go-judge: runs a command per request in a container that was made before, by an HTTP API."""

import contextlib
import http.client
import json
import os
import pathlib
import shutil

import peer

NAME = "go-judge"
VERSION = "v1.8.5"
MODULE = "github.com/criyle/go-judge"
# As root it takes over the cgroups of the host, and moves the first process there. Without any it
# falls back to rlimits and rusage, which costs it less.
HIDE = 'mount -t tmpfs -o ro none /sys/fs/cgroup && exec "$@"'
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
UNPRIVILEGED = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HIDE, "sh", *NOBODY]
LIMITS = {"cpuLimit": 10_000_000_000, "memoryLimit": 32 << 20, "procLimit": 16}


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.go(MODULE, VERSION, MODULE + "/cmd/go-judge", NAME))
    return VERSION


def upload(port, static):
    """The program is stored once: a call names it, as a call of a deployed function does."""
    form = b"--part\r\nContent-Disposition: form-data; name=file; filename=program\r\n\r\n"
    body = form + pathlib.Path(static).read_bytes() + b"\r\n--part--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        kind = "multipart/form-data; boundary=part"
        connection.request("POST", "/file", body, {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise peer.Unavailable(f"go-judge refuses the program: {answer.status} {text[:200]!r}")
        return json.loads(text)
    finally:
        connection.close()


@contextlib.contextmanager
def serve_program(cache, folder, static, text):
    """Yields the URL and the body that hands the text to the program."""
    port = peer.free_port()
    # The cache is root's alone.
    program = shutil.copy(peer.place(cache, NAME, VERSION) / NAME, folder)
    argv = [program, f"-http-addr=127.0.0.1:{port}", f"-pre-fork={os.cpu_count()}", "-silent"]
    with peer.server([*UNPRIVILEGED, *argv], port, folder, {"GIN_MODE": "release"}) as url:
        command = {
            "args": ["program"],
            "files": [{"content": text}, {"name": "stdout", "max": 65536}],
            "copyIn": {"program": {"fileId": upload(port, static)}},
            **LIMITS,
        }
        yield url + "/run", json.dumps({"cmd": [command]})
