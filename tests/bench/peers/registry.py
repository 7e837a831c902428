# SPDX-License-Identifier: Apache-2.0
"""A registry of one OCI image, made of files of this host, on loopback: enough for one `pull`."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import threading

OCI = "application/vnd.oci.image."


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def python():
    """The paths of this host's python3 and of what it needs."""
    program = pathlib.Path("/usr/bin/python3").resolve()
    library = pathlib.Path("/usr/lib") / program.name
    parts = [program, "/usr/bin/dash", *sorted((library / "lib-dynload").glob("*.so"))]
    said = subprocess.run(["ldd", *parts], capture_output=True, text=True, check=False).stdout
    found = {os.path.realpath(each) for each in re.findall(r"(/\S+\.so\S*) \(0x", said)}
    # Below the names that the loader asks for, too.
    asked = {"/usr" + each for each in re.findall(r"(/\S+\.so\S*) \(0x", said)}
    links = ["/bin", "/lib", "/lib64", "/usr/bin/sh", "/usr/bin/python3"]
    return [*links, *parts[:2], library, *sorted(found | asked), "/etc/passwd", "/etc/group"]


def image(paths):
    """The manifest of an image with one layer, and its blobs by digest."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for each in dict.fromkeys(str(each) for each in paths):
            tar.add(each, each.lstrip("/"))
        tmp = tarfile.TarInfo("tmp")
        tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(tmp)
    layer = layer.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    kinds = [(config, "config.v1+json"), (layer, "layer.v1.tar")]
    parts = [{"mediaType": OCI + k, "digest": digest(c), "size": len(c)} for c, k in kinds]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": parts[0],
            "layers": parts[1:],
        }
    ).encode()
    return manifest, {digest(config): config, digest(layer): layer}


def handler(manifest, blobs):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            kind, _, name = self.path.rpartition("/")
            body, mime = b"", "application/octet-stream"
            if kind.endswith("/manifests"):
                body, mime = manifest, OCI + "manifest.v1+json"
            elif kind.endswith("/blobs"):
                body = blobs.get(name)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", mime)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    return Handler


@contextlib.contextmanager
def serving(paths):
    """Yields the reference of the image that has these paths."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(*image(paths)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}/bench/python:1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
