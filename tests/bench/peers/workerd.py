# SPDX-License-Identifier: Apache-2.0
"""workerd, the runtime of Cloudflare Workers: V8 isolates in one process."""

import contextlib
import pathlib

import peer

NAME = "workerd"
VERSION = "1.20261117.1"
CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "main")],
);
const main :Workerd.Worker = (
  compatibilityDate = "2026-01-01",
  modules = [
    (name = "workerd.mjs", esModule = embed "workerd.mjs"),
    (name = "sum.mjs", esModule = embed "sum.mjs"),
  ],
);
"""


def program(cache):
    modules = peer.place(cache, NAME, VERSION) / "node_modules"
    return next(modules.glob("@cloudflare/workerd-linux-*/bin/workerd"))


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.npm("workerd", VERSION))
    peer.run(program(cache), "--version")
    return VERSION


@contextlib.contextmanager
def serve(cache, folder):
    port = peer.free_port()
    peer.handlers(folder, "workerd.mjs", "sum.mjs")
    (pathlib.Path(folder) / "config.capnp").write_text(CONFIG % port)
    with peer.server([program(cache), "serve", "config.capnp"], port, folder) as url:
        yield url + "/"
