# SPDX-License-Identifier: Apache-2.0
"""The life of the process: hello, load, ready; then calls, or forks that serve one call each."""

import os
import sys

from hearth_runtime import _hearth, call, channel, failure, load, log, zygote

EXIT_LOAD_FAILED = 1
EXIT_CHANNEL_BROKEN = 2


def run():
    """Never returns: os._exit, so that no thread or exit handler of user code delays the end."""
    status = EXIT_CHANNEL_BROKEN
    try:
        status = _live()
    except (OSError, EOFError, ValueError) as error:
        try:
            print(f"hearth: {error}", file=sys.stderr)
        except Exception:
            pass  # user code closed or replaced sys.stderr
    finally:
        failure.flush()
        os._exit(status)


def _live():
    is_zygote = os.environ.pop("HEARTH_ROLE", "") == "zygote"
    _set_up(is_zygote)
    version = "%d.%d.%d" % sys.version_info[:3]
    channel.send(channel.HELLO, 0, [("runtime", "python3"), ("version", version)])
    meta = channel.receive(channel.LOAD)
    if meta is None:
        return 0
    order = load.Order(meta)
    before = zygote.Before() if is_zygote else None
    try:
        load.prepare(order)
        handler = load.handler(order.handler)
    except failure.Failure as problem:
        failure.send(problem, 0)
        return EXIT_LOAD_FAILED
    call.prepare(handler)
    if order.mode == "process":
        _send_ready([])
        while _hearth.serve_call(channel.CHANNEL):
            pass
        return 0
    return _serve_fresh(handler, order, before)


def _set_up(is_zygote):
    os.set_inheritable(channel.CHANNEL, False)
    if is_zygote:
        os.set_inheritable(channel.FORK_SOCKET, False)
    # Line by line, so that the log of a killed call has what it printed.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    log.set_up_on_import()
    _hearth.protect(not is_zygote)
    if is_zygote:
        call.rehearse()


def _send_ready(notes, fork=False):
    failure.flush()
    pairs = [("fork", "1" if fork else "0")] + [("note", note) for note in notes]
    channel.send(channel.READY, 0, pairs)


def _serve_fresh(handler, order, before):
    """reuse = sandbox: every call gets a process that served none before."""
    if before is not None:
        obstacle = zygote.fork_obstacle()
        if obstacle is None:
            notes = zygote.notes(before, order.task_dir)
            zygote.prepare(handler)
            _send_ready(notes, fork=True)
            _hearth.serve_forks(channel.FORK_SOCKET, channel.CHANNEL)
            return 0
        _send_ready([obstacle])
    else:
        _send_ready([])
    _hearth.serve_call(channel.CHANNEL)
    return 0
