"""The mirror of the EHR's calendar: what an appointment's new state changes, and what it frees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db import IntegrityError, transaction
from django.utils import timezone

from scheduling import freed_time, mirror, openings, vanished, writebacks
from scheduling.models import (
    Appointment,
    AppointmentType,
    CancellationNote,
    ExternalId,
    Opening,
    Patient,
    Source,
    WorkItem,
)
from scheduling.occupancy import Occupancy
from scheduling.records import AppointmentRecord
from scheduling.worklist import ask_staff

Change = Literal["created", "updated", "unchanged", "stale", "own"]

#: Columns that are called alike in the record and are taken over as they are.
PLAIN_COLUMNS = (
    "status",
    "status_code",
    "start",
    "end",
    "type_system",
    "type_code",
    "type_display",
    "reason_system",
    "reason_code",
)


#: Stands for the version of an appointment that the EHR no longer has.
DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a record: ``own`` is a booking or cancellation of ours seen again, ``stale`` an older state."""

    appointment: Appointment
    change: Change
    opened: tuple[Opening, ...] = ()


def apply_appointment(
    source: Source, record: AppointmentRecord, fetched_at: datetime, *, opens: bool = True
) -> Applied:
    """Take over the state ``record`` that a fetch begun at ``fetched_at`` returned.

    With ``opens`` False (initial load, reconcile) freed time stays closed. Raises
    :class:`~scheduling.exceptions.UnknownReference` when its patient, provider or location is not mirrored yet.
    """
    try:
        with transaction.atomic():
            return _apply(source, record, fetched_at, opens)
    except IntegrityError:
        # Another worker created the same appointment between our look and our insert: now it is an update.
        if mirror.known(source, ExternalId.Kind.APPOINTMENT, record.external_id) is None:
            raise
        with transaction.atomic():
            return _apply(source, record, fetched_at, opens)


def apply_absence(
    source: Source, external_id: str, fetched_at: datetime, *, verdict: str = "missing", opens: bool = True
) -> Applied | None:
    """The EHR no longer has the appointment (deleted, 404, 410): treat it as entered in error.

    ``verdict`` says what a cancellation without a reason means; with ``opens`` False its time stays closed. Returns
    None when we never knew the appointment. Staff are asked to call a patient who was told that it is confirmed.
    """
    external = mirror.known(source, ExternalId.Kind.APPOINTMENT, external_id)
    if external is None:
        return None
    with transaction.atomic():
        appointment = Appointment.objects.get(pk=external.object_id)
        # Whose time it was is not known: nobody's is offered.
        opens = opens and external.version != mirror.IN_DOUBT
        if not mirror.accept(external, DELETED, fetched_at) and not _is_held_as_deleted(external):
            return Applied(appointment, "stale")
        if writebacks.in_flight(appointment):
            writebacks.look_again(appointment)
            return Applied(appointment, "own")
        before = Occupancy.of(appointment)
        if appointment.status == Appointment.Status.ENTERED_IN_ERROR:
            return Applied(appointment, "unchanged")
        if vanished.was_promised(appointment):
            vanished.ask_to_call(appointment, vanished.GONE)
        appointment.status = Appointment.Status.ENTERED_IN_ERROR
        appointment.status_code = DELETED
        appointment.status_seen_at = fetched_at if opens else None
        appointment.save(update_fields=["status", "status_code", "status_seen_at", "updated_at"])
        opened = _open(appointment, before, DELETED, verdict) if opens else ()
        return Applied(appointment, "updated", opened)


def _is_held_as_deleted(external: ExternalId) -> bool:
    """A later look has found the same, and may have left it to a write that was under way then."""
    external.refresh_from_db(fields=["version"])
    return external.version == DELETED


