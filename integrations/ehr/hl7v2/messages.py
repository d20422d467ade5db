"""HL7 v2 messages: what kind they are, whom or what they name, and how they are acknowledged."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from django.utils import timezone

from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.hl7v2.segments import Message, Segment
from integrations.models import Connection

CONTENT_TYPE = "x-application/hl7-v2+er7"
#: Type codes of an identifier (CX.5) that say it is the medical record number.
RECORD_NUMBERS = ("MR", "MRN", "PI")
#: Kinds of message that are taken: of patients, and of appointments.
TAKEN = ("ADT", "SIU")
#: MSH-18, by HL7's table 0211. A name that is not here leaves it to what the connection says.
_CHARACTER_SETS = {
    "ASCII": "ascii",
    **{f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 10), 15)},
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
}
_MLLP = b"\x0b\x1c\r\n "
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


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


_UNREAD = Head("|", "^~\\&", "", "", "", "", "", "")


@dataclass(frozen=True, slots=True)
class News:
    """Whom a message names, by medical record number. ``merged`` pairs the number given up with the one kept."""

    trigger: str
    numbers: tuple[str, ...]
    merged: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How one connection's messages are to be read.

    ``charset`` is that of messages which name none, ``authority`` is CX.4 of a medical record number, empty where the
    messages name only one, ``number`` is the field of SCH by which an appointment is known.
    """

    charset: str = "utf-8"
    authority: str = ""
    number: int = 2

    @classmethod
    def of(cls, connection: Connection) -> Reading:
        """Return what the connection declares."""
        by_placer = connection.appointment_number == Connection.AppointmentNumber.PLACER
        return cls(connection.message_charset, connection.mrn_authority, 1 if by_placer else 2)


DEFAULT = Reading()


def is_message(body: bytes, content_type: str = "") -> bool:
    """Return whether a body is HL7 v2, by its type or by how it begins."""
    return content_type.partition(";")[0].strip().lower() == CONTENT_TYPE or body.lstrip(_MLLP)[:3] == b"MSH"


def normalised(body: bytes, charset: str = DEFAULT.charset) -> str:
    """Return the text of a message, decoded by MSH-18 else by ``charset``, with the line ends the standard asks for."""
    raw = body.strip(_MLLP)
    if len(raw) < 9 or not raw.startswith(b"MSH"):
        raise Unreadable("it does not begin with MSH, so it is no HL7 v2 message")
    fields = re.split(rb"[\r\n]", raw, maxsplit=1)[0].split(raw[3:4])
    named = fields[17].split(raw[4:5])[0].decode("ascii", "replace").strip() if len(fields) > 17 else ""
    # One set may be named beside others: the first of several is the message's own.
    named = named.split("~")[0].upper()
    try:
        text = raw.decode(_CHARACTER_SETS.get(named, charset))
    except UnicodeDecodeError:
        raise Unreadable("its letters are not in the character set that it names") from None
    return re.sub(r"\r\n?|\n", "\r", text).replace("\x00", "")


def head_of(body: bytes, reading: Reading = DEFAULT) -> Head:
    """Return the first segment's fields, at the cost of a split; raises Unreadable."""
    text = normalised(body, reading.charset)
    fields = text.partition("\r")[0].split(text[3])
    if len(fields) < 10:
        raise Unreadable("its first segment is cut off")
    kind = [*fields[8].split(fields[1][:1] or "^"), "", ""]
    return Head(
        text[3], fields[1], fields[2], fields[3], kind[0], kind[1], fields[9], fields[11] if len(fields) > 11 else ""
    )


def event_id(body: bytes, reading: Reading = DEFAULT) -> str:
    """Return by what a repeated message is known again: its sender, facility, control id and bytes."""
    head = head_of(body, reading)
    told = "\n".join((head.sender, head.facility, head.control_id, digest(body)))
    return f"hl7v2:{hashlib.sha256(told.encode()).hexdigest()}"


def digest(body: bytes) -> str:
    """Return what two messages have in common that say the same in the same bytes."""
    return hashlib.sha256(body.strip(_MLLP)).hexdigest()


def acknowledgement(body: bytes, reading: Reading = DEFAULT) -> bytes:
    """Return the answer AA: the message is stored."""
    return _answer(head_of(body, reading), "AA")


def refusal(body: bytes, why: str, reading: Reading = DEFAULT) -> bytes:
    """Return the answer AR: the message is not stored, and ``why``. To nobody, of a message that cannot be read."""
    try:
        head = head_of(body, reading)
    except Unreadable:
        head = _UNREAD
    return _answer(head, "AR", "".join(" " if each in head.separator + head.marks else each for each in why))


def _answer(head: Head, code: str, *why: str) -> bytes:
    now = timezone.now()
    msh = ["MSH", head.marks, "", "", head.sender, head.facility, f"{now:%Y%m%d%H%M%S}+0000", "", "ACK"]
    first = head.separator.join([*msh, f"A{now:%H%M%S%f}", "P", head.version or "2.5"])
    return f"{first}\r{head.separator.join(('MSA', code, head.control_id, *why))}\r".encode()


