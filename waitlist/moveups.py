"""Moving a patient up: the later appointment is given up only after the earlier one is confirmed."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from scheduling import writebacks
from scheduling.models import Appointment, WorkItem, Writeback
from scheduling.story import tell
from scheduling.worklist import ask_staff, finish_for
from scheduling.writebacks import Outcome
from waitlist import telling
from waitlist.models import Claim


def give_up_later_one(claim: Claim) -> Writeback | None:
    """Have the EHR cancel the appointment that a confirmed claim replaces; its time opens once that is read back."""
    old = telling.replaced(claim)
    if old is None:
        return None
    try:
        with transaction.atomic():
            row = writebacks.request_cancel(old, claim.opening)
    except IntegrityError:  # another write about it is under way
        _ask_staff(claim, old)
        return None
    tell(claim.opening, "moveup.requested", "The later appointment is being cancelled.", appointment_id=old.pk)
    return row


def later_one(appointment: Appointment) -> Appointment | None:
    """Return the later appointment that a booking of ours under way is to replace, or None."""
    rows = Claim.objects.select_related("offer__move_up", "entry__move_up", "appointment")
    claim = rows.filter(appointment=appointment).first()
    return telling.moved_up(claim) if claim is not None else None


def settle(writeback: Writeback, outcome: Outcome) -> None:
    """Act on how the cancellation of a later appointment ended. Safe to call twice."""
    claim = _claim_behind(writeback)
    if claim is None:
        return
    if outcome.result == "done":
        finish_for(_key(writeback.appointment_id), "The EHR has cancelled it.")
        tell_once(claim, "moveup.done", "The later appointment is cancelled; its time opens by itself.", writeback)
    elif outcome.result in ("refused", "dead"):
        _ask_staff(claim, writeback.appointment)
        tell_once(claim, "moveup.failed", "The later appointment still stands; staff were asked.", writeback)


def tell_once(claim: Claim, kind: str, summary: str, writeback: Writeback) -> None:
    """Add a step to the story unless it is there."""
    if not claim.opening.timeline.filter(kind=kind, data__writeback_id=writeback.pk).exists():
        tell(claim.opening, kind, summary, writeback_id=writeback.pk)


def _claim_behind(writeback: Writeback) -> Claim | None:
    if writeback.opening_id is None:
        return None
    rows = Claim.objects.filter(opening_id=writeback.opening_id, state=Claim.State.CONFIRMED)
    return rows.select_related("opening__location", "patient", "appointment").first()


def _key(appointment_id: int) -> str:
    return f"moveup.cancel:{appointment_id}"


def _ask_staff(claim: Claim, old: Appointment) -> WorkItem:
    return ask_staff(
        "moveup.cancel",
        "A patient was moved up and now has both appointments",
        advice="The earlier one is confirmed. The later one could not be cancelled: cancel it in the EHR by hand. "
        "Its time is then offered by itself.",
        dedupe_key=_key(old.pk),
        urgency=WorkItem.Urgency.RED,
        subject=old,
        opening=claim.opening,
        patient=claim.patient,
        due_at=old.start,
    )