def apply_never_written(appointment_id: int, *, verdict: str = "missing", opens: bool = True) -> Applied:
    """A booking of ours is not in the EHR, and staff decided that it is not to be: it takes up its time no more.

    ``own``: a write about it is under way, which decides.
    """
    with transaction.atomic():
        appointment = Appointment.objects.select_for_update().get(pk=appointment_id)
        if writebacks.booking_is_open(appointment):
            return Applied(appointment, "own")
        if appointment.status not in Appointment.OCCUPYING:
            return Applied(appointment, "unchanged")
        before = Occupancy.of(appointment)
        appointment.status, appointment.status_code = Appointment.Status.ENTERED_IN_ERROR, DELETED
        appointment.status_seen_at = timezone.now() if opens else None
        appointment.save(update_fields=["status", "status_code", "status_seen_at", "updated_at"])
        return Applied(appointment, "updated", _open(appointment, before, DELETED, verdict) if opens else ())


def _apply(source: Source, record: AppointmentRecord, fetched_at: datetime, opens: bool) -> Applied:
    external = mirror.known(source, ExternalId.Kind.APPOINTMENT, record.external_id)
    if external is None:
        return _meet(source, record, fetched_at, opens)
    held = external.version
    if not mirror.accept(external, record.version, fetched_at):
        return Applied(Appointment.objects.get(pk=external.object_id), "stale")
    # Read only now: the accepted version has locked the name, so nobody else changes the row under us.
    appointment = Appointment.objects.get(pk=external.object_id)
    if record.version and record.version == held:
        return Applied(appointment, "unchanged")
    if writebacks.booking_is_open(appointment):
        # The answer to our own create is still to come; who reads it back compares it with what we asked.
        writebacks.look_again(appointment)
        return Applied(appointment, "own")
    before = Occupancy.of(appointment)
    _store(appointment, source, record, fetched_at if opens else None)
    if held == mirror.IN_DOUBT:
        # It stood with the wrong clinician or place: there it gave up nothing.
        before = before.at(appointment)
    if held == DELETED and appointment.occupies_time:
        vanished.stands_again(appointment)
    opened = _open(appointment, before, record.version, record.reason_verdict) if opens else ()
    return Applied(appointment, "updated", opened)


def _meet(source: Source, record: AppointmentRecord, fetched_at: datetime, opens: bool) -> Applied:
    """Mirror an appointment heard of for the first time, unless it is the one we have just asked for."""
    own = writebacks.own_booking(source, record)
    appointment = own or Appointment(source=source)
    is_open = own is not None and writebacks.booking_is_open(own)
    if not is_open:
        _store(appointment, source, record, fetched_at if opens else None)
    mirror.name(
        source,
        ExternalId.Kind.APPOINTMENT,
        record.external_id,
        appointment.pk,
        version=record.version,
        fetched_at=fetched_at,
    )
    if own is not None:
        # One that is not settled is read back and compared; one that was given up is there all the same.
        writebacks.look_again(own)
        return Applied(own, "own")
    opened: tuple[Opening, ...] = ()
    if opens and appointment.status == Appointment.Status.CANCELLED:
        # It was booked and cancelled between two looks.
        opened = _open(appointment, Occupancy.once_booked(appointment), record.version, record.reason_verdict)
    return Applied(appointment, "created", opened)


def _store(appointment: Appointment, source: Source, record: AppointmentRecord, told_at: datetime | None) -> None:
    """Take the record's state over, with everything that follows from it but openings.

    ``told_at`` is None where the calendar was read as a whole: a status found then is no change we were told of.
    """
    seen_before = (appointment.patient_id, appointment.location_id) if appointment.pk else None
    status_before, code_before = appointment.status, appointment.status_code
    fill(appointment, source, record)
    if appointment.pk is None or appointment.status_code != code_before:
        appointment.status_seen_at = told_at
    appointment.save()
    if record.reason_text:
        CancellationNote.objects.update_or_create(appointment=appointment, defaults={"text": record.reason_text})
    if seen_before != (appointment.patient_id, appointment.location_id):
        _note_location(appointment)
    follow_status(appointment, status_before)


