# SPDX-License-Identifier: Apache-2.0
"""Archives, well made and otherwise."""

import gzip
import io
import tarfile
import zipfile

MANIFEST = 'name = "f"\nruntime = "python3"\nhandler = "app.handle"\n'
CODE = "def handle(event, context):\n    return event\n"
GOOD = {"function.toml": MANIFEST, "app.py": CODE}


def raw_tar(*entries, pack=True):
    """A tar of good files and TarInfo entries: each a TarInfo or (TarInfo, bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in GOOD.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        for entry in entries:
            info, data = entry if isinstance(entry, tuple) else (entry, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0) if pack else out.getvalue()


def tar_entry(name, kind=tarfile.REGTYPE, link="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = 1, 3
    return info


def raw_zip(*entries):
    """A zip of good files and (name, data, unix mode)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in GOOD.items():
            packed.writestr(name, text)
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.create_system = 3
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, data)
    return out.getvalue()
