# SPDX-License-Identifier: Apache-2.0
"""Does what a function must not get away with."""

import os
import signal
import time


def survive():
    """A grandchild in a session of its own that ignores every signal it can."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, signal.NSIG):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    try:
                        signal.signal(number, signal.SIG_IGN)
                    except (OSError, ValueError):
                        pass
            while True:
                time.sleep(0.01)
        os._exit(0)


def handle(event, context):
    for _ in range(5):
        survive()
    try:
        with open("/tmp/fill", "wb") as file:
            while True:
                file.write(b"x" * 65536)
    except OSError as error:
        print("filled /tmp:", error, flush=True)
    while True:
        time.sleep(1)
