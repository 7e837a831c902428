# SPDX-License-Identifier: Apache-2.0
"""The guest's disk: a stock Debian, kept in a cache, with Hearth installed into a copy of it."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
SUITE = "bookworm"
DISK_MB = 1536
SWAP_MB = 256
BASE = [
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    # The console speaks for the whole boot, and nobody types there.
    "--customize-hook=rm -f $1/etc/systemd/system/getty.target.wants/*",
]


def packages():
    lines = (HERE / "packages").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def cache_folder():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "hearth" / "vm"


def recipe():
    return [*BASE, f"--include={','.join(packages())}", SUITE]


def archive_path():
    key = hashlib.sha256("\0".join(recipe()).encode()).hexdigest()[:16]
    return cache_folder() / f"base-{key}.tar"


def base_archive():
    """The archive of the base system; made when its recipe or its packages changed."""
    archive = archive_path()
    if archive.exists():
        return archive
    folder = archive.parent
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"unfinished-{os.getpid()}.tar"
    try:
        subprocess.run([*recipe(), unfinished], check=True, stdin=subprocess.DEVNULL)
        for old in folder.glob("base-*.tar"):
            old.unlink()
        unfinished.rename(archive)
    finally:
        unfinished.unlink(missing_ok=True)
    return archive


# hearthd gives up its privileges, and with them the leak checker's right to look at it.
SANITIZED = """[Service]
Environment=UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
Environment=ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:quarantine_size_mb=8
"""


def is_sanitized(build):
    options = json.loads((build / "meson-info/intro-buildoptions.json").read_text())
    return any(each["name"] == "b_sanitize" and each["value"] != "none" for each in options)


def compile_attacks(folder, headers):
    """The guest has no compiler. The names are those that tests/security/frame.py looks for."""
    for side, flags in (("outside", []), ("inside", [f"-I{headers}", "-DINSIDE"])):
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-static", *flags, folder / "attacks.c",
                        "-o", folder / f"attacks-{side}"], check=True)


def install(root, build):
    """Hearth by `meson install`, as README.md tells, and the tests that run inside."""
    subprocess.run(
        ["meson", "install", "-C", build, "--no-rebuild", "--quiet"],
        check=True,
        env=dict(os.environ, DESTDIR=str(root)),
    )
    for folder in ("support", "security", "vm"):
        shutil.copytree(SOURCE / "tests" / folder, root / "opt/hearth/tests" / folder)
    compile_attacks(root / "opt/hearth/tests/security/probes", root / "usr/include/hearth")
    (root / "opt/hearth/tests/vm/only").write_text(os.environ.get("VM_ONLY", ""))
    units = root / "etc/systemd/system"
    shutil.copy(HERE / "hearth-test.service", units)
    if is_sanitized(build):
        (units / "hearthd.service.d").mkdir()
        (units / "hearthd.service.d/sanitized.conf").write_text(SANITIZED)
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "hearth-test.service").symlink_to("../hearth-test.service")
    # The kernel mounts the root, and the tests take the swap: no device is waited for.
    (root / "etc/fstab").write_text("")
    (root / "etc/hostname").write_text("guest\n")
    configuration = root / "etc/hearth/hearth.toml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "hearth.toml", configuration)


def make(folder, build, fill=install):
    """Writes disk.img, swap.img, vmlinuz and initrd.img into the folder; fill(root, build) adds to
    the base system."""
    archive = base_archive()
    with tempfile.TemporaryDirectory(dir=folder, prefix="root-") as name:
        root = pathlib.Path(name)
        root.chmod(0o755)
        subprocess.run(["tar", "-xf", archive, "-C", root, "--numeric-owner"], check=True)
        fill(root, build)
        for kind in ("vmlinuz", "initrd.img"):
            (found,) = (root / "boot").glob(kind + "-*")
            shutil.move(found, folder / kind)
        disk = folder / "disk.img"
        make_disk = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", root]
        subprocess.run([*make_disk, disk, f"{DISK_MB}M"], check=True)
    swap = folder / "swap.img"
    with open(swap, "wb") as file:
        file.truncate(SWAP_MB << 20)
    swap.chmod(0o600)
    subprocess.run(["mkswap", "-q", swap], check=True)
