# SPDX-License-Identifier: Apache-2.0
"""Hearth beside Zygo, which needs cgroup v2 controllers, in the virtual machine of tests/vm.

The machine is emulated and everything in it slow, so that only ratios mean something."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import peer
import zygo

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[2]
sys.path.insert(0, str(SOURCE / "tests/vm"))
import image  # noqa: E402
import run  # noqa: E402

BOOT_LIMIT_S = 300
PART_LIMIT_S = 30  # of a measurement, beside its seconds
SPARE = 3  # rounds more than wanted: those in which others used the host do not count
OTHERS_MAX = 0.10  # of the host's processors, in a round
INSIDE, STAGE = pathlib.Path("opt/bench"), pathlib.Path("opt/hearth")
UNIT = """[Unit]
Description=Hearth beside Zygo
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -B -u /{inside}/peers/vm_guest.py /{stage} {rounds} {seconds}
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=infinity
"""


def fill(root, stage, rounds, seconds):
    """Everything that the machine needs beside its base system."""
    inside = root / INSIDE
    shutil.copytree(HERE, inside / "peers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SOURCE / "tests/support", inside / "support")
    shutil.copytree(stage, root / STAGE, symlinks=True)
    program = zygo.program(inside / "cache")
    program.parent.mkdir(parents=True)
    shutil.copy(zygo.program(peer.cache_folder()), program)
    shutil.copy("/usr/bin/wrk", root / "usr/bin")
    for library in pathlib.Path("/usr/lib/x86_64-linux-gnu").glob("libluajit-5.1.so.2*"):
        shutil.copy(library, root / "usr/lib/x86_64-linux-gnu", follow_symlinks=False)
    unit = root / "etc/systemd/system/hearth-bench.service"
    unit.write_text(UNIT.format(inside=INSIDE, stage=STAGE, rounds=rounds, seconds=seconds))
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / unit.name).symlink_to(f"../{unit.name}")
    (root / "etc/fstab").write_text("")
    (root / "etc/hostname").write_text("guest\n")


class Busy:
    """What part of the host's processors others than the machine had since the last question."""

    def __init__(self, pid):
        self.pid, self.last = pid, None
        self.others()

    def others(self):
        host = [int(each) for each in pathlib.Path("/proc/stat").read_text().split()[1:9]]
        machine = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        idle = host[3] + host[4]
        now = sum(host), sum(host) - idle - int(machine[11]) - int(machine[12])
        total, busy = (a - b for a, b in zip(now, self.last or (0, 0)))
        self.last = now
        return busy / max(total, 1)


def boot(folder, limit_s):
    """What the guest wrote to its second serial line, line by line as it comes, each with what
    others had of the processors since the line before."""
    results, read = folder / "results", 0
    machine = subprocess.Popen(run.qemu(folder), stdin=subprocess.DEVNULL)
    begin, busy = time.monotonic(), Busy(machine.pid)
    try:
        while True:
            ended = machine.poll() is not None or time.monotonic() - begin > limit_s
            text = results.read_bytes()[read:] if results.exists() else b""
            end = text.rfind(b"\n") + 1
            read += end
            for line in text[:end].decode(errors="replace").splitlines():
                yield line, 0 if ended else busy.others()
            if ended:
                return
            time.sleep(0.2)
    finally:
        machine.kill()
        machine.wait()


def measured(stage, rounds, seconds, note):
    """[(side, its numbers, what others had meanwhile)] in the order of the guest's report."""
    found, ended = [], False
    limit_s = BOOT_LIMIT_S + 4 * rounds * (seconds + PART_LIMIT_S)
    with tempfile.TemporaryDirectory(prefix="hearth-vm-") as name:
        folder = pathlib.Path(name)
        image.make(folder, stage, lambda root, _: fill(root, stage, rounds, seconds))
        for text, others in boot(folder, limit_s):
            note(f"in the machine, {others:.0%} of this one others': {text.rstrip()}")
            word, _, rest = text.partition(" ")
            if word == "result":
                result = json.loads(rest)
                found.append((result.pop("side"), result, others))
            ended = ended or word == "end"
        if not ended:
            run.console_tail(folder / "console")
            raise RuntimeError("the machine stopped before its measurements ended")
    return found


def compared(stage, rounds, seconds, note):
    """{side: [its numbers in each round]}: `rate_N`, `p50_N`, `p99_N` with N connections, which are
    1 and 4."""
    for program in ("/usr/bin/qemu-system-x86_64", "/usr/bin/mmdebstrap", "/usr/bin/wrk"):
        if not pathlib.Path(program).exists():
            raise peer.Unavailable(f"the virtual machine needs {program}")
    zygo.fetch(peer.cache_folder())
    found = measured(stage, rounds + SPARE, seconds, note)
    sides = {side: [each for each in found if each[0] == side] for side in ("hearth", "peer")}
    quiet = [pair for pair in zip(*sides.values())
             if max(others for _, _, others in pair) <= OTHERS_MAX]
    if len(quiet) < rounds:
        raise peer.Unavailable(f"others used this host in {rounds + SPARE - len(quiet)} of "
                               f"{rounds + SPARE} rounds in the virtual machine")
    return {side: [pair[i][1] for pair in quiet[:rounds]] for i, side in enumerate(sides)}
