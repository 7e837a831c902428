# SPDX-License-Identifier: Apache-2.0
"""The floor of a fresh-process Python call: fork, run the handler, send the result by pipe, reap.

Usage: fork_loop.py FILE SECONDS BODY. Prints the number of cycles."""

import gc
import importlib.util
import json
import os
import sys
import time


def load(path):
    spec = importlib.util.spec_from_file_location("app", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handle


def main():
    handle = load(sys.argv[1])
    event = json.dumps({"body": sys.argv[3]}).encode()
    gc.collect()
    gc.freeze()
    gc.disable()
    end = time.monotonic() + float(sys.argv[2])
    count = 0
    while time.monotonic() < end:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, json.dumps(handle(json.loads(event), None)).encode())
            os._exit(0)
        os.close(writer)
        os.read(reader, 65536)
        os.close(reader)
        os.waitpid(pid, 0)
        count += 1
    print(count)


main()