def subject_key(body: bytes, reading: Reading = DEFAULT, *, own_ids: bool = False) -> str:
    """Return the name under which news of one patient or visit is dealt with one at a time.

    A patient's number does not stand in it. ``own_ids``: a visit's number is its id at the EHR.
    """
    try:
        message = parsed(body, reading, only=("PID", "MRG", "SCH"))
        if message.kind == "SIU":
            number = appointment_number(message, reading)
            if own_ids:
                return f"Appointment/{safe_id(number)}"
            return f"Appointment#{_hidden(number)}"
        return patient_key(news(message, reading).numbers[0])
    except Unreadable:
        return ""  # it is stored all the same, and shown to staff by whoever deals with it


def patient_key(number: str) -> str:
    """Return the name under which news of the patient with this number is dealt with one at a time."""
    return f"Patient#{_hidden(number)}"


def _hidden(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()[:32]


def safe_id(value: str) -> str:
    """Return a name that can stand where the EHR's own ids stand; what such an id may not hold is told apart."""
    if _ID.fullmatch(value):
        return value
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '-', value).strip('-')[:50]}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def parsed(body: bytes, reading: Reading = DEFAULT, *, only: tuple[str, ...] = ()) -> Message:
    """Return a message, or just its segments of these names, taken apart; raises Unreadable, which quotes nothing."""
    head, text = head_of(body, reading), normalised(body, reading.charset)
    if only:
        first, *others = text.split("\r")
        text = "\r".join([first, *(line for line in others if line.startswith(only))])
    return Message.of(text, head.kind, head.trigger)


def read(body: bytes, reading: Reading = DEFAULT) -> News:
    """Return whom a message about patients names; raises Unreadable, which quotes nothing of it."""
    return news(parsed(body, reading), reading)


def news(message: Message, reading: Reading = DEFAULT) -> News:
    """Return whom a message about patients names; raises Unreadable, which quotes nothing of it."""
    numbers: list[str] = []
    merged: list[tuple[str, str]] = []
    kept = ""
    for segment in message.all("PID", "MRG"):
        number = record_number(segment, 3 if segment.name == "PID" else 1, reading)
        numbers.append(number)
        if segment.name == "PID":
            kept = number
        else:
            merged.append((number, kept))
    known = tuple(dict.fromkeys(number for number in numbers if number))
    if not known:
        raise _without_number(reading)
    return News(message.trigger, known, tuple(pair for pair in merged if all(pair) and pair[0] != pair[1]))


def patients_of(message: Message, reading: Reading = DEFAULT) -> tuple[str, ...]:
    """Return the record numbers of the patients of a message, each once, empty text for one beside others without one.

    Empty where it is about nobody; raises Unreadable where nobody has a number.
    """
    numbers = tuple(dict.fromkeys(record_number(each, 3, reading) for each in message.all("PID")))
    if numbers and not any(numbers):
        raise _without_number(reading)
    return numbers


def about(message: Message, number: str, reading: Reading = DEFAULT) -> Message:
    """Return of a message about several patients what it says of the one with this number: their PID and what follows.

    One about a single patient is returned whole.
    """
    if len(list(message.all("PID"))) < 2:
        return message
    kept, is_theirs = [], True
    for segment in message.all():
        if segment.name == "PID":
            is_theirs = record_number(segment, 3, reading) == number
        if is_theirs:
            kept.append(segment)
    return message.of_segments(kept)


def _without_number(reading: Reading) -> Unreadable:
    of = f" of the authority {reading.authority}" if reading.authority else ""
    return Unreadable(f"it names no medical record number{of} in PID-3")


def appointment_number(message: Message, reading: Reading = DEFAULT) -> str:
    """Return the number the visit has at the EHR; raises Unreadable."""
    segment = message.first("SCH")
    # Before 2.5 some senders wrote the filler's number only into the resource; without one nobody knows which visit.
    found = segment.said(reading.number, 1) if segment is not None else None
    if not found:
        raise Unreadable(f"it names no appointment in SCH-{reading.number}")
    return found[:200]


def record_number(segment: Segment, field: int, reading: Reading = DEFAULT) -> str:
    """Return the medical record number in a list of identifiers, empty where there is none.

    It is of type MR, MRN or PI, else the only one without a type, and where the connection names the authority that
    gives it, of that authority. Raises Unreadable where several authorities gave one and nobody said which counts.
    """
    found = [(each.said(1), each.said(5), each.any_of(4)) for each in segment.parts(field)]
    listed = [(value, kind or "", given) for value, kind, given in found if value]
    if reading.authority:
        listed = [each for each in listed if reading.authority.casefold() in {name.casefold() for name in each[2]}]
    typed = [each for each in listed if each[1] in RECORD_NUMBERS]
    wanted = typed or [each for each in listed if not each[1]]
    best = [each for kind in (*RECORD_NUMBERS, "") for each in wanted if each[1] == kind]
    best = [each for each in best if each[1] == best[0][1]]
    if len({each[2] for each in best}) > 1:
        raise Unreadable("it has record numbers of several authorities; name at the connection whose is yours")
    return best[0][0] if best else ""
