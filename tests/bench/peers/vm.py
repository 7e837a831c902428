#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Hearth with Zygo, which needs cgroup v2 controllers, in the virtual machine of tests/vm.

    vm STAGE [--pairs N] [--seconds S] [--favordynmods] [--json FILE]

STAGE is an installation of Hearth; it comes into the machine under the path that it has here. The
machine is emulated and everything in it slow, so that only the ratios mean something. Of N pairs
those count in which nobody else used the host; five at least."""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[2]
sys.path[:0] = [str(HERE), str(SOURCE / "tests/vm")]
import image  # noqa: E402
import peer  # noqa: E402
import run  # noqa: E402
import zygo  # noqa: E402

LIMIT_S = 1500
PAIRS_MIN = 5
OTHERS_MAX = 0.10  # of the host's processors; a round in which others had more does not count
SPREAD_MAX = 0.20  # the distance of the ratios' quartiles, as a part of their median
INSIDE = pathlib.Path("opt/bench")
ROWS = [
    # (what, connections, number, what issue 4 of the project asks for)
    ("p50, 1 connection, us", 1, "p50", "<= 0.6"),
    ("calls/s, 4 connections", 4, "rate", ">= 1.5"),
    ("p99, 1 connection, us", 1, "p99", "<= 0.5"),
    ("p99, 4 connections, us", 4, "p99", "<= 0.5"),
]
UNIT = """[Unit]
Description=Hearth beside Zygo
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -B -u /{inside}/peers/vm_guest.py {stage} {pairs} {seconds} {mount}
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=infinity
"""


def fill(root, stage, options):
    """Everything that the machine needs beside its base system."""
    inside = root / INSIDE
    shutil.copytree(HERE, inside / "peers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SOURCE / "tests/support", inside / "support")
    shutil.copytree(stage, root / stage.relative_to("/"), symlinks=True)
    program = zygo.program(inside / "cache")
    program.parent.mkdir(parents=True)
    shutil.copy(zygo.program(peer.cache_folder()), program)
    shutil.copy("/usr/bin/wrk", root / "usr/bin")
    for library in pathlib.Path("/usr/lib/x86_64-linux-gnu").glob("libluajit-5.1.so.2*"):
        shutil.copy(library, root / "usr/lib/x86_64-linux-gnu", follow_symlinks=False)
    mount = "favordynmods" if options.favordynmods else ""
    text = UNIT.format(inside=INSIDE, stage=stage, pairs=options.pairs, seconds=options.seconds,
                       mount=mount)
    unit = root / "etc/systemd/system/hearth-bench.service"
    unit.write_text(text)
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


def boot(folder):
    """What the guest wrote to its second serial line, line by line as it comes, each with what
    others had of the processors since the line before."""
    results, read = folder / "results", 0
    machine = subprocess.Popen(run.qemu(folder), stdin=subprocess.DEVNULL)
    begin, busy = time.monotonic(), Busy(machine.pid)
    try:
        while True:
            ended = machine.poll() is not None or time.monotonic() - begin > LIMIT_S
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


def quiet(results, connections):
    """The rounds, as pairs, in which the machine had the host for itself."""
    for ours, theirs in zip(results["hearth"][connections], results["zygo"][connections]):
        if max(ours["others"], theirs["others"]) <= OTHERS_MAX:
            yield ours, theirs


def table(results):
    """{side: {connections: [{number: value} of each round]}} as rows."""
    rows = []
    for what, connections, number, bound in ROWS:
        pairs = list(quiet(results, connections))
        if len(pairs) < PAIRS_MIN:
            rows.append({"figure": what, "pairs": len(pairs), "bound": bound, "ratio": None,
                         "verdict": "withheld: others used the host"})
            continue
        ours, theirs = ([each[side][number] for each in pairs] for side in (0, 1))
        ratios = [a / b for a, b in zip(ours, theirs)]
        rows.append({
            "figure": what,
            "hearth": statistics.median(ours),
            "zygo": statistics.median(theirs),
            "ratio": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
            "pairs": len(ratios),
            "bound": bound,
            "verdict": verdict(ratios, bound),
        })
    return rows


def verdict(ratios, bound):
    """Withheld when the rounds lie far apart and on both sides of the bound."""
    sign, limit = bound.split()
    holds = [each <= float(limit) if sign == "<=" else each >= float(limit) for each in ratios]
    quarters = statistics.quantiles(ratios, n=4, method="inclusive")
    apart = (quarters[2] - quarters[0]) / quarters[1]
    if apart > SPREAD_MAX and len(set(holds)) > 1:
        return "withheld"
    return "met" if sum(holds) * 2 > len(holds) else "not met"


def show(rows):
    line = "{:24} {:>9} {:>9} {:>6} {:>10}  {:7} {}"
    print(line.format("in the machine", "hearth", "zygo", "ratio", "spread", "asked", "verdict"))
    for row in rows:
        if row["ratio"] is None:
            print(line.format(row["figure"], "", "", "", "", row["bound"], row["verdict"]))
            continue
        spread = f"{row['low']:.2f}-{row['high']:.2f}"
        ours, theirs = f"{row['hearth']:.1f}", f"{row['zygo']:.1f}"
        ratio = f"{row['ratio']:.2f}"
        words = row["bound"], row["verdict"]
        print(line.format(row["figure"], ours, theirs, ratio, spread, *words))


def measure(stage, options):
    zygo.fetch(peer.cache_folder())
    results = {"hearth": {1: [], 4: []}, "zygo": {1: [], 4: []}}
    ended = False
    with tempfile.TemporaryDirectory(prefix="hearth-vm-") as name:
        folder = pathlib.Path(name)
        image.make(folder, stage, lambda root, _: fill(root, stage, options))
        for text, others in boot(folder):
            word, _, rest = text.partition(" ")
            if word == "result":
                result = {**json.loads(rest), "others": others}
                results[result["side"]][result["connections"]].append(result)
            elif word == "end":
                ended = True
            print(f"{others:4.0%} {text.rstrip()}", file=sys.stderr, flush=True)
        if not ended:
            run.console_tail(folder / "console")
            raise SystemExit("the machine stopped before its measurements ended")
    return table(results)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--favordynmods", action="store_true",
                        help="mount the cgroups as Zygo's doctor advises, for both")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    rows = measure(options.stage.resolve(), options)
    show(rows)
    if options.json:
        about = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "hearth": peer.first_number(peer.run(options.stage / "bin/hearth", "--version")),
            "zygo": zygo.VERSION,
            "machine": "qemu, emulated, 2 processors, Debian 12, hearthd with strict limits",
            "favordynmods": options.favordynmods,
            "seconds": options.seconds,
        }
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
