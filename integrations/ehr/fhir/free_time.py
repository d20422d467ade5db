"""Whether a time is free at a FHIR server: its slots say what may be booked, its appointments what is taken.

A slot alone is not believed: some servers leave it free or busy whatever happens to the appointment. And no slot at
all means that the practice does not keep slots there, not that nothing is free. A patient's time is taken by theirs,
whoever they are with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from integrations.ehr.fhir import search
from integrations.ehr.fhir.build import utc
from integrations.ehr.fhir.calendar import Reader
from integrations.ehr.fhir.elements import Json, items, reference_id
from integrations.ehr.fhir.transport import Transport
from scheduling.models import Appointment
from scheduling.records import AppointmentRecord, Freshness, Interval, SlotRecord

#: How much earlier than the asked time something may begin and still reach into it.
LONGEST = timedelta(hours=12)
#: Which schedules a provider has changes with the staff, not with the bookings.
SCHEDULES_KEPT_SECONDS = 300.0
#: Statuses under which an appointment takes up no time; everything else, unknown ones too, does.
_FREE_STATUSES = frozenset(
    {
        Appointment.Status.PROPOSED,
        Appointment.Status.CANCELLED,
        Appointment.Status.NOSHOW,
        Appointment.Status.ENTERED_IN_ERROR,
        Appointment.Status.WAITLIST,
    }
)

_schedules: dict[tuple[str, str, str], tuple[float, tuple[str, ...]]] = {}
_lock = threading.Lock()


def look(
    transport: Transport,
    reader: Reader,
    asked: Interval,
    *,
    provider_id: str,
    location_id: str,
    has_slots: bool,
) -> Freshness:
    """Return what of the asked time is free now."""
    asked_at, start, end = timezone.now(), asked.start, asked.end
    slots = _slots(transport, reader, provider_id, location_id, asked) if has_slots else []
    taken = _taken(transport, reader, provider_id, asked)
    offered = joined([slot.interval for slot in slots if slot.free]) if slots else [asked]
    free = [
        piece
        for stretch in offered
        if stretch.overlaps(asked)
        for piece in Interval(max(stretch.start, start), min(stretch.end, end)).minus(taken)
    ]
    untouched = tuple(slot for slot in slots if slot.free and not any(slot.interval.overlaps(other) for other in taken))
    return Freshness(asked_at, tuple(free), untouched)


def _slots(
    transport: Transport, reader: Reader, provider_id: str, location_id: str, asked: Interval
) -> list[SlotRecord]:
    schedules = _schedules_of(transport, provider_id, location_id)
    if not schedules:
        return []
    parameters = [
        ("schedule", ",".join(f"Schedule/{each}" for each in schedules)),
        ("start", f"ge{utc(asked.start - LONGEST)}"),
        ("start", f"lt{utc(asked.end)}"),
        ("_count", str(search.PAGE_SIZE)),
    ]
    found = search.resources(transport, "Slot", parameters)
    # Only slots of these schedules: a server that ignores the parameter returns everybody's.
    ours = [each for each in found if reference_id(each.get("schedule"), "Schedule", transport.base_url) in schedules]
    read = [search.guarded(reader.slot, each) for each in ours if each.get("status") != "entered-in-error"]
    return sorted((slot for slot in read if slot.interval.overlaps(asked)), key=lambda slot: slot.start)


def _schedules_of(transport: Transport, provider_id: str, location_id: str) -> tuple[str, ...]:
    """Return the ids of the provider's schedules at the location."""
    key = (transport.base_url, provider_id, location_id)
    with _lock:
        held = _schedules.get(key)
    if held and time.monotonic() < held[0]:
        return held[1]
    ids = []
    for schedule in search.resources(transport, "Schedule", [("actor", f"Practitioner/{provider_id}")]):
        actors = list(items(schedule, "actor"))
        people = {reference_id(each, "Practitioner", transport.base_url) for each in actors} - {""}
        places = {reference_id(each, "Location", transport.base_url) for each in actors} - {""}
        if provider_id in people and (not places or location_id in places) and schedule.get("active") is not False:
            ids.append(str(schedule.get("id")))
    with _lock:
        _schedules[key] = (time.monotonic() + SCHEDULES_KEPT_SECONDS, tuple(ids))
    return tuple(ids)


def _taken(transport: Transport, reader: Reader, provider_id: str, asked: Interval) -> list[Interval]:
    found = _around(transport, ("practitioner", provider_id), asked)
    # Filtered once more: a server that ignores the parameter returns everybody's.
    records = (search.guarded(reader.appointment, each) for each in found if provider_id in reader.practitioners(each))
    return [Interval(record.start, record.end) for record in records if record.start and record.end]


def of_patient(transport: Transport, reader: Reader, patient_id: str, asked: Interval) -> list[AppointmentRecord]:
    """Return the patient's appointments, with whomever, that take up some of the asked time."""
    found = _around(transport, ("patient", patient_id), asked)
    records = [search.guarded(reader.appointment, each) for each in found if patient_id in reader.patients(each)]
    return [
        record
        for record in records
        if record.start and record.end and Interval(record.start, record.end).overlaps(asked)
    ]


def _around(transport: Transport, whose: tuple[str, str], asked: Interval) -> Iterator[Json]:
    """Yield the appointments that take up time and may reach into the asked one."""
    parameters = [
        whose,
        ("date", f"ge{utc(asked.start - LONGEST)}"),
        ("date", f"lt{utc(asked.end)}"),
        ("_count", str(search.PAGE_SIZE)),
    ]
    for resource in search.resources(transport, "Appointment", parameters):
        if resource.get("status") not in _FREE_STATUSES:
            yield resource


def joined(pieces: list[Interval]) -> list[Interval]:
    """Return touching and overlapping stretches as one."""
    joined: list[Interval] = []
    for piece in sorted(pieces):
        if joined and piece.start <= joined[-1].end:
            joined[-1] = Interval(joined[-1].start, max(joined[-1].end, piece.end))
        else:
            joined.append(piece)
    return joined
