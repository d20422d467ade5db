"""An HL7 v2 appointment as the FHIR resource that says the same, and what its event says about the status."""

from __future__ import annotations

import re
from datetime import datetime

from integrations.ehr.fhir.elements import Json, Unreadable
from integrations.ehr.hl7v2.messages import safe_id
from integrations.ehr.hl7v2.segments import Message, Segment
from integrations.ehr.hl7v2.times import written
from integrations.models import Connection
from scheduling.models import Appointment

_S = Appointment.Status
#: What an event means where SCH-25 says nothing. Any other event leaves the status as it was.
SAYS = {"S12": _S.BOOKED, "S13": _S.BOOKED, "S15": _S.CANCELLED, "S16": _S.CANCELLED, "S17": _S.ENTERED_IN_ERROR}
SAYS |= {"S26": _S.NOSHOW}
#: Events about time that is blocked or free again, not about a visit.
BLOCKS = frozenset({"S23", "S24"})
_ENDS = frozenset({_S.CANCELLED, _S.ENTERED_IN_ERROR, _S.NOSHOW, _S.BUMPED})
#: Where a segment holds start, duration and its unit; TQ1 and SCH-11 hold the end instead.
_RESOURCES = {"AIS": (4, 7, 8), "AIP": (6, 9, 10), "AIL": (6, 9, 10), "AIG": (8, 11, 12)}
#: Table 0277, kinds of request, which some senders write where the kind of visit stands.
_NO_TYPES = frozenset({"NORMAL", "TENTATIVE", "COMPLETE"})
_UNITS = {"s": 1, "sec": 1, "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600}
_DELETED = "D"
#: Table 0105, who commented.
_COMMENTED_BY = frozenset("LPOA")


def appointment(message: Message, external_id: str, connection: Connection) -> Json:
    """Return the appointment of a message, with what it leaves out left out; raises Unreadable."""
    if message.trigger in BLOCKS:
        raise Unreadable(
            "it blocks time or frees it again, which is not taken over: enter it or delete it under “Blocked times”"
        )
    head = message.first("SCH")
    if head is None:
        raise Unreadable("it has no SCH, so it says nothing of an appointment")
    resource: Json = {
        "resourceType": "Appointment",
        "id": external_id,
        "status": head.said(25) or SAYS.get(message.trigger, ""),
        "participant": [],
        **_time(message, head, connection.times_in_messages.split()),
    }
    if provider := _first(message, "AIP"):
        resource["participant"].append({"actor": {"reference": f"Practitioner/{provider_of(provider)[0]}"}})
    if place := place_of(message, connection):
        resource["participant"].append({"actor": {"reference": f"Location/{place[0]}"}})
    if coding := _type(message, head):
        resource["appointmentType"] = {"coding": [coding]}
    if code := head.said(6, 1):
        coding = {"system": head.said(6, 3) or "", "code": code, "display": head.said(6, 2) or ""}
        resource["cancelationReason"] = {"coding": [coding]}
    elif words := _note(message):
        resource["comment"] = words
    return resource


def agrees(trigger: str, status: str) -> bool:
    """Return whether what the event says of the status and what SCH-25 means by now can both be true."""
    said = SAYS.get(trigger)
    if said is None or status == _S.UNKNOWN:
        return True
    return (said in _ENDS) == (status in _ENDS)


def provider_of(segment: Segment) -> tuple[str, str]:
    """Return a clinician's id and name by AIP-3."""
    number, family, given = (segment.said(3, at) or "" for at in (1, 2, 3))
    return safe_id(number), f"{given} {family}".strip()


def provider(message: Message) -> tuple[str, str] | None:
    """Return id and name of the clinician who sees the patient, None where none is named."""
    segment = _first(message, "AIP")
    return provider_of(segment) if segment is not None else None


def place_of(message: Message, connection: Connection) -> tuple[str, str] | None:
    """Return id and name of the visit's place, None where none is named where the connection says it stands."""
    component = 4 if connection.place_in_messages == Connection.Place.FACILITY else 1
    segment = _first(message, "AIL")
    name = segment.said(3, component) if segment is not None else None
    return (safe_id(name), name) if name else None


def _first(message: Message, name: str) -> Segment | None:
    """Return the first resource of a kind that was not taken off the visit."""
    there = (each for each in message.all(name) if (each.said(2) or "") != _DELETED and each.said(3, 1) is not None)
    if name == "AIL":
        there = (each for each in message.all(name) if (each.said(2) or "") != _DELETED and each.parts(3))
    return next(there, None)


def _type(message: Message, head: Segment) -> Json | None:
    services = (each for each in message.all("AIS") if (each.said(2) or "") != _DELETED)
    for segment, field in ((head, 8), (next(services, None), 3)):
        code = segment.said(field, 1) if segment is not None else None
        if segment is not None and code and code.upper() not in _NO_TYPES:
            return {"system": segment.said(field, 3) or "", "code": code, "display": segment.said(field, 2) or ""}
    return None


def _note(message: Message) -> str:
    """Return what is noted of the visit itself, before its patient and resources come."""
    said = []
    for segment in message.all("SCH", "NTE", "PID", "RGS"):
        if segment.name in ("PID", "RGS"):
            break
        if segment.name == "NTE":
            # Some write the words where the standard has a code for who commented.
            parts = segment.parts(3) or [part for part in segment.parts(2) if str(part.raw) not in _COMMENTED_BY]
            said += [words for part in parts if (words := part.said(None))]
    return " ".join(said)


def _time(message: Message, head: Segment, order: list[str]) -> Json:
    for name in order:
        for segment in message.all(name):
            if name in _RESOURCES and (segment.said(2) or "") == _DELETED:
                continue
            if found := _spelled(name, segment, head):
                return found
    return {}


def _spelled(name: str, segment: Segment, head: Segment) -> Json | None:
    """Return start and end where a segment holds a start."""
    if name in _RESOURCES:
        at, length, unit = _RESOURCES[name]
        start, end = segment.said(at), None
        minutes = _minutes(segment.said(length), segment.said(unit))
    else:
        start, end = (segment.said(7), segment.said(8)) if name == "TQ1" else (segment.said(11, 4), segment.said(11, 5))
        minutes = None
    if not start or (end and _is_span(start, end)):
        return None
    minutes = minutes or _minutes(head.said(9), head.said(10))
    found: Json = {"start": written(start)}
    if end:
        found["end"] = written(end)
    elif minutes:
        found["minutesDuration"] = minutes
    return found


def _is_span(start: str, end: str) -> bool:
    """Return whether these are the days among which a visit is sought, not the visit's own time."""
    try:
        first, last = (datetime.strptime(each[:8], "%Y%m%d") for each in (start, end))  # noqa: DTZ007 - days alone
    except ValueError:
        return False
    return (last - first).days > 1


def _minutes(length: str | None, unit: str | None) -> int | None:
    if not length or not re.fullmatch(r"\d{1,6}(\.0*)?", length):
        return None
    seconds = int(length.partition(".")[0]) * _UNITS.get((unit or "").lower(), 60)
    return seconds // 60 or None


def filled(resource: Json, held: Json) -> Json:
    """Return the appointment of a message with what it leaves out as we hold it."""
    full = {**resource}
    names = {_kind(each) for each in resource["participant"]}
    full["participant"] = [
        *resource["participant"],
        *(each for each in held.get("participant", ()) if _kind(each) not in names),
    ]
    for name in ("status", "appointmentType", *(() if "comment" in resource else ("cancelationReason",))):
        full[name] = resource.get(name) or held.get(name)
    if "start" not in resource and "start" in held:
        full |= {name: held[name] for name in ("start", "end")}
    return {name: value for name, value in full.items() if value}


def _kind(participant: Json) -> str:
    return str(participant["actor"]["reference"]).partition("/")[0]


def held(row: Appointment, names: dict[str, str]) -> Json:
    """Return what we hold of an appointment, in the same form; ``names`` are the EHR's, by resource type."""
    found: Json = {
        "status": row.status_code or row.status,
        "participant": [{"actor": {"reference": f"{kind}/{name}"}} for kind, name in names.items() if name],
    }
    if row.type_code:
        found["appointmentType"] = {
            "coding": [{"system": row.type_system, "code": row.type_code, "display": row.type_display}]
        }
    if row.reason_code:
        found["cancelationReason"] = {"coding": [{"system": row.reason_system, "code": row.reason_code}]}
    if row.start is not None and row.end is not None:
        found |= {"start": row.start.isoformat(), "end": row.end.isoformat()}
    return found
