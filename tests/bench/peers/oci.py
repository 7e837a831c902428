# SPDX-License-Identifier: Apache-2.0
"""What crun and runc share: a bundle made of one static program, and the cgroup they may make."""

import atexit
import contextlib
import json
import os
import pathlib
import shutil

import peer

DEFAULT_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
    {
        "destination": "/tmp",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "nodev", "mode=1777"],
    },
]


def bundle(static, folder, name):
    """A bundle whose sandbox is as near to Hearth's as the format's defaults: every namespace, a
    read-only root, no capability, no_new_privs, one cgroup; without limits, which this host's
    cgroup v2 could not hold, and without a seccomp filter, which has no default."""
    root = pathlib.Path(folder) / "rootfs"
    for each in ("proc", "dev", "tmp"):
        (root / each).mkdir(parents=True, exist_ok=True)
    shutil.copy(static, root / "program")
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user")
    identity = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 1000, "gid": 1000},
            "args": ["/program"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "peer",
        "mounts": DEFAULT_MOUNTS,
        "linux": {
            "cgroupsPath": f"/hearth-peer-{name}-{os.getpid()}",
            "namespaces": [{"type": kind} for kind in kinds],
            "uidMappings": identity,
            "gidMappings": identity,
        },
    }
    (pathlib.Path(folder) / "config.json").write_text(json.dumps(config, indent=1))
    return pathlib.Path(folder)


def around():
    """A mount namespace in which a cgroup made for this process is the whole tree, and of version 2
    only. Without it crun refuses a host with cgroups of both versions, runc makes a cgroup in each
    of ten hierarchies, and both switch on controllers in the host's root."""
    own = pathlib.Path(version_2()) / f"peers-{os.getpid()}"
    if not own.exists():
        own.mkdir()
        atexit.register(remove, own)
    mount = f'mount --bind {own} /sys/fs/cgroup && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]


def remove(cgroup):
    for path, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def version_2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return fields.split()[4]
    raise peer.Unavailable("no cgroup v2 is mounted here")
