# SPDX-License-Identifier: Apache-2.0
"""crun: the OCI runtime in C."""

import pathlib

import oci
import peer

NAME = "crun"
VERSION = "1.8.1-1+deb12u1"
LIBRARY = "libyajl2=2.1.0-3+deb12u2"


def place(cache):
    return peer.place(cache, NAME, VERSION)


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.debian(f"crun={VERSION}", LIBRARY))
    peer.run(*around(cache), program(cache), "--version")
    return VERSION


def program(cache):
    return place(cache) / "usr/bin/crun"


def command(cache, static, folder):
    bundle = oci.bundle(static, folder, NAME)
    options = ["--root", pathlib.Path(folder) / "state", "--cgroup-manager=cgroupfs"]
    return [program(cache), *options, "run", "--bundle", bundle, f"peer-{NAME}"]


def around(cache):
    libraries = place(cache) / "usr/lib/x86_64-linux-gnu"
    return ["env", f"LD_LIBRARY_PATH={libraries}", *oci.around()]
