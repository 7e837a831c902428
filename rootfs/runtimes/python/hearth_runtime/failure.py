# SPDX-License-Identifier: Apache-2.0
"""Exceptions of user code, as *error* frames and in the function's log."""

import os
import sys

from hearth_runtime import channel

TYPE_BYTES_MAX = 256
MESSAGE_BYTES_MAX = 8 * 1024
STACK_BYTES_MAX = 32 * 1024
FRAMES_MAX = 100  # per exception of a chain: the newest ones

_here = os.path.dirname(os.path.abspath(__file__)) + os.sep
_bootstrap = os.path.join(os.path.dirname(_here[:-1]), "bootstrap.py")


class Failure(Exception):
    """What user code did wrong where no exception of its own says so."""

    def __init__(self, kind, error_type, message, stack=""):
        super().__init__(message)
        self.kind, self.type, self.message, self.stack = kind, error_type, message, stack


def from_exception(kind, error, error_type=None, message=None):
    """A Failure that tells what `error` says, with the frames of user code only."""
    if message is None:
        try:
            message = str(error)
        except Exception:
            message = "<no text: str() of the exception failed>"
    return Failure(kind, error_type or type(error).__name__, message, _stack(error))


def send(failure, call):
    """Tells the log, then hearthd."""
    try:
        print(f"[ERROR] {failure.type}: {failure.message}", file=sys.stderr)
        if failure.stack:
            print(failure.stack.rstrip("\n"), file=sys.stderr)
    except Exception:
        pass  # user code closed or replaced sys.stderr: the frame says it all
    flush()
    channel.send(
        channel.ERROR,
        call,
        [
            ("kind", failure.kind),
            ("type", _bounded(failure.type, TYPE_BYTES_MAX)),
            ("message", _bounded(failure.message, MESSAGE_BYTES_MAX)),
            ("stack", _bounded_tail(failure.stack, STACK_BYTES_MAX)),
        ],
    )


def flush():
    """The log of a call is complete before its answer leaves."""
    _flush(sys.stdout)
    _flush(sys.stderr)
    if sys.stdout is not sys.__stdout__:
        _flush(sys.__stdout__)
    if sys.stderr is not sys.__stderr__:
        _flush(sys.__stderr__)


def _flush(stream):
    try:
        stream.flush()
    except Exception:
        pass  # closed or replaced by user code


def _stack(error):
    try:
        # Not at the top: each child would copy its page tables, and few calls fail.
        import traceback

        described = traceback.TracebackException(
            type(error), error, error.__traceback__, limit=-FRAMES_MAX, compact=True
        )
        _keep_user_frames(described)
        return "".join(described.format())
    except Exception:
        return ""  # a hostile exception; its type still says something


def _keep_user_frames(described):
    seen = set()
    waiting = [described]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if _is_user_code(frame.filename)]
        waiting += [one.__cause__, one.__context__]


def _is_user_code(filename):
    if filename.startswith("<frozen importlib"):
        return False
    if filename.startswith(os.path.dirname(os.__file__) + "/importlib/"):
        return False
    return not filename.startswith(_here) and filename != _bootstrap


def _bounded(text, bytes_max):
    data = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    return data[:bytes_max].decode("utf-8", "ignore")


def _bounded_tail(text, bytes_max):
    """Of a long stack the end tells most."""
    data = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    return data[-bytes_max:].decode("utf-8", "ignore")
