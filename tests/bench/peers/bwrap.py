# SPDX-License-Identifier: Apache-2.0
"""bubblewrap: unprivileged namespaces around one command."""

import peer

NAME = "bwrap"
VERSION = "0.8.0-2+deb12u1"


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.debian(f"bubblewrap={VERSION}"))
    peer.run(program(cache), "--version")
    return VERSION


def program(cache):
    return peer.place(cache, NAME, VERSION) / "usr/bin/bwrap"


def command(cache, static, folder):
    return [
        program(cache),
        *("--unshare-all", "--die-with-parent"),
        *("--ro-bind", "/usr", "/usr", "--symlink", "usr/lib64", "/lib64"),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *("--ro-bind", static, "/program", "/program"),
    ]
