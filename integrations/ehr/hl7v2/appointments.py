"""What an HL7 v2 message about an appointment changes, where there is no FHIR beside it: the message is the record.

It goes through the same mirror as everything else. What it leaves out stays; one that was made before the one we
hold changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from integrations.codebook import CodeBook
from integrations.ehr import mirroring, zones
from integrations.ehr.fhir.calendar import Reader
from integrations.ehr.fhir.elements import Json, Unreadable
from integrations.ehr.fhir.events import Notice
from integrations.ehr.hl7v2 import calendar, clock, messages, people, times
from integrations.ehr.hl7v2.messages import Reading
from integrations.ehr.hl7v2.segments import Message
from integrations.models import Connection, InboundEvent
from scheduling import mirror
from scheduling.appointments import Applied
from scheduling.directory import apply_location, apply_provider
from scheduling.exceptions import UnknownReference
from scheduling.models import Appointment, ExternalId, WorkItem
from scheduling.records import AppointmentRecord, LocationRecord, ProviderRecord
from scheduling.worklist import ask_staff, finish_for

_KINDS = {
    "Patient": (ExternalId.Kind.PATIENT, "patient_id"),
    "Practitioner": (ExternalId.Kind.PROVIDER, "provider_id"),
    "Location": (ExternalId.Kind.LOCATION, "location_id"),
}


def notice(connection: Connection, body: bytes) -> Notice:
    """Return what a message names, to be fetched by FHIR; raises Unreadable."""
    reading = Reading.of(connection)
    message = messages.parsed(body, reading)
    if message.trigger in calendar.BLOCKS:
        return Notice("nothing", why="blocked time is seen when the EHR is asked whether a time is free")
    number = messages.appointment_number(message, reading)
    if connection.appointment_system:
        return Notice("appointment", system=connection.appointment_system, value=number)
    return Notice("appointment", messages.safe_id(number))


def take(event: InboundEvent, gateway: Any) -> Applied | None:
    """Mirror the appointment of a stored message and return what that changed, None where we knew something newer.

    Raises Unreadable, having changed nothing of the appointment.
    Raises WaitsForReview and AnotherPerson after it was mirrored without a patient who may be somebody else. A visit of
    several patients is mirrored without any who was not known to come, and staff are asked.
    """
    connection, body = event.connection, bytes(event.body)
    message = messages.parsed(body, Reading.of(connection))
    sent_at = times.sent_at(message, event.received_at)
    undecided: people.WaitsForReview | people.AnotherPerson | None = None
    patient_id = ""
    try:
        patient_id = _patient(event, message, sent_at)
    except (people.WaitsForReview, people.AnotherPerson) as waiting:
        undecided = waiting
    with transaction.atomic():
        if not clock.advance(connection, event.subject_key, sent_at):
            return None
        _meet(connection, message)
        codes = CodeBook(connection)
        record = read(connection, message, codes, patient_id, messages.digest(body))
        codes.flush()
        applied = mirroring.apply(gateway, connection.source, record, timezone.now())
        several = len(messages.patients_of(message, Reading.of(connection))) > 1
        _ask_about_several(applied.appointment, are_several=several)
    if undecided is not None:
        raise undecided
    return applied


def read(
    connection: Connection, message: Message, codes: CodeBook, patient_id: str = "", version: str = ""
) -> AppointmentRecord:
    """Return the appointment of a message, what it leaves out as we hold it; raises Unreadable."""
    resource, held = as_fhir(connection, message, patient_id)
    if not held and not any(each["actor"]["reference"].startswith("Location/") for each in resource["participant"]):
        where = connection.get_place_in_messages_display()
        raise Unreadable(f"it names no place: the connection says that a place is {where}")
    # With the patient it says more than without: once they are known it is news again.
    version = f"{version[:60]}{'+' if patient_id else ''}"
    record = Reader("", codes, lambda place: zones.mirrored(connection, place)).appointment(resource, version)
    if not calendar.agrees(message.trigger, record.status):
        raise Unreadable(f"its event is {message.trigger} and its status (SCH-25) says otherwise")
    return record


def as_fhir(connection: Connection, message: Message, patient_id: str = "") -> tuple[Json, Json]:
    """Return a message's appointment as FHIR, what it leaves out as we hold it, and what we hold, empty for nothing."""
    name = messages.safe_id(messages.appointment_number(message, Reading.of(connection)))
    told = calendar.appointment(message, name, connection)
    if patient_id:
        told["participant"].append({"actor": {"reference": f"Patient/{patient_id}"}})
    held = _held(connection, name)
    if named := _named(connection, message):
        # Whom a message names comes, or nobody whom we know for sure; never who was to come before.
        others = [each for each in held.get("participant", ()) if not _is_another(each, named)]
        held = {**held, "participant": others} if held else held
    return calendar.filled(told, held), held


