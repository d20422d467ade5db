"""What the EHR's answer means for a claim: confirmed, refused, or still to be waited for."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from scheduling import guards, openings, writebacks
from scheduling.models import Appointment, Opening, Patient, WorkItem, Writeback
from scheduling.patients import request_attention
from scheduling.story import tell
from scheduling.transitions import move
from scheduling.worklist import ask_staff, finish_for
from scheduling.writebacks import Outcome
from waitlist import checklists, entries, given_up, moveups, telling
from waitlist.models import Claim, Message, WaitlistEntry
from waitlist.withdrawal import withdraw

#: Entries that a booking takes off the list.
ON_THE_LIST = (WaitlistEntry.Status.WAITING, WaitlistEntry.Status.PAUSED, WaitlistEntry.Status.ASKED)
#: Refusals that the next patient would meet as well: what is wrong is the time, or what we ask.
NOT_ABOUT_THE_PATIENT = frozenset({"rejected", "not_found", "refused_by_us", "stale_version", "mismatch"})


def settle(writeback: Writeback, outcome: Outcome) -> None:
    """Act on how a write ended, in the transaction that stores it. Safe to call twice.

    An unknown or held write changes nothing: the claim stays pending and the outbox tells the story. A dead one too:
    the booking may still come, by a retry or by hand, and the patient was told that it is not confirmed.
    """
    if writeback.kind == Writeback.Kind.CANCEL:
        asked_for_by = given_up if writeback.by_patient else moveups
        asked_for_by.settle(writeback, outcome)
        return
    claim = _claim_of(writeback.appointment_id)
    if claim is None or claim.state != Claim.State.PENDING:
        return
    if outcome.result == "done":
        _confirm(claim)
    elif outcome.result == "refused":
        _refuse(claim, outcome)


def _claim_of(appointment_id: int) -> Claim | None:
    rows = Claim.objects.select_related(
        "opening__location", "opening__provider", "patient", "entry__move_up", "offer__move_up", "appointment"
    )
    return rows.filter(appointment_id=appointment_id).first()


def _confirm(claim: Claim) -> None:
    now = timezone.now()
    if not move(claim, Claim.State.CONFIRMED, field="state", settled_at=now, chase_at=None):
        return
    if claim.appointment.status == Appointment.Status.PENDING:
        _set_status(claim.appointment, Appointment.Status.BOOKED)
    if claim.opening.status == Opening.Status.CLAIMED:
        openings.fill(claim.opening)
    # Who gave it up meanwhile and wants another time goes on waiting for one.
    is_kept = not given_up.is_left_to_staff(claim.appointment_id)
    if is_kept and claim.entry is not None and claim.entry.status in ON_THE_LIST:
        entries.mark_booked(claim.entry, now)
    withdraw(claim.opening, "filled", now)
    telling.settled(claim, Message.Kind.CONFIRMED, now)
    moveups.give_up_later_one(claim)
    if is_kept:
        checklists.leave(claim)
    finish_for(chase_key(claim), "The EHR confirmed it.")
    _look_at_what_a_merge_left(claim)
    tell(claim.opening, "claim.confirmed", "Confirmed by the EHR; the patient is told.", claim_id=claim.pk)


def _refuse(claim: Claim, outcome: Outcome) -> None:
    now = timezone.now()
    because = outcome.code or "refused"
    if not _end(claim, Claim.State.REFUSED, now, because=because):
        return
    telling.settled(claim, Message.Kind.REFUSED, now)
    tell(
        claim.opening,
        "claim.refused",
        "The EHR did not take the booking; the patient is told, and stays on the list.",
        claim_id=claim.pk,
        code=because,
    )
    _let_go(claim.opening, taken=outcome.taken)
    if outcome.code in NOT_ABOUT_THE_PATIENT and _refused_before(claim):
        guards.hold_refused(claim.opening)


def _refused_before(claim: Claim) -> bool:
    others = Claim.objects.filter(opening=claim.opening, state=Claim.State.REFUSED).exclude(pk=claim.pk)
    return others.filter(refused_because=claim.refused_because).exists()


def _end(claim: Claim, state: str, now: datetime, *, because: str) -> bool:
    if not move(claim, state, field="state", settled_at=now, chase_at=None, refused_because=because[:60]):
        return False
    if claim.appointment.status == Appointment.Status.PENDING:
        _set_status(claim.appointment, Appointment.Status.CANCELLED)
    finish_for(chase_key(claim), "The claim has ended.")
    _look_at_what_a_merge_left(claim)
    return True


def _look_at_what_a_merge_left(claim: Claim) -> None:
    """A merge leaves the entry behind while its booking is under way."""
    replaced = Patient.objects.filter(pk=claim.patient_id, replaced_by__isnull=False).first()
    if replaced is not None:
        request_attention(replaced)


def _set_status(appointment: Appointment, status: str) -> None:
    appointment.status = status
    appointment.save(update_fields=["status", "updated_at"])


def _let_go(opening: Opening, *, taken: bool) -> None:
    """Offer the time again, or close it when somebody else has it."""
    opening.refresh_from_db()
    if opening.status != Opening.Status.CLAIMED:
        return
    if taken:
        openings.close_claimed(opening, Opening.Closed.TAKEN)
    else:
        openings.release(opening)


def release(claim: Claim, reason: str) -> bool:
    """Give a pending claim up before anything was written: the patient asked for it, or staff did.

    False when the EHR may have the booking already; it then has to be cancelled there.
    """
    now = timezone.now()
    row = claim.appointment.writebacks.filter(kind=Writeback.Kind.CREATE).order_by("-pk").first()
    unsent = (Writeback.Status.WAITING, Writeback.Status.BY_HAND)
    if claim.state != Claim.State.PENDING or row is None or row.status not in unsent or row.sent_at is not None:
        return False
    with transaction.atomic():
        if not writebacks.mark_refused(row, "released", "Given up before it was written."):
            return False
        if not _end(claim, Claim.State.RELEASED, now, because=reason):
            return False
        tell(claim.opening, "claim.released", "The claim was given up; nothing was written.", claim_id=claim.pk)
        _let_go(claim.opening, taken=False)
    return True


def chase_key(claim: Claim) -> str:
    """Return the worklist's key of an unconfirmed claim's call."""
    return f"claim.chase:{claim.pk}"


def chase(claim: Claim) -> bool:
    """The patient was promised word by now and there is none: staff call. Once; False when it was done before."""
    with transaction.atomic():
        if not Claim.objects.filter(pk=claim.pk, state=Claim.State.PENDING, chase_at=claim.chase_at).update(
            chase_at=None
        ):
            return False
        ask_staff(
            "claim.chase",
            "A patient who said yes has not heard back: call them",
            advice="The EHR has not confirmed the booking yet. Look in the EHR, then tell the patient how it stands. "
            "The claim stays; a confirmation that comes later is sent by itself.",
            dedupe_key=chase_key(claim),
            urgency=WorkItem.Urgency.RED,
            subject=claim,
            opening=claim.opening,
            patient=claim.patient,
            due_at=claim.appointment.start,
        )
        tell(claim.opening, "claim.chased", "Not confirmed in time; staff were asked to call.", claim_id=claim.pk)
    return True
