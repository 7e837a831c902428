# SPDX-License-Identifier: Apache-2.0
"""Calls by HTTP: answers, and the rarer parts of events, which event.c makes."""

import binascii
import re

from hearth_runtime.failure import Failure

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_BAD_IN_VALUE = re.compile("[\0\r\n]").search
HEADERS_BYTES_MAX = 60 * 1024


def cookies(header):
    return [part.strip() for part in header.split(";") if part.strip()]


def base64(body):
    return binascii.b2a_base64(body, newline=False).decode()


def answer(result, encode):
    """(meta pairs, body) for what a handler returned; raises Failure. `encode` makes JSON bytes."""
    if not isinstance(result, dict) or "statusCode" not in result:
        return [("status", "200"), ("content_type", "application/json")], encode(result)
    fields = _answer_headers(result)
    content_type = "application/json"
    pairs = [("status", _status(result["statusCode"]))]
    for name, value in fields:
        if name == "content-type":
            content_type = value
        else:
            pairs.append(("h:" + name, value))
    pairs.append(("content_type", content_type))
    if sum(len(name) + len(value.encode()) + 2 for name, value in pairs) > HEADERS_BYTES_MAX:
        raise _bad(f"the headers have more than {HEADERS_BYTES_MAX} bytes")
    return pairs, _answer_body(result)


def _bad(message):
    return Failure("bad_reply", "Runtime.BadReply", message)


def _status(status):
    number = int(status) if isinstance(status, str) and status.isdecimal() else status
    if not isinstance(number, int) or not 200 <= number <= 599:
        raise _bad(f"statusCode is no number between 200 and 599: {status!r:.100}")
    return str(int(number))


def _answer_headers(result):
    fields = []
    for key in ("headers", "multiValueHeaders"):
        given = result.get(key) or {}
        if not isinstance(given, dict):
            raise _bad(f"{key} is no object: {given!r:.100}")
        for name, values in given.items():
            for value in values if isinstance(values, (list, tuple)) else [values]:
                fields.append(_header(name, value))
    cookies = result.get("cookies") or []
    if not isinstance(cookies, (list, tuple)):
        raise _bad(f"cookies is no list: {cookies!r:.100}")
    return fields + [_header("set-cookie", cookie) for cookie in cookies]


def _header(name, value):
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, (int, float)):
        value = str(value)
    if not isinstance(name, str) or not _HEADER_NAME(name):
        raise _bad(f"no valid header name: {name!r:.100}")
    if not isinstance(value, str) or _BAD_IN_VALUE(value):
        raise _bad(f"no valid value of header {name}: {value!r:.100}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _bad(f"no valid value of header {name}: {value!a:.100}") from None
    return name.lower(), value


def _answer_body(result):
    body = result.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise _bad(f"body is no string but {type(body).__name__}; json.dumps it")
    if not result.get("isBase64Encoded"):
        return body.encode("utf-8", "replace")
    try:
        # Encoders that break lines are fine; a character that is silently left out is not.
        return binascii.a2b_base64("".join(body.split()), strict_mode=True)
    except ValueError as error:
        raise _bad(f"isBase64Encoded, but the body is not: {error}") from None
