# SPDX-License-Identifier: Apache-2.0
"""runc: the OCI runtime in Go."""

import pathlib

import oci
import peer

NAME = "runc"
VERSION = "1.1.5+ds1-1+deb12u1"


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.debian(f"runc={VERSION}"))
    peer.run(program(cache), "--version")
    return VERSION


def program(cache):
    return peer.place(cache, NAME, VERSION) / "usr/sbin/runc"


def command(cache, static, folder):
    bundle = oci.bundle(static, folder, NAME)
    state = pathlib.Path(folder) / "state"
    return [program(cache), "--root", state, "run", "--bundle", bundle, f"peer-{NAME}"]


def around(cache):
    return oci.around()
