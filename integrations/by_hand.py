"""EHRs we may not write to: staff enter the booking, and it is confirmed when the EHR shows it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from audit.context import correlated
from integrations import booking, outcomes
from integrations.attempt import Attempt
from integrations.codebook import CodeBook
from integrations.ehr import outage
from integrations.ehr.gateway import GatewayError, NotFound
from integrations.models import Connection
from integrations.readback import compare
from scheduling import writebacks
from scheduling.exceptions import UnknownReference
from scheduling.models import Appointment, ExternalId, WorkItem, Writeback
from scheduling.records import AppointmentRecord
from scheduling.story import tell
from scheduling.worklist import ask_staff

#: How often the EHR is asked whether it shows the booking by now; news of it shortens the wait.
LOOK_EVERY = timedelta(seconds=60)


def due(now: datetime | None = None, limit: int = 50) -> list[int]:
    """Return the ids of writes in the hands of staff that are to be looked for in the EHR now."""
    rows = Writeback.objects.filter(status=Writeback.Status.BY_HAND, due_at__lte=now or timezone.now())
    return list(rows.order_by("due_at").values_list("pk", flat=True)[:limit])


def hand_over(row: Writeback) -> None:
    """The EHR turned out not to be writable: a leased write becomes a person's."""
    writebacks.hand_to_staff(row)


def look(row: Writeback, now: datetime | None = None) -> bool:
    """See whether the EHR shows by now what staff were asked to enter; False when another worker does."""
    now = now or timezone.now()
    mine = Writeback.objects.filter(pk=row.pk, status=Writeback.Status.BY_HAND, due_at=row.due_at, due_at__lte=now)
    if not mine.update(due_at=now + LOOK_EVERY):
        return False
    with correlated(row.correlation_id or None):
        _ask_once(row)
        is_shown = _is_shown(row)
        # What staff may have entered is not given up unseen: an EHR that is away is asked again until the visit begins.
        last = row.deadline_at if is_shown is not None else row.appointment.start or row.deadline_at
        if not is_shown and now >= last:
            outcomes.refused(row, "too_late", "It was not entered in the EHR before the appointment's time.")
    return True


def _is_shown(row: Writeback) -> bool | None:
    """Look in the EHR and settle the write when it shows what was asked for; None when it cannot be asked just now."""
    connection = Connection.objects.filter(source_id=row.source_id).first()
    if connection is None:
        return False
    if not outage.answers(connection):
        return None
    attempt = Attempt(row)
    attempt.connection = connection
    try:
        return _shows_booking(attempt) if row.kind == Writeback.Kind.CREATE else _shows_cancellation(attempt)
    except UnknownReference:
        return False
    except GatewayError:
        return None


def _shows_booking(attempt: Attempt) -> bool:
    asked = booking.booking_for(attempt)
    attempt.asked_at = timezone.now()
    record = attempt.gateway.find_booking(asked.key, asked.patient_id, asked.start)
    if record is None or not compare(asked, record).agrees:
        return False
    return outcomes.booked(attempt.row, record, attempt.asked_at, "Staff entered the booking; the EHR shows it.")


def _shows_cancellation(attempt: Attempt) -> bool:
    external_id = attempt.external(ExternalId.Kind.APPOINTMENT, attempt.row.appointment_id)
    attempt.asked_at = timezone.now()
    try:
        record = attempt.gateway.fetch("appointment", external_id)
    except NotFound:
        verdict = CodeBook(attempt.connection).reason("", "", "")  # a deletion gives no reason
        return outcomes.deleted(attempt.row, external_id, attempt.asked_at, verdict)
    if not isinstance(record, AppointmentRecord) or record.status not in Appointment.FREEING:
        return False
    return outcomes.cancelled(attempt.row, record, attempt.asked_at)


def _ask_once(row: Writeback) -> None:
    key = f"writeback.by_hand:{row.pk}"
    if WorkItem.objects.filter(dedupe_key=key).exists():
        return
    appointment = row.appointment
    create = row.kind == Writeback.Kind.CREATE
    tell(row.opening, "writeback.by_hand", "We may not write to this EHR; staff were asked to.", writeback_id=row.pk)
    ask_staff(
        "writeback.by_hand",
        "Book this appointment in the EHR" if create else "Cancel this appointment in the EHR",
        advice=(
            "The patient said yes and waits for a confirmation; nobody else is offered the time. "
            "Enter it in the EHR: as soon as the EHR shows it, the patient is told by itself."
            if create
            else "The patient gave it up and was told that the front desk cancels it. Cancel it in the EHR: as soon as "
            "the EHR shows that, the patient is told and the time opens."
            if row.by_patient
            else "The patient has an earlier appointment now. Cancel the later one in the EHR."
        ),
        dedupe_key=key,
        urgency=WorkItem.Urgency.RED,
        subject=row,
        opening=row.opening,
        patient=appointment.patient,
        location=appointment.location,
        due_at=row.deadline_at,
    )
