# SPDX-License-Identifier: Apache-2.0
"""Large bodies, in and out."""

from client import wrk
from figures.warm import KEPT
from measure import Row, measurement

SIZE = 6 << 20


@measurement(
    "bodies",
    Row("bodies-6mib", "6 MiB in and out, 4 connections / bare forwarder", "B/s",
        ("hearth", "bytes"), ("floor", "bytes"), ">= 0.7"),
    Row("bodies-64kib", "64 KiB in and out, 4 connections / bare forwarder", "B/s",
        ("hearth 64", "bytes"), ("floor 64", "bytes")),
    short=True,
)
def bodies(ground):
    large, small = ground.folder / "large", ground.folder / "small"
    large.write_bytes(bytes(range(256)) * (SIZE // 256))
    small.write_bytes(bytes(range(256)) * 256)
    ours = ground.native(ground.hearth(), "echo", KEPT)
    floor = ground.forwarder()
    sides = {}
    for name, body in (("", large), (" 64", small)):
        for side, url in (("hearth", ours), ("floor", floor)):
            wrk(url, body, 4, 1)
            sides[side + name] = lambda url=url, body=body: wrk(url, body, 4, ground.seconds)
    return sides
