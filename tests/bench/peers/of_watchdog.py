# SPDX-License-Identifier: Apache-2.0
"""OpenFaaS's of-watchdog: an HTTP server that starts a process per call (its fork modes), or
forwards to one that keeps running (mode http)."""

import contextlib

import peer

NAME = "of-watchdog"
VERSION = "0.10.4"
MODULE = "github.com/openfaas/of-watchdog"


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.go(MODULE, VERSION, MODULE, NAME))
    return VERSION


@contextlib.contextmanager
def serve_program(cache, folder, static, text, mode="streaming"):
    """Mode streaming or serializing: the program is started for each call."""
    port = peer.free_port()
    settings = {"mode": mode, "fprocess": str(static), "port": str(port)}
    program = peer.place(cache, NAME, VERSION) / "of-watchdog"
    with peer.server([program], port, folder, settings) as url:
        yield url + "/", text


@contextlib.contextmanager
def serve(cache, folder, upstream, argv):
    """Mode http: the process argv is started once and listens at the URL upstream."""
    port = peer.free_port()
    settings = {"mode": "http", "fprocess": " ".join(map(str, argv)), "upstream_url": upstream}
    program = peer.place(cache, NAME, VERSION) / "of-watchdog"
    with peer.server([program], port, folder, {**settings, "port": str(port)}) as url:
        yield url + "/"
