# SPDX-License-Identifier: Apache-2.0
"""Stops or fails a private hearthd at a named step: sandbox/sys/fail_point.h seen from the test."""

import mmap
import struct

from waiting import until

IDLE, ARMED, REACHED, OVER = range(4)
NAME_BYTES = 120


class FailPoints:
    """The file that every process of an instance shares with the test."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.bytes = mmap.mmap(file.fileno(), 4096)
        self.env = {"HEARTH_FAIL_POINTS": str(path)}

    def _set(self, state):
        self.bytes[0:4] = struct.pack("=i", state)

    def state(self):
        return struct.unpack("=i", self.bytes[0:4])[0]

    def arm(self, name, error=0):
        """The next process that comes to the step waits there, or fails with the errno."""
        self._set(IDLE)
        text = name.encode()
        self.bytes[4:8] = struct.pack("=i", error)
        self.bytes[8:8 + NAME_BYTES] = text + bytes(NAME_BYTES - len(text))
        self._set(ARMED)

    def await_reached(self):
        until(lambda: self.state() == REACHED, "the step is reached")

    def fired(self):
        return self.state() == OVER

    def release(self):
        """Who waits goes on; nobody will wait."""
        self._set(OVER)
