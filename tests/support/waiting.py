# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition instead of for a time."""

import threading
import time

LIMIT_S = 30  # generous: sanitized builds on two busy cores


def until(condition, what, limit_s=LIMIT_S):
    """What `condition` returns as soon as that is true; fails after the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.01)


class Background(threading.Thread):
    """Runs a function on a thread of its own; `result` waits and hands on what it raised."""

    def __init__(self, function, *args, **options):
        super().__init__(daemon=True)
        self._work = lambda: function(*args, **options)
        self._result = self._error = None
        self.start()

    def run(self):
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error

    def result(self, limit_s=2 * LIMIT_S):
        self.join(limit_s)
        if self.is_alive():
            raise AssertionError(f"still running after {limit_s} s")
        if self._error is not None:
            raise self._error
        return self._result
