# SPDX-License-Identifier: Apache-2.0
"""Four figures, each a ratio against a floor measured in the same run, floor and Hearth in turn.

Not a test: it judges nothing.

Usage: HEARTH_STAGE=… run.py [--pairs N] [--seconds S]. Needs wrk, bwrap and cc."""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import instance  # noqa: E402

FORWARDER = pathlib.Path(
    os.environ.get("HEARTH_FORWARDER", HERE.parents[1] / "build-check/tests/bench/forwarder")
)
LUA = 'wrk.method = "POST"\nwrk.body = [[%s]]\nwrk.headers["Content-Type"] = "application/json"\n'


def wrk(url, body, connections, seconds):
    """Requests per second, and how many answers were not 2xx."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % body)
        script.flush()
        out = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad:
        raise RuntimeError(f"{bad.group(1)} answers were errors")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def pairs(count, ours, floor):
    """Medians of both and of the ratio pair by pair, with the ratio's spread."""
    rows = []
    for i in range(count):
        first, second = (ours, floor) if i % 2 else (floor, ours)
        a, b = first(), second()
        rows.append((a, b) if i % 2 else (b, a))
    ratios = [a / b for a, b in rows]
    return (
        statistics.median(r[0] for r in rows),
        statistics.median(r[1] for r in rows),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def build_native(folder, source):
    binary = folder / "program"
    subprocess.run(
        ["cc", "-O2", "-static", f"-I{instance.STAGE}/include/hearth", "-o", binary, source],
        check=True,
    )
    return binary.read_bytes()


def warm_native(hearth, folder, options):
    program = build_native(folder, HERE / "echo.c")
    extra = 'reuse = "process"\nconcurrency_max = 8\nmemory_mb = 32\n[http]\n'
    hearth.function("echo", "native", "program", {"program": (program, 0o755)}, extra)
    floor = subprocess.Popen([FORWARDER], stdout=subprocess.PIPE, text=True)
    try:
        port = int(floor.stdout.readline())
        ours = f"http://127.0.0.1:{hearth.port}/fn/default/echo"
        wrk(ours, "x" * 100, 32, 1)
        return pairs(
            options.pairs,
            lambda: wrk(ours, "x" * 100, 32, options.seconds),
            lambda: wrk(f"http://127.0.0.1:{port}/", "x" * 100, 32, options.seconds),
        )
    finally:
        floor.terminate()
        floor.wait()


def fresh_python(hearth, _, options):
    code = (
        "import json\n"
        "def handle(event, context):\n"
        "    return {'sum': sum(json.loads(event['body'])['numbers'])}\n"
    )
    hearth.python("sum", code, 'reuse = "sandbox"\nconcurrency_max = 8\n[http]\n')
    url = f"http://127.0.0.1:{hearth.port}/fn/default/sum"
    body = json.dumps({"numbers": list(range(10))})
    wrk(url, body, 8, 1)

    def floor():
        loops = [
            subprocess.Popen(
                ["/usr/bin/python3", "-I", HERE / "fork_loop.py", str(options.seconds)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        return sum(int(p.communicate()[0]) for p in loops) / options.seconds

    return pairs(options.pairs, lambda: wrk(url, body, 8, options.seconds), floor)


def cold_native(hearth, folder, options):
    """Seconds of a function's first call without a sandbox, against bwrap starting the program."""
    program = build_native(folder, HERE / "echo.c")
    bare = folder / "bare"
    subprocess.run(
        ["cc", "-O2", "-static", "-x", "c", "-o", bare, "-"],
        input=b"int main(void) { return 0; }",
        check=True,
    )
    count = 0

    def ours():
        nonlocal count
        count += 1
        name = f"cold{count}"
        files = {"program": (program + str(count).encode(), 0o755)}
        hearth.function(name, "native", "program", files, "memory_mb = 32\n[http]\n", verify=False)
        begin = time.monotonic()
        status, headers, _ = hearth.http("POST", f"/fn/default/{name}", b"x")
        took = time.monotonic() - begin
        assert status == 200 and headers["hearth-start"] == "cold", (status, headers)
        return took

    def floor():
        begin = time.monotonic()
        subprocess.run(
            [
                "bwrap",
                "--unshare-all",
                "--ro-bind",
                "/usr",
                "/usr",
                "--symlink",
                "usr/lib64",
                "/lib64",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "--tmpfs",
                "/tmp",
                "--ro-bind",
                folder,
                "/task",
                "/task/bare",
            ],
            check=True,
        )
        return time.monotonic() - begin

    return pairs(options.pairs * 6, ours, floor)


def memory(hearth):
    """Resident memory of hearthd with 100 functions, proportional of a parked python sandbox."""
    for i in range(100):
        hearth.shell(f"many{i}", "cat\n", "memory_mb = 16\n[http]\n", verify=False)
    status = pathlib.Path(f"/proc/{hearth.process.pid}/status").read_text()
    daemon_mb = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024
    hearth.http("POST", "/fn/default/sum", b'{"numbers": [1]}')
    time.sleep(0.5)
    pss = []
    for path in hearth.cgroups():
        processes = (path / "cgroup.procs").read_text().split()
        if len(processes) != 3:  # hearth-init, the zygote, the parked child
            continue
        kb = 0
        for pid in processes:
            kb += int(
                re.search(
                    r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M
                ).group(1)
            )
        pss.append(kb / 1024)
    return daemon_mb, statistics.median(pss)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as work, instance.Instance() as hearth:
        pathlib.Path(work).chmod(0o755)
        for name, measure, unit, target in [
            ("warm native echo, 32 connections / bare forwarder", warm_native, "calls/s", ">= 0.5"),
            (
                "fresh-process python, 8 connections / two bare fork loops",
                fresh_python,
                "calls/s",
                ">= 0.6",
            ),
            ("first call of a native function / bwrap", cold_native, "s", "<= 2"),
        ]:
            folder = pathlib.Path(tempfile.mkdtemp(dir=work))
            folder.chmod(0o755)
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            a, b, ratio, low, high = measure(hearth, folder, options)
            rows.append(
                (
                    name,
                    f"{a:.4g} {unit}",
                    f"{b:.4g} {unit}",
                    f"{ratio:.2f}",
                    f"{low:.2f}-{high:.2f}",
                    target,
                )
            )
        daemon_mb, sandbox_mb = memory(hearth)
    print(f"{'figure':58} {'hearth':>16} {'floor':>16} {'ratio':>6} {'spread':>10}  target")
    for row in rows:
        print(f"{row[0]:58} {row[1]:>16} {row[2]:>16} {row[3]:>6} {row[4]:>10}  {row[5]}")
    for name, mb, target in (
        ("hearthd, 100 functions deployed: resident memory", daemon_mb, "< 30 MB"),
        ("a parked python sandbox: proportional memory", sandbox_mb, "< 15 MB"),
    ):
        print(f"{name:58} {mb:>13.1f} MB {'':>16} {'':>6} {'':>10}  {target}")


main()
