"""News of a write that we had stopped working on: the EHR has it after all, or staff did by hand what we asked for.

A dead letter is settled by it. What was given up, and whose patient was told that it is not booked, is for a person.
"""

from __future__ import annotations

from datetime import datetime

from integrations import outcomes
from integrations.attempt import Attempt
from integrations.booking import booking_for
from integrations.ehr import intake
from integrations.ehr.fhir.events import Notice
from integrations.models import Connection, InboundEvent
from integrations.readback import HELD, carries, compare
from scheduling import writebacks
from scheduling.appointments import Applied
from scheduling.exceptions import UnknownReference
from scheduling.models import Appointment, ExternalId, Source, WorkItem, Writeback
from scheduling.records import AppointmentRecord, ReasonVerdict
from scheduling.worklist import ask_staff, finish_for
from waitlist import given_up
from waitlist.models import Claim

KIND = "writeback.stray"
#: Staff were asked about it when it was refused.
ASKED_BEFORE = "mismatch"


def take(source: Source, applied: Applied, record: AppointmentRecord, fetched_at: datetime) -> None:
    """Settle what the mirrored ``record`` of a fetch begun at ``fetched_at`` says about writes of ours. Repeatable."""
    appointment = applied.appointment
    if applied.change == "stale":
        return
    if record.status in Appointment.FREEING:
        _take_freed(appointment, record, fetched_at)
    if appointment.origin != Appointment.Origin.WAITLIST:
        return
    row = _last(appointment, Writeback.Kind.CREATE)
    if row is not None and row.status == Writeback.Status.DEAD:
        _settle(source, row, record, fetched_at)
    elif row is not None and row.status == Writeback.Status.REFUSED and row.error_code != ASKED_BEFORE:
        _show_stray(row, record)
        if record.status in Appointment.FREEING:
            finish_for(_key(row), "The EHR has cancelled it.")


def take_absence(applied: Applied, external_id: str, fetched_at: datetime, verdict: ReasonVerdict) -> None:
    """Settle a cancellation of ours that had come to rest: what it was to cancel is gone. Repeatable."""
    row = _last(applied.appointment, Writeback.Kind.CANCEL) if applied.change != "stale" else None
    if row is not None and row.status == Writeback.Status.DEAD:
        outcomes.deleted(row, external_id, fetched_at, verdict)
    elif row is not None and row.status == Writeback.Status.REFUSED and row.by_patient:
        given_up.heard(row)


def _take_freed(appointment: Appointment, record: AppointmentRecord, fetched_at: datetime) -> None:
    # Most cancellations are none of ours, and few are about a booking of ours: a cheap look finds that out.
    written = set(appointment.writebacks.values_list("kind", flat=True))
    row = _last(appointment, Writeback.Kind.CANCEL) if Writeback.Kind.CANCEL in written else None
    if row is not None and row.status == Writeback.Status.DEAD:
        outcomes.cancelled(row, record, fetched_at)
    elif row is not None and row.status == Writeback.Status.REFUSED and row.by_patient:
        given_up.heard(row)  # staff did it, or the EHR after all
    if written:
        writebacks.look_again(appointment)


def look_again(row: Writeback) -> None:
    """A booking was given up that the EHR may hold: what it says is taken over as it stands, without our wish."""
    named = ExternalId.objects.filter(
        source_id=row.source_id, kind=ExternalId.Kind.APPOINTMENT, object_id=row.appointment_id
    )
    connection = Connection.objects.filter(source_id=row.source_id).first()
    if connection is None:
        return
    for external in named:
        ExternalId.objects.filter(pk=external.pk).update(version="")  # so that it counts as news
        intake.remember(connection, InboundEvent.Via.POLL, Notice("appointment", external.value))


def _last(appointment: Appointment, kind: str) -> Writeback | None:
    rows = appointment.writebacks.filter(kind=kind).select_related("opening", "source", "appointment")
    return rows.order_by("-pk").first()


def _settle(source: Source, row: Writeback, record: AppointmentRecord, fetched_at: datetime) -> None:
    """Close a dead letter if the EHR shows what it asked for, or shows that it is over. Anything else stays staff's."""
    attempt = Attempt(row)
    attempt.connection = Connection.objects.get(source=source)
    try:
        reading = compare(booking_for(attempt), record)
    except UnknownReference:
        return
    if reading.agrees:
        summary = "The EHR shows the booking that we could not finish; it is ours."
        if outcomes.booked(row, record, fetched_at, summary) and not _is_confirmed(row):
            _show_stray(row, record)
    elif reading.gone and reading.ours:
        outcomes.refused(row, "cancelled_in_ehr", "The booking was cancelled in the EHR.", ask=False)


def _is_confirmed(row: Writeback) -> bool:
    return Claim.objects.filter(appointment=row.appointment, state=Claim.State.CONFIRMED).exists()


def _key(row: Writeback) -> str:
    return f"{KIND}:{row.pk}"


def _show_stray(row: Writeback, record: AppointmentRecord) -> None:
    """The EHR holds a booking of ours that nobody counts on any more."""
    if record.status not in HELD or not carries(record, str(row.key)):
        return
    ask_staff(
        KIND,
        "The EHR holds a booking that was given up here",
        advice="The patient was told that it is not booked; others may have been offered the time since. Cancel it in "
        "the EHR, which frees the time, or call the patient and keep it. Nothing is sent by itself.",
        dedupe_key=_key(row),
        urgency=WorkItem.Urgency.RED,
        subject=row,
        opening=row.opening,
        patient=row.appointment.patient,
        location=row.appointment.location,
        due_at=row.appointment.start,
    )
