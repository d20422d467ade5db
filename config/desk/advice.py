"""One or two sentences on top of an opening's page: what is true now, and what the front desk has to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from scheduling.models import Opening, Writeback
from waitlist.models import Claim, Offer

_CHECKING = "The EHR is being asked whether this time is really free. You need to do nothing."
_NOBODY_SUITS = (
    "The EHR shows this time as free, and nobody on the list suits it just now. It is offered by itself as soon as "
    "somebody does. You need to do nothing; a patient on the phone can have it."
)
_IN_SHADOW = (
    "Shadow: below stands who would have been offered this time. Nobody is told and nothing is booked from here."
)

_HELD = {
    Opening.Held.PROVIDER_DAY: "Nobody is offered this time until somebody says whether the provider is in or out.",
    Opening.Held.BLOCKED: "Nobody is offered this time until somebody says whether the provider is in or out.",
    Opening.Held.REASON: "Nobody is offered this time until somebody says what the cancellation means for it.",
    Opening.Held.TYPE: "Nobody is offered this time until somebody says what kind of visit it was for.",
    Opening.Held.STATUS: "Nobody is offered this time until somebody says what the EHR’s status of the visit means.",
    Opening.Held.REFUSED: "The EHR keeps refusing to book this time. Nobody is offered it until somebody knows why.",
    Opening.Held.ASK_FIRST: "Look at who is proposed below, then send the offers. Nobody has been told anything yet.",
    Opening.Held.EHR_SILENT: "The EHR does not answer. It goes on by itself as soon as the EHR does.",
}


def what_next(
    opening: Opening,
    offers: Sequence[Offer],
    claims: Sequence[Claim],
    *,
    is_paused: bool,
    in_shadow: bool = False,
    nobody_suits: bool = False,
    booking: str = "",
) -> str:
    """Return what the front desk should know and do now about ``opening``; it may name the patient who has it.

    ``nobody_suits``: it was looked at, and there was nobody to offer it to. ``booking`` is how far the booking of a
    claimed one is, a status of its write to the EHR.
    """
    if opening.status == Opening.Status.CLAIMED:
        return _claimed(claims, booking)
    if opening.status == Opening.Status.FILLED:
        return _filled(claims)
    if opening.status == Opening.Status.CLOSED:
        return "This time is not offered to anybody any more."
    if is_paused:
        return "Everything is paused, so nobody is offered this time. Press “Go on” above when it may go on."
    if in_shadow and opening.held in ("", Opening.Held.ASK_FIRST):
        return _IN_SHADOW
    if opening.held:
        return _HELD[Opening.Held(opening.held)]
    if opening.status == Opening.Status.OFFERING:
        return _offered(offers)
    return _NOBODY_SUITS if nobody_suits else _CHECKING


#: What becomes of a booking that is a person's now; else the EHR is being asked.
_BY_A_PERSON = {
    Writeback.Status.BY_HAND: "said yes. We do not write to this EHR: somebody enters the booking there, and once the "
    "EHR shows it, it is confirmed by itself.",
    Writeback.Status.DEAD: "said yes, but the booking could not be written to the EHR, and somebody has to see to it.",
}


def _claimed(claims: Sequence[Claim], booking: str) -> str:
    name = next((claim.patient.full_name for claim in claims if claim.state == Claim.State.PENDING), "A patient")
    said = _BY_A_PERSON.get(
        Writeback.Status(booking) if booking else Writeback.Status.WAITING,
        "said yes and the EHR is being asked to book it. You need to do nothing.",
    )
    return f"{name} {said} Until this page says filled, say “received, not yet confirmed”."


def _filled(claims: Sequence[Claim]) -> str:
    claim = next((each for each in claims if each.state == Claim.State.CONFIRMED), None)
    if claim is None:
        return "The EHR shows a new booking of this time. You need to do nothing."
    reference = f" Their reference is {claim.appointment.reference}." if claim.appointment.reference else ""
    return f"{claim.patient.full_name} has this time; the EHR shows the booking.{reference} You need to do nothing."


def _offered(offers: Sequence[Offer]) -> str:
    out = sum(offer.status == Offer.Status.SENT for offer in offers)
    if not out:
        return "Nobody holds an offer right now. You need to do nothing: the machine looks again by itself."
    who = "1 patient holds an offer" if out == 1 else f"{out} patients hold offers"
    return f"{who}, and the first yes has the time. You need to do nothing; a patient on the phone can have it too."
