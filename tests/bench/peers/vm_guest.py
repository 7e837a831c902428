# SPDX-License-Identifier: Apache-2.0
"""Inside the machine: Hearth and Zygo serve the same python function, wrk calls them in turn.

Each is in a cgroup of its own with every controller, as its documentation asks: hearthd as root in
a delegated scope, Zygo as an ordinary user in a delegated service. Usage: STAGE ROUNDS SECONDS."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
os.environ["HEARTH_STAGE"] = sys.argv[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
import instance  # noqa: E402
import zygo  # noqa: E402

REPORT = "/dev/ttyS1"
BODY = json.dumps({"numbers": list(range(10))})
LUA = 'wrk.method = "POST"\nwrk.body = [[%s]]\nwrk.headers["Content-Type"] = "application/json"\n'
CODE = (
    "import json\n"
    "def handle(event, context):\n"
    "    return {'sum': sum(json.loads(event['body'])['numbers'])}\n"
)
CALLS_TO_SETTLE = 10
SCALE = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}
SCOPE = ["systemd-run", "--quiet", "--scope", "--property=Delegate=yes"]
USER = "zygo"
HOME, RUNTIME = pathlib.Path("/var/lib/zygo"), pathlib.Path("/run/zygo")
SERVICE = [
    *("systemd-run", "--quiet", "--collect", "--pipe", "--wait", "--service-type=exec"),
    *(f"--property=User={USER}", "--property=Delegate=yes"),
    *(f"--setenv=HOME={HOME}", f"--setenv=XDG_RUNTIME_DIR={RUNTIME}"),
]


def command(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def wrk(url, connections, seconds):
    """Calls per second, and the latency's percentiles in microseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % BODY)
        script.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s"]
        argv = ["wrk", *options, "-s", script.name, url]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", text)
    if bad:
        raise RuntimeError(f"{url}: {bad.group()}")
    numbers = {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))}
    for part in ("50", "99"):
        value, unit = re.search(rf"{part}%\s+([\d.]+)(us|ms|s|m)\s", text).groups()
        numbers["p" + part] = float(value) * SCALE[unit]
    return numbers


def call(url):
    request = urllib.request.Request(url, BODY.encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=120).read().decode().strip()[:600]


def settle(url, connections):
    """Calls that end by themselves. When wrk ends, it leaves its last calls; both then end what ran
    them, and the next measurement would begin with what was left."""
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        list(pool.map(call, [url] * connections * CALLS_TO_SETTLE))


@contextlib.contextmanager
def hearth():
    instance.START_LIMIT_S = 300
    command("useradd", "--system", "--home-dir", "/", "--shell", "/usr/sbin/nologin", "hearth")
    config = "[deploy]\nload_timeout_ms = 120000\n"
    with instance.Instance(config, limits="strict", wrapper=SCOPE) as served:
        extra = 'reuse = "sandbox"\nconcurrency_max = 8\ntimeout_ms = 30000\n[http]\n'
        served.python("sum", CODE, extra)
        yield f"http://127.0.0.1:{served.port}/fn/default/sum"


@contextlib.contextmanager
def forked_by_zygo():
    command("useradd", "--system", "--home-dir", HOME, "--shell", "/bin/sh", USER)
    for folder in (HOME, RUNTIME, HOME / "sum"):
        folder.mkdir()
        shutil.chown(folder, USER, USER)
    with zygo.serve(HERE.parent / "cache", HOME / "sum", SERVICE) as url:
        yield url


def measure(report, rounds, seconds):
    with hearth() as ours, forked_by_zygo() as theirs:
        sides = {"hearth": ours, "peer": theirs}
        for side, url in sides.items():
            report(f"note {side} answers {call(url)}")
            wrk(url, 4, 3)
        for number in range(rounds):
            for side in sorted(sides, reverse=number % 2 == 1):
                numbers = {"side": side}
                for connections in (1, 4):
                    settle(sides[side], connections)
                    found = wrk(sides[side], connections, seconds)
                    numbers |= {f"{name}_{connections}": each for name, each in found.items()}
                report("result " + json.dumps(numbers))


def main():
    with open(REPORT, "w") as line:

        def report(text):
            line.write(text + "\n")
            line.flush()

        try:
            measure(report, int(sys.argv[2]), int(sys.argv[3]))
            report("end")
        except BaseException as error:
            for part in traceback.format_exception(error):
                for text in part.rstrip().splitlines():
                    report(f"note {text[:1500]}")


main()
