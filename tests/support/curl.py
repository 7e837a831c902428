# SPDX-License-Identifier: Apache-2.0
"""HTTP by curl, a client that is not ours."""

import json
import subprocess
import tempfile


def curl(*args, data=None):
    """(status, headers by lower-case name, body) as curl saw them."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "120", "-o", f"{folder}/body",
             "-w", "%{http_code}\n%{header_json}", *args],
            input=data, capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr.decode())
        status, headers = done.stdout.decode().split("\n", 1)
        with open(f"{folder}/body", "rb") as body:
            return int(status), json.loads(headers), body.read()
