# SPDX-License-Identifier: Apache-2.0
"""What a call needs of Python: serve.c does the usual, these functions what is rare."""

import json
import sys
from types import CoroutineType as Coroutine  # noqa: F401  (serve.c asks for it)

from hearth_runtime import _hearth, channel, failure, web
from hearth_runtime.context import Context


def prepare(handler):
    """Every call goes to this handler."""
    name = getattr(Context, "function_name", "")
    _hearth.prepare_calls(handler, Context, name, sys.modules[__name__], web)


def rehearse():
    """Runs what every call runs, so that the interpreter is done adapting the code to its use and
    has looked up the C library's symbols.

    In a child each such change would copy a page.
    """
    from _socket import socketpair

    ours, theirs = socketpair()
    cli = b"request_id\0-\0deadline_ms\0001\0trigger\0cli\0"
    http = cli.replace(b"cli", b"http")
    http += b"path\0/\0query\0a=1\0h:host\0localhost\0h:content-type\0text/plain\0"
    simple = lambda event, context: event  # noqa: E731
    full = lambda event, context: {  # noqa: E731
        "statusCode": 200,
        "headers": {"content-type": "text/plain", "x-some": "header"},
        "body": "text",
    }
    for handler, meta in [(simple, cli), (simple, http), (full, http)] * 10:
        prepare(handler)
        _hearth.send(ours.fileno(), channel.CALL, 0, meta, b'{"a": 1}')
        _hearth.serve_call(theirs.fileno())
        _hearth.recv(ours.fileno())
    ours.close()
    theirs.close()


def decode(body):
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        message = f"Unable to unmarshal input: {error}"
        raise failure.Failure("function_error", "Runtime.UnmarshalError", message) from None


def encode_slow(result):
    try:
        text = _encoder.encode(result)
    except BaseException as error:  # also from an object that only looks like a dict
        raise _bad_reply(error) from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(json.loads(text)).encode()  # a lone surrogate can only be an escape


def answer(result):
    """(meta, body) for what a handler of an HTTP call returned."""
    try:
        pairs, body = web.answer(result, encode_slow)
        return channel.pack(pairs), body
    except failure.Failure:
        raise
    except BaseException as error:
        raise _bad_reply(error) from None


def wait(coroutine):
    import asyncio

    return asyncio.run(coroutine)


def fail(error, by_handler, call):
    """Sends the error frame. What neither the handler nor its answer did is not this call's."""
    if by_handler:
        message = None
        if isinstance(error, SystemExit):
            message = f"Runtime.ExitError: the handler exited with status {error}"
        error = failure.from_exception("function_error", error, message=message)
    if not isinstance(error, failure.Failure):
        raise error
    failure.send(error, call)


def _bad_reply(error):
    message = f"Unable to marshal response: {error}"
    return failure.from_exception("bad_reply", error, "Runtime.MarshalError", message)


def _number(value):
    """Decimals, which database clients return, are numbers in the answer."""
    if type(value).__module__ == "decimal" and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_number)
scan = json.JSONDecoder().scan_once


def _fast_encoder():
    """The encoder's C part, made once and not anew for each object. It does not look for circles:
    those end in a RecursionError, and encode_slow says what is wrong."""
    make, text = json.encoder.c_make_encoder, json.encoder.encode_basestring
    if make is None:
        return lambda result, level: [_encoder.encode(result)]
    return make(None, _number, text, None, ": ", ", ", False, False, False)


encode = _fast_encoder()
