# SPDX-License-Identifier: Apache-2.0
"""Runs one attempt and says whether it worked: the same inside a function and outside it.

An attempt returns what it got hold of; one that is fended off raises OSError or Defended.
"""

import errno
import importlib
import json
import os
import signal
import sys
import time


class Defended(Exception):
    """The attempt got nothing; says what there was instead."""


def attempt(name, arguments):
    module, function = name.split(".")
    found = getattr(importlib.import_module(module), function)
    try:
        return {"worked": True, "detail": str(found(*arguments))}
    except Defended as reason:
        return {"worked": False, "detail": str(reason)}
    except OSError as error:
        code = errno.errorcode.get(error.errno, str(error))
        return {"worked": False, "detail": code}


def handle(event, context):
    return attempt(event["attempt"], event["with"])


def in_child(name, arguments, limit_s=60):
    """The verdict of an attempt that a process of its own makes."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        os.write(into, json.dumps(attempt(name, arguments)).encode())
        os._exit(0)
    os.close(into)
    until = time.monotonic() + limit_s
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    # What it left running may hold the pipe open: there is no end of file to wait for.
    os.set_blocking(out, False)
    try:
        return os.read(out, 1 << 16) or b"{}"
    except BlockingIOError:
        return b"{}"
    finally:
        os.close(out)


if __name__ == "__main__":
    sys.modules["verdict"] = sys.modules["__main__"]
    if len(sys.argv) > 1:
        print(json.dumps(attempt(sys.argv[1], json.loads(sys.argv[2]))))
    else:  # one attempt for each line
        for line in sys.stdin:
            print(in_child(*json.loads(line)).decode(), flush=True)
