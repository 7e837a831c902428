# SPDX-License-Identifier: Apache-2.0
"""OpenLambda: SOCK's zygotes and sandboxes behind an HTTP server."""

import peer

NAME = "OpenLambda"
VERSION = "latest"
MODULE = "github.com/open-lambda/open-lambda/go"


def install(cache):
    peer.fetched(cache, NAME, VERSION, peer.go(MODULE, VERSION, MODULE, "ol"))
    raise peer.Unavailable("OpenLambda's base image is made by `docker build`; there is no Docker")