def follow_status(appointment: Appointment, before: str) -> None:
    """Do what an appointment's new status asks for, but for openings."""
    if appointment.patient_id and appointment.status in Appointment.SEEN:
        note_seen([appointment.patient_id])
    if appointment.status == Appointment.Status.BUMPED and before != Appointment.Status.BUMPED:
        _propose_for_the_list(appointment)
    taken = Occupancy.of(appointment)
    if taken.interval is not None and appointment.provider_id:
        openings.give_way(appointment.provider_id, taken.interval, appointment)


def _propose_for_the_list(appointment: Appointment) -> None:
    """The practice took the patient's time back: they come first, if a person says so."""
    if appointment.patient is None or appointment.start is None or appointment.start <= timezone.now():
        return
    ask_staff(
        "appointment.bumped",
        "The practice cancelled a patient's visit",
        advice="The time is not offered: it is the practice's. Put the patient on the waitlist, as urgent, "
        "unless they have a new time.",
        dedupe_key=f"appointment.bumped:{appointment.pk}",
        urgency=WorkItem.Urgency.SOON,
        subject=appointment,
        patient=appointment.patient,
        location=appointment.location,
    )


def note_seen(patient_ids: Iterable[int]) -> None:
    """Patients who were seen here are no new patients any more."""
    Patient.objects.filter(pk__in=list(patient_ids), established=False).update(established=True)


def _note_location(appointment: Appointment) -> None:
    """Staff of a location see the patients who have appointments there."""
    if appointment.patient_id and appointment.location_id:
        through = Patient.locations.through
        pair = through(patient_id=appointment.patient_id, location_id=appointment.location_id)
        through.objects.bulk_create([pair], ignore_conflicts=True)


def fill(appointment: Appointment, source: Source, record: AppointmentRecord) -> None:
    """Set the columns of ``appointment`` from ``record``, without saving; raises UnknownReference."""
    kinds = ExternalId.Kind
    named: dict[str, str] = {
        kinds.PATIENT: record.patient_id,
        kinds.PROVIDER: record.provider_id,
        kinds.LOCATION: record.location_id,
    }
    ours = mirror.object_ids(source, named)
    appointment.patient_id = ours[kinds.PATIENT]
    appointment.provider_id = ours[kinds.PROVIDER]
    appointment.location_id = ours[kinds.LOCATION]
    if record.type_target:
        appointment.appointment_type = AppointmentType.objects.filter(code=record.type_target).first()
    set_plain_columns(appointment, record)


def set_plain_columns(appointment: Appointment, record: AppointmentRecord) -> None:
    """Set the columns of ``appointment`` that refer to no other row."""
    for column in PLAIN_COLUMNS:
        setattr(appointment, column, getattr(record, column))
    # A cancelled appointment often names its slots no more; what it held is still worth knowing.
    appointment.slot_ids = list(record.slot_ids) or appointment.slot_ids


def _of_moved(verdict: str) -> str:
    """A visit that moved gives its time up whatever the reason, but of an unmapped type nobody knows what fits."""
    return verdict if verdict == "unmapped_type" else "rebookable"


def _open(appointment: Appointment, before: Occupancy, version: str, verdict: str) -> tuple[Opening, ...]:
    """Open what the appointment gave up, if it was given up in a way that frees time."""
    after = Occupancy.of(appointment)
    moved = after.interval is not None
    if not moved and appointment.status not in Appointment.FREEING:
        return ()
    if before.provider_id is None or before.location_id is None:
        return ()
    opened = [
        freed_time.open_freed_time(
            appointment,
            provider_id=before.provider_id,
            location_id=before.location_id,
            interval=interval,
            version=version,
            verdict=_of_moved(verdict) if moved else verdict,
        )
        for interval in before.left_by(after)
    ]
    return tuple(opening for opening in opened if opening is not None)
