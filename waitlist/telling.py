"""Telling the winner of a claim what is true: received, confirmed, or not booked after all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from scheduling import families, office_hours
from scheduling.models import Appointment, WorkItem
from scheduling.worklist import ask_staff
from waitlist import consent, given_up, messages
from waitlist.calendar_file import calendar_file
from waitlist.models import Claim, Message

#: "It could not be booked" is worth sending until so long after the visit would have ended.
REFUSAL_STANDS = timedelta(hours=2)
#: Why a claim was refused whose patient has another appointment at that time in the EHR; they are told so.
BUSY_PATIENT = "patient_busy"


def subject_of(claim: Claim) -> messages.Subject:
    """Return what messages about a claim are about."""
    opening, kind = claim.opening, claim.appointment.appointment_type_id
    return messages.Subject(claim.patient, opening.location, opening, claim.offer, kind)


def describe(claim: Claim) -> dict[str, Any]:
    """Return what the words about a claim need beyond its offer: time, reference, and the appointment moved up."""
    zone = claim.opening.location.zone
    context: dict[str, Any] = {"code": "", "reference": claim.appointment.reference or ""}
    context["busy"] = claim.refused_because == BUSY_PATIENT
    if claim.appointment.start is not None:
        context["start"] = claim.appointment.start.astimezone(zone)
    if claim.chase_at is not None:
        context["call_after"] = answered_at(claim, claim.chase_at)
    is_won = claim.state == Claim.State.CONFIRMED
    old = replaced(claim) if is_won else moved_up(claim)
    if old is not None and old.start is not None:
        context["replaces" if is_won else "keep"] = old.start.astimezone(zone)
    return context


def answered_at(claim: Claim, moment: datetime) -> datetime:
    """Return when the patient's call is answered from ``moment`` on, by the location's clock.

    That is the next office hour; where the visit begins before it, ``moment`` itself.
    """
    opens = office_hours.next_open(office_hours.of_practice(claim.opening.location_id), moment)
    start = claim.appointment.start
    in_time = opens if opens is not None and start is not None and opens < start else moment
    return in_time.astimezone(claim.opening.location.zone)


def moved_up(claim: Claim) -> Appointment | None:
    """Return the later appointment that this claim replaces, if it still stands."""
    old = claim.offer.move_up if claim.offer else claim.entry.move_up if claim.entry else None
    if old is None or old.status != Appointment.Status.BOOKED:
        return None
    if old.patient_id not in families.records_of_one(claim.patient_id):
        return None
    new_start = claim.appointment.start
    return old if old.start is not None and new_start is not None and old.start > new_start else None


def replaced(claim: Claim) -> Appointment | None:
    """Return the later appointment that a confirmed claim is to end.

    None where the earlier one was given up while it was being booked: that is to be cancelled, and the later one kept.
    """
    old = moved_up(claim)
    return None if old is None or given_up.is_left_to_staff(claim.appointment_id) else old


def received(claim: Claim, now: datetime) -> None:
    """Say that the yes was received and is not confirmed yet; one message is enough."""
    for contact in consent.ways(claim.patient, consent.day_at(claim.opening.location, now))[:1]:
        _queue(claim, Message.Kind.RECEIVED, messages.Address.of(contact), now)


def settled(claim: Claim, kind: str, now: datetime | None = None) -> None:
    """Say how it ended, by every way the patient agreed to; where there is none, a person calls."""
    now = now or timezone.now()
    contacts = consent.ways(claim.patient, consent.day_at(claim.opening.location, now))
    for contact in contacts:
        _queue(claim, kind, messages.Address.of(contact), now)
    if not contacts:
        ask_to_call(claim, kind)


def _queue(claim: Claim, kind: str, address: messages.Address, now: datetime) -> Message | None:
    return messages.queue(
        kind,
        address,
        subject_of(claim),
        describe(claim),
        dedupe_key=f"claim:{claim.pk}:{kind}:{address.channel}:{address.index[:24]}",
        initiated=False,
        expires_at=_pointless_after(claim, kind),
        attachment=attachment(claim, kind, now),
        now=now,
    )


def attachment(claim: Claim, kind: str, now: datetime) -> str:
    """Return the calendar file that goes with a confirmation by e-mail, empty for other news."""
    if kind != Message.Kind.CONFIRMED:
        return ""
    subject = subject_of(claim)
    return calendar_file(claim.appointment, messages.describe(subject, now)["practice"], subject.language, now)


def _pointless_after(claim: Claim, kind: str) -> datetime | None:
    """A booking given up shortly before its time must still be heard of: the patient may be on the way."""
    appointment = claim.appointment
    if kind == Message.Kind.REFUSED and appointment.end is not None:
        return appointment.end + REFUSAL_STANDS
    return appointment.start


_CALLS = {
    Message.Kind.CONFIRMED: "Call a patient: their appointment is confirmed",
    Message.Kind.REFUSED: "Call a patient: the time they said yes to could not be booked",
}


def ask_to_call(claim: Claim, kind: str) -> WorkItem | None:
    """Have staff tell the patient, who cannot be written to, how it ended."""
    if kind not in _CALLS:
        return None
    return ask_staff(
        "claim.tell",
        _CALLS[Message.Kind(kind)],
        advice="No text or e-mail may be sent, or none arrives. The EHR shows what is true. Call, then mark this done.",
        dedupe_key=f"claim.tell:{claim.pk}:{kind}",
        urgency=WorkItem.Urgency.RED,
        subject=claim,
        opening=claim.opening,
        patient=claim.patient,
        due_at=claim.appointment.start,
    )
