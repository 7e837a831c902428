# SPDX-License-Identifier: Apache-2.0
"""A Python handler behind the bare forwarder: bodies come in at descriptor 3, answers go out.

Usage: worker.py FILE, which defines handle(event, context)."""

import importlib.util
import json
import socket
import struct
import sys


def load(path):
    spec = importlib.util.spec_from_file_location("app", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handle


def main():
    handle = load(sys.argv[1])
    channel = socket.socket(fileno=3)
    data = b""
    while True:
        while len(data) < 4 or len(data) < 4 + struct.unpack_from("=I", data)[0]:
            more = channel.recv(1 << 20)
            if not more:
                return
            data += more
        answer = json.dumps(handle({"body": data[4:].decode()}, None)).encode()
        channel.sendall(struct.pack("=I", len(answer)) + answer)
        data = b""


main()
