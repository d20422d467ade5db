"""A patient gives an appointment up: the EHR cancels it, and only what was read back counts as cancelled."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from scheduling import writebacks
from scheduling.models import Appointment, WorkItem, Writeback
from scheduling.story import tell
from scheduling.worklist import ask_staff
from waitlist import entries, given_up, settlement
from waitlist.models import Claim, Message


class Outcome(models.TextChoices):
    """What a wish to cancel came to. Only REQUESTED, STAFF and RELEASED changed anything."""

    REQUESTED = "requested", "received, not cancelled yet"
    STAFF = "staff", "received, the front desk cancels it"
    RELEASED = "released", "given up before it was booked"
    UNDER_WAY = "under_way", "asked for before, not cancelled yet"
    GONE = "gone", "no longer booked"
    TOO_LATE = "too_late", "it has begun"


def cancel_by_patient(appointment: Appointment, *, wants_another: bool, now: datetime | None = None) -> Outcome:
    """Have an appointment cancelled at its patient's wish, and tell them how it stands.

    ``wants_another``: whether they go on waiting for another time or leave the list.

    Call it outside a transaction, acting as the patient, who was shown what they give up. A booking that was not
    written yet is given up at once. Otherwise a cancel goes out with the version we hold: the patient hears
    "received" now, and "cancelled" after the EHR was read back, which also opens the time. Where the EHR lets us cancel
    nothing, staff are asked and the patient is told that they will do it. Pressing twice is pressing once.
    """
    now = now or timezone.now()
    appointment.refresh_from_db()
    if appointment.status == Appointment.Status.PENDING:
        return _give_up_booking(appointment, wants_another)
    if appointment.status != Appointment.Status.BOOKED:
        return Outcome.TOO_LATE if appointment.status in Appointment.SEEN else Outcome.GONE
    if appointment.start is None or appointment.start <= now:
        return Outcome.TOO_LATE
    try:
        with transaction.atomic():
            row = writebacks.request_cancel(appointment, by_patient=True)
            given_up.say(row, Message.Kind.CANCELLING, now)
            claim = Claim.objects.filter(appointment=appointment).select_related("opening", "entry").first()
            if claim is not None:
                _wait_or_leave(claim, wants_another)
                summary = "The patient gave the appointment up; it is being cancelled in the EHR."
                tell(claim.opening, "cancel.requested", summary, writeback_id=row.pk)
    except IntegrityError:  # the database's own guard of one live write per appointment
        return Outcome.UNDER_WAY
    return Outcome.STAFF if given_up.describe(row)["staff"] else Outcome.REQUESTED


def _wait_or_leave(claim: Claim, wants_another: bool) -> None:
    entry = claim.entry
    if entry is None:
        return
    entry.refresh_from_db()
    if wants_another and entry.status == entry.Status.BOOKED:
        entries.resume(entry)
    elif not wants_another and entry.status in entries.LIVE:
        entries.leave(entry)


def _give_up_booking(appointment: Appointment, wants_another: bool) -> Outcome:
    """Give up a booking that the EHR has not confirmed: at once while nothing was written, else through staff."""
    rows = Claim.objects.select_related("opening__location", "appointment", "entry")
    claim = rows.filter(appointment=appointment).first()
    if claim is None:
        return Outcome.GONE
    row = appointment.writebacks.filter(kind=Writeback.Kind.CREATE).select_related("source").latest("pk")
    if settlement.release(claim, "patient"):
        appointment.refresh_from_db()
        _wait_or_leave(claim, wants_another)
        given_up.say(row, Message.Kind.CANCELLED)
        return Outcome.RELEASED
    ask_staff(
        "appointment.cancel",
        "A patient gave up an appointment that is still being booked",
        advice="The EHR has not confirmed the booking yet. Once it has, cancel it there: its time is then offered by "
        "itself. If it could not be booked, nothing is left to do.",
        dedupe_key=given_up.pending_key(appointment.pk),
        urgency=WorkItem.Urgency.RED,
        subject=appointment,
        opening=claim.opening,
        patient=claim.patient,
        due_at=appointment.start,
    )
    _wait_or_leave(claim, wants_another)
    return Outcome.STAFF
