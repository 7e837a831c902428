# SPDX-License-Identifier: Apache-2.0
"""What the figures were measured on."""

import datetime
import json
import os
import pathlib
import platform
import re
import subprocess


def _first(command, pattern=r"(\S.*)"):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    found = re.search(pattern, done.stdout)
    return found.group(1) if found and done.returncode == 0 else "unknown"


def _processor():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*: (.*)", text)
    return found.group(1) if found else platform.machine()


def _build(folder):
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", folder],
                                        capture_output=True, check=True).stdout)
    value = {each["name"]: each["value"] for each in options}
    return f"{value['buildtype']}, -O{value['optimization']}"


def describe(stage, build, limits):
    memory_kb = int(re.search(r"MemTotal:\s+(\d+)",
                              pathlib.Path("/proc/meminfo").read_text()).group(1))
    version = ["pkg-config", "--modversion"]
    root = pathlib.Path(__file__).resolve().parents[2]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _first(["git", "-C", root, "describe", "--always", "--dirty"]),
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory_kb / 2**20, 1),
        "limits": limits,
        "build": _build(build),
        "hearth": _first([stage / "sbin/hearthd", "--version"], r"(\d\S*)"),
        "libuv": _first([*version, "libuv"]),
        "python": platform.python_version(),
        "node": _first(["/usr/bin/node", "--version"]),
        "compiler": _first(["c++", "--version"]),
    }
