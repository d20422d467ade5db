"""Values in an HL7 v2 message by their path: ``PID-5.1``, ``PID-13(2).4``, ``NK1(2)-5.1``."""

from __future__ import annotations

import re
from typing import Any

import hl7

#: What a sender writes to say that there is no such thing any more. An empty field says nothing at all.
DELETED = '""'
_PATH = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})(?:\((?P<nth>[1-9]\d?)\))?-(?P<field>[1-9]\d{0,2})(?:\((?P<repetition>[1-9]\d?)\))?"
    r"(?:\.(?P<component>[1-9]\d?)(?:\.(?P<sub>[1-9]\d?))?)?"
)


class BadPath(ValueError):
    """The text is no path; the message says what one looks like."""


def value_at(message: str | bytes, path: str) -> str | None:
    """Return the value at ``path``, of the first repetition unless it names one.

    None: the message says nothing of it, so it is unchanged. Empty text: the sender deleted it. Raises BadPath, and
    ValueError for what is no HL7 v2 message.
    """
    values = values_at(message, path)
    return values[0] if values else None


def values_at(message: str | bytes, path: str) -> list[str | None]:
    """Return :func:`value_at` of every repetition, in order; of the one that the path names alone."""
    return values_in(hl7.parse(_lines(message)), path)


def values_in(read: Any, path: str) -> list[str | None]:
    """Return :func:`values_at` of a message that is parsed already."""
    wanted = parsed(path)
    field = _field(read, wanted)
    if field is None:
        return []
    if wanted["segment"] == "MSH" and wanted["field"] in ("1", "2"):
        return [str(field)]
    repetitions = list(field) if isinstance(field, hl7.Field) else [field]
    if nth := wanted["repetition"]:
        repetitions = repetitions[int(nth) - 1 : int(nth)]
    component, sub = (int(part) if (part := wanted[name]) else None for name in ("component", "sub"))
    return [value_in(read, each, component, sub) for each in repetitions]


def parsed(path: str) -> dict[str, str | None]:
    """Return the parts of a path; raises BadPath."""
    match = _PATH.fullmatch(path.strip())
    if match is None:
        raise BadPath("An HL7 v2 path is segment, field, component: PID-5.1, or PID-13(2).1 for the second phone.")
    return match.groupdict()


def _lines(message: str | bytes) -> str:
    """Return the message with the line ends that the standard asks for; many senders write line feeds."""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    text = text.strip("\x0b\x1c\r\n ")
    if not text.startswith("MSH") or len(text) < 8:
        raise ValueError("It does not begin with MSH, so it is no HL7 v2 message.")
    return re.sub(r"\r\n?|\n", "\r", text)


def _field(read: Any, wanted: dict[str, str | None]) -> Any:
    segments = [segment for segment in read if str(segment[0]) == wanted["segment"]]
    place, number = int(wanted["nth"] or 1) - 1, int(wanted["field"] or 0)
    if place >= len(segments) or number >= len(segments[place]):
        return None
    return segments[place][number]


def value_in(read: Any, repetition: Any, component: int | None, sub: int | None) -> str | None:
    """Return what one repetition says, in a component or a part of it: None for nothing, empty text for deleted."""
    if str(repetition) == DELETED:
        return ""
    part: Any = repetition
    for at, kind in ((component, hl7.Repetition), (sub, hl7.Component)):
        if at is None:
            continue
        if isinstance(part, kind):
            part = part[at - 1] if at <= len(part) else ""
        elif at > 1:
            return None  # one value alone is the first of its parts
    # Of a value with parts its first one is meant, as older senders and receivers read it.
    while component and isinstance(part, hl7.Repetition | hl7.Component) and len(part):
        part = part[0]
    said = str(part)
    if said == DELETED:
        return ""
    return read.unescape(said).strip() or None
