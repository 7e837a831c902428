# SPDX-License-Identifier: Apache-2.0
"""The functions framework of Google Cloud for node: express around the function, one process."""

import contextlib
import pathlib

import peer

NAME = "functions-framework"
VERSION = "5.0.5"
PACKAGE = "@google-cloud/functions-framework"


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.npm(PACKAGE, VERSION))
    return VERSION


@contextlib.contextmanager
def serve(cache, folder):
    folder, port = pathlib.Path(folder), peer.free_port()
    peer.handlers(folder, "framework.mjs", "sum.mjs")
    (folder / "package.json").write_text('{"type": "module", "main": "framework.mjs"}\n')
    (folder / "node_modules").symlink_to(peer.place(cache, NAME, VERSION) / "node_modules")
    main = folder / "node_modules" / PACKAGE / "build/src/main.js"
    argv = [peer.NODE, main, "--target=handle", f"--port={port}"]
    # As it is deployed: no development checks.
    with peer.server(argv, port, folder, {"NODE_ENV": "production"}) as url:
        yield url + "/"
