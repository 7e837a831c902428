# SPDX-License-Identifier: Apache-2.0
"""The functions of the soak: honest ones in each runtime and reuse mode, and hostile ones.

An honest one answers what it is given. Of a hostile one the outcomes are listed that it may have.
"""

import pathlib
import subprocess
import tempfile

PYTHON = "def handle(event, context):\n    print('got one')\n    return event\n"
NODE = "export const handle = async (event) => { console.log('got one'); return event; };\n"
SHELL = "#!/bin/sh\necho got one >&2\nexec cat\n"
NATIVE = """
#include "hearth.h"
static int handle(const hearth_event* event, hearth_reply* reply) {
  return hearth_write(reply, event->body, event->size);
}
HEARTH_MAIN(handle)
"""
BASE = "timeout_ms = 60000\nconcurrency_max = 4\nmemory_mb = 64\n"
SMALL = "concurrency_max = 2\nmemory_mb = 64\ntmp_mb = 4\nprocesses_max = 16\n"
# Soon, for those that would go on for ever; for the others later than a busy host keeps them.
SOON_MS, LATE_MS = 500, 60000

# name -> (what it does, the outcomes that it may have)
HOSTILE = {
    "spins": ("while True: pass", {"timeout", "cpu_exceeded"}),
    "hides": ("for n in range(8):\n        if os.fork() == 0:\n            os.setsid()\n"
              "            for s in range(1, 32):\n"
              "                if s not in (9, 19): signal.signal(s, signal.SIG_IGN)\n"
              "            time.sleep(1000)\n    time.sleep(1000)", {"timeout"}),
    "forks": ("while True:\n        try: os.fork()\n        except OSError: pass",
              {"timeout", "processes_exceeded", "out_of_memory", "crashed"}),
    "aborts": ("os.abort()", {"crashed"}),
    "exits": ("os._exit(3)", {"crashed"}),
    "floods": ("while True: os.write(1, b'x' * 65536)", {"timeout", "log_exceeded"}),
    "garbles": ("os.write(3, os.urandom(4096)); time.sleep(1000)",
                {"bad_reply", "timeout", "crashed"}),
    "fills": ("open('/tmp/f', 'wb').write(b'x' * (8 << 20))", {"tmp_exceeded", "function_error"}),
    "raises": ("raise ValueError('no')", {"function_error"}),
    "shouts": ("return 'x' * (8 << 20)", {"output_exceeded", "timeout", "out_of_memory",
                                          "function_error"}),
}


def compile_native(include):
    with tempfile.TemporaryDirectory() as folder:
        source, out = pathlib.Path(folder) / "f.c", pathlib.Path(folder) / "f"
        source.write_text(NATIVE)
        subprocess.run(["cc", "-O1", "-static", f"-I{include}", "-o", out, source], check=True)
        return out.read_bytes()


def manifest(name, runtime, handler, rest, reuse):
    return (f'name = "{name}"\nruntime = "{runtime}"\nhandler = "{handler}"\n{rest}'
            f'reuse = "{reuse}"\n[http]\n')


def honest(include):
    """name -> files; one for each runtime and reuse mode."""
    kinds = {"python3": ("app.handle", {"app.py": PYTHON}),
             "nodejs": ("index.handle", {"index.mjs": NODE}),
             "exec": ("run", {"run": (SHELL, 0o755)}),
             "native": ("run", {"run": (compile_native(include), 0o755)})}
    out = {}
    for runtime, (handler, files) in kinds.items():
        for reuse in ("never", "sandbox", "process"):
            if (runtime, reuse) == ("exec", "process"):
                continue  # a program of this runtime serves one call
            name = f"{runtime}-{reuse}"
            out[name] = {"function.toml": manifest(name, runtime, handler, BASE, reuse), **files}
    return out


def hostile():
    """name -> files; the reuse mode changes from one to the next."""
    out = {}
    for number, (name, (body, outcomes)) in enumerate(HOSTILE.items()):
        limits = f"timeout_ms = {SOON_MS if 'timeout' in outcomes else LATE_MS}\n{SMALL}"
        code = f"import os, signal, time\ndef handle(event, context):\n    {body}\n"
        reuse = ("never", "sandbox", "process")[number % 3]
        out[name] = {"function.toml": manifest(name, "python3", "app.handle", limits, reuse),
                     "app.py": code}
    return out
