"""Booking an opening for a patient on the phone, and taking a booking back: what is said before, and the call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import Http404

from scheduling import openings
from scheduling.admin.display import slot
from scheduling.admin.scope import fetch_or_404, key_of
from scheduling.models import AppointmentType, Bookable, Opening, Patient
from scheduling.worklist import finish_for
from waitlist import callers, candidates, claims, eligibility
from waitlist.models import Claim, Offer, WaitlistEntry
from waitlist.withdrawal import ask_first_key

Values = dict[str, str]


class NotBookable(Exception):
    """The booking, or its undoing, did not happen; the text says why and what is true now."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A type of visit and the time it would take of the opening."""

    key: str
    type: AppointmentType
    start: datetime
    end: datetime
    chosen: bool = False


def choices(opening: Opening, user: Any, values: Values) -> list[Choice]:
    """Return what fits into the opening, the type the patient waits for first."""
    entry = _entry(user, values)
    fits = Bookable.objects.filter(provider=opening.provider, location=opening.location).exclude(mode=Bookable.Mode.OFF)
    facts = candidates.facts_for(opening)
    found: list[Choice] = []
    for fit in fits.select_related("appointment_type").order_by("appointment_type__name"):
        for place in eligibility.placements(facts, timedelta(minutes=fit.duration_minutes)):
            key = f"{fit.appointment_type_id}@{place.start.isoformat()}"
            found.append(Choice(key, fit.appointment_type, place.start, place.end, key == values.get("choice")))
    wanted = entry.appointment_type_id if entry else 0
    return sorted(found, key=lambda each: (each.type.pk != wanted, each.type.name, each.start))


def patients_named(opening: Opening, user: Any, values: Values) -> list[Patient]:
    """Return the patients a step's page names."""
    if values.get("patient") or values.get("entry"):
        return [_patient(user, values)]
    if values.get("offer"):
        return [_offer(opening, values).patient]
    return [claim.patient for claim in _pending(opening)]


def told_before_booking(opening: Opening, user: Any, values: Values) -> list[str]:
    """Say who gets which message when the time is booked for this patient."""
    _refuse_unless_free(opening)
    patient, entry = _patient(user, values), _entry(user, values)
    sentences = [
        f"{patient.full_name} gets this time; the EHR is asked to book it now.",
        f"{patient.full_name} is told “received, not yet confirmed”, then “confirmed” with a booking reference when "
        "the EHR has it, by text or e-mail where they agreed to one. Tell them the same on the phone.",
    ]
    if not patient.may_be_offered:
        sentences.append("Careful: this record is inactive, restricted or replaced, so no message is sent to it.")
    if entry is not None and entry.move_up_id:
        sentences.append("The later appointment they want to move up is cancelled once this one is confirmed.")
    return [*sentences, _others(opening, patient)]


def _others(opening: Opening, patient: Patient) -> str:
    number = Offer.objects.filter(opening=opening, status=Offer.Status.SENT).exclude(patient=patient).count()
    if not number:
        return "Nobody else holds an offer of this time."
    who = "1 other patient holds an offer" if number == 1 else f"{number} other patients hold an offer"
    return f"{who}: once the booking is confirmed they are told the time is filled."


def book(opening: Opening, user: Any, values: Values) -> str:
    """Claim the opening for the patient and return what was done; raises :class:`NotBookable` with who has it."""
    _refuse_unless_free(opening)
    patient, entry = _patient(user, values), _entry(user, values)
    choice = next((each for each in choices(opening, user, values) if each.chosen), None)
    if choice is None:
        raise NotBookable("Nothing was booked: choose a kind of visit that fits into this time.")
    result = claims.staff_confirm(
        opening, patient, entry=entry, appointment_type=choice.type, start=choice.start, end=choice.end
    )
    if not result.is_win:
        who = f" {result.claim.patient.full_name} has it." if result.claim else ""
        raise NotBookable(f"Nothing was booked: {result.outcome.label}.{who} The patient was told nothing.")
    return f"Received for {slot(choice.start, choice.end, opening.location.zone)}. It is confirmed when the EHR has it."


