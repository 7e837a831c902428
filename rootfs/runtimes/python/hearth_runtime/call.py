# SPDX-License-Identifier: Apache-2.0
"""One call: its event, the handler, its answer."""

import json
from types import CoroutineType

from hearth_runtime import channel, failure, web
from hearth_runtime.context import Context


def serve(frame, handler):
    """Answers with exactly one *reply* or *error*, after the call's log is flushed."""
    try:
        pairs, body = _run(frame, handler)
    except failure.Failure as problem:
        failure.send(problem, frame.call)
        return
    failure.flush()
    channel.send(channel.REPLY, frame.call, pairs, body)


def rehearse():
    """Runs what every call runs, so that the interpreter is done adapting the code to its use.

    In a child each such change would copy a page.
    """
    by_cli = b"request_id\0-\0deadline_ms\0" + b"1\0trigger\0cli\0"
    by_http = by_cli.replace(b"cli", b"http") + b"path\0/\0query\0a=1\0h:host\0localhost\0"
    for meta in [by_cli, by_http] * 10:
        _run(channel.Frame((channel.CALL, 0, 0, meta, b'{"a": 1}')), lambda event, context: event)
    Context.current_request_id = ""
    failure.flush()


def _run(frame, handler):
    pairs = channel.text_pairs(frame.meta)
    meta = dict(pairs)
    context = Context(meta.get("request_id", ""), int(meta.get("deadline_ms", 0)))
    by_http = meta.get("trigger") == "http"
    event = web.event(pairs, frame.body) if by_http else _json_event(frame.body)
    frame.body = frame.meta = None  # user code may need the memory
    result = _handle(handler, event, context)
    del event
    try:
        if by_http:
            return web.answer(result, _encode)
        return [("content_type", "application/json")], _encode(result)
    except failure.Failure:
        raise
    except BaseException as error:  # from an object that only looks like a dict, or no memory
        raise _bad_reply(error) from None


def _json_event(body):
    if not body:
        return {}
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        message = f"Unable to unmarshal input: {error}"
        raise failure.Failure("function_error", "Runtime.UnmarshalError", message) from None


def _handle(handler, event, context):
    try:
        result = handler(event, context)
        if isinstance(result, CoroutineType):
            import asyncio

            result = asyncio.run(result)
        return result
    except SystemExit as error:
        message = f"Runtime.ExitError: the handler exited with status {error}"
        raise failure.from_exception("function_error", error, message=message) from None
    except BaseException as error:
        raise failure.from_exception("function_error", error) from None


def _encode(result):
    try:
        text = _encoder.encode(result)
    except Exception as error:
        raise _bad_reply(error) from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(json.loads(text)).encode()  # a lone surrogate can only be an escape


def _bad_reply(error):
    message = f"Unable to marshal response: {error}"
    return failure.from_exception("bad_reply", error, "Runtime.MarshalError", message)


def _number(value):
    """Decimals, which database clients return, are numbers in the answer."""
    if type(value).__module__ == "decimal" and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_number)
