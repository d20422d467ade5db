"""What is true of an offer at this moment: the state its page tells. Reads, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scheduling import families
from scheduling.models import Appointment, Writeback
from waitlist import given_up
from waitlist.models import Claim, Offer
from waitlist.telling import BUSY_PATIENT
from waitlist.winning import Outcome, Wish, reason_at_a_glance


class PageState(models.TextChoices):
    """One page each: the value is the name of its template, the label the sentence in its heading."""

    QUESTION = "question", _("Do you want this appointment?")
    RECEIVED = "received", _("We have your answer. It is not confirmed yet.")
    CONFIRMED = "confirmed", _("You have this appointment")
    CANCELING = "canceling", _("You asked us to cancel. It is not canceled yet.")
    REFUSED = "refused", _("We could not book this time for you")
    CANCELED = "canceled", _("You do not have this appointment any more")
    FIRST = "first", _("Someone answered first")
    FILLED = "filled", _("Someone else has this time")
    DECLINED = "declined", _("You said no to this time")
    EXPIRED = "expired", _("This offer has ended")
    WITHDRAWN = "withdrawn", _("This time is no longer offered")
    CHANGED = "changed", _("This time has changed")
    HELD = "held", _("We must check this time first")
    OVERLAPS = "overlaps", _("You already have an appointment at this time")
    CALL = "call", _("Please call us about this time")


@dataclass(frozen=True, slots=True)
class Standing:
    """A page's state, the patient's own claim where there is one, and whether a yes is still possible."""

    state: PageState
    claim: Claim | None = None
    can_say_yes: bool = False


#: States in which the patient has something to give up.
GIVES_UP = (PageState.RECEIVED, PageState.CONFIRMED)
_OF_CLAIM = {
    Claim.State.PENDING: PageState.RECEIVED,
    Claim.State.CONFIRMED: PageState.CONFIRMED,
    Claim.State.REFUSED: PageState.REFUSED,
    Claim.State.RELEASED: PageState.CANCELED,
}
_OF_OUTCOME = {
    Outcome.TAKEN: PageState.FIRST,
    Outcome.FILLED: PageState.FILLED,
    Outcome.EXPIRED: PageState.EXPIRED,
    Outcome.WITHDRAWN: PageState.WITHDRAWN,
    Outcome.CHANGED: PageState.CHANGED,
    Outcome.REFUSED: PageState.REFUSED,
    Outcome.HELD: PageState.HELD,
    Outcome.FROZEN: PageState.CALL,
}


def standing_of(offer: Offer, now: datetime) -> Standing:
    """Return how the offer stands for its patient; a yes is offered only where a claim would try it.

    The patient's own booking comes first, then what became of the time, then what became of the offer.
    """
    claim = _own_claim(offer)
    if claim is not None:
        # A confirmed booking that was canceled in the EHR since is not an appointment any more.
        gone = claim.state == Claim.State.CONFIRMED and claim.appointment.status in Appointment.FREEING
        if claim.refused_because == BUSY_PATIENT:
            return Standing(PageState.OVERLAPS, claim)
        if claim.state in Claim.LIVE and not gone and _is_being_canceled(claim):
            return Standing(PageState.CANCELING, claim)
        return Standing(PageState.CANCELED if gone else _OF_CLAIM[Claim.State(claim.state)], claim)
    state = _lost(offer, now) or _conflict(offer)
    if offer.status == Offer.Status.NO:
        return Standing(PageState.DECLINED, can_say_yes=state is None)
    return Standing(state or PageState.QUESTION, can_say_yes=state is None)


def _is_being_canceled(claim: Claim) -> bool:
    if given_up.is_left_to_staff(claim.appointment_id):
        return True
    wishes = claim.appointment.writebacks.filter(kind=Writeback.Kind.CANCEL, by_patient=True)
    return wishes.filter(status__in=Writeback.LIVE).exists()


def _own_claim(offer: Offer) -> Claim | None:
    """Return the patient's live claim on the opening, however it was made, else the one that came of this offer."""
    live = Q(state__in=(Claim.State.PENDING, Claim.State.CONFIRMED))
    rows = Claim.objects.filter(opening_id=offer.opening_id, patient_id=offer.patient_id).filter(
        live | Q(offer_id=offer.pk)
    )
    found = list(rows.select_related("appointment", "entry__move_up", "offer__move_up").order_by("pk"))
    standing = [claim for claim in found if claim.state in (Claim.State.PENDING, Claim.State.CONFIRMED)]
    return next(iter(standing or found), None)


def _lost(offer: Offer, now: datetime) -> PageState | None:
    """Return why a yes would be lost at a glance, by the claim's own rule."""
    wish = Wish(offer.opening, offer.patient, offer, None, offer.appointment_type, offer.start, offer.end, "link", now)
    outcome = reason_at_a_glance(wish)
    return None if outcome is None else _OF_OUTCOME[outcome]


def _conflict(offer: Offer) -> PageState | None:
    """Return what stands in the way in the calendar: an appointment of the provider's or of the patient's own."""
    records = families.records_of_one(offer.patient_id)
    occupying = Appointment.objects.filter(
        Q(provider_id=offer.opening.provider_id) | Q(patient_id__in=records) & ~Q(pk=offer.move_up_id),
        status__in=Appointment.OCCUPYING,
        start__lt=offer.end,
        end__gt=offer.start,
    )
    patients = set(occupying.values_list("patient_id", flat=True))
    if patients - records:
        return PageState.FIRST
    return PageState.OVERLAPS if patients else None
