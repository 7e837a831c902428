# SPDX-License-Identifier: Apache-2.0
"""The client of every figure over HTTP: wrk with one thread, which tells its numbers as JSON."""

import json
import pathlib
import subprocess
import tempfile

# What is not a success is counted apart by wrk only above 399; a 3xx never comes here.
SCRIPT = """
local body = %(body)s
wrk.method = %(method)s
wrk.headers["Content-Type"] = "application/json"
%(more)s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n@{"requests":%%d,"us":%%d,"p50":%%d,"p90":%%d,"p99":%%d,'
    .. '"max":%%d,"status":%%d,"connect":%%d,"read":%%d,"write":%%d,"timeout":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(90), latency:percentile(99), latency.max,
    e.status, e.connect, e.read, e.write, e.timeout))
end
"""
ONE = "wrk.body = body"
TURN = """
local paths, requests, at = {%s}, {}, 0
function init()
  for i, path in ipairs(paths) do requests[i] = wrk.format(nil, path, nil, body) end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
"""
PAUSE = "function delay() return %d end"


class Refused(Exception):
    """Answers that were no success, or connections that broke: no figure comes from them."""


def quote(text):
    return "[==[" + text + "]==]"


def wrk(url, body, connections, seconds, paths=(), pause_ms=0, method="POST", limit_s=30,
        allow_closed=False):
    """Rate, latencies in microseconds, and bytes of bodies per second, each way.

    body is text, or a path to a file with it. With paths, the requests take them in turn. With
    pause_ms, a connection rests so long before each request; the pause is no part of a latency."""
    if isinstance(body, pathlib.Path):
        size = body.stat().st_size
        body_lua = f'assert(io.open({quote(str(body))}, "rb")):read("*a")'
    else:
        size = len(body)
        body_lua = quote(body)
    more = TURN % ", ".join(quote(path) for path in paths) if paths else ONE
    if pause_ms:
        more += "\n" + PAUSE % pause_ms
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % {"body": body_lua, "method": quote(method), "more": more})
        script.flush()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s",
             f"--timeout={limit_s}s", "-s", script.name, url],
            capture_output=True, text=True, check=False)
    line = next((each for each in done.stdout.splitlines() if each.startswith("@")), None)
    if done.returncode != 0 or line is None:
        raise Refused(f"wrk {url}: {done.stdout[-500:]}{done.stderr[-500:]}")
    counts = json.loads(line[1:])
    kinds = ("status", "connect", "read", "write", "timeout")
    bad = {kind: counts[kind] for kind in kinds
           if counts[kind] and not (allow_closed and kind == "read")}
    if bad or not counts["requests"]:
        raise Refused(f"{url}: of {counts['requests']} answers not well: {bad}")
    took_s = counts["us"] / 1e6
    return {"rate": counts["requests"] / took_s, "p50": counts["p50"], "p90": counts["p90"],
            "p99": counts["p99"], "max": counts["max"],
            "bytes": size * counts["requests"] / took_s}