def _is_another(participant: Json, named: Collection[str]) -> bool:
    kind, _, name = participant["actor"]["reference"].partition("/")
    return kind == "Patient" and name not in named


def _held(connection: Connection, name: str) -> Json:
    external = mirror.known(connection.source, ExternalId.Kind.APPOINTMENT, name)
    if external is None:
        return {}
    row = Appointment.objects.get(pk=external.object_id)
    return calendar.held(row, {kind: _name(connection, *where, row) for kind, where in _KINDS.items()})


def _name(connection: Connection, kind: str, column: str, row: Appointment) -> str:
    pk = getattr(row, column)
    try:
        return mirror.external_value(connection.source, kind, pk) if pk else ""
    except UnknownReference:
        return ""


def _patient(event: InboundEvent, message: Message, sent_at: datetime) -> str:
    """Take over what the message says of its patient, and return their name at the EHR; empty for none or several."""
    numbers = messages.patients_of(message, Reading.of(event.connection))
    if len(numbers) != 1:
        return ""
    patient = people.apply(event.connection, message, numbers[0], event, sent_at)
    return mirror.external_value(event.connection.source, ExternalId.Kind.PATIENT, patient.pk)


def named_patient(connection: Connection, message: Message) -> str:
    """Return the name at the EHR of the one patient of a message, without looking whether that can be.

    Empty where it names nobody, or several.
    """
    named = _named(connection, message)
    return named[0] if len(named) == 1 else ""


def _named(connection: Connection, message: Message) -> list[str]:
    numbers = messages.patients_of(message, Reading.of(connection))
    return [people.external_id(connection, number) for number in numbers]


def _ask_about_several(appointment: Appointment, *, are_several: bool) -> None:
    """Have staff look after those of whom a visit here can hold only one; once, as long as it stands."""
    key = f"visit.several_patients:{appointment.pk}"
    if not are_several or not appointment.occupies_time:
        finish_for(key, "The visit is over, or one patient's.")
    elif not WorkItem.objects.filter(dedupe_key=key).exists():
        ask_staff(
            "visit.several_patients",
            "The EHR booked one visit for several patients",
            advice="Its time counts as taken, but none of them is known here to come to it. Look it up in the EHR: who "
            "of them is on the waitlist for it, take off by hand. Cancelled there, the whole time is offered.",
            dedupe_key=key,
            subject=appointment,
            location=appointment.location,
        )


def _meet(connection: Connection, message: Message) -> None:
    """Mirror clinician and place of a message where we meet them for the first time."""
    source, now = connection.source, timezone.now()
    if (told := calendar.provider(message)) and mirror.known(source, ExternalId.Kind.PROVIDER, told[0]) is None:
        apply_provider(source, ProviderRecord(told[0], name=told[1][:200]), now)
    if (told := calendar.place_of(message, connection)) and (
        mirror.known(source, ExternalId.Kind.LOCATION, told[0]) is None
    ):
        apply_location(source, LocationRecord(told[0], name=told[1][:200]), now)
