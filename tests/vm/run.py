# SPDX-License-Identifier: Apache-2.0
"""Boots the guest once and tells, one line each, how the tests inside it ended.

    run.py BUILD      a meson build folder, configured with --prefix=/usr

VM_ONLY="guest_first guest_reads" runs these files only; VM_KEEP=FOLDER keeps what the guest said.
Lines begin with `ok` or `FAIL`; status 1 when any failed, or when the guest did not end by itself.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import image

# From nothing but a build to the last test: with the base system in the cache, and without. An idle
# host takes about half. VM_SECONDS is for who looks for something in a slower one.
CACHED_S, WHOLE_S = 600, 900
MEMORY_MB = 2048
CONSOLE_LINES = 60
# Of no use to a machine that lives for some minutes, and seconds of its start.
UNUSED = [
    *("e2scrub_reap.service", "systemd-logind.service", "systemd-binfmt.service"),
    *("serial-getty@ttyS0.service", "getty@tty1.service", "systemd-update-utmp-runlevel.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "systemd-tmpfiles-clean.timer", "dev-hugepages.mount"),
    *("modprobe@drm.service", "modprobe@efi_pstore.service", "modprobe@loop.service"),
    *("modprobe@dm_mod.service", "modprobe@fuse.service", "sys-kernel-debug.mount"),
]
KERNEL_OPTIONS = [
    *("root=/dev/vda", "rw", "console=ttyS0", "quiet", "panic=-1", "systemd.show_status=true"),
    "no_timer_check",  # on a busy host the check fails, and the kernel stops with it
    *(f"systemd.mask={unit}" for unit in UNUSED),
]


def qemu(folder, accelerator="tcg,thread=multi"):
    disk = "file={},format=raw,if=virtio,cache=unsafe"
    return [
        "qemu-system-x86_64",
        *("-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MB)),
        *("-kernel", folder / "vmlinuz", "-initrd", folder / "initrd.img"),
        *("-append", " ".join(KERNEL_OPTIONS)),
        *("-drive", disk.format(folder / "disk.img")),
        *("-drive", disk.format(folder / "swap.img")),
        *("-serial", f"file:{folder / 'console'}", "-serial", f"file:{folder / 'results'}"),
        *("-nodefaults", "-display", "none", "-no-reboot"),
    ]


class Results:
    """What the guest wrote to its second serial line, as far as it is whole lines."""

    def __init__(self, path):
        self.path, self.read = path, 0
        self.running, self.failed, self.ended = None, 0, False

    def follow(self):
        text = self.path.read_bytes()[self.read :] if self.path.exists() else b""
        end = text.rfind(b"\n") + 1
        self.read += end
        for line in text[:end].decode(errors="replace").splitlines():
            self.take(line.rstrip("\r"))

    def take(self, line):
        word, _, rest = line.partition(" ")
        if word == "begin":
            self.running = rest
        elif word == "end":
            self.ended = True
        elif word in ("ok", "FAIL"):
            self.running = None
            self.failed += word == "FAIL"
            print(f"{word:<4}  vm: {rest}", flush=True)
        else:
            print(f"      {line}", flush=True)


def console_tail(path):
    text = path.read_text(errors="replace") if path.exists() else "(no console)"
    for line in text.splitlines()[-CONSOLE_LINES:]:
        print(f"      {line.rstrip()}")


def boot(folder, limit_s):
    """One boot from power on to power off; returns the number of failures."""
    results = Results(folder / "results")
    machine = subprocess.Popen(qemu(folder), stdin=subprocess.DEVNULL)
    begin = time.monotonic()
    try:
        while machine.poll() is None and time.monotonic() - begin < limit_s:
            time.sleep(0.2)
            results.follow()
        late = machine.poll() is None
    finally:
        machine.kill()
        machine.wait()
    results.follow()
    seconds = int(time.monotonic() - begin)
    if results.ended and not late and results.failed == 0:
        print(f"ok    vm: boot to power off ({seconds} s)")
        return 0
    why = f"no end within {limit_s:.0f} s" if late else "see above"
    if not late and not results.ended:
        why = "the machine stopped before its tests ended"
    if results.running:
        why += f", in {results.running}"
    print(f"FAIL  vm: boot to power off ({seconds} s): {why}")
    console_tail(folder / "console")
    return results.failed + 1


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    # Whoever is stopped stops the machine, too, and removes its disk.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(dir=build, prefix="vm-") as name:
        folder = pathlib.Path(name)
        begin = time.monotonic()
        whole_s = CACHED_S if image.archive_path().exists() else WHOLE_S
        image.make(folder, build)
        made_s = time.monotonic() - begin
        print(f"      the disk was made in {made_s:.0f} s", flush=True)
        failed = boot(folder, float(os.environ.get("VM_SECONDS", whole_s - made_s)))
        keep = os.environ.get("VM_KEEP")
        if keep:
            for name in ("console", "results"):
                pathlib.Path(keep, name).write_bytes((folder / name).read_bytes())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