def _refuse_unless_free(opening: Opening) -> None:
    if opening.status in Opening.CLAIMABLE:
        return
    live = (Claim.State.PENDING, Claim.State.CONFIRMED)
    claim = Claim.objects.filter(opening=opening, state__in=live).select_related("patient").first()
    who = f" {claim.patient.full_name} has it." if claim else ""
    raise NotBookable(f"Nothing was booked: this opening is {opening.get_status_display()} now.{who}")


def told_before_sending(opening: Opening) -> list[str]:
    """Say who is written to when the proposed offers go out."""
    rows = (
        Offer.objects.filter(opening=opening, status=Offer.Status.PROPOSED).select_related("patient").order_by("rank")
    )
    names = [f"{row.patient.full_name} is offered {slot(row.start, row.end, opening.location.zone)}." for row in rows]
    waiting, most = callers.waiting_calls(opening.location_id), callers.most_calls(opening.location_id)
    beyond = (
        f"{waiting} call{' waits' if waiting == 1 else 's wait'} for staff here already; the machine by itself gives "
        f"out no more than {most}. What you send goes beyond that."
    )
    return [
        "The EHR is asked once more whether the time is free.",
        *names,
        "Each gets a text or an e-mail they agreed to, or you get a call to make. The first YES has the time; later "
        "waves follow by themselves.",
        *([beyond] if waiting >= most else []),
    ]


def send_proposed(opening: Opening, user: Any) -> str:
    """Let the proposed offers go out and return what was done."""
    if not openings.unhold(opening):
        raise NotBookable("Nothing changed: the offers are on their way already, or the opening has ended.")
    finish_for(ask_first_key(opening.pk), "The offers were sent.", by=user.get_username())
    return "The offers go out now, right after a fresh look at the EHR."


def told_before_declining(opening: Opening, values: Values) -> list[str]:
    """Say what a no on the phone does."""
    offer = _offer(opening, values)
    return [
        f"{offer.patient.full_name} is not offered this time again; they keep their place on the waitlist.",
        "They get no message about it. The next in line are offered the time.",
    ]


def decline(opening: Opening, values: Values) -> str:
    """Note the patient's no, or take the offer back."""
    if not claims.staff_reject(_offer(opening, values)):
        raise NotBookable("Nothing changed: this offer was answered or had ended before.")
    return "Noted: this patient does not get this time."


def told_before_releasing(opening: Opening) -> list[str]:
    """Say what giving a claim back does."""
    return [
        *(f"{claim.patient.full_name} does not get this time. Tell them yourself." for claim in _pending(opening)),
        "It works only while nothing was written to the EHR; after that the booking is cancelled there.",
        "The time is offered again after a fresh look at the EHR.",
    ]


def release(opening: Opening) -> str:
    """Give the claim under way back."""
    for claim in _pending(opening):
        if claims.release(claim, "staff"):
            return "Released. The time is offered again after a fresh look at the EHR."
    raise NotBookable(
        "Nothing changed: the EHR may have this booking already. Wait for its answer, then cancel it in the EHR."
    )


def _pending(opening: Opening) -> list[Claim]:
    return list(Claim.objects.filter(opening=opening, state=Claim.State.PENDING).select_related("patient"))


def _offer(opening: Opening, values: Values) -> Offer:
    key = key_of(Offer, values.get("offer", ""))
    offer = Offer.objects.filter(opening=opening, pk=key).select_related("patient").first() if key else None
    if offer is None:
        raise Http404
    return offer


def _entry(user: Any, values: Values) -> WaitlistEntry | None:
    if not values.get("entry"):
        return None
    entry: WaitlistEntry = fetch_or_404(
        WaitlistEntry.objects.select_related("patient", "appointment_type"), user, values["entry"]
    )
    return entry


def _patient(user: Any, values: Values) -> Patient:
    entry = _entry(user, values)
    if entry is not None:
        return entry.patient
    patient: Patient = fetch_or_404(Patient.objects.all(), user, values.get("patient") or 0)
    return patient
