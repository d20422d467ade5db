"""When a notification is dealt with, by the pace a connection sets for its kind: as it arrives, or with the next batch.

Only what a notification can wait for is put off. News of slots, of whole streams and of what nobody can name is dealt
with at once, and so is what a poll has read: waiting would save no call.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from integrations.ehr.fhir.elements import Unreadable, version_of
from integrations.ehr.fhir.times import instant
from integrations.models import Connection, InboundEvent
from scheduling.models import Appointment, ExternalId
from scheduling.wake import wake

Pace = Connection.Pace
#: In a hybrid pace a visit that begins within this time is never put off.
NEAR = timedelta(days=2)
_SETTINGS = {
    "Appointment": "appointment_pace",
    "Patient": "patient_pace",
    "Practitioner": "directory_pace",
    "Location": "directory_pace",
}


def due_at(connection: Connection, via: str, subject: str, payload: Any, now: datetime) -> datetime:
    """Return when an event that came now is dealt with; ``subject`` names what it is about ("Appointment/123")."""
    kind, _, external_id = subject.partition("/")
    setting = _SETTINGS.get(kind)
    if via != InboundEvent.Via.WEBHOOK or setting is None:
        return now
    pace = getattr(connection, setting)
    if pace == Pace.BATCH or (
        pace == Pace.HYBRID and kind == "Appointment" and _can_wait(connection, external_id, payload, now)
    ):
        return next_batch(connection, now)
    return now


def next_batch(connection: Connection, now: datetime) -> datetime:
    """Return the end of the present batch: they end at the same moments for all events of a connection."""
    length = timedelta(minutes=connection.batch_minutes)
    begin = datetime(2000, 1, 1, tzinfo=UTC)
    return begin + (now - begin) // length * length + length


def _can_wait(connection: Connection, external_id: str, payload: Any, now: datetime) -> bool:
    """Whether it surely frees no time: a new visit, said to stand, further off than :data:`NEAR`."""
    stands = isinstance(payload, dict) and payload.get("status") in Appointment.OCCUPYING
    if not stands or not version_of(payload):
        return False
    try:
        start = instant(payload.get("start"), lambda: None, "start")
    except Unreadable:
        return False
    if start is None or start < now + NEAR:
        return False
    known = ExternalId.objects.filter(
        source_id=connection.source_id, kind=ExternalId.Kind.APPOINTMENT, value=external_id
    )
    return not known.exists()


def deal_now(connection: Connection) -> int:
    """Have everything that waits for its batch dealt with at once; return how many events that were."""
    now = timezone.now()
    waiting = InboundEvent.objects.filter(
        connection=connection, status=InboundEvent.Status.RECEIVED, attempts=0, due_at__gt=now
    )
    found = waiting.update(due_at=now)
    if found:
        wake("inbox")
    return found
