# SPDX-License-Identifier: Apache-2.0
"""What the files of this folder share: where a peer is kept, how it is fetched, how it is run.

A peer is a module with NAME, VERSION and install(cache), which returns the version or raises
Unavailable. One that answers HTTP has serve(cache, folder), which yields the URL; one that starts a
program has command(cache, program, folder), the arguments of one start, and may have around(cache),
which goes before the command that makes those starts, once for all of them. `folder` is empty, the
caller's, and open to other users; whatever the peer writes goes there.
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

HANDLERS = pathlib.Path(__file__).resolve().parent / "handlers"
NODE = "/usr/bin/node"
START_LIMIT_S = 60
STOP_LIMIT_S = 20
SAID_LINES = 2


class Unavailable(Exception):
    """A peer that cannot be had or cannot run here; the text names the command that failed."""


def cache_folder():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "hearth" / "peers"


def place(cache, name, version):
    return pathlib.Path(cache) / f"{name}-{version}"


def run(*argv, limit_s=900, **options):
    """Runs a command to its end; what it printed, or Unavailable with its last lines."""
    line = shlex.join(map(str, argv[:2]))  # the rest has paths of the machine
    try:
        done = subprocess.run(
            list(map(str, argv)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=limit_s,
            **options,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"`{line}`: {error.filename}: not found") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"`{line}`: no end within {limit_s} s") from error
    if done.returncode != 0:
        said = " | ".join(done.stdout.strip().splitlines()[-SAID_LINES:])
        raise Unavailable(f"`{line}` ended with {done.returncode}: {said}")
    return done.stdout


def fetched(cache, name, version, make):
    """The folder of a version; make(folder) fills it once. An unfinished one is never seen."""
    folder = place(cache, name, version)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"unfinished-{name}-") as unfinished:
        made = pathlib.Path(unfinished) / "made"
        made.mkdir()
        make(made)
        # Somebody else may have been quicker.
        with contextlib.suppress(OSError):
            made.rename(folder)
    return folder


def npm(package, version):
    """For fetched(): a package of the npm registry with what it depends on, no script run."""

    def make(folder):
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        run("npm", "install", "--prefix", folder, *options, f"{package}@{version}")

    return make


def go(module, version, package, program):
    """For fetched(): a program of a Go module. It is built as a dependency of an empty module, so
    that nothing but the pinned version is asked of the module proxy."""

    def make(folder):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            # From 1.17 on, only what is built is looked up.
            needs = f"module peer\n\ngo 1.22\n\nrequire {module} {version}\n"
            (pathlib.Path(name) / "go.mod").write_text(needs)
            options = ["-mod=mod", "-p", "2", "-trimpath", "-o", folder / program]
            environment = dict(os.environ, CGO_ENABLED="0")
            run("go", "build", *options, package, cwd=name, env=environment)

    return make


def debian(*packages):
    """For fetched(): the files of Debian packages (NAME or NAME=VERSION), not installed."""

    def make(folder):
        run("apt-get", "download", "-o", "APT::Sandbox::User=root", *packages, cwd=folder)
        for archive in folder.glob("*.deb"):
            run("dpkg", "-x", archive, folder)
            archive.unlink()

    return make


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(argv, port, folder, env=None):
    """Runs a server until the block ends; yields its URL once it accepts connections.

    It gets an environment of its own: a certificate list inherited from the host alone costs node
    80 ms of its start.
    """
    log = pathlib.Path(folder) / "server.log"
    with open(log, "ab") as out:
        process = subprocess.Popen(
            list(map(str, argv)),
            cwd=folder,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(port, process, argv, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port, process, argv, log):
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    said = " | ".join(log.read_text(errors="replace").strip().splitlines()[-SAID_LINES:])
    raise Unavailable(f"`{shlex.join(map(str, argv))}` does not listen: {said}")


def handlers(folder, *names):
    for name in names:
        shutil.copy(HANDLERS / name, folder)


def first_number(text):
    """The version in what a program prints."""
    found = re.search(r"\d[\w.+~:-]*", text)
    return found.group() if found else text.strip()
