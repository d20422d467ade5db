"""JSON from outside: read in bounded time and memory, or refused with a plain reason."""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

#: FHIR nests a dozen levels; nothing honest comes near this.
DEEPEST = 64
_STRINGS = re.compile(rb'"[^"]*"')
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class NotJson(ValueError):
    """The text is not JSON that we take; the message says why and quotes nothing of it."""


def read_json(body: bytes) -> Any:
    """Return what ``body`` says; raises :class:`NotJson`. UTF-8 only, no NaN, no NUL, no deep nesting."""
    if b"\x00" in body or b"\\u0000" in body:
        raise NotJson("it holds a NUL character")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except ValueError:
        raise NotJson("it is not valid JSON") from None
    # Brackets are counted first: only a body with many of them can be deep.
    if text.count("[") + text.count("{") > DEEPEST and _is_too_deep(body):
        raise NotJson("it is nested too deeply")
    return value


def _refuse_constant(name: str) -> Any:
    raise NotJson(f"it holds {name}, which is not JSON")


def _is_too_deep(body: bytes) -> bool:
    """Return whether valid JSON nests too deeply, by its brackets outside of strings.

    Walking the value would take longer than reading a page of five hundred resources does.
    """
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = unescaped.translate(None, _NO_MARKS).replace(b'""', b"")
    brackets = _STRINGS.sub(b"", marks) if b'"' in marks else marks
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEEPEST
