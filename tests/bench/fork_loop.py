# SPDX-License-Identifier: Apache-2.0
"""The floor of a fresh-process python call: fork, run the handler, send the result by pipe, reap.

Usage: fork_loop.py SECONDS. Prints the number of cycles."""

import gc
import json
import os
import sys
import time


def handle(event, context):
    return {"sum": sum(event["numbers"])}


def main():
    event = json.dumps({"numbers": list(range(10))}).encode()
    gc.collect()
    gc.freeze()
    gc.disable()
    end = time.monotonic() + float(sys.argv[1])
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
