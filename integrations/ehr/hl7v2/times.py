"""Moments as HL7 v2 writes them: ``20301204093000-0500``."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from integrations.ehr.fhir.elements import Unreadable
from integrations.ehr.fhir.times import instant
from integrations.ehr.hl7v2.segments import Message
from scheduling.models import Practice

_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2}(?:\.\d+)?)?([+-]\d{4})?")


def written(value: str) -> str:
    """Return a time as FHIR writes it, with the offset it came with; what is none comes back as it is."""
    match = _TIME.fullmatch(value.strip())
    if match is None:
        return value
    year, month, day, hour, minute, second, offset = match.groups()
    return f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{offset or ''}"


def sent_at(message: Message, received_at: datetime) -> datetime:
    """Return when a message was made, by MSH-7, else by EVN-2: what it says is as old as that.

    Never later than it was received, whatever the sender's clock says, else nothing after it would count. A time
    without an offset is the practice's; of an hour that the clocks repeat, the one nearer to its arrival. A message
    without any time is as old as its arrival.
    """
    zone = ZoneInfo(Practice.current().time_zone)
    for name, field in (("MSH", 7), ("EVN", 2)):
        segment = message.first(name)
        told = segment.said(field, 1) if segment is not None else None
        if told and (moment := _moment(written(told), received_at, zone)):
            # By whole seconds, as senders write them: what follows within the same one is not older.
            return min(moment, received_at.replace(microsecond=0))
    return received_at


def _moment(told: str, received_at: datetime, zone: ZoneInfo) -> datetime | None:
    try:
        return instant(told, lambda: zone, "time")
    except Unreadable:
        pass
    try:
        naive = datetime.fromisoformat(told)
    except ValueError:
        return None
    if naive.tzinfo is not None:
        return None
    both = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return min(both, key=lambda moment: abs(received_at - moment))
