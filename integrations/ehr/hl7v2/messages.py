"""HL7 v2 messages about patients: what kind they are, whom they name, and how they are acknowledged."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import Any

import hl7
from django.utils import timezone

from integrations.ehr.fhir.elements import Unreadable

logger = logging.getLogger(__name__)

CONTENT_TYPE = "x-application/hl7-v2+er7"
#: Type codes of an identifier (CX.5) that say it is the medical record number.
RECORD_NUMBERS = ("MR", "MRN", "PI")
#: MSH-18, by HL7's table 0211, where it is not UTF-8.
_CHARACTER_SETS = {"ASCII": "ascii", "8859/1": "latin-1", "8859/15": "iso8859-15", "UNICODE UTF-8": "utf-8"}
_MLLP = b"\x0b\x1c\r\n "


@dataclass(frozen=True, slots=True)
class Head:
    """What a message's first segment says; ``separator`` is MSH-1, ``marks`` MSH-2."""

    separator: str
    marks: str
    sender: str
    facility: str
    kind: str
    trigger: str
    control_id: str
    version: str


@dataclass(frozen=True, slots=True)
class News:
    """Whom a message names, by medical record number. ``merged`` pairs the number given up with the one kept."""

    trigger: str
    numbers: tuple[str, ...]
    merged: tuple[tuple[str, str], ...]


def is_message(body: bytes, content_type: str = "") -> bool:
    """Return whether a body is HL7 v2, by its type or by how it begins."""
    return content_type.partition(";")[0].strip().lower() == CONTENT_TYPE or body.lstrip(_MLLP)[:3] == b"MSH"


def normalised(body: bytes) -> str:
    """Return the text of a message, decoded by MSH-18, with the line ends that the standard asks for."""
    raw = body.strip(_MLLP)
    if len(raw) < 9 or not raw.startswith(b"MSH"):
        raise Unreadable("it does not begin with MSH, so it is no HL7 v2 message")
    fields = re.split(rb"[\r\n]", raw, maxsplit=1)[0].split(raw[3:4])
    named = fields[17].split(raw[4:5])[0].decode("ascii", "replace").strip() if len(fields) > 17 else ""
    try:
        text = raw.decode(_CHARACTER_SETS.get(named, "utf-8"))
    except UnicodeDecodeError:
        raise Unreadable("its letters are not in the character set that it names") from None
    return re.sub(r"\r\n?|\n", "\r", text)


def head_of(body: bytes) -> Head:
    """Return the first segment's fields, at the cost of a split; raises Unreadable."""
    text = normalised(body)
    fields = text.partition("\r")[0].split(text[3])
    if len(fields) < 10:
        raise Unreadable("its first segment is cut off")
    kind = [*fields[8].split(fields[1][:1] or "^"), "", ""]
    return Head(
        text[3], fields[1], fields[2], fields[3], kind[0], kind[1], fields[9], fields[11] if len(fields) > 11 else ""
    )


def event_id(body: bytes) -> str:
    """Return by what a repeated message is known again: its sender, facility, control id and bytes."""
    head = head_of(body)
    told = "\n".join((head.sender, head.facility, head.control_id, hashlib.sha256(body.strip(_MLLP)).hexdigest()))
    return f"hl7v2:{hashlib.sha256(told.encode()).hexdigest()}"


def acknowledgement(body: bytes) -> bytes:
    """Return the answer AA: the message is stored."""
    head, now = head_of(body), timezone.now()
    msh = ["MSH", head.marks, "", "", head.sender, head.facility, f"{now:%Y%m%d%H%M%S}+0000", "", "ACK"]
    first = head.separator.join([*msh, f"A{now:%H%M%S%f}", "P", head.version or "2.5"])
    return f"{first}\r{head.separator.join(('MSA', 'AA', head.control_id))}\r".encode()


def subject_key(body: bytes) -> str:
    """Return the name under which news of one patient is dealt with one at a time, without the number in it."""
    try:
        number = read(body).numbers[0]
    except Unreadable:
        return ""  # it is stored all the same, and shown to staff by whoever deals with it
    return f"Patient#{hashlib.sha256(number.encode()).hexdigest()[:32]}"


def read(body: bytes) -> News:
    """Return whom a message about patients names; raises Unreadable, which quotes nothing of it."""
    head = head_of(body)
    try:
        segments = hl7.parse(normalised(body))
    except Exception as error:
        # The parser raises whatever its state runs into. Staff see the message; its text may quote a patient.
        logger.info("an HL7 v2 message could not be parsed: %s", type(error).__name__)
        raise Unreadable("it is no HL7 v2 message that can be read") from None
    numbers: list[str] = []
    merged: list[tuple[str, str]] = []
    kept = ""
    for segment in segments:
        name = str(segment[0])
        if name == "PID":
            kept = _record_number(segment, 3)
            numbers.append(kept)
        elif name == "MRG":
            given_up = _record_number(segment, 1)
            numbers.append(given_up)
            merged.append((given_up, kept))
    known = tuple(dict.fromkeys(number for number in numbers if number))
    if not known:
        raise Unreadable("it names no medical record number in PID-3")
    return News(head.trigger, known, tuple(pair for pair in merged if all(pair) and pair[0] != pair[1]))


def _record_number(segment: Any, field: int) -> str:
    """Return the medical record number in a list of identifiers, else the only one that there is."""
    if len(segment) <= field:
        return ""
    listed = segment[field]
    repetitions = list(listed) if isinstance(listed, hl7.Field) else [listed]
    found = [(_part(each, 0), _part(each, 4)) for each in repetitions]
    typed = [value for value, kind in found if kind in RECORD_NUMBERS]
    untyped = [value for value, kind in found if not kind]
    return next((value for value in (*typed, *untyped) if value and value != '""'), "")


def _part(repetition: Any, at: int) -> str:
    if not isinstance(repetition, hl7.Repetition):
        return str(repetition).strip() if at == 0 else ""
    return str(repetition[at]).strip() if at < len(repetition) else ""
